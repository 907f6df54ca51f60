"""Tape -> Plan: what runs once, and what runs row by row.

Any axis of two blocks or more is a row axis. The entries that act along it row by row, and the sums over
it that close them, are gathered into row loops; a loop reads a block of rows once and takes it through all of
them while it is in cache. Everything else (scalars, small arrays, and what mixes rows) is executed whole,
between the loops. For a plain log-likelihood the forward and the reverse half share one loop, because the
reverse half does not depend on the value of the sum.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from tapegrad.derive.forward import hoist
from tapegrad.ops.registry import Shape
from tapegrad.tape import Entry, Tape, size_of

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
class Plan:
    """The stages of a tape, in order.

    Attributes
    ----------
    tape : Tape
    stages : tuple of Whole and RowLoop
    late : int
        From this stage on they depend on the late leaves.
    late_leaves : frozenset of int
    block : int
        Rows to a block.
    """

    tape: Tape
    stages: tuple[Stage, ...]
    late: int
    late_leaves: frozenset[int]
    block: int

    def row_axis(self, slot: int) -> int | None:
        """The axis along which a slot is walked in blocks, or None."""
        return row_axis(self.tape.avals[slot].shape, self.block)

    @cached_property
    def stored(self) -> frozenset[int]:
        """The arrays along rows that are stored in full."""
        return frozenset().union(*(stage.stored for stage in self.stages if isinstance(stage, RowLoop)))

    @cached_property
    def owned(self) -> frozenset[int]:
        """The arrays that are not views of others: the parameters, and what ops write."""
        written = (entry.output for entry in self.tape.entries if not entry.op.view)
        return frozenset((*self.tape.parameters, *written))

    def __str__(self) -> str:
        lines = [f"plan of {self.tape.name}: {len(self.stages)} stage{'s' * (len(self.stages) != 1)}"]
        for stage in self.stages:
            lines += _describe(self, stage)
        return "\n".join(lines)


def plan(tape: Tape, late: Sequence[int] = (), block: int = BLOCK) -> Plan:
    """Cut a tape into stages; what depends on the leaves `late` comes last, in stages of its own."""
    tape, early = hoist(tape, late)
    ready: dict[int, int] = {}  # the even time from which a slot can be read whole
    inside: dict[int, tuple[int, int]] = {}  # the loop that a slot along the rows belongs to
    stages: dict[tuple[int, int], list[Entry]] = {}
    sums: set[int] = set()
    start = latest = 0
    for i, entry in enumerate(tape.entries):
        if i == early:
            start, inside = latest + 2, {}
        kind, rows = _kind(tape, entry, block)
        if kind == "whole":
            time = max((ready.get(slot, 0) for slot in entry.inputs), default=0)
            key = (max(time, start), 0)
            ready[entry.output] = key[0]
        else:
            time = max((_loop_for(slot, inside, ready, rows) for slot in entry.inputs), default=1)
            key = (max(time, start + 1), rows)
            ready[entry.output] = key[0] + 1
            if kind == "sum":
                sums.add(entry.output)
            else:
                inside[entry.output] = key
        latest = max(latest, ready[entry.output])
        stages.setdefault(key, []).append(entry)
    before = sum(key[0] < start for key in stages) if start else len(stages)
    return Plan(tape, tuple(_stages(tape, stages, sums)), before, frozenset(late), block)


def _loop_for(slot: int, inside: dict[int, tuple[int, int]], ready: dict[int, int], rows: int) -> int:
    """The earliest loop over these rows that can read a slot: its own, or the first after it is ready."""
    loop = inside.get(slot)
    return loop[0] if loop is not None and loop[1] == rows else ready.get(slot, 0) + 1


def _stages(tape: Tape, stages: dict[tuple[int, int], list[Entry]], sums: set[int]) -> Iterator[Stage]:
    home = {entry.output: key for key, entries in stages.items() for entry in entries}
    read_elsewhere = {*tape.outputs, *(guard.slot for guard in tape.guards)}
    for key, entries in stages.items():
        read_elsewhere.update(
            slot for entry in entries for slot in entry.inputs if home.get(slot, key) != key
        )
    for time, rows in sorted(stages):
        found = tuple(stages[time, rows])
        if time % 2 == 0:
            yield Whole(found)
            continue
        outputs = {entry.output for entry in found}
        yield RowLoop(rows, found, frozenset(outputs & sums), frozenset((outputs - sums) & read_elsewhere))


def _kind(tape: Tape, entry: Entry, block: int) -> tuple[str, int]:
    """How an entry runs: "whole", along "rows", or as a "sum" over them; and over how many rows."""
    shapes = [tape.avals[slot].shape for slot in entry.inputs]
    out = tape.avals[entry.output].shape
    long = [[n for n in shape if n >= 2 * block] for shape in (*shapes, out)]
    if len({n for found in long for n in found}) != 1 or any(len(found) > 1 for found in long):
        return "whole", 0
    axes = tuple(row_axis(shape, block) for shape in shapes)
    kind = entry.op.along_rows(axes, row_axis(out, block), tuple(shapes), out, dict(entry.attrs))
    return ("whole", 0) if kind is None else (kind, next(found[0] for found in long if found))


def _describe(plan: Plan, stage: Stage) -> list[str]:
    if isinstance(stage, Whole):
        scalars = sum(size_of(plan.tape.avals[entry.output].shape) == 1 for entry in stage.entries)
        return [f"  whole: {len(stage.entries)} entries, {scalars} of them scalar"]
    blocks = -(-stage.rows // plan.block)
    return [
        f"  rows: {stage.rows:,} in {blocks:,} blocks of {plan.block:,}: {len(stage.entries)} entries, "
        f"{len(stage.sums)} sums, {len(stage.stored)} stored in full"
    ]
