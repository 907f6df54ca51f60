"""NumPy functions that test or choose, written in the ops."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tapegrad.ops.broadcasting import Axis, axes_of, broadcast_to
from tapegrad.ops.elementwise import absolute, power, sqrt, square
from tapegrad.ops.logic import equal, isfinite, isnan, less_equal, logical_and, logical_not, logical_or, where
from tapegrad.ops.reductions import all as all_along
from tapegrad.ops.reductions import max, min, prod, sum
from tapegrad.ops.registry import implements
from tapegrad.ops.shaping import reshape_, shape_of, to_bool, to_float

# Choices ----------------------------------------------------------------------------------------------------


@implements(np.select)
def select(condlist: Sequence[Any], choicelist: Sequence[Any], default: Any = 0.0) -> Any:
    """NumPy's `select`: the choice of the first condition that holds."""
    if len(condlist) != len(choicelist):
        raise ValueError(f"np.select of {len(condlist)} conditions and {len(choicelist)} choices")
    result = default
    for condition, choice in zip(reversed(condlist), reversed(choicelist), strict=True):
        result = where(condition, choice, result)
    return result


@implements(np.nan_to_num)
def nan_to_num(x: Any, *, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None) -> Any:
    """NumPy's `nan_to_num`, of a copy."""
    largest = np.finfo(np.float64).max
    x = where(isnan(x), nan, x)
    x = where(equal(x, np.inf), largest if posinf is None else posinf, x)
    return where(equal(x, -np.inf), -largest if neginf is None else neginf, x)


# Missing values ---------------------------------------------------------------------------------------------


@implements(np.nansum)
def nansum(a: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """NumPy's `nansum`."""
    return sum(where(isnan(a), 0.0, a), axis, keepdims)


@implements(np.nanprod)
def nanprod(a: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """NumPy's `nanprod`."""
    return prod(where(isnan(a), 1.0, a), axis, keepdims)


@implements(np.nanmean)
def nanmean(a: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """NumPy's `nanmean`."""
    return nansum(a, axis, keepdims) / sum(to_float(logical_not(isnan(a))), axis, keepdims)


@implements(np.nanvar)
def nanvar(a: Any, axis: Axis = None, *, ddof: float = 0, keepdims: bool = False) -> Any:
    """NumPy's `nanvar`."""
    missing = isnan(a)
    squares = where(missing, 0.0, square(a - nanmean(a, axis, keepdims=True)))
    freedom = sum(to_float(logical_not(missing)), axis, keepdims) - ddof
    return sum(squares, axis, keepdims) / where(less_equal(freedom, 0.0), np.nan, freedom)


@implements(np.nanstd)
def nanstd(a: Any, axis: Axis = None, *, ddof: float = 0, keepdims: bool = False) -> Any:
    """NumPy's `nanstd`."""
    return sqrt(nanvar(a, axis, ddof=ddof, keepdims=keepdims))


def _nan_extreme(extreme: Any, fill: float, a: Any, axis: Axis, keepdims: bool) -> Any:
    missing = isnan(a)
    found = extreme(where(missing, fill, a), axis, keepdims)
    return where(all_along(missing, axis, keepdims), np.nan, found)


@implements(np.nanmax)
def nanmax(a: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """NumPy's `nanmax`."""
    return _nan_extreme(max, -np.inf, a, axis, keepdims)


@implements(np.nanmin)
def nanmin(a: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """NumPy's `nanmin`."""
    return _nan_extreme(min, np.inf, a, axis, keepdims)


# Tests ------------------------------------------------------------------------------------------------------


@implements(np.count_nonzero)
def count_nonzero(a: Any, axis: Axis = None, *, keepdims: bool = False) -> Any:
    """NumPy's `count_nonzero`."""
    return sum(to_float(to_bool(a)), axes_of(a, axis), keepdims)


@implements(np.iscomplexobj)
def iscomplexobj(x: Any) -> bool:
    """NumPy's `iscomplexobj`: False, for tapegrad computes with real numbers."""
    return False


@implements(np.isclose)
def isclose(a: Any, b: Any, rtol: Any = 1e-05, atol: Any = 1e-08, equal_nan: bool = False) -> Any:
    """NumPy's `isclose`."""
    close = logical_and(less_equal(absolute(a - b), atol + rtol * absolute(b)), isfinite(b))
    close = logical_or(close, equal(a, b))
    return logical_or(close, logical_and(isnan(a), isnan(b))) if equal_nan else close


@implements(np.allclose)
def allclose(a: Any, b: Any, rtol: Any = 1e-05, atol: Any = 1e-08, equal_nan: bool = False) -> Any:
    """NumPy's `allclose`: a truth value, guarded where it is decided on."""
    return all_along(isclose(a, b, rtol, atol, equal_nan))


@implements(np.array_equal)
def array_equal(a1: Any, a2: Any) -> Any:
    """NumPy's `array_equal`: a truth value, guarded where it is decided on."""
    return all_along(equal(a1, a2)) if shape_of(a1) == shape_of(a2) else False


# Grids ------------------------------------------------------------------------------------------------------


@implements(np.linspace)
def linspace(start: Any, stop: Any, num: int = 50, endpoint: bool = True) -> Any:
    """NumPy's `linspace` between scalars."""
    if shape_of(start) or shape_of(stop):
        raise NotImplementedError("np.linspace between arrays: write start + (stop - start) * t")
    steps = num - 1 if endpoint else num
    if steps <= 0:
        return broadcast_to(start + 0.0 * (stop - start), shape=(num,))
    points = start + np.arange(num) * ((stop - start) / float(steps))
    return where(np.arange(num) == num - 1, stop, points) if endpoint else points


@implements(np.logspace)
def logspace(start: Any, stop: Any, num: int = 50, endpoint: bool = True, base: Any = 10.0) -> Any:
    """NumPy's `logspace` between scalars."""
    return power(base, linspace(start, stop, num, endpoint))


@implements(np.meshgrid)
def meshgrid(*xi: Any, indexing: str = "xy", copy: bool = True) -> Any:
    """NumPy's `meshgrid` of vectors."""
    order = list(range(len(xi)))
    if indexing == "xy" and len(xi) > 1:
        order[:2] = 1, 0
    grids = []
    for i, x in zip(order, xi, strict=True):
        grids.append(reshape_(x, tuple(-1 if j == i else 1 for j in range(len(xi)))))
    shape = np.broadcast_shapes(*(shape_of(grid) for grid in grids))
    return tuple(broadcast_to(grid, shape=shape) for grid in grids)
