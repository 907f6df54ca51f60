"""Data that are walked piece by piece: who holds the rows, and how a round runs over them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple, Protocol

import numpy as np

from tapegrad.passes.statistics.compression import Part, together
from tapegrad.pieces.combine import Outputs, merged
from tapegrad.pieces.missing import Gaps, gaps, kept, labels_in, numbered
from tapegrad.pieces.shard import (
    AT_ONCE,
    Piece,
    Shard,
    as_numbers,
    bytes_given,
    bytes_kept,
    bytes_of,
    computed,
)

Array = np.ndarray[Any, Any]

# What is kept of data on disk, in all. Beyond it, everything is read and computed anew for each replay.
MOST_KEPT = 64_000_000  # bytes


class Rows(Protocol):
    """Columns of one length, in pieces."""

    @property
    def length(self) -> int:
        """How many rows there are."""

    def first(self, names: Sequence[str], count: int) -> dict[str, Array]:
        """The first rows of some columns."""

    def beside(self, name: str, numbers: Any) -> Rows:
        """The same rows with one more column, a number for each."""

    def factorised(self, name: str, labels: Any) -> tuple[Rows, int]:
        """The same rows with one more column, the number of each label; and how many labels there are."""

    def missing(self) -> dict[str, int]:
        """In how many rows of each column something is missing: NaN; of those that lack something."""

    def complete(self) -> Rows:
        """The rows in which nothing is missing, in any column."""

    def run(self, shard: Shard, names: Sequence[str], inputs: Array) -> Outputs:
        """One round: what a shard gives for all rows, of the columns of these names."""

    def reduced(
        self,
        names: Sequence[str],
        each: Callable[[Sequence[Array]], Part | None],
        merge: Callable[[Sequence[Part]], Part],
    ) -> Part | None:
        """What a function finds in the pieces of some columns, made one in the order of the rows."""

    def release(self) -> None:
        """Keep nothing of the pieces any more, until they are walked over again."""

    def kept(self, shard: Shard, names: Sequence[str], inputs: Array) -> Outputs:
        """The same of a shard that gives numbers for each row: as arrays, where the rows are."""


class Column(NamedTuple):
    """One of the columns, as it stands for the value of a data slot."""

    rows: Rows
    name: str

    def __repr__(self) -> str:
        return f"<{self.name}: {self.rows.length:,} rows in pieces>"


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
        self, columns: Mapping[str, Any], step: int = AT_ONCE, gone: Sequence[Gaps] | None = None
    ) -> None:
        self._columns = columns
        self._step = step
        self._gone = gone
        self._pieces: list[Piece] | None = None
        self._bytes: float = bytes_of(columns.values())
        self._keeps: dict[Shard, bool] = {}

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
        return bytes_of(self._columns.values()) <= MOST_KEPT

    def first(self, names: Sequence[str], count: int) -> dict[str, Array]:
        """The first rows of some columns."""
        if self._gone is None:
            return {name: as_numbers(name, self._columns[name][:count]) for name in names}
        found, left = [], count
        for piece in self._cut():
            found.append([piece.column(name)[:left] for name in names])
            left -= len(found[-1][0])
            if left <= 0:
                break
        columns = zip(*found, strict=True)
        return {name: np.concatenate(parts) for name, parts in zip(names, columns, strict=True)}

    def factorised(self, name: str, labels: Any) -> tuple[LocalRows, int]:
        """The same rows with one more column, the number of each label; and how many labels there are."""
        given = self._checked("labels", labels)
        chosen = given if len(given) == self.length else given[self._here]
        known = labels_in(chosen)
        return self.beside(name, numbered(known, chosen)), len(known)

    def beside(self, name: str, numbers: Any) -> LocalRows:
        """The same rows with one more column, a number for each."""
        given = self._checked("numbers", numbers)
        if len(given) < self._all:
            whole = np.zeros(self._all, dtype=given.dtype)
            whole[self._here] = given
            given = whole
        return LocalRows({**self._columns, name: given}, self._step, self._gone)

    def _checked(self, what: str, entries: Any) -> Array:
        """An entry for each row, or for each of all rows before some were left out."""
        given: Array = np.asanyarray(entries)  # what is on disk stays there
        if given.shape not in ((self.length,), (self._all,)):
            raise ValueError(f"there must be {self.length:,} {what}, one for each row, not {given.shape}")
        return given

    @property
    def _here(self) -> Any:
        """Which of all rows are there."""
        return slice(None) if self._gone is None else np.concatenate([kept(each) for each in self._gone])

    def missing(self) -> dict[str, int]:
        """In how many rows of each column something is missing."""
        return by_name(self._columns, self._gaps)

    def complete(self) -> LocalRows:
        """The rows in which nothing is missing."""
        return LocalRows(self._columns, self._step, self._gaps)

    @cached_property
    def _gaps(self) -> list[Gaps]:
        whole = LocalRows(self._columns, self._step)
        return [gaps([piece.column(name) for name in self._columns]) for piece in whole._cut()]

    def run(self, shard: Shard, names: Sequence[str], inputs: Array) -> Outputs:
        """One round, piece after piece."""
        each = shard.round
        keep = self._keep(shard)
        parts = [computed(shard, piece, tuple(names), keep, inputs) for piece in self._walk()]
        return merged(parts, each.how, each.axes)

    def reduced(
        self,
        names: Sequence[str],
        each: Callable[[Sequence[Array]], Part | None],
        merge: Callable[[Sequence[Part]], Part],
    ) -> Part | None:
        """What a function finds in the pieces of some columns, piece after piece."""
        return together((each([piece.column(name) for name in names]) for piece in self._walk()), merge)

    def release(self) -> None:
        """Keep nothing of the pieces any more, until they are walked over again."""
        self._pieces, self._keeps, self._bytes = None, {}, bytes_of(self._columns.values())

    def kept(self, shard: Shard, names: Sequence[str], inputs: Array) -> Outputs:
        """The same of a shard that gives numbers for each row: in memory.

        Raises
        ------
        ValueError
            If they are too many.
        """
        if bytes_given(shard) / shard.rows * self.length > MOST_KEPT:
            raise ValueError(
                f"results for {self.length:,} rows on disk do not stay on disk: ask for some rows at a time, "
                "as in x[a:b], or pass arrays of Dask's, whose results are such arrays"
            )
        return self.run(shard, names, inputs)

    def _walk(self) -> Iterable[Piece]:
        """The pieces: the same ones each time, if they are to be kept."""
        if not self.is_kept:
            return self._cut()
        if self._pieces is None:
            self._pieces = list(self._cut())
        return self._pieces

    def _cut(self) -> Iterator[Piece]:
        for place, start in enumerate(range(0, self._all, self._step)):
            gone = None if self._gone is None else self._gone[place]
            if gone is None or gone.complete:
                columns = {name: all_[start : start + self._step] for name, all_ in self._columns.items()}
                yield Piece(columns, gone)

    def _keep(self, shard: Shard) -> bool:
        """Whether what a shard makes of the data alone is kept."""
        if shard not in self._keeps:
            needed = bytes_kept(shard) * self.length
            self._keeps[shard] = self.is_kept and self._bytes + needed <= MOST_KEPT
            self._bytes += needed if self._keeps[shard] else 0.0
        return self._keeps[shard]


def by_name(names: Iterable[str], found: Sequence[Gaps]) -> dict[str, int]:
    """In how many rows of each column something is missing, of those that lack something."""
    counts = {name: sum(each.counts[i] for each in found) for i, name in enumerate(names)}
    return {name: count for name, count in counts.items() if count}
