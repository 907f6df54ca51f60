"""Sum and broadcast, each the other's transpose; and how a cotangent meets a partial."""

from __future__ import annotations

import math
import operator
from functools import reduce
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple
from scipy import sparse

from tapegrad.ops.attributes import Kind, is_axes, is_flag, is_shape
from tapegrad.ops.registry import (
    ANY_NUMBER,
    Along,
    Copied,
    Linear,
    Op,
    Products,
    Read,
    Shape,
    always_first,
    broadcast,
    implements,
    moves,
    positions,
    register,
)
from tapegrad.ops.shaping import reshape, shape_of

Axis = int | tuple[int, ...] | None

_ROW = np.array([0.5, -1.0, 2.0])
_TABLE = np.array([[0.5, -1.0, 2.0], [1.5, 0.1, -0.7]])
_CUBE = np.linspace(-1.0, 1.3, 12).reshape(2, 3, 2)

REDUCTION_ATTRS: dict[str, Kind] = {"axis": is_axes, "keepdims": is_flag}
REDUCTION_SAMPLES: tuple[tuple[tuple[Any, ...], dict[str, Any]], ...] = (
    ((1.3,), {"axis": (), "keepdims": False}),
    ((_ROW,), {"axis": (0,), "keepdims": False}),
    ((_TABLE,), {"axis": (0,), "keepdims": False}),
    ((_TABLE,), {"axis": (1,), "keepdims": True}),
    ((_CUBE,), {"axis": (0, 2), "keepdims": False}),
    ((_CUBE,), {"axis": (0, 1, 2), "keepdims": False}),
)


def axes_of(x: Any, axis: Axis) -> tuple[int, ...]:
    """`axis` as a sorted tuple of non-negative ints; None is all of them."""
    ndim = len(shape_of(x))
    if axis is None or (ndim == 0 and axis in (0, -1)):  # NumPy lets a scalar be summed along its first axis
        return tuple(range(ndim))
    return tuple(sorted(normalize_axis_tuple(axis, ndim)))


def reduced(shape: Shape, axis: tuple[int, ...], keepdims: bool) -> Shape:
    """The shape rule of reductions."""
    if keepdims:
        return tuple(1 if i in axis else n for i, n in enumerate(shape))
    return tuple(n for i, n in enumerate(shape) if i not in axis)


def expand(value: Any, x: Any, axis: tuple[int, ...]) -> Any:
    """Give `value` back the axes, now of length one, that a reduction of `x` took away."""
    shape = reduced(shape_of(x), axis, True)
    return value if shape_of(value) == shape else reshape(value, shape=shape)


def _sum_transpose(i: int, ct: Any, x: Any, axis: tuple[int, ...], keepdims: bool) -> Any:
    leading = axis == tuple(range(len(axis)))  # broadcasting supplies leading axes by itself
    return broadcast_to(ct if leading and not keepdims else expand(ct, x, axis), shape=shape_of(x))


def reduction_rows(
    axes: Any, row: int | None, shapes: Any, out: Shape, axis: tuple[int, ...], **attrs: Any
) -> Along | None:
    """How a reduction other than a sum acts along the rows: row by row, unless it reduces them."""
    return Along((Read.ALIGNED,)) if axes[0] not in axis else None


def _sum_rows(
    axes: Any, row: int | None, shapes: Any, out: Shape, axis: tuple[int, ...], keepdims: bool
) -> Along:
    return Along((Read.ALIGNED,), is_sum=axes[0] in axis)


def _broadcast_to(x: Any, shape: Shape, out: Any = None) -> Any:
    if out is None:
        return np.broadcast_to(x, shape)
    np.copyto(out, x)
    return out


def _broadcast_rows(axes: Any, row: int | None, shapes: Any, out: Shape, shape: Shape) -> Along | None:
    if row is None:
        return None
    if axes[0] is None:
        return Along((Read.BROADCAST,))
    return Along((Read.ALIGNED,)) if len(shapes[0]) - axes[0] == len(out) - row else None


def reduction_links(i: int, shapes: list[Shape], values: Any, axis: tuple[int, ...], **attrs: Any) -> Any:
    """The links of a reduction: each element of the output depends on those that were reduced to it."""
    (shape,) = shapes
    kept = reduced(shape, axis, True)
    rows = np.broadcast_to(positions(kept), shape).ravel()
    ones = np.ones(rows.size, dtype=bool)
    return sparse.csr_array((ones, (rows, np.arange(rows.size))), shape=(math.prod(kept), rows.size))


sum_ = register(
    Op(
        "sum",
        np.add.reduce,
        reduced,
        Linear(_sum_transpose),
        links=reduction_links,
        rows=_sum_rows,
        attrs=REDUCTION_ATTRS,
        samples=REDUCTION_SAMPLES,
    )
)


def unbroadcast(ct: Any, shape: Shape) -> Any:
    """Sum the cotangent of a broadcast operand back to the operand's own shape."""
    old = shape_of(ct)
    if old == shape:
        return ct
    extra = len(old) - len(shape)
    stretched = [extra + i for i, n in enumerate(shape) if n == 1 and old[extra + i] != 1]
    ct = sum_(ct, axis=(*range(extra), *stretched), keepdims=False)
    return ct if shape_of(ct) == shape else reshape(ct, shape=shape)


broadcast_to = register(
    Op(
        "broadcast_to",
        _broadcast_to,
        lambda old, shape: shape,
        Linear(lambda i, ct, x, shape: unbroadcast(ct, shape_of(x))),
        takes=(None,),
        gives=None,
        views=always_first,
        links=moves(np.broadcast_to),
        copies=lambda out, x, shape: (Copied(out, np.broadcast_to(x, out.shape)),),
        rows=_broadcast_rows,
        attrs={"shape": is_shape},
        fits=lambda shapes, values, shape: np.broadcast_shapes(shapes[0], shape) == shape,
        samples=(
            ((1.5,), {"shape": (2, 3)}),
            ((_ROW,), {"shape": (2, 3)}),
            ((np.array([[1.0], [2.0]]),), {"shape": (2, 3)}),
        ),
    )
)


@implements(np.broadcast_to)
def broadcast_to_(array: Any, shape: Any) -> Any:
    """NumPy's `broadcast_to`."""
    return broadcast_to(array, shape=tuple(operator.index(n) for n in np.atleast_1d(shape)))


# The sum of many terms in one entry, left to right like the chain of additions that it stands for.


def _add_n(*terms: Any, out: Any = None) -> Any:
    if out is None:
        return reduce(np.add, terms[1:], np.positive(terms[0]))  # of one term a copy
    np.copyto(out, terms[0])
    for term in terms[1:]:
        np.add(out, term, out=out)
    return out


add_n = register(
    Op(
        "add_n",
        _add_n,
        broadcast,
        Linear(lambda i, ct, *terms: unbroadcast(ct, shape_of(terms[i]))),
        scalar=lambda *terms: reduce(operator.add, terms),
        python=" + ",
        c=" + ",
        arity=ANY_NUMBER,
        samples=(
            ((1.5, 2.0, -0.3), {}),
            ((_ROW, 3.0, _TABLE, np.array([[1.0], [2.0]])), {}),
            ((_ROW,), {}),
        ),
    )
)


_LONG = 1_000


def write_where(c: Any, x: Any, y: Any, out: Any) -> Any:
    """Write `x` where `c` holds and `y` elsewhere; `y` may be `out`.

    Where the outcomes are mixed, a masked copy of a long array takes up to seven times as long as np.where,
    which has no `out`.
    """
    if out.size >= _LONG:
        np.copyto(out, np.where(c, x, y))
        return out
    if y is not out:
        np.copyto(out, y)
    np.copyto(out, x, where=c)
    return out


# A cotangent times a partial, and 0 wherever the cotangent is 0. What `where` has masked out of it stays
# out, even if the partial of the branch not taken is infinite or NaN: the gate is the first operand, in the
# product and in its derivatives.


def _gated_mul(ct: Any, factor: Any, out: Any = None) -> Any:
    if out is None:
        out = np.empty(np.broadcast_shapes(np.shape(ct), np.shape(factor)))
    np.multiply(ct, factor, out=out)
    # The gate matters where it keeps out NaN, and the sum of the squares tells quickly whether there is one.
    total = np.vdot(out, out)
    return out if total == total else write_where(np.equal(ct, 0.0), 0.0, out, out)


def _gated_jvp(i: int, t: Any, out: Any, ct: Any, factor: Any) -> Any:
    return gated_mul(t, factor) if i == 0 else gated_mul(ct, t)


def _gated_vjp(i: int, g: Any, out: Any, ct: Any, factor: Any) -> Any:
    product = gated_mul(g, factor) if i == 0 else gated_mul(ct, g)
    return unbroadcast(product, shape_of(ct if i == 0 else factor))


gated_mul = register(
    Op(
        "gated_mul",
        _gated_mul,
        broadcast,
        Products(_gated_jvp, _gated_vjp),
        masks=True,
        scalar=lambda ct, factor: 0.0 if ct == 0.0 else ct * factor,
        python="0.0 if {0} == 0.0 else {0} * {1}",
        c="tg_gated_mul({0}, {1})",
        samples=(
            ((1.5, 2.0), {}),
            ((_ROW, 3.0), {}),
            ((2.0, _ROW), {}),
            ((_ROW, _TABLE), {}),
            ((np.array([[1.0], [2.0]]), _ROW), {}),
        ),
    )
)
