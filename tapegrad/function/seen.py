"""Which sides of choices plain calls have confirmed.

A choice computes both sides of a branch in every iteration of a loop, also where the record has seen one of
them alone. What a side does there is concluded, see `tapegrad.passes.loops.branches`. So the first time that
a replay takes a side, its value is held against a plain call.

One agreeing call does not tell sides apart that were taken for the first time together. If a function counts
in plain Python how often a branch was taken, two flips may cancel. So all new ways to take the sides are
compared, until some have agreed, and not only those with a side that is new.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from tapegrad.tape.tape import Guard

Bools = np.ndarray[Any, np.dtype[np.bool_]]
FIRST_WAYS = 8  # ways to take the sides that are compared, whether or not their sides are new


class Taken(NamedTuple):
    """The sides that a replay takes, some of them in a way that nobody has compared."""

    sides: Bools


class Seen:
    """The sides that are known to be right, on one path and its data.

    Parameters
    ----------
    guards : sequence of Guard
        Those that are choices. The sides taken in the record have been compared.

    Attributes
    ----------
    is_void : bool
        Whether a comparison has failed: then nothing is known.
    """

    def __init__(self, guards: Sequence[Guard]) -> None:
        recorded = flat([guard.outcome for guard in guards])
        self._unseen = ~recorded
        self._ways: set[bytes] = {recorded.tobytes()}
        self.is_void = False

    def news(self, values: Sequence[Any]) -> Taken | None:
        """What a replay takes, if it has to be compared."""
        sides = flat(values)
        if not self.is_void:
            if len(self._ways) <= FIRST_WAYS:
                is_known = sides.tobytes() in self._ways
            else:
                is_known = not (sides & self._unseen).any()
            if is_known:
                return None
        return Taken(sides)

    def confirm(self, taken: Taken) -> None:
        """A plain call has given the same."""
        self._unseen = self._unseen & ~taken.sides
        if len(self._ways) <= FIRST_WAYS:
            self._ways.add(taken.sides.tobytes())


def flat(values: Sequence[Any]) -> Bools:
    """Truth values and arrays of them as one array."""
    found: Bools = np.concatenate([np.ravel(value) for value in values]).astype(bool, copy=False)
    return found
