"""Distributions of counts."""

from __future__ import annotations

from typing import Any

import mpmath as mp
import numpy as np

from benchmarks.distributions.draws import between_0_and_1, large, powers, probabilities, signs, small
from benchmarks.distributions.row import (
    COUNTS,
    KS,
    LOCS,
    NAN,
    OUTCOMES,
    PROBABILITIES,
    TERMS,
    Array,
    Density,
    Distribution,
    Terms,
    What,
)
from tapegrad import stats

NBINOM: dict[What, str] = {("n",): TERMS, ("p",): TERMS}
POISSON_LIMIT, NBINOM_LIMIT = 1000, 500  # from here on, they have another form


def _means(rng: np.random.Generator, k: Array) -> Array:
    """At the count, next to it, and anywhere."""
    shift = powers(rng, k.size, -17, 0.5) * signs(rng, k.size)
    next_to_it = np.maximum(k, 1.0) * np.exp(shift)
    return np.where(rng.random(k.size) < 0.3, powers(rng, k.size, -300, 300), next_to_it)


def _poisson(rng: np.random.Generator, k: Array) -> tuple[Array, ...]:
    return k, _means(rng, k)


def _nbinom(rng: np.random.Generator, k: Array) -> tuple[Array, ...]:
    near_it = np.maximum(k, 1.0) * powers(rng, k.size, -5, 6)
    n = np.where(rng.random(k.size) < 0.5, powers(rng, k.size, -300, 300), near_it)
    n = np.minimum(n, 1e300)
    mean = np.minimum(_means(rng, k), 1e300)
    p = np.where(rng.random(k.size) < 0.3, probabilities(rng, k.size), n / (n + mean))
    return k, n, between_0_and_1(p)


def _bernoulli(rng: np.random.Generator, size: int) -> tuple[Array, ...]:
    return rng.integers(0, 2, size).astype(float), probabilities(rng, size)


def _poisson_terms(k: Any, mu: Any) -> dict[What, Terms]:
    return {
        (): (k * mp.log(mu), -mu, -mp.loggamma(k + 1)),
        ("mu",): (k / mu, mp.mpf(-1)),
        ("mu", "mu"): (-k / mu**2,),
    }


def _nbinom_terms(k: Any, n: Any, p: Any) -> dict[What, Terms]:
    q = 1 - p
    if k <= 500:  # exactly
        rising = [n + j for j in range(int(k))]
        gains = (
            mp.fsum(map(mp.log, rising)),
            mp.fsum(1 / x for x in rising),
            -mp.fsum(1 / x**2 for x in rising),
        )
    else:
        gains = (
            mp.loggamma(n + k) - mp.loggamma(n),
            mp.psi(0, n + k) - mp.psi(0, n),
            mp.psi(1, n + k) - mp.psi(1, n),
        )
    return {
        (): (gains[0], -mp.loggamma(k + 1), n * mp.log(p), k * mp.log(q)),
        ("n",): (gains[1], mp.log(p)),
        ("p",): (n / p, -k / q),
        ("n", "n"): (gains[2],),
        ("n", "p"): (1 / p,),
        ("p", "p"): (-n / p**2, -k / q**2),
    }


def _bernoulli_terms(k: Any, p: Any) -> dict[What, Terms]:
    q = 1 - p
    return {
        (): (mp.log(p) if k else mp.log1p(-p),),
        ("p",): (1 / p if k else -1 / q,),
        ("p", "p"): (-1 / p**2 if k else -1 / q**2,),
    }


ROWS = (
    Distribution(
        "poisson",
        {"k": KS, "mu": np.array([0.0, 1e-9, 0.7, 3.0, 80.0, -1.0, NAN]), "loc": LOCS},
        COUNTS,
        (3.1,),
        (
            Density(
                "poisson",
                stats.poisson.logpmf,
                1,
                ("k", "mu"),
                lambda rng, size: _poisson(rng, small(rng, size, POISSON_LIMIT)),
                _poisson_terms,
                {("mu",): TERMS},
            ),
            Density(
                "poisson, large",
                stats.poisson.logpmf,
                1,
                ("k", "mu"),
                lambda rng, size: _poisson(rng, large(rng, size, POISSON_LIMIT)),
                _poisson_terms,
                {},
                digits=350,
                share=0.3,
            ),
        ),
    ),
    Distribution(
        "nbinom",
        {
            "k": KS,
            "n": np.array([0.3, 1.0, 4.5, 60.0, 0.0, -0.5, NAN]),
            "p": PROBABILITIES,
            "loc": LOCS,
        },
        COUNTS,
        (1.7, 0.3),
        (
            Density(
                "nbinom",
                stats.nbinom.logpmf,
                1,
                ("k", "n", "p"),
                lambda rng, size: _nbinom(rng, small(rng, size, NBINOM_LIMIT)),
                _nbinom_terms,
                NBINOM,
            ),
            Density(
                "nbinom, large",
                stats.nbinom.logpmf,
                1,
                ("k", "n", "p"),
                lambda rng, size: _nbinom(rng, large(rng, size, NBINOM_LIMIT)),
                _nbinom_terms,
                NBINOM,
                digits=380,
                share=0.1,
            ),
        ),
    ),
    Distribution(
        "bernoulli",
        {"k": KS, "p": PROBABILITIES, "loc": LOCS},
        OUTCOMES,
        (0.3,),
        (Density("bernoulli", stats.bernoulli.logpmf, 1, ("k", "p"), _bernoulli, _bernoulli_terms, {}),),
    ),
)
