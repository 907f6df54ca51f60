"""Dask's arrays and columns of its dataframes as they are taken: checked, and cut into the same chunks."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np

from tapegrad.pieces.shard import as_numbers
from tapegrad.pieces.workers import data_at_hand
from tapegrad.recording.values import check_numbers


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


# What the chunks of arrays may be, and what makes NumPy's arrays of them.
_TO_NUMPY = {
    "cupy": "map_blocks(cupy.asnumpy)",
    "sparse": "map_blocks(lambda block: block.todense())",
    "scipy": "map_blocks(lambda block: block.toarray())",
    "numpy": "map_blocks(lambda block: block.filled(np.nan))",  # masked
}
# What else Dask has, by its name, and what makes an array of it.
_TO_ARRAY = {
    "Delayed": "dask.array.from_delayed({0}, shape=(n,), dtype=float) is an array, of n rows",
    "Bag": "{0}.to_dataframe() has columns",
    "Item": "{0}.compute() is a number",
    "Scalar": "{0}.compute() is a number",
}


def is_of_dask(value: Any) -> bool:
    """Whether data are in pieces of Dask's, also within an array of xarray's."""
    if type(value).__module__.partition(".")[0] == "xarray":
        value = getattr(value, "data", None)
    return hasattr(value, "__dask_graph__")


def taken(data: Mapping[str, Any]) -> Taken:
    """The columns among data, of which one at least is Dask's; arrays in memory of as many rows are some.

    Raises
    ------
    ValueError
        If columns have different lengths or unknown ones, no rows, or chunks along a further axis; if columns
        of dataframes have other divisions.
    TypeError
        If they are no real numbers, or neither arrays nor columns.
    """
    given = {name: _checked(name, value) for name, value in data.items() if is_of_dask(value)}
    _check_divisions(given)
    arrays = _with_lengths({name: _array(name, value) for name, value in given.items()})
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


def _checked(name: str, value: Any) -> Any:
    """An array or a column of real numbers."""
    if type(value).__module__.partition(".")[0] == "xarray":
        value = value.data
    names = [kind.__name__ for kind in type(value).__mro__]
    advice = next((_TO_ARRAY[kind] for kind in names if kind in _TO_ARRAY), None)
    # Whatever a delayed object is asked for, it has.
    if advice is not None or not (hasattr(value, "to_dask_array") or hasattr(value, "rechunk")):
        told = (advice or "make an array of it").format(name)
        raise TypeError(
            f"data {name} must be an array or a column of a dataframe, not a {names[0]} of Dask: {told}"
        )
    for label, dtype in _dtypes(name, value).items():
        check_numbers(label, dtype)
    if hasattr(value, "rechunk"):
        kind = type(value._meta)
        if kind is not np.ndarray:
            package = kind.__module__.partition(".")[0]
            advice = f"{name}.{_TO_NUMPY.get(package, 'map_blocks(np.asarray)')} makes NumPy's arrays of them"
            raise TypeError(f"the chunks of data {name} are {package}'s {kind.__name__}: {advice}")
        if value.ndim == 0:
            raise ValueError(f"data {name} is one number in Dask: {name}.compute() is that number")
    return value


def _dtypes(name: str, value: Any) -> dict[str, Any]:
    """The dtype of an array or a column, or of each column of a dataframe."""
    if value.ndim != 2 or not hasattr(value, "dtypes"):
        return {name: value.dtype}
    return {f"{name}[{str(column)!r}]": dtype for column, dtype in value.dtypes.items()}


def _check_divisions(given: Mapping[str, Any]) -> None:
    """That columns of several dataframes have the same rows, as far as Dask knows them."""
    ends = {
        name: (value.divisions[0], value.divisions[-1])
        for name, value in given.items()
        if getattr(value, "known_divisions", False)
    }
    if len(set(ends.values())) > 1:
        told = ", ".join(f"{name} from {first!r} to {last!r}" for name, (first, last) in ends.items())
        raise ValueError(
            f"the columns are of dataframes with different rows, by their index: {told}. Join the dataframes "
            "first, and take the columns of the result"
        )


def _array(name: str, value: Any) -> Any:
    """A column as one of Dask's arrays, whose chunks may have unknown sizes if it is of a dataframe."""
    if hasattr(value, "to_dask_array"):
        # Numbers of pandas' own and of pyarrow would become objects.
        if not all(isinstance(dtype, np.dtype) for dtype in _dtypes(name, value).values()):
            value = value.map_partitions(_as_floats, meta=_as_floats(value._meta))
        return value.to_dask_array()
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


def _as_floats(part: Any) -> Any:
    """A part of a column, or of a dataframe, as floats; what is missing is NaN."""
    pandas = import_module("pandas")
    if part.ndim == 1:
        return pandas.Series(part.to_numpy(dtype=np.float64, na_value=np.nan), part.index, name=part.name)
    return pandas.DataFrame({name: _as_floats(part[name]) for name in part.columns})


def _with_lengths(arrays: Mapping[str, Any]) -> dict[str, Any]:
    """The arrays with the sizes of their chunks, which nobody knows of dataframes before they are read."""
    found = dict(arrays)
    dask = import_module("dask")
    unknown = [name for name, array in arrays.items() if math.isnan(array.shape[0])]
    length = dask.delayed(len, pure=False)
    # All at once: columns of one dataframe are read together.
    asked = {name: [length(block) for block in arrays[name].to_delayed().ravel()] for name in unknown}
    with data_at_hand():
        known = dask.compute(asked)[0]
    for name, lengths in known.items():
        found[name] = arrays[name].copy()
        found[name]._chunks = (tuple(lengths), *arrays[name].chunks[1:])
    return found


def _chunks_of(arrays: Mapping[str, Any]) -> tuple[int, ...]:
    """The rows of each chunk: those of the array that has most chunks."""
    lengths = {name: array.shape[0] for name, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{name} has {length:,}" for name, length in lengths.items())
        raise ValueError(f"data in chunks must have the same number of rows: {told}")
    chunks: tuple[int, ...] = max((array.chunks[0] for array in arrays.values()), key=len)
    return chunks


def check_rows(names: Sequence[str], columns: Sequence[Any], rows: int) -> None:
    """Raise ValueError if a chunk that was read has another number of rows than Dask was told of it."""
    for name, column in zip(names, columns, strict=True):
        found = column.shape[0] if column.shape else 0
        if found != rows:
            raise ValueError(
                f"a chunk of data {name} has {found:,} rows, and Dask was told that there are {rows:,}: the "
                "shape given to dask.array.from_delayed, or the chunks given to map_blocks, must be true"
            )


def entry_chunks(what: str, entries: Any, *cuts: Sequence[int]) -> tuple[list[Any], Any, int]:
    """An entry for each row, in chunks of the first of these lengths that fit; what they are of; and which.

    Raises
    ------
    ValueError
        If there are not as many; `what` says of what.
    """
    if hasattr(entries, "to_dask_array"):
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Dask currently has limited support")  # for text
            entries = _with_lengths({"groups": entries.to_dask_array()})["groups"]
    elif not is_of_dask(entries):
        entries = import_module("dask.array").from_array(np.asarray(entries), chunks=-1)
    for place, lengths in enumerate(cuts):
        if entries.shape == (sum(lengths),):
            return entries.rechunk((tuple(lengths),)).to_delayed().ravel().tolist(), entries, place
    raise ValueError(f"there must be {what} for each of {sum(cuts[0]):,} rows, not {entries.shape}")
