"""The tail of the von Mises distribution, from an angle x up to half a turn, with derivatives in `kappa`.

The density ``exp(kappa cos(t)) / (2 pi I0(kappa))`` falls from 0 to pi, so between x and the place where it
is negligible a fixed number of nodes has all digits. Derivatives in `kappa` have weights in ``cos(t) - A``,
with ``A = I1 / I0``, whose integral over the circle is 0: the side is taken on which the first of them has
one sign.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tapegrad.ops.circular import _log_i0e, _log_i0e_slope
from tapegrad.ops.incomplete_gamma import _beside
from tapegrad.ops.orders import of_order
from tapegrad.ops.registry import Op, written
from tapegrad.ops.tails import END, _rule, bell, on_columns
from tapegrad.ops.trigonometric import sin

LOG_2PI = math.log(2.0 * math.pi)


def _away(t: Any) -> Any:
    """``cos(t) - 1``."""
    return -2.0 * np.square(np.sin(0.5 * t))


def _weight(n: int, kappa: Any, away: Any) -> Any:
    """The derivative of order n of the density in `kappa`, by it, where ``cos(t) - 1`` is `away`."""
    slopes = [-_log_i0e_slope(j, kappa) for j in range(1, n + 1)]

    def cumulants(i: int, j: int) -> Any:
        return slopes[0] + away if i == 1 else slopes[i - 1] + 0.0 * away

    return bell(cumulants, n, 0, {})


def _integral(n: int, kappa: Any, start: Any, stop: Any, top: Any) -> Any:
    """Over the angles from `start` to `stop`, by the density at the angle `top`."""
    nodes, weights = _rule()
    t = start + (stop - start) * nodes
    fall = 2.0 * np.sin(0.5 * (t + top)) * np.sin(0.5 * (t - top))
    values = np.exp(-kappa * fall) * _weight(n, kappa, _away(t))
    return (stop - start) * np.sum(np.ascontiguousarray(values.T) * weights, axis=1)


def _beyond(n: int, kappa: Any, x: Any) -> Any:
    share = np.square(np.sin(0.5 * x)) + 0.5 * END / kappa
    return _integral(n, kappa, x, 2.0 * np.arcsin(np.sqrt(np.minimum(share, 1.0))), x)


def _before(n: int, kappa: Any, x: Any) -> Any:
    """Minus that from 0 to x: for n > 0 both add up to 0."""
    share = np.minimum(np.square(np.sin(0.5 * x)), 0.5 * END / kappa)
    stop = np.minimum(x, 2.0 * np.arcsin(np.sqrt(np.minimum(share, 1.0))))
    zero = np.zeros_like(x)
    return -_integral(n, kappa, zero, stop, zero) * np.exp(-kappa * _away(x))


def _tail(n: int, kappa: Any, x: Any, out: Any = None) -> Any:
    def f(kappa: Any, x: Any) -> Any:
        inside = (kappa >= 0.0) & np.isfinite(kappa) & (x >= 0.0) & (x <= math.pi)
        kappa, x = np.where(inside, np.maximum(kappa, 1e-300), 1.0), np.where(inside, x, 1.0)
        level = np.exp(kappa * _away(x) - _log_i0e(kappa) - LOG_2PI)
        near = (np.array(n > 0) & (_away(x) - _log_i0e_slope(1, kappa) > 0.0)) & (level > 0.0)
        value = _beside(near, lambda k, x: _before(n, k, x), lambda k, x: _beyond(n, k, x), kappa, x)
        return np.where(inside, level * value, np.nan)

    return written(on_columns(f, kappa, x), out)


def _density(n: int, kappa: Any, x: Any, out: Any = None) -> Any:
    def f(kappa: Any, x: Any) -> Any:
        if n < 0:  # which stands behind a factor of 0
            return np.zeros_like(x)
        away = _away(x)
        return np.exp(kappa * away - _log_i0e(kappa) - LOG_2PI) * _weight(n, kappa, away)

    return written(on_columns(f, kappa, x), out)


def _density_in_x(out: Any, n: Any, kappa: Any, x: Any) -> Any:
    return -sin(x) * (kappa * out + n * vonmises_density(n - 1.0, kappa, x))


KAPPA, X = np.array([0.3, 2.0, 40.0]), np.array([2.0, 0.4, 0.1])

# The density, differentiated n times in kappa.
vonmises_density: Op = of_order(
    "vonmises_density",
    _density,
    lambda out, n, kappa, x: vonmises_density(n + 1.0, kappa, x),
    _density_in_x,
    samples=((0.0, KAPPA, X), (1.0, KAPPA, X)),
    least=-1,
)

# The probability of angles between x and pi, for x between 0 and pi, differentiated n times in kappa.
vonmises_tail: Op = of_order(
    "vonmises_tail",
    _tail,
    lambda out, n, kappa, x: vonmises_tail(n + 1.0, kappa, x),
    (-1.0, lambda out, n, kappa, x: vonmises_density(n, kappa, x)),
    samples=((0.0, KAPPA, X), (1.0, KAPPA, X)),
)
