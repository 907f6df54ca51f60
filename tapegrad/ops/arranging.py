"""Splits, insertions and diagonals, written in the ops."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from tapegrad.ops.broadcasting import broadcast_to, sum_
from tapegrad.ops.elementwise import positive
from tapegrad.ops.indexing import ARRAY, concatenate, concatenate_, flip, getitem, scatter, take
from tapegrad.ops.logic import less
from tapegrad.ops.reductions import max_, min_
from tapegrad.ops.registry import Recordable, implements
from tapegrad.ops.shaping import atleast_3d, ravel, reshape_, shape_of, swapaxes, to_int, transpose_

# Joins ------------------------------------------------------------------------------------------------------


@implements(np.dstack)
def dstack(tup: Sequence[Any]) -> Any:
    """NumPy's `dstack`."""
    return concatenate_([atleast_3d(a) for a in tup], 2)


@implements(np.block)
def block(arrays: Any) -> Any:
    """NumPy's `block`: nested lists of arrays, the innermost joined along the last axis."""
    depth = _depth(arrays)
    if depth == 0:
        return positive(arrays)
    return _blocks(arrays, depth, max(depth, _deepest(arrays)))


def _depth(arrays: Any) -> int:
    return 1 + max(map(_depth, arrays), default=0) if isinstance(arrays, list) else 0


def _deepest(arrays: Any) -> int:
    return max(map(_deepest, arrays)) if isinstance(arrays, list) else len(shape_of(arrays))


def _blocks(arrays: Any, depth: int, ndim: int) -> Any:
    if not isinstance(arrays, list):
        return reshape_(arrays, (1,) * (ndim - len(shape_of(arrays))) + shape_of(arrays))
    return concatenate_([_blocks(array, depth - 1, ndim) for array in arrays], -depth)


# Splits -----------------------------------------------------------------------------------------------------


@implements(np.array_split)
def array_split(ary: Any, indices_or_sections: Any, axis: int = 0) -> Any:
    """NumPy's `array_split`."""
    axis = normalize_axis_index(axis, len(shape_of(ary)))
    bounds = np.array_split(np.arange(shape_of(ary)[axis]), indices_or_sections)
    before = ((None, None, None),) * axis
    starts = np.cumsum([0, *(part.size for part in bounds)])
    if not isinstance(indices_or_sections, (int, np.integer)):
        starts = np.array([part[0] if part.size else 0 for part in bounds])
    return [
        getitem(ary, index=(*before, (int(start), int(start) + part.size, None)))
        for start, part in zip(starts, bounds, strict=False)
    ]


@implements(np.split)
def split(ary: Any, indices_or_sections: Any, axis: int = 0) -> Any:
    """NumPy's `split`."""
    np.split(np.broadcast_to(0.0, shape_of(ary)), indices_or_sections, axis)  # NumPy's own errors
    return array_split(ary, indices_or_sections, axis)


@implements(np.hsplit)
def hsplit(ary: Any, indices_or_sections: Any) -> Any:
    """NumPy's `hsplit`."""
    return split(ary, indices_or_sections, 1 if len(shape_of(ary)) > 1 else 0)


@implements(np.vsplit)
def vsplit(ary: Any, indices_or_sections: Any) -> Any:
    """NumPy's `vsplit`."""
    return split(ary, indices_or_sections, 0)


@implements(np.dsplit)
def dsplit(ary: Any, indices_or_sections: Any) -> Any:
    """NumPy's `dsplit`."""
    return split(ary, indices_or_sections, 2)


# Insertions and removals ------------------------------------------------------------------------------------


@implements(np.delete)
def delete(arr: Any, obj: Any, axis: int | None = None) -> Any:
    """NumPy's `delete`, at plain indices."""
    if axis is None:
        arr, axis = ravel(arr), 0
    axis = normalize_axis_index(axis, len(shape_of(arr)))
    return take(arr, np.delete(np.arange(shape_of(arr)[axis]), obj), axis)


def pad(array: Any, pad_width: Any, constant: Any = 0.0) -> Any:
    """NumPy's `pad` with one constant."""
    ndim = len(shape_of(array))
    widths = np.broadcast_to(np.asarray(pad_width), (ndim, 2))
    for axis, (before, after) in enumerate(widths.tolist()):
        shape = shape_of(array)
        fill = [broadcast_to(constant, shape=(*shape[:axis], n, *shape[axis + 1 :])) for n in (before, after)]
        array = concatenate(fill[0], array, fill[1], axis=axis)
    return array


@implements(np.extract)
def extract(condition: Any, arr: Any) -> Any:
    """NumPy's `extract`: a traced condition is guarded."""
    return take(arr, np.flatnonzero(_decided(condition)))


@implements(np.compress)
def compress(condition: Any, a: Any, axis: int | None = None) -> Any:
    """NumPy's `compress`: a traced condition is guarded."""
    return take(a, np.flatnonzero(_decided(condition)), axis)


def _decided(x: Any) -> Any:
    return x.decide() if isinstance(x, Recordable) else np.asarray(x)


# Diagonals --------------------------------------------------------------------------------------------------


@implements(np.diagonal)
def diagonal(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """NumPy's `diagonal`."""
    ndim = len(shape_of(a))
    first, second = normalize_axis_index(axis1, ndim), normalize_axis_index(axis2, ndim)
    a = transpose_(a, [*(i for i in range(ndim) if i not in (first, second)), first, second])
    rows, columns = shape_of(a)[-2:]
    length = max(min(rows + min(offset, 0), columns - max(offset, 0)), 0)
    along = np.arange(length)
    return getitem(a, along + max(-offset, 0), along + max(offset, 0), index=(..., ARRAY, ARRAY))


@implements(np.linalg.diagonal)
def linalg_diagonal(x: Any, /, *, offset: int = 0) -> Any:
    """NumPy's `linalg.diagonal`, of the last two axes."""
    return diagonal(x, offset, -2, -1)


@implements(np.trace)
def trace(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """NumPy's `trace`."""
    found = diagonal(a, offset, axis1, axis2)
    return sum_(found, axis=(len(shape_of(found)) - 1,), keepdims=False)


@implements(np.linalg.trace)
def linalg_trace(x: Any, /, *, offset: int = 0) -> Any:
    """NumPy's `linalg.trace`, of the last two axes."""
    return trace(x, offset, -2, -1)


# Mirrors ----------------------------------------------------------------------------------------------------


@implements(np.fliplr)
def fliplr(m: Any) -> Any:
    """NumPy's `fliplr`."""
    return flip(m, 1)


@implements(np.flipud)
def flipud(m: Any) -> Any:
    """NumPy's `flipud`."""
    return flip(m, 0)


@implements(np.rot90)
def rot90(m: Any, k: int = 1, axes: Any = (0, 1)) -> Any:
    """NumPy's `rot90`."""
    first, second = axes
    k %= 4
    if k == 2:
        return flip(flip(m, first), second)
    if k == 1:
        return swapaxes(flip(m, second), first, second)
    return flip(swapaxes(m, first, second), second) if k else flip(m, ())


# Sums by index ----------------------------------------------------------------------------------------------


@implements(np.bincount)
def bincount(x: Any, /, weights: Any = None, minlength: int = 0) -> Any:
    """NumPy's `bincount`: the sums of weights by index; the largest of traced indices is guarded."""
    if not isinstance(x, Recordable) or shape_of(x) == (0,):
        x = np.asarray(x)
        if weights is None:
            return np.bincount(x, minlength=minlength)
        return scatter(weights, x, index=(ARRAY,), shape=(max(int(x.max(initial=-1)) + 1, minlength),))
    np.bincount(np.zeros_like(x.plain()))  # NumPy's error for what are no whole numbers
    low, high = min_(x, axis=(0,), keepdims=False), max_(x, axis=(0,), keepdims=False)
    if bool(less(low, 0)):
        raise ValueError("'list' argument must have no negative elements")  # NumPy's words
    ones = np.ones(shape_of(x)) if weights is None else weights
    counts = scatter(ones, x, index=(ARRAY,), shape=(max(int(high) + 1, minlength),))
    return to_int(counts) if weights is None else counts
