"""Distributions of extremes, and of what exceeds a limit."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.distributions.draws import powers, signs
from benchmarks.distributions.jets import density, exp, log, log1p
from benchmarks.distributions.row import AROUND, DATA, NAN, SHORT_XS, Array, Distribution
from benchmarks.distributions.symmetric import NAMES
from tapegrad import stats

SHAPES = np.array([0.5, 1.0, 2.5, 7.0, 0.0, -1.0, NAN])


def _gumbel_draw(rng: np.random.Generator, size: int) -> tuple[Array, ...]:
    scale = powers(rng, size, -130, 130)
    loc = signs(rng, size) * scale * powers(rng, size, -20, 3)
    # Further out exp(-z) is no double, nor is a derivative made of it.
    z = np.where(rng.random(size) < 0.5, powers(rng, size, -12, 2.8), -powers(rng, size, -12, 2))
    return loc + scale * z, loc, scale


def _mirrored_gumbel(rng: np.random.Generator, size: int) -> tuple[Array, ...]:
    x, loc, scale = _gumbel_draw(rng, size)
    return -x, -loc, scale


def _gumbel_r(x: Any, loc: Any, scale: Any) -> tuple[Any, ...]:
    z = (x - loc) / scale
    return -z, -exp(-z), -log(scale)


def _gumbel_l(x: Any, loc: Any, scale: Any) -> tuple[Any, ...]:
    z = (x - loc) / scale
    return z, -exp(z), -log(scale)


def _weibull_draw(rng: np.random.Generator, size: int) -> tuple[Array, ...]:
    c, scale = powers(rng, size, -2, 2), powers(rng, size, -30, 30)
    power = powers(rng, size, -6, 2)
    return scale * np.clip(power ** (1.0 / c), 1e-100, 1e100), c, scale


def _weibull(x: Any, c: Any, scale: Any) -> tuple[Any, ...]:
    a, b = c * log(x), -c * log(scale)
    power = exp(a + b)
    # How rounding the two logarithms moves the power
    return log(c), a, b, -log(x), -power, power * a, -power * a


def _weibull_max(x: Any, c: Any, scale: Any) -> tuple[Any, ...]:
    return _weibull(-x, c, scale)


def _mirrored(rng: np.random.Generator, size: int) -> tuple[Array, ...]:
    x, c, scale = _weibull_draw(rng, size)
    return -x, c, scale


def _shape(rng: np.random.Generator, size: int) -> Array:
    """Of both signs, many of them next to 0."""
    return signs(rng, size) * powers(rng, size, -18, 0.5)


def _genextreme_draw(rng: np.random.Generator, size: int) -> tuple[Array, ...]:
    c, scale = _shape(rng, size), powers(rng, size, -130, 130)
    y = np.where(rng.random(size) < 0.5, powers(rng, size, -6, 0.9), -powers(rng, size, -6, 0.9))
    return scale * (-np.expm1(-c * y) / c), c, scale


def _genextreme(x: Any, c: Any, scale: Any) -> tuple[Any, ...]:
    z = x / scale
    rest = log1p(-c * z)
    y = -rest / c
    return -y, -exp(-y), -rest, -log(scale)


def _genpareto_draw(rng: np.random.Generator, size: int) -> tuple[Array, ...]:
    c, scale = _shape(rng, size), powers(rng, size, -130, 130)
    y = powers(rng, size, -6, 0.9)
    return scale * (np.expm1(c * y) / c), c, scale


def _genpareto(x: Any, c: Any, scale: Any) -> tuple[Any, ...]:
    rest = log1p(c * (x / scale))
    return -rest / c, -rest, -log(scale)


def _pareto_draw(rng: np.random.Generator, size: int) -> tuple[Array, ...]:
    b, scale = powers(rng, size, -3, 3), powers(rng, size, -30, 30)
    return scale * (1.0 + powers(rng, size, -10, 10)), b, scale


def _pareto(x: Any, b: Any, scale: Any) -> tuple[Any, ...]:
    return log(b), -log(x), -b * log(x), b * log(scale)


def _row(name: str, shape: str, values: Array, draw: Any, formula: Any, data: Array, at: Any) -> Distribution:
    logpdf = getattr(stats, name).logpdf
    one = density(
        name, lambda x, c, scale: logpdf(x, c, 0, scale), ("x", shape, "scale"), draw, formula, digits=80
    )
    return Distribution(name, {"x": SHORT_XS, shape: values, **AROUND}, data, at, (one,))


ROWS = (
    Distribution(
        "gumbel_r",
        {"x": SHORT_XS, **AROUND},
        DATA,
        (0.1, 2.3),
        (density("gumbel_r", stats.gumbel_r.logpdf, NAMES, _gumbel_draw, _gumbel_r),),
    ),
    Distribution(
        "gumbel_l",
        {"x": SHORT_XS, **AROUND},
        -DATA,
        (0.1, 2.3),
        (
            density(
                "gumbel_l",
                stats.gumbel_l.logpdf,
                NAMES,
                _mirrored_gumbel,
                _gumbel_l,
            ),
        ),
    ),
    _row("weibull_min", "c", SHAPES, _weibull_draw, _weibull, DATA, (1.3, 2.1)),
    _row("weibull_max", "c", SHAPES, _mirrored, _weibull_max, -DATA, (1.3, 2.1)),
    _row(
        "genextreme",
        "c",
        np.array([0.0, -0.3, 0.4, 1e-9, -1.0, NAN]),
        _genextreme_draw,
        _genextreme,
        DATA,
        (-0.2, 2.1),
    ),
    _row(
        "genpareto",
        "c",
        np.array([0.0, -0.3, 0.4, 1e-9, 1.0, NAN]),
        _genpareto_draw,
        _genpareto,
        DATA,
        (0.2, 2.1),
    ),
    _row("pareto", "b", SHAPES, _pareto_draw, _pareto, 2.0 + DATA, (1.3, 2.1)),
)
