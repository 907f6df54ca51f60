"""A tape being written: the one way that recording, derivatives and passes make tapes."""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import dataclass, field
from typing import Any

from tapegrad.ops.registry import Attrs, Aval, Op
from tapegrad.tape.tape import Constant, Entry, Guard, Source, Tape, aval_of


@dataclass
class Builder:
    """A tape being written. Recording, derivatives and passes all write tapes through it."""

    name: str
    avals: list[Aval] = field(default_factory=list)
    parameters: list[int] = field(default_factory=list)
    data: list[int] = field(default_factory=list)
    constants: list[Constant] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    guards: list[Guard] = field(default_factory=list)
    labels: dict[int, str] = field(default_factory=dict)

    @classmethod
    def continuing(cls, tape: Tape) -> Builder:
        """A builder that goes on where `tape` ends, with the same slots."""
        return cls(
            tape.name,
            list(tape.avals),
            list(tape.parameters),
            list(tape.data),
            list(tape.constants),
            list(tape.entries),
            list(tape.guards),
            dict(tape.labels),
        )

    def _slot(self, aval: Aval) -> int:
        self.avals.append(aval)
        return len(self.avals) - 1

    def parameter(self, aval: Aval) -> int:
        """A new parameter leaf."""
        self.parameters.append(self._slot(aval))
        return self.parameters[-1]

    def datum(self, aval: Aval) -> int:
        """A new data leaf."""
        self.data.append(self._slot(aval))
        return self.data[-1]

    def constant(self, value: Any) -> int:
        """A new constant: a Python float, or an array that nobody writes to any more."""
        slot = self._slot(aval_of(value))
        self.constants.append(Constant(slot, value))
        return slot

    def emit(self, op: Op, inputs: tuple[int, ...], attrs: Attrs, source: Source | None, aval: Aval) -> int:
        """A new entry; its output's slot."""
        self.avals.append(aval)
        slot = len(self.avals) - 1
        self.entries.append(Entry(op, inputs, slot, attrs, source))
        return slot

    def finish(self, outputs: Iterable[int]) -> Tape:
        """The tape."""
        return Tape(
            self.name,
            tuple(self.avals),
            tuple(self.parameters),
            tuple(self.data),
            tuple(self.constants),
            tuple(self.entries),
            tuple(outputs),
            tuple(self.guards),
            tuple(self.labels.items()),
        )


def copy_leaves(tape: Tape, builder: Builder, needed: Container[int] | None = None) -> dict[int, int]:
    """Give `builder` the leaves of `tape`, of the constants only those `needed`; where each of them went."""
    new = {slot: builder.parameter(tape.avals[slot]) for slot in tape.parameters}
    new.update({slot: builder.datum(tape.avals[slot]) for slot in tape.data})
    for slot, value in tape.constants:
        if needed is None or slot in needed:
            new[slot] = builder.constant(value)
    builder.labels.update({new[slot]: label for slot, label in tape.labels if slot in new})
    return new


def copy_guards(tape: Tape, builder: Builder, new: dict[int, int]) -> None:
    """Give `builder` the guards of `tape`, all and in order: paths are told apart by their places."""
    builder.guards += [guard._replace(slot=new[guard.slot]) for guard in tape.guards]
