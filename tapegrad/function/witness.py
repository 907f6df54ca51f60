"""Comparison of a tape with plain calls of the function, at the parameters of the trace and near them.

At the parameters of the trace alone a difference may hide: what is multiplied by a start value of zero does
not show, and a branch may hold there and nowhere else. So no tape is taken without a second look: a plain
call at another place that takes the same path. Where no place near has that path, because a branch rests on
an equality, the function is traced there, too: one that has kept something from an earlier call, and has
skipped its work here, does that work there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from tapegrad.backends.replay import evaluate, holds
from tapegrad.errors import ReplayError, TraceError
from tapegrad.function.agreement import differing, sizes_of
from tapegrad.function.record import Recorded, definition, plain_call, record
from tapegrad.nest import Structure, Vector, scan
from tapegrad.passes import Pass, branches, dce, tidy
from tapegrad.recording.dataframes import meaning
from tapegrad.recording.frames import location
from tapegrad.recording.kept import release_kept
from tapegrad.recording.recorder import ForeignValueError
from tapegrad.tape.line import Source
from tapegrad.tape.tape import Guard, Tape

# How far a second look is, in parts of each parameter and 1. A path that is no wider than the first of these
# holds at single points, or nearly: those that compare with `np.isclose` are 1e-5 wide.
STEPS = (1e-3, 1e-4, 2e-5)
SMALL_STEPS = (1e-7, 1e-10)


class Look(NamedTuple):
    """Parameters, and the result of a plain call there. The recorded tape gives the same result."""

    vector: Vector
    values: list[Any]


class Witnessed(NamedTuple):
    """A tape that has been held against plain calls.

    Attributes
    ----------
    recorded : Recorded
    looks : tuple of Look
        At the parameters of the trace, and at others on the same path; those are missing where it has none.
    short : Tape
        The tape with its loops as array code.
    thin : Guard or None
        A guard that does not hold near the parameters of the trace.
    """

    recorded: Recorded
    looks: tuple[Look, ...]
    short: Tape
    thin: Guard | None


def witnessed(
    f: Callable[..., Any],
    structure: Structure,
    vector: Vector,
    data: Mapping[str, Any],
    loops: Sequence[Pass] = (),
    decided: Sequence[Any] = (),
) -> Witnessed:
    """Trace `f` at the parameters `vector`, and compare the tape with plain calls.

    The passes in `loops` shorten it. Where it has no branches, the short tape is what is compared at the
    second place: a long one takes as long to walk over as ten plain calls.

    The first decisions fall as they are `decided`. Where the data at hand decide otherwise, no plain call
    takes this path, and there is nothing to compare with but the values of the trace.

    Raises
    ------
    ReplayError
        If they differ. Where a second trace differs from the first, the message names the line.
    TraceError
        If no second look succeeds, here or on the path beside.
    """
    recorded = record(f, structure, vector, data, decided)
    tape = recorded.tape
    if recorded.is_led:
        values = [np.asarray(value, dtype=np.float64) for value in recorded.values]
        return Witnessed(recorded, (Look(vector, values),), tape, None)
    short = None if tape.guards else tidy(tape, loops)
    witness = _Witness(f, structure, data, recorded, short)
    here = witness.first_look(vector, may_keep=True)
    there, thin = witness.second_look(vector)
    if there is not None and witness.has_kept:
        witness.first_look(vector)  # again, now that the function may have kept something of another place
    if thin is not None or there is None:
        _look_beside(witness, vector, thin)
    if short is None:
        short = tidy(tape, loops if thin is None else without_choices(loops))
    return Witnessed(recorded, (here,) if there is None else (here, there), short, thin)


def without_choices(loops: Sequence[Pass]) -> tuple[Pass, ...]:
    """The passes that leave branches as they are."""
    return tuple(step for step in loops if step is not branches)


def _look_beside(witness: _Witness, vector: Vector, thin: Guard | None) -> None:
    """Trace and compare at a place near `vector`, where the path of `witness` is no wider than a point."""
    f, structure, data = witness.f, witness.structure, witness.data
    reason: Exception | None = None
    for point in list(_around(vector, STEPS[:1]))[:2]:
        try:
            beside = _Witness(f, structure, data, record(f, structure, point, data))
            beside.first_look(point)
        except (TraceError, ReplayError):
            raise
        except Exception as error:  # the function does not take these parameters
            reason = error
            continue
        there, broken = beside.second_look(point)
        if there is not None:
            return
        thin = thin or broken
    name = witness.recorded.tape.name
    if thin is None:
        raise TraceError(
            f"{name} raises {type(reason).__name__} wherever it is called near the parameters of the trace "
            f"({reason}), so that the tape cannot be checked: trace it at other parameters"
        )
    if reason is not None:
        raise TraceError(
            f"{name} raises {type(reason).__name__} near the parameters of the trace ({reason}), where the "
            f"branch{location(thin.source)} goes another way, so that the tape cannot be checked: take "
            "parameters that may move by themselves, such as all shares but one, or `transforms` of fit"
        )
    raise TraceError(
        f"the branch{location(thin.source)} goes another way at each place near the parameters of the trace, "
        f"so that the tape of {name} cannot be checked. If it asks whether parameters have changed since an "
        "earlier call, compute anew what was kept; np.where, np.maximum and np.clip decide without a branch"
    )


class _Witness:
    """A function, and a fresh recording of it; and the tape that stands for it in the second look."""

    def __init__(
        self,
        f: Callable[..., Any],
        structure: Structure,
        data: Mapping[str, Any],
        recorded: Recorded,
        short: Tape | None = None,
    ) -> None:
        self.f = f
        self.structure = structure
        self.data = data
        self.recorded = recorded
        self.tape = recorded.tape if short is None else short
        self.has_kept = False  # whether the function's objects have kept traced values

    def first_look(self, vector: Vector, may_keep: bool = False) -> Look:
        """At the parameters of the trace, where the tracers had values.

        If they `may_keep` some, what the function's objects have kept of the trace becomes plain numbers,
        as a plain call would have left there.
        """
        try:
            plain = plain_call(self.f, self.structure, vector, self.data)
        except ForeignValueError:
            if not (may_keep and release_kept()):
                raise
            self.has_kept = True
            plain = plain_call(self.f, self.structure, vector, self.data)
        return self._compared(vector, self.recorded.values, plain)

    def second_look(self, vector: Vector) -> tuple[Look | None, Guard | None]:
        """At a place near `vector` on the same path; and what breaks if that is a tiny step away.

        Either is None where there is no such thing.
        """
        look, broken = self._look_around(vector, STEPS)
        if look is not None:
            return look, None
        return self._look_around(vector, SMALL_STEPS)[0], broken

    def _look_around(self, vector: Vector, steps: Sequence[float]) -> tuple[Look | None, Guard | None]:
        """The first look near `vector` that succeeds, and the last guard that did not hold before."""
        tape, data = self.tape, self.recorded.data
        wanted = (*tape.outputs, *(guard.slot for guard in tape.guards))
        broken: Guard | None = None
        deciding = tape  # once a guard has failed, guards are asked before the rest
        for point in _around(vector, steps):
            if broken is not None and _first_broken(deciding, evaluate(deciding, point, data)) is not None:
                continue
            values = evaluate(tape, point, data, wanted)
            breaking = _first_broken(tape, values)
            if breaking is not None:
                broken, deciding = breaking, dce(replace(tape, outputs=()))
                continue
            try:
                plain = plain_call(self.f, self.structure, point, self.data)
            except TraceError:  # the function has kept a traced value
                raise
            except Exception:  # it does not take these parameters
                continue
            return self._compared(point, [values[slot] for slot in tape.outputs], plain), broken
        return None, broken

    def _compared(self, vector: Vector, values: Sequence[Any], plain: Any) -> Look:
        """The plain call's numbers, if they are the tape's."""
        recorded = self.recorded
        outputs, expected = scan(plain, "output", lambda node, label: np.asarray(node, dtype=np.float64))
        place: int | None = 0
        if outputs == recorded.outputs:
            place = differing(
                values, expected, lambda: sizes_of(recorded.tape, vector, recorded.data.values())
            )
        if place is None:
            return Look(vector, expected)
        if self.tape is not recorded.tape:  # which of the two is it?
            self.tape = recorded.tape
            values = evaluate(recorded.tape, vector, recorded.data, recorded.tape.outputs)
            return self._compared(vector, [values[slot] for slot in recorded.tape.outputs], plain)
        told = (
            f"replaying {recorded.tape.name} gives {_short(values[place])}, "
            f"calling it gives {_short(expected[place])}"
        )
        again = record(self.f, self.structure, vector, self.data)
        line = _first_difference(recorded.tape, again.tape)
        if line is not None:
            raise ReplayError(
                f"{told}: the step{location(line)} differs from call to call. Draw random numbers outside "
                "the function, once, and keep no state inside it"
            )
        if recorded.dataframes:
            raise ReplayError(f"{told}: {meaning(recorded.dataframes)}")
        if recorded.steps:
            steps = ", ".join(dict.fromkeys(map(definition, recorded.steps)))
            raise ReplayError(
                f"{told}: does the step {steps} change something outside of it, such as a list or a counter? "
                "It is recorded once for all iterations: hand such a state on as part of the carry"
            )
        raise ReplayError(
            f"{told}: does {definition(self.f)} test the type of its arguments, or catch the error of a "
            "traced step? Let traced values and arrays take the same way"
        )


def _around(vector: Vector, steps: Sequence[float]) -> Iterator[Vector]:
    """Parameters close by, moved by different shares of a step, all up or all down; what is not finite stays.

    The shares of the first two are irregular, so that nothing cancels; those of others rise, so that
    parameters that are equal keep an order.
    """
    irregular = 0.5 + 0.5 * (np.arange(1, vector.size + 1) * 0.6180339887 % 1.0)
    rising = np.linspace(0.5, 1.0, vector.size)
    for step in steps:
        for shares in (irregular, rising) if vector.size > 1 else (irregular,):
            moves = np.where(np.isfinite(vector), step * (1.0 + np.abs(vector)) * shares, 0.0)
            yield vector + moves
            yield vector - moves


def _first_broken(tape: Tape, values: Sequence[Any]) -> Guard | None:
    return next((guard for guard in tape.guards if not holds(guard, values[guard.slot])), None)


def _short(value: Any) -> str:
    return f"{float(value):.10g}" if np.ndim(value) == 0 else f"an array of shape {np.shape(value)}"


def _first_difference(first: Tape, second: Tape) -> Source | None:
    """The source of the first entry that two recordings do not share."""
    values: dict[int, Any] = dict(first.constants)
    others: dict[int, Any] = dict(second.constants)
    for a, b in zip(first.entries, second.entries, strict=False):
        same = a.op is b.op and a.attrs == b.attrs and a.inputs == b.inputs
        same = same and all(
            s in others and np.array_equal(values[s], others[s], equal_nan=True)
            for s in a.inputs
            if s in values
        )
        if not same:
            return a.source
    return None
