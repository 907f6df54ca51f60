"""The invariants of a tape."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tapegrad.ops.registry import BOOL, FLOAT, INT, OPS, Attrs, Aval, Op, arity_of, broadcast
from tapegrad.tape.entries import Entry
from tapegrad.tape.tape import Tape, TapeError, aval_of


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
