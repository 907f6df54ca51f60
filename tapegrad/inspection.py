"""Reading a tape with its values: the numbers behind the listing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from tapegrad.ops.registry import FLOAT
from tapegrad.recording import data_array
from tapegrad.tape import Entry, Tape, aligned, header, operand_text
from tapegrad.tracing.recorder import location


class SlotValue(NamedTuple):
    """One slot with its numbers; `entry` is None for a leaf."""

    slot: int
    label: str
    entry: Entry | None
    value: Any
    adjoint: Any


@dataclass(frozen=True)
class Values(Sequence[SlotValue]):
    """Every slot of a tape with its value and adjoint: parameters, data and constants first, then entries.

    Index it by slot number; print it for a table.
    """

    tape: Tape
    values: list[Any]
    adjoints: Mapping[int, Any]

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, slot: Any) -> Any:
        if isinstance(slot, slice):
            return [self[i] for i in range(len(self))[slot]]
        slot = range(len(self))[slot]
        entry = {entry.output: entry for entry in self.tape.entries}.get(slot)
        label = dict(self.tape.labels).get(slot, f"%{slot}")
        return SlotValue(slot, label, entry, self.values[slot], self.adjoints.get(slot))

    def __iter__(self) -> Iterator[SlotValue]:
        labels = dict(self.tape.labels)
        entries = {entry.output: entry for entry in self.tape.entries}
        for slot, value in enumerate(self.values):
            yield SlotValue(
                slot, labels.get(slot, f"%{slot}"), entries.get(slot), value, self.adjoints.get(slot)
            )

    def __str__(self) -> str:
        names = operand_text(self.tape)
        rows = [("slot", "value", "adjoint", "entry", "", "")]
        for slot in (*self.tape.parameters, *self.tape.data):
            rows.append((names[slot], *self._numbers(slot), "", "", ""))
        for entry in self.tape.entries:
            source = ("", "") if entry.source is None else (str(entry.source), entry.source.text)
            rows.append((f"%{entry.output}", *self._numbers(entry.output), _call(entry, names), *source))
        return "\n".join([header(self.tape), *aligned(rows)])

    def _numbers(self, slot: int) -> tuple[str, str]:
        return _number_text(self.values[slot]), _number_text(self.adjoints.get(slot))


def _call(entry: Entry, names: Mapping[int, str]) -> str:
    return f"{entry.op.name}({', '.join(names[slot] for slot in entry.inputs)})"


def _number_text(value: Any) -> str:
    if value is None:
        return "-"
    if np.ndim(value) == 0:
        return f"{float(value):.10g}"
    flat = np.ravel(value)
    shown = ", ".join(f"{x:.4g}" for x in flat[:2])
    return f"[{shown}{', ...' if flat.size > 2 else ''}] {np.shape(value)}"


def common_length(tape: Tape) -> int | None:
    """The length that the first axes of all named arrays share, or None."""
    labelled = {slot for slot, _ in tape.labels} - set(tape.parameters)
    lengths = {tape.avals[slot].shape[0] for slot in labelled if tape.avals[slot].shape}
    return lengths.pop() if len(lengths) == 1 else None


def unused_parameters(tape: Tape) -> list[int]:
    """The parameter leaves that the output does not depend on differentiably, by their place."""
    needed = set(tape.outputs)
    for entry in reversed(tape.entries):
        if entry.output in needed:
            needed.update(s for i, s in enumerate(entry.inputs) if entry.op.differentiable(i))
    return [i for i, slot in enumerate(tape.parameters) if slot not in needed]


def first_nan(tape: Tape, values: Sequence[Any]) -> str:
    """In words, where the first NaN of an evaluation arose."""
    names = operand_text(tape)
    labels = dict(tape.labels)
    for slot in (*tape.parameters, *tape.data, *(slot for slot, _ in tape.constants)):
        if tape.avals[slot].dtype == FLOAT and np.isnan(values[slot]).any():
            count = int(np.isnan(values[slot]).sum())
            what = "parameter" if slot in tape.parameters else "data"
            return f"the {what} {labels.get(slot, names[slot])} holds {count} NaN"
    for entry in tape.entries:
        if tape.avals[entry.output].dtype == FLOAT and np.isnan(values[entry.output]).any():
            return f"it arises in {_call(entry, names)}{location(entry.source)}"
    return "it arises in the reverse sweep, where a partial derivative is infinite or undefined"


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
