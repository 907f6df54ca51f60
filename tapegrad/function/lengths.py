"""Functions of data of any length: traced on some rows, right for all.

Data that do not fit one machine are no arrays that a function could be called with. It is traced on their
first rows instead, with three different numbers of them. What differs between the three tapes is what depends
on that number: axes, which are then the rows, and constants such as ``len(y)``, which become entries on a
data slot for the number of rows. A constant that depends on it in a way that three numbers do not tell is an
error, and so is a step that is not the same each time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from tapegrad.errors import TraceError
from tapegrad.ops.broadcasting import broadcast_to
from tapegrad.ops.elementwise import add, div, mul
from tapegrad.ops.registry import FLOAT, Attrs, Aval
from tapegrad.plan.apart import numbers_rows, row_axis, row_index, step_of
from tapegrad.plan.split import is_same_for_all, one_row
from tapegrad.recording.frames import location
from tapegrad.recording.values import frozen, tidy_value
from tapegrad.tape.builder import Builder
from tapegrad.tape.line import Source
from tapegrad.tape.rewrite import Copy
from tapegrad.tape.slots import ends_of, marked
from tapegrad.tape.tape import SCALAR, Tape

NUMBER_OF_ROWS = "number of rows"  # with spaces: no data are called so
_ROUNDING = 1e-12


def of_any_length(tapes: Sequence[Tape], lengths: Sequence[int]) -> list[Tape]:
    """Three tapes of one function as they are where the number of rows is a data slot, the last one.

    Tapes that have this slot already keep it: what was derived of them may depend on the number in a further
    way, such as a sum over rows that became a product with 1,009.

    Parameters
    ----------
    tapes : sequence of three Tapes
        Recorded at the same parameters.
    lengths : sequence of three int
        The number of rows that each was recorded with.

    Raises
    ------
    TraceError
        If they differ in more than the number of rows; the message names the user's line.
    """
    comparison = Comparison(tapes, lengths)
    return [comparison.rewritten(place) for place in range(len(tapes))]


class ByRows(NamedTuple):
    """A number that is linear in the number of rows, or in its inverse: ``start + slope * n``.

    `rounding` is that of the slope.
    """

    start: Any
    slope: Any
    is_inverse: bool
    rounding: Any

    def agrees(self, value: Any, length: int) -> bool:
        """Whether a value is the one for so many rows, but for the rounding of the line through few."""
        power = 1.0 / length if self.is_inverse else float(length)
        move = self.slope * power
        rounding = _ROUNDING * (np.abs(self.start) + np.abs(move)) + self.rounding * max(power, 1e-3)
        return bool((np.abs(value - self.start - move) <= rounding).all())


def by_rows(values: Sequence[Any], lengths: Sequence[int]) -> ByRows | None:
    """The line through the values at three numbers of rows, or at their inverses; None if there is none."""
    for is_inverse in (False, True):
        powers = [1.0 / n if is_inverse else float(n) for n in lengths]
        slope = (values[1] - values[0]) / (powers[1] - powers[0])
        start = values[0] - slope * powers[0]
        rounding = _ROUNDING * (np.abs(start) + np.abs(slope * powers[2]))
        if (np.abs(start + slope * powers[2] - values[2]) <= rounding).all():
            start = np.where(np.abs(start) <= _ROUNDING * np.abs(slope * powers[0]), 0.0, start)
            each = 2.0**-50 * np.abs(values[0]) / np.abs(powers[1] - powers[0])
            return ByRows(start, slope, is_inverse, each)
    return None


class Comparison:
    """Three tapes of one function, which differ in nothing but what depends on the number of rows.

    Parameters
    ----------
    tapes : sequence of three Tapes
    lengths : sequence of three int

    Raises
    ------
    TraceError
        If they differ in more; the message names the user's line.
    """

    def __init__(self, tapes: Sequence[Tape], lengths: Sequence[int]) -> None:
        self.tapes = tapes
        self.lengths = lengths
        self._check_steps()
        for slot in range(len(tapes[0].avals)):
            self._check_shape(slot)

    def _line(self, slot: int) -> str:
        """Where a slot is written, or first read, as it stands in messages."""
        tape = self.tapes[0]
        for entry in tape.entries:
            if slot == entry.output or slot in entry.inputs:
                return location(entry.source)
        return ""

    def _check_steps(self) -> None:
        first, *others = self.tapes
        for guard in first.guards:
            if self.lengths[0] in np.shape(guard.outcome):
                raise TraceError(
                    f"{first.name} decides on every row{location(guard.source)}, or reads all rows as plain "
                    "numbers, which cannot be done piece by piece. Choose with np.where, leave rows out by a "
                    "weight of 0, and pass tables that rows are looked up in as `data`, too"
                )
        for other, length in zip(others, self.lengths[1:], strict=True):
            pairs = zip(first.entries, other.entries, strict=False)
            for one, two in pairs:
                same = one.op is two.op and one.inputs == two.inputs and one.output == two.output
                if not (same and self.same_attrs(one.attrs, two.attrs, length)):
                    raise self.another_way(length, one.source)
            if len(first.entries) != len(other.entries):
                fewer, more = sorted((first.entries, other.entries), key=len)
                raise self.another_way(length, more[len(fewer)].source)
            for guard, twin in zip(first.guards, other.guards, strict=False):
                if not np.array_equal(guard.outcome, twin.outcome, equal_nan=True):
                    raise self.another_way(length, guard.source)

    def another_way(self, length: int, source: Source | str | None) -> TraceError:
        """The error for a step that is not the same with so many rows."""
        line = source if isinstance(source, str) else location(source)
        return TraceError(
            f"{self.tapes[0].name} takes another way with {length:,} rows than with {self.lengths[0]:,}"
            f"{line}: data that are not in one piece need a function of which each step is the same for any "
            "number of rows. Do what depends on all rows before, and pass the result in `data`"
        )

    def same_attrs(self, one: Attrs, two: Attrs, length: int) -> bool:
        """Whether attributes are the same, but for shapes with so many rows."""

        def told(value: Any) -> Any:
            return tuple([self.lengths[0] if n == length else n for n in value])

        return len(one) == len(two) and all(
            name == other and (value == twin or (name == "shape" and value == told(twin)))
            for (name, value), (other, twin) in zip(one, two, strict=True)
        )

    def _check_shape(self, slot: int) -> None:
        shapes = [tape.avals[slot].shape for tape in self.tapes]
        ranks = {len(shape) for shape in shapes}
        axes = zip(*shapes, strict=True) if len(ranks) == 1 else ()
        is_rows = [ns == tuple(self.lengths) for ns in axes]
        if len(ranks) > 1 or not all(
            rows or len(set(ns)) == 1 for rows, ns in zip(is_rows, zip(*shapes, strict=True), strict=True)
        ):
            raise TraceError(
                f"a step{self._line(slot)} makes an array whose length is not that of the data, but depends "
                "on it: do it before, on the data themselves, and pass the result in `data`"
            )
        if any(n == self.lengths[0] and not rows for n, rows in zip(shapes[0], is_rows, strict=True)):
            raise TraceError(
                f"a step{self._line(slot)} has an array with {self.lengths[0]:,} elements along an axis that "
                "is not the rows, and just so many rows are taken to trace on: make it longer by one"
            )

    # Constants ----------------------------------------------------------------------------------------------

    def rewritten(self, place: int) -> Tape:
        """One of the tapes, with what depends on the number of rows as entries."""
        tape = self.tapes[place]
        values = [dict(each.constants) for each in self.tapes]
        equal = {slot for slot in values[0] if same([constants[slot] for constants in values])}
        copy = Copy(tape, marked(tape, equal))
        known = [slot for slot in tape.data if dict(tape.labels).get(slot) == NUMBER_OF_ROWS]
        rows = copy.new[known[0]] if known else copy.builder.datum(SCALAR)
        copy.builder.labels[rows] = NUMBER_OF_ROWS
        for slot in values[0]:
            if slot not in equal:
                found = [constants[slot] for constants in values]
                copy.new[slot] = self._entry(copy, slot, rows, found, place)
        return copy.run(Copy.keep)

    def _entry(self, copy: Copy, slot: int, rows: int, values: Sequence[Any], place: int) -> int:
        """The slot that stands for a constant that depends on the number of rows."""
        aval, axis = copy.tape.avals[slot], row_axis(self.tapes[0].avals[slot].shape, self.lengths[0])
        if axis is None:
            return self._by_rows(copy, slot, rows, [np.asarray(value) for value in values])
        if all(numbers_rows(value, axis) for value in values) and self._takes_rows(slot):
            return copy.builder.constant(values[place])  # of each length anew, see `split`
        if not all(is_same_for_all(value, axis) for value in values):
            raise TraceError(
                f"an array{self._line(slot)} that the function makes, or finds outside, has as many rows as "
                "the data: pass it in `data`, in pieces as they are"
            )
        firsts = [np.asarray(one_row(value, axis)) for value in values]
        one = (
            copy.builder.constant(as_constant(firsts[0]))
            if same(firsts)
            else self._by_rows(copy, slot, rows, firsts)
        )
        return copy.builder.emit(broadcast_to, (one,), (("shape", aval.shape),), None, aval)

    def _takes_rows(self, slot: int) -> bool:
        """Whether a constant with the numbers of the rows only says where to take something of each."""
        tape, rows = self.tapes[0], self.lengths[0]
        for entry in tape.entries:
            for place, read in enumerate(entry.inputs):
                if read == slot and row_index(entry.op, step_of(tape, entry, rows)) != place:
                    return False
        return slot not in ends_of(tape)

    def _by_rows(self, copy: Copy, slot: int, rows: int, values: Sequence[Any]) -> int:
        """A constant that is linear in the number of rows, or in its inverse, as entries."""
        found = by_rows(values, self.lengths)
        if found is None:
            raise TraceError(
                f"a number{self._line(slot)} depends on the number of rows, and is neither linear in it nor "
                "in its inverse: compute it before, and pass it in `data`"
            )
        return self._emitted(copy.builder, rows, found.start, found.slope, found.is_inverse)

    def _emitted(self, builder: Builder, rows: int, start: Any, slope: Any, is_inverse: bool) -> int:
        aval = Aval(np.shape(slope), FLOAT)
        number = builder.constant(as_constant(slope))
        op, operands = (div, (number, rows)) if is_inverse else (mul, (rows, number))
        found = builder.emit(op, operands, (), None, aval)
        if not np.any(start):
            return found
        return builder.emit(add, (found, builder.constant(as_constant(start))), (), None, aval)


def as_constant(value: Any) -> Any:
    """A value as a constant of a tape."""
    array = np.asarray(value)
    return tidy_value(frozen(array, array.dtype))


def same(values: Sequence[Any]) -> bool:
    """Whether all numbers or arrays are the same."""
    return all(np.array_equal(values[0], value, equal_nan=_is_float(value)) for value in values)


def _is_float(value: Any) -> bool:
    return np.asarray(value).dtype.kind == "f"
