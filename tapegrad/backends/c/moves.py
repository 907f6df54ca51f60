"""Entries that only move elements of large arrays: copies, but for those that a home makes needless.

A concatenation is copies side by side; a scatter by slices is a copy among zeros.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from tapegrad.ops.attributes import ARRAY
from tapegrad.ops.indexing import getitem
from tapegrad.ops.registry import FLOAT
from tapegrad.tape.entries import Entry, Row
from tapegrad.tape.tape import Tape

_NAMES = frozenset(("scatter", "concatenate", "reshape", "transpose", "broadcast_to", "getitem"))


def is_move(tape: Tape, row: Row) -> bool:
    """Whether an entry only moves numbers, from places that are known to places that are known."""
    op, inputs, output, attrs, _ = row
    if op.name not in _NAMES or ARRAY in dict(attrs).get("index", ()):
        return False
    return all(tape.avals[slot].dtype == FLOAT for slot in (*inputs, output))


class Copy(NamedTuple):
    """A view of the output's shadow, and what is copied there: a slot, as a view of its shadow."""

    target: Any
    slot: int
    source: Any


def copies(shadow: Callable[[int], Any], entry: Entry) -> Iterator[Copy]:
    """What is copied where; ``shadow(slot)`` is an array that lies in memory as the slot does."""
    out, attrs, slot = shadow(entry.output), dict(entry.attrs), entry.inputs[0]
    source = shadow(slot)
    match entry.op.name:
        case "concatenate":
            before, start = (slice(None),) * attrs["axis"], 0
            for slot in entry.inputs:
                stop = start + shadow(slot).shape[attrs["axis"]]
                yield Copy(out[(*before, slice(start, stop))], slot, shadow(slot))
                start = stop
        case "scatter":
            yield Copy(getitem.kernel(out, index=attrs["index"]), slot, source)
        case "reshape":  # what is moved is not in order, and the output is
            yield Copy(out.reshape(source.shape), slot, source)
        case "transpose":
            yield Copy(out, slot, source.transpose(attrs["axes"]))
        case "broadcast_to":
            yield Copy(out, slot, np.broadcast_to(source, out.shape))
        case _:
            yield Copy(out, slot, getitem.kernel(source, index=attrs["index"]))


def start_of(view: Any, whole: Any) -> int:
    """How many elements of an array stand before the first one of a view of it."""
    return int(view.ctypes.data - whole.ctypes.data) // int(whole.itemsize)


def steps_of(view: Any) -> tuple[int, ...]:
    """How many elements each axis of a view steps over."""
    return tuple(step // view.itemsize for step in view.strides)
