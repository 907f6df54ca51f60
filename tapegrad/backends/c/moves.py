"""Entries that only move elements of large arrays: copies, but for those that a home makes needless.

A concatenation is copies side by side; a scatter by slices is a copy among zeros.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from tapegrad.ops.attributes import ARRAY
from tapegrad.ops.registry import FLOAT
from tapegrad.tape.entries import Entry, Row
from tapegrad.tape.tape import Tape


def is_move(tape: Tape, row: Row) -> bool:
    """Whether an entry only moves numbers, from places that are known to places that are known."""
    op, inputs, output, attrs, _ = row
    if op.copies is None or ARRAY in dict(attrs).get("index", ()):
        return False
    return all(tape.avals[slot].dtype == FLOAT for slot in (*inputs, output))


class Copy(NamedTuple):
    """A view of the output's shadow, and what is copied there: a slot, as a view of its shadow."""

    target: Any
    slot: int
    source: Any


def copies(shadow: Callable[[int], Any], entry: Entry) -> Iterator[Copy]:
    """What is copied where; ``shadow(slot)`` is an array that lies in memory as the slot does."""
    assert entry.op.copies is not None
    inputs = [shadow(slot) for slot in entry.inputs]
    for target, source, place in entry.op.copies(shadow(entry.output), *inputs, **dict(entry.attrs)):
        yield Copy(target, entry.inputs[place], source)


def start_of(view: Any, whole: Any) -> int:
    """How many elements of an array stand before the first one of a view of it."""
    return int(view.ctypes.data - whole.ctypes.data) // int(whole.itemsize)


def steps_of(view: Any) -> tuple[int, ...]:
    """How many elements each axis of a view steps over."""
    return tuple(step // view.itemsize for step in view.strides)
