"""pandas objects that meet traced values: they are arrays from there on.

In arithmetic pandas leaves the result to an operand of higher `__pandas_priority__`, which traced values
have. Only `@` and `dot` do not look: they have stand-ins.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np


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
