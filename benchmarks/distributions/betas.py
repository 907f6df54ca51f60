"""The beta distribution, by its shapes and by its mean, and the F distribution."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import scipy.stats

from benchmarks.distributions.draws import powers
from benchmarks.distributions.gammas import SHAPES
from benchmarks.distributions.jets import density, half_log_2pi, lgamma, log, log1p
from benchmarks.distributions.row import AROUND, NAN, SHORT_LOCS, SHORT_SCALES, SHORT_XS, Array, Distribution
from tapegrad import stats

SHARES = np.array([0.2, 0.35, 0.6, 0.9])
UNIT_XS = np.array([-0.3, 0.0, 0.2, 0.5, 1.0, 3.7, -np.inf, np.inf, NAN])


def saddle(a: Any, b: Any, x: Any, y: Any) -> tuple[Any, ...]:
    """The log-density of the log odds at shares x and ``y = 1 - x``, as terms none of which is large."""
    total = a + b

    def rest(t: Any) -> Any:
        return lgamma(t) - (t * log(t) - t) - half_log_2pi()

    away = a * log(a / (total * x)) + b * log(b / (total * y))
    return -away, -rest(a), -rest(b), rest(total), -half_log_2pi()


def _share(rng: np.random.Generator, a: Array, b: Array) -> Array:
    """Next to the mean, or anywhere."""
    size = a.size
    total = a + b
    near = a / total * np.exp(rng.normal(size=size) * np.sqrt(b / a / (total + 1.0)))
    x = np.where(rng.random(size) < 0.3, rng.random(size), near)
    return np.clip(x, 1e-200, 1.0 - 2.0**-50)


def _beta_draw(rng: np.random.Generator, size: int) -> tuple[Array, ...]:
    a, b = powers(rng, size, -2, 6), powers(rng, size, -2, 6)
    return _share(rng, a, b), a, b


def _beta(x: Any, a: Any, b: Any) -> tuple[Any, ...]:
    return (*saddle(a, b, x, 1 - x), -log(x), -log1p(-x))


def _beta_mean_draw(rng: np.random.Generator, size: int) -> tuple[Array, ...]:
    mu, phi = rng.uniform(0.01, 0.99, size), powers(rng, size, -1, 5)
    return _share(rng, mu * phi, (1.0 - mu) * phi), mu, phi


def _beta_mean(x: Any, mu: Any, phi: Any) -> tuple[Any, ...]:
    return _beta(x, mu * phi, (1 - mu) * phi)


def _f_draw(rng: np.random.Generator, size: int) -> tuple[Array, ...]:
    a, b = powers(rng, size, -1, 5), powers(rng, size, -1, 5)
    share = np.clip(_share(rng, a, b), 1e-30, 1.0 - 1e-6)
    scale = powers(rng, size, -60, 60)
    return scale * share / (1.0 - share) * b / a, a, b, scale


def _f(x: Any, m: Any, n: Any, scale: Any) -> tuple[Any, ...]:
    w = m * (x / scale) / n
    return (*saddle(m / 2, n / 2, w / (1 + w), 1 / (1 + w)), -log(x))


def _by_mean(name: str) -> Any:
    def method(x: Any, mu: Any, phi: Any) -> Any:
        mu = np.where(np.greater(mu, 0) & np.less(mu, 1), mu, np.nan)
        return getattr(scipy.stats.beta, name)(x, mu * phi, (1 - mu) * phi)

    return method


METHODS = ("logpdf", "pdf", "cdf", "sf", "logcdf", "logsf", "ppf", "isf")
FEW = SHAPES[[0, 1, 2, 5, 6]]
ROWS = (
    Distribution(
        "beta",
        {"x": UNIT_XS, "a": FEW, "b": FEW, "loc": SHORT_LOCS, "scale": SHORT_SCALES},
        SHARES,
        (2.3, 1.7),
        (density("beta", stats.beta.logpdf, ("x", "a", "b"), _beta_draw, _beta),),
    ),
    Distribution(
        "beta_mean",
        {"x": UNIT_XS, "mu": np.array([0.1, 0.5, 0.9, 1.0, NAN]), "phi": SHAPES},
        SHARES,
        (0.4, 5.7),
        (density("beta_mean", stats.beta_mean.logpdf, ("x", "mu", "phi"), _beta_mean_draw, _beta_mean),),
        SimpleNamespace(**{name: _by_mean(name) for name in METHODS}),
    ),
    Distribution(
        "f",
        {"x": SHORT_XS, "dfn": SHAPES[1:], "dfd": FEW, **AROUND},
        np.array([0.4, 1.7, 2.2, 5.1]),
        (2.3, 4.7, 1.2),
        (
            density(
                "f",
                lambda x, m, n, scale: stats.f.logpdf(x, m, n, 0, scale),
                ("x", "dfn", "dfd", "scale"),
                _f_draw,
                _f,
            ),
        ),
    ),
)
