"""NumPy functions that test or choose, written in the ops."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from tapegrad.ops.broadcasting import Axis, axes_of, broadcast_to
from tapegrad.ops.elementwise import absolute
from tapegrad.ops.indexing import getitem, stack
from tapegrad.ops.logic import equal, isfinite, isnan, less_equal, logical_and, logical_not, logical_or, where
from tapegrad.ops.reductions import all as all_along
from tapegrad.ops.reductions import any as any_along
from tapegrad.ops.reductions import sum
from tapegrad.ops.registry import Recordable, implements
from tapegrad.ops.shaping import expand_dims, moveaxis, reshape_, shape_of, to_bool, to_float

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
def nan_to_num(x: Any, copy: bool = True, nan: float = 0.0, posinf: Any = None, neginf: Any = None) -> Any:
    """NumPy's `nan_to_num`, of a copy."""
    largest = np.finfo(np.float64).max
    x = where(isnan(x), nan, x)
    x = where(equal(x, np.inf), largest if posinf is None else posinf, x)
    return where(equal(x, -np.inf), -largest if neginf is None else neginf, x)


# Tests ------------------------------------------------------------------------------------------------------


@implements(np.count_nonzero)
def count_nonzero(a: Any, axis: Axis = None, *, keepdims: bool = False) -> Any:
    """NumPy's `count_nonzero`."""
    return sum(to_float(to_bool(a)), axes_of(a, axis), keepdims)


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
def array_equal(a1: Any, a2: Any, equal_nan: bool = False) -> Any:
    """NumPy's `array_equal`: a truth value, guarded where it is decided on."""
    if shape_of(a1) != shape_of(a2):
        return False
    same = equal(a1, a2)
    return all_along(logical_or(same, logical_and(isnan(a1), isnan(a2))) if equal_nan else same)


@implements(np.array_equiv)
def array_equiv(a1: Any, a2: Any) -> Any:
    """NumPy's `array_equiv`: a truth value, guarded where it is decided on."""
    try:
        np.broadcast_shapes(shape_of(a1), shape_of(a2))
    except ValueError:
        return False
    return all_along(equal(a1, a2))


@implements(np.isneginf)
def isneginf(x: Any, out: Any = None) -> Any:
    """NumPy's `isneginf`."""
    return equal(x, -np.inf)


@implements(np.isposinf)
def isposinf(x: Any, out: Any = None) -> Any:
    """NumPy's `isposinf`."""
    return equal(x, np.inf)


@implements(np.isin)
def isin(element: Any, test_elements: Any, assume_unique: bool = False, invert: bool = False) -> Any:
    """NumPy's `isin`."""
    each = reshape_(element, (*shape_of(element), 1))
    found = any_along(equal(each, reshape_(test_elements, (-1,))), len(shape_of(element)))
    return logical_not(found) if invert else found


# Functions on parts -----------------------------------------------------------------------------------------


@implements(np.piecewise)
def piecewise(x: Any, condlist: Any, funclist: Sequence[Any], *args: Any, **kw: Any) -> Any:
    """NumPy's `piecewise`: each function is applied to all elements, and where it counts is chosen then."""
    is_single = not isinstance(condlist, (list, tuple)) and len(shape_of(condlist)) <= 1
    conditions = [condlist] if is_single and shape_of(condlist) == shape_of(x) else list(condlist)
    if len(funclist) == len(conditions) + 1:
        conditions.append(logical_not(functools.reduce(logical_or, conditions)))
    elif len(funclist) != len(conditions):
        n = len(conditions)
        raise ValueError(f"with {n} condition(s), either {n} or {n + 1} functions are expected")
    result: Any = np.zeros(shape_of(x))
    for condition, function in zip(conditions, funclist, strict=True):
        value = function(x, *args, **kw) if callable(function) else function
        result = where(condition, value, result)
    return result


@implements(np.choose)
def choose(a: Any, choices: Any, mode: Any = "raise") -> Any:
    """NumPy's `choose`; traced numbers of choices are guarded."""
    chosen = np.asarray(a.decide() if isinstance(a, Recordable) else a)
    choices = list(choices)
    shape = np.broadcast_shapes(chosen.shape, *map(shape_of, choices))
    order = np.choose(chosen, np.arange(len(choices)), mode=mode)
    result = broadcast_to(choices[0], shape=shape)
    for i, choice in enumerate(choices[1:], 1):
        result = where(np.broadcast_to(order == i, shape), choice, result)
    return result


@implements(np.apply_along_axis)
def apply_along_axis(func1d: Any, axis: int, arr: Any, *args: Any, **kwargs: Any) -> Any:
    """NumPy's `apply_along_axis`: one call for each row."""
    rows = moveaxis(arr, axis, -1)
    rest = shape_of(rows)[:-1]
    found = [func1d(getitem(rows, index=i), *args, **kwargs) for i in np.ndindex(rest)]
    results = reshape_(stack(found), rest + shape_of(found[0]))
    first = normalize_axis_index(axis, len(shape_of(arr)))
    ndim, added = len(shape_of(results)), len(shape_of(found[0]))
    return moveaxis(results, range(ndim - added, ndim), range(first, first + added))


@implements(np.apply_over_axes)
def apply_over_axes(func: Any, a: Any, axes: Any) -> Any:
    """NumPy's `apply_over_axes`."""
    ndim = len(shape_of(a))
    for axis in np.ravel(axes).tolist():
        found = func(a, normalize_axis_index(axis, ndim))
        a = found if len(shape_of(found)) == ndim else expand_dims(found, axis)
    return a
