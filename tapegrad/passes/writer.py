"""A tape rewritten entry by entry, by a table of local rules that see what has been written so far."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np

from tapegrad.ops.broadcasting import broadcast_to
from tapegrad.ops.registry import FLOAT, Op, Shape
from tapegrad.passes.cse import entry_key
from tapegrad.passes.fold import computed
from tapegrad.tape.builder import Builder, copy_guards, copy_leaves
from tapegrad.tape.tape import Entry, Tape, deciding_slots, size_of


class Writer:
    """The new tape, and what is known of its slots; what a pass does is the table `rules`, by the op's name.

    Attributes
    ----------
    new : dict of int to int
        The new slot of each old one.
    made : dict of int to Entry
        The entry that wrote a new slot.
    known : dict of int to float or ndarray
        The values of constant slots.
    seen : dict
        The slot of each entry written, by `entry_key`.
    reads : dict of int to int
        How often the old tape reads what a new slot stands for; arrays that are the same count as one.
    small : dict of int to int
        For a slot that only repeats another along further axes, that one; a constant may repeat a number.
    of_rows : set of int
        Scalars that arrays have been summed to on the way. One that multiplies an array again is mostly 1
        over the sum of something like it, and keeps in range what would not be.
    exact : bool
        Whether the last bit of the entry that is being rewritten can decide something.
    """

    rules: ClassVar[Mapping[str, tuple[Rule, ...]]] = {}

    def __init__(self, tape: Tape) -> None:
        self.tape = tape
        self.builder = Builder(tape.name)
        self.new = copy_leaves(tape, self.builder)
        self.made: dict[int, Entry] = {}
        self.known: dict[int, Any] = dict(self.builder.constants)
        self.seen: dict[Any, int] = {}
        self.reads: dict[int, int] = {}
        self.of_rows: set[int] = set()
        self.exact = False
        floats = [(value.hex(), slot) for slot, value in self.builder.constants if isinstance(value, float)]
        self._numbers: dict[str, int] = dict(reversed(floats))
        self.small: dict[int, int] = {}
        for slot, value in tuple(self.known.items()):
            self._note_if_uniform(slot, value)

    # What is known of a slot --------------------------------------------------------------------------------

    def shape(self, slot: int) -> Shape:
        return self.builder.avals[slot].shape

    def size(self, slot: int) -> int:
        return size_of(self.shape(slot))

    def is_number(self, slot: int, number: float) -> bool:
        value = self.known.get(slot)
        return isinstance(value, float) and value == number

    def is_made(self, slot: int, op: Op) -> bool:
        made = self.made.get(slot)
        return made is not None and made.op is op

    # Writing ------------------------------------------------------------------------------------------------

    def constant(self, value: Any) -> int:
        """A new constant."""
        slot = self.builder.constant(value)
        self.known[slot] = value
        self._note_if_uniform(slot, value)
        return slot

    def _note_if_uniform(self, slot: int, value: Any) -> None:
        number = _one_number(value)
        if number is not None:
            self.small[slot] = self.number(number)

    def number(self, value: float) -> int:
        """The constant that holds a number, shared by all who ask for it."""
        if value.hex() not in self._numbers:
            self._numbers[value.hex()] = self.constant(value)
        return self._numbers[value.hex()]

    def emit(self, like: Entry, op: Op, inputs: tuple[int, ...], attrs: Any = ()) -> int:
        """The slot of an entry as it stands: of an equal one if there is one, of its value if it is known."""
        key = entry_key(op, inputs, attrs)
        slot = self.seen.get(key)
        if slot is not None:
            return slot
        if op is not broadcast_to and all(slot in self.known for slot in inputs):
            value = computed(Entry(op, inputs, -1, attrs, like.source), self.known)
            slot = self.number(value) if isinstance(value, float) else self.constant(value)
        else:
            aval = op.aval([self.builder.avals[slot] for slot in inputs], dict(attrs))
            slot = self.builder.emit(op, inputs, attrs, like.source, aval)
            self.made[slot] = self.builder.entries[-1]
            if aval.shape == () and any(s in self.of_rows or self.shape(s) != () for s in inputs):
                self.of_rows.add(slot)
            if op is broadcast_to:
                self.small[slot] = inputs[0]
        self.seen[key] = slot
        return slot

    def stretch(self, like: Entry, slot: int, shape: Shape) -> int:
        """A slot repeated along axes that it lacks."""
        return (
            slot if self.shape(slot) == shape else self.emit(like, broadcast_to, (slot,), (("shape", shape),))
        )

    def apply(self, like: Entry, op: Op, *inputs: int) -> int:
        """The slot of `op` applied to `inputs`, by the rules."""
        return self.rewrite(Entry(op, inputs, -1, (), like.source))

    def rewrite(self, entry: Entry) -> int:
        """The slot that replaces an entry whose inputs are new: the first rule that gives one decides."""
        for rule in self.rules.get(entry.op.name, ()):
            slot = rule(self, entry)
            if slot is not None:
                return slot
        return self.emit(entry, entry.op, entry.inputs, entry.attrs)

    def run(self) -> Tape:
        """Rewrite the whole tape in one walk."""
        deciding = deciding_slots(self.tape)
        same, reads = _reads(self.tape)
        with np.errstate(all="ignore"):
            for entry in self.tape.entries:
                # A decision at a tie must fall the way the user's own arithmetic sends it, to the last bit.
                self.exact = entry.output in deciding
                inputs = tuple([self.new[slot] for slot in entry.inputs])
                slot = self.new[entry.output] = self.rewrite(entry._replace(inputs=inputs))
                self.reads[slot] = reads[same.get(entry.output, entry.output)]
        copy_guards(self.tape, self.builder, self.new)
        return self.builder.finish(self.new[slot] for slot in self.tape.outputs)


# A rule takes the writer and an entry with new inputs, and gives the slot that replaces it, or None.
Rule = Callable[[Any, Entry], int | None]


def _one_number(value: Any) -> float | None:
    """The number that all elements of an array of two or more are, to the bit."""
    if not isinstance(value, np.ndarray) or value.dtype != FLOAT or value.size < 2:
        return None
    first = value.flat[0]
    if value.flat[-1] != first or not (value == first).all():
        return None
    return float(first) if (np.signbit(value) == np.signbit(first)).all() else None


def _reads(tape: Tape) -> tuple[dict[int, int], Counter[int]]:
    """For arrays the first slot that holds the same; and how often each such slot is read."""
    first: dict[Any, int] = {}
    same: dict[int, int] = {}
    read: list[int] = []
    for op, inputs, output, attrs, _ in tape.entries:
        if same:
            inputs = tuple([same.get(slot, slot) for slot in inputs])
        if tape.avals[output].shape != ():
            same[output] = first.setdefault(entry_key(op, inputs, attrs), output)
        read.extend(inputs)
    ends = (*tape.outputs, *(guard.slot for guard in tape.guards))
    read.extend(same.get(slot, slot) for slot in ends)
    return same, Counter(read)
