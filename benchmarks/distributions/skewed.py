"""Distributions made of the normal."""

from __future__ import annotations

from typing import Any

import mpmath as mp
import numpy as np

from benchmarks.distributions.draws import powers, signs
from benchmarks.distributions.jets import density, half_log_2pi, log, log_ncdf, ncdf
from benchmarks.distributions.row import AROUND, DATA, NAN, NEAR_XS, SHORT_XS, Array, Distribution
from benchmarks.distributions.symmetric import location_scale
from tapegrad import stats

SHAPES = np.array([0.5, 1.0, 2.5, 0.2, 0.0, -1.0, NAN])


def _lognorm_draw(rng: np.random.Generator, size: int) -> tuple[Array, ...]:
    s, scale = powers(rng, size, -2, 2), powers(rng, size, -60, 60)
    y = signs(rng, size) * powers(rng, size, -3, 1.5)
    return scale * np.exp(np.clip(s * y, -300, 300)), s, scale


def _lognorm(x: Any, s: Any, scale: Any) -> tuple[Any, ...]:
    a, b = log(x) / s, -log(scale) / s
    return -a * a / 2, -a * b, -b * b / 2, -log(x), -log(s), -half_log_2pi()


def _skewnorm_draw(rng: np.random.Generator, size: int) -> tuple[Array, ...]:
    a, scale = signs(rng, size) * powers(rng, size, -6, 4), powers(rng, size, -60, 60)
    return scale * signs(rng, size) * powers(rng, size, -6, 1.6), a, scale


def _skewnorm(x: Any, a: Any, scale: Any) -> tuple[Any, ...]:
    z = x / scale
    return log_ncdf(a * z), -z * z / 2, -log(scale), -half_log_2pi(), mp.log(2)


def _halfnorm(x: Any, loc: Any, scale: Any) -> tuple[Any, ...]:
    z = (x - loc) / scale
    return -z * z / 2, -log(scale), mp.log(2 / mp.pi) / 2


def _truncnorm_draw(rng: np.random.Generator, size: int) -> tuple[Array, ...]:
    a = signs(rng, size) * powers(rng, size, -1, 1.5)
    b = a + powers(rng, size, -1, 1)
    scale = powers(rng, size, -60, 60)
    loc = signs(rng, size) * scale * powers(rng, size, -3, 0)
    return loc + scale * (a + (b - a) * rng.uniform(0.01, 0.99, size)), a, b, loc, scale


def _truncnorm(x: Any, a: Any, b: Any, loc: Any, scale: Any) -> tuple[Any, ...]:
    z = (x - loc) / scale
    total = ncdf(-a) - ncdf(-b) if a.value > 0 else ncdf(b) - ncdf(a)
    return -z * z / 2, -log(total), -log(scale), -half_log_2pi()


def _half_draw(rng: np.random.Generator, size: int) -> tuple[Array, ...]:
    x, loc, scale = location_scale(rng, size)
    return loc + np.abs(x - loc), loc, scale


def _exponnorm_draw(rng: np.random.Generator, size: int) -> tuple[Array, ...]:
    k, scale = powers(rng, size, -2, 2), powers(rng, size, -60, 60)
    return scale * signs(rng, size) * powers(rng, size, -3, 1.6), k, scale


def _exponnorm(x: Any, k: Any, scale: Any) -> tuple[Any, ...]:
    z = x / scale
    v = z - 1 / k
    tilted = v * v / 2 + log_ncdf(v)
    return tilted, -z * z / 2, -log(k), -log(scale)


def _invgauss_draw(rng: np.random.Generator, size: int) -> tuple[Array, ...]:
    mu, scale = powers(rng, size, -3, 3), powers(rng, size, -60, 60)
    return scale * mu * powers(rng, size, -3, 3), mu, scale


def _invgauss(x: Any, mu: Any, scale: Any) -> tuple[Any, ...]:
    z = x / scale
    away = (z - mu) / mu
    return -away * away / z / 2, -3 * log(x) / 2, log(scale) / 2, -half_log_2pi()


def _row(name: str, shape: str, values: Array, draw: Any, formula: Any, at: Any, xs: Array) -> Distribution:
    logpdf = getattr(stats, name).logpdf
    one = density(
        name, lambda x, c, scale: logpdf(x, c, 0, scale), ("x", shape, "scale"), draw, formula, digits=80
    )
    return Distribution(name, {"x": xs, shape: values, **AROUND}, DATA, at, (one,))


ROWS = (
    _row("lognorm", "s", SHAPES, _lognorm_draw, _lognorm, (0.7, 2.1), SHORT_XS),
    _row(
        "skewnorm",
        "a",
        np.array([-3.0, 0.0, 0.5, 20.0, NAN]),
        _skewnorm_draw,
        _skewnorm,
        (1.3, 2.1),
        SHORT_XS,
    ),
    _row("exponnorm", "K", SHAPES[:-3], _exponnorm_draw, _exponnorm, (1.3, 2.1), NEAR_XS[:-3]),
    _row("invgauss", "mu", SHAPES, _invgauss_draw, _invgauss, (1.3, 2.1), NEAR_XS[:-3]),
    Distribution(
        "truncnorm",
        {
            "x": NEAR_XS,
            "a": np.array([-1.0, 0.5, -np.inf, 9.0, NAN]),
            "b": np.array([2.0, np.inf, 10.0, -3.0]),
            **AROUND,
        },
        np.array([0.4, 1.7, 2.2, 5.1]),
        (-1.3, 3.2, 1.2, 2.1),
        (
            density(
                "truncnorm",
                stats.truncnorm.logpdf,
                ("x", "a", "b", "loc", "scale"),
                _truncnorm_draw,
                _truncnorm,
            ),
        ),
    ),
    Distribution(
        "halfnorm",
        {"x": NEAR_XS[NEAR_XS != 12.0], **AROUND},
        DATA,
        (0.1, 2.3),
        (
            density(
                "halfnorm",
                stats.halfnorm.logpdf,
                ("x", "loc", "scale"),
                _half_draw,
                _halfnorm,
            ),
        ),
    ),
)
