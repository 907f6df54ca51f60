"""Hessians without a program: tangents of all directions, carried over the gradient's tape by numbers.

The derivative rules compute on arrays as well as they record. To derive, tidy and print the tape of a Hessian
takes as long as many such walks, and a fit wants two or three Hessians. So the first ones are found in this
way, until the program would have taken no longer: counted, never timed, as compiling is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from tapegrad.backends.replay import evaluate
from tapegrad.derive.gates import Gates
from tapegrad.derive.pushforward import push
from tapegrad.nest import Vector
from tapegrad.tape.entries import Row
from tapegrad.tape.tape import Tape, size_of

# Nanoseconds, measured once: to apply the rule of an entry, and for each number that it makes or reads.
RULE: Final = 1e4
ELEMENT: Final = 1.0
# To run a step of a loop, entry by entry.
STEP: Final = 60.0
# To make a program, and for each of its entries.
PROGRAM: Final = 1.5e6
ENTRY: Final = 1e5
# Numbers in all slots: of longer data, a loop over blocks of rows is the better way.
MOST_SWEPT: Final = 4_000_000


class Ledger:
    """What the Hessians of one path have taken so far, in nanoseconds.

    Parameters
    ----------
    gradient : Tape
        That of the gradient, without the value.
    is_at_once : bool
        Whether the program computes all columns in one run, and not product by product.
    """

    def __init__(self, gradient: Tape, is_at_once: bool) -> None:
        rows = list(gradient.entries.rows())
        count = sum(size_of(gradient.avals[slot].shape) for slot in gradient.parameters)
        of_numbers = not any(gradient.avals[slot].shape for slot in gradient.parameters)
        directions = count if is_at_once and of_numbers else 2
        self._program = PROGRAM + ENTRY * directions * len(rows)
        is_long = sum(size_of(aval.shape) for aval in gradient.avals) > MOST_SWEPT
        self._sweep = np.inf if is_long else sum(_effort(gradient, row, count) for row in rows)
        self._spent = 0.0

    @property
    def is_spent(self) -> bool:
        """Whether a program is the better way by now."""
        return self._spent + self._sweep > self._program

    def sweeps(self) -> bool:
        """Whether to find one more Hessian without a program, which is then counted."""
        if self.is_spent:
            return False
        self._spent += self._sweep
        return True


def _effort(tape: Tape, row: Row, count: int) -> float:
    """What an entry takes in so many directions."""
    op, inputs, output, attrs, _ = row
    if op.name == "scan":
        found: dict[str, Any] = dict(attrs)
        steps, body = int(found["count"]), found["body"]
        all_steps = len(body.tape.entries) * (RULE + ELEMENT * steps)
        return len(body.tape.entries) * steps * STEP + count * (1 + int(body.width)) * all_steps
    return count * (RULE + ELEMENT * max(size_of(tape.avals[slot].shape) for slot in (*inputs, output)))


@np.errstate(all="ignore")
def hessian(gradient: Tape, gates: Gates, vector: Vector, data: Mapping[int, Any]) -> Vector:
    """The Hessian at a flat vector, shape (p, p), one row for each direction.

    Parameters
    ----------
    gradient : Tape
        That of the gradient, without the value.
    gates : Gates
        Those of this tape.
    vector : ndarray, shape (p,)
    data : mapping of int to array
        The value of each data slot.
    """
    values = evaluate(gradient, vector, data)
    # NumPy's scalars, because Python's floats raise where a rule divides by zero.
    numbers = [np.float64(value) if type(value) is float else value for value in values]
    rows = []
    for leaf in gradient.parameters:
        shape = gradient.avals[leaf].shape
        for direction in np.eye(size_of(shape)):
            moving = direction.reshape(shape) if shape else np.float64(1.0)
            found = push(gradient, numbers.__getitem__, {leaf: moving}, gates=gates)
            rows.append(_joined(gradient, found))
    return np.array(rows)


def _joined(tape: Tape, tangents: Mapping[int, Any]) -> Vector:
    """The tangents of the outputs as one flat vector; what does not move has none."""
    parts = []
    for slot in tape.outputs:
        size = size_of(tape.avals[slot].shape)
        parts.append(np.ravel(tangents[slot]) if slot in tangents else np.zeros(size))
    return np.concatenate(parts)
