"""The NumPy backend: the printed source of a plan, bound to buffers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from tapegrad.backends.printer import Source, is_alias, print_plan
from tapegrad.backends.replay import Broken, Workspace, holds
from tapegrad.ops.linalg import matmul
from tapegrad.ops.registry import Aval
from tapegrad.plan import BLOCK, Plan, RowLoop, Whole, plan
from tapegrad.tape import Entry, Tape, size_of

Array = np.ndarray[Any, Any]


class Compiled:
    """A tape's plan and its source, compiled: what all threads share."""

    def __init__(
        self,
        tape: Tape,
        data: Mapping[int, Any],
        late: Sequence[int] = (),
        block: int = BLOCK,
        threads: int = 1,
    ) -> None:
        self.tape = tape
        self.threads = threads
        self._pool = ThreadPoolExecutor(threads, "tapegrad") if threads > 1 else None
        self.data = data
        self.late = late
        self.plan: Plan = plan(tape, late, block)
        self.source: Source = print_plan(self.plan)
        namespace = dict(self.source.namespace)
        exec(compile(self.source.text, f"<tape {tape.name}>", "exec"), namespace)
        self.bind: Callable[..., Any] = namespace["bind"]
        self._matrix_blocks: dict[int, list[Array]] = {}

    def run(self, loop: Callable[..., Any], chunks: list[list[tuple[Array, ...]]], *scalars: float) -> Any:
        """Take a row loop over its blocks; what it collects comes in the order of the blocks."""
        if self._pool is None or len(chunks) == 1:
            return loop(chunks[0], *scalars)
        futures = [self._pool.submit(_quietly, loop, chunk, *scalars) for chunk in chunks]
        collected = [future.result() for future in futures]
        return tuple([part for parts in column for part in parts] for column in zip(*collected, strict=True))

    def matrix_blocks(self, slot: int, matrix: Array) -> list[Array]:
        """A constant matrix in blocks of rows, columns contiguous within each: products with it take half."""
        if slot not in self._matrix_blocks:
            starts = range(0, matrix.shape[0], self.plan.block)
            blocks = [np.asfortranarray(matrix[start : start + self.plan.block]) for start in starts]
            self._matrix_blocks[slot] = blocks
        return self._matrix_blocks[slot]

    def workspace(self) -> NumpyWorkspace:
        """Buffers for one thread."""
        return NumpyWorkspace(self)


class NumpyWorkspace:
    """The buffers of one thread, and the compiled functions bound to them."""

    def __init__(self, compiled: Compiled) -> None:
        self._compiled = compiled
        self._tape = compiled.tape
        self._plan = compiled.plan
        self.inputs = np.zeros(sum(size_of(self._tape.avals[slot].shape) for slot in self._tape.parameters))
        self._arrays: dict[int, Array] = {}
        self._place_leaves()
        self._loops: list[list[list[tuple[Array, ...]]]] = []
        for stage in self._plan.stages:
            if isinstance(stage, Whole):
                self._place_whole(stage)
            else:
                self._place_loop(stage)
        self._early, self._late = compiled.bind(self._arrays, self._loops, self.inputs.item, compiled.run)
        self._values: tuple[Any, ...] = ()
        self.outputs: Sequence[Any] = ()
        self.guards = self._tape.guards
        self._reference: Workspace | None = None

    # Buffers ------------------------------------------------------------------------------------------------

    def _place_leaves(self) -> None:
        start = 0
        for slot in self._tape.parameters:
            shape = self._tape.avals[slot].shape
            self._arrays[slot] = self.inputs[start : start + size_of(shape)].reshape(shape)
            start += size_of(shape)
        self._arrays.update((slot, np.asarray(value)) for slot, value in self._tape.constants)
        self._arrays.update((slot, np.asarray(value)) for slot, value in self._compiled.data.items())

    def _place_whole(self, stage: Whole) -> None:
        for entry in stage.entries:
            source = self._arrays.get(entry.inputs[0])
            is_scalar_view = entry.op.view and self._tape.avals[entry.output].shape == ()
            if source is not None and (
                is_alias(self._plan, entry) or (is_scalar_view and len(entry.inputs) == 1)
            ):
                self._arrays[entry.output] = _view(entry, source)
            else:
                self._arrays[entry.output] = _buffer(self._tape.avals[entry.output])

    def _place_loop(self, stage: RowLoop) -> None:
        for slot in (*stage.sums, *stage.stored):
            self._arrays[slot] = _buffer(self._tape.avals[slot])
        columns = self._compiled.source.columns[len(self._loops)]
        matrices = self._matrices(stage)
        starts = range(0, stage.rows, self._plan.block)
        chunks = []
        for share in np.array_split(np.arange(len(starts)), min(self._compiled.threads, len(starts))):
            buffers = self._block_buffers(stage)  # each thread has its own
            rows: list[tuple[Array, ...]] = []
            for number in share.tolist():
                start = starts[number]
                found = self._block(stage, buffers, slice(start, min(start + self._plan.block, stage.rows)))
                found.update((slot, matrix[number]) for slot, matrix in matrices.items())
                rows.append(tuple(found[slot] for slot in columns))
            chunks.append(rows)
        self._loops.append(chunks)

    def _matrices(self, stage: RowLoop) -> dict[int, list[Array]]:
        """The blocks of the constant matrices that the loop only multiplies with."""
        constant = {slot for slot, value in self._tape.constants if np.ndim(value) == 2}
        found = {slot for entry in stage.entries for slot in entry.inputs if slot in constant}
        for entry in stage.entries:
            if entry.op is not matmul:
                found.difference_update(entry.inputs)
        rows_first = (slot for slot in found if self._plan.row_axis(slot) == 0)
        return {slot: self._compiled.matrix_blocks(slot, self._arrays[slot]) for slot in rows_first}

    def _block_buffers(self, stage: RowLoop) -> dict[int, Array]:
        """Room for one block of each array that is not stored; the room of dead ones is used again."""
        owners = _owners(self._plan, stage)
        last = {
            owners[s]: i for i, e in enumerate(stage.entries) for s in (*e.inputs, e.output) if s in owners
        }
        free: dict[Aval, list[Array]] = {}
        found: dict[int, Array] = {}
        for i, entry in enumerate(stage.entries):
            slot = entry.output
            if owners.get(slot) != slot or slot in stage.stored:
                continue
            aval = self._cut(slot, self._plan.block)
            room = free.setdefault(aval, [])
            found[slot] = room.pop() if room else _buffer(aval)
            for dead in {owners[s] for s in (*entry.inputs, slot) if s in owners and last[owners[s]] == i}:
                if dead in found:
                    free.setdefault(self._cut(dead, self._plan.block), []).append(found[dead])
        return found

    def _block(self, stage: RowLoop, buffers: Mapping[int, Array], cut: slice) -> dict[int, Array]:
        """What each array along the rows is within one block."""
        found: dict[int, Array] = {}
        size = cut.stop - cut.start
        for entry in stage.entries:
            for slot in (*entry.inputs, entry.output):
                if slot in found or self._plan.row_axis(slot) is None:
                    continue
                axis = self._plan.row_axis(slot)
                if slot in buffers:
                    found[slot] = _along(buffers[slot], axis, slice(0, size))
                elif slot == entry.output and slot not in stage.stored:
                    found[slot] = _view(entry, found[entry.inputs[0]], self._cut(slot, size))
                else:
                    found[slot] = _along(self._arrays[slot], axis, cut)
        return found

    def _cut(self, slot: int, rows: int) -> Aval:
        """The aval of a block."""
        (shape, dtype), axis = self._tape.avals[slot], self._plan.row_axis(slot)
        assert axis is not None
        return Aval((*shape[:axis], rows, *shape[axis + 1 :]), dtype)

    # Replay -------------------------------------------------------------------------------------------------

    def run(self, inputs: Array) -> None:
        """Write every value, or where `inputs` lack the late leaves, every value without them."""
        self.inputs[: inputs.size] = inputs
        self._reference = None
        try:
            with np.errstate(all="ignore"):
                self._values, self.outputs = self._early()
        except (ArithmeticError, ValueError):
            # Python raises where IEEE arithmetic gives inf or NaN; the reference does as IEEE does.
            self._reference = Workspace(self._tape, self._compiled.data, self._compiled.late)
            self._reference.run(inputs)
            self._values = tuple(view for view, _ in self._reference.guards)
            self.outputs = self._reference.outputs

    def run_late(self, inputs: Array) -> None:
        """Write the values that depend on the late leaves, which are the last inputs."""
        self.inputs[-inputs.size :] = inputs
        if self._reference is None:
            try:
                with np.errstate(all="ignore"):
                    self.outputs = self._late()
                return
            except (ArithmeticError, ValueError):
                self._reference = Workspace(self._tape, self._compiled.data, self._compiled.late)
                self._reference.run(self.inputs[: -inputs.size])
        self._reference.run_late(inputs)
        self.outputs = self._reference.outputs

    def broken(self) -> Broken | None:
        """The first guard that does not hold after a replay."""
        for i, (value, guard) in enumerate(zip(self._values, self.guards, strict=True)):
            if not holds(guard, value):
                plain = np.asarray(value)
                return Broken(i, plain.item() if plain.ndim == 0 else plain.copy())
        return None


def _quietly(loop: Callable[..., Any], *args: Any) -> Any:
    with np.errstate(all="ignore"):  # which holds for one thread only
        return loop(*args)


def _buffer(aval: Aval) -> Array:
    return np.zeros(aval.shape, dtype=aval.dtype)


def _along(array: Array, axis: int | None, cut: slice) -> Array:
    assert axis is not None
    return array[(slice(None),) * axis + (cut,)]


def _view(entry: Entry, source: Array, block: Aval | None = None) -> Array:
    """The view that an entry stands for, of the shape of a block if it is cut."""
    attrs = dict(entry.attrs)
    if block is not None and "shape" in attrs:
        attrs["shape"] = block.shape
    return np.asarray(entry.op.kernel(source, **attrs))


def _owners(the_plan: Plan, stage: RowLoop) -> dict[int, int]:
    """For each array along the rows that the loop makes: the slot whose room it lives in."""
    owners: dict[int, int] = {}
    for entry in stage.entries:
        if the_plan.row_axis(entry.output) is None:
            continue
        if not is_alias(the_plan, entry):
            owners[entry.output] = entry.output
        elif entry.inputs[0] in owners:
            owners[entry.output] = owners[entry.inputs[0]]
    return owners
