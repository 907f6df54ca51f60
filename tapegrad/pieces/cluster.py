"""Columns in Dask's arrays and dataframes: their chunks stay where they are, and only sums come back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from importlib import import_module
from typing import Any, NamedTuple
from uuid import uuid4

import numpy as np

from tapegrad.passes.statistics.compression import Part, together
from tapegrad.pieces import workers
from tapegrad.pieces.combine import Outputs, merged
from tapegrad.pieces.dask_columns import Taken, check_rows, entry_chunks, taken
from tapegrad.pieces.missing import Gaps, complete, gaps, labels_in, numbered, starts
from tapegrad.pieces.rows import by_name
from tapegrad.pieces.shard import (
    Piece,
    Shard,
    as_numbers,
    bytes_given,
    bytes_kept,
    bytes_of,
    computed,
    resized_shape,
)
from tapegrad.pieces.workers import data_at_hand, workers_now

Array = np.ndarray[Any, Any]

# So many results are put together at a time where there are many: a power of two, so that the pairs are those
# of all results together.
FAN = 8
# What comes back to the client of all chunks together, without being put together before.
MOST_BYTES = 1_000_000


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
        self._pieces: list[Any] | None = None
        self._shared: tuple[dict[str, int], list[list[int]]] | None = None
        self._shards: dict[Shard, tuple[Any, bool]] = {}
        self._bytes: float = bytes_of(self._arrays)
        self._dask = import_module("dask")
        self._workers = workers_now()
        self._most_kept = workers.MOST_KEPT_BY_A_WORKER if self._workers is None else self._workers.room

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
        with data_at_hand():
            found = self._dask.compute(
                {
                    name: [cut(name, *chunk, count) for chunk in zip(self._lengths, chunks, strict=False)]
                    for name, chunks in ((name, self._chunks[name][:needed]) for name in names)
                }
            )
        return {name: as_numbers(name, np.concatenate(found[0][name])[:count]) for name in names}

    def beside(self, name: str, numbers: Any) -> ClusterRows:
        """The same rows with one more column, a number for each."""
        return self._with(name, *self._cut("a number", numbers))

    def factorised(self, name: str, labels: Any) -> tuple[ClusterRows, int]:
        """The same rows with one more column, the number of each label; and how many labels there are."""
        pieces, array = self._cut("a label", labels)
        look, number = (self._dask.delayed(function, pure=False) for function in (labels_in, numbered))
        found = self._dask.compute(list(map(look, pieces, starts(self._lengths))))[0]
        known = np.unique(np.concatenate(found))
        numbers = [number(known, piece) for piece in pieces]
        return self._with(name, numbers, array), len(known)

    def _cut(self, what: str, entries: Any) -> tuple[list[Any], Any]:
        """An entry for each row, in chunks as the columns have them; and what these are of."""
        before = [] if self._gone is None else [[each.rows for each in self._gone.told]]
        pieces, array, place = entry_chunks(what, entries, self._lengths, *before)
        return (self._gone.of(pieces) if self._gone is not None and place == 1 else pieces), array

    def _with(self, name: str, chunks: Sequence[Any], array: Any) -> ClusterRows:
        found = Taken({**self._chunks, name: chunks}, self._lengths, [*self._arrays, array])
        return ClusterRows(found, self._gone)

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
        found = self._dask.persist(*[find(tuple(self._chunks), rows, *chunk) for rows, *chunk in chunks])
        return Gone(found, self._dask.compute(list(map(self._dask.delayed(_told), found)))[0])

    def run(self, shard: Shard, names: Sequence[str], inputs: Array) -> Outputs:
        """One round: the chunks' results are put together in an order of their own.

        Raises
        ------
        RuntimeError
            If the client is closed whose workers keep what was computed of the data; if a worker lacks the
            package, or has another version.
        """
        self._check_workers()
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
            As `run` does.
        """
        self._check_workers()
        sent = self._dask.delayed(each, traverse=False)
        join = partial(together, merge=merge)
        found: Part | None = self._over_all(sent, partial(_found, names=tuple(names)), join, FAN)
        return found

    def release(self) -> None:
        """Keep nothing of the pieces any more, until they are walked over again."""
        self._pieces, self._shared, self._shards = None, None, {}
        self._bytes = bytes_of(self._arrays)

    def _check_workers(self) -> None:
        if self._workers is not None:
            self._workers.check()

    def _over_all(
        self, sent: Any, work: Callable[[Any, Piece], Any], join: Callable[[list[Any]], Any], most: int
    ) -> Any:
        """What work does with something sent, delayed, and each piece; joined in the order of the pieces."""
        pieces, token = self._walk(), uuid4().hex
        shares = self._shares(pieces) if len(pieces) <= most else None
        # A graph of Dask's own form: to make one of delayed objects takes longer than many a gradient.
        graph: dict[Any, Any] = {}
        for delayed in (sent, *pieces):
            graph.update(delayed.__dask_graph__())
        if shares is not None:
            parts = [(f"computed-{token}", i) for i in range(len(shares))]
            for part, share in zip(parts, shares, strict=True):
                keys = [pieces[place].key for place in share]
                graph[part] = partial(_all, work, tuple(share)), sent.key, keys
            found = {place: one for ones in self._got(graph, parts) for place, one in ones.items()}
            return join([found[place] for place in range(len(pieces))])
        parts = [(f"computed-{token}", i) for i in range(len(pieces))]
        graph.update((part, (work, sent.key, piece.key)) for part, piece in zip(parts, pieces, strict=True))
        while len(parts) > most:
            groups = [parts[i : i + FAN] for i in range(0, len(parts), FAN)]
            parts = [(f"merged-{token}-{len(parts)}", i) for i in range(len(groups))]
            graph.update((part, (join, group)) for part, group in zip(parts, groups, strict=True))
        return join(self._got(graph, parts))

    def _got(self, graph: dict[Any, Any], parts: list[Any]) -> list[Any]:
        """What a graph gives for some of its keys."""
        get = self._dask.base.get_scheduler() or import_module("dask.threaded").get
        try:
            return list(get(graph, parts))
        except Exception:
            if self._workers is not None:
                self._workers.check_open()
            raise

    def _shares(self, pieces: Sequence[Any]) -> list[list[int]] | None:
        """Which pieces are computed as one task; None, if each is one."""
        if self._workers is None or not self.is_kept:
            return None
        if self._shared is None or self._shared[0] != self._workers.threads:
            shares = self._workers.shares(pieces)
            self._shared = None if shares is None else (self._workers.threads, shares)
        return None if self._shared is None else self._shared[1]

    def kept(self, shard: Shard, names: Sequence[str], inputs: Array) -> Outputs:
        """The same of a shard that gives numbers for each row: arrays of Dask's, not computed yet."""
        arrays, take = import_module("dask.array"), self._dask.delayed(_output, pure=False)
        sent, _ = self._sent(shard)
        work = self._dask.delayed(computed, pure=False)
        parts = [work(sent, piece, tuple(names), False, inputs) for piece in self._walk()]
        tape = shard.round.shard.tape
        found = []
        for i, slot in enumerate(tape.outputs):
            aval, chunks = tape.avals[slot], zip(parts, self._lengths, strict=True)
            blocks = [
                arrays.from_delayed(take(part, i), resized_shape(aval.shape, shard.rows, rows), aval.dtype)
                for part, rows in chunks
            ]
            found.append(arrays.concatenate(blocks, axis=shard.round.axes[i]))
        return found

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
            chunks = zip(self._lengths, *self._chunks.values(), strict=True)
            pieces = [make(names, rows, *chunk) for rows, *chunk in chunks]
            self._pieces = list(self._dask.persist(*pieces)) if self.is_kept else pieces
        return self._pieces


def _piece(names: Sequence[str], rows: int, *chunks: Any) -> Piece:
    check_rows(names, chunks, rows)
    return Piece(dict(zip(names, chunks, strict=True)))


def _all(
    work: Callable[[Any, Piece], Any], places: Sequence[int], sent: Any, pieces: Sequence[Piece]
) -> dict[int, Any]:
    return {place: work(sent, piece) for place, piece in zip(places, pieces, strict=True)}


def _found(each: Callable[[Sequence[Array]], Any], piece: Piece, names: tuple[str, ...]) -> Any:
    return each([piece.column(name) for name in names])


def _first(name: str, rows: int, chunk: Any, count: int) -> Any:
    check_rows([name], [chunk], rows)
    return chunk[:count]


def _gaps(names: Sequence[str], rows: int, *chunks: Any) -> Gaps:
    check_rows(names, chunks, rows)
    return gaps([as_numbers(name, chunk) for name, chunk in zip(names, chunks, strict=True)])


def _output(outputs: Outputs, place: int) -> Any:
    return outputs[place]


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
