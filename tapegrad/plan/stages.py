"""What a plan is made of, as data: its stages, and the places of its values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tapegrad.ops.registry import Shape
from tapegrad.tape.entries import Entry
from tapegrad.tape.tape import Tape, size_of

BLOCK = 8192


def row_axis(shape: Shape, block: int) -> int | None:
    """The one axis of a shape that is long enough to be walked in blocks, or None."""
    long = [axis for axis, n in enumerate(shape) if n >= 2 * block]
    return long[0] if len(long) == 1 else None


@dataclass(frozen=True)
class Whole:
    """Entries that are executed one after the other on whole arrays."""

    entries: tuple[Entry, ...]


@dataclass(frozen=True)
class RowLoop:
    """Entries that are executed block by block over `rows` rows.

    Attributes
    ----------
    rows : int
    entries : tuple of Entry
        In order, reductions among them.
    sums : frozenset of int
        Outputs that are summed over the blocks.
    stored : frozenset of int
        Outputs along the rows that are needed after the loop, and are therefore stored in full.
    """

    rows: int
    entries: tuple[Entry, ...]
    sums: frozenset[int]
    stored: frozenset[int]


Stage = Whole | RowLoop


@dataclass(frozen=True)
class Layout:
    """Where the values of a plan live: byte offsets into one buffer, and into one for the blocks of loops.

    Places are used again once the value in them is no longer needed.

    Attributes
    ----------
    places : mapping of int to int
        The offset of each slot that is written whole.
    size : int
        Bytes of the buffer.
    blocks : tuple of mappings of int to int
        For each row loop, the offset of each slot of which only a block exists.
    block_size : int
        Bytes of the buffer for blocks, of which each thread has one.
    aliases : frozenset of int
        Slots that are views of others, so that nothing is left to do for them.
    """

    places: Mapping[int, int]
    size: int
    blocks: tuple[Mapping[int, int], ...]
    block_size: int
    aliases: frozenset[int]


@dataclass(frozen=True)
class Plan:
    """The stages of a tape, in order, and the places of its values.

    Attributes
    ----------
    tape : Tape
    stages : tuple of Whole and RowLoop
    late : int
        From this stage on they depend on the late leaves.
    late_leaves : frozenset of int
    block : int
        Rows to a block.
    layout : Layout
    """

    tape: Tape
    stages: tuple[Stage, ...]
    late: int
    late_leaves: frozenset[int]
    block: int
    layout: Layout

    def row_axis(self, slot: int) -> int | None:
        """The axis along which a slot is walked in blocks, or None."""
        return row_axis(self.tape.avals[slot].shape, self.block)

    def __str__(self) -> str:
        lines = [f"plan of {self.tape.name}: {len(self.stages)} stage{'s' * (len(self.stages) != 1)}"]
        for stage in self.stages:
            lines.append(_described(self, stage))
        buffers = f"  buffers: {_bytes(self.layout.size)} for what is written whole"
        if self.layout.blocks:
            buffers += f", {_bytes(self.layout.block_size)} a thread for blocks of rows"
        return "\n".join([*lines, buffers])


def _described(plan: Plan, stage: Stage) -> str:
    if isinstance(stage, Whole):
        scalars = sum(size_of(plan.tape.avals[entry.output].shape) == 1 for entry in stage.entries)
        return f"  whole: {len(stage.entries)} entries, {scalars} of them scalar"
    blocks = -(-stage.rows // plan.block)
    sums, stored = len(stage.sums), len(stage.stored)
    return (
        f"  rows: {stage.rows:,} in {blocks:,} blocks of {plan.block:,}: {len(stage.entries)} entries, "
        f"{sums} sum{'s' * (sums != 1)}, {stored} stored in full"
    )


def _bytes(count: int) -> str:
    for unit, size in (("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count} B"
