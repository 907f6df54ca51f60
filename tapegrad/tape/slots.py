"""What the wiring of a tape alone says of its slots: which are needed, which decide, which move.

Each analysis marks slots in one walk over the entries.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TypeAlias

import numpy as np

from tapegrad.tape.bounds import Bounds
from tapegrad.tape.tape import Tape, size_of

# One byte for each slot of a tape: 1 where it is marked.
Marks: TypeAlias = bytearray

_LANDMARKS = (0.0, np.inf, -np.inf)
_FINITE = frozenset(("isfinite", "isinf", "isnan"))


def marked(tape: Tape, slots: Iterable[int]) -> Marks:
    """Marks on these slots."""
    marks = bytearray(len(tape.avals))
    for slot in slots:
        marks[slot] = 1
    return marks


def ends_of(tape: Tape) -> tuple[int, ...]:
    """What a tape is there for: its outputs, and the slots of its guards."""
    return (*tape.outputs, *(guard.slot for guard in tape.guards))


def needed_for(tape: Tape, slots: Iterable[int]) -> Marks:
    """All slots that these depend on, themselves included."""
    needed = marked(tape, slots)
    for _, inputs, output, _, _ in tape.entries.rows_back():
        if needed[output]:
            for slot in inputs:
                needed[slot] = 1
    return needed


def deciding_slots(tape: Tape) -> Marks:
    """All slots whose last bit can matter: what guards, comparisons, roundings and sorts depend on.

    A comparison with 0 or infinity for equality, or a question whether a number is finite, is no such case:
    rounding takes nothing there or away. Nor is one whose outcome is settled, see `tapegrad.tape.bounds`.
    What is made of truth values alone decides nothing anew.
    """
    ends = [guard.slot for guard in tape.guards]
    insensitive = {slot for slot, value in tape.constants if np.ndim(value) == 0 and value in _LANDMARKS}
    bounds: Bounds | None = None
    for row in tape.entries.rows():
        op, inputs, _, attrs, _ = row
        decides = op.rule is None and not (
            op.name in _FINITE
            or (op.name in ("equal", "not_equal") and insensitive.intersection(inputs))
            or all(tape.avals[slot].dtype == np.bool_ for slot in inputs)
        )
        if decides:
            bounds = bounds or Bounds(tape)
            decides = not bounds.settle(row)
        if decides or (op.name == "scan" and dict(attrs)["body"].decides):
            ends += inputs
    return needed_for(tape, ends) if ends else bytearray(len(tape.avals))


def active_slots(tape: Tape, leaves: Iterable[int]) -> Marks:
    """The slots that depend differentiably on these leaves."""
    active = marked(tape, leaves)
    for op, inputs, output, _, _ in tape.entries.rows():
        if any(active[slot] and op.differentiable(i) for i, slot in enumerate(inputs)):
            active[output] = 1
    return active


def moving_slots(tape: Tape, leaves: Iterable[int]) -> Marks:
    """The slots that depend on these leaves in any way, themselves included."""
    moving = marked(tape, leaves)
    for _, inputs, output, _, _ in tape.entries.rows():
        if any(moving[slot] for slot in inputs):
            moving[output] = 1
    return moving


def reads_of(tape: Tape) -> Counter[int]:
    """How often each slot is read: by entries, as an output, and by guards."""
    reads = Counter(tape.entries.all_inputs())
    reads.update(ends_of(tape))
    return reads


def waist(tape: Tape) -> int | None:
    """The smallest slot that everything passes through on its way from parameters to outputs, or None."""
    active = active_slots(tape, tape.parameters)
    count = len(tape.entries)
    last: dict[int, int] = {slot: count for slot in tape.outputs if active[slot]}
    for i, entry in zip(range(count - 1, -1, -1), reversed(tape.entries), strict=True):
        for slot in entry.inputs if active[entry.output] else ():
            if active[slot]:
                last.setdefault(slot, i)
    dying = Counter(last.values())
    alive = sum(slot in last for slot in tape.parameters)
    best: int | None = None
    dead = 0
    for i, entry in enumerate(tape.entries):
        dead += dying[i]
        if active[entry.output] and entry.output in last:
            alive, dead = alive - dead + 1, 0
            size = size_of(tape.avals[entry.output].shape)
            if alive == 1 and (best is None or size < size_of(tape.avals[best].shape)):
                best = entry.output
    return best
