"""Distributions on intervals, and on the circle."""

from __future__ import annotations

from typing import Any

import mpmath as mp
import numpy as np

from benchmarks.distributions.betas import UNIT_XS
from benchmarks.distributions.draws import powers
from benchmarks.distributions.jets import cos, density, log, log1p, of_function
from benchmarks.distributions.row import CONTINUOUS, NAN, SHORT_LOCS, Array, Distribution
from tapegrad import stats


def _uniform_draw(rng: np.random.Generator, size: int) -> tuple[Array, ...]:
    scale = powers(rng, size, -150, 150)
    return scale * rng.random(size), 0.0 * scale, scale


def _uniform(x: Any, loc: Any, scale: Any) -> tuple[Any, ...]:
    return (-log(scale),)


def _triang_draw(rng: np.random.Generator, size: int) -> tuple[Array, ...]:
    scale = powers(rng, size, -100, 100)
    return scale * rng.uniform(0.001, 0.999, size), rng.uniform(0.001, 0.999, size), scale


def _triang(x: Any, c: Any, scale: Any) -> tuple[Any, ...]:
    z = x / scale
    if z.value < c.value:
        return log(z), -log(c), mp.log(2), -log(scale)
    return log1p(-z), -log1p(-c), mp.log(2), -log(scale)


def _bessel_slopes(x: Any, y: Any) -> tuple[Any, Any]:
    a = mp.besseli(1, x) / y
    return a * y, (1 - a / x) * y


bessel = of_function(lambda x: mp.besseli(0, x), _bessel_slopes)


def _vonmises_draw(rng: np.random.Generator, size: int) -> tuple[Array, ...]:
    kappa, scale = powers(rng, size, -6, 5), powers(rng, size, -60, 60)
    loc = scale * rng.uniform(-3.0, 3.0, size)
    near = np.minimum(3.0, 3.0 / np.sqrt(kappa))
    return loc + scale * near * rng.uniform(-1.0, 1.0, size), kappa, loc, scale


def _vonmises(x: Any, kappa: Any, loc: Any, scale: Any) -> tuple[Any, ...]:
    z = (x - loc) / scale
    away = cos(z) - 1
    return kappa * away, -(log(bessel(kappa)) - kappa), -log(scale), -mp.log(2 * mp.pi)


ROWS = (
    Distribution(
        "vonmises",
        {
            "x": np.array([-3.0, -0.3, 0.0, 0.2, 1.0, 3.7, NAN]),
            "kappa": np.array([0.0, 0.3, 2.0, 40.0, -1.0, NAN]),
            "loc": SHORT_LOCS,
            "scale": np.array([1.0, 3.0, 0.25, -1.0, NAN]),
        },
        np.array([0.4, 1.7, 2.2, -1.1]),
        (1.3, 0.2, 1.1),
        (
            density(
                "vonmises",
                stats.vonmises.logpdf,
                ("x", "kappa", "loc", "scale"),
                _vonmises_draw,
                _vonmises,
                digits=80,
                share=0.1,
            ),
        ),
    ),
    Distribution(
        "uniform",
        CONTINUOUS,
        np.array([0.4, 1.7, 2.2, 5.1]),
        (0.0, 6.3),
        (
            density(
                "uniform",
                stats.uniform.logpdf,
                ("x", "loc", "scale"),
                _uniform_draw,
                _uniform,
                data=2,
            ),
        ),
    ),
    Distribution(
        "triang",
        {
            "x": UNIT_XS,
            "c": np.array([0.0, 0.3, 1.0, 0.7, -0.1, NAN]),
            "loc": SHORT_LOCS,
            "scale": np.array([1.0, 3.0, 0.25, -1.0, NAN]),
        },
        np.array([0.4, 1.7, 2.2, 5.1]),
        (0.3, 6.3),
        (
            density(
                "triang",
                lambda x, c, scale: stats.triang.logpdf(x, c, 0, scale),
                ("x", "c", "scale"),
                _triang_draw,
                _triang,
            ),
        ),
    ),
)
