"""scipy.interpolate and scipy.signal: further curves through values, and smoothers.

Most are linear in the values. As of splines, SciPy computes what it makes of the unit vectors, and the tape
holds a matrix product.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from tapegrad.errors import TraceError
from tapegrad.recording.buffers import trace_in
from tapegrad.recording.frames import whereabouts
from tapegrad.recording.standins.filters import lfilter
from tapegrad.recording.standins.mechanism import StandIn
from tapegrad.recording.standins.numpys import traced_array
from tapegrad.recording.standins.scipys import answer_by
from tapegrad.recording.standins.splines import behind, call_b_spline

# Akima's slopes ---------------------------------------------------------------------------------------------


def _akima(
    original: Callable[..., Any],
    curve: Any,
    x: Any,
    y: Any,
    axis: int = 0,
    *,
    method: str = "akima",
    extrapolate: Any = None,
) -> Any:
    y = traced_array(y)
    if trace_in(y) is None or trace_in(x) is not None or np.shape(x)[0] < 3:
        return NotImplemented
    x, axis = np.asarray(x, dtype=float), axis % np.ndim(y)
    rows = np.moveaxis(y, axis, 0)
    original(curve, x, np.zeros(x.size), 0, method=method, extrapolate=extrapolate)  # which checks them
    slopes = _akima_slopes(x, rows, method == "makima")
    hermite = sys.modules["scipy.interpolate._cubic"].CubicHermiteSpline
    hermite.__init__(curve, x, rows, slopes, axis=0, extrapolate=bool(extrapolate))
    curve.axis = axis
    return None


def _akima_slopes(x: Any, y: Any, is_modified: bool) -> Any:
    m = np.diff(y, axis=0) / np.reshape(np.diff(x), (-1, *(1,) * (np.ndim(y) - 1)))
    first, last = 2.0 * m[:1] - m[1:2], 2.0 * m[-1:] - m[-2:-1]
    m = np.concatenate([2.0 * first - m[:1], first, m, last, 2.0 * last - m[-1:]])
    turns = np.abs(np.diff(m, axis=0))
    after, before = turns[2:], turns[:-2]
    if is_modified:
        levels = np.abs(m[1:] + m[:-1])
        after, before = after + 0.5 * levels[2:], before + 0.5 * levels[:-2]
    both = after + before
    is_defined = both > 1e-9 * np.max(both)
    share = before / np.where(is_defined, both, 1.0)
    return np.where(is_defined, m[1:-2] + share * (m[2:-1] - m[1:-2]), 0.5 * (m[3:] + m[:-3]))


# interp1d ---------------------------------------------------------------------------------------------------


def _make_interp1d(
    original: Callable[..., Any],
    curve: Any,
    x: Any,
    y: Any,
    kind: Any = "linear",
    axis: int = -1,
    copy: Any = True,
    bounds_error: Any = None,
    fill_value: Any = np.nan,
    assume_sorted: bool = False,
) -> Any:
    y = traced_array(y)
    if trace_in(y) is None or trace_in((x, fill_value)) is not None:
        return NotImplemented
    axis = axis % np.ndim(y)
    units = np.eye(np.shape(y)[axis])
    is_word = isinstance(fill_value, str)
    outside = fill_value if is_word else np.nan
    bounds_error = bounds_error if is_word or (np.size(fill_value) == 1 and np.isnan(fill_value)) else False
    original(curve, x, units, kind, 0, True, bounds_error, outside, assume_sorted)
    ends = (np.nan, np.nan) if is_word else fill_value
    below, above = ends if isinstance(ends, tuple) else (ends, ends)
    curve._of_values = np.moveaxis(y, axis, 0), axis, below, above
    return None


def _call_interp1d(original: Callable[..., Any], curve: Any, x: Any) -> Any:
    x = traced_array(x)
    held = vars(curve).get("_of_values")
    if held is None:
        return _at_traced_points(curve, x) if trace_in(x) is not None else NotImplemented
    if trace_in(x) is not None:
        raise TraceError(
            f"interp1d cannot be traced in its values and in its points at once{whereabouts()}: np.interp "
            "and CubicSpline can"
        )
    values, axis, below, above = held
    x = np.asarray(x, dtype=float)
    weights = original(curve, x)
    is_outside = np.isnan(weights[..., 0])
    found = np.tensordot(np.where(is_outside[..., None], 0.0, weights), values, axes=1)
    shape = (*x.shape, *(1,) * (np.ndim(values) - 1))
    ends = np.where(x < curve.x[0], below, above)
    found = np.where(np.reshape(is_outside, shape), np.reshape(ends, shape), found)
    return behind(found, x.ndim, axis)


def _at_traced_points(curve: Any, x: Any) -> Any:
    """Straight lines between plain numbers."""
    if (
        not getattr(type(curve), "_call_linear", None)
        or curve._kind != "linear"
        or curve._y.shape[1:] != (1,)
    ):
        return NotImplemented
    knots, values = curve.x, curve._y[:, 0]
    piece = np.clip(np.searchsorted(knots, x, side="left"), 1, knots.size - 1)
    slope = np.diff(values)[piece - 1] / np.diff(knots)[piece - 1]
    found = values[piece - 1] + slope * (x - knots[piece - 1])
    if curve._extrapolate:
        return found
    outside = np.logical_or(np.less(x, knots[0]), np.greater(x, knots[-1]))
    if curve.bounds_error and np.any(outside):
        raise ValueError("A value in x_new is outside the interpolation range.")
    ends = np.where(
        np.less(x, knots[0]), np.ravel(curve._fill_value_below)[0], np.ravel(curve._fill_value_above)[0]
    )
    return np.where(outside, ends, found)


# FITPACK ----------------------------------------------------------------------------------------------------


def _through(x: Any, y: Any, k: int, make: Callable[[Any], tuple[Any, Any, Any]]) -> tuple[Any, Any, int]:
    """Knots and coefficients of the spline through traced values, as FITPACK has them."""
    units = np.eye(np.shape(x)[0])
    knots = make(units[0])[0]
    matrix = np.stack([np.asarray(make(unit)[1]) for unit in units], axis=1)
    return knots, matrix @ y, k


def _smoothing() -> TraceError:
    return TraceError(
        f"a smoothing spline whose knots are chosen by the values cannot be traced{whereabouts()}: take s=0, "
        "or make_smoothing_spline with lam"
    )


def _splrep(
    original: Callable[..., Any],
    x: Any,
    y: Any,
    w: Any = None,
    xb: Any = None,
    xe: Any = None,
    k: int = 3,
    task: int = 0,
    s: Any = None,
    t: Any = None,
    full_output: int = 0,
    per: int = 0,
    quiet: int = 1,
) -> Any:
    y = traced_array(y)
    if trace_in(y) is None or trace_in((x, w, s)) is not None:
        return NotImplemented
    if task or full_output or (s if s is not None else w is not None):
        raise _smoothing()
    return _through(x, y, k, lambda unit: original(x, unit, w, xb, xe, k, task, 0, t, 0, per, quiet))


def _splev(original: Callable[..., Any], x: Any, tck: Any, der: int = 0, ext: int = 0) -> Any:
    knots, c, k = tck
    x, c = traced_array(x), traced_array(c)
    if trace_in((x, c)) is None or trace_in(knots) is not None:
        return NotImplemented
    knots = np.asarray(knots, dtype=float)
    spline = sys.modules["scipy.interpolate._bsplines"].BSpline
    c = c[: knots.size - k - 1]
    inside = np.logical_and(np.greater_equal(x, knots[k]), np.less_equal(x, knots[-k - 1]))
    if ext == 2 and not np.all(inside):
        raise ValueError("Invalid input data")
    at = np.minimum(np.maximum(x, knots[k]), knots[-k - 1]) if ext == 3 else x
    found = call_b_spline(spline.__call__, spline.construct_fast(knots, c, k, True, 0), at, der)
    return np.where(inside, found, 0.0) if ext == 1 else found


def _univariate(has_s: bool) -> Callable[..., Any]:
    def answer(original: Callable[..., Any], curve: Any, x: Any, y: Any, *args: Any, **kwargs: Any) -> Any:
        names = (
            ("w", "bbox", "k", "s", "ext", "check_finite")
            if has_s
            else ("w", "bbox", "k", "ext", "check_finite")
        )
        given = dict(zip(names, args, strict=False)) | kwargs
        y = traced_array(y)
        if trace_in(y) is None or trace_in((x, given)) is not None:
            return NotImplemented
        if has_s and given.get("s") != 0:
            raise _smoothing()

        def make(values: Any) -> tuple[Any, Any, Any]:
            kind: Any = type(curve)
            plain = kind.__new__(kind)
            original(plain, x, values, **given)
            vars(curve).update(vars(plain))
            found: tuple[Any, Any, Any] = plain._eval_args
            return found

        curve._eval_args = _through(x, y, given.get("k", 3), make)
        return None

    return answer


# Smoothers --------------------------------------------------------------------------------------------------


def _savgol(original: Callable[..., Any], x: Any, *args: Any, **kwargs: Any) -> Any:
    x = traced_array(x)
    given = dict(
        zip(("window_length", "polyorder", "deriv", "delta", "axis", "mode", "cval"), args, strict=False)
    )
    given |= kwargs
    axis = given.pop("axis", -1) % np.ndim(x)
    if trace_in(given) is not None:
        return NotImplemented
    n = np.shape(x)[axis]
    level = original(np.zeros(n), **given)
    matrix = original(np.eye(n), axis=0, **given) - level[:, None]
    rows = np.moveaxis(x, axis, 0)
    found = np.tensordot(matrix, rows, axes=1) + np.reshape(level, (n, *(1,) * (np.ndim(x) - 1)))
    return np.moveaxis(found, 0, axis)


def _sosfilt(sos: Any, x: Any, axis: int = -1, zi: Any = None) -> Any:
    """One section after another."""
    states = []
    for i in range(np.shape(sos)[0]):
        found = lfilter(sos[i, :3], sos[i, 3:], x, axis, None if zi is None else zi[i])
        if zi is None:
            x = found
        else:
            x = found[0]
            states.append(found[1])
    return x if zi is None else (x, np.stack(states))


_FITPACK = "scipy.interpolate._fitpack2"
TABLE = [
    StandIn("scipy.interpolate._cubic:Akima1DInterpolator", "__init__", _akima),
    StandIn("scipy.interpolate._interpolate:interp1d", "__init__", _make_interp1d),
    StandIn("scipy.interpolate._polyint:_Interpolator1D", "__call__", _call_interp1d, always=True),
    StandIn("scipy.interpolate._fitpack_impl", "splrep", _splrep),
    StandIn("scipy.interpolate._fitpack_impl", "splev", _splev),
    StandIn(f"{_FITPACK}:UnivariateSpline", "__init__", _univariate(True)),
    StandIn(f"{_FITPACK}:InterpolatedUnivariateSpline", "__init__", _univariate(False)),
    StandIn("scipy.signal", "savgol_filter", _savgol),
    StandIn("scipy.signal", "sosfilt", answer_by(_sosfilt)),
]
