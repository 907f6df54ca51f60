"""The steps of a tape: one `Entry` each for the reader, columns beneath.

As a tuple a step takes about 216 bytes, and Python's garbage collector walks all of them again and again
while passes run. In columns it takes about 40 bytes, and the collector sees none of them.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import accumulate, chain, compress, pairwise
from typing import Any, NamedTuple, TypeAlias, overload

import numpy as np

from tapegrad.ops.registry import Attrs, Op
from tapegrad.tape.line import Source

# So many steps are turned into tuples at a time.
_CHUNK = 1024
Array: TypeAlias = np.ndarray[Any, Any]
Row: TypeAlias = tuple[Op, tuple[int, ...], int, Attrs, Source | None]


class Entry(NamedTuple):
    """One step of a tape: apply `op` to the slots `inputs` and write the slot `output`."""

    op: Op
    inputs: tuple[int, ...]
    output: int
    attrs: Attrs
    source: Source | None


# Half the time of `Entry._make`, which is written in Python.
entry_of: Callable[[Row], Entry] = partial(tuple.__new__, Entry)

_COLUMNS = ("_attrs", "_ends", "_inputs", "_ops", "_outputs", "_sources")


class Entries(Sequence[Entry]):
    """The steps of a tape, in order; immutable.

    Iterate over it, index it, or take a slice, which is a tuple of entries.
    """

    __slots__ = (*_COLUMNS, "_places", "_short")

    def __init__(self, entries: Iterable[Row] = ()) -> None:
        rows = list(entries)
        ops, inputs, outputs, attrs, sources = (
            map(list, zip(*rows, strict=True)) if rows else ([] for _ in range(5))
        )
        ends = array("i", accumulate(map(len, inputs), initial=0))
        self._take(Columns(ops, list(chain.from_iterable(inputs)), ends, attrs, sources), outputs)

    @classmethod
    def of(cls, columns: Columns, outputs: Iterable[int]) -> Entries:
        """The steps in these columns, as they are now, and the slots they write."""
        entries = cls.__new__(cls)
        entries._take(columns, outputs)
        return entries

    def _take(self, columns: Columns, outputs: Iterable[int]) -> None:
        self._ops = tuple(columns.ops)
        self._inputs = array("i", columns.inputs)  # of all steps, one after the other
        self._ends = columns.ends[:]
        self._outputs = array("i", outputs)
        self._attrs = tuple(columns.attrs)
        self._sources = tuple(columns.sources)
        self._places: Any = None
        self._short: list[Row] | None = None

    def writer_of(self, slot: int) -> Entry | None:
        """The entry that writes a slot, None where none does."""
        if self._places is None:  # made when first asked for
            outputs = np.array(self._outputs)
            self._places = np.full(outputs.max(initial=-1) + 1, -1, dtype=np.int32)
            self._places[outputs] = np.arange(len(self))
        place = int(self._places[slot]) if slot < len(self._places) else -1
        return None if place < 0 else self[place]

    def selected(self, kept: Array, new: Array) -> Entries:
        """The entries that are kept, a bool for each, over the new numbers of all slots."""
        lengths = np.diff(np.array(self._ends))
        inputs = new[np.array(self._inputs)[np.repeat(kept, lengths)]]
        ends = np.concatenate([[0], np.cumsum(lengths[kept])])
        chosen = partial(compress, selectors=kept.tolist())
        columns = Columns(
            list(chosen(self._ops)),
            inputs.tolist(),
            array("i", ends.tolist()),
            list(chosen(self._attrs)),
            list(chosen(self._sources)),
        )
        return Entries.of(columns, new[np.array(self._outputs)[kept]].tolist())

    def columns(self) -> Columns:
        """A copy of the columns, to be continued."""
        return Columns(
            list(self._ops), self._inputs.tolist(), self._ends[:], list(self._attrs), list(self._sources)
        )

    def __len__(self) -> int:
        return len(self._ops)

    @overload
    def __getitem__(self, index: int) -> Entry: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[Entry, ...]: ...

    def __getitem__(self, index: int | slice) -> Entry | tuple[Entry, ...]:
        if not isinstance(index, slice):
            i = range(len(self))[index]
            return entry_of(self._between(i, i + 1)[0])
        start, stop, step = index.indices(len(self))
        if step == 1:
            return tuple(map(entry_of, self._between(start, max(start, stop))))
        return tuple([self[i] for i in range(start, stop, step)])

    def _between(self, start: int, stop: int) -> list[Row]:
        ends = self._ends[start : stop + 1].tolist()
        first = ends[0]
        inputs = self._inputs[first : ends[-1]].tolist()
        return list(
            zip(
                self._ops[start:stop],
                [tuple(inputs[a - first : b - first]) for a, b in pairwise(ends)],
                self._outputs[start:stop],
                self._attrs[start:stop],
                self._sources[start:stop],
                strict=True,
            )
        )

    def rows(self, start: int = 0, stop: int | None = None) -> Iterator[Row]:
        """The entries from `start` to before `stop` as plain tuples, which takes half the time."""
        count = len(self._ops)
        if count <= _CHUNK:
            return iter(self._few()[start:stop])
        return self._many(start, count if stop is None else stop)

    def rows_back(self) -> Iterator[Row]:
        """The same from the last one to the first."""
        return reversed(self._few()) if len(self._ops) <= _CHUNK else self._many_back()

    def _few(self) -> list[Row]:
        """All rows of a short tape, which are made once: passes walk over them some thirty times."""
        if self._short is None:
            self._short = self._between(0, len(self._ops))
        return self._short

    def _many(self, start: int, stop: int) -> Iterator[Row]:
        for first in range(start, stop, _CHUNK):
            yield from self._between(first, min(first + _CHUNK, stop))

    def _many_back(self) -> Iterator[Row]:
        for stop in range(len(self._ops), 0, -_CHUNK):
            yield from reversed(self._between(max(stop - _CHUNK, 0), stop))

    def outputs(self) -> Sequence[int]:
        """The slots that the entries write, in order."""
        return self._outputs

    def op_names(self) -> set[str]:
        """The names of the ops that occur."""
        return {op.name for op in set(self._ops)}

    def ops(self) -> Sequence[Op]:
        """The ops of all entries."""
        return self._ops

    def attrs(self) -> Sequence[Attrs]:
        """The attributes of all entries."""
        return self._attrs

    def sources(self) -> Sequence[Source | None]:
        """The lines of all entries."""
        return self._sources

    def ends(self) -> Sequence[int]:
        """Where the inputs of each entry end among those of all, after a 0 where the first begin."""
        return self._ends

    def all_inputs(self) -> Sequence[int]:
        """The inputs of all entries, one after the other."""
        return self._inputs

    def __iter__(self) -> Iterator[Entry]:
        return map(entry_of, self.rows())

    def __reversed__(self) -> Iterator[Entry]:
        return map(entry_of, self.rows_back())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Entries) and all(
            getattr(self, name) == getattr(other, name) for name in _COLUMNS
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<{len(self):,} entries>"


@dataclass
class Columns:
    """The steps of a tape being written, column by column. What they write stands in the builder.

    Attributes
    ----------
    inputs : list of int
        Those of all steps, one after the other.
    ends : array of int
        Where those of each step end, after a 0 where the first begin.
    """

    ops: list[Op] = field(default_factory=list)
    inputs: list[int] = field(default_factory=list)
    ends: array[int] = field(default_factory=lambda: array("i", (0,)))
    attrs: list[Attrs] = field(default_factory=list)
    sources: list[Source | None] = field(default_factory=list)

    def row(self, i: int, output: int) -> Row:
        """Step `i`, which writes the slot `output`."""
        inputs = tuple(self.inputs[self.ends[i] : self.ends[i + 1]])
        return self.ops[i], inputs, output, self.attrs[i], self.sources[i]
