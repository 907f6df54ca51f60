"""Order: sorting, ranks, quantiles, and interpolation between sorted points."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from tapegrad.ops.attributes import is_axis, one_of
from tapegrad.ops.broadcasting import Axis, axes_of, reduced
from tapegrad.ops.elementwise import remainder
from tapegrad.ops.indexing import ARRAY, getitem
from tapegrad.ops.logic import (
    clip,
    equal,
    greater,
    greater_equal,
    isfinite,
    isinf,
    isnan,
    less,
    logical_and,
    logical_or,
    where,
)
from tapegrad.ops.reductions import any as any_along
from tapegrad.ops.reductions import mean
from tapegrad.ops.registry import INT, Op, implements, register
from tapegrad.ops.shaping import moveaxis, ravel, reshape_, shape_of, to_int


def _argsort(x: Any, axis: int, kind: Any, out: Any = None) -> Any:
    order = np.argsort(x, axis=axis, kind=kind)
    if out is None:
        return order
    np.copyto(out, order)
    return out


argsort_ = register(
    Op(
        "argsort",
        _argsort,
        lambda shape, axis, kind: shape,
        None,
        gives=INT,
        attrs={"axis": is_axis, "kind": one_of(None, "quicksort", "mergesort", "heapsort", "stable")},
        samples=(
            ((np.array([0.5, -1.0, 2.0]),), {"axis": 0, "kind": None}),
            ((np.array([[0.5, -1.0, 2.0], [1.5, 1.5, -0.7]]),), {"axis": 1, "kind": "stable"}),
        ),
    )
)


@implements(np.argsort)
def argsort(a: Any, axis: int | None = -1, kind: str | None = None, *, stable: bool | None = None) -> Any:
    """NumPy's `argsort`: integers, decided anew on every replay."""
    kind = "stable" if stable else kind
    if axis is None:
        a, axis = ravel(a), 0
    return argsort_(a, axis=normalize_axis_index(axis, len(shape_of(a))), kind=kind)


def _take_along(a: Any, order: Any, axis: int) -> Any:
    """The elements of `a` in an order of the same shape, along one axis."""
    shape = shape_of(a)
    arrays = []
    for i, n in enumerate(shape):
        along = np.arange(n).reshape(tuple(-1 if j == i else 1 for j in range(len(shape))))
        arrays.append(order if i == axis else np.broadcast_to(along, shape_of(order)).copy())
    return getitem(a, *arrays, index=(ARRAY,) * len(shape))


@implements(np.sort)
def sort(a: Any, axis: int | None = -1, kind: str | None = None, *, stable: bool | None = None) -> Any:
    """NumPy's `sort`; of equal elements, the derivatives keep the order that these stand in."""
    if axis is None:
        a, axis = ravel(a), 0
    axis = normalize_axis_index(axis, len(shape_of(a)))
    return _take_along(a, argsort_(a, axis=axis, kind="stable"), axis)


@implements(np.quantile)
def quantile(a: Any, q: Any, axis: Axis = None, keepdims: bool = False, *, method: Any = "linear") -> Any:
    """NumPy's `quantile`, at plain `q`."""
    q = np.asarray(q, dtype=np.float64)
    in_order, missing = _in_order(a, axis)
    last = shape_of(in_order)[0] - 1
    # Every method takes a place between two neighbours, which the quantile of 0, 1, 2, ... is.
    position = q * last if method == "linear" else np.quantile(np.arange(last + 1.0), q, method=method)
    below = np.floor(position).astype(np.int64)
    low, high = _at(in_order, below), _at(in_order, np.minimum(below + 1, last))
    share = (position - below).reshape(q.shape + (1,) * (len(shape_of(in_order)) - 1))
    found = where(share < 0.5, low + (high - low) * share, high - (high - low) * (1.0 - share))
    found = where(missing, np.nan, found)
    return reshape_(found, q.shape + reduced(shape_of(a), axes_of(a, axis), True)) if keepdims else found


def rows_along(a: Any, axis: Axis) -> Any:
    """The elements along some axes as one last axis."""
    axes, ndim = axes_of(a, axis), len(shape_of(a))
    rest = reduced(shape_of(a), axes, False)
    count = math.prod(shape_of(a)[i] for i in axes)
    return reshape_(moveaxis(a, axes, range(len(rest), ndim)), (*rest, count))


def _in_order(a: Any, axis: Axis) -> tuple[Any, Any]:
    """The elements in ascending order along a new first axis, and whether one of them is NaN."""
    rows = rows_along(a, axis)
    return moveaxis(sort(rows), -1, 0), any_along(isnan(rows), -1)


def _at(a: Any, indices: Any) -> Any:
    return getitem(a, indices, index=(ARRAY,))


@implements(np.percentile)
def percentile(a: Any, q: Any, axis: Axis = None, keepdims: bool = False, *, method: Any = "linear") -> Any:
    """NumPy's `percentile`, at plain `q`."""
    return quantile(a, np.true_divide(q, 100.0), axis, keepdims, method=method)


@implements(np.median)
def median(a: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """NumPy's `median`."""
    in_order, missing = _in_order(a, axis)
    n = shape_of(in_order)[0]
    if n == 0:
        return mean(a, axis, keepdims)  # NaN
    low, high = (getitem(in_order, index=(i,)) for i in ((n - 1) // 2, n // 2))
    found = where(missing, np.nan, low if n % 2 else (low + high) / 2.0)
    return reshape_(found, reduced(shape_of(a), axes_of(a, axis), True)) if keepdims else found


def _searchsorted(a: Any, v: Any, side: Any, out: Any = None) -> Any:
    found = np.searchsorted(a, v, side)
    if out is None:
        return found
    np.copyto(out, found)
    return out


searchsorted_ = register(
    Op(
        "searchsorted",
        _searchsorted,
        lambda a, v, side: v,
        None,
        gives=INT,
        attrs={"side": one_of("left", "right")},
        fits=lambda shapes, values, side: len(shapes[0]) == 1,
        samples=(
            ((np.array([-1.0, 0.5, 2.0]), np.array([[0.4, 0.5], [-3.0, 7.0]])), {"side": "left"}),
            ((np.array([-1.0, 0.5, 2.0]), 0.5), {"side": "right"}),
        ),
    )
)


@implements(np.searchsorted)
def searchsorted(a: Any, v: Any, side: str = "left", sorter: Any = None) -> Any:
    """NumPy's `searchsorted`: integers, decided anew on every replay."""
    if sorter is not None:
        a = _at(a, sorter)
    return searchsorted_(a, v, side=side)


@implements(np.interp)
def interp(x: Any, xp: Any, fp: Any, left: Any = None, right: Any = None, period: Any = None) -> Any:
    """NumPy's `interp`: straight lines between points, level outside."""
    if period is not None:
        return _periodic(x, xp, fp, abs(period))
    (n,) = shape_of(xp)
    low = to_int(clip(searchsorted_(xp, x, side="right") - 1, 0, max(n - 2, 0)))
    high = to_int(clip(low + 1, 0, n - 1))
    x0, x1, y0, y1 = (_at(xp, low), _at(xp, high), _at(fp, low), _at(fp, high))
    width = x1 - x0
    slope = (y1 - y0) / where(equal(width, 0.0), 1.0, width)
    # At a point itself, and on a level stretch at infinity, the slope must not turn its value into NaN; a
    # finite one is the derivative there, too.
    is_held = logical_or(equal(x, x0), logical_and(isinf(y0), equal(y0, y1)))
    line = y0 + (x - x0) * where(isfinite(slope), slope, where(is_held, 0.0, slope))
    first, last = getitem(xp, index=(0,)), getitem(xp, index=(-1,))
    line = where(greater_equal(x, last), getitem(fp, index=(-1,)), line)
    line = where(less(x, first), getitem(fp, index=(0,)) if left is None else left, line)
    return line if right is None else where(greater(x, last), right, line)


def _periodic(x: Any, xp: Any, fp: Any, period: Any) -> Any:
    x, xp = remainder(x, period), remainder(xp, period)
    order = argsort(xp)
    xp, fp = _at(xp, order), _at(fp, order)
    (n,) = shape_of(xp)
    around = np.arange(-1, n + 1) % n
    turns = np.r_[-1.0, np.zeros(n), 1.0] * period
    return interp(x, _at(xp, around) + turns, _at(fp, around))


@implements(np.take_along_axis)
def take_along_axis(arr: Any, indices: Any, axis: int | None = -1) -> Any:
    """NumPy's `take_along_axis`, with indices of the shape of `arr` but along the axis."""
    if axis is None:
        arr, axis = ravel(arr), 0
    return _take_along(arr, indices, normalize_axis_index(axis, len(shape_of(arr))))
