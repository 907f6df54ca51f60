"""A loop in a trace: its step is recorded once."""

from __future__ import annotations

from typing import Any

import numpy as np

from tapegrad.derive.batching import BatchingError
from tapegrad.loops.arrays import Steps
from tapegrad.loops.plain import looped
from tapegrad.loops.recorded import Step, recorded
from tapegrad.loops.step import Loop, aval_of, built
from tapegrad.loops.unrolled import unrolled
from tapegrad.ops.registry import BOOL, FLOAT, Recordable
from tapegrad.ops.shaping import CASTS
from tapegrad.recording.live import LiveRecorder
from tapegrad.recording.tracer import Tracer
from tapegrad.tape.builder import Builder


def in_trace(loop: Loop, recorder: LiveRecorder) -> tuple[Any, Any]:
    """What is carried at last, and what the steps give, stacked."""
    step = recorded(loop, recorder)
    if not step.uses_traced and not any(isinstance(x, Recordable) for x in (*loop.start, *loop.each)):
        return looped(loop)
    start = [recorder.own(x, FLOAT) for x in loop.start]
    last, ys = _written(loop, step, recorder, start)
    carry = [
        CASTS[BOOL](x) if aval_of(old).dtype == BOOL else x for x, old in zip(last, loop.start, strict=True)
    ]
    return built(loop.init, carry), built(step.ys, ys)


def _written(
    loop: Loop, step: Step, recorder: LiveRecorder, start: list[Tracer]
) -> tuple[list[Any], list[Any]]:
    """The loop as array code or, where an op is none, iteration by iteration."""
    try:
        last, ys = Steps(recorder, step, start, loop.each, loop.count).run()
    except BatchingError:
        return unrolled(recorder, step, start, loop.each, loop.count)
    return [_fresh(recorder, x) for x in last], [_fresh(recorder, x) for x in ys]


def _fresh(recorder: LiveRecorder, value: Any) -> Tracer:
    """A tracer of its own, which can be written to."""
    tracer = recorder.own(value, None)
    return Tracer(recorder, tracer.slot, tracer.held)


def over_nothing(loop: Loop, recorder: LiveRecorder | None) -> tuple[Any, Any]:
    """The result of no steps: what a step gives is found out by recording one on ones."""
    outer = recorder or LiveRecorder(Builder(loop.name))
    step = recorded(loop, outer)
    slots = step.tape.outputs[step.carried :]
    avals = [step.tape.avals[slot] for slot in slots]
    ys = [np.zeros((0, *aval.shape), aval.dtype) for aval in avals]
    return built(loop.init, loop.start), built(step.ys, ys)
