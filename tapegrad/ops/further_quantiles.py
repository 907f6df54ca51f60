"""Quantiles of further distributions, as in `tapegrad.ops.quantiles`: skewed, on the circle, mixed."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tapegrad.ops.elementwise import absolute, exp, sign, sqrt
from tapegrad.ops.incomplete_gamma import _beside
from tapegrad.ops.logic import greater, less, where
from tapegrad.ops.mixtures import _density_sum, _upper, poisson_density, poisson_gammainc, poisson_gammaincc
from tapegrad.ops.mixtures import _lower as _mixture
from tapegrad.ops.normal import erfcx, log_ndtr_slope, ndtr, normal_density
from tapegrad.ops.quantiles import LEAST, P, by_density, quantile_op
from tapegrad.ops.raw import special
from tapegrad.ops.registry import Op, Per
from tapegrad.ops.skew import _skewnorm_cdf
from tapegrad.ops.solving import Tail, solve
from tapegrad.ops.tilted import (
    exponnorm_log_density,
    exponnorm_log_tails,
    invgauss_log_density,
    invgauss_log_tails,
)
from tapegrad.ops.trigonometric import cos_arctan
from tapegrad.ops.turns import _before, _tail, vonmises_density, vonmises_tail
from tapegrad.ops.turns import _density as _vonmises_density

ROOT = math.sqrt(0.5)

# Skew-normal: the upper tail is the lower one of the mirror -------------------------------------------------


def _skewnorm_slope(z: Any, value: Any, a: Any) -> Any:
    return np.exp(special.log_ndtr(a * z) - 0.5 * z * z - value) * math.sqrt(2.0 / math.pi)


_SKEWNORM = Tail(lambda z, a: np.log(_skewnorm_cdf(z, a)), _skewnorm_slope)


def _skewnorm(p: Any, is_lower: Any, a: Any) -> Any:
    a = np.where(is_lower, a, -a)
    mean = math.sqrt(2.0 / math.pi) * a / np.sqrt(1.0 + a * a)
    start = mean + np.sqrt(1.0 - mean * mean) * special.ndtri(p)
    return np.where(is_lower, 1.0, -1.0) * solve(_SKEWNORM, np.log(p), start, a, rises=True)


skewnorm_ppf: Op = quantile_op(
    "skewnorm",
    False,
    _skewnorm,
    lambda out, p, a: 2.0 * normal_density(out) * ndtr(a * out),
    (
        (
            lambda out, p, a: log_ndtr_slope(1.0, a * out),
            lambda out, p, a: cos_arctan(a),  # of which the square is 1 / (1 + a**2)
            lambda out, p, a: cos_arctan(a),
        ),
    ),
    (P, np.array([0.8, -2.0, 4.0])),
    (-np.inf, np.inf),
    -np.inf,
)

# Normal plus exponential, and inverse Gaussian --------------------------------------------------------------


def _by_logarithms(log_tails: Any, log_density: Any, which: int) -> Tail:
    """A tail by a function that has both of them."""
    way = -1.0 if which else 1.0
    return Tail(
        lambda x, shape: log_tails(x, shape)[which],
        lambda x, value, shape: way * np.exp(log_density(x, shape) - value),
    )


def _exponnorm(p: Any, is_lower: Any, k: Any) -> Any:
    def side(which: int) -> Any:
        tail = _by_logarithms(exponnorm_log_tails, exponnorm_log_density, which)

        def solved(p: Any, k: Any) -> Any:
            away = np.hypot(1.0, k) * special.ndtri(p)
            return solve(tail, np.log(p), k - away if which else k + away, k, rises=not which)

        return solved

    return _beside(is_lower, side(0), side(1), p, k)


def _exponnorm_in_k(out: Any, p: Any, k: Any) -> Any:
    """``v + phi(v) / Phi(v)``, which cancels to the left."""
    v = out - 1.0 / k
    slope = log_ndtr_slope(1.0, v)
    return where(less(v, 0.0), -log_ndtr_slope(2.0, v) / slope, v + slope) / k


exponnorm_ppf, exponnorm_isf = (
    quantile_op(
        "exponnorm",
        upper,
        _exponnorm,
        lambda out, p, k: exp(exponnorm_log_density(out, k)),
        (_exponnorm_in_k,),
        (P, np.array([0.3, 1.5, 8.0])),
        (-np.inf, np.inf),
    )
    for upper in (False, True)
)


def _wald(p: Any, is_lower: Any, mu: Any) -> Any:
    def side(which: int) -> Any:
        tail = _by_logarithms(invgauss_log_tails, invgauss_log_density, which)

        def solved(p: Any, mu: Any) -> Any:
            away = np.sqrt(np.log1p(mu)) * special.ndtri(p)
            start = mu / np.sqrt(1.0 + mu) * np.exp(-away if which else away)
            return solve(tail, np.log(p), start, mu, rises=not which, positive=True)

        return solved

    return _beside(is_lower, side(0), side(1), p, mu)


wald_ppf, wald_isf = (
    quantile_op(
        "wald",
        upper,
        _wald,
        lambda out, p, mu: exp(invgauss_log_density(out, mu)),
        (
            (
                math.sqrt(2.0 * math.pi),
                lambda out, p, mu: erfcx(ROOT * (out / mu + 1.0) / sqrt(out)),
                lambda out, p, mu: out * sqrt(out) / (mu * mu),
            ),
        ),
        (P, np.array([0.2, 1.0, 6.0])),
    )
    for upper in (False, True)
)

# Von Mises: the upper tail is the mirror of the lower one, and has its quantile on the other side -----------


def _vonmises_before(x: Any, kappa: Any) -> Any:
    """The logarithm of the probability between 0 and x."""
    return np.log(-_vonmises_density(0, kappa, x) * _before(0, np.maximum(kappa, LEAST), x))


_VONMISES_TAIL = Tail(
    lambda x, kappa: np.log(_tail(0, kappa, x)),
    lambda x, value, kappa: -_vonmises_density(0, kappa, x) * np.exp(-value),
)
_VONMISES_CENTRE = Tail(
    _vonmises_before, lambda x, value, kappa: _vonmises_density(0, kappa, x) * np.exp(-value)
)


def _vonmises(p: Any, is_lower: Any, kappa: Any) -> Any:
    start = np.minimum(-special.ndtri(p) / np.sqrt(kappa), math.pi * (1.0 - 2.0 * p))

    def centre(p: Any, kappa: Any, start: Any) -> Any:
        log_p = np.log(np.maximum(0.5 - p, LEAST))
        found = solve(
            _VONMISES_CENTRE, log_p, np.maximum(start, LEAST), kappa, rises=True, positive=True, most=math.pi
        )
        return np.where(p == 0.5, 0.0, found)

    def tail(p: Any, kappa: Any, start: Any) -> Any:
        return solve(_VONMISES_TAIL, np.log(p), start, kappa, rises=False, positive=True, most=math.pi)

    return np.where(is_lower, -1.0, 1.0) * _beside(p > 0.25, centre, tail, p, kappa, start)


vonmises_ppf: Op = quantile_op(
    "vonmises",
    False,
    _vonmises,
    lambda out, p, kappa: vonmises_density(0.0, kappa, absolute(out)),
    (
        (
            lambda out, p, kappa: sign(out),
            lambda out, p, kappa: vonmises_tail(1.0, kappa, absolute(out)),
            Per(lambda out, p, kappa: vonmises_density(0.0, kappa, absolute(out))),
        ),
    ),
    (P, np.array([0.3, 2.0, 40.0])),
    (-np.inf, np.inf),
    0.0,
)

# A Poisson number, of mean y, of gamma variables of shape s: 0 with some probability ------------------------


def _compound_density(x: Any, value: Any, s: Any, y: Any) -> Any:
    return _density_sum(0, 0, 0, 0, 0.0, s, x, y) * np.exp(-value)


_COMPOUND = Tail(lambda x, s, y: np.log(_mixture(0, 0, 0, 0.0, s, x, y)), _compound_density)
_COMPOUND_REST = Tail(
    lambda x, s, y: np.log(_upper(0, 0.0, s, x, y)),
    lambda x, value, s, y: -_compound_density(x, value, s, y),
)


def _compound(p: Any, is_lower: Any, s: Any, y: Any) -> Any:
    of_gamma = _beside(is_lower, special.gammaincinv, special.gammainccinv, s * y / (s + 1.0), p)
    start = np.maximum((s + 1.0) * of_gamma, 1e-9 * s * y)

    def lower(p: Any, s: Any, y: Any, start: Any) -> Any:
        return solve(_COMPOUND, np.log(p), start, s, y, rises=True, positive=True)

    def upper(p: Any, s: Any, y: Any, start: Any) -> Any:
        return solve(_COMPOUND_REST, np.log(p), start, s, y, rises=False, positive=True)

    def some(p: Any, is_lower: Any, s: Any, y: Any, start: Any) -> Any:
        return _beside(is_lower, lower, upper, p, s, y, start)

    def nothing(p: Any, is_lower: Any, s: Any, y: Any, start: Any) -> Any:
        return np.zeros_like(p)

    is_nothing = np.where(is_lower, p <= np.exp(-y), p >= -np.expm1(-y))
    return _beside(is_nothing, nothing, some, p, is_lower, s, y, start)


def _compound_op(upper: bool) -> Op:
    def density(out: Any, p: Any, s: Any, y: Any) -> Any:
        """The density, and infinity at 0, where the quantile does not move."""
        value = poisson_density(0.0, 0.0, 0.0, 0.0, 0.0, s, out, y)
        return where(greater(out, 0.0), value, np.inf)

    def in_y(out: Any, p: Any, s: Any, y: Any) -> Any:
        below, above = (1.0 - p, p) if upper else (p, 1.0 - p)
        by_lower = poisson_gammainc(0.0, 0.0, 1.0, 0.0, s, out, y) - below
        return where(less(below, 0.5), by_lower, above - poisson_gammaincc(1.0, 0.0, s, out, y))

    slopes = (
        by_density(lambda out, p, s, y: poisson_gammainc(0.0, 1.0, 0.0, 0.0, s, out, y), density),
        by_density(in_y, density),
    )
    samples = (np.array([0.4, 0.9, 0.5]), np.array([1.0, 0.6, 2.5]), np.array([1.5, 3.0, 2.0]))
    return quantile_op("compound", upper, _compound, density, slopes, samples)


compound_ppf: Op = _compound_op(False)
compound_isf: Op = _compound_op(True)
