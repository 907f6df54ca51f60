"""Reverse mode: value and gradient as one new tape.

`sweep` is the reverse iteration itself. On tracers it records the gradient's tape; on arrays it computes the
gradient directly, which is the oracle the recorded tape is tested against.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from tapegrad.derive.continuation import Continuation
from tapegrad.derive.gates import Gates
from tapegrad.derive.limits import Limits
from tapegrad.derive.rules import vjp
from tapegrad.ops.linalg import through_zeros
from tapegrad.ops.registry import Together
from tapegrad.tape.entries import Entry
from tapegrad.tape.line import Source
from tapegrad.tape.slots import Marks, active_slots
from tapegrad.tape.tape import Tape


def sweep(
    tape: Tape,
    value: Callable[[int], Any],
    seeds: dict[int, Any],
    active: Marks,
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
    active : Marks
        The slots whose cotangents are wanted.
    visit : callable, optional
        Told the source line of each entry before its rule runs.

    Returns
    -------
    dict
        The cotangent of every active slot that the outputs depend on.
    """
    cotangents = dict(seeds)
    for _ in steps_back(tape, value, cotangents, active, visit):
        pass
    return cotangents


def steps_back(
    tape: Tape,
    value: Callable[[int], Any],
    cotangents: dict[int, Any],
    active: Marks,
    visit: Callable[[Source | None], None] = lambda source: None,
) -> Iterator[Entry]:
    """The same step by step: each entry after its inputs' shares have been added to `cotangents`."""
    state = _State(value, cotangents, active, Gates(tape), Limits(tape))
    for entry in reversed(tape.entries):
        if entry.output in cotangents and active[entry.output]:
            visit(entry.source)
            state.step(entry)
            yield entry


@dataclass
class _State:
    """Cotangents under way: whose zeros are gated, or come from exponentials; which may hold infinities."""

    value: Callable[[int], Any]
    cotangents: dict[int, Any]
    active: Marks
    gates: Gates
    limits: Limits
    gated: set[int] = field(default_factory=set)
    quenched: set[int] = field(default_factory=set)
    rough: set[int] = field(default_factory=set)

    def step(self, entry: Entry) -> None:
        op, gates = entry.op, self.gates
        is_gated, is_rough = entry.output in self.gated, entry.output in self.rough
        out, inputs = self.value(entry.output), tuple(map(self.value, entry.inputs))
        shared = self._shared(entry, out, inputs) if isinstance(op.rule, Together) else {}
        for i, slot in enumerate(entry.inputs):
            if not self.active[slot] or not op.differentiable(i):
                continue
            contribution = shared[i] if shared else self._contribution(entry, i, out, inputs)
            self.limits.carry_back(entry, i)
            known = self.cotangents.get(slot)
            self.cotangents[slot] = contribution if known is None else known + contribution
            if is_gated or op.masks:
                self.gated.add(slot)
            if entry.output in self.quenched or gates.quenches(op):
                self.quenched.add(slot)
            if gates.spreads(entry, i) or (is_rough and gates.arrives_in_elements(entry, i)):
                self.rough.add(slot)

    def _shared(self, entry: Entry, out: Any, inputs: tuple[Any, ...]) -> dict[int, Any]:
        """What the cotangent contributes to all inputs, of an op whose rule gives that at once."""
        assert isinstance(entry.op.rule, Together)
        wanted = tuple(i for i, slot in enumerate(entry.inputs) if self.active[slot])
        ct = self.cotangents[entry.output]
        found = entry.op.rule.vjp(wanted, ct, out, *inputs, **dict(entry.attrs))
        return dict(zip(wanted, found, strict=True))

    def _contribution(self, entry: Entry, i: int, out: Any, inputs: tuple[Any, ...]) -> Any:
        ct, slot = self.cotangents[entry.output], entry.output
        is_gated = slot in self.gated or (slot in self.quenched and slot in self.gates.underflowing)
        if entry.output in self.rough:
            if self.gates.is_fixed_matrix(entry, i, is_gated):
                return through_zeros(i, ct, *inputs)
            ct = self.gates.past_zeros(entry, i, ct, inputs)
            ct = self.gates.past_infinities(entry, ct, out, inputs)
        is_gated = is_gated or self.limits.wins(entry)
        return vjp(entry.op, i, ct, out, inputs, dict(entry.attrs), is_gated)


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
    live = {slot: ct for slot, ct in seeds.items() if active[slot]}
    return new.slots_or_zeros(sweep(tape, new.value, live, active, new.visit), tape.parameters)
