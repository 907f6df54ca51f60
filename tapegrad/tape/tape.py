"""The tape: a linear record of ops over slots, as immutable data.

Each slot is written once, by a leaf or by an entry. A tape holds no values but its constants: a workspace is
handed in when it runs, so that one tape serves many threads, and pickles.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from tapegrad.ops.registry import FLOAT, Aval, Shape
from tapegrad.tape.entries import Entries
from tapegrad.tape.line import Source

SCALAR = Aval((), FLOAT)
LISTED = 200


class Guard(NamedTuple):
    """What the user's code decided on: the tape holds only while `slot` has this `outcome`.

    Where a loop has been written as array code, one guard stands for a decision of many iterations. `turns`
    then says which of the decisions as recorded each element is, and where there is one, which it is.

    A choice decides on no path: the tape computes both sides and takes one. Its slot says where one side is
    taken, and its outcome where it was taken in the record. Whoever runs the tape holds what is taken for
    the first time against a plain call.
    """

    slot: int
    outcome: Any
    source: Source | None
    turns: tuple[int, ...] | None = None
    is_choice: bool = False


class Constant(NamedTuple):
    """A number or a read-only array that the tape carries."""

    slot: int
    value: Any


@dataclass(frozen=True)
class Tape:
    """A linear record of ops.

    Attributes
    ----------
    name : str
        The traced function's.
    avals : tuple of Aval
        Shape and dtype of each slot.
    parameters, data : tuple of int
        Leaf slots: what is differentiated, and what can be rebound without a new trace.
    constants : tuple of Constant
        The leaf slots that never change.
    entries : Entries
        The steps, in order.
    outputs : tuple of int
        The slots of the results.
    guards : tuple of Guard
        What must hold for the results to be right.
    labels : tuple of (int, str)
        The names of leaves, for reading.
    """

    name: str
    avals: tuple[Aval, ...]
    parameters: tuple[int, ...]
    data: tuple[int, ...]
    constants: tuple[Constant, ...]
    entries: Entries
    outputs: tuple[int, ...]
    guards: tuple[Guard, ...] = ()
    labels: tuple[tuple[int, str], ...] = ()

    @property
    def nbytes(self) -> int:
        """Memory held by the constants and needed by one workspace, in bytes."""
        constants = sum(np.asarray(constant.value).nbytes for constant in self.constants)
        fixed = {constant.slot for constant in self.constants}
        return constants + sum(
            size_of(aval.shape) * aval.dtype.itemsize
            for slot, aval in enumerate(self.avals)
            if slot not in fixed
        )

    def __str__(self) -> str:
        return listing(self, limit=LISTED)

    def __setstate__(self, state: dict[str, Any]) -> None:
        # A pickle forgets that arrays are read-only.
        for value in (*(c.value for c in state["constants"]), *(g.outcome for g in state["guards"])):
            if isinstance(value, np.ndarray):
                value.flags.writeable = False
        self.__dict__.update(state)


class TapeError(Exception):
    """A tape breaks one of its own invariants: a defect of tapegrad, not of the user's code."""


def size_of(shape: Shape) -> int:
    """The number of elements of an array of this shape."""
    size = 1
    for n in shape:
        size *= n
    return size


def aval_of(value: Any) -> Aval:
    """The shape and dtype of a number or an array."""
    return SCALAR if type(value) is float else Aval(np.shape(value), np.asarray(value).dtype)


# The listing ------------------------------------------------------------------------------------------------


def listing(tape: Tape, limit: int | None = None) -> str:
    """The tape as text: a header, then one line per entry, with guards where they were met.

    Parameters
    ----------
    tape : Tape
    limit : int, optional
        Show at most about this many lines, the first and the last ones; by default all.
    """
    count = len(tape.entries)
    if limit is None or count + len(tape.guards) <= limit:
        return "\n".join([header(tape), *aligned(_rows(tape, range(count)))])
    below = limit // 5
    head = _rows(tape, range(min(limit - below, count)))[: limit - below]
    tail = _rows(tape, range(max(count - below, 0), count))[-below:]
    left_out = count + len(tape.guards) - len(head) - len(tail)
    lines = [*aligned(head), f"  ... {left_out:,} more lines ...", *aligned(tail)]
    return "\n".join([header(tape), *lines])


def header(tape: Tape) -> str:
    """The first line of the listing."""
    labels = dict(tape.labels)
    names = ", ".join(labels.get(slot, f"%{slot}") for slot in tape.parameters)
    results = ", ".join(shape_text(tape.avals[slot]) for slot in tape.outputs)
    counts = [
        _count(len(tape.entries), "op"),
        _count(len(tape.guards), "guard"),
        _count(len(tape.parameters), "parameter"),
    ]
    arrays = [*tape.data, *(slot for slot, value in tape.constants if slot in labels and np.ndim(value))]
    shapes = [f"{labels[slot]}{list(tape.avals[slot].shape)}" for slot in arrays if slot in labels]
    if shapes:
        counts.append("data " + ", ".join(dict.fromkeys(shapes)))
    return f"tape {tape.name}({names}) -> {results}    {', '.join(counts)}"


def _count(n: int, noun: str) -> str:
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def shape_text(aval: Aval) -> str:
    """A shape as it stands in a listing, with the dtype where it is not float64."""
    shape = "scalar" if aval.shape == () else str(aval.shape).replace(" ", "")
    return shape if aval.dtype == FLOAT else f"{aval.dtype} {shape}"


class OperandNames:
    """How each slot is called in the listing: its label, its number if it is a constant, or ``%slot``."""

    def __init__(self, tape: Tape) -> None:
        self._labels = dict(tape.labels)
        self._constants = tape.constants

    def __getitem__(self, slot: int) -> str:
        if slot in self._labels:
            return self._labels[slot]
        place = bisect_left(self._constants, slot, key=lambda constant: constant.slot)
        if place == len(self._constants) or self._constants[place].slot != slot:
            return f"%{slot}"
        value = self._constants[place].value
        if np.ndim(value):
            return f"const{list(np.shape(value))}"
        return f"{value:.6g}" if isinstance(value, float) else str(value)


def _rows(tape: Tape, places: range) -> list[tuple[str, ...]]:
    names = OperandNames(tape)
    guards: dict[int, list[Guard]] = {}
    for guard in tape.guards:
        guards.setdefault(guard.slot, []).append(guard)
    rows: list[tuple[str, ...]] = []
    for i, entry in zip(places, tape.entries[places.start : places.stop], strict=True):
        operands = ", ".join(names[slot] for slot in entry.inputs)
        call = operands + "".join(attr_text(name, value) for name, value in entry.attrs)
        shape = shape_text(tape.avals[entry.output])
        rows.append(
            (f"[{i}]", entry.op.name, call, f"-> %{entry.output}", shape, *_source_text(entry.source))
        )
        for guard in guards.get(entry.output, ()):
            outcome = f"%{guard.slot} is {_outcome_text(guard.outcome)}"
            rows.append(("", "guard", outcome, "", "", *_source_text(guard.source)))
    return rows


def _source_text(source: Source | None) -> tuple[str, str]:
    return ("", "") if source is None else (str(source), source.text)


def _outcome_text(outcome: Any) -> str:
    return str(outcome) if np.ndim(outcome) == 0 else f"as recorded, {list(np.shape(outcome))}"


def attr_text(name: str, value: Any) -> str:
    """A static attribute as it stands behind the operands in a listing."""
    if name == "index":
        return "[" + ", ".join(_index_text(item) for item in value) + "]"
    if value is False:
        return ""
    if name == "body":
        return f", {value}"
    return f", {name}={value[0] if isinstance(value, tuple) and len(value) == 1 else value}"


def _index_text(item: Any) -> str:
    if isinstance(item, tuple):
        start, stop, step = ("" if part is None else str(part) for part in item)
        return f"{start}:{stop}" + (f":{step}" if step else "")
    return "..." if item is Ellipsis else str(item)


def aligned(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Rows of cells as lines of columns; a first column of indices stands to the right."""
    if not rows:
        return []
    widths = [min(max(len(row[i]) for row in rows), 32) for i in range(len(rows[0]) - 1)]
    lines = []
    for row in rows:
        cells = [
            cell.rjust(width) if i == 0 and cell.startswith("[") else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=False))
        ]
        lines.append(("  ".join(cells) + "  " + row[-1]).rstrip())
    return lines
