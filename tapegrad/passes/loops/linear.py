"""Recurrences whose steps are linear in what is carried: the factors and terms are array code."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from tapegrad.ops.broadcasting import broadcast_to
from tapegrad.ops.elementwise import add, div, mul, neg, sub
from tapegrad.ops.indexing import concatenate, getitem
from tapegrad.ops.recurrences import recurrence_
from tapegrad.ops.registry import Op
from tapegrad.ops.shaping import reshape
from tapegrad.passes.loops.elements import Ints
from tapegrad.passes.loops.recurrences import Recurrence
from tapegrad.tape.line import Source


class Writing(Protocol):
    """What writes the short tape, see `tapegrad.passes.loops.write`."""

    def emit(self, op: Op, inputs: tuple[int, ...], source: Source | None, **attrs: Any) -> int: ...
    def constant(self, value: Any) -> int: ...
    def operand(self, slots: Ints, source: Source | None) -> int: ...
    def shape(self, slot: int) -> tuple[int, ...]: ...
    def value_of(self, slot: int) -> float | None: ...


@dataclass(frozen=True)
class Affine:
    """``sum of factors[c] * carried[c] + term``; a factor or term None is 1 or 0."""

    factors: Mapping[int, int | None] = field(default_factory=dict)
    term: int | None = None


def is_linear(loop: Recurrence, ops: Sequence[Op]) -> bool:
    """Whether every step is linear in what is carried."""
    moves: list[bool] = []
    for op, operands in zip(ops, loop.operands, strict=True):
        moving = [o.lag is not None and (o.lag > 0 or moves[o.position]) for o in operands]
        moves.append(any(moving))
        if not keeps_linear(op, moving):
            return False
    return True


def keeps_linear(op: Op, moving: list[bool]) -> bool:
    """Whether the result is linear in those operands that move with what is carried."""
    return (
        not any(moving)
        or op in (add, sub, neg)
        or (op is mul and sum(moving) == 1)
        or (op is div and moving == [True, False])
    )


def steps_of(new: Writing, loop: Recurrence, sources: list[Source | None], ops: list[Op]) -> list[Affine]:
    """Each step as a linear function of what is carried."""
    carried = {key: c for c, key in enumerate(loop.carried)}
    done: list[Affine] = []
    for op, source, operands in zip(ops, sources, loop.operands, strict=True):
        parts = []
        for o in operands:
            if o.lag is None:
                parts.append(Affine({}, new.operand(o.slots, source)))
            else:
                parts.append(Affine({carried[o.position, o.lag]: None}) if o.lag else done[o.position])
        done.append(applied(new, op, parts, source))
    return done


def applied(new: Writing, op: Op, parts: list[Affine], source: Source | None) -> Affine:
    """What an op that keeps them linear makes of linear functions."""
    if not any(part.factors for part in parts):
        return Affine({}, new.emit(op, tuple(_number(new, part.term) for part in parts), source))
    if op in (add, sub):
        x, y = parts
        return _added(
            new, x, y if op is add else _mapped(y, lambda slot: _negated(new, slot, source)), source
        )
    if op is neg:
        return _mapped(parts[0], lambda slot: _negated(new, slot, source))
    if op is mul:
        x, y = parts if parts[0].factors else parts[::-1]
        other = _number(new, y.term)
        return _mapped(x, lambda slot: other if slot is None else new.emit(mul, (slot, other), source))
    assert op is div
    divisor, one = _number(new, parts[1].term), new.constant(1.0)
    return _mapped(parts[0], lambda slot: new.emit(div, (one if slot is None else slot, divisor), source))


def _number(new: Writing, term: int | None) -> int:
    return new.constant(0.0) if term is None else term


def _negated(new: Writing, slot: int | None, source: Source | None) -> int:
    return new.constant(-1.0) if slot is None else new.emit(neg, (slot,), source)


def _mapped(x: Affine, change: Callable[[int | None], int]) -> Affine:
    factors = {c: change(slot) for c, slot in x.factors.items()}
    return Affine(factors, None if x.term is None else change(x.term))


def _added(new: Writing, x: Affine, y: Affine, source: Source | None) -> Affine:
    factors = dict(x.factors)
    for c, slot in y.factors.items():
        if c not in factors:
            factors[c] = slot
            continue
        one, other = (new.constant(1.0) if s is None else s for s in (factors[c], slot))
        factors[c] = new.emit(add, (one, other), source)
    if x.term is None or y.term is None:
        return Affine(factors, x.term if y.term is None else y.term)
    return Affine(factors, new.emit(add, (x.term, y.term), source))


# The recurrence itself --------------------------------------------------------------------------------------


def states(
    new: Writing, loop: Recurrence, steps: list[Affine], first: Ints, source: Source | None
) -> dict[int, int]:
    """Write the recurrence: for each carried step the array of what it gives, iteration by iteration.

    `first` are the old slots that hold what is carried into the first iteration.
    """
    rows = [
        steps[step] if lag == 1 else Affine({loop.carried.index((step, lag - 1)): None})
        for step, lag in loop.carried
    ]
    columns = solved(new, rows, len(loop.entries), new.operand(first, source), source)
    return {step: slot for (step, lag), slot in zip(loop.carried, columns, strict=True) if lag == 1}


def solved(new: Writing, rows: Sequence[Affine], count: int, start: int, source: Source | None) -> list[int]:
    """The recurrence with these rows: for each the array of what it gives.

    `start` holds a number for each row, or one for all.
    """
    if len(rows) == 1:
        (row,) = rows
        factor = row.factors.get(0, None)
        a = new.constant(1.0 if row.factors else 0.0) if factor is None else factor
        b = _stretched(new, row.term, (count,), source)
        return [new.emit(recurrence_, (a, b, start), source, reverse=False)]
    m = len(rows)
    cells = [_factor(new, row, c) for row in rows for c in range(m)]
    varies = any(new.shape(slot) for slot in cells)
    if varies:
        columns = [
            new.emit(reshape, (_stretched(new, slot, (count,), source),), source, shape=(count, 1))
            for slot in cells
        ]
        a = new.emit(
            reshape, (new.emit(concatenate, tuple(columns), source, axis=1),), source, shape=(count, m, m)
        )
    else:
        numbers = [new.emit(reshape, (slot,), source, shape=(1,)) for slot in cells]
        a = new.emit(reshape, (new.emit(concatenate, tuple(numbers), source, axis=0),), source, shape=(m, m))
    terms = [
        new.emit(reshape, (_stretched(new, row.term, (count,), source),), source, shape=(count, 1))
        for row in rows
    ]
    b = new.emit(concatenate, tuple(terms), source, axis=1)
    if not new.shape(start):
        start = new.emit(broadcast_to, (start,), source, shape=(m,))
    table = new.emit(recurrence_, (a, b, start), source, reverse=False)
    return [new.emit(getitem, (table,), source, index=((None, None, None), c)) for c in range(m)]


def _factor(new: Writing, row: Affine, c: int) -> int:
    if c not in row.factors:
        return new.constant(0.0)
    slot = row.factors[c]
    return new.constant(1.0) if slot is None else slot


def _stretched(new: Writing, slot: int | None, shape: tuple[int, ...], source: Source | None) -> int:
    if slot is None:
        return new.constant(np.zeros(shape))
    return slot if new.shape(slot) == shape else new.emit(broadcast_to, (slot,), source, shape=shape)
