"""Rows in which something is missing, and the rest, piece by piece."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray[Any, Any]


class Gaps(NamedTuple):
    """What is missing in some rows.

    Attributes
    ----------
    kept : ndarray of uint8 or None
        Which rows are complete, eight in a byte; None where all are.
    rows : int
        How many there are.
    complete : int
        How many are complete.
    counts : tuple of int
        In how many rows of each column something is missing.
    """

    kept: Array | None
    rows: int
    complete: int
    counts: tuple[int, ...]


def gaps(columns: Sequence[Any]) -> Gaps:
    """What is missing in some rows of these columns: NaN, in any element of a row."""
    rows = len(columns[0])
    masks = [_absent(np.asarray(column)) for column in columns]
    counts = tuple([0 if mask is None else int(mask.sum()) for mask in masks])
    if not any(counts):
        return Gaps(None, rows, rows, counts)
    gone = np.asarray(np.stack([mask for mask in masks if mask is not None]).any(axis=0))
    return Gaps(np.packbits(~gone), rows, int(rows - gone.sum()), counts)


def _absent(column: Array) -> Array | None:
    if column.dtype.kind != "f":
        return None
    return np.asarray(np.isnan(column).reshape(len(column), -1).any(axis=1))


def complete(column: Any, found: Gaps) -> Any:
    """The rows of a column that are complete."""
    return column if found.kept is None else column[kept(found)]


def kept(found: Gaps) -> Array:
    """Which rows are complete, as truth values."""
    if found.kept is None:
        return np.ones(found.rows, dtype=np.bool_)
    return np.unpackbits(found.kept, count=found.rows).view(np.bool_)


def labels_in(labels: Any, start: int = 0) -> Array:
    """The different labels among some, in order.

    Raises
    ------
    ValueError
        If one is missing: None or NaN. The message has its place, counted from `start`.
    """
    array = np.asarray(labels)
    gone = _no_label(array)
    if gone.any():
        raise ValueError(f"groups has no label for observation {start + int(np.argmax(gone))} (None or NaN)")
    found: Array = np.unique(array.astype(np.str_) if array.dtype == object and _are_texts(array) else array)
    return found


def _are_texts(array: Array) -> bool:
    return all(isinstance(label, str) for label in array)


def _no_label(array: Array) -> Array:
    if array.dtype.kind == "f":
        return np.isnan(array)
    if array.dtype != object:
        return np.zeros(array.shape, dtype=np.bool_)
    try:
        is_missing: Callable[[Array], Array] = import_module("pandas").isna
    except ImportError:
        return np.array([label is None or label != label for label in array], dtype=np.bool_)
    return is_missing(array)


def numbered(known: Array, labels: Any) -> Array:
    """The number of each label among all that are known."""
    array = np.asarray(labels)
    texts = known.dtype.kind == "U" and array.dtype == object
    return np.searchsorted(known, array.astype(np.str_) if texts else array)


def starts(lengths: Sequence[int]) -> Iterator[int]:
    """Where pieces of these lengths begin."""
    start = 0
    for length in lengths:
        yield start
        start += length
