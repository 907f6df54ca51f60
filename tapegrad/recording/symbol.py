"""A value that is being recorded: a slot of a tape, with its shape and Python's operators.

That is all that derivative rules need. What NumPy and the user's code ask of traced values besides stands in
`tapegrad.recording.tracer`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from tapegrad.errors import TraceError
from tapegrad.ops import elementwise as ew
from tapegrad.ops import logic
from tapegrad.ops.indexing import getitem
from tapegrad.ops.linalg import matmul
from tapegrad.ops.registry import Op, Recordable
from tapegrad.ops.shaping import transpose_
from tapegrad.recording.index import encode
from tapegrad.tape.builder import Builder


class Recording(Protocol):
    """What a symbol asks of whoever records it."""

    builder: Builder

    def apply(self, op: Op, args: tuple[Any, ...], attrs: dict[str, Any]) -> Any:
        """Record one op."""

    def unary(self, op: Op, operand: Any) -> Any:
        """Record an elementwise op of one operand."""

    def binary(self, op: Op, left: Any, right: Any) -> Any:
        """Record an elementwise op of two operands."""

    def whereabouts(self) -> str:
        """Where the user's code stands, for messages: `` at file:line: `text` ``."""


class OthersToAnswer(TraceError):
    """An operand has operators of its own for traced values; elsewhere it cannot stand."""


def operator(op: Op) -> Callable[[Any, Any], Any]:
    """A method that records `op` of the symbol and another operand."""

    def method(self: Symbol, other: Any) -> Any:
        try:
            return self.recorder.binary(op, self, other)
        except OthersToAnswer:
            return NotImplemented

    return method


def reflected(op: Op) -> Callable[[Any, Any], Any]:
    """The same with the operands swapped."""

    def method(self: Symbol, other: Any) -> Any:
        return self.recorder.binary(op, other, self)

    return method


def unary(op: Op) -> Callable[[Any], Any]:
    """A method that records `op` of the symbol."""

    def method(self: Symbol) -> Any:
        return self.recorder.unary(op, self)

    return method


_squared = unary(ew.square)


class Symbol(Recordable):
    """A slot of the tape that is being recorded."""

    __slots__ = ("recorder", "slot")
    __array_ufunc__: Any = None  # NumPy's arrays leave operators to the symbol, and its functions refuse it
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, recorder: Recording, slot: int) -> None:
        self.recorder = recorder
        self.slot = slot

    def apply(self, op: Op, args: tuple[Any, ...], attrs: dict[str, Any]) -> Any:
        """Record `op`."""
        return self.recorder.apply(op, args, attrs)

    def plain(self) -> Any:
        """There is no number behind a symbol."""
        raise TraceError("a traced value that is not being computed has no number behind it")

    def decide(self) -> Any:
        """There is nothing to decide on."""
        raise TraceError(f"a derivative rule decided on a traced value{self.recorder.whereabouts()}")

    def __bool__(self) -> bool:
        return bool(self.decide())

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray[Any, Any]:
        raise TraceError(f"a derivative rule asked for plain numbers{self.recorder.whereabouts()}")

    def __repr__(self) -> str:
        return f"<traced %{self.slot}, shape={self.shape}>"

    # What an array tells about itself -----------------------------------------------------------------------

    @property
    def shape(self) -> tuple[int, ...]:
        """As of an array."""
        return self.recorder.builder.avals[self.slot].shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """As of an array."""
        return self.recorder.builder.avals[self.slot].dtype

    @property
    def ndim(self) -> int:
        """As of an array."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """As of an array."""
        return int(np.prod(self.shape, dtype=int))

    @property
    def T(self) -> Any:
        """The transpose."""
        return transpose_(self)

    # Operators ----------------------------------------------------------------------------------------------

    __add__, __radd__ = operator(ew.add), reflected(ew.add)
    __sub__, __rsub__ = operator(ew.sub), reflected(ew.sub)
    __mul__, __rmul__ = operator(ew.mul), reflected(ew.mul)
    __truediv__, __rtruediv__ = operator(ew.div), reflected(ew.div)
    __mod__, __rmod__ = operator(ew.remainder), reflected(ew.remainder)
    __floordiv__, __rfloordiv__ = operator(ew.floor_divide), reflected(ew.floor_divide)
    __matmul__, __rmatmul__ = operator(matmul), reflected(matmul)
    __lt__, __le__ = operator(logic.less), operator(logic.less_equal)
    __gt__, __ge__ = operator(logic.greater), operator(logic.greater_equal)
    __eq__, __ne__ = operator(logic.equal), operator(logic.not_equal)
    __neg__, __abs__ = unary(ew.neg), unary(ew.absolute)

    def __pow__(self, exponent: Any) -> Any:
        if isinstance(exponent, (int, float)):
            if exponent == 2:
                return _squared(self)
            if exponent == 0.5 and self.ndim:  # as NumPy does for arrays
                return self.recorder.apply(ew.sqrt, (self,), {})
        return self.recorder.binary(ew.power, self, exponent)

    def __rpow__(self, base: Any) -> Any:
        return self.recorder.binary(ew.power, base, self)

    def __getitem__(self, index: Any) -> Any:
        spec, arrays = encode(index, self.shape)
        return self.recorder.apply(getitem, (self, *arrays), {"index": spec})
