"""Where numbers stop being finite: the entry in which the first NaN or infinity arises, and its numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, NamedTuple

import numpy as np

from tapegrad.backends.replay import evaluate
from tapegrad.derive.pullback import steps_back
from tapegrad.derive.scan import scan_
from tapegrad.function.inspection import number_text, operands_of, step_text
from tapegrad.ops.logic import where
from tapegrad.ops.registry import FLOAT
from tapegrad.tape.entries import Entry
from tapegrad.tape.slots import active_slots
from tapegrad.tape.tape import OperandNames, Tape

# Which elements of a value are looked for: `np.isnan`, or `_nonfinite`.
Bad = Callable[[Any], Any]


@dataclass(frozen=True, repr=False)
class Explanation:
    """Where the first NaN or infinity of an evaluation arises; print it.

    Attributes
    ----------
    quantity : str or None
        What it arises in: ``"value"``, ``"adjoint"`` or ``"hessian"``; None where all is finite.
    entry : Entry or None
        The entry it arises in; None where all is finite, or where a parameter or data hold it already.
    operands : tuple of (str, value)
        Names and numbers that the entry made it of.
    text : str
        All that in words.
    """

    quantity: str | None
    entry: Entry | None
    operands: tuple[tuple[str, Any], ...]
    text: str

    def __repr__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        return f"<pre>{escape(self.text)}</pre>"


def explain(tape: Tape, values: Sequence[Any]) -> Explanation:
    """Where the first NaN or infinity arises: in the value or, where that is finite, in an adjoint."""
    for slot in tape.outputs:
        if _nonfinite(values[slot]).any():
            return _explained_value(tape, values, slot)
    turn = _turn(tape, values, _nonfinite)
    if turn is not None:
        return _explained_adjoint(tape, values, turn)
    finite = f"the value of {tape.name} {'and its gradient are' if _is_scalar(tape) else 'is'} finite"
    return Explanation(None, None, (), finite + _masked(tape, values))


def first_nan(tape: Tape, values: Sequence[Any]) -> str | None:
    """In words, where the first NaN of an evaluation arises, in value or adjoint; None if nowhere."""
    for slot in tape.outputs:
        if np.isnan(values[slot]).any():
            return _arises(tape, values, *_origin(tape, values, slot, np.isnan))
    turn = _turn(tape, values, np.isnan)
    return None if turn is None else f"it arises in {_backwards(tape, turn)}"


def explain_hessian(name: str, label: str, tape: Tape, values: Sequence[Any]) -> Explanation | None:
    """Where the first NaN or infinity of a row of the Hessian arises, by the tape of its product; or None."""
    for slot in tape.outputs:
        if _nonfinite(values[slot]).any():
            found = _explained_value(tape, values, slot)
            where = _arises(tape, values, *_origin(tape, values, slot, _nonfinite))
            text = f"value and gradient of {name} are finite, but not its Hessian in {label}: {where}"
            text = "\n".join([text, *found.text.splitlines()[1:]])
            return Explanation("hessian", found.entry, found.operands, text)
    return None


def _nonfinite(value: Any) -> Any:
    return np.logical_not(np.isfinite(value))


def _origin(tape: Tape, values: Sequence[Any], slot: int, bad: Bad) -> tuple[int, Entry | None]:
    """The slot in which a bad number in `slot` arises first, and the entry that writes or reads it.

    A number in the code counts for nothing by itself: there it is the entry that uses it.
    """
    numbers = {constant.slot for constant in tape.constants if np.ndim(constant.value) == 0}
    entry = None
    while (writer := tape.entries.writer_of(slot)) is not None:
        entry = writer
        before = [s for s in _guilty(tape, entry, values, bad) if s not in numbers]
        if not before:
            break
        slot = before[0]
    return slot, entry


def _guilty(tape: Tape, entry: Entry, values: Sequence[Any], bad: Bad) -> Iterator[int]:
    """The inputs that are bad where it matters: of an elementwise entry, in the same place as the output."""
    for i, slot in enumerate(entry.inputs):
        if tape.avals[slot].dtype == FLOAT:
            found = bad(values[slot])
            if entry.op.is_elementwise:
                found = found & bad(values[entry.output])
            if entry.op is where:
                found = found & (values[entry.inputs[0]] == (i == 1))
            if np.any(found):
                yield slot


def _arises(tape: Tape, values: Sequence[Any], slot: int, entry: Entry | None) -> str:
    if entry is not None and entry.output == slot:
        return f"it arises in {step_text(tape, entry)}"
    name, value = OperandNames(tape)[slot], values[slot]
    what = "parameter" if slot in tape.parameters else "data"
    if np.ndim(value) == 0:
        return f"the {what} {name} is {number_text(value)}"
    nans = int(np.isnan(value).sum())
    holds = f"{nans} NaN" if nans else f"{int(np.isinf(value).sum())} inf"
    reader = (
        ""
        if name in dict(tape.labels).values() or entry is None
        else f", and stands in {step_text(tape, entry)}"
    )
    return f"the {what} {name} holds {holds}{reader}"


def _explained_value(tape: Tape, values: Sequence[Any], result: int) -> Explanation:
    slot, entry = _origin(tape, values, result, _nonfinite)
    text = f"the value of {tape.name} is {number_text(values[result])}: {_arises(tape, values, slot, entry)}"
    operands: tuple[tuple[str, Any], ...] = ()
    if entry is not None and entry.output == slot:
        operands = operands_of(tape, values, entry)
        text += _numbers_at(operands, values[slot])
        if entry.op is scan_:
            text += _in_step(values, entry)
    else:
        entry = None
    if np.isnan(values[result]).any():
        nan, turned = _origin(tape, values, result, np.isnan)
        if turned is not None and turned.output == nan != slot:
            text += f"\nit becomes NaN in {step_text(tape, turned)}"
            text += _numbers_at(operands_of(tape, values, turned), values[nan])
    return Explanation("value", entry, operands, text)


def _in_step(values: Sequence[Any], entry: Entry) -> str:
    """The first step of a loop that gives a bad number, and where that arises in it."""
    attrs = dict(entry.attrs)
    body, count, states = attrs["body"], attrs["count"], values[entry.output]
    t = int(np.argmax(_nonfinite(states).any(axis=1)))
    start, *others = [values[slot] for slot in entry.inputs]
    fixed, each = others[: body.fixed], others[body.fixed :]
    given = [start if t == 0 else states[t - 1], *fixed, *(column[t] for column in each)]
    inside = evaluate(body.tape, np.concatenate([np.ravel(x) for x in given]), {})
    for slot in body.tape.outputs:
        if _nonfinite(inside[slot]).any():
            found = _arises(body.tape, inside, *_origin(body.tape, inside, slot, _nonfinite))
            return f"\nin step {t + 1:,} of {count:,}, {found}"
    return ""  # an ulp decides whether it does


def _numbers_at(operands: Sequence[tuple[str, Any]], result: Any) -> str:
    """A line for each operand, which of an array shows the place where `result` is bad first."""
    bad = np.argwhere(_nonfinite(result))
    place = tuple(bad[0].tolist())
    text = f", in {len(bad):,} of {np.size(result):,} elements" if place else ""
    for name, value in operands:
        if name == number_text(value):
            continue
        if place and np.shape(value) == np.shape(result):
            name, value = f"{name}[{', '.join(map(str, place))}]", value[place]
        text += f"\n    {name} = {number_text(value)}"
    return text


def _masked(tape: Tape, values: Sequence[Any]) -> str:
    """The numbers that are not finite although the result is finite."""
    for entry in tape.entries:
        if tape.avals[entry.output].dtype == FLOAT and _nonfinite(values[entry.output]).any():
            what = "a NaN" if np.isnan(values[entry.output]).any() else "an infinity"
            return f"; {what} in {step_text(tape, entry)} does not reach them"
    return ""


class Turn(NamedTuple):
    """The step of a reverse sweep that first makes a cotangent bad: through `entry`, to its input `slot`."""

    entry: Entry
    slot: int
    arriving: Any
    leaving: Any


def _is_scalar(tape: Tape) -> bool:
    return len(tape.outputs) == 1 and tape.avals[tape.outputs[0]].shape == ()


def _turn(tape: Tape, values: Sequence[Any], bad: Bad) -> Turn | None:
    """Where the sweep back from a scalar turns bad, or None where the gradient is not."""
    if not _is_scalar(tape):
        return None
    active = active_slots(tape, tape.parameters)
    # Python's floats raise where IEEE arithmetic gives what is looked for here.
    ieee = [np.float64(value) if type(value) is float else value for value in values]
    cotangents: dict[int, Any] = {tape.outputs[0]: np.float64(1.0)}
    turned: dict[int, Turn] = {}
    with np.errstate(all="ignore"):
        for entry in steps_back(tape, ieee.__getitem__, cotangents, active):
            for slot in entry.inputs:
                if slot not in turned and slot in cotangents and np.any(bad(cotangents[slot])):
                    turned[slot] = Turn(entry, slot, cotangents[entry.output], cotangents[slot])
    turn = next((turned[slot] for slot in tape.parameters if slot in turned), None)
    while turn is not None and turn.entry.output in turned:
        turn = turned[turn.entry.output]
    return turn


def _backwards(tape: Tape, turn: Turn) -> str:
    return (
        f"the adjoint of {OperandNames(tape)[turn.slot]}, carried back through {step_text(tape, turn.entry)}"
    )


def _explained_adjoint(tape: Tape, values: Sequence[Any], turn: Turn) -> Explanation:
    entry = turn.entry
    output = (f"%{entry.output}", values[entry.output])
    cotangent = (f"the adjoint of %{entry.output}", turn.arriving)
    operands = (*operands_of(tape, values, entry), output, cotangent)
    text = (
        f"the value of {tape.name} is finite, but not its gradient: the first "
        f"{'NaN' if np.isnan(turn.leaving).any() else 'infinity'} arises in {_backwards(tape, turn)}"
    )
    return Explanation("adjoint", entry, operands, text + _numbers_at(operands, turn.leaving))
