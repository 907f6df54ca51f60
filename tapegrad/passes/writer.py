"""A tape rewritten entry by entry, by a table of local rules that see what has been written so far."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from tapegrad.ops.broadcasting import broadcast_to
from tapegrad.ops.elementwise import add, mul
from tapegrad.ops.registry import FLOAT, Attrs, Op, Shape
from tapegrad.recording.values import tidy_value
from tapegrad.tape.builder import Builder
from tapegrad.tape.entries import Entry
from tapegrad.tape.rewrite import Copy
from tapegrad.tape.slots import deciding_slots, ends_of, marked
from tapegrad.tape.tape import Tape, size_of


class Made:
    """The entries that wrote the new slots."""

    def __init__(self, builder: Builder) -> None:
        self._builder = builder

    def get(self, slot: int) -> Entry | None:
        """The entry that wrote a slot, None for a leaf."""
        return self._builder.entry_of(slot)

    def __contains__(self, slot: int) -> bool:
        return self._builder.op_of(slot) is not None

    def __getitem__(self, slot: int) -> Entry:
        entry = self._builder.entry_of(slot)
        if entry is None:
            raise KeyError(slot)
        return entry


class Writer(Copy):
    """The new tape, and known facts about its slots. The table `rules`, by the op's name, is the pass.

    Attributes
    ----------
    made : Made
        The entry that wrote a new slot.
    ops : dict of int to Op
        The op of that entry.
    known : dict of int to float or ndarray
        The values of constant slots.
    seen : dict
        The slot of each entry written, by `entry_key`.
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
        kept = equal_constants(tape)
        super().__init__(tape, marked(tape, kept.values()))
        for slot, first in kept.items():
            self.new[slot] = self.new[first]
        self.made = Made(self.builder)
        self.ops: dict[int, Op] = {}
        self.known: dict[int, Any] = {}
        self.seen: dict[Any, int] = {}
        self._old: dict[int, int] = {}  # for a new slot the latest old one that it stands for
        self.of_rows: set[int] = set()
        self.exact = False
        self.small: dict[int, int] = {}
        self._numbers: dict[str, int] = {}
        for slot, value in tuple(self.builder.constants):
            self._note(slot, value)

    # What is known of a slot --------------------------------------------------------------------------------

    def shape(self, slot: int) -> Shape:
        return self.builder.avals[slot].shape

    def size(self, slot: int) -> int:
        return size_of(self.shape(slot))

    def is_number(self, slot: int, number: float) -> bool:
        value = self.known.get(slot)
        return isinstance(value, float) and value == number

    def is_known(self, op: Op, inputs: tuple[int, ...]) -> bool:
        """Whether an entry is computed now. A stretched constant stays one number."""
        known = self.known
        return inputs[0] in known and op is not broadcast_to and all(map(known.__contains__, inputs))

    def is_made(self, slot: int, op: Op) -> bool:
        return self.ops.get(slot) is op

    def is_read_once(self, slot: int) -> bool:
        """Whether the old tape reads the array that a new slot stands for once; the same arrays are one."""
        old = self._old.get(slot)
        return old is not None and self._reads.get(old) == 1

    @cached_property
    def _reads(self) -> dict[int, int]:
        """How often each array that an entry writes is read, under all the slots that hold the same."""
        return _reads(self.tape)

    # Writing ------------------------------------------------------------------------------------------------

    def constant(self, value: Any) -> int:
        """A new constant."""
        slot = self.builder.constant(value)
        self._note(slot, value)
        return slot

    def _note(self, slot: int, value: Any) -> None:
        self.known[slot] = value
        if isinstance(value, float):
            self._numbers[value.hex()] = slot
            return
        number = _one_number(value)
        if number is not None:
            self.small[slot] = self.number(number)

    def number(self, value: float) -> int:
        """The constant that holds a number, shared by all who ask for it."""
        slot = self._numbers.get(value.hex())
        return self.constant(value) if slot is None else slot

    def emit(self, like: Entry, op: Op, inputs: tuple[int, ...], attrs: Any = ()) -> int:
        """The slot of an entry as it stands: of an equal one if there is one, of its value if it is known."""
        key = entry_key(op, inputs, attrs)
        slot = self.seen.get(key)
        if slot is not None:
            return slot
        if self.is_known(op, inputs):
            value = computed(op, [self.known[slot] for slot in inputs], attrs)
            slot = self.number(value) if isinstance(value, float) else self.constant(value)
        else:
            avals = self.builder.avals
            aval = op.aval([avals[slot] for slot in inputs], dict(attrs))
            slot = self.builder.emit(op, inputs, attrs, like.source, aval)
            self.ops[slot] = op
            if aval.shape == () and self._is_of_rows(op, inputs):
                self.of_rows.add(slot)
            if op is broadcast_to:
                self.small[slot] = inputs[0]
        self.seen[key] = slot
        return slot

    def _is_of_rows(self, op: Op, inputs: tuple[int, ...]) -> bool:
        """Whether an array has been summed on the way to a scalar that an entry makes of these."""
        if not self.of_rows.isdisjoint(inputs):
            return True
        return not op.is_elementwise and any(self.shape(slot) != () for slot in inputs)

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
        slot = first(self.rules.get(entry.op.name, ()), self, entry)
        if slot is not None:
            return slot
        return self.emit(entry, entry.op, entry.inputs, entry.attrs)

    def written(self) -> Tape:
        """The whole tape rewritten in one walk: constants folded, equal entries shared, rules applied."""
        deciding = deciding_slots(self.tape)

        def rule(_: Copy, entry: Entry) -> int:
            if self.is_known(entry.op, entry.inputs):
                return self.emit(entry, entry.op, entry.inputs, entry.attrs)
            # A decision at a tie must fall the way the user's own arithmetic sends it, to the last bit.
            self.exact = bool(deciding[entry.output])
            slot = self.rewrite(entry)
            self._old[slot] = entry.output
            return slot

        with np.errstate(all="ignore"):
            return self.run(rule)


# A rule takes the writer and an entry with new inputs, and gives the slot that replaces it, or None.
Rule = Callable[[Any, Entry], int | None]


def beside_a_constant(*rules: Rule) -> Rule:
    """The first of these rules that gives a slot, for entries of which an operand is known."""

    def rule(w: Writer, entry: Entry) -> int | None:
        return None if w.known.keys().isdisjoint(entry.inputs) else first(rules, w, entry)

    return rule


def made_by(op: Op, *rules: Rule) -> Rule:
    """The first of these rules that gives a slot, for entries of which an operand is made by `op`."""

    def rule(w: Writer, entry: Entry) -> int | None:
        return first(rules, w, entry) if op in map(w.ops.get, entry.inputs) else None

    return rule


def first(rules: tuple[Rule, ...], w: Writer, entry: Entry) -> int | None:
    """The slot that the first of these rules gives that gives one."""
    for rule in rules:
        slot = rule(w, entry)
        if slot is not None:
            return slot
    return None


def _one_number(value: Any) -> float | None:
    """The number that all elements of an array of two or more are, to the bit."""
    if not isinstance(value, np.ndarray) or value.dtype != FLOAT or value.size < 2:
        return None
    first = value.flat[0]
    if value.flat[-1] != first or not (value == first).all():
        return None
    return float(first) if (np.signbit(value) == np.signbit(first)).all() else None


def _reads(tape: Tape) -> dict[int, int]:
    """How often each array that an entry writes is read, under all the slots that hold the same."""
    first: dict[Any, int] = {}
    same: dict[int, int] = {}
    read: list[int] = []
    for op, inputs, output, attrs, _ in tape.entries.rows():
        if same:
            inputs = tuple([same.get(slot, slot) for slot in inputs])
        if tape.avals[output].shape != ():
            same[output] = first.setdefault(entry_key(op, inputs, attrs), output)
            read.extend(inputs)
        elif same:
            read.extend(inputs)
    read.extend(same.get(slot, slot) for slot in ends_of(tape))
    counts = Counter(read)
    return {slot: counts[kept] for slot, kept in same.items()}


def computed(op: Op, operands: Sequence[Any], attrs: Attrs) -> Any:
    """The value of an op on known operands: a float or a read-only array."""
    value = tidy_value(op.kernel(*operands, **dict(attrs)))
    if isinstance(value, np.ndarray):
        value.flags.writeable = False
    return value


# What is the same -------------------------------------------------------------------------------------------


def entry_key(op: Op, inputs: tuple[int, ...], attrs: Attrs) -> Any:
    """A key that is equal for two entries that compute the same bits; addition and multiplication commute."""
    if (op is mul or op is add) and inputs[0] > inputs[1]:
        inputs = inputs[::-1]
    return op, inputs, attrs


def equal_constants(tape: Tape) -> dict[int, int]:
    """For each constant slot the one that is kept for all with its bits: one with a name, if there is."""
    names = dict(tape.labels)
    kept: dict[Any, list[tuple[int, Any]]] = {}
    first: dict[int, int] = {}
    for slot, value in sorted(tape.constants, key=lambda constant: constant.slot not in names):
        alike = kept.setdefault(_outline(value), [])
        same = (known for known, other in alike if other is value or _same_bits(other, value))
        first[slot] = next(same, slot)
        if first[slot] == slot:
            alike.append((slot, value))
    return first


def _outline(value: Any) -> Any:
    """What equal constants have in common, and few others."""
    if isinstance(value, float):
        return value.hex()
    ends = value.flat[[0, -1]].tobytes() if value.size else b""
    return value.shape, value.dtype.str, ends


def _same_bits(x: Any, y: Any) -> bool:
    if isinstance(x, float):
        return True
    if x.dtype.kind == "f":  # in which zeros of both signs are equal, and NaNs are not
        x, y = np.ascontiguousarray(x).view(np.int64), np.ascontiguousarray(y).view(np.int64)
    return bool(np.array_equal(x, y))
