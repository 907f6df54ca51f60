"""sums: a chain of additions, ``ll = ll + term``, becomes one entry."""

from __future__ import annotations

from tapegrad.ops.broadcasting import add_n
from tapegrad.ops.elementwise import add
from tapegrad.tape.entries import Entry
from tapegrad.tape.rewrite import DROPPED, Copy, rewrite
from tapegrad.tape.slots import reads_of
from tapegrad.tape.tape import SCALAR, Tape

SHORTEST = 4
LONGEST = 256  # a derivative rule is given all inputs once for each of them


def sums(tape: Tape) -> Tape:
    """Replace each chain of scalar additions, whose partial sums nobody else reads, by `add_n` entries.

    The terms are added in the same order, so the bits are the same.
    """
    chains = _chains(tape)
    if not chains:
        return tape
    inner = {slot for terms in chains.values() for slot in terms[1]}

    def rule(copy: Copy, entry: Entry) -> int:
        if entry.output in inner:
            return DROPPED
        if entry.output in chains:
            terms = tuple([copy.new[slot] for slot in chains[entry.output][0]])
            entry = entry._replace(op=add_n, inputs=terms)
        return copy.keep(entry)

    return rewrite(tape, rule)


def _chains(tape: Tape) -> dict[int, tuple[tuple[int, ...], list[int]]]:
    """For the last sum of each chain: its terms in order, and the partial sums before it."""
    reads = reads_of(tape)
    open_chains: dict[int, tuple[list[int], list[int]]] = {}
    for op, inputs, output, _, _ in tape.entries.rows():
        if op is not add or any(tape.avals[slot] != SCALAR for slot in inputs):
            continue
        left, right = inputs
        if right in open_chains and left not in open_chains:
            left, right = right, left  # addition commutes to the last bit
        if left in open_chains and reads[left] == 1 and len(open_chains[left][0]) < LONGEST:
            terms, partial_sums = open_chains.pop(left)
            terms.append(right)
            partial_sums.append(left)
            open_chains[output] = (terms, partial_sums)
        else:
            open_chains[output] = ([left, right], [])
    return {slot: (tuple(t), p) for slot, (t, p) in open_chains.items() if len(t) >= SHORTEST}
