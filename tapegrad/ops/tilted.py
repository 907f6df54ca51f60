"""Tails that are two normal tails, one of them with an exponential: exponnorm and inverse Gaussian.

One tail is the sum of both, and the other their difference, which is that of `erfcx` at two places.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tapegrad.ops.elementwise import exp, expm1, log, log1p, logaddexp, sqrt
from tapegrad.ops.gammas import HALF_LOG_2PI
from tapegrad.ops.logic import less, where
from tapegrad.ops.normal import erfcx, erfcx_gap, log_ndtr

LOG_2 = math.log(2.0)
ROOT = math.sqrt(0.5)
CERTAIN = 9.0  # beyond, ndtr is 1


def _choose(condition: Any, a: Any, b: Any) -> Any:
    """`where`, with a number for numbers."""
    chosen = where(condition, a, b)
    return chosen[()] if isinstance(chosen, np.ndarray) else chosen


def _of_other(log_other: Any, log_this: Any) -> Any:
    """The logarithm of a tail by that of the other one, where this is the smaller one."""
    return _choose(less(log_other, -LOG_2), log1p(-exp(log_other)), log_this)


def log_tilted(z: Any, k: Any) -> Any:
    """``log(exp(1 / (2 k**2) - z / k) ndtr(v))`` for ``v = z - 1 / k``: by `erfcx` where ndtr may vanish."""
    v = z - 1.0 / k
    by_erfcx = (log(erfcx(-ROOT * v)) - LOG_2) - 0.5 * (z * z)
    return _choose(less(v, 0.0), by_erfcx, (0.5 / k - z) / k + log_ndtr(v))


def exponnorm_log_tails(z: Any, k: Any) -> tuple[Any, Any]:
    """Of a standard normal variable and an exponential one of mean `k`: below z, and above it."""
    above = logaddexp(log_ndtr(-z), log_tilted(z, k))
    middle = log(erfcx_gap(0.0, -ROOT * z, ROOT / k)) - (0.5 * (z * z) + LOG_2)
    below = _choose(less(z, CERTAIN), middle, log(-expm1((0.5 / k - z) / k)))
    return _of_other(above, below), above


def exponnorm_log_density(z: Any, k: Any) -> Any:
    """Its log-density."""
    return log_tilted(z, k) - log(k)


def _two_tails(z: Any, mu: Any) -> tuple[Any, Any]:
    """The argument of the first normal tail, and the step to that of the second, by the root of 2."""
    root = sqrt(z)
    return (z / mu - 1.0) / root, math.sqrt(2.0) / root


def invgauss_log_tails(z: Any, mu: Any) -> tuple[Any, Any]:
    """Of an inverse Gaussian variable of mean `mu` and scale 1: below z, and above it."""
    first, step = _two_tails(z, mu)
    square = 0.5 * (first * first) + LOG_2
    # exp(2 / mu) ndtr(-v) without either factor, which may be huge and tiny
    below = logaddexp(log_ndtr(first), log(erfcx(ROOT * first + step)) - square)
    above = log(erfcx_gap(0.0, ROOT * first, step)) - square
    return _of_other(above, below), _of_other(below, above)


def invgauss_log_density(z: Any, mu: Any) -> Any:
    """Its log-density."""
    first, _ = _two_tails(z, mu)
    return -0.5 * (first * first) - (1.5 * log(z) + HALF_LOG_2PI)
