"""What a piece of the rows computes: a shard's tape for so many rows, made ready and run."""

from __future__ import annotations

import hashlib
import pickle
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

import numpy as np

from tapegrad.backends.programs import BACKENDS, AnyWorkspace, Program
from tapegrad.backends.replay import evaluate
from tapegrad.backends.shared import Shared
from tapegrad.ops.registry import Attrs, Aval, Shape
from tapegrad.passes import FINISHING, once, tidy
from tapegrad.passes.statistics.compression import together
from tapegrad.pieces.combine import Outputs, merged
from tapegrad.pieces.missing import Gaps, complete
from tapegrad.pieces.workers import check_version, version
from tapegrad.plan.split import Round
from tapegrad.recording.values import numbers
from tapegrad.tape.builder import Builder
from tapegrad.tape.tape import Tape, size_of

Array = np.ndarray[Any, Any]

# Rows that are computed at a time are whole units of these, and there are at most so many programs. What is
# shorter is replayed, for it costs more to print a program than to run it.
UNIT = 8_192
MOST_UNITS = 16
AT_ONCE = UNIT * MOST_UNITS
# Data in pieces are large: programs make no second copies of their matrices.
NO_COPIES = Shared(keeps=False)
# Programs that one process keeps.
MOST_PROGRAMS = 128


@dataclass(frozen=True, eq=False)
class Shard:
    """One round over the rows, as it goes out to whoever has a piece of them. It holds no data.

    Attributes
    ----------
    round : Round
    rows : int
        How many rows its tape was recorded with.
    backend : str
    version : str
        That of the package in the process that has made it.
    """

    round: Round
    rows: int
    backend: str
    version: str = field(default_factory=version)

    @cached_property
    def key(self) -> str:
        """The same for all copies of a shard, wherever they came by way of a pickle."""
        return hashlib.sha256(pickle.dumps((self.round, self.rows, self.backend))).hexdigest()

    def __hash__(self) -> int:
        return hash(self.key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Shard) and self.key == other.key


class Ready(NamedTuple):
    """A shard for so many rows: what depends on the data alone, and the program of the rest."""

    early: Tape
    program: Program


class Prepared:
    """Rows that are computed at a time, with what depends on nothing else.

    Attributes
    ----------
    rows : int
    data : mapping of int to array
        The data slots of the program.
    idle : deque of workspaces
        Those that are bound to the data already.
    """

    def __init__(self, rows: int, data: Mapping[int, Any]) -> None:
        self.rows = rows
        self.data = data
        self.idle: deque[AnyWorkspace] = deque()


class Piece:
    """Some rows of the columns, and what has been made of them where they are.

    A pickle has the rows alone: wherever it comes, the rest is made anew.

    Parameters
    ----------
    columns : mapping of str to array_like
    gone : Gaps, optional
        The rows that are left out of them.
    """

    def __init__(self, columns: Mapping[str, Any], gone: Gaps | None = None) -> None:
        self._columns = columns
        self._gone = gone
        self._numbers: dict[str, Array] = {}
        self._prepared: dict[tuple[Shard, tuple[str, ...]], list[Prepared]] = {}

    def __reduce__(self) -> Any:
        return Piece, (self._columns, self._gone)

    def __sizeof__(self) -> int:
        # Dask asks, to decide whether to send it to a worker that has nothing to do.
        return sum(int(np.asarray(column).nbytes) for column in self._columns.values())

    def column(self, name: str) -> Array:
        """A column as a tape takes it."""
        if name not in self._numbers:
            found = as_numbers(name, self._columns[name])
            self._numbers[name] = found if self._gone is None else complete(found, self._gone)
        return self._numbers[name]

    def prepared(self, shard: Shard, names: tuple[str, ...], keep: bool) -> list[Prepared]:
        """The rows, cut into what is computed at a time, with what depends on these columns alone."""
        found = self._prepared.get((shard, names))
        if found is None:
            found = prepared(shard, [self.column(name) for name in names])
            if keep:
                self._prepared[shard, names] = found
        return found


def cuts(rows: int) -> list[int]:
    """The lengths in which so many rows are computed: nearly equal whole units, and what is left."""
    units, rest = divmod(rows, UNIT)
    count = -(-units // MOST_UNITS)
    found = [UNIT * (units * (i + 1) // count - units * i // count) for i in range(count)]
    return [*found, rest] if rest else found


def halves(shard: Shard, rows: int) -> tuple[Tape, Tape]:
    """The tape of a shard for so many rows: what depends on the data alone, and the rest."""
    tape = resized(shard.round.shard.tape, shard.rows, rows)
    return once(tape if shard.round.is_exact else tidy(tape, FINISHING))


@lru_cache(MOST_PROGRAMS)
def ready(shard: Shard, rows: int) -> Ready:
    """The program of a shard for so many rows."""
    early, rest = halves(shard, rows)
    is_printed = rows >= UNIT and not shard.round.is_exact
    backend = shard.backend if is_printed else "replay"
    return Ready(early, BACKENDS[backend](rest, (), 1))


def as_numbers(name: str, array: Any) -> Array:
    """Some rows of a column as a tape takes them: float64, int64 or bool.

    Raises
    ------
    TypeError
        If they are no real numbers.
    ValueError
        If they are whole numbers beyond those of 64 bits.
    """
    if not isinstance(array, np.ndarray) and hasattr(array, "todense"):
        raise TypeError(f"data {name} comes in sparse chunks: make NumPy's arrays of them")
    return np.ascontiguousarray(numbers(name, array))


def prepared(shard: Shard, columns: Sequence[Array]) -> list[Prepared]:
    """Rows cut into what is computed at a time, with what depends on the data alone."""
    found, start = [], 0
    for rows in cuts(len(columns[0])):
        early, program = ready(shard, rows)
        pieces = [column[start : start + rows] for column in columns[: len(early.data)]]
        values = evaluate(early, np.empty(0), dict(zip(early.data, pieces, strict=True)), early.outputs)
        data = {slot: values[end] for slot, end in zip(program.tape.data, early.outputs, strict=True)}
        found.append(Prepared(rows, data))
        start += rows
    return found


def computed(shard: Shard, piece: Piece, names: tuple[str, ...], keep: bool, inputs: Array) -> Outputs:
    """What a shard gives for a piece of the rows, of the columns of these names.

    What it makes of the data alone stays with the piece if `keep` is set.
    """
    check_version(shard.version)
    each = shard.round
    parts = [_run(shard, part, inputs) for part in piece.prepared(shard, names, keep)]
    return merged(parts, each.how, each.axes)


@dataclass(frozen=True)
class OfEach:
    """What a function finds in what a shard gives for each row, a few rows at a time: no number leaves them.

    Attributes
    ----------
    shard : Shard
    inputs : ndarray
    find : callable
        Takes the outputs of the shard for some rows.
    merge : callable
        Makes one of what was found in several.
    """

    shard: Shard
    inputs: Array
    find: Callable[[Outputs], Any]
    merge: Callable[[Sequence[Any]], Any]

    def __call__(self, columns: Sequence[Array]) -> Any:
        """What is found in some rows, of these columns."""
        starts = range(0, len(columns[0]), UNIT)
        return together((self._found([c[at : at + UNIT] for c in columns]) for at in starts), self.merge)

    def _found(self, columns: Sequence[Array]) -> Any:
        (some,) = prepared(self.shard, columns)
        return self.find(_run(self.shard, some, self.inputs))


def _run(shard: Shard, piece: Prepared, inputs: Array) -> Outputs:
    try:
        workspace = piece.idle.pop()
    except IndexError:
        workspace = ready(shard, piece.rows).program.workspace(piece.data, NO_COPIES)
    workspace.run(inputs)
    outputs: Outputs = [np.array(output) for output in workspace.outputs]
    piece.idle.append(workspace)
    return outputs


def bytes_given(shard: Shard) -> int:
    """Bytes of what a shard gives for a piece."""
    tape = shard.round.shard.tape
    return sum(
        size_of(aval.shape) * aval.dtype.itemsize for aval in map(tape.avals.__getitem__, tape.outputs)
    )


def bytes_of(columns: Iterable[Any]) -> int:
    """Bytes that a piece takes of these columns, as numbers."""
    return sum(8 * size_of(column.shape) for column in columns)


def bytes_kept(shard: Shard) -> float:
    """Bytes for each row of what a piece keeps of a shard besides the columns."""
    early, _ = halves(shard, UNIT)
    made = [early.avals[slot] for slot in early.outputs if slot not in early.data]
    needed: float = sum(size_of(aval.shape) * aval.dtype.itemsize for aval in made)
    return float(needed / UNIT)


def resized(tape: Tape, old: int, new: int) -> Tape:
    """A tape for another number of rows: every axis of `old` elements has `new` ones."""
    builder = Builder(tape.name)
    to: dict[int, int] = {}
    for slot in tape.parameters:
        to[slot] = builder.parameter(tape.avals[slot])
    for slot in tape.data:
        to[slot] = builder.datum(_resized_aval(tape.avals[slot], old, new))
    for slot, value in tape.constants:
        to[slot] = builder.constant(value)
    builder.labels.update((to[slot], label) for slot, label in tape.labels)
    for op, inputs, output, attrs, source in tape.entries.rows():
        aval = _resized_aval(tape.avals[output], old, new)
        operands = tuple([to[slot] for slot in inputs])
        to[output] = builder.emit(op, operands, _resized_attrs(attrs, old, new), source, aval)
    builder.guards += [guard._replace(slot=to[guard.slot]) for guard in tape.guards]
    return builder.finish(to[slot] for slot in tape.outputs)


def _resized_aval(aval: Aval, old: int, new: int) -> Aval:
    return Aval(resized_shape(aval.shape, old, new), aval.dtype)


def resized_shape(shape: Shape, old: int, new: int) -> Shape:
    """A shape with another number of rows."""
    return tuple([new if n == old else n for n in shape])


def _resized_attrs(attrs: Attrs, old: int, new: int) -> Attrs:
    return tuple(
        [(name, resized_shape(value, old, new) if name == "shape" else value) for name, value in attrs]
    )
