"""The recorder of a trace in which code is told of more rows than its arrays have, see `posing`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tapegrad.errors import TraceError
from tapegrad.ops.registry import Attrs, Aval, Op
from tapegrad.recording.live import Asked, LiveRecorder
from tapegrad.recording.posing import Posing
from tapegrad.recording.tracer import Tracer
from tapegrad.recording.values import Array
from tapegrad.tape.builder import Builder


class OtherWayError(TraceError):
    """The function goes another way than in the trace that it is compared with."""


class PosedRecorder(LiveRecorder):
    """Records while the user's function runs; what is decided comes out as it did before.

    Raises
    ------
    OtherWayError
        Where there is another decision, or one step more; the trace cannot be the same then.
    """

    posing: Posing

    def __init__(self, builder: Builder, asked: Asked | None, posing: Posing) -> None:
        super().__init__(builder, asked)
        self.posing = posing
        self._outcomes: dict[int, Any] = {}

    def array(self, operand: Any, array: Array, dtype: np.dtype[Any]) -> Tracer:
        """A constant array, of which there are as many rows as the data have here."""
        if self.posing.told not in array.shape:
            return super().array(operand, array, dtype)
        if not self.posing.is_even(array):
            raise self._other_way()
        return super().array(operand, self.posing.array(array), dtype)

    def decide(self, tracer: Tracer) -> Any:
        """What was decided there before."""
        tracer = self.own(tracer, None)
        if tracer.slot not in self._outcomes:
            place = len(self._outcomes)
            if place == len(self.posing.outcomes):
                raise self._other_way()
            super().decide(tracer)
            outcome = self._outcomes[tracer.slot] = np.asarray(self.posing.outcomes[place])
            if outcome.shape != np.shape(tracer.held):
                raise self._other_way()
        return self._outcomes[tracer.slot]

    def call_function(self, func: Callable[..., Any], args: Any, kwargs: dict[str, Any]) -> Any:
        """A NumPy function of operands some of which are traced."""
        return super().call_function(func, *self.posing.taken(func.__name__, args, kwargs))

    def _append(self, op: Op, inputs: tuple[int, ...], attrs: Attrs, aval: Aval, value: Any) -> Tracer:
        if len(self.builder.columns.ops) == self.posing.steps:
            raise self._other_way()
        return super()._append(op, inputs, attrs, aval, value)

    def _other_way(self) -> OtherWayError:
        return OtherWayError(self.whereabouts())
