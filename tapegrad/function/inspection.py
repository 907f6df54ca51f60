"""Reading a tape with its values: the numbers behind the listing, and single steps in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from tapegrad.recording.frames import location
from tapegrad.tape.entries import Entry
from tapegrad.tape.tape import OperandNames, Tape, aligned, attr_text, header
from tapegrad.tape.text import html_rows

_HEADER = ("slot", "value", "adjoint", "entry", "", "")
# Rows that a notebook shows, and how many of them are the last ones.
_MOST, _LAST = 200, 40


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
        label = self._labels.get(slot, f"%{slot}")
        entry = self.tape.entries.writer_of(slot)
        return SlotValue(slot, label, entry, self.values[slot], self.adjoints.get(slot))

    def __iter__(self) -> Iterator[SlotValue]:
        return map(self.__getitem__, range(len(self)))

    @cached_property
    def _labels(self) -> dict[int, str]:
        return dict(self.tape.labels)

    def __str__(self) -> str:
        return "\n".join([header(self.tape), *aligned([_HEADER, *self._rows()])])

    def _repr_html_(self) -> str:
        rows = self._rows()
        left_out = len(rows) - _MOST
        if left_out > 0:
            gap = (f"... {left_out:,} more ...", *[""] * 5)
            rows = [*rows[: _MOST - _LAST], gap, *rows[-_LAST:]]
        return html_rows(header(self.tape), rows, _HEADER)

    def _rows(self) -> list[tuple[str, ...]]:
        names = OperandNames(self.tape)
        rows: list[tuple[str, ...]] = []
        for slot in (*self.tape.parameters, *self.tape.data):
            rows.append((names[slot], *self._numbers(slot), "", "", ""))
        for entry in self.tape.entries:
            source = ("", "") if entry.source is None else (str(entry.source), entry.source.text)
            rows.append((f"%{entry.output}", *self._numbers(entry.output), call_text(entry, names), *source))
        return rows

    def _numbers(self, slot: int) -> tuple[str, str]:
        return number_text(self.values[slot]), number_text(self.adjoints.get(slot))


def call_text(entry: Entry, names: OperandNames) -> str:
    """An entry as a call: its op, operands and attributes."""
    attrs = "".join(attr_text(name, value) for name, value in entry.attrs)
    return f"{entry.op.name}({', '.join(names[slot] for slot in entry.inputs)}{attrs})"


def number_text(value: Any) -> str:
    """A number, or the first of an array with its shape; None is a dash."""
    if value is None:
        return "-"
    if np.ndim(value) == 0:
        return f"{float(value):.10g}"
    flat = np.ravel(value)
    shown = ", ".join(f"{x:.4g}" for x in flat[:2])
    return f"[{shown}{', ...' if flat.size > 2 else ''}] {np.shape(value)}"


def step_text(tape: Tape, entry: Entry) -> str:
    """An entry as a listing shows it, and where it stands in the user's code."""
    return f"{call_text(entry, OperandNames(tape))}{location(entry.source)}"


def operands_of(tape: Tape, values: Sequence[Any], entry: Entry) -> tuple[tuple[str, Any], ...]:
    """The names and numbers that an entry reads, each once."""
    names = OperandNames(tape)
    return tuple((names[slot], values[slot]) for slot in dict.fromkeys(entry.inputs))
