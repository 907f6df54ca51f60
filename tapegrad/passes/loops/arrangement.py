"""What of a record is written as a whole: which entries together, which as a sum, which as a recurrence."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tapegrad.passes.loops.elements import NONE, Ints
from tapegrad.passes.loops.families import FEWEST, circles, colours, nodes_of, of_numbers
from tapegrad.passes.loops.record import Bools, Record, Sum, sums_of
from tapegrad.passes.loops.recurrences import Recurrence, recurrence


@dataclass
class Arrangement:
    """The colour of each entry, and what is known of some colours.

    Attributes
    ----------
    colour : int array
    inner : bool array
        The entries inside sums.
    loops : dict of int to Recurrence
        Colours that are loops with a carry.
    sums : dict of int to list of Sum
        Colours that are sums.
    """

    colour: Ints
    inner: Bools
    loops: dict[int, Recurrence]
    sums: dict[int, list[Sum]]


def arranged(record: Record, eligible: Bools) -> Arrangement:
    """Which entries are written together."""
    colour = colours(record, eligible)
    totals = sums_of(record, of_numbers(record, eligible), colour)
    of_sum = np.full(record.count, NONE)
    fresh = record.count * 2
    _, lines = np.unique(colour[np.array([total.last for total in totals], dtype=int)], return_inverse=True)
    for k, (total, line) in enumerate(zip(totals, lines.tolist(), strict=True)):
        of_sum[total.entries], colour[total.entries] = k, fresh + line
    fresh += len(totals)
    inner = np.zeros(record.count, dtype=bool)
    for total in totals:
        inner[total.entries[:-1]] = True
    nodes = nodes_of(record, colour, inner)
    loops: dict[int, Recurrence] = {}
    _, found = circles(nodes)
    for circle in found:
        members = np.flatnonzero(np.isin(nodes.of_entry, circle))
        in_sums = of_sum[members]
        loop = recurrence(record, members, colour) if (in_sums == NONE).all() else None
        if loop is not None:
            colour[loop.early] = fresh + np.arange(len(loop.early))
            fresh += len(loop.early)
            colour[loop.entries] = fresh
            loops[fresh] = loop
            fresh += 1
            continue
        circular = {totals[k].last: totals[k] for k in np.unique(in_sums[in_sums != NONE]).tolist()}
        whole = members[(in_sums == NONE) | np.isin(members, list(circular))]
        fresh = _by_level(record, whole, circular, colour, fresh)
    sums: dict[int, list[Sum]] = {}
    for total in totals:
        sums.setdefault(int(colour[total.last]), []).append(total)
    return Arrangement(colour, inner, loops, sums)


def _by_level(record: Record, members: Ints, sums: dict[int, Sum], colour: Ints, fresh: int) -> int:
    """Colour entries that depend on others of their colour anew, by how many stand before them.

    `sums` are the sums that end with some of them.
    """
    level = _levels(record, members, sums)
    _, group = np.unique(colour[members] * (level.max() + 1) + level, return_inverse=True)
    if (group.max() + 1) * FEWEST > len(members):
        group = np.arange(len(members))
    colour[members] = fresh + group
    for i, total in sums.items():
        colour[total.entries] = colour[i]
    return fresh + len(members)


def _levels(record: Record, members: Ints, sums: dict[int, Sum]) -> Ints:
    """How many of these entries stand before each of them, one after the other."""
    lengths = record.ends[members + 1] - record.ends[members]
    ends = np.concatenate([[0], np.cumsum(lengths)])
    slots = record.inputs[np.arange(ends[-1]) + np.repeat(record.ends[members] - ends[:-1], lengths)]
    slots = np.where(record.base[slots] == NONE, slots, record.base[slots])
    reads, starts = slots.tolist(), ends.tolist()
    level: dict[int, int] = {}
    for k, (i, output) in enumerate(zip(members.tolist(), record.outputs[members].tolist(), strict=True)):
        read = reads[starts[k] : starts[k + 1]]
        if i in sums:
            terms = np.concatenate([sums[i].plus, sums[i].minus])
            read = np.where(record.base[terms] == NONE, terms, record.base[terms]).tolist()
        most = 0
        for slot in read:
            before = level.get(slot, 0)
            if before > most:
                most = before
        level[output] = most + 1
    return np.array(list(level.values()))
