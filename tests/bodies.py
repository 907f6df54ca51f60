"""Loops given by a plain Python step: as one entry `scan`, and as Python runs them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tapegrad.derive.scan import scan_
from tapegrad.function.trace import trace_quietly
from tapegrad.ops.indexing import concatenate
from tapegrad.ops.shaping import ravel, shape_of
from tapegrad.tape.body import Body
from tapegrad.tape.tape import Tape

Step = Callable[..., tuple[Any, ...]]


def tape_of(step: Step, examples: Sequence[Any]) -> Tape:
    """The tape of a function of numbers and arrays."""
    start = [np.asarray(x, dtype=float) if np.ndim(x) else float(x) for x in examples]
    return trace_quietly(lambda parts: step(*parts), start).tape


def body_of(step: Step, carried: Sequence[Any], fixed: Sequence[Any], own: Sequence[Any]) -> Body:
    """The body of a loop, from what its step takes: `own` is that of one step."""
    return Body(tape_of(step, [*carried, *fixed, *own]), len(carried), len(fixed))


def scanned(step: Step, carried: Sequence[Any], fixed: Sequence[Any], each: Sequence[Any], count: int) -> Any:
    """The flat states after each step, by one entry."""
    plain = [np.zeros(shape_of(x)) + 0.3 for x in (*carried, *fixed)]
    own = [np.zeros(shape_of(x)[1:]) + 0.3 for x in each]
    body = body_of(step, plain[: len(carried)], plain[len(carried) :], own)
    start = concatenate(*[ravel(x) for x in carried], axis=0)
    return scan_(start, *fixed, *each, body=body, count=count)


def looped(step: Step, carried: Sequence[Any], fixed: Sequence[Any], each: Sequence[Any], count: int) -> Any:
    """The same by a loop."""
    state, rows = tuple(carried), []
    for t in range(count):
        state = step(*state, *fixed, *(x[t] for x in each))
        rows.append(np.concatenate([np.reshape(x, (-1,)) for x in state]))
    return np.stack(rows)
