"""Data that are not in one piece, as `trace` is given them: which they are, and rows of them to trace on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tapegrad.backends.c.compiler import compiler
from tapegrad.backends.programs import AUTO
from tapegrad.function.lengths import NUMBER_OF_ROWS
from tapegrad.function.record import data_array
from tapegrad.pieces.cluster import of_dask
from tapegrad.pieces.dask_columns import is_of_dask
from tapegrad.pieces.rows import Column, LocalRows, Rows
from tapegrad.tape.tape import Tape

# From so many rows on, compiling takes less time than it saves in some ten replays.
MANY = 1_000_000
# So many rows are traced on, three times: primes, so that few other axes are as long.
LENGTHS = (1_009, 499, 757)


@dataclass(frozen=True)
class LongData:
    """Columns, and what else is passed as data.

    Attributes
    ----------
    rows : Rows
    names : tuple of str
        Those of the columns.
    whole : mapping of str to array_like
        Data that every piece reads whole.
    backend : str
        What runs the tapes of the pieces.
    has_statistics : bool
        Whether sums are found on few rows, where these can stand for all.
    """

    rows: Rows
    names: tuple[str, ...]
    whole: Mapping[str, Any]
    backend: str
    has_statistics: bool

    def sample(self, count: int, of: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The data with the first rows alone; out of a larger sample, if there is one."""
        first = self.rows.first(self.names, count) if of is None else of
        return {**self.whole, **{name: first[name][:count] for name in self.names}}

    @property
    def given(self) -> dict[str, Any]:
        """The data by their names, columns in pieces as such."""
        return {**self.whole, **{name: Column(self.rows, name) for name in self.names}}

    def values(self, tape: Tape) -> dict[int, Any]:
        """The value of each data slot of a tape as recorded."""
        labels = dict(tape.labels)
        return {slot: self._value(labels[slot]) for slot in tape.data}

    def _value(self, name: str) -> Any:
        if name == NUMBER_OF_ROWS:
            return float(self.rows.length)
        return Column(self.rows, name) if name in self.names else data_array(name, self.whole[name])


def columns_of(data: Mapping[str, Any]) -> dict[str, Any]:
    """Data with those as `Column` that are on disk or on a cluster, and all others of as many rows.

    Data of so few rows that they are traced on are arrays in memory afterwards.

    Raises
    ------
    ValueError
        If the columns have different lengths, or pieces that do not fit each other.
    TypeError
        If they are no real numbers.
    """
    rows: Rows
    if any(is_of_dask(value) for value in data.values()):
        rows, names = of_dask(data)
    elif any(isinstance(value, np.memmap) for value in data.values()):
        lengths = {len(value) for value in data.values() if isinstance(value, np.memmap)}
        if len(lengths) > 1:
            raise ValueError(f"the arrays on disk have different numbers of rows: {sorted(lengths)}")
        (length,) = lengths
        columns = {n: value for n, value in data.items() if np.ndim(value) and len(value) == length}
        rows, names = LocalRows(columns), tuple(columns)
    else:
        return dict(data)
    if rows.length <= max(LENGTHS):
        return {**data, **rows.first(names, rows.length)}
    return {name: Column(rows, name) if name in names else value for name, value in data.items()}


def long_data(data: Mapping[str, Any], backend: str, has_statistics: bool) -> LongData | None:
    """The columns among data, None where there are none."""
    columns = {name: value for name, value in data.items() if isinstance(value, Column)}
    if not columns:
        return None
    whole = {name: value for name, value in data.items() if name not in columns}
    rows = next(iter(columns.values())).rows
    if backend == AUTO:
        backend = "c" if rows.length >= MANY and compiler() is not None else "numpy"
    return LongData(rows, tuple(columns), whole, backend, has_statistics)


def missing_in(data: Mapping[str, Any]) -> dict[str, int]:
    """In how many rows of each column in pieces something is missing: NaN; of those that lack something."""
    return next((value.rows.missing() for value in data.values() if isinstance(value, Column)), {})


def complete(data: Mapping[str, Any]) -> tuple[dict[str, Any], int]:
    """Data in pieces without the rows in which something is missing; and how many these were.

    Data of so few rows that they are traced on are arrays in memory afterwards.
    """
    names = [name for name, value in data.items() if isinstance(value, Column)]
    before = data[names[0]].rows
    rows = before.complete()
    if rows.length <= max(LENGTHS):
        left = rows.first(names, rows.length) if rows.length else {name: np.empty(0) for name in names}
    else:
        left = {name: Column(rows, name) for name in names}
    return {**data, **left}, before.length - rows.length


def is_in_pieces(data: Mapping[str, Any]) -> bool:
    """Whether any data are columns in pieces."""
    return any(isinstance(value, Column) for value in data.values())


def with_groups(data: Mapping[str, Any], name: str, labels: Any) -> tuple[dict[str, Any], int]:
    """Data in pieces with one more column, the number of each row's group; and how many groups there are.

    Parameters
    ----------
    data : mapping of str to Column and others
    name : str
        Of the new column.
    labels : array_like or Dask's array or column, shape (n,)

    Raises
    ------
    ValueError
        If there is not one label for each row.
    """
    rows = next(value.rows for value in data.values() if isinstance(value, Column))
    more, count = rows.factorised(name, labels)
    return {**_moved(data, more), name: Column(more, name)}, count


def beside(data: Mapping[str, Any], name: str, values: Any) -> tuple[dict[str, Any], Any]:
    """Data, and one more array with a number for each of their rows: of data in pieces a column of theirs.

    Parameters
    ----------
    data : mapping of str to Column and others
    name : str
        Of the array, in messages.
    values : array_like or Dask's array or column, shape (n,), or None

    Raises
    ------
    ValueError
        If data are in pieces, and there is not one number for each row.
    """
    rows = next((value.rows for value in data.values() if isinstance(value, Column)), None)
    if rows is None or values is None:
        return dict(data), values
    more = rows.beside(name, values)
    return _moved(data, more), Column(more, name)


def _moved(data: Mapping[str, Any], rows: Rows) -> dict[str, Any]:
    """Data whose columns others have, under the same names."""
    return {
        key: Column(rows, value.name) if isinstance(value, Column) else value for key, value in data.items()
    }


def extent(values: Any) -> tuple[float, float]:
    """The smallest and the largest number of an array, or of a column; NaN where one is NaN."""
    if not isinstance(values, Column):
        return float(np.min(values)), float(np.max(values))
    found = values.rows.reduced((values.name,), _ends, _outermost)
    assert found is not None, "no column is empty"
    return found


def _ends(columns: Sequence[Any]) -> tuple[float, float]:
    return extent(columns[0])


def _outermost(parts: Sequence[tuple[float, float]]) -> tuple[float, float]:
    low, high = zip(*parts, strict=True)
    return float(np.min(low)), float(np.max(high))
