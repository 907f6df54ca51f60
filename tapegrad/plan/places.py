"""The places of a plan's values: which slot lives where in the buffers, and which places are used again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from tapegrad.ops.registry import Aval
from tapegrad.plan.stages import Layout, RowLoop, Stage, Whole, row_axis
from tapegrad.tape.entries import Entry
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
    aliases = _aliases(tape, stages, block)
    owners = _owners(tape.entries, aliases)
    whole = _Buffer()
    places = _places(tape, list(_steps(stages, late)), owners, whole)
    loops = [stage for stage in stages if isinstance(stage, RowLoop)]
    buffers = [_Buffer() for _ in loops]
    blocks = tuple(
        _block_places(tape, loop, owners, block, buffer) for loop, buffer in zip(loops, buffers, strict=True)
    )
    return Layout(places, whole.size, blocks, max((b.size for b in buffers), default=0), aliases)


def _aliases(tape: Tape, stages: Sequence[Stage], block: int) -> frozenset[int]:
    stored = {slot for stage in stages if isinstance(stage, RowLoop) for slot in stage.stored}
    owned = {*tape.parameters, *(entry.output for entry in tape.entries if not entry.op.view)}

    def is_alias(entry: Entry) -> bool:
        source = entry.inputs[0]
        if not entry.op.view or len(entry.inputs) > 1 or entry.output in stored:
            return False
        shape, out = tape.avals[source].shape, tape.avals[entry.output].shape
        if shape == ():
            return False
        if entry.op.name == "broadcast_to":
            # Within a loop the operand is whole, and there is no block of it to look at.
            return (row_axis(shape, block) is None) == (row_axis(out, block) is None)
        return out == () or entry.op.name != "reshape" or source in owned

    return frozenset(entry.output for entry in tape.entries if is_alias(entry))


def _owners(entries: Iterable[Entry], aliases: frozenset[int]) -> dict[int, int]:
    """The slot in whose place each slot lives that an entry writes."""
    owners: dict[int, int] = {}
    for entry in entries:
        source = entry.inputs[0]
        owners[entry.output] = owners.get(source, source) if entry.output in aliases else entry.output
    return owners


def _steps(stages: Sequence[Stage], late: int) -> Iterator[_Step]:
    for number, stage in enumerate(stages):
        if isinstance(stage, Whole):
            for entry in stage.entries:
                yield _Step(entry.inputs, (entry.output,), number >= late)
        else:
            reads = [slot for entry in stage.entries for slot in entry.inputs]
            yield _Step(reads, sorted(stage.sums | stage.stored), number >= late)


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
