"""Which entries of a tape a row loop of C takes."""

from __future__ import annotations

from collections.abc import Callable

from tapegrad.ops.registry import Along, Read
from tapegrad.plan.stages import BLOCK
from tapegrad.tape.entries import Row
from tapegrad.tape.tape import Tape, size_of

WIDEST = 64  # numbers to a row
MOST_SUMS = 256  # numbers that stay in registers or close by
MOST_SCATTERED = 1 << 22  # numbers, of all blocks together


class Joins:
    """Which entries a row loop of C takes; all others are executed whole."""

    def __init__(self, tape: Tape, has_form: Callable[[Row], bool]) -> None:
        self._tape = tape
        self._has_form = has_form
        self._leaves = {*tape.data, *(slot for slot, _ in tape.constants)}

    def __call__(self, row: Row, along: Along, rows: int) -> bool:
        op, inputs, output, _, _ = row
        avals = self._tape.avals
        reads = along.reads if len(along.reads) == len(inputs) else (Read.ALIGNED,) * len(inputs)
        for slot, read in zip(inputs, reads, strict=True):
            size = size_of(avals[slot].shape)
            if read is not Read.GATHERED and (size // rows if read.by_block else size) > WIDEST:
                return False
        if op.copies is not None and along.is_sum:
            size = size_of(avals[output].shape) * (rows // BLOCK + 1)
            return inputs[1] in self._leaves and size <= MOST_SCATTERED
        if Read.GATHERED in reads and inputs[1] not in self._leaves:
            return False
        if along.is_sum:
            size = size_of(avals[output].shape)
            return size <= MOST_SUMS and self._has_form(row)
        return size_of(avals[output].shape) // rows <= WIDEST and self._has_form(row)
