"""How much arithmetic a run of a tape takes, and whether compiling it pays: counted, never timed.

A clock would make one run of a program differ from the next in its last bits. So a tape is counted: its ops,
and the numbers that each of them makes or reads. What these cost was measured once, see docs/design-notes.md;
a machine that computes faster compiles faster, too.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final, Generic, TypeVar

from tapegrad.backends.c.forms import EVALUATORS
from tapegrad.backends.c.printer import MOST_PRINTED
from tapegrad.tape.entries import Row
from tapegrad.tape.tape import Tape, size_of

T = TypeVar("T")

# Nanoseconds that NumPy takes: for an op on two of Python's floats, for an op on arrays, for each of their
# numbers, and for an op on floats in a step of a loop.
NUMBER: Final = 30.0
ARRAYS: Final = 300.0
ELEMENT: Final = 0.2
STEP: Final = 20.0
# Nanoseconds that a compiler takes for a program, and for each line of it.
PROGRAM: Final = 5e7
LINE: Final = 4e5
# What it takes to make an instruction of the tape machine, by what a line takes.
ENCODED: Final = 0.025


class Meter(Generic[T]):
    """Counts the runs of a program, up to the one after which compiling it would have taken no longer.

    Attributes
    ----------
    turn : callable
        Gives the compiled program; None while it does not pay yet.
    left : int
        Runs until then.
    """

    def __init__(self, tape: Tape, turn: Callable[[], T | None]) -> None:
        self.turn = turn
        self._spared = max(sum(_spared(tape, row) for row in tape.entries.rows()), 1.0)
        self._needed = self.left = self._runs(_lines(tape))

    def pays(self, lines: int) -> bool:
        """Whether compiling pays by now, as it is known how many lines there are."""
        before, self._needed = self._needed, self._runs(lines)
        self.left += self._needed - before
        return self.left <= 0

    def _runs(self, lines: int) -> int:
        return math.ceil((PROGRAM + LINE * lines) / self._spared)


def _lines(tape: Tape) -> int:
    """About how many lines a tape has in C: numbers are on the tape machine where there are many."""
    scalar = bytearray([not aval.shape for aval in tape.avals])
    numbers = sum(scalar[output] for _, _, output, _, _ in tape.entries.rows())
    of_numbers = numbers if numbers <= MOST_PRINTED else math.ceil(ENCODED * numbers)
    return len(tape.entries) - numbers + of_numbers


def effort(tape: Tape) -> float:
    """The nanoseconds that a run of a tape takes in NumPy."""
    return sum(_taken(tape, row) for row in tape.entries.rows())


def _spared(tape: Tape, row: Row) -> float:
    """What an entry takes in NumPy, if it has a form in C."""
    op = row[0]
    has_form = op.c or op.name in EVALUATORS or op.name in ("scan", "recurrence")
    return _taken(tape, row) if has_form else 0.0


def _taken(tape: Tape, row: Row) -> float:
    op, _, output, attrs, _ = row
    shape = tape.avals[output].shape
    if op.name == "scan":
        found: dict[str, Any] = dict(attrs)
        body, count = found["body"].tape, int(found["count"])
        return ARRAYS + count * sum(_step(body, each) for each in body.entries.rows())
    if op.name == "recurrence":
        return ARRAYS + STEP * shape[0] * 2 * size_of(shape[1:]) ** 2
    return _step(tape, row, NUMBER)


def _step(tape: Tape, row: Row, number: float = STEP) -> float:
    _, inputs, output, _, _ = row
    sizes = [size_of(tape.avals[slot].shape) for slot in (*inputs, output)]
    return number if max(sizes) == 1 else ARRAYS + ELEMENT * max(sizes)
