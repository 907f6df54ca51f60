"""Noticing array operations that are recorded number by number.

NumPy makes a plain array of objects out of traced values where it cannot ask tapegrad, and then computes with
it object by object. The results are right, but a tape has an entry for each number.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from types import FrameType
from typing import Any

import numpy as np

from tapegrad.recording.frames import Spot, library_of, location, parsed, spot_at, user_frame
from tapegrad.recording.messages import looked_up

LIMIT = 100  # so many entries of one instruction are no accident
# By what made the plain array.
_INSTEAD = {
    ".dot(": "write X @ b for X.dot(b)",
    "r_[": "write np.concatenate or np.stack for np.r_",
    "c_[": "write np.column_stack for np.c_",
    "asarray(": "leave out np.asarray: what is traced is an array already, and np.stack makes one of a list",
    "array(": "write np.stack([...]) for np.array([...]), np.block for nested lists, v.copy() for one array",
    "assign(": "keep traced values out of pandas objects, in variables of their own",
}
_MAKERS = (np.array, np.asarray, np.asanyarray, np.ascontiguousarray, np.atleast_1d)


class Watch:
    """Counts the entries of each instruction of the user's, once there are plain arrays of traced values."""

    def __init__(self, made: Spot | None) -> None:
        self.made = made
        self.found: Spot | None = None
        self._counts: dict[tuple[int, int], int] = {}

    def see(self) -> None:
        """An entry that gives one number is being recorded."""
        inner = sys._getframe(1)
        outer = user_frame(inner)
        if outer is None or self.found is not None:
            return
        place = (id(outer.f_code), outer.f_lasti)
        count = self._counts[place] = self._counts.get(place, 0) + 1
        if count == LIMIT and _is_unrolled(inner, outer):
            self.found = spot_at(outer)

    def told(self, name: str) -> str | None:
        """What a warning says, if there is something to say."""
        made, found = self.made, self.found
        if found is None:
            return None
        elsewhere = made is not None and made.source != found.source
        text = "" if made is None else made.expression
        advice = next((told for sign, told in _INSTEAD.items() if sign in text), "use NumPy functions and @")
        return (
            f"{name} has an array operation on its tape number by number{location(found)}: it is done on a "
            f"plain array of traced values{f', made{location(made)}' if elsewhere else ''}. Instead, {advice}"
        )


def _is_unrolled(inner: FrameType | None, outer: FrameType) -> bool:
    """Whether it is NumPy or pandas that goes from number to number, and not a loop of the user's."""
    while inner is not None and inner is not outer:
        if library_of(inner.f_code) is not None:
            return True
        inner = inner.f_back
    expression = parsed(spot_at(outer).expression)
    return expression is not None and any(_is_object_array(node, outer) for node in _operands(expression))


def _operands(node: ast.AST) -> Iterator[ast.expr]:
    """The expressions within, but not the arrays that elements are taken from."""
    if isinstance(node, ast.expr):
        yield node
    for child in ast.iter_child_nodes(node):
        if not (isinstance(node, ast.Subscript) and child is node.value and not _is_joiner(node.value)):
            yield from _operands(child)


def _is_joiner(node: ast.expr) -> bool:
    return isinstance(node, ast.Attribute) and node.attr in ("r_", "c_")


def _is_object_array(node: ast.expr, frame: FrameType) -> bool:
    if isinstance(node, ast.Subscript):
        return _is_joiner(node.value)
    if isinstance(node, ast.Call):
        called = looked_up(ast.unparse(node.func), frame)
        return any(called is maker for maker in _MAKERS) or _is_dot(called)
    if isinstance(node, (ast.Name, ast.Attribute)):
        return _holds_objects(looked_up(ast.unparse(node), frame))
    return False


def _is_dot(called: Any) -> bool:
    owner = getattr(called, "__self__", None)
    return isinstance(owner, np.ndarray) and getattr(called, "__name__", "") == "dot"


def _holds_objects(value: Any) -> bool:
    is_array = isinstance(value, np.ndarray) or type(value).__module__.startswith("pandas")
    return is_array and getattr(getattr(value, "dtype", None), "kind", "") == "O"
