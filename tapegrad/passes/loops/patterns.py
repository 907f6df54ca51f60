"""Where an operand stands, said in a way that holds for iterations in which it was not recorded."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import numpy as np

from tapegrad.passes.loops.elements import NONE, Ints
from tapegrad.passes.loops.iterations import ALL, OTHER, Iterations

FURTHEST = 16  # iterations back


class Same(NamedTuple):
    """One slot for all iterations."""

    slot: int


class Member(NamedTuple):
    """What a family writes, `lag` iterations ago."""

    family: int
    lag: int


class Read(NamedTuple):
    """The leaf that a family reads as its input `i`, `lag` iterations ago: a number of the data mostly."""

    family: int
    i: int
    lag: int


class Element(NamedTuple):
    """Elements of an array, one after the other at equal distances."""

    base: int
    start: int
    step: int


class Chosen(NamedTuple):
    """What a choice gave, `lag` iterations ago."""

    choice: int
    lag: int


class Made(NamedTuple):
    """What is computed anew, in the same iteration."""

    step: int


Pattern: TypeAlias = Same | Member | Read | Element | Chosen | Made


def pattern_of(found: Iterations, turns: Ints, slots: Ints, side: int) -> Pattern | None:
    """The pattern of slots that are read in these iterations, on a `side` (or `ALL`); None if there is none."""
    if not len(slots):
        return None
    if len(slots) > 1 and (slots == slots[0]).all():
        return _as_one(found, slots)
    family = int(found.family[slots[-1]])
    if family != NONE:
        lag = int(turns[-1] - found.turn[slots[-1]])
        kind = int(found.kind[family])
        later = turns >= lag  # the first iterations read what the loop began with
        alike = (found.family[slots] == family) & (turns - found.turn[slots] == lag)
        if (
            0 <= lag <= FURTHEST
            and alike[later].all()
            and later.sum() >= min(2, len(slots))
            and (kind == ALL or (kind == side and lag == 0))
        ):
            return Member(family, lag)
    if len(slots) == 1:
        return _as_one(found, slots)
    if (found.wiring.writer[slots] == NONE).all():
        return _as_read(found, turns, slots, side) or _as_elements(found, turns, slots)
    return None


def _as_one(found: Iterations, slots: Ints) -> Same | None:
    return Same(int(slots[0])) if found.kind_of(slots[:1])[0] in (ALL, OTHER) else None


def _as_read(found: Iterations, turns: Ints, slots: Ints, side: int) -> Read | None:
    """What the decision reads, or what was read before it; on a side, what others read in this iteration."""
    wiring, everywhere = found.wiring, np.flatnonzero(found.kind == ALL).tolist()
    ways = [(found.decision, 0), *((family, 1) for family in everywhere)]
    if side != ALL:
        ways += [(family, 0) for family in everywhere]
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
    if len(bases) > 1 or NONE in bases:
        return None
    places = np.array([elements.place[slot] for slot in slots.tolist()])
    step = int((places[1] - places[0]) // (turns[1] - turns[0]))
    start = int(places[0] - step * turns[0])
    return Element(bases.pop(), start, step) if (places == start + step * turns).all() else None


def recorded(found: Iterations, pattern: Pattern, turn: int) -> int:
    """The slot that a pattern names in an iteration as it was recorded, `NONE` where it was not."""
    if isinstance(pattern, Same):
        return pattern.slot
    if isinstance(pattern, Element):
        return found.wiring.element(pattern.base, pattern.start + pattern.step * turn)
    assert isinstance(pattern, (Member, Read))
    column = turn - pattern.lag + 1
    entry = int(found.table[pattern.family, column]) if column >= 0 else NONE
    if entry == NONE:
        return NONE
    wiring = found.wiring
    if isinstance(pattern, Member):
        return int(wiring.outputs[entry])
    return int(wiring.inputs[wiring.ends[entry] + pattern.i])
