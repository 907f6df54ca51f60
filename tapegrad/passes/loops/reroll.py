"""reroll: what a loop did number by number becomes array code.

Entries that do the same in different iterations are one entry on arrays; their operands are found by where
they stand, whatever the order: one slot for all, a column of constants, elements of an array, results of
another such entry, or a mixture. A sum over iterations is a sum of arrays. What an iteration hands on to the
next is a recurrence. Nothing is guessed: each number is computed from the same operands as before, and what
fits no array stays as it is.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np

from tapegrad.derive.batching import BatchingError, Operand, applied
from tapegrad.ops.broadcasting import add_n, broadcast_to, sum_
from tapegrad.ops.elementwise import mul, neg, sub
from tapegrad.ops.indexing import ARRAY, concatenate, getitem, scatter
from tapegrad.ops.registry import FLOAT, Aval, Op
from tapegrad.ops.shaping import CASTS, reshape
from tapegrad.passes.loops.chains import REDUCTIONS, alike, reduced, reduced_together
from tapegrad.passes.loops.elements import NONE, Ints
from tapegrad.passes.loops.families import (
    FEWEST,
    MOST_SMALL,
    circles,
    colours,
    eligible_entries,
    in_order,
    nodes_of,
    of_numbers,
)
from tapegrad.passes.loops.linear import is_linear, states, steps_of
from tapegrad.passes.loops.nonlinear import can_be_body, scanned
from tapegrad.passes.loops.record import Bools, Record, Sum, record_of, sums_of
from tapegrad.passes.loops.recurrences import Recurrence, recurrence
from tapegrad.recording.recorder import Recorder
from tapegrad.tape.line import Source
from tapegrad.tape.rewrite import Copy
from tapegrad.tape.slots import marked
from tapegrad.tape.tape import Guard, Tape, size_of

MOST_RUNS = 4  # neighbours in arrays; more are gathered
SHORTEST = 64  # entries on single numbers, below which a tape is left alone


class Rewritten(Copy):
    """The short tape being written.

    Attributes
    ----------
    owner, place : int arrays
        For an old slot that stands in an array of the new tape: that array's new slot, and its place there.
    """

    def __init__(self, record: Record) -> None:
        kept = (slot for slot, value in record.tape.constants if type(value) is not float)
        super().__init__(record.tape, marked(record.tape, kept))
        self.record = record
        slots = len(record.tape.avals)
        self.owner, self.place = np.full(slots, NONE), np.full(slots, NONE)
        self.value = np.full(slots, np.nan)
        self.is_constant = np.zeros(slots, dtype=bool)
        self.arrays: dict[int, Any] = {}
        self.recorder = Recorder(self.builder)
        for slot, value in record.tape.constants:
            if type(value) is float:
                self.is_constant[slot], self.value[slot] = True, value
            elif np.ndim(value) and value.dtype == FLOAT and value.size <= MOST_SMALL:
                self.arrays[slot] = value
        self.seen: dict[Any, int] = {}
        self.numbers: dict[int, float] = {}

    # Writing ------------------------------------------------------------------------------------------------

    def emit(self, op: Op, inputs: tuple[int, ...], source: Source | None, **attrs: Any) -> int:
        """A new entry; its slot."""
        key = (op, inputs, tuple(attrs.items()))
        if key not in self.seen:
            aval = op.aval([self.builder.avals[slot] for slot in inputs], attrs)
            self.seen[key] = self.builder.emit(op, inputs, tuple(attrs.items()), source, aval)
        return self.seen[key]

    def constant(self, value: Any) -> int:
        """A new constant."""
        if isinstance(value, np.ndarray):
            value.flags.writeable = False
            key: Any = (value.dtype.str, value.shape, value.tobytes())
        else:
            key = ("number", float(value).hex())
        if key not in self.seen:
            self.seen[key] = self.builder.constant(value)
            if isinstance(value, float):
                self.numbers[self.seen[key]] = value
        return self.seen[key]

    def shape(self, slot: int) -> tuple[int, ...]:
        """The shape of a new slot."""
        return self.builder.avals[slot].shape

    def old_aval(self, slot: int) -> Aval:
        """Shape and dtype of an old slot."""
        return self.tape.avals[slot]

    def size(self, slot: int) -> int:
        """The number of elements of a new slot."""
        return size_of(self.shape(slot))

    def value_of(self, slot: int) -> float | None:
        """The number that a new slot always holds, None where it can move."""
        return self.numbers.get(slot)

    # Reading ------------------------------------------------------------------------------------------------

    def stands(self, slots: Ints, array: int) -> None:
        """These old slots are the elements of a new array, in order."""
        self.owner[slots], self.place[slots] = array, np.arange(len(slots))

    def number(self, slot: int, source: Source | None = None) -> int:
        """An old slot, of a number or an array, as a new slot."""
        slot = int(self.record.same[slot])
        if self.new[slot] < 0 and self.is_constant[slot]:
            self.new[slot] = self.constant(float(self.value[slot]))
        elif self.new[slot] < 0:
            self._find_elements(np.array([slot]))
            self.new[slot] = self.emit(
                getitem, (int(self.owner[slot]),), source, index=(int(self.place[slot]),)
            )
        return self.new[slot]

    def _find_elements(self, slots: Ints) -> None:
        """Elements of arrays, which nobody has asked for before, stand in those laid out flat; rows in them."""
        elements = slots[(self.owner[slots] == NONE) & (self.record.base[slots] != NONE)]
        for base in np.unique(self.record.base[elements]).tolist():
            mine = elements[self.record.base[elements] == base]
            flat = self.record.scalar[mine]
            self.owner[mine[~flat]] = self.new[base]
            if flat.any():
                self.owner[mine[flat]] = self._flat(base)
            self.place[mine] = self.record.place[mine]

    def _flat(self, base: int) -> int:
        """An array of the old tape, laid out flat."""
        slot = self.new[base]
        size = self.size(slot)
        return slot if self.shape(slot) == (size,) else self.emit(reshape, (slot,), None, shape=(size,))

    def operand(self, slots: Ints, source: Source | None) -> int:
        """A new slot that holds these old ones, one for each: an array, or a number that stands for all."""
        if (slots == slots[0]).all():
            return self.number(int(slots[0]), source)
        if not self.record.scalar[slots[0]] and all(slot in self.arrays for slot in slots.tolist()):
            return self.constant(np.array([self.arrays[slot] for slot in slots.tolist()]))
        if self.is_constant[slots].all():
            values = self.value[slots]
            same = (values.view(np.int64) == values.view(np.int64)[0]).all()
            return self.constant(float(values[0]) if same else values)
        self._find_elements(slots)
        owners = self.owner[slots]
        if (owners == NONE).all():
            new = {self.number(slot, source) for slot in np.unique(slots).tolist()}
            if len(new) == 1:
                return new.pop()
        return self._assembled(slots, owners, self.place[slots], source)

    def _assembled(self, slots: Ints, owners: Ints, places: Ints, source: Source | None) -> int:
        """An array of elements of others, and of single numbers where there is no owner."""
        breaks = np.flatnonzero((np.diff(owners) != 0) | (np.diff(places) != 1) | (owners[1:] == NONE)) + 1
        runs = list(zip([0, *breaks.tolist()], [*breaks.tolist(), len(slots)], strict=True))
        if len(runs) > MOST_RUNS:
            return self._gathered(slots, owners, places, source)
        parts = [self._run(int(slots[a]), int(owners[a]), int(places[a]), b - a, source) for a, b in runs]
        return parts[0] if len(parts) == 1 else self._joined(parts, source)

    def _joined(self, parts: list[int], source: Source | None) -> int:
        """Arrays one after the other; joins are of floats, so others come back as what they were."""
        dtype = self.builder.avals[parts[0]].dtype
        if dtype == FLOAT:
            return self.emit(concatenate, tuple(parts), source, axis=0)
        floats = tuple([self.emit(CASTS[FLOAT], (part,), source) for part in parts])
        return self.emit(CASTS[dtype], (self.emit(concatenate, floats, source, axis=0),), source)

    def _run(self, slot: int, owner: int, place: int, length: int, source: Source | None) -> int:
        """Neighbours in one array, or one number, as an array."""
        if owner == NONE:
            return self._row(self.number(slot, source), source)
        if length == self.shape(owner)[0]:
            return owner
        return self.emit(getitem, (owner,), source, index=((place, place + length, None),))

    def _row(self, slot: int, source: Source | None) -> int:
        """A number or an array as the only row of one."""
        return self.emit(reshape, (slot,), source, shape=(1, *self.shape(slot)))

    def _gathered(self, slots: Ints, owners: Ints, places: Ints, source: Source | None) -> int:
        parts, starts, start = [], np.zeros(len(slots), dtype=np.int64), 0
        for owner in np.unique(owners).tolist():
            mine = owners == owner
            if owner != NONE:
                parts.append(owner)
                starts[mine] = start + places[mine]
                start += self.shape(owner)[0]
                continue
            if self.is_constant[slots[mine]].all():
                distinct, which = np.unique(self.value[slots[mine]], return_inverse=True)
                parts.append(self.constant(distinct))
            else:
                new = np.array([self.number(slot, source) for slot in slots[mine].tolist()])
                distinct, which = np.unique(new, return_inverse=True)
                parts += [self._row(slot, source) for slot in distinct.tolist()]
            starts[mine] = start + which
            start += len(distinct)
        pool = parts[0] if len(parts) == 1 else self._joined(parts, source)
        if np.array_equal(starts, np.arange(start)):
            return pool
        return self.emit(getitem, (pool, self.constant(starts)), source, index=(ARRAY,))

    # Nodes --------------------------------------------------------------------------------------------------

    def single(self, i: int) -> None:
        """An entry as it stands."""
        op, inputs, output, attrs, source = self.record.tape.entries[i]
        read = tuple([self.number(slot, source) for slot in inputs])
        self.new[output] = self.builder.emit(op, read, attrs, source, self.tape.avals[output])

    def filled(self, i: int) -> None:
        """An array that was filled element by element."""
        output, source = int(self.record.outputs[i]), self.record.tape.entries[i].source
        root, slots = self.record.whole[i]
        kept = slots == NONE
        self._find_elements(slots[~kept])
        owners, places = np.where(kept, NONE, self.owner[slots]), np.where(kept, NONE, self.place[slots])
        if kept.any():
            owners[kept], places[kept] = self._flat(root), np.flatnonzero(kept)
        shape = self.tape.avals[output].shape
        flat = self._assembled(slots, owners, places, source)
        self.new[output] = (
            flat if self.shape(flat) == shape else self.emit(reshape, (flat,), source, shape=shape)
        )

    def family(self, entries: Ints) -> None:
        """Entries that do the same, as one on arrays."""
        op, inputs, _, attrs, source = self.record.tape.entries[int(entries[0])]
        read = tuple([self.operand(self.record.inputs_of(entries, i), source) for i in range(len(inputs))])
        outputs = self.record.outputs[entries]
        if not self.record.scalar[outputs[0]] or not self.record.scalar[list(inputs)].all():
            self._of_arrays(entries, read)
            return
        if all(self.builder.avals[slot].shape == () for slot in read):
            slot = self.emit(op, read, source, **dict(attrs))
            for output in outputs.tolist():
                self.new[output] = slot
            return
        self.stands(outputs, self.emit(op, read, source, **dict(attrs)))

    def _of_arrays(self, entries: Ints, read: tuple[int, ...]) -> None:
        """The same where small arrays are read or made: the iterations are the first axis of larger ones."""
        entry = self.record.tape.entries[int(entries[0])]
        operands = [
            Operand(self.recorder.symbol(new), len(self.shape(new)) > len(self.old_aval(old).shape))
            for new, old in zip(read, entry.inputs, strict=True)
        ]
        self.recorder.at = entry.source
        try:
            found = applied(entry, operands, len(entries))
        except BatchingError:
            for i in entries.tolist():
                self.single(i)
            return
        slot, outputs = found.value.slot, self.record.outputs[entries]
        if found.varies:
            self.stands(outputs, slot)
            return
        for output in outputs.tolist():
            self.new[output] = slot

    def sum(self, total: Sum) -> None:
        """A long sum: of each array that terms come from, its sum. Of other chains, all terms in order."""
        source = self.record.tape.entries[total.last].source
        if total.op in REDUCTIONS:
            self.new[self.record.outputs[total.last]] = reduced(self, total.op, total.plus, source)
            return
        plus = self._parts(total.plus, source)
        parts = [
            *plus,
            *[self.emit(neg, (slot,), source) for slot in self._parts(total.minus, source)],
        ]
        output = int(self.record.outputs[total.last])
        self.new[output] = parts[0] if len(parts) == 1 else self.emit(add_n, tuple(parts), source)

    def _parts(self, slots: Ints, source: Source | None) -> list[int]:
        self._find_elements(slots)
        owners, parts = self.owner[slots], []
        fixed = self.is_constant[slots]
        if self.value[slots[fixed]].any():
            parts.append(self.constant(float(np.sum(self.value[slots[fixed]]))))
        for owner in np.unique(owners[~fixed]).tolist():
            mine = slots[(owners == owner) & ~fixed]
            if owner == NONE:
                new = [self.number(slot, source) for slot in mine.tolist()]
                for part, count in Counter(new).items():
                    parts.append(
                        part if count == 1 else self.emit(mul, (part, self.constant(float(count))), source)
                    )
                continue
            array = owner if self._is_whole(mine, owner) else self.operand(np.sort(mine), source)
            if self.builder.avals[array].shape == ():
                array = self.emit(broadcast_to, (array,), source, shape=(len(mine),))
            parts.append(self.emit(sum_, (array,), source, axis=(0,), keepdims=False))
        return parts

    def _is_whole(self, slots: Ints, owner: int) -> bool:
        places = self.place[slots]
        return len(slots) == self.size(owner) and len(np.unique(places)) == len(slots)

    def sums(self, totals: list[Sum]) -> None:
        """Sums of the same line; many of them are summed segment by segment."""
        if len(totals) < FEWEST:
            for total in totals:
                self.sum(total)
            return
        source = self.record.tape.entries[totals[0].last].source
        op = totals[0].op
        if op in REDUCTIONS:
            for mine in alike([total.plus for total in totals]):
                slot = reduced_together(self, op, [totals[i].plus for i in mine], source)
                self.stands(self.record.outputs[[totals[i].last for i in mine]], slot)
            return
        plus = self._segments([total.plus for total in totals], source)
        whole = plus
        if any(total.minus.size for total in totals):
            whole = self.emit(sub, (plus, self._segments([total.minus for total in totals], source)), source)
        self.stands(self.record.outputs[[total.last for total in totals]], whole)

    def _segments(self, terms: list[Ints], source: Source | None) -> int:
        lengths = np.array(list(map(len, terms)))
        flat = self.operand(np.concatenate(terms), source)
        if not self.shape(flat):
            flat = self.emit(broadcast_to, (flat,), source, shape=(int(lengths.sum()),))
        if (lengths == lengths[0]).all():
            table = self.emit(reshape, (flat,), source, shape=(len(terms), int(lengths[0])))
            return self.emit(sum_, (table,), source, axis=(1,), keepdims=False)
        which = self.constant(np.repeat(np.arange(len(terms)), lengths))
        return self.emit(scatter, (flat, which), source, index=(ARRAY,), shape=(len(terms),))

    def loop(self, found: Recurrence) -> None:
        """A loop with a carry: its recurrence, and then everything in it as array code."""
        entries = self.record.tape.entries
        rows = [entries[int(i)] for i in found.entries[0]]
        sources = [row.source for row in rows]
        lagged = [found.first[len(found.first) - lag, step] for step, lag in found.carried]
        first, source = self.record.outputs[np.array(lagged)], sources[found.carried[0][0]]
        if not can_be_body(self, found, rows):
            for i in np.sort(found.entries, axis=None).tolist():
                self.single(i)
            return
        if (
            is_linear(found, [row.op for row in rows])
            and self.record.scalar[self.record.outputs[found.entries[0]]].all()
        ):
            steps = steps_of(self, found, sources, [row.op for row in rows])
            arrays = states(self, found, steps, first, source)
        else:
            arrays = scanned(self, found, rows, first, source)
        for step in range(found.entries.shape[1]):
            members = found.entries[:, step]
            if step in arrays:
                self.stands(self.record.outputs[members], arrays[step])
        for step in range(found.entries.shape[1]):
            if step not in arrays:
                self.family(found.entries[:, step])

    def guard_all(self) -> None:
        """The guards, in order; those on one array and one line are one."""
        together: dict[Any, list[tuple[int, Guard]]] = {}
        for i, guard in enumerate(self.tape.guards):
            slot = int(self.record.same[guard.slot])
            owner = int(self.owner[slot])
            key = ("number", i) if owner == NONE else (owner, id(guard.source), guard.is_choice)
            turn = i if guard.turns is None else guard.turns[0] if guard.turns else NONE
            together.setdefault(key, []).append((turn, guard))
        for rows in together.values():
            turns, guards = zip(*rows, strict=True)
            slot, outcome, source, _, is_choice = guards[0]
            if len(guards) == 1:
                new = self.number(slot, source)
            else:
                new = self.operand(self.record.same[[guard.slot for guard in guards]], source)
                outcome = np.array([guard.outcome for guard in guards])
                outcome.flags.writeable = False
            self.builder.guards.append(Guard(new, outcome, source, () if is_choice else turns, is_choice))


# What is emitted as a whole ---------------------------------------------------------------------------------


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


def reroll(tape: Tape) -> Tape:
    """Write the loops of a tape as array code."""
    if len(tape.entries) < SHORTEST:
        return tape
    record = record_of(tape)
    eligible = eligible_entries(record)
    if eligible.sum() < SHORTEST:
        return tape
    plan = arranged(record, eligible)
    nodes = nodes_of(record, plan.colour, plan.inner)
    if nodes.count > 0.7 * record.count:
        return tape
    entries = np.flatnonzero(nodes.of_entry != NONE)
    order = np.argsort(nodes.of_entry[entries], kind="stable")
    members = np.split(
        entries[order], np.searchsorted(nodes.of_entry[entries][order], np.arange(1, nodes.count))
    )
    first = np.array([part[0] for part in members])
    new = Rewritten(record)
    with np.errstate(all="ignore"):
        for node in in_order(nodes.count, nodes.before, nodes.after, first):
            _write(new, plan, members[node], eligible)
    new.guard_all()
    return new.builder.finish([new.number(slot) for slot in tape.outputs])


def _write(new: Rewritten, plan: Arrangement, members: Ints, eligible: Bools) -> None:
    colour = int(plan.colour[members[0]])
    if colour in plan.loops:
        new.loop(plan.loops[colour])
    elif colour in plan.sums:
        new.sums(plan.sums[colour])
    elif int(members[0]) in new.record.whole:
        new.filled(int(members[0]))
    elif len(members) < FEWEST or not eligible[members[0]]:
        for i in members.tolist():
            new.single(i)
    else:
        new.family(members)
