"""Arrays of the short tape, put together of what stands where: elements, rows, neighbours, gathers."""

from __future__ import annotations

from typing import Any

import numpy as np

from tapegrad.ops.indexing import ARRAY, concatenate, getitem
from tapegrad.ops.registry import FLOAT, Aval, Op
from tapegrad.ops.shaping import CASTS, reshape
from tapegrad.passes.loops.elements import NONE, Ints
from tapegrad.passes.loops.record import MOST_SMALL, Record
from tapegrad.recording.recorder import Recorder
from tapegrad.tape.line import Source
from tapegrad.tape.rewrite import Copy
from tapegrad.tape.slots import marked
from tapegrad.tape.tape import TapeError, size_of

MOST_RUNS = 4  # neighbours in arrays; more are gathered


class Pools(Copy):
    """The short tape being written.

    Attributes
    ----------
    owner, place : int arrays
        For an old slot that stands in an array of the new tape: that array's new slot, and its place there.
    """

    def __init__(self, record: Record) -> None:
        kept = (slot for slot, value in record.tape.constants if type(value) is not float)
        super().__init__(record.tape, marked(record.tape, kept))
        self.record = record
        slots = len(record.tape.avals)
        self.owner, self.place = np.full(slots, NONE), np.full(slots, NONE)
        self.value = np.full(slots, np.nan)
        self.is_constant = np.zeros(slots, dtype=bool)
        self.arrays: dict[int, Any] = {}
        self.recorder = Recorder(self.builder)
        for slot, value in record.tape.constants:
            if type(value) is float:
                self.is_constant[slot], self.value[slot] = True, value
            elif np.ndim(value) and value.dtype == FLOAT and value.size <= MOST_SMALL:
                self.arrays[slot] = value
        self.seen: dict[Any, int] = {}
        self.numbers: dict[int, float] = {}

    # Writing ------------------------------------------------------------------------------------------------

    def emit(self, op: Op, inputs: tuple[int, ...], source: Source | None, **attrs: Any) -> int:
        """A new entry; its slot."""
        key = (op, inputs, tuple(attrs.items()))
        if key not in self.seen:
            aval = op.aval([self.builder.avals[slot] for slot in inputs], attrs)
            self.seen[key] = self.builder.emit(op, inputs, tuple(attrs.items()), source, aval)
        return self.seen[key]

    def constant(self, value: Any) -> int:
        """A new constant."""
        if isinstance(value, np.ndarray):
            value.flags.writeable = False
            key: Any = (value.dtype.str, value.shape, value.tobytes())
        else:
            key = ("number", float(value).hex())
        if key not in self.seen:
            self.seen[key] = self.builder.constant(value)
            if isinstance(value, float):
                self.numbers[self.seen[key]] = value
        return self.seen[key]

    def shape(self, slot: int) -> tuple[int, ...]:
        """The shape of a new slot."""
        return self.builder.avals[slot].shape

    def old_aval(self, slot: int) -> Aval:
        """Shape and dtype of an old slot."""
        return self.tape.avals[slot]

    def size(self, slot: int) -> int:
        """The number of elements of a new slot."""
        return size_of(self.shape(slot))

    def value_of(self, slot: int) -> float | None:
        """The number that a new slot always holds, None where it can move."""
        return self.numbers.get(slot)

    # Reading ------------------------------------------------------------------------------------------------

    def stands(self, slots: Ints, array: int) -> None:
        """These old slots are the elements of a new array, in order."""
        self.owner[slots], self.place[slots] = array, np.arange(len(slots))

    def number(self, slot: int, source: Source | None = None) -> int:
        """An old slot, of a number or an array, as a new slot."""
        slot = int(self.record.same[slot])
        if self.new[slot] < 0 and self.is_constant[slot]:
            self.new[slot] = self.constant(float(self.value[slot]))
        elif self.new[slot] < 0:
            self._find_elements(np.array([slot]))
            if self.owner[slot] == NONE:
                raise TapeError(
                    f"%{slot} of {self.tape.name} is read before it is written: a defect of tapegrad, please "
                    "report it; reroll=False is without it"
                )
            self.new[slot] = self.emit(
                getitem, (int(self.owner[slot]),), source, index=(int(self.place[slot]),)
            )
        return self.new[slot]

    def _find_elements(self, slots: Ints) -> None:
        """Elements that nobody has asked for yet stand in their arrays, laid out flat; rows stand in them."""
        elements = slots[(self.owner[slots] == NONE) & (self.record.base[slots] != NONE)]
        for base in np.unique(self.record.base[elements]).tolist():
            mine = elements[self.record.base[elements] == base]
            flat = self.record.scalar[mine]
            self.owner[mine[~flat]] = self.new[base]
            if flat.any():
                self.owner[mine[flat]] = self._flat(base)
            self.place[mine] = self.record.place[mine]

    def _flat(self, base: int) -> int:
        """An array of the old tape, laid out flat."""
        slot = self.number(base)  # which may be an element itself, as in x[i][()]
        size = self.size(slot)
        return slot if self.shape(slot) == (size,) else self.emit(reshape, (slot,), None, shape=(size,))

    def operand(self, slots: Ints, source: Source | None) -> int:
        """A new slot that holds these old ones, one for each: an array, or a number that stands for all."""
        if (slots == slots[0]).all():
            return self.number(int(slots[0]), source)
        if not self.record.scalar[slots[0]] and all(slot in self.arrays for slot in slots.tolist()):
            return self.constant(np.array([self.arrays[slot] for slot in slots.tolist()]))
        if self.is_constant[slots].all():
            values = self.value[slots]
            same = (values.view(np.int64) == values.view(np.int64)[0]).all()
            return self.constant(float(values[0]) if same else values)
        self._find_elements(slots)
        owners = self.owner[slots]
        if (owners == NONE).all():
            new = {self.number(slot, source) for slot in np.unique(slots).tolist()}
            if len(new) == 1:
                return new.pop()
        return self._assembled(slots, owners, self.place[slots], source)

    def _assembled(self, slots: Ints, owners: Ints, places: Ints, source: Source | None) -> int:
        """An array of elements of others, and of single numbers where there is no owner."""
        breaks = np.flatnonzero((np.diff(owners) != 0) | (np.diff(places) != 1) | (owners[1:] == NONE)) + 1
        runs = list(zip([0, *breaks.tolist()], [*breaks.tolist(), len(slots)], strict=True))
        if len(runs) > MOST_RUNS:
            return self._gathered(slots, owners, places, source)
        parts = [self._run(int(slots[a]), int(owners[a]), int(places[a]), b - a, source) for a, b in runs]
        return parts[0] if len(parts) == 1 else self._joined(parts, source)

    def _joined(self, parts: list[int], source: Source | None) -> int:
        """Arrays one after the other; joins are of floats, so others come back as what they were."""
        dtype = self.builder.avals[parts[0]].dtype
        if dtype == FLOAT:
            return self.emit(concatenate, tuple(parts), source, axis=0)
        floats = tuple([self.emit(CASTS[FLOAT], (part,), source) for part in parts])
        return self.emit(CASTS[dtype], (self.emit(concatenate, floats, source, axis=0),), source)

    def _run(self, slot: int, owner: int, place: int, length: int, source: Source | None) -> int:
        """Neighbours in one array, or one number, as an array."""
        if owner == NONE:
            return self._row(self.number(slot, source), source)
        if length == self.shape(owner)[0]:
            return owner
        return self.emit(getitem, (owner,), source, index=((place, place + length, None),))

    def _row(self, slot: int, source: Source | None) -> int:
        """A number or an array as the only row of one."""
        return self.emit(reshape, (slot,), source, shape=(1, *self.shape(slot)))

    def _gathered(self, slots: Ints, owners: Ints, places: Ints, source: Source | None) -> int:
        parts, starts, start = [], np.zeros(len(slots), dtype=np.int64), 0
        for owner in np.unique(owners).tolist():
            mine = owners == owner
            if owner != NONE:
                parts.append(owner)
                starts[mine] = start + places[mine]
                start += self.shape(owner)[0]
                continue
            if self.is_constant[slots[mine]].all():
                distinct, which = np.unique(self.value[slots[mine]], return_inverse=True)
                parts.append(self.constant(distinct))
            else:
                new = np.array([self.number(slot, source) for slot in slots[mine].tolist()])
                distinct, which = np.unique(new, return_inverse=True)
                parts += [self._row(slot, source) for slot in distinct.tolist()]
            starts[mine] = start + which
            start += len(distinct)
        pool = parts[0] if len(parts) == 1 else self._joined(parts, source)
        if np.array_equal(starts, np.arange(start)):
            return pool
        return self.emit(getitem, (pool, self.constant(starts)), source, index=(ARRAY,))
