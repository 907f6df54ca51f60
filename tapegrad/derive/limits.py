"""Where a slope of 0 meets the infinite slope of an exponential, and their product is 0 in the limit.

The derivative of ``1 / (1 + exp(-x))`` at minus infinity is 0, but its rules give 0 times infinity there. In
general such a product may be anything: it is 1 in ``log(1 + exp(x))`` at infinity, in ``1 / (1 / x)`` at 0.
It is 0 where a function that flattens out faster than the reciprocal of its argument, as ``1 / y`` and
``exp(-y)`` do, gets an argument that an exponential or a square, and no pole, has made infinite: there
``y'`` is at most a multiple of y, and ``f'(y) y`` goes to 0. The record of an op says of which kind it is. So
it is followed along the tape which cotangents come from the first kind of step, and which tangents from the
second; sums and products on the way keep either. Where the one meets the other, its zero wins.

A scalar beside arrays is left alone: where it is infinite, nothing finite is left.
"""

from __future__ import annotations

from collections.abc import Collection

from tapegrad.ops.elementwise import add, mul, neg, sub
from tapegrad.tape.entries import Entry
from tapegrad.tape.tape import Tape

CARRYING = frozenset((add, sub, neg, mul))


def _grows(entry: Entry) -> bool:
    """Whether an entry grows as a power of its input, or faster: an op that says so, or ``x * x``."""
    op, inputs = entry.op, entry.inputs
    return op.grows or (op is mul and inputs[0] == inputs[1])


class Limits:
    """Facts about the cotangents or tangents of slots: a fact about a sum must hold for all of its terms."""

    def __init__(self, tape: Tape) -> None:
        self._avals = tape.avals
        self._holds: dict[int, bool] = {}

    def holds(self, slot: int) -> bool:
        """Whether zeros of this cotangent, or infinities of this tangent, are such limits."""
        return self._holds.get(slot, False)

    def _note(self, slot: int, holds: bool) -> None:
        self._holds[slot] = holds and self._holds.get(slot, True)

    def _is_alike(self, entry: Entry, i: int) -> bool:
        """Whether input `i` has an element of its own for each element of the output."""
        return self._avals[entry.inputs[i]].shape == self._avals[entry.output].shape

    def wins(self, entry: Entry) -> bool:
        """Whether zeros of the cotangent of an entry's output keep its slope out."""
        return self.holds(entry.output) and _grows(entry)

    def carry_back(self, entry: Entry, i: int) -> None:
        """Input `i` of an entry has been given its share of the cotangent."""
        op = entry.op
        keeps = op.flattens == i or (self.holds(entry.output) and (op in CARRYING or op.grows))
        self._note(entry.inputs[i], keeps and self._is_alike(entry, i))

    def flat(self, entry: Entry) -> Collection[int]:
        """The inputs whose tangents the zeros of an entry's slopes keep out."""
        i = entry.op.flattens
        return (i,) if i is not None and self.holds(entry.inputs[i]) and self._is_alike(entry, i) else ()

    def carry_on(self, entry: Entry, moving: Collection[int]) -> None:
        """The output of an entry has been given its tangent, by these inputs."""
        op, keeps = entry.op, _grows(entry)
        if not keeps and op in CARRYING and not (op is mul and len(moving) == 2):
            keeps = all(self.holds(entry.inputs[i]) for i in moving)
        self._note(entry.output, keeps and all(self._is_alike(entry, i) for i in moving))
