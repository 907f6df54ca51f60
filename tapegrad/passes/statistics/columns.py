"""Columns of known numbers, and what is found out of them: as they stand, gathered, and functions of them.

Whoever has the rows walks over them: `Constants` over those on a tape, data in pieces over theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial, reduce
from typing import Any, NamedTuple, Protocol

import numpy as np

from tapegrad.ops.indexing import decode
from tapegrad.ops.registry import Op
from tapegrad.passes.statistics.compression import BLOCK, Array, Block, Part, Walk, together
from tapegrad.tape.entries import Entry
from tapegrad.tape.tape import Tape

WHOLE = -1


class Leaf(NamedTuple):
    """A known array as a column of n rows or, if it is a design matrix or a factor, as several.

    Attributes
    ----------
    slot : int
        The array, on the tape that is read.
    gather : int
        The number of the index array that takes rows from it, see `Source.gather`; or `WHOLE`.
    along : int or None
        The axis of a design matrix that goes along the rows; None for a column, whatever its shape.
    levels : int
        For the levels of a factor, which count from 0, their number: it stands for a column of ones and zeros
        for each.
    steps : tuple of (op, further arguments)
        Functions applied to the elements.
    gated : bool
        Whether a zero counts for nothing, even times infinity.
    """

    slot: int
    gather: int = WHOLE
    along: int | None = None
    levels: int = 0
    steps: tuple[tuple[Op, tuple[float, ...]], ...] = ()
    gated: bool = False


Column = tuple[Leaf, ...]  # the elementwise product of leaves; a design matrix stands alone
Masks = tuple[tuple[Leaf, bool], ...]  # rows on which each mask has this value


class Wanted(NamedTuple):
    """What is read of each row.

    Attributes
    ----------
    columns : tuple of Column
    weight : Column
        Empty, if all weights are 1.
    masks : Masks
        Which rows are read.
    """

    columns: tuple[Column, ...]
    weight: Column = ()
    masks: Masks = ()

    @property
    def slots(self) -> set[int]:
        """The arrays that are read."""
        masks = {leaf.slot for leaf, _ in self.masks}
        return masks.union(leaf.slot for column in (*self.columns, self.weight) for leaf in column)


class Source(Protocol):
    """Who has the arrays that are known: those of a tape, or data in pieces."""

    def __contains__(self, slot: object) -> bool:
        """Whether the array in a slot is known."""

    def name(self, slot: int) -> str:
        """The array in a slot as it stands in listings."""

    def gather(self, entry: Entry, n: int, before: int) -> int:
        """The number of the index array of a `getitem` of n elements, on whose result `before` comes next."""

    def walk(
        self, wanted: Wanted, n: int, each: Callable[[Block], Part], merge: Callable[[Sequence[Part]], Part]
    ) -> Part | None:
        """A walk over arrays of n elements, see `Walk`."""


# Reading ----------------------------------------------------------------------------------------------------


def taken(leaf: Leaf, array: Array) -> Array:
    """Some rows of a leaf, shape (width, rows), of an array of its rows as they stand there."""
    values = array.reshape(1, -1) if leaf.along is None else array.T if leaf.along == 0 else array
    if leaf.levels:
        values = (values % leaf.levels == np.arange(leaf.levels)[:, None]).astype(np.float64)
    for op, arguments in leaf.steps:
        values = op.kernel(values, *arguments)
    return values


def block_of(read: Callable[[Leaf], Array], wanted: Wanted, count: int) -> Block | None:
    """The columns and the weights of `count` rows, without those that the masks leave out; None for none.

    `read` gives a leaf's rows, as `taken` does.
    """
    parts = [_product(read, column) for column in wanted.columns]
    rows = np.concatenate(parts) if parts else np.empty((0, count))
    weights = _product(read, wanted.weight)[0] if wanted.weight else None
    if wanted.masks:
        kept = np.logical_and.reduce([read(leaf)[0] == is_ for leaf, is_ in wanted.masks])
        rows, weights = rows[:, kept], weights if weights is None else weights[kept]
    return (rows, weights) if rows.shape[1] else None


def _product(read: Callable[[Leaf], Array], column: Column) -> Array:
    return reduce(np.multiply, map(read, column))


class Constants:
    """The arrays among the constants of a tape."""

    def __init__(self, tape: Tape) -> None:
        self._arrays = {slot: value for slot, value in tape.constants if isinstance(value, np.ndarray)}
        self._names = dict(tape.labels)
        self._tape = tape
        self._flat: dict[int, Array] = {}
        self._gathers: list[Array] = []
        self._known: dict[tuple[int, int], int] = {}

    def __contains__(self, slot: object) -> bool:
        """Whether a slot holds one of them."""
        return slot in self._arrays

    def name(self, slot: int) -> str:
        """The array in a slot as it stands in listings."""
        return self._names.get(slot, "data")

    def gather(self, entry: Entry, n: int, before: int) -> int:
        """The number of an index array, see `Source`."""
        key = (entry.output, before)
        if key not in self._known:
            arrays = [self._arrays[slot] for slot in entry.inputs[1:]]
            found = np.arange(n)[decode(dict(entry.attrs)["index"], arrays)]
            self._known[key] = len(self._gathers)
            self._gathers.append(found if before == WHOLE else found[self._gathers[before]])
        return self._known[key]

    def walk(
        self, wanted: Wanted, n: int, each: Callable[[Block], Part], merge: Callable[[Sequence[Part]], Part]
    ) -> Part | None:
        """A walk over arrays of n elements, see `Walk`."""
        return together(map(each, self._blocks(wanted, n)), merge)

    def _blocks(self, wanted: Wanted, n: int) -> Iterator[Block]:
        step = block_length(self._tape, wanted)
        for start in range(0, n, step):
            stop = min(n, start + step)
            block = block_of(partial(self._read, start, stop), wanted, stop - start)
            if block is not None:
                yield block

    def _read(self, start: int, stop: int, leaf: Leaf) -> Array:
        array = self._arrays[leaf.slot]
        if leaf.along is None:
            if leaf.slot not in self._flat:
                self._flat[leaf.slot] = array.reshape(-1)
            array = self._flat[leaf.slot]
        at: Any = slice(start, stop) if leaf.gather == WHOLE else self._gathers[leaf.gather][start:stop]
        return taken(leaf, array[:, at] if leaf.along == 1 else array[at])


def block_length(tape: Tape, wanted: Wanted) -> int:
    """How many rows are read at a time."""
    return max(1, BLOCK // (1 + sum(width(tape, column) for column in wanted.columns)))


def width(tape: Tape, column: Column) -> int:
    """The number of columns that a leaf stands for."""
    leaf = column[0]
    if leaf.levels or leaf.along is None:
        return leaf.levels or 1
    return tape.avals[leaf.slot].shape[1 - leaf.along]


# What is found out once -------------------------------------------------------------------------------------


class Columns:
    """The known arrays of a tape as columns."""

    def __init__(self, tape: Tape, source: Source) -> None:
        self.source = source
        self._tape = tape
        self._ranges: dict[Any, tuple[float, float]] = {}

    def width(self, column: Column) -> int:
        """The number of columns that a leaf stands for."""
        return width(self._tape, column)

    def is_design(self, column: Column) -> bool:
        """Whether it is a design matrix, and so several columns."""
        return column[0].levels > 0 or column[0].along is not None

    def name(self, column: Column) -> str:
        """A column as it stands in a listing."""
        return " * ".join(map(self._leaf_name, column))

    def masks_name(self, masks: Masks) -> str:
        """Which rows masks leave, as it stands in a listing."""
        return " and ".join(("" if is_ else "not ") + self._leaf_name(mask) for mask, is_ in masks)

    def _leaf_name(self, leaf: Leaf) -> str:
        name = self.source.name(leaf.slot)
        for op, arguments in leaf.steps:
            name = f"{op.name}({', '.join([name, *(f'{x:.6g}' for x in arguments)])})"
        return name

    def walk(self, wanted: Wanted, n: int) -> Walk:
        """A walk over the n elements of some columns."""
        return partial(self.source.walk, wanted, n)

    def range(self, column: Column, masks: Masks, n: int) -> tuple[float, float]:
        """The smallest and the largest element; NaN where one is NaN."""
        key = (column, masks, n)
        if key not in self._ranges:
            found = self.walk(Wanted((column,), masks=masks), n)(_ends, _outermost)
            assert found is not None, "masks are those of some row"
            self._ranges[key] = found
        return self._ranges[key]

    def mean(self, column: Column, masks: Masks, n: int) -> float:
        """The mean."""
        found = self.walk(Wanted((column,), masks=masks), n)(_sum_and_size, _both_added)
        assert found is not None, "masks are those of some row"
        return found[0] / found[1]

    def levels_in_use(self, leaf: Leaf, masks: Masks, n: int) -> Array:
        """Which levels of a factor the rows that the masks leave have."""
        wanted = Wanted(((leaf._replace(levels=0),),), masks=masks)
        codes = self.walk(wanted, n)(_distinct, _united)
        used = np.zeros(leaf.levels, dtype=bool)
        used[list(codes or ())] = True
        used.flags.writeable = False
        return used

    def cells(self, masks: Sequence[Leaf], n: int) -> list[tuple[bool, ...]]:
        """Which values the masks have together in some row."""
        if not masks:
            return [()]
        found = self.walk(Wanted(tuple((mask,) for mask in masks)), n)(_codes, _united)
        return [tuple(bool(code >> j & 1) for j in range(len(masks))) for code in sorted(found or ())]


# Functions of a block, and what makes one of their results.


def _ends(block: Block) -> tuple[float, float]:
    return float(block[0].min()), float(block[0].max())


def _outermost(parts: Sequence[tuple[float, float]]) -> tuple[float, float]:
    low, high = np.transpose(parts)
    return float(low.min()), float(high.max())


def _sum_and_size(block: Block) -> tuple[float, int]:
    return float(block[0].sum()), block[0].size


def _both_added(parts: Sequence[tuple[float, int]]) -> tuple[float, int]:
    total, size = map(sum, zip(*parts, strict=True))
    return total, size


def _distinct(block: Block) -> frozenset[int]:
    return frozenset(np.unique(block[0]).astype(np.int64).tolist())


def _codes(block: Block) -> frozenset[int]:
    """The values of masks, as the bits of a number."""
    bits = 1 << np.arange(len(block[0]), dtype=np.int64)
    return frozenset(np.unique(bits @ block[0].astype(np.int64)).tolist())


def _united(parts: Sequence[frozenset[int]]) -> frozenset[int]:
    return frozenset().union(*parts)
