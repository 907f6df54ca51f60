"""dce: entries and constants that no output and no guard needs are dropped."""

from __future__ import annotations

from tapegrad.tape.rewrite import selected
from tapegrad.tape.slots import ends_of, needed_for
from tapegrad.tape.tape import Tape


def dce(tape: Tape) -> Tape:
    """Keep only what leads to an output or to a guard."""
    needed = needed_for(tape, ends_of(tape))
    leaves = (*tape.parameters, *tape.data)
    if sum(needed) + sum(not needed[slot] for slot in leaves) == len(tape.avals):
        return tape
    return selected(tape, needed)
