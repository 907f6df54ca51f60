"""One step of a loop on a tape of its own."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from tapegrad.derive.batching import BatchingError, Operand, applied
from tapegrad.loops.plain import mixed
from tapegrad.loops.step import Loop, apart, aval_of
from tapegrad.nest import Structure
from tapegrad.ops.registry import BOOL, FLOAT, INT, Aval
from tapegrad.ops.shaping import CASTS
from tapegrad.recording.live import LiveRecorder
from tapegrad.recording.nested import StepRecorder
from tapegrad.recording.tracer import Tracer
from tapegrad.recording.values import tidy_value
from tapegrad.tape.entries import entry_of
from tapegrad.tape.slots import needed_for
from tapegrad.tape.tape import Tape


@dataclass(frozen=True)
class Step:
    """A step as recorded.

    Attributes
    ----------
    tape : Tape
        Its parameters are what is carried, truth values as 0.0 and 1.0, then what each step has of its own.
        Its outputs are what is carried on, then what is stacked.
    fixed : dict of int to tracer or constant
        The slots that are the same in all steps.
    carried : int
        How many parameters are carried.
    ys : Structure
        Of what is stacked.
    uses_traced : bool
        Whether it uses traced values from around it.
    """

    tape: Tape
    fixed: dict[int, Any]
    carried: int
    ys: Structure
    uses_traced: bool


def recorded(loop: Loop, outer: LiveRecorder) -> Step:
    """Record the step on what the first iteration gets, or on ones where there is none."""
    outer.steps.append(loop.blamed)
    inner = StepRecorder(outer, loop.name, partial(_in_all_steps, loop))
    with inner.running(), np.errstate(all="ignore"):
        carry = [_carried(inner, leaf) for leaf in loop.start]
        x = [_own(inner, leaf, loop.count) for leaf in loop.each]
        found, y = loop.called(carry, x)
        after = [_carried_on(inner, value, old) for value, old in zip(found, carry, strict=True)]
        structure, ys = apart(y, "y", lambda leaf, label: _stacked(inner, leaf))
    uses_traced = bool(inner.fixed)
    inner.hoist()
    tape = inner.builder.finish(x.slot for x in (*after, *ys))
    fixed = {**dict(tape.constants), **inner.fixed}
    return Step(tape, fixed, len(carry), structure, uses_traced)


def _in_all_steps(loop: Loop, inner: StepRecorder, slot: int) -> Tracer | None:
    """What a slot is in all steps, unless it depends on what is carried."""
    builder, outer = inner.builder, inner.outer
    values = {s: Operand(value, False) for s, value in (*builder.constants, *inner.fixed.items())}
    own = builder.parameters[len(loop.start) :]
    values.update({s: Operand(outer.own(x, None), True) for s, x in zip(own, loop.each, strict=True)})
    tape = builder.finish((slot,))
    needed = needed_for(tape, (slot,))
    if any(needed[s] for s in builder.parameters[: len(loop.start)]):
        return None
    for entry in map(entry_of, tape.entries.rows()):
        if needed[entry.output] and entry.output not in values:
            try:
                values[entry.output] = applied(entry, [values[s] for s in entry.inputs], loop.count)
            except BatchingError:
                return None
    found: Tracer = values[slot].value
    return found


def _carried(inner: StepRecorder, leaf: Any) -> Tracer:
    aval, value = aval_of(leaf), leaf.plain() if isinstance(leaf, Tracer) else leaf
    made = inner.parameter(Aval(aval.shape, FLOAT), tidy_value(np.array(value, dtype=FLOAT)))
    if aval.dtype != BOOL:
        return made
    truth: Tracer = CASTS[BOOL](made)
    return truth


def _own(inner: StepRecorder, leaf: Any, count: int) -> Tracer:
    shape, dtype = leaf.shape[1:], leaf.dtype
    value = (
        np.asarray(leaf.plain() if isinstance(leaf, Tracer) else leaf)[0] if count else np.ones(shape, dtype)
    )
    return inner.parameter(Aval(shape, dtype), tidy_value(value))


def _carried_on(inner: StepRecorder, value: Any, old: Tracer) -> Tracer:
    found = inner.lift(value, None)
    if old.dtype == BOOL and found.dtype != BOOL:
        raise mixed(found.dtype)
    return inner.lift(found, FLOAT)


def _stacked(inner: StepRecorder, leaf: Any) -> Tracer:
    if leaf is None:
        raise TypeError("y must be a number, an array or a nest of them; within a nest there is no None")
    found = inner.lift(leaf, None)
    return CASTS[FLOAT](found) if found.dtype == INT else found
