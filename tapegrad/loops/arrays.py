"""A recorded step for all iterations at once: array code, around a recurrence if something is carried."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from tapegrad.derive import restarts  # noqa: F401 - the rules for loops in steps
from tapegrad.derive.batching import BatchingError, Operand, applied, check
from tapegrad.derive.scan import scan_
from tapegrad.loops.linear import recurrence_of
from tapegrad.loops.recorded import Step
from tapegrad.ops.broadcasting import broadcast_to
from tapegrad.ops.indexing import concatenate, getitem
from tapegrad.ops.registry import BOOL, FLOAT, INT, Aval
from tapegrad.ops.shaping import CASTS, reshape
from tapegrad.recording.live import LiveRecorder
from tapegrad.recording.tracer import Tracer
from tapegrad.tape.body import Body
from tapegrad.tape.builder import Builder
from tapegrad.tape.entries import Entry, entry_of
from tapegrad.tape.slots import marked, needed_for

FIXED, EACH, MOVING = range(3)  # the same in all steps; known of all steps; known after the recurrence


class Steps:
    """All iterations of a step.

    Attributes
    ----------
    kind : list of int
        For each slot of the step `FIXED`, `EACH` or `MOVING`.
    values : dict of int to Operand
        What is known of slots of the step, in the trace around it.
    """

    def __init__(
        self, recorder: LiveRecorder, step: Step, start: Sequence[Tracer], each: Sequence[Any], count: int
    ) -> None:
        self.recorder, self.tape, self.count = recorder, step.tape, count
        self.carried, self.own = step.tape.parameters[: step.carried], step.tape.parameters[step.carried :]
        self.after = dict(zip(self.carried, step.tape.outputs, strict=False))
        self.ys = step.tape.outputs[step.carried :]
        self.start = dict(zip(self.carried, start, strict=True))
        self.values = {slot: Operand(value, False) for slot, value in step.fixed.items()}
        for slot, x in zip(self.own, each, strict=True):
            self.values[slot] = Operand(recorder.own(x, None), True)
        self.kind = self._kinds({})

    def run(self) -> tuple[list[Any], list[Any]]:
        """What is carried at last, and what is stacked."""
        self._settle()
        moving = [c for c in self.carried if self.kind[c] == MOVING]
        if moving:
            self._solve(moving)
        self._spread(self.ys, MOVING)
        return [self._last(c) for c in self.carried], [self._whole(slot) for slot in self.ys]

    def _kinds(self, settled: dict[int, int]) -> list[int]:
        kind = [FIXED] * len(self.tape.avals)
        for slot in self.own:
            kind[slot] = EACH
        for slot in self.carried:
            kind[slot] = settled.get(slot, MOVING)
        for _, inputs, output, _, _ in self.tape.entries.rows():
            known = self.values.get(output)
            kind[output] = max([kind[slot] for slot in inputs]) if known is None or known.varies else FIXED
        return kind

    # What is carried and yet known of all steps -------------------------------------------------------------

    def _settle(self) -> None:
        """Find what is carried on as it is, and what does not depend on what is carried."""
        settled: dict[int, int] = {}
        while True:
            for c in self.carried:
                if c in settled:
                    continue
                if self.after[c] == c:
                    settled[c], self.values[c] = FIXED, Operand(self.start[c], False)
                elif self.kind[self.after[c]] != MOVING:
                    self._spread([self.after[c]], EACH)
                    settled[c] = EACH
                    self.values[c] = Operand(self._before(c, self._whole(self.after[c])), True)
                else:
                    continue
                self.kind = self._kinds(settled)
                break
            else:
                return

    # The recurrence -----------------------------------------------------------------------------------------

    def _solve(self, moving: list[int]) -> None:
        needed = needed_for(self.tape, [self.after[c] for c in moving])
        core = [
            e
            for e in map(entry_of, self.tape.entries.rows())
            if needed[e.output] and self.kind[e.output] == MOVING
        ]
        read = sorted({slot for e in core for slot in e.inputs if self.kind[slot] != MOVING})
        self._spread(read, EACH)
        after = self._linear(moving, core) or self._scan(moving, core, read)
        for c, column in zip(moving, after, strict=True):
            self.values[c] = Operand(self._before(c, column), True)
        for c, column in zip(moving, after, strict=True):
            self.values.setdefault(self.after[c], Operand(column, True))

    def _linear(self, moving: list[int], core: list[Entry]) -> list[Any] | None:
        ends = [self.after[c] for c in moving]
        scalars = [*ends, *(slot for e in core for slot in (e.output, *e.inputs))]
        if any(self.tape.avals[slot].shape for slot in scalars):
            return None
        known = {slot: self.values[slot].value for e in core for slot in e.inputs if slot in self.values}
        start = [self.start[c] for c in moving]
        return recurrence_of(self.recorder, core, moving, ends, known, start, self.count)

    def _scan(self, moving: list[int], core: list[Entry], read: list[int]) -> list[Any]:
        fixed = [s for s in read if self.kind[s] == FIXED and isinstance(self.values[s].value, Tracer)]
        each = [s for s in read if self.kind[s] == EACH]
        if any(self.tape.avals[s].dtype == INT for s in (*fixed, *each)):
            raise BatchingError("a loop hands no whole numbers to its steps")
        body = self._body(moving, core, fixed, each)
        check(body)
        flat = [reshape(self.start[c], shape=(self.start[c].size,)) for c in moving]
        start = flat[0] if len(flat) == 1 else concatenate(*flat, axis=0)
        operands = [self._as_float(s) for s in (*fixed, *each)]
        table = scan_(start, *operands, body=body, count=self.count)
        return [self._part(table, *span) for span in body.spans]

    def _part(self, table: Any, a: int, b: int, aval: Aval) -> Any:
        if aval.shape == ():
            return getitem(table, index=((None, None, None), a))
        return reshape(
            getitem(table, index=((None, None, None), (a, b, None))), shape=(self.count, *aval.shape)
        )

    def _as_float(self, slot: int) -> Any:
        value = self.values[slot].value
        return CASTS[FLOAT](value) if self.tape.avals[slot].dtype == BOOL else value

    def _body(self, moving: list[int], core: list[Entry], fixed: list[int], each: list[int]) -> Body:
        """What must be done step by step; a truth value that it is handed is 0.0 or 1.0."""
        builder, avals = Builder("step"), self.tape.avals
        inner = {s: builder.parameter(Aval(avals[s].shape, FLOAT)) for s in (*moving, *fixed, *each)}
        for slot in (*fixed, *each):
            if avals[slot].dtype == BOOL:
                inner[slot] = builder.emit(CASTS[BOOL], (inner[slot],), (), None, avals[slot])
        for e in core:
            for slot in e.inputs:
                if slot not in inner:
                    inner[slot] = builder.constant(self.values[slot].value)
            read = tuple([inner[slot] for slot in e.inputs])
            inner[e.output] = builder.emit(e.op, read, e.attrs, e.source, avals[e.output])
        return Body(builder.finish([inner[self.after[c]] for c in moving]), len(moving), len(fixed))

    # Array code ---------------------------------------------------------------------------------------------

    def _spread(self, wanted: Iterable[int], most: int) -> None:
        """Compute these slots for all steps at once."""
        needed = marked(self.tape, wanted)
        for _, inputs, output, _, _ in self.tape.entries.rows_back():
            for slot in inputs if needed[output] and output not in self.values else ():
                needed[slot] = 1
        for entry in map(entry_of, self.tape.entries.rows()):
            if needed[entry.output] and entry.output not in self.values and self.kind[entry.output] <= most:
                operands = [self.values[slot] for slot in entry.inputs]
                with self.recorder.at_line(entry.source):
                    self.values[entry.output] = applied(entry, operands, self.count)

    def _before(self, c: int, after: Any) -> Any:
        """What is carried into each step, out of what is carried on from each."""
        first = reshape(self.start[c], shape=(1, *self.start[c].shape))
        if self.count == 1:
            return first
        return concatenate(first, getitem(after, index=((None, self.count - 1, None),)), axis=0)

    def _whole(self, slot: int) -> Any:
        """A slot of the step with its values in all steps along the first axis."""
        value, varies = self.values[slot]
        if varies:
            return value
        shape = (self.count, *self.tape.avals[slot].shape)
        return broadcast_to(self.recorder.own(value, None), shape=shape)

    def _last(self, c: int) -> Any:
        """What is carried on from the last step."""
        self._spread([self.after[c]], MOVING)
        value, varies = self.values[self.after[c]]
        return getitem(value, index=(self.count - 1,)) if varies else self.recorder.own(value, None)
