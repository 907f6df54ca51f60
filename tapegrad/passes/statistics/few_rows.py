"""The few rows that stand for all, as labelled constants of the tape that is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from operator import add
from typing import Any

import numpy as np

from tapegrad.passes.simplify import Rewriter
from tapegrad.passes.statistics.columns import Column, Columns
from tapegrad.passes.statistics.compression import Array, Compressed
from tapegrad.passes.statistics.lines import Rows

SCALARS = 10  # more columns than these are computed with as vectors


def are_scalars(known: Columns, columns: Sequence[Column]) -> bool:
    """Whether the rows stand on the tape as scalars, one by one."""
    return len(columns) <= SCALARS and not any(known.is_design(column) for column in columns)


class FewRows:
    """The rows that stand for all rows of some columns, on the tape that is written.

    Attributes
    ----------
    weight, share : int
        The sum of the weights, which without weights is the number of rows, and 1 over that.
    centre : Rows
        A row next to the mean.
    excess : Rows
        The sum of what all rows differ from it.
    factor : list of Rows
        The rows of the triangular factor: each for itself as scalars, or all of them as vectors and matrices.
    fit : dict of Column or None to int
        Where residuals stand in the place of a response, the coefficients of the other columns, and the
        intercept under None; else empty.
    """

    def __init__(
        self, w: Rewriter, known: Columns, columns: Mapping[Column, str], found: Compressed, chosen: str
    ) -> None:
        self._w = w
        self._columns = list(columns)
        self._known = known
        self._names = columns
        self._chosen = chosen
        self.weight = w.constant(found.weight)
        self.share = w.constant(1.0 / found.weight)
        names = list(columns.values())
        of = f"of [{', '.join(names)}]{chosen}"
        self.centre = self._rows(found.centre, [f"mean({name}){chosen}" for name in names], keep_zeros=True)
        self.excess = self._rows(found.excess, [f"sum({name} - mean){chosen}" for name in names])
        self.fit: dict[Column | None, int | None] = {}
        if found.fit is not None:
            self.fit.update(self._rows(found.fit, [f"fit of {name}{chosen}" for name in names]).items())
            self.fit[None] = self._constant(found.intercept, f"fit of 1{chosen}")
        if not are_scalars(known, self._columns):
            whole = self._rows(found.factor, [f"R[:, {name}] {of}" for name in names])
            self.factor = [whole] if len(found.factor) else []
            return
        norm = [f"norm({names[0]} - mean){chosen}"] if len(names) == 1 else []
        self.factor = [
            self._rows(row, norm or [f"R[{i}, {j}] {of}" for j in range(len(names))])
            for i, row in enumerate(found.factor)
        ]

    def _rows(self, values: Array, labels: Sequence[str], keep_zeros: bool = False) -> Rows:
        """The constants of one row, or of all rows of a matrix."""
        slots: dict[Column, int | None] = {}
        start = 0
        for column, label in zip(self._columns, labels, strict=True):
            stop = start + self._known.width(column)
            part: Any = values[..., start:stop] if self._known.is_design(column) else values[..., start]
            slots[column] = self._constant(part, label) if keep_zeros or np.any(part) else None
            start = stop
        return slots

    def labelled_product(self, slot: int, columns: Sequence[Column]) -> int:
        """A constant with a label, if it is the sum of the products of two columns less their means."""
        known = self._w.known
        rows = [[row[column] for column in columns] for row in self.factor]
        products = [known[i] * known[j] for i, j in rows if i is not None and j is not None]
        if reduce(add, products) != known[slot]:
            return slot
        left, right = (f"({self._names[column]} - mean)" for column in columns)
        return self._constant(known[slot], f"sum({left} * {right}){self._chosen}")

    def _constant(self, value: Any, label: str) -> int:
        value = np.array(value) if np.ndim(value) else float(value)
        if isinstance(value, np.ndarray):
            value.flags.writeable = False
        slot = self._w.constant(value)
        self._w.builder.labels[slot] = label
        return slot
