"""Tape -> Tape: what NumPy runs faster in another form. Slots keep their numbers; some are not written."""

from __future__ import annotations

from dataclasses import replace

from tapegrad.ops.broadcasting import sum_
from tapegrad.ops.elementwise import mul, square
from tapegrad.ops.linalg import dot_, matmul
from tapegrad.ops.registry import FLOAT
from tapegrad.tape.entries import Entries, Entry, entry_of
from tapegrad.tape.slots import Marks, reads_of
from tapegrad.tape.tape import Tape

# Longer products BLAS shares among threads, and then the sum depends on their number.
LONGEST_PRODUCT = 10_000


def lowered(tape: Tape, block: int, exact: Marks) -> Tape:
    """Products by np.dot; among them sums of products of vectors, which then need no array between.

    Those that are `exact`, whose last bit can matter, stay as they are.
    """
    sums, products, matmuls = _candidates(tape, block)
    if not sums and not matmuls:
        return tape
    reads = reads_of(tape)
    instead = {
        entry.output: entry._replace(op=dot_, inputs=products[entry.inputs[0]], attrs=())
        for entry in sums
        if entry.inputs[0] in products and reads[entry.inputs[0]] == 1 and not exact[entry.output]
    }
    summed = {entry.inputs[0] for entry in sums if entry.output in instead}
    instead.update((entry.output, entry._replace(op=dot_)) for entry in matmuls if not exact[entry.output])
    if not instead:
        return tape
    kept = (instead.get(row[2], row) for row in tape.entries.rows() if row[2] not in summed)
    return replace(tape, entries=Entries(kept))


def _candidates(tape: Tape, block: int) -> tuple[list[Entry], dict[int, tuple[int, int]], list[Entry]]:
    """Sums, the factors of products of vectors, and products of matrices that give vectors or numbers."""
    sums, matmuls = [], []
    products: dict[int, tuple[int, int]] = {}
    is_array = bytearray([aval.shape != () for aval in tape.avals])
    for row in tape.entries.rows():
        if row[0] is sum_:
            sums.append(entry_of(row))
        elif row[0] is matmul and _gives_a_vector(tape, entry_of(row)):
            matmuls.append(entry_of(row))
        elif is_array[row[2]] and row[0] in (mul, square) and _is_of_vectors(tape, entry_of(row), block):
            products[row[2]] = (row[1][0], row[1][-1])
    return sums, products, matmuls


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
