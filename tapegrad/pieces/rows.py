"""Data that are walked piece by piece: who holds the rows, and how a round runs over them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from tapegrad.ops.registry import INT
from tapegrad.passes.statistics.compression import Part, together
from tapegrad.pieces.combine import Outputs, merged
from tapegrad.pieces.shard import LENGTHS, Piece, Shard, as_numbers, bytes_kept, bytes_of, computed

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

    def beside(self, name: str, values: Any) -> Rows:
        """The same rows with one more column."""

    def factorised(self, name: str, labels: Any) -> tuple[Rows, int]:
        """The same rows with one more column, the number of each label; and how many labels there are."""

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


class Column(NamedTuple):
    """One of the columns, as it stands for the value of a data slot."""

    rows: Rows
    name: str


class LocalRows:
    """Columns on this machine: arrays, above all those on disk. A few rows at a time are in memory."""

    def __init__(self, columns: Mapping[str, Any], step: int = LENGTHS[0]) -> None:
        self._columns = columns
        self._step = step
        self._pieces: list[Piece] | None = None
        self._bytes: float = bytes_of(columns.values())
        self._keeps: dict[Shard, bool] = {}

    @property
    def length(self) -> int:
        """How many rows there are."""
        return len(next(iter(self._columns.values())))

    @property
    def is_kept(self) -> bool:
        """Whether what is computed of the data alone is kept between replays."""
        return bytes_of(self._columns.values()) <= MOST_KEPT

    def first(self, names: Sequence[str], count: int) -> dict[str, Array]:
        """The first rows of some columns."""
        return {name: as_numbers(name, self._columns[name][:count]) for name in names}

    def beside(self, name: str, values: Any) -> LocalRows:
        """The same rows with one more column."""
        if np.shape(values) != (self.length,):
            raise ValueError(
                f"{name} must have shape ({self.length},), one for each row, not {np.shape(values)}"
            )
        values = values if isinstance(values, np.ndarray) else as_numbers(name, values)
        return LocalRows({**self._columns, name: values}, self._step)

    def factorised(self, name: str, labels: Any) -> tuple[LocalRows, int]:
        """The same rows with one more column, the number of each label; and how many labels there are."""
        if np.shape(labels) != (self.length,):
            raise ValueError(
                f"there must be {self.length:,} labels, one for each row, not {np.shape(labels)}"
            )
        known, index = np.unique(labels, return_inverse=True)
        return self.beside(name, index.astype(INT)), len(known)

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
        self._pieces = None

    def _walk(self) -> Iterable[Piece]:
        """The pieces: the same ones each time, if they are to be kept."""
        if not self.is_kept:
            return self._cut()
        if self._pieces is None:
            self._pieces = list(self._cut())
        return self._pieces

    def _cut(self) -> Iterator[Piece]:
        for start in range(0, self.length, self._step):
            yield Piece({name: all_[start : start + self._step] for name, all_ in self._columns.items()})

    def _keep(self, shard: Shard) -> bool:
        """Whether what a shard makes of the data alone is kept."""
        if shard not in self._keeps:
            needed = bytes_kept(shard) * self.length
            self._keeps[shard] = self.is_kept and self._bytes + needed <= MOST_KEPT
            self._bytes += needed if self._keeps[shard] else 0.0
        return self._keeps[shard]
