"""Counts among so many, and trials until a success."""

from __future__ import annotations

from typing import Any

import mpmath as mp
import numpy as np

from benchmarks.distributions.draws import between_0_and_1, counts, powers, probabilities
from benchmarks.distributions.gammas import SHAPES
from benchmarks.distributions.jets import density, lgamma, log, log1p
from benchmarks.distributions.row import COUNTS, KS, LOCS, NAN, PROBABILITIES, Array, Distribution
from tapegrad import stats

TOTALS = np.array([0.0, 1.0, 3.0, 20.0, 600.0, 2.5, -1.0, NAN])


def _totals(rng: np.random.Generator, size: int, low: float, high: float) -> tuple[Array, Array]:
    n = counts(rng, size, low, high)
    return np.rint(n * rng.random(size) ** rng.choice([1.0, 8.0], size)), n


def _binom_draw(low: float, high: float) -> Any:
    def draw(rng: np.random.Generator, size: int) -> tuple[Array, ...]:
        k, n = _totals(rng, size, low, high)
        near = (k + 0.5) / (n + 1.0) * np.exp(rng.normal(size=size) / np.sqrt(k + 1.0))
        p = np.where(rng.random(size) < 0.3, probabilities(rng, size), near)
        return k, n, between_0_and_1(p)

    return draw


def _ways(k: Any, n: Any) -> Any:
    return mp.loggamma(n + 1) - mp.loggamma(k + 1) - mp.loggamma(n - k + 1)


def _binom(k: Any, n: Any, p: Any) -> tuple[Any, ...]:
    return _ways(k, n), k * log(p), (n - k) * log1p(-p)


def _binom_large(k: Any, n: Any, p: Any) -> tuple[Any, ...]:
    """The constants in the value alone: of the derivatives, both terms may cancel."""
    flat = (
        _ways(k, n) + (k * mp.log(k) if k else 0) + ((n - k) * mp.log(n - k) if n > k else 0) - n * mp.log(n)
    )
    away = (k * log(n * p / k) if k else 0) + ((n - k) * log(n * (1 - p) / (n - k)) if n > k else 0)
    return flat, away


def _geom_draw(rng: np.random.Generator, size: int) -> tuple[Array, ...]:
    return counts(rng, size, 1.0, 1e15), probabilities(rng, size)


def _geom(k: Any, p: Any) -> tuple[Any, ...]:
    return log(p), (k - 1) * log1p(-p)


def _betabinom_draw(rng: np.random.Generator, size: int) -> tuple[Array, ...]:
    k, n = _totals(rng, size, 1.0, 500.0)
    return k, n, powers(rng, size, -3, 8), powers(rng, size, -3, 8)


def _betabinom(k: Any, n: Any, a: Any, b: Any) -> tuple[Any, ...]:
    def poch(x: Any, m: Any) -> Any:
        return lgamma(x + m) - lgamma(x)

    return _ways(k, n), poch(a, k), poch(b, n - k), -poch(a + b, n)


def _hypergeom_draw(rng: np.random.Generator, size: int) -> tuple[Array, ...]:
    whole = counts(rng, size, 2.0, 1e9)
    good, drawn = np.rint(whole * rng.random(size)), np.rint(whole * rng.random(size))
    low, high = np.maximum(0.0, drawn - (whole - good)), np.minimum(good, drawn)
    near = np.rint(good * drawn / whole + rng.normal(size=size) * np.sqrt(good * drawn / whole))
    k = np.where(rng.random(size) < 0.5, np.rint(low + (high - low) * rng.random(size)), near)
    return np.clip(k, low, high), whole, good, drawn


ROWS = (
    Distribution(
        "binom",
        {"k": KS, "n": TOTALS[:5], "p": PROBABILITIES, "loc": LOCS[:3]},
        COUNTS,
        (20.0, 0.3),
        (
            density(
                "binom",
                lambda k, n, p: stats.binom.logpmf(k, n, p),
                ("k", "n", "p"),
                _binom_draw(1.0, 500.0),
                _binom,
                data=2,
            ),
            density(
                "binom, large",
                lambda k, n, p: stats.binom.logpmf(k, n, p),
                ("k", "n", "p"),
                _binom_draw(501.0, 1e12),
                _binom_large,
                data=2,
                digits=350,
                share=0.1,
            ),
        ),
    ),
    Distribution(
        "geom",
        {"k": KS, "p": PROBABILITIES, "loc": LOCS},
        COUNTS + 1.0,
        (0.3,),
        (density("geom", stats.geom.logpmf, ("k", "p"), _geom_draw, _geom, data=1),),
    ),
    Distribution(
        "betabinom",
        {"k": KS, "n": TOTALS[[0, 1, 2, 3, 5, 6]], "a": SHAPES, "b": SHAPES[1:]},
        COUNTS,
        (20.0, 1.3, 2.1),
        (
            density(
                "betabinom", stats.betabinom.logpmf, ("k", "n", "a", "b"), _betabinom_draw, _betabinom, data=2
            ),
        ),
    ),
    Distribution(
        "hypergeom",
        {
            "k": KS,
            "M": np.array([20.0, 0.0, 7.0, 100.0]),
            "n": np.array([3.0, 0.0, 7.0, 20.0]),
            "N": np.array([4.0, 0.0, 12.0, 20.0]),
        },
        COUNTS,
        (400.0, 120.0, 100.0),
        (
            density(
                "hypergeom",
                stats.hypergeom.logpmf,
                ("k", "M", "n", "N"),
                _hypergeom_draw,
                lambda k, whole, good, drawn: (
                    _ways(k, good) + _ways(drawn - k, whole - good) - _ways(drawn, whole),
                ),
                data=4,
            ),
        ),
    ),
)
