"""Tape -> Plan: what runs once, and what runs row by row.

Any axis of two blocks or more is a row axis. The entries that act along it row by row, and the sums over
it that close them, are gathered into row loops; a loop reads a block of rows once and takes it through all of
them while it is in cache. Everything else (scalars, small arrays, and what mixes rows) is executed whole,
between the loops. For a plain log-likelihood the forward and the reverse half share one loop, because the
reverse half does not depend on the value of the sum.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tapegrad.derive.pushforward import hoist
from tapegrad.plan.places import lay_out
from tapegrad.plan.stages import BLOCK, Plan, RowLoop, Stage, Whole, row_axis
from tapegrad.tape.entries import Entry
from tapegrad.tape.tape import Tape


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
    found = tuple(_stages(tape, stages, sums))
    return Plan(tape, found, before, frozenset(late), block, lay_out(tape, found, before, block))


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
