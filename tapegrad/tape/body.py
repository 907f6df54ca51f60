"""The body of a loop: a tape of single numbers that is run step after step on what it carries."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from tapegrad.ops.registry import FLOAT, Aval, Op
from tapegrad.tape.builder import Builder
from tapegrad.tape.entries import entry_of
from tapegrad.tape.tape import Tape

# One step on cells: the function, the cells it reads, the cell it writes, and the same by NumPy's arithmetic.
Step = tuple[Callable[..., Any], tuple[int, ...], int, Callable[..., Any]]


@dataclass(frozen=True, eq=False)
class Body:
    """One step of a loop.

    Attributes
    ----------
    tape : Tape
        Its parameters are the numbers that are carried, then those that stay the same for all steps, then
        those that each step has of its own. Its outputs are the numbers that are carried on. It is all of
        scalars, and has no guards.
    carried, fixed : int
        How many parameters are carried, and how many stay the same.
    """

    tape: Tape
    carried: int
    fixed: int

    def run(
        self, start: Sequence[float], fixed: Sequence[float], each: Sequence[Sequence[float]], count: int
    ) -> Any:
        """What is carried after each step, shape (count, carried)."""
        steps, cells = self._prepared
        cells = list(cells)
        parameters, outputs = self.tape.parameters, self.tape.outputs
        for slot, value in zip(parameters, (*start, *fixed), strict=False):
            cells[slot] = value
        own, into = parameters[self.carried + self.fixed :], parameters[: self.carried]
        rows = zip(*each, strict=True) if each else iter([()] * count)
        found = []
        with np.errstate(all="ignore"):
            for row in rows:
                for slot, value in zip(own, row, strict=True):
                    cells[slot] = value
                for f, read, output, safe in steps:
                    try:
                        cells[output] = f(*[cells[slot] for slot in read])
                    except (ArithmeticError, ValueError):  # Python raises where IEEE arithmetic goes on
                        cells[output] = safe(*[cells[slot] for slot in read])
                state = [cells[slot] for slot in outputs]
                for slot, value in zip(into, state, strict=True):
                    cells[slot] = value
                found.append(state)
        return np.array(found, dtype=float).reshape(count, self.carried)

    @cached_property
    def _prepared(self) -> tuple[list[Step], list[Any]]:
        cells: list[Any] = [None] * len(self.tape.avals)
        for slot, value in self.tape.constants:
            cells[slot] = value
        return [_step(op, inputs, output) for op, inputs, output, _, _ in self.tape.entries.rows()], cells

    def batched(self, count: int) -> Tape:
        """The same for all steps at once: parameters are arrays of `count` numbers, except what is fixed."""
        builder = Builder(self.tape.name)
        new: dict[int, int] = {}
        fixed = range(self.carried, self.carried + self.fixed)
        for i, slot in enumerate(self.tape.parameters):
            new[slot] = builder.parameter(Aval(() if i in fixed else (count,), FLOAT))
        for slot, value in self.tape.constants:
            new[slot] = builder.constant(value)
        for op, inputs, output, attrs, source in map(entry_of, self.tape.entries.rows()):
            read = tuple([new[slot] for slot in inputs])
            aval = op.aval([builder.avals[slot] for slot in read], dict(attrs))
            new[output] = builder.emit(op, read, attrs, source, aval)
        return builder.finish(new[slot] for slot in self.tape.outputs)


def _step(op: Op, inputs: tuple[int, ...], output: int) -> Step:
    gives = float if op.gives is FLOAT or op.gives is None else bool

    def safe(*operands: Any) -> Any:
        return gives(op.kernel(*operands))

    return (op.scalar or safe, inputs, output, safe)


def is_body(value: Any, shape: tuple[int, ...]) -> bool:
    """The body of a loop."""
    return type(value) is Body
