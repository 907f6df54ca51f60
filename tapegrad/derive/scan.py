"""Loops whose step is not linear in what they carry: ``state[t] = step(state[t - 1], fixed, each[t])``.

Once the states are known, every step can be differentiated at once, as array code. How derivatives go on from
step to step is a linear recurrence, see `tapegrad.ops.recurrences`: with tangents in the direction of the
loop, with cotangents against it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tapegrad.derive.pullback import sweep
from tapegrad.derive.pushforward import push
from tapegrad.ops.attributes import is_count
from tapegrad.ops.broadcasting import broadcast_to
from tapegrad.ops.indexing import concatenate, getitem
from tapegrad.ops.recurrences import recurrence_
from tapegrad.ops.registry import Op, Products, Shape, register
from tapegrad.ops.shaping import reshape, shape_of, swapaxes
from tapegrad.tape.body import Body, is_body
from tapegrad.tape.slots import active_slots


def _scan(start: Any, *others: Any, body: Body, count: int, out: Any = None) -> Any:
    fixed = [float(x) for x in others[: body.fixed]]
    each = [np.asarray(x).tolist() for x in others[body.fixed :]]
    found = body.run(np.asarray(start).tolist(), fixed, each, count)
    if out is None:
        return found
    out[...] = found
    return out


def _fits(shapes: list[Shape], values: Any, body: Body, count: int) -> bool:
    fixed, each = shapes[1 : 1 + body.fixed], shapes[1 + body.fixed :]
    own = len(body.tape.parameters) - body.carried - body.fixed
    return (
        shapes[0] == (body.carried,)
        and len(body.tape.outputs) == body.carried
        and fixed == [()] * body.fixed
        and each == [(count,)] * own
    )


class _Steps:
    """All steps of a loop at once, on arrays or tracers."""

    def __init__(self, out: Any, start: Any, others: Sequence[Any], body: Body, count: int) -> None:
        self.body, self.count, self.tape = body, count, body.batched(count)
        first = reshape(start, shape=(1, body.carried))
        before = concatenate(first, getitem(out, index=((None, count - 1, None),)), axis=0)
        states = [column(before, c) for c in range(body.carried)]
        self.values: dict[int, Any] = dict(self.tape.constants)
        self.values.update(zip(self.tape.parameters, (*states, *others), strict=True))
        for op, inputs, output, attrs, _ in self.tape.entries.rows():
            self.values[output] = op(*[self.values[slot] for slot in inputs], **dict(attrs))

    def pushed(self, tangents: dict[int, Any]) -> list[Any]:
        """The tangents of what is carried on."""
        found = push(self.tape, self.values.__getitem__, tangents)
        return [self._stretched(found.get(slot)) for slot in self.tape.outputs]

    def _stretched(self, x: Any) -> Any:
        if x is None:
            return np.zeros(self.count)
        return x if shape_of(x) == (self.count,) else broadcast_to(x, shape=(self.count,))

    def factors(self) -> Any:
        """How what is carried on moves with what is carried: the factors of the recurrence of tangents."""
        m = self.body.carried
        columns = [self.pushed({slot: np.ones(self.count)}) for slot in self.tape.parameters[:m]]
        if m == 1:
            return columns[0][0]
        cells = [reshape(columns[c][r], shape=(self.count, 1)) for r in range(m) for c in range(m)]
        return reshape(concatenate(*cells, axis=1), shape=(self.count, m, m))

    def pulled(self, cotangents: Sequence[Any]) -> dict[int, Any]:
        """The cotangents of the parameters of all steps."""
        active = active_slots(self.tape, self.tape.parameters)
        seeds: dict[int, Any] = {}
        for slot, ct in zip(self.tape.outputs, cotangents, strict=True):
            if active[slot]:
                seeds[slot] = seeds[slot] + ct if slot in seeds else ct
        return sweep(self.tape, self.values.__getitem__, seeds, active)


def column(table: Any, c: int) -> Any:
    """A column of a table."""
    return getitem(table, index=((None, None, None), c))


def _table(columns: Sequence[Any], count: int) -> Any:
    return concatenate(*[reshape(x, shape=(count, 1)) for x in columns], axis=1)


def _jvp(i: int, t: Any, out: Any, start: Any, *others: Any, body: Body, count: int) -> Any:
    steps = _Steps(out, start, others, body, count)
    a, m = steps.factors(), body.carried
    if i == 0:
        terms, first = [np.zeros(count)] * m, t
    else:
        terms, first = steps.pushed({steps.tape.parameters[m + i - 1]: t}), np.zeros(m)
    if m == 1:
        first = getitem(first, index=(0,)) if i == 0 else 0.0
        return reshape(recurrence_(a, terms[0], first, reverse=False), shape=(count, 1))
    return recurrence_(a, _table(terms, count), first, reverse=False)


def _vjp(i: int, ct: Any, out: Any, start: Any, *others: Any, body: Body, count: int) -> Any:
    steps = _Steps(out, start, others, body, count)
    a, m = steps.factors(), body.carried
    if m > 1:
        a = swapaxes(a, 1, 2)
    later = concatenate(getitem(a, index=((1, None, None),)), np.zeros((1, *shape_of(a)[1:])), axis=0)
    if m == 1:
        back = [recurrence_(later, column(ct, 0), 0.0, reverse=True)]
    else:
        table = recurrence_(later, ct, np.zeros(m), reverse=True)
        back = [column(table, c) for c in range(m)]
    pulled = steps.pulled(back)
    parameters = steps.tape.parameters
    if i == 0:
        parts = [pulled.get(slot, np.zeros(count)) for slot in parameters[:m]]
        return concatenate(*[getitem(part, index=((0, 1, None),)) for part in parts], axis=0)
    slot = parameters[m + i - 1]
    return pulled.get(slot, np.zeros(steps.tape.avals[slot].shape))


def step_body() -> Body:
    """The sample of the table of ops: a map with a number that stays and one of each step."""
    from tapegrad.ops.elementwise import add, exp, mul
    from tapegrad.ops.registry import FLOAT, Aval
    from tapegrad.tape.builder import Builder

    builder = Builder("step")
    x, y, rate, shock = (builder.parameter(Aval((), FLOAT)) for _ in range(4))

    def emit(op: Op, *inputs: int) -> int:
        return builder.emit(op, inputs, (), None, Aval((), FLOAT))

    moved = emit(mul, rate, emit(exp, emit(mul, x, y)))
    return Body(builder.finish((emit(add, moved, shock), emit(mul, x, rate))), 2, 1)


scan_ = register(
    Op(
        "scan",
        _scan,
        lambda start, *others, body, count: (count, body.carried),
        Products(_jvp, _vjp),
        attrs={"body": is_body, "count": is_count},
        fits=_fits,
        samples=(
            (
                (np.array([0.3, -0.4]), 0.7, np.array([0.5, -0.2, 0.1])),
                {"body": step_body(), "count": 3},
            ),
        ),
    )
)
