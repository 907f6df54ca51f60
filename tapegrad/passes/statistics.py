"""statistics: a sum over rows that needs only a few parameter-free sums is put together from those.

Where every row enters a sum as a polynomial of low degree in data, with scalars for coefficients, the sums of
the data's products are computed once, and a replay no longer touches the rows: these are the sufficient
statistics of the exponential, normal, lognormal, gamma, beta and Poisson likelihoods, and of others that are
linear or quadratic in functions of the data. Data are centred first, so that nothing is lost where their mean
is large against their spread (Chan, Golub and LeVeque, 1983).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any

import numpy as np

from tapegrad.builder import copy_guards
from tapegrad.ops.elementwise import add, div, mul, neg, reciprocal, square, sub
from tapegrad.ops.registry import FLOAT, Op
from tapegrad.passes.simplify import Rewriter, rewrite
from tapegrad.tape import Entry, Tape, deciding_slots

Array = np.ndarray[Any, Any]
Monomial = tuple[int, ...]  # the constants whose centred elements are multiplied, sorted; () is 1
Polynomial = dict[Monomial, int]  # for each monomial, the scalar slot of its coefficient

DEGREE = 2
TERMS = 10


class _Writer:
    """Polynomials of the arrays of a tape that is being rewritten."""

    def __init__(self, tape: Tape) -> None:
        self.tape = tape
        self.w = Rewriter(tape)
        self.data: dict[int, Array] = dict(tape.constants)
        self.sums: dict[Monomial, int] = {}
        self.found: dict[int, Polynomial] = {}
        self.line: Entry
        for slot, value in tape.constants:
            if _is_data(value) and np.isfinite(value).all():
                mean = self.w.constant(float(np.mean(value)))
                self.found[slot] = {(): mean, (slot,): self.w.constant(1.0)}

    # Scalar arithmetic on the new tape ----------------------------------------------------------------------

    def scalar(self, op: Op, *inputs: int) -> int:
        return rewrite(self.w, Entry(op, inputs, -1, (), self.line.source))

    def polynomial(self, slot: int) -> Polynomial | None:
        """Of an array what is known of it, of a scalar itself."""
        if self.tape.avals[slot].shape == ():
            return {(): self.w.new[slot]} if self.tape.avals[slot].dtype == FLOAT else None
        return self.found.get(slot)

    def plus(self, p: Polynomial, q: Polynomial) -> Polynomial:
        total = dict(p)
        for monomial, c in q.items():
            total[monomial] = self.scalar(add, total[monomial], c) if monomial in total else c
        return total

    def minus(self, p: Polynomial) -> Polynomial:
        return {monomial: self.scalar(neg, c) for monomial, c in p.items()}

    def times(self, p: Polynomial, q: Polynomial) -> Polynomial | None:
        if max(map(len, p)) + max(map(len, q)) > DEGREE:
            return None
        total: Polynomial = {}
        for left, c in p.items():
            for right, d in q.items():
                total = self.plus(total, {tuple(sorted((*left, *right))): self.scalar(mul, c, d)})
        return total

    # Entries ------------------------------------------------------------------------------------------------

    def of_entry(self, entry: Entry) -> Polynomial | None:
        """The polynomial of an array, if it is one."""
        rule = _RULES.get(entry.op.name)
        parts = [self.polynomial(slot) for slot in entry.inputs]
        if rule is None or any(part is None for part in parts):
            return None
        self.line = entry
        result = rule(self, *parts)
        return result if result is not None and len(result) <= TERMS else None

    def total(self, entry: Entry, polynomial: Polynomial, rows: int) -> int:
        """The sum of a polynomial over the rows."""
        self.line = entry
        slots = [self.scalar(mul, c, self.statistic(m, rows)) for m, c in polynomial.items()]
        total = slots[0]
        for slot in slots[1:]:
            total = self.scalar(add, total, slot)
        return total

    def statistic(self, monomial: Monomial, rows: int) -> int:
        """The constant that a monomial sums to, labelled for the listing."""
        if not monomial:
            return self.w.constant(float(rows))
        if monomial not in self.sums:
            centred = [self.data[slot] - np.mean(self.data[slot]) for slot in monomial]
            slot = self.sums[monomial] = self.w.constant(float(np.add.reduce(reduce(np.multiply, centred))))
            names = dict(self.tape.labels)
            factors = [f"({names.get(s, 'data')} - mean)" for s in monomial]
            self.w.builder.labels[slot] = (
                f"sum({' * '.join(factors)})" if len(factors) > 1 else f"sum{factors[0]}"
            )
        return self.sums[monomial]


def _quotient(writer: _Writer, p: Polynomial, q: Polynomial) -> Polynomial | None:
    if set(q) != {()}:
        return None
    return writer.times(p, {(): writer.scalar(reciprocal, q[()])})


_RULES: dict[str, Callable[..., Polynomial | None]] = {
    add.name: _Writer.plus,
    sub.name: lambda writer, p, q: writer.plus(p, writer.minus(q)),
    mul.name: _Writer.times,
    div.name: _quotient,
    neg.name: _Writer.minus,
    square.name: lambda writer, p: writer.times(p, p),
    "broadcast_to": lambda writer, p: p,
}


def _is_data(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.ndim == 1 and value.size > 1 and value.dtype == FLOAT


def statistics(tape: Tape) -> Tape:
    """Replace sums over rows by combinations of constant sums where they are such."""
    if not any(_is_data(value) for _, value in tape.constants):
        return tape
    writer = _Writer(tape)
    w = writer.w
    exact = deciding_slots(tape)
    with np.errstate(all="ignore"):
        for entry in tape.entries:
            inputs = tuple([w.new[slot] for slot in entry.inputs])
            shape = tape.avals[entry.inputs[0]].shape
            known = writer.found.get(entry.inputs[0])
            if entry.op.name == "sum" and known is not None and entry.output not in exact:
                w.new[entry.output] = writer.total(entry, known, shape[0])
                continue
            w.new[entry.output] = w.emit(entry, entry.op, inputs, entry.attrs)
            if len(tape.avals[entry.output].shape) == 1:
                polynomial = writer.of_entry(entry)
                if polynomial is not None:
                    writer.found[entry.output] = polynomial
    copy_guards(tape, w.builder, w.new)
    return w.builder.finish(w.new[slot] for slot in tape.outputs)
