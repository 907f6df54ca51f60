"""Columns in Dask's arrays and dataframes: their chunks stay where they are, and only sums come back."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

import numpy as np

from tapegrad.pieces.combine import Outputs, merged
from tapegrad.pieces.dask_columns import Taken, is_of_dask, taken
from tapegrad.pieces.rows import as_numbers
from tapegrad.pieces.shard import Prepared, Shard, bytes_kept, computed, prepared
from tapegrad.pieces.workers import client_and_room

Array = np.ndarray[Any, Any]

# So many results are put together at a time.
FAN = 8


class ClusterRows:
    """Columns in chunks that Dask has: wherever its scheduler puts them.

    Parameters
    ----------
    found : Taken
        The chunks of the columns.
    """

    def __init__(self, found: Taken) -> None:
        self._chunks, self._lengths, self._arrays = found
        self._prepared: dict[tuple[Shard, tuple[str, ...]], list[Any]] = {}
        self._shards: dict[Shard, Any] = {}
        self._bytes = 0.0
        self._dask = import_module("dask")
        self._client, self._most_kept = client_and_room()

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
        beside = ClusterRows(Taken({**self._chunks, name: numbers}, self._lengths, [*self._arrays, labels]))
        return beside, len(known)

    def run(self, shard: Shard, names: Sequence[str], inputs: Array) -> Outputs:
        """One round: the chunks' results are put together in an order of their own.

        Raises
        ------
        RuntimeError
            If the client is closed whose workers keep what was computed of the data.
        """
        if self._client is not None and self._client.status == "closed":
            raise RuntimeError(
                "the Dask client is closed with whose workers the data are, and what was computed of them: "
                "trace anew with an open one"
            )
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


def of_dask(data: Mapping[str, Any]) -> tuple[ClusterRows, tuple[str, ...]]:
    """The columns among data, of which one at least is Dask's; arrays in memory of as many rows are some.

    Raises
    ------
    ValueError
        If columns have different lengths or unknown ones, no rows, or chunks along a further axis.
    TypeError
        If they are no real numbers.
    """
    found = taken(data)
    return ClusterRows(found), tuple(found.chunks)
