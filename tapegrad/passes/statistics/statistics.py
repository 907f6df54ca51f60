"""statistics: a sum over rows that needs only a few parameter-free sums is put together from those.

Where each row enters a sum by a polynomial of low degree in columns of constants, with parameters in the
coefficients, a few rows are found once that stand for all of them, and a replay no longer touches the data.
These are the sufficient statistics of the exponential, normal, lognormal, gamma, beta and Poisson likelihoods
and of least squares. For lines u and v, which are linear in the columns,

    sum(u)     = n * u(centre) + u(excess)
    sum(u * v) = sum(u) * sum(v) / n + sum over the rows r of the factor: u(r) * v(r)

with the centre, the excess and the factor of `compression`. The lines are followed at these rows in the steps
of the user's own arithmetic: at a mean of 1e8 and a standard deviation of 1, they lose no more than they lose
there. Further factors may be columns without parameters, such as weights, if their product is not negative.

Where a coefficient is infinite, a sum of squares may be NaN and not infinite.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from tapegrad.ops.broadcasting import sum_
from tapegrad.ops.elementwise import add, mul, square
from tapegrad.ops.shaping import reshape
from tapegrad.passes.simplify import Rewriter
from tapegrad.passes.statistics.columns import Column, Constants, Masks, Wanted
from tapegrad.passes.statistics.compression import compress, fitted
from tapegrad.passes.statistics.few_rows import FewRows, are_scalars
from tapegrad.passes.statistics.lines import Cell, Regression, Shifts, Term
from tapegrad.passes.statistics.polynomials import Polynomials
from tapegrad.tape.entries import Entry
from tapegrad.tape.rewrite import Copy
from tapegrad.tape.slots import deciding_slots
from tapegrad.tape.tape import Tape

# By its slot, each sum over rows: the arrays whose product it adds up, and their elements.
Ends = dict[int, tuple[tuple[int, ...], int]]

COLUMNS = 100  # for squares: the factor costs as much as twice as many products with all rows
SAVING = 2  # for design matrices: the least number of rows for each that stands for them


class Product(NamedTuple):
    """A term as it is summed: a scalar times a weight times at most two lines, which are no scalars."""

    coefficient: int
    weight: Column
    lines: tuple[int, ...]


class _Writer:
    """Sums put together from few rows, on the tape that is written."""

    def __init__(self, tape: Tape, source: Polynomials) -> None:
        self.tape = tape
        self.source = source
        self.w = Rewriter(tape)
        self._few: dict[Any, FewRows | None] = {}

    def sum(self, end: Entry, slots: tuple[int, ...], n: int) -> int | None:
        """The sum over n rows of the product of arrays, if it is to be had without touching them."""
        if len(slots) == 1 and self.source.is_switch(slots[0]):
            return self._switched(end, slots[0], n)
        parts = []
        for cell, polynomials in self.source.cells(self.w, end, slots, n):
            polynomial = polynomials[0] if len(slots) == 1 else cell.times(*polynomials)
            cell.entry = end
            for term in polynomial:
                product = _product(cell, term)
                few = None if product is None else self._few_rows(cell, product)
                if product is None or few is None:
                    return None
                parts.append((cell, product, few))
        if not parts:
            return None
        total, *others = [_total(*part) for part in parts]
        for other in others:
            total = parts[0][0].emit(add, total, other)
        return total

    def _switched(self, end: Entry, slot: int, n: int) -> int | None:
        """The sum of rows that `where` takes or leaves all together, by a scalar."""
        made = self.source.made[slot]
        totals = [self.sum(end, (choice,), n) for choice in made.inputs[1:]]
        if None in totals:
            return None
        inputs = (self.w.new[made.inputs[0]], *[total for total in totals if total is not None])
        return self.w.rewrite(made._replace(inputs=inputs))

    def _few_rows(self, cell: Cell, product: Product) -> FewRows | None:
        """The rows that stand for the cell's; None where they would not be few, or data are not finite."""
        lines = product.lines
        columns = tuple(dict.fromkeys(column for number in lines for column in cell.lines[number].columns))
        is_square = len(lines) == 2 and lines[0] == lines[1]
        regression = cell.regression(lines[0]) if is_square else None
        fit = None if regression is None else _fit_of(regression)
        key = (columns, product.weight, cell.masks, cell.n, len(lines) == 2, fit)
        if key not in self._few:
            self._few[key] = self._found(*key)
        return self._few[key]

    def _found(
        self,
        columns: tuple[Column, ...],
        weight: Column,
        masks: Masks,
        n: int,
        squares: bool,
        fit: tuple[Column, bool] | None,
    ) -> FewRows | None:
        known = self.source.columns
        width = sum(map(known.width, columns))
        if squares and width > min(n, COLUMNS):
            return None
        walk = known.walk(Wanted(columns, weight, masks), n)
        gated = [any(leaf.gated for leaf in c) for c in columns for _ in range(known.width(c))]
        found = compress(walk, gated, squares)
        if found is None or (not are_scalars(known, columns) and SAVING * (1 + len(found.factor)) > n):
            return None
        names = {column: known.name(column) for column in columns}
        if fit is not None:
            response, has_intercept = fit
            place = sum(map(known.width, columns[: columns.index(response)]))
            found = fitted(found, walk, place, has_intercept)
            names[response] += "" if found.fit is None else " - fit"
        chosen = f" weighted by {known.name(weight)}" if weight else ""
        chosen += f" where {known.masks_name(masks)}" if masks else ""
        return FewRows(self.w, known, names, found, chosen)


def _fit_of(regression: Regression) -> tuple[Column, bool]:
    """What a fit depends on: the response, and whether there is an intercept."""
    return regression.response, any(column is None for column, _ in regression.coefficients.values())


def _product(cell: Cell, term: Term) -> Product | None:
    """A term, sorted by the quantities that it is a sum of; None if it has too many lines."""
    coefficient, weight, lines = term.coefficient, list[Any](), list[int]()
    for number in term.factors:
        line = cell.lines[number]
        if line.slot is not None and not line.columns:
            coefficient = cell.emit(mul, coefficient, line.slot)
        elif line.share is not None and len(term.factors) > 1:
            coefficient = cell.emit(mul, coefficient, line.share)
            weight += line.columns[0]
        else:
            lines.append(number)
    column = tuple(sorted(weight, key=repr))
    if not column or (lines and cell.known.range(column, cell.masks, cell.n)[0] >= 0.0):
        return Product(coefficient, column, tuple(lines)) if len(lines) <= 2 else None
    # What has no line beside it, or both signs, is a line itself.
    return Product(coefficient, (), (*cell.column(*column)[0].factors, *lines)) if len(lines) < 2 else None


def _total(cell: Cell, product: Product, few: FewRows) -> int:
    """The sum of a product."""
    shifts = _shifts(cell, product.lines[0], few) if product.lines else {}
    sums = [_sum_of_line(cell, number, few, shifts) for number in dict.fromkeys(product.lines)]
    total = sums[0] if sums else few.weight
    if len(product.lines) == 2:
        total = cell.emit(mul, _times(cell, sums[0], sums[-1]), few.share)
        rest = _sum_over_factor(cell, product, few, shifts)
        total = total if rest is None else cell.emit(add, total, rest)
    return cell.emit(mul, product.coefficient, total)


def _sum_over_factor(cell: Cell, product: Product, few: FewRows, shifts: Shifts) -> int | None:
    """The sum of the products of two lines at the rows of the factor; None for zero."""
    total = None
    for row in few.factor:
        values = [cell.at(number, row, True, shifts) for number in product.lines]
        if None not in values:
            squares = _times(cell, *[value for value in values if value is not None])
            if cell.w.shape(squares):
                squares = cell.emit(sum_, squares, axis=(0,), keepdims=False)
            total = squares if total is None else cell.emit(add, total, squares)
    columns = [column for number in product.lines for column in cell.lines[number].columns]
    is_known = total in cell.w.known and len(columns) == 2
    return few.labelled_product(total, columns) if total is not None and is_known else total


def _shifts(cell: Cell, number: int, few: FewRows) -> Shifts:
    """The change of the coefficients if residuals of a fit replace the response."""
    regression = cell.regression(number) if few.fit else None
    coefficients = {} if regression is None else regression.coefficients
    moved = {place: (op, few.fit[column]) for place, (column, op) in coefficients.items()}
    return {place: (op, slot) for place, (op, slot) in moved.items() if slot is not None}


def _times(cell: Cell, left: int, right: int) -> int:
    return cell.emit(square, left) if left == right else cell.emit(mul, left, right)


def _sum_of_line(cell: Cell, number: int, few: FewRows, shifts: Shifts) -> int:
    centre = cell.at(number, few.centre, False, shifts)
    excess = cell.at(number, few.excess, True, shifts)
    assert centre is not None
    total = cell.emit(mul, few.weight, centre)
    return total if excess is None else cell.emit(add, total, excess)


def statistics(tape: Tape) -> Tape:
    """Replace sums over rows by combinations of constant sums where they are such."""
    if not any(isinstance(value, np.ndarray) and value.size > 1 for _, value in tape.constants):
        return tape
    polynomials = Polynomials(tape, Constants(tape))
    ends = summed_rows(polynomials)
    return without_rows(polynomials, ends) if ends else tape


def summed_rows(source: Polynomials) -> Ends:
    """The sums over rows that may have sufficient statistics: their arrays of n rows, and n."""
    tape = source.tape
    ends = {entry.output: rows for entry in tape.entries if (rows := source.summed(entry)) is not None}
    if ends:
        deciding = deciding_slots(tape)
        ends = {slot: rows for slot, rows in ends.items() if not deciding[slot]}
    return ends


def without_rows(source: Polynomials, ends: Ends) -> Tape:
    """The tape with some of its sums over rows put together from few, wherever that can be done."""
    tape = source.tape
    writer = _Writer(tape, source)
    w = writer.w

    def rule(_: Copy, entry: Entry) -> int:
        rows = ends.get(entry.output)
        total = None if rows is None else writer.sum(entry, *rows)
        if total is None:
            total = w.emit(entry, entry.op, entry.inputs, entry.attrs)
        shape = tape.avals[entry.output].shape
        # A sum may keep its axes.
        return total if w.shape(total) == shape else w.emit(entry, reshape, (total,), (("shape", shape),))

    with np.errstate(all="ignore"):
        return w.run(rule)
