"""Loops within the steps of another, for all of its steps at once: one long loop that starts anew for each.

As one loop on arrays it would hand on matrices between all of them, though none depends on another.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tapegrad.derive.batching import RULES, Operand, led
from tapegrad.derive.scan import scan_
from tapegrad.ops.broadcasting import broadcast_to
from tapegrad.ops.indexing import concatenate, getitem
from tapegrad.ops.linalg import matmul
from tapegrad.ops.logic import where
from tapegrad.ops.recurrences import recurrence_
from tapegrad.ops.registry import BOOL, FLOAT, Aval, Op, Shape
from tapegrad.ops.shaping import CASTS, reshape, shape_of
from tapegrad.tape.body import Body
from tapegrad.tape.builder import Builder
from tapegrad.tape.entries import entry_of

_ALL = (None, None, None)


def _scan(count: int, op: Op, attrs: dict[str, Any], operands: Sequence[Operand]) -> Any:
    body, turns = attrs["body"], attrs["count"]
    start, *others = operands
    fixed, own = others[: body.fixed], others[body.fixed :]
    first = np.zeros((count, turns))
    first[:, 0] = 1.0
    state = led(start, count)
    parts = [
        _in_each_turn(reshape(getitem(state, index=(_ALL, (a, b, None))), shape=(count, *aval.shape)), turns)
        for a, b, aval in body.spans
    ]
    varying = [_in_each_turn(x.value, turns) for x in fixed if x.varies]
    each = [_in_a_row(led(x, count)) for x in own]
    same = [x.value for x in fixed if not x.varies]
    long = scan_(
        np.zeros(body.width),
        *same,
        first.ravel(),
        *parts,
        *varying,
        *each,
        body=_restarting(body, [x.varies for x in fixed]),
        count=count * turns,
    )
    return reshape(long, shape=(count, turns, body.width))


def _in_each_turn(x: Any, turns: int) -> Any:
    """What is the same in all turns of a loop, for each turn of each loop."""
    count, *shape = shape_of(x)
    table = broadcast_to(reshape(x, shape=(count, 1, *shape)), shape=(count, turns, *shape))
    return reshape(table, shape=(count * turns, *shape))


def _in_a_row(x: Any) -> Any:
    """The loops one after the other."""
    count, turns, *shape = shape_of(x)
    return reshape(x, shape=(count * turns, *shape))


def _restarting(body: Body, varies: Sequence[bool]) -> Body:
    """The body of a loop that starts anew where it is told; those fixed inputs that vary are of each step."""
    tape, builder = body.tape, Builder(body.tape.name)
    carried = tape.parameters[: body.carried]
    fixed = tape.parameters[body.carried : body.carried + body.fixed]
    new = {slot: builder.parameter(tape.avals[slot]) for slot in carried}
    new.update({s: builder.parameter(tape.avals[s]) for s, v in zip(fixed, varies, strict=True) if not v})
    first = builder.parameter(Aval((), FLOAT))
    starts = {slot: builder.parameter(tape.avals[slot]) for slot in carried}
    new.update({s: builder.parameter(tape.avals[s]) for s, v in zip(fixed, varies, strict=True) if v})
    own = tape.parameters[body.carried + body.fixed :]
    new.update({slot: builder.parameter(tape.avals[slot]) for slot in own})
    new.update({slot: builder.constant(value) for slot, value in tape.constants})
    is_first = builder.emit(CASTS[BOOL], (first,), (), None, Aval((), BOOL))
    for slot in carried:
        new[slot] = builder.emit(where, (is_first, starts[slot], new[slot]), (), None, tape.avals[slot])
    for op, inputs, output, attrs, source in map(entry_of, tape.entries.rows()):
        read = tuple([new[slot] for slot in inputs])
        new[output] = builder.emit(op, read, attrs, source, tape.avals[output])
    return Body(builder.finish([new[slot] for slot in tape.outputs]), body.carried, len(varies) - sum(varies))


def _recurrence(count: int, op: Op, attrs: dict[str, Any], operands: Sequence[Operand]) -> Any:
    a, b, start = operands
    turns, *state = b.shape
    factors = led(a, count)
    if len(a.shape) == 2 * len(state):
        cell = a.shape
        factors = broadcast_to(reshape(factors, shape=(count, 1, *cell)), shape=(count, turns, *cell))
    terms, place = led(b, count), turns - 1 if attrs["reverse"] else 0
    factor = getitem(factors, index=(_ALL, place))
    begun = _times(factor, led(start, count)) + getitem(terms, index=(_ALL, place))
    factors = _replaced(factors, place, np.zeros(shape_of(factor)))
    terms = _replaced(terms, place, begun)
    long = recurrence_(_in_a_row(factors), _in_a_row(terms), np.zeros(state)[()], reverse=attrs["reverse"])
    return reshape(long, shape=shape_of(terms))


def _times(factor: Any, state: Any) -> Any:
    shape: Shape = shape_of(state)
    if len(shape) == 1:
        return factor * state
    return reshape(matmul(factor, reshape(state, shape=(*shape, 1))), shape=shape)


def _replaced(table: Any, place: int, row: Any) -> Any:
    """The table with another first or last turn."""
    count, turns, *cell = shape_of(table)
    one = reshape(row, shape=(count, 1, *cell))
    if turns == 1:
        return one
    if place:
        return concatenate(getitem(table, index=(_ALL, (None, place, None))), one, axis=1)
    return concatenate(one, getitem(table, index=(_ALL, (1, None, None))), axis=1)


RULES.update({scan_: _scan, recurrence_: _recurrence})
