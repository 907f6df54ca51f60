"""Columns of constants, read block by block: as they stand on a tape, gathered, and functions of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import reduce
from typing import Any, NamedTuple

import numpy as np

from tapegrad.ops.indexing import decode
from tapegrad.ops.registry import Op
from tapegrad.passes.statistics.compression import BLOCK, Array, Block
from tapegrad.tape.entries import Entry
from tapegrad.tape.tape import Tape

WHOLE = -1


class Leaf(NamedTuple):
    """A constant as a column of n rows or, if it is a design matrix or a factor, as several.

    Attributes
    ----------
    slot : int
        The constant, on the tape that is read.
    gather : int
        The number of the index array that takes rows from it, see `Columns.gather`; or `WHOLE`.
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


class Columns:
    """The constants of a tape as columns."""

    def __init__(self, tape: Tape) -> None:
        self._arrays = {slot: value for slot, value in tape.constants if isinstance(value, np.ndarray)}
        self._names = dict(tape.labels)
        self._flat: dict[int, Array] = {}
        self._gathers: list[Array] = []
        self._known: dict[tuple[int, int], int] = {}
        self._ranges: dict[Any, tuple[float, float]] = {}

    def gather(self, entry: Entry, n: int, before: int) -> int:
        """The number of the index array of a `getitem` of n elements, on whose result `before` comes next."""
        key = (entry.output, before)
        if key not in self._known:
            arrays = [self._arrays[slot] for slot in entry.inputs[1:]]
            taken = np.arange(n)[decode(dict(entry.attrs)["index"], arrays)]
            self._known[key] = len(self._gathers)
            self._gathers.append(taken if before == WHOLE else taken[self._gathers[before]])
        return self._known[key]

    def width(self, column: Column) -> int:
        """The number of columns that a leaf stands for."""
        leaf = column[0]
        if leaf.levels or leaf.along is None:
            return leaf.levels or 1
        return int(self._arrays[leaf.slot].shape[1 - leaf.along])

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
        name = self._names.get(leaf.slot, "data")
        for op, arguments in leaf.steps:
            name = f"{op.name}({', '.join([name, *(f'{x:.6g}' for x in arguments)])})"
        return name

    # Reading ------------------------------------------------------------------------------------------------

    def _read(self, leaf: Leaf, start: int, stop: int) -> Array:
        """Rows of a leaf, shape (width, rows)."""
        array = self._arrays[leaf.slot]
        if leaf.along is None:
            if leaf.slot not in self._flat:
                self._flat[leaf.slot] = array.reshape(1, -1)
            array = self._flat[leaf.slot]
        elif leaf.along == 0:
            array = array.T
        at: Any = slice(start, stop) if leaf.gather == WHOLE else self._gathers[leaf.gather][start:stop]
        values: Array = array[:, at]
        if leaf.levels:
            values = (values % leaf.levels == np.arange(leaf.levels)[:, None]).astype(np.float64)
        for op, arguments in leaf.steps:
            values = op.kernel(values, *arguments)
        return values

    def _product(self, column: Column, start: int, stop: int) -> Array:
        return reduce(np.multiply, [self._read(leaf, start, stop) for leaf in column])

    def blocks(self, columns: Sequence[Column], weight: Column, masks: Masks, n: int) -> Iterator[Block]:
        """The columns and their weights, in blocks of the rows that the masks leave."""
        step = max(1, BLOCK // (1 + sum(map(self.width, columns))))
        for start in range(0, n, step):
            stop = min(n, start + step)
            parts = [self._product(column, start, stop) for column in columns]
            rows = np.concatenate(parts) if parts else np.empty((0, stop - start))
            weights = self._product(weight, start, stop)[0] if weight else None
            if masks:
                kept = np.logical_and.reduce([self._read(leaf, start, stop)[0] == is_ for leaf, is_ in masks])
                rows, weights = rows[:, kept], weights if weights is None else weights[kept]
            if rows.shape[1]:
                yield rows, weights

    # What is found out once ---------------------------------------------------------------------------------

    def range(self, column: Column, masks: Masks, n: int) -> tuple[float, float]:
        """The smallest and the largest element; NaN where one is NaN."""
        key = (column, masks, n)
        if key not in self._ranges:
            low, high = np.transpose([(x.min(), x.max()) for x, _ in self.blocks([column], (), masks, n)])
            self._ranges[key] = (float(low.min()), float(high.max()))
        return self._ranges[key]

    def mean(self, column: Column, masks: Masks, n: int) -> float:
        """The mean."""
        sums = [(float(x.sum()), x.size) for x, _ in self.blocks([column], (), masks, n)]
        total, size = map(sum, zip(*sums, strict=True))
        return total / size

    def levels_in_use(self, leaf: Leaf, masks: Masks, n: int) -> Array:
        """Which levels of a factor the rows that the masks leave have."""
        used = np.zeros(leaf.levels, dtype=bool)
        for codes, _ in self.blocks([(leaf._replace(levels=0),)], (), masks, n):
            used[codes[0]] = True
        used.flags.writeable = False
        return used

    def cells(self, masks: Sequence[Leaf], n: int) -> list[tuple[bool, ...]]:
        """Which values the masks have together in some row."""
        if not masks:
            return [()]
        found: set[int] = set()
        for start in range(0, n, BLOCK):
            stop = min(n, start + BLOCK)
            codes = np.zeros(stop - start, dtype=np.int64)
            for j, mask in enumerate(masks):
                codes |= self._read(mask, start, stop)[0].astype(np.int64) << j
            found.update(np.unique(codes).tolist())
        return [tuple(bool(code >> j & 1) for j in range(len(masks))) for code in sorted(found)]
