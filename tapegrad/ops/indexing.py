"""Indexing, functional assignment, and joins."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index, normalize_axis_tuple
from scipy import sparse

from tapegrad.ops.attributes import ARRAY as ARRAY
from tapegrad.ops.attributes import is_axis, is_index, is_shape
from tapegrad.ops.broadcasting import broadcast_to, unbroadcast
from tapegrad.ops.elementwise import sub
from tapegrad.ops.indices import Index as Index
from tapegrad.ops.indices import decode as decode
from tapegrad.ops.indices import indexed_shape as indexed_shape
from tapegrad.ops.indices import is_assigned, taken_shape
from tapegrad.ops.logic import where
from tapegrad.ops.registry import (
    FLOAT,
    INT,
    Along,
    Copied,
    Linear,
    Op,
    Read,
    Recordable,
    Shape,
    implements,
    positions,
    register,
)
from tapegrad.ops.shaping import ravel, reshape, reshape_, shape_of

_ROW = np.array([0.5, -1.0, 2.0])
_TABLE = np.array([[0.5, -1.0, 2.0], [1.5, 0.1, -0.7]])
_REPEATED = np.array([0, 2, 2, -1])


def _getitem(x: Any, *arrays: Any, index: Index, out: Any = None) -> Any:
    if not arrays and Ellipsis not in index:
        index = (*index, Ellipsis)  # a 0-d view rather than a scalar
    found = (x if type(x) is np.ndarray else np.asarray(x))[decode(index, arrays)]
    if out is None:
        return found
    np.copyto(out, found)
    return out


def _getitem_views(in_order: bool, index: Index) -> int | None:
    return None if ARRAY in index else 0


def _scatter(x: Any, *arrays: Any, index: Index, shape: Shape, out: Any = None) -> Any:
    if out is None:
        out = np.zeros(shape)
    else:
        out[...] = 0.0
    if arrays:
        _add_at(out, decode(index, arrays), x)
    else:
        out[decode(index)] = x
    return out


def _add_at(out: Any, index: Any, x: Any) -> None:
    """NumPy's `add.at`, row by row where it then takes a twentieth of the time, with the same bits."""
    by_row = out.ndim == np.ndim(x) == len(index) == 2 and len(out) == len(x) and np.ndim(index[1]) == 1
    if by_row and (index[0] is Ellipsis or (isinstance(index[0], slice) and index[0] == slice(None))):
        for row, values in zip(out, x, strict=True):
            np.add.at(row, index[1], values)
    else:
        np.add.at(out, index, x)


def _getitem_copies(out: Any, x: Any, index: Index) -> Iterator[Copied]:
    yield Copied(out, _getitem(x, index=index))


def _scatter_copies(out: Any, x: Any, index: Index, shape: Shape) -> Iterator[Copied]:
    yield _assigned(out, x, index, 0)


def _update_copies(out: Any, x: Any, value: Any, index: Index) -> Iterator[Copied]:
    yield Copied(out, x)
    yield _assigned(out, value, index, 1)


def _assigned(out: Any, value: Any, index: Index, place: int) -> Copied:
    target = _getitem(out, index=index)
    extra = max(value.ndim - target.ndim, 0)  # axes of length one, which an assignment takes off
    return Copied(target, np.broadcast_to(value.reshape(value.shape[extra:]), target.shape), place)


def _getitem_links(i: int, shapes: list[Shape], values: list[Any], index: Index) -> Any:
    if any(value is None for value in values[1:]):
        return None
    return _getitem(positions(shapes[0]), *values[1:], index=index)


def _scatter_links(i: int, shapes: list[Shape], values: list[Any], index: Index, shape: Shape) -> Any:
    if any(value is None for value in values[1:]):
        return None
    rows = np.ravel(_getitem(positions(shape), *values[1:], index=index))
    ones = np.ones(rows.size, dtype=bool)
    return sparse.csr_array((ones, (rows, np.arange(rows.size))), shape=(math.prod(shape), rows.size))


def _update_links(i: int, shapes: list[Shape], values: list[Any], *, index: Index) -> Any:
    if any(value is None for value in values[2:]):
        return None
    base, value = (positions(shapes[0]), -1) if i == 0 else (np.full(shapes[0], -1), positions(shapes[1]))
    return _update(base, value, *values[2:], index=index)


def _concatenate_links(i: int, shapes: list[Shape], values: list[Any], axis: int) -> Any:
    parts = [positions(shape) if j == i else np.full(shape, -1) for j, shape in enumerate(shapes)]
    return np.concatenate(parts, axis=axis)


def _getitem_rows(axes: Any, row: int | None, shapes: Any, out: Shape, index: Index) -> Along | None:
    """Along the rows if they are taken as a whole, or if the index of a gather goes along them."""
    if row is None:
        return None
    if axes[0] is None:
        is_along = index == (ARRAY,) and axes[1] == 0 and row == 0
        return Along((Read.GATHERED, Read.ALIGNED)) if is_along else None
    if len(shapes) > 1 or Ellipsis in index:
        return None
    consumed = [item for item in index if item is not None]
    whole = len(consumed) <= axes[0] or consumed[axes[0]] == (None, None, None)
    return Along((Read.ALIGNED,)) if whole and out[row] == shapes[0][axes[0]] else None


def _scatter_rows(
    axes: Any, row: int | None, shapes: Any, out: Shape, index: Index, shape: Shape
) -> Along | None:
    """A gather's transpose adds up what each block of rows brings."""
    is_along = row is None and index == (ARRAY,) and axes[0] == axes[1] == 0
    return Along((Read.ALIGNED, Read.ALIGNED), is_sum=True) if is_along else None


def _concatenate_rows(axes: Any, row: int | None, shapes: Any, out: Shape, axis: int) -> Along | None:
    is_along = axis != row and all(a == row for a in axes)
    return Along((Read.ALIGNED,) * len(axes)) if is_along else None


getitem = register(
    Op(
        "getitem",
        _getitem,
        lambda shape, *arrays, index: indexed_shape(shape, index, arrays),
        Linear(
            lambda i, ct, x, *arrays, index: scatter(ct, *arrays, index=index, shape=shape_of(x)),
            arguments=(0,),
        ),
        takes=(None, INT),
        gives=None,
        views=_getitem_views,
        masks=True,
        links=_getitem_links,
        copies=_getitem_copies,
        rows=_getitem_rows,
        attrs={"index": is_index},
        fits=lambda shapes, values, index: taken_shape(shapes[0], index, shapes[1:], values[1:]) is not None,
        samples=(
            ((_ROW,), {"index": (1,)}),
            ((_TABLE,), {"index": ((None, None, -1), None, (0, 2, None))}),
            ((_TABLE,), {"index": (..., -1)}),
            ((_ROW, _REPEATED), {"index": (ARRAY,)}),
            ((_TABLE, np.array([[0, 1], [1, 1]]), np.array([2, 0])), {"index": (ARRAY, ARRAY)}),
            ((_TABLE, _REPEATED), {"index": ((None, None, None), ARRAY)}),
        ),
    )
)
scatter: Op = register(
    Op(
        "scatter",
        _scatter,
        lambda ct, *arrays, index, shape: shape,
        Linear(lambda i, ct, x, *arrays, index, shape: getitem(ct, *arrays, index=index), arguments=(0,)),
        takes=(FLOAT, INT),
        links=_scatter_links,
        copies=_scatter_copies,
        rows=_scatter_rows,
        attrs={"index": is_index, "shape": is_shape},
        fits=lambda shapes, values, index, shape: is_assigned(
            shapes[0], taken_shape(shape, index, shapes[1:], values[1:])
        ),
        samples=(
            ((1.5,), {"index": (1,), "shape": (3,)}),
            ((_ROW,), {"index": ((None, None, -1),), "shape": (3,)}),
            ((np.array([1.0, 2.0, 3.0, 4.0]), _REPEATED), {"index": (ARRAY,), "shape": (3,)}),
        ),
    )
)


def _update(x: Any, value: Any, *arrays: Any, index: Index, out: Any = None) -> Any:
    if out is None:
        out = np.array(x)
    else:
        np.copyto(out, x)
    out[decode(index, arrays)] = value
    return out


def _update_transpose(i: int, ct: Any, x: Any, value: Any, *arrays: Any, index: Index) -> Any:
    if i == 0:
        return update(ct, 0.0, *arrays, index=index)
    part, shape = getitem(ct, *arrays, index=index), shape_of(value)
    extra = max(len(shape) - len(shape_of(part)), 0)  # axes of length one, which an assignment takes off
    part = unbroadcast(part, shape[extra:])
    return reshape(part, shape=shape) if extra else part


update = register(
    Op(
        "update",
        _update,
        lambda shape, value, *arrays, index: shape,
        Linear(_update_transpose, arguments=(0, 1)),
        takes=(FLOAT, FLOAT, INT),
        masks=True,
        links=_update_links,
        copies=_update_copies,
        attrs={"index": is_index},
        fits=lambda shapes, values, index: is_assigned(
            shapes[1], taken_shape(shapes[0], index, shapes[2:], values[2:])
        ),
        samples=(
            ((_ROW, 7.0), {"index": (1,)}),
            ((_TABLE, _ROW), {"index": ((None, None, None),)}),
            ((_TABLE, 1.5, np.array([0, 1]), np.array([2, 0])), {"index": (ARRAY, ARRAY)}),
        ),
    )
)


# Rearrangements by index ------------------------------------------------------------------------------------


@implements(np.take)
def take(a: Any, indices: Any, axis: int | None = None, mode: Any = "raise") -> Any:
    """NumPy's `take`."""
    if mode != "raise":
        size = math.prod(shape_of(a)) if axis is None else shape_of(a)[axis]
        plain = indices.decide() if isinstance(indices, Recordable) else indices
        indices = np.take(np.arange(size), plain, mode=mode)
    if axis is None:
        a, axis = ravel(a), 0
    axis = normalize_axis_index(axis, len(shape_of(a)))
    chosen = indices if isinstance(indices, Recordable) else np.asarray(indices)
    return getitem(a, chosen, index=((None, None, None),) * axis + (ARRAY,))


@implements(np.flip)
def flip(m: Any, axis: Any = None) -> Any:
    """NumPy's `flip`."""
    ndim = len(shape_of(m))
    chosen = range(ndim) if axis is None else normalize_axis_tuple(axis, ndim)
    return getitem(m, index=tuple((None, None, -1 if i in chosen else None) for i in range(ndim)))


def roll(a: Any, shift: int, axis: int | None = None) -> Any:
    """NumPy's `roll` by one shift."""
    shape = shape_of(a)
    order = np.roll(np.arange(shape[axis] if axis is not None else int(np.prod(shape))), shift)
    return take(a, order, axis) if axis is not None else reshape_(take(a, order), shape)


@implements(np.repeat)
def repeat(a: Any, repeats: Any, axis: int | None = None) -> Any:
    """NumPy's `repeat`."""
    size = int(np.prod(shape_of(a))) if axis is None else shape_of(a)[axis]
    return take(a, np.repeat(np.arange(size), repeats), axis)


@implements(np.tile)
def tile(A: Any, reps: Any) -> Any:
    """NumPy's `tile`."""
    return take(A, np.tile(np.arange(int(np.prod(shape_of(A)))).reshape(shape_of(A)), reps))


@implements(np.diag)
def diag(v: Any, k: int = 0) -> Any:
    """NumPy's `diag`: a matrix's diagonal, or the matrix of a diagonal."""
    shape = shape_of(v)
    if len(shape) == 2:
        return take(v, np.diag(np.arange(shape[0] * shape[1]).reshape(shape), k))
    k = operator.index(k)
    size = shape[0] + abs(k)
    rows = np.arange(shape[0]) + max(-k, 0)
    return scatter(v, rows, rows + k, index=(ARRAY, ARRAY), shape=(size, size))


def diff(a: Any, n: int = 1, axis: int = -1) -> Any:
    """NumPy's `diff`."""
    before = ((None, None, None),) * normalize_axis_index(axis, len(shape_of(a))) if n else ()
    for _ in range(n):
        a = sub(getitem(a, index=(*before, (1, None, None))), getitem(a, index=(*before, (None, -1, None))))
    return a


# Joins ------------------------------------------------------------------------------------------------------


def _concatenate(*arrays: Any, axis: int, out: Any = None) -> Any:
    return np.concatenate(arrays, axis=axis, out=out)


def _concatenate_copies(out: Any, *arrays: Any, axis: int) -> Iterator[Copied]:
    before, start = (slice(None),) * axis, 0
    for place, array in enumerate(arrays):
        stop = start + array.shape[axis]
        yield Copied(out[(*before, slice(start, stop))], array, place)
        start = stop


def _concatenated(*shapes: Shape, axis: int) -> Shape:
    return (*shapes[0][:axis], sum(shape[axis] for shape in shapes), *shapes[0][axis + 1 :])


def _concatenate_transpose(i: int, ct: Any, *arrays: Any, axis: int) -> Any:
    start = sum(shape_of(array)[axis] for array in arrays[:i])
    stop = start + shape_of(arrays[i])[axis]
    return getitem(ct, index=((None, None, None),) * axis + ((start, stop, None),))


concatenate = register(
    Op(
        "concatenate",
        _concatenate,
        _concatenated,
        Linear(_concatenate_transpose),
        links=_concatenate_links,
        copies=_concatenate_copies,
        rows=_concatenate_rows,
        attrs={"axis": is_axis},
        fits=lambda shapes, values, axis: all(
            s[:axis] == shapes[0][:axis] and s[axis + 1 :] == shapes[0][axis + 1 :] for s in shapes
        ),
        samples=(
            ((_ROW, np.array([7.0])), {"axis": 0}),
            ((_TABLE, _TABLE[:, :1], _TABLE), {"axis": 1}),
            ((_ROW,), {"axis": 0}),
        ),
    )
)


_MANY = 256


def join(arrays: Sequence[Any], axis: int) -> Any:
    """Arrays one after another; many in groups first, because a rule is given all inputs for each of them."""
    while len(arrays) > _MANY:
        groups = [arrays[i : i + _MANY] for i in range(0, len(arrays), _MANY)]
        arrays = [concatenate(*group, axis=axis) for group in groups]
    return concatenate(*arrays, axis=axis)


@implements(np.concatenate)
def concatenate_(arrays: Sequence[Any], axis: int | None = 0) -> Any:
    """NumPy's `concatenate`."""
    if axis is None:
        arrays, axis = [ravel(array) for array in arrays], 0
    np.concatenate([np.broadcast_to(0.0, shape_of(array)) for array in arrays], axis=axis)  # its own errors
    return join(arrays, normalize_axis_index(axis, len(shape_of(arrays[0]))))


@implements(np.stack)
def stack(arrays: Sequence[Any], axis: int = 0) -> Any:
    """NumPy's `stack`."""
    shape = shape_of(arrays[0])
    if any(shape_of(array) != shape for array in arrays):
        raise ValueError(f"all arrays to stack must have one shape, not {[shape_of(a) for a in arrays]}")
    axis = normalize_axis_index(axis, len(shape) + 1)
    longer = (*shape[:axis], 1, *shape[axis:])
    return join([reshape(array, shape=longer) for array in arrays], axis)


@implements(np.hstack)
def hstack(tup: Sequence[Any]) -> Any:
    """NumPy's `hstack`."""
    arrays = [array if shape_of(array) else reshape(array, shape=(1,)) for array in tup]
    return concatenate_(arrays, axis=0 if len(shape_of(arrays[0])) == 1 else 1)


@implements(np.vstack)
def vstack(tup: Sequence[Any]) -> Any:
    """NumPy's `vstack`."""
    return concatenate_([reshape_(a, (1, -1)) if len(shape_of(a)) < 2 else a for a in tup])


@implements(np.column_stack)
def column_stack(tup: Sequence[Any]) -> Any:
    """NumPy's `column_stack`."""
    return concatenate_([reshape_(a, (-1, 1)) if len(shape_of(a)) < 2 else a for a in tup], axis=1)


@implements(np.append)
def append(arr: Any, values: Any, axis: int | None = None) -> Any:
    """NumPy's `append`."""
    return concatenate_([arr, values], axis=axis)


# Built from the above ---------------------------------------------------------------------------------------


@implements(np.broadcast_arrays)
def broadcast_arrays(*args: Any) -> tuple[Any, ...]:
    """NumPy's `broadcast_arrays`."""
    shape = np.broadcast_shapes(*(shape_of(array) for array in args))
    return tuple(a if shape_of(a) == shape else broadcast_to(a, shape=shape) for a in args)


@implements(np.outer, np.linalg.outer)
def outer(a: Any, b: Any) -> Any:
    """NumPy's `outer`."""
    return reshape_(a, (-1, 1)) * reshape_(b, (1, -1))


@implements(np.tril)
def tril(m: Any, k: int = 0) -> Any:
    """NumPy's `tril`."""
    return where(_triangle(m, k), m, 0.0)


def _triangle(m: Any, k: int) -> Any:
    # Of a vector NumPy makes a matrix with that in each row.
    shape = shape_of(m)
    return np.tri(shape[-2] if len(shape) > 1 else shape[0], shape[-1], k=k, dtype=bool)


@implements(np.triu)
def triu(m: Any, k: int = 0) -> Any:
    """NumPy's `triu`."""
    return where(_triangle(m, k - 1), 0.0, m)
