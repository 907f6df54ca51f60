"""scipy.interpolate: splines in their values, and in the points at which they are asked.

The coefficients of a spline are linear in the values that it goes through. So SciPy computes those of the
unit vectors, and the coefficients are the product with the values. Pieces of polynomials are evaluated here.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tapegrad.recording.buffers import trace_in
from tapegrad.recording.standins.mechanism import StandIn
from tapegrad.recording.standins.numpys import traced_array

_CUBIC, _PIECES, _B = (
    "scipy.interpolate._cubic",
    "scipy.interpolate._interpolate",
    "scipy.interpolate._bsplines",
)

# Pieces of polynomials --------------------------------------------------------------------------------------


def _value(c: Any, breaks: Any, x: Any, nu: int, extrapolate: Any) -> Any:
    """The derivative of order `nu` at `x`: the axes of `x`, and then those of the coefficients behind two."""
    order, pieces = np.shape(c)[0], np.shape(c)[1]
    if extrapolate == "periodic":
        x = breaks[0] + (x - breaks[0]) % (breaks[-1] - breaks[0])
    piece = np.clip(np.searchsorted(breaks, x, side="right") - 1, 0, pieces - 1)
    shape = (*np.shape(x), *(1,) * (np.ndim(c) - 2))
    s = np.reshape(x - np.asarray(breaks)[piece], shape)
    total: Any = np.zeros(())
    for k in range(order - nu):
        total = total * s + math.perm(order - 1 - k, nu) * c[k][piece]
    if extrapolate is False:
        outside = np.logical_or(np.less(x, breaks[0]), np.greater(x, breaks[-1]))
        total = np.where(np.reshape(outside, shape), np.nan, total)
    return np.broadcast_to(total, (*np.shape(x), *np.shape(c)[2:])) if order <= nu else total


def _call_pieces(
    original: Callable[..., Any], spline: Any, x: Any, nu: int = 0, extrapolate: Any = None
) -> Any:
    x = traced_array(x)
    if trace_in((spline.c, spline.x, x)) is None:
        return NotImplemented
    x = x if trace_in(x) is not None else np.asarray(x, dtype=float)
    value = _value(spline.c, spline.x, x, nu, spline.extrapolate if extrapolate is None else extrapolate)
    return behind(value, np.ndim(x), spline.axis)


def behind(value: Any, count: int, axis: int) -> Any:
    """The first axes moved to where the axis of interpolation was."""
    axes = list(range(np.ndim(value)))
    return np.transpose(value, axes[count : count + axis] + axes[:count] + axes[count + axis :])


def _integral(original: Callable[..., Any], spline: Any, a: Any, b: Any, extrapolate: Any = None) -> Any:
    if trace_in((spline.c, spline.x, a, b)) is None:
        return NotImplemented
    extrapolate = spline.extrapolate if extrapolate is None else extrapolate
    if extrapolate == "periodic" or np.any(np.less(np.diff(spline.x), 0.0)):
        return NotImplemented
    order = np.shape(spline.c)[0]
    over = np.reshape(np.arange(order, 0.0, -1.0), (order, *(1,) * (np.ndim(spline.c) - 1)))
    raised = spline.c / over
    widths = np.diff(spline.x)
    areas = sum(
        raised[k] * np.reshape(widths ** (order - k), (-1, *(1,) * (np.ndim(raised) - 2)))
        for k in range(order)
    )
    start = np.concatenate([np.zeros((1, *np.shape(areas)[1:])), np.cumsum(areas, axis=0)[:-1]])
    whole = np.concatenate([raised, start[None]])
    return _value(whole, spline.x, b, 0, extrapolate) - _value(whole, spline.x, a, 0, extrapolate)


# Splines through values -------------------------------------------------------------------------------------


def _linear(make: Callable[[Any, Any], Any], values: Any, bc_type: Any) -> Any:
    """What ``make(values, bc_type)`` is for traced values along the first axis.

    It is linear in these, but for a constant that values at the ends give. A periodic spline has the same
    value at both ends.
    """
    units = np.eye(np.shape(values)[0])
    if bc_type == "periodic":
        units = units[:, :-1]
        units[-1, 0] = 1.0
        values = values[:-1]
    constant = make(np.zeros(units.shape[0]), bc_type)
    product = np.tensordot(make(units, _without_values(bc_type, units.shape[1])), values, axes=1)
    return product + np.reshape(constant, (*constant.shape, *(1,) * (np.ndim(values) - 1)))


def _without_values(bc_type: Any, count: int) -> Any:
    """The same conditions at the ends, with 0 for each value."""
    if bc_type is None or isinstance(bc_type, str):
        return bc_type
    return tuple(end if end is None or isinstance(end, str) else _zeros(end, count) for end in bc_type)


def _zeros(end: Any, count: int) -> Any:
    if isinstance(end, tuple) and np.ndim(end[0]) == 0:  # of CubicSpline: order and value
        return end[0], np.zeros(count)
    return [(order, np.zeros(count)) for order, _ in end]  # of make_interp_spline: several of them


def _cubic(
    original: Callable[..., Any],
    spline: Any,
    x: Any,
    y: Any,
    axis: int = 0,
    bc_type: Any = "not-a-knot",
    extrapolate: Any = None,
) -> Any:
    y = traced_array(y)
    if trace_in(y) is None or trace_in((x, bc_type)) is not None:
        return NotImplemented
    x, axis = np.asarray(x, dtype=float), axis % np.ndim(y)

    def through(values: Any, bc_type: Any) -> Any:
        kind: Any = type(spline)
        plain = kind.__new__(kind)
        original(plain, x, values, 0, bc_type, extrapolate)
        return plain

    plain = through(np.zeros(x.size), bc_type)
    for kind in type(spline).__mro__:
        for name in getattr(kind, "__slots__", ()):
            if hasattr(plain, name):
                setattr(spline, name, getattr(plain, name))
    vars(spline).update(vars(plain))
    spline.c = _linear(lambda *given: through(*given).c, np.moveaxis(y, axis, 0), bc_type)
    spline.axis = axis
    return None


def _interpolating(original: Callable[..., Any], x: Any, y: Any, *args: Any, **kwargs: Any) -> Any:
    """`make_interp_spline`: a B-spline."""
    given = dict(zip(("k", "t", "bc_type", "axis", "check_finite"), args, strict=False)) | kwargs
    axis = given.pop("axis", 0)
    y = traced_array(y)
    if trace_in(y) is None or trace_in((x, given)) is not None:
        return NotImplemented
    made = original(x, np.zeros(np.shape(y)[axis]), **given)
    bc_type = given.pop("bc_type", None)

    def coefficients(values: Any, bc_type: Any) -> Any:
        return original(x, values, bc_type=bc_type, **given).c

    c = _linear(coefficients, np.moveaxis(y, axis, 0), bc_type)
    return type(made).construct_fast(made.t, c, made.k, made.extrapolate, axis % np.ndim(y))


def _pieces_of(spline: Any) -> tuple[Any, Any]:
    """A B-spline as pieces of polynomials on its base interval."""
    k, count = spline.k, np.shape(spline.c)[0]
    knots = np.asarray(spline.t)
    count = min(count, knots.size - k - 1)
    import_of = type(spline).construct_fast
    unit = import_of(knots, np.eye(count), k, True, 0)
    breaks = np.unique(knots[k : count + 1])
    matrix = [unit(breaks[:-1], nu=nu) / math.factorial(nu) for nu in range(k, -1, -1)]
    return np.tensordot(np.array(matrix), spline.c[:count], axes=1), breaks


def _least_squares(original: Callable[..., Any], x: Any, y: Any, t: Any, *args: Any, **kwargs: Any) -> Any:
    """`make_lsq_spline`: a B-spline next to the values."""
    given = dict(zip(("k", "w", "axis", "check_finite"), args, strict=False)) | kwargs
    axis = given.pop("axis", 0)
    y = traced_array(y)
    if trace_in(y) is None or trace_in((x, t, given)) is not None:
        return NotImplemented
    made = original(x, np.eye(np.shape(y)[axis]), t, **given)
    c = np.tensordot(made.c, np.moveaxis(y, axis, 0), axes=1)
    return type(made).construct_fast(made.t, c, made.k, made.extrapolate, axis % np.ndim(y))


def call_b_spline(
    original: Callable[..., Any], spline: Any, x: Any, nu: int = 0, extrapolate: Any = None
) -> Any:
    x = traced_array(x)
    if trace_in(spline.t) is not None or trace_in((spline.c, x)) is None:
        return NotImplemented
    extrapolate = spline.extrapolate if extrapolate is None else extrapolate
    if trace_in(x) is None:  # the values of the unit vectors at these points
        x, count = np.asarray(x, dtype=float), np.shape(spline.c)[0]
        unit = type(spline).construct_fast(spline.t, np.eye(count), spline.k, extrapolate, 0)
        value = np.tensordot(original(unit, x, nu, extrapolate), spline.c, axes=1)
    else:
        c, breaks = _pieces_of(spline)
        value = _value(c, breaks, x, nu, extrapolate)
    return behind(value, np.ndim(x), spline.axis)


TABLE = [
    StandIn(f"{_CUBIC}:CubicSpline", "__init__", _cubic),
    StandIn(f"{_PIECES}:_PPolyBase", "__call__", _call_pieces, always=True),
    StandIn(f"{_PIECES}:PPoly", "integrate", _integral, always=True),
    StandIn(f"{_B}:BSpline", "__call__", call_b_spline, always=True),
    StandIn("scipy.interpolate", "make_interp_spline", _interpolating),
    StandIn("scipy.interpolate", "make_lsq_spline", _least_squares),
]
