"""Comparisons that rounding cannot turn: of numbers that keep to one side of the limit by how they are made.

Densities ask whether their parameters are in range: whether a scale is positive, or a probability between 0
and 1. A scale that is an exponential is, whatever its last bits; and so is the share ``a / (a + b)`` of
numbers that are not negative, because IEEE arithmetic rounds sums and quotients in order. What is left is
whether a number has been rounded to 0, or not quite; there a comparison with 0 stands as one for equality
does, see `tapegrad.tape.slots`.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

import numpy as np

from tapegrad.tape.entries import Row
from tapegrad.tape.tape import Tape

# Ops whose results are not negative, and those whose results are as their operands all are; and results
# between 0 and 1.
_NOT_NEGATIVE: Final = frozenset(("exp", "exp2", "sqrt", "square", "abs", "cosh", "softplus"))
_AS_OPERANDS: Final = frozenset(
    ("add", "mul", "div", "reciprocal", "sum", "max", "min", "maximum", "minimum", "broadcast_to", "reshape")
)
_UNIT: Final = frozenset(("expit", "ndtr"))
# The comparisons, and what says the same of the operands in the other order.
_TURNED: Final = {
    "greater": "less",
    "greater_equal": "less_equal",
    "less": "greater",
    "less_equal": "greater_equal",
}
# Entries looked at, one behind the other.
_DEEP: Final = 12


class Bound(IntEnum):
    """What is known of all elements; NaN aside."""

    NONE = 0
    NOT_NEGATIVE = 1
    UNIT = 2


class Bounds:
    """What is known of the slots of a tape, looked up as far as comparisons ask for it."""

    def __init__(self, tape: Tape) -> None:
        self._tape = tape
        self._numbers = {slot: float(value) for slot, value in tape.constants if np.ndim(value) == 0}

    def settle(self, row: Row) -> bool:
        """Whether an entry is a comparison of a number with a limit that it keeps to one side of."""
        op, inputs, _, _, _ = row
        if op.name not in _TURNED:
            return False
        (slot, other), name = inputs, op.name
        if other not in self._numbers:
            slot, other, name = other, slot, _TURNED[name]
        limit = self._numbers.get(other)
        if limit is None:
            return False
        bound = self._of(slot, _DEEP)
        if bound is not Bound.NONE and limit <= 0.0:
            return True
        # Whether a share is rounded to 1 depends on the last bits of what it is a share of.
        return bound is Bound.UNIT and (limit > 1.0 or (limit == 1.0 and name in ("less_equal", "greater")))

    def _of(self, slot: int, depth: int) -> Bound:
        number = self._numbers.get(slot)
        if number is not None:
            return (Bound.UNIT if number <= 1.0 else Bound.NOT_NEGATIVE) if number >= 0.0 else Bound.NONE
        entry = self._tape.entries.writer_of(slot) if depth else None
        if entry is None:
            return Bound.NONE
        name, inputs = entry.op.name, entry.inputs
        if name in _UNIT:
            return Bound.UNIT
        if name in _NOT_NEGATIVE:
            return Bound.NOT_NEGATIVE
        if name not in _AS_OPERANDS or min(self._of(each, depth - 1) for each in inputs) is Bound.NONE:
            return Bound.NONE
        is_share = (name == "div" and self._is_part(*inputs)) or (
            name == "mul" and (self._is_share(*inputs) or self._is_share(*reversed(inputs)))
        )
        return Bound.UNIT if is_share else Bound.NOT_NEGATIVE

    def _is_part(self, slot: int, whole: int) -> bool:
        """Whether a number that is not negative is one of two that add up to another."""
        entry = self._tape.entries.writer_of(whole)
        return entry is not None and entry.op.name == "add" and slot in entry.inputs

    def _is_share(self, slot: int, factor: int) -> bool:
        """The same of a number that is multiplied by the reciprocal: 1 and half a spacing is rounded to 1."""
        entry = self._tape.entries.writer_of(factor)
        return entry is not None and entry.op.name == "reciprocal" and self._is_part(slot, *entry.inputs)
