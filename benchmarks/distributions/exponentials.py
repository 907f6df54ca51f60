"""The exponential and the Rayleigh distribution."""

from __future__ import annotations

from typing import Any

import mpmath as mp
import numpy as np

from benchmarks.distributions.draws import SMALLEST, above_location, powers
from benchmarks.distributions.row import (
    AROUND_SCALE,
    CONTINUOUS,
    DATA,
    TERMS,
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


def _rayleigh_tail(rng: np.random.Generator, size: int) -> tuple[Array, ...]:
    """Up to where the probability of more is a double, as in `_tail`."""
    scale = powers(rng, size, SMALLEST, -SMALLEST)
    return scale * powers(rng, size, -14, 1.5), scale


def _beyond_location(rng: np.random.Generator, size: int) -> tuple[Array, ...]:
    x, loc, scale = above_location(rng, size)
    return np.maximum(x, np.nextafter(loc, np.inf)), loc, scale


def _rayleigh_terms(x: Any, loc: Any, s: Any) -> dict[What, Terms]:
    r = x - loc
    z = r / s
    return {
        (): (mp.log(r), -2 * mp.log(s), -z * z / 2),
        ("x",): (1 / r, -z / s),
        ("loc",): (-1 / r, z / s),
        ("scale",): (-2 / s, z * z / s),
        ("x", "x"): (-1 / r**2, -1 / s**2),
        ("x", "loc"): (1 / r**2, 1 / s**2),
        ("x", "scale"): (2 * z / s**2,),
        ("loc", "loc"): (-1 / r**2, -1 / s**2),
        ("loc", "scale"): (-2 * z / s**2,),
        ("scale", "scale"): (2 / s**2, -3 * z * z / s**2),
    }


def _rayleigh_logcdf_terms(x: Any, s: Any) -> dict[What, Terms]:
    w = (x / s) ** 2 / 2
    first = 1 / mp.expm1(w)
    second = -first * (1 + first)
    by_x, by_s = x / s**2, -(x**2) / s**3
    return {
        (): (mp.log1p(-mp.exp(-w)) if w > 1 else mp.log(-mp.expm1(-w)),),
        ("x",): (first * by_x,),
        ("scale",): (first * by_s,),
        ("x", "x"): (second * by_x**2, first / s**2),
        ("x", "scale"): (second * by_x * by_s, -2 * first * x / s**3),
        ("scale", "scale"): (second * by_s**2, 3 * first * x**2 / s**4),
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
                0,
                ("x", "loc", "scale"),
                above_location,
                _expon_terms,
                AROUND_SCALE,
            ),
            Density(
                "expon.logcdf",
                lambda x, scale: stats.expon.logcdf(x, 0, scale),
                0,
                ("x", "scale"),
                _tail,
                _logcdf_terms,
                {("x", "scale"): CHAIN, ("scale", "scale"): CHAIN},
            ),
        ),
    ),
    Distribution(
        "rayleigh",
        CONTINUOUS,
        DATA,
        (0.1, 2.3),
        (
            Density(
                "rayleigh",
                stats.rayleigh.logpdf,
                0,
                ("x", "loc", "scale"),
                _beyond_location,
                _rayleigh_terms,
                {**AROUND_SCALE, ("x",): TERMS, ("loc",): TERMS},
            ),
            Density(
                "rayleigh.logcdf",
                lambda x, scale: stats.rayleigh.logcdf(x, 0, scale),
                0,
                ("x", "scale"),
                _rayleigh_tail,
                _rayleigh_logcdf_terms,
                {("x", "x"): CHAIN, ("x", "scale"): CHAIN, ("scale", "scale"): CHAIN},
            ),
        ),
    ),
)
