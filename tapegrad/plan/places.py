"""The places of a plan's values: which slot lives where in the buffers, and which places are used again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import repeat
from typing import NamedTuple

from tapegrad.ops.registry import Aval
from tapegrad.plan.stages import Interpreted, Layout, RowLoop, Stage, numbers_of, row_axis
from tapegrad.tape.entries import Entry, entry_of
from tapegrad.tape.slots import Marks, marked
from tapegrad.tape.tape import Tape, size_of

ALIGNED = 64  # bytes: a cache line, and the longest vector registers
_FOREVER = 1 << 62


class _Step(NamedTuple):
    """The slots that are read and written at one time, by an entry that runs whole or by a row loop."""

    reads: Sequence[int]
    writes: Sequence[int]
    is_late: bool


class _Buffer:
    """Hands out places by their size, and takes them back."""

    def __init__(self) -> None:
        self.size = 0
        self._free: dict[int, list[int]] = {}

    def take(self, size: int) -> int:
        free = self._free.get(size)
        if free:
            return free.pop()
        self.size += size
        return self.size - size

    def give_back(self, place: int, size: int) -> None:
        self._free.setdefault(size, []).append(place)


def lay_out(tape: Tape, stages: Sequence[Stage], late: int, block: int) -> Layout:
    """Places for everything that the stages write; those from `late` on are run again and again."""
    is_number = numbers_of(tape) if any(isinstance(stage, Interpreted) for stage in stages) else bytearray()
    on_arrays = [_on_arrays(stage, is_number) for stage in stages]
    aliases = _aliases(tape, stages, on_arrays)
    boxed = _boxed(tape, stages, on_arrays)
    is_held = bytearray([aval.shape != () for aval in tape.avals])
    for slot in (*aliases, *boxed):
        is_held[slot] = 1
    owners = _owners(aliases)
    whole = _Buffer()
    places = _places(tape, list(_steps(stages, late, is_held)), owners, whole)
    loops = [stage for stage in stages if isinstance(stage, RowLoop)]
    buffers = [_Buffer() for _ in loops]
    blocks = tuple(
        _block_places(tape, loop, owners, block, buffer) for loop, buffer in zip(loops, buffers, strict=True)
    )
    block_size = max((b.size for b in buffers), default=0)
    return Layout(places, whole.size, blocks, block_size, aliases, boxed, is_number)


def _on_arrays(stage: Stage, is_number: Marks) -> Sequence[Entry]:
    """The entries of a stage, where it is interpreted without those on numbers."""
    if not isinstance(stage, Interpreted):
        return stage.entries
    return [entry_of(row) for row in stage.rows() if not is_number[row[2]]]


def _aliases(tape: Tape, stages: Sequence[Stage], on_arrays: Sequence[Sequence[Entry]]) -> dict[int, int]:
    stored = {slot for stage in stages if isinstance(stage, RowLoop) for slot in stage.stored}
    in_order = marked(tape, tape.parameters)
    aliases: dict[int, int] = {}
    for stage, entries in zip(stages, on_arrays, strict=True):
        ways = stage.reads if isinstance(stage, RowLoop) else repeat(None, len(entries))
        for (op, inputs, output, attrs, _), reads in zip(entries, ways, strict=True):
            of = op.view_of(attrs)
            if of is None:
                in_order[output] = 1
                continue
            owner = inputs[of]
            is_view = op.view_of(attrs, in_order=bool(in_order[owner])) is not None
            # Of a number there is no view, and of what a loop reads whole there is no block to look at.
            has_array = tape.avals[owner].shape != () and (reads is None or reads[of].by_block)
            if is_view and has_array and output not in stored:
                aliases[output] = owner
    return aliases


def _boxed(tape: Tape, stages: Sequence[Stage], on_arrays: Sequence[Sequence[Entry]]) -> frozenset[int]:
    """The scalars that some entry reads together with arrays, or makes an array of."""
    is_scalar = bytearray([aval.shape == () for aval in tape.avals])
    boxed: set[int] = set()
    for stage, entries in zip(stages, on_arrays, strict=True):
        is_interpreted = isinstance(stage, Interpreted)  # which takes other scalars than floats for arrays
        for _, inputs, output, _, _ in entries:
            if is_interpreted and is_scalar[output]:
                boxed.add(output)
            if is_interpreted or not (is_scalar[output] and all(is_scalar[slot] for slot in inputs)):
                boxed.update([slot for slot in inputs if is_scalar[slot]])
    return frozenset(boxed)


def _owners(aliases: Mapping[int, int]) -> dict[int, int]:
    """The slot in whose place each slot lives that is a view."""
    owners: dict[int, int] = {}
    for slot, owner in aliases.items():
        owners[slot] = owners.get(owner, owner)
    return owners


def _steps(stages: Sequence[Stage], late: int, is_held: Marks) -> Iterator[_Step]:
    """What touches arrays; numbers have no places."""
    for number, stage in enumerate(stages):
        is_late = number >= late
        if isinstance(stage, RowLoop):
            reads = [slot for entry in stage.entries for slot in entry.inputs]
            writes = [slot for slot in sorted(stage.sums | stage.stored) if is_held[slot]]
            yield _Step(reads, writes, is_late)
            continue
        for row in stage.rows() if isinstance(stage, Interpreted) else stage.entries:
            _, inputs, output, _, _ = row
            if is_held[output] or any(is_held[slot] for slot in inputs):
                yield _Step(inputs, (output,) if is_held[output] else (), is_late)


def _places(tape: Tape, steps: Sequence[_Step], owners: Mapping[int, int], buffer: _Buffer) -> dict[int, int]:
    """The place of each slot that is written whole."""
    last: dict[int, int] = {}
    early: set[int] = set()
    for i, step in enumerate(steps):
        for slot in step.reads:
            owner = owners.get(slot, slot)
            last[owner] = _FOREVER if step.is_late and owner in early else i
        if not step.is_late:
            early.update(step.writes)
    last.update((owners.get(slot, slot), _FOREVER) for slot in tape.outputs)
    last.update((owners.get(guard.slot, guard.slot), _FOREVER) for guard in tape.guards)
    dying: dict[int, list[int]] = {}
    for owner, i in last.items():
        dying.setdefault(i, []).append(owner)
    places: dict[int, int] = {}
    for i, step in enumerate(steps):
        for slot in step.writes:
            if slot not in owners:
                places[slot] = buffer.take(_room(tape.avals[slot]))
        for slot in dying.get(i, ()):
            if slot in places:
                buffer.give_back(places[slot], _room(tape.avals[slot]))
    return places


def _block_places(
    tape: Tape, loop: RowLoop, owners: Mapping[int, int], block: int, buffer: _Buffer
) -> dict[int, int]:
    """The place of each slot that exists as a block only."""

    def is_block(slot: int) -> bool:
        return slot not in owners and slot not in loop.stored and slot not in loop.sums

    last: dict[int, int] = {}
    for i, entry in enumerate(loop.entries):
        for slot in (*entry.inputs, entry.output):
            last[owners.get(slot, slot)] = i
    places: dict[int, int] = {}
    for i, entry in enumerate(loop.entries):
        slot = entry.output
        if is_block(slot):
            places[slot] = buffer.take(_room(cut(tape.avals[slot], block, block)))
        for dead in {owners.get(s, s) for s in (*entry.inputs, slot)}:
            if dead in places and last[dead] == i:
                buffer.give_back(places[dead], _room(cut(tape.avals[dead], block, block)))
    return places


def cut(aval: Aval, block: int, rows: int) -> Aval:
    """The aval of so many rows."""
    axis = row_axis(aval.shape, block)
    assert axis is not None
    return Aval((*aval.shape[:axis], rows, *aval.shape[axis + 1 :]), aval.dtype)


def _room(aval: Aval) -> int:
    """Bytes, in whole cache lines."""
    return -(-size_of(aval.shape) * aval.dtype.itemsize // ALIGNED) * ALIGNED
