"""Arrays from outside of the user's function that it writes traced values into, or copies to write into.

`self.a[i] = v` asks the plain array `self.a` to hold a traced value, which fails. Then the function is traced
once more, and for that time whoever held the array holds a buffer with the same numbers. The array itself
holds NaN meanwhile, so that whoever else reads it, through a view of it for example, notices.

Where the function has made the array itself, as by ``x = y.copy()``, the arrays are lent that it may have
made it of: what is made of buffers are buffers.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import numpy as np

from tapegrad.errors import TraceError
from tapegrad.ops.registry import FLOAT
from tapegrad.recording.buffers import as_buffer
from tapegrad.recording.current import current_trace
from tapegrad.recording.frames import is_own_code, spot_at, user_frame
from tapegrad.recording.holders import is_held, replace_held
from tapegrad.recording.messages import looked_up, plain_value_wanted
from tapegrad.recording.values import Array

_TIMES = 8


class Wanted:
    """Arrays that buffers are to be lent for: those that are written to, and those that may lead to them."""

    def __init__(self) -> None:  # tuples, which are not searched for what they hold
        self.written: tuple[Array, ...] = ()
        self.read: tuple[Array, ...] = ()
        self.known: tuple[dict[Any, Any], ...] = ()  # where the running functions find arrays
        self._times = 0

    def add(self, target: Any, frame: FrameType) -> None:
        """Code that `frame` runs wants to write a traced value into a plain array."""
        owner = _owner(target)
        if owner is None:
            return
        self.known += _known_to(frame)
        if is_held(owner, frame, self.known):
            self.written += (owner,)
        else:
            self.read += tuple([x for x in _arrays_in(frame, self.known) if is_held(x, frame, self.known)])

    def take(self, more: Wanted) -> bool:
        """Whether there was anything new in `more`, as there may be a few times."""
        self._times += 1
        self.known = _once(self.known + more.known)
        before = len(self.written) + len(self.read)
        self.written = _once(self.written + more.written)
        self.read = tuple([x for x in _once(self.read + more.read) if all(x is not y for y in self.written)])
        return len(self.written) + len(self.read) > before and self._times <= _TIMES


def _once(things: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple({id(thing): thing for thing in things}.values())


def _owner(array: Any) -> Array | None:
    """The plain array of floats in whose memory an array lives, if there is one."""
    while isinstance(getattr(array, "base", None), np.ndarray):
        array = array.base
    return array if type(array) is np.ndarray and array.dtype == FLOAT else None


def _known_to(frame: FrameType | None) -> tuple[dict[Any, Any], ...]:
    """The attributes of what the running functions know by names, and the tables among it."""
    found: list[dict[Any, Any]] = []
    while frame is not None and not is_own_code(frame.f_code):
        values = [*frame.f_locals.values(), *(frame.f_globals.get(name) for name in frame.f_code.co_names)]
        tables = [value if type(value) is dict else getattr(value, "__dict__", None) for value in values]
        found += [table for table in tables if type(table) is dict]
        frame = frame.f_back
    return _once(tuple(found))


def _arrays_in(frame: FrameType | None, known: tuple[dict[Any, Any], ...]) -> tuple[Array, ...]:
    """The arrays there, and in the variables themselves."""
    found = [value for table in known for value in table.values()]
    while frame is not None and not is_own_code(frame.f_code):
        found += [*frame.f_locals.values(), *(frame.f_globals.get(name) for name in frame.f_code.co_names)]
        frame = frame.f_back
    owners = [_owner(value) for value in found if type(value) is np.ndarray]
    return _once(tuple([owner for owner in owners if owner is not None]))


def target_of(frame: FrameType) -> Any:
    """The array that the assignment to an element which `frame` is at writes into, or None."""
    spot = spot_at(frame)
    if not spot.stores_element:
        return None
    try:
        target = ast.parse(spot.expression, mode="eval").body
    except SyntaxError:
        return None
    return _evaluated(target.value, frame) if isinstance(target, ast.Subscript) else None


def _evaluated(node: ast.expr, frame: FrameType) -> Any:
    """What a name, an attribute, or an element by a constant or a name stands for."""
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.Name):
        return looked_up(node.id, frame)
    try:
        if isinstance(node, ast.Attribute):
            return getattr(_evaluated(node.value, frame), node.attr)
        if isinstance(node, ast.Subscript):
            return _evaluated(node.value, frame)[_evaluated(node.slice, frame)]
    except Exception:  # of a property of the user's
        return None
    return None


def buffer_wanted(target: Any) -> TraceError:
    """The error for code that wants to write a traced value into a plain array, which is noted."""
    trace, frame = current_trace(), user_frame(sys._getframe(1))
    if trace is not None and frame is not None:
        trace.asked.arrays.add(target, frame)
    return plain_value_wanted()


@contextmanager
def lent(wanted: Wanted) -> Iterator[None]:
    """While this lasts, buffers are held in the places of these arrays."""
    arrays = (*wanted.written, *wanted.read)
    buffers = tuple([as_buffer(array.copy(order="K")) for array in arrays])
    spoilt = [(array, array.copy()) for array in wanted.written if array.flags.writeable]
    replace_held(arrays, buffers, wanted.known)
    try:
        for array, _ in spoilt:
            array[...] = np.nan
        yield
    finally:
        for array, numbers in spoilt:
            array[...] = numbers
        replace_held(buffers, arrays, wanted.known)
