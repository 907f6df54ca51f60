"""The gamma distribution and its kin."""

from __future__ import annotations

from typing import Any

import mpmath as mp
import numpy as np

from benchmarks.distributions.draws import SMALLEST, above_location, powers
from benchmarks.distributions.row import (
    AROUND_SCALE,
    CONTINUOUS,
    DATA,
    Array,
    Density,
    Distribution,
    Terms,
    What,
)
from tapegrad import stats

CHAIN = "the two terms of the chain rule cancel for small x / scale"


def _tail(rng: np.random.Generator, size: int) -> tuple[Array, ...]:
    scale = powers(rng, size, SMALLEST, -SMALLEST)
    return scale * powers(rng, size, -7, 2.7), scale


def _expon_terms(x: Any, loc: Any, s: Any) -> dict[What, Terms]:
    z = (x - loc) / s
    return {
        (): (-z, -mp.log(s)),
        ("x",): (-1 / s,),
        ("loc",): (1 / s,),
        ("scale",): (z / s, -1 / s),
        ("x", "scale"): (1 / s**2,),
        ("loc", "scale"): (-1 / s**2,),
        ("scale", "scale"): (-2 * z / s**2, 1 / s**2),
    }


def _logcdf_terms(x: Any, s: Any) -> dict[What, Terms]:
    z = x / s
    first = 1 / mp.expm1(z)
    second = -first * (1 + first)
    return {
        (): (mp.log1p(-mp.exp(-z)) if z > 1 else mp.log(-mp.expm1(-z)),),
        ("x",): (first / s,),
        ("scale",): (-first * z / s,),
        ("x", "x"): (second / s**2,),
        ("x", "scale"): (-second * z / s**2, -first / s**2),
        ("scale", "scale"): (second * z * z / s**2, 2 * first * z / s**2),
    }


ROWS = (
    Distribution(
        "expon",
        CONTINUOUS,
        DATA,
        (0.1, 2.3),
        (
            Density(
                "expon",
                stats.expon.logpdf,
                False,
                ("x", "loc", "scale"),
                above_location,
                _expon_terms,
                AROUND_SCALE,
            ),
            Density(
                "expon.logcdf",
                lambda x, scale: stats.expon.logcdf(x, 0, scale),
                False,
                ("x", "scale"),
                _tail,
                _logcdf_terms,
                {("x", "scale"): CHAIN, ("scale", "scale"): CHAIN},
            ),
        ),
    ),
)
