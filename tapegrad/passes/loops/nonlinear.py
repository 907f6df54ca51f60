"""Recurrences whose steps are not linear in what is carried: their step becomes the body of a scan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from tapegrad.derive.batching import RULES, check
from tapegrad.derive.scan import WIDEST, scan_
from tapegrad.ops.broadcasting import broadcast_to
from tapegrad.ops.indexing import concatenate, getitem
from tapegrad.ops.registry import FLOAT, Aval, Shape
from tapegrad.ops.shaping import reshape
from tapegrad.passes.loops.elements import Ints
from tapegrad.passes.loops.linear import Writing
from tapegrad.passes.loops.recurrences import Recurrence
from tapegrad.tape.body import Body
from tapegrad.tape.builder import Builder
from tapegrad.tape.entries import Entry
from tapegrad.tape.line import Source
from tapegrad.tape.tape import size_of


class WritingBodies(Writing, Protocol):
    """What writes loops with bodies, too."""

    def number(self, slot: int, source: Source | None = None) -> int: ...
    def old_aval(self, slot: int) -> Aval: ...


@dataclass
class _Outside:
    """What the steps read from outside of the loop, by new slots: whether it is one for all, and its aval."""

    fixed: dict[int, bool] = field(default_factory=dict)
    avals: dict[int, Aval] = field(default_factory=dict)

    def note(self, slot: int, is_fixed: bool, aval: Aval) -> None:
        self.fixed[slot], self.avals[slot] = is_fixed, aval

    def parted(self) -> list[int]:
        """Those that are one for all, then those that each step has of its own."""
        return sorted(self.fixed, key=lambda slot: not self.fixed[slot])


def can_be_body(new: WritingBodies, loop: Recurrence, rows: Sequence[Entry]) -> bool:
    """Whether the steps can be the body of a scan."""
    carried = [new.old_aval(rows[step].output) for step, _ in loop.carried]
    width = sum(size_of(aval.shape) for aval in carried)
    batchable = all(row.op.is_elementwise or row.op in RULES for row in rows)
    return batchable and width <= WIDEST and all(aval.dtype == FLOAT for aval in carried)


def scanned(
    new: WritingBodies, loop: Recurrence, rows: Sequence[Entry], first: Ints, source: Source | None
) -> dict[int, int]:
    """Write the loop as a scan: for each carried step the array of what it gives, iteration by iteration.

    `BatchingError` where the derivatives of the steps cannot be written for all of them at once.
    """
    read, outside = [], _Outside()
    for row, operands in zip(rows, loop.operands, strict=True):
        slots = [new.operand(o.slots, row.source) if o.lag is None else -1 for o in operands]
        read.append(slots)
        for o, slot in zip(operands, slots, strict=True):
            if slot >= 0 and new.value_of(slot) is None:
                aval = new.old_aval(int(o.slots[0]))
                outside.note(slot, len(new.shape(slot)) == len(aval.shape), aval)
    body = _body(new, loop, rows, read, outside)
    check(body)
    start = _flat_start(new, first, source)
    table = new.emit(scan_, (start, *outside.parted()), source, body=body, count=len(loop.entries))
    return {
        step: _part(new, table, a, b, aval.shape, source)
        for (step, lag), (a, b, aval) in zip(loop.carried, body.spans, strict=True)
        if lag == 1
    }


def _flat_start(new: WritingBodies, first: Ints, source: Source | None) -> int:
    """What is carried into the first step, one number after the other."""
    if all(new.old_aval(slot).shape == () for slot in first.tolist()):
        start = new.operand(first, source)
        return start if new.shape(start) else new.emit(broadcast_to, (start,), source, shape=(len(first),))
    parts = []
    for slot in first.tolist():
        flat = (size_of(new.old_aval(slot).shape),)
        parts.append(new.emit(reshape, (new.number(slot, source),), source, shape=flat))
    return parts[0] if len(parts) == 1 else new.emit(concatenate, tuple(parts), source, axis=0)


def _part(new: WritingBodies, table: int, a: int, b: int, shape: Shape, source: Source | None) -> int:
    """Some columns of the table of states, as arrays of this shape."""
    count = new.shape(table)[0]
    if shape == ():
        return new.emit(getitem, (table,), source, index=((None, None, None), a))
    if b - a < new.shape(table)[1]:
        table = new.emit(getitem, (table,), source, index=((None, None, None), (a, b, None)))
    return new.emit(reshape, (table,), source, shape=(count, *shape))


def _body(
    new: WritingBodies, loop: Recurrence, rows: Sequence[Entry], read: list[list[int]], outside: _Outside
) -> Body:
    builder = Builder("step")
    carried = {key: builder.parameter(new.old_aval(rows[key[0]].output)) for key in loop.carried}
    slot_of = {slot: builder.parameter(outside.avals[slot]) for slot in outside.parted()}
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
    return Body(builder.finish(outputs), len(carried), sum(outside.fixed.values()))
