"""Columns in Dask's arrays and dataframes: their chunks stay where they are, and only sums come back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib import import_module
from typing import Any
from uuid import uuid4

import numpy as np

from tapegrad.passes.statistics.compression import Part, together
from tapegrad.pieces.combine import Outputs, merged
from tapegrad.pieces.dask_columns import Taken, along, taken
from tapegrad.pieces.shard import Piece, Shard, as_numbers, bytes_given, bytes_kept, bytes_of, computed
from tapegrad.pieces.workers import client_and_room

Array = np.ndarray[Any, Any]

# So many results are put together at a time where there are many: a power of two, so that the pairs are those
# of all results together.
FAN = 8
# What comes back to the client of all chunks together, without being put together before.
MOST_BYTES = 1_000_000


class ClusterRows:
    """Columns in chunks that Dask has: wherever its scheduler puts them.

    Parameters
    ----------
    found : Taken
        The chunks of the columns.
    """

    def __init__(self, found: Taken) -> None:
        self._chunks, self._lengths, self._arrays = found
        self._pieces: list[Any] | None = None
        self._shards: dict[Shard, tuple[Any, bool]] = {}
        self._bytes: float = bytes_of(self._arrays)
        self._dask = import_module("dask")
        self._client, self._most_kept = client_and_room()

    @property
    def length(self) -> int:
        """How many rows there are."""
        return sum(self._lengths)

    @property
    def is_kept(self) -> bool:
        """Whether what is computed of the data alone is kept between replays."""
        return bytes_of(self._arrays) <= self._most_kept

    def first(self, names: Sequence[str], count: int) -> dict[str, Array]:
        """The first rows of some columns: of as many chunks as it takes, cut where they are."""
        ends = np.cumsum(self._lengths)
        needed = int(np.searchsorted(ends, count)) + 1
        cut = self._dask.delayed(_first, pure=False)
        found = self._dask.compute(
            {name: [cut(c, count) for c in self._chunks[name][:needed]] for name in names}
        )
        return {name: as_numbers(name, np.concatenate(found[0][name])[:count]) for name in names}

    def beside(self, name: str, values: Any) -> ClusterRows:
        """The same rows with one more column."""
        array = along(self._lengths, name, values)
        return self._beside(name, array.to_delayed().ravel().tolist(), array)

    def factorised(self, name: str, labels: Any) -> tuple[ClusterRows, int]:
        """The same rows with one more column, the number of each label; and how many labels there are."""
        array = along(self._lengths, name, labels)
        known = import_module("dask.array").unique(array).compute()
        place = self._dask.delayed(np.searchsorted, pure=False)
        numbers = [place(known, piece) for piece in array.to_delayed().ravel().tolist()]
        return self._beside(name, numbers, array), len(known)

    def _beside(self, name: str, chunks: Sequence[Any], array: Any) -> ClusterRows:
        return ClusterRows(Taken({**self._chunks, name: chunks}, self._lengths, [*self._arrays, array]))

    def run(self, shard: Shard, names: Sequence[str], inputs: Array) -> Outputs:
        """One round: the chunks' results are put together in an order of their own.

        Raises
        ------
        RuntimeError
            If the client is closed whose workers keep what was computed of the data.
        """
        sent, keep = self._sent(shard)
        work = partial(computed, names=tuple(names), keep=keep, inputs=inputs)
        join = partial(merged, how=shard.round.how, axes=shard.round.axes)
        found: Outputs = self._over_all(sent, work, join, max(MOST_BYTES // bytes_given(shard), FAN))
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
        sent = self._dask.delayed(each, traverse=False)
        join = partial(together, merge=merge)
        found: Part | None = self._over_all(sent, partial(_found, names=tuple(names)), join, FAN)
        return found

    def release(self) -> None:
        """Keep nothing of the pieces any more, until they are walked over again."""
        self._pieces = None

    def _over_all(
        self, sent: Any, work: Callable[[Any, Piece], Any], join: Callable[[list[Any]], Any], most: int
    ) -> Any:
        """What work does with something sent, delayed, and each piece; joined in the order of the pieces."""
        if self._client is not None and self._client.status == "closed":
            raise RuntimeError(
                "the Dask client is closed with whose workers the data are, and what was computed of them: "
                "trace anew with an open one"
            )
        pieces, token = self._walk(), uuid4().hex
        # A graph of Dask's own form: to make one of delayed objects takes longer than many a gradient.
        graph: dict[Any, Any] = {}
        for delayed in (sent, *pieces):
            graph.update(delayed.__dask_graph__())
        parts = [(f"computed-{token}", i) for i in range(len(pieces))]
        graph.update((part, (work, sent.key, piece.key)) for part, piece in zip(parts, pieces, strict=True))
        while len(parts) > most:
            groups = [parts[i : i + FAN] for i in range(0, len(parts), FAN)]
            parts = [(f"merged-{token}-{len(parts)}", i) for i in range(len(groups))]
            graph.update((part, (join, group)) for part, group in zip(parts, groups, strict=True))
        get = self._dask.base.get_scheduler() or import_module("dask.threaded").get
        return join(get(graph, parts))

    def _sent(self, shard: Shard) -> tuple[Any, bool]:
        """A shard where the workers find it; and whether what it makes of the data alone is kept."""
        if shard not in self._shards:
            needed = self._bytes + bytes_kept(shard) * self.length
            keep = needed <= self._most_kept
            self._bytes = needed if keep else self._bytes
            (sent,) = self._dask.persist(self._dask.delayed(shard, traverse=False))
            self._shards[shard] = sent, keep
        return self._shards[shard]

    def _walk(self) -> list[Any]:
        """The pieces, delayed: with the workers, if there is room."""
        if self._pieces is None:
            make = self._dask.delayed(_piece, pure=False)
            names = tuple(self._chunks)
            pieces = [make(names, *chunk) for chunk in zip(*self._chunks.values(), strict=True)]
            self._pieces = list(self._dask.persist(*pieces)) if self.is_kept else pieces
        return self._pieces


def _piece(names: Sequence[str], *chunks: Any) -> Piece:
    return Piece(dict(zip(names, chunks, strict=True)))


def _found(each: Callable[[Sequence[Array]], Any], piece: Piece, names: tuple[str, ...]) -> Any:
    return each([piece.column(name) for name in names])


def _first(chunk: Any, count: int) -> Any:
    return chunk[:count]


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
