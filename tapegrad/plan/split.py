"""Tape -> Split: what runs once on numbers, and what runs on each piece of the rows, as tapes of their own.

A log-likelihood is a few numbers, one pass over the rows, and a few numbers again. Where the rows do not fit
one machine, numbers go out to the pieces and sums come back. Most functions take one round; sums that others
need, such as a mean that is subtracted, take one more each.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np

from tapegrad.errors import TraceError
from tapegrad.ops.broadcasting import broadcast_to
from tapegrad.ops.elementwise import sub
from tapegrad.ops.reductions import cumsum_
from tapegrad.ops.registry import FLOAT, INT, OPS, Aval, Op, Read
from tapegrad.ops.shaping import CASTS
from tapegrad.plan.apart import Step, apart, numbers_rows, row_axis, row_index, step_of
from tapegrad.recording.frames import location
from tapegrad.recording.values import frozen
from tapegrad.tape.builder import Builder
from tapegrad.tape.entries import Entry
from tapegrad.tape.line import Source
from tapegrad.tape.slots import ends_of, marked, needed_for
from tapegrad.tape.tape import Tape


class Combined(Enum):
    """How the results of the pieces become one."""

    SUM = "add"
    MAXIMUM = "take the largest"
    MINIMUM = "take the smallest"
    LOGSUMEXP = "take the logarithm of the sum of exponentials"
    ANY = "ask whether any holds"
    ALL = "ask whether all hold"
    KEPT = "keep, one after the other"


_REDUCTIONS: dict[Op, Combined] = {
    OPS["max"]: Combined.MAXIMUM,
    OPS["min"]: Combined.MINIMUM,
    OPS["logsumexp"]: Combined.LOGSUMEXP,
    OPS["any"]: Combined.ANY,
    OPS["all"]: Combined.ALL,
}


@dataclass(frozen=True)
class Part:
    """Some entries of a tape as a tape of their own.

    Attributes
    ----------
    tape : Tape
        Its parameters are the slots that it reads whole, all as float64; its data are those of which it reads
        a piece.
    reads, columns, gives : tuple of int
        The slots of the whole tape that its parameters, its data and its outputs are.
    """

    tape: Tape
    reads: tuple[int, ...]
    columns: tuple[int, ...]
    gives: tuple[int, ...]


@dataclass(frozen=True)
class Round:
    """One pass over the rows.

    Attributes
    ----------
    before : Part
        What is computed once, before: no rows in it.
    shard : Part
        What each piece of the rows computes.
    how : tuple of Combined
        For each of its outputs, how those of the pieces become one.
    axes : tuple of int or None
        For each of its outputs the axis along the rows, None where there is none.
    is_exact : bool
        Whether rows that this round computes are computed by another one, too, and one of the two takes their
        extreme: so that it is found among them again, both have to run the steps one by one, as they are.
    """

    before: Part
    shard: Part
    how: tuple[Combined, ...]
    axes: tuple[int | None, ...]
    is_exact: bool


@dataclass(frozen=True)
class Split:
    """A tape as rounds over the rows, and what follows the last one.

    It holds no data: the columns that the shards read are named by their slots.

    Attributes
    ----------
    rows : int
        How many rows the tape was recorded with.
    rounds : tuple of Round
    after : Part
        What is computed once, after the last round: the outputs of the tape, and what its guards ask for.
    """

    rows: int
    rounds: tuple[Round, ...]
    after: Part

    def __str__(self) -> str:
        lines = [f"split of {self.after.tape.name} along {self.rows:,} rows"]
        for each in self.rounds:
            lines.append(f"  once: {_told(each.before)}")
            lines.append(f"  each piece: {_told(each.shard)}, of {len(each.shard.columns)} columns")
            ways = ", ".join(f"{each.how.count(way)} to {way.value}" for way in Combined if way in each.how)
            lines.append(f"  together: {ways}")
        lines.append(f"  once: {_told(self.after)}")
        return "\n".join(lines)


def _told(part: Part) -> str:
    return (
        f"{len(part.tape.entries):,} entries, {len(part.reads)} numbers and arrays in, {len(part.gives)} out"
    )


def split(tape: Tape, rows: int) -> Split:
    """Cut a tape along the axes of `rows` elements.

    Raises
    ------
    TraceError
        If a step mixes rows, such as a sort or a cumulative sum; the message names the user's line.
    """
    return _Splitter(tape, rows).split()


class _Splitter:
    """Which slots lie along the rows, and after how many rounds each is known."""

    def __init__(self, tape: Tape, rows: int) -> None:
        self.tape = tape
        self.rows = rows
        self.axes = [row_axis(aval.shape, rows) for aval in tape.avals]
        self.level = [0] * len(tape.avals)
        self.how: dict[int, Combined] = {}
        # Those that a part can have itself: without rows, or the same in all of them.
        self.constants = {
            slot: value
            for slot, value in tape.constants
            if (axis := self.axes[slot]) is None or is_same_for_all(value, axis)
        }
        # Where they say which rows are taken, it is each row itself.
        self.numbered = {
            slot
            for slot, value in tape.constants
            if slot not in self.constants and numbers_rows(value, self.axes[slot] or 0)
        }
        for entry in tape.entries:
            self._place(entry)
        for slot in ends_of(tape):
            if self.axes[slot] is not None and slot not in tape.outputs:
                raise _refused("a branch", "decides on every row", _source_of(tape, slot))

    def _place(self, entry: Entry) -> None:
        level = max((self.level[slot] for slot in entry.inputs), default=0)
        axis, axes = self.axes[entry.output], tuple([self.axes[slot] for slot in entry.inputs])
        if axis is not None or any(a is not None for a in axes):
            how = self._combined(entry, axes, axis)
            if how is not None:
                self.how[entry.output] = how
                level += 1
        self.level[entry.output] = level

    def _combined(self, entry: Entry, axes: tuple[int | None, ...], axis: int | None) -> Combined | None:
        """How what an entry gives for each piece becomes one; None where it is a piece of rows itself."""
        op, inputs, _, attrs, source = entry
        step = self._step(entry)
        if any(shape.count(self.rows) > 1 for shape in (*step.shapes, step.out)):
            raise _refused(op.name, "compares rows with rows", source)
        if op in _REDUCTIONS and axis is None:
            return _REDUCTIONS[op]
        along = op.along_rows(axes, axis, step.shapes, step.out, attrs)
        if along is None:
            along = apart(op, step)
        if along is None:
            raise _refused(op.name, "mixes rows", source)
        for slot, read in zip(inputs, along.reads, strict=True):
            if self.axes[slot] is not None and not (read.by_block or read is Read.BROADCAST):
                raise _refused(op.name, "reads all rows for each of them", source)
        return Combined.SUM if along.is_sum else None

    def _step(self, entry: Entry) -> Step:
        """An entry, as the rules for pieces see it."""
        return step_of(self.tape, entry, self.rows, self.numbered)

    def _of_itself(self, entry: Entry) -> int | None:
        """The input of an entry that says that each row is taken, by their numbers."""
        if self.numbered.isdisjoint(entry.inputs):
            return None
        place = row_index(entry.op, self._step(entry))
        return place if place is not None and entry.inputs[place] in self.numbered else None

    def _inputs(self, entry: Entry) -> list[int]:
        """What an entry reads, but for the numbers of rows that are taken."""
        place = self._of_itself(entry)
        return [slot for i, slot in enumerate(entry.inputs) if i != place]

    # The parts ----------------------------------------------------------------------------------------------

    def split(self) -> Split:
        """All rounds."""
        tape = self.tape
        needed = needed_for(tape, ends_of(tape))
        kept = [slot for slot in dict.fromkeys(tape.outputs) if self.axes[slot] is not None]
        due = {slot: self.level[slot] for slot in self.how if needed[slot]}
        due.update((slot, self.level[slot] + 1) for slot in kept)
        known = {slot for slot in (*tape.parameters, *tape.data) if self.axes[slot] is None}
        rounds = []
        levels = sorted(set(due.values()))
        gives_at = [[slot for slot in due if due[slot] == level] for level in levels]
        insides = [self._inside(gives) for gives in gives_at]
        exact = self._exact(insides)
        for gives, inside, is_exact in zip(gives_at, insides, exact, strict=True):
            reads, columns = self._read_by(inside)
            before = self._numbers([slot for slot in reads if slot not in known], known)
            shard = self._part(inside, reads, columns, gives)
            known.update((*before.gives, *gives))
            how = tuple([self.how.get(slot, Combined.KEPT) for slot in gives])
            rounds.append(Round(before, shard, how, tuple([self.axes[slot] for slot in gives]), is_exact))
        ends = [slot for slot in dict.fromkeys(ends_of(tape)) if self.axes[slot] is None]
        return Split(self.rows, tuple(rounds), self._numbers(ends, known))

    def _exact(self, insides: Sequence[Sequence[Entry]]) -> list[bool]:
        """For each round whether it computes rows again of which an extreme is known, or is taken there."""
        kinds = (Combined.MAXIMUM, Combined.MINIMUM)
        extremes = {
            entry.inputs[0] for inside in insides for entry in inside if self.how.get(entry.output) in kinds
        }
        written = [{entry.output for entry in inside} & extremes for inside in insides]
        times = Counter(slot for slots in written for slot in slots)
        return [any(times[slot] > 1 for slot in slots) for slots in written]

    def _inside(self, gives: Sequence[int]) -> list[Entry]:
        """The entries along the rows that these slots are made by; results of earlier rounds are read."""
        wanted = marked(self.tape, gives)
        found = []
        for entry in reversed(self.tape.entries):
            slot = entry.output
            if wanted[slot] and (slot in gives or (self.axes[slot] is not None and slot not in self.how)):
                found.append(entry)
                for read in entry.inputs:
                    wanted[read] = 1
        return found[::-1]

    def _read_by(self, inside: Sequence[Entry]) -> tuple[list[int], list[int]]:
        """What these entries read from elsewhere: whole, and by pieces. Constants of no rows they have."""
        written = {entry.output for entry in inside}
        read = sorted({slot for entry in inside for slot in self._inputs(entry)} - written)
        read = [slot for slot in read if slot not in self.constants]
        columns = [slot for slot in read if self.axes[slot] is not None]
        return [slot for slot in read if self.axes[slot] is None], columns

    def _numbers(self, wanted: Sequence[int], known: set[int]) -> Part:
        """What is computed of what is known, without rows."""
        marks = marked(self.tape, wanted)
        entries = []
        for entry in reversed(self.tape.entries):
            if marks[entry.output] and entry.output not in known:
                entries.append(entry)
                for slot in entry.inputs:
                    marks[slot] = 1
        return self._part(entries[::-1], [slot for slot in sorted(known) if marks[slot]], (), wanted)

    def _part(
        self, entries: Sequence[Entry], reads: Sequence[int], columns: Sequence[int], gives: Sequence[int]
    ) -> Part:
        """Entries as a tape: what is read whole arrives as float64, and becomes what it was."""
        tape, builder = self.tape, Builder(self.tape.name)
        labels = dict(tape.labels)
        new: dict[int, int] = {}
        for slot in reads:
            new[slot] = builder.parameter(Aval(tape.avals[slot].shape, FLOAT))
        for slot in columns:
            new[slot] = builder.datum(tape.avals[slot])
        builder.labels.update((new[slot], labels[slot]) for slot in (*reads, *columns) if slot in labels)
        used = [slot for entry in entries for slot in self._inputs(entry)] + list(gives)
        new.update(self._copied([slot for slot in dict.fromkeys(used) if slot in self.constants], builder))
        for slot in reads:
            if (dtype := tape.avals[slot].dtype) != FLOAT:
                new[slot] = builder.emit(CASTS[dtype], (new[slot],), (), None, tape.avals[slot])
        numbers: dict[int, int] = {}
        for entry in entries:
            op, inputs, output, attrs, source = entry
            place = self._of_itself(entry)
            if place is not None and (slot := inputs[place]) not in numbers:
                numbers[slot] = self._numbers_of(slot, builder)
            operands = [(numbers if i == place else new)[slot] for i, slot in enumerate(inputs)]
            new[output] = builder.emit(op, tuple(operands), attrs, source, tape.avals[output])
        return Part(builder.finish(new[slot] for slot in gives), tuple(reads), tuple(columns), tuple(gives))

    def _copied(self, slots: Sequence[int], builder: Builder) -> dict[int, int]:
        """Constants of the part that is written; of those along the rows, which are all the same, one."""
        along = [slot for slot in slots if self.axes[slot] is not None]
        new = {slot: builder.constant(one_row(self.constants[slot], self.axes[slot] or 0)) for slot in along}
        new.update((slot, builder.constant(self.constants[slot])) for slot in slots if slot not in new)
        for slot in along:
            aval = self.tape.avals[slot]
            new[slot] = builder.emit(broadcast_to, (new[slot],), (("shape", aval.shape),), None, aval)
        return new

    def _numbers_of(self, slot: int, builder: Builder) -> int:
        """The numbers of the rows of a piece, in the shape of a constant that holds those of all."""
        aval, axis = self.tape.avals[slot], self.axes[slot]
        shape = Aval(aval.shape, FLOAT)
        one = builder.constant(1.0)
        found = builder.emit(broadcast_to, (one,), (("shape", aval.shape),), None, shape)
        found = builder.emit(cumsum_, (found,), (("axis", axis),), None, shape)
        found = builder.emit(sub, (found, one), (), None, shape)
        return builder.emit(CASTS[INT], (found,), (), None, Aval(aval.shape, INT))


def is_same_for_all(value: Any, axis: int) -> bool:
    """Whether an array has the same for each row."""
    return bool(np.array_equal(value, np.broadcast_to(np.take(value, [0], axis), value.shape)))


def one_row(value: Any, axis: int) -> Any:
    """What an array has for the first row, as a constant: a number, where all elements are the same."""
    first = np.take(value, [0], axis)
    number = np.ravel(first)[0]
    if (first == number).all():
        return float(number) if first.dtype == FLOAT else frozen(np.array(number), first.dtype)
    return frozen(first, first.dtype)


def _source_of(tape: Tape, slot: int) -> Source | None:
    entry = tape.entries.writer_of(slot)
    return None if entry is None else entry.source


def _refused(step: str, what: str, source: Source | None) -> TraceError:
    return TraceError(
        f"{step}{location(source)} {what}, which cannot be done piece by piece. Do it before, on the data "
        "themselves, and pass the result in `data`; sums over rows, and what is done to each row by itself, "
        "can stand in the function"
    )
