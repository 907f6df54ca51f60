"""Entries that do the same in different iterations, and in what order such families can run."""

from __future__ import annotations

import heapq
from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from tapegrad.derive.batching import RULES
from tapegrad.passes.loops.elements import NONE, Ints
from tapegrad.passes.loops.record import Bools, Record, numbered
from tapegrad.tape.tape import SCALAR, size_of

FEWEST = 8  # entries that are worth an array
MOST_SMALL = 64  # elements of a row


@dataclass(frozen=True)
class Nodes:
    """What is emitted as a whole: families of entries, sums, recurrences, single entries.

    Attributes
    ----------
    of_entry : int array
        The node of each entry; `NONE` for elements of arrays, which are read where they stand.
    before, after : int arrays
        Pairs of nodes, of which the second reads the first.
    count : int
    """

    of_entry: Ints
    before: Ints
    after: Ints
    count: int


def eligible_entries(record: Record) -> Bools:
    """The entries that can stand in an array: those on single numbers, and some on small arrays."""
    if not record.count:
        return np.zeros(0, dtype=bool)
    batchable = np.array([op.is_elementwise or op in RULES for op in record.ops], dtype=bool)[record.op]
    large = ~small_slots(record)
    found: Bools = batchable & ~large[record.outputs] & ~record.dropped
    found &= np.add.reduceat(large[record.inputs], record.ends[:-1]) == 0
    found[list(record.whole)] = False  # each is put together by itself
    return found


def of_numbers(record: Record, eligible: Bools) -> Bools:
    """Those of them that are elementwise, on single numbers."""
    elementwise = np.array([op.is_elementwise for op in record.ops], dtype=bool)[record.op]
    arrays = np.add.reduceat(~record.scalar[record.inputs], record.ends[:-1]) > 0
    found: Bools = eligible & elementwise & record.scalar[record.outputs] & ~arrays
    return found


def small_slots(record: Record) -> Bools:
    """The slots of numbers and of arrays that may be rows of larger ones."""
    kind, kinds = numbered(record.tape.avals)
    small: Bools = np.array([size_of(aval.shape) <= MOST_SMALL for aval in kinds], dtype=bool)[kind]
    return small


def colours(record: Record, eligible: Bools) -> Ints:
    """A number for each entry, the same for those that may stand in one array: of one op, on one line."""
    entries, avals = record.tape.entries, record.tape.avals
    attrs, sources = entries.attrs(), list(map(id, entries.sources()))
    which = np.flatnonzero(eligible)
    line, lines = numbered(sources)
    found = np.arange(record.count) + record.count
    found[which] = record.op[which] * len(lines) + line[which]
    plain = np.array([aval == SCALAR for aval in avals], dtype=bool)
    is_mixed = np.add.reduceat(~plain[record.inputs], record.ends[:-1]) > 0
    special = which[(is_mixed | np.fromiter(map(bool, attrs), bool, len(attrs)))[which]]

    def kind_of(i: int) -> object:
        """What tells entries apart beyond op and line: attributes, and shapes and dtypes of inputs."""
        read = record.inputs[record.ends[i] : record.ends[i + 1]].tolist()
        return attrs[i], found[i], tuple([avals[slot] for slot in read])

    kind, _ = numbered([kind_of(i) for i in special.tolist()])
    found[special] = kind + len(record.ops) * len(lines)
    _, found[which] = np.unique(found[which], return_inverse=True)
    return found


def nodes_of(record: Record, colour: Ints, inner: Bools) -> Nodes:
    """Number the colours, and say which reads which; no other node reads the `inner` entries of sums."""
    kept = ~record.dropped
    of_entry = np.full(record.count, NONE)
    _, of_entry[kept] = np.unique(colour[kept], return_inverse=True)
    slots = record.inputs.copy()
    is_element = record.base[slots] != NONE
    slots[is_element] = record.base[slots[is_element]]
    readers = np.repeat(of_entry, np.diff(record.ends))
    writers = record.writer[slots]
    inner_read = (writers != NONE) & inner[writers]
    writers = np.where(writers == NONE, NONE, of_entry[writers])
    known = (writers != NONE) & (readers != NONE) & ~inner_read
    count = int(of_entry.max(initial=NONE)) + 1
    pairs = np.unique(writers[known] * count + readers[known])
    return Nodes(of_entry, pairs // count, pairs % count, count)


def circles(nodes: Nodes) -> tuple[Ints, list[Ints]]:
    """The strong component of each node, and the nodes of those components that depend on themselves."""
    ones = np.ones(len(nodes.before), dtype=np.int8)
    graph = coo_array((ones, (nodes.before, nodes.after)), shape=(nodes.count, nodes.count))
    _, label = connected_components(graph, directed=True, connection="strong")
    inside = label[nodes.before] == label[nodes.after]
    closed = np.unique(label[nodes.before[inside]])
    order = np.argsort(label, kind="stable")
    starts = np.searchsorted(label[order], [closed, closed + 1])
    return label, [order[a:b] for a, b in starts.T.tolist()]


def in_order(count: int, before: Ints, after: Ints, first: Ints) -> list[int]:
    """The nodes, each after those it reads, and otherwise by their first entries."""
    before, after = before[before != after], after[before != after]  # a loop reads itself
    waiting = np.bincount(after, minlength=count).tolist()
    readers: dict[int, list[int]] = defaultdict(list)
    for a, b in zip(before.tolist(), after.tolist(), strict=True):
        readers[a].append(b)
    rank = first.tolist()
    ready = [(rank[node], node) for node in range(count) if not waiting[node]]
    heapq.heapify(ready)
    ordered = []
    while ready:
        _, node = heapq.heappop(ready)
        ordered.append(node)
        for reader in readers[node]:
            waiting[reader] -= 1
            if not waiting[reader]:
                heapq.heappush(ready, (rank[reader], reader))
    assert len(ordered) == count
    return ordered
