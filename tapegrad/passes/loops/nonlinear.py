"""Recurrences whose steps are not linear in what is carried: their step becomes the body of a scan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from tapegrad.derive.scan import scan_
from tapegrad.ops.broadcasting import broadcast_to
from tapegrad.ops.indexing import getitem
from tapegrad.ops.registry import FLOAT, Aval
from tapegrad.passes.loops.elements import Ints
from tapegrad.passes.loops.linear import Writing
from tapegrad.passes.loops.recurrences import Recurrence
from tapegrad.tape.body import Body
from tapegrad.tape.builder import Builder
from tapegrad.tape.entries import Entry
from tapegrad.tape.line import Source

_SCALAR = Aval((), FLOAT)


@dataclass
class _Outside:
    """What the steps read from outside of the loop: the new slots, and for each whether it is one for all."""

    slots: list[int] = field(default_factory=list)
    fixed: list[bool] = field(default_factory=list)

    def note(self, slot: int, is_fixed: bool) -> None:
        if slot not in self.slots:
            self.slots.append(slot)
            self.fixed.append(is_fixed)

    def parted(self) -> tuple[list[int], list[int]]:
        """Those that are one for all, and those that each step has of its own."""
        rows = list(zip(self.slots, self.fixed, strict=True))
        return [s for s, fixed in rows if fixed], [s for s, fixed in rows if not fixed]


def scanned(
    new: Writing, loop: Recurrence, rows: Sequence[Entry], first: Ints, source: Source | None
) -> dict[int, int]:
    """Write the loop as a scan: for each carried step the array of what it gives, iteration by iteration."""
    read, outside = [], _Outside()
    for row, operands in zip(rows, loop.operands, strict=True):
        slots = [new.operand(o.slots, row.source) if o.lag is None else -1 for o in operands]
        read.append(slots)
        for slot in slots:
            if slot >= 0 and new.value_of(slot) is None:
                outside.note(slot, new.shape(slot) == ())
    fixed, each = outside.parted()
    body = _body(new, loop, rows, read, [*fixed, *each], len(fixed))
    start = new.operand(first, source)
    if new.shape(start) == ():
        start = new.emit(broadcast_to, (start,), source, shape=(len(first),))
    table = new.emit(scan_, (start, *fixed, *each), source, body=body, count=len(loop.entries))
    return {
        step: new.emit(getitem, (table,), source, index=((None, None, None), c))
        for c, (step, lag) in enumerate(loop.carried)
        if lag == 1
    }


def _body(
    new: Writing,
    loop: Recurrence,
    rows: Sequence[Entry],
    read: list[list[int]],
    outside: list[int],
    fixed: int,
) -> Body:
    builder = Builder("step")
    carried = {key: builder.parameter(_SCALAR) for key in loop.carried}
    slot_of = {slot: builder.parameter(_SCALAR) for slot in outside}
    done: list[int] = []

    def inner(position: int, lag: int | None, slot: int) -> int:
        if lag:
            return carried[position, lag]
        if lag == 0:
            return done[position]
        if slot not in slot_of:
            slot_of[slot] = builder.constant(new.value_of(slot))
        return slot_of[slot]

    for row, operands, slots in zip(rows, loop.operands, read, strict=True):
        inputs = tuple([inner(o.position, o.lag, slot) for o, slot in zip(operands, slots, strict=True)])
        aval = row.op.aval([builder.avals[slot] for slot in inputs], dict(row.attrs))
        done.append(builder.emit(row.op, inputs, row.attrs, row.source, aval))
    outputs = [done[step] if lag == 1 else carried[step, lag - 1] for step, lag in loop.carried]
    return Body(builder.finish(outputs), len(carried), fixed)
