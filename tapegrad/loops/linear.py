"""Steps that hand numbers on linearly: a linear recurrence, written in the trace around the loop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tapegrad.ops.indexing import concatenate
from tapegrad.ops.registry import Op, Shape
from tapegrad.ops.shaping import reshape
from tapegrad.passes.loops.elements import Ints
from tapegrad.passes.loops.linear import Affine, applied, keeps_linear, solved
from tapegrad.recording.live import LiveRecorder
from tapegrad.recording.tracer import Tracer
from tapegrad.tape.entries import Entry
from tapegrad.tape.line import Source


class _Slots:
    """Writes on the tape of a trace by slots, see `tapegrad.passes.loops.linear.Writing`."""

    def __init__(self, recorder: LiveRecorder) -> None:
        self.recorder = recorder
        self.tracers: dict[int, Tracer] = {}

    def slot(self, value: Any) -> int:
        """The slot of a traced value or a number."""
        tracer = self.recorder.own(value, None)
        self.tracers[tracer.slot] = tracer
        return tracer.slot

    def emit(self, op: Op, inputs: tuple[int, ...], source: Source | None, **attrs: Any) -> int:
        """A new entry; its slot."""
        with self.recorder.at_line(source):
            return self.slot(op(*[self.tracers[slot] for slot in inputs], **attrs))

    def constant(self, value: Any) -> int:
        """A constant."""
        return self.slot(value)

    def operand(self, slots: Ints, source: Source | None) -> int:
        """A slot that holds what these hold, which are one."""
        return int(slots[0])

    def shape(self, slot: int) -> Shape:
        """The shape of a slot."""
        return self.tracers[slot].shape

    def value_of(self, slot: int) -> float | None:
        """The number that a slot always holds: that is left to the passes."""
        return None


def recurrence_of(
    recorder: LiveRecorder,
    steps: Sequence[Entry],
    carried: Sequence[int],
    after: Sequence[int],
    known: Mapping[int, Any],
    start: Sequence[Tracer],
    count: int,
) -> list[Any] | None:
    """What is carried on from each step, if these entries are linear in what is carried.

    Parameters
    ----------
    recorder : LiveRecorder
    steps : sequence of Entry
        What depends on what is carried, all of single numbers.
    carried, after : sequences of int
        The slots of what is carried, and of what is carried on.
    known : mapping of int to number or tracer
        What else the entries read: numbers, or arrays of one number for each step.
    start : sequence of Tracer
    count : int
    """
    moving = {*carried, *(e.output for e in steps)}
    if not all(keeps_linear(e.op, [slot in moving for slot in e.inputs]) for e in steps):
        return None
    new = _Slots(recorder)
    parts = {slot: Affine({i: None}) for i, slot in enumerate(carried)}
    parts.update({slot: Affine({}, new.slot(value)) for slot, value in known.items()})
    for e in steps:
        parts[e.output] = applied(new, e.op, [parts[slot] for slot in e.inputs], e.source)
    first = start[0]
    if len(start) > 1:
        first = concatenate(*[reshape(x, shape=(1,)) for x in start], axis=0)
    columns = solved(new, [parts[slot] for slot in after], count, new.slot(first), None)
    return [new.tracers[slot] for slot in columns]
