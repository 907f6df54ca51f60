"""branches: a branch of a loop that goes both ways becomes a choice that every replay makes anew.

A decision at one place of the code, such as ``if e < 0:``, has an outcome in each iteration. Where both
outcomes are in the record, and what each side reads is known for every iteration, both sides are computed,
and `where` takes one. Such a decision decides on no path any more: a flip needs no new trace. Decisions
inside of others come first.

That a side does in other iterations what it did in those recorded is a conclusion. So the guards stay, as
choices, and what has not been seen in a plain call is held against one before it is relied on, see
`tapegrad.function.seen`. What follows no pattern stays as it is.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import replace

import numpy as np

from tapegrad.ops.logic import equal, not_equal
from tapegrad.passes.dce import dce
from tapegrad.passes.loops.both import Both
from tapegrad.passes.loops.elements import NONE, Ints, elements_of
from tapegrad.passes.loops.iterations import FALSE, TRUE, UNMET, Wiring, iterations_of, wiring_of
from tapegrad.passes.loops.merged import merged
from tapegrad.passes.loops.sides import Unknown, sides_of
from tapegrad.tape.tape import Guard, Tape

FEWEST = 8  # iterations
FEWEST_OF_EACH = 3


def branches(tape: Tape) -> Tape:
    """Turn decisions of loops into choices, where both sides are known."""
    if len(tape.guards) < FEWEST:
        return tape
    known = [guard if guard.turns else guard._replace(turns=(i,)) for i, guard in enumerate(tape.guards)]
    result = replace(tape, guards=tuple(known))
    while (further := _with_one_more(result)) is not None:
        result = dce(further)  # what is left of the sides would look like something else
    return result if any(guard.is_choice for guard in result.guards) else tape


def _with_one_more(tape: Tape) -> Tape | None:
    """The tape with the decisions of one place as choices, if there is a place where this can be done."""
    lines = Counter(id(guard.source) for guard in tape.guards if _may_be_chosen(guard))
    if max(lines.values(), default=0) < FEWEST:
        return None
    wiring = wiring_of(tape, elements_of(tape))
    decisions = _decisions(wiring)
    for places in decisions:
        for starts in _delimiters(wiring, places, decisions):
            new = _chosen(wiring, places, starts)
            if new is not None:
                return new
    return None


def _may_be_chosen(guard: Guard) -> bool:
    return isinstance(guard.outcome, (bool, np.bool_)) and not guard.is_choice


def _decisions(wiring: Wiring) -> list[list[int]]:
    """The guards of each place of the code that may become choices."""
    together: dict[tuple[int, int], list[int]] = defaultdict(list)
    ops = wiring.tape.entries.ops()
    for i, guard in enumerate(wiring.tape.guards):
        entry = int(wiring.writer[guard.slot])
        # Where two numbers are equal, the derivative is not that of either side.
        if _may_be_chosen(guard) and entry != NONE and ops[entry] not in (equal, not_equal):
            together[id(guard.source), int(wiring.colour[entry])].append(i)
    return [places for places in together.values() if len(places) >= FEWEST]


def _delimiters(wiring: Wiring, places: list[int], decisions: list[list[int]]) -> list[Ints]:
    """With what iterations may begin: with the decision itself, or with one around it."""
    guards = wiring.tape.guards
    mine = wiring.writer[[guards[i].slot for i in places]]
    found = [mine]
    for others in sorted(decisions, key=len, reverse=True):
        starts = wiring.writer[[guards[i].slot for i in others]]
        if len(others) > len(places) and (np.diff(starts) > 0).all():
            turns = np.searchsorted(starts, mine, side="right") - 1
            if turns[0] >= 0 and (np.diff(turns) > 0).all():
                found.append(starts)
    return found


def _chosen(wiring: Wiring, places: list[int], starts: Ints) -> Tape | None:
    """The tape with these decisions as choices, in iterations that begin so."""
    guards = [wiring.tape.guards[i] for i in places]
    entries = wiring.writer[[guard.slot for guard in guards]]
    truths = np.array([bool(guard.outcome) for guard in guards])
    fewest = min(truths.sum(), (~truths).sum())
    if fewest < FEWEST_OF_EACH or (np.diff(entries) <= 0).any():
        return None
    turns = np.searchsorted(starts, entries, side="right") - 1
    decided, outcomes, mine = (np.full(len(starts), value) for value in (NONE, UNMET, NONE))
    decided[turns], outcomes[turns], mine[turns] = entries, np.where(truths, TRUE, FALSE), places
    slots = {guard.slot for guard in guards}
    others = [guard for guard in wiring.tape.guards if not guard.is_choice and guard.slot not in slots]
    found = iterations_of(wiring, starts, decided, outcomes, others)
    try:
        return merged(found, Both(found, sides_of(found, [guard.slot for guard in others]), mine))
    except Unknown:
        return None
