"""The step of a loop as C on doubles: what it does to names of variables.

Small arrays are written number by number. What does not change from step to step is written before the loop.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from tapegrad.backends.c.forms import EVALUATORS, Names
from tapegrad.backends.c.matrices import is_of_matrices, result_size, solved
from tapegrad.backends.c.memory import SMALL
from tapegrad.backends.c.rows import elementwise
from tapegrad.backends.c.steps import Forms
from tapegrad.backends.c.text import c_type, comment, literal
from tapegrad.ops.attributes import ARRAY
from tapegrad.ops.registry import Aval
from tapegrad.tape.body import Body
from tapegrad.tape.entries import Entry
from tapegrad.tape.line import Source
from tapegrad.tape.slots import deciding_slots
from tapegrad.tape.tape import size_of

# Numbers that a step may compute: a compiler takes a second for some thousands of statements.
MOST_NUMBERS = 2_000

_VARIABLE = re.compile(r"\b[A-Za-z_]\w*\b(?!\()")


def has_form(body: Body, exact: bool) -> bool:
    """Whether the step of a loop can be written in C; where it is `exact`, with NumPy's own bits."""
    tape, marks = body.tape, deciding_slots(body.tape)
    # What decides in a later step is carried there.
    if exact or any(marks[slot] for slot in tape.parameters[: body.carried]):
        marks = bytearray(b"\1" * len(tape.avals))
    forms, constants = Forms(tape, marks), dict(tape.constants)
    numbers = 0
    for row in tape.entries.rows():
        op, inputs, output, attrs, _ = row
        numbers += size_of(tape.avals[output].shape)
        sizes = [size_of(tape.avals[slot].shape) for slot in (*inputs, output)]
        if max(sizes) > SMALL**2 or numbers > MOST_NUMBERS:
            return False
        if is_of_matrices(tape, row, 0):
            if marks[output]:
                return False
        elif ARRAY in dict(attrs).get("index", ()):
            if op.name not in _BY_PLACES or not all(
                slot in constants for slot in inputs[_BY_PLACES[op.name] :]
            ):
                return False
        elif not forms.has_form(row):
            return False
    return True


# Choices have other forms between single numbers, see ``choices.h``.
_CHOICE = re.compile(r"\btg_(?=(?:where|kept|maximum|minimum|fmax|fmin|relu|gated_mul|gated_div)\()")

# Ops that take arrays of positions, and how many operands stand before these.
_BY_PLACES = {"getitem": 1, "update": 2}


class StepPrinter:
    """Prints one step.

    Attributes
    ----------
    before, lines : list of str
        What is done once, and what is done in each step.
    pool : list of float
        Numbers that the text reads from the array ``pool``.
    """

    def __init__(self, body: Body) -> None:
        self.tape = body.tape
        self.names: dict[int, Names] = {}
        self.constants = dict(self.tape.constants)
        self.before: list[str] = []
        self.lines: list[str] = []
        self.pool: list[float] = []
        self._moving: set[str] = set()
        self._arrays = 0
        self._known: dict[tuple[str, str], str] = {}
        self._notes: dict[bool, Source | None] = {True: None, False: None}

    def take(self, slot: int, names: Sequence[str], moves: bool) -> None:
        """Give the elements of a parameter their names; some change from step to step."""
        self.names[slot] = np.array(list(names), dtype=object).reshape(self.tape.avals[slot].shape)
        if moves:
            self._moving.update(names)

    def is_moving(self, name: str) -> bool:
        """Whether a variable changes from step to step."""
        return name in self._moving

    def value(self, slot: int) -> Names:
        """The names of a slot's elements."""
        if slot not in self.names:
            value = np.asarray(self.constants[slot])
            names = [self._constant(number) for number in value.ravel()]
            self.names[slot] = np.array(names, dtype=object).reshape(value.shape)
        return self.names[slot]

    def _constant(self, number: Any) -> str:
        text = literal(number)
        if text is not None:
            return text
        key = np.float64(number).tobytes()  # NaN, and zeros of both signs
        known = [np.float64(old).tobytes() for old in self.pool]
        if key not in known:
            self.pool.append(float(number))
            known.append(key)
        return f"pool[{known.index(key)}]"

    def entry(self, entry: Entry) -> None:
        """Print one entry."""
        kind = c_type(self.tape.avals[entry.output].dtype)

        def assign(text: str) -> str:
            return self._assigned(entry, kind, text)

        inputs = [self.value(slot) for slot in entry.inputs]
        attrs = dict(entry.attrs)
        if entry.op.is_elementwise:
            found = elementwise(entry, inputs, assign)
        elif is_of_matrices(self.tape, entry, 0):
            found = self._solved(entry, inputs)
        elif ARRAY in attrs.get("index", ()):
            free = _BY_PLACES[entry.op.name]
            places = [self.constants[slot] for slot in entry.inputs[free:]]
            given = [names[()] for names in inputs[:free]]
            found = np.asarray(entry.op.kernel(*given, *places, **attrs), dtype=object)
        else:
            evaluate, _ = EVALUATORS[entry.op.name]
            found = evaluate(assign, entry, inputs, attrs, self.aval(entry.output).shape)
        self.names[entry.output] = found

    def _assigned(self, entry: Entry, kind: str, text: str) -> str:
        text = _CHOICE.sub("tg_one_", text)
        known = self._known.get((kind, text))
        if known is not None:
            return known
        name = f"v{len(self._known)}"
        self._write(entry, name, [text], [f"const {kind} {name} = {text};"])
        self._known[kind, text] = name
        return name

    def _solved(self, entry: Entry, inputs: Sequence[Names]) -> Names:
        """What works on small matrices, in local arrays."""
        self._arrays += 1
        name = f"q{self._arrays}"
        operands = [names.ravel().tolist() for names in inputs]
        shapes = [names.shape for names in inputs]
        lines = list(solved(entry.op.name, shapes, operands, name))
        self._write(entry, name, [text for texts in operands for text in texts], lines)
        found = [f"{name}[{i}]" for i in range(result_size(entry.op.name, shapes))]
        return np.array(found, dtype=object).reshape(self.tape.avals[entry.output].shape)

    def _write(self, entry: Entry, name: str, reads: Sequence[str], found: Sequence[str]) -> None:
        """Write the lines that give a variable its value: in the loop, if what they read changes there."""
        moves = any(part in self._moving for text in reads for part in _VARIABLE.findall(text))
        lines = self.lines if moves else self.before
        if entry.source is not None and entry.source != self._notes[moves]:
            self._notes[moves] = entry.source
            lines.append(comment(f"{entry.source}  {entry.source.text}"))
        lines += found
        if moves:
            self._moving.add(name)

    def aval(self, slot: int) -> Aval:
        """The shape and dtype of a slot of the step."""
        return self.tape.avals[slot]
