"""The places of a plan's values: which slot lives where in the buffers, and which places are used again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import repeat
from typing import NamedTuple

from tapegrad.ops.registry import Aval, Read
from tapegrad.plan.stages import Interpreted, Layout, RowLoop, Stage, numbers_of, row_axis
from tapegrad.tape.entries import Entry
from tapegrad.tape.slots import Marks, marked
from tapegrad.tape.tape import Tape, size_of

ALIGNED = 64  # bytes: a cache line, and the longest vector registers
_FOREVER = 1 << 62


class _Step(NamedTuple):
    """What is read and written at one time: by an entry executed whole, or by a row loop."""

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
    aliases = _aliases(tape, stages)
    boxed = _boxed(tape, stages)
    is_held = bytearray([aval.shape != () for aval in tape.avals])
    for slot in (*aliases, *boxed):
        is_held[slot] = 1
    owners = _owners(stages, aliases)
    whole = _Buffer()
    places = _places(tape, list(_steps(stages, late, is_held)), owners, whole)
    loops = [stage for stage in stages if isinstance(stage, RowLoop)]
    buffers = [_Buffer() for _ in loops]
    blocks = tuple(
        _block_places(tape, loop, owners, block, buffer) for loop, buffer in zip(loops, buffers, strict=True)
    )
    return Layout(places, whole.size, blocks, max((b.size for b in buffers), default=0), aliases, boxed)


def _entries(stages: Sequence[Stage]) -> Iterator[tuple[Entry, tuple[Read, ...] | None]]:
    """All entries in the order of the stages, within loops with how they read their operands."""
    for stage in stages:
        reads = stage.reads if isinstance(stage, RowLoop) else repeat(None, len(stage.entries))
        yield from zip(stage.entries, reads, strict=True)


def _aliases(tape: Tape, stages: Sequence[Stage]) -> dict[int, int]:
    stored = {slot for stage in stages if isinstance(stage, RowLoop) for slot in stage.stored}
    in_order = marked(tape, tape.parameters)
    aliases: dict[int, int] = {}
    for (op, inputs, output, attrs, _), reads in _entries(stages):
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


def _boxed(tape: Tape, stages: Sequence[Stage]) -> frozenset[int]:
    """The scalars that some entry reads together with arrays, or makes an array of."""
    is_scalar = bytearray([aval.shape == () for aval in tape.avals])
    boxed: set[int] = set()
    for stage in stages:
        if isinstance(stage, Interpreted):  # which takes other scalars than floats for arrays
            is_number = numbers_of(tape)
            found = [e for e in stage.entries if not is_number[e.output]]
            boxed.update(e.output for e in found if is_scalar[e.output])
        else:
            found = [
                e for e in stage.entries if not (is_scalar[e.output] and all(is_scalar[s] for s in e.inputs))
            ]
        boxed.update(slot for entry in found for slot in entry.inputs if is_scalar[slot])
    return frozenset(boxed)


def _owners(stages: Sequence[Stage], aliases: Mapping[int, int]) -> dict[int, int]:
    """The slot in whose place each slot lives that an entry writes."""
    owners: dict[int, int] = {}
    for entry, _ in _entries(stages):
        owner = aliases.get(entry.output)
        owners[entry.output] = entry.output if owner is None else owners.get(owner, owner)
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
        for entry in stage.entries:
            output = entry.output
            if is_held[output] or any(is_held[slot] for slot in entry.inputs):
                yield _Step(entry.inputs, (output,) if is_held[output] else (), is_late)


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
            if owners[slot] == slot:
                places[slot] = buffer.take(_room(tape.avals[slot]))
        for slot in dying.get(i, ()):
            if slot in places:
                buffer.give_back(places[slot], _room(tape.avals[slot]))
    return places


def _block_places(
    tape: Tape, loop: RowLoop, owners: Mapping[int, int], block: int, buffer: _Buffer
) -> dict[int, int]:
    """The place of each slot of which only a block exists."""

    def is_block(slot: int) -> bool:
        return owners.get(slot) == slot and slot not in loop.stored and slot not in loop.sums

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
