"""The backend "c": a plan as C, compiled, and bound once to the arrays of each workspace."""

from __future__ import annotations

import contextvars
import ctypes
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from tapegrad.backends.c.columns import MOST_TWICE, is_row_major
from tapegrad.backends.c.joins import Joins
from tapegrad.backends.c.library import library
from tapegrad.backends.c.machine import machine
from tapegrad.backends.c.memory import CELLS, INPUTS, SIZES, WORD, is_small
from tapegrad.backends.c.printer import Part, print_plan
from tapegrad.backends.c.runtime import PITCH, WIDTH
from tapegrad.backends.c.steps import Forms
from tapegrad.backends.replay import Broken, first_broken, taken_sides
from tapegrad.backends.shared import Shared
from tapegrad.ops.attributes import ARRAY
from tapegrad.ops.registry import Read
from tapegrad.plan.places import ALIGNED
from tapegrad.plan.plan import plan
from tapegrad.plan.stages import BLOCK, Plan, RowLoop
from tapegrad.tape.slots import deciding_slots
from tapegrad.tape.tape import SCALAR, Tape, size_of

Array = np.ndarray[Any, Any]

# Rows that make a loop by rows. Arrays of up to 16 elements are written number by number.
SHORTEST = 18


class CProgram:
    """A tape's plan in C, compiled: what all data and all threads share."""

    def __init__(
        self, tape: Tape, late: Sequence[int] = (), threads: int = 1, shortest: int = SHORTEST
    ) -> None:
        self.tape = tape
        self.late = late
        self.threads = threads
        self._pool = ThreadPoolExecutor(threads - 1, "tapegrad") if threads > 1 else None
        forms = Forms(tape, deciding_slots(tape))
        joins = Joins(tape, forms.has_form)
        cut = plan(tape, late, shortest // 2, len(tape.entries), joins)
        assert cut.layout is not None
        layout = replace(cut.layout, blocks=(), block_size=0)  # chunks of rows stand on the stack
        self.plan: Plan = replace(cut, layout=layout, at_once=BLOCK)
        self.printed = print_plan(self.plan, forms, threads > 1)
        self._library: Any = None
        self.packed: dict[int, Array] = {}

    @property
    def source(self) -> str:
        """The code that is run."""
        return self.printed.text

    @property
    def library(self) -> Any:
        """The compiled functions."""
        if self._library is None:
            parts = (*self.printed.early, *self.printed.late)
            for part in parts:
                if part.code is not None:
                    machine(part.is_special)
            if any(part.name for part in parts):
                self._library = library(self.source)
        return self._library

    def workspace(self, data: Mapping[int, Any], shared: Shared | None = None) -> CWorkspace:
        """Memory for one thread."""
        return CWorkspace(self, data, shared)

    def share(self, function: Callable[..., Any], table: Any, blocks: int) -> None:
        """Let threads share the blocks of a row loop."""
        assert self._pool is not None
        cuts = np.linspace(0, blocks, min(self.threads, blocks) + 1).astype(int).tolist()
        own, *others = [(table, ctypes.c_int64(a), ctypes.c_int64(b)) for a, b in pairwise(cuts)]
        jobs = [self._pool.submit(function, *share) for share in others]
        function(*own)
        for job in jobs:
            job.result()


class CWorkspace:
    """The memory of one thread, and the functions bound to it."""

    def __init__(self, program: CProgram, data: Mapping[int, Any], shared: Shared | None = None) -> None:
        self._program = program
        self._shared = Shared() if shared is None else shared
        self._printed, self._plan, self._tape = program.printed, program.plan, program.plan.tape
        self._memory = self._printed.memory
        self.inputs = np.zeros(sum(size_of(self._tape.avals[slot].shape) for slot in self._tape.parameters))
        self._cells = np.zeros(max(self._memory.size, 1))
        self._arrays: dict[int, Array] = {}
        self._place(data)
        self._table = self._make_table()
        self._context = contextvars.copy_context()
        self._context.run(np.seterr, all="ignore")
        self.compute = self._caller(self._printed.early)
        self._late = self._caller(self._printed.late)
        fault = self._missing_index()
        if fault is not None:
            self.compute = partial(_refuse, fault)
        self._outputs = self._reader(self._tape.outputs)
        self.guards = self._tape.guards
        self._guarded = self._reader([guard.slot for guard in self.guards])
        self._decided = self._find_decided()

    # Memory -------------------------------------------------------------------------------------------------

    def _place(self, data: Mapping[int, Any]) -> None:
        """The leaves, and room for what is written."""
        layout = self._plan.layout
        assert layout is not None
        for slot, start in self._memory.inputs.items():
            shape = self._tape.avals[slot].shape
            self._arrays[slot] = self.inputs[start : start + size_of(shape)].reshape(shape)
        for slot, value in (*self._tape.constants, *data.items()):
            if slot in self._memory.cells:
                self._cell(slot)[...] = value
            else:
                self._arrays[slot] = np.ascontiguousarray(value, self._tape.avals[slot].dtype)
        room = np.zeros(layout.size + ALIGNED, dtype=np.uint8)
        start = -room.ctypes.data % ALIGNED
        self._place_homes()
        for slot, place in layout.places.items():
            if slot not in self._arrays and not is_small(self._tape.avals[slot]):
                shape, dtype = self._tape.avals[slot]
                strides = self._memory.shadow(slot).strides
                self._arrays[slot] = np.ndarray(shape, dtype, room.data, start + place, strides)

    def _place_homes(self) -> None:
        """Arrays that live in one another."""
        homes = self._memory.homes
        starts = [group.bounds[0] for group in homes.groups]
        rooms = [np.zeros(b - a) for a, b in (group.bounds for group in homes.groups)]
        for slot, (number, start) in homes.places.items():
            shape = self._tape.avals[slot].shape
            first = start - starts[number]
            self._arrays[slot] = rooms[number][first : first + size_of(shape)].reshape(shape)

    def _cell(self, slot: int) -> Array:
        """A small value as an array."""
        shape, dtype = self._tape.avals[slot]
        return np.ndarray(shape, dtype, self._cells.data, WORD * self._memory.cells[slot])

    def array(self, slot: int) -> Array:
        """Any value as an array."""
        if slot not in self._arrays:
            if slot in self._memory.cells:
                self._arrays[slot] = self._cell(slot)
            else:
                entry = self._tape.entries.writer_of(slot)
                assert entry is not None
                owner = self.array(self._memory.aliases[slot])
                self._arrays[slot] = np.asarray(entry.op.kernel(owner, **dict(entry.attrs)))
        return self._arrays[slot]

    def _make_table(self) -> Any:
        memory = self._memory
        sizes = np.array(list(memory.sizes) or [0], dtype=np.int64)
        self._kept: list[Array] = [sizes]
        addresses: list[int] = [0] * memory.count
        addresses[CELLS] = self._cells.ctypes.data
        addresses[INPUTS] = self.inputs.ctypes.data
        addresses[SIZES] = sizes.ctypes.data
        for slot, entry in memory.pointers.items():
            addresses[entry] = self.array(slot).ctypes.data
        for slot, entry in memory.columns.items():
            kept = self._columns(slot)
            addresses[entry] = 0 if kept is None else kept.ctypes.data
        for entry, numbers in memory.pools.items():
            self._kept.append(np.array(numbers))
            addresses[entry] = self._kept[-1].ctypes.data
        for entry, rows, width in memory.parts:
            room = np.zeros(-(-rows // BLOCK) * width)
            self._kept.append(room)
            addresses[entry] = room.ctypes.data
        return (ctypes.c_void_p * memory.count)(*addresses)

    def _missing_index(self) -> IndexError | None:
        """The error that an index of a gather or a scatter in a row loop is, if one does not exist."""
        for stage in self._plan.stages:
            ways = zip(stage.entries, stage.reads, strict=True) if isinstance(stage, RowLoop) else ()
            for entry, reads in ways:
                if ARRAY not in dict(entry.attrs).get("index", ()):
                    continue
                whole = entry.inputs[0] if reads[0] is Read.GATHERED else entry.output
                length, places = self._tape.avals[whole].shape[0], self.array(entry.inputs[1])
                if places.size and not (-length <= places.min() and places.max() < length):
                    return IndexError(f"an index is out of bounds for axis 0 with size {length}")
        return None

    def _columns(self, slot: int) -> Array | None:
        """A leaf in chunks of rows, column by column; the last row again and again behind the last.

        None where that is made anew each time, chunk by chunk.
        """
        packed = self._program.packed
        if slot not in packed:
            axis = self._plan.row_axis(slot)
            assert axis is not None
            array = self.array(slot)
            is_large = array.nbytes > MOST_TWICE or not self._shared.keeps
            if is_large and is_row_major(self._memory, slot, axis):
                return None
            rows = np.moveaxis(array, axis, 0).reshape(array.shape[axis], -1)
            if slot in self._tape.data:
                self._kept += [rows, self._shared.form("columns in chunks", rows, in_chunks)]
                return self._kept[-1]
            packed[slot] = in_chunks(rows)
        return packed[slot]

    # Binding ------------------------------------------------------------------------------------------------

    def _caller(self, parts: Sequence[Part]) -> Callable[[], Any]:
        """Some parts, one after another, as one call."""
        calls = [self._bound(part) for part in parts]
        if any(part.entries for part in parts):
            return partial(self._context.run, _run, calls)
        return calls[0] if len(calls) == 1 else partial(_run, calls)

    def _bound(self, part: Part) -> Callable[[], Any]:
        """One part as a call without arguments."""
        if part.entries:
            return partial(_run, [self._kernel(entry) for entry in part.entries])
        if part.code is not None:
            places = [ctypes.c_void_p(array.ctypes.data) for array in (part.code, self._cells)]
            return partial(machine(part.is_special), *places, ctypes.byref(self._table))
        function = getattr(self._program.library, part.name)
        function.restype = None
        if part.blocks:
            return partial(self._program.share, function, self._table, part.blocks)
        return partial(function, ctypes.byref(self._table))

    def _kernel(self, entry: Any) -> Callable[[], Any]:
        inputs = [self.array(slot) for slot in entry.inputs]
        return partial(entry.op.kernel, *inputs, out=self.array(entry.output), **dict(entry.attrs))

    def _reader(self, slots: Sequence[int]) -> Callable[[], list[Any]]:
        """Reads values: numbers as Python's floats, all others as arrays."""
        found = [self.array(slot) for slot in slots]
        is_number = [self._tape.avals[slot] == SCALAR for slot in slots]
        cells = [self._memory.cells.get(slot, -1) for slot in slots]
        if (
            slots
            and all(is_number)
            and cells[0] >= 0
            and cells == list(range(cells[0], cells[0] + len(cells)))
        ):
            read_all: Callable[[], list[Any]] = self._cells[cells[0] : cells[-1] + 1].tolist
            return read_all
        numbers = [(i, array.item) for i, array in enumerate(found) if is_number[i]]

        def read_each() -> list[Any]:
            values: list[Any] = found.copy()
            for i, item in numbers:
                values[i] = item()
            return values

        return read_each

    def _find_decided(self) -> list[tuple[Array, bytes]]:
        """What guards look at, and its bytes where they hold; cells side by side are one."""
        found = list[tuple[Array, bytes]]()
        expected, is_cell = np.zeros_like(self._cells), np.zeros(len(self._cells) + 1, dtype=np.int8)
        for guard in self.guards:
            array, start = self.array(guard.slot), self._memory.cells.get(guard.slot)
            if guard.is_choice:
                continue
            if start is None:
                found.append((array, np.full(array.shape, guard.outcome, array.dtype).tobytes()))
                continue
            np.ndarray(array.shape, array.dtype, expected.data, WORD * start)[...] = guard.outcome
            is_cell[start : start - (-array.nbytes // WORD)] = 1
        edges = np.flatnonzero(np.diff(is_cell, prepend=0)).tolist()
        for first, stop in zip(edges[::2], edges[1::2], strict=True):
            found.append((self._cells[first:stop], expected[first:stop].tobytes()))
        return found

    # Replay -------------------------------------------------------------------------------------------------

    @property
    def outputs(self) -> Sequence[Any]:
        """The outputs of the latest run."""
        return self._outputs()

    def run(self, inputs: Array) -> None:
        """Write every value, or where `inputs` lack the late leaves, every value without them."""
        self.inputs[: inputs.size] = inputs
        self.compute()

    def run_late(self, inputs: Array) -> None:
        """Write the values that depend on the late leaves, which are the last inputs."""
        self.inputs[self.inputs.size - inputs.size :] = inputs
        self._late()

    def broken(self) -> Broken | None:
        """The first guard that does not hold after a replay."""
        for array, expected in self._decided:
            if array.tobytes() != expected:  # which may still be equal, as zeros of both signs are
                return first_broken(self.guards, self._guarded())
        return None

    def taken(self) -> list[Any]:
        """Where the sides of choices are taken."""
        return taken_sides(self.guards, self._guarded())


def in_chunks(rows: Array) -> Array:
    """A matrix in chunks of rows, each column by column; the last row again and again behind the last."""
    whole, rest = divmod(len(rows), WIDTH)
    found = np.empty((whole + bool(rest), rows.shape[1], PITCH))
    found[:, :, WIDTH:] = 0
    for i in range(whole):  # chunk by chunk: what is read and what is written then fit the cache
        found[i, :, :WIDTH] = rows[i * WIDTH : (i + 1) * WIDTH].T
    if rest:
        found[-1, :, :rest] = rows[whole * WIDTH :].T
        found[-1, :, rest:WIDTH] = rows[-1][:, None]
    return found


def _run(calls: Sequence[Callable[[], Any]]) -> None:
    for call in calls:
        call()


def _refuse(fault: IndexError) -> None:
    raise fault
