"""What the two sides of a decision compute, and where their results meet."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from tapegrad.passes.loops.elements import NONE, Ints
from tapegrad.passes.loops.iterations import ELSE, FALSE, OTHER, SIDES, THEN, TRUE, UNMET, Iterations
from tapegrad.passes.loops.patterns import (
    FURTHEST,
    Chosen,
    Either,
    Member,
    Pattern,
    note_early,
    pattern_of,
    recorded,
)
from tapegrad.passes.loops.record import Bools

LAGS = range(4)  # iterations from a choice to where its result is read
_LEAF, _ELEMENT = -2, -3  # what stands for the family of a slot that has none


class Unknown(Exception):
    """What a side computes is not known for all iterations."""


@dataclass
class Choice:
    """Where the results of both sides meet.

    Attributes
    ----------
    then, otherwise : Pattern
        What is chosen on each side.
    slots : int array
        What was chosen in each iteration as recorded, `NONE` where there was nothing to choose.
    carries : bool
        Whether one side leaves what stood there before.
    before : dict of int to int
        What stood there before the first iteration, as the iterations -1, -2 and so on.
    """

    then: Pattern
    otherwise: Pattern
    slots: Ints
    carries: bool = False
    before: dict[int, int] = field(default_factory=dict)


@dataclass
class Sides:
    """What is known of both sides.

    Attributes
    ----------
    operands : dict of (int, int) to Pattern
        The inputs of each family that is in all iterations or on a side.
    choices : list of Choice
    single : list of (int, int, int)
        Other reads of what was chosen: the place among all inputs, the choice, and its iteration. Outputs
        stand behind all inputs.
    fixed : bool array
        The iterations in which the decision is not met, or stays as it is.
    """

    operands: dict[tuple[int, int], Pattern]
    choices: list[Choice]
    single: list[tuple[int, int, int]]
    fixed: Bools


@dataclass(frozen=True)
class _Operand:
    """One input of a family of the kind `side`: what it read in the iterations `turns`."""

    family: int
    i: int
    side: int
    turns: Ints
    slots: Ints


def sides_of(found: Iterations, guarded: Sequence[int]) -> Sides:
    """What both sides compute; `guarded` are the slots of other decisions.

    Raises
    ------
    Unknown
        If it does not follow for other iterations from those in which it was recorded.
    """
    if found.of_side(np.array(guarded, dtype=np.int64)).any():
        raise Unknown
    sides = Sides({}, [], [], found.outcomes == UNMET)
    _mark_irregular(found, sides.fixed)
    pending = []
    for operand in _operands_of(found):
        pattern = pattern_of(found, operand.turns, operand.slots, operand.side)
        if pattern is None:
            pending.append(operand)
        else:
            sides.operands[operand.family, operand.i] = pattern
            note_early(found, pattern, operand.turns, operand.slots)
    for attempt in (_new_choice, _known_choice, _carried_on, _known_choice):
        pending = [operand for operand in pending if not attempt(found, sides, operand)]
    _pair(found, sides, pending)
    for operand in pending:
        if found.of_side(operand.slots).any():
            _read_singly(found, sides, operand)
        elif operand.side not in SIDES and not _independent(found, operand):
            raise Unknown
    _read_elsewhere(found, sides)
    return sides


def _operands_of(found: Iterations) -> list[_Operand]:
    wiring, operands = found.wiring, []
    for family in np.flatnonzero(found.kind != OTHER).tolist():
        entries, turns = found.members(family)
        for i in range(wiring.arity(int(entries[0]))):
            side = int(found.kind[family])
            operands.append(_Operand(family, i, side, turns, wiring.inputs_of(entries, i)))
    return operands


def _mark_irregular(found: Iterations, fixed: Bools) -> None:
    """Find entries that stand in other iterations than all, or those of one side.

    Where they are found with both outcomes, they have nothing to do with the decision.
    """
    wiring = found.wiring
    odd = found.kind_of(wiring.outputs) == OTHER
    odd &= (wiring.colour != NONE) & (found.of_entry >= 0) & (found.of_entry < found.count - 1)
    odd[odd] = found.outcomes[found.of_entry[odd]] != UNMET
    where: dict[int, set[int]] = defaultdict(set)
    for colour, turn in zip(wiring.colour[odd].tolist(), found.of_entry[odd].tolist(), strict=True):
        where[colour].add(turn)
    last = found.count - 1
    by_others = [
        set(np.flatnonzero((falls[:last] == outcome) & (found.outcomes[:last] != UNMET)).tolist())
        for falls in found.others
        for outcome in (TRUE, FALSE)
    ]
    for turns in where.values():
        if len(np.unique(found.outcomes[list(turns)])) > 1 or turns in by_others:
            continue
        if len(turns) > 1:
            raise Unknown
        fixed[list(turns)] = True


# Where results of both sides meet ---------------------------------------------------------------------------


def _new_choice(found: Iterations, sides: Sides, operand: _Operand) -> bool:
    """Whether an operand reads one slot after the outcome True and another one after False."""
    for lag in LAGS:
        turns, slots = _met(found, operand, lag)
        is_then = found.outcomes[turns] == TRUE
        then = pattern_of(found, turns[is_then], slots[is_then], THEN, before=True)
        otherwise = pattern_of(found, turns[~is_then], slots[~is_then], ELSE, before=True)
        if then is None or otherwise is None:
            continue
        if then == otherwise:  # it is no matter of sides
            if operand.side not in SIDES:
                return True
            continue
        concrete = np.where(found.outcomes == TRUE, recorded(found, then), recorded(found, otherwise))
        concrete[found.outcomes == UNMET] = NONE
        is_early = (concrete[turns] == NONE) & (turns < FURTHEST)
        concrete[turns[is_early]] = slots[is_early]
        if (concrete[turns] == slots).all():
            note_early(found, then, turns[is_then], slots[is_then])
            note_early(found, otherwise, turns[~is_then], slots[~is_then])
            return _enter(found, sides, operand, lag, Choice(then, otherwise, concrete))
    return False


def _carried_on(found: Iterations, sides: Sides, operand: _Operand) -> bool:
    """Whether an operand reads what one side gives, and otherwise what stood there before."""
    for lag in LAGS:
        later = operand.turns >= lag
        turns, slots = operand.turns[later] - lag, operand.slots[later]
        for side, outcome in ((THEN, TRUE), (ELSE, FALSE)):
            on_side = found.outcomes[turns] == outcome
            pattern = pattern_of(found, turns[on_side], slots[on_side], side)
            if not isinstance(pattern, Member) or found.kind[pattern.family] != side:
                continue
            start = _start(found, operand, lag, outcome)
            concrete = _carried(np.where(found.outcomes == outcome, recorded(found, pattern), NONE), start)
            if (concrete[turns] == slots).all():
                itself = Chosen(len(sides.choices), 1)
                then, otherwise = (pattern, itself) if side == THEN else (itself, pattern)
                before = {} if start is None else {-1: start}
                return _enter(found, sides, operand, lag, Choice(then, otherwise, concrete, True, before))
    return False


def _carried(slots: Ints, start: int | None) -> Ints:
    """Slots that stay as long as no new one stands there."""
    turns = np.maximum.accumulate(np.where(slots == NONE, NONE, np.arange(len(slots))))
    return np.where(turns == NONE, NONE if start is None else start, slots[turns])


def _start(found: Iterations, operand: _Operand, lag: int, outcome: int) -> int | None:
    """What stood before the first iteration where it was read."""
    turns = operand.turns - lag
    early = np.flatnonzero(turns == -1)
    if early.size:
        return int(operand.slots[early[0]])
    first = np.flatnonzero(turns == 0)
    return int(operand.slots[first[0]]) if first.size and found.outcomes[0] != outcome else None


def _known_choice(found: Iterations, sides: Sides, operand: _Operand) -> bool:
    """Whether an operand reads what is known to have been chosen."""
    for lag in LAGS:
        turns, slots = _met(found, operand, lag)
        for choice in sides.choices if len(turns) else ():
            if (choice.slots[turns] == slots).all():
                return _enter(found, sides, operand, lag, choice)
    return False


def _met(found: Iterations, operand: _Operand, lag: int) -> tuple[Ints, Ints]:
    """The iterations of the choices that an operand may read `lag` later, and its slots."""
    turns = operand.turns - lag
    met = turns >= 0
    met[met] = found.outcomes[turns[met]] != UNMET
    return turns[met], operand.slots[met]


def _enter(found: Iterations, sides: Sides, operand: _Operand, lag: int, choice: Choice) -> bool:
    """An operand reads what was chosen `lag` iterations ago; whether this says all of it."""
    number = next(
        (n for n, known in enumerate(sides.choices) if _is_same(n, known, choice)), len(sides.choices)
    )
    if number == len(sides.choices):
        sides.choices.append(choice)
    known = sides.choices[number]
    turns = operand.turns - lag
    for turn, slot in [*choice.before.items(), *zip(turns.tolist(), operand.slots.tolist(), strict=True)]:
        if turn < 0 and known.before.setdefault(turn, slot) != slot:
            raise Unknown
    if known.carries or (found.outcomes[turns[turns >= 0]] != UNMET).all():
        sides.operands[operand.family, operand.i] = Chosen(number, lag)
        return True
    # Where the decision is not met, something else is read, which others know.
    entries = found.table[operand.family, operand.turns + 1]
    places = found.wiring.ends[entries] + operand.i
    for place, turn in zip(places.tolist(), turns.tolist(), strict=True):
        if turn >= 0 and known.slots[turn] != NONE:
            sides.single.append((place, number, turn))
    return operand.side not in SIDES


def _is_same(number: int, known: Choice, choice: Choice) -> bool:
    if not (known.carries and choice.carries):
        return (known.then, known.otherwise) == (choice.then, choice.otherwise)
    return known is choice or any(
        isinstance(mine, Member) and mine == other
        for mine, other in ((known.then, choice.then), (known.otherwise, choice.otherwise))
    )


# Other reads ------------------------------------------------------------------------------------------------


def _pair(found: Iterations, sides: Sides, pending: list[_Operand]) -> None:
    """What both sides read of something that has no pattern is the same: one of them reads it each time."""
    then = [operand for operand in pending if operand.side == THEN]
    otherwise = [operand for operand in pending if operand.side == ELSE]
    if len(then) != len(otherwise):
        raise Unknown
    entries = found.wiring.tape.entries
    for mine in then:
        op = entries.ops()[found.first(mine.family)]
        alike = [o for o in otherwise if o.i == mine.i and entries.ops()[found.first(o.family)] is op]
        other = (alike or otherwise)[0]
        otherwise.remove(other)
        if any((found.of_side(o.slots) & (found.turn[o.slots] == o.turns)).any() for o in (mine, other)):
            raise Unknown
        pattern = Either(mine.family, mine.i, other.family, other.i)
        sides.operands[mine.family, mine.i] = sides.operands[other.family, other.i] = pattern


def _independent(found: Iterations, operand: _Operand) -> bool:
    """Whether an operand without a pattern reads the same families after both outcomes."""
    family, elements = found.family[operand.slots], np.array(found.wiring.elements.base)
    is_leaf = found.wiring.writer[operand.slots] == NONE
    family = np.where(is_leaf, np.where(elements[operand.slots] == NONE, _LEAF, _ELEMENT), family)
    for lag in (0, 1):
        later = operand.turns >= lag
        turns, read = operand.turns[later] - lag, family[later]
        outcomes = found.outcomes[turns]
        if set(read[outcomes == TRUE].tolist()) != set(read[outcomes == FALSE].tolist()):
            return any(_explains(falls[turns], read) for falls in found.others)
    return True


def _explains(outcomes: Ints, read: Ints) -> bool:
    """Whether it is another decision that says which families are read."""
    return all(len(np.unique(read[outcomes == outcome])) <= 1 for outcome in (TRUE, FALSE, UNMET))


def _read_singly(found: Iterations, sides: Sides, operand: _Operand) -> None:
    """The reads of an operand without a pattern, one by one."""
    entries = found.table[operand.family, operand.turns + 1]
    _note(found, sides, found.wiring.ends[entries] + operand.i, operand.turns, operand.slots)


def _read_elsewhere(found: Iterations, sides: Sides) -> None:
    """What is read of the sides by entries that are in no family, and as an output."""
    wiring = found.wiring
    odd = (found.kind_of(wiring.outputs) == OTHER) & (wiring.colour != NONE)
    places = np.flatnonzero(np.repeat(odd, np.diff(wiring.ends)))
    turns = np.repeat(found.of_entry, np.diff(wiring.ends))[places]
    outputs = np.array(wiring.elements.same)[list(wiring.tape.outputs)]
    places = np.concatenate([places, len(wiring.inputs) + np.arange(len(outputs))])
    turns = np.concatenate([turns, np.full(len(outputs), found.count - 1)])
    _note(found, sides, places, turns, np.concatenate([wiring.inputs, outputs])[places])


def _note(found: Iterations, sides: Sides, places: Ints, turns: Ints, slots: Ints) -> None:
    read = found.of_side(slots)
    rows = zip(places[read].tolist(), turns[read].tolist(), slots[read].tolist(), strict=True)
    for place, turn, slot in rows:
        written = int(found.turn[slot])
        choice = _last_chosen(sides, slot, turn, written)
        if choice is None:
            sides.fixed[written] = True
        else:
            sides.single.append((place, *choice))


def _last_chosen(sides: Sides, slot: int, turn: int, written: int) -> tuple[int, int] | None:
    """The choice that gave a slot, and its last iteration up to `turn` that did."""
    for at in range(turn, written - 1, -1):
        for number, choice in enumerate(sides.choices):
            if choice.slots[at] == slot:
                return number, at
    return None
