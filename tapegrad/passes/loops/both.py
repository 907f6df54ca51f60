"""Both sides of a decision in every iteration, and the choice between them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from tapegrad.ops.indexing import getitem
from tapegrad.ops.logic import logical_and, logical_not
from tapegrad.ops.registry import BOOL, Attrs, Aval, Op
from tapegrad.passes.loops.elements import NONE, Ints
from tapegrad.passes.loops.iterations import SIDES, THEN, TRUE, UNMET, Iterations
from tapegrad.passes.loops.joined import Joined
from tapegrad.passes.loops.patterns import Chosen, Either, Element, Made, Member, Pattern, recorded
from tapegrad.passes.loops.record import Bools
from tapegrad.passes.loops.sides import Sides, Unknown
from tapegrad.tape.line import Source
from tapegrad.tape.tape import Guard, size_of

_TRUTH = Aval((), BOOL)


@dataclass
class Block:
    """An entry of each iteration: that of iteration `t` has the number `start + t`.

    Attributes
    ----------
    attrs : list of Attrs
        Those of each iteration, or of all.
    inputs : int array, shape (arity, n)
        Old slots, and numbers of such entries, which stand behind them. `NONE` where one is not known.
    wanted : bool array
        The iterations that it is written in.
    """

    op: Op
    attrs: list[Attrs]
    source: Source | None
    aval: Aval
    start: int
    inputs: Ints
    wanted: Bools


@dataclass(frozen=True)
class Taken:
    """Where one side is taken: the slots that say so, and whether it was in the record."""

    slots: Ints
    outcomes: Bools
    source: Source | None

    def guards(self, new: Ints) -> Iterator[Guard]:
        """The guards, over new slots."""
        for slot, outcome in zip(new[self.slots].tolist(), self.outcomes.tolist(), strict=True):
            yield Guard(slot, outcome, self.source, (), True)


class Both:
    """What makes decisions choices.

    Parameters
    ----------
    found : Iterations
    sides : Sides
    places : int array
        Which of the tape's guards is the decision of each iteration, `NONE` where it is not met.

    Attributes
    ----------
    blocks : list of Block
        The entries that come to those recorded.
    inputs : int array
        The inputs of the recorded entries, and the outputs, some of which read what is chosen.
    kept : list of Guard
        The guards that stay.
    taken : list of Taken
    """

    def __init__(self, found: Iterations, sides: Sides, places: Ints) -> None:
        self._found, self._sides, self._places = found, sides, places
        self._tape = found.wiring.tape
        self._joined = Joined(found, sides, self._first_guard().source)
        self._inner = self._inner_choices()
        self._starts: dict[Any, int] = {}
        self._lines: dict[Any, Source] = {}
        guards = self._tape.guards
        self._decision = np.array([guards[i].slot if i != NONE else NONE for i in places.tolist()])
        self._check_shapes()
        while not self._is_settled():
            pass
        if sides.fixed.all():
            raise Unknown
        self.kept, self.taken = self._all_guards()

    def _check_shapes(self) -> None:
        for family in np.flatnonzero(np.isin(self._found.kind, SIDES)).tolist():
            entries, _ = self._found.members(family)
            if len({self._tape.avals[slot] for slot in self._found.wiring.outputs[entries].tolist()}) > 1:
                raise Unknown

    def _inner_choices(self) -> dict[int, dict[int, int]]:
        """The guards that are choices on a side: by family, and by iteration."""
        found: dict[int, dict[int, int]] = {}
        for i, guard in enumerate(self._tape.guards):
            if guard.is_choice and self._found.of_side(np.array([guard.slot]))[0]:
                rows = found.setdefault(int(self._found.family[guard.slot]), {})
                rows[int(self._found.turn[guard.slot])] = i
        return found

    def _is_settled(self) -> bool:
        """Compute all operands; whether all are known where they are wanted. Elsewhere the decision stays."""
        fixed = self._sides.fixed
        self.blocks: list[Block] = []
        self._known: dict[Any, Ints] = {}
        self._chosen = [self._choose(number) for number in range(len(self._sides.choices))]
        self.inputs, self._same_inputs = self._rewired()
        ends = [self._value(root) for root in self._joined.roots]
        ends += [self._taken(kind) for kind in SIDES]
        ends += [self._taken_inside(family) for family in self._inner]
        missing = ~fixed & (np.array(ends) == NONE).any(axis=0)
        fixed |= missing
        return not missing.any()

    # What is chosen -----------------------------------------------------------------------------------------

    def _choose(self, number: int) -> Ints:
        """What a choice gives in each iteration: as recorded where the decision stays."""
        choice, root = self._sides.choices[number], self._joined.roots[number]
        fixed = self._sides.fixed
        if isinstance(root, Made):
            anew = self._start(root) + np.arange(self._found.count)
        else:
            anew = recorded(self._found, root)
        chosen = np.where(fixed, choice.slots, anew)
        if choice.carries:
            unmet = self._found.outcomes == UNMET
            turns = np.maximum.accumulate(np.where(unmet, NONE, np.arange(len(chosen))))
            chosen = np.where(turns == NONE, choice.before.get(-1, NONE), chosen[turns])
        return chosen

    def _rewired(self) -> tuple[Ints, Ints]:
        """All inputs and outputs, as recorded and by what holds the same, where they read what is chosen."""
        found, sides, wiring = self._found, self._sides, self._found.wiring
        inputs = np.concatenate([wiring.raw, self._tape.outputs]).astype(np.int64)
        same = np.concatenate([wiring.inputs, self._tape.outputs]).astype(np.int64)
        for (family, i), pattern in sides.operands.items():
            if isinstance(pattern, Chosen):
                entries, turns = found.members(family)
                entries, turns = entries[turns >= pattern.lag], turns[turns >= pattern.lag] - pattern.lag
                self._rewire(inputs, same, wiring.ends[entries] + i, pattern.choice, turns)
        for number in range(len(sides.choices)):
            rows = [(place, turn) for place, choice, turn in sides.single if choice == number]
            if rows:
                places, turns = np.array(rows).T
                self._rewire(inputs, same, places, number, turns)
        return inputs, same

    def _rewire(self, inputs: Ints, same: Ints, places: Ints, number: int, turns: Ints) -> None:
        chosen = self._chosen[number][turns]
        is_new = (chosen != NONE) & (chosen != self._sides.choices[number].slots[turns])
        inputs[places[is_new]] = same[places[is_new]] = chosen[is_new]

    # Values of all iterations -------------------------------------------------------------------------------

    def _value(self, pattern: Pattern | None) -> Ints:
        """The slots and new entries of a pattern in each iteration, `NONE` where they are not known."""
        if pattern not in self._known:
            self._known[pattern] = self._computed(pattern)
        return self._known[pattern]

    def _computed(self, pattern: Pattern | None) -> Ints:
        found = self._found
        match pattern:
            case None:
                return self._decision
            case Chosen(choice, lag):
                before = [self._sides.choices[choice].before.get(turn - lag, NONE) for turn in range(lag)]
                return np.concatenate([before, self._chosen[choice]]).astype(np.int64)[: found.count]
            case Either(then, i, otherwise, j):
                ends, rows = found.wiring.ends, (found.at(then, 0), found.at(otherwise, 0))
                read = [
                    np.where(row == NONE, NONE, self._same_inputs[ends[np.maximum(row, 0)] + k])
                    for row, k in zip(rows, (i, j), strict=True)
                ]
                return np.where(rows[0] == NONE, read[1], read[0])
            case Made(number):
                step = self._joined.steps[number]
                operands = [self._value(operand) for operand in step.operands]
                return self._block(pattern, step.op, [step.attrs], step.source, step.aval, operands)
            case Member(family, 0) if found.kind[family] in SIDES:
                return self._extended(pattern, recorded(found, pattern))
            case Element():
                return self._elements(pattern, recorded(found, pattern))
            case _:
                return recorded(found, pattern)

    def _extended(self, member: Member, slots: Ints) -> Ints:
        """The entries of a side, and those of iterations that did not take it."""
        i = self._found.first(member.family)
        entry = self._tape.entries[i]
        operands = [self._value(self._sides.operands[member.family, k]) for k in range(len(entry.inputs))]
        aval = self._tape.avals[entry.output]
        anew = self._block(member, entry.op, [entry.attrs], entry.source, aval, operands, slots == NONE)
        return np.where(slots == NONE, anew, slots)

    def _elements(self, pattern: Element, slots: Ints) -> Ints:
        """The elements of an array, also those that nobody has read."""
        aval = self._tape.avals[pattern.base]
        places = pattern.start + pattern.step * np.arange(self._found.count)
        inside = (places >= 0) & (places < size_of(aval.shape))
        index = zip(*np.unravel_index(np.where(inside, places, 0), aval.shape), strict=True)
        attrs: list[Attrs] = [(("index", tuple(map(int, place))),) for place in index]
        owner = np.where(inside, pattern.base, NONE)
        wanted = slots == NONE
        anew = self._block(pattern, getitem, attrs, None, Aval((), aval.dtype), [owner], wanted)
        return np.where(wanted, anew, slots)

    def _taken(self, kind: int) -> Ints:
        """The slots that say whether a side is taken."""
        if kind == THEN:
            return self._decision
        source = self._own_line("other", self._first_guard().source)
        return self._block("other", logical_not, [()], source, _TRUTH, [self._decision])

    def _taken_inside(self, family: int) -> Ints:
        """Whether a choice on a side is made, and falls so."""
        key = ("inner", family)
        source = self._own_line(key, self._tape.guards[next(iter(self._inner[family].values()))].source)
        operands = [self._taken(int(self._found.kind[family])), self._value(Member(family, 0))]
        return self._block(key, logical_and, [()], source, _TRUTH, operands)

    def _first_guard(self) -> Guard:
        return self._tape.guards[int(self._places[self._places != NONE][0])]

    def _own_line(self, key: Any, source: Source | None) -> Source | None:
        # What shares a line object does the same.
        return None if source is None else self._lines.setdefault(key, Source(*source))

    def _start(self, key: Any) -> int:
        """The number of a block's first entry, the same each time that it is asked for."""
        return self._starts.setdefault(key, len(self._tape.avals) + len(self._starts) * self._found.count)

    def _block(
        self,
        key: Any,
        op: Op,
        attrs: list[Attrs],
        source: Source | None,
        aval: Aval,
        operands: list[Ints],
        wanted: Bools | None = None,
    ) -> Ints:
        if key not in self._known:
            inputs = np.array(operands)
            is_known = (inputs != NONE).all(axis=0)
            written = (
                is_known & ~self._sides.fixed if wanted is None else is_known & ~self._sides.fixed & wanted
            )
            self.blocks.append(Block(op, attrs, source, aval, self._start(key), inputs, written))
            self._known[key] = np.where(is_known, self._start(key) + np.arange(self._found.count), NONE)
        return self._known[key]

    # Guards -------------------------------------------------------------------------------------------------

    def _all_guards(self) -> tuple[list[Guard], list[Taken]]:
        """The guards that stay; and where each side is taken, and choices on it are made."""
        turns = np.flatnonzero(~self._sides.fixed)
        gone = set(self._places[turns].tolist())
        found = []
        for kind in SIDES:
            outcomes = (self._found.outcomes == TRUE) == (kind == THEN)
            found.append(Taken(self._taken(kind)[turns], outcomes[turns], self._first_guard().source))
        for family, rows in self._inner.items():
            gone.update(rows[turn] for turn in turns.tolist() if turn in rows)
            outcomes = np.zeros(self._found.count, dtype=bool)
            for turn, i in rows.items():
                outcomes[turn] = self._tape.guards[i].outcome
            line = self._tape.guards[next(iter(rows.values()))].source
            found.append(Taken(self._taken_inside(family)[turns], outcomes[turns], line))
        return [guard for i, guard in enumerate(self._tape.guards) if i not in gone], found
