"""fold: what depends on neither parameters nor data is computed once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tapegrad.ops.broadcasting import broadcast_to
from tapegrad.recording.values import tidy_value
from tapegrad.tape.builder import Builder, copy_guards, copy_leaves
from tapegrad.tape.tape import Entry, Tape


def fold(tape: Tape) -> Tape:
    """Replace each entry whose inputs are all constants by its value."""
    builder = Builder(tape.name)
    new = copy_leaves(tape, builder)
    known: dict[int, Any] = dict(tape.constants)
    with np.errstate(all="ignore"):
        for entry in tape.entries:
            # A stretched constant stays one number; `simplify` moves the stretching past what uses it.
            op, inputs, output, attrs, source = entry
            if op is not broadcast_to and known.keys() >= set(inputs):
                known[output] = computed(entry, known)
                new[output] = builder.constant(known[output])
            else:
                inputs = tuple([new[slot] for slot in inputs])
                new[output] = builder.emit(op, inputs, attrs, source, tape.avals[output])
    copy_guards(tape, builder, new)
    return builder.finish(new[slot] for slot in tape.outputs)


def computed(entry: Entry, known: Mapping[int, Any]) -> Any:
    """The value of an entry whose inputs are all known: a float or a read-only array."""
    value = tidy_value(entry.op.kernel(*[known[slot] for slot in entry.inputs], **dict(entry.attrs)))
    if isinstance(value, np.ndarray):
        value.flags.writeable = False
    return value
