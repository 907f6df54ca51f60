"""Data that are walked piece by piece: who holds the rows, and how a round runs over them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from tapegrad.ops.registry import BOOL, FLOAT, INT
from tapegrad.passes.statistics.compression import Part, together
from tapegrad.pieces.combine import Outputs, merged
from tapegrad.pieces.shard import LENGTHS, Prepared, Shard, bytes_kept, computed, prepared

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

    def run(self, shard: Shard, names: Sequence[str], inputs: Array) -> Outputs:
        """One round: what a shard gives for all rows, of the columns of these names."""

    def reduced(
        self,
        names: Sequence[str],
        each: Callable[[Sequence[Array]], Part | None],
        merge: Callable[[Sequence[Part]], Part],
    ) -> Part | None:
        """What a function finds in the pieces of some columns, made one in the order of the rows."""


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
    """
    array = np.asarray(array)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"data {name} must be real numbers, not {array.dtype}")
    kind: Mapping[str, Any] = {"f": FLOAT, "b": BOOL}
    return np.ascontiguousarray(array, dtype=kind.get(array.dtype.kind, INT))


class LocalRows:
    """Columns on this machine: arrays, above all those on disk. A few rows at a time are in memory."""

    def __init__(self, columns: Mapping[str, Any], step: int = LENGTHS[0]) -> None:
        self._columns = columns
        self._step = step
        self._kept: dict[tuple[Shard, tuple[str, ...]], list[list[Prepared]]] = {}
        self._bytes = 0.0

    @property
    def length(self) -> int:
        """How many rows there are."""
        return len(next(iter(self._columns.values())))

    @property
    def is_kept(self) -> bool:
        """Whether what is computed of the data alone is kept between replays."""
        return bool(sum(column.nbytes for column in self._columns.values()) <= MOST_KEPT)

    def first(self, names: Sequence[str], count: int) -> dict[str, Array]:
        """The first rows of some columns."""
        return {name: as_numbers(name, self._columns[name][:count]) for name in names}

    def factorised(self, name: str, labels: Any) -> tuple[LocalRows, int]:
        """The same rows with one more column, the number of each label; and how many labels there are."""
        if np.shape(labels) != (self.length,):
            raise ValueError(
                f"there must be {self.length:,} labels, one for each row, not {np.shape(labels)}"
            )
        known, index = np.unique(labels, return_inverse=True)
        return LocalRows({**self._columns, name: index.astype(INT)}, self._step), len(known)

    def run(self, shard: Shard, names: Sequence[str], inputs: Array) -> Outputs:
        """One round, piece after piece."""
        each = shard.round
        parts = [computed(shard, pieces, inputs) for pieces in self._pieces(shard, tuple(names))]
        return merged(parts, each.how, each.axes)

    def reduced(
        self,
        names: Sequence[str],
        each: Callable[[Sequence[Array]], Part | None],
        merge: Callable[[Sequence[Part]], Part],
    ) -> Part | None:
        """What a function finds in the pieces of some columns, piece after piece."""
        return together(map(each, self._read(names)), merge)

    def _read(self, names: Sequence[str]) -> Iterator[list[Array]]:
        for start in range(0, self.length, self._step):
            yield [as_numbers(name, self._columns[name][start : start + self._step]) for name in names]

    def _pieces(self, shard: Shard, names: tuple[str, ...]) -> Iterator[list[Prepared]]:
        kept = self._kept.get((shard, names))
        if kept is not None:
            yield from kept
            return
        needed = bytes_kept(shard) * self.length
        found = []
        for columns in self._read(names):
            pieces = prepared(shard, columns)
            if self._bytes + needed <= MOST_KEPT:
                found.append(pieces)
            yield pieces
        if found:
            self._kept[shard, names] = found
            self._bytes += needed
