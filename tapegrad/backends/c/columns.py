"""How a row loop gets at arrays: columns of a chunk of rows, read before the loops over it and written after.

A column that is in order in memory is read and written where it stands, as long as vectors are whole. Others
wait in arrays as long as a chunk. Of an array with a few numbers to a row, all columns are taken at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from tapegrad.backends.c.memory import Memory
from tapegrad.backends.c.runtime import PITCH
from tapegrad.backends.c.text import c_type, stored_type
from tapegrad.ops.registry import BOOL, FLOAT, Shape
from tapegrad.tape.tape import size_of

# Numbers to a row that are taken at once: compilers know how to sort so many into vectors.
TOGETHER = (2, 3, 4)
MOST_TWICE = 100_000_000  # bytes of a matrix that is kept once more, column by column


class Columns:
    """The columns of one array along the rows, one for each number of a row.

    Attributes
    ----------
    count : int
        How many there are.
    are_in_place : bool
        Whether each is in order in memory.
    are_together : bool
        Whether all are read or written by one call.
    """

    def __init__(self, memory: Memory, slot: int, axis: int) -> None:
        self.slot = slot
        shape, self.dtype = memory.aval(slot)
        strides = memory.strides(slot)
        self._inner = inner_shape(shape, axis)
        self._strides, self._step = strides, strides[axis]
        self.count = size_of(self._inner)
        self.are_in_place = self._step == 1 and self.dtype != BOOL
        is_in_order = [int(self._offset(place)) for place in range(self.count)] == [*range(self.count)]
        self.are_together = (
            self.dtype == FLOAT and self.count in TOGETHER and self._step == self.count and is_in_order
        )

    def _offset(self, place: int) -> int:
        where = np.unravel_index(place, self._inner)
        return sum(int(i) * step for i, step in zip(where, self._strides, strict=True))

    def _start(self, place: int) -> str:
        offset, step = self._offset(place), f"r * {self._step}" if self._step != 1 else "r"
        return f"a{self.slot} + {offset} + {step}" if offset else f"a{self.slot} + {step}"

    def read(self, names: Sequence[str], place: int) -> Iterator[str]:
        """Statements before the loops over a chunk: then the column is ``<name>_rows``."""
        kind, name = c_type(self.dtype), names[place]
        if self.are_in_place:
            function = "tg_rows" if self.dtype == FLOAT else "tg_whole_rows"
            yield f"{kind} {name}_room[PITCH];"
            yield f"const {kind} *const {name}_rows = {function}({self._start(place)}, m, {name}_room);"
        elif self.are_together:
            rooms = [f"{each}_rows" for each in names]
            yield f"double {', '.join(f'{room}[PITCH]' for room in rooms)};"
            yield f"tg_columns{self.count}({self._start(0)}, m, {', '.join(rooms)});"
        else:
            yield f"{kind} {name}_rows[PITCH];"
            stored = stored_type(self.dtype)
            yield f"tg_column_{stored}({self._start(place)}, {self._step}, m, {name}_rows);"

    def room(self, name: str, place: int) -> Iterator[str]:
        """Where a column that is written waits, as ``<name>``."""
        kind = c_type(self.dtype)
        if self.are_in_place:
            yield f"{kind} {name}_room[PITCH];"
            yield f"{kind} *const {name} = (m & 7) == 0 ? {self._start(place)} : {name}_room;"
        else:
            yield f"{kind} {name}[PITCH];"

    def written(self, names: Sequence[str]) -> Iterator[str]:
        """Statements after the loops over a chunk."""
        if self.are_together:
            yield f"tg_put{self.count}({self._start(0)}, m, {', '.join(names)});"
            return
        for place, name in enumerate(names):
            call = f"tg_put_{stored_type(self.dtype)}({self._start(place)}, {self._step}, m, {name});"
            yield f"if ((m & 7) != 0) {call}" if self.are_in_place else call


# Leaves with several numbers to a row -----------------------------------------------------------------------


def is_row_major(memory: Memory, slot: int, axis: int) -> bool:
    """Whether the rows of a value stand one after another in memory, the numbers of each side by side."""
    shape, strides = memory.aval(slot).shape, memory.strides(slot)
    order = [axis, *(i for i in range(len(shape)) if i != axis)]
    return all(strides[k] == size_of(tuple([shape[j] for j in order[i + 1 :]])) for i, k in enumerate(order))


def is_in_chunks(memory: Memory, slot: int, axis: int) -> bool:
    """Whether chunks of a leaf's rows are read column by column.

    They are kept so, or made so anew each time where they would take much memory; that is quick only where
    rows stand one after another.
    """
    aval = memory.aval(slot)
    return aval.dtype == FLOAT and (8 * size_of(aval.shape) <= MOST_TWICE or is_row_major(memory, slot, axis))


def chunk_lines(memory: Memory, slot: int, axis: int) -> Iterator[str]:
    """Statements before the loops over a chunk: its columns stand in ``q<slot>``, each `PITCH` further."""
    shape = memory.aval(slot).shape
    width, kept = size_of(inner_shape(shape, axis)), f"(const double *)T[{memory.column(slot)}]"
    if is_row_major(memory, slot, axis):
        yield f"double q{slot}_room[{width * PITCH}];"
        yield f"const double *const q{slot} = tg_chunk({kept}, a{slot}, r, m, {width}, q{slot}_room);"
    else:
        yield f"const double *const q{slot} = {kept} + r / WIDTH * {width * PITCH};"


def inner_shape(shape: Shape, axis: int) -> Shape:
    """The shape of one row."""
    return (*shape[:axis], 1, *shape[axis + 1 :])
