"""once: what depends on data that can be rebound, and on no parameter, is computed when they are bound.

What depends on constants alone is gone by then: see `fold`.
"""

from __future__ import annotations

from dataclasses import replace

from tapegrad.tape.builder import Builder, copy_guards, copy_leaves
from tapegrad.tape.tape import Entry, Tape, needed_for


def once(tape: Tape) -> tuple[Tape, Tape]:
    """Cut a tape in two: what depends on data alone, and the rest, whose data are the outputs of that."""
    if not tape.data:
        return Builder(tape.name).finish(()), tape
    early = _from_data_alone(tape)
    rest = [entry for entry in tape.entries if entry.output not in early]
    read = {slot for entry in rest for slot in entry.inputs}
    read.update((*tape.outputs, *(guard.slot for guard in tape.guards)))
    ends = [slot for slot in (*tape.data, *sorted(early)) if slot in read]
    needed = needed_for(tape, ends)

    first = Builder(tape.name)
    new = copy_leaves(replace(tape, parameters=()), first, needed)
    _copy(tape, [entry for entry in tape.entries if entry.output in needed], first, new)
    outputs = [new[slot] for slot in ends]

    second = Builder(tape.name)
    new = copy_leaves(replace(tape, data=tuple(ends)), second, read)
    _copy(tape, rest, second, new)
    copy_guards(tape, second, new)
    return first.finish(outputs), second.finish(new[slot] for slot in tape.outputs)


def _from_data_alone(tape: Tape) -> set[int]:
    """The outputs of entries that depend on data, but not on parameters, and that no guard asks for."""
    guarded = needed_for(tape, (guard.slot for guard in tape.guards))
    moving, from_data = set(tape.parameters), set(tape.data)
    early = set()
    for entry in tape.entries:
        if not moving.isdisjoint(entry.inputs):
            moving.add(entry.output)
        elif not from_data.isdisjoint(entry.inputs):
            from_data.add(entry.output)
            if entry.output not in guarded:
                early.add(entry.output)
    return early


def _copy(tape: Tape, entries: list[Entry], builder: Builder, new: dict[int, int]) -> None:
    for op, inputs, output, attrs, source in entries:
        inputs = tuple([new[slot] for slot in inputs])
        new[output] = builder.emit(op, inputs, attrs, source, tape.avals[output])
