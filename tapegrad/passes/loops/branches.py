"""branches: a branch of a loop that goes both ways becomes a choice that every replay makes anew.

A decision at one place of the code, such as ``if e < 0:``, has an outcome in each iteration. Where both
outcomes are in the record, and what each side reads is known for every iteration, both sides are computed, and
`where` takes one. Such a decision decides on no path any more: a flip needs no new trace. Decisions inside of
others come first.

That a side does in other iterations what it did in those recorded is a conclusion. So the guards stay, as
choices, and what has not been seen in a plain call is held against one before it is relied on, see
`tapegrad.function.seen`. What follows no pattern stays as it is.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

import numpy as np

from tapegrad.ops.logic import equal, not_equal
from tapegrad.passes.dce import dce
from tapegrad.passes.loops.both import Both, Circular
from tapegrad.passes.loops.elements import NONE, elements_of
from tapegrad.passes.loops.iterations import Wiring, iterations_of, wiring_of
from tapegrad.passes.loops.sides import Unknown, sides_of
from tapegrad.tape.tape import Tape

FEWEST = 8  # iterations
FEWEST_OF_EACH = 3


def branches(tape: Tape) -> Tape:
    """Turn decisions of loops into choices, where both sides are known."""
    if len(tape.guards) < FEWEST:
        return tape
    known = [guard if guard.turns else guard._replace(turns=(i,)) for i, guard in enumerate(tape.guards)]
    result = replace(tape, guards=tuple(known))
    while (further := _with_one_more(result)) is not None:
        result = further
    return dce(result) if any(guard.is_choice for guard in result.guards) else tape


def _with_one_more(tape: Tape) -> Tape | None:
    """The tape with the decisions of one place as choices, if there is a place where this can be done."""
    wiring = wiring_of(tape, elements_of(tape))
    for places in _decisions(wiring):
        new = _chosen(wiring, places)
        if new is not None:
            return new
    return None


def _decisions(wiring: Wiring) -> list[list[int]]:
    """The guards of each place of the code that may become choices, innermost last."""
    together: dict[tuple[int, int], list[int]] = defaultdict(list)
    ops = wiring.tape.entries.ops()
    for i, guard in enumerate(wiring.tape.guards):
        entry = int(wiring.writer[guard.slot])
        # Where two numbers are equal, the derivative is not that of either side.
        if isinstance(guard.outcome, (bool, np.bool_)) and not guard.is_choice and entry != NONE:
            if ops[entry] not in (equal, not_equal):
                together[id(guard.source), int(wiring.colour[entry])].append(i)
    return [places for places in together.values() if len(places) >= FEWEST]


def _chosen(wiring: Wiring, places: list[int]) -> Tape | None:
    guards = [wiring.tape.guards[i] for i in places]
    decided = wiring.writer[[guard.slot for guard in guards]]
    outcomes = np.array([bool(guard.outcome) for guard in guards])
    fewest = min(outcomes.sum(), (~outcomes).sum())
    if fewest < FEWEST_OF_EACH or (np.diff(decided) <= 0).any():
        return None
    found = iterations_of(wiring, decided, outcomes)
    mine = {guard.slot for guard in guards}
    others = [g.slot for g in wiring.tape.guards if not g.is_choice and g.slot not in mine]
    try:
        return Both(found, sides_of(found, others), places).tape()
    except (Unknown, Circular):
        return None
