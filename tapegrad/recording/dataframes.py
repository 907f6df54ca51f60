"""pandas objects that meet traced values: they are arrays from there on.

In arithmetic pandas leaves the result to an operand of higher `__pandas_priority__`, which traced values
have. Only `@` and `dot` do not look: they ask for a plain array, of one object per number. So these two are
replaced while a function is traced.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from typing import Any

import numpy as np

from tapegrad.ops.linalg import matmul
from tapegrad.recording.tracer import Tracer

_lock = threading.Lock()
_tracing = 0
_originals: dict[Any, Callable[..., Any]] = {}


@contextmanager
def products_defer() -> Iterator[None]:
    """While this lasts, ``frame @ traced`` and ``frame.dot(traced)`` are what they are for an array."""
    global _tracing
    with _lock:
        _tracing += 1
        pandas = sys.modules.get("pandas")
        for kind in (getattr(pandas, "DataFrame", None), getattr(pandas, "Series", None)):
            if kind is not None and kind not in _originals:
                _originals[kind] = kind.dot
                kind.dot = _looking_first(kind.dot)
    try:
        yield
    finally:
        with _lock:
            _tracing -= 1
            if not _tracing:
                for kind, original in _originals.items():
                    kind.dot = original
                _originals.clear()


def _looking_first(dot: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(dot)
    def looking_first(self: Any, other: Any) -> Any:
        return matmul(self, other) if isinstance(other, Tracer) else dot(self, other)

    return looking_first


def is_pandas(operand: Any) -> bool:
    """Whether this is a Series, a DataFrame, an Index or an array of pandas."""
    return type(operand).__module__.partition(".")[0] == "pandas" and hasattr(operand, "isna")


def as_array(operand: Any) -> np.ndarray[Any, Any]:
    """A pandas object as an array, with NaN for what is missing."""
    array = np.asarray(operand)
    if array.dtype == object:  # of columns of several kinds, or with pandas' own missing value
        array = np.where(np.asarray(operand.isna()), np.nan, array)
    return array


def meaning(operands: Sequence[tuple[Any, str | None]]) -> str:
    """Why traced values may not give what pandas gives, with these objects under their variables' names."""
    missing = [told for operand, name in operands for told in _missing(operand, name)]
    if missing:
        return (
            "a pandas object becomes an array where it meets a traced value, and "
            f"{', '.join(missing)}, which pandas skips and an array does not. Drop or fill what is missing "
            "before, as in df = df.dropna(), or write np.nansum, np.nanmean and the like"
        )
    return (
        "a pandas object becomes an array where it meets a traced value: operations go by position and not "
        "by index, std and var divide by n, and the sum of a DataFrame is that of all its numbers. Align "
        "indices before, write .std(ddof=1) and .sum(axis=0), or take the values out first, with .to_numpy()"
    )


def _missing(operand: Any, variable: str | None) -> Iterator[str]:
    """Which columns hold how many missing values."""
    unnamed = "a Series without a name" if variable is None else f"the Series {variable}"
    if hasattr(operand, "columns"):
        columns = [(name, operand[name]) for name in operand.columns]
    else:
        columns = [(getattr(operand, "name", None), operand)]
    for name, column in columns:
        count = int(np.sum(np.asarray(column.isna())))
        if count:
            which = unnamed if name is None else f"column {name!r}"
            yield f"{which} holds {count} missing value{'s' if count > 1 else ''}"
