"""Kinds of values that attributes may have. Each op names one kind for each of its attributes.

A kind is a function ``(value, shape) -> bool`` of a value and the shape of the op's first input. Attributes
are printed into source and handed to kernels, so `verify` admits no name and no value but those declared.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Kind = Callable[[Any, tuple[int, ...]], bool]
ARRAY = "array"


def _is_int(value: Any) -> bool:
    return type(value) is int or isinstance(value, np.integer)  # no truth, and nothing with a repr of its own


def is_shape(value: Any, shape: tuple[int, ...]) -> bool:
    """A tuple of lengths."""
    return isinstance(value, tuple) and all(_is_int(n) and n >= 0 for n in value)


def is_count(value: Any, shape: tuple[int, ...]) -> bool:
    """A number of times, one or more."""
    return _is_int(value) and value >= 1


def is_axis(value: Any, shape: tuple[int, ...]) -> bool:
    """The number of one axis, from the front."""
    return _is_int(value) and 0 <= value < len(shape)


def is_axes(value: Any, shape: tuple[int, ...]) -> bool:
    """Numbers of axes in ascending order."""
    if not (isinstance(value, tuple) and all(is_axis(axis, shape) for axis in value)):
        return False
    return list(value) == sorted(set(value))


def is_order(value: Any, shape: tuple[int, ...]) -> bool:
    """All axes, in some order."""
    return isinstance(value, tuple) and is_axes(tuple(sorted(value)), shape) and len(value) == len(shape)


def is_flag(value: Any, shape: tuple[int, ...]) -> bool:
    """True or False; NumPy takes 1 and 0 for them."""
    return isinstance(value, bool | np.bool_) or (_is_int(value) and value in (0, 1))


def is_index(value: Any, shape: tuple[int, ...]) -> bool:
    """An index as tapes hold it, see `tapegrad.ops.indexing`."""
    return isinstance(value, tuple) and all(map(_is_item, value))


def _is_item(item: Any) -> bool:
    if isinstance(item, tuple):
        return len(item) == 3 and all(part is None or _is_int(part) for part in item)
    is_array = isinstance(item, str) and item == ARRAY
    return item is None or item is Ellipsis or is_array or _is_int(item)


def one_of(*choices: str | None) -> Kind:
    """One of these texts."""
    return lambda value, shape: (value is None or isinstance(value, str)) and value in choices
