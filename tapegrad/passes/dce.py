"""dce: entries and constants that no output and no guard needs are dropped."""

from __future__ import annotations

from tapegrad.builder import Builder, copy_guards, copy_leaves
from tapegrad.tape import Tape


def dce(tape: Tape) -> Tape:
    """Keep only what leads to an output or to a guard."""
    needed = {*tape.outputs, *(guard.slot for guard in tape.guards)}
    kept = []
    for entry in reversed(tape.entries):
        if entry.output in needed:
            needed.update(entry.inputs)
            kept.append(entry)
    builder = Builder(tape.name)
    new = copy_leaves(tape, builder, needed)
    for entry in reversed(kept):
        inputs = tuple([new[slot] for slot in entry.inputs])
        aval = tape.avals[entry.output]
        new[entry.output] = builder.emit(entry.op, inputs, entry.attrs, entry.source, aval)
    copy_guards(tape, builder, new)
    return builder.finish(new[slot] for slot in tape.outputs)
