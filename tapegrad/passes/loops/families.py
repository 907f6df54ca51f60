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

FEWEST = 8  # entries that are worth an array


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
    large = ~record.small
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


def colours(record: Record, eligible: Bools) -> Ints:
    """A number for each entry, the same for those that may stand in one array: of one op, on one line."""
    entries, avals = record.tape.entries, record.tape.avals
    attrs = entries.attrs()
    which = np.flatnonzero(eligible)
    line, lines = numbered(entries.sources())
    found = np.arange(record.count) + record.count
    found[which] = record.op[which] * len(lines) + line[which]
    is_mixed = np.add.reduceat(~record.plain[record.inputs], record.ends[:-1]) > 0
    has_attrs = np.array([bool(op.attrs) for op in record.ops], dtype=bool)[record.op]
    special = which[(is_mixed | has_attrs)[which]]

    def kind_of(i: int) -> object:
        """What tells entries apart beyond op and line: attributes, and shapes and dtypes of inputs."""
        read = record.inputs[record.ends[i] : record.ends[i + 1]].tolist()
        return attrs[i], found[i], tuple([avals[slot] for slot in read])

    kinds: dict[object, int] = {}
    found[special] = [kinds.setdefault(kind_of(i), len(kinds)) for i in special.tolist()]
    found[special] += len(record.ops) * len(lines)
    found[which] = _dense(found[which])
    return found


def _dense(numbers: Ints) -> Ints:
    """Small numbers, which are not negative, as their places among those that occur."""
    occurs = np.zeros(numbers.max(initial=NONE) + 1, dtype=bool)
    occurs[numbers] = True
    places: Ints = (np.cumsum(occurs) - 1)[numbers]
    return places


def nodes_of(record: Record, colour: Ints, inner: Bools) -> Nodes:
    """Number the colours, and say which reads which; no other node reads the `inner` entries of sums."""
    kept = ~record.dropped
    of_entry = np.full(record.count, NONE)
    of_entry[kept] = _dense(colour[kept])
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
