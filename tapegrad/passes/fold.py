"""fold: what depends on neither parameters nor data is computed once."""

from __future__ import annotations

from typing import Any

import numpy as np

from tapegrad.builder import Builder, copy_leaves
from tapegrad.tape import Tape
from tapegrad.tracing.recorder import tidy_value


def fold(tape: Tape) -> Tape:
    """Replace each entry whose inputs are all constants by its value, and drop guards that cannot change."""
    builder = Builder(tape.name)
    new = copy_leaves(tape, builder)
    known: dict[int, Any] = dict(tape.constants)
    with np.errstate(all="ignore"):
        for entry in tape.entries:
            if all(slot in known for slot in entry.inputs):
                value = entry.op.kernel(*[known[slot] for slot in entry.inputs], **dict(entry.attrs))
                known[entry.output] = _read_only(tidy_value(value))
                new[entry.output] = builder.constant(known[entry.output])
            else:
                inputs = tuple([new[slot] for slot in entry.inputs])
                aval = tape.avals[entry.output]
                new[entry.output] = builder.emit(entry.op, inputs, entry.attrs, entry.source, aval)
    builder.guards = [g._replace(slot=new[g.slot]) for g in tape.guards if g.slot not in known]
    return builder.finish(new[slot] for slot in tape.outputs)


def _read_only(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        value.flags.writeable = False
    return value
