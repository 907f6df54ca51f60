"""Symmetric distributions with heavier tails than the normal."""

from __future__ import annotations

from typing import Any

import mpmath as mp
import numpy as np

from benchmarks.distributions.draws import powers, signs
from benchmarks.distributions.jets import absolute, density, exp, half_log_2pi, lgamma, log, log1p
from benchmarks.distributions.row import AROUND, CONTINUOUS, DATA, INF, NAN, SHORT_XS, Array, Distribution
from tapegrad import stats


def location_scale(rng: np.random.Generator, size: int, most: float = 2.8) -> tuple[Array, ...]:
    """A point at any distance from the location that has a density."""
    scale = powers(rng, size, -130, 130)
    loc = signs(rng, size) * scale * powers(rng, size, -20, 3)
    return loc + signs(rng, size) * scale * powers(rng, size, -12, most), loc, scale


def _far(rng: np.random.Generator, size: int) -> tuple[Array, ...]:
    return location_scale(rng, size, 16)


def _t_draw(rng: np.random.Generator, size: int) -> tuple[Array, ...]:
    scale = powers(rng, size, -130, 130)
    return signs(rng, size) * scale * powers(rng, size, -12, 8), powers(rng, size, -3, 6), scale


def _t(x: Any, df: Any, scale: Any) -> tuple[Any, ...]:
    half = df / 2
    # log Gamma(half + 1/2) - log Gamma(half) is half of log(half) and little more where df is large
    rest = lgamma(half + mp.mpf(1) / 2) - lgamma(half) - log(half) / 2
    z = x / scale
    size = log(df) / 2  # as large as the derivatives of the two terms that make up for each other
    return -(df + 1) / 2 * log1p(z * z / df), rest, size, -size, -log(scale), -half_log_2pi()


def _laplace(x: Any, loc: Any, scale: Any) -> tuple[Any, ...]:
    return -absolute((x - loc) / scale), -log(scale), -mp.log(2)


def _logistic(x: Any, loc: Any, scale: Any) -> tuple[Any, ...]:
    z = absolute((x - loc) / scale)
    # -2 log(cosh(z / 2)), which is even; log1p of what is small keeps the digits of mpmath
    half = (exp(z / 2) - exp(-z / 2)) / 2
    return -log1p(half * half), -log(scale), -mp.log(4)


def _cauchy(x: Any, loc: Any, scale: Any) -> tuple[Any, ...]:
    z = (x - loc) / scale
    return -log1p(z * z), -log(scale), -mp.log(mp.pi)


def _halfcauchy(x: Any, loc: Any, scale: Any) -> tuple[Any, ...]:
    z = (x - loc) / scale
    return -log1p(z * z), -log(scale), mp.log(2 / mp.pi)


def _half_draw(rng: np.random.Generator, size: int) -> tuple[Array, ...]:
    x, loc, scale = _far(rng, size)
    return loc + np.abs(x - loc), loc, scale


NAMES = ("x", "loc", "scale")
ROWS = (
    Distribution(
        "t",
        {"x": SHORT_XS, "df": np.array([0.5, 1.0, 4.0, 300.0, INF, 0.0, -1.0, NAN]), **AROUND},
        DATA,
        (4.3, 1.7),
        (
            density(
                "t", lambda x, df, scale: stats.t.logpdf(x, df, 0, scale), ("x", "df", "scale"), _t_draw, _t
            ),
        ),
    ),
    Distribution(
        "laplace",
        {"x": SHORT_XS, **AROUND},
        DATA,
        (0.1, 2.3),
        (density("laplace", stats.laplace.logpdf, NAMES, location_scale, _laplace),),
    ),
    Distribution(
        "logistic",
        CONTINUOUS,
        DATA,
        (0.1, 2.3),
        # -2 log(cosh(z / 2)) is so flat far out that mpmath needs as many digits as there are zeros
        (density("logistic", stats.logistic.logpdf, NAMES, location_scale, _logistic, digits=700),),
    ),
    Distribution(
        "cauchy",
        CONTINUOUS,
        DATA,
        (0.1, 2.3),
        (density("cauchy", stats.cauchy.logpdf, NAMES, _far, _cauchy),),
    ),
    Distribution(
        "halfcauchy",
        CONTINUOUS,
        DATA,
        (0.1, 2.3),
        (
            density(
                "halfcauchy",
                stats.halfcauchy.logpdf,
                NAMES,
                _half_draw,
                _halfcauchy,
            ),
        ),
    ),
)
