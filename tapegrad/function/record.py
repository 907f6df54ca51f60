"""One call of the user's function: on tracers, which gives a tape, or on plain numbers."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from numbers import Real
from typing import Any, NamedTuple

import numpy as np

from tapegrad.errors import ReplayError, TraceError
from tapegrad.nest import Structure, Vector, call, scan
from tapegrad.ops.registry import FLOAT, Aval
from tapegrad.recording.current import running
from tapegrad.recording.frames import Spot, is_own_code, is_users, place_of_error, spot_in, steps_of
from tapegrad.recording.lent import Wanted, lent
from tapegrad.recording.live import Asked, LiveRecorder
from tapegrad.recording.messages import foreign_step
from tapegrad.recording.posed import PosedRecorder
from tapegrad.recording.posing import Posing
from tapegrad.recording.standins.mechanism import float_in, in_force
from tapegrad.recording.standins.tables import ALL
from tapegrad.recording.tracer import Tracer
from tapegrad.recording.values import frozen, numbers, tidy_value
from tapegrad.tape.builder import Builder
from tapegrad.tape.tape import Tape

_NO_LIKE = (
    "A scalar parameter is no array: write np.stack([a, b]) for np.array([a, b], like=a), and "
    "np.block([[a, 0.5], [0.5, b]]) for nested lists."
)


class Recorded(NamedTuple):
    """A fresh tape, with what the function returned.

    Attributes
    ----------
    tape : Tape
    data : dict of int to array
        The value of each data slot.
    outputs : Structure
        The structure of what the function returned.
    values : list
        The values of the outputs, as the tracers had them.
    """

    tape: Tape
    data: dict[int, Any]
    outputs: Structure
    values: list[Any]
    dataframes: Sequence[tuple[Any, str | None]] = ()  # pandas objects that met traced values
    steps: Sequence[Callable[..., Any]] = ()  # of loops, recorded once for all iterations
    unrolled: str | None = None  # what to say of an operation that is recorded number by number
    is_led: bool = False  # whether a decision has fallen otherwise than the data say


def record(
    f: Callable[..., Any],
    structure: Structure,
    vector: Vector,
    data: Mapping[str, Any],
    decided: Sequence[Any] = (),
    posing: Posing | None = None,
) -> Recorded:
    """Trace `f` at the parameters `vector`; its first decisions fall as they are `decided`.

    With `posing`, it is told of other numbers of rows.

    Where a module asks a traced value for a float, the function is traced once more, with a stand-in for
    `float` in that module; where a plain array from outside shall hold one, with a buffer for the array.
    """
    wanted = Wanted()
    while True:
        asked = Asked([], Wanted())
        found, failed = None, None
        try:
            with lent(wanted):
                found = _recorded(f, structure, vector, data, asked, decided, posing)
        except Exception as error:
            failed = error
        changes = [float_in(*where) for where in asked.floats]
        lends_more = failed is not None and wanted.take(asked.arrays)
        if not any(changes) and not lends_more:
            break
        plain_call(f, structure, vector, data)  # what the function keeps must not be of the trace that failed
    if found is None:
        assert failed is not None
        raise failed
    return found


def _recorded(
    f: Callable[..., Any],
    structure: Structure,
    vector: Vector,
    data: Mapping[str, Any],
    asked: Asked,
    decided: Sequence[Any],
    posing: Posing | None,
) -> Recorded:
    """The same, once. What was asked of traced values in vain is added to `asked`."""
    builder = Builder(getattr(f, "__name__", type(f).__name__).replace("<lambda>", "f"))
    recorder = (
        LiveRecorder(builder, asked, decided) if posing is None else PosedRecorder(builder, asked, posing)
    )
    leaves = []
    for leaf in structure.leaves:
        slot = builder.parameter(Aval(leaf.shape, FLOAT))
        builder.labels[slot] = leaf.label
        value = vector[leaf.place].reshape(leaf.shape)
        leaves.append(Tracer(recorder, slot, tidy_value(value.copy())))
    values: dict[int, Any] = {}
    bound: dict[str, Tracer] = {}
    for label, given in data.items():
        value = data_array(label, given)
        slot = builder.datum(Aval(np.shape(value), np.asarray(value).dtype))
        builder.labels[slot] = label
        values[slot] = value
        bound[label] = Tracer(recorder, slot, value)
    failed: Exception | None = None
    try:
        with np.errstate(all="ignore"), in_force(recorder, ALL, _globals_of(f)), recorder.running():
            result = call(f, structure.build(leaves), bound)
            outputs, found = scan(result, "output", lambda node, label: _output(recorder, node, f))
    except Exception as error:
        failed = error
    finally:
        recorder.close()
    if failed is not None:  # outside the handler, so that the user's own error comes without a context
        raise failed if posing is not None else _most_telling(failed, f, structure, vector, data)
    unrolled = recorder.watch is not None and recorder.watch.told(builder.name)
    return Recorded(
        builder.finish(tracer.slot for tracer in found),
        values,
        outputs,
        [tracer.held for tracer in found],
        recorder.dataframes,
        recorder.steps,
        unrolled or None,
        recorder.is_led,
    )


def data_array(label: str, given: Any) -> Any:
    """A data argument as a read-only float64, int64 or bool array (a float, if it is a float scalar)."""
    array = numbers(label, given)
    return tidy_value(frozen(array, array.dtype))


def data_value(tape: Tape, slot: int, data: Mapping[str, Any]) -> Any:
    """The new value of a data slot, checked against its shape and dtype."""
    label = dict(tape.labels)[slot]
    value, aval = data_array(label, data[label]), tape.avals[slot]
    if np.shape(value) != aval.shape or np.asarray(value).dtype != aval.dtype:
        raise ValueError(
            f"data {label} must have shape {aval.shape} and dtype {aval.dtype}, not {np.shape(value)} and "
            f"{np.asarray(value).dtype}; trace anew for data of another size"
        )
    return value


def plain_call(f: Callable[..., Any], structure: Structure, vector: Vector, data: Mapping[str, Any]) -> Any:
    """Call `f` as its author would, on NumPy scalars and fresh arrays."""
    leaves = [vector[leaf.place].reshape(leaf.shape).copy()[()] for leaf in structure.leaves]
    arrays = {label: np.array(data_array(label, value))[()] for label, value in data.items()}
    with np.errstate(all="ignore"), running(None):
        try:
            return call(f, structure.build(leaves), arrays)
        except TypeError as error:
            if "`like` argument" in str(error):
                error.add_note(_NO_LIKE)
            raise


def _output(recorder: LiveRecorder, result: Any, f: Callable[..., Any]) -> Tracer:
    if not isinstance(result, (Tracer, Real)):
        array = np.asarray(result)
        # Of objects, only arrays of them: the elements are looked at when they are put together.
        fits = array.dtype.kind in "fiub" or (array.dtype == object and array.ndim > 0)
        if not fits or isinstance(result, np.ma.MaskedArray):
            what = "nothing" if result is None else f"a {type(result).__name__}"
            raise TraceError(
                f"{definition(f)} returned {what}; expected numbers or arrays, or a nest of them"
            )
    return recorder.lift(result, FLOAT)


def _globals_of(f: Callable[..., Any]) -> dict[str, Any] | None:
    """The global names of the code of a function."""
    inner = inspect.unwrap(getattr(f, "func", f))
    found = getattr(inner, "__globals__", None) or getattr(type(inner).__call__, "__globals__", None)
    return found if isinstance(found, dict) else None


def definition(f: Callable[..., Any]) -> str:
    """A function's name, and where it is written: "name (file:line)"."""
    inner = inspect.unwrap(getattr(f, "func", f))  # a functools.partial holds it in `func`
    code = getattr(inner, "__code__", None) or getattr(type(inner).__call__, "__code__", None)
    name = getattr(f, "__name__", type(f).__name__)
    return name if code is None else f"{name} ({code.co_filename}:{code.co_firstlineno})"


def _most_telling(
    error: Exception, f: Callable[..., Any], structure: Structure, vector: Vector, data: Mapping[str, Any]
) -> Exception:
    """The error to raise for one that `f` raised on tracers; the user's own if plain numbers fail too."""
    # NumPy hides our error behind its own ("setting an array element with a sequence").
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, TraceError):
            cause.__suppress_context__ = True
            return cause
        cause = cause.__cause__ or cause.__context__
    plain_call(f, structure, vector, data)
    told = foreign_step(error, *place_of_error(error))
    told.__cause__ = error
    return told


def line_that_raised(error: Exception) -> Spot | None:
    """The user's line that raised an exception when the function was called on plain numbers.

    None for an exception that came about in any other way, in tapegrad itself above all.
    """
    if isinstance(error, (TraceError, ReplayError)):
        return None
    plain, line = False, None
    for step in steps_of(error):
        code = step.tb_frame.f_code
        if code is plain_call.__code__:
            plain = True
        elif plain and is_users(step.tb_frame):
            line = spot_in(step)
        elif is_own_code(code):  # called by the user's
            line = None
    return line
