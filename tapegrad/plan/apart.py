"""How steps act along the rows where a piece of the rows is an array of its own.

What ops say of themselves (`Op.along_rows`) is for loops that go over blocks of one array, in C row by row. A
piece is computed by the whole of an op. So more goes there: whatever does the same to each row, and looks at
no other.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

import numpy as np

from tapegrad.ops.indexing import ARRAY
from tapegrad.ops.indices import Index, indexed_shape
from tapegrad.ops.registry import OPS, Along, Op, Read, Shape
from tapegrad.tape.entries import Entry
from tapegrad.tape.tape import Tape

_ALL = (None, None, None)  # a slice of everything, in its usual form
_WHOLE = tuple((start, None, step) for start in (None, 0) for step in (None, 1))


class Step(NamedTuple):
    """An entry, as the rules see it.

    Attributes
    ----------
    rows : int
        How many rows there are.
    axes : tuple of int or None
        For each input the axis along the rows, None where there is none.
    axis : int or None
        That of the output.
    shapes : tuple of shapes
        Those of the inputs.
    out : shape
    attrs : mapping
    numbered : frozenset of int
        The inputs that hold, for each row, its number.
    """

    rows: int
    axes: tuple[int | None, ...]
    axis: int | None
    shapes: tuple[Shape, ...]
    out: Shape
    attrs: Mapping[str, Any]
    numbered: frozenset[int] = frozenset()

    def from_the_right(self, first: int = 0) -> set[int]:
        """How far from the end the axis along the rows is, in those inputs from some one on that have it."""
        pairs = zip(self.shapes[first:], self.axes[first:], strict=True)
        return {len(shape) - axis for shape, axis in pairs if axis is not None}


def row_axis(shape: Shape, rows: int) -> int | None:
    """The first axis of so many elements, or None."""
    return shape.index(rows) if rows in shape else None


def step_of(tape: Tape, entry: Entry, rows: int, numbered: Collection[int] = ()) -> Step:
    """An entry of a tape; of its slots, some hold the numbers of rows."""
    shapes = tuple([tape.avals[slot].shape for slot in entry.inputs])
    out = tape.avals[entry.output].shape
    return Step(
        rows,
        tuple([row_axis(shape, rows) for shape in shapes]),
        row_axis(out, rows),
        shapes,
        out,
        dict(entry.attrs),
        frozenset(i for i, slot in enumerate(entry.inputs) if slot in numbered),
    )


def apart(op: Op, step: Step) -> Along | None:
    """How an op acts along the rows, or None where it mixes them, as far as is known."""
    rule = RULES.get(op.name)
    return None if rule is None else rule(step)


def numbers_rows(value: Any, axis: int) -> bool:
    """Whether an array holds the number of each row, whatever the other axes."""
    value = np.asarray(value)
    places = np.arange(value.shape[axis]).reshape([-1 if i == axis else 1 for i in range(value.ndim)])
    return value.dtype.kind in "fi" and bool((value == places).all())


def row_index(op: Op, step: Step) -> int | None:
    """The input that says which rows an index takes, or None where it takes them by a slice."""
    if op.name not in ("getitem", "scatter", "update"):
        return None
    before = _BEFORE[op.name]
    target, axis = _target(op.name, step)
    if axis is None:
        return None
    arrays = -1
    for item, place in _items(step.attrs["index"], len(target)):
        arrays += item == ARRAY
        if place == axis:
            return before + arrays if item == ARRAY else None
    return None


# Rules ------------------------------------------------------------------------------------------------------


def _blocks(step: Step, is_sum: bool = False) -> Along:
    return Along(tuple([Read.WHOLE if a is None else Read.ALIGNED for a in step.axes]), is_sum)


def _along_another_axis(step: Step) -> Along | None:
    is_other = step.axis is not None and step.axes[0] is not None and step.axes[0] != step.attrs["axis"]
    return _blocks(step) if is_other else None


def _stacks(step: Step) -> Along | None:
    """Matrices of which each row has one."""
    if step.axis is None:
        return None
    distances = step.from_the_right()
    if len(distances) > 1 or min(distances) <= 2:
        return None
    return _blocks(step) if len(step.shapes) == 1 or distances == {len(step.out) - step.axis} else None


def _products(step: Step) -> Along | None:
    """Products of matrices: rows that are summed over, rows of a matrix, or a matrix for each row."""
    (a, b), (left, right) = step.shapes, step.axes
    inner = (len(a) - 1, max(len(b) - 2, 0))
    if step.axis is None:
        return _blocks(step, is_sum=True) if (left, right) == inner else None
    if left == inner[0] or right == inner[1]:
        return None
    columns = int(len(b) > 1)
    ends = set()
    if left is not None:
        ends.add(1 + columns if left == len(a) - 2 else len(a) - left - 2 + int(len(a) > 1) + columns)
    if right is not None:
        ends.add(1 if right == len(b) - 1 else len(b) - right - 2 + int(len(a) > 1) + columns)
    return _blocks(step) if ends == {len(step.out) - step.axis} else None


def _getitem(step: Step) -> Along | None:
    """Rows as a whole, the same of each row, one element of each row; or what a table has for each row."""
    distances = step.from_the_right(1)
    if step.axis is None or len(distances) > 1:
        return None
    is_table = step.axes[0] is None and len(distances) == 1
    return _blocks(step) if is_table or _takes_each_row(OPS["getitem"], step, bool(distances)) else None


def _scatter(step: Step) -> Along | None:
    """The transposes of these."""
    distances = step.from_the_right(1)
    if len(distances) > 1 or step.axes[0] is None:
        return None
    if step.axis is None:
        return _blocks(step, is_sum=True) if distances else None
    return _blocks(step) if _takes_each_row(OPS["scatter"], step, bool(distances)) else None


def _update(step: Step) -> Along | None:
    """The same place of each row is written, with one number for all or for each."""
    distances = step.from_the_right(2)
    if step.axis is None or len(distances) > 1 or not _takes_each_row(OPS["update"], step, bool(distances)):
        return None
    taken = indexed_shape(step.out, step.attrs["index"], step.shapes[2:])
    value, axis = step.shapes[1], step.axes[1]
    if axis is None:
        return _blocks(step)
    fits = step.rows in taken and len(value) - axis == len(taken) - taken.index(step.rows)
    return _blocks(step) if fits else None


def _takes_each_row(op: Op, step: Step, has_arrays: bool) -> bool:
    """Whether an index takes every row, in order: as a slice of all, or by the numbers of the rows."""
    place = row_index(op, step)
    if place is not None:
        return place in step.numbered
    target, axis = _target(op.name, step)
    items = {place: item for item, place in _items(step.attrs["index"], len(target))}
    return not has_arrays and axis is not None and items.get(axis, _ALL) in _WHOLE


_BEFORE = {"getitem": 1, "scatter": 1, "update": 2}  # inputs that stand before the index arrays


def _target(name: str, step: Step) -> tuple[Shape, int | None]:
    """What is indexed, and its axis along the rows."""
    if name == "scatter":
        return step.attrs["shape"], step.axis
    return step.shapes[0], step.axes[0]


def _items(index: Index, rank: int) -> list[tuple[Any, int]]:
    """The items of an index that take something of an axis, with the axis."""
    taking = [item for item in index if item is not None]
    if Ellipsis in taking:
        place = taking.index(Ellipsis)
        taking[place : place + 1] = [_ALL] * (rank - len(taking) + 1)
    return list(zip(taking, range(rank), strict=False))


_AXIS = ("cumsum", "prod", "cumprod", "argmax", "argmin", "argsort", "partition_order", "argpartition")
_MATRICES = (
    *("solve", "inv", "det", "logabsdet", "signdet", "cholesky", "eigenvalues", "eigenvectors"),
    *("singular_values", "left_vectors", "right_vectors", "orthonormal"),
    *("real_eigenvalues", "real_eigenvectors"),
)
RULES: dict[str, Callable[[Step], Along | None]] = {
    **dict.fromkeys(_AXIS, _along_another_axis),
    **dict.fromkeys(_MATRICES, _stacks),
    **dict.fromkeys(("matmul", "dot", "gated_matmul"), _products),
    "getitem": _getitem,
    "scatter": _scatter,
    "update": _update,
}
