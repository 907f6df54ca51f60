"""The reference backend: one loop over the entries.

`evaluate` and `adjoints` are the definition of what a tape means, value by value. `Workspace` is the same
loop made ready to run often: slots have their places in one flat float64 buffer, every view is made once, and
a replay writes into them without allocating any. Scalars that only scalar entries use stay Python floats in a
list: there an operation costs 25 to 40 ns, on a float64 memoryview 50 to 70, as a 0-d ufunc 170 and more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np

from tapegrad.derive.pullback import sweep
from tapegrad.derive.pushforward import hoist
from tapegrad.ops.registry import BOOL, Attrs, Aval, Op, broadcast
from tapegrad.recording.values import tidy_value
from tapegrad.tape.entries import Entry, Row, entry_of
from tapegrad.tape.slots import Marks, active_slots, ends_of, marked
from tapegrad.tape.tape import SCALAR, Guard, Tape, size_of

Array = np.ndarray[Any, Any]


def evaluate(
    tape: Tape, theta: Array, data: Mapping[int, Any], only: Iterable[int] | None = None
) -> list[Any]:
    """The value of every slot.

    Parameters
    ----------
    tape : Tape
    theta : ndarray, shape (p,)
        The parameters' elements, leaf after leaf.
    data : mapping of int to array
        The value of each data slot.
    only : iterable of int, optional
        The slots that are wanted: the values of others are dropped after their last use.
    """
    values = _leaves(tape, theta, data)
    dead = {} if only is None else _dead_after(tape, only)
    with np.errstate(all="ignore"):
        for op, inputs, output, attrs, _ in tape.entries.rows():
            values[output] = apply(op, [values[slot] for slot in inputs], attrs)
            if output in dead:
                for slot in dead[output]:
                    values[slot] = None
    return values


def _leaves(tape: Tape, theta: Array, data: Mapping[int, Any]) -> list[Any]:
    """The values of the leaves, and None for all other slots."""
    values: list[Any] = [None] * len(tape.avals)
    start = 0
    for slot in tape.parameters:
        shape = tape.avals[slot].shape
        values[slot] = tidy_value(theta[start : start + size_of(shape)].reshape(shape))
        start += size_of(shape)
    for slot in tape.data:
        values[slot] = data[slot]
    for slot, value in tape.constants:
        values[slot] = value
    return values


def _dead_after(tape: Tape, wanted: Iterable[int]) -> dict[int, list[int]]:
    """For an entry's output, the arrays that nothing needs any more once it is computed."""
    arrays = {slot for slot, aval in enumerate(tape.avals) if aval.shape}
    dead: dict[int, list[int]] = {}
    if not arrays:
        return dead
    arrays.difference_update(wanted)
    for entry in reversed(tape.entries):
        last = [slot for slot in (*entry.inputs, entry.output) if slot in arrays]
        if last:
            dead[entry.output] = last
            arrays.difference_update(last)
    return dead


def apply(op: Op, operands: list[Any], attrs: Attrs) -> Any:
    """One op on values: its cheap scalar way where there is one, its kernel otherwise."""
    if op.scalar is not None and type(operands[0]) is float and type(operands[-1]) is float:
        try:
            value = op.scalar(operands[0], operands[-1]) if len(operands) < 3 else op.scalar(*operands)
        except (ArithmeticError, ValueError):
            value = op.kernel(*operands)
    else:
        value = op.kernel(*operands, **dict(attrs))
    return value if type(value) is float else tidy_value(value)


def adjoints(tape: Tape, values: Sequence[Any]) -> dict[int, Any]:
    """The adjoint of every slot that the scalar output depends on, by a direct numeric reverse sweep."""
    (output,) = tape.outputs
    active = active_slots(tape, tape.parameters)
    # NumPy's scalars, because Python's floats raise where a rule divides by zero.
    numbers = [np.float64(value) if type(value) is float else value for value in values]
    with np.errstate(all="ignore"):
        return sweep(tape, numbers.__getitem__, {output: np.float64(1.0)} if active[output] else {}, active)


def holds(guard: Guard, value: Any) -> bool:
    """Whether a guarded slot has the outcome that the tape was recorded for."""
    if isinstance(guard.outcome, np.ndarray):
        return np.array_equal(value, guard.outcome)
    if guard.outcome != guard.outcome:  # NaN
        return bool(value != value)
    return bool(value == guard.outcome)


class Broken(NamedTuple):
    """The first guard that does not hold: its place among the guards, and what its slot holds instead."""

    place: int
    value: Any


def located(error: IndexError, tape: Tape, inputs: Array, data: Mapping[int, Any]) -> IndexError:
    """The error of a replay that met an index that does not exist, with the entry and its line.

    No trace records such an index: a stored tape can, from numbers that nobody knows before it runs.
    """
    theta = np.zeros(sum(size_of(tape.avals[slot].shape) for slot in tape.parameters))
    theta[: inputs.size] = inputs  # which may lack the late leaves
    values = _leaves(tape, theta, data)
    with np.errstate(all="ignore"):
        for op, slots, output, attrs, source in tape.entries.rows():
            try:
                values[output] = apply(op, [values[slot] for slot in slots], attrs)
            except IndexError as found:
                where = "" if source is None else f" at {source}: `{source.text}`"
                return IndexError(f"{found}, in %{output} = {op.name}{where}")
    return error


@dataclass
class Stretch:
    """Consecutive steps of one kind.

    Array steps are calls bound to their views. Scalar steps run on cells, one Python float per slot: `loads`
    fetches what they need from the buffer, and `stores` puts there what others need from them. Each calls its
    function, `cheap` or `safe`, on the cells `left` and `right`, and writes the cell `output`.
    """

    array: list[Callable[[], Any]] = field(default_factory=list)
    cheap: list[Callable[..., Any]] = field(default_factory=list)
    safe: list[Callable[..., Any]] = field(default_factory=list)
    output: list[int] = field(default_factory=list)
    left: list[int] = field(default_factory=list)
    right: list[int] = field(default_factory=list)
    loads: dict[int, Callable[[], float]] = field(default_factory=dict)
    stores: dict[int, int] = field(default_factory=dict)


class Workspace:
    """The buffer of one tape and the steps bound to it; used by one thread at a time."""

    def __init__(self, tape: Tape, data: Mapping[int, Any], late: Sequence[int] = ()) -> None:
        tape, early = hoist(tape, late)
        self._safe: dict[tuple[Op, bool], Callable[..., float]] = {}
        self._is_scalar = _scalar_outputs(tape)
        self._is_shared = _needed_in_buffer(tape, self._is_scalar)
        # One int object for each slot: three for each step would not fit the cache.
        self._slots = list(range(len(tape.avals)))
        self.cells: list[Any] = [None] * len(tape.avals)
        self.views: list[Array] = [np.empty(0)] * len(tape.avals)
        self.starts: list[int] = [0] * len(tape.avals)
        self.buffer = self._lay_out(tape)
        self.memory = memoryview(self.buffer)  # type: ignore[arg-type]
        self._set_leaves(tape, data)
        self._early = self._bind(tape.entries.rows(0, early))
        self._late = self._bind(tape.entries.rows(early))
        self.inputs = self.buffer[: sum(size_of(tape.avals[slot].shape) for slot in tape.parameters)]
        self.outputs = [self.views[slot] for slot in tape.outputs]
        self.guards = [(self.views[guard.slot], guard) for guard in tape.guards]

    # Layout -------------------------------------------------------------------------------------------------

    def _lay_out(self, tape: Tape) -> Array:
        # Parameters come first and in order, so that loading them is one copy.
        leaves = set(tape.parameters)
        rest = (s for s in range(len(tape.avals)) if s not in leaves and self._is_shared[s])
        order = [*tape.parameters, *rest]
        buffer = np.zeros(sum(_words(tape.avals[slot]) for slot in order))
        start = 0
        for slot in order:
            aval = tape.avals[slot]
            self.starts[slot] = start
            self.views[slot] = _view(buffer[start : start + _words(aval)], aval)
            start += _words(aval)
        return buffer

    def _set_leaves(self, tape: Tape, data: Mapping[int, Any]) -> None:
        for slot, value in [*tape.constants, *((slot, data[slot]) for slot in tape.data)]:
            if isinstance(value, np.ndarray) and value.ndim:
                self.views[slot] = value
                continue
            self.cells[slot] = value
            if self._is_shared[slot]:
                self.views[slot][...] = value

    # Steps --------------------------------------------------------------------------------------------------

    def _bind(self, entries: Iterable[Row]) -> list[Stretch]:
        stretches = [Stretch()]
        for entry in map(entry_of, entries):
            is_scalar = self._is_scalar[entry.output]
            if stretches[-1].array if is_scalar else stretches[-1].output:
                stretches.append(Stretch())
            if is_scalar:
                self._bind_scalar(stretches[-1], entry)
            else:
                self._bind_array(stretches[-1], entry)
        return stretches

    def _bind_scalar(self, stretch: Stretch, entry: Entry) -> None:
        op = entry.op
        for slot in entry.inputs:
            if self.cells[slot] is None and not self._is_scalar[slot]:
                stretch.loads[slot] = self.views[slot].item
        key = (op, len(entry.inputs) == 1)
        if key not in self._safe:
            self._safe[key] = _to_float(op.kernel, len(entry.inputs))
        safe = self._safe[key]
        cheap = op.scalar or safe
        if len(entry.inputs) > 2:
            terms = partial(itemgetter(*entry.inputs), self.cells)
            safe, cheap = _of_many(safe, terms), _of_many(cheap, terms)
        stretch.cheap.append(cheap)
        stretch.safe.append(safe)
        stretch.output.append(self._slots[entry.output])
        stretch.left.append(self._slots[entry.inputs[0]])
        stretch.right.append(self._slots[entry.inputs[-1]])
        if self._is_shared[entry.output]:
            stretch.stores[entry.output] = self.starts[entry.output]

    def _bind_array(self, stretch: Stretch, entry: Entry) -> None:
        op, attrs = entry.op, dict(entry.attrs)
        inputs = [self.views[slot] for slot in entry.inputs]
        out = self.views[entry.output]
        if not op.view:
            stretch.array.append(partial(op.kernel, *inputs, out=out, **attrs))
            return
        result = np.asarray(op.kernel(*inputs, **attrs))
        if result.size == 0 or np.may_share_memory(result, inputs[0]):
            self.views[entry.output] = result  # nothing to do at replay
        else:
            stretch.array.append(partial(_copy, out, partial(op.kernel, *inputs, **attrs)))

    # Replay -------------------------------------------------------------------------------------------------

    def run(self, inputs: Array) -> None:
        """Write the value of every slot; where `inputs` lack the late leaves, of every slot without them."""
        self.inputs[: inputs.size] = inputs
        self._run(self._early)
        if inputs.size == self.inputs.size:
            self._run(self._late)

    def run_late(self, inputs: Array) -> None:
        """Write the values that depend on the late leaves, which are the last inputs."""
        self.inputs[self.inputs.size - inputs.size :] = inputs
        self._run(self._late)

    def _run(self, stretches: list[Stretch]) -> None:
        with np.errstate(all="ignore"):
            for stretch in stretches:
                for step in stretch.array:
                    step()
                if stretch.output:
                    self._run_scalar(stretch)

    def _run_scalar(self, stretch: Stretch) -> None:
        cells, memory = self.cells, self.memory
        slots = (stretch.output, stretch.left, stretch.right)
        for slot, load in stretch.loads.items():
            cells[slot] = load()
        try:
            for f, o, a, b in zip(stretch.cheap, *slots, strict=True):
                cells[o] = f(cells[a], cells[b])
        except (ArithmeticError, ValueError):
            # Python raises where IEEE arithmetic gives inf or NaN; the ufuncs do as IEEE does.
            for f, o, a, b in zip(stretch.safe, *slots, strict=True):
                cells[o] = f(cells[a], cells[b])
        for slot, start in stretch.stores.items():
            memory[start] = cells[slot]

    def broken(self) -> Broken | None:
        """The first guard that does not hold after a replay."""
        for i, (view, guard) in enumerate(self.guards):
            if not holds(guard, view):
                return Broken(i, view.item() if view.ndim == 0 else view.copy())
        return None


def _scalar_outputs(tape: Tape) -> Marks:
    """What entries write that are arithmetic on float scalars."""
    scalar = bytearray([aval == SCALAR for aval in tape.avals])
    found = bytearray(len(tape.avals))
    for op, inputs, output, _, _ in tape.entries.rows():
        found[output] = scalar[output] and op.shape is broadcast and all(scalar[slot] for slot in inputs)
    return found


def _needed_in_buffer(tape: Tape, scalar: Marks) -> Marks:
    """All slots but those that only pass between scalar entries."""
    shared = marked(tape, (*tape.parameters, *ends_of(tape)))
    for _, inputs, output, _, _ in tape.entries.rows():
        if not scalar[output]:
            shared[output] = 1
            for slot in inputs:
                shared[slot] = 1
    return shared


def _to_float(kernel: Callable[..., Any], arity: int) -> Callable[..., float]:
    # NumPy's scalars are floats too, but arithmetic on them costs twice as much, and makes more of them.
    if arity == 1:
        return lambda x, _: float(kernel(x))
    return lambda *operands: float(kernel(*operands))


def _of_many(f: Callable[..., Any], terms: Callable[[], Any]) -> Callable[[Any, Any], Any]:
    return lambda x, y: f(*terms())


def _copy(out: Array, result: Callable[[], Any]) -> None:
    np.copyto(out, result())


def _words(aval: Aval) -> int:
    return -(-size_of(aval.shape) * aval.dtype.itemsize // 8)


def _view(words: Array, aval: Aval) -> Array:
    if aval.dtype == BOOL:
        return words.view(np.uint8)[: size_of(aval.shape)].view(BOOL).reshape(aval.shape)
    return words.view(aval.dtype).reshape(aval.shape)
