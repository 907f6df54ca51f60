"""Reverse mode: value and gradient as one new tape.

`sweep` is the reverse iteration itself. On tracers it records the gradient's tape; on arrays it computes the
gradient directly, which is the oracle the recorded tape is tested against.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tapegrad.derive.continuation import Continuation, active_slots
from tapegrad.derive.limits import Limits
from tapegrad.derive.rules import vjp
from tapegrad.tape import Entry, Source, Tape


def sweep(
    tape: Tape,
    value: Callable[[int], Any],
    seeds: dict[int, Any],
    active: set[int],
    visit: Callable[[Source | None], None] = lambda source: None,
) -> dict[int, Any]:
    """Carry cotangents back from the outputs to the leaves.

    Parameters
    ----------
    tape : Tape
    value : callable
        The value (array or tracer) of a slot.
    seeds : dict
        Cotangents of output slots.
    active : set of int
        The slots whose cotangents are wanted.
    visit : callable, optional
        Told the source line of each entry before its rule runs.

    Returns
    -------
    dict
        The cotangent of every active slot that the outputs depend on.
    """
    cotangents = dict(seeds)
    gated: set[int] = set()
    limits = Limits(tape)
    for entry in reversed(tape.entries):
        if entry.output in cotangents and entry.output in active:
            visit(entry.source)
            _step_back(entry, value, cotangents, active, gated, limits)
    return cotangents


def _step_back(
    entry: Entry,
    value: Callable[[int], Any],
    cotangents: dict[int, Any],
    active: set[int],
    gated: set[int],
    limits: Limits,
) -> None:
    op, ct, is_gated = entry.op, cotangents[entry.output], entry.output in gated
    out, inputs, attrs = value(entry.output), tuple(map(value, entry.inputs)), dict(entry.attrs)
    for i, slot in enumerate(entry.inputs):
        if slot not in active or not op.differentiable(i):
            continue
        contribution = vjp(op, i, ct, out, inputs, attrs, is_gated or limits.wins(entry))
        limits.carry_back(entry, i)
        known = cotangents.get(slot)
        cotangents[slot] = contribution if known is None else known + contribution
        if is_gated or op.masks:
            gated.add(slot)


def reverse(tape: Tape) -> Tape:
    """The tape of value and gradient of a tape with one scalar output.

    Its outputs are the value, then one gradient per parameter leaf, of that leaf's shape; its guards are
    those of `tape`.
    """
    (output,) = tape.outputs
    new = Continuation(tape)
    gradients = _carried_back(new, {output: new.recorder.number(1.0)})
    return new.builder.finish((output, *gradients))


def pullback(tape: Tape, ends: Sequence[int] | None = None) -> Tape:
    """The tape of the vector-Jacobian product.

    Its parameters are those of `tape`, then one cotangent for each of the slots in `ends`, by default the
    outputs; its outputs are the product's, one per parameter leaf.
    """
    new = Continuation(tape)
    seeds: dict[int, Any] = {}
    slots = tape.outputs if ends is None else ends
    for slot, ct in zip(slots, new.new_parameters_like(slots), strict=True):
        seeds[slot] = ct if slot not in seeds else seeds[slot] + ct
    return new.builder.finish(_carried_back(new, seeds))


def _carried_back(new: Continuation, seeds: dict[int, Any]) -> list[int]:
    """Record the reverse sweep; the slots of the parameters' cotangents."""
    tape = new.tape
    active = active_slots(tape, tape.parameters)
    live = {slot: ct for slot, ct in seeds.items() if slot in active}
    return new.slots_or_zeros(sweep(tape, new.value, live, active, new.visit), tape.parameters)
