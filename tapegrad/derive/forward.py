"""Forward mode: tangents, and what follows from them over the reverse mode's tape.

`push` is the forward iteration itself; like the reverse `sweep` it records on tracers and computes on arrays.
A tape of directional derivatives takes the direction as further parameters. What does not depend on the
direction stands first on it, so that many directions share one pass over that part: see `hoist`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from tapegrad.derive.continuation import Continuation
from tapegrad.derive.limits import Limits
from tapegrad.derive.rules import jvp
from tapegrad.ops.indexing import concatenate
from tapegrad.ops.registry import FLOAT
from tapegrad.ops.shaping import reshape
from tapegrad.tape import Source, Tape, size_of


def push(
    tape: Tape,
    value: Callable[[int], Any],
    tangents: dict[int, Any],
    visit: Callable[[Source | None], None] = lambda source: None,
) -> dict[int, Any]:
    """Carry tangents from the leaves to every slot that they move.

    Parameters
    ----------
    tape : Tape
    value : callable
        The value (array or tracer) of a slot.
    tangents : dict
        Tangents of leaf slots; those left out are zero.
    visit : callable, optional
        Told the source line of each entry before its rule runs.

    Returns
    -------
    dict
        The tangent of every slot where it is not zero by structure.
    """
    found = dict(tangents)
    limits = Limits(tape)
    for entry in tape.entries:
        arriving = tuple([found.get(slot) for slot in entry.inputs])
        if any(t is not None for t in arriving) and tape.avals[entry.output].dtype == FLOAT:
            visit(entry.source)
            inputs = tuple(map(value, entry.inputs))
            tangent = jvp(
                entry.op, arriving, value(entry.output), inputs, dict(entry.attrs), limits.flat(entry)
            )
            if tangent is not None:
                found[entry.output] = tangent
                limits.carry_on(entry, [i for i, t in enumerate(arriving) if t is not None])
    return found


def pushforward(tape: Tape, moving: Sequence[int] | None = None) -> Tape:
    """The tape of the Jacobian-vector product.

    Its parameters are those of `tape`, then one tangent for each of the slots in `moving`, by default the
    parameter leaves; its outputs are the tangents of the outputs of `tape`.
    """
    new = Continuation(tape)
    slots = tape.parameters if moving is None else moving
    directions = dict(zip(slots, new.new_parameters_like(slots), strict=True))
    found = push(tape, new.value, directions, new.visit)
    return new.builder.finish(new.slots_or_zeros(found, tape.outputs))


def jacobian_by_columns(tape: Tape) -> Tape:
    """The whole Jacobian as one tape without further parameters: a column of all outputs for each parameter.

    Its one output has shape ``(p, m)``: parameters' elements by outputs' elements. Every direction is written
    out, so this is for printing and for tracing through; many products with `pushforward` are cheaper to run.
    """
    new = Continuation(tape)
    rows = []
    for leaf in tape.parameters:
        shape = tape.avals[leaf].shape
        for i in range(size_of(shape)):
            basis = np.zeros(size_of(shape))
            basis[i] = 1.0
            found = push(tape, new.value, {leaf: new.recorder.lift(basis.reshape(shape), FLOAT)}, new.visit)
            outputs = [new.value(s) for s in new.slots_or_zeros(found, tape.outputs)]
            parts = [reshape(out, shape=(1, size_of(out.shape))) for out in outputs]
            rows.append(concatenate(*parts, axis=1))
    return new.builder.finish((concatenate(*rows, axis=0).slot,))


def hoist(tape: Tape, late: Sequence[int]) -> tuple[Tape, int]:
    """The same tape with what depends on the leaves `late` at the end, and how many entries come before."""
    depending = set(late)
    before, after = [], []
    for entry in tape.entries:
        if depending.isdisjoint(entry.inputs):
            before.append(entry)
        else:
            depending.add(entry.output)
            after.append(entry)
    return replace(tape, entries=(*before, *after)), len(before)
