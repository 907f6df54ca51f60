"""Dask's arrays and columns of its dataframes as they are taken: checked, and cut into the same chunks."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np

from tapegrad.pieces.shard import as_numbers


class Taken(NamedTuple):
    """Columns in chunks.

    Attributes
    ----------
    chunks : mapping of str to list
        For each column its chunks, as delayed arrays. None is empty.
    lengths : sequence of int
        The rows of each chunk.
    arrays : sequence of arrays
        What the chunks are of. Dask forgets the data of an array that nobody holds, although chunks of it are
        held as delayed ones.
    """

    chunks: Mapping[str, Sequence[Any]]
    lengths: Sequence[int]
    arrays: Sequence[Any]


def is_of_dask(value: Any) -> bool:
    """Whether data are in pieces of Dask's."""
    return hasattr(value, "__dask_graph__")


def taken(data: Mapping[str, Any]) -> Taken:
    """The columns among data, of which one at least is Dask's; arrays in memory of as many rows are some.

    Raises
    ------
    ValueError
        If columns have different lengths or unknown ones, no rows, or chunks along a further axis.
    TypeError
        If they are no real numbers.
    """
    arrays = {name: _array(name, value) for name, value in data.items() if is_of_dask(value)}
    chunks = _chunks_of(arrays)
    length = sum(chunks)
    for name, value in data.items():
        if name not in arrays and np.ndim(value) and len(value) == length:
            arrays[name] = import_module("dask.array").from_array(as_numbers(name, value), chunks=-1)
    arrays = {name: array.rechunk({0: chunks}) for name, array in arrays.items()}
    filled = [i for i, rows in enumerate(chunks) if rows]
    if not filled:
        raise ValueError(f"no data: {', '.join(arrays)} has no rows")
    columns = {}
    for name, array in arrays.items():
        blocks = array.to_delayed().ravel().tolist()
        columns[name] = [blocks[i] for i in filled]
    return Taken(columns, [chunks[i] for i in filled], list(arrays.values()))


def along(lengths: Sequence[int], name: str, values: Any) -> Any:
    """Something with an entry for each row as one of Dask's arrays, cut into chunks of these lengths.

    Raises
    ------
    ValueError
        If it has none for some row, or several.
    """
    if hasattr(values, "to_dask_array"):
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Dask currently has limited support")  # for text
            values = values.to_dask_array().compute_chunk_sizes()
    elif not is_of_dask(values):
        values = import_module("dask.array").from_array(np.asarray(values), chunks=-1)
    if values.shape != (sum(lengths),):
        raise ValueError(f"{name} must have shape ({sum(lengths)},), one for each row, not {values.shape}")
    return values.rechunk((tuple(lengths),))


def _array(name: str, value: Any) -> Any:
    """A column as one of Dask's arrays, checked."""
    if hasattr(
        value, "to_dask_array"
    ):  # of a dataframe, of which nobody knows the lengths before they are read
        # Not with lengths=True: where Dask reads several partitions as one, it finds too few lengths.
        value = value.to_dask_array().compute_chunk_sizes()
    if value.dtype.kind not in "fiub":
        raise TypeError(f"data {name} must be real numbers, not {value.dtype}")
    if any(math.isnan(rows) for rows in value.shape):
        raise ValueError(
            f"the chunks of data {name} have unknown sizes: {name}.compute_chunk_sizes() finds them out"
        )
    if any(len(sizes) > 1 for sizes in value.chunks[1:]):
        raise ValueError(
            f"data {name} is chunked along {sum(len(sizes) > 1 for sizes in value.chunks)} axes, "
            f"{value.numblocks}: a chunk has to hold whole rows, as {name}.rechunk({{1: -1}}) makes them"
        )
    return value


def _chunks_of(arrays: Mapping[str, Any]) -> tuple[int, ...]:
    """The rows of each chunk: those of the array that has most chunks."""
    lengths = {name: array.shape[0] for name, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{name} has {length:,}" for name, length in lengths.items())
        raise ValueError(f"data in chunks must have the same number of rows: {told}")
    chunks: tuple[int, ...] = max((array.chunks[0] for array in arrays.values()), key=len)
    return chunks
