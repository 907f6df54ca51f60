"""NumPy's functions that skip missing values, written in the ops."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tapegrad.ops import partial
from tapegrad.ops.broadcasting import Axis, axes_of, reduced
from tapegrad.ops.elementwise import floor, sqrt, square
from tapegrad.ops.logic import equal, isnan, less, less_equal, logical_and, logical_not, logical_or, where
from tapegrad.ops.reductions import all as all_along
from tapegrad.ops.reductions import argmax, argmin, cumprod, cumsum, sum
from tapegrad.ops.registry import Recordable, implements
from tapegrad.ops.shaping import moveaxis, reshape_, shape_of, to_float, to_int
from tapegrad.ops.sorting import rows_along, sort, take_along_axis

Rule = Callable[..., Any]


def _present(a: Any, chosen: Any) -> Any:
    there = logical_not(isnan(a))
    return there if chosen is None else logical_and(there, chosen)


def _filled(a: Any, value: float) -> Any:
    return where(isnan(a), value, a)


@implements(np.nansum)
def nansum(a: Any, axis: Axis = None, keepdims: bool = False, initial: Any = None, where: Any = None) -> Any:
    """NumPy's `nansum`."""
    return partial.sum(_filled(a, 0.0), axis, keepdims, initial, where)


@implements(np.nanprod)
def nanprod(a: Any, axis: Axis = None, keepdims: bool = False, initial: Any = None, where: Any = None) -> Any:
    """NumPy's `nanprod`."""
    return partial.prod(_filled(a, 1.0), axis, keepdims, initial, where)


@implements(np.nancumsum)
def nancumsum(a: Any, axis: int | None = None) -> Any:
    """NumPy's `nancumsum`."""
    return cumsum(_filled(a, 0.0), axis)


@implements(np.nancumprod)
def nancumprod(a: Any, axis: int | None = None) -> Any:
    """NumPy's `nancumprod`."""
    return cumprod(_filled(a, 1.0), axis)


@implements(np.nanmean)
def nanmean(a: Any, axis: Axis = None, keepdims: bool = False, *, where: Any = None) -> Any:
    """NumPy's `nanmean`."""
    return partial.mean(a, axis, keepdims, where=_present(a, where))


@implements(np.nanvar)
def nanvar(
    a: Any,
    axis: Axis = None,
    *,
    ddof: float = 0,
    keepdims: bool = False,
    where: Any = None,
    mean: Any = None,
    correction: float | None = None,
) -> Any:
    """NumPy's `nanvar`: NaN where nothing is left to divide by."""
    there = _present(a, where)
    middle = nanmean(a, axis, True, where=where) if mean is None else mean
    squares = partial.sum(square(a - middle), axis, keepdims, where=there)
    freedom = sum(to_float(there), axis, keepdims) - (ddof if correction is None else correction)
    return squares / where_(less_equal(freedom, 0.0), np.nan, freedom)


where_ = where


@implements(np.nanstd)
def nanstd(
    a: Any,
    axis: Axis = None,
    *,
    ddof: float = 0,
    keepdims: bool = False,
    where: Any = None,
    mean: Any = None,
    correction: float | None = None,
) -> Any:
    """NumPy's `nanstd`."""
    how: dict[str, Any] = {"ddof": ddof, "keepdims": keepdims, "where": where, "mean": mean}
    return sqrt(nanvar(a, axis, correction=correction, **how))


def _nan_extreme(extreme: Rule, fill: float) -> Rule:
    def found(
        a: Any, axis: Axis = None, keepdims: bool = False, initial: Any = None, where: Any = None
    ) -> Any:
        missing = isnan(a)
        value = extreme(where_(missing, fill, a), axis, keepdims, initial, where)
        if initial is None:
            nothing = missing if where is None else logical_or(missing, logical_not(where))
            value = where_(all_along(nothing, axis, keepdims), np.nan, value)
        return value

    return found


implements(np.nanmax)(_nan_extreme(partial.max, -np.inf))
implements(np.nanmin)(_nan_extreme(partial.min, np.inf))


def _nan_place(place: Rule, fill: float) -> Rule:
    def found(a: Any, axis: int | None = None, *, keepdims: bool = False) -> Any:
        nothing = all_along(isnan(a), axis)
        if isinstance(nothing, Recordable):
            nothing = nothing.decide()
        if np.any(nothing):
            raise ValueError("All-NaN slice encountered")
        return place(_filled(a, fill), axis, keepdims=keepdims)

    return found


implements(np.nanargmax)(_nan_place(argmax, -np.inf))
implements(np.nanargmin)(_nan_place(argmin, np.inf))


# Quantiles: NaN stands last in order, so that the numbers that are there come first.


@implements(np.nanquantile)
def nanquantile(a: Any, q: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """NumPy's `nanquantile` by linear interpolation, at plain `q`."""
    q = np.asarray(q, dtype=np.float64)
    rows = rows_along(a, axis)
    in_order = sort(rows)
    counts = sum(to_float(logical_not(isnan(rows))), -1, True)
    last = where(equal(counts, 0.0), 0.0, counts - 1.0)
    position = last * q.ravel()
    below = floor(position)
    low = take_along_axis(in_order, to_int(below), -1)
    high = take_along_axis(in_order, to_int(where(less(below, last), below + 1.0, below)), -1)
    share = position - below
    found = where(less(share, 0.5), low + (high - low) * share, high - (high - low) * (1.0 - share))
    rest = reduced(shape_of(a), axes_of(a, axis), keepdims)
    return reshape_(moveaxis(found, -1, 0), q.shape + rest)


@implements(np.nanpercentile)
def nanpercentile(a: Any, q: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """NumPy's `nanpercentile` by linear interpolation, at plain `q`."""
    return nanquantile(a, np.true_divide(q, 100.0), axis, keepdims)


@implements(np.nanmedian)
def nanmedian(a: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """NumPy's `nanmedian`."""
    return nanquantile(a, 0.5, axis, keepdims)
