"""Evenly spaced numbers and grids between traced ends."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from tapegrad.ops.broadcasting import broadcast_to
from tapegrad.ops.elementwise import power
from tapegrad.ops.logic import where
from tapegrad.ops.registry import implements
from tapegrad.ops.shaping import moveaxis, reshape_, shape_of


@implements(np.linspace)
def linspace(
    start: Any, stop: Any, num: int = 50, endpoint: bool = True, retstep: bool = False, *, axis: int = 0
) -> Any:
    """NumPy's `linspace`."""
    steps = num - 1 if endpoint else num
    width = stop - start
    if steps > 0:
        count = np.arange(num).reshape((-1, *(1,) * len(shape_of(width))))
        step = width / float(steps)
        points = start + count * step
        points = where(count == num - 1, stop, points) if endpoint else points
    else:
        step = np.nan * width
        points = broadcast_to(start + 0.0 * width, shape=(num, *shape_of(width)))
    points = moveaxis(points, 0, normalize_axis_index(axis, len(shape_of(width)) + 1))
    return (points, step) if retstep else points


@implements(np.logspace)
def logspace(
    start: Any, stop: Any, num: int = 50, endpoint: bool = True, base: Any = 10.0, *, axis: int = 0
) -> Any:
    """NumPy's `logspace`."""
    if shape_of(base):
        raise NotImplementedError("np.logspace with several bases: write base ** np.linspace(...)")
    return power(base, linspace(start, stop, num, endpoint, axis=axis))


@implements(np.geomspace)
def geomspace(start: Any, stop: Any, num: int = 50, endpoint: bool = True, *, axis: int = 0) -> Any:
    """NumPy's `geomspace`."""
    steps = num - 1 if endpoint else num
    ratio = stop / start
    count = np.arange(num).reshape((-1, *(1,) * len(shape_of(ratio))))
    points = start * power(ratio, count / float(max(steps, 1)))
    points = where(count == num - 1, stop, points) if endpoint and num > 1 else points
    return moveaxis(points, 0, normalize_axis_index(axis, len(shape_of(ratio)) + 1))


@implements(np.meshgrid)
def meshgrid(*xi: Any, indexing: str = "xy", copy: bool = True, sparse: bool = False) -> Any:
    """NumPy's `meshgrid` of vectors."""
    order = list(range(len(xi)))
    if indexing == "xy" and len(xi) > 1:
        order[:2] = 1, 0
    grids = []
    for i, x in zip(order, xi, strict=True):
        grids.append(reshape_(x, tuple(-1 if j == i else 1 for j in range(len(xi)))))
    if sparse:
        return tuple(grids)
    shape = np.broadcast_shapes(*(shape_of(grid) for grid in grids))
    return tuple(broadcast_to(grid, shape=shape) for grid in grids)
