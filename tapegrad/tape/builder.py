"""A tape being written: recording, derivatives and passes all write through it."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import compress
from typing import Any

from tapegrad.ops.registry import Attrs, Aval, Op
from tapegrad.tape.entries import Columns, Entries, Entry, entry_of
from tapegrad.tape.line import Source
from tapegrad.tape.tape import Constant, Guard, Tape, aval_of

LEAF = -1  # stands for the place of the entry that wrote a slot, where none did


@dataclass
class Builder:
    """A tape being written.

    Attributes
    ----------
    columns : Columns
        The entries so far.
    writers : array of int
        For each slot the place of the entry that wrote it, or `LEAF`.
    """

    name: str
    avals: list[Aval] = field(default_factory=list)
    parameters: list[int] = field(default_factory=list)
    data: list[int] = field(default_factory=list)
    constants: list[Constant] = field(default_factory=list)
    columns: Columns = field(default_factory=Columns)
    guards: list[Guard] = field(default_factory=list)
    labels: dict[int, str] = field(default_factory=dict)
    writers: array[int] = field(default_factory=lambda: array("i"))

    @classmethod
    def continuing(cls, tape: Tape) -> Builder:
        """A builder that goes on where `tape` ends, with the same slots."""
        writers = array("i", (LEAF,)) * len(tape.avals)
        columns = tape.entries.columns()
        for place, slot in enumerate(tape.entries.outputs()):
            writers[slot] = place
        return cls(
            tape.name,
            list(tape.avals),
            list(tape.parameters),
            list(tape.data),
            list(tape.constants),
            columns,
            list(tape.guards),
            dict(tape.labels),
            writers,
        )

    def _leaf(self, aval: Aval) -> int:
        self.avals.append(aval)
        self.writers.append(LEAF)
        return len(self.avals) - 1

    def parameter(self, aval: Aval) -> int:
        """A new parameter leaf."""
        self.parameters.append(self._leaf(aval))
        return self.parameters[-1]

    def datum(self, aval: Aval) -> int:
        """A new data leaf."""
        self.data.append(self._leaf(aval))
        return self.data[-1]

    def constant(self, value: Any) -> int:
        """A new constant: a Python float, or an array that nobody writes to any more."""
        slot = self._leaf(aval_of(value))
        self.constants.append(Constant(slot, value))
        return slot

    def emit(self, op: Op, inputs: tuple[int, ...], attrs: Attrs, source: Source | None, aval: Aval) -> int:
        """A new entry; its output's slot."""
        slot = len(self.avals)
        columns = self.columns
        self.avals.append(aval)
        self.writers.append(len(columns.ops))
        columns.ops.append(op)
        columns.inputs += inputs
        columns.ends.append(len(columns.inputs))
        columns.attrs.append(attrs)
        columns.sources.append(source)
        return slot

    def op_of(self, slot: int) -> Op | None:
        """The op of the entry that wrote a slot, None for a leaf."""
        place = self.writers[slot]
        return None if place == LEAF else self.columns.ops[place]

    def entry_of(self, slot: int) -> Entry | None:
        """The entry that wrote a slot, None for a leaf."""
        place = self.writers[slot]
        return None if place == LEAF else entry_of(self.columns.row(place, slot))

    def finish(self, outputs: Iterable[int]) -> Tape:
        """The tape."""
        return Tape(
            self.name,
            tuple(self.avals),
            tuple(self.parameters),
            tuple(self.data),
            tuple(self.constants),
            Entries.of(self.columns, self._written()),
            tuple(outputs),
            tuple(self.guards),
            tuple(self.labels.items()),
        )

    def _written(self) -> list[int]:
        """The slots that the entries write, in their order: a builder writes slot after slot."""
        return list(compress(range(len(self.writers)), map(LEAF.__ne__, self.writers)))
