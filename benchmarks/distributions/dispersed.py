"""Counts whose variance is not their mean, and sums of a random number of gamma variables."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import mpmath as mp
import numpy as np
import scipy.stats

from benchmarks.distributions.draws import large, powers, small
from benchmarks.distributions.jets import density, exp, lgamma, log
from benchmarks.distributions.row import COUNTS, DATA, KS, LOCS, NAN, Array, Distribution
from tapegrad import stats

SHORT_KS = KS[[1, 2, 3, 5, 7, 8, 10]]


def _by_formula(name: str, formula: Callable[..., Any], holds: Callable[..., bool]) -> SimpleNamespace:
    """What `scipy.stats` lacks, by mpmath: both methods of a distribution."""

    def log_mass(x: float, *parameters: float) -> float:
        if any(map(np.isnan, (x, *parameters))) or not holds(*parameters):
            return NAN
        if x < 0 or np.isinf(x) or (name == "logpmf" and x != np.floor(x)):
            return -np.inf
        with mp.workdps(40):
            return float(mp.fsum(formula(*map(mp.mpf, (x, *parameters)))))

    logs = np.vectorize(log_mass, otypes=[float])
    plain = name.removeprefix("log")

    def method(x: Any, *parameters: Any, **named: Any) -> Any:
        return logs(x, *parameters, *named.values())[()]

    return SimpleNamespace(**{name: method, plain: lambda *a, **named: np.exp(method(*a, **named))})


def _mean_draw(rng: np.random.Generator, k: Array) -> tuple[Array, ...]:
    n = powers(rng, k.size, -2, 12)
    spread = np.sqrt(1.0 / (k + 1.0) + 1.0 / n)
    near = np.maximum(k, 0.5) * np.exp(np.clip(rng.normal(size=k.size) * spread, -5.0, 5.0))
    return k, near, n


def _nbinom_mu(k: Any, mu: Any, n: Any) -> tuple[Any, ...]:
    gain = lgamma(n + k) - lgamma(n)
    mass = n * log(n / (n + mu)) + k * log(mu / (n + mu))
    return gain - mp.loggamma(k + 1) + mass, k * log(n), -k * log(n)


def _genpoisson_draw(rng: np.random.Generator, k: Array) -> tuple[Array, ...]:
    lam = np.clip(rng.random(k.size), 1e-3, 0.99)
    theta = np.maximum(k * (1.0 - lam), 0.1) * np.exp(rng.normal(size=k.size) / np.sqrt(k + 1.0))
    return k, theta, lam


def _genpoisson(k: Any, theta: Any, lam: Any) -> tuple[Any, ...]:
    m = theta + k * lam
    away = k * log(m / k) - m + k if k else -m
    flat = (k * mp.log(k) - k if k else 0) - mp.loggamma(k + 1)
    return log(theta), away, -log(m), flat


def _cmpoisson_draw(rng: np.random.Generator, size: int) -> tuple[Array, ...]:
    nu = powers(rng, size, -0.5, 0.7)
    mode = powers(rng, size, -2, 1.3)
    return np.rint(mode * rng.uniform(0.3, 2.0, size)), mode**nu, nu


def _cmpoisson(k: Any, lam: Any, nu: Any) -> tuple[Any, ...]:
    total: Any = 1
    for j in range(1, 400):
        term = exp(j * log(lam) - nu * mp.loggamma(j + 1))
        total = total + term
        if getattr(term, "value", term) < mp.mpf(10) ** -30 and j > 40:
            break
    return k * log(lam), -nu * mp.loggamma(k + 1), -log(total)


def _tweedie_draw(rng: np.random.Generator, size: int) -> tuple[Array, ...]:
    p, mu, phi = rng.uniform(1.1, 1.9, size), powers(rng, size, -2, 2), powers(rng, size, -0.5, 1)
    x = np.where(rng.random(size) < 0.1, 0.0, mu * powers(rng, size, -2, 0.7))
    return x, mu, phi, p


def _tweedie(x: Any, mu: Any, phi: Any, p: Any) -> tuple[Any, ...]:
    rate = mu ** (2 - p) / (phi * (2 - p))
    if x == 0:
        return (-rate,)
    a = (2 - p) / (p - 1)
    z = a * (mp.log(x) - log(phi * (p - 1))) - log(phi * (2 - p))
    total: Any = 0
    most, j = mp.mpf(0), 1
    while True:
        term = exp(z * j - lgamma(a * j) - mp.loggamma(j + 1))
        size = getattr(term, "value", term)
        most = max(most, size)
        total = total + term
        if size < most * mp.mpf(10) ** -30:
            return log(total), -mp.log(x), -x * mu ** (1 - p) / (phi * (p - 1)), -rate
        j += 1


def _skellam_draw(rng: np.random.Generator, size: int) -> tuple[Array, ...]:
    mu1, mu2 = powers(rng, size, -3, 2), powers(rng, size, -3, 2)
    return np.rint(mu1 - mu2 + 2.0 * rng.normal(size=size) * np.sqrt(mu1 + mu2)), mu1, mu2


def _skellam(k: Any, mu1: Any, mu2: Any) -> tuple[Any, ...]:
    n, log_product = abs(k), log(mu1) + log(mu2)
    total: Any = 1 / mp.factorial(n)
    for j in range(1, 2000):
        term = exp(j * log_product) / (mp.factorial(j) * mp.factorial(j + n))
        total = total + term
        if term.value < total.value * mp.mpf(10) ** -30 and j > 20:
            break
    return n * log(mu2 if k < 0 else mu1), -mu1, -mu2, log(total)


def _nbinoms(name: str) -> Callable[..., Any]:
    def method(k: Any, mu: Any, n: Any, loc: Any = 0) -> Any:
        mu, n = np.where(np.greater_equal(mu, 0), mu, NAN), np.where(np.greater(n, 0), n, NAN)
        return getattr(scipy.stats.nbinom, name)(k, n, n / (n + mu), loc)

    return method


NAMES = ("k", "mu", "n")
ROWS = (
    Distribution(
        "nbinom_mu",
        {
            "k": KS,
            "mu": np.array([0.0, 0.7, 3.0, 80.0, -1.0, NAN]),
            "n": np.array([0.3, 1.0, 60.0, 0.0, -0.5, NAN]),
            "loc": LOCS,
        },
        COUNTS,
        (4.2, 1.7),
        (
            density(
                "nbinom_mu",
                stats.nbinom_mu.logpmf,
                NAMES,
                lambda rng, size: _mean_draw(rng, small(rng, size, 500.0)),
                _nbinom_mu,
                data=1,
            ),
            density(
                "nbinom_mu, large",
                stats.nbinom_mu.logpmf,
                NAMES,
                lambda rng, size: _mean_draw(rng, np.minimum(large(rng, size, 500.0), 1e12)),
                _nbinom_mu,
                data=1,
                digits=120,
            ),
        ),
        SimpleNamespace(logpmf=_nbinoms("logpmf"), pmf=_nbinoms("pmf")),
    ),
    Distribution(
        "genpoisson",
        {"k": SHORT_KS, "theta": np.array([0.3, 2.0, 0.0, NAN]), "lam": np.array([0.0, 0.3, 0.9, 1.0, -0.1])},
        COUNTS,
        (2.2, 0.4),
        (
            density(
                "genpoisson",
                stats.genpoisson.logpmf,
                ("k", "theta", "lam"),
                lambda rng, size: _genpoisson_draw(rng, large(rng, size, 30.0).clip(0.0, 1e9)),
                _genpoisson,
                data=1,
                digits=120,
            ),
        ),
        _by_formula("logpmf", _genpoisson, lambda theta, lam: theta > 0 and 0 <= lam < 1),
    ),
    Distribution(
        "cmpoisson",
        {"k": SHORT_KS, "lam": np.array([0.3, 2.0, 0.0, NAN]), "nu": np.array([0.5, 1.0, 3.0, -1.0])},
        COUNTS,
        (2.2, 0.9),
        (
            density(
                "cmpoisson",
                stats.cmpoisson.logpmf,
                ("k", "lam", "nu"),
                _cmpoisson_draw,
                _cmpoisson,
                data=1,
                share=0.1,
            ),
        ),
        _by_formula("logpmf", _cmpoisson, lambda lam, nu: lam > 0 and nu > 0),
    ),
    Distribution(
        "skellam",
        {
            "k": SHORT_KS,
            "mu1": np.array([0.3, 2.0, 9.0, 0.0, NAN]),
            "mu2": np.array([1.3, 7.0, -1.0]),
            "loc": LOCS,
        },
        COUNTS,
        (2.2, 0.9),
        (
            density(
                "skellam",
                stats.skellam.logpmf,
                ("k", "mu1", "mu2"),
                _skellam_draw,
                _skellam,
                data=1,
                share=0.1,
            ),
        ),
    ),
    Distribution(
        "tweedie",
        {
            "x": np.array([-1.0, 0.0, 0.3, 2.0, 7.0, np.inf, NAN]),
            "mu": np.array([0.5, 3.0, -1.0]),
            "phi": np.array([0.7, 2.0, 0.0]),
            "p": np.array([1.2, 1.5, 1.9, 2.0, NAN]),
        },
        DATA,
        (2.1, 1.3, 1.6),
        (
            density(
                "tweedie",
                stats.tweedie.logpdf,
                ("x", "mu", "phi", "p"),
                _tweedie_draw,
                _tweedie,
                data=1,
                share=0.1,
            ),
        ),
        _by_formula("logpdf", _tweedie, lambda mu, phi, p: mu > 0 and phi > 0 and 1 < p < 2),
    ),
)
