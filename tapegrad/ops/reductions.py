"""Sums, products, extremes and cumulative sums along axes.

Every reduction is recorded with its axes as a sorted tuple of non-negative ints.
"""

from __future__ import annotations

import builtins
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from tapegrad.ops.attributes import Kind, is_axis
from tapegrad.ops.broadcasting import (
    REDUCTION_ATTRS,
    REDUCTION_SAMPLES,
    Axis,
    axes_of,
    broadcast_to,
    expand,
    gated_mul,
    reduced,
    reduction_links,
    reduction_rows,
    sum_,
)
from tapegrad.ops.elementwise import absolute, exp, log, positive, sign, sqrt, square
from tapegrad.ops.indexing import concatenate, flip, getitem
from tapegrad.ops.logic import equal, greater, isfinite, minimum, not_equal, where
from tapegrad.ops.raw import special
from tapegrad.ops.registry import BOOL, INT, Linear, Op, Products, Shape, implements, register
from tapegrad.ops.shaping import ravel, reshape, shape_of, to_float

_ALONG: dict[str, Kind] = {"axis": is_axis}

# Sums and means ---------------------------------------------------------------------------------------------


def sum(a: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """NumPy's `sum`."""
    return sum_(a, axis=axes_of(a, axis), keepdims=keepdims)


def mean(a: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """NumPy's `mean`."""
    shape = shape_of(a)
    count = int(np.prod([shape[i] for i in axes_of(a, axis)], dtype=int))
    return sum(a, axis, keepdims) / float(count)


def var(a: Any, axis: Axis = None, *, ddof: float = 0, keepdims: bool = False) -> Any:
    """NumPy's `var`: the mean squared distance from the mean, divided by ``N - ddof``."""
    squares = square(a - mean(a, axis, keepdims=True))
    shape = shape_of(a)
    count = int(np.prod([shape[i] for i in axes_of(a, axis)], dtype=int))
    return sum(squares, axis, keepdims) / float(builtins.max(count - ddof, 0))


def std(a: Any, axis: Axis = None, *, ddof: float = 0, keepdims: bool = False) -> Any:
    """NumPy's `std`."""
    return sqrt(var(a, axis, ddof=ddof, keepdims=keepdims))


@implements(np.average)
def average(a: Any, axis: Axis = None, weights: Any = None, *, keepdims: bool = False) -> Any:
    """NumPy's `average`, with weights of the shape of `a`."""
    if weights is None:
        return mean(a, axis, keepdims)
    shape, axes = shape_of(a), axes_of(a, axis)
    if shape_of(weights) != shape:
        if axis is None or shape_of(weights) != tuple(shape[i] for i in axes):
            raise TypeError(f"weights of shape {shape_of(weights)} do not fit {shape} along {axis}")
        weights = reshape(weights, shape=tuple(n if i in axes else 1 for i, n in enumerate(shape)))
        weights = broadcast_to(weights, shape=shape)
    total = sum(weights, axis, keepdims)
    # NumPy raises an error then; a replay gives NaN, as it does of a singular matrix.
    return sum(a * weights, axis, keepdims) / where(equal(total, 0.0), np.nan, total)


def _cumsum(x: Any, axis: int, out: Any = None) -> Any:
    return np.add.accumulate(x, axis=axis, out=out)


def _cumsum_transpose(i: int, ct: Any, x: Any, axis: int) -> Any:
    return flip(cumsum_(flip(ct, axis), axis=axis), axis)


cumsum_ = register(
    Op(
        "cumsum",
        _cumsum,
        lambda shape, axis: shape,
        Linear(_cumsum_transpose),
        attrs=_ALONG,
        samples=(
            ((np.array([0.5, -1.0, 2.0]),), {"axis": 0}),
            ((np.linspace(-1.0, 1.3, 12).reshape(2, 3, 2),), {"axis": 1}),
        ),
    )
)


@implements(np.cumsum, np.add.accumulate)
def cumsum(a: Any, axis: int | None = None) -> Any:
    """NumPy's `cumsum`."""
    return _flat_or_along(cumsum_, a, axis)


def _flat_or_along(op: Op, a: Any, axis: int | None) -> Any:
    if axis is None or (not shape_of(a) and axis in (0, -1)):  # NumPy takes a number for one element
        return op(ravel(a), axis=0)
    return op(a, axis=normalize_axis_index(axis, len(shape_of(a))))


# Products ---------------------------------------------------------------------------------------------------


def _along(x: Any, axis: int, start: int | None, stop: int | None) -> Any:
    return getitem(x, index=((None, None, None),) * axis + ((start, stop, None),))


def _products_before(x: Any, axis: int) -> Any:
    """The product of all elements before each one, in log2(n) doubling steps and without a division."""
    shape = shape_of(x)
    one = np.ones((*shape[:axis], 1, *shape[axis + 1 :]))
    before = concatenate(one, _along(x, axis, None, -1), axis=axis)
    reach = 1
    while reach < shape[axis]:
        head, tail = _along(before, axis, None, reach), _along(before, axis, reach, None)
        before = concatenate(head, tail * _along(before, axis, None, -reach), axis=axis)
        reach *= 2
    return before


def _others(x: Any, axis: int) -> Any:
    """The product of all elements but each one: right where some are zero, at every order."""
    if shape_of(x)[axis] == 0:
        return x
    return _products_before(x, axis) * flip(_products_before(flip(x, axis), axis), axis)


prod_ = register(
    Op(
        "prod",
        np.multiply.reduce,
        lambda shape, axis: reduced(shape, (axis,), False),
        Products(
            jvp=lambda i, t, out, x, axis: sum(t * _others(x, axis), axis),
            vjp=lambda i, ct, out, x, axis: expand(ct, x, (axis,)) * _others(x, axis),
            gated=lambda i, ct, out, x, axis: gated_mul(expand(ct, x, (axis,)), _others(x, axis)),
        ),
        attrs=_ALONG,
        samples=(
            ((np.array([0.5, -1.0, 2.0, 1.1, 0.7]),), {"axis": 0}),
            ((np.array([0.5, 0.0, 2.0]),), {"axis": 0}),
            ((np.array([0.0, 3.0, 0.0]),), {"axis": 0}),
            ((np.linspace(-1.0, 1.3, 12).reshape(2, 3, 2),), {"axis": 1}),
            ((np.array([[1.5]]),), {"axis": 1}),
        ),
    )
)


def prod(a: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """NumPy's `prod`."""
    axes = axes_of(a, axis)
    out = a
    for i in reversed(axes):
        out = prod_(out, axis=i)
    return expand(out, a, axes) if keepdims else out if axes else positive(a)


def _recurrence(a: Any, b: Any, axis: int) -> Any:
    """The solution of ``y[j] = a[j] * y[j - 1] + b[j]`` along an axis, in log2(n) doubling steps."""
    reach = 1
    while reach < shape_of(a)[axis]:
        carried = b + a * _behind(b, axis, reach, np.zeros)
        a, b = a * _behind(a, axis, reach, np.ones), carried
        reach *= 2
    return b


def _behind(x: Any, axis: int, steps: int, fill: Any) -> Any:
    """`x` moved on by some steps along an axis."""
    shape = shape_of(x)
    steps = builtins.min(steps, shape[axis])
    first = fill((*shape[:axis], steps, *shape[axis + 1 :]))
    return concatenate(first, _along(x, axis, None, shape[axis] - steps), axis=axis)


def _cumprod_jvp(i: int, t: Any, out: Any, x: Any, axis: int) -> Any:
    return _recurrence(x, t * _behind(out, axis, 1, np.ones), axis)


def _cumprod_vjp(i: int, ct: Any, out: Any, x: Any, axis: int) -> Any:
    # The derivative with respect to x[i] is all before it times r[i] = ct[i] + x[i + 1] * r[i + 1].
    following = _behind(flip(x, axis), axis, 1, np.ones)
    return _behind(out, axis, 1, np.ones) * flip(_recurrence(following, flip(ct, axis), axis), axis)


def _gated_cumprod_vjp(i: int, ct: Any, out: Any, x: Any, axis: int) -> Any:
    # An element counts for all products from its own on.
    counts = greater(cumsum_(flip(to_float(not_equal(ct, 0.0)), axis), axis=axis), 0.0)
    return where(flip(counts, axis), _cumprod_vjp(i, ct, out, x, axis), 0.0)


def _cumprod(x: Any, axis: int, out: Any = None) -> Any:
    return np.multiply.accumulate(x, axis=axis, out=out)


cumprod_ = register(
    Op(
        "cumprod",
        _cumprod,
        lambda shape, axis: shape,
        Products(_cumprod_jvp, _cumprod_vjp, _gated_cumprod_vjp),
        attrs=_ALONG,
        samples=(
            ((np.array([0.5, -1.0, 2.0, 1.1, 0.7]),), {"axis": 0}),
            ((np.array([0.5, 0.0, 2.0, 0.0, 3.0]),), {"axis": 0}),
            ((np.linspace(-1.0, 1.3, 12).reshape(2, 3, 2),), {"axis": 1}),
        ),
    )
)


@implements(np.cumprod, np.multiply.accumulate)
def cumprod(a: Any, axis: int | None = None) -> Any:
    """NumPy's `cumprod`."""
    return _flat_or_along(cumprod_, a, axis)


# Extremes ---------------------------------------------------------------------------------------------------


def _shares(out: Any, x: Any, axis: tuple[int, ...]) -> tuple[Any, Any]:
    """Which elements attain the extreme, and how many: ties share the derivative equally."""
    chosen = equal(x, expand(out, x, axis))
    return chosen, sum(to_float(chosen), axis, keepdims=True)


def _extreme_jvp(i: int, t: Any, out: Any, x: Any, axis: tuple[int, ...], keepdims: bool) -> Any:
    chosen, count = _shares(out, x, axis)
    return sum(where(chosen, t / count, 0.0), axis, keepdims)


def _extreme_vjp(i: int, ct: Any, out: Any, x: Any, axis: tuple[int, ...], keepdims: bool) -> Any:
    chosen, count = _shares(out, x, axis)
    return where(chosen, expand(ct, x, axis) / count, 0.0)


def _has_extreme(shapes: Any, values: Any, axis: int | tuple[int, ...], keepdims: bool = False) -> bool:
    """Whether there is no extreme of nothing to give, at which NumPy raises."""
    axes = axis if isinstance(axis, tuple) else (axis,)
    return 0 not in [shapes[0][i] for i in axes] or 0 in reduced(shapes[0], axes, False)


_EXTREME = Products(_extreme_jvp, _extreme_vjp)
max_ = register(
    Op(
        "max",
        np.maximum.reduce,
        reduced,
        _EXTREME,
        masks=True,
        links=reduction_links,
        rows=reduction_rows,
        attrs=REDUCTION_ATTRS,
        fits=_has_extreme,
        samples=REDUCTION_SAMPLES,
    )
)
min_ = register(
    Op(
        "min",
        np.minimum.reduce,
        reduced,
        _EXTREME,
        masks=True,
        links=reduction_links,
        rows=reduction_rows,
        attrs=REDUCTION_ATTRS,
        fits=_has_extreme,
        samples=REDUCTION_SAMPLES,
    )
)


def max(a: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """NumPy's `max`; ties share the derivative equally."""
    return max_(a, axis=axes_of(a, axis), keepdims=keepdims)


def min(a: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """NumPy's `min`; ties share the derivative equally."""
    return min_(a, axis=axes_of(a, axis), keepdims=keepdims)


@implements(np.ptp)
def ptp(a: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """NumPy's `ptp`: the range from the smallest to the largest."""
    return max(a, axis, keepdims) - min(a, axis, keepdims)


_ARG_SAMPLES = (
    ((np.array([0.5, -1.0, 2.0]),), {"axis": 0}),
    ((np.linspace(-1.0, 1.3, 6).reshape(2, 3),), {"axis": 1}),
)


def _without(shape: Shape, axis: int) -> Shape:
    return reduced(shape, (axis,), False)


argmax_ = register(
    Op("argmax", np.argmax, _without, None, gives=INT, attrs=_ALONG, fits=_has_extreme, samples=_ARG_SAMPLES)
)
argmin_ = register(
    Op("argmin", np.argmin, _without, None, gives=INT, attrs=_ALONG, fits=_has_extreme, samples=_ARG_SAMPLES)
)


@implements(np.argmax)
def argmax(a: Any, axis: int | None = None, *, keepdims: bool = False) -> Any:
    """NumPy's `argmax`: an integer, guarded where it is used as an index."""
    found = _flat_or_along(argmax_, a, axis)
    return expand(found, a, axes_of(a, axis)) if keepdims else found


@implements(np.argmin)
def argmin(a: Any, axis: int | None = None, *, keepdims: bool = False) -> Any:
    """NumPy's `argmin`: an integer, guarded where it is used as an index."""
    found = _flat_or_along(argmin_, a, axis)
    return expand(found, a, axes_of(a, axis)) if keepdims else found


_TRUTH = (
    ((np.array([True, False]),), {"axis": (0,), "keepdims": False}),
    ((np.array([[True, False], [True, True]]),), {"axis": (1,), "keepdims": True}),
)
all_ = register(
    Op(
        "all",
        np.logical_and.reduce,
        reduced,
        None,
        takes=(BOOL,),
        gives=BOOL,
        attrs=REDUCTION_ATTRS,
        rows=reduction_rows,
        samples=_TRUTH,
    )
)
any_ = register(
    Op(
        "any",
        np.logical_or.reduce,
        reduced,
        None,
        takes=(BOOL,),
        gives=BOOL,
        attrs=REDUCTION_ATTRS,
        rows=reduction_rows,
        samples=_TRUTH,
    )
)


def all(a: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """NumPy's `all`."""
    return all_(a, axis=axes_of(a, axis), keepdims=keepdims)


def any(a: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """NumPy's `any`."""
    return any_(a, axis=axes_of(a, axis), keepdims=keepdims)


# Log-sum-exp ------------------------------------------------------------------------------------------------


def _logsumexp(x: Any, axis: tuple[int, ...], keepdims: bool, out: Any = None) -> Any:
    top = np.maximum.reduce(x, axis=axis, keepdims=True, initial=-np.inf)
    top = np.where(np.isfinite(top), top, 0.0)
    total = np.log(np.add.reduce(np.exp(x - top), axis=axis, keepdims=True)) + top
    total = total.reshape(reduced(np.shape(x), axis, keepdims))
    if out is None:
        return total
    np.copyto(out, total)
    return out


def _weights(out: Any, x: Any, axis: tuple[int, ...]) -> Any:
    # Where every entry is -inf so is the result; their shares are 0, not exp(-inf + inf).
    total = expand(out, x, axis)
    return exp(x - where(equal(total, -np.inf), 0.0, total))


logsumexp_ = register(
    Op(
        "logsumexp",
        _logsumexp,
        reduced,
        Products(
            jvp=lambda i, t, out, x, axis, keepdims: sum(t * _weights(out, x, axis), axis, keepdims),
            vjp=lambda i, ct, out, x, axis, keepdims: expand(ct, x, axis) * _weights(out, x, axis),
            gated=lambda i, ct, out, x, axis, keepdims: gated_mul(
                expand(ct, x, axis), _weights(out, x, axis)
            ),
        ),
        links=reduction_links,
        rows=reduction_rows,
        attrs=REDUCTION_ATTRS,
        samples=REDUCTION_SAMPLES,
    )
)


@implements(special.logsumexp)
def logsumexp(
    a: Any, axis: Axis = None, b: Any = None, keepdims: bool = False, return_sign: bool = False
) -> Any:
    """``log(sum(b * exp(a)))`` without overflow."""
    if b is None:
        axes = axes_of(a, axis)
        found = logsumexp_(a, axis=axes, keepdims=keepdims)
        return (found, np.ones(shape_of(found))[()]) if return_sign else found
    axes = axes_of(a + b, axis)
    nil = equal(b, 0.0)
    top = max(where(nil, -np.inf, a), axis, keepdims=True)
    top = where(isfinite(top), top, 0.0)
    # A factor of zero hides its exponential, which may overflow, but not the derivative with respect to it.
    total = sum(b * exp(where(nil, minimum(a - top, 600.0), a - top)), axis, keepdims=True)
    found = log(absolute(total) if return_sign else total) + top
    shape = reduced(shape_of(found), () if keepdims else axes, False)
    found = found if keepdims else reshape(found, shape=shape)
    return (found, reshape(sign(total), shape=shape)) if return_sign else found
