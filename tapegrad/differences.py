"""Derivatives by high-order differences, with a bound on their error: what `check_grads` compares with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from scipy.differentiate import derivative

from tapegrad.nest import Vector

RTOL = 1e-6
# Differences of this order are exact to about step**8, and lose about 1e-16 / step by rounding. The best step
# depends on how quickly the function bends.
ORDER, STEPS = 8, (3e-2, 6e-3, 1e-3, 2e-4, 4e-5)


class Slope(NamedTuple):
    """A derivative by differences, how far off it may be, and whether that is little enough to judge by."""

    value: Vector
    tolerance: Vector
    settled: Any

    def wrong(self, found: Any) -> Any:
        """Which elements of a derivative are too far from this one; a NaN is."""
        return self.settled & ~(np.abs(found - self.value) <= self.tolerance)


def slope(f: Callable[[Vector], Vector], at: Any, direction: Any, size: Any = 0.0) -> Slope:
    """The derivative of `f` along `direction`, each element with the step size that it settles at.

    Parameters
    ----------
    f : callable
        A function of a vector that gives a vector.
    at, direction : ndarray
        The point, and the direction, in which a step of 1 goes about as far as the function's own scale.
    size : array_like
        The size of what cancels within `f`, where that is more than `f` itself.
    """
    found = np.array([_quotient(f, at, direction, step, 0) for step in STEPS])
    gaps = np.abs(np.diff(found, axis=0))
    gaps = np.where(np.isnan(gaps), np.inf, gaps)
    value = np.take_along_axis(found[1:], gaps.argmin(axis=0)[None], axis=0)[0]
    rounding = 1e-9 * np.maximum(size, np.abs(f(at)).max(initial=0.0))
    off = 10.0 * gaps.min(axis=0) + rounding
    return Slope(value, off + RTOL * np.abs(value), off <= 1e-3 * np.abs(value) + 1e3 * rounding)


def kinked(f: Callable[[Vector], Vector], at: Any, direction: Any) -> Any:
    """Which elements have another slope on each side: there the derivative is a matter of convention."""
    left, right = (_quotient(f, at, direction, STEPS[-2], side) for side in (-1, 1))
    return np.abs(left - right) > 1e-3 * (np.abs(left) + np.abs(right))


def value_or_nan(f: Callable[[Vector], Vector], x: Any, size: int) -> Vector:
    """The value of `f`, and NaN where it is not defined."""
    try:
        return f(x)
    except (ArithmeticError, ValueError):
        return np.full(size, np.nan)


def _quotient(f: Callable[[Vector], Vector], at: Any, direction: Any, step: float, side: int) -> Vector:
    """One difference quotient: central, or on one side."""
    size = f(at).size

    def moved(h: Vector) -> Vector:
        values = [value_or_nan(f, at + s * direction, size) for s in np.atleast_2d(h.T)[:, 0]]
        return np.array(values).T.reshape(h.shape)

    found = derivative(
        moved,
        np.zeros(size),
        initial_step=step,
        order=ORDER,
        maxiter=1,
        step_direction=side,
        preserve_shape=True,
    )
    quotient: Vector = found.df
    return quotient
