"""What a tape is made of, as data; `tapegrad.tape.tape.Tape` is this, with what can be asked of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from tapegrad.ops.registry import Aval
from tapegrad.tape.entries import Entries
from tapegrad.tape.line import Source


class Guard(NamedTuple):
    """What the user's code decided on: the tape holds only while `slot` has this `outcome`.

    Where a loop has been written as array code, one guard stands for a decision of many iterations. `turns`
    then says which of the decisions as recorded each element is, and where there is one, which it is.

    A choice decides on no path: the tape computes both sides and takes one. Its slot says where one side is
    taken, and its outcome where it was taken in the record. Whoever runs the tape holds what is taken for
    the first time against a plain call.
    """

    slot: int
    outcome: Any
    source: Source | None
    turns: tuple[int, ...] | None = None
    is_choice: bool = False


class Constant(NamedTuple):
    """A number or a read-only array that the tape carries."""

    slot: int
    value: Any


@dataclass(frozen=True)
class Record:
    """The fields of a `Tape`, which says what they are."""

    name: str
    avals: tuple[Aval, ...]
    parameters: tuple[int, ...]
    data: tuple[int, ...]
    constants: tuple[Constant, ...]
    entries: Entries
    outputs: tuple[int, ...]
    guards: tuple[Guard, ...] = ()
    labels: tuple[tuple[int, str], ...] = ()
