"""A loop as plain Python: where no trace is running."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tapegrad.loops.step import Loop, apart, as_float, built
from tapegrad.ops.indexing import join
from tapegrad.ops.registry import FLOAT, Recordable
from tapegrad.ops.shaping import reshape, shape_of


def looped(loop: Loop) -> tuple[Any, Any]:
    """What is carried at last, and all that the steps give, stacked."""
    carry, structure = loop.start, None
    columns: list[list[Any]] = []
    each = [leaf if isinstance(leaf, Recordable) or leaf.ndim == 1 else leaf.copy() for leaf in loop.each]
    for x in zip(*each, strict=True) if each else [()] * loop.count:
        found, y = loop.called(carry, x)
        carry = [_like(value, old) for value, old in zip(found, carry, strict=True)]
        if structure is None:
            structure, row = apart(y, "y", as_float)
            columns = [[value] for value in row]
            continue
        for column, leaf in zip(columns, loop.leaves(structure, y, "y"), strict=True):
            column.append(as_float(leaf, "y"))
    assert structure is not None
    return built(loop.init, carry), built(structure, [stacked(column) for column in columns])


def _like(value: Any, old: Any) -> Any:
    """What is carried on, in the dtype of what was carried."""
    if type(value) is type(old) is np.float64:
        return value
    found = as_float(value, "what is carried")
    if isinstance(found, Recordable) or isinstance(old, Recordable) or found.dtype == old.dtype:
        return found
    if old.dtype != FLOAT:
        raise mixed(found.dtype)
    return found.astype(FLOAT)


def mixed(dtype: np.dtype[Any]) -> TypeError:
    """The error for a truth value that is carried on as a number."""
    return TypeError(f"init carries a truth value, and step carries on {dtype}: write 1.0 and 0.0 in init")


def stacked(rows: Sequence[Any]) -> Any:
    """Numbers or arrays of one shape, along a new first axis."""
    if not any(isinstance(row, Recordable) for row in rows):
        return np.array(rows)
    return join([reshape(row, shape=(1, *shape_of(row))) for row in rows], 0)
