"""Columns in Dask's arrays and dataframes: their chunks stay where they are, and only sums come back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np

from tapegrad.pieces.combine import Outputs, merged
from tapegrad.pieces.dask_columns import Taken, check_rows, label_chunks, taken
from tapegrad.pieces.missing import Gaps, complete, gaps, labels_in, numbered, starts
from tapegrad.pieces.rows import as_numbers, by_name
from tapegrad.pieces.shard import Prepared, Shard, bytes_kept, computed, prepared
from tapegrad.pieces.workers import client_and_room

Array = np.ndarray[Any, Any]

# So many results are put together at a time.
FAN = 8


class Gone(NamedTuple):
    """Rows that are left out, for each chunk.

    Attributes
    ----------
    found : sequence of delayed Gaps
        With the workers.
    told : sequence of Gaps
        The same here, without the rows themselves.
    """

    found: Sequence[Any]
    told: Sequence[Gaps]

    def of(self, chunks: Sequence[Any]) -> list[Any]:
        """What is left of the chunks of a column, of those with any rows."""
        take = import_module("dask").delayed(complete, pure=False)
        return [
            chunk if told.complete == told.rows else take(chunk, found)
            for chunk, found, told in zip(chunks, self.found, self.told, strict=True)
            if told.complete
        ]


class ClusterRows:
    """Columns in chunks that Dask has: wherever its scheduler puts them.

    Parameters
    ----------
    found : Taken
        The chunks of the columns.
    gone : Gone, optional
        The rows that are left out of them.
    """

    def __init__(self, found: Taken, gone: Gone | None = None) -> None:
        self._chunks, self._lengths, self._arrays = found
        self._gone = gone
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
        for rows, *columns in zip(self._lengths, *(found[name] for name in names), strict=False):
            check_rows(names, columns, rows)
        return {name: as_numbers(name, np.concatenate(found[name])[:count]) for name in names}

    def factorised(self, name: str, labels: Any) -> tuple[ClusterRows, int]:
        """The same rows with one more column, the number of each label; and how many labels there are."""
        before = [] if self._gone is None else [[each.rows for each in self._gone.told]]
        pieces, array, place = label_chunks(labels, self._lengths, *before)
        if self._gone is not None and place == 1:
            pieces = self._gone.of(pieces)
        look, number = (self._dask.delayed(function, pure=False) for function in (labels_in, numbered))
        found = self._dask.compute(list(map(look, pieces, starts(self._lengths))))[0]
        known = np.unique(np.concatenate(found))
        numbers = [number(known, piece) for piece in pieces]
        arrays = [*self._arrays, array]
        beside = ClusterRows(Taken({**self._chunks, name: numbers}, self._lengths, arrays), self._gone)
        return beside, len(known)

    def missing(self) -> dict[str, int]:
        """In how many rows of each column something is missing."""
        return by_name(self._chunks, self._gaps.told)

    def complete(self) -> ClusterRows:
        """The rows in which nothing is missing."""
        gone = self._gaps
        chunks = {name: gone.of(pieces) for name, pieces in self._chunks.items()}
        lengths = [each.complete for each in gone.told if each.complete]
        return ClusterRows(Taken(chunks, lengths, self._arrays), gone)

    @cached_property
    def _gaps(self) -> Gone:
        find = self._dask.delayed(_gaps, pure=False)
        chunks = zip(self._lengths, *self._chunks.values(), strict=True)
        found = self._dask.persist(*[find(list(self._chunks), rows, *chunk) for rows, *chunk in chunks])
        return Gone(found, self._dask.compute(list(map(self._dask.delayed(_told), found)))[0])

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
        columns = zip(self._lengths, *(self._chunks[name] for name in names), strict=True)
        pieces = [make(sent, names, rows, *chunk) for rows, *chunk in columns]
        needed = bytes_kept(shard) * self.length
        if self._bytes + needed <= self._most_kept:
            self._bytes += needed
            pieces = list(self._dask.persist(*pieces))
            self._prepared[shard, names] = pieces
        return pieces


def _prepared(shard: Shard, names: Sequence[str], rows: int, *columns: Any) -> list[Prepared]:
    check_rows(names, columns, rows)
    return prepared(shard, [as_numbers(name, column) for name, column in zip(names, columns, strict=True)])


def _gaps(names: Sequence[str], rows: int, *columns: Any) -> Gaps:
    check_rows(names, columns, rows)
    return gaps([as_numbers(name, column) for name, column in zip(names, columns, strict=True)])


def _told(found: Gaps) -> Gaps:
    return found._replace(kept=None)


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
