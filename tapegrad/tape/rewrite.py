"""The one loop that copies a tape, entry by entry: a pass is a rule for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from tapegrad.tape.builder import Builder
from tapegrad.tape.entries import Entries, Entry, entry_of
from tapegrad.tape.slots import Marks
from tapegrad.tape.tape import Constant, Tape

SHORT = 256  # entries; with fewer a loop in Python is quicker than a dozen calls of NumPy
DROPPED = -1  # stands for the new slot of what is not copied


class Copy:
    """A tape being copied. The leaves are there from the beginning, the guards come at the end.

    All parameters, data and guards are copied, in order: paths are told apart by the places of their guards.

    Parameters
    ----------
    tape : Tape
    constants : Marks, optional
        The slots of the constants to copy; by default all.

    Attributes
    ----------
    tape : Tape
        The old tape.
    builder : Builder
        What writes the new one.
    new : list of int
        The new slot of each old one; `DROPPED` where there is none.
    """

    def __init__(self, tape: Tape, constants: Marks | None = None) -> None:
        self.tape = tape
        self.builder = builder = Builder(tape.name)
        self.new = new = [DROPPED] * len(tape.avals)
        for slot in tape.parameters:
            new[slot] = builder.parameter(tape.avals[slot])
        for slot in tape.data:
            new[slot] = builder.datum(tape.avals[slot])
        for slot, value in tape.constants:
            if constants is None or constants[slot]:
                new[slot] = builder.constant(value)
        builder.labels.update((new[slot], label) for slot, label in tape.labels if new[slot] != DROPPED)

    def keep(self, entry: Entry) -> int:
        """Copy an entry whose inputs are new slots; its new slot."""
        op, inputs, output, attrs, source = entry
        return self.builder.emit(op, inputs, attrs, source, self.tape.avals[output])

    def run(self, rule: Rule) -> Tape:
        """Copy all entries by a rule, then the guards."""
        new = self.new
        for op, inputs, output, attrs, source in self.tape.entries.rows():
            inputs = tuple([new[slot] for slot in inputs])
            new[output] = rule(self, entry_of((op, inputs, output, attrs, source)))
        self.builder.guards += [guard._replace(slot=new[guard.slot]) for guard in self.tape.guards]
        return self.builder.finish(new[slot] for slot in self.tape.outputs)


# What a pass says of one entry: it is given the copy so far and the entry, whose inputs are new slots and
# whose output is the old one, and gives the new slot, or `DROPPED`.
Rule = Callable[[Copy, Entry], int]


def rewrite(tape: Tape, rule: Rule, constants: Marks | None = None) -> Tape:
    """Copy a tape by a rule; of the constants only those marked, where some are."""
    return Copy(tape, constants).run(rule)


def selected(tape: Tape, marks: Marks) -> Tape:
    """A tape without the entries and constants that are not marked: `rewrite`, for rules that only drop."""
    constants = [constant for constant in tape.constants if marks[constant.slot]]
    leaves = [*tape.parameters, *tape.data, *(constant.slot for constant in constants)]
    order, new, entries = (_few if len(tape.entries) < SHORT else _many)(tape, marks, leaves)

    def moved(slots: Iterable[int]) -> tuple[int, ...]:
        return tuple([new[slot] for slot in slots])

    return Tape(
        tape.name,
        tuple([tape.avals[slot] for slot in order]),
        moved(tape.parameters),
        moved(tape.data),
        tuple(Constant(new[slot], value) for slot, value in constants),
        entries,
        moved(tape.outputs),
        tuple(guard._replace(slot=new[guard.slot]) for guard in tape.guards),
        tuple((new[slot], label) for slot, label in tape.labels if new[slot] != DROPPED),
    )


def _few(tape: Tape, marks: Marks, leaves: list[int]) -> tuple[list[int], list[int], Entries]:
    """The old slots of those kept, in their order, the new slots of all old ones, and the entries kept."""
    rows = [row for row in tape.entries.rows() if marks[row[2]]]
    order, new = [*leaves, *(row[2] for row in rows)], [DROPPED] * len(tape.avals)
    for place, slot in enumerate(order):
        new[slot] = place
    kept = (
        (op, tuple([new[i] for i in read]), new[slot], attrs, line) for op, read, slot, attrs, line in rows
    )
    return order, new, Entries(kept)


def _many(tape: Tape, marks: Marks, leaves: list[int]) -> tuple[list[int], list[int], Entries]:
    """The same without a loop in Python."""
    outputs = np.array(tape.entries.outputs(), dtype=np.int64)
    kept = np.frombuffer(marks, dtype=np.bool_)[outputs]
    order = np.concatenate([np.array(leaves, dtype=np.int64), outputs[kept]])
    new = np.full(len(tape.avals), DROPPED)
    new[order] = np.arange(order.size)
    return order.tolist(), new.tolist(), tape.entries.selected(kept, new)
