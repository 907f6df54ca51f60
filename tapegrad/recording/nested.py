"""The recorder of one step of a loop, within a trace: the step is recorded once, for all iterations.

Traced values from around the step that it uses become inputs which are the same in every iteration.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from tapegrad.errors import TraceError
from tapegrad.ops.registry import INT, Aval
from tapegrad.recording.frames import whereabouts
from tapegrad.recording.live import LiveRecorder
from tapegrad.recording.tracer import Tracer
from tapegrad.recording.values import tidy_value
from tapegrad.tape.builder import LEAF, Builder

# What a slot of the step is in all iterations, along a first axis; None where it depends on what is carried.
InAllSteps = Callable[["StepRecorder", int], Tracer | None]


class StepRecorder(LiveRecorder):
    """Records a step while it runs on what the first iteration gets.

    Attributes
    ----------
    outer : LiveRecorder
        The recorder of the code around the loop.
    fixed : dict of int to Tracer or constant
        For each slot that does not depend on the iteration the traced value of `outer`, as far as asked for.
    """

    is_step = True

    def __init__(self, outer: LiveRecorder, name: str, in_all_steps: InAllSteps) -> None:
        super().__init__(Builder(name))
        self.outer = outer
        self.dataframes, self.steps = outer.dataframes, outer.steps
        self.has_buffers = outer.has_buffers
        self.posing = outer.posing
        self.asked = outer.asked
        self._in_all_steps = in_all_steps
        self.fixed: dict[int, Any] = {}
        self._slots: dict[int, int] = {}  # of this recording, by those of the outer one
        self._hoisted = 0

    @contextmanager
    def running(self) -> Iterator[None]:
        """While the step runs: the code around it hands on to this recorder what is done with its values."""
        self.outer.inner = self
        try:
            with super().running():
                yield
        finally:
            self.outer.inner = None
            self.close()

    def parameter(self, aval: Aval, value: Any) -> Tracer:
        """What each iteration has of its own, with its value in the first one."""
        return Tracer(self, self.builder.parameter(aval), value)

    def from_around(self, operand: Tracer) -> Tracer:
        """A traced value from around the step, which is the same in every iteration."""
        around = self.outer.own(operand, None)
        if around.slot not in self._slots:
            slot = self.builder.datum(Aval(around.shape, around.dtype))
            self._slots[around.slot] = slot
            self.fixed[slot] = Tracer(around.recorder, around.slot, around.held)
        return Tracer(self, self._slots[around.slot], around.held)

    def hoist(self) -> None:
        """Record in the code around the loop what does not depend on the iteration."""
        columns = self.builder.columns
        known = {**dict(self.builder.constants), **self.fixed}
        with self.outer.by_itself():
            for slot, place in enumerate(self.builder.writers):
                if place == LEAF or place < self._hoisted:
                    continue
                op, inputs, _, attrs, source = columns.row(place, slot)
                if all(i in known for i in inputs):
                    with self.outer.at_line(source):
                        value = op(*[known[i] for i in inputs], **dict(attrs))
                    known[slot] = self.fixed[slot] = value if isinstance(value, Tracer) else tidy_value(value)
        self._hoisted = len(columns.ops)

    def decide(self, tracer: Tracer) -> Any:
        """A decision that is the same in every iteration belongs to the code around; there is no other."""
        tracer = self.own(tracer, None)
        self.hoist()
        if tracer.slot in self.fixed:
            return self.outer.decide(self.outer.own(self.fixed[tracer.slot], None))
        with self.outer.by_itself():
            whole = self._in_all_steps(self, tracer.slot)
            outcomes = np.empty(0) if whole is None else self.outer.decide(whole)
        if len(outcomes) and (outcomes == outcomes[0]).all():
            return outcomes[0]
        told = "the step is recorded once for all iterations"
        if tracer.dtype == INT:
            raise TraceError(
                f"a step of {self.builder.name} asks for a traced whole number{whereabouts()}: {told}. Do "
                "not index plain data with it: index before the loop, and hand over z[index] as part of xs"
            )
        raise TraceError(
            f"a step of {self.builder.name} decides on a traced value{whereabouts()}: {told}, which would "
            "all take this branch. Write np.where(condition, a, b), or make it a plain Python loop"
        )

    def foreign(self) -> TraceError:
        """The error for a traced value of the step that is used outside of it."""
        return TraceError(
            f"a traced value of a step of {self.builder.name} was used outside of it{whereabouts()}: return "
            "it from the step, as part of the carry or of what is stacked"
        )
