"""Running the user's function on tracers, and checking the tape against a plain call."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from numbers import Real
from typing import Any, NamedTuple

import numpy as np

from tapegrad.backends.replay import evaluate, holds
from tapegrad.builder import Builder
from tapegrad.errors import ReplayError, TraceError
from tapegrad.ops.registry import BOOL, FLOAT, INT, Aval
from tapegrad.tape import Source, Tape
from tapegrad.tracing.frames import is_own_code, is_user_code, library_of, location
from tapegrad.tracing.messages import foreign_step
from tapegrad.tracing.params import Structure, Vector, call, scan
from tapegrad.tracing.recorder import LiveRecorder, frozen, tidy_value
from tapegrad.tracing.tracer import Tracer

# A replay computes what the plain call computes with the same kernels; passes may move the last digits.
RTOL, ATOL = 1e-7, 1e-10


class Recorded(NamedTuple):
    """A fresh tape, the value of each of its data slots, and the structure of what the function returned."""

    tape: Tape
    data: dict[int, Any]
    outputs: Structure


def record(f: Callable[..., Any], structure: Structure, vector: Vector, data: Mapping[str, Any]) -> Recorded:
    """Trace `f` at the parameters `vector`."""
    builder = Builder(getattr(f, "__name__", type(f).__name__).replace("<lambda>", "f"))
    recorder = LiveRecorder(builder)
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
        with np.errstate(all="ignore"):
            result = call(f, structure.build(leaves), bound)
            outputs, found = scan(result, "output", lambda node, label: _output(recorder, node, f))
    except Exception as error:
        failed = error
    finally:
        recorder.close()
    if failed is not None:  # outside the handler, so that the user's own error comes without a context
        raise _most_telling(failed, f, structure, vector, data)
    return Recorded(builder.finish(tracer.slot for tracer in found), values, outputs)


def data_array(label: str, given: Any) -> Any:
    """A data argument as a read-only float64, int64 or bool array (a float, if it is a float scalar)."""
    array = np.asarray(given)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"data {label} must be real numbers, not {array.dtype}")
    return tidy_value(frozen(array, {"f": FLOAT, "b": BOOL}.get(array.dtype.kind, INT)))


def plain_call(f: Callable[..., Any], structure: Structure, vector: Vector, data: Mapping[str, Any]) -> Any:
    """Call `f` as its author would, on NumPy scalars and fresh arrays."""
    leaves = [vector[leaf.place].reshape(leaf.shape).copy()[()] for leaf in structure.leaves]
    arrays = {label: np.array(data_array(label, value))[()] for label, value in data.items()}
    with np.errstate(all="ignore"):
        try:
            return call(f, structure.build(leaves), arrays)
        except TypeError as error:
            if "`like` argument" in str(error):
                error.add_note("A scalar parameter is no array: collect values in a list and np.stack them.")
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
    told = foreign_step(error, *_place(error))
    told.__cause__ = error
    return told


def _place(error: Exception) -> tuple[Source | None, str | None]:
    """The innermost of the user's lines in a traceback, and the library that it called."""
    line: Source | None = None
    library: str | None = None
    traceback = error.__traceback__
    while traceback is not None:
        code = traceback.tb_frame.f_code
        if is_user_code(code):
            line, library = Source(code.co_filename, traceback.tb_lineno), None
        else:
            library = library or library_of(code)
        traceback = traceback.tb_next
    return line, library


def line_that_raised(error: Exception) -> Source | None:
    """The user's line that raised an exception when the function was called on plain numbers.

    None for an exception that came about in any other way, in tapegrad itself above all.
    """
    plain, line = False, None
    traceback = None if isinstance(error, (TraceError, ReplayError)) else error.__traceback__
    while traceback is not None:
        code = traceback.tb_frame.f_code
        if code is plain_call.__code__:
            plain = True
        elif plain and is_user_code(code):
            line = Source(code.co_filename, traceback.tb_lineno)
        elif is_own_code(code):  # called by the user's
            line = None
        traceback = traceback.tb_next
    return line


def check_against_plain(
    f: Callable[..., Any],
    structure: Structure,
    vector: Vector,
    data: Mapping[str, Any],
    recorded: Recorded,
    values: Sequence[Any],
) -> None:
    """Compare the tape's replay with a plain call of `f`: at the parameters of the trace, and near them.

    At the parameters of the trace alone a difference may hide: what is multiplied by a start value of zero
    does not show.

    Raises
    ------
    ReplayError
        If they differ. Where a second trace differs from the first, the message names the line.
    """
    _compare(f, structure, vector, data, recorded, values, plain_call(f, structure, vector, data))
    near = _near(vector)
    tape = recorded.tape
    wanted = (*tape.outputs, *(guard.slot for guard in tape.guards))
    replayed = evaluate(tape, near, recorded.data, wanted)
    if not all(holds(guard, replayed[guard.slot]) for guard in tape.guards):
        return
    try:
        plain = plain_call(f, structure, near, data)
    except Exception:  # the function does not take these parameters
        return
    _compare(f, structure, near, data, recorded, [replayed[slot] for slot in tape.outputs], plain)


def _near(vector: Vector) -> Vector:
    """Parameters close by, moved by different shares of a thousandth; what is not finite stays."""
    shares = 0.5 + 0.5 * (np.arange(1, vector.size + 1) * 0.6180339887 % 1.0)
    steps = 1e-3 * (1.0 + np.abs(vector)) * shares
    return vector + np.where(np.isfinite(vector), steps, 0.0)


def _compare(
    f: Callable[..., Any],
    structure: Structure,
    vector: Vector,
    data: Mapping[str, Any],
    recorded: Recorded,
    values: Sequence[Any],
    plain: Any,
) -> None:
    outputs, expected = scan(plain, "output", lambda node, label: np.asarray(node, dtype=np.float64))
    if outputs == recorded.outputs and all(map(_agree, values, expected)):
        return
    differing = [pair for pair in zip(values, expected, strict=False) if not _agree(*pair)]
    value, plain = differing[0] if differing else (values[0], expected[0])
    name = recorded.tape.name
    told = f"replaying {name} gives {_short(value)}, calling it gives {_short(plain)}"
    line = _first_difference(recorded.tape, record(f, structure, vector, data).tape)
    if line is not None:
        raise ReplayError(
            f"{told}: the step{location(line)} differs from call to call. Draw random numbers outside the "
            "function, once, and keep no state inside it"
        )
    raise ReplayError(
        f"{told}: does {definition(f)} test the type of its arguments, or catch the error of a traced step? "
        "Let traced values and arrays take the same way"
    )


def _agree(value: Any, plain: Any) -> bool:
    return np.shape(plain) == np.shape(value) and np.allclose(value, plain, RTOL, ATOL, equal_nan=True)


def _short(value: Any) -> str:
    return f"{float(value):.10g}" if np.ndim(value) == 0 else f"an array of shape {np.shape(value)}"


def _first_difference(first: Tape, second: Tape) -> Source | None:
    """The source of the first entry that two recordings do not share."""
    values: dict[int, Any] = dict(first.constants)
    others: dict[int, Any] = dict(second.constants)
    for a, b in zip(first.entries, second.entries, strict=False):
        same = a.op is b.op and a.attrs == b.attrs and a.inputs == b.inputs
        same = same and all(
            s in others and np.array_equal(values[s], others[s]) for s in a.inputs if s in values
        )
        if not same:
            return a.source
    return None
