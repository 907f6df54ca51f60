"""The recorder of a live trace: it runs the user's function on tracers that carry values.

So ordinary Python can decide on them, and what it decides is recorded as guards.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from numbers import Real
from typing import Any, NamedTuple

import numpy as np

from tapegrad.errors import TraceError
from tapegrad.ops.indexing import join
from tapegrad.ops.matrices import is_sparse
from tapegrad.ops.registry import BOOL, FLOAT, Attrs, Aval, Op
from tapegrad.ops.shaping import reshape, shape_of
from tapegrad.recording import dispatch
from tapegrad.recording.buffers import Buffer, traced_memory, unbuffered
from tapegrad.recording.dataframes import as_array, is_pandas
from tapegrad.recording.frames import Lines, here, variable_of, whereabouts
from tapegrad.recording.handouts import Handouts, contents
from tapegrad.recording.lent import Wanted, target_of
from tapegrad.recording.messages import plain_value_wanted, sparse_operand
from tapegrad.recording.naming import name_of
from tapegrad.recording.posing import Posing
from tapegrad.recording.recorder import Recorder
from tapegrad.recording.sharing import view_of
from tapegrad.recording.symbol import OthersToAnswer
from tapegrad.recording.tracer import Tracer
from tapegrad.recording.unrolling import Watch
from tapegrad.recording.values import Array, frozen, is_still, outcome_of, tidy_value
from tapegrad.recording.view import View
from tapegrad.tape.builder import Builder
from tapegrad.tape.line import Source
from tapegrad.tape.tape import SCALAR, Guard, aval_of

# Behind whoever appends an entry: the method that records it, and the operator or function that was called.
_CALLERS = 4
_FLOATS = frozenset((float, np.float64, int))
_SCALAR_BOOL = Aval((), BOOL)


class Asked(NamedTuple):
    """What code has asked of traced values in vain, and may be given at another trace.

    Attributes
    ----------
    floats : list of (dict, str)
        The names in code that has asked for a float, and the global names that they may be looked up in.
    arrays : Wanted
        Plain arrays that were to hold traced values.
    """

    floats: list[tuple[dict[str, Any], str]]
    arrays: Wanted


class LiveRecorder(Recorder):
    """Records while the user's function runs; tracers carry values.

    Attributes
    ----------
    is_over : bool
        Whether the function has returned. Whoever still holds a tracer of the trace then cannot use it.
    dataframes : list of (pandas object, str or None)
        Those that have met traced values, under the names of their variables.
    steps : list of callable
        Steps of loops, which have been recorded once for all iterations.
    watch : Watch or None
        Looks for operations recorded number by number, once there is a plain array of traced numbers.
    handouts : Handouts or None
        The plain arrays in the memory of traced ones, once there is one.
    inner : LiveRecorder or None
        Records a step of a loop while it runs, see `tapegrad.recording.nested`: what is done with traced
        values then belongs to the step.
    has_buffers : bool
        Whether traced values have been written into plain arrays.
    seen : list
        Arrays that stand on the tape, held so that no others get their addresses.
    asked : Asked
        What code has asked of traced values in vain.
    decided : sequence
        How the first decisions are to fall, whatever the values are: of data in pieces, those traced on may
        decide otherwise than all.
    is_led : bool
        Whether a decision has fallen otherwise than its value says.
    """

    is_step = False
    posing: Posing | None = None

    def __init__(self, builder: Builder, asked: Asked | None = None, decided: Sequence[Any] = ()) -> None:
        super().__init__(builder)
        self.decided = decided
        self.is_led = False
        self.asked = asked or Asked([], Wanted())
        self.is_over = False
        self.dataframes: list[tuple[Any, str | None]] = []
        self.steps: list[Callable[..., Any]] = []
        self.watch: Watch | None = None
        self.handouts: Handouts | None = None
        self.inner: LiveRecorder | None = None
        self.has_buffers = False
        self._lines = Lines()
        self._arrays: dict[int, Tracer] = {}
        self.seen: list[Any] = []
        self._guarded: dict[int, Any] = {}

    def close(self) -> None:
        """The trace is over: whoever still holds a tracer of it shall hear so."""
        self.is_over = True

    @contextmanager
    def running(self) -> Iterator[None]:
        """While the user's code runs in this trace."""
        token = _RUNNING.set(self)
        try:
            yield
        finally:
            _RUNNING.reset(token)

    def symbol(self, slot: int, value: Any = None) -> Tracer:
        """A tracer for a slot that exists already."""
        return Tracer(self, slot, value)

    def whereabouts(self) -> str:
        """Where the user's code stands, for messages: `` at file:line: `text` ``."""
        return whereabouts()

    # Operands -----------------------------------------------------------------------------------------------

    def lift(self, operand: Any, dtype: np.dtype[Any] | None) -> Tracer:
        """The operand as a tracer of this trace, or of the step being recorded, converted to `dtype`."""
        return self.own(operand, dtype) if self.inner is None else self.inner.lift(operand, dtype)

    def own(self, operand: Any, dtype: np.dtype[Any] | None) -> Tracer:
        """The operand as a tracer of this trace, as it is now, converted to `dtype`."""
        if self.is_over:
            raise self.foreign()
        if self.has_buffers and isinstance(operand, np.ndarray):
            operand = _current(operand)
        if isinstance(operand, Tracer):
            if operand.recorder is not self:
                operand = self.from_around(operand)
            elif self.handouts is not None or isinstance(operand, View):
                self._brought_up_to_date(operand)
        lifted: Tracer = super().lift(operand, dtype)
        return lifted

    def innermost(self) -> LiveRecorder:
        """The recorder of the innermost step that is being recorded, or this one."""
        return self if self.inner is None else self.inner.innermost()

    def from_around(self, operand: Tracer) -> Tracer:
        """A tracer of another recorder as one of this trace, if it can be one."""
        raise operand.recorder.foreign()

    @contextmanager
    def by_itself(self) -> Iterator[None]:
        """While what is done with traced values belongs here, and not to a step that is being recorded."""
        inner, self.inner = self.inner, None
        try:
            yield
        finally:
            self.inner = inner

    def _brought_up_to_date(self, operand: Tracer) -> None:
        with self.by_itself():
            if self.handouts is not None:
                self.handouts.pull()
            if isinstance(operand, View):
                operand.refresh()

    def lift_plain(self, operand: Any, dtype: np.dtype[Any] | None) -> Any:
        """What the user's code brings: numbers and arrays, lists and object arrays of traced values."""
        if isinstance(operand, (np.ma.MaskedArray, np.matrix)):
            raise TraceError(
                f"a {type(operand).__name__} cannot stand on a tape{whereabouts()}: what it adds to a "
                "plain array would be lost; write x.compressed() or np.asarray(x) where you make it"
            )
        if type(operand) is np.ndarray:
            array = operand
        elif dispatch.holds_traced(operand):
            return self.lift(dispatch.array_of(operand), dtype)
        elif is_sparse(operand):
            raise OthersToAnswer(sparse_operand(operand))
        else:
            array = self._of_pandas(operand) if is_pandas(operand) else np.asarray(operand)
        if array.dtype == object:
            return self.lift(_gathered(array), dtype)
        if array.dtype.kind not in "fiub":
            raise TraceError(
                f"{array.dtype} data cannot stand on a tape{whereabouts()}: tapegrad computes with real "
                "numbers (float64); write real and imaginary part by themselves, or convert it first"
            )
        return self.constant(operand, array, dtype)

    def array(self, operand: Any, array: Array, dtype: np.dtype[Any]) -> Tracer:
        """A constant array; one that is used twice is copied once, as long as it has not changed between."""
        known = self._arrays.get(id(operand))
        if known is not None and is_still(known.held, array, dtype):
            return known
        tracer: Tracer = super().array(operand, array, dtype)
        self._arrays[id(operand)] = tracer
        self.seen.append(operand)  # so that no other array gets this id
        label = name_of(operand, array)
        if label is not None:
            self.builder.labels[tracer.slot] = label
        return tracer

    def _of_pandas(self, operand: Any) -> Array:
        """A pandas object as an array; that it was one is remembered."""
        self.dataframes.append((operand, variable_of(operand)))
        return as_array(operand)

    # Recording ----------------------------------------------------------------------------------------------

    def apply(self, op: Op, args: tuple[Any, ...], attrs: dict[str, Any]) -> Tracer:
        """Record one op; what NumPy gives as a view of an array becomes one here."""
        if self.inner is not None:
            return self.inner.apply(op, args, attrs)
        operands = [self.own(arg, op.takes_at(i)) for i, arg in enumerate(args)]
        value = tidy_value(op.kernel(*[operand.held for operand in operands], **attrs))
        inputs = tuple([operand.slot for operand in operands])
        result = self._append(op, inputs, tuple(attrs.items()), aval_of(value), value)
        of = op.view_of(attrs)
        if of is None or not isinstance(args[of], Tracer):
            return result
        return view_of(args[of], result, op, attrs)

    @contextmanager
    def at_line(self, source: Source | None) -> Iterator[None]:
        """While what is recorded belongs to the line `source`, wherever the user's code stands."""
        self.at = source
        try:
            yield
        finally:
            self.at = None

    # Two short ways for floats, which are what looped code is made of: there are no shapes to compute, and no
    # whole numbers or truth values to mind, as `settled` does.

    def unary(self, op: Op, operand: Any) -> Any:
        """Record an elementwise op of one operand."""
        if type(operand) is not Tracer or type(operand.held) is not float or operand.recorder is not self:
            return dispatch.settled(op.kernel, (operand,), self.apply(op, (operand,), {}))
        scalar, x = op.scalar, operand.held
        try:
            if scalar is not None:
                value = scalar(x)
            elif _is_of_floats(op):
                value = op.kernel(x)
            else:
                return self.apply(op, (operand,), {})
        except (ArithmeticError, ValueError):
            return self.apply(op, (operand,), {})
        if op.gives is FLOAT:
            value = value if type(value) is float else float(value)
            return self._append(op, (operand.slot,), (), SCALAR, value)
        return self._append(op, (operand.slot,), (), _SCALAR_BOOL, np.asarray(value))

    def binary(self, op: Op, left: Any, right: Any) -> Any:
        """Record an elementwise op of two operands."""
        x = left.held if type(left) is Tracer and left.recorder is self else left
        y = right.held if type(right) is Tracer and right.recorder is self else right
        kind, other = type(x), type(y)
        if not ((kind is float or kind in _FLOATS) and (other is float or other in _FLOATS)):
            if _goes_first(x) or _goes_first(y):
                return NotImplemented
            return dispatch.settled(op.kernel, (left, right), self.apply(op, (left, right), {}))
        scalar = op.scalar
        try:
            if scalar is not None:
                value = scalar(x, y)
            elif _is_of_floats(op):
                value = op.kernel(float(x), float(y))
            else:
                return self.apply(op, (left, right), {})
        except (ArithmeticError, ValueError):
            return self.apply(op, (left, right), {})
        first = left.slot if x is not left else self.number_slot(float(x))
        second = right.slot if y is not right else self.number_slot(float(y))
        if op.gives is FLOAT:
            value = value if type(value) is float else float(value)
            return self._append(op, (first, second), (), SCALAR, value)
        return self._append(op, (first, second), (), _SCALAR_BOOL, np.asarray(value))

    def _append(self, op: Op, inputs: tuple[int, ...], attrs: Attrs, aval: Aval, value: Any) -> Tracer:
        """Every entry of the trace is written here."""
        if self.is_over:
            raise self.foreign()
        if self.watch is not None and op.is_elementwise and not aval.shape:
            self.watch.see()
        source = self.at or self._lines.current(_CALLERS)
        return Tracer(self, self.builder.emit(op, inputs, attrs, source, aval), value)

    # What tracers ask ---------------------------------------------------------------------------------------

    def decide(self, tracer: Tracer) -> Any:
        """The value of a tracer that Python decides on: a guard holds the tape to it."""
        tracer = self.own(tracer, None)
        if tracer.slot not in self._guarded:
            value = self._guarded[tracer.slot] = self._led(tracer)
            self.builder.guards.append(Guard(tracer.slot, outcome_of(value), self._lines.current()))
        return self._guarded[tracer.slot]

    def _led(self, tracer: Tracer) -> Any:
        """How the next decision falls: as the value says, or as it has been decided."""
        place = len(self.builder.guards)
        if place >= len(self.decided) or np.shape(self.decided[place]) != tracer.shape:
            return tracer.held
        value = tidy_value(frozen(np.asarray(self.decided[place]), tracer.dtype))
        self.is_led |= not np.array_equal(value, tracer.held, equal_nan=tracer.dtype == FLOAT)
        return value

    def call_ufunc(
        self, ufunc: np.ufunc, method: str, inputs: tuple[Any, ...], out: Any, kwargs: dict[str, Any]
    ) -> Any:
        """A ufunc, or one of its methods, of operands some of which are traced."""
        if self.has_buffers:
            inputs, kwargs = unbuffered(inputs), unbuffered(kwargs)
        return dispatch.call_ufunc(self.innermost(), ufunc, method, inputs, out, kwargs)

    def call_function(self, func: Callable[..., Any], args: Any, kwargs: dict[str, Any]) -> Any:
        """A NumPy function of operands some of which are traced."""
        if self.has_buffers:
            args, kwargs = unbuffered(args), unbuffered(kwargs)
        return dispatch.call_function(self.innermost(), func, args, kwargs)

    def hand_out(self, tracer: Tracer, dtype: Any, copy: Any) -> Array:
        """The plain array that NumPy asks for: guarded values, or traced elements of a float array."""
        if self.is_over:
            raise self.foreign()
        if tracer.dtype == FLOAT and dtype is not None and not np.dtype(dtype).hasobject:
            frame = sys._getframe(2)
            self.asked.arrays.add(target_of(frame), frame)
            raise plain_value_wanted()
        if tracer.dtype == FLOAT and self.watch is None:
            self.watch = Watch(here())
        is_own = (
            bool(copy)
            or (dtype is not None and dtype != tracer.dtype)
            or not (tracer.shape or tracer.is_view)
        )
        if not is_own:
            self.handouts = self.handouts or Handouts(self)
            held: Array = self.handouts.give(tracer)
            return held
        elements = contents(tracer)
        return elements if dtype is None else elements.astype(dtype)

    def float_wanted(self) -> TraceError:
        """The error for code that wants a float of a traced value; who calls `float` by its name is noted."""
        if self.is_over:
            return self.foreign()
        frame = sys._getframe(3)
        self.asked.floats.extend((frame.f_globals, name) for name in frame.f_code.co_names)
        self.asked.arrays.add(target_of(frame), frame)
        return plain_value_wanted()

    def written(self) -> None:
        """A tracer has been written to: those who hold plain arrays in its memory shall see it."""
        if self.inner is not None:
            raise TraceError(
                f"a step of {self.inner.builder.name} writes to an array from around it{whereabouts()}: hand "
                "the array on as part of the carry, or return what is written as the step's result"
            )
        if self.handouts is not None:
            self.handouts.push()


_RUNNING: ContextVar[LiveRecorder | None] = ContextVar("running", default=None)


def running() -> LiveRecorder | None:
    """The recorder of the trace, or of the step of a loop, that the user's code runs in."""
    return _RUNNING.get()


def _current(array: Array) -> Any:
    """An array, or the traced array that stands in its memory by now."""
    found = array.recorded if type(array) is Buffer else traced_memory(array)
    return array if found is None else found


def _goes_first(operand: Any) -> bool:
    """Whether an operand holds traced values itself: autograd's boxes, in what packages differentiate."""
    return type(operand).__module__.startswith("autograd.")


@cache
def _is_of_floats(op: Op) -> bool:
    """Whether the kernel of an op takes floats, each to its own element of floats or truth values."""
    return op.is_elementwise and set(op.takes) == {FLOAT} and op.gives in (FLOAT, BOOL)


def _gathered(array: Array) -> Any:
    """One array out of an object array of scalars, some of them traced."""
    for item in array.flat:
        if not isinstance(item, (Tracer, Real, np.bool_)):
            raise TraceError(
                f"{type(item).__name__} is not a number{whereabouts()}: traced values go with "
                "numbers and arrays of numbers"
            )
        if shape_of(item) != ():
            raise TraceError(
                f"an object array of arrays cannot stand on a tape{whereabouts()}: build arrays of "
                "traced values with np.stack or np.concatenate"
            )
    if not any(isinstance(item, Tracer) for item in array.flat):
        return array.astype(float)
    rows = [reshape(x, shape=(1,)) if isinstance(x, Tracer) else np.array([float(x)]) for x in array.flat]
    return reshape(join(rows, 0), shape=array.shape)
