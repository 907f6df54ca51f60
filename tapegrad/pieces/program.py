"""A tape recorded with few rows as a program for any number of them, wherever they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np

from tapegrad.backends.interpreter import replayed
from tapegrad.backends.replay import Broken, evaluate, first_broken
from tapegrad.backends.shared import Shared
from tapegrad.errors import TraceError
from tapegrad.passes import dce
from tapegrad.pieces.combine import Outputs
from tapegrad.pieces.rows import Column, LocalRows, Rows
from tapegrad.pieces.shard import OfEach, Shard, halves
from tapegrad.plan.split import Combined, Part, Round, Split, split
from tapegrad.plan.stages import Plan
from tapegrad.recording.frames import location
from tapegrad.tape.tape import Tape, size_of

Array = np.ndarray[Any, Any]


class InPieces:
    """A tape that is run piece by piece of the rows.

    Attributes
    ----------
    tape : Tape
        As it was recorded with `rows` rows.
    backend : str
        What runs the tapes of the pieces.
    """

    def __init__(self, tape: Tape, late: Sequence[int], rows: int, backend: str) -> None:
        self.tape = tape
        self.late = late
        self.rows = rows
        self.backend = backend

    @cached_property
    def split(self) -> Split:
        """The rounds over the rows."""
        return split(self.tape, self.rows)

    @cached_property
    def guards(self) -> tuple[Tape, Split]:
        """What the guards alone take, for they are asked before directions arrive."""
        tape = dce(replace(self.tape, outputs=()))
        return tape, split(tape, self.rows)

    @property
    def plan(self) -> Plan:
        """The entries in order; `source` shows how they are cut."""
        return replayed(self.tape, self.late, 1).plan

    @property
    def source(self) -> str:
        """The rounds, and the tapes of what a piece computes."""
        shards = [Shard(each, self.rows, self.backend) for each in self.split.rounds]
        return "\n\n".join([str(self.split), *(text for shard in shards for text in _told(shard))]) + "\n"

    def workspace(self, data: Mapping[int, Any], shared: Shared | None = None) -> PiecesWorkspace:
        """What runs it on some data: columns, or arrays of any length."""
        return PiecesWorkspace(self, data)


class PiecesWorkspace:
    """A tape on its data, for one thread."""

    def __init__(self, program: InPieces, data: Mapping[int, Any]) -> None:
        self._program = program
        self._tape = tape = program.tape
        self.inputs = np.zeros(sum(size_of(tape.avals[slot].shape) for slot in tape.parameters))
        self.outputs: Sequence[Any] = ()
        self._decided: list[Any] = []
        self._data = _columns(tape, data, program.rows)

    @cached_property
    def _all(self) -> _Rounds:
        return _Rounds(self._tape, self._program.split, self._data, self._program)

    @cached_property
    def _guards(self) -> _Rounds:
        return _Rounds(*self._program.guards, self._data, self._program)

    def compute(self) -> None:
        """Write every value, from what stands in `inputs`."""
        values = self._all.run(self.inputs)
        self.outputs = [values[slot] for slot in self._tape.outputs]
        self._decided = [values[guard.slot] for guard in self._tape.guards]

    def run(self, inputs: Array) -> None:
        """Write every value, or where `inputs` lack the late leaves, what the guards ask for."""
        self.inputs[: inputs.size] = inputs
        if inputs.size == self.inputs.size:
            self.compute()
        elif self._tape.guards:
            values = self._guards.run(self.inputs)
            self._decided = [values[guard.slot] for guard in self._program.guards[0].guards]

    def run_late(self, inputs: Array) -> None:
        """Write the outputs, which depend on the late leaves."""
        self.inputs[self.inputs.size - inputs.size :] = inputs
        values = self._all.run(self.inputs)
        self.outputs = [values[slot] for slot in self._tape.outputs]

    def kept(self, inputs: Array) -> list[Any]:
        """The outputs, of which those that have a number for each row stay where the rows are.

        Raises
        ------
        TraceError
            If a branch goes another way for all rows than for those that were traced on.
        """
        values = self._all.kept(inputs)
        self._decided = [values[guard.slot] for guard in self._tape.guards]
        broken = self.broken()
        if broken is not None:
            raise decides_otherwise(self._tape, broken)
        return [values[slot] for slot in self._tape.outputs]

    def of_each(
        self, inputs: Array, find: Callable[[Outputs], Any], merge: Callable[[Sequence[Any]], Any]
    ) -> Any:
        """What a function finds in the outputs, which have a number for each row: it goes to the rows."""
        return self._all.of_each(inputs, find, merge)

    def broken(self) -> Broken | None:
        """The first guard that does not hold."""
        return first_broken(self._tape.guards, self._decided)

    def taken(self) -> Sequence[Any]:
        """Where the sides of choices are taken: there are none."""
        return ()


class _Rounds:
    """The rounds of one tape on its data."""

    def __init__(self, tape: Tape, split_: Split, data: Sequence[Any], program: InPieces) -> None:
        self._tape = tape
        self._split = split_
        bound = dict(zip(tape.data, data, strict=True))
        self._whole = {slot: value for slot, value in bound.items() if not isinstance(value, Column)}
        self._columns = {slot: value for slot, value in bound.items() if isinstance(value, Column)}
        self._shards = [Shard(each, program.rows, program.backend) for each in split_.rounds]

    def run(self, inputs: Array) -> dict[int, Any]:
        """The values of all slots that are no rows: those of the outputs and the guards among them.

        Raises
        ------
        ValueError
            If there are outputs with a number for each row, and more rows than the tape was recorded with.
        """
        for shard in self._shards:
            length = self._rows(shard.round).length
            if Combined.KEPT in shard.round.how and length > shard.rows:
                raise stay_where_they_are(self._tape.name, length)
        return self._walked(inputs, lambda rows, *args: rows.run(*args))

    def kept(self, inputs: Array) -> dict[int, Any]:
        """The same, with outputs that have a number for each row where the rows are."""

        def walk(rows: Rows, shard: Shard, *args: Any) -> Outputs:
            return rows.kept(shard, *args) if Combined.KEPT in shard.round.how else rows.run(shard, *args)

        return self._walked(inputs, walk)

    def of_each(
        self, inputs: Array, find: Callable[[Outputs], Any], merge: Callable[[Sequence[Any]], Any]
    ) -> Any:
        """What a function finds in outputs that have a number for each row, where the rows are."""
        found = []

        def walk(rows: Rows, shard: Shard, names: Sequence[str], flat: Array) -> Outputs:
            if Combined.KEPT not in shard.round.how:
                return rows.run(shard, names, flat)
            found.append(rows.reduced(names, OfEach(shard, flat, find, merge), merge))
            return [None] * len(shard.round.how)

        self._walked(inputs, walk)
        return found[-1]

    def _walked(self, inputs: Array, walk: Callable[..., Outputs]) -> dict[int, Any]:
        values, start = dict(self._whole), 0
        for slot in self._tape.parameters:
            shape = self._tape.avals[slot].shape
            values[slot] = inputs[start : start + size_of(shape)].reshape(shape)
            start += size_of(shape)
        for shard in self._shards:
            each = shard.round
            _advance(each.before, values)
            found = walk(self._rows(each), shard, self._names(each), _flat(each.shard, values))
            values.update(zip(each.shard.gives, found, strict=True))
        _advance(self._split.after, values)
        return values

    def _names(self, each: Round) -> list[str]:
        """The columns that a shard reads; where it only counts rows, one that says how many a piece has."""
        columns = each.shard.columns or tuple(self._columns)[:1]
        return [self._columns[slot].name for slot in columns]

    def _rows(self, each: Round) -> Rows:
        columns = each.shard.columns or tuple(self._columns)
        return self._columns[columns[0]].rows


def decides_otherwise(tape: Tape, broken: Broken) -> TraceError:
    """The error for a branch that goes another way for all rows than for those that were traced on."""
    return TraceError(
        f"{tape.name} decides{location(tape.guards[broken.place].source)} in another way for all rows than "
        "for the first ones, which it was traced on: decide before"
    )


def stay_where_they_are(name: str, rows: int) -> ValueError:
    """The error for a result that has a number for each row."""
    return ValueError(
        f"{name} returns a number for each of {rows:,} rows, which stay where they are: end it with .sum(), "
        "or call the function itself on some of the data; `predict` of a fit gives arrays of Dask's"
    )


def _told(shard: Shard) -> list[str]:
    """A shard's tape in words; what it computes of the data alone, which is kept, by itself."""
    early, rest = halves(shard, shard.rows)
    whole = shard.round.shard.tape
    return [f"kept with each piece: {early}", f"then {rest}"] if early.entries else [str(whole)]


def _columns(tape: Tape, data: Mapping[int, Any], rows: int) -> list[Any]:
    """The values of the data slots: columns where they lie along the rows."""
    along = [slot for slot in tape.data if rows in tape.avals[slot].shape]
    arrays = {f"%{slot}": data[slot] for slot in along if not isinstance(data[slot], Column)}
    local = LocalRows(arrays, step=max(rows // 2, 1))  # two pieces and a rest: their results meet, too
    return [
        Column(local, f"%{slot}") if f"%{slot}" in arrays else value
        for slot, value in ((slot, data[slot]) for slot in tape.data)
    ]


def _flat(part: Part, values: Mapping[int, Any]) -> Array:
    """What a part reads whole, as one vector."""
    pieces = [np.ravel(np.asarray(values[slot], dtype=np.float64)) for slot in part.reads]
    return np.concatenate(pieces) if pieces else np.empty(0)


def _advance(part: Part, values: dict[int, Any]) -> None:
    """Compute what a part gives."""
    tape = part.tape
    found = evaluate(tape, _flat(part, values), {}, tape.outputs)
    values.update((slot, found[end]) for slot, end in zip(part.gives, tape.outputs, strict=True))
