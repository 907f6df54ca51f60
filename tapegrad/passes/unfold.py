"""Tape -> Tape: small arrays number by number.

NumPy takes a microsecond for an operation on a small array, as many as for forty of Python's operations on
numbers. So the body of a loop is run number by number, where its arrays are small. An array is here the array
of the slots of its elements: what only moves elements is done by the op's own kernel on that, and leaves no
entry.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tapegrad.ops.broadcasting import add_n, broadcast_to, sum_
from tapegrad.ops.elementwise import add, exp, log, mul, sub
from tapegrad.ops.indexing import concatenate, getitem, update
from tapegrad.ops.linalg import dot_, matmul
from tapegrad.ops.logic import isfinite, logical_and, logical_or, maximum, minimum, where
from tapegrad.ops.reductions import all_, any_, cumprod_, cumsum_, logsumexp_, max_, min_, prod_
from tapegrad.ops.registry import Aval, Op
from tapegrad.ops.shaping import reshape, transpose
from tapegrad.passes.dce import dce
from tapegrad.tape.builder import Builder
from tapegrad.tape.entries import Entry, entry_of
from tapegrad.tape.line import Source
from tapegrad.tape.tape import Tape

Slots = np.ndarray[Any, Any]


def unfolded(tape: Tape, most: int) -> Tape | None:
    """The tape of the numbers that the arrays of a tape hold, one parameter and one output for each.

    None where an op has no form on numbers, or where there would be more than `most` entries.
    """
    new = _Unfolding()
    for slot in tape.parameters:
        shape, dtype = tape.avals[slot]
        numbers = [new.builder.parameter(Aval((), dtype)) for _ in range(int(np.prod(shape, dtype=int)))]
        new.slots[slot] = np.array(numbers, dtype=int).reshape(shape)
    for slot, value in tape.constants:
        new.values[slot] = value
        flat = [new.constant(number) for number in np.ravel(value).tolist()]
        new.slots[slot] = np.array(flat, dtype=int).reshape(np.shape(value))
    for entry in map(entry_of, tape.entries.rows()):
        rule = _elementwise if entry.op.is_elementwise else RULES.get(entry.op)
        if rule is None:
            return None
        new.at = entry.source
        found = rule(new, entry, [new.slots[slot] for slot in entry.inputs])
        if found is None or len(new.builder.columns.ops) > most:
            return None
        new.slots[entry.output] = found
    outputs = [number for slot in tape.outputs for number in new.slots[slot].ravel().tolist()]
    return dce(new.builder.finish(outputs))


class _Unfolding:
    """A tape of numbers being written, each of them once."""

    def __init__(self) -> None:
        self.builder = Builder("step")
        self.slots: dict[int, Slots] = {}
        self.values: dict[int, Any] = {}
        self.at: Source | None = None
        self._known: dict[Any, int] = {}

    def constant(self, number: Any) -> int:
        key = (type(number), repr(number))
        if key not in self._known:
            self._known[key] = self.builder.constant(
                number if type(number) is float else np.asarray(number)[()]
            )
        return self._known[key]

    def emit(self, op: Op, *inputs: int) -> int:
        key = (op, inputs)
        if key not in self._known:
            avals = self.builder.avals
            aval = op.aval([avals[slot] for slot in inputs], {})
            self._known[key] = self.builder.emit(op, inputs, (), self.at, aval)
        return self._known[key]

    def chain(self, op: Op, numbers: Sequence[int]) -> int:
        """One number after the other, as in ``(a + b) + c``."""
        first, *others = numbers
        for number in others:
            first = self.emit(op, first, number)
        return first

    def total(self, numbers: Sequence[int]) -> int:
        if not numbers:
            return self.constant(0.0)
        return numbers[0] if len(numbers) == 1 else self.emit(add_n, *numbers)


Rule = Callable[[_Unfolding, Entry, list[Slots]], Slots | None]


def _elementwise(new: _Unfolding, entry: Entry, inputs: list[Slots]) -> Slots | None:
    if entry.attrs:
        return None
    together = np.broadcast_arrays(*inputs)
    columns = [x.ravel().tolist() for x in together]
    found = [new.emit(entry.op, *numbers) for numbers in zip(*columns, strict=True)]
    return np.array(found, dtype=int).reshape(together[0].shape)


def _moved(new: _Unfolding, entry: Entry, inputs: list[Slots]) -> Slots | None:
    """What only moves elements, moves their slots."""
    free = 2 if entry.op is update else len(inputs) if entry.op is concatenate else 1
    arrays = [new.values.get(slot) for slot in entry.inputs[free:]]
    if any(array is None for array in arrays):
        return None
    return np.asarray(entry.op.kernel(*inputs[:free], *arrays, **dict(entry.attrs)))


def _lines(x: Slots, axes: tuple[int, ...]) -> tuple[list[list[int]], tuple[int, ...]]:
    """The numbers along some axes, one list for each place along the others; and the shape of those."""
    kept = tuple(n for i, n in enumerate(x.shape) if i not in axes)
    last = np.moveaxis(x, axes, range(x.ndim - len(axes), x.ndim)).reshape(int(np.prod(kept, dtype=int)), -1)
    return last.tolist(), kept


def _reduction(reduce: Callable[[_Unfolding, list[int]], int]) -> Rule:
    def rule(new: _Unfolding, entry: Entry, inputs: list[Slots]) -> Slots | None:
        attrs, (x,) = dict(entry.attrs), inputs
        axis = attrs["axis"]
        axes = axis if isinstance(axis, tuple) else (axis,)
        if x.size == 0:
            return None
        lines, shape = _lines(x, axes)
        if attrs.get("keepdims"):
            shape = tuple(1 if i in axes else n for i, n in enumerate(x.shape))
        return np.array([reduce(new, line) for line in lines], dtype=int).reshape(shape)

    return rule


def _logsumexp(new: _Unfolding, line: list[int]) -> int:
    top = new.chain(maximum, line)
    top = new.emit(where, new.emit(isfinite, top), top, new.constant(0.0))
    total = new.total([new.emit(exp, new.emit(sub, number, top)) for number in line])
    return new.emit(add, new.emit(log, total), top)


def _accumulated(op: Op) -> Rule:
    def rule(new: _Unfolding, entry: Entry, inputs: list[Slots]) -> Slots | None:
        found, axis = np.array(inputs[0]), dict(entry.attrs)["axis"]
        lines = np.moveaxis(found, axis, 0)
        for i in range(1, len(lines)):
            lines[i] = _of_pairs(new, op, lines[i - 1], lines[i])
        return found

    return rule


def _of_pairs(new: _Unfolding, op: Op, x: Slots, y: Slots) -> Slots:
    pairs = zip(x.ravel().tolist(), y.ravel().tolist(), strict=True)
    return np.array([new.emit(op, *pair) for pair in pairs], dtype=int).reshape(x.shape)


def _matmul(new: _Unfolding, entry: Entry, inputs: list[Slots]) -> Slots | None:
    a, b = inputs
    if max(a.ndim, b.ndim) > 2:
        return None
    rows, columns = np.atleast_2d(a), (b if b.ndim == 2 else b[:, None]).T
    found = [
        [
            new.total([new.emit(mul, x, y) for x, y in zip(row, column, strict=True)])
            for column in columns.tolist()
        ]
        for row in rows.tolist()
    ]
    return np.array(found, dtype=int).reshape(entry.op.shape(a.shape, b.shape))


def _chained(op: Op) -> Rule:
    return _reduction(lambda new, line: new.chain(op, line))


RULES: dict[Op, Rule] = {
    **dict.fromkeys((reshape, transpose, broadcast_to, getitem, update, concatenate), _moved),
    **dict.fromkeys((matmul, dot_), _matmul),
    sum_: _reduction(lambda new, line: new.total(line)),
    logsumexp_: _reduction(_logsumexp),
    max_: _chained(maximum),
    min_: _chained(minimum),
    prod_: _chained(mul),
    all_: _chained(logical_and),
    any_: _chained(logical_or),
    cumsum_: _accumulated(add),
    cumprod_: _accumulated(mul),
}
