"""Appending entries to a tape while code runs on symbols, of which only shape and dtype are known."""

from __future__ import annotations

from typing import Any

import numpy as np

from tapegrad.errors import TraceError
from tapegrad.ops.registry import BOOL, FLOAT, INT, Op
from tapegrad.ops.shaping import CASTS
from tapegrad.recording.frames import location
from tapegrad.recording.symbol import Symbol
from tapegrad.recording.values import Array, frozen
from tapegrad.tape.builder import Builder
from tapegrad.tape.line import Source
from tapegrad.tape.tape import SCALAR


class ForeignValueError(TraceError):
    """A traced value of another trace was used."""


class Recorder:
    """Records ops on symbols. The entries belong to the line `at`, which whoever runs the code sets."""

    def __init__(self, builder: Builder) -> None:
        self.builder = builder
        self.at: Source | None = None
        self._numbers: dict[float, int] = {}

    def symbol(self, slot: int, value: Any = None) -> Any:
        """A symbol for a slot that exists already; `value` is that of a constant."""
        return Symbol(self, slot)

    def whereabouts(self) -> str:
        """Where the user's code stands, for messages: `` at file:line: `text` ``."""
        return location(self.at)

    # Operands -----------------------------------------------------------------------------------------------

    def lift(self, operand: Any, dtype: np.dtype[Any] | None) -> Any:
        """The operand as a symbol of this recording, converted to `dtype`; plain data becomes a constant."""
        if isinstance(operand, Symbol):
            if operand.recorder is not self:
                raise self.foreign()
            held = self.builder.avals[operand.slot].dtype
            if dtype is None or held is dtype or held == dtype:
                return operand
            return self.apply(CASTS[dtype], (operand,), {})
        if (dtype is None or dtype == FLOAT) and isinstance(operand, (float, int, np.floating, np.integer)):
            return self.number(float(operand))
        return self.lift_plain(operand, dtype)

    def foreign(self) -> TraceError:
        """The error for a symbol of another recording."""
        return ForeignValueError(
            f"a traced value of another trace was used{self.whereabouts()}: it was kept in a global, a list "
            "or an attribute. Compute it anew inside the function, or return it from there"
        )

    def lift_plain(self, operand: Any, dtype: np.dtype[Any] | None) -> Any:
        """Plain data that are more than a number, as a constant."""
        return self.constant(operand, np.asarray(operand), dtype)

    def constant(self, operand: Any, array: Array, dtype: np.dtype[Any] | None) -> Any:
        """A constant with the numbers of `array`, which are those of `operand`, converted to `dtype`."""
        if dtype is None:
            dtype = {"f": FLOAT, "b": BOOL}.get(array.dtype.kind, INT)
        if array.ndim == 0 and dtype == FLOAT:
            return self.number(float(array))
        return self.array(operand, array, dtype)

    def number(self, value: float) -> Any:
        """A scalar constant."""
        return self.symbol(self.number_slot(value), value)

    def number_slot(self, value: float) -> int:
        """The slot of a scalar constant; equal numbers share one."""
        slot = self._numbers.get(value)
        if slot is None:
            slot = self.builder.constant(value)
            if value != 0.0:  # 0.0 == -0.0, but 1 / 0.0 != 1 / -0.0
                self._numbers[value] = slot
        return slot

    def array(self, operand: Any, array: Array, dtype: np.dtype[Any]) -> Any:
        """A constant array."""
        fixed = frozen(array, dtype)
        return self.symbol(self.builder.constant(fixed), fixed)

    # Recording ----------------------------------------------------------------------------------------------

    def apply(self, op: Op, args: tuple[Any, ...], attrs: dict[str, Any]) -> Any:
        """Record one op."""
        slots = tuple([self.lift(arg, op.takes_at(i)).slot for i, arg in enumerate(args)])
        avals = self.builder.avals
        aval = op.aval([avals[slot] for slot in slots], attrs)
        return Symbol(self, self.builder.emit(op, slots, tuple(attrs.items()), self.at, aval))

    # A short way for scalars, which the derivatives of looped code are made of.

    def unary(self, op: Op, operand: Any) -> Any:
        """Record an elementwise op of one operand."""
        if op.gives is FLOAT and self._is_scalar(operand):
            return Symbol(self, self.builder.emit(op, (operand.slot,), (), self.at, SCALAR))
        return self.apply(op, (operand,), {})

    def binary(self, op: Op, left: Any, right: Any) -> Any:
        """Record an elementwise op of two operands."""
        if op.gives is FLOAT and self._is_scalar(left) and self._is_scalar(right):
            return Symbol(self, self.builder.emit(op, (left.slot, right.slot), (), self.at, SCALAR))
        return self.apply(op, (left, right), {})

    def _is_scalar(self, operand: Any) -> bool:
        is_own = type(operand) is Symbol and operand.recorder is self
        return is_own and self.builder.avals[operand.slot] is SCALAR
