"""The gamma distribution, under its names."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import scipy.stats

from benchmarks.distributions.draws import powers, scales
from benchmarks.distributions.jets import absolute, density, half_log_2pi, lgamma, log
from benchmarks.distributions.row import AROUND, DATA, NAN, SHORT_LOCS, SHORT_XS, Array, Distribution
from tapegrad import stats

SHAPES = np.array([0.5, 1.0, 2.5, 40.0, 0.0, -1.0, NAN])


def near_mean(rng: np.random.Generator, a: Array) -> Array:
    """What a gamma variable may be: next to its mean, or anywhere."""
    z = a * np.exp(rng.normal(size=a.size) * 3.0 / np.sqrt(a + 1.0))
    return np.where(rng.random(a.size) < 0.3, powers(rng, a.size, -20, 3), z)


def _draw(rng: np.random.Generator, size: int) -> tuple[Array, ...]:
    a, scale = powers(rng, size, -3, 8), scales(rng, size)
    scale = np.clip(scale, 1e-280, 1e280)
    return near_mean(rng, a) * scale, a, scale


def saddle(a: Any, z: Any) -> tuple[Any, ...]:
    """The log-density of ``log(z)``, as terms none of which is large without need."""
    rest = lgamma(a) - (a * log(a) - a) - half_log_2pi()
    return -(a * log(a / z) + z - a), -rest, -half_log_2pi()


def _gamma(x: Any, a: Any, scale: Any) -> tuple[Any, ...]:
    return (*saddle(a, x / scale), -log(x))


def _gamma_mean(x: Any, mu: Any, a: Any) -> tuple[Any, ...]:
    return _gamma(x, a, mu / a)


def _gamma_mean_draw(rng: np.random.Generator, size: int) -> tuple[Array, ...]:
    a, mu = powers(rng, size, -3, 8), np.clip(scales(rng, size), 1e-280, 1e280)
    return near_mean(rng, a) / a * mu, mu, a


def _chi2(x: Any, df: Any, scale: Any) -> tuple[Any, ...]:
    return _gamma(x, df / 2, scale * 2)


def _invgamma(x: Any, a: Any, scale: Any) -> tuple[Any, ...]:
    return (*saddle(a, scale / x), -log(x))


def _invgamma_draw(rng: np.random.Generator, size: int) -> tuple[Array, ...]:
    a, scale = powers(rng, size, -3, 8), np.clip(scales(rng, size), 1e-270, 1e270)
    return scale / near_mean(rng, a), a, scale


def _gengamma(x: Any, a: Any, c: Any, scale: Any) -> tuple[Any, ...]:
    return (*saddle(a, (x / scale) ** c), log(absolute(c)), -log(x))


def _gengamma_draw(rng: np.random.Generator, size: int) -> tuple[Array, ...]:
    a, c, scale = powers(rng, size, -2, 3), powers(rng, size, -1, 1), powers(rng, size, -30, 30)
    c = c * rng.choice([-1.0, 1.0], size)
    return scale * np.clip(near_mean(rng, a) ** (1.0 / c), 1e-60, 1e60), a, c, scale


GAMMA_MEAN = SimpleNamespace(
    **{
        name: lambda x, mu, a, loc=0, name=name: getattr(scipy.stats.gamma, name)(
            x, a, loc, np.where(np.greater(a, 0), np.divide(mu, a), np.nan)
        )
        for name in ("logpdf", "pdf", "cdf", "sf", "logcdf", "logsf", "ppf", "isf")
    }
)

ROWS = (
    Distribution(
        "gamma",
        {"x": SHORT_XS, "a": SHAPES, **AROUND},
        DATA,
        (2.3, 1.7),
        (
            density(
                "gamma",
                lambda x, a, scale: stats.gamma.logpdf(x, a, 0, scale),
                ("x", "a", "scale"),
                _draw,
                _gamma,
            ),
        ),
    ),
    Distribution(
        "gamma_mean",
        {"x": SHORT_XS, "mu": np.array([1.0, 0.3, 7.0, -1.0, NAN]), "a": SHAPES, "loc": SHORT_LOCS},
        DATA,
        (2.3, 1.7),
        (density("gamma_mean", stats.gamma_mean.logpdf, ("x", "mu", "a"), _gamma_mean_draw, _gamma_mean),),
        GAMMA_MEAN,
    ),
    Distribution(
        "chi2",
        {"x": SHORT_XS, "df": SHAPES, **AROUND},
        DATA,
        (2.3, 1.7),
        (
            density(
                "chi2",
                lambda x, df, scale: stats.chi2.logpdf(x, df, 0, scale),
                ("x", "df", "scale"),
                _draw,
                _chi2,
            ),
        ),
    ),
    Distribution(
        "invgamma",
        {"x": SHORT_XS, "a": SHAPES, **AROUND},
        DATA,
        (2.3, 1.7),
        (
            density(
                "invgamma",
                lambda x, a, scale: stats.invgamma.logpdf(x, a, 0, scale),
                ("x", "a", "scale"),
                _invgamma_draw,
                _invgamma,
            ),
        ),
    ),
    Distribution(
        "gengamma",
        {"x": SHORT_XS, "a": SHAPES[1:], "c": np.array([0.5, 1.0, 2.0, -1.0, 0.0]), **AROUND},
        DATA,
        (2.3, 1.2, 1.7),
        (
            density(
                "gengamma",
                lambda x, a, c, scale: stats.gengamma.logpdf(x, a, c, 0, scale),
                ("x", "a", "c", "scale"),
                _gengamma_draw,
                _gengamma,
            ),
        ),
    ),
)
