"""The user's index as a tape holds it."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from tapegrad.errors import TraceError
from tapegrad.ops.indexing import ARRAY, Index, decode
from tapegrad.ops.registry import BOOL, INT, Recordable, Shape
from tapegrad.recording.frames import whereabouts


def encode(index: Any, shape: Shape) -> tuple[Index, list[Any]]:
    """The index as a hashable tuple, and the integer arrays it holds, some of them traced.

    If it does not fit, the error is NumPy's own.
    """
    items = index if isinstance(index, tuple) else (index,)
    spec: list[Any] = []
    arrays: list[Any] = []
    for item in items:
        found = _encode_item(item)
        if isinstance(found, list):
            spec += [ARRAY] * len(found)
            arrays += found
        else:
            spec.append(found)
    if not arrays and _are_places(spec, shape):
        return tuple(spec), arrays
    plain = [array.plain() if isinstance(array, Recordable) else array for array in arrays]
    np.broadcast_to(np.int8(0), shape)[decode(tuple(spec), plain)]
    return tuple(spec), arrays


def _are_places(spec: list[Any], shape: Shape) -> bool:
    """Whether an index is of ints alone that exist: loops ask for single elements all the time."""
    return len(spec) <= len(shape) and all(
        type(item) is int and -n <= item < n for item, n in zip(spec, shape, strict=False)
    )


def _encode_item(item: Any) -> Any:
    """One item: None, an ellipsis, an int, a slice as a tuple, or a list of integer arrays."""
    if type(item) is int:
        return item
    if item is None or item is Ellipsis:
        return item
    if isinstance(item, slice):
        return tuple(
            None if part is None else operator.index(part) for part in (item.start, item.stop, item.step)
        )
    if isinstance(item, Recordable):
        return _encode_traced(item)
    if isinstance(item, (int, np.integer)) and not isinstance(item, bool):
        return int(item)
    array = np.asarray(item)
    if array.dtype == object:
        array = np.array([operator.index(i) for i in array.flat], dtype=INT).reshape(array.shape)
    if array.dtype == BOOL:
        return list(np.nonzero(array))
    if array.dtype.kind in "iu" or array.size == 0:
        return [array.astype(INT)]
    raise TraceError(f"an index of dtype {array.dtype} is not valid: write integers, slices or booleans")


def _encode_traced(item: Any) -> Any:
    if item.dtype == BOOL:  # how many elements are taken shapes the tape, so the value is guarded
        return list(np.nonzero(item.decide()))
    if item.ndim == 0 and not (item.dtype == INT and getattr(item, "is_of_step", False)):
        return operator.index(item)
    if item.dtype != INT:
        raise TraceError(f"a traced float array is no index{whereabouts()}: write .astype(int)")
    return [item]


def has_repeats(spec: Index, arrays: list[Any], shape: Shape) -> bool:
    """Whether an index names one element twice."""
    if not arrays:
        return False
    size = int(np.prod(shape, dtype=int))
    taken = np.arange(size).reshape(shape)[decode(spec, arrays)]
    return bool(np.unique(taken).size < taken.size)
