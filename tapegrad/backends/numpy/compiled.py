"""The NumPy backend: the plan, printed as Python source and compiled, over buffers made once."""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from tapegrad.backends.interpreter import Room, Steps, Workspace, bind
from tapegrad.backends.numpy.lowering import lowered
from tapegrad.backends.numpy.printer import Printed, print_plan
from tapegrad.backends.replay import Broken, first_broken, taken_sides
from tapegrad.backends.shared import Shared
from tapegrad.backends.written import executed
from tapegrad.ops.registry import Aval, Read
from tapegrad.plan.places import ALIGNED, cut
from tapegrad.plan.plan import plan
from tapegrad.plan.stages import BLOCK, LONGEST_PRINTED, Interpreted, Plan, RowLoop
from tapegrad.tape.entries import Entry
from tapegrad.tape.slots import deciding_slots, marked
from tapegrad.tape.tape import Tape, size_of

Array = np.ndarray[Any, Any]

# Constant matrices up to this size are stored once more, block by block, which halves the time of products.
MOST_STORED_TWICE = 100_000_000  # bytes


class Compiled:
    """A tape's plan and its source, compiled: what all data and all threads share."""

    def __init__(
        self,
        tape: Tape,
        late: Sequence[int] = (),
        block: int = BLOCK,
        threads: int = 1,
        longest: int = LONGEST_PRINTED,
    ) -> None:
        self.tape = tape
        self.threads = threads
        self._pool = ThreadPoolExecutor(threads, "tapegrad") if threads > 1 else None
        self.late = late
        exact = deciding_slots(tape)
        self.plan: Plan = plan(lowered(tape, block, exact), late, block, longest)
        self.printed: Printed = print_plan(self.plan, exact)
        namespace = executed(self.source, f"tape {tape.name}", dict(self.printed.namespace))
        self.bind: Callable[..., Any] = namespace["bind"]
        self._matrix_blocks: dict[int, list[Array]] = {}

    @property
    def source(self) -> str:
        """The code that is run."""
        return self.printed.text

    def run(self, loop: Callable[..., Any], chunks: list[list[tuple[Array, ...]]]) -> Any:
        """Take a row loop over its blocks; what it collects comes in the order of the blocks."""
        if self._pool is None or len(chunks) == 1:
            return loop(chunks[0])
        futures = [self._pool.submit(_quietly, loop, chunk) for chunk in chunks]
        collected = [future.result() for future in futures]
        return tuple([part for parts in column for part in parts] for column in zip(*collected, strict=True))

    def matrix_blocks(self, slot: int, matrix: Array) -> list[Array]:
        """A constant matrix in blocks of rows, columns contiguous within each: products with it take half."""
        if slot not in self._matrix_blocks:
            starts = range(0, matrix.shape[0], self.plan.block)
            blocks = [np.asfortranarray(matrix[start : start + self.plan.block]) for start in starts]
            self._matrix_blocks[slot] = blocks
        return self._matrix_blocks[slot]

    def workspace(self, data: Mapping[int, Any], shared: Shared | None = None) -> NumpyWorkspace:
        """Buffers for one thread."""
        return NumpyWorkspace(self, data)


def compiled(tape: Tape, late: Sequence[int], threads: int) -> Compiled:
    """The backend "numpy"."""
    return Compiled(tape, late, threads=threads)


class NumpyWorkspace:
    """The buffers of one thread, and the compiled functions bound to them."""

    def __init__(self, program: Compiled, data: Mapping[int, Any]) -> None:
        assert program.plan.layout is not None
        self._program = program
        self._data = data
        self._plan, self._layout = program.plan, program.plan.layout
        self._tape = program.plan.tape
        self.inputs = np.zeros(sum(size_of(self._tape.avals[slot].shape) for slot in self._tape.parameters))
        self._arrays: dict[int, Array] = {}
        self._place_leaves()
        self._buffer = _bytes(self._layout.size)
        self._loops: list[list[list[tuple[Array, ...]]]] = []
        for slot, place in self._layout.places.items():
            self._arrays[slot] = _view_of(self._buffer, place, self._tape.avals[slot])
        for stage in self._plan.stages:
            if isinstance(stage, RowLoop):
                self._place_loop(stage)
            elif self._layout.aliases:
                self._place_views(stage.entries)
        steps = self._steps() if program.printed.steps else []
        self._early, self._late = program.bind(
            self._arrays, self._loops, self.inputs.item, program.run, steps
        )
        # Entering a context costs a fifth of entering np.errstate.
        self._context = contextvars.copy_context()
        self._context.run(np.seterr, all="ignore")
        self._values: tuple[Any, ...] = ()
        self.outputs: Sequence[Any] = ()
        self.guards = self._tape.guards
        self._spare: Workspace | None = None
        self._reference: Workspace | None = None

    # Buffers ------------------------------------------------------------------------------------------------

    def _place_leaves(self) -> None:
        start = 0
        for slot in self._tape.parameters:
            shape = self._tape.avals[slot].shape
            self._arrays[slot] = self.inputs[start : start + size_of(shape)].reshape(shape)
            start += size_of(shape)
        self._arrays.update((slot, np.asarray(value)) for slot, value in self._tape.constants)
        self._arrays.update((slot, np.asarray(value)) for slot, value in self._data.items())

    def _place_views(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            owner = self._layout.aliases.get(entry.output)
            if owner is not None:
                self._arrays[entry.output] = _alias(entry, self._arrays[owner])

    def _place_loop(self, stage: RowLoop) -> None:
        number = len(self._loops)
        blocks, places = self._program.printed.blocks[number], self._layout.blocks[number]
        matrices = self._matrices(stage)
        starts = range(0, stage.rows, self._plan.block)
        chunks = []
        for share in np.array_split(np.arange(len(starts)), min(self._program.threads, len(starts))):
            room = _bytes(self._layout.block_size)  # each thread has its own
            rows: list[tuple[Array, ...]] = []
            for i in share.tolist():
                found = self._block(stage, room, places, starts[i])
                found.update((slot, matrix[i]) for slot, matrix in matrices.items())
                rows.append(tuple(found[slot] for slot in blocks))
            chunks.append(rows)
        self._loops.append(chunks)

    def _matrices(self, stage: RowLoop) -> dict[int, list[Array]]:
        """The blocks of the constant matrices that the loop only multiplies with."""
        found = {slot for slot, _ in self._tape.constants}.intersection(stage.columns)
        for entry, reads in zip(stage.entries, stage.reads, strict=True):
            found.difference_update(
                slot for slot, read in zip(entry.inputs, reads, strict=True) if read is not Read.MULTIPLIED
            )
        return {
            slot: self._program.matrix_blocks(slot, self._arrays[slot])
            for slot in found
            if self._arrays[slot].nbytes <= MOST_STORED_TWICE
        }

    def _block(self, stage: RowLoop, room: Array, places: Mapping[int, int], start: int) -> dict[int, Array]:
        """What each array along the rows is within the block that begins at the row `start`."""
        found: dict[int, Array] = {}
        stop = min(start + self._plan.block, stage.rows)
        for entry in stage.entries:
            for slot in (*entry.inputs, entry.output):
                axis = self._plan.row_axis(slot)
                if slot in found or axis is None:
                    continue
                aval = cut(self._tape.avals[slot], self._plan.block, stop - start)
                if slot in places:
                    found[slot] = _view_of(room, places[slot], aval)
                elif slot == entry.output and slot not in stage.stored:
                    found[slot] = _alias(entry, found[self._layout.aliases[slot]], aval)
                else:
                    found[slot] = self._arrays[slot][(slice(None),) * axis + (slice(start, stop),)]
        return found

    def _steps(self) -> list[Steps]:
        """What the source calls for each stage that is interpreted."""
        tape, layout = self._tape, self._layout
        cells: list[Any] = [None] * len(tape.avals)
        cells_given = [slot for takes, _ in self._program.printed.steps for slot in takes]
        for slot, value in (*tape.constants, *((slot, 0.0) for slot in cells_given)):
            if np.ndim(value) == 0:
                cells[slot] = value
        words = memoryview(self._buffer).cast("d")  # type: ignore[arg-type]
        starts = {slot: layout.places[slot] // 8 for slot in layout.boxed if slot in layout.places}
        room = Room(cells, self._arrays, layout.is_number, marked(tape, layout.boxed), words, starts)
        stages = [stage for stage in self._plan.stages if isinstance(stage, Interpreted)]
        return [
            Steps(room, bind(room, stage.rows(), lambda e: e.output in layout.aliases), takes, gives)
            for stage, (takes, gives) in zip(stages, self._program.printed.steps, strict=True)
        ]

    # Replay -------------------------------------------------------------------------------------------------

    def run(self, inputs: Array) -> None:
        """Write every value, or where `inputs` lack the late leaves, every value without them."""
        self.inputs[: inputs.size] = inputs
        self._compute(inputs.size)

    def compute(self) -> None:
        """Write every value of a program without late leaves, from what stands in `inputs`."""
        self._compute(self.inputs.size)

    def _compute(self, size: int) -> None:
        self._reference = None
        try:
            self._values, self.outputs = self._context.run(self._early)
        except (ArithmeticError, ValueError):
            # Python raises where IEEE arithmetic gives inf or NaN; the reference does as IEEE does.
            self._refer(self.inputs[:size])

    def run_late(self, inputs: Array) -> None:
        """Write the values that depend on the late leaves, which are the last inputs."""
        self.inputs[self.inputs.size - inputs.size :] = inputs
        if self._reference is None:
            try:
                self.outputs = self._context.run(self._late)
                return
            except (ArithmeticError, ValueError):
                self._refer(self.inputs[: self.inputs.size - inputs.size])
        assert self._reference is not None
        self._reference.run_late(inputs)
        self.outputs = self._reference.outputs

    def _refer(self, inputs: Array) -> None:
        """Let the reference backend run, from these parameters until the next."""
        if self._spare is None:
            self._spare = Workspace(self._program.tape, self._data, self._program.late)
        reference = self._reference = self._spare
        reference.run(inputs)
        self._values = tuple(view for view, _ in reference.guards)
        self.outputs = reference.outputs

    def broken(self) -> Broken | None:
        """The first guard that does not hold after a replay."""
        return first_broken(self.guards, self._values)

    def taken(self) -> list[Any]:
        """Where the sides of choices are taken."""
        return taken_sides(self.guards, self._values)


def _quietly(loop: Callable[..., Any], *args: Any) -> Any:
    with np.errstate(all="ignore"):  # which holds for one thread only
        return loop(*args)


def _bytes(size: int) -> Array:
    """A buffer that begins at the beginning of a cache line."""
    room = np.zeros(size + ALIGNED, dtype=np.uint8)
    start = -room.ctypes.data % ALIGNED
    return room[start : start + size]


def _view_of(room: Array, place: int, aval: Aval) -> Array:
    return np.ndarray(aval.shape, aval.dtype, room.data, place)


def _alias(entry: Entry, owner: Array, block: Aval | None = None) -> Array:
    """The view that an entry stands for, of the shape of a block if it is cut."""
    attrs = dict(entry.attrs)
    if block is not None and "shape" in attrs:
        attrs["shape"] = block.shape
    return np.asarray(entry.op.kernel(owner, **attrs))
