"""Appending entries to a tape while code runs on tracers.

`Recorder` knows only shapes; derivatives use it to record rules. `LiveRecorder` runs the user's function: its
tracers carry values, so that ordinary Python can decide on them, and what it decides is recorded as guards.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from numbers import Real
from types import CodeType, FrameType
from typing import Any

import numpy as np

from tapegrad.errors import TraceError
from tapegrad.ops.indexing import join
from tapegrad.ops.registry import BOOL, FLOAT, INT, Aval, Op
from tapegrad.ops.shaping import CASTS, reshape, shape_of
from tapegrad.recording.dataframes import as_array, is_pandas
from tapegrad.recording.dispatch import array_of, holds_traced, settled
from tapegrad.recording.frames import is_users, location, spot_at, user_frame
from tapegrad.recording.handouts import Handouts, contents
from tapegrad.recording.messages import plain_value_wanted
from tapegrad.recording.sharing import share
from tapegrad.recording.tracer import Tracer
from tapegrad.recording.unrolling import Watch, spot_of_user
from tapegrad.recording.view import View, view_of
from tapegrad.tape.builder import Builder
from tapegrad.tape.line import Source
from tapegrad.tape.tape import SCALAR, Guard, aval_of

Array = np.ndarray[Any, Any]

_SCALAR_BOOL = Aval((), BOOL)


class Recorder:
    """Records ops on operands of which only shape and dtype are known."""

    def __init__(self, builder: Builder) -> None:
        self.builder = builder
        self.at: Source | None = None
        self.handouts: Any = None
        self._numbers: dict[float, int] = {}

    def tracer(self, slot: int) -> Tracer:
        """A tracer for a slot that exists already."""
        return Tracer(self, slot, None)

    def source(self) -> Source | None:
        """The user's line that is being recorded."""
        return self.at

    def whereabouts(self) -> str:
        """Where the user's code stands, for messages: `` at file:line: `text` ``."""
        return location(self.source())

    # Operands -----------------------------------------------------------------------------------------------

    def lift(self, operand: Any, dtype: np.dtype[Any] | None) -> Tracer:
        """The operand as a tracer of this recording, converted to `dtype`; plain data becomes a constant."""
        if not isinstance(operand, Tracer):
            return self._lift_plain(operand, dtype)
        if operand.recorder is not self:
            raise self._foreign()
        if self.handouts is not None:
            self.handouts.pull()
        if isinstance(operand, View):
            operand.refresh()
        if dtype is None or self.builder.avals[operand.slot].dtype == dtype:
            return operand
        return self.apply(CASTS[dtype], (operand,), {})

    def _foreign(self) -> TraceError:
        return TraceError(
            f"a traced value of another trace was used{self.whereabouts()}: it was kept in a global, a list "
            "or an attribute. Compute it anew inside the function, or return it from there"
        )

    def _lift_plain(self, operand: Any, dtype: np.dtype[Any] | None) -> Tracer:
        if (dtype is None or dtype == FLOAT) and isinstance(operand, (float, int, np.floating, np.integer)):
            return self.number(float(operand))
        if isinstance(operand, (np.ma.MaskedArray, np.matrix)):
            raise TraceError(
                f"a {type(operand).__name__} cannot stand on a tape{self.whereabouts()}: what it adds to a "
                "plain array would be lost; write x.compressed() or np.asarray(x) where you make it"
            )
        if type(operand) is np.ndarray:
            array = operand
        elif holds_traced(operand):
            return self.lift(array_of(operand), dtype)
        else:
            array = self.pandas(operand) if is_pandas(operand) else np.asarray(operand)
        if array.dtype == object:
            return self.lift(self.gather(array), dtype)
        if array.dtype.kind not in "fiub":
            raise TraceError(
                f"{array.dtype} data cannot stand on a tape{self.whereabouts()}: tapegrad computes with real "
                "numbers (float64); convert it first"
            )
        if dtype is None:
            dtype = {"f": FLOAT, "b": BOOL}.get(array.dtype.kind, INT)
        if array.ndim == 0 and dtype == FLOAT:
            return self.number(float(array))
        return self.array(operand, array, dtype)

    def number(self, value: float) -> Tracer:
        """A scalar constant; equal numbers share a slot."""
        slot = self._numbers.get(value)
        if slot is None:
            slot = self.builder.constant(value)
            if value != 0.0:  # 0.0 == -0.0, but 1 / 0.0 != 1 / -0.0
                self._numbers[value] = slot
        return Tracer(self, slot, value)

    def array(self, operand: Any, array: Array, dtype: np.dtype[Any]) -> Tracer:
        """A constant array."""
        fixed = frozen(array, dtype)
        return Tracer(self, self.builder.constant(fixed), fixed)

    def pandas(self, operand: Any) -> Array:
        """A pandas object as an array."""
        return as_array(operand)

    def gather(self, array: Array) -> Any:
        """One array out of an object array of scalars, some of them traced."""
        for item in array.flat:
            if not isinstance(item, (Tracer, Real, np.bool_)):
                raise TraceError(
                    f"{type(item).__name__} is not a number{self.whereabouts()}: traced values go with "
                    "numbers and arrays of numbers"
                )
            if shape_of(item) != ():
                raise TraceError(
                    f"an object array of arrays cannot stand on a tape{self.whereabouts()}: build arrays of "
                    "traced values with np.stack or np.concatenate"
                )
        if not any(isinstance(item, Tracer) for item in array.flat):
            return array.astype(float)
        rows = [reshape(x, shape=(1,)) if isinstance(x, Tracer) else np.array([float(x)]) for x in array.flat]
        return reshape(join(rows, 0), shape=array.shape)

    # Recording ----------------------------------------------------------------------------------------------

    def apply(self, op: Op, args: tuple[Any, ...], attrs: dict[str, Any]) -> Tracer:
        """Record one op."""
        operands = [self.lift(arg, op.takes_at(i)) for i, arg in enumerate(args)]
        inputs = tuple([operand.slot for operand in operands])
        aval, value = self._result(op, operands, attrs)
        slot = self.builder.emit(op, inputs, tuple(attrs.items()), self.source(), aval)
        return Tracer(self, slot, value)

    def _result(self, op: Op, operands: list[Tracer], attrs: dict[str, Any]) -> tuple[Aval, Any]:
        avals = self.builder.avals
        return op.aval([avals[operand.slot] for operand in operands], attrs), None

    # A short way for scalars, which the derivatives of looped code are made of.

    def unary(self, op: Op, operand: Any) -> Tracer:
        """Record an elementwise op of one operand."""
        if op.gives is FLOAT and self._is_scalar(operand):
            return self.tracer(self.builder.emit(op, (operand.slot,), (), self.at, SCALAR))
        return self.apply(op, (operand,), {})

    def binary(self, op: Op, left: Any, right: Any) -> Tracer:
        """Record an elementwise op of two operands."""
        if op.gives is FLOAT and self._is_scalar(left) and self._is_scalar(right):
            return self.tracer(self.builder.emit(op, (left.slot, right.slot), (), self.at, SCALAR))
        return self.apply(op, (left, right), {})

    def _is_scalar(self, operand: Any) -> bool:
        is_own = type(operand) is Tracer and operand.recorder is self
        return is_own and self.builder.avals[operand.slot] is SCALAR

    @staticmethod
    def share(func: Any, args: Any, kwargs: dict[str, Any], result: Any, again: Callable[[], Any]) -> Any:
        """A NumPy function's result: nothing that is written to is known by its shape alone."""
        return result

    def hand_out(self, tracer: Tracer, dtype: Any, copy: Any) -> Array:
        """The plain array that NumPy asks a tracer for."""
        raise TraceError(f"a derivative rule asked for plain numbers{self.whereabouts()}")

    def written(self) -> None:
        """A tracer has been written to."""

    def decide(self, tracer: Tracer) -> Any:
        """The value of a tracer that Python decides on."""
        raise TraceError(f"a derivative rule decided on a traced value{self.whereabouts()}")


class LiveRecorder(Recorder):
    """Records while the user's function runs; tracers carry values."""

    def __init__(self, builder: Builder) -> None:
        super().__init__(builder)
        self.dataframes: list[tuple[Any, str | None]] = []
        self.watch: Watch | None = None
        self._arrays: dict[int, Tracer] = {}
        self._seen: list[Any] = []
        self._lines: dict[int, dict[int, Source] | None] = {}
        self._codes: list[CodeType] = []
        self._guarded: set[int] = set()

    # Where the user's code stands ---------------------------------------------------------------------------

    def source(self) -> Source | None:
        """The innermost line outside the library."""
        return self._source_at(sys._getframe(1))

    def _source_at(self, frame: FrameType | None) -> Source | None:
        while frame is not None:
            code = frame.f_code
            try:
                lines = self._lines[id(code)]
            except KeyError:
                lines = self._lines[id(code)] = {} if is_users(frame) else None
                self._codes.append(code)  # so that no other code object gets this id
            if lines is not None:
                line = frame.f_lineno
                source = lines.get(line)
                if source is None:
                    source = lines[line] = Source(code.co_filename, line)
                return source
            frame = frame.f_back
        return None

    def whereabouts(self) -> str:
        """Where the user's code stands, for messages: `` at file:line: `text` ``."""
        frame = user_frame(sys._getframe(1))
        return "" if frame is None else location(spot_at(frame))

    def close(self) -> None:
        """The trace is over: whoever still holds a tracer of it shall hear so."""
        self.__class__ = Closed

    # Recording ----------------------------------------------------------------------------------------------

    def array(self, operand: Any, array: Array, dtype: np.dtype[Any]) -> Tracer:
        """A constant array; one that is used twice is copied once, as long as it has not changed between."""
        known = self._arrays.get(id(operand))
        if known is not None and _is_still(known.value, array, dtype):
            return known
        tracer = super().array(operand, array, dtype)
        self._arrays[id(operand)] = tracer
        self._seen.append(operand)  # so that no other array gets this id
        label = _name_of(operand)
        if label is not None:
            self.builder.labels[tracer.slot] = label
        return tracer

    def pandas(self, operand: Any) -> Array:
        """A pandas object as an array; that it was one is remembered."""
        self.dataframes.append((operand, _name_of(operand)))
        return as_array(operand)

    def apply(self, op: Op, args: tuple[Any, ...], attrs: dict[str, Any]) -> Tracer:
        """Record one op; what NumPy gives as a view of an array becomes one here."""
        result: Tracer = super().apply(op, args, attrs)
        if self.watch is not None and op.is_elementwise and not result.shape:
            self.watch.see(sys._getframe(1))
        of = op.view_of(attrs)
        if of is None or not isinstance(args[of], Tracer):
            return result
        return view_of(args[of], result, op, attrs)

    def _result(self, op: Op, operands: list[Tracer], attrs: dict[str, Any]) -> tuple[Aval, Any]:
        value = tidy_value(op.kernel(*[operand.value for operand in operands], **attrs))
        return aval_of(value), value

    share = staticmethod(share)

    def hand_out(self, tracer: Tracer, dtype: Any, copy: Any) -> Array:
        """The plain array that NumPy asks for: guarded values, or traced elements of a float array."""
        if tracer.dtype == FLOAT and dtype not in (None, object):
            raise plain_value_wanted(self.source())
        if tracer.dtype == FLOAT and self.watch is None:
            self.watch = Watch(spot_of_user())
        is_own = bool(copy) or dtype not in (None, tracer.dtype) or not (tracer.shape or tracer.is_view)
        if not is_own:
            self.handouts = self.handouts or Handouts(self)
            held: Array = self.handouts.give(tracer)
            return held
        elements = contents(tracer)
        return elements if dtype is None else elements.astype(dtype)

    def written(self) -> None:
        """A tracer has been written to: those who hold plain arrays in its memory shall see it."""
        if self.handouts is not None:
            self.handouts.push()

    # Two short ways for scalars, which are what looped code is made of. `settled` is for the other operands:
    # it minds the whole numbers and truth values among them.

    def unary(self, op: Op, operand: Any) -> Tracer:
        """Record an elementwise op of one operand."""
        is_own = type(operand) is Tracer and operand.recorder is self
        x = operand.value if is_own else None
        if type(x) is not float or op.scalar is None:
            result: Tracer = settled(op.kernel, (operand,), self.apply(op, (operand,), {}))
            return result
        try:
            value = op.scalar(x)
        except (ArithmeticError, ValueError):
            return self.apply(op, (operand,), {})
        return self._scalar(op, (operand.slot,), value)

    def binary(self, op: Op, left: Any, right: Any) -> Tracer:
        """Record an elementwise op of two operands."""
        x = left.value if type(left) is Tracer else left
        y = right.value if type(right) is Tracer else right
        if type(x) not in _FLOATS or type(y) not in _FLOATS or op.scalar is None:
            result: Tracer = settled(op.kernel, (left, right), self.apply(op, (left, right), {}))
            return result
        try:
            value = op.scalar(x, y)
        except (ArithmeticError, ValueError):
            return self.apply(op, (left, right), {})
        if type(left) is not Tracer or left.recorder is not self:
            left = self.lift(left, FLOAT)
        if type(right) is not Tracer or right.recorder is not self:
            right = self.lift(right, FLOAT)
        return self._scalar(op, (left.slot, right.slot), value)

    def _scalar(self, op: Op, inputs: tuple[int, ...], value: Any) -> Tracer:
        if op.gives is FLOAT:
            aval = SCALAR
            value = float(value)  # NumPy's scalars are floats too, but slow ones
        else:
            aval = _SCALAR_BOOL
            value = np.asarray(value)
        if self.watch is not None:
            self.watch.see(sys._getframe(3))
        source = self._source_at(sys._getframe(3))  # past this frame, its caller and the operator's method
        return Tracer(self, self.builder.emit(op, inputs, (), source, aval), value)

    def decide(self, tracer: Tracer) -> Any:
        """The value of a tracer that Python decides on: a guard holds the tape to it."""
        tracer = self.lift(tracer, None)
        if tracer.slot not in self._guarded:
            self._guarded.add(tracer.slot)
            self.builder.guards.append(Guard(tracer.slot, _outcome(tracer.value), self.source()))
        return tracer.value


class Closed(LiveRecorder):
    """A recorder whose trace is over."""

    def _over(self, *args: Any, **kwargs: Any) -> Any:
        raise self._foreign()

    lift = apply = unary = binary = decide = _over


_FLOATS = frozenset((float, np.float64, int))


def _is_still(copy: Array, array: Array, dtype: np.dtype[Any]) -> bool:
    return copy.dtype == dtype and np.array_equal(copy, array, equal_nan=dtype == FLOAT)


def tidy_value(value: Any) -> Any:
    """A float64 scalar as a Python float; any other value as an array."""
    array = np.asarray(value)
    return float(array) if array.ndim == 0 and array.dtype == FLOAT else array


def frozen(array: Array, dtype: np.dtype[Any]) -> Array:
    """The array if nobody can write to it, and otherwise a read-only copy: later changes shall not matter."""
    is_contiguous = array.flags.c_contiguous or array.flags.f_contiguous
    if array.dtype == dtype and is_contiguous and _is_read_only(array):
        return array
    copy = np.array(array, dtype=dtype)
    copy.flags.writeable = False
    return copy


def _is_read_only(array: Any) -> bool:
    """Whether neither this array nor one whose memory it shares can be written to."""
    while isinstance(array, np.ndarray):
        if array.flags.writeable:
            return False
        array = array.base
    return array is None


def _outcome(outcome: Any) -> Any:
    """A guard's outcome: a Python scalar or a read-only array."""
    if np.ndim(outcome) == 0:
        return np.asarray(outcome).item()
    array = np.array(outcome)
    array.flags.writeable = False
    return array


def _name_of(array: Any) -> str | None:
    """The user's name for an array, looked up where it is used."""
    frame = user_frame(sys._getframe(2))
    if frame is None:
        return None
    for scope in (frame.f_locals, frame.f_globals):
        for name, value in scope.items():
            if value is array and not name.startswith("_"):
                return name
    return None
