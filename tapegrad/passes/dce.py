"""dce: entries and constants that no output and no guard needs are dropped."""

from __future__ import annotations

from tapegrad.tape.builder import Builder, copy_guards, copy_leaves
from tapegrad.tape.tape import Tape, needed_for


def dce(tape: Tape) -> Tape:
    """Keep only what leads to an output or to a guard."""
    needed = needed_for(tape, (*tape.outputs, *(guard.slot for guard in tape.guards)))
    written = (*(entry.output for entry in tape.entries), *(slot for slot, _ in tape.constants))
    if needed.issuperset(written):
        return tape
    builder = Builder(tape.name)
    new = copy_leaves(tape, builder, needed)
    for entry in tape.entries:
        if entry.output not in needed:
            continue
        inputs = tuple([new[slot] for slot in entry.inputs])
        aval = tape.avals[entry.output]
        new[entry.output] = builder.emit(entry.op, inputs, entry.attrs, entry.source, aval)
    copy_guards(tape, builder, new)
    return builder.finish(new[slot] for slot in tape.outputs)
