"""Data that are walked piece by piece: who holds the rows, and how a round runs over them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple, Protocol

import numpy as np

from tapegrad.ops.registry import INT
from tapegrad.pieces.combine import Outputs, merged
from tapegrad.pieces.missing import Gaps, complete, gaps, kept, labels_in, numbered
from tapegrad.pieces.shard import LENGTHS, Prepared, Shard, bytes_kept, computed, prepared
from tapegrad.recording.values import numbers

Array = np.ndarray[Any, Any]

# What is kept of data on disk, in all. Beyond it, everything is read and computed anew for each replay.
MOST_KEPT = 64_000_000  # bytes


class Rows(Protocol):
    """Columns of one length, in pieces."""

    @property
    def length(self) -> int:
        """How many rows there are."""

    @property
    def is_kept(self) -> bool:
        """Whether what is computed of the data alone is kept between replays."""

    def first(self, names: Sequence[str], count: int) -> dict[str, Array]:
        """The first rows of some columns."""

    def factorised(self, name: str, labels: Any) -> tuple[Rows, int]:
        """The same rows with one more column, the number of each label; and how many labels there are."""

    def missing(self) -> dict[str, int]:
        """In how many rows of each column something is missing: NaN; of those that lack something."""

    def complete(self) -> Rows:
        """The rows in which nothing is missing, in any column."""

    def run(self, shard: Shard, names: Sequence[str], inputs: Array) -> Outputs:
        """One round: what a shard gives for all rows, of the columns of these names."""


class Column(NamedTuple):
    """One of the columns, as it stands for the value of a data slot."""

    rows: Rows
    name: str


def as_numbers(name: str, array: Any) -> Array:
    """Some rows of a column as a tape takes them: float64, int64 or bool.

    Raises
    ------
    TypeError
        If they are no real numbers.
    ValueError
        If they are whole numbers beyond those of 64 bits.
    """
    if not isinstance(array, np.ndarray) and hasattr(array, "todense"):
        raise TypeError(f"data {name} comes in sparse chunks: make NumPy's arrays of them")
    return np.ascontiguousarray(numbers(name, array))


class LocalRows:
    """Columns on this machine: arrays, above all those on disk. A few rows at a time are in memory.

    Parameters
    ----------
    columns : mapping of str to array
    step : int
        How many rows are in memory at a time.
    gone : sequence of Gaps, optional
        For so many rows each, those that are left out.
    """

    def __init__(
        self, columns: Mapping[str, Any], step: int = LENGTHS[0], gone: Sequence[Gaps] | None = None
    ) -> None:
        self._columns = columns
        self._step = step
        self._gone = gone
        self._kept: dict[tuple[Shard, tuple[str, ...]], list[list[Prepared]]] = {}
        self._bytes = 0.0

    @property
    def _all(self) -> int:
        """How many rows there are with those that are left out."""
        return len(next(iter(self._columns.values())))

    @property
    def length(self) -> int:
        """How many rows there are."""
        return self._all if self._gone is None else sum(each.complete for each in self._gone)

    @property
    def is_kept(self) -> bool:
        """Whether what is computed of the data alone is kept between replays."""
        return bool(sum(column.nbytes for column in self._columns.values()) <= MOST_KEPT)

    def first(self, names: Sequence[str], count: int) -> dict[str, Array]:
        """The first rows of some columns."""
        found: list[list[Array]] = []
        for columns in self.blocks(names):
            found.append([column[:count] for column in columns])
            count -= len(columns[0])
            if count <= 0:
                break
        return {
            name: np.concatenate(parts) for name, parts in zip(names, zip(*found, strict=True), strict=True)
        }

    def blocks(self, names: Sequence[str]) -> Iterator[list[Array]]:
        """Some columns, a few rows at a time."""
        for place, start in enumerate(range(0, self._all, self._step)):
            columns = [as_numbers(name, self._columns[name][start : start + self._step]) for name in names]
            if self._gone is not None:
                columns = [complete(column, self._gone[place]) for column in columns]
            if len(columns[0]):
                yield columns

    def factorised(self, name: str, labels: Any) -> tuple[LocalRows, int]:
        """The same rows with one more column, the number of each label; and how many labels there are."""
        shape = np.shape(labels)
        if shape not in ((self.length,), (self._all,)):
            raise ValueError(f"there must be {self.length:,} labels, one for each row, not {shape}")
        if self._gone is None:
            chosen = np.asarray(labels)
        else:
            mask = np.concatenate([kept(each) for each in self._gone])
            chosen = np.asarray(labels)[mask] if shape == (self._all,) else np.asarray(labels)
        known = labels_in(chosen)
        index = numbered(known, chosen).astype(INT)
        if self._gone is not None:
            whole = np.zeros(self._all, dtype=INT)
            whole[mask] = index
            index = whole
        return LocalRows({**self._columns, name: index}, self._step, self._gone), len(known)

    def missing(self) -> dict[str, int]:
        """In how many rows of each column something is missing."""
        return by_name(self._columns, self._gaps)

    def complete(self) -> LocalRows:
        """The rows in which nothing is missing."""
        return LocalRows(self._columns, self._step, self._gaps)

    @cached_property
    def _gaps(self) -> list[Gaps]:
        return [gaps(columns) for columns in LocalRows(self._columns, self._step).blocks(list(self._columns))]

    def run(self, shard: Shard, names: Sequence[str], inputs: Array) -> Outputs:
        """One round, piece after piece."""
        each = shard.round
        parts = [computed(shard, pieces, inputs) for pieces in self._pieces(shard, tuple(names))]
        return merged(parts, each.how, each.axes)

    def _pieces(self, shard: Shard, names: tuple[str, ...]) -> Iterator[list[Prepared]]:
        known = self._kept.get((shard, names))
        if known is not None:
            yield from known
            return
        needed = bytes_kept(shard) * self.length
        found = []
        for columns in self.blocks(names):
            pieces = prepared(shard, columns)
            if self._bytes + needed <= MOST_KEPT:
                found.append(pieces)
            yield pieces
        if found:
            self._kept[shard, names] = found
            self._bytes += needed


def by_name(names: Iterable[str], found: Sequence[Gaps]) -> dict[str, int]:
    """In how many rows of each column something is missing, of those that lack something."""
    counts = {name: sum(each.counts[i] for each in found) for i, name in enumerate(names)}
    return {name: count for name, count in counts.items() if count}
