"""What a step of a loop gets and gives: nests of numbers and arrays, checked against those it began with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tapegrad.function.record import definition
from tapegrad.nest import Leaf, Nest, Structure, describe
from tapegrad.nest import scan as taken_apart
from tapegrad.ops.registry import BOOL, FLOAT, INT, Aval, Recordable
from tapegrad.ops.shaping import shape_of

NOTHING = Structure(Nest(tuple, (), ()), (), ())  # of None: no numbers at all


@dataclass(frozen=True)
class Loop:
    """A loop as it is called.

    Attributes
    ----------
    name : str
        "scan" or "map", for messages.
    step : callable
        ``step(carry, x) -> (carry, y)``.
    blamed : callable
        The user's function that messages name.
    init, xs : Structure
        What is carried, and what each step gets of its own; the leaves of `xs` without their first axis.
    start, each : list
        Their numbers and arrays, some of them traced.
    count : int
        The number of steps.
    """

    name: str
    step: Callable[[Any, Any], Any]
    blamed: Callable[..., Any]
    init: Structure
    start: list[Any]
    xs: Structure
    each: list[Any]
    count: int

    def called(self, carry: Sequence[Any], x: Sequence[Any]) -> tuple[list[Any], Any]:
        """The leaves of what one step carries on, and what it gives besides."""
        pair = self.step(built(self.init, carry), built(self.xs, x))
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            what = f"a {type(pair).__name__}"
            if isinstance(pair, (tuple, list)):
                what += f" of {len(pair)}"
            raise TypeError(f"{definition(self.blamed)} returned {what}; expected a pair: the carry and y")
        return self.leaves(self.init, pair[0], "carry"), pair[1]

    def leaves(self, structure: Structure, nest: Any, what: str) -> list[Any]:
        """The leaves of a nest of this structure; an error names what differs."""
        found: list[Any] = []
        if structure is NOTHING and nest is None:
            return found
        if not _gather(structure.root, nest, found):
            expected = "None" if structure is NOTHING else describe(structure.root)
            since = "as init is" if what == "carry" else "as in the first step"
            told = f"returned as its {what} {described(nest)}; expected {expected}, {since}"
            raise ValueError(f"{definition(self.blamed)} {told}")
        return found


_NUMBERS = frozenset((float, np.float64))


def _gather(node: Leaf | Nest, nest: Any, found: list[Any]) -> bool:
    """Collect the leaves of `nest`, as long as it has the structure of `node`."""
    if isinstance(node, Leaf):
        if node.shape == () and type(nest) in _NUMBERS:  # the short way: plain loops come here at every step
            found.append(nest)
            return True
        if nest is None or isinstance(nest, (Mapping, list, tuple)) or shape_of(nest) != node.shape:
            return False
        found.append(nest)
        return True
    if node.kind is dict:
        if not isinstance(nest, Mapping) or nest.keys() != set(node.keys):
            return False
        return all(_gather(c, nest[k], found) for k, c in zip(node.keys, node.children, strict=True))
    if not isinstance(nest, (list, tuple)) or len(nest) != len(node.children):
        return False
    return all(_gather(c, part, found) for c, part in zip(node.children, nest, strict=True))


def described(nest: Any) -> str:
    """A nest in words."""
    if nest is None:
        return "None"
    structure, _ = taken_apart(nest, "", lambda node, label: np.zeros(shape_of(node)))
    return describe(structure.root)


def built(structure: Structure, leaves: Sequence[Any]) -> Any:
    """The nest of these leaves."""
    if structure is NOTHING:
        return None
    return leaves[0] if type(structure.root) is Leaf else structure.build(leaves)


def apart(nest: Any, label: str, convert: Callable[[Any, str], Any]) -> tuple[Structure, list[Any]]:
    """The structure of a nest, None among them, and its leaves."""
    return (NOTHING, []) if nest is None else taken_apart(nest, label, convert)


def number(value: Any, label: str) -> Any:
    """A number or an array of float64, bool or int64, a copy; what is recordable stays."""
    found = data(value, label)
    return found.copy() if isinstance(found, np.ndarray) else found


def data(value: Any, label: str) -> Any:
    """The same, and the array itself if it is one of these already."""
    if isinstance(value, Recordable):
        return value
    if isinstance(value, (np.ma.MaskedArray, np.matrix)):
        raise TypeError(
            f"{label} is a {type(value).__name__}: write .compressed(), .filled() or np.asarray of it"
        )
    array = np.asarray(value)
    if array.dtype == object or array.dtype.kind not in "fiub":
        what = "None" if value is None else f"{value!r:.60}"
        raise TypeError(f"{label} must be a real number or an array of them, not {what}")
    array = np.asarray(array, dtype={"f": FLOAT, "b": BOOL}.get(array.dtype.kind, INT))
    return array if array.ndim else array[()]


def as_float(value: Any, label: str) -> Any:
    """The same, where whole numbers are floats."""
    if type(value) is np.float64:
        return value
    found = number(value, label)
    if isinstance(found, Recordable) or found.dtype != INT:
        return found
    return np.float64(found) if found.ndim == 0 else found.astype(FLOAT)


def aval_of(value: Any) -> Aval:
    """The shape and dtype of a leaf."""
    dtype = getattr(value, "dtype", FLOAT)
    return Aval(shape_of(value), dtype)
