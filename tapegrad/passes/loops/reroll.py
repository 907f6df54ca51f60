"""reroll: what a loop did number by number becomes array code.

Entries that do the same in different iterations are one entry on arrays; their operands are found by where
they stand, whatever the order: one slot for all, a column of constants, elements of an array, results of
another such entry, or a mixture. A sum over iterations is a sum of arrays. What an iteration hands on to the
next is a recurrence. Nothing is guessed: each number is computed from the same operands as before, and what
fits no array stays as it is.
"""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from typing import Any

import numpy as np

from tapegrad.derive.batching import BatchingError, Operand, applied
from tapegrad.ops.broadcasting import add_n, broadcast_to, sum_
from tapegrad.ops.elementwise import mul, neg, sub
from tapegrad.ops.indexing import ARRAY, scatter
from tapegrad.ops.shaping import reshape
from tapegrad.passes.loops.arrangement import Arrangement, arranged
from tapegrad.passes.loops.chains import REDUCTIONS, alike, reduced, reduced_together
from tapegrad.passes.loops.elements import NONE, Ints
from tapegrad.passes.loops.families import (
    FEWEST,
    eligible_entries,
    in_order,
    nodes_of,
)
from tapegrad.passes.loops.linear import is_linear, states, steps_of
from tapegrad.passes.loops.nonlinear import can_be_body, scanned
from tapegrad.passes.loops.pools import Pools
from tapegrad.passes.loops.record import Bools, Sum, record_of
from tapegrad.passes.loops.recurrences import Recurrence
from tapegrad.tape.line import Source
from tapegrad.tape.tape import Guard, Tape

SHORTEST = 64  # entries on single numbers, below which a tape is left alone


class Rewritten(Pools):
    """The short tape being written, family by family."""

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
        arrays = None
        if not can_be_body(self, found, rows):
            pass
        elif (
            is_linear(found, [row.op for row in rows])
            and self.record.scalar[self.record.outputs[found.entries[0]]].all()
        ):
            steps = steps_of(self, found, sources, [row.op for row in rows])
            arrays = states(self, found, steps, first, source)
        else:
            with suppress(BatchingError):
                arrays = scanned(self, found, rows, first, source)
        if arrays is None:
            for i in np.sort(found.entries, axis=None).tolist():
                self.single(i)
            return
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
