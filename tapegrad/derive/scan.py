"""Loops whose step is not linear in what they carry: ``state[t] = step(state[t - 1], fixed, each[t])``.

Once the states are known, every step can be differentiated at once, as array code. How derivatives go on from
step to step is a linear recurrence, see `tapegrad.ops.recurrences`: with tangents in the direction of the
loop, with cotangents against it. Where much is carried, it is a loop again, see `tapegrad.derive.adjoint`.

What is carried are numbers and arrays. The op holds them flat, one after the other, because an entry of a
tape has one output.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tapegrad.derive import adjoint
from tapegrad.derive.batching import batched
from tapegrad.derive.gates import Gates
from tapegrad.derive.pullback import sweep
from tapegrad.derive.pushforward import push
from tapegrad.ops.attributes import is_count
from tapegrad.ops.broadcasting import broadcast_to
from tapegrad.ops.elementwise import add, exp, mul, sub
from tapegrad.ops.indexing import concatenate, getitem
from tapegrad.ops.recurrences import recurrence_
from tapegrad.ops.registry import FLOAT, Aval, Op, Shape, Together, register
from tapegrad.ops.shaping import reshape, shape_of, swapaxes
from tapegrad.tape.body import Body, is_body
from tapegrad.tape.builder import Builder
from tapegrad.tape.slots import active_slots

# With more numbers that are carried, derivatives go step by step, see `tapegrad.derive.adjoint`: the factors
# of tangents would be square matrices of that size. Nor are plain loops made scans then.
WIDEST = 24

_ALL = (None, None, None)


def _scan(start: Any, *others: Any, body: Body, count: int, out: Any = None) -> Any:
    found = body.run(start, others[: body.fixed], others[body.fixed :], count)
    if out is None:
        return found
    out[...] = found
    return out


def _fits(shapes: list[Shape], values: Any, body: Body, count: int) -> bool:
    fixed, each = shapes[1 : 1 + body.fixed], shapes[1 + body.fixed :]
    return (
        shapes[0] == (body.width,)
        and fixed == [aval.shape for aval in body.fixed_avals()]
        and each == [(count, *aval.shape) for aval in body.own_avals()]
    )


class _Steps:
    """All steps of a loop at once, on arrays or tracers.

    Attributes
    ----------
    parameters : tuple of tuples of int
        The slots of what is carried, and of all other inputs of the op.
    before : list
        What each step was given of what is carried.
    """

    def __init__(self, out: Any, start: Any, others: Sequence[Any], body: Body, count: int) -> None:
        self.body, self.count, self.tape = body, count, batched(body, count)
        self.gates = Gates(self.tape)
        self.carried = self.tape.parameters[: body.carried]
        self.others = self.tape.parameters[body.carried :]
        first = reshape(start, shape=(1, body.width))
        before = concatenate(first, getitem(out, index=((None, count - 1, None),)), axis=0)
        self.values: dict[int, Any] = dict(self.tape.constants)
        self.before = self.parts(before)
        self.values.update(zip(self.tape.parameters, (*self.before, *others), strict=True))
        for op, inputs, output, attrs, _ in self.tape.entries.rows():
            self.values[output] = op(*[self.values[slot] for slot in inputs], **dict(attrs))

    # Tables have one row for each step: a flat state, tangent or cotangent.

    def parts(self, table: Any) -> list[Any]:
        """The parts of what is carried, each with the steps as its first axis."""
        return [self._part(table, a, b, aval) for a, b, aval in self.body.spans]

    def _part(self, table: Any, a: int, b: int, aval: Aval) -> Any:
        if aval.shape == ():
            return getitem(table, index=(_ALL, a))
        part = table if b - a == self.body.width else getitem(table, index=(_ALL, (a, b, None)))
        return reshape(part, shape=(self.count, *aval.shape))

    def table(self, parts: Sequence[Any]) -> Any:
        """The parts as a table."""
        columns = [
            reshape(part, shape=(self.count, b - a))
            for part, (a, b, _) in zip(parts, self.body.spans, strict=True)
        ]
        return columns[0] if len(columns) == 1 else concatenate(*columns, axis=1)

    def pushed(self, tangents: dict[int, Any]) -> list[Any]:
        """The tangents of what is carried on."""
        found = push(self.tape, self.values.__getitem__, tangents, gates=self.gates)
        return [self._stretched(found.get(slot), slot) for slot in self.tape.outputs]

    def _stretched(self, x: Any, slot: int) -> Any:
        shape = self.tape.avals[slot].shape
        if x is None:
            return np.zeros(shape)
        return x if shape_of(x) == shape else broadcast_to(x, shape=shape)

    def _unit(self, aval: Aval, i: int) -> Any:
        if aval.shape == ():
            return np.ones(self.count)
        one = np.zeros(math.prod(aval.shape))
        one[i] = 1.0
        return broadcast_to(one.reshape(aval.shape), shape=(self.count, *aval.shape))

    def factors(self) -> Any:
        """How what is carried on moves with what is carried: the matrices of the recurrence of tangents."""
        shape = (self.count, self.body.width, 1)
        columns = [
            reshape(self.table(self.pushed({slot: self._unit(aval, i)})), shape=shape)
            for slot, (a, b, aval) in zip(self.carried, self.body.spans, strict=True)
            for i in range(b - a)
        ]
        return columns[0] if len(columns) == 1 else concatenate(*columns, axis=2)

    def pulled(self, back: Any) -> dict[int, Any]:
        """The cotangents of the parameters of all steps, given a table of those of what is carried on."""
        active = active_slots(self.tape, self.tape.parameters)
        seeds: dict[int, Any] = {}
        for slot, ct in zip(self.tape.outputs, self.parts(back), strict=True):
            if active[slot]:
                seeds[slot] = seeds[slot] + ct if slot in seeds else ct
        return sweep(self.tape, self.values.__getitem__, seeds, active)


def _recurrence(a: Any, b: Any, start: Any, reverse: bool) -> Any:
    """The recurrence of a table, by numbers where a row is one."""
    count, m = shape_of(b)
    if m > 1:
        return recurrence_(a, b, start, reverse=reverse)
    numbers = [reshape(x, shape=(count,)) for x in (a, b)]
    return reshape(recurrence_(*numbers, reshape(start, shape=()), reverse=reverse), shape=(count, 1))


def _jvp(tangents: Sequence[Any], out: Any, start: Any, *others: Any, body: Body, count: int) -> Any:
    steps = _Steps(out, start, others, body, count)
    moving = {s: t for s, t in zip(steps.others, tangents[1:], strict=True) if t is not None}
    terms = steps.table(steps.pushed(moving)) if moving else np.zeros((count, body.width))
    first = np.zeros(body.width) if tangents[0] is None else tangents[0]
    if body.width > WIDEST:
        own = (*steps.before, *others[body.fixed :], *steps.parts(terms))
        return scan_(first, *others[: body.fixed], *own, body=adjoint.tangents(body), count=count)
    return _recurrence(steps.factors(), terms, first, reverse=False)


def _vjp(
    wanted: Sequence[int], ct: Any, out: Any, start: Any, *others: Any, body: Body, count: int
) -> list[Any]:
    steps, m = _Steps(out, start, others, body, count), body.width
    back = ct
    if count > 1 and m > WIDEST:
        back = _by_steps(steps, ct, others)
    elif count > 1:
        later = getitem(swapaxes(steps.factors(), 1, 2), index=((1, None, None),))
        last = np.zeros((1, m, m))  # nothing comes after it
        back = _recurrence(concatenate(later, last, axis=0), ct, np.zeros(m), reverse=True)
    pulled = steps.pulled(back)
    return [_of_start(steps, pulled) if i == 0 else _found(steps, pulled, i) for i in wanted]


def _by_steps(steps: _Steps, ct: Any, others: Sequence[Any]) -> Any:
    """The cotangents of what is carried on, by a loop that goes backwards from the last one."""
    body, count = steps.body, steps.count
    later, earlier = ((None, 0, -1),), ((count - 2, None, -1),)
    own = [getitem(x, index=later) for x in (*steps.before, *others[body.fixed :])]
    own += [getitem(part, index=earlier) for part in steps.parts(ct)]
    last = getitem(ct, index=(count - 1,))
    found = scan_(last, *others[: body.fixed], *own, body=adjoint.cotangents(body), count=count - 1)
    end = reshape(last, shape=(1, body.width))
    return concatenate(getitem(found, index=((None, None, -1),)), end, axis=0)


def _of_start(steps: _Steps, pulled: dict[int, Any]) -> Any:
    """The cotangent of what the loop starts with: that of what the first step is given."""
    parts = []
    for slot, (a, b, _) in zip(steps.carried, steps.body.spans, strict=True):
        first = getitem(pulled[slot], index=((0, 1, None),)) if slot in pulled else np.zeros(b - a)
        parts.append(reshape(first, shape=(b - a,)))
    return parts[0] if len(parts) == 1 else concatenate(*parts, axis=0)


def _found(steps: _Steps, pulled: dict[int, Any], i: int) -> Any:
    slot = steps.others[i - 1]
    return pulled[slot] if slot in pulled else np.zeros(steps.tape.avals[slot].shape)


# Samples ----------------------------------------------------------------------------------------------------


def _map_of_two(shape: Shape) -> Body:
    """A map of two parts of a shape, with a number that stays and a part of each step."""
    builder = Builder("step")
    aval = Aval(shape, FLOAT)
    x, y, rate, shock = (builder.parameter(a) for a in (aval, aval, Aval((), FLOAT), aval))

    def emit(op: Op, *inputs: int) -> int:
        return builder.emit(op, inputs, (), None, aval)

    moved = emit(mul, rate, emit(exp, emit(mul, x, y)))
    return Body(builder.finish((emit(add, moved, shock), emit(mul, x, rate))), 2, 1)


def _logistic() -> Body:
    """The logistic map: nothing but what is carried."""
    builder = Builder("step")
    aval = Aval((), FLOAT)
    x = builder.parameter(aval)
    rest = builder.emit(sub, (builder.constant(1.0), x), (), None, aval)
    return Body(builder.finish((builder.emit(mul, (x, rest), (), None, aval),)), 1, 0)


_PAIR = np.array([0.3, -0.4])
_SIX = np.linspace(-0.4, 0.5, 6)

scan_ = register(
    Op(
        "scan",
        _scan,
        lambda start, *others, body, count: (count, body.width),
        Together(_jvp, _vjp),
        attrs={"body": is_body, "count": is_count},
        fits=_fits,
        samples=(
            ((_PAIR, 0.7, np.array([0.5, -0.2, 0.1])), {"body": _map_of_two(()), "count": 3}),
            ((_PAIR, 0.7, np.array([0.5])), {"body": _map_of_two(()), "count": 1}),
            ((np.array([0.3]),), {"body": _logistic(), "count": 5}),
            (
                (_SIX, 0.7, np.linspace(-1.0, 1.0, 12).reshape(4, 3)),
                {"body": _map_of_two((3,)), "count": 4},
            ),
        ),
    )
)
