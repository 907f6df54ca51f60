"""repeats: constants that are the same along an axis are kept once, and broadcast.

The derivative of a loop multiplies by unit vectors, one for each step. As an array of all steps they would be
read from memory, again and again.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tapegrad.ops.registry import FLOAT
from tapegrad.tape.entries import Entry
from tapegrad.tape.rewrite import Copy
from tapegrad.tape.tape import Tape

_SHORTEST = 8  # along the axis


def repeats(tape: Tape) -> Tape:
    """Keep rows of constant tables that repeat once, where elementwise ops read them beside other rows."""
    narrow: dict[int, Any] = {}
    for slot, value in tape.constants:
        if np.ndim(value) > 1 and (found := _narrowed(value)) is not None:
            narrow[slot] = found
    if not narrow:
        return tape
    new: dict[int, int] = {}

    def rule(copy: Copy, entry: Entry) -> int:
        if not entry.op.is_elementwise:
            return copy.keep(entry)
        inputs = list(entry.inputs)
        for i, slot in enumerate(inputs):
            value = known.get(slot)
            if value is None:
                continue
            shapes = [copy.builder.avals[s].shape if j != i else value.shape for j, s in enumerate(inputs)]
            if np.broadcast_shapes(*shapes) == tape.avals[entry.output].shape:
                if slot not in new:
                    new[slot] = copy.builder.constant(value)
                inputs[i] = new[slot]
        return copy.keep(entry._replace(inputs=tuple(inputs)))

    copy = Copy(tape)
    known = {copy.new[slot]: value for slot, value in narrow.items()}
    return copy.run(rule)


def _narrowed(value: Any) -> Any:
    """A table with one row in the place of many, if they are the same to the last bit; None if not."""
    if value.dtype != FLOAT or value.shape[0] < _SHORTEST or value.size == value.shape[0]:
        return None
    rows = np.ascontiguousarray(value).view(np.int64).reshape(len(value), -1)
    if not (rows[0] == rows[1]).all() or not (rows == rows[:1]).all():
        return None
    return np.array(value[:1])
