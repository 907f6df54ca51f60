"""What a plan is made of, as data: its stages, and the places of its values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from tapegrad.ops.registry import Read, Shape
from tapegrad.plan.split import Split, split
from tapegrad.tape.entries import Entries, Entry, Row
from tapegrad.tape.slots import Marks
from tapegrad.tape.tape import SCALAR, Tape, size_of

BLOCK = 8192
# Printed entries are compiled at about 10 us a line, and a printed scalar operation saves about 15 ns a run:
# long stretches of them, which loops in the user's code make, are not worth it before some hundred runs.
LONGEST_PRINTED = 5_000


def row_axis(shape: Shape, block: int) -> int | None:
    """The one axis of a shape that is long enough to be walked in blocks, or None."""
    if not shape:
        return None
    long = [axis for axis, n in enumerate(shape) if n >= 2 * block]
    return long[0] if len(long) == 1 else None


def numbers_of(tape: Tape) -> Marks:
    """What entries write that are elementwise on float scalars: Python floats will do for them."""
    scalar = bytearray([aval == SCALAR for aval in tape.avals])
    found = bytearray(len(tape.avals))
    for op, inputs, output, _, _ in tape.entries.rows():
        found[output] = scalar[output] and op.is_elementwise and all(scalar[slot] for slot in inputs)
    return found


@dataclass(frozen=True)
class Whole:
    """Entries that are executed one after the other on whole arrays."""

    entries: Sequence[Entry]


@dataclass(frozen=True)
class Interpreted:
    """The same, of so many entries that they are interpreted, not printed."""

    entries: Sequence[Entry]

    def rows(self) -> Iterable[Row]:
        """The entries as plain tuples."""
        return self.entries.rows() if isinstance(self.entries, Entries) else self.entries


@dataclass(frozen=True)
class RowLoop:
    """Entries that are executed block by block over `rows` rows: ``f(whole, block) -> sums``.

    Blocks do not depend on one another: they may run anywhere and in any order, as long as their sums are
    added up in the order of the blocks.

    Attributes
    ----------
    rows : int
    entries : sequence of Entry
        In order, reductions among them.
    reads : sequence of tuples of Read
        How each entry reads its operands.
    whole : tuple of int
        What every block reads whole: numbers, and arrays that are not along the rows.
    columns : tuple of int
        What is read block by block from outside the loop.
    sums : frozenset of int
        Outputs that are summed over the blocks.
    stored : frozenset of int
        Outputs along the rows that are needed after the loop, and are therefore stored in full.
    """

    rows: int
    entries: Sequence[Entry]
    reads: Sequence[tuple[Read, ...]]
    whole: tuple[int, ...]
    columns: tuple[int, ...]
    sums: frozenset[int]
    stored: frozenset[int]


Stage = Whole | Interpreted | RowLoop


@dataclass(frozen=True)
class Layout:
    """Where the values of a plan live: byte offsets into one buffer, and into one for the blocks of loops.

    Places are used again once the value in them is no longer needed.

    Attributes
    ----------
    places : mapping of int to int
        The offset of each slot that is written whole into an array.
    size : int
        Bytes of the buffer.
    blocks : tuple of mappings of int to int
        For each row loop, the offset of each slot of which only a block exists.
    block_size : int
        Bytes of the buffer for blocks, of which each thread has one.
    aliases : mapping of int to int
        Slots that are views, and of which other slots: nothing is left to do for them.
    boxed : frozenset of int
        Scalars that meet arrays, and then stand in an array without dimensions. Others are numbers only.
    is_number : Marks
        What entries write that are elementwise on float scalars; empty where nothing is interpreted.
    """

    places: Mapping[int, int]
    size: int
    blocks: tuple[Mapping[int, int], ...]
    block_size: int
    aliases: Mapping[int, int]
    boxed: frozenset[int]
    is_number: Marks


@dataclass(frozen=True)
class Plan:
    """The stages of a tape, in order, and the places of its values.

    Attributes
    ----------
    tape : Tape
    stages : tuple of Whole, Interpreted and RowLoop
    late : int
        From this stage on they depend on the late leaves.
    late_leaves : frozenset of int
    block : int
        Rows to a block; twice as many make a row axis.
    layout : Layout or None
        None where the tape is replayed entry by entry, which lays out its values by itself.
    at_once : int
        Rows to a block as a backend walks them; 0: `block`.
    """

    tape: Tape
    stages: tuple[Stage, ...]
    late: int
    late_leaves: frozenset[int]
    block: int
    layout: Layout | None
    at_once: int = 0

    def row_axis(self, slot: int) -> int | None:
        """The axis along which a slot is walked in blocks, or None."""
        return row_axis(self.tape.avals[slot].shape, self.block)

    def split(self, rows: int) -> Split:
        """The plan for rows that are in several places: rounds over them, and what is computed between.

        Parameters
        ----------
        rows : int
            How many rows the tape was recorded with: every axis of this length is one of rows.

        Returns
        -------
        Split
            Tapes for what is computed once and for what each piece of the rows computes, without the data.

        Raises
        ------
        TraceError
            If a step mixes rows, such as a sort or a cumulative sum; the message names the user's line.

        Examples
        --------
        >>> import numpy as np, tapegrad as tg
        >>> x = np.linspace(0.0, 1.0, 100)
        >>> spread = lambda mu, x: np.log1p((x - mu) ** 2).sum()
        >>> print(tg.trace(spread, dict(mu=0.5), data=dict(x=x)).plan.split(100))
        split of f along 100 rows
          once: 0 entries, 0 numbers and arrays in, 0 out
          each piece: 7 entries, 1 numbers and arrays in, 2 out, of 1 columns
          together: 2 to add
          once: 2 entries, 2 numbers and arrays in, 2 out
        """
        return split(self.tape, rows)

    def __str__(self) -> str:
        lines = [f"plan of {self.tape.name}: {len(self.stages)} stage{'s' * (len(self.stages) != 1)}"]
        for stage in self.stages:
            lines.append(f"  {described(self, stage)}")
        if self.layout is not None:
            lines.append(_buffers(self.layout))
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return f"<pre>{escape(str(self))}</pre>"


def described(plan: Plan, stage: Stage) -> str:
    """A stage in words."""
    if not isinstance(stage, RowLoop):
        scalars = sum(size_of(plan.tape.avals[entry.output].shape) == 1 for entry in stage.entries)
        how = "whole" if isinstance(stage, Whole) else "entry by entry"
        return f"{how}: {len(stage.entries):,} entries, {scalars:,} of them scalar"
    at_once = plan.at_once or plan.block
    blocks = -(-stage.rows // at_once)
    sums, stored = len(stage.sums), len(stage.stored)
    walk = f"{stage.rows:,} in {blocks:,} block{'s' * (blocks != 1)} of {at_once:,}"
    return (
        f"rows: {walk}: {len(stage.entries)} entries, {sums} sum{'s' * (sums != 1)}, {stored} stored in full"
    )


def _buffers(layout: Layout) -> str:
    text = f"  buffers: {_bytes(layout.size)} for what is written whole"
    return text + (f", {_bytes(layout.block_size)} a thread for blocks of rows" if layout.blocks else "")


def _bytes(count: int) -> str:
    for unit, size in (("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count} B"
