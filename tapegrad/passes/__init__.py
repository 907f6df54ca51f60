"""Tape -> Tape: each pass is a function in a file of its own, and the order is these tuples.

`LOOPS` shorten a tape as recorded. `PASSES` tidy a tape that is to be read, differentiated and run.
`FINISHING` make it ready to run, with forms of which no derivative is taken any more.
"""

from collections.abc import Callable, Sequence

from tapegrad.passes.dce import dce
from tapegrad.passes.exponentials import exponentials
from tapegrad.passes.loops.branches import branches
from tapegrad.passes.loops.reroll import reroll
from tapegrad.passes.once import once
from tapegrad.passes.repeats import repeats
from tapegrad.passes.simplify import simplify
from tapegrad.passes.statistics.statistics import statistics
from tapegrad.passes.strength import strength
from tapegrad.passes.sums import sums
from tapegrad.tape.tape import Tape

LOOPS = (branches, reroll)
PASSES = (simplify, statistics, dce, sums)
FINISHING = (exponentials, strength, repeats, dce)


Pass = Callable[[Tape], Tape]


def tidy(tape: Tape, passes: Sequence[Pass] = PASSES) -> Tape:
    """The tape after every pass, in order."""
    for tape_pass in passes:
        tape = tape_pass(tape)
    return tape


__all__ = [
    "FINISHING",
    "LOOPS",
    "PASSES",
    "branches",
    "dce",
    "exponentials",
    "once",
    "repeats",
    "reroll",
    "simplify",
    "statistics",
    "strength",
    "sums",
    "tidy",
]
