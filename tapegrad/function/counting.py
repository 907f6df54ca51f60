"""How many observations a log-likelihood adds up, as far as its tape tells.

A wrong number is worse than none. Each axis of each slot is followed from the arrays that stand on the tape.
One that data alone bring is an axis of rows. One along which parameters have elements of their own is none,
nor is one that some step has mixed: those of a covariance matrix, the states of a filter. The number is known
where all that ends the tape is sums over one and the same axis of rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from tapegrad.ops.indexing import ARRAY
from tapegrad.ops.registry import Shape
from tapegrad.tape.entries import Entry, entry_of
from tapegrad.tape.slots import Marks, moving_slots
from tapegrad.tape.tape import Tape

# What an axis is: the arrays that bring it (slots), or one of these two; None where it has length one.
Axis = frozenset[int] | str | None
Axes = tuple[Axis, ...]
OWN = "parameters have elements of their own along it"
MIXED = "its elements are no rows"


class _Rows(NamedTuple):
    """A sum over rows: the arrays along them, and their number."""

    arrays: frozenset[int]
    length: int


def observations(tape: Tape) -> int | None:
    """The number of observations: of rows returned, of rows of the data, or of rows added up; else None."""
    shapes = [tape.avals[slot].shape for slot in tape.outputs]
    if len(shapes) == 1 and len(shapes[0]) == 1:
        return shapes[0][0]
    added = _added_up(tape) if shapes == [()] else None
    given = _common_length(tape)
    if given is None or added is None:
        return added if given is None else given
    return given if given == added else None


def _common_length(tape: Tape) -> int | None:
    """The length of the first axis of all replaceable data, where it is the same.

    A square matrix may have rows or be a covariance matrix: alone it tells nothing.
    """
    shapes = [tape.avals[slot].shape for slot in tape.data if tape.avals[slot].shape]
    lengths = {shape[0] for shape in shapes}
    squares = all(len(shape) > 1 and shape[0] == shape[1] > 1 for shape in shapes)
    return lengths.pop() if len(lengths) == 1 and not squares else None


def _added_up(tape: Tape) -> int | None:
    """The number of rows that the sums at the end of the tape run over, if it is one."""
    arrays = _arrays(tape)
    ends = list(_ends(tape, moving_slots(tape, arrays))) if arrays else []
    sums = [end for end in ends if end is not None]
    if not sums or len(sums) < len(ends):  # before all axes are followed
        return None
    axes = _followed(tape, arrays)
    found = [rows for entry, factor in sums for rows in _summed(tape, entry, factor, axes)]
    known = [rows for rows in found if rows is not None]
    if not known or len(known) < len(found):
        return None
    # The rows of different arrays may be different ones, unless one sum sees them side by side.
    widest = max(known, key=lambda rows: len(rows.arrays))
    same = all(rows.length == widest.length and rows.arrays <= widest.arrays for rows in known)
    return widest.length if same else None


def _arrays(tape: Tape) -> list[int]:
    """The arrays that are no parameters."""
    given = [slot for slot in tape.data if tape.avals[slot].shape]
    return [slot for slot, value in tape.constants if isinstance(value, np.ndarray) and value.ndim] + given


# The end of the tape ----------------------------------------------------------------------------------------


def _ends(tape: Tape, using: Marks) -> Iterator[tuple[Entry, float] | None]:
    """The sums that the result adds up, with their factors; None for what depends on arrays in another way.

    `using` marks the slots that depend on an array that is no parameter.
    """
    numbers = {slot: abs(float(value)) for slot, value in tape.constants if not np.ndim(value)}
    waiting = [(slot, 1.0) for slot in tape.outputs]
    while waiting:
        slot, factor = waiting.pop()
        if not using[slot]:  # of numbers alone: a prior, or a term with the number of rows in it
            continue
        entry = tape.entries.writer_of(slot)
        name = "" if entry is None else entry.op.name
        if entry is not None and name in ("add", "sub", "neg", "add_n", "reshape"):
            waiting += [(i, factor) for i in entry.inputs]
        elif entry is not None and name in ("mul", "div"):
            term = _scaled(entry, factor, using, numbers)
            if term is None:
                yield None
            else:
                waiting.append(term)
        elif entry is not None and name in ("sum", "matmul"):
            yield entry, factor
        else:
            yield None


def _scaled(
    entry: Entry, factor: float, using: Marks, numbers: Mapping[int, float]
) -> tuple[int, float] | None:
    """The operand of a product, or the numerator, that alone depends on arrays, and its whole factor."""
    first, second = entry.inputs
    if entry.op.name == "div":
        return None if using[second] else (first, factor / (numbers.get(second) or 1.0))
    if using[first] and using[second]:
        return None
    term, other = (first, second) if using[first] else (second, first)
    return term, factor * numbers.get(other, 1.0)


def _summed(tape: Tape, entry: Entry, factor: float, axes: Mapping[int, Axes]) -> Iterator[_Rows | None]:
    """The rows of one sum; nothing where it runs over elements of parameters."""
    shape = tape.avals[entry.inputs[0]].shape
    along: Axes
    if entry.op.name == "matmul" and len(shape) > 1:  # of one number: a row times a column
        left, right = (axes[slot] for slot in entry.inputs)
        along = (_met([left[-1], right[-2] if len(right) > 1 else right[-1]]),)
        shape = shape[-1:]
    else:
        along = _merged([axes[slot] for slot in entry.inputs])
    rows = [_Rows(axis, n) for axis, n in zip(along, shape, strict=True) if isinstance(axis, frozenset)]
    if len(rows) == 1 and factor <= 1.0:
        yield rows[0]
    elif rows or MIXED in along:  # a table of rows, or what stands for many rows each
        yield None


# Axes -------------------------------------------------------------------------------------------------------


def _followed(tape: Tape, arrays: Sequence[int]) -> Mapping[int, Axes]:
    """The axes of each slot."""
    axes: dict[int, Axes] = {slot: _all(tape.avals[slot].shape, frozenset({slot})) for slot in arrays}
    axes.update({slot: _all(tape.avals[slot].shape, OWN) for slot in tape.parameters})
    indices = {slot: value for slot, value in tape.constants if np.ndim(value)}
    for entry in map(entry_of, tape.entries.rows()):
        out = tape.avals[entry.output].shape
        if out:
            shapes = [tape.avals[slot].shape for slot in entry.inputs]
            inputs = [axes.get(slot, ()) for slot in entry.inputs]
            axes[entry.output] = _carried(entry, inputs, shapes, out, indices)
        else:
            axes[entry.output] = ()
    return axes


def _all(shape: Shape, axis: Axis) -> Axes:
    return tuple(None if n == 1 else axis for n in shape)


def _merged(inputs: Sequence[Axes]) -> Axes:
    """The axes of operands that meet element by element."""
    ndim = max(map(len, inputs))
    padded = [(*(None,) * (ndim - len(axes)), *axes) for axes in inputs]
    return tuple(_met(axes) for axes in zip(*padded, strict=True))


def _met(axes: Iterable[Axis]) -> Axis:
    found = [axis for axis in axes if axis is not None]
    for kind in (MIXED, OWN):
        if kind in found:
            return kind
    return frozenset().union(*(axis for axis in found if isinstance(axis, frozenset))) if found else None


def _carried(
    entry: Entry, inputs: Sequence[Axes], shapes: Sequence[Shape], out: Shape, indices: Mapping[int, Any]
) -> Axes:
    """The axes that an entry gives its output."""
    name, attrs, first = entry.op.name, dict(entry.attrs), inputs[0]
    if entry.op.is_elementwise or name == "broadcast_to":
        merged = _merged(inputs)
        return (*(None,) * (len(out) - len(merged)), *merged)
    if "keepdims" in attrs:
        reduced = attrs["axis"]
        kept = (None if i in reduced else axis for i, axis in enumerate(first))
        return tuple(axis for i, axis in enumerate(kept) if attrs["keepdims"] or i not in reduced)
    if name == "transpose":
        return tuple(first[i] for i in attrs["axes"])
    if name in ("cumsum", "cumprod", "update"):
        return first
    if name == "reshape":
        return _reshaped(first, shapes[0], out)
    if name == "matmul" and max(map(len, shapes)) <= 2:
        return (*first[: len(shapes[0]) - 1], *inputs[1][1:])
    if name == "matmul" and len(shapes[0]) == len(shapes[1]):
        return (*_merged([axes[:-2] for axes in inputs]), first[-2], inputs[1][-1])
    if name == "solve" and len(shapes[1]) == 2:  # column by column
        return (MIXED, inputs[1][1])
    if name == "getitem":
        return _indexed(entry, inputs, out, indices)
    return _all(out, MIXED)


def _reshaped(axes: Axes, old: Shape, new: Shape) -> Axes:
    """Where axes of length one come or go, the others stay; else all are mixed."""
    kept = [axis for axis, n in zip(axes, old, strict=True) if n != 1]
    if [n for n in old if n != 1] != [n for n in new if n != 1]:
        return _all(new, MIXED)
    rest = iter(kept)
    return tuple(None if n == 1 else next(rest) for n in new)


def _indexed(entry: Entry, inputs: Sequence[Axes], out: Shape, indices: Mapping[int, Any]) -> Axes:
    """Slices and new axes keep the others; index arrays from the first axis on bring an axis of rows."""
    index, axes = dict(entry.attrs)["index"], list(inputs[0])
    arrays = entry.inputs[1:]
    if arrays:
        taken = len(arrays)
        if index[:taken] != (ARRAY,) * taken or any(len(axes) != 1 for axes in inputs[1:]):
            return _all(out, MIXED)
        brought = _gathered(axes[:taken], inputs[1:], [indices.get(slot) for slot in arrays])
        index, axes, start = index[taken:], axes[taken:], [brought if out[0] != 1 else None]
    else:
        start = []
    if Ellipsis in index:
        at = index.index(Ellipsis)
        named = sum(item is not None for item in index) - 1
        index = (*index[:at], *((None, None, None),) * (len(axes) - named), *index[at + 1 :])
    rest = iter(axes)
    for item in index:
        if item is None:
            start.append(None)
        elif isinstance(item, tuple):
            start.append(next(rest))
        else:
            next(rest)  # one element of it
    kept = (*start, *rest)
    return tuple(None if n == 1 else axis for axis, n in zip(kept, out, strict=True))


def _gathered(axes: Sequence[Axis], indices: Sequence[Axes], values: Sequence[Any]) -> Axis:
    """The axis of index arrays: rows of these arrays, and of the array whose elements they take."""
    diagonal = len(values) > 1 and all(np.array_equal(value, values[0]) for value in values)
    if diagonal or MIXED in axes:
        return MIXED
    return _met([*(axis for axis in axes if axis != OWN), *(axes[0] for axes in indices)])
