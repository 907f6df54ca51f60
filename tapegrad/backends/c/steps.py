"""What computes each entry of a plan: numbers in C, arrays in C, rows in C, or NumPy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import Enum
from typing import NamedTuple

from tapegrad.backends.c.forms import EVALUATORS, is_exact
from tapegrad.backends.c.memory import is_small
from tapegrad.backends.c.moves import is_move
from tapegrad.ops.attributes import ARRAY
from tapegrad.plan.stages import Plan, RowLoop
from tapegrad.tape.entries import Entry, Row
from tapegrad.tape.slots import Marks
from tapegrad.tape.tape import Tape


class Way(Enum):
    """How something is computed."""

    NUMBERS = "numbers"  # element by element, in local variables
    ROWS = "rows"  # a row loop
    MACHINE = "machine"  # numbers, as instructions of the tape machine
    MOVES = "moves"  # copies of parts of arrays
    LOOPS = "loops"  # step after step, where each needs the one before
    NUMPY = "numpy"  # the op's kernel


class Step(NamedTuple):
    """An entry, or a row loop, and how it is computed; and from which stage it comes."""

    way: Way
    what: Entry | RowLoop
    is_late: bool


class Forms:
    """Which entries of a tape can be written in C, where `exact` slots must have NumPy's bits."""

    def __init__(self, tape: Tape, exact: Marks) -> None:
        self.tape = tape
        self.exact = exact

    def has_form(self, row: Row) -> bool:
        """Whether an entry can be written on numbers."""
        op, _, output, attrs, _ = row
        if op.is_elementwise:
            return bool(op.c) and (not self.exact[output] or (is_exact(op.c) and not op.own))
        if op.name not in EVALUATORS or ARRAY in dict(attrs).get("index", ()):
            return op.copies is not None  # by rows: a gather, or adding up to where an index says
        _, exact = EVALUATORS[op.name]
        return exact or not self.exact[output]

    def is_of_numbers(self, entry: Entry) -> bool:
        """Whether an entry is written on numbers: all of its arrays are small."""
        picks = (
            entry.op.copies is not None and len(entry.inputs) == 1 and is_small(self.tape.avals[entry.output])
        )
        slots = entry.inputs[1:] if picks else (*entry.inputs, entry.output)
        if not all(is_small(self.tape.avals[slot]) for slot in slots):
            return False
        return ARRAY not in dict(entry.attrs).get("index", ()) and self.has_form(entry)


def steps_of(plan: Plan, forms: Forms, is_loop: Callable[[Tape, Row, bool], bool]) -> Iterator[Step]:
    """The steps of a plan in order; nothing is left to do for what is a view.

    ``is_loop(tape, row, exact)`` says which entries are loops that have a form in C.
    """
    assert plan.layout is not None
    for number, stage in enumerate(plan.stages):
        is_late = number >= plan.late
        if isinstance(stage, RowLoop):
            yield Step(Way.ROWS, stage, is_late)
            continue
        for entry in stage.entries:
            if forms.is_of_numbers(entry):
                yield Step(Way.NUMBERS, entry, is_late)
            elif is_view(plan, entry.output):
                continue
            elif is_loop(plan.tape, entry, bool(forms.exact[entry.output])):
                yield Step(Way.LOOPS, entry, is_late)
            elif is_move(plan.tape, entry):
                yield Step(Way.MOVES, entry, is_late)
            else:
                yield Step(Way.NUMPY, entry, is_late)


def is_view(plan: Plan, slot: int) -> bool:
    """Whether a large value is a view of another, for which nothing is left to do."""
    assert plan.layout is not None
    return slot in plan.layout.aliases and not is_small(plan.tape.avals[slot])
