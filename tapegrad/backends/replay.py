"""What a tape means: one loop over its entries, value by value.

Every backend gives what `evaluate` gives, and derivatives are those of `adjoints`, within rounding.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from tapegrad.derive.pullback import sweep
from tapegrad.ops.registry import Attrs, Op
from tapegrad.recording.values import tidy_value
from tapegrad.tape.slots import active_slots
from tapegrad.tape.tape import Guard, Tape, size_of

Array = np.ndarray[Any, Any]


def evaluate(
    tape: Tape, theta: Array, data: Mapping[int, Any], only: Iterable[int] | None = None
) -> list[Any]:
    """The value of every slot.

    Parameters
    ----------
    tape : Tape
    theta : ndarray, shape (p,)
        The parameters' elements, leaf after leaf.
    data : mapping of int to array
        The value of each data slot.
    only : iterable of int, optional
        The slots that are wanted: the values of others are dropped after their last use.
    """
    values = _leaves(tape, theta, data)
    dead = {} if only is None else _dead_after(tape, only)
    with np.errstate(all="ignore"):
        for op, inputs, output, attrs, _ in tape.entries.rows():
            values[output] = apply(op, [values[slot] for slot in inputs], attrs)
            if output in dead:
                for slot in dead[output]:
                    values[slot] = None
    return values


def _leaves(tape: Tape, theta: Array, data: Mapping[int, Any]) -> list[Any]:
    """The values of the leaves, and None for all other slots."""
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
    return values


def _dead_after(tape: Tape, wanted: Iterable[int]) -> dict[int, list[int]]:
    """For an entry's output, the arrays that nothing needs any more once it is computed."""
    arrays = {slot for slot, aval in enumerate(tape.avals) if aval.shape}
    dead: dict[int, list[int]] = {}
    if not arrays:
        return dead
    arrays.difference_update(wanted)
    for entry in reversed(tape.entries):
        last = [slot for slot in (*entry.inputs, entry.output) if slot in arrays]
        if last:
            dead[entry.output] = last
            arrays.difference_update(last)
    return dead


def apply(op: Op, operands: list[Any], attrs: Attrs) -> Any:
    """One op on values: its cheap scalar way where there is one, its kernel otherwise."""
    if op.scalar is not None and type(operands[0]) is float and type(operands[-1]) is float:
        try:
            value = op.scalar(*operands)
        except (ArithmeticError, ValueError):
            value = op.kernel(*operands)
    else:
        value = op.kernel(*operands, **dict(attrs))
    return value if type(value) is float else tidy_value(value)


def adjoints(tape: Tape, values: Sequence[Any]) -> dict[int, Any]:
    """The adjoint of every slot that the scalar output depends on, by a direct numeric reverse sweep."""
    (output,) = tape.outputs
    active = active_slots(tape, tape.parameters)
    # NumPy's scalars, because Python's floats raise where a rule divides by zero.
    numbers = [np.float64(value) if type(value) is float else value for value in values]
    with np.errstate(all="ignore"):
        return sweep(tape, numbers.__getitem__, {output: np.float64(1.0)} if active[output] else {}, active)


def holds(guard: Guard, value: Any) -> bool:
    """Whether a guarded slot has the outcome that the tape was recorded for."""
    if isinstance(guard.outcome, np.ndarray):
        return np.array_equal(value, guard.outcome, equal_nan=guard.outcome.dtype.kind == "f")
    if guard.outcome != guard.outcome:  # NaN
        return bool(value != value)
    return bool(value == guard.outcome)


class Broken(NamedTuple):
    """The first decision that falls otherwise: which one of those recorded, and how it falls."""

    place: int
    value: Any


def first_broken(guards: Iterable[Guard], values: Iterable[Any]) -> Broken | None:
    """The first decision, in the order of the record, that falls otherwise than the guards say."""
    found: Broken | None = None
    for i, (guard, value) in enumerate(zip(guards, values, strict=True)):
        if guard.is_choice or holds(guard, value):
            continue
        broken = _broken(guard, np.asarray(value), i)
        if guard.turns is None:
            return broken
        if found is None or broken.place < found.place:
            found = broken
    return found


def taken_sides(guards: Iterable[Guard], values: Iterable[Any]) -> list[Any]:
    """Where the sides of choices are taken."""
    return [value for guard, value in zip(guards, values, strict=True) if guard.is_choice]


def _broken(guard: Guard, value: Array, i: int) -> Broken:
    if guard.turns is None or len(guard.turns) == 1:
        place = i if guard.turns is None else guard.turns[0]
        return Broken(place, value.item() if value.ndim == 0 else value.copy())
    differ = np.flatnonzero((value != guard.outcome) & ((value == value) | (guard.outcome == guard.outcome)))
    first = min(differ.tolist(), key=guard.turns.__getitem__)
    return Broken(guard.turns[first], value[first].item())


def located(error: IndexError, tape: Tape, inputs: Array, data: Mapping[int, Any]) -> IndexError:
    """The error of a replay that met an index that does not exist, with the entry and its line.

    No trace records such an index: a stored tape can, from numbers that nobody knows before it runs.
    """
    theta = np.zeros(sum(size_of(tape.avals[slot].shape) for slot in tape.parameters))
    theta[: inputs.size] = inputs  # which may lack the late leaves
    values = _leaves(tape, theta, data)
    with np.errstate(all="ignore"):
        for op, slots, output, attrs, line in tape.entries.rows():
            try:
                values[output] = apply(op, [values[slot] for slot in slots], attrs)
            except IndexError as found:
                where = "" if line is None else f" at {line}: `{line.text}`"
                return IndexError(f"{found}, in %{output} = {op.name}{where}")
    return error
