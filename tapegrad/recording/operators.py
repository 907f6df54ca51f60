"""The methods behind Python's operators on traced values, and those that are NumPy functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from tapegrad.ops.registry import Op
from tapegrad.recording.dispatch import call_function, call_ufunc

if TYPE_CHECKING:
    from tapegrad.recording.tracer import Tracer


def operator(op: Op) -> Callable[[Tracer, Any], Any]:
    """A method that records `op` of the traced value and another operand."""

    def method(self: Tracer, other: Any) -> Any:
        return self.recorder.binary(op, self, other)

    return method


def reflected(op: Op) -> Callable[[Tracer, Any], Any]:
    """The same with the operands swapped."""

    def method(self: Tracer, other: Any) -> Any:
        return self.recorder.binary(op, other, self)

    return method


def unary(op: Op) -> Callable[[Tracer], Any]:
    """A method that records `op` of the traced value."""

    def method(self: Tracer) -> Any:
        return self.recorder.unary(op, self)

    return method


def equality(op: Op, unlike: bool) -> Callable[[Tracer, Any], Any]:
    """Equality or its opposite; `unlike` is what it is with what is no number."""

    def method(self: Tracer, other: Any) -> Any:
        if other is None or isinstance(other, str):  # no number equals it
            return np.full(self.shape, unlike) if self.shape else unlike
        return self.recorder.binary(op, self, other)

    return method


def in_place(method: Callable[[Tracer, Any], Any]) -> Callable[[Tracer, Any], Any]:
    """The method of ``x += y`` and its like."""

    def changed(self: Tracer, other: Any) -> Any:
        result = method(self, other)
        if self.ndim == 0 and not self.is_view:
            return result  # a NumPy scalar: the name is bound anew, other names keep the old value
        return self.receive(result)

    return changed


def bitwise(ufunc: np.ufunc, swapped: bool = False) -> Callable[[Tracer, Any], Any]:
    """A method for the operators that are logicals on truth values."""

    def method(self: Tracer, other: Any) -> Any:
        operands = (other, self) if swapped else (self, other)
        return call_ufunc(self.recorder, ufunc, "__call__", operands, None, {})

    return method


def function(called: Callable[..., Any]) -> Callable[..., Any]:
    """A method that is a NumPy function of the traced value."""

    def method(self: Tracer, *args: Any, **kwargs: Any) -> Any:
        return call_function(self.recorder, called, (self, *args), kwargs)

    return method
