"""Arrays that live in one another, so that nothing is left to copy.

Loops hand on what the step before has made, so their tapes hold joins such as ``concatenate(first, h[:-1])``,
and in their derivatives slices among zeros. Where the array that is sliced lives at the right place from the
start, with room before or behind it, such a join is only another look at the same memory.

Memory that arrays share in this way belongs to one `Group`. Each place of it holds one number for good: an
element of one array, as whoever may write it writes the same. It is never used again, so zeros stay zeros.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tapegrad.backends.c.moves import Copy, copies, is_move, start_of
from tapegrad.tape.entries import Entry
from tapegrad.tape.tape import Tape, size_of

ZEROS = -1


class Stretch(NamedTuple):
    """Numbers that stand side by side: `length` of the array `root`, from its element `first` on."""

    length: int
    root: int
    first: int


@dataclass
class Group:
    """Memory that arrays share.

    Attributes
    ----------
    held : list of (int, int, int, int)
        From where to where the elements of which array stand, and where its first one stands or would stand.
    """

    held: list[tuple[int, int, int, int]] = field(default_factory=list)

    def fits(self, start: int, content: Iterable[Stretch]) -> bool:
        """Whether nothing else stands where this would stand."""
        for a, b, root, origin in _spread(start, content):
            for c, d, other, other_origin in self.held:
                is_same = root == other and (root == ZEROS or origin == other_origin)
                if a < d and c < b and not is_same:
                    return False
        return True

    def hold(self, start: int, content: Iterable[Stretch]) -> None:
        """Note what stands where."""
        self.held += _spread(start, content)

    @property
    def bounds(self) -> tuple[int, int]:
        """From where to where anything stands."""
        return min(a for a, _, _, _ in self.held), max(b for _, b, _, _ in self.held)


def _spread(start: int, content: Iterable[Stretch]) -> Iterator[tuple[int, int, int, int]]:
    for length, root, first in content:
        yield start, start + length, root, start - first
        start += length


class Homes:
    """Where arrays live together.

    Attributes
    ----------
    groups : list of Group
    places : dict of int to (int, int)
        The group of each slot, and where it begins there.
    """

    def __init__(self, tape: Tape, aliases: Mapping[int, int], movable: Iterable[int], shadow: Any) -> None:
        self._tape, self._aliases, self._shadow = tape, aliases, shadow
        self._movable = frozenset(movable)
        self._contents: dict[int, list[Stretch]] = {}
        self.groups: list[Group] = []
        self.places: dict[int, tuple[int, int]] = {}

    def add(self, entry: Entry) -> None:
        """Let the output of an entry that moves elements live with what it is made of, where that goes."""
        slot = entry.output
        if slot not in self._movable or not is_move(self._tape, entry):
            return
        content = self._joined(entry)
        if content is None:
            return
        self._contents[slot] = content
        for number, start in self._candidates(content):
            if self.groups[number].fits(start, content):
                self._settle(number, start, slot, content)
                return
        if any(root in self._movable and root not in self.places for _, root, _ in content):
            self.groups.append(Group())
            self._settle(len(self.groups) - 1, 0, slot, content)

    def _candidates(self, content: list[Stretch]) -> Iterator[tuple[int, int]]:
        """Where the output could live so that something need not be copied."""
        before = 0
        for length, root, first in content:
            if root in self.places:
                number, start = self.places[root]
                yield number, start + first - before
            before += length

    def _settle(self, number: int, start: int, slot: int, content: list[Stretch]) -> None:
        group = self.groups[number]
        group.hold(start, content)
        self.places[slot] = (number, start)
        for length, root, first in content:
            if root in self._movable and root not in self.places:
                whole = [Stretch(size_of(self._tape.avals[root].shape), root, 0)]
                if group.fits(start - first, whole):
                    group.hold(start - first, whole)
                    self.places[root] = (number, start - first)
            start += length

    # What stands in an array --------------------------------------------------------------------------------

    def _joined(self, entry: Entry) -> list[Stretch] | None:
        """What the output holds; None where it is more than stretches side by side."""
        out = self._shadow(entry.output)
        found, end = list[Stretch](), 0
        for target, slot, source in copies(self._shadow, entry):
            if not (target.flags.c_contiguous and source.flags.c_contiguous) or not target.size:
                return None
            start = start_of(target, out)
            if start < end:  # one is copied over another
                return None
            if start > end:
                found.append(Stretch(start - end, ZEROS, 0))
            found += self._content(slot)
            end = start + target.size
        if end < out.size:
            found.append(Stretch(out.size - end, ZEROS, 0))
        return found

    def _content(self, slot: int) -> list[Stretch]:
        """What a contiguous array holds."""
        view, root = self._shadow(slot), slot
        while root in self._aliases:
            root = self._aliases[root]
        whole = self._contents.get(root)
        start = start_of(view, self._shadow(root))
        if whole is None:
            return [Stretch(view.size, root, start)]
        found, stop, before = list[Stretch](), start + view.size, 0
        for length, of, first in whole:
            a, b = max(start, before), min(stop, before + length)
            if a < b:
                found.append(Stretch(b - a, of, first + a - before))
            before += length
        return found

    # What is left to do -------------------------------------------------------------------------------------

    def remaining(self, entry: Entry) -> list[Copy]:
        """The copies of an entry that no home makes needless."""
        found = copies(self._shadow, entry)
        if entry.output not in self.places:
            return list(found)
        number, start = self.places[entry.output]
        out = self._shadow(entry.output)
        return [
            copy for copy in found if not self._is_there(copy, number, start + start_of(copy.target, out))
        ]

    def _is_there(self, copy: Copy, number: int, start: int) -> bool:
        """Whether what is copied is at this place of a group already."""
        for length, root, first in self._content(copy.slot):
            if root != ZEROS and self.places.get(root) != (number, start - first):
                return False
            start += length
        return True
