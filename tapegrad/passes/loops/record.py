"""A record in columns of numbers: who computes what from what, for a million entries at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from tapegrad.ops.elementwise import add, logaddexp, mul, sub
from tapegrad.ops.registry import Op
from tapegrad.passes.loops.elements import NONE, Elements, elements_of
from tapegrad.tape.tape import SCALAR, Tape, size_of

Ints = np.ndarray[Any, np.dtype[np.int64]]
Bools = np.ndarray[Any, np.dtype[np.bool_]]
Item = TypeVar("Item")

MOST_SMALL = 64  # elements of a row
MOST_COPIED = 4  # elements of arrays that are put together, for each entry of the record


@dataclass(frozen=True)
class Record:
    """The columns of a tape. A slot `NONE` is none.

    Attributes
    ----------
    op : int array
        The op of each entry, as its place in `ops`.
    ops : list of Op
        The ops that occur.
    inputs, ends : int arrays
        The inputs of all entries one after the other, and where those of each end, after a 0.
    outputs : int array
        The slots that the entries write.
    writer : int array
        For each slot the entry that writes it, or `NONE`.
    reads : int array
        How often each slot is read, as an output or by a guard too.
    scalar, small, plain : bool arrays
        Whether a slot is a single number or truth; or that, or an array that may be a row of a larger one;
        or a float.
    base, place : int arrays
        For a slot that is an element of an array: that array's slot, and the element's place in it. `NONE`
        elsewhere.
    same : int array
        For each slot the one that holds the same number, which is read instead.
    whole : dict of int to (int, int array)
        Entries that give an array filled element by element: the array that it began as, and the slot of each
        element's number, `NONE` where it is still the first array's.
    dropped : bool array
        Entries that nobody needs any more, since elements are read where they stand.
    """

    tape: Tape
    op: Ints
    ops: list[Op]
    inputs: Ints
    ends: Ints
    outputs: Ints
    writer: Ints
    reads: Ints
    scalar: Bools
    small: Bools
    plain: Bools
    base: Ints
    place: Ints
    same: Ints
    whole: dict[int, tuple[int, Ints]]
    dropped: Bools

    @property
    def count(self) -> int:
        """How many entries there are."""
        return len(self.outputs)

    def inputs_of(self, entries: Ints, i: int) -> Ints:
        """Input `i` of these entries."""
        return self.inputs[self.ends[entries] + i]


def numbered(items: Sequence[Item]) -> tuple[Ints, list[Item]]:
    """Each object as its place among the distinct ones, and those in order; no Python code runs for each.

    Equal objects may count as several: to hash shapes takes ten times as long as to ask who is who.
    """
    ids = np.fromiter(map(id, items), np.int64, len(items))
    distinct = np.unique(ids)
    which = np.searchsorted(distinct, ids)
    first = np.zeros(len(distinct), dtype=np.int64)
    first[which[::-1]] = np.arange(len(items))[::-1]
    order = np.argsort(first)
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    return place[which], [items[i] for i in first[order].tolist()]


def record_of(tape: Tape) -> Record:
    """The columns of a tape, as arrays."""
    found = _columns(tape, elements_of(tape))
    if sum(len(slots) for _, slots in found.whole.values()) > MOST_COPIED * found.count:
        found = _columns(tape, elements_of(tape, buffers=False))
    return found


def _columns(tape: Tape, found: Elements) -> Record:
    entries, slots = tape.entries, len(tape.avals)
    same, base = np.array(found.same), np.array(found.base)
    outputs, ends = np.array(entries.outputs(), dtype=np.int64), np.array(entries.ends(), dtype=np.int64)
    inputs = same[np.array(entries.all_inputs(), dtype=np.int64)]
    writer = np.full(slots, NONE)
    writer[outputs] = np.arange(len(outputs))
    versions = np.zeros(slots, dtype=bool)
    versions[list(found.versions)] = True
    dropped = (same[outputs] != outputs) | (base[outputs] != NONE) | versions[outputs]
    asked = same[[*tape.outputs, *(guard.slot for guard in tape.guards)]]
    read = np.concatenate([inputs[np.repeat(~dropped, np.diff(ends))], asked])
    whole: dict[int, tuple[int, Ints]] = {}
    for slot in np.unique(read[versions[read]]).tolist():
        whole[int(writer[slot])] = found.contents(slot, size_of(tape.avals[slot].shape))
    dropped[list(whole)] = False
    inputs, ends = _with_contents(inputs, ends, whole)
    reads = np.bincount(inputs[np.repeat(~dropped, np.diff(ends))], minlength=slots)
    reads += np.bincount(asked, minlength=slots)
    kind, kinds = numbered(tape.avals)
    facts = [(aval.shape == (), size_of(aval.shape) <= MOST_SMALL, aval == SCALAR) for aval in kinds]
    scalar, small, plain = np.array(facts, dtype=bool).reshape(-1, 3).T[:, kind]
    op, ops = numbered(entries.ops())
    return Record(
        tape,
        op,
        ops,
        inputs,
        ends,
        outputs,
        writer,
        reads,
        scalar,
        small,
        plain,
        base,
        np.array(found.place),
        same,
        whole,
        dropped,
    )


def _with_contents(inputs: Ints, ends: Ints, whole: dict[int, tuple[int, Ints]]) -> tuple[Ints, Ints]:
    """The inputs, where entries of `whole` read the array that a buffer began as and the numbers in it."""
    if not whole:
        return inputs, ends
    lengths, parts, start = np.diff(ends), [], 0
    for i in sorted(whole):
        root, slots = whole[i]
        read = np.unique(np.concatenate([[root], slots[slots != NONE]]))
        parts += [inputs[ends[start] : ends[i]], read]
        lengths[i], start = len(read), i + 1
    return np.concatenate([*parts, inputs[ends[start] :]]), np.concatenate([[0], np.cumsum(lengths)])


# Sums -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sum:
    """A chain of additions and subtractions, or of another op, whose partial sums nobody else reads.

    Attributes
    ----------
    op : Op
        What puts the terms together.
    entries : int array
        The entries, in order; the last one gives the whole.
    plus, minus : int arrays
        The slots that are added up, and those that are subtracted.
    """

    op: Op
    entries: Ints
    plus: Ints
    minus: Ints

    @property
    def last(self) -> int:
        """The entry that gives the whole."""
        return int(self.entries[-1])


# The chain that an op goes on with, by what puts that chain's terms together.
CHAINS: dict[Op, Op] = {add: add, sub: add, mul: mul, logaddexp: logaddexp}
SHORTEST = 8  # terms; the sums in a recurrence, and of a few columns, are shorter


def sums_of(record: Record, eligible: Bools, colour: Ints) -> list[Sum]:
    """The long chains among these entries. A right operand is continued if it is of the same colour."""
    chains = [CHAINS.get(op) for op in record.ops]
    kind = np.array([NONE if chain is None else chains.index(chain) for chain in chains])[record.op]
    kind[~eligible] = NONE
    chosen = np.flatnonzero(kind != NONE)
    if not chosen.size:
        return []
    left, right = record.inputs_of(chosen, 0), record.inputs_of(chosen, 1)
    subtracted = np.array([op is sub for op in record.ops])[record.op[chosen]]

    def continues(slots: Ints) -> Bools:
        """Whether these slots are partial sums that nobody else reads."""
        writers = record.writer[slots]
        found: Bools = (writers != NONE) & (kind[writers] == kind[chosen]) & (record.reads[slots] == 1)
        return found

    by_left, by_right = continues(left), continues(right) & ~subtracted
    swapped = by_right & (colour[record.writer[right]] == colour[chosen])
    swapped &= ~(by_left & (colour[record.writer[left]] == colour[chosen]))
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
    ends = np.append(starts[1:], len(order))
    is_long = ends - starts >= SHORTEST - 1
    found = []
    for a, b in zip(starts[is_long].tolist(), ends[is_long].tolist(), strict=True):
        mine = order[a:b]
        minus = subtracted[mine]
        plus = np.concatenate([before[mine[:1]], term[mine[~minus]]])
        op = CHAINS[record.ops[record.op[chosen[mine[0]]]]]
        found.append(Sum(op, chosen[mine], plus, term[mine[minus]]))
    return found
