"""once: what depends on data that can be rebound, and on no parameter, is computed when they are bound.

What depends on constants alone is gone by then: see `simplify`. Data transposed are read
where they lie: as an array of their own they would be a second copy.
"""

from __future__ import annotations

from dataclasses import replace

from tapegrad.ops.shaping import transpose
from tapegrad.tape.builder import Builder
from tapegrad.tape.entries import Entry
from tapegrad.tape.rewrite import DROPPED, Copy, rewrite
from tapegrad.tape.slots import Marks, ends_of, marked, moving_slots, needed_for
from tapegrad.tape.tape import Tape


def once(tape: Tape) -> tuple[Tape, Tape]:
    """Cut a tape in two: what depends on data alone, and the rest, whose data are the outputs of that."""
    if not tape.data:
        return Builder(tape.name).finish(()), tape
    early = _from_data_alone(tape)
    read = marked(tape, ends_of(tape))
    for entry in tape.entries:
        if not early[entry.output]:
            for slot in entry.inputs:
                read[slot] = 1
    ends = tuple(slot for slot in range(len(tape.avals)) if early[slot] and read[slot])
    ends = (*(slot for slot in tape.data if read[slot]), *ends)
    needed = needed_for(tape, ends)
    first = replace(tape, parameters=(), outputs=ends, guards=())
    second = replace(tape, data=ends)
    return _part(first, needed, needed), _part(second, _other(early), read)


def _part(tape: Tape, entries: Marks, constants: Marks) -> Tape:
    """A tape with those of its entries and constants alone that are marked."""
    leaves = set(tape.data)

    def rule(copy: Copy, entry: Entry) -> int:
        if entry.output in leaves:
            return copy.new[entry.output]
        return copy.keep(entry) if entries[entry.output] else DROPPED

    return rewrite(tape, rule, constants)


def _other(marks: Marks) -> Marks:
    return bytearray([not mark for mark in marks])


def _from_data_alone(tape: Tape) -> Marks:
    """The outputs of entries that depend on data, but not on parameters, and that no guard asks for."""
    guarded = needed_for(tape, (guard.slot for guard in tape.guards))
    moving, from_data = moving_slots(tape, tape.parameters), moving_slots(tape, tape.data)
    early = bytearray(len(tape.avals))
    for entry in tape.entries:
        slot = entry.output
        early[slot] = from_data[slot] and not moving[slot] and not guarded[slot]
    _leave_transposed(tape, early)
    return early


def _leave_transposed(tape: Tape, early: Marks) -> None:
    """Unmark data transposed that are read by what is not marked."""
    read = marked(tape, ends_of(tape))
    is_leaf = marked(tape, tape.data)
    for op, inputs, output, _, _ in tape.entries.rows_back():
        if op is transpose and is_leaf[inputs[0]] and read[output]:
            early[output] = 0
        if not early[output]:
            for slot in inputs:
                read[slot] = 1
