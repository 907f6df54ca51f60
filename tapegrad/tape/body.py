"""The body of a loop: a tape that is run step after step on what it carries."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from functools import cached_property, partial
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np

from tapegrad.ops.registry import BOOL, FLOAT, INT, Aval
from tapegrad.tape.entries import Entry, entry_of
from tapegrad.tape.slots import deciding_slots
from tapegrad.tape.tape import Tape, TapeError, size_of
from tapegrad.tape.verify import verify

NUMBERS: dict[np.dtype[Any], type] = {FLOAT: float, BOOL: bool, INT: int}


@dataclass(frozen=True, eq=False)
class Body:
    """One step of a loop.

    Attributes
    ----------
    tape : Tape
        Its parameters are what is carried, then what stays the same for all steps, then what each step has of
        its own: numbers or arrays. Its outputs are what is carried on. It has no data and no guards.
    carried, fixed : int
        How many parameters are carried, and how many stay the same.
    """

    tape: Tape
    carried: int
    fixed: int

    def __str__(self) -> str:
        count = len(self.tape.entries)
        return f"a step of {count:,} op{'s' * (count != 1)}"

    def __repr__(self) -> str:
        return f"<{self}>"

    def __getstate__(self) -> dict[str, Any]:
        # Without what is prepared for runs: kernels do not pickle, but ops do, by their names.
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @cached_property
    def spans(self) -> tuple[tuple[int, int, Aval], ...]:
        """Where each part of what is carried stands in the flat state, and its aval."""
        found, start = [], 0
        for slot in self.tape.parameters[: self.carried]:
            aval = self.tape.avals[slot]
            found.append((start, start + size_of(aval.shape), aval))
            start = found[-1][1]
        return tuple(found)

    @property
    def width(self) -> int:
        """How many numbers are carried."""
        return self.spans[-1][1] if self.spans else 0

    @cached_property
    def decides(self) -> bool:
        """Whether the last bit of a number can decide on something in a step."""
        return any(deciding_slots(self.tape))

    def avals(self, parameters: slice) -> list[Aval]:
        """The avals of some of the parameters."""
        return [self.tape.avals[slot] for slot in self.tape.parameters[parameters]]

    def fixed_avals(self) -> list[Aval]:
        """The avals of what stays the same."""
        return self.avals(slice(self.carried, self.carried + self.fixed))

    def own_avals(self) -> list[Aval]:
        """The avals of what each step has of its own."""
        return self.avals(slice(self.carried + self.fixed, None))

    # One step after the other -------------------------------------------------------------------------------

    def parts(self, state: Any) -> list[Any]:
        """The parts of a flat state: floats and arrays."""
        return [
            float(state[a]) if aval.shape == () else np.reshape(state[a:b], aval.shape)
            for a, b, aval in self.spans
        ]

    def gather(self, columns: Sequence[Sequence[Any]], out: Any) -> None:
        """Write the flat states, given what each part was after each step."""
        for (a, b, aval), column in zip(self.spans, columns, strict=True):
            if aval.shape == ():
                out[:, a] = column
            else:
                out[:, a:b] = np.reshape(column, (len(out), b - a))

    def run(self, start: Any, fixed: Sequence[Any], each: Sequence[Any], count: int) -> Any:
        """What is carried after each step, shape (count, width)."""
        cells = list(self._cells)
        cheap, safe = ([step.on(cells) for step in steps] for steps in self._steps)
        parameters, outputs = self.tape.parameters, self.tape.outputs
        into, own = parameters[: self.carried], parameters[self.carried + self.fixed :]
        for slot, value in zip(parameters, (*self.parts(np.asarray(start)), *fixed), strict=False):
            cells[slot] = float(value) if self.tape.avals[slot].shape == () else value
        columns: list[list[Any]] = [[] for _ in into]
        with np.errstate(all="ignore"):
            for row in zip(*map(turns, each), strict=True) if each else [()] * count:
                for slot, value in zip(own, row, strict=True):
                    cells[slot] = value
                try:
                    _take(cheap, cells)
                except (ArithmeticError, ValueError):  # Python raises where IEEE arithmetic goes on
                    _take(safe, cells)
                state = [cells[slot] for slot in outputs]
                for slot, value, column in zip(into, state, columns, strict=True):
                    cells[slot] = value
                    column.append(value)
        found = np.empty((count, self.width))
        self.gather(columns, found)
        return found

    @cached_property
    def _cells(self) -> list[Any]:
        """The constants in a list of what all slots hold."""
        cells: list[Any] = [None] * len(self.tape.avals)
        for slot, value in self.tape.constants:
            cells[slot] = value
        return cells

    @cached_property
    def _steps(self) -> tuple[list[_Step], list[_Step]]:
        """The entries as calls: the cheap ones, which may raise, and those by NumPy's arithmetic."""
        entries = list(map(entry_of, self.tape.entries.rows()))
        safe = [_Step(_kernel(self.tape, entry), entry.inputs, entry.output) for entry in entries]
        return [self._cheap(entry) or step for step, entry in zip(safe, entries, strict=True)], safe

    def _cheap(self, entry: Entry) -> _Step | None:
        """The cheap scalar way of an entry on numbers, if there is one."""
        f, slots = entry.op.scalar, (entry.output, *entry.inputs)
        if f is None or any(self.tape.avals[slot].shape != () for slot in slots):
            return None
        return _Step(f, entry.inputs, entry.output)


def turns(column: Any) -> Any:
    """What each step has of its own: floats, or arrays."""
    return column.tolist() if np.ndim(column) == 1 else column


# A call on one or two cells: the function, the cells it reads, the second of which may be None, and the cell
# it writes.
_Bound = tuple[Callable[..., Any], int, int | None, int]


class _Step(NamedTuple):
    """An entry as a call of `f`."""

    f: Callable[..., Any]
    inputs: tuple[int, ...]
    output: int

    def on(self, cells: list[Any]) -> _Bound:
        """The call on these cells."""
        f, first, *others = self.f, *self.inputs
        if len(others) > 1:
            terms = partial(itemgetter(*self.inputs), cells)
            return (lambda _: f(*terms())), first, None, self.output
        return f, first, others[0] if others else None, self.output


def _take(steps: Iterable[_Bound], cells: list[Any]) -> None:
    """Take one step of the loop."""
    for f, a, b, output in steps:
        cells[output] = f(cells[a]) if b is None else f(cells[a], cells[b])


def _kernel(tape: Tape, entry: Entry) -> Callable[..., Any]:
    """The kernel of an entry; of a number it makes one of Python's."""
    aval, kernel = tape.avals[entry.output], entry.op.kernel
    if entry.attrs:
        kernel = partial(kernel, **dict(entry.attrs))
    if aval.shape != ():
        return kernel
    kind = NUMBERS[aval.dtype]
    if len(entry.inputs) == 1:  # a tenth of the time goes into passing on any number of operands
        return lambda x: kind(kernel(x))
    return (lambda x, y: kind(kernel(x, y))) if len(entry.inputs) == 2 else lambda *xs: kind(kernel(*xs))


# What a tape may hold ---------------------------------------------------------------------------------------


def is_body(value: Any, shape: tuple[int, ...]) -> bool:
    """The body of a loop, whose tape keeps all invariants."""
    if type(value) is not Body:
        return False
    verify(value.tape)
    counts = (value.carried, value.fixed)
    if not all(type(n) is int for n in counts) or value.carried < 1 or value.fixed < 0:
        raise TapeError(f"a loop carries {value.carried} parts, and {value.fixed} stay the same")
    tape, parts = value.tape, value.tape.parameters[: value.carried]
    if sum(counts) > len(tape.parameters) or tape.data or tape.guards:
        raise TapeError("the body of a loop has too few parameters, or data or guards")
    if [tape.avals[slot] for slot in tape.outputs] != [tape.avals[slot] for slot in parts]:
        raise TapeError("the body of a loop carries on other shapes than it was given")
    if value.width == 0:
        raise TapeError("the body of a loop carries no numbers")
    return True
