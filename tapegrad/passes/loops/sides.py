"""What the two sides of a decision compute, and where their results meet."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from tapegrad.passes.loops.elements import NONE, Ints
from tapegrad.passes.loops.iterations import ALL, ELSE, OTHER, THEN, Iterations
from tapegrad.passes.loops.patterns import Chosen, Member, Pattern, pattern_of, recorded
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
        What was chosen in each iteration as recorded.
    before : dict of int to int
        What stood there before the first iteration, as the iterations -1, -2 and so on.
    """

    then: Pattern
    otherwise: Pattern
    slots: Ints
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
        The iterations in which the decision stays as it is.
    """

    operands: dict[tuple[int, int], Pattern]
    choices: list[Choice]
    single: list[tuple[int, int, int]]
    fixed: Bools


@dataclass(frozen=True)
class _Operand:
    """One input of a family: what it read in the iterations `turns`."""

    family: int
    i: int
    side: int
    turns: Ints
    slots: Ints


def sides_of(found: Iterations, guarded: Sequence[int]) -> Sides:
    """What both sides compute; `guarded` are the slots of the other decisions.

    Raises
    ------
    Unknown
        If it does not follow for other iterations from those in which it was recorded.
    """
    if np.isin(found.kind_of(np.array(guarded, dtype=np.int64)), (THEN, ELSE)).any():
        raise Unknown
    sides = Sides({}, [], [], np.zeros(found.count, dtype=bool))
    _mark_irregular(found, sides.fixed)
    pending = []
    for operand in _operands_of(found):
        pattern = pattern_of(found, operand.turns, operand.slots, operand.side)
        if pattern is None:
            pending.append(operand)
        else:
            sides.operands[operand.family, operand.i] = pattern
    for attempt in (_new_choice, _carried_on, _known_choice):
        pending = [operand for operand in pending if not attempt(found, sides, operand)]
    for operand in pending:
        if operand.side != ALL or not _independent(found, operand):
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
    where: dict[int, set[int]] = defaultdict(set)
    for colour, turn in zip(wiring.colour[odd].tolist(), found.of_entry[odd].tolist(), strict=True):
        where[colour].add(turn)
    for turns in where.values():
        outcomes = found.outcomes[sorted(turns)]
        if outcomes.any() and not outcomes.all():
            continue
        if len(turns) > 1:
            raise Unknown
        fixed[list(turns)] = True


# Where results of both sides meet ---------------------------------------------------------------------------


def _parted(found: Iterations, operand: _Operand, lag: int) -> tuple[Ints, Ints, Bools]:
    """The iterations of the choices that an operand reads `lag` later, its slots, and the outcomes."""
    turns = operand.turns - lag
    later = turns >= 0
    return turns[later], operand.slots[later], found.outcomes[turns[later]]


def _new_choice(found: Iterations, sides: Sides, operand: _Operand) -> bool:
    """Whether an operand reads one slot after the outcome True and another one after False."""
    for lag in LAGS:
        turns, slots, outcomes = _parted(found, operand, lag)
        then = pattern_of(found, turns[outcomes], slots[outcomes], THEN)
        otherwise = pattern_of(found, turns[~outcomes], slots[~outcomes], ELSE)
        if then is None or otherwise is None:
            continue
        concrete = _concrete(found, then, otherwise)
        if (concrete[turns] == slots).all():
            _enter(sides, operand, lag, Choice(then, otherwise, concrete))
            return True
    return False


def _carried_on(found: Iterations, sides: Sides, operand: _Operand) -> bool:
    """Whether an operand reads what one side gives, and otherwise what stood there before."""
    for lag in LAGS:
        turns, slots, outcomes = _parted(found, operand, lag)
        for side in (THEN, ELSE):
            on_side = outcomes == (side == THEN)
            pattern = pattern_of(found, turns[on_side], slots[on_side], side)
            if not isinstance(pattern, Member) or found.kind[pattern.family] != side:
                continue
            itself = Chosen(len(sides.choices), 1)
            known = _same_choice(sides, pattern, side)
            if known is not None:
                itself = Chosen(known, 1)
            then, otherwise = (pattern, itself) if side == THEN else (itself, pattern)
            start = _start(found, operand, lag, side)
            concrete = _concrete(found, then, otherwise, start)
            if (concrete[turns] == slots).all():
                _enter(
                    sides,
                    operand,
                    lag,
                    Choice(then, otherwise, concrete, {} if start is None else {-1: start}),
                )
                return True
    return False


def _same_choice(sides: Sides, pattern: Pattern, side: int) -> int | None:
    for number, choice in enumerate(sides.choices):
        mine, other = (choice.then, choice.otherwise) if side == THEN else (choice.otherwise, choice.then)
        if mine == pattern and other == Chosen(number, 1):
            return number
    return None


def _start(found: Iterations, operand: _Operand, lag: int, side: int) -> int | None:
    """What stood before the first iteration where it was read."""
    turns = operand.turns - lag
    early = np.flatnonzero(turns == -1)
    if early.size:
        return int(operand.slots[early[0]])
    first = np.flatnonzero(turns == 0)
    if first.size and found.outcomes[0] != (side == THEN):
        return int(operand.slots[first[0]])
    return None


def _known_choice(found: Iterations, sides: Sides, operand: _Operand) -> bool:
    """Whether an operand reads what is known to have been chosen."""
    for lag in LAGS:
        turns, slots, _ = _parted(found, operand, lag)
        for choice in sides.choices if len(turns) else ():
            if (choice.slots[turns] == slots).all():
                _enter(sides, operand, lag, choice)
                return True
    return False


def _enter(sides: Sides, operand: _Operand, lag: int, choice: Choice) -> None:
    """An operand reads what was chosen `lag` iterations ago."""
    alike = (
        n for n, c in enumerate(sides.choices) if c.then == choice.then and c.otherwise == choice.otherwise
    )
    number = next(alike, len(sides.choices))
    if number == len(sides.choices):
        sides.choices.append(choice)
    before = sides.choices[number].before
    before.update(choice.before)
    for turn, slot in zip((operand.turns - lag).tolist(), operand.slots.tolist(), strict=True):
        if turn < 0 and before.setdefault(turn, slot) != slot:
            raise Unknown
    sides.operands[operand.family, operand.i] = Chosen(number, lag)


def _concrete(found: Iterations, then: Pattern, otherwise: Pattern, start: int | None = None) -> Ints:
    """The slots that were chosen in all iterations; `NONE` where nothing was known yet."""
    chosen = np.full(found.count, NONE)
    for turn, outcome in enumerate(found.outcomes.tolist()):
        pattern = then if outcome else otherwise
        if isinstance(pattern, Chosen):
            chosen[turn] = chosen[turn - 1] if turn else NONE if start is None else start
            continue
        chosen[turn] = recorded(found, pattern, turn)
    return chosen


# Other reads ------------------------------------------------------------------------------------------------


def _independent(found: Iterations, operand: _Operand) -> bool:
    """Whether an operand without a pattern reads the same families after both outcomes, and no side."""
    if np.isin(found.kind_of(operand.slots), (THEN, ELSE)).any():
        return False
    family, elements = found.family[operand.slots], np.array(found.wiring.elements.base)
    is_leaf = found.wiring.writer[operand.slots] == NONE
    family = np.where(is_leaf, np.where(elements[operand.slots] == NONE, _LEAF, _ELEMENT), family)
    for lag in (0, 1):
        later = operand.turns >= lag
        outcomes = found.outcomes[operand.turns[later] - lag]
        if set(family[later][outcomes].tolist()) != set(family[later][~outcomes].tolist()):
            return False
    return True


def _read_elsewhere(found: Iterations, sides: Sides) -> None:
    """What is read of the sides by entries that are in no family, and as an output."""
    wiring, tape = found.wiring, found.wiring.tape
    odd = (found.kind_of(wiring.outputs) == OTHER) & (wiring.colour != NONE)
    places = np.flatnonzero(np.repeat(odd, np.diff(wiring.ends)))
    turns = np.repeat(found.of_entry, np.diff(wiring.ends))[places]
    outputs = np.array(wiring.elements.same)[list(tape.outputs)]
    places = np.concatenate([places, len(wiring.inputs) + np.arange(len(outputs))])
    turns = np.concatenate([turns, np.full(len(outputs), found.count - 1)])
    slots = np.concatenate([wiring.inputs, outputs])[places]
    read = np.isin(found.kind_of(slots), (THEN, ELSE))
    for place, turn, slot in zip(
        places[read].tolist(), turns[read].tolist(), slots[read].tolist(), strict=True
    ):
        written = int(found.turn[slot])
        choice = _last_chosen(sides, slot, turn, written)
        if choice is None:
            sides.fixed[written] = True
        else:
            sides.single.append((place, *choice))


def _last_chosen(sides: Sides, slot: int, turn: int, written: int) -> tuple[int, int] | None:
    """The choice that gave a slot, and its last iteration before `turn` that did."""
    for at in range(turn, written - 1, -1):
        for number, choice in enumerate(sides.choices):
            if choice.slots[at] == slot:
                return number, at
    return None
