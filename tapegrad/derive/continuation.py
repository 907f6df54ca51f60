"""A tape that derivative rules write on: they find its slots as tracers, and their entries follow its own."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from tapegrad.recording.recorder import Recorder
from tapegrad.tape.builder import Builder
from tapegrad.tape.tape import Source, Tape, size_of


class Continuation:
    """A copy of a tape, to be continued; slots keep their numbers."""

    def __init__(self, tape: Tape) -> None:
        self.tape = tape
        self.builder = Builder.continuing(tape)
        self.recorder = Recorder(self.builder)
        self._tracers: dict[int, Any] = {}

    def value(self, slot: int) -> Any:
        """A slot as a tracer."""
        if slot not in self._tracers:
            self._tracers[slot] = self.recorder.symbol(slot)
        return self._tracers[slot]

    def visit(self, source: Source | None) -> None:
        """Entries recorded from now on belong to this line."""
        self.recorder.at = source

    def new_parameters_like(self, slots: Iterable[int]) -> list[Any]:
        """Further parameter leaves, of the shapes of these slots."""
        return [self.recorder.symbol(self.builder.parameter(self.tape.avals[slot])) for slot in slots]

    def slots_or_zeros(self, found: dict[int, Any], like: Iterable[int]) -> list[int]:
        """For each of these slots what was found for it, or zeros of its shape."""
        slots = []
        for slot in like:
            operand = found.get(slot)
            if operand is None:
                operand = np.zeros(self.tape.avals[slot].shape)
            slots.append(self.recorder.lift(operand, None).slot)
        return slots


def waist(tape: Tape) -> int | None:
    """The smallest slot that everything passes through on its way from parameters to outputs, or None."""
    active = active_slots(tape, tape.parameters)
    last: dict[int, int] = {slot: len(tape.entries) for slot in tape.outputs if slot in active}
    for i, entry in reversed(list(enumerate(tape.entries))):
        for slot in entry.inputs if entry.output in active else ():
            if slot in active:
                last.setdefault(slot, i)
    alive = {slot for slot in tape.parameters if slot in last}
    best: int | None = None
    for i, entry in enumerate(tape.entries):
        if entry.output in active and entry.output in last:
            alive = {slot for slot in alive if last[slot] > i} | {entry.output}
            size = size_of(tape.avals[entry.output].shape)
            if len(alive) == 1 and (best is None or size < size_of(tape.avals[best].shape)):
                best = entry.output
    return best


def active_slots(tape: Tape, inputs: Iterable[int]) -> set[int]:
    """The slots that depend differentiably on `inputs`."""
    active = set(inputs)
    for entry in tape.entries:
        if any(slot in active and entry.op.differentiable(i) for i, slot in enumerate(entry.inputs)):
            active.add(entry.output)
    return active
