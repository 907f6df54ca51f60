"""What the array code of a loop is written with: slots of the trace around the loop, and their tracers."""

from __future__ import annotations

from typing import Any

import numpy as np

from tapegrad.ops.indexing import ARRAY, concatenate, getitem
from tapegrad.ops.registry import Attrs, Op, Shape
from tapegrad.ops.shaping import reshape
from tapegrad.passes.loops.elements import Ints
from tapegrad.recording.live import LiveRecorder
from tapegrad.recording.tracer import Tracer
from tapegrad.tape.line import Source


class NoArrayCode(Exception):
    """An op is none that can be applied to all steps at once."""


class Writer:
    """Writes on the tape of the trace, see `tapegrad.passes.loops.linear.Writing`."""

    def __init__(self, recorder: LiveRecorder, source: Source | None) -> None:
        self.recorder = recorder
        self.source = source
        self.tracers: dict[int, Tracer] = {}

    def note(self, tracer: Tracer) -> int:
        """The slot of a tracer, which is known from now on."""
        self.tracers[tracer.slot] = tracer
        return tracer.slot

    def value(self, value: Any) -> int:
        """A tracer, or a constant, as a slot."""
        return self.note(self.recorder.own(value, None))

    def emit(self, op: Op, inputs: tuple[int, ...], source: Source | None, **attrs: Any) -> int:
        """A new entry; its slot."""
        return self.placed(op, inputs, tuple(attrs.items()), source)

    def placed(self, op: Op, inputs: tuple[int, ...], attrs: Attrs, source: Source | None) -> int:
        """The same with attributes as a tape has them."""
        operands = tuple([self.tracers[slot] for slot in inputs])
        return self.note(self.recorder.place(op, operands, attrs, source))

    def constant(self, value: Any) -> int:
        """A constant."""
        return self.value(value)

    def operand(self, slots: Ints, source: Source | None) -> int:
        """A slot that holds what all of these do, which are one."""
        return int(slots[0])

    def shape(self, slot: int) -> Shape:
        """The shape of a slot."""
        return self.tracers[slot].shape

    def value_of(self, slot: int) -> float | None:
        """The number of a constant; here all are left to the passes."""
        return None

    # All steps at once --------------------------------------------------------------------------------------

    def joined(self, parts: list[int]) -> int:
        """Arrays one after another."""
        return parts[0] if len(parts) == 1 else self.emit(concatenate, tuple(parts), self.source, axis=0)

    def row(self, slot: int) -> int:
        """A number or an array as the only row of an array."""
        return self.emit(reshape, (slot,), self.source, shape=(1, *self.shape(slot)))

    def before(self, start: int, after: int) -> int:
        """What is carried into each step, out of what is carried on from each."""
        count = self.shape(after)[0]
        if count == 1:
            return self.row(start)
        earlier = self.emit(getitem, (after,), self.source, index=((None, count - 1, None),))
        return self.joined([self.row(start), earlier])

    def spread(
        self, op: Op, inputs: tuple[int, ...], steps: list[int | None], attrs: Attrs, source: Source | None
    ) -> int:
        """An op on all steps at once; `steps` are the axes that an input has in one step, None for fixed ones."""
        if op.is_elementwise:
            most = max(len(self.shape(s)) if n is None else n for s, n in zip(inputs, steps, strict=True))
            aligned = [self._aligned(s, n, most, source) for s, n in zip(inputs, steps, strict=True)]
            return self.placed(op, tuple(aligned), attrs, source)
        if op is getitem and steps[0] is None and all(n in (0, None) for n in steps[1:]):
            index = dict(attrs)["index"]
            leading = index[: index.index(ARRAY)] if ARRAY in index else (None,)
            plain = [item for item in index if item is not ARRAY]
            if all(isinstance(item, (int, np.integer)) for item in leading) and not any(
                item is None or item is Ellipsis for item in plain
            ):
                return self.placed(op, inputs, attrs, source)
        raise NoArrayCode

    def _aligned(self, slot: int, axes: int | None, most: int, source: Source | None) -> int:
        """An input with its steps along the first axis, so that the others meet as they do in one step."""
        if axes is None or axes == most:
            return slot
        count, *own = self.shape(slot)
        return self.emit(reshape, (slot,), source, shape=(count, *(1,) * (most - axes), *own))
