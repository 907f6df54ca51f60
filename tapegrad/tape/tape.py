"""The tape: a linear record of ops over slots, as immutable data.

Each slot is written once, by a leaf or by an entry. A tape holds no values but its constants: a workspace is
handed in when it runs, so that one tape serves many threads, and pickles.
"""

from __future__ import annotations

import linecache
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from tapegrad.ops.registry import BOOL, FLOAT, INT, OPS, Attrs, Aval, Op, Shape, arity_of, broadcast

SCALAR = Aval((), FLOAT)
LISTED = 200
_LANDMARKS = (0.0, np.inf, -np.inf)


class Source(NamedTuple):
    """A line of the user's code."""

    file: str
    line: int

    @property
    def text(self) -> str:
        """The line itself, or an empty string where the file cannot be read."""
        return linecache.getline(self.file, self.line).strip()

    def __str__(self) -> str:
        return f"{os.path.basename(self.file)}:{self.line}"


class Entry(NamedTuple):
    """One step of a tape: apply `op` to the slots `inputs` and write the slot `output`."""

    op: Op
    inputs: tuple[int, ...]
    output: int
    attrs: Attrs
    source: Source | None


class Guard(NamedTuple):
    """What the user's code decided on: the tape holds only while `slot` has this `outcome`."""

    slot: int
    outcome: Any
    source: Source | None


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
    entries : tuple of Entry
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
    entries: tuple[Entry, ...]
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


def needed_for(tape: Tape, slots: Iterable[int]) -> set[int]:
    """All slots that these depend on, themselves included."""
    needed = set(slots)
    for entry in reversed(tape.entries):
        if entry.output in needed:
            needed.update(entry.inputs)
    return needed


def deciding_slots(tape: Tape) -> set[int]:
    """All slots whose last bit can matter: what guards, comparisons, roundings and sorts depend on.

    A comparison with 0 or infinity for equality is no such case: rounding takes nothing there or away.
    """
    ends = [guard.slot for guard in tape.guards]
    insensitive = {slot for slot, value in tape.constants if np.ndim(value) == 0 and value in _LANDMARKS}
    for entry in tape.entries:
        if entry.op.rule is None and not (
            entry.op.name == "equal" and insensitive.intersection(entry.inputs)
        ):
            ends += entry.inputs
    return needed_for(tape, ends)


def aval_of(value: Any) -> Aval:
    """The shape and dtype of a number or an array."""
    return SCALAR if type(value) is float else Aval(np.shape(value), np.asarray(value).dtype)


def verify(tape: Tape) -> None:
    """Check every invariant of a tape.

    Raises
    ------
    TapeError
        If a slot is read before it is written, written twice or never, or has another shape or dtype than its
        op gives; if an op is not in the registry, or an attribute is none that its record declares; if the op
        does not take what an entry hands to it; if a constant disagrees with its slot or can be written to.
    """
    written: set[int] = set()
    _verify_leaves(tape, written)
    constants = dict(tape.constants)
    for entry in tape.entries:
        _verify_entry(tape, entry, written, constants)
    missing = set(range(len(tape.avals))) - written
    if missing:
        raise TapeError(f"slots {sorted(missing)[:5]} are never written")
    for slot in (*tape.outputs, *(guard.slot for guard in tape.guards), *(slot for slot, _ in tape.labels)):
        if type(slot) is not int or slot not in written:
            raise TapeError(f"%{slot} is an output, a guard or a label, but no slot")


def _verify_leaves(tape: Tape, written: set[int]) -> None:
    leaves: Sequence[int] = (*tape.parameters, *tape.data, *(constant.slot for constant in tape.constants))
    for slot in leaves:
        if type(slot) is not int or slot in written or not 0 <= slot < len(tape.avals):
            raise TapeError(f"leaf %{slot} is written twice or has no aval")
        written.add(slot)
    for slot in tape.parameters:
        if tape.avals[slot].dtype != FLOAT:
            raise TapeError(f"parameter %{slot} is not float64")
    for slot, value in tape.constants:
        if aval_of(value) != tape.avals[slot]:
            raise TapeError(f"constant %{slot} is {aval_of(value)}, its slot {tape.avals[slot]}")
        if isinstance(value, np.ndarray) and value.flags.writeable:
            raise TapeError(f"constant %{slot} can be written to")


def _verify_entry(tape: Tape, entry: Entry, written: set[int], constants: Mapping[int, Any]) -> None:
    op = entry.op
    if OPS.get(op.name) is not op:
        raise TapeError(f"{op!r:.60} is not in the registry")
    where = f"%{entry.output} = {op.name}{entry.inputs}"
    if any(slot not in written for slot in entry.inputs):
        raise TapeError(f"{where} reads a slot before it is written")
    if type(entry.output) is not int or entry.output in written or not 0 <= entry.output < len(tape.avals):
        raise TapeError(f"{where} writes a slot twice, or one without an aval")
    avals = [tape.avals[slot] for slot in entry.inputs]
    try:
        _verify_call(op, avals, entry.attrs, [constants.get(slot) for slot in entry.inputs])
        given = op.aval(avals, dict(entry.attrs))
    except Exception as error:  # the op's own, about what it was given
        raise TapeError(f"{where}: {error}") from error
    if given != tape.avals[entry.output]:
        raise TapeError(f"{where}: the op gives another shape or dtype than {tape.avals[entry.output]}")
    if tape.avals[entry.output].dtype not in (FLOAT, BOOL, INT):
        raise TapeError(f"{where}: {tape.avals[entry.output].dtype} cannot stand on a tape")
    written.add(entry.output)


def _verify_call(op: Op, avals: Sequence[Aval], attrs: Attrs, values: Sequence[Any]) -> None:
    """Check that an op takes such inputs and such attributes; `values` has those of constants, else None."""
    if not avals or (op.shape is broadcast and len(avals) not in arity_of(op)):
        raise TapeError(f"the op does not take {len(avals)} inputs")
    for i, aval in enumerate(avals):
        takes = op.takes_at(i)
        if takes is not None and takes != aval.dtype:
            raise TapeError(f"input {i} is {aval.dtype}, the op takes {takes}")
    names = [name for name, _ in attrs]
    if sorted(map(str, names)) != sorted(op.attrs):
        raise TapeError(f"the op takes the attributes {sorted(op.attrs)}, not {names!a:.80}")
    for name, value in attrs:
        if not op.attrs[name](value, avals[0].shape):
            raise TapeError(f"{value!a:.40} is no {name} for this op")
    shapes = [aval.shape for aval in avals]
    if op.fits is not None and not op.fits(shapes, values, **dict(attrs)):
        raise TapeError(f"the op does not take shapes {shapes}")


# The listing ------------------------------------------------------------------------------------------------


def listing(tape: Tape, limit: int | None = None) -> str:
    """The tape as text: a header, then one line per entry, with guards where they were met.

    Parameters
    ----------
    tape : Tape
    limit : int, optional
        Show at most about this many lines, the first and the last ones; by default all.
    """
    rows = list(_rows(tape))
    if limit is not None and len(rows) > limit:
        head, tail = rows[: limit - limit // 5], rows[-(limit // 5) :]
        left_out = len(rows) - len(head) - len(tail)
        lines = [*aligned(head), f"  ... {left_out:,} more lines ...", *aligned(tail)]
    else:
        lines = aligned(rows)
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


def operand_text(tape: Tape) -> dict[int, str]:
    """How each slot is called in the listing: its label, its number if it is a constant, or ``%slot``."""
    texts = {slot: f"%{slot}" for slot in range(len(tape.avals))}
    for slot, value in tape.constants:
        if np.ndim(value) == 0:
            texts[slot] = f"{value:.6g}" if isinstance(value, float) else str(value)
        else:
            texts[slot] = f"const{list(np.shape(value))}"
    texts.update(dict(tape.labels))
    return texts


def _rows(tape: Tape) -> Iterator[tuple[str, ...]]:
    texts = operand_text(tape)
    guards: dict[int, list[Guard]] = {}
    for guard in tape.guards:
        guards.setdefault(guard.slot, []).append(guard)
    for i, entry in enumerate(tape.entries):
        operands = ", ".join(texts[slot] for slot in entry.inputs)
        call = operands + "".join(attr_text(name, value) for name, value in entry.attrs)
        shape = shape_text(tape.avals[entry.output])
        yield (f"[{i}]", entry.op.name, call, f"-> %{entry.output}", shape, *_source_text(entry.source))
        for guard in guards.get(entry.output, ()):
            outcome = f"%{guard.slot} is {_outcome_text(guard.outcome)}"
            yield ("", "guard", outcome, "", "", *_source_text(guard.source))


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
