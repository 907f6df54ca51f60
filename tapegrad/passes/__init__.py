"""Tape -> Tape: each pass is a function in a file of its own, and the order is this tuple."""

from tapegrad.passes.cse import cse
from tapegrad.passes.dce import dce
from tapegrad.passes.fold import fold
from tapegrad.passes.simplify import simplify
from tapegrad.passes.sums import sums
from tapegrad.tape import Tape

PASSES = (fold, simplify, cse, dce, sums)


def tidy(tape: Tape) -> Tape:
    """The tape after every pass, in order."""
    for tape_pass in PASSES:
        tape = tape_pass(tape)
    return tape


__all__ = ["PASSES", "cse", "dce", "fold", "simplify", "sums", "tidy"]
