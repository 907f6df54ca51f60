"""What the slots of a tape may hold: of which sign, and whether some elements may be infinite and others not.

The ops themselves are asked, at a few points of each sign.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import IntEnum
from functools import cache
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from tapegrad.derive.rules import vjp
from tapegrad.ops.registry import FLOAT, Aval, Elementwise, Op, Products
from tapegrad.tape.entries import Entry, entry_of
from tapegrad.tape.tape import SCALAR, Tape


class Sign(IntEnum):
    """What is known of the sign of all elements; a positive one may be rounded to 0, unless it stays away."""

    ANY = 0
    NOT_NEGATIVE = 1
    POSITIVE = 2
    AWAY = 3


class Range(NamedTuple):
    """What a slot may hold; `wild` if some elements may be infinite or NaN and others not."""

    sign: Sign
    wild: bool


# Large numbers are not among them: where an exponential overflows, so does the rest.
_POINTS = {
    Sign.ANY: (-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0),
    Sign.NOT_NEGATIVE: (0.0, 0.5, 1.0, 2.0),
    Sign.POSITIVE: (0.5, 1.0, 2.0),
    Sign.AWAY: (0.5, 1.0, 2.0),
}
# Further points, at which numbers are rounded to 0.
_EXTREMES = {
    Sign.ANY: (-np.inf, -1e300, 1e300, np.inf),
    Sign.NOT_NEGATIVE: (1e300, np.inf),
    Sign.POSITIVE: (5e-324, 1e300, np.inf),
    Sign.AWAY: (1e300, np.inf),
}
_ORDINARY = 0.7
_ANYTHING = Range(Sign.ANY, False)
# Their results have the sign that all their inputs have.
_KEEPS_SIGN = frozenset(
    ("broadcast_to", "concatenate", "getitem", "max", "min", "reshape", "sum", "transpose", "update", "where")
)


def ranges(tape: Tape) -> tuple[list[Range], set[int]]:
    """What slots may hold if parameters and data are finite, and the outputs of entries that may underflow.

    An entry underflows where it would be singular if what is positive in exact arithmetic were rounded to 0.
    """
    avals, found, underflowing = tape.avals, [_ANYTHING] * len(tape.avals), set()
    for slot, value in tape.constants:
        found[slot] = _of_constant(value)
    for entry in map(entry_of, tape.entries.rows()):
        inputs = tuple([found[slot] for slot in entry.inputs])
        if avals[entry.output] is SCALAR and all(avals[slot] is SCALAR for slot in entry.inputs):
            found[entry.output], underflows = _of_scalars(entry.op, inputs)
        else:
            underflows = _underflows(entry, avals, inputs)
            if avals[entry.output].dtype == FLOAT:
                found[entry.output] = _of_entry(entry, avals, inputs)
        if underflows:
            underflowing.add(entry.output)
    return found, underflowing


def has_elements(entry: Entry, slot: int, avals: Sequence[Aval]) -> bool:
    """Whether a slot has several elements, and not one number for all elements of the entry's output."""
    return not entry.op.is_elementwise or avals[slot].shape != () or avals[entry.output].shape == ()


@cache
def _of_scalars(op: Op, inputs: tuple[Range, ...]) -> tuple[Range, bool]:
    """The same of an entry among floats, which depends on nothing else: long loops are made of them."""
    slots = tuple(range(len(inputs)))
    entry, avals = Entry(op, slots, len(slots), (), None), [SCALAR] * (len(slots) + 1)
    return _of_entry(entry, avals, inputs), _underflows(entry, avals, inputs)


def _underflows(entry: Entry, avals: Sequence[Aval], inputs: tuple[Range, ...]) -> bool:
    signs = tuple([held.sign for held in inputs])
    if Sign.POSITIVE not in signs:
        return False
    rounded = [
        Sign.NOT_NEGATIVE if sign is Sign.POSITIVE and has_elements(entry, slot, avals) else sign
        for sign, slot in zip(signs, entry.inputs, strict=True)
    ]
    return singular_arguments(entry.op, tuple(rounded)) != singular_arguments(entry.op, signs)


def _of_entry(entry: Entry, avals: Sequence[Aval], inputs: tuple[Range, ...]) -> Range:
    op = entry.op
    counted = [j for j, slot in enumerate(entry.inputs) if has_elements(entry, slot, avals)]
    wild = any(inputs[j].wild for j in counted)
    if op.is_elementwise and isinstance(op.rule, (Elementwise, Products)):
        signs = tuple([x.sign for x in inputs])
        is_singular = not singular_arguments(op, signs).isdisjoint(counted)
        return Range(_sign(op, inputs), wild or is_singular)
    floats = [x.sign for x, slot in zip(inputs, entry.inputs, strict=True) if avals[slot].dtype == FLOAT]
    return Range(min(floats, default=Sign.ANY) if op.name in _KEEPS_SIGN else Sign.ANY, wild)


def _of_constant(value: Any) -> Range:
    if isinstance(value, float):
        lowest, finite = value, math.isfinite(value)
    elif value.dtype != FLOAT:
        return _ANYTHING
    else:
        with np.errstate(all="ignore"):
            lowest = np.min(value, initial=np.inf)
            finite = bool(np.isfinite(np.sum(value)) or np.isfinite(value).all())
    sign = Sign.AWAY if lowest > 0.0 else Sign.NOT_NEGATIVE if lowest >= 0.0 else Sign.ANY
    return Range(sign, not finite)


@cache
def singular_arguments(op: Op, signs: tuple[Sign, ...]) -> frozenset[int]:
    """The inputs that, at some finite value, make an elementwise op or a slope of it infinite or NaN."""
    if not isinstance(op.rule, Elementwise):
        return frozenset()
    found = set()
    for j, sign in enumerate(signs):
        for x in _POINTS[sign]:
            inputs = tuple(np.array([x if i == j else _ORDINARY]) for i in range(len(signs)))
            with np.errstate(all="ignore"):
                out = op(*inputs)
                wrt = filter(op.differentiable, range(len(signs)))
                slopes = [vjp(op, i, np.ones(1), out, inputs, {}, False) for i in wrt]
            if not np.isfinite([out, *slopes]).all():
                found.add(j)
    return frozenset(found)


@cache
def _sign(op: Op, inputs: tuple[Range, ...]) -> Sign:
    if len(inputs) > 2:
        return Sign.ANY
    infinities = {True: (np.inf, -np.inf), False: ()}
    ordinary = [_POINTS[sign] + infinities[wild][: 1 if sign else 2] for sign, wild in inputs]
    extreme = [_POINTS[sign] + _EXTREMES[sign] for sign, _ in inputs]
    with np.errstate(all="ignore"):
        out, rounded = (op(*map(np.array, zip(*product(*x), strict=True))) for x in (ordinary, extreme))
    if np.all(out > 0.0):
        return Sign.AWAY if np.all(rounded > 0.0) else Sign.POSITIVE
    return Sign.NOT_NEGATIVE if np.all(out >= 0.0) else Sign.ANY


@cache
def ends_infinity(op: Op) -> bool:
    """Whether an elementwise op of one argument is finite at an infinity, as ``exp`` is at minus infinity."""
    if not isinstance(op.rule, Elementwise) or len(op.rule.partials) != 1:
        return False
    with np.errstate(all="ignore"):
        return bool(np.isfinite(op(np.array([np.inf, -np.inf]))).any())
