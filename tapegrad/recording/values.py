"""The values that stand on tapes: Python floats, and arrays that nobody writes to."""

from __future__ import annotations

from typing import Any

import numpy as np

from tapegrad.ops.registry import BOOL, FLOAT, INT

Array = np.ndarray[Any, Any]

_OF_KIND = {"f": FLOAT, "b": BOOL, "i": INT, "u": INT}
_LARGEST = np.iinfo(INT).max
# What to write for columns of other kinds than numbers.
_TEXTS = "{0}.astype(float) where they are numbers; of texts, {0}.astype('category').cat.as_known().cat.codes"
_ADVICE = {
    "c": "write the real and the imaginary part as data of their own",
    "M": "make numbers of them, as in ({0} - start) / np.timedelta64(1, 'D')",
    "m": "make numbers of them, as in {0} / np.timedelta64(1, 'D')",
    **dict.fromkeys("OUST", f"write {_TEXTS}"),
}


def check_numbers(name: str, dtype: Any) -> None:
    """Raise TypeError if data of a dtype, of NumPy or pandas, are no real numbers; it says what to write."""
    kind = getattr(dtype, "kind", "O")
    if kind not in _OF_KIND:
        advice = _ADVICE.get(kind, "make numbers of them").format(name.partition("[")[0])
        raise TypeError(f"data {name} must be real numbers, not {dtype}: {advice}")


def numbers(name: str, given: Any) -> Array:
    """Data as an array of float64, int64 or bool; it is copied only where it is of another dtype.

    Raises
    ------
    TypeError
        If they are no real numbers, or masked.
    ValueError
        If they are whole numbers beyond those of 64 bits.
    """
    if isinstance(given, np.ma.MaskedArray):
        raise TypeError(
            f"data {name} are masked, and what is under the mask would be taken: write .filled(np.nan)"
        )
    array = np.asarray(given)
    check_numbers(name, array.dtype)
    if array.dtype.kind == "u" and array.dtype.itemsize == 8 and array.size and array.max() > _LARGEST:
        raise ValueError(
            f"data {name} hold whole numbers beyond 2**63, which int64 has not: write .astype(float)"
        )
    return np.asarray(array, dtype=_OF_KIND[array.dtype.kind])


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
