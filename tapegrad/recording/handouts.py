"""Plain arrays that NumPy made of traced ones: by `np.asarray(x)`, and wherever else it asks for one.

NumPy takes no traced array there, so such an array holds one traced number per element. To the user it lives
in the memory of the traced array, so what is written into one of them has to show in the other.
"""

from __future__ import annotations

import sys

import numpy as np

from tapegrad.ops.registry import FLOAT
from tapegrad.recording.tracer import Trace, Tracer
from tapegrad.recording.values import Array
from tapegrad.recording.view import View

# Parts of a larger array are handed out by themselves, and cannot be written to: nobody keeps them in step.
_LARGE = 10_000


class _Handout:
    """A plain array in the place of its owner, as it was when both were the same."""

    __slots__ = ("array", "owner", "seen", "slot")

    def __init__(self, owner: Tracer, array: Array) -> None:
        self.owner = owner
        self.array = array
        self.seen = array.copy()  # which also keeps the objects, so that no others get their addresses
        self.slot = owner.slot

    def is_written_to(self) -> bool:
        return self.array.tobytes() != self.seen.tobytes()  # of objects, their addresses

    def read(self, recorder: Trace) -> None:
        """Bring the owner to what the array holds now.

        The array itself stays as it is: NumPy may be at work on it, and ask traced numbers while it sorts.
        """
        self.seen = self.array.copy()
        self.owner.receive(recorder.lift(self.seen, None))
        self.slot = self.owner.slot

    def is_held(self) -> bool:
        """Whether anybody else has the array, or a view of it."""
        return sys.getrefcount(self.array) > 2

    def write(self) -> None:
        """Bring the array to what its owner holds now."""
        if isinstance(self.owner, View):
            self.owner.refresh()
        if self.owner.slot != self.slot:
            was_writeable, self.array.flags.writeable = self.array.flags.writeable, True
            self.array[...] = contents(self.owner)
            self.array.flags.writeable = was_writeable
            self.seen, self.slot = self.array.copy(), self.owner.slot


class Handouts:
    """The plain arrays of one trace."""

    def __init__(self, recorder: Trace) -> None:
        self._recorder = recorder
        self._all: list[_Handout] = []
        self._busy = False

    def give(self, owner: Tracer) -> Array:
        """The array that stands for the memory of `owner`, the same each time."""
        if isinstance(owner, View) and _root(owner).size <= _LARGE:
            part: Array = owner.look(self.give(owner.owner))
            return part
        for handout in self._all:
            if handout.owner is owner:
                return handout.array
        array = contents(owner)
        array.flags.writeable = _root(owner).size <= _LARGE
        self._all.append(_Handout(owner, array))
        return array

    def pull(self) -> None:
        """Take over what has been written into the plain arrays, and forget those that nobody holds."""
        if self._busy:
            return
        self._busy = True
        try:
            for handout in self._all:
                if handout.is_written_to():
                    handout.read(self._recorder)
            self._all = [handout for handout in self._all if handout.is_held()]
        finally:
            self._busy = False

    def push(self) -> None:
        """Copy to the plain arrays all that was written into traced arrays."""
        if self._busy:
            return
        for handout in self._all:
            handout.write()


def contents(tracer: Tracer) -> Array:
    """A plain array of the elements: traced ones of floats, and guarded values of whole numbers."""
    if tracer.dtype != FLOAT:
        return np.array(tracer.decide())
    elements = np.empty_like(np.asarray(tracer.plain()), dtype=object)
    for index in np.ndindex(tracer.shape):
        elements[index] = tracer[index] if index else tracer.copy()
    return elements


def _root(view: Tracer) -> Tracer:
    while isinstance(view, View):
        view = view.owner
    return view
