"""Entries as instructions of the tape machine.

As in `forms`, the value of a slot is an array of places here, one for each of its elements: what moves
elements moves places. Values that are read elsewhere have cells of their own. The others share cells: one is
free again behind the last instruction that reads it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from typing import Any

import numpy as np

from tapegrad.backends.c.forms import moved
from tapegrad.backends.c.instructions import Instruction, paired, scheduled
from tapegrad.backends.c.machine import ONE, PER_WORD, Key, cases, gives, key_of, of_floats, opcodes
from tapegrad.backends.c.memory import INPUTS, Memory, is_small
from tapegrad.ops.attributes import ARRAY
from tapegrad.ops.registry import BOOL, FLOAT, OPS, Op
from tapegrad.tape.entries import Entry
from tapegrad.tape.slots import Marks
from tapegrad.tape.tape import size_of

Places = np.ndarray[Any, np.dtype[np.object_]]
Dtype = np.dtype[Any]

_FOLDS = ("sum", "prod", "max", "min", "logsumexp")
_PRODUCTS = ("matmul", "dot", "gated_matmul")


def takes(memory: Memory, entry: Entry, is_float: Marks) -> bool:
    """Whether the machine can run an entry; `is_float` marks the slots of floats without dimensions."""
    op, inputs, output, _, _ = entry
    if op in of_floats() and is_float[output] and _all_marked(is_float, inputs):
        return True
    avals = [memory.aval(slot) for slot in entry.inputs]
    out = memory.aval(entry.output)
    if entry.op.name in ("getitem", "concatenate") and not (is_small(out) and all(map(is_small, avals))):
        return is_transfer(memory, entry)
    if not is_small(out) or not all(map(is_small, avals)):
        return False
    if entry.op.is_elementwise:
        dtypes = tuple(aval.dtype for aval in avals)
        return key_of(entry.op, dtypes) in cases() and gives(entry.op, dtypes) == out.dtype
    if ARRAY in dict(entry.attrs).get("index", ()):
        return False
    if entry.op.name in _PRODUCTS:
        return max(len(aval.shape) for aval in avals) <= 2
    return entry.op.copies is not None or entry.op.name in _FOLDS


def _all_marked(marks: Marks, slots: Sequence[int]) -> bool:
    return 0 not in [marks[slot] for slot in slots]


def is_transfer(memory: Memory, entry: Entry) -> bool:
    """Whether an entry takes few elements out of a large array, or puts small ones together to one."""
    avals = [memory.aval(slot) for slot in entry.inputs]
    if entry.op.name not in ("getitem", "concatenate"):
        return False
    if entry.op.name == "getitem":
        return (
            len(avals) == 1
            and ARRAY not in dict(entry.attrs)["index"]
            and is_small(memory.aval(entry.output))
        )
    return (
        all(map(is_small, avals))
        and len({*(aval.dtype for aval in avals), memory.aval(entry.output).dtype}) == 1
    )


class Encoder:
    """Writes the instructions of one stretch.

    `shared` are the slots that others read, and `is_float` marks those of floats without dimensions.
    """

    def __init__(self, memory: Memory, shared: frozenset[int], is_float: Marks) -> None:
        self.memory, self.shared, self.is_float = memory, shared, is_float
        self.codes = of_floats()
        self.places: dict[int, Any] = {}
        self.dtypes: list[Dtype] = []  # of the places, which are counted from -1 downward
        self.fixed: dict[int, int] = {}  # where those are that have a cell of their own
        self.instructions: list[Instruction] = []
        self.zero = 0

    # Instructions -------------------------------------------------------------------------------------------

    def new(self, dtype: Dtype, at: int | None = None) -> int:
        """A new place, temporary or at a cell."""
        self.dtypes.append(dtype)
        if at is not None:
            self.fixed[-len(self.dtypes)] = at
        return -len(self.dtypes)

    def emit(self, key: Key, out: int, *operands: int) -> int:
        """Write an instruction; the place of its result."""
        self.instructions.append((opcodes()[key], out, *operands))
        return out

    def apply(
        self, op: Op, dtypes: tuple[Dtype, ...], operands: Sequence[int], out: int | None = None
    ) -> int:
        """Write an elementwise op."""
        key = key_of(op, dtypes)
        if out is None:
            out = self.new(gives(op, dtypes))
        if "{" not in op.c:
            return self.emit(key, out, len(operands), *operands)
        return self.emit(key, out, *operands)

    def floats(self, name: str, *operands: int) -> int:
        """The same of an op on floats alone."""
        return self.apply(OPS[name], (FLOAT,) * len(operands), operands)

    # Values -------------------------------------------------------------------------------------------------

    def cell(self, slot: int) -> Any:
        """The places of a value that has cells of its own."""
        shape, dtype = self.memory.aval(slot)
        start = self.memory.cells[slot] * PER_WORD[dtype]
        if shape == ():
            return self.new(dtype, start)
        return _array([self.new(dtype, start + k) for k in range(size_of(shape))]).reshape(shape)

    def value(self, slot: int) -> Any:
        """The places of a value's elements: a number for a scalar, or an array of them."""
        found = self.places.get(slot)
        if found is None:
            found = self._fetch(slot) if slot in self.memory.inputs else self.cell(slot)
            self.places[slot] = found
        return found

    def _fetch(self, slot: int) -> Any:
        """A parameter."""
        shape, dtype = self.memory.aval(slot)
        start = self.memory.inputs[slot]
        found = [
            self.emit(("load", (dtype,)), self.new(dtype), INPUTS, start + k) for k in range(size_of(shape))
        ]
        return found[0] if shape == () else _array(found).reshape(shape)

    def store(self, slot: int, found: Any) -> None:
        """Keep the places of a value; in its own cells, where others read it."""
        self.places[slot] = found
        if slot not in self.shared:
            return
        own, dtype = self.cell(slot), self.memory.aval(slot).dtype
        for to, place in zip(np.ravel(own).tolist(), np.ravel(found).tolist(), strict=True):
            self.emit(("move", (dtype,)), to, place)
        self.places[slot] = own

    # Entries ------------------------------------------------------------------------------------------------

    def entry(self, entry: Entry) -> None:
        """Write one entry."""
        op, inputs, output, _, _ = entry
        code = self.codes.get(op)
        if code is not None and self.is_float[output] and _all_marked(self.is_float, inputs):
            out = self.cell(output) if output in self.shared else self.new(FLOAT)
            self.instructions.append((code, out, *[self.value(slot) for slot in inputs]))
            self.places[output] = out
        elif op.is_elementwise:
            self._elementwise(entry)
        elif not is_small(self.memory.aval(output)):
            self._join(entry)
        elif not all(is_small(self.memory.aval(slot)) for slot in inputs):
            self._pick(entry)
        else:
            arrays = [np.asarray(self.value(slot), dtype=object) for slot in inputs]
            found = self._of_arrays(entry, arrays, dict(entry.attrs))
            shape = self.memory.aval(output).shape
            self.store(output, found.reshape(shape) if shape else found.item())

    def _elementwise(self, entry: Entry) -> None:
        op, output = entry.op, entry.output
        values = [self.value(slot) for slot in entry.inputs]
        dtypes = tuple([self.memory.aval(slot).dtype for slot in entry.inputs])
        if self.memory.aval(output).shape == ():
            own = self.cell(output) if output in self.shared else None
            self.places[output] = self.apply(op, dtypes, values, own)
            return
        arrays = np.broadcast_arrays(*(np.asarray(value, dtype=object) for value in values))
        rows = zip(*(array.ravel().tolist() for array in arrays), strict=True)
        found = _array([self.apply(op, dtypes, row) for row in rows])
        self.store(output, found.reshape(self.memory.aval(output).shape))

    def _pick(self, entry: Entry) -> None:
        """Elements of a large array."""
        (source,) = entry.inputs
        dtype = self.memory.aval(source).dtype
        part = np.asarray(entry.op.kernel(self.memory.shadow(source), **dict(entry.attrs)))
        while source in self.memory.aliases:  # a view can begin at the end of what it views
            source = self.memory.aliases[source]
        shadow = self.memory.shadow(source)
        start = (part.ctypes.data - shadow.ctypes.data) // shadow.itemsize
        steps = [step // shadow.itemsize for step in part.strides]
        table = self.memory.pointer(source)
        found = [
            self.emit(
                ("load", (dtype,)),
                self.new(dtype),
                table,
                start + int(np.dot(where, steps)) if where else start,
            )
            for where in np.ndindex(part.shape)
        ]
        self.store(entry.output, _array(found).reshape(part.shape) if part.ndim else found[0])

    def _join(self, entry: Entry) -> None:
        """Small values as one large array."""
        arrays = [np.asarray(self.value(slot), dtype=object) for slot in entry.inputs]
        joined = np.concatenate(arrays, **dict(entry.attrs)).ravel().tolist()
        table, dtype = self.memory.pointer(entry.output), self.memory.aval(entry.output).dtype
        for number, place in enumerate(joined):
            self.emit(("store", (dtype,)), place, table, number)

    def _of_arrays(self, entry: Entry, arrays: list[Places], attrs: Mapping[str, Any]) -> Places:
        name = entry.op.name
        if entry.op.copies is not None:
            found = moved(entry, arrays, attrs, self.memory.aval(entry.output).shape)
            if "0.0" in found.ravel().tolist():
                found[found == "0.0"] = self._zero()
            return found
        if name in _PRODUCTS:
            return self._product(name == "gated_matmul", *arrays)
        return self._reduced(FOLDS[name], arrays[0], attrs["axis"])

    def _zero(self) -> int:
        """A cell that is never written."""
        if not self.zero:
            self.zero = self.new(FLOAT, self.memory.size)
            self.memory.size += 1
        return self.zero

    def _reduced(self, fold: Callable[[Encoder, list[int]], int], x: Places, axis: Any) -> Places:
        axes = axis if isinstance(axis, tuple) else (axis,)
        kept = [i for i in range(x.ndim) if i not in axes]
        rows = np.transpose(x, (*kept, *axes)).reshape((*(x.shape[i] for i in kept), -1))
        return _array([fold(self, list(rows[place])) for place in np.ndindex(rows.shape[:-1])])

    def _product(self, gated: bool, a: Places, b: Places) -> Places:
        rows = a if a.ndim > 1 else a[None, :]
        columns = b if b.ndim > 1 else b[:, None]
        times = "gated_mul" if gated else "mul"
        found = []
        for row in rows:
            for column in columns.T:
                terms = [self.floats(times, x, y) for x, y in zip(row, column, strict=True)]
                found.append(_sum(self, terms))
        return _array(found)

    # The whole ----------------------------------------------------------------------------------------------

    def code(self) -> np.ndarray[Any, np.dtype[np.int32]]:
        """The instructions, with a cell for each place."""
        one = self.new(FLOAT)
        found = [(opcodes()[ONE], one), *scheduled(paired(self.instructions, self.fixed, one))]
        self.instructions = found
        numbers = [number for instruction in self.instructions for number in instruction]
        code = np.array([*numbers, 0], dtype=np.int64)
        self._give_cells(code)
        assert code.max() < 2**31
        return code.astype(np.int32)

    def _give_cells(self, code: np.ndarray[Any, Any]) -> None:
        """Give each place a cell; a temporary one gives it back where it is read for the last time."""
        where = np.flatnonzero(code < 0)
        names = -1 - code[where]
        firsts = np.cumsum([0, *map(len, self.instructions)])
        steps = np.searchsorted(firsts, where, side="right") - 1
        last = np.zeros(len(self.dtypes), dtype=np.int64)
        np.maximum.at(last, names, steps)
        ends, given = last.tolist(), [-1] * len(self.dtypes)
        for place, at in self.fixed.items():
            given[-1 - place], ends[-1 - place] = at, -1
        free: list[int] = []
        for name, step in zip(names.tolist(), steps.tolist(), strict=True):
            if given[name] < 0:
                if not free:
                    free.append(self.memory.size)
                    self.memory.size += 1
                given[name] = free.pop() * PER_WORD[self.dtypes[name]]
            if ends[name] == step:
                ends[name] = -1
                free.append(given[name] // PER_WORD[self.dtypes[name]])
        code[where] = np.array(given)[names]


def _array(places: list[int]) -> Places:
    found: Places = np.empty(len(places), dtype=object)
    found[:] = places
    return found


def _sum(encoder: Encoder, terms: list[int]) -> int:
    if not terms:
        return encoder._zero()
    return terms[0] if len(terms) == 1 else encoder.apply(OPS["add_n"], (FLOAT,), terms)


def _pairs(name: str) -> Callable[[Encoder, list[int]], int]:
    return lambda encoder, numbers: reduce(lambda x, y: encoder.floats(name, x, y), numbers)


def _logsumexp(encoder: Encoder, numbers: list[int]) -> int:
    most = _pairs("maximum")(encoder, numbers)
    is_finite = encoder.apply(OPS["isfinite"], (FLOAT,), (most,))
    top = encoder.apply(OPS["where"], (BOOL, FLOAT, FLOAT), (is_finite, most, encoder._zero()))
    terms = [encoder.floats("exp", encoder.floats("sub", x, top)) for x in numbers]
    return encoder.floats("add", encoder.floats("log", _sum(encoder, terms)), top)


FOLDS: dict[str, Callable[[Encoder, list[int]], int]] = {
    "sum": _sum,
    "prod": _pairs("mul"),
    "max": _pairs("maximum"),
    "min": _pairs("minimum"),
    "logsumexp": _logsumexp,
}
