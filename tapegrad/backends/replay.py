"""The reference backend: one loop over the entries.

`evaluate` and `adjoints` are the definition of what a tape means, value by value. `Workspace` is the same loop made
ready to run often: every slot has its place in one flat float64 buffer, every view is made once, and a replay
writes into them without allocating slots. Stretches of scalar entries run on the buffer's cells as Python floats,
because a ufunc call on a 0-d array costs several times the arithmetic.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from tapegrad.derive.reverse import active_slots, sweep
from tapegrad.ops.registry import BOOL, FLOAT, Aval, broadcast
from tapegrad.tape import Entry, Guard, Tape, size_of
from tapegrad.tracing.recorder import tidy_value

Array = np.ndarray[Any, Any]


def evaluate(tape: Tape, theta: Array, data: Mapping[int, Any]) -> list[Any]:
    """The value of every slot.

    Parameters
    ----------
    tape : Tape
    theta : ndarray, shape (p,)
        The parameters' elements, leaf after leaf.
    data : mapping of int to array
        The value of each data slot.
    """
    values: list[Any] = [None] * len(tape.avals)
    start = 0
    for slot in tape.parameters:
        shape = tape.avals[slot].shape
        values[slot] = tidy_value(theta[start : start + size_of(shape)].reshape(shape))
        start += size_of(shape)
    for slot in tape.data:
        values[slot] = data[slot]
    for slot, value in tape.constants:
        values[slot] = value
    with np.errstate(all="ignore"):
        for entry in tape.entries:
            inputs = [values[slot] for slot in entry.inputs]
            values[entry.output] = tidy_value(entry.op.kernel(*inputs, **dict(entry.attrs)))
    return values


def adjoints(tape: Tape, values: Sequence[Any]) -> dict[int, Any]:
    """The adjoint of every slot that the scalar output depends on, by a direct numeric reverse sweep."""
    (output,) = tape.outputs
    active = active_slots(tape, tape.parameters)
    with np.errstate(all="ignore"):
        return sweep(tape, values.__getitem__, {output: 1.0} if output in active else {}, active)


def holds(guard: Guard, value: Any) -> bool:
    """Whether a guarded slot has the outcome that the tape was recorded for."""
    if isinstance(guard.outcome, np.ndarray):
        return np.array_equal(value, guard.outcome)
    return bool(value == guard.outcome)


class Broken(NamedTuple):
    """The first guard that does not hold: its place among the guards, and what its slot holds instead."""

    place: int
    value: Any


# A scalar step reads cells `a` and `b` (or only `a`, where `b` is -1) and writes cell `o`.
ScalarStep = tuple[Callable[..., Any], int, int, int]


class Stretch(NamedTuple):
    """Consecutive steps of one kind: scalar ones, with their ufuncs for when Python raises, or array ones."""

    scalar: list[ScalarStep]
    safe: list[ScalarStep]
    array: list[Callable[[], Any]]


class Workspace:
    """The buffer of one tape and the steps bound to it; used by one thread at a time."""

    def __init__(self, tape: Tape, data: Mapping[int, Any]) -> None:
        self.buffer = np.zeros(sum(_words(aval) for aval in tape.avals))
        self.cells = memoryview(self.buffer)  # type: ignore[arg-type]
        self.views: list[Array] = []
        self.stretches: list[Stretch] = []
        self._address = self.buffer.__array_interface__["data"][0]
        self._place_leaves(tape, data)
        for entry in tape.entries:
            self._place(entry)
        self.inputs = self.buffer[: sum(size_of(tape.avals[slot].shape) for slot in tape.parameters)]
        self.outputs = [self.views[slot] for slot in tape.outputs]
        self.guards = [(self.views[guard.slot], guard) for guard in tape.guards]

    # Layout -------------------------------------------------------------------------------------------------

    def _place_leaves(self, tape: Tape, data: Mapping[int, Any]) -> None:
        self.views = [np.empty(0)] * len(tape.avals)
        # Parameters come first and in order, so that loading them is one copy.
        order = [*tape.parameters, *(s for s in range(len(tape.avals)) if s not in set(tape.parameters))]
        start = 0
        for slot in order:
            aval = tape.avals[slot]
            self.views[slot] = _view(self.buffer[start : start + _words(aval)], aval)
            start += _words(aval)
        for slot, value in [*tape.constants, *((slot, data[slot]) for slot in tape.data)]:
            if isinstance(value, np.ndarray) and value.ndim:
                self.views[slot] = value
            else:
                self.views[slot][...] = value

    def _cell(self, slot: int) -> int:
        """The place in the buffer of a float scalar, or -1 if its memory is elsewhere."""
        view = self.views[slot]
        offset = int(view.__array_interface__["data"][0] - self._address) // 8
        return offset if view.dtype == FLOAT and view.ndim == 0 and 0 <= offset < self.buffer.size else -1

    # Steps --------------------------------------------------------------------------------------------------

    def _place(self, entry: Entry) -> None:
        op, attrs = entry.op, dict(entry.attrs)
        inputs = [self.views[slot] for slot in entry.inputs]
        if op.view:
            result = np.asarray(op.kernel(*inputs, **attrs))
            if result.size == 0 or np.may_share_memory(result, inputs[0]):
                self.views[entry.output] = result
            else:
                self._array_step(
                    partial(_copy, self.views[entry.output], partial(op.kernel, *inputs, **attrs))
                )
            return
        cells = [self._cell(slot) for slot in (entry.output, *entry.inputs)]
        if min(cells) >= 0 and len(cells) <= 3 and op.shape is broadcast:
            self._scalar_step(entry, cells)
        else:
            self._array_step(partial(op.kernel, *inputs, out=self.views[entry.output], **attrs))

    def _scalar_step(self, entry: Entry, cells: list[int]) -> None:
        if not self.stretches or self.stretches[-1].array:
            self.stretches.append(Stretch([], [], []))
        o, a, b = (*cells, -1)[:3]
        self.stretches[-1].scalar.append((entry.op.scalar or entry.op.kernel, o, a, b))
        self.stretches[-1].safe.append((entry.op.kernel, o, a, b))

    def _array_step(self, step: Callable[[], Any]) -> None:
        if not self.stretches or self.stretches[-1].scalar:
            self.stretches.append(Stretch([], [], []))
        self.stretches[-1].array.append(step)

    # Replay -------------------------------------------------------------------------------------------------

    def run(self, theta: Array) -> None:
        """Write the value of every slot."""
        self.inputs[:] = theta
        cells = self.cells
        with np.errstate(all="ignore"):
            for scalar, safe, array in self.stretches:
                for step in array:
                    step()
                if scalar:
                    try:
                        _run_scalars(scalar, cells)
                    except (ArithmeticError, ValueError):
                        # Python raises where IEEE arithmetic gives inf or NaN; the ufuncs do as IEEE does.
                        _run_scalars(safe, cells)

    def broken(self) -> Broken | None:
        """The first guard that does not hold after a replay."""
        for i, (view, guard) in enumerate(self.guards):
            if not holds(guard, view):
                return Broken(i, view.item() if view.ndim == 0 else view.copy())
        return None


def _run_scalars(steps: list[ScalarStep], cells: Any) -> None:
    for f, o, a, b in steps:
        cells[o] = f(cells[a], cells[b]) if b >= 0 else f(cells[a])


def _copy(out: Array, result: Callable[[], Any]) -> None:
    np.copyto(out, result())


def _words(aval: Aval) -> int:
    return -(-size_of(aval.shape) * aval.dtype.itemsize // 8)


def _view(words: Array, aval: Aval) -> Array:
    if aval.dtype == BOOL:
        return words.view(np.uint8)[: size_of(aval.shape)].view(BOOL).reshape(aval.shape)
    return words.view(aval.dtype).reshape(aval.shape)


class Executable:
    """A tape ready to run, from any number of threads: each takes a workspace and puts it back."""

    def __init__(self, tape: Tape, data: Mapping[int, Any]) -> None:
        self.tape = tape
        self._data = data
        self._idle: deque[Workspace] = deque()

    def run(self, theta: Array, read: Callable[[list[Array]], Any], check: bool = True) -> Any:
        """Replay, and `read` the outputs; or the `Broken` guard, if `check` is set and one does not hold.

        `read` has to copy what it keeps: the outputs are views of the workspace.
        """
        try:
            workspace = self._idle.pop()
        except IndexError:
            workspace = Workspace(self.tape, self._data)
        workspace.run(theta)
        broken = workspace.broken() if check and workspace.guards else None
        result = read(workspace.outputs) if broken is None else broken
        self._idle.append(workspace)
        return result
