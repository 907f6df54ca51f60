"""The methods and facts of arrays that a traced value has by the functions of NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tapegrad.errors import TraceError
from tapegrad.ops import elementwise as ew
from tapegrad.ops.registry import FLOAT
from tapegrad.ops.shaping import transpose_
from tapegrad.recording.frames import whereabouts
from tapegrad.recording.symbol import Symbol


def _function(called: Callable[..., Any]) -> Callable[..., Any]:
    """A method that is a NumPy function of the traced value."""

    def method(self: Methods, *args: Any, **kwargs: Any) -> Any:
        return self.recorder.call_function(called, (self, *args), kwargs)

    return method


class Methods(Symbol):
    """What asks nothing of a traced value but its recorder."""

    __slots__ = ()
    recorder: Any
    receive: Callable[..., Any]
    __setitem__: Callable[..., None]

    @property
    def mT(self) -> Any:
        """The matrices transposed."""
        return self.recorder.call_function(np.matrix_transpose, (self,), {})

    @property
    def real(self) -> Any:
        """As of an array."""
        return self.recorder.call_function(np.real, (self,), {})

    @property
    def imag(self) -> Any:
        """As of an array: 0."""
        return np.zeros(self.shape)[()]

    sum, mean, prod = _function(np.sum), _function(np.mean), _function(np.prod)
    max, min, var, std = _function(np.max), _function(np.min), _function(np.var), _function(np.std)
    cumsum, cumprod = _function(np.cumsum), _function(np.cumprod)
    all, any, nonzero = _function(np.all), _function(np.any), _function(np.nonzero)
    argmax, argmin, argsort = _function(np.argmax), _function(np.argmin), _function(np.argsort)
    ravel, squeeze, swapaxes = _function(np.ravel), _function(np.squeeze), _function(np.swapaxes)
    repeat, take, diagonal = _function(np.repeat), _function(np.take), _function(np.diagonal)
    clip, round = _function(np.clip), _function(np.round)
    dot, trace, choose = _function(np.dot), _function(np.trace), _function(np.choose)
    argpartition, searchsorted = _function(np.argpartition), _function(np.searchsorted)
    put = _function(np.put)

    def flatten(self, order: str = "C") -> Any:
        """As of an array."""
        return self.ravel(order).copy()

    def sort(self, axis: int = -1) -> None:
        """As of an array: in place."""
        self.receive(self.recorder.call_function(np.sort, (self, axis), {}))

    def partition(self, kth: Any, axis: int = -1) -> None:
        """As of an array: in place."""
        self.receive(self.recorder.call_function(np.partition, (self, kth, axis), {}))

    def compress(self, condition: Any, axis: int | None = None, out: Any = None) -> Any:
        """As of an array."""
        return self.recorder.call_function(np.compress, (condition, self, axis), {"out": out})

    def to_device(self, device: Any, /, *, stream: Any = None) -> Any:
        """As of an array: to the only device that there is."""
        np.empty(0).to_device(device, stream=stream)  # NumPy's own errors
        return self

    def setflags(self, write: bool | None = None, align: bool | None = None, uic: bool | None = None) -> None:
        """As of an array, but nothing is forbidden: a write that NumPy refuses is found in the plain call."""

    def view(self, *args: Any, **kwargs: Any) -> Any:
        """As of an array: of the same dtype and of no other class."""
        if any(
            kind is not np.ndarray and kind not in (FLOAT, self.dtype) for kind in (*args, *kwargs.values())
        ):
            raise TraceError(f"a traced array has no view of another kind{whereabouts()}: keep it as it is")
        return self[...] if self.shape else self

    def is_integer(self) -> bool:
        """As of a NumPy number."""
        return bool(self == self.recorder.apply(ew.floor, (self,), {}))

    def fill(self, value: Any) -> None:
        """As of an array: in place."""
        self[...] = value

    def reshape(self, *shape: Any, order: str = "C") -> Any:
        """As of an array."""
        wanted = shape[0] if len(shape) == 1 else shape
        return self.recorder.call_function(np.reshape, (self, wanted), {"order": order})

    def transpose(self, *axes: Any) -> Any:
        """As of an array."""
        return transpose_(self, (axes[0] if len(axes) == 1 else axes) or None)
