"""The interpreter: entries one after the other, each a step that is prepared once.

Steps on arrays are calls bound to arrays that are made before. Steps on numbers run on cells, one Python
float for each slot in a list: there an operation costs 25 to 40 ns, on a float64 memoryview 50 to 70, as a
ufunc on arrays without dimensions 170 and more. `Workspace` runs a whole tape in this way; `Steps` is a part
of one that other programs call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property, partial
from operator import itemgetter
from typing import Any

import numpy as np

from tapegrad.backends.replay import Broken, first_broken, taken_sides
from tapegrad.backends.shared import Shared
from tapegrad.backends.written import comment
from tapegrad.derive.pushforward import hoist
from tapegrad.ops.registry import BOOL, Aval, Op
from tapegrad.plan.plan import entry_by_entry
from tapegrad.plan.stages import Plan, numbers_of
from tapegrad.tape.entries import Entry, Row, entry_of
from tapegrad.tape.slots import Marks, ends_of, marked
from tapegrad.tape.tape import Tape, listing, size_of

Array = np.ndarray[Any, Any]


@dataclass
class Room:
    """Where the values of steps live.

    Attributes
    ----------
    cells : list
        The numbers, by slot; None where a slot has none before the steps run.
    arrays : mutable mapping of int to ndarray
        The arrays, by slot, those without dimensions among them.
    is_number : Marks
        What steps on numbers write.
    is_stored : Marks
        Which of these are needed in arrays as well.
    memory : memoryview
        The float64 words of the buffer that these arrays are made of.
    starts : mapping of int to int
        The word of each of them.
    """

    cells: list[Any]
    arrays: MutableMapping[int, Array]
    is_number: Marks
    is_stored: Marks
    memory: memoryview[Any]
    starts: Mapping[int, int]
    # One int object for each slot: three for each step would not fit the cache.
    slots: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self.slots = list(range(len(self.cells)))


@dataclass
class Stretch:
    """Consecutive steps of one kind: calls on arrays, or steps on numbers.

    A step on numbers calls its function, `cheap` or `safe`, on the cells `left` and `right`, and writes the
    cell `output`; `right` is None where the function takes one number. Before, `loads` fetch from arrays what
    the steps need, and after, `stores` put there what others need from them.
    """

    array: list[Callable[[], Any]] = field(default_factory=list)
    cheap: list[Callable[..., Any]] = field(default_factory=list)
    safe: list[Callable[..., Any]] = field(default_factory=list)
    output: list[int] = field(default_factory=list)
    left: list[int] = field(default_factory=list)
    right: list[int | None] = field(default_factory=list)
    loads: dict[int, Callable[[], float]] = field(default_factory=dict)
    stores: dict[int, int] = field(default_factory=dict)


def bind(room: Room, entries: Iterable[Row], is_there: Callable[[Entry], bool]) -> list[Stretch]:
    """The steps of entries, in the room; where the output `is_there` already, nothing is left to do."""
    stretches = [Stretch()]
    for entry in map(entry_of, entries):
        is_number = room.is_number[entry.output]
        if stretches[-1].array if is_number else stretches[-1].output:
            stretches.append(Stretch())
        if is_number:
            _bind_number(room, stretches[-1], entry)
        elif not is_there(entry):
            inputs = [room.arrays[slot] for slot in entry.inputs]
            step = partial(entry.op.kernel, *inputs, out=room.arrays[entry.output], **dict(entry.attrs))
            stretches[-1].array.append(step)
    return stretches


def _bind_number(room: Room, stretch: Stretch, entry: Entry) -> None:
    op, inputs, output = entry.op, entry.inputs, entry.output
    for slot in inputs:
        if room.cells[slot] is None and not room.is_number[slot]:
            stretch.loads[slot] = room.arrays[slot].item
    safe = _to_float(op, len(inputs))
    cheap = op.scalar or safe
    if len(inputs) > 2:
        terms = partial(itemgetter(*inputs), room.cells)
        safe, cheap = _of_many(safe, terms), _of_many(cheap, terms)
    stretch.cheap.append(cheap)
    stretch.safe.append(safe)
    stretch.output.append(room.slots[output])
    stretch.left.append(room.slots[inputs[0]])
    stretch.right.append(room.slots[inputs[1]] if len(inputs) == 2 else None)
    if room.is_stored[output]:
        stretch.stores[output] = room.starts[output]


@cache
def _to_float(op: Op, count: int) -> Callable[..., float]:
    # NumPy's scalars are floats too, but arithmetic on them costs twice as much, and makes more of them.
    kernel = op.kernel
    if count == 1:
        return lambda x: float(kernel(x))
    if count == 2:
        return lambda x, y: float(kernel(x, y))
    return lambda *numbers: float(kernel(*numbers))


def _of_many(f: Callable[..., Any], terms: Callable[[], Any]) -> Callable[[Any], Any]:
    return lambda first: f(*terms())


def run(room: Room, stretches: Iterable[Stretch]) -> None:
    """Take all steps, which must not warn of what IEEE arithmetic gives."""
    for stretch in stretches:
        for step in stretch.array:
            step()
        if stretch.output:
            _run_numbers(room.cells, room.memory, stretch)


def _run_numbers(cells: list[Any], memory: memoryview[Any], stretch: Stretch) -> None:
    slots = (stretch.output, stretch.left, stretch.right)
    for slot, load in stretch.loads.items():
        cells[slot] = load()
    try:
        for f, o, a, b in zip(stretch.cheap, *slots, strict=True):
            cells[o] = f(cells[a]) if b is None else f(cells[a], cells[b])
    except (ArithmeticError, ValueError):
        # Python raises where IEEE arithmetic gives inf or NaN; the ufuncs do as IEEE does.
        for f, o, a, b in zip(stretch.safe, *slots, strict=True):
            cells[o] = f(cells[a]) if b is None else f(cells[a], cells[b])
    for slot, start in stretch.stores.items():
        memory[start] = cells[slot]


class Steps:
    """Some entries as a function: of the numbers of the slots `takes` to those of the slots `gives`."""

    def __init__(
        self, room: Room, stretches: Sequence[Stretch], takes: Sequence[int], gives: Sequence[int]
    ) -> None:
        self._room = room
        self._stretches = stretches
        self._takes = takes
        self._gives = [
            partial(room.cells.__getitem__, slot) if room.is_number[slot] else room.arrays[slot].item
            for slot in gives
        ]

    def __call__(self, *numbers: float) -> tuple[Any, ...]:
        cells = self._room.cells
        for slot, number in zip(self._takes, numbers, strict=True):
            cells[slot] = number
        run(self._room, self._stretches)
        return tuple([give() for give in self._gives])


class Workspace:
    """The buffer of one tape and the steps bound to it; used by one thread at a time."""

    def __init__(self, tape: Tape, data: Mapping[int, Any], late: Sequence[int] = ()) -> None:
        tape, early = hoist(tape, late)
        is_number = numbers_of(tape)
        self._is_stored = _needed_in_buffer(tape, is_number)
        self.cells: list[Any] = [None] * len(tape.avals)
        self.views: dict[int, Array] = {}
        self._starts: dict[int, int] = {}
        self.buffer = self._lay_out(tape)
        self._set_leaves(tape, data)
        memory = memoryview(self.buffer)  # type: ignore[arg-type]
        self._room = Room(self.cells, self.views, is_number, self._is_stored, memory, self._starts)
        self._early = bind(self._room, tape.entries.rows(0, early), self._is_view)
        self._late = bind(self._room, tape.entries.rows(early), self._is_view)
        self.inputs = self.buffer[: sum(size_of(tape.avals[slot].shape) for slot in tape.parameters)]
        self.outputs = [self.views[slot] for slot in tape.outputs]
        self.guards = [(self.views[guard.slot], guard) for guard in tape.guards]

    def _lay_out(self, tape: Tape) -> Array:
        # Parameters come first and in order, so that loading them is one copy.
        leaves = set(tape.parameters)
        rest = (s for s in range(len(tape.avals)) if s not in leaves and self._is_stored[s])
        order = [*tape.parameters, *rest]
        buffer = np.zeros(sum(_words(tape.avals[slot]) for slot in order))
        start = 0
        for slot in order:
            aval = tape.avals[slot]
            self._starts[slot] = start
            self.views[slot] = _view(buffer[start : start + _words(aval)], aval)
            start += _words(aval)
        return buffer

    def _set_leaves(self, tape: Tape, data: Mapping[int, Any]) -> None:
        for slot, value in [*tape.constants, *((slot, data[slot]) for slot in tape.data)]:
            if isinstance(value, np.ndarray) and value.ndim:
                self.views[slot] = value
                continue
            self.cells[slot] = value
            if self._is_stored[slot]:
                self.views[slot][...] = value

    def _is_view(self, entry: Entry) -> bool:
        """Whether an entry is a view of what is there, which is then its output."""
        of = entry.op.view_of(entry.attrs)
        if of is None:
            return False
        inputs = [self.views[slot] for slot in entry.inputs]
        found = np.asarray(entry.op.kernel(*inputs, **dict(entry.attrs)))
        if found.size and not np.may_share_memory(found, inputs[of]):
            return False
        self.views[entry.output] = found
        return True

    def run(self, inputs: Array) -> None:
        """Write the value of every slot; where `inputs` lack the late leaves, of every slot without them."""
        self.inputs[: inputs.size] = inputs
        self._compute(inputs.size == self.inputs.size)

    def compute(self) -> None:
        """Write the value of every slot, from what stands in `inputs`."""
        self._compute(True)

    def _compute(self, is_complete: bool) -> None:
        with np.errstate(all="ignore"):
            run(self._room, self._early)
            if is_complete:
                run(self._room, self._late)

    def run_late(self, inputs: Array) -> None:
        """Write the values that depend on the late leaves, which are the last inputs."""
        self.inputs[self.inputs.size - inputs.size :] = inputs
        with np.errstate(all="ignore"):
            run(self._room, self._late)

    def broken(self) -> Broken | None:
        """The first guard that does not hold after a replay."""
        return first_broken([guard for _, guard in self.guards], [view for view, _ in self.guards])

    def taken(self) -> list[Any]:
        """Where the sides of choices are taken."""
        return taken_sides([guard for _, guard in self.guards], [view for view, _ in self.guards])


def _needed_in_buffer(tape: Tape, is_number: Marks) -> Marks:
    """All slots but those that only pass between steps on numbers."""
    shared = marked(tape, (*tape.parameters, *ends_of(tape)))
    for _, inputs, output, _, _ in tape.entries.rows():
        if not is_number[output]:
            shared[output] = 1
            for slot in inputs:
                shared[slot] = 1
    return shared


def _words(aval: Aval) -> int:
    return -(-size_of(aval.shape) * aval.dtype.itemsize // 8)


def _view(words: Array, aval: Aval) -> Array:
    if aval.dtype == BOOL:
        return words.view(np.uint8)[: size_of(aval.shape)].view(BOOL).reshape(aval.shape)
    return words.view(aval.dtype).reshape(aval.shape)


class Replayed:
    """A tape that is replayed entry by entry, as it is."""

    def __init__(self, tape: Tape, late: Sequence[int] = ()) -> None:
        self.tape = tape
        self._late = late

    @cached_property
    def plan(self) -> Plan:
        """What is run, in order: all entries, those that depend on the late leaves last."""
        return entry_by_entry(self.tape, self._late)

    @property
    def source(self) -> str:
        """The listing of the tape, for there is no other source."""
        note = comment("Nothing is printed: the tape is replayed entry by entry.")
        return f"{note}\n{listing(self.plan.tape)}\n"

    def workspace(self, data: Mapping[int, Any], shared: Shared | None = None) -> Workspace:
        """Buffers for one thread."""
        return Workspace(self.tape, data, self._late)


def replayed(tape: Tape, late: Sequence[int], threads: int) -> Replayed:
    """The backend "replay": every tape entry by entry, in one thread."""
    return Replayed(tape, late)
