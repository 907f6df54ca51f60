"""The proxy that stands for a traced value in the user's function.

It takes part through Python's operators, through NumPy's two protocols, and through the methods that NumPy's
object loops call on the elements of an object array. What it needs for this it asks of its `Trace`.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, Protocol, TypeGuard

import numpy as np

from tapegrad.errors import TraceError
from tapegrad.ops import elementwise as ew
from tapegrad.ops import logic
from tapegrad.ops.indexing import getitem, update
from tapegrad.ops.registry import BOOL, FLOAT, INT, NUMPY, Op, Recordable
from tapegrad.ops.shaping import CASTS, reshape_, shape_of
from tapegrad.recording.flat import Flat
from tapegrad.recording.frames import whereabouts
from tapegrad.recording.index import encode, has_repeats
from tapegrad.recording.inplace import held_alone
from tapegrad.recording.methods import Methods
from tapegrad.recording.posing import Posing
from tapegrad.recording.symbol import Recording, Symbol, unary
from tapegrad.recording.values import Array


class Trace(Recording, Protocol):
    """What a tracer asks of the recorder of its trace, besides what a symbol asks."""

    is_step: bool  # whether it records one step for all of a loop, so that no value is the only one

    def foreign(self) -> TraceError:
        """The error for a tracer that is used outside of its trace."""

    has_buffers: bool
    posing: Posing | None  # what code is told of the number of rows
    seen: list[Any]  # arrays that stand on the tape
    asked: Any  # what code has asked of traced values in vain

    def lift(self, operand: Any, dtype: np.dtype[Any] | None) -> Tracer:
        """The operand as a tracer of this trace, converted to `dtype`."""

    def decide(self, tracer: Tracer) -> Any:
        """The value of a tracer that Python decides on."""

    def call_ufunc(
        self, ufunc: np.ufunc, method: str, inputs: tuple[Any, ...], out: Any, kwargs: dict[str, Any]
    ) -> Any:
        """A ufunc, or one of its methods, of operands some of which are traced."""

    def call_function(self, func: Callable[..., Any], args: Any, kwargs: dict[str, Any]) -> Any:
        """A NumPy function of operands some of which are traced."""

    def hand_out(self, tracer: Tracer, dtype: Any, copy: Any) -> Array:
        """The plain array that NumPy asks a tracer for."""

    def float_wanted(self) -> TraceError:
        """The error for code that wants a float of a traced value."""

    def written(self) -> None:
        """A tracer has been written to."""


def is_traced(x: Any) -> TypeGuard[Tracer]:
    """Whether `x` is a tracer."""
    return isinstance(x, Recordable)


# Kinds of methods -------------------------------------------------------------------------------------------


def _equality(op: Op, unlike: bool) -> Callable[[Tracer, Any], Any]:
    """Equality or its opposite; `unlike` is the result with an operand that is no number."""

    def method(self: Tracer, other: Any) -> Any:
        if other is None or isinstance(other, str):  # no number equals it
            return np.full(self.shape, unlike) if self.shape else unlike
        return self.recorder.binary(op, self, other)

    return method


def _bitwise(ufunc: np.ufunc, swapped: bool = False) -> Callable[[Tracer, Any], Any]:
    """A method for the operators that are logicals on truth values."""

    def method(self: Tracer, other: Any) -> Any:
        operands = (other, self) if swapped else (self, other)
        return self.recorder.call_ufunc(ufunc, "__call__", operands, None, {})

    return method


def _in_place(method: Callable[[Tracer, Any], Any]) -> Callable[[Tracer, Any], Any]:
    """The method of ``x += y`` and its like."""

    def changed(self: Tracer, other: Any) -> Any:
        result = method(self, other)
        if (type(self.held) is float or self.ndim == 0) and not self.is_view:
            return result  # a NumPy scalar: the name is bound anew, other names keep the old value
        return self.receive(result)

    return changed


class Tracer(Methods):
    """A traced value: a slot of the tape being recorded and, while the user's function runs, its value."""

    __slots__ = ("held",)
    __array_priority__ = 10_000.0
    __pandas_priority__ = 10_000
    is_view = False
    recorder: Trace

    def __init__(self, recorder: Trace, slot: int, value: Any) -> None:
        self.recorder = recorder
        self.slot = slot
        self.held = value

    def plain(self) -> Any:
        """The value."""
        return self.recorder.lift(self, None).held

    def decide(self) -> Any:
        """The value, for Python to decide on: a guard holds the tape to it."""
        return self.recorder.decide(self)

    @property
    def is_of_step(self) -> bool:
        """Whether it is computed in one step for all of a loop."""
        return self.recorder.is_step

    # What an array tells about itself -----------------------------------------------------------------------

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        """What stands there in a plain call: code that asks with isinstance shall go the same way."""
        if sys._getframe(1).f_globals.get("__name__", "").startswith("tapegrad."):
            return type(self)
        aval = self.recorder.builder.avals[self.slot]
        return np.ndarray if aval.shape or self.is_view else aval.dtype.type

    @property
    def flat(self) -> Flat:
        """The elements one after another."""
        return Flat(self)

    @flat.setter
    def flat(self, value: Any) -> None:
        self.flat[:] = value

    @property
    def shape(self) -> tuple[int, ...]:
        """As of an array."""
        shape, posing = self.recorder.builder.avals[self.slot].shape, self.recorder.posing
        return shape if posing is None else posing.shape(shape, sys._getframe(1).f_code)

    @property
    def size(self) -> int:
        """As of an array."""
        return math.prod(self._told(2))

    @property
    def nbytes(self) -> int:
        """As of an array."""
        return math.prod(self._told(2)) * self.dtype.itemsize

    def _told(self, depth: int) -> tuple[int, ...]:
        """The shape as the code is told it that called, so many calls up."""
        shape, posing = self.recorder.builder.avals[self.slot].shape, self.recorder.posing
        return shape if posing is None else posing.shape(shape, sys._getframe(depth).f_code)

    itemsize = property(lambda self: self.dtype.itemsize)
    strides = property(lambda self: np.asarray(self.held).strides)
    flags = property(lambda self: np.asarray(self.held).flags)
    device = property(lambda self: "cpu")

    def __len__(self) -> int:
        shape = self._told(2)
        if not shape:
            raise TypeError("len() of an unsized object")
        return shape[0]

    def __iter__(self) -> Iterator[Any]:
        if not self.shape:
            raise TypeError("iteration over a 0-d array")
        return (self[i] for i in range(self.shape[0]))

    def __repr__(self) -> str:
        return f"<traced %{self.slot}, shape={self.shape}, value={self.held!r}>"

    # Operators ----------------------------------------------------------------------------------------------

    __eq__, __ne__ = _equality(logic.equal, False), _equality(logic.not_equal, True)
    __and__, __rand__ = _bitwise(np.bitwise_and), _bitwise(np.bitwise_and, swapped=True)
    __or__, __ror__ = _bitwise(np.bitwise_or), _bitwise(np.bitwise_or, swapped=True)
    __xor__, __rxor__ = _bitwise(np.bitwise_xor), _bitwise(np.bitwise_xor, swapped=True)

    def __invert__(self) -> Any:
        return self.recorder.call_ufunc(np.invert, "__call__", (self,), None, {})

    def __pos__(self) -> Tracer:
        return self.copy("K")

    def __divmod__(self, other: Any) -> tuple[Any, Any]:
        return self // other, self % other

    def __rdivmod__(self, other: Any) -> tuple[Any, Any]:
        return other // self, other % self

    __iadd__, __isub__ = _in_place(Symbol.__add__), _in_place(Symbol.__sub__)
    __imul__, __itruediv__ = _in_place(Symbol.__mul__), _in_place(Symbol.__truediv__)
    __imod__, __ifloordiv__ = _in_place(Symbol.__mod__), _in_place(Symbol.__floordiv__)
    __ipow__, __imatmul__ = _in_place(Symbol.__pow__), _in_place(Symbol.__matmul__)
    __iand__, __ior__, __ixor__ = _in_place(__and__), _in_place(__or__), _in_place(__xor__)

    # What Python decides on ---------------------------------------------------------------------------------

    def __bool__(self) -> bool:
        if self.size != 1:
            raise ValueError(
                f"the truth of a traced array of shape {self.shape} is ambiguous"
                f"{whereabouts()}: write .any(), .all() or np.where"
            )
        tracer = self if self.dtype == BOOL else self != 0.0
        return bool(tracer.decide())

    def __int__(self) -> int:
        tracer = self if self.dtype == INT else self.recorder.apply(ew.trunc, (self,), {})
        return int(tracer.decide())

    def __index__(self) -> int:
        if self.dtype != INT or self.ndim:
            raise TraceError(f"a traced {self.dtype} value cannot be an index{whereabouts()}: write int(...)")
        return int(self.decide())

    def __round__(self, ndigits: int | None = None) -> Any:
        return int(unary(ew.rint)(self)) if ndigits is None else self.round(ndigits)

    def __floor__(self) -> int:
        return int(unary(ew.floor)(self))

    def __ceil__(self) -> int:
        return int(unary(ew.ceil)(self))

    def __trunc__(self) -> int:
        return int(self)

    def __contains__(self, item: Any) -> bool:
        return bool((self == item).any())

    def __float__(self) -> float:
        return float(self._as_plain())

    def __complex__(self) -> complex:
        return complex(self._as_plain())

    def _as_plain(self) -> Any:
        """The one element, of whole numbers and truth values: a float would leave the tape."""
        if self.dtype == FLOAT:
            raise self.recorder.float_wanted()
        return self.item()

    def item(self, *args: Any) -> Any:
        """As of an array: a float stays traced, whole numbers and truth values are guarded."""
        if self.dtype == FLOAT:
            place = np.arange(self.size).reshape(self.shape).item(*args)
            return self.ravel()[place]
        return np.asarray(self.decide()).item(*args)

    def tolist(self) -> Any:
        """As of an array: floats stay traced, whole numbers and truth values are guarded."""
        if self.dtype == FLOAT:
            return [x.tolist() for x in self] if self.shape else self.copy()
        return np.asarray(self.decide()).tolist()

    def __format__(self, spec: str) -> str:
        # For printing; the words around the number keep the text from being read back as one.
        return f"<traced {format(self.held, spec)}>" if spec and self.ndim == 0 else repr(self)

    # Indexing and assignment --------------------------------------------------------------------------------

    def __getitem__(self, index: Any) -> Any:
        if _is_truth(index):
            return self[None].copy() if index else self[None][:0].copy()
        spec, arrays = encode(index, self.shape)
        return self.recorder.apply(getitem, (self, *arrays), {"index": spec})

    def __setitem__(self, index: Any, value: Any) -> None:
        if _is_mask(index, self.shape) and shape_of(value) == ():
            self._overwrite(self.recorder.apply(logic.where, (index, value, self), {}))
            return
        if _is_truth(index):  # of an array with one more axis, of length 1 or 0
            if index:
                given = NUMPY[np.broadcast_to](self.recorder.lift(value, None), (1, *self.shape))
                self.receive(reshape_(given, self.shape))
            return
        spec, arrays = encode(index, self.shape)
        if isinstance(value, Tracer) and value.is_current_slice(self, spec):
            return  # the last step of x[i:j] += v, which has been written in place
        arrays = [x.decide() if isinstance(x, Tracer) else x for x in arrays]
        if has_repeats(spec, arrays, self.shape):
            raise TraceError(
                f"an assignment writes one element twice{whereabouts()}: NumPy keeps the last "
                "value; write each element once"
            )
        self._overwrite(self.recorder.apply(update, (self, value, *arrays), {"index": spec}))

    def is_current_slice(self, owner: Tracer, index: Any) -> bool:
        """Whether this is a view, and of just what ``owner[index]`` holds."""
        return False

    def receive(self, result: Any) -> Tracer:
        """Be written over with `result`, as the array of ``x += v`` or ``out=x`` is."""
        result = self.recorder.lift(result, None)
        if not np.can_cast(result.dtype, self.dtype, "same_kind"):
            raise TypeError(f"a traced {self.dtype} array cannot take {result.dtype} values{whereabouts()}")
        if result.shape != self.shape:
            result = NUMPY[np.broadcast_to](result, self.shape)
        return self._overwrite(result)

    def _overwrite(self, result: Tracer) -> Tracer:
        result = self.recorder.lift(result, self.dtype)
        self.slot, self.held = result.slot, laid_out(result.held, self.held)
        self.recorder.written()
        return self

    def copy(self, order: Any = "C") -> Tracer:
        """As of an array."""
        fresh = self.recorder.lift(self, None)
        value = np.array(fresh.held, order=order) if self.ndim else fresh.held
        return Tracer(fresh.recorder, fresh.slot, value)

    def __copy__(self) -> Tracer:
        return self.copy("K")

    def __deepcopy__(self, memo: Any) -> Tracer:
        return self.copy("K")

    # NumPy's protocols --------------------------------------------------------------------------------------

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray[Any, Any]:
        """For plain arrays: an index gives guarded values, floats give an object array of traced elements."""
        return self.recorder.hand_out(self, dtype, copy)

    def __array_ufunc__(
        self, ufunc: np.ufunc, method: str, *inputs: Any, out: Any = None, **kwargs: Any
    ) -> Any:
        op = NUMPY.get(ufunc)
        is_plain = method == "__call__" and out is None and not kwargs
        if is_plain and isinstance(op, Op) and op.kernel is ufunc:
            if len(inputs) == 1:
                return self.recorder.unary(op, inputs[0])
            if len(inputs) == 2:
                return self.recorder.binary(op, inputs[0], inputs[1])
        if out is not None and held_alone(out, sys._getframe(1), self.recorder.seen):
            result = self.recorder.call_ufunc(ufunc, method, inputs, None, kwargs)
            return NUMPY[np.broadcast_to](result, out[0].shape).copy()
        return self.recorder.call_ufunc(ufunc, method, inputs, out, kwargs)

    def __array_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        if self.recorder.posing is not None and func in (np.shape, np.size):
            told = np.broadcast_to(False, self._told(2))
            return func(told, *args[1:], **{key: x for key, x in kwargs.items() if key != "a"})
        return self.recorder.call_function(func, args, kwargs)

    def __array_namespace__(self, api_version: str | None = None) -> Any:
        """NumPy by the name that the package has for it which asks, as SciPy does with SCIPY_ARRAY_API."""
        package, _, _ = sys._getframe(1).f_globals.get("__name__", "").rpartition(".common.")
        return sys.modules.get(f"{package}.numpy") or _scipys_numpy()

    def astype(self, dtype: Any, *, copy: bool = True) -> Any:
        """As of an array: to float64, int64 or bool."""
        kind = _KINDS.get(np.dtype(dtype))
        if kind is None:
            raise TraceError(
                f"a traced value has no {np.dtype(dtype)} form{whereabouts()}: write "
                ".astype(float), which is float64, .astype(int) or .astype(bool)"
            )
        if kind == self.dtype:
            return self.copy("K") if copy else self
        return self.recorder.apply(CASTS[kind], (self,), {})


@cache
def _scipys_numpy() -> Any:
    try:
        from scipy._lib._array_api import array_namespace
    except ImportError:
        return np
    return array_namespace(np.empty(0))


_KINDS = {FLOAT: FLOAT, BOOL: BOOL, INT: INT, np.dtype(np.int32): INT}


def _is_mask(index: Any, shape: tuple[int, ...]) -> bool:
    return isinstance(index, Tracer) and index.dtype == BOOL and index.shape == shape


def _is_truth(index: Any) -> bool:
    """Whether an index is a single truth value, which takes all or nothing."""
    kind = type(index)
    return kind is bool or kind is np.bool_ or (kind is Tracer and index.dtype == BOOL and not index.shape)


def laid_out(value: Any, old: Any) -> Any:
    """The value in the memory layout of the old one, for the layout decides which reshapes are views."""
    if not isinstance(value, np.ndarray) or value.strides == old.strides:
        return value
    out = np.empty_like(old, dtype=value.dtype)
    np.copyto(out, value)
    return out


# The elements of an object array are asked for methods named like the ufunc: np.exp calls x.exp().
def _method(ufunc: np.ufunc) -> Callable[[Tracer], Any]:
    return lambda self: self.recorder.call_ufunc(ufunc, "__call__", (self,), None, {})


for _ufunc in NUMPY:
    if isinstance(_ufunc, np.ufunc) and _ufunc.nin == 1 and not hasattr(Tracer, _ufunc.__name__):
        setattr(Tracer, _ufunc.__name__, _method(_ufunc))
Tracer.conjugate = Tracer.conj = lambda self: self  # type: ignore[attr-defined]  # as of a real array
