"""Distributions on intervals."""

from __future__ import annotations

from typing import Any

import mpmath as mp
import numpy as np

from benchmarks.distributions.betas import UNIT_XS
from benchmarks.distributions.draws import powers
from benchmarks.distributions.jets import density, log, log1p
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


ROWS = (
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
