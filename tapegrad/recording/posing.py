"""A trace in which code is told of more rows than its arrays have.

Data that are in pieces are never seen whole by the function that is traced, and yet it may ask how many rows
there are, and decide by it. So it runs once more, on some rows, while whoever asks for their number, in code
that is neither this package's nor NumPy's nor SciPy's, is told that of all rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import CodeType
from typing import Any, NamedTuple

import numpy as np

from tapegrad.recording.frames import is_of_libraries

Array = np.ndarray[Any, Any]
Shape = tuple[int, ...]

# NumPy's functions that are given shapes, or a number of rows.
_TAKE_SHAPES = frozenset(
    ("arange", "zeros", "ones", "empty", "full", "reshape", "resize", "broadcast_to", "tile", "repeat")
)


class Posing(NamedTuple):
    """What is told, and what is so.

    Attributes
    ----------
    rows : int
        The rows that the arrays have. Nothing else is as long.
    told : int
        The rows that code is told of.
    outcomes : sequence
        What decisions came out as in a trace with few rows: they come out so again.
    steps : int
        How many steps that trace has: no more are recorded.
    """

    rows: int
    told: int
    outcomes: Sequence[Any]
    steps: int

    def shape(self, shape: Shape, asks: CodeType) -> Shape:
        """A shape as the code is told it that asks."""
        if self.rows not in shape or is_of_libraries(asks):
            return shape
        return tuple([self.told if n == self.rows else n for n in shape])

    def taken(
        self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments of a function of NumPy, with the rows that there are for those that were told."""
        if name not in _TAKE_SHAPES:
            return tuple(args), dict(kwargs)
        return tuple(map(self._back, args)), {key: self._back(value) for key, value in kwargs.items()}

    def _back(self, value: Any) -> Any:
        if type(value) is tuple or type(value) is list:
            return type(value)([self._back(item) for item in value])
        if isinstance(value, int | np.integer) and not isinstance(value, bool) and value == self.told:
            return self.rows
        return value

    def array(self, array: Array) -> Array:
        """An array with the rows that there are, in place of one with as many as were told."""
        for axis, n in enumerate(array.shape):
            if n == self.told:
                array = array[(slice(None),) * axis + (slice(self.rows),)]
        return array

    def widened(self, array: Any) -> Any:
        """A plain array that holds one number alone, with as many rows as were told; no memory is needed.

        Arrays of floats become buffers, which answer by themselves.
        """
        is_of_rows = type(array) is np.ndarray and self.rows in array.shape and array.dtype.kind in "iub"
        if not (is_of_rows and (array == array.flat[0]).all()):
            return array
        shape = tuple([self.told if n == self.rows else n for n in array.shape])
        return np.broadcast_to(array.flat[0], shape)

    def is_even(self, array: Array) -> bool:
        """Whether an array with as many rows as were told holds one number alone."""
        if self.told not in array.shape:
            return True
        once = array[tuple([slice(1) if step == 0 else slice(None) for step in array.strides])]
        return bool(once.min() == once.max())
