"""Where an operand stands, said in a way that holds for iterations in which it was not recorded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from tapegrad.passes.loops.elements import NONE, Ints
from tapegrad.passes.loops.iterations import ALL, MET, SIDES, Iterations

FURTHEST = 16  # iterations back


@dataclass(frozen=True)
class Same:
    """One slot for all iterations."""

    slot: int


@dataclass(frozen=True)
class Member:
    """What a family writes, `lag` iterations ago."""

    family: int
    lag: int


@dataclass(frozen=True)
class Read:
    """The leaf that a family reads as its input `i`, `lag` iterations ago: a number of the data mostly."""

    family: int
    i: int
    lag: int


@dataclass(frozen=True)
class Element:
    """Elements of an array, one after the other at equal distances."""

    base: int
    start: int
    step: int


@dataclass(frozen=True)
class Either:
    """What one family reads on one side, and another one on the other side: data or a carry mostly."""

    then: int
    i: int
    otherwise: int
    j: int


@dataclass(frozen=True)
class Chosen:
    """What a choice gave, `lag` iterations ago."""

    choice: int
    lag: int


@dataclass(frozen=True)
class Made:
    """What is computed anew, in the same iteration."""

    step: int


Pattern: TypeAlias = Same | Member | Read | Element | Either | Chosen | Made


def pattern_of(
    found: Iterations, turns: Ints, slots: Ints, side: int, before: bool = False
) -> Pattern | None:
    """The pattern of slots that are read in these iterations by a family of the kind `side`, if there is one.

    `before` is set where leaves have to be known by what is read before the decision.
    """
    if not len(slots):
        return None
    if (slots == slots[0]).all() and (len(slots) > 1 or found.family[slots[0]] == NONE):
        return None if found.of_side(slots[:1])[0] else Same(int(slots[0]))
    family = int(found.family[slots[-1]])
    if family != NONE:
        return _as_member(found, turns, slots, side)
    if (found.wiring.writer[slots] == NONE).all():
        return _as_read(found, turns, slots, not before and side in SIDES) or _as_elements(
            found, turns, slots
        )
    return None


def _as_member(found: Iterations, turns: Ints, slots: Ints, side: int) -> Member | None:
    family = int(found.family[slots[-1]])
    lag, kind = int(turns[-1] - found.turn[slots[-1]]), int(found.kind[family])
    is_near = lag == 0 and (kind == side or (kind == MET and side in SIDES))
    if not 0 <= lag <= FURTHEST or not (kind == ALL or is_near):
        return None
    later = turns >= lag  # the first iterations read what the loop began with
    alike = (found.family[slots] == family) & (turns - found.turn[slots] == lag)
    return Member(family, lag) if alike[later].all() and later.sum() >= min(2, len(slots)) else None


def _as_read(found: Iterations, turns: Ints, slots: Ints, is_late: bool) -> Read | None:
    """What the decision reads, or what was read before it; late, what others read in this iteration."""
    wiring, everywhere = found.wiring, np.flatnonzero(found.kind == ALL).tolist()
    ways = [(found.decision, 0), *((family, 1) for family in everywhere)]
    if is_late:
        ways += [(family, 0) for family in np.flatnonzero(np.isin(found.kind, (ALL, MET))).tolist()]
    for family, lag in ways:
        if turns[0] < lag - 1:
            continue
        entries = found.table[family, turns - lag + 1]
        if (entries == NONE).any():
            continue
        for i in range(wiring.arity(int(entries[0]))):
            if np.array_equal(wiring.inputs_of(entries, i), slots):
                return Read(family, i, lag)
    return None


def _as_elements(found: Iterations, turns: Ints, slots: Ints) -> Element | None:
    elements = found.wiring.elements
    bases = {elements.base[slot] for slot in slots.tolist()}
    if len(slots) < 2 or len(bases) > 1 or NONE in bases:
        return None
    places = np.array([elements.place[slot] for slot in slots.tolist()])
    step = int((places[1] - places[0]) // (turns[1] - turns[0]))
    start = int(places[0] - step * turns[0])
    return Element(bases.pop(), start, step) if (places == start + step * turns).all() else None


def note_early(found: Iterations, pattern: Pattern, turns: Ints, slots: Ints) -> None:
    """Remember what the first iterations read instead of a member of a family."""
    if isinstance(pattern, Member) and pattern.lag:
        known = found.early.setdefault((pattern.family, pattern.lag), {})
        for turn, slot in zip(turns.tolist(), slots.tolist(), strict=True):
            if turn < pattern.lag and known.setdefault(turn, slot) != slot:
                known[turn] = NONE


def recorded(found: Iterations, pattern: Pattern) -> Ints:
    """The slots that a pattern names in each iteration as it was recorded, `NONE` where it was not."""
    wiring = found.wiring
    match pattern:
        case Same(slot):
            return np.full(found.count, slot)
        case Element(base, start, step):
            return np.array([wiring.element(base, start + step * turn) for turn in range(found.count)])
        case Member(family, lag):
            entries = found.at(family, lag)
            slots = np.where(entries == NONE, NONE, wiring.outputs[entries])
            for turn, slot in found.early.get((family, lag), {}).items():
                slots[turn] = slot
            return slots
        case Read(family, i, lag):
            entries = found.at(family, lag)
            places = wiring.ends[np.maximum(entries, 0)] + i
            return np.where(entries == NONE, NONE, wiring.inputs[places])
        case _:
            raise TypeError(pattern)
