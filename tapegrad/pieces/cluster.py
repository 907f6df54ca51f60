"""Columns in Dask's arrays and dataframes: their chunks stay where they are, and only sums come back."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any

import numpy as np

from tapegrad.passes.statistics.compression import Part, together
from tapegrad.pieces.combine import Outputs, merged
from tapegrad.pieces.rows import as_numbers
from tapegrad.pieces.shard import Prepared, Shard, bytes_kept, computed, prepared

Array = np.ndarray[Any, Any]

# What a worker keeps besides the data: sub-results that depend on the data alone, such as gammaln(y + 1).
# Beyond it, they are computed anew for each replay. Where its memory is known, it is a share of that.
MOST_KEPT_BY_A_WORKER = 1_000_000_000  # bytes
SHARE_KEPT = 0.25
# So many results are put together at a time.
FAN = 8


def is_of_dask(value: Any) -> bool:
    """Whether data are in pieces of Dask's."""
    return hasattr(value, "__dask_graph__")


class ClusterRows:
    """Columns in chunks that Dask has: wherever its scheduler puts them.

    Parameters
    ----------
    chunks : mapping of str to list
        For each column its chunks, as delayed arrays.
    lengths : sequence of int
        The rows of each chunk.
    arrays : sequence of arrays
        What the chunks are of. Dask forgets the data of an array that nobody holds, although chunks of it are
        held as delayed ones.
    """

    def __init__(
        self, chunks: Mapping[str, Sequence[Any]], lengths: Sequence[int], arrays: Sequence[Any]
    ) -> None:
        self._chunks = chunks
        self._arrays = arrays
        self._lengths = lengths
        self._prepared: dict[tuple[Shard, tuple[str, ...]], list[Any]] = {}
        self._shards: dict[Shard, Any] = {}
        self._bytes = 0.0
        self._dask = import_module("dask")
        self._client, self._most_kept = _client()

    @property
    def length(self) -> int:
        """How many rows there are."""
        return sum(self._lengths)

    @property
    def is_kept(self) -> bool:
        """Whether what is computed of the data alone is kept between replays."""
        return bool(sum(array.nbytes for array in self._arrays) <= self._most_kept)

    def first(self, names: Sequence[str], count: int) -> dict[str, Array]:
        """The first rows of some columns: of as many chunks as it takes."""
        ends = np.cumsum(self._lengths)
        needed = int(np.searchsorted(ends, count)) + 1
        found = self._dask.compute({name: self._chunks[name][:needed] for name in names})[0]
        return {name: as_numbers(name, np.concatenate(found[name])[:count]) for name in names}

    def factorised(self, name: str, labels: Any) -> tuple[ClusterRows, int]:
        """The same rows with one more column, the number of each label; and how many labels there are."""
        arrays = import_module("dask.array")
        if hasattr(labels, "to_dask_array"):
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message="Dask currently has limited support")  # for text
                labels = labels.to_dask_array().compute_chunk_sizes()
        elif not is_of_dask(labels):
            labels = arrays.from_array(np.asarray(labels), chunks=-1)
        if labels.shape != (self.length,):
            raise ValueError(f"there must be a label for each of {self.length:,} rows, not {labels.shape}")
        known = arrays.unique(labels).compute()
        pieces = labels.rechunk((tuple(self._lengths),)).to_delayed().ravel().tolist()
        place = self._dask.delayed(np.searchsorted, pure=False)
        numbers = [place(known, piece) for piece in pieces]
        beside = ClusterRows({**self._chunks, name: numbers}, self._lengths, [*self._arrays, labels])
        return beside, len(known)

    def run(self, shard: Shard, names: Sequence[str], inputs: Array) -> Outputs:
        """One round: the chunks' results are put together in an order of their own.

        Raises
        ------
        RuntimeError
            If the client is closed whose workers keep what was computed of the data.
        """
        self._check_open()
        delayed, each = self._dask.delayed, shard.round
        work = delayed(computed, pure=False)
        sent = self._sent(shard)
        parts = [work(sent, piece, inputs) for piece in self._pieces(shard, sent, tuple(names))]
        put_together = delayed(merged, pure=False)
        while len(parts) > 1:
            groups = [parts[i : i + FAN] for i in range(0, len(parts), FAN)]
            parts = [put_together(group, each.how, each.axes) for group in groups]
        found: Outputs = parts[0].compute()
        return found

    def reduced(
        self,
        names: Sequence[str],
        each: Callable[[Sequence[Array]], Part | None],
        merge: Callable[[Sequence[Part]], Part],
    ) -> Part | None:
        """What a function finds in the chunks of some columns, put together in their order.

        Raises
        ------
        RuntimeError
            If the client is closed whose workers have the data.
        """
        self._check_open()
        delayed = self._dask.delayed
        work, sent = delayed(_found, pure=False), delayed(each, traverse=False)
        columns = zip(*(self._chunks[name] for name in names), strict=True)
        parts = [work(sent, tuple(names), *chunk) for chunk in columns]
        put_together = delayed(together, pure=False)
        while len(parts) > 1:
            parts = [put_together(parts[i : i + FAN], merge) for i in range(0, len(parts), FAN)]
        found: Part | None = parts[0].compute()
        return found

    def _check_open(self) -> None:
        if self._client is not None and self._client.status == "closed":
            raise RuntimeError(
                "the Dask client is closed with whose workers the data are, and what was computed of them: "
                "trace anew with an open one"
            )

    def _sent(self, shard: Shard) -> Any:
        """A shard where the workers find it, for as long as these rows are there."""
        if shard not in self._shards:
            (self._shards[shard],) = self._dask.persist(self._dask.delayed(shard, traverse=False))
        return self._shards[shard]

    def _pieces(self, shard: Shard, sent: Any, names: tuple[str, ...]) -> list[Any]:
        """What of each chunk depends on nothing else: with the workers, if there is room."""
        kept = self._prepared.get((shard, names))
        if kept is not None:
            return kept
        make = self._dask.delayed(_prepared, pure=False)
        columns = zip(*(self._chunks[name] for name in names), strict=True)
        pieces = [make(sent, names, *chunk) for chunk in columns]
        needed = bytes_kept(shard) * self.length
        if self._bytes + needed <= self._most_kept:
            self._bytes += needed
            pieces = list(self._dask.persist(*pieces))
            self._prepared[shard, names] = pieces
        return pieces


def _prepared(shard: Shard, names: Sequence[str], *columns: Any) -> list[Prepared]:
    return prepared(shard, [as_numbers(name, column) for name, column in zip(names, columns, strict=True)])


def _found(each: Callable[[Sequence[Array]], Any], names: Sequence[str], *columns: Any) -> Any:
    return each([as_numbers(name, column) for name, column in zip(names, columns, strict=True)])


# Taking data ------------------------------------------------------------------------------------------------


def of_dask(data: Mapping[str, Any]) -> tuple[ClusterRows, tuple[str, ...]]:
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
    return ClusterRows(columns, [chunks[i] for i in filled], list(arrays.values())), tuple(columns)


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


# Workers ----------------------------------------------------------------------------------------------------


def version() -> str:
    """The version of this package, where it runs."""
    return str(import_module("tapegrad").__version__)


def _client() -> tuple[Any, float]:
    """Dask's client, whose workers all have this version, or None; and how much they may keep, in bytes.

    Raises
    ------
    RuntimeError
        If a worker lacks the package, or has another version.
    """
    try:
        client = import_module("distributed").default_client()
    except (ImportError, ValueError):
        return None, MOST_KEPT_BY_A_WORKER
    try:
        found = client.run(version)
    except ImportError as error:
        raise RuntimeError(f"Dask's workers cannot import tapegrad ({error}): install it there") from error
    others = sorted({other for other in found.values() if other != version()})
    if others:
        raise RuntimeError(f"Dask's workers have tapegrad {', '.join(others)}, this process {version()}")
    workers = client.scheduler_info(n_workers=-1)["workers"].values()
    return client, sum(SHARE_KEPT * worker["memory_limit"] or MOST_KEPT_BY_A_WORKER for worker in workers)
