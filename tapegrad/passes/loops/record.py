"""A record in columns of numbers: who computes what from what, for a million entries at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tapegrad.ops.elementwise import add, sub
from tapegrad.ops.indexing import getitem
from tapegrad.ops.registry import Attrs
from tapegrad.tape.tape import Tape

Ints = np.ndarray[Any, np.dtype[np.int64]]
Bools = np.ndarray[Any, np.dtype[np.bool_]]

NONE = -1  # no entry, no array, no family


@dataclass(frozen=True)
class Record:
    """The columns of a tape.

    Attributes
    ----------
    inputs, ends : int arrays
        The inputs of all entries one after the other, and where those of each end, after a 0.
    outputs : int array
        The slots that the entries write.
    writer : int array
        For each slot the entry that writes it, or `NONE`.
    reads : int array
        How often each slot is read, as an output or by a guard too.
    scalar : bool array
        Whether a slot is a single number or truth.
    base, place : int arrays
        For a slot that is an element of an array: that array's slot, and the element's place in it. `NONE`
        elsewhere.
    """

    tape: Tape
    inputs: Ints
    ends: Ints
    outputs: Ints
    writer: Ints
    reads: Ints
    scalar: Bools
    base: Ints
    place: Ints

    @property
    def count(self) -> int:
        """How many entries there are."""
        return len(self.outputs)

    def inputs_of(self, entries: Ints, i: int) -> Ints:
        """Input `i` of these entries."""
        return self.inputs[self.ends[entries] + i]


def record_of(tape: Tape) -> Record:
    """The columns of a tape, as arrays."""
    entries = tape.entries
    inputs, outputs = (
        np.array(entries.all_inputs(), dtype=np.int64),
        np.array(entries.outputs(), dtype=np.int64),
    )
    ends = np.array(entries.ends(), dtype=np.int64)
    slots = len(tape.avals)
    writer = np.full(slots, NONE)
    writer[outputs] = np.arange(len(outputs))
    asked = [*tape.outputs, *(guard.slot for guard in tape.guards)]
    reads = np.bincount(inputs, minlength=slots) + np.bincount(asked, minlength=slots)
    scalar = np.array([aval.shape == () for aval in tape.avals], dtype=bool)
    base, place = np.full(slots, NONE), np.full(slots, NONE)
    for i, op in enumerate(entries.ops()):
        if op is getitem and scalar[outputs[i]] and ends[i + 1] - ends[i] == 1:
            owner = inputs[ends[i]]
            found = _flat_place(entries.attrs()[i], tape.avals[owner].shape)
            if found is not None:
                base[outputs[i]], place[outputs[i]] = owner, found
    return Record(tape, inputs, ends, outputs, writer, reads, scalar, base, place)


def _flat_place(attrs: Attrs, shape: tuple[int, ...]) -> int | None:
    """The place of an element in an array laid out flat, if an index of ints names one."""
    index = dict(attrs)["index"]
    if index and index[-1] is Ellipsis:
        index = index[:-1]
    if len(index) != len(shape) or not all(isinstance(item, (int, np.integer)) for item in index):
        return None
    return int(np.ravel_multi_index([i % n for i, n in zip(index, shape, strict=True)], shape))


# Sums -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sum:
    """A chain of additions and subtractions whose partial sums nobody else reads.

    Attributes
    ----------
    entries : int array
        The entries, in order; the last one gives the whole.
    plus, minus : int arrays
        The slots that are added up, and those that are subtracted.
    """

    entries: Ints
    plus: Ints
    minus: Ints

    @property
    def last(self) -> int:
        """The entry that gives the whole."""
        return int(self.entries[-1])


SHORTEST = 8  # terms; the sums in a recurrence, and of a few columns, are shorter


def sums_of(record: Record, eligible: Bools, colour: Ints) -> list[Sum]:
    """The long sums among these entries. Of two partial sums an addition continues that of its own colour."""
    ops = record.tape.entries.ops()
    is_add = np.array([op is add for op in ops], dtype=bool) & eligible
    is_sum = is_add | (np.array([op is sub for op in ops], dtype=bool) & eligible)
    chosen = np.flatnonzero(is_sum)
    left, right = record.inputs_of(chosen, 0), record.inputs_of(chosen, 1)

    def continues(slots: Ints) -> Bools:
        """Whether these slots are partial sums that nobody else reads."""
        writers = record.writer[slots]
        found: Bools = (writers != NONE) & is_sum[writers] & (record.reads[slots] == 1)
        return found

    by_left, by_right = continues(left), continues(right) & is_add[chosen]
    alike = colour[record.writer[right]] == colour[chosen]
    swapped = by_right & (~by_left | (alike & (colour[record.writer[left]] != colour[chosen])))
    before, term = np.where(swapped, right, left), np.where(swapped, left, right)
    root = np.arange(record.count)
    goes_on = by_left | swapped
    root[chosen[goes_on]] = record.writer[before[goes_on]]
    while True:  # each round doubles how far back it looks
        further = root[root]
        if (further == root).all():
            break
        root = further
    order = np.argsort(root[chosen], kind="stable")
    starts = np.flatnonzero(np.diff(root[chosen][order], prepend=NONE))
    found = []
    for a, b in zip(starts.tolist(), [*starts[1:].tolist(), len(order)], strict=True):
        if b - a >= SHORTEST - 1:
            mine = order[a:b]
            added = is_add[chosen[mine]]
            plus = np.concatenate([before[mine[:1]], term[mine[added]]])
            found.append(Sum(chosen[mine], plus, term[mine[~added]]))
    return found
