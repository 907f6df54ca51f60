"""Polynomials in columns of constants: sums of products of lines, and their arithmetic.

A line is linear in the columns. It keeps the steps of the user's own arithmetic, so that these can be taken
again at a few rows in the place of all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from tapegrad.ops.broadcasting import broadcast_to, sum_
from tapegrad.ops.deviances import bd0, log_ratio
from tapegrad.ops.elementwise import add, div, log, log1p, mul, neg, power, reciprocal, sqrt, square, sub
from tapegrad.ops.linalg import matmul
from tapegrad.ops.registry import Op
from tapegrad.ops.shaping import reshape
from tapegrad.ops.special import xlog1py, xlogy
from tapegrad.passes.simplify import Rewriter
from tapegrad.passes.statistics.columns import Column, Columns, Leaf, Masks
from tapegrad.tape.entries import Entry

# Where each column of some rows stands on the tape that is written; None for zeros.
Rows = Mapping[Column, int | None]
# Where a line takes a scalar: both their numbers; for the coefficients of a design matrix its own, twice.
Place = tuple[int, int]
# What is added to scalars, or subtracted from them.
Shifts = Mapping[Place, tuple[Op, int]]

_PARTS = 100  # of a regression


class Line(NamedTuple):
    """A scalar, a column, or what one step makes of earlier lines.

    Attributes
    ----------
    op : Op or None
        The step; None for scalars and columns. `matmul` is a design matrix times coefficients.
    inputs : tuple of int
        The earlier lines.
    columns : tuple of Column
        What it depends on, each once; nothing, if it is a scalar.
    slot : int or None
        On the tape that is written: the scalar, or the coefficients of a design matrix.
    share : int or None
        Of a column times a scalar, that scalar.
    entry : Entry
        The step on the tape that is read.
    """

    op: Op | None
    inputs: tuple[int, ...]
    columns: tuple[Column, ...]
    slot: int | None
    share: int | None
    entry: Entry


class Term(NamedTuple):
    """A product of lines, times the scalar in a slot."""

    coefficient: int
    factors: tuple[int, ...]


Polynomial = list[Term]


class Regression(NamedTuple):
    """A response, and a coefficient for each column that is subtracted from it.

    Attributes
    ----------
    response : Column
    coefficients : dict of Place to (Column or None, Op)
        The coefficient of each column, and at most one of no column, the intercept. `add` or `sub` tells what
        moves it to the same coefficient of the residuals of a fit.
    """

    response: Column
    coefficients: dict[Place, tuple[Column | None, Op]]


class Cell:
    """Rows on which every array is one polynomial, and the lines of which these are made.

    Attributes
    ----------
    masks : Masks
        Which rows these are.
    n : int
        The number of rows, of which `masks` leave some.
    lines : list of Line
        In the order in which they were made.
    entry : Entry
        The step that is being followed.
    """

    def __init__(self, w: Rewriter, columns: Columns, masks: Masks, n: int, entry: Entry) -> None:
        self.w = w
        self.known = columns
        self.masks = masks
        self.n = n
        self.lines: list[Line] = []
        self.entry = entry
        self._one = w.constant(1.0)

    def emit(self, op: Op, *inputs: int, **attrs: Any) -> int:
        """One step on the tape that is written."""
        return self.w.rewrite(Entry(op, inputs, -1, tuple(attrs.items()), self.entry.source))

    # Polynomials of one line --------------------------------------------------------------------------------

    def scalar(self, slot: int) -> Polynomial:
        """The same number in every row."""
        if self.w.shape(slot) != ():
            slot = self.emit(reshape, slot, shape=())
        return self._line(None, (), (), slot, None)

    def column(self, *leaves: Leaf) -> Polynomial:
        """A column: a leaf, or the product of several."""
        return self._line(None, (), (leaves,), None, self._one)

    def design(self, matrix: Leaf, coefficients: int) -> Polynomial:
        """A design matrix times coefficients."""
        shape = self.w.shape(coefficients)
        if len(shape) != 1:
            coefficients = self.emit(reshape, coefficients, shape=(max(shape),))
        return self._line(matmul, (), ((matrix,),), coefficients, None)

    def _line(
        self, op: Op | None, inputs: tuple[int, ...], columns: tuple[Column, ...], slot: Any, share: Any
    ) -> Polynomial:
        self.lines.append(Line(op, inputs, columns, slot, share, self.entry))
        return [Term(self._one, (len(self.lines) - 1,))]

    def line(self, p: Polynomial) -> int | None:
        """The line that a polynomial is, if it is no more than that."""
        is_line = len(p) == 1 and len(p[0].factors) == 1 and p[0].coefficient == self._one
        return p[0].factors[0] if is_line else None

    def slot(self, p: Polynomial) -> int | None:
        """The slot of a scalar, if the polynomial is one."""
        number = self.line(p)
        return None if number is None or self.lines[number].columns else self.lines[number].slot

    def step(self, op: Op, *numbers: int) -> Polynomial:
        """What a step that is linear makes of lines."""
        lines = [self.lines[number] for number in numbers]
        columns = tuple(dict.fromkeys(column for line in lines for column in line.columns))
        if not columns:
            return self.scalar(self.emit(op, *[line.slot for line in lines if line.slot is not None]))
        share = None
        if op in (mul, div, neg) and len(columns) == 1:
            shares = [line.share if line.columns else line.slot for line in lines]
            share = None if None in shares else self.emit(op, *[s for s in shares if s is not None])
        return self._line(op, numbers, columns, None, share)

    # Sums and products --------------------------------------------------------------------------------------

    def plus(self, p: Polynomial, q: Polynomial) -> Polynomial:
        """The sum: of lines a line."""
        left, right = self.line(p), self.line(q)
        return p + q if left is None or right is None else self.step(add, left, right)

    def minus(self, p: Polynomial, q: Polynomial) -> Polynomial:
        """The difference."""
        left, right = self.line(p), self.line(q)
        return p + self.negated(q) if left is None or right is None else self.step(sub, left, right)

    def negated(self, p: Polynomial) -> Polynomial:
        """The polynomial times -1."""
        number = self.line(p)
        if number is not None:
            return self.step(neg, number)
        return [Term(self.emit(neg, c), factors) for c, factors in p]

    def times(self, p: Polynomial, q: Polynomial) -> Polynomial:
        """The product: of a line and a scalar a line."""
        left, right = self.line(p), self.line(q)
        has_scalar = self.slot(p) is not None or self.slot(q) is not None
        if left is not None and right is not None and has_scalar:
            return self.step(mul, left, right)
        return [Term(self.emit(mul, c, d), (*f, *g)) for c, f in p for d, g in q]

    def over(self, p: Polynomial, q: Polynomial) -> Polynomial | None:
        """The quotient, by a scalar or by a column times a scalar."""
        left, right = self.line(p), self.line(q)
        if left is not None and right is not None and not self.lines[right].columns:
            return self.step(div, left, right)
        inverse = self.applied(reciprocal, q)
        return None if inverse is None else self.times(p, inverse)

    # Functions of a column times a scalar -------------------------------------------------------------------

    def share(self, p: Polynomial) -> tuple[int, Leaf] | None:
        """The scalar s and the leaf x, if the polynomial is s * x."""
        number = self.line(p)
        if number is None or self.lines[number].share is None:
            return None
        (leaf,) = self.lines[number].columns[0]
        share = self.lines[number].share
        return None if share is None else (share, leaf)

    def applied(self, op: Op, p: Polynomial, *arguments: float) -> Polynomial | None:
        """A power f of s * x as f(s) * f(x), and its logarithm as log(s) + log(x), for positive x."""
        slot, found = self.slot(p), self.share(p)
        further = [self.w.constant(x) for x in arguments]
        if slot is not None:
            return self.scalar(self.emit(op, slot, *further))
        if found is None:
            return None
        s, x = found
        if op is not reciprocal and not self.known.range((x,), self.masks, self.n)[0] > 0.0:
            return None
        factor = self.scalar(self.emit(op, s, *further))
        column = self.column(x._replace(steps=(*x.steps, (op, arguments))))
        return self.plus(factor, column) if op is log else self.times(factor, column)

    def log_times(self, x: Polynomial, y: Polynomial) -> Polynomial | None:
        """``xlogy`` and ``xlog1py`` of a scalar and a column, either way round."""
        op, logarithm = self.entry.op, log if self.entry.op is xlogy else log1p
        x_slot, y_slot = self.slot(x), self.slot(y)
        x_share, y_share = self.share(x), self.share(y)
        if x_slot is not None and y_slot is not None:
            return self.scalar(self.emit(op, x_slot, y_slot))
        if x_slot is not None and y_share is not None and y_share[0] == self._one:
            leaf = y_share[1]
            lowest = 0.0 if op is xlogy else -1.0
            if self.known.range((leaf,), self.masks, self.n)[0] > lowest:
                return self.times(x, self.column(leaf._replace(steps=(*leaf.steps, (logarithm, ())))))
        if y_slot is not None and x_share is not None and x_share[0] == self._one:
            leaf = x_share[1]._replace(gated=True)
            low, high = self.known.range((leaf,), self.masks, self.n)
            if low >= 0.0 or high <= 0.0:
                column, scalar = self.line(self.column(leaf)), self.line(y)
                assert column is not None
                assert scalar is not None
                return self._line(op, (column, scalar), ((leaf,),), None, None)
        return None

    def deviance(self, x: Polynomial, m: Polynomial) -> Polynomial | None:
        """``bd0`` of a column x of counts and a scalar m: its value at their mean c, and what m adds to that.

        As ``bd0(x, m) - bd0(x, c)`` is linear in x, a sum of deviances from m is that of the deviances from
        c, and the deviance of c from m as often: nothing large cancels.
        """
        slot, share = self.slot(m), self.share(x)
        if slot is None or share is None or share[0] != self._one:
            return None
        leaf = share[1]._replace(gated=True)
        mean = self.known.mean((leaf,), self.masks, self.n)
        if not (mean > 0.0 and self.known.range((leaf,), self.masks, self.n)[0] >= 0.0):
            return None
        constant = self.column(leaf._replace(steps=(*leaf.steps, (bd0, (mean,)))))
        lines = self.column(leaf), m, self.scalar(self.w.constant(mean))
        numbers = [number for number in map(self.line, lines) if number is not None]
        return self.plus(constant, self._line(bd0, tuple(numbers), ((leaf,),), None, None))

    # Lines at given rows ------------------------------------------------------------------------------------

    def at(self, number: int, rows: Rows, is_deviation: bool, shifts: Shifts) -> int | None:
        """A line at one row, or at several that stand below each other; None for zero.

        Parameters
        ----------
        number : int
            The line.
        rows : Rows
            The columns at these rows.
        is_deviation : bool
            Whether these are differences of rows, in which what is the same in all rows has gone.
        shifts : Shifts
            How scalars and coefficients are moved.
        """
        needed = {number}
        for i in range(number, -1, -1):
            if i in needed:
                needed.update(j for j in self.lines[i].inputs if self.lines[j].columns)
        values: dict[int, int | None] = {}
        for i in sorted(needed):
            line = self.lines[i]
            self.entry = line.entry
            if line.inputs:
                inputs = [values[j] if j in values else self._moved(i, j, shifts) for j in line.inputs]
                values[i] = self._step_at(line, inputs, is_deviation)
            else:
                row = rows[line.columns[0]]
                is_bare = line.op is None or row is None
                values[i] = row if is_bare else self._product(row, self._moved(i, i, shifts))
        return values[number]

    def _moved(self, i: int, j: int, shifts: Shifts) -> int:
        """The slot of line j, as line i takes it."""
        slot = self.lines[j].slot
        assert slot is not None
        op, shift = shifts.get((i, j), (None, None))
        return slot if op is None or shift is None else self.emit(op, slot, shift)

    def _product(self, row: int | None, coefficients: int) -> int | None:
        if row is None or len(self.w.shape(row)) == 2:
            return None if row is None else self.emit(matmul, row, coefficients)
        return self.emit(sum_, self.emit(mul, row, coefficients), axis=(0,), keepdims=False)

    def _step_at(self, line: Line, inputs: list[int | None], is_deviation: bool) -> int | None:
        assert line.op is not None
        if is_deviation and line.op in (add, sub):
            varies = [bool(self.lines[j].columns) for j in line.inputs]
            left, right = [slot if v else None for slot, v in zip(inputs, varies, strict=True)]
            if right is None:
                return left
            if left is None:
                return right if line.op is add else self.emit(neg, right)
            return self.emit(line.op, left, right)
        slots = [slot for slot in inputs if slot is not None]
        if len(slots) < len(inputs):
            return None
        if line.op is bd0:
            x, m, c = slots
            if is_deviation:
                return self.emit(mul, x, self.emit(log_ratio, c, m))
            return self.emit(sub, self.emit(bd0, x, m), self.emit(bd0, x, c))
        if is_deviation and line.op in (xlogy, xlog1py):
            x, y = slots
            return self.emit(mul, x, self.emit(log if line.op is xlogy else log1p, y))
        return self.emit(line.op, *slots)

    # Regressions --------------------------------------------------------------------------------------------

    def regression(self, number: int) -> Regression | None:
        """The regression that a line holds the residuals of, times a scalar, if it is one."""
        parts: list[tuple[Place | None, Column | None, bool, tuple[int, ...]]] = []
        waiting = [(number, number, True, tuple[int, ...]())]
        while waiting:
            taker, i, sign, scales = waiting.pop()
            line = self.lines[i]
            column = line.columns[0] if line.columns else None
            if column is None or line.op is None:
                parts.append(((taker, i) if column is None else None, column, sign, scales))
            elif line.op is matmul:
                parts.append(((i, i), column, sign, scales))
            elif line.op in (add, sub, neg):
                last = None if line.op is add else line.inputs[-1]
                waiting += [(i, j, sign != (j == last), scales) for j in line.inputs]
            elif line.op in (mul, div):
                (factor,) = [j for j in line.inputs if self.lines[j].columns]
                if line.op is mul and self.lines[factor].op is None:
                    parts.append(((i, sum(line.inputs) - factor), column, sign, scales))
                else:
                    waiting.append((i, factor, sign, (*scales, i)))
            if len(parts) > _PARTS or line.op in (xlogy, xlog1py, bd0):
                return None
        return _regression(parts)


def _regression(parts: list[tuple[Place | None, Column | None, bool, tuple[int, ...]]]) -> Regression | None:
    responses = [(column, sign, scales) for place, column, sign, scales in parts if place is None]
    columns = [column for _, column, _, _ in parts if column is not None]
    if len(responses) != 1 or len(columns) == 1 or len(set(columns)) < len(columns):
        return None
    response, sign, scales = responses[0]
    if response is None or any(part[3] != scales for part in parts if part[1] is not None):
        return None
    moved: dict[Place, tuple[Column | None, Op]] = {}
    for place, column, s, own in parts:
        is_second = column is None and any(c is None for c, _ in moved.values())
        if place is not None and own == scales and not is_second:
            moved[place] = (column, add if s == sign else sub)
    return Regression(response, moved)


def _of_power(cell: Cell, p: Polynomial, exponent: Polynomial) -> Polynomial | None:
    slot = cell.slot(exponent)
    value = None if slot is None else cell.w.known.get(slot)
    return cell.applied(power, p, value) if isinstance(value, float) else None


# What each op makes of polynomials; `matmul`, `sum`, `where` and `getitem` have rules of their own.
RULES: dict[str, Callable[..., Polynomial | None]] = {
    add.name: Cell.plus,
    sub.name: Cell.minus,
    neg.name: Cell.negated,
    mul.name: Cell.times,
    div.name: Cell.over,
    square.name: lambda cell, p: cell.times(p, p),
    reciprocal.name: lambda cell, p: cell.applied(reciprocal, p),
    sqrt.name: lambda cell, p: cell.applied(sqrt, p),
    log.name: lambda cell, p: cell.applied(log, p),
    power.name: _of_power,
    xlogy.name: Cell.log_times,
    xlog1py.name: Cell.log_times,
    bd0.name: Cell.deviance,
    broadcast_to.name: lambda cell, p: p,
    reshape.name: lambda cell, p: p,
}
