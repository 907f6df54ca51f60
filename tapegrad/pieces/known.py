"""Columns that depend on data in pieces alone, as the pass `statistics` reads them: where they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Generic

import numpy as np

from tapegrad.backends.replay import evaluate
from tapegrad.ops.broadcasting import broadcast_to
from tapegrad.ops.shaping import CASTS
from tapegrad.passes.statistics.columns import Leaf, Wanted, block_length, block_of, taken
from tapegrad.passes.statistics.compression import Array, Block, Part, together
from tapegrad.pieces.rows import Column
from tapegrad.pieces.shard import resized
from tapegrad.tape.entries import Entry
from tapegrad.tape.rewrite import DROPPED, rewrite
from tapegrad.tape.slots import moving_slots, needed_for
from tapegrad.tape.tape import Tape

LONGEST_NAME = 40  # of a column that is computed


class KnownRows:
    """The arrays along the rows of a tape that depend on its data alone, row by row.

    Parameters
    ----------
    tape : Tape
        As it was recorded with `rows` rows, for any number of them. No step mixes rows.
    rows : int
    data : mapping of int to Column or array
        The values of its data slots, one column at least among them.
    """

    def __init__(self, tape: Tape, rows: int, data: Mapping[int, Any]) -> None:
        self._tape = tape
        self._rows = rows
        self._data = data
        self._names = dict(tape.labels)
        self._numbers = dict(tape.constants)
        self._known = _known(tape, rows)
        self._holder = next(value for value in data.values() if isinstance(value, Column))

    def __contains__(self, slot: object) -> bool:
        """Whether the array in a slot is one of them."""
        return slot in self._known

    def name(self, slot: int) -> str:
        """The array in a slot as it stands in listings: by its name, or how it is computed."""
        made = self._tape.entries.writer_of(slot)
        if slot in self._names or made is None:
            return self._names.get(slot, "data")
        if made.op in (broadcast_to, *CASTS.values()):
            return self.name(made.inputs[0])
        text = f"{made.op.name}({', '.join(map(self._operand, made.inputs))})"
        return text if len(text) <= LONGEST_NAME else f"{made.op.name}(...)"

    def _operand(self, slot: int) -> str:
        value = self._numbers.get(slot)
        return f"{value:.6g}" if isinstance(value, float) else self.name(slot)

    def gather(self, entry: Entry, n: int, before: int) -> int:
        """What takes rows out of rows takes all of them: anything else would mix rows."""
        return before

    def walk(
        self, wanted: Wanted, n: int, each: Callable[[Block], Part], merge: Callable[[Sequence[Part]], Part]
    ) -> Part | None:
        """A walk over some of them, see `Walk`."""
        slots, rows = tuple(sorted(wanted.slots)), self._holder.rows
        if not slots:  # rows are counted
            return merge([each((np.empty((0, rows.length * (n // self._rows))), None))])
        tape = _alone(self._tape, slots)
        needed = needed_for(self._tape, slots)
        read = [
            (new, self._data[old]) for new, old in zip(tape.data, self._tape.data, strict=True) if needed[old]
        ]
        columns = {slot: value.name for slot, value in read if isinstance(value, Column)}
        whole = {slot: value for slot, value in read if slot not in columns}
        names = tuple(columns.values()) or (self._holder.name,)
        step = block_length(self._tape, wanted)
        piece = _Piece(
            tape, self._rows, tuple(columns), whole, slots, wanted, n // self._rows, step, each, merge
        )
        return rows.reduced(names, piece, merge)


@dataclass(frozen=True)
class _Piece(Generic[Part]):
    """What is found in one piece of the rows, wherever it is.

    Attributes
    ----------
    tape : Tape
        What is computed of the data, as it was recorded with `rows` rows.
    columns : tuple of int
        Its data slots of which the piece has rows.
    whole : mapping of int to array
        The values of the others.
    slots : tuple of int
        What its outputs are called.
    wanted : Wanted
    per_row : int
        How many elements of its arrays belong to a row.
    step : int
        How many rows are read at a time.
    each, merge : callable
        See `Walk`.
    """

    tape: Tape
    rows: int
    columns: tuple[int, ...]
    whole: Mapping[int, Any]
    slots: tuple[int, ...]
    wanted: Wanted
    per_row: int
    step: int
    each: Callable[[Block], Part]
    merge: Callable[[Sequence[Part]], Part]

    def __call__(self, arrays: Sequence[Array]) -> Part | None:
        return together(map(self.each, self._blocks(arrays)), self.merge)

    def _blocks(self, arrays: Sequence[Array]) -> Iterator[Block]:
        tapes: dict[int, Tape] = {}
        for start in range(0, len(arrays[0]), self.step):
            some = [array[start : start + self.step] for array in arrays]
            count = len(some[0])
            tape = tapes.setdefault(count, resized(self.tape, self.rows, count))
            data = {**dict.fromkeys(tape.data), **self.whole, **dict(zip(self.columns, some, strict=False))}
            values = evaluate(tape, np.empty(0), data, tape.outputs)
            found = {slot: values[end] for slot, end in zip(self.slots, tape.outputs, strict=True)}
            block = block_of(partial(_read, found), self.wanted, count * self.per_row)
            if block is not None:
                yield block


def _read(values: Mapping[int, Array], leaf: Leaf) -> Array:
    return taken(leaf, np.asarray(values[leaf.slot]))


def _known(tape: Tape, rows: int) -> frozenset[int]:
    """The slots along the rows that depend on no parameter, nor on a sum over rows."""
    along = [rows in aval.shape for aval in tape.avals]
    other = moving_slots(tape, tape.parameters)
    for _, inputs, output, _, _ in tape.entries.rows():
        is_sum = not along[output] and any(along[slot] for slot in inputs)
        other[output] |= is_sum or any(other[slot] for slot in inputs)
    return frozenset(slot for slot, is_row in enumerate(along) if is_row and not other[slot])


def _alone(tape: Tape, slots: Sequence[int]) -> Tape:
    """What is computed of the data for some slots, as a tape of its own; it has all data slots."""
    needed = needed_for(tape, slots)
    first = replace(tape, parameters=(), outputs=tuple(slots), guards=())
    return rewrite(first, lambda copy, entry: copy.keep(entry) if needed[entry.output] else DROPPED, needed)
