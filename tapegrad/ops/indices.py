"""Indices as tapes hold them, as NumPy takes them, and what shapes they give.

An index is a hashable tuple: ints, None (a new axis), `...`, slices as ``(start, stop, step)``, and `ARRAY`
where an integer array stands; the arrays themselves are further inputs of the op.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tapegrad.ops.attributes import ARRAY
from tapegrad.ops.registry import INT, Shape

Index = tuple[Any, ...]


def decode(index: Index, arrays: Sequence[Any] = ()) -> tuple[Any, ...]:
    """The index as NumPy takes it."""
    rest = iter(arrays)
    return tuple(
        slice(*item) if isinstance(item, tuple) else next(rest) if isinstance(item, str) else item
        for item in index
    )


def indexed_shape(shape: Shape, index: Index, arrays: Sequence[Shape]) -> Shape:
    """The shape that indexing gives, found on stand-ins without data."""
    # Index arrays of zeros fit any axis but an empty one, which only empty index arrays do.
    zeros = [np.zeros(array, dtype=np.intp) for array in arrays]
    found: Shape = np.broadcast_to(np.int8(0), shape)[decode(index, zeros)].shape
    return found


def taken_shape(shape: Shape, index: Index, shapes: Sequence[Shape], values: Sequence[Any]) -> Shape:
    """What indexing gives, with the indices that are known; NumPy raises where they do not exist."""
    indices = [np.zeros(s, dtype=INT) if v is None else v for s, v in zip(shapes, values, strict=True)]
    if index.count(ARRAY) != len(indices):
        raise IndexError(f"{len(indices)} index arrays where the index has {index.count(ARRAY)}")
    found: Shape = np.broadcast_to(np.int8(0), shape)[decode(index, indices)].shape
    return found


def is_assigned(value: Shape, target: Shape) -> bool:
    """Whether NumPy assigns a value to a target; it drops leading axes of length one."""
    extra = max(len(value) - len(target), 0)
    return set(value[:extra]) <= {1} and np.broadcast_shapes(value[extra:], target) == target
