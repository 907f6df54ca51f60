"""A tape with further entries among those recorded, each after what it reads."""

from __future__ import annotations

from array import array
from collections.abc import Sequence

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
    tape, n = found.wiring.tape, found.count
    slots = len(tape.avals)
    size = slots + n * len(both.blocks)
    order = _Order(found, slots, max(size, *(block.start + n for block in both.blocks)))
    for block in both.blocks:
        order.place(block)
    wanted = [np.flatnonzero(block.wanted) for block in both.blocks]
    written = np.concatenate(
        [found.wiring.outputs, *(b.start + turns for b, turns in zip(both.blocks, wanted, strict=True))]
    )
    rank = np.lexsort((order.depth[written], order.entry[written]))
    new, leaves = _numbers(tape, written[rank], len(order.entry))
    inputs = np.concatenate(
        [
            both.inputs[: len(found.wiring.inputs)],
            *(b.inputs[:, turns].T.ravel() for b, turns in zip(both.blocks, wanted, strict=True)),
        ]
    )
    lengths = np.concatenate(
        [
            np.diff(found.wiring.ends),
            *(np.full(len(turns), len(b.inputs)) for b, turns in zip(both.blocks, wanted, strict=True)),
        ]
    )
    starts = np.concatenate([[0], np.cumsum(lengths)])[:-1]
    lengths = lengths[rank]
    ends = np.concatenate([[0], np.cumsum(lengths)])
    read = new[inputs[np.arange(ends[-1]) + np.repeat(starts[rank] - ends[:-1], lengths)]]
    if (read >= np.repeat(new[written[rank]], lengths)).any():
        raise Unknown
    columns = Columns([], read.tolist(), array("i", ends.tolist()), [], [])
    rows = _rows(tape, both.blocks, wanted)
    avals = [tape.avals[slot] for slot in leaves]
    for i in rank.tolist():
        op, attrs, source, aval = rows[i]
        columns.ops.append(op)
        columns.attrs.append(attrs)
        columns.sources.append(source)
        avals.append(aval)
    return Tape(
        tape.name,
        tuple(avals),
        tuple(new[list(tape.parameters)].tolist()),
        tuple(new[list(tape.data)].tolist()),
        tuple([constant._replace(slot=int(new[constant.slot])) for constant in tape.constants]),
        Entries.of(columns, range(len(leaves), len(leaves) + len(rank))),
        tuple(new[both.inputs[len(found.wiring.inputs) :]].tolist()),
        tuple([guard._replace(slot=int(new[guard.slot])) for guard in both.guards]),
        tuple((int(new[slot]), label) for slot, label in tape.labels),
    )


def _numbers(tape: Tape, written: Ints, size: int) -> tuple[Ints, list[int]]:
    """The new slot of each old slot and new entry; and the leaves, which come first."""
    leaves = [*tape.parameters, *tape.data, *(constant.slot for constant in tape.constants)]
    new = np.full(size, NONE)
    new[leaves] = np.arange(len(leaves))
    new[written] = len(leaves) + np.arange(len(written))
    return new, leaves


def _rows(tape: Tape, blocks: Sequence[Block], wanted: Sequence[Ints]) -> list[tuple]:  # type: ignore[type-arg]
    entries = tape.entries
    avals = [tape.avals[slot] for slot in entries.outputs()]
    rows = list(zip(entries.ops(), entries.attrs(), entries.sources(), avals, strict=True))
    for block, turns in zip(blocks, wanted, strict=True):
        for turn in turns.tolist():
            attrs = block.attrs[0] if len(block.attrs) == 1 else block.attrs[turn]
            rows.append((block.op, attrs, block.source, block.aval))
    return rows
