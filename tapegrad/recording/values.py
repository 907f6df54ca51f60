"""The values that stand on tapes: Python floats, and arrays that nobody writes to."""

from __future__ import annotations

from typing import Any

import numpy as np

from tapegrad.ops.registry import FLOAT

Array = np.ndarray[Any, Any]


def tidy_value(value: Any) -> Any:
    """A float64 scalar as a Python float; any other value as an array."""
    array = np.asarray(value)
    return float(array) if array.ndim == 0 and array.dtype == FLOAT else array


def frozen(array: Array, dtype: np.dtype[Any]) -> Array:
    """The array if nobody can write to it, and otherwise a read-only copy: later changes shall not matter."""
    is_contiguous = array.flags.c_contiguous or array.flags.f_contiguous
    if array.dtype == dtype and is_contiguous and _is_read_only(array):
        return array
    copy = np.array(array, dtype=dtype)
    copy.flags.writeable = False
    return copy


def _is_read_only(array: Any) -> bool:
    """Whether neither this array nor one whose memory it shares can be written to."""
    while isinstance(array, np.ndarray):
        if array.flags.writeable:
            return False
        array = array.base
    return array is None


def is_still(copy: Array, array: Array, dtype: np.dtype[Any]) -> bool:
    """Whether an array has not changed since this copy of it was made."""
    return copy.dtype == dtype and np.array_equal(copy, array, equal_nan=dtype == FLOAT)


def outcome_of(value: Any) -> Any:
    """A guard's outcome: a Python scalar or a read-only array."""
    if np.ndim(value) == 0:
        return np.asarray(value).item()
    array = np.array(value)
    array.flags.writeable = False
    return array
