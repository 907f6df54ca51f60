"""Forward mode: tangents, and what follows from them over the reverse mode's tape.

`push` is the forward iteration itself; like the reverse `sweep` it records on tracers and computes on arrays.
A tape of directional derivatives takes the direction as further parameters. What does not depend on the
direction stands first on it, so that many directions share one pass over that part: see `hoist`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from tapegrad.derive.continuation import Continuation
from tapegrad.derive.gates import Gates
from tapegrad.derive.limits import Limits
from tapegrad.derive.rules import jvp
from tapegrad.ops.indexing import concatenate
from tapegrad.ops.registry import FLOAT
from tapegrad.ops.shaping import reshape
from tapegrad.tape.entries import Entries, Entry
from tapegrad.tape.line import Source
from tapegrad.tape.tape import Tape, size_of


def push(
    tape: Tape,
    value: Callable[[int], Any],
    tangents: dict[int, Any],
    visit: Callable[[Source | None], None] = lambda source: None,
    gates: Gates | None = None,
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
    gates : Gates, optional
        Those of the tape, for who pushes several times.

    Returns
    -------
    dict
        The tangent of every slot where it is not zero by structure.
    """
    state = _State(value, dict(tangents), gates or Gates(tape), Limits(tape))
    for entry in tape.entries:
        if tape.avals[entry.output].dtype == FLOAT and not state.found.keys().isdisjoint(entry.inputs):
            visit(entry.source)
            state.step(entry)
    return state.found


@dataclass
class _State:
    """Tangents under way: which have zeros that stay zero, and which may hold infinities."""

    value: Callable[[int], Any]
    found: dict[int, Any]
    gates: Gates
    limits: Limits
    still: set[int] = field(default_factory=set)
    rough: set[int] = field(default_factory=set)

    def step(self, entry: Entry) -> None:
        op, gates, found = entry.op, self.gates, self.found
        out, inputs = self.value(entry.output), tuple(map(self.value, entry.inputs))
        arriving = list(map(found.get, entry.inputs))
        still: Collection[int] = range(len(inputs)) if entry.output in gates.underflowing else ()
        if gates.wild:
            for i, slot in enumerate(entry.inputs):
                if slot in self.rough:
                    arriving[i] = gates.past_zeros(entry, i, found[slot], inputs)
            still = still or [
                i for i, s in enumerate(entry.inputs) if s in self.still and gates.spreads(entry, i)
            ]
        flat = self.limits.flat(entry)
        tangent = jvp(op, tuple(arriving), out, inputs, dict(entry.attrs), still, flat)
        if tangent is None:
            return
        moving = [i for i, slot in enumerate(entry.inputs) if slot in found and op.differentiable(i)]
        if gates.wild:  # else there is no infinity to be kept out
            if gates.stills(entry) or any(entry.inputs[i] in self.still for i in moving):
                self.still.add(entry.output)
            if any(entry.inputs[i] in self.rough or gates.spreads(entry, i) for i in moving):
                self.rough.add(entry.output)
        self.limits.carry_on(entry, moving)
        found[entry.output] = tangent


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


def jacobian_by_columns(tape: Tape, moving: Sequence[int] | None = None) -> Tape:
    """The whole Jacobian as one tape without further parameters: a column of all outputs for each parameter.

    Its one output has shape ``(p, m)``: the elements of the slots in `moving`, by default of the parameter
    leaves, by outputs' elements. Every direction is written out, so this is for printing and for tracing
    through; many products with `pushforward` are cheaper to run.
    """
    new = Continuation(tape)
    rows, gates = [], Gates(tape)
    for leaf in tape.parameters if moving is None else moving:
        shape = tape.avals[leaf].shape
        for i in range(size_of(shape)):
            basis = np.zeros(size_of(shape))
            basis[i] = 1.0
            tangents = {leaf: new.recorder.lift(basis.reshape(shape), FLOAT)}
            found = push(tape, new.value, tangents, new.visit, gates)
            outputs = [new.value(s) for s in new.slots_or_zeros(found, tape.outputs)]
            parts = [reshape(out, shape=(1, size_of(out.shape))) for out in outputs]
            rows.append(parts[0] if len(parts) == 1 else concatenate(*parts, axis=1))
    return new.builder.finish((concatenate(*rows, axis=0).slot,))


def hoist(tape: Tape, late: Sequence[int]) -> tuple[Tape, int]:
    """The same tape with what depends on the leaves `late` at the end, and how many entries come before."""
    if not late:
        return tape, len(tape.entries)
    depending = set(late)
    before, after = [], []
    for entry in tape.entries:
        if depending.isdisjoint(entry.inputs):
            before.append(entry)
        else:
            depending.add(entry.output)
            after.append(entry)
    return replace(tape, entries=Entries((*before, *after))), len(before)
