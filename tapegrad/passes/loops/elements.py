"""Elements of arrays that are read and written one by one: an element just written is the number itself."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass, field
from itertools import compress
from typing import Any

import numpy as np

from tapegrad.ops.indexing import getitem, update
from tapegrad.ops.registry import Attrs
from tapegrad.tape.tape import Tape

Ints = np.ndarray[Any, np.dtype[np.int64]]
OFTEN = 16  # reads of single elements or rows
NONE = -1  # no slot, entry, array or node


@dataclass
class Buffer:
    """An array that is filled element by element: its versions are a chain of updates.

    Attributes
    ----------
    root : int
        The slot of the array before the first one.
    versions : int
        How many updates there are.
    written : dict of int to (list of int, list of int)
        For each element when it was written, and the slots of the numbers.
    """

    root: int
    versions: int = 0
    written: dict[int, tuple[list[int], list[int]]] = field(default_factory=dict)

    def at(self, element: int, version: int) -> int:
        """The slot of the number that an element holds in a version, `NONE` where it is that of the root."""
        times, slots = self.written.get(element, ([], []))
        place = bisect_right(times, version)
        return slots[place - 1] if place else NONE


@dataclass
class Elements:
    """What slots of single numbers are.

    Attributes
    ----------
    same : array of int
        For each slot the one that holds the same number: itself, or what was written into an element.
    base, place : arrays of int
        For an element of an array that slot, and the element's place in it; for a row of an array that slot,
        and its place along the first axis; `NONE` elsewhere.
    versions : dict of int to (Buffer, int)
        The slots that are versions of buffers.
    """

    same: array[int]
    base: array[int]
    place: array[int]
    versions: dict[int, tuple[Buffer, int]] = field(default_factory=dict)

    def contents(self, slot: int, size: int) -> tuple[int, Ints]:
        """The array that a buffer began as, and in a version of it the slots of the elements' numbers."""
        found = np.full(size, NONE)
        while slot in self.versions:
            buffer, version = self.versions[slot]
            for i in np.flatnonzero(found == NONE).tolist():
                found[i] = buffer.at(i, version)
            slot = buffer.root
        return slot, found


def elements_of(tape: Tape, buffers: bool = True) -> Elements:
    """Follow elements of arrays that are read, and with `buffers` written, at places that the tape names."""
    count, entries, avals = len(tape.avals), tape.entries, tape.avals
    none = np.full(count, NONE).tobytes()
    found = Elements(array("q", np.arange(count).tobytes()), array("q", none), array("q", none))
    ops = entries.ops()
    if getitem not in ops and update not in ops:
        return found
    first: dict[tuple[int, int, bool], int] = {}
    ends, inputs, outputs, attrs = entries.ends(), entries.all_inputs(), entries.outputs(), entries.attrs()
    known: dict[tuple[Attrs, tuple[int, ...]], tuple[int | None, int | None]] = {}
    chosen = list(compress(range(len(ops)), map({getitem, update}.__contains__, ops)))
    computed, often = set(outputs), Counter(inputs[ends[i]] for i in chosen)
    for i in chosen:
        op = ops[i]
        owner, output = inputs[ends[i]], outputs[i]
        if ends[i + 1] - ends[i] != (1 if op is getitem else 2):
            continue
        # What is computed in each iteration and read there a few times is no collection of elements.
        if op is getitem and owner in computed and owner not in found.versions and often[owner] < OFTEN:
            continue
        index = attrs[i], avals[owner].shape
        if index not in known:
            known[index] = flat_place(*index), row_place(*index)
        place, row = known[index]
        if row is not None and op is getitem and owner not in found.versions:
            found.same[output] = first.setdefault((owner, row, True), output)
            if found.same[output] == output:
                found.base[output], found.place[output] = owner, row
            continue
        if place is None:
            continue
        if op is update:
            if not buffers or avals[inputs[ends[i] + 1]].shape != ():
                continue
            _write(found, owner, output, place, found.same[inputs[ends[i] + 1]])
        else:
            _read(found, first, owner, output, place)
    return found


def _write(found: Elements, owner: int, output: int, place: int, value: int) -> None:
    buffer, version = found.versions.get(owner, (Buffer(owner), 0))
    if version != buffer.versions:  # a copy has gone its own way
        buffer, version = Buffer(owner), 0
    buffer.versions = version + 1
    times, slots = buffer.written.setdefault(place, ([], []))
    times.append(version + 1)
    slots.append(value)
    found.versions[output] = (buffer, version + 1)


def _read(
    found: Elements, first: dict[tuple[int, int, bool], int], owner: int, output: int, place: int
) -> None:
    while owner in found.versions:
        buffer, version = found.versions[owner]
        slot = buffer.at(place, version)
        if slot != NONE:
            found.same[output] = slot
            return
        owner = buffer.root
    found.same[output] = known = first.setdefault((owner, place, False), output)
    found.base[known], found.place[known] = owner, place


def flat_place(attrs: Attrs, shape: tuple[int, ...]) -> int | None:
    """The place of an element in an array laid out flat, if an index of ints names one."""
    index = dict(attrs)["index"]
    if index and index[-1] is Ellipsis:
        index = index[:-1]
    if len(index) != len(shape) or not all(isinstance(item, (int, np.integer)) for item in index):
        return None
    place = 0
    for item, n in zip(index, shape, strict=True):
        place = place * n + item % n
    return place


def row_place(attrs: Attrs, shape: tuple[int, ...]) -> int | None:
    """The place of a row of an array along its first axis, if an index names one and takes all of it."""
    first, *rest = dict(attrs)["index"] or (None,)
    is_whole = all(item is Ellipsis or item == (None, None, None) for item in rest)
    if len(shape) < 2 or not isinstance(first, (int, np.integer)) or not is_whole:
        return None
    return int(first) % shape[0]
