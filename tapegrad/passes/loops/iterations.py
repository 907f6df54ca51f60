"""The iterations of a loop with a decision in it: which entry is which step of which iteration."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from tapegrad.ops.indexing import update
from tapegrad.passes.loops.elements import NONE, Elements, Ints
from tapegrad.passes.loops.record import Bools
from tapegrad.tape.tape import Guard, Tape

MOST_REPEATED = 64  # times that one place of the code is followed within an iteration

# How a decision falls in an iteration: an `if` within another one may not be met.
FALSE, TRUE, UNMET = range(3)
# The iterations that have members of a family: all, those that meet the decision, those of one outcome,
# or others.
ALL, MET, THEN, ELSE, OTHER = range(5)
SIDES = (THEN, ELSE)


@dataclass(frozen=True)
class Wiring:
    """A tape in columns of numbers.

    Attributes
    ----------
    raw, inputs : int array
        The inputs of all entries one after the other: as recorded, and the slots that hold the same numbers.
    ends, outputs : int arrays
        Where the inputs of each entry begin, and the slots that the entries write.
    writer : int array
        For each slot the entry that writes it. `NONE` for leaves, and for elements of arrays, which are
        read where they stand.
    colour : int array
        A number for each entry, the same for those of one op at one place of the code; `NONE` for elements.
    """

    tape: Tape
    elements: Elements
    raw: Ints
    inputs: Ints
    ends: Ints
    outputs: Ints
    writer: Ints
    colour: Ints

    def inputs_of(self, entries: Ints, i: int) -> Ints:
        """Input `i` of these entries."""
        return self.inputs[self.ends[entries] + i]

    def arity(self, entry: int) -> int:
        """How many inputs an entry has."""
        return int(self.ends[entry + 1] - self.ends[entry])

    def element(self, base: int, place: int) -> int:
        """The slot of an element of an array, `NONE` where nobody has read it."""
        return self._known_elements.get((base, place), NONE)

    @cached_property
    def _known_elements(self) -> dict[tuple[int, int], int]:
        base, place = self.elements.base, self.elements.place
        return {(base[slot], place[slot]): slot for slot in range(len(base)) if base[slot] != NONE}


def wiring_of(tape: Tape, elements: Elements) -> Wiring:
    """The columns of a tape."""
    entries = tape.entries
    same, base = _same_numbers(tape, elements), np.array(elements.base)
    outputs, ends = np.array(entries.outputs(), dtype=np.int64), np.array(entries.ends(), dtype=np.int64)
    raw = np.array(entries.all_inputs(), dtype=np.int64)
    read = (same[outputs] != outputs) | (base[outputs] != NONE)
    writer = np.full(len(tape.avals), NONE)
    writer[outputs] = np.where(read, NONE, np.arange(len(outputs)))
    ids: dict[Any, int] = {}
    colour = np.full(len(outputs), NONE)
    arity = np.diff(ends).tolist()
    rows = zip(read.tolist(), entries.ops(), entries.attrs(), entries.sources(), arity, strict=True)
    for i, (is_read, op, attrs, source, inputs) in enumerate(rows):
        if op is update and (version := elements.versions.get(int(outputs[i]))) is not None:
            # Wherever an element is written, what counts is the array.
            colour[i] = ids.setdefault((update, version[0].root), len(ids))
        elif not is_read:
            colour[i] = ids.setdefault((op, attrs, id(source), inputs), len(ids))
    return Wiring(tape, elements, raw, same[raw], ends, outputs, writer, colour)


def _same_numbers(tape: Tape, elements: Elements) -> Ints:
    """For each slot the first one that holds the same number: zeros have slots of their own."""
    same, known = np.array(elements.same), dict[str, int]()
    for slot, value in tape.constants:
        if type(value) is float:
            same[slot] = known.setdefault(value.hex(), slot)
    return same


@dataclass(frozen=True)
class Iterations:
    """The families of entries that do the same once in an iteration.

    Attributes
    ----------
    wiring : Wiring
    decided : int array, shape (n,)
        The entry that is decided on in each iteration, `NONE` where it is not met.
    outcomes : int array, shape (n,)
        How the decision fell in each iteration: `TRUE`, `FALSE` or `UNMET`.
    table : int array, shape (families, n + 1)
        The member of each family in each iteration, `NONE` where there is none. The first column is what
        stands before the first iteration, as the iteration -1.
    kind : int array
        Which iterations each family has members in: `ALL`, `MET`, `THEN`, `ELSE` or `OTHER`.
    family, turn : int arrays
        For each slot the family that writes it, `NONE` for others, and the iteration, -1 before the first.
    of_entry : int array
        The iteration of each entry.
    others : list of int array
        The outcomes of other decisions in each iteration, as `outcomes`.
    early : dict of (int, int) to dict of int to int
        What is read in the first iterations where later ones read a member of a family some iterations ago:
        by the family and that lag, and by the iteration.
    """

    wiring: Wiring
    decided: Ints
    outcomes: Ints
    table: Ints
    kind: Ints
    family: Ints
    turn: Ints
    of_entry: Ints
    others: list[Ints]
    early: dict[tuple[int, int], dict[int, int]] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """The number of iterations."""
        return len(self.outcomes)

    @property
    def decision(self) -> int:
        """The family of what is decided on."""
        first = self.decided[self.decided != NONE][0]
        return int(self.family[self.wiring.outputs[first]])

    def kind_of(self, slots: Ints) -> Ints:
        """The kinds of the families that write these slots, `OTHER` where there is none."""
        kinds: Ints = np.where(self.family[slots] == NONE, OTHER, self.kind[self.family[slots]])
        return kinds

    def of_side(self, slots: Ints) -> Bools:
        """Whether these slots are written on one side alone."""
        return np.isin(self.kind_of(slots), SIDES)

    def members(self, family: int) -> tuple[Ints, Ints]:
        """The entries of a family from the first iteration on, and their iterations."""
        row = self.table[family, 1:]
        turns = np.flatnonzero(row != NONE)
        return row[turns], turns

    def first(self, family: int) -> int:
        """The first entry of a family."""
        row = self.table[family]
        return int(row[row != NONE][0])

    def at(self, family: int, lag: int) -> Ints:
        """The member of a family `lag` iterations before each one, `NONE` where there is none."""
        row = self.table[family]
        early = np.full(max(lag - 1, 0), NONE)
        return np.concatenate([early, row])[: self.count] if lag else row[1:]


def iterations_of(
    wiring: Wiring, starts: Ints, decided: Ints, outcomes: Ints, others: Sequence[Guard]
) -> Iterations:
    """The iterations that begin with the entries `starts`; `others` are the guards of other decisions."""
    n, count = len(starts), len(wiring.outputs)
    of_entry = np.searchsorted(starts, np.arange(count), side="right") - 1
    known = np.flatnonzero(wiring.colour != NONE)
    cell = wiring.colour[known] * (n + 1) + of_entry[known] + 1
    order = np.argsort(cell, kind="stable")
    known, cell = known[order], cell[order]
    rank = _ranks(cell, n + 1)
    followed = (rank >= 0) & (rank < MOST_REPEATED)
    known, rank = known[followed], rank[followed]
    _, which, sizes = np.unique(
        wiring.colour[known] * MOST_REPEATED + rank, return_inverse=True, return_counts=True
    )
    # What is found once or twice is no family.
    number = np.where(sizes > 2, np.cumsum(sizes > 2) - 1, NONE)
    known, which = known[number[which] != NONE], number[which[number[which] != NONE]]
    table = np.full((int((sizes > 2).sum()), n + 1), NONE)
    table[which, of_entry[known] + 1] = known
    family, turn = np.full(len(wiring.writer), NONE), np.full(len(wiring.writer), NONE)
    family[wiring.outputs[known]] = which
    turn[wiring.outputs] = of_entry
    kind = _kinds(table[:, 1:], outcomes)
    falls = _falls(others, turn, n)
    return Iterations(wiring, decided, outcomes, table, kind, family, turn, of_entry, falls)


def _falls(guards: Sequence[Guard], turn: Ints, count: int) -> list[Ints]:
    """How decisions fall in each iteration, for each place of the code."""
    found: dict[int, Ints] = defaultdict(lambda: np.full(count, UNMET))
    for guard in guards:
        at = int(turn[guard.slot])
        if at >= 0 and isinstance(guard.outcome, (bool, np.bool_)):
            found[id(guard.source)][at] = TRUE if guard.outcome else FALSE
    return list(found.values())


def _ranks(cell: Ints, width: int) -> Ints:
    """Which of its colour in its iteration each entry is, for cells in order.

    Before the first iteration there may be more of them: the last ones count.
    """
    starts = np.flatnonzero(np.diff(cell, prepend=NONE))
    lengths = np.diff(np.append(starts, len(cell)))
    colour, is_before = cell[starts] // width, cell[starts] % width == 0
    goes_on = np.append(colour[1:] == colour[:-1], False)
    following = np.append(lengths[1:], 0)
    surplus = np.where(is_before & goes_on, np.maximum(lengths - following, 0), 0)
    ranks: Ints = np.arange(len(cell)) - np.repeat(starts + surplus, lengths)
    return ranks


def _kinds(table: Ints, outcomes: Ints) -> Ints:
    """The kinds of families. The last iteration may end early: what it lacks says nothing."""
    present = table != NONE
    kind = np.full(len(table), OTHER)
    wanted = {ALL: outcomes >= 0, MET: outcomes != UNMET, THEN: outcomes == TRUE, ELSE: outcomes == FALSE}
    for found, turns in reversed(wanted.items()):
        fits = (present[:, :-1] == turns[:-1]).all(axis=1) & (turns[-1] | ~present[:, -1])
        kind[fits] = found
    return kind
