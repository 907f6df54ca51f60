"""Tape -> Plan: what runs once, and what runs row by row.

Any axis of two blocks or more is a row axis. The entries that act along it row by row, and the sums over
it that close them, are gathered into row loops; a loop reads a block of rows once and takes it through all of
them while it is in cache. Everything else (scalars, small arrays, and what mixes rows) is executed whole,
between the loops. For a plain log-likelihood the forward and the reverse half share one loop, because the
reverse half does not depend on the value of the sum.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from tapegrad.derive.pushforward import hoist
from tapegrad.ops.registry import Along, Read, Shape
from tapegrad.plan.places import lay_out
from tapegrad.plan.stages import BLOCK, LONGEST_PRINTED, Interpreted, Plan, RowLoop, Stage, Whole, row_axis
from tapegrad.tape.entries import Entries, Entry, Row, entry_of
from tapegrad.tape.slots import ends_of
from tapegrad.tape.tape import Tape

_Key = tuple[int, int]  # even times for what is executed whole, odd ones for loops; and over how many rows
_SEVERAL = -1


def plan(
    tape: Tape,
    late: Sequence[int] = (),
    block: int = BLOCK,
    longest: int = LONGEST_PRINTED,
    joins: Callable[[Row, Along, int], bool] | None = None,
) -> Plan:
    """Cut a tape into stages; what depends on the leaves `late` comes last, in stages of its own.

    Stages that are executed whole and have more than `longest` entries are interpreted. Of the entries that
    act along the rows, those that ``joins(row, along, rows)`` refuses are executed whole as well; where it is
    given, a loop may read arrays of other lengths whole.
    """
    tape, early = hoist(tape, late)
    lengths = _row_lengths(tape, block)
    ready = [0] * len(tape.avals)  # the even time from which a slot can be read whole
    inside: dict[int, _Key] = {}  # the loop that a slot along the rows belongs to
    stages: dict[_Key, list[Row]] = {}
    along: dict[int, Along] = {}
    start = latest = 0
    for i, row in enumerate(tape.entries.rows()):
        if i == early:
            start, inside = latest + 2, {}
        _, inputs, output, _, _ = row
        found, rows = _along(tape, row, lengths, block, joins is not None)
        if found is None or (joins is not None and not joins(row, found, rows)):
            time = start
            for slot in inputs:
                if ready[slot] > time:
                    time = ready[slot]
            key = (time, 0)
            ready[output] = time
        else:
            time = max((_loop_for(slot, inside, ready, rows) for slot in inputs), default=1)
            key = (max(time, start + 1), rows)
            ready[output] = key[0] + 1
            along[output] = found
            if not found.is_sum:
                inside[output] = key
        latest = max(latest, ready[output])
        stages.setdefault(key, []).append(row)
    before = sum(key[0] < start for key in stages) if start else len(stages)
    loose = list(_stages(tape, stages, along, longest))
    layout = lay_out(tape, loose, before, block)
    return Plan(tape, tuple(map(_packed, loose)), before, frozenset(late), block, layout)


def entry_by_entry(tape: Tape, late: Sequence[int] = ()) -> Plan:
    """The plan of a replay: all entries in order, those that depend on the leaves `late` last."""
    tape, early = hoist(tape, late)
    rows = tape.entries.rows
    halves = [Entries(rows(0, early)), Entries(rows(early))] if late else [tape.entries]
    return Plan(tape, tuple(map(Interpreted, halves)), 1, frozenset(late), BLOCK, None)


def _loop_for(slot: int, inside: Mapping[int, _Key], ready: Sequence[int], rows: int) -> int:
    """The earliest loop over these rows that can read a slot: its own, or the first after it is ready."""
    loop = inside.get(slot)
    return loop[0] if loop is not None and loop[1] == rows else ready[slot] + 1


def _stages(
    tape: Tape, stages: Mapping[_Key, list[Row]], along: Mapping[int, Along], longest: int
) -> Iterator[Stage]:
    home = {row[2]: key for key, found in stages.items() if key[1] for row in found}
    read_elsewhere = set(ends_of(tape))
    for key, found in stages.items() if home else ():
        for row in found:
            read_elsewhere.update([slot for slot in row[1] if slot in home and home[slot] != key])
    for time, rows in sorted(stages):
        found = stages[time, rows]
        if time % 2:
            yield _row_loop(rows, _made(found), along, read_elsewhere)
        else:
            yield (Interpreted if len(found) > longest else Whole)(_made(found))


def _packed(stage: Stage) -> Stage:
    """A stage to be kept: many entries take little memory in columns, and much time to be read from them."""
    return Interpreted(Entries(stage.entries)) if isinstance(stage, Interpreted) else stage


def _made(rows: list[Row]) -> tuple[Entry, ...]:
    return tuple(map(entry_of, rows))


def _row_loop(
    rows: int, entries: tuple[Entry, ...], along: Mapping[int, Along], read_elsewhere: set[int]
) -> RowLoop:
    outputs = {entry.output for entry in entries}
    sums = {slot for slot in outputs if along[slot].is_sum}
    reads = tuple([along[entry.output].reads for entry in entries])
    inputs: dict[int, Read] = {}
    for entry, ways in zip(entries, reads, strict=True):
        inputs.update(zip(entry.inputs, ways, strict=True))
    return RowLoop(
        rows,
        entries,
        reads,
        whole=tuple(sorted(slot for slot, way in inputs.items() if not way.by_block)),
        columns=tuple(sorted(slot for slot, way in inputs.items() if way.by_block and slot not in outputs)),
        sums=frozenset(sums),
        stored=frozenset((outputs - sums) & read_elsewhere),
    )


def _row_lengths(tape: Tape, block: int) -> list[int]:
    """How many rows each slot has, 0 where it is not long, and `_SEVERAL` where two axes are."""
    known: dict[Shape, int] = {(): 0}
    for shape, _ in tape.avals:
        if shape not in known:
            long = [n for n in shape if n >= 2 * block]
            known[shape] = _SEVERAL if len(long) > 1 else sum(long)
    return [known[shape] for shape, _ in tape.avals]


def _along(
    tape: Tape, row: Row, lengths: Sequence[int], block: int, is_mixed: bool
) -> tuple[Along | None, int]:
    """How an entry acts along the rows, None where it is executed whole; and over how many rows.

    Where lengths may be mixed, an operand of another length is read whole, such as what a gather takes from.
    """
    op, inputs, output, attrs, _ = row
    found = {lengths[slot] for slot in (*inputs, output)} - {0}
    if not found or _SEVERAL in found or (len(found) > 1 and not is_mixed):
        return None, 0
    shapes = tuple([tape.avals[slot].shape for slot in inputs])
    out = tape.avals[output].shape
    for rows in sorted(found, reverse=True):
        axes = tuple(
            [
                row_axis(shape, block) if lengths[slot] == rows else None
                for slot, shape in zip(inputs, shapes, strict=True)
            ]
        )
        axis = row_axis(out, block) if lengths[output] == rows else None
        along = op.along_rows(axes, axis, shapes, out, attrs)
        if along is not None:
            return along, rows
    return None, 0
