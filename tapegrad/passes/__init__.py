"""Tape -> Tape: each pass is a function in a file of its own, and the order is this tuple."""

from collections.abc import Callable, Sequence

from tapegrad.passes.cse import cse
from tapegrad.passes.dce import dce
from tapegrad.passes.fold import fold
from tapegrad.passes.simplify import simplify
from tapegrad.passes.statistics import statistics
from tapegrad.passes.sums import sums
from tapegrad.tape import Tape

PASSES = (fold, simplify, statistics, cse, dce, sums)


Pass = Callable[[Tape], Tape]


def tidy(tape: Tape, passes: Sequence[Pass] = PASSES) -> Tape:
    """The tape after every pass, in order."""
    for tape_pass in passes:
        tape = tape_pass(tape)
    return tape


__all__ = ["PASSES", "cse", "dce", "fold", "simplify", "statistics", "sums", "tidy"]
