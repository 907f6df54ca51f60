"""Functions of data of any length, held against the length that the data have.

Tapes with three numbers of rows do not show a decision between other numbers, such as ``if len(y) > 10_000``.
So the function is traced once more on some rows, and is told in this trace that there are as many as there
are, see `tapegrad.recording.posing`. It has to record the same steps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tapegrad.errors import TraceError
from tapegrad.function.lengths import Comparison, by_rows, same
from tapegrad.function.record import record
from tapegrad.nest import Structure, Vector
from tapegrad.plan.apart import row_axis
from tapegrad.plan.split import one_row
from tapegrad.recording.frames import place_of_error
from tapegrad.recording.posed import OtherWayError
from tapegrad.recording.posing import Posing
from tapegrad.tape.tape import Tape

# Numbers of rows to trace on: the first that no other axis has.
_ROWS = (911, 839, 773, 701, 641, 577)


def check_told(
    f: Callable[..., Any],
    structure: Structure,
    vector: Vector,
    data: Mapping[str, Any],
    comparison: Comparison,
    length: int,
) -> None:
    """Trace a function that is told the number of rows, and compare.

    Parameters
    ----------
    f, structure, vector
        As for `record`.
    data : mapping of str to array
        Those that the first tape of the comparison was recorded with.
    comparison : Comparison
    length : int
        The number of rows.

    Raises
    ------
    TraceError
        If it goes another way; the message names the user's line.
    """
    first, many = comparison.tapes[0], comparison.lengths[0]
    axes = {n for aval in first.avals for n in aval.shape}
    rows = next((n for n in _ROWS if n not in axes), None)
    if rows is None:
        raise TraceError(f"{first.name} has axes of {_ROWS} elements: make one of them longer by one")
    few = {name: value[:rows] if np.shape(value)[:1] == (many,) else value for name, value in data.items()}
    outcomes = [guard.outcome for guard in first.guards]
    posing = Posing(rows, length, outcomes, len(first.entries))
    try:
        tape = record(f, structure, vector, few, posing=posing).tape
    except Exception as error:
        way = _way(error)
        if way is not None:
            raise comparison.another_way(length, str(way)) from None
        raise TraceError(
            f"{first.name} raises {type(error).__name__}{place_of_error(error)[0]} where it is told that "
            f"there are {length:,} rows, and not with {many:,}: {error}"
        ) from error
    _Twins(comparison, tape, posing).check()


def _way(error: BaseException | None) -> OtherWayError | None:
    """The error that NumPy, or the user's code, may have hidden behind its own."""
    while error is not None and not isinstance(error, OtherWayError):
        error = error.__cause__ or error.__context__
    return error


class _Twins:
    """The first tape of a comparison, and one that was told the number of rows."""

    def __init__(self, comparison: Comparison, tape: Tape, posing: Posing) -> None:
        self.comparison = comparison
        self.tape = tape
        self.posing = posing
        self._values = [dict(each.constants) for each in comparison.tapes]
        self._told = dict(tape.constants)
        first = comparison.tapes[0]
        self._twins = dict(zip(tape.parameters, first.parameters, strict=True))
        self._twins.update(zip(tape.data, first.data, strict=True))

    def check(self) -> None:
        """Raise the error for the first step that differs."""
        first, tape = self.comparison.tapes[0], self.tape
        for one, two in zip(first.entries, tape.entries, strict=False):
            same_step = one.op is two.op and self.comparison.same_attrs(
                one.attrs, two.attrs, self.posing.rows
            )
            if not (same_step and self._are_same(one.inputs, two.inputs)):
                raise self._other_way(two.source)
            self._twins[two.output] = one.output
        is_whole = len(first.entries) == len(tape.entries) and len(first.guards) == len(tape.guards)
        guards = [[guard.slot for guard in each.guards] for each in (first, tape)]
        if not (is_whole and self._are_same(*guards) and self._are_same(first.outputs, tape.outputs)):
            raise self._other_way(None)

    def _are_same(self, slots: Any, others: Any) -> bool:
        return len(slots) == len(others) and all(map(self._is_same, slots, others))

    def _is_same(self, slot: int, other: int) -> bool:
        """Whether a slot of the first tape is what a slot of the other is."""
        if other not in self._told or slot not in self._values[0]:
            return self._twins.get(other) == slot
        told, values = self._told[other], [constants[slot] for constants in self._values]
        axis = row_axis(np.shape(told), self.posing.rows)
        if axis is not None:
            # Those of the three tapes hold the same for each row, or its number.
            told, *values = [one_row(value, axis) for value in (told, *values)]
        if same(values):
            return same([values[0], told])
        line = by_rows([np.asarray(value) for value in values], self.comparison.lengths)
        # What tapegrad or NumPy count by themselves are the rows that there are in this trace.
        return line is not None and any(
            np.shape(told) == np.shape(line.slope) and line.agrees(told, n)
            for n in (self.posing.told, self.posing.rows)
        )

    def _other_way(self, source: Any) -> TraceError:
        return self.comparison.another_way(self.posing.told, source)
