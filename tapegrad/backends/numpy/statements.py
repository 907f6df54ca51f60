"""Statements of printed source, as data: what they say, and which variables they assign and read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import NamedTuple

from tapegrad.backends.written import Name, comment, written


class Variable(NamedTuple):
    """The variable of a slot: ``v12`` is a number, ``a12`` an array, ``b12`` the block of one."""

    letters: str
    slot: int

    def __str__(self) -> str:
        return written(Name(f"{self.letters}{self.slot}"))


class Expression(NamedTuple):
    """A value as it is written, and the variables in it."""

    text: str
    inputs: tuple[Variable, ...] = ()

    @classmethod
    def of(cls, variable: Variable) -> Expression:
        """A variable by itself."""
        return cls(str(variable), (variable,))


class Statement(NamedTuple):
    """One line: `text`, and before it the variables that it is assigned to, if any.

    `inputs` are the variables that it reads; arrays that it writes into are among them. Where it `unpacks`,
    the text gives a tuple of one value for each target.
    """

    text: str
    inputs: tuple[Variable, ...] = ()
    targets: tuple[Variable, ...] = ()
    unpacks: bool = False

    def __str__(self) -> str:
        if not self.targets:
            return self.text
        names = ", ".join(map(str, self.targets))
        return f"{names}{',' * (self.unpacks and len(self.targets) == 1)} = {self.text}"


def note(text: str) -> Statement:
    """A comment on a line of its own."""
    return Statement(comment(text))


def assign(letters: str, slot: int, value: Expression) -> Statement:
    """The statement that gives a slot's variable its value."""
    return Statement(value.text, value.inputs, (Variable(letters, slot),))


def box(slot: int) -> Statement:
    """The statement that puts a number into its array."""
    array, number = Variable("a", slot), Variable("v", slot)
    return Statement(f"{array}[()] = {number}", (array, number))


def inputs_of(expressions: Iterable[Expression]) -> tuple[Variable, ...]:
    """All variables in some expressions."""
    return tuple(chain.from_iterable(expression.inputs for expression in expressions))


def read_in(letters: str, statements: Iterable[Statement]) -> list[int]:
    """The slots whose variables of this kind some statements read, in order."""
    return sorted({slot for statement in statements for kind, slot in statement.inputs if kind == letters})


def assigned_in(letters: str, statements: Iterable[Statement]) -> set[int]:
    """The slots whose variables of this kind some statements assign."""
    return {slot for statement in statements for kind, slot in statement.targets if kind == letters}


def indented(statements: Iterable[Statement | str], depth: int) -> Iterator[str]:
    """Statements as lines of source, indented by so many levels."""
    return (f"{'    ' * depth}{statement}" for statement in statements)
