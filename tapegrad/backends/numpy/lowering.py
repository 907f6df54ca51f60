"""Tape -> Tape: what NumPy runs faster in another form. Slots keep their numbers; some are not written."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tapegrad.ops.elementwise import mul, square
from tapegrad.ops.linalg import matmul
from tapegrad.ops.registry import FLOAT
from tapegrad.tape.entries import Entries, Entry
from tapegrad.tape.slots import deciding_slots, reads_of
from tapegrad.tape.tape import Tape

# To its operands np.dot comes in half the time of np.matmul; last bits may differ.
dot = replace(matmul, name="dot", kernel=np.dot)

# Longer products BLAS shares among threads, and then the sum depends on their number.
LONGEST_PRODUCT = 10_000


def lowered(tape: Tape, block: int) -> Tape:
    """Products by np.dot; among them sums of products of vectors, which then need no array between."""
    exact = deciding_slots(tape)
    uses = reads_of(tape)
    products = {
        entry.output: (entry.inputs * 2)[:2]
        for entry in tape.entries
        if entry.op in (mul, square) and uses[entry.output] == 1 and _is_of_vectors(tape, entry, block)
    }
    inner = {
        entry.output: products[entry.inputs[0]]
        for entry in tape.entries
        if entry.op.name == "sum" and entry.inputs[0] in products and not exact[entry.output]
    }
    summed = {entry.inputs[0] for entry in tape.entries if entry.output in inner}
    entries = []
    for entry in tape.entries:
        if entry.output in inner:
            entry = entry._replace(op=dot, inputs=inner[entry.output], attrs=())
        elif entry.op is matmul and not exact[entry.output] and _gives_a_vector(tape, entry):
            entry = entry._replace(op=dot)
        if entry.output not in summed:
            entries.append(entry)
    return replace(tape, entries=Entries(entries))


def _gives_a_vector(tape: Tape, entry: Entry) -> bool:
    """Whether a product of two matrices or vectors is a vector or a number, which np.dot can write."""
    shapes = [tape.avals[slot].shape for slot in entry.inputs]
    return max(map(len, shapes)) <= 2 and len(tape.avals[entry.output].shape) < 2


def _is_of_vectors(tape: Tape, entry: Entry, block: int) -> bool:
    """Whether an entry multiplies vectors of one length, that BLAS takes in one thread."""
    avals = [tape.avals[slot] for slot in (*entry.inputs, entry.output)]
    (shape, dtype), *others = avals
    if len(shape) != 1 or dtype != FLOAT or any(aval != avals[0] for aval in others):
        return False
    return (block if shape[0] >= 2 * block else shape[0]) <= LONGEST_PRODUCT
