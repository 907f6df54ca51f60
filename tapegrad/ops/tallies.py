"""Distinct values, histograms, and orders other than sorts, written in the ops.

How many values are distinct, and which, shapes the tape: it is guarded. Into which bin a value falls is
found anew on every replay.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from tapegrad.ops.attributes import is_axis
from tapegrad.ops.elementwise import sub
from tapegrad.ops.grids import linspace
from tapegrad.ops.indexing import ARRAY, concatenate_, flip, getitem, scatter
from tapegrad.ops.logic import equal, greater_equal, less_equal, logical_and, not_equal, where
from tapegrad.ops.reductions import max, min, sum
from tapegrad.ops.registry import INT, Op, Recordable, implements, register
from tapegrad.ops.shaping import ravel, reshape_, shape_of, to_float, to_int
from tapegrad.ops.sorting import argsort, searchsorted, take_along_axis


def decided(x: Any) -> Any:
    """The value, which a guard holds."""
    return np.asarray(x.decide() if isinstance(x, Recordable) else x)


# Distinct values --------------------------------------------------------------------------------------------


@implements(np.unique)
def unique(
    ar: Any, return_index: bool = False, return_inverse: bool = False, return_counts: bool = False
) -> Any:
    """NumPy's `unique`, of all elements; their order and which are equal are guarded."""
    flat = ravel(ar)
    order = decided(argsort(flat, kind="stable"))
    in_order = getitem(flat, order, index=(ARRAY,))
    first = np.ones(order.size, dtype=bool)
    if order.size > 1:
        later, sooner = (getitem(in_order, index=(part,)) for part in ((1, None, None), (None, -1, None)))
        both_missing = np.logical_and(decided(not_equal(later, later)), decided(not_equal(sooner, sooner)))
        first[1:] = decided(not_equal(later, sooner)) & ~both_missing
    starts = np.flatnonzero(first)
    found = [getitem(flat, order[starts], index=(ARRAY,))]
    if return_index:
        found.append(order[starts])
    if return_inverse:
        inverse = np.empty(order.size, dtype=np.intp)
        inverse[order] = np.cumsum(first) - 1
        found.append(inverse.reshape(shape_of(ar)))
    if return_counts:
        found.append(np.diff(np.r_[starts, order.size]))
    return tuple(found) if len(found) > 1 else found[0]


@implements(np.unique_values)
def unique_values(x: Any, /) -> Any:
    """NumPy's `unique_values`."""
    return unique(x)


@implements(np.unique_counts)
def unique_counts(x: Any, /) -> Any:
    """NumPy's `unique_counts`."""
    return type(np.unique_counts([0.0]))(*unique(x, return_counts=True))


@implements(np.unique_inverse)
def unique_inverse(x: Any, /) -> Any:
    """NumPy's `unique_inverse`."""
    return type(np.unique_inverse([0.0]))(*unique(x, return_inverse=True))


@implements(np.unique_all)
def unique_all(x: Any, /) -> Any:
    """NumPy's `unique_all`."""
    return type(np.unique_all([0.0]))(*unique(x, True, True, True))


@implements(np.union1d)
def union1d(ar1: Any, ar2: Any) -> Any:
    """NumPy's `union1d`."""
    return unique(concatenate_([ravel(ar1), ravel(ar2)]))


@implements(np.setdiff1d)
def setdiff1d(ar1: Any, ar2: Any, assume_unique: bool = False) -> Any:
    """NumPy's `setdiff1d`: which values are left out is guarded."""
    ar1 = ravel(ar1) if assume_unique else unique(ar1)
    is_member = decided(_any_equal(ar1, ravel(ar2)))
    return getitem(ar1, np.flatnonzero(~is_member), index=(ARRAY,))


@implements(np.intersect1d)
def intersect1d(ar1: Any, ar2: Any, assume_unique: bool = False) -> Any:
    """NumPy's `intersect1d`: which values are in both is guarded."""
    ar1 = unique(ar1)
    is_member = decided(_any_equal(ar1, ravel(ar2)))
    return getitem(ar1, np.flatnonzero(is_member), index=(ARRAY,))


@implements(np.setxor1d)
def setxor1d(ar1: Any, ar2: Any, assume_unique: bool = False) -> Any:
    """NumPy's `setxor1d`: which values are in one alone is guarded."""
    return unique(concatenate_([setdiff1d(ar1, ar2), setdiff1d(ar2, ar1)]))


def _any_equal(x: Any, y: Any) -> Any:
    return not_equal(sum(to_float(equal(reshape_(x, (-1, 1)), y)), 1), 0.0)


# Bins -------------------------------------------------------------------------------------------------------


@implements(np.digitize)
def digitize(x: Any, bins: Any, right: bool = False) -> Any:
    """NumPy's `digitize`: integers, found anew on every replay; in which order bins stand is guarded."""
    n = shape_of(bins)[0]
    steps = sub(getitem(bins, index=((1, None, None),)), getitem(bins, index=((None, -1, None),)))
    if decided(greater_equal(steps, 0.0)).all():
        return searchsorted(bins, x, "left" if right else "right")
    if not decided(less_equal(steps, 0.0)).all():
        raise ValueError("bins must be monotonically increasing or decreasing")
    return to_int(n - searchsorted(flip(bins), x, "right" if right else "left"))


@implements(np.histogram_bin_edges)
def histogram_bin_edges(a: Any, bins: Any = 10, range: Any = None, weights: Any = None) -> Any:
    """NumPy's `histogram_bin_edges`, for a number of bins or given edges."""
    if isinstance(bins, str):
        raise NotImplementedError(f"bins={bins!r}: their number would change with the values; give a number")
    if shape_of(bins):
        return bins if isinstance(bins, Recordable) else np.asarray(bins)
    low, high = (min(a), max(a)) if range is None else range
    if bool(equal(low, high)):
        low, high = low - 0.5, high + 0.5
    return linspace(low, high, int(bins) + 1)


@implements(np.histogram)
def histogram(a: Any, bins: Any = 10, range: Any = None, density: Any = None, weights: Any = None) -> Any:
    """NumPy's `histogram`: sums of weights by bin; bins between extremes of the values move with them."""
    edges = histogram_bin_edges(a, bins, range)
    a, n = ravel(a), shape_of(edges)[0] - 1
    first, last = getitem(edges, index=(0,)), getitem(edges, index=(n,))
    inside = logical_and(greater_equal(a, first), less_equal(a, last))
    places = where(inside, to_float(searchsorted(edges, a, "right")) - 1.0, 0.0)
    places = to_int(where(equal(a, last), float(n - 1), places))
    one = np.ones(shape_of(a)) if weights is None else ravel(weights)
    counts = scatter(where(inside, one, 0.0), places, index=(ARRAY,), shape=(n,))
    if density:
        widths = sub(getitem(edges, index=((1, None, None),)), getitem(edges, index=((None, -1, None),)))
        return counts / widths / sum(counts), edges
    return (to_int(counts) if weights is None else counts), edges


# Orders -----------------------------------------------------------------------------------------------------


def _is_places(value: Any, shape: Any) -> bool:
    return isinstance(value, tuple) and value != () and all(type(i) is int for i in value)


def _matched(x: Any, kth: tuple[int, ...], axis: int, out: Any = None) -> Any:
    """Where each element of ``np.partition(x, ...)`` stands in `x`; equal ones in their order."""
    parted = np.partition(x, kth, axis=axis)
    order = np.argsort(x, axis=axis, kind="stable")
    ranks = np.argsort(np.argsort(parted, axis=axis, kind="stable"), axis=axis, kind="stable")
    found = np.take_along_axis(order, ranks, axis=axis)
    if out is None:
        return found
    np.copyto(out, found)
    return out


def _argpartition(x: Any, kth: tuple[int, ...], axis: int, out: Any = None) -> Any:
    found = np.argpartition(x, kth, axis=axis)
    if out is None:
        return found
    np.copyto(out, found)
    return out


def _order(name: str, kernel: Callable[..., Any]) -> Op:
    return register(
        Op(
            name,
            kernel,
            lambda shape, kth, axis: shape,
            None,
            gives=INT,
            attrs={"kth": _is_places, "axis": is_axis},
            fits=lambda shapes, values, kth, axis: all(-shapes[0][axis] <= k < shapes[0][axis] for k in kth),
            samples=(
                ((np.array([0.5, -1.0, 2.0, 0.1]),), {"kth": (1,), "axis": 0}),
                ((np.array([[0.5, -1.0, 2.0], [1.5, 0.1, -0.7]]),), {"kth": (0, 2), "axis": 1}),
            ),
        )
    )


partition_order = _order("partition_order", _matched)
argpartition_ = _order("argpartition", _argpartition)


def _partitioned(op: Op, a: Any, kth: Any, axis: int | None) -> tuple[Any, Any, int]:
    if axis is None:
        a, axis = ravel(a), 0
    axis = normalize_axis_index(axis, len(shape_of(a)))
    places = tuple(int(k) for k in np.ravel(kth))
    return a, op(a, kth=places, axis=axis), axis


@implements(np.partition)
def partition(a: Any, kth: Any, axis: int | None = -1, kind: str = "introselect") -> Any:
    """NumPy's `partition`."""
    return take_along_axis(*_partitioned(partition_order, a, kth, axis))


@implements(np.argpartition)
def argpartition(a: Any, kth: Any, axis: int | None = -1, kind: str = "introselect") -> Any:
    """NumPy's `argpartition`: integers, decided anew on every replay."""
    return _partitioned(argpartition_, a, kth, axis)[1]


@implements(np.lexsort)
def lexsort(keys: Any, axis: int = -1) -> Any:
    """NumPy's `lexsort`: integers, decided anew on every replay."""
    keys = list(keys) if isinstance(keys, (list, tuple)) else [keys[i] for i in range(shape_of(keys)[0])]
    order = argsort(keys[0], axis=axis, kind="stable")
    for key in keys[1:]:
        further = argsort(take_along_axis(key, order, axis), axis=axis, kind="stable")
        order = to_int(take_along_axis(order, further, axis))
    return order
