"""Ops that leave the elements as they are: shapes and casts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

from tapegrad.ops.attributes import is_order, is_shape
from tapegrad.ops.registry import (
    BOOL,
    FLOAT,
    INT,
    Along,
    Copied,
    Linear,
    Op,
    Read,
    Recordable,
    Shape,
    always_first,
    broadcast,
    implements,
    moves,
    register,
)

_ROW = np.array([0.5, -1.0, 2.0])
_TABLE = np.array([[0.5, -1.0, 2.0], [1.5, 0.1, -0.7]])


def shape_of(x: Any) -> Shape:
    """The shape of a number, an array or a recordable operand."""
    shape: Shape | None = getattr(x, "shape", None)
    return np.shape(x) if shape is None else shape


@implements(np.shape)
def shape(a: Any) -> Any:
    """NumPy's `shape`."""
    return shape_of(a)


@implements(np.ndim)
def ndim(a: Any) -> Any:
    """NumPy's `ndim`."""
    return len(shape_of(a))


@implements(np.size)
def size(a: Any, axis: Any = None) -> Any:
    """NumPy's `size`."""
    return np.size(np.broadcast_to(0.0, shape_of(a)), axis)


# Shapes -----------------------------------------------------------------------------------------------------


def _reshape(x: Any, shape: Shape, out: Any = None) -> Any:
    if out is None:
        return np.reshape(x, shape)
    np.copyto(out, np.reshape(x, out.shape))
    return out


def _reshape_views(in_order: bool, shape: Shape) -> int | None:
    return 0 if in_order or shape == () else None


def _reshape_rows(axes: Any, row: int | None, shapes: Any, out: Shape, shape: Shape) -> Along | None:
    if axes[0] is None or row is None or math.prod(shapes[0][: axes[0]]) != math.prod(out[:row]):
        return None
    return Along((Read.ALIGNED,))


reshape: Op = register(
    Op(
        "reshape",
        _reshape,
        lambda old, shape: shape,
        Linear(lambda i, ct, x, shape: reshape(ct, shape=shape_of(x))),
        takes=(None,),
        gives=None,
        views=_reshape_views,
        links=moves(_reshape),
        copies=lambda out, x, shape: (Copied(out.reshape(x.shape), x),),
        rows=_reshape_rows,
        attrs={"shape": is_shape},
        fits=lambda shapes, values, shape: math.prod(shapes[0]) == math.prod(shape),
        samples=(((_TABLE,), {"shape": (3, 2)}), ((1.5,), {"shape": (1, 1)}), ((_ROW,), {"shape": (3,)})),
    )
)


@implements(np.reshape)
def reshape_(a: Any, /, shape: Any, order: Any = "C") -> Any:
    """NumPy's `reshape`."""
    old = shape_of(a)
    # A stand-in without memory resolves -1 and raises NumPy's own error for a wrong size.
    new = np.broadcast_to(np.float64(0.0), old).reshape(shape, order=order).shape
    if order == "F" or (order == "A" and _is_column_by_column(a)):
        return transpose_(reshape_(transpose_(a), new[::-1]))
    return a if new == old else reshape(a, shape=new)


@implements(np.real)
def real(val: Any) -> Any:
    """NumPy's `real`."""
    return val


@implements(np.ravel)
def ravel(a: Any, order: str = "C") -> Any:
    """NumPy's `ravel`."""
    if order == "K":  # as the elements stand in memory, whichever way along each axis
        steps = np.abs(_value(a).strides)
        a, order = transpose_(a, np.argsort(-steps, kind="stable").tolist()), "C"
    return reshape_(a, (-1,), order)


def _value(a: Any) -> np.ndarray[Any, Any]:
    return np.asarray(a.plain() if isinstance(a, Recordable) else a)


def _is_column_by_column(a: Any) -> bool:
    flags = _value(a).flags
    return flags.f_contiguous and not flags.c_contiguous


@implements(np.expand_dims)
def expand_dims(a: Any, axis: Any) -> Any:
    """NumPy's `expand_dims`."""
    return reshape_(a, np.expand_dims(np.broadcast_to(0.0, shape_of(a)), axis).shape)


@implements(np.squeeze)
def squeeze(a: Any, axis: Any = None) -> Any:
    """NumPy's `squeeze`."""
    return reshape_(a, np.squeeze(np.broadcast_to(0.0, shape_of(a)), axis).shape)


@implements(np.atleast_1d)
def atleast_1d(*arys: Any) -> Any:
    """NumPy's `atleast_1d`."""
    found = tuple(reshape_(a, shape_of(a) or (1,)) for a in arys)
    return found[0] if len(found) == 1 else found


@implements(np.atleast_2d)
def atleast_2d(*arys: Any) -> Any:
    """NumPy's `atleast_2d`."""
    found = tuple(reshape_(a, (1,) * (2 - len(shape_of(a))) + shape_of(a)) for a in arys)
    return found[0] if len(found) == 1 else found


@implements(np.atleast_3d)
def atleast_3d(*arys: Any) -> Any:
    """NumPy's `atleast_3d`."""
    found = tuple(reshape_(a, np.atleast_3d(np.broadcast_to(0.0, shape_of(a))).shape) for a in arys)
    return found[0] if len(found) == 1 else found


def _inverse(axes: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(int(i) for i in np.argsort(axes))


def _transpose(x: Any, axes: tuple[int, ...], out: Any = None) -> Any:
    if out is None:
        return np.transpose(x, axes)
    np.copyto(out, np.transpose(x, axes))
    return out


def _transpose_rows(rows: Any, row: int | None, shapes: Any, out: Shape, axes: tuple[int, ...]) -> Along:
    return Along((Read.ALIGNED if rows[0] == row else Read.TRANSPOSED,))


transpose: Op = register(
    Op(
        "transpose",
        _transpose,
        lambda shape, axes: tuple(shape[i] for i in axes),
        Linear(lambda i, ct, x, axes: transpose(ct, axes=_inverse(axes))),
        takes=(None,),
        gives=None,
        views=always_first,
        links=moves(np.transpose),
        copies=lambda out, x, axes: (Copied(out, x.transpose(axes)),),
        rows=_transpose_rows,
        attrs={"axes": is_order},
        numpy=(),
        samples=(
            ((_TABLE,), {"axes": (1, 0)}),
            ((np.arange(12.0).reshape(2, 3, 2),), {"axes": (2, 0, 1)}),
        ),
    )
)


@implements(np.transpose, np.permute_dims)
def transpose_(a: Any, axes: Sequence[int] | None = None) -> Any:
    """NumPy's `transpose`."""
    ndim = len(shape_of(a))
    order = tuple(reversed(range(ndim))) if axes is None else normalize_axis_tuple(axes, ndim)
    return transpose(a, axes=order) if order != tuple(range(ndim)) else a


@implements(np.matrix_transpose, np.linalg.matrix_transpose)
def matrix_transpose(x: Any, /) -> Any:
    """NumPy's `matrix_transpose`."""
    return swapaxes(x, -1, -2)


@implements(np.swapaxes)
def swapaxes(a: Any, axis1: int, axis2: int) -> Any:
    """NumPy's `swapaxes`."""
    order = list(range(len(shape_of(a))))
    order[axis1], order[axis2] = order[axis2], order[axis1]
    return transpose_(a, order)


@implements(np.moveaxis)
def moveaxis(a: Any, source: Any, destination: Any) -> Any:
    """NumPy's `moveaxis`."""
    ndim = len(shape_of(a))
    labelled = np.moveaxis(np.empty((1,) * ndim), source, destination).ndim
    sources = normalize_axis_tuple(source, labelled)
    order = [i for i in range(ndim) if i not in sources]
    for target, origin in sorted(zip(normalize_axis_tuple(destination, ndim), sources, strict=True)):
        order.insert(target, origin)
    return transpose_(a, order)


# Casts ------------------------------------------------------------------------------------------------------


def _cast(name: str, dtype: np.dtype[Any], c: str) -> Op:
    def kernel(x: Any, out: Any = None) -> Any:
        if out is None:
            return np.asarray(x).astype(dtype)[()]
        np.copyto(out, x, casting="unsafe")
        return out

    samples: tuple[Any, ...] = (
        ((np.array([0.0, 1.6, -2.0]),), {}),
        ((np.array([True, False]),), {}),
        ((3,), {}),
    )
    return register(Op(name, kernel, broadcast, None, takes=(None,), gives=dtype, c=c, samples=samples))


to_float = _cast("to_float", FLOAT, "(double){0}")
to_int = _cast("to_int", INT, "(int64_t){0}")
to_bool = _cast("to_bool", BOOL, "{0} != 0")
CASTS = {FLOAT: to_float, INT: to_int, BOOL: to_bool}
