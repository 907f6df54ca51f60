"""Reverse mode: value and gradient as one new tape.

`sweep` is the reverse iteration itself. On tracers it records the gradient's tape; on arrays it computes the
gradient directly, which is the oracle the recorded tape is tested against.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from tapegrad.builder import Builder
from tapegrad.derive.rules import vjp
from tapegrad.ops.broadcasting import sum_
from tapegrad.tape import Entry, Source, Tape
from tapegrad.tracing.recorder import Recorder


def active_slots(tape: Tape, inputs: Iterable[int]) -> set[int]:
    """The slots that depend differentiably on `inputs`."""
    active = set(inputs)
    for entry in tape.entries:
        if any(slot in active and entry.op.differentiable(i) for i, slot in enumerate(entry.inputs)):
            active.add(entry.output)
    return active


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
    for entry in reversed(tape.entries):
        if entry.output in cotangents and entry.output in active:
            visit(entry.source)
            _step_back(entry, value, cotangents, active, gated)
    return cotangents


def _step_back(
    entry: Entry,
    value: Callable[[int], Any],
    cotangents: dict[int, Any],
    active: set[int],
    gated: set[int],
) -> None:
    op, ct, is_gated = entry.op, cotangents[entry.output], entry.output in gated
    out, inputs, attrs = value(entry.output), tuple(map(value, entry.inputs)), dict(entry.attrs)
    for i, slot in enumerate(entry.inputs):
        if slot not in active or not op.differentiable(i):
            continue
        contribution = vjp(op, i, ct, out, inputs, attrs, is_gated)
        known = cotangents.get(slot)
        cotangents[slot] = contribution if known is None else known + contribution
        if is_gated or op.masks:
            gated.add(slot)


def reverse(tape: Tape) -> Tape:
    """The tape of value and gradient of a tape with one scalar output.

    Its outputs are the value, then one gradient per parameter leaf, of that leaf's shape; its guards are those
    of `tape`.
    """
    builder = Builder.continuing(tape)
    recorder = Recorder(builder)
    tracers: dict[int, Any] = {}

    def value(slot: int) -> Any:
        if slot not in tracers:
            tracers[slot] = recorder.tracer(slot)
        return tracers[slot]

    def visit(source: Source | None) -> None:
        recorder.at = source

    (output,) = tape.outputs
    active = active_slots(tape, tape.parameters)
    cotangents = sweep(tape, value, {output: recorder.number(1.0)}, active, visit) if output in active else {}
    gradients = []
    for slot in tape.parameters:
        ct = cotangents.get(slot)
        gradients.append(recorder.lift(np.zeros(tape.avals[slot].shape) if ct is None else ct, None).slot)
    return builder.finish((output, *gradients))


def hessian_product(gradient: Tape) -> Tape:
    """The tape of the Hessian times a vector, from the tape that `reverse` gave.

    Its parameters are those of `gradient`, then the vector's elements in the same shapes; its outputs are the
    product's, one per parameter leaf.
    """
    builder = Builder.continuing(gradient)
    recorder = Recorder(builder)
    total: Any = recorder.number(0.0)
    for slot, leaf in zip(gradient.outputs[1:], gradient.parameters, strict=True):
        direction = recorder.tracer(builder.parameter(gradient.avals[leaf]))
        along = recorder.tracer(slot) * direction
        total = total + sum_(along, axis=tuple(range(along.ndim)), keepdims=False)
    products = reverse(builder.finish((total.slot,)))
    return replace(products, outputs=products.outputs[1 : 1 + len(gradient.parameters)])
