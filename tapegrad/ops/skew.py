"""The distribution function of the skew-normal distribution, with its digits in the thin tail.

It is ``Phi(z) - 2 T(z, a)`` with Owen's function, which cancels to the left for positive `a`. There the
density rises and is logarithmically concave, so the integral from z downwards has all digits.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tapegrad.ops.incomplete_gamma import _beside
from tapegrad.ops.normal import ndtr, normal_density
from tapegrad.ops.raw import special
from tapegrad.ops.registry import Op, elementwise, written
from tapegrad.ops.tails import END, on_columns, tail_integral
from tapegrad.ops.trigonometric import cos_arctan

ROOT = math.sqrt(0.5)


def _log_fall(z: Any, a: Any, v: Any) -> Any:
    """How much lower the logarithm of ``phi(t) Phi(a t)`` is at ``t = z - v`` than at z."""
    u = a * z
    below = u < 0.0
    square = v * (0.5 * v - z)
    near = special.log_ndtr(u) - special.log_ndtr(u - a * v)
    w = np.where(below, u, -1.0)
    far = a * a * square + np.log(special.erfcx(-ROOT * w)) - np.log(special.erfcx(ROOT * (a * v - w)))
    return square + np.where(below, far, near)


def _left(z: Any, a: Any) -> Any:
    """By the integral, where the density rises."""
    slope = a * _hazard(a * z) - z
    low = 2.0 * END / (slope + np.sqrt(slope * slope + 2.0 * END * (1.0 + a * a)))
    high = 2.0 * END / (slope + np.sqrt(slope * slope + 2.0 * END))
    whole = tail_integral(lambda v: _log_fall(z, a, v), np.ones_like, np.minimum(low, high), high)
    return whole * math.sqrt(2.0 / math.pi) * np.exp(special.log_ndtr(a * z) - 0.5 * z * z)


def _hazard(u: Any) -> Any:
    """``phi(u) / Phi(u)``."""
    left = math.sqrt(2.0 / math.pi) / special.erfcx(-ROOT * np.minimum(u, 0.0))
    right = np.exp(-0.5 * u * u) / (math.sqrt(2.0 * math.pi) * special.ndtr(u))
    return np.where(u < 0.0, left, right)


def _by_owen(z: Any, a: Any) -> Any:
    return special.ndtr(z) - 2.0 * special.owens_t(z, a)


def _skewnorm_cdf(z: Any, a: Any, out: Any = None) -> Any:
    def f(z: Any, a: Any) -> Any:
        rises = (a > 0.0) & np.isfinite(z) & np.isfinite(a) & (a * _hazard(a * z) > z)
        return _beside(rises, _left, _by_owen, z, a)

    return written(on_columns(f, z, a), out)


skewnorm_cdf: Op = elementwise(
    "skewnorm_cdf",
    _skewnorm_cdf,
    (2.0, lambda out, z, a: normal_density(z), lambda out, z, a: ndtr(a * z)),
    (
        -2.0,
        lambda out, z, a: normal_density(z) * normal_density(a * z),
        lambda out, z, a: cos_arctan(a),  # of which the square is 1 / (1 + a**2)
        lambda out, z, a: cos_arctan(a),
    ),
    numpy=(),
    samples=((np.array([0.3, -2.0, -0.4, 1.1]), np.array([0.8, 1.5, -2.0, 6.0])),),
)
