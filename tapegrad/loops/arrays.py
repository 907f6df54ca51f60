"""A recorded step for all iterations at once: array code, around a recurrence if something is carried."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from tapegrad.derive.scan import scan_
from tapegrad.loops.recorded import Step
from tapegrad.loops.writing import NoArrayCode, Writer
from tapegrad.ops.broadcasting import broadcast_to
from tapegrad.ops.indexing import getitem
from tapegrad.ops.registry import BOOL, FLOAT, INT
from tapegrad.ops.shaping import CASTS
from tapegrad.passes.loops.linear import Affine, applied, keeps_linear, solved
from tapegrad.tape.body import Body
from tapegrad.tape.builder import Builder
from tapegrad.tape.entries import Entry
from tapegrad.tape.slots import marked, needed_for
from tapegrad.tape.tape import SCALAR

FIXED, EACH, MOVING = range(3)  # the same in all steps; known of all steps; known after the recurrence


class Steps:
    """All iterations of a step.

    Attributes
    ----------
    kind : list of int
        For each slot of the step `FIXED`, `EACH` or `MOVING`.
    slots : dict of int to int
        For a slot of the step the slot of the trace that holds it for all steps, or the same for all.
    """

    def __init__(
        self, new: Writer, step: Step, start: Sequence[Any], each: Sequence[Any], count: int
    ) -> None:
        self.new, self.tape, self.count = new, step.tape, count
        self.carried, self.own = step.tape.parameters[: step.carried], step.tape.parameters[step.carried :]
        self.after = dict(zip(self.carried, step.tape.outputs, strict=False))
        self.ys = step.tape.outputs[step.carried :]
        self.start = {c: new.value(x) for c, x in zip(self.carried, start, strict=True)}
        self.slots: dict[int, int] = {}
        self.fixed = step.fixed
        self.slots.update({slot: new.value(x) for slot, x in zip(self.own, each, strict=True)})
        self.kind = self._kinds({})

    def _kinds(self, settled: dict[int, int]) -> list[int]:
        kind = [FIXED] * len(self.tape.avals)
        for slot in self.own:
            kind[slot] = EACH
        for slot in self.carried:
            kind[slot] = settled.get(slot, MOVING)
        for _, inputs, output, _, _ in self.tape.entries.rows():
            if output not in self.fixed:
                kind[output] = max([kind[slot] for slot in inputs])
        return kind

    def run(self) -> tuple[list[int], list[int]]:
        """The slots of what is carried at last, and of what is stacked."""
        self._settle()
        moving = [c for c in self.carried if self.kind[c] == MOVING]
        if moving:
            self._solve(moving)
        self._spread(self.ys, MOVING)
        return [self._last(c) for c in self.carried], [self._whole(slot) for slot in self.ys]

    # What is carried without being computed from what is carried ---------------------------------------------

    def _settle(self) -> None:
        """Find what is carried and yet known of all steps: what stays, and what comes from `xs` one step later."""
        settled: dict[int, int] = {}
        while True:
            for c in self.carried:
                if c in settled:
                    continue
                if self.after[c] == c:
                    settled[c], self.slots[c] = FIXED, self.start[c]
                elif self.kind[self.after[c]] != MOVING:
                    self._spread([self.after[c]], EACH)
                    settled[c] = EACH
                    self.slots[c] = self.new.before(self.start[c], self._whole(self.after[c]))
                else:
                    continue
                self.kind = self._kinds(settled)
                break
            else:
                return

    # The recurrence -----------------------------------------------------------------------------------------

    def _solve(self, moving: list[int]) -> None:
        needed = needed_for(self.tape, [self.after[c] for c in moving])
        core = [e for e in self.tape.entries if needed[e.output] and self.kind[e.output] == MOVING]
        avals = [self.tape.avals[slot] for e in core for slot in (e.output, *e.inputs)]
        if any(aval.shape for aval in avals) or not all(e.op.is_elementwise for e in core):
            raise NoArrayCode
        if any(self.tape.avals[c].shape for c in moving):
            raise NoArrayCode
        read = {slot for e in core for slot in e.inputs if self.kind[slot] != MOVING}
        self._spread(read, EACH)
        columns = self._linear(moving, core) or self._scan(moving, core, sorted(read))
        for c, column in zip(moving, columns, strict=True):
            self.slots[c] = self.new.before(self.start[c], column)
        for c, column in zip(moving, columns, strict=True):
            self.slots.setdefault(self.after[c], column)

    def _linear(self, moving: list[int], core: list[Entry]) -> list[int] | None:
        if not all(keeps_linear(e.op, [self.kind[s] == MOVING for s in e.inputs]) for e in core):
            return None
        parts = {c: Affine({i: None}) for i, c in enumerate(moving)}
        for e in core:
            operands = [parts[s] if s in parts else Affine({}, self._slot(s)) for s in e.inputs]
            parts[e.output] = applied(self.new, e.op, operands, e.source)
        rows = [parts[self.after[c]] for c in moving]
        start = [self.start[c] for c in moving]
        first = start[0] if len(start) == 1 else self.new.joined([self.new.row(s) for s in start])
        return solved(self.new, rows, self.count, first, self.new.source)

    def _scan(self, moving: list[int], core: list[Entry], read: list[int]) -> list[int]:
        fixed = [s for s in read if self.kind[s] == FIXED and type(self.fixed.get(s)) is not float]
        each = [s for s in read if self.kind[s] == EACH]
        body = self._body(moving, core, fixed, each)
        start = self.new.joined([self.new.row(self.start[c]) for c in moving])
        operands = [self._as_float(s) for s in (*fixed, *each)]
        table = self.new.emit(scan_, (start, *operands), self.new.source, body=body, count=self.count)
        return [
            self.new.emit(getitem, (table,), self.new.source, index=((None, None, None), i))
            for i in range(len(moving))
        ]

    def _as_float(self, slot: int) -> int:
        dtype, new = self.tape.avals[slot].dtype, self._slot(slot)
        if dtype == INT:
            raise NoArrayCode
        return self.new.emit(CASTS[FLOAT], (new,), self.new.source) if dtype == BOOL else new

    def _body(self, moving: list[int], core: list[Entry], fixed: list[int], each: list[int]) -> Body:
        builder = Builder("step")
        inner = {slot: builder.parameter(SCALAR) for slot in (*moving, *fixed, *each)}
        for slot in (*fixed, *each):
            aval = self.tape.avals[slot]
            if aval.dtype == BOOL:
                inner[slot] = builder.emit(CASTS[BOOL], (inner[slot],), (), self.new.source, aval)
        for e in core:
            for slot in e.inputs:
                if slot not in inner:
                    inner[slot] = builder.constant(self.fixed[slot])
            read = tuple([inner[slot] for slot in e.inputs])
            inner[e.output] = builder.emit(e.op, read, e.attrs, e.source, self.tape.avals[e.output])
        return Body(builder.finish([inner[self.after[c]] for c in moving]), len(moving), len(fixed))

    # Array code ---------------------------------------------------------------------------------------------

    def _slot(self, slot: int) -> int:
        """The slot of the trace for one of the step."""
        if slot not in self.slots:
            self.slots[slot] = self.new.value(self.fixed[slot])
        return self.slots[slot]

    def _spread(self, wanted: Iterable[int], most: int) -> None:
        """Compute these slots for all steps at once."""
        needed = marked(self.tape, wanted)
        for _, inputs, output, _, _ in self.tape.entries.rows_back():
            for slot in inputs if needed[output] and output not in self.slots else ():
                needed[slot] = 1
        for op, inputs, output, attrs, source in self.tape.entries.rows():
            if not needed[output] or output in self.slots or not FIXED < self.kind[output] <= most:
                continue
            steps = [None if self.kind[s] == FIXED else len(self.tape.avals[s].shape) for s in inputs]
            read = tuple([self._slot(s) for s in inputs])
            self.slots[output] = self.new.spread(op, read, steps, attrs, source)

    def _whole(self, slot: int) -> int:
        """A slot of the step with its values in all steps along the first axis."""
        found, shape = self._slot(slot), (self.count, *self.tape.avals[slot].shape)
        if self.new.shape(found) == shape:
            return found
        return self.new.emit(broadcast_to, (found,), self.new.source, shape=shape)

    def _last(self, c: int) -> int:
        """What is carried on from the last step."""
        if self.kind[self.after[c]] == FIXED:
            return self._slot(self.after[c])
        self._spread([self.after[c]], MOVING)
        return self.new.emit(getitem, (self._slot(self.after[c]),), self.new.source, index=(self.count - 1,))
