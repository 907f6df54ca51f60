"""Where the values of a C program live: small ones in cells, large ones each in an array of its own.

All functions of a program get one table of pointers. Its first entries are the cells, the inputs and the
sizes; the others are made as the printer asks for them. So the text depends on no address and no data.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from tapegrad.backends.c.homes import Homes
from tapegrad.backends.c.text import stored_type
from tapegrad.ops.registry import FLOAT, Aval
from tapegrad.plan.stages import Plan, RowLoop
from tapegrad.tape.slots import ends_of
from tapegrad.tape.tape import size_of

Array: TypeAlias = np.ndarray[Any, Any]

SMALL = 16  # elements: an array of so many is written number by number
CELLS, INPUTS, SIZES = range(3)
WORD = 8  # bytes


def is_small(aval: Aval) -> bool:
    """Whether a value is written number by number."""
    return not aval.shape or size_of(aval.shape) <= SMALL


@dataclass
class Memory:
    """The places of a program's values.

    Attributes
    ----------
    cells : dict of int to int
        The first cell of each small value.
    size : int
        How many cells there are.
    inputs : dict of int to int
        Where each parameter begins among the inputs.
    pointers : dict of int to int
        The entry of the table for each large value.
    sizes : dict of int to int
        Lengths of rows, and where each stands in the sizes.
    parts : list of (int, int, int)
        For each row loop the entry of the table for what its blocks add to the sums, its rows, and how many
        numbers each block adds.
    pools : dict of int to list of float
        Entries of the table for numbers that a text reads.
    """

    plan: Plan
    cells: dict[int, int] = field(default_factory=dict)
    size: int = 0
    inputs: dict[int, int] = field(default_factory=dict)
    pointers: dict[int, int] = field(default_factory=dict)
    columns: dict[int, int] = field(default_factory=dict)
    sizes: dict[int, int] = field(default_factory=dict)
    parts: list[tuple[int, int, int]] = field(default_factory=list)
    pools: dict[int, list[float]] = field(default_factory=dict)
    count: int = SIZES + 1
    aliases: Mapping[int, int] = field(default_factory=dict)
    shadows: dict[int, Array] = field(default_factory=dict)
    by_columns: frozenset[int] = field(init=False)
    homes: Homes = field(init=False)

    def __post_init__(self) -> None:
        start = 0
        for slot in self.plan.tape.parameters:
            self.inputs[slot] = start
            start += size_of(self.plan.tape.avals[slot].shape)
        self.by_columns = self._find_by_columns()
        self.homes = self._find_homes()

    def _find_by_columns(self) -> frozenset[int]:
        """What only loops over rows or steps write and read: each number of a row is a column in order."""
        tape, layout = self.plan.tape, self.plan.layout
        assert layout is not None
        found, others = set[int](), {*ends_of(tape), *self.aliases, *self.aliases.values()}
        for stage in self.plan.stages:
            if isinstance(stage, RowLoop):
                found |= stage.stored
                continue
            for entry in stage.entries:
                others.update((*entry.inputs, entry.output) if entry.op.name != "recurrence" else ())
        return frozenset(slot for slot in found - others if self._is_wide(slot) and slot in layout.places)

    def _is_wide(self, slot: int) -> bool:
        """Whether an array has rows of several floats along its first axis."""
        shape, dtype = self.aval(slot)
        return dtype == FLOAT and size_of(shape) > SMALL and 1 < size_of(shape[1:]) < shape[0]

    def _find_homes(self) -> Homes:
        tape, layout = self.plan.tape, self.plan.layout
        assert layout is not None
        large = [
            slot
            for slot in layout.places
            if tape.avals[slot].dtype == FLOAT and not is_small(tape.avals[slot])
        ]
        homes = Homes(tape, self.aliases, large, self.shadow)
        for stage in self.plan.stages:
            for entry in () if isinstance(stage, RowLoop) else stage.entries:
                homes.add(entry)
        return homes

    def aval(self, slot: int) -> Aval:
        """The shape and dtype of a slot."""
        return self.plan.tape.avals[slot]

    def hold(self, slots: Iterable[int]) -> None:
        """Give these small values cells, one after another."""
        for slot in slots:
            if slot not in self.cells and slot not in self.inputs:
                self.cells[slot] = self.size
                nbytes = size_of(self.aval(slot).shape) * self.aval(slot).dtype.itemsize
                self.size += max(-(-nbytes // WORD), 1)

    def _new(self) -> int:
        self.count += 1
        return self.count - 1

    def pointer(self, slot: int) -> int:
        """The entry of the table for a large value."""
        if slot not in self.pointers:
            self.pointers[slot] = self._new()
        return self.pointers[slot]

    def column(self, slot: int) -> int:
        """The entry of the table for a leaf whose elements stand column by column in chunks of rows."""
        if slot not in self.columns:
            self.columns[slot] = self._new()
        return self.columns[slot]

    def part(self, rows: int, width: int) -> int:
        """A new entry of the table for the sums of the blocks of a loop."""
        entry = self._new()
        self.parts.append((entry, rows, width))
        return entry

    def pool(self, numbers: list[float]) -> int:
        """A new entry of the table for numbers that a text reads."""
        entry = self._new()
        self.pools[entry] = numbers
        return entry

    def length(self, rows: int) -> int:
        """Where this number of rows stands in the sizes."""
        return self.sizes.setdefault(rows, len(self.sizes))

    def strides(self, slot: int) -> tuple[int, ...]:
        """How many elements each axis of a value steps over in memory."""
        shadow = self.shadow(slot)
        return tuple(step // shadow.itemsize for step in shadow.strides)

    def shadow(self, slot: int) -> Array:
        """An array that lies in memory like a value, but holds nothing."""
        if slot not in self.shadows:
            owner = self.aliases.get(slot)
            if slot in self.by_columns:
                shape, dtype = self.aval(slot)
                self.shadows[slot] = np.moveaxis(np.empty((*shape[1:], shape[0]), dtype), -1, 0)
            elif owner is None:
                self.shadows[slot] = np.empty(*self.aval(slot))
            else:
                entry = self.plan.tape.entries.writer_of(slot)
                assert entry is not None
                self.shadows[slot] = np.asarray(entry.op.kernel(self.shadow(owner), **dict(entry.attrs)))
        return self.shadows[slot]

    # In C ---------------------------------------------------------------------------------------------------

    def base(self, slot: int, const: bool = True) -> str:
        """A pointer to the first element of a value."""
        kind = stored_type(self.aval(slot).dtype)
        text = f"{'const ' * const}{kind} *"
        if slot in self.inputs and slot not in self.pointers:
            return f"(p + {self.inputs[slot]})"
        if slot in self.cells:
            return f"({text})(s + {self.cells[slot]})"
        return f"({text})T[{self.pointer(slot)}]"

    def element(self, slot: int, place: int) -> str:
        """An element of a small value, as it can be read or assigned."""
        kind = stored_type(self.aval(slot).dtype)
        if slot in self.inputs:
            return f"p[{self.inputs[slot] + place}]"
        cell = self.cells[slot]
        if kind == "double":
            return f"s[{cell + place}]"
        return f"(({kind} *)(s + {cell}))[{place}]"
