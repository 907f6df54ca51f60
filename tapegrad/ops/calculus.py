"""Differences, slopes and areas of values at points, written in the ops."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index, normalize_axis_tuple

from tapegrad.ops.broadcasting import Axis, broadcast_to, sum_
from tapegrad.ops.elementwise import absolute, remainder
from tapegrad.ops.indexing import concatenate, concatenate_, getitem
from tapegrad.ops.indexing import diff as plain_diff
from tapegrad.ops.logic import equal, greater, less, logical_and, where
from tapegrad.ops.reductions import cumprod, cumsum
from tapegrad.ops.registry import implements
from tapegrad.ops.shaping import moveaxis, ravel, reshape_, shape_of


def _rows(x: Any, start: int | None, stop: int | None = None) -> Any:
    """A part along the first axis."""
    return getitem(x, index=((start, stop, None),))


@implements(np.diff)
def diff(a: Any, n: int = 1, axis: int = -1, prepend: Any = None, append: Any = None) -> Any:
    """NumPy's `diff`."""
    if prepend is None and append is None:
        return plain_diff(a, n, axis)
    axis = normalize_axis_index(axis, len(shape_of(a)))
    one = (*shape_of(a)[:axis], 1, *shape_of(a)[axis + 1 :])
    parts = [
        part if part is a or shape_of(part) else broadcast_to(part, shape=one)
        for part in (prepend, a, append)
        if part is not None
    ]
    return plain_diff(concatenate_(parts, axis), n, axis)


@implements(np.ediff1d)
def ediff1d(ary: Any, to_end: Any = None, to_begin: Any = None) -> Any:
    """NumPy's `ediff1d`."""
    found = plain_diff(ravel(ary))
    parts = [*([to_begin] if to_begin is not None else []), found, *([to_end] if to_end is not None else [])]
    return concatenate_([ravel(part) for part in parts]) if len(parts) > 1 else found


@implements(np.trapezoid)
def trapezoid(y: Any, x: Any = None, dx: Any = 1.0, axis: int = -1) -> Any:
    """NumPy's `trapezoid` along one axis."""
    y = moveaxis(y, axis, -1)
    if x is not None:
        x = x if len(shape_of(x)) == 1 else moveaxis(x, axis, -1)
        dx = getitem(x, index=(..., (1, None, None))) - getitem(x, index=(..., (None, -1, None)))
    pairs = getitem(y, index=(..., (1, None, None))) + getitem(y, index=(..., (None, -1, None)))
    areas = dx * pairs / 2.0
    return sum_(areas, axis=(len(shape_of(areas)) - 1,), keepdims=False)


def _cumulative(sums: Any, start: float) -> Any:
    def cumulative(x: Any, /, *, axis: int | None = None, include_initial: bool = False) -> Any:
        if axis is None:
            if len(shape_of(x)) != 1:
                raise ValueError(
                    "For arrays which have more than one dimension ``axis`` argument is required."
                )
            axis = 0
        found = sums(x, axis)
        if not include_initial:
            return found
        axis = normalize_axis_index(axis, len(shape_of(x)))
        first = np.full((*shape_of(x)[:axis], 1, *shape_of(x)[axis + 1 :]), start)
        return concatenate(first, found, axis=axis)

    return cumulative


implements(np.cumulative_sum)(_cumulative(cumsum, 0.0))
implements(np.cumulative_prod)(_cumulative(cumprod, 1.0))


# Slopes -----------------------------------------------------------------------------------------------------


@implements(np.gradient)
def gradient(f: Any, *varargs: Any, axis: Axis = None, edge_order: int = 1) -> Any:
    """NumPy's `gradient`: slopes by differences, second order inside."""
    ndim = len(shape_of(f))
    axes = normalize_axis_tuple(range(ndim) if axis is None else axis, ndim)
    spacings = varargs if len(varargs) > 1 else [*varargs, *[1.0] * (1 - len(varargs))] * len(axes)
    if len(spacings) != len(axes):
        raise TypeError("invalid number of arguments")
    slopes = tuple(
        moveaxis(_slopes(moveaxis(f, i, 0), h, edge_order), 0, i) for i, h in zip(axes, spacings, strict=True)
    )
    return slopes[0] if len(slopes) == 1 else slopes


def _slopes(f: Any, spacing: Any, edge_order: int) -> Any:
    """The slopes along the first axis."""
    shape = shape_of(f)
    if shape[0] < edge_order + 1:
        raise ValueError(
            "Shape of array too small to calculate a numerical gradient, at least (edge_order + 1) elements "
            "are required."
        )
    steps = plain_diff(spacing) if shape_of(spacing) else broadcast_to(spacing, shape=(shape[0] - 1,))
    if shape_of(steps) != (shape[0] - 1,):
        raise ValueError("when 1d, distances must match the length of the corresponding dimension")
    h = reshape_(steps, (-1, *(1,) * (len(shape) - 1)))
    before, after = _rows(h, None, -1), _rows(h, 1)
    inside = (
        _rows(f, None, -2) * -(after / (before * (before + after)))
        + _rows(f, 1, -1) * ((after - before) / (before * after))
        + _rows(f, 2) * (before / (after * (before + after)))
    )
    first, last = _rows(h, None, 1), _rows(h, -1)
    if edge_order == 1:
        left = (_rows(f, 1, 2) - _rows(f, None, 1)) / first
        right = (_rows(f, -1) - _rows(f, -2, -1)) / last
    else:
        left = _edge([_rows(f, i, i + 1) for i in (0, 1, 2)], first, _rows(h, 1, 2))
        back = [_rows(f, -1), _rows(f, -2, -1), _rows(f, -3, -2)]
        right = -_edge(back, last, _rows(h, shape[0] - 3, shape[0] - 2))
    return concatenate(left, inside, right, axis=0)


def _edge(f: list[Any], near: Any, far: Any) -> Any:
    """The slope at the first of three points, by the parabola through them."""
    both = near + far
    return (
        f[0] * -((near + both) / (near * both)) + f[1] * (both / (near * far)) + f[2] * -(near / (far * both))
    )


@implements(np.unwrap)
def unwrap(p: Any, discont: Any = None, axis: int = -1, *, period: Any = 2.0 * np.pi) -> Any:
    """NumPy's `unwrap`: steps of more than half a period lose whole periods."""
    p = moveaxis(p, axis, 0)
    steps = plain_diff(p, axis=0)
    half = period / 2.0
    folded = remainder(steps + half, period) - half
    folded = where(logical_and(equal(folded, -half), greater(steps, 0.0)), half, folded)
    least = half if discont is None else discont
    correction = where(less(absolute(steps), least), 0.0, folded - steps)
    found = concatenate(_rows(p, None, 1), _rows(p, 1) + cumsum(correction, 0), axis=0)
    return moveaxis(found, 0, axis)
