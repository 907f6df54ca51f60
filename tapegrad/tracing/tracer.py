"""The proxy that stands for a traced value in the user's function.

It takes part through Python's operators, through NumPy's two protocols, and through the methods that NumPy's
object loops call on the elements of an object array.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from tapegrad.errors import TraceError
from tapegrad.ops import elementwise as ew
from tapegrad.ops import logic
from tapegrad.ops.indexing import getitem, update
from tapegrad.ops.linalg import matmul
from tapegrad.ops.registry import BOOL, FLOAT, INT, NUMPY, Op, Recordable
from tapegrad.ops.shaping import CASTS, transpose_
from tapegrad.tracing.index import encode, has_repeats
from tapegrad.tracing.messages import plain_value_wanted

if TYPE_CHECKING:
    from tapegrad.tracing.recorder import Recorder


def _operator(op: Op) -> Callable[[Tracer, Any], Any]:
    def method(self: Tracer, other: Any) -> Any:
        return self.recorder.binary(op, self, other)

    return method


def _reflected(op: Op) -> Callable[[Tracer, Any], Any]:
    def method(self: Tracer, other: Any) -> Any:
        return self.recorder.binary(op, other, self)

    return method


def _unary(op: Op) -> Callable[[Tracer], Any]:
    def method(self: Tracer) -> Any:
        return self.recorder.apply(op, (self,), {})

    return method


def _in_place(op: Op) -> Callable[[Tracer, Any], Any]:
    def method(self: Tracer, other: Any) -> Any:
        result = self.recorder.binary(op, self, other)
        if self.ndim == 0:  # a NumPy scalar: the name is bound anew, other names keep the old value
            return result
        return self._overwrite(result)

    return method


def _function(function: Callable[..., Any]) -> Callable[..., Any]:
    def method(self: Tracer, *args: Any, **kwargs: Any) -> Any:
        return self.__array_function__(function, (Tracer,), (self, *args), kwargs)

    return method


class Tracer(Recordable):
    """A traced value: a slot of the tape being recorded and, while the user's function runs, its value."""

    __slots__ = ("base", "recorder", "slot", "value")
    __array_priority__ = 1000.0
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, recorder: Recorder, slot: int, value: Any) -> None:
        self.recorder = recorder
        self.slot = slot
        self.value = value
        self.base: tuple[Tracer, Any] | None = None

    def apply(self, op: Op, args: tuple[Any, ...], attrs: dict[str, Any]) -> Any:
        """Record `op`."""
        return self.recorder.apply(op, args, attrs)

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

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of an unsized object")
        return self.shape[0]

    def __iter__(self) -> Iterator[Any]:
        if not self.shape:
            raise TypeError("iteration over a 0-d array")
        return (self[i] for i in range(self.shape[0]))

    def __repr__(self) -> str:
        value = "" if self.value is None else f", value={self.value!r}"
        return f"<traced %{self.slot}, shape={self.shape}{value}>"

    # Operators ----------------------------------------------------------------------------------------------

    __add__, __radd__, __iadd__ = _operator(ew.add), _reflected(ew.add), _in_place(ew.add)
    __sub__, __rsub__, __isub__ = _operator(ew.sub), _reflected(ew.sub), _in_place(ew.sub)
    __mul__, __rmul__, __imul__ = _operator(ew.mul), _reflected(ew.mul), _in_place(ew.mul)
    __truediv__, __rtruediv__, __itruediv__ = _operator(ew.div), _reflected(ew.div), _in_place(ew.div)
    __mod__, __rmod__ = _operator(ew.remainder), _reflected(ew.remainder)
    __floordiv__, __rfloordiv__ = _operator(ew.floor_divide), _reflected(ew.floor_divide)
    __rpow__ = _reflected(ew.power)
    __matmul__, __rmatmul__ = _operator(matmul), _reflected(matmul)
    __lt__, __le__ = _operator(logic.less), _operator(logic.less_equal)
    __gt__, __ge__ = _operator(logic.greater), _operator(logic.greater_equal)
    __eq__, __ne__ = _operator(logic.equal), _operator(logic.not_equal)
    __and__, __rand__ = _operator(logic.logical_and), _reflected(logic.logical_and)
    __or__, __ror__ = _operator(logic.logical_or), _reflected(logic.logical_or)
    __xor__, __rxor__ = _operator(logic.logical_xor), _reflected(logic.logical_xor)
    __neg__, __abs__, __invert__ = _unary(ew.neg), _unary(ew.absolute), _unary(logic.logical_not)

    def __pos__(self) -> Tracer:
        return self

    def __pow__(self, exponent: Any) -> Any:
        if isinstance(exponent, (int, float)) and exponent == 2:
            return self.recorder.apply(ew.square, (self,), {})
        return self.recorder.binary(ew.power, self, exponent)

    def __ipow__(self, exponent: Any) -> Any:
        result = self**exponent
        return result if self.ndim == 0 else self._overwrite(result)

    def __divmod__(self, other: Any) -> tuple[Any, Any]:
        return self // other, self % other

    # What Python decides on ---------------------------------------------------------------------------------

    def __bool__(self) -> bool:
        if self.size != 1:
            raise ValueError(
                f"the truth of a traced array of shape {self.shape} is ambiguous"
                f"{self.recorder.whereabouts()}: write .any(), .all() or np.where"
            )
        tracer = self if self.dtype == BOOL else self != 0.0
        return bool(self.recorder.decide(tracer))

    def __int__(self) -> int:
        tracer = self if self.dtype == INT else self.recorder.apply(ew.trunc, (self,), {})
        return int(self.recorder.decide(tracer))

    def __index__(self) -> int:
        if self.dtype != INT or self.ndim:
            raise TraceError(
                f"a traced {self.dtype} value cannot be an index{self.recorder.whereabouts()}: write int(...)"
            )
        return int(self.recorder.decide(self))

    def __float__(self) -> NoReturn:
        raise plain_value_wanted(self.recorder.whereabouts())

    __complex__ = __float__

    def item(self, *args: Any) -> NoReturn:
        """Refused: a plain number would leave the tape."""
        raise plain_value_wanted(self.recorder.whereabouts())

    tolist = item

    # Indexing and assignment --------------------------------------------------------------------------------

    def __getitem__(self, index: Any) -> Any:
        spec, arrays = encode(index, self.shape)
        result = self.recorder.apply(getitem, (self, *arrays), {"index": spec})
        if not arrays:
            result.base = (self, index)
        return result

    def __setitem__(self, index: Any, value: Any) -> None:
        spec, arrays = encode(index, self.shape)
        if has_repeats(spec, arrays, self.shape):
            raise TraceError(
                f"an assignment writes one element twice{self.recorder.whereabouts()}: NumPy keeps the last "
                "value; write each element once"
            )
        self._overwrite(self.recorder.apply(update, (self, value, *arrays), {"index": spec}))

    def _overwrite(self, result: Tracer) -> Tracer:
        """Become `result`, as an array written in place does, together with the array this is a slice of."""
        if result.shape != self.shape:
            raise ValueError(
                f"a traced array of shape {self.shape} cannot be overwritten with one of shape {result.shape}"
                f"{self.recorder.whereabouts()}"
            )
        if self.dtype != FLOAT:
            raise TraceError(f"a traced {self.dtype} array cannot be written to{self.recorder.whereabouts()}")
        self.slot, self.value = result.slot, result.value
        if self.base is not None:
            owner, index = self.base
            owner[index] = self
        return self

    # NumPy's protocols --------------------------------------------------------------------------------------

    def __array_ufunc__(
        self, ufunc: np.ufunc, method: str, *inputs: Any, out: Any = None, **kwargs: Any
    ) -> Any:
        key: Any = ufunc if method == "__call__" else getattr(ufunc, method)
        function = NUMPY.get(key)
        name = ufunc.__name__ if method == "__call__" else f"{ufunc.__name__}.{method}"
        if function is None:
            raise TraceError(f"{name} has no derivative rule{self.recorder.whereabouts()}")
        kwargs = _without_defaults(kwargs)
        if "where" in kwargs:
            raise TraceError(f"{name}(where=...) cannot be traced{self.recorder.whereabouts()}: use np.where")
        if isinstance(function, Op) and kwargs:
            raise TraceError(
                f"{name} takes no {sorted(kwargs)} on traced values{self.recorder.whereabouts()}"
            )
        live = [self.recorder.lift(x, None) if _holds_tracers(x) else x for x in inputs]
        result = function(*live, **kwargs)
        if out is None:
            return result
        target = out[0] if isinstance(out, tuple) else out
        if not isinstance(target, Tracer):
            raise plain_value_wanted(self.recorder.whereabouts())
        return target._overwrite(result)

    def __array_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        if func in _MAKERS:
            return self._make(func, args, kwargs)
        function = NUMPY.get(func)
        if function is None:
            name = getattr(func, "__name__", str(func))
            raise TraceError(f"np.{name} cannot be traced{self.recorder.whereabouts()}: no rule for it")
        return function(*args, **_without_defaults(kwargs))

    def _make(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """An array that the trace owns, so that it can be written to: `np.zeros_like`, `like=` and so on."""
        stand_ins = [np.zeros(x.shape) if isinstance(x, Tracer) else x for x in args]
        if func in (np.copy, np.array, np.asarray):
            return Tracer(self.recorder, *_slot_and_value(self.recorder.lift(args[0], FLOAT)))
        if func in (np.full, np.full_like) and isinstance(args[1], Tracer):
            shape = stand_ins[0] if func is np.full else np.shape(stand_ins[0])
            return NUMPY[np.broadcast_to](args[1], shape)
        maker: Any = {np.empty: np.zeros, np.empty_like: np.zeros_like}.get(func, func)
        # A fresh tracer: the constant may be shared, what is written in place must not be.
        return Tracer(self.recorder, *_slot_and_value(self.recorder.lift(maker(*stand_ins, **kwargs), FLOAT)))

    # Methods ------------------------------------------------------------------------------------------------

    sum, mean, prod = _function(np.sum), _function(np.mean), _function(np.prod)
    max, min, cumsum = _function(np.max), _function(np.min), _function(np.cumsum)
    var, std, all, any = _function(np.var), _function(np.std), _function(np.all), _function(np.any)
    argmax, argmin = _function(np.argmax), _function(np.argmin)
    ravel, flatten, squeeze = _function(np.ravel), _function(np.ravel), _function(np.squeeze)
    swapaxes, repeat, take = _function(np.swapaxes), _function(np.repeat), _function(np.take)
    clip, dot, copy, trace = _function(np.clip), _function(np.dot), _function(np.copy), _function(np.trace)

    def reshape(self, *shape: Any, order: str = "C") -> Any:
        """As of an array."""
        return np.reshape(self, shape[0] if len(shape) == 1 else shape, order=order)  # type: ignore[call-overload]

    def transpose(self, *axes: Any) -> Any:
        """As of an array."""
        return transpose_(self, (axes[0] if len(axes) == 1 else axes) or None)

    def astype(self, dtype: Any, *args: Any, **kwargs: Any) -> Any:
        """As of an array: to float, int or bool."""
        kind = {"f": FLOAT, "i": INT, "u": INT, "b": BOOL}.get(np.dtype(dtype).kind)
        if kind is None:
            raise TraceError(f"a traced value has no {np.dtype(dtype)} form{self.recorder.whereabouts()}")
        return self if kind == self.dtype else self.recorder.apply(CASTS[kind], (self,), {})


_LIKE_ANOTHER: tuple[Any, ...] = (np.zeros_like, np.ones_like, np.empty_like, np.full_like, np.copy)
_WITH_LIKE: tuple[Any, ...] = (np.zeros, np.ones, np.empty, np.full, np.array, np.asarray, np.eye, np.arange)
_MAKERS = frozenset((*_LIKE_ANOTHER, *_WITH_LIKE))


def _slot_and_value(tracer: Tracer) -> tuple[int, Any]:
    return tracer.slot, tracer.value


def _holds_tracers(x: Any) -> bool:
    return isinstance(x, np.ndarray) and x.dtype == object


def _without_defaults(kwargs: dict[str, Any]) -> dict[str, Any]:
    """Keyword arguments less those that say nothing: None, NumPy's own no-value, and ``dtype=float``."""
    return {
        name: value
        for name, value in kwargs.items()
        if value is not None
        and value is not np._NoValue
        and not (name == "dtype" and value in (float, FLOAT))
    }


# The elements of an object array are asked for methods named like the ufunc: np.exp calls x.exp().
for _ufunc, _op in NUMPY.items():
    if isinstance(_ufunc, np.ufunc) and isinstance(_op, Op) and _ufunc.nin == 1:
        setattr(Tracer, _ufunc.__name__, _unary(_op))
