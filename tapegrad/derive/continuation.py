"""A tape that derivative rules write on: they find its slots as tracers, and their entries follow its own."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from tapegrad.recording.recorder import Recorder
from tapegrad.tape.builder import Builder
from tapegrad.tape.line import Source
from tapegrad.tape.tape import Tape


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
