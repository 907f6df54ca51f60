"""Log-likelihoods written as plain Python loops, and how long tapegrad takes for them."""

from benchmarks.loops import recursions, rows, spellings
from benchmarks.loops.model import LOOPS, Loop, LoopModel, numbers

__all__ = ["LOOPS", "Loop", "LoopModel", "numbers", "recursions", "rows", "spellings"]
