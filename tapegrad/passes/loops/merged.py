"""A tape with further entries among those recorded, each after what it reads."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Any

import numpy as np

from tapegrad.passes.loops.both import Block, Both
from tapegrad.passes.loops.elements import NONE, Ints
from tapegrad.passes.loops.iterations import Iterations
from tapegrad.passes.loops.sides import Unknown
from tapegrad.tape.entries import Columns, Entries
from tapegrad.tape.tape import Tape


class _Order:
    """Where new entries stand: behind the recorded entry that they wait for, and by how many lie between."""

    def __init__(self, found: Iterations, slots: int, size: int) -> None:
        self.entry, self.depth = np.full(size, NONE), np.zeros(size, dtype=np.int64)
        self.entry[found.wiring.outputs] = np.arange(len(found.wiring.outputs))
        self._found, self._slots = found, slots

    def place(self, block: Block) -> None:
        """Place the entries of a block, whose operands have been placed."""
        turns = np.arange(self._found.count)
        inputs = np.maximum(block.inputs, 0)
        entry = np.maximum(self.entry[inputs].max(axis=0), self._found.decided)
        depth = np.where(self.entry[inputs] == entry, self.depth[inputs], 0).max(axis=0) + 1
        self.entry[block.start + turns], self.depth[block.start + turns] = entry, depth


def merged(found: Iterations, both: Both) -> Tape:
    """The tape with both sides.

    Raises
    ------
    Unknown
        If an entry as recorded would stand before what it reads.
    """
    tape, outputs = found.wiring.tape, found.wiring.outputs
    order = _Order(found, len(tape.avals), max(block.start + found.count for block in both.blocks))
    for block in both.blocks:
        order.place(block)
    wanted = [np.flatnonzero(block.wanted) for block in both.blocks]
    written = np.concatenate(
        [outputs, *(b.start + turns for b, turns in zip(both.blocks, wanted, strict=True))]
    )
    rank = np.lexsort((order.depth[written], order.entry[written]))
    new, leaves = _numbers(tape, written[rank], len(order.entry))
    inputs, ends = _inputs(found, both, wanted, rank)
    read = new[inputs]
    if (read >= np.repeat(new[written[rank]], np.diff(ends))).any():
        raise Unknown
    ops, attrs, sources, avals = (
        [column[i] for i in rank.tolist()] for column in _columns(tape, both.blocks, wanted)
    )
    columns = Columns(ops, read.tolist(), array("i", ends.tolist()), attrs, sources)
    stay = (guard._replace(slot=int(new[guard.slot])) for guard in both.kept)
    return Tape(
        tape.name,
        (*(tape.avals[slot] for slot in leaves), *avals),
        tuple(new[list(tape.parameters)].tolist()),
        tuple(new[list(tape.data)].tolist()),
        tuple([constant._replace(slot=int(new[constant.slot])) for constant in tape.constants]),
        Entries.of(columns, range(len(leaves), len(leaves) + len(rank))),
        tuple(new[both.inputs[len(found.wiring.inputs) :]].tolist()),
        (*stay, *(guard for taken in both.taken for guard in taken.guards(new))),
        tuple((int(new[slot]), label) for slot, label in tape.labels),
    )


def _inputs(found: Iterations, both: Both, wanted: Sequence[Ints], rank: Ints) -> tuple[Ints, Ints]:
    """The inputs of all entries in their new order, and where those of each end, after a 0."""
    blocks = list(zip(both.blocks, wanted, strict=True))
    recorded = both.inputs[: len(found.wiring.inputs)]
    inputs = np.concatenate([recorded, *(block.inputs[:, turns].T.ravel() for block, turns in blocks)])
    arity = (np.full(len(turns), len(block.inputs)) for block, turns in blocks)
    lengths = np.concatenate([np.diff(found.wiring.ends), *arity])
    starts = np.cumsum(lengths) - lengths
    lengths = lengths[rank]
    ends = np.concatenate([[0], np.cumsum(lengths)])
    return inputs[np.arange(ends[-1]) + np.repeat(starts[rank] - ends[:-1], lengths)], ends


def _numbers(tape: Tape, written: Ints, size: int) -> tuple[Ints, list[int]]:
    """The new slot of each old slot and new entry; and the leaves, which come first."""
    leaves = [*tape.parameters, *tape.data, *(constant.slot for constant in tape.constants)]
    new = np.full(size, NONE)
    new[leaves] = np.arange(len(leaves))
    new[written] = len(leaves) + np.arange(len(written))
    return new, leaves


def _columns(tape: Tape, blocks: Sequence[Block], wanted: Sequence[Ints]) -> tuple[list[Any], ...]:
    """The ops, attributes, lines and shapes of the recorded entries, and of those wanted of the blocks."""
    entries = tape.entries
    ops, attrs, sources = list(entries.ops()), list(entries.attrs()), list(entries.sources())
    avals = [tape.avals[slot] for slot in entries.outputs()]
    for block, turns in zip(blocks, wanted, strict=True):
        ops += [block.op] * len(turns)
        one = block.attrs[0]
        attrs += (
            [one] * len(turns) if len(block.attrs) == 1 else [block.attrs[turn] for turn in turns.tolist()]
        )
        sources += [block.source] * len(turns)
        avals += [block.aval] * len(turns)
    return ops, attrs, sources, avals
