"""The true tails of continuous distributions, in mpmath, by which their quantiles are judged.

A quantile x of p is not looked for again: ``(F(x) - p) / f(x)`` is how far it is off, and a step of Newton's
makes the true one of it. There, ``1 / f`` is its derivative in p, and minus the slope of F in a parameter,
divided by f, that in the parameter. The slopes of F are differences at many digits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import mpmath as mp
import numpy as np

import tapegrad as tg
from benchmarks.accuracy import Worst
from tapegrad import stats

BOUND, SLOPE_BOUND = 1e-12, 1e-9
ROUGH = 1e-6  # of a quantile, where a derivative in a parameter passes 0
HUGE = 1e300
LEVELS = (1e-300, 1e-100, 1e-20, 1e-6, 0.02, 0.3, 0.49, 0.6, 0.9, 1.0 - 1e-7, 1.0 - 2.0**-50)
FEW = (1e-200, 0.2, 0.6, 1.0 - 1e-6)
# Where the support has an end: next to it a quantile is the end, of which nothing follows.
BOUNDED = (1e-10, 0.02, 0.3, 0.49, 0.6, 0.9, 1.0 - 1e-7)
Both = Callable[..., tuple[Any, Any]]


class Quantile(NamedTuple):
    """The true tails of a distribution.

    Attributes
    ----------
    tails : callable
        ``tails(x, *parameters)`` in mpmath: the probabilities below x and above it.
    at : tuple of tuple of float
        Parameters, those of location left out.
    names : str
        Of the parameters.
    levels : tuple of float
        Probabilities.
    digits : int
        That mpmath computes with.
    """

    tails: Both
    at: tuple[tuple[float, ...], ...]
    names: str
    levels: tuple[float, ...] = LEVELS
    digits: int = 60


def mirrored(tails: Both) -> Both:
    """The tails of the negative."""
    return lambda x, *params: tails(-x, *params)[::-1]


def of_log(tails: Both) -> Both:
    """The tails of the exponential."""
    return lambda x, *params: tails(mp.log(x), *params)


def _normal(z: Any) -> tuple[Any, Any]:
    return mp.erfc(-z / mp.sqrt(2)) / 2, mp.erfc(z / mp.sqrt(2)) / 2


def _by_level(level: Callable[..., Any]) -> Both:
    """Where a function of x has the exponential distribution."""

    def tails(*arguments: Any) -> tuple[Any, Any]:
        above = mp.exp(-level(*arguments))
        return -mp.expm1(-level(*arguments)), above

    return tails


def _gamma(x: Any, a: Any, scale: Any) -> tuple[Any, Any]:
    return mp.gammainc(a, 0, x / scale, regularized=True), mp.gammainc(a, x / scale, mp.inf, regularized=True)


def _beta(x: Any, a: Any, b: Any) -> tuple[Any, Any]:
    return _lower_beta(a, b, x), _lower_beta(b, a, 1 - x)


def _lower_beta(a: Any, b: Any, x: Any) -> Any:
    return mp.re(x**a * mp.hyp2f1(a, 1 - b, a + 1, x)) / (a * mp.beta(a, b))


def _f(x: Any, a: Any, b: Any, scale: Any) -> tuple[Any, Any]:
    odds = a * x / scale / b
    return _lower_beta(a / 2, b / 2, odds / (1 + odds)), _lower_beta(b / 2, a / 2, 1 / (1 + odds))


def _t(z: Any, df: Any, scale: Any) -> tuple[Any, Any]:
    z = z / scale
    tail = _lower_beta(df / 2, mp.mpf(1) / 2, df / (df + z * z)) / 2
    return (tail, 1 - tail) if z < 0 else (1 - tail, tail)


def _cauchy(x: Any, scale: Any) -> tuple[Any, Any]:
    return mp.atan2(scale, -x) / mp.pi, mp.atan2(scale, x) / mp.pi


def _halfcauchy(x: Any, scale: Any) -> tuple[Any, Any]:
    return 2 * mp.atan(x / scale) / mp.pi, 2 * mp.atan(scale / x) / mp.pi


def _logistic(x: Any, scale: Any) -> tuple[Any, Any]:
    return 1 / (1 + mp.exp(-x / scale)), 1 / (1 + mp.exp(x / scale))


def _laplace(x: Any, scale: Any) -> tuple[Any, Any]:
    tail = mp.exp(-abs(x) / scale) / 2
    return (tail, 1 - tail) if x < 0 else (1 - tail, tail)


def _gengamma(x: Any, a: Any, c: Any, scale: Any) -> tuple[Any, Any]:
    below, above = _gamma((x / scale) ** c, a, mp.mpf(1))
    return (below, above) if c > 0 else (above, below)


def _triang(x: Any, c: Any) -> tuple[Any, Any]:
    if x < c:
        return x * x / c, 1 - x * x / c
    return 1 - (1 - x) ** 2 / (1 - c), (1 - x) ** 2 / (1 - c)


def _halfnorm(x: Any, scale: Any) -> tuple[Any, Any]:
    z = x / scale / mp.sqrt(2)
    return mp.erf(z), mp.erfc(z)


def _exponnorm(x: Any, k: Any, scale: Any) -> tuple[Any, Any]:
    z = x / scale
    tilted = mp.exp(1 / (2 * k * k) - z / k) * _normal(z - 1 / k)[0]
    return _normal(z)[0] - tilted, _normal(z)[1] + tilted


def _invgauss(x: Any, mu: Any, scale: Any) -> tuple[Any, Any]:
    z = x / scale
    root = mp.sqrt(z)
    tilted = mp.exp(2 / mu) * _normal(-(z / mu + 1) / root)[0]
    first = _normal((z / mu - 1) / root)
    return first[0] + tilted, first[1] - tilted


def _skewnorm(z: Any, a: Any) -> tuple[Any, Any]:
    def below(z: Any, a: Any) -> Any:
        steep = abs(z) * (1 + a * a if a * z < 0 else 1)
        width = min(80 / steep if steep else mp.mpf(14), mp.mpf(14))
        top = mp.npdf(z) * _normal(a * z)[0]
        whole = mp.quad(lambda t: mp.npdf(t) * _normal(a * t)[0] / top, mp.linspace(z - width, z, 6))
        return 2 * top * whole

    return below(z, a), below(-z, -a)


def _vonmises(x: Any, kappa: Any) -> tuple[Any, Any]:
    def below(x: Any) -> Any:
        if x > 0:
            return 1 - below(-x)
        return mp.quad(lambda t: mp.exp(kappa * mp.cos(t)), mp.linspace(-mp.pi, x, 7)) / total

    total = 2 * mp.pi * mp.besseli(0, kappa)
    return below(x), below(-x)


def _truncnorm(x: Any, a: Any, b: Any, scale: Any) -> tuple[Any, Any]:
    def between(low: Any, high: Any) -> Any:
        if low > 0:
            return _normal(low)[1] - _normal(high)[1]
        return _normal(high)[0] - _normal(low)[0]

    return between(a, x / scale) / between(a, b), between(x / scale, b) / between(a, b)


def _tweedie(x: Any, mu: Any, phi: Any, p: Any) -> tuple[Any, Any]:
    rate, shape = mu ** (2 - p) / phi / (2 - p), (2 - p) / (p - 1)
    total = x / (phi * (p - 1) * mu ** (p - 1))
    below, above = mp.exp(-rate), mp.mpf(0)
    for j in range(1, 130):
        weight = mp.exp(-rate) * rate**j / mp.factorial(j)
        below += weight * mp.gammainc(shape * j, 0, total, regularized=True)
        above += weight * mp.gammainc(shape * j, total, mp.inf, regularized=True)
    return below, above


def _gev(x: Any, c: Any, scale: Any) -> Any:
    return (1 - c * x / scale) ** (1 / c)


def _weibull(x: Any, c: Any, scale: Any) -> Any:
    return (x / scale) ** c


SCALES = ((1.0,), (3.7,))
SHAPES = ((0.7, 1.3), (3.0, 0.4), (40.0, 2.0))
_gumbel = mirrored(_by_level(lambda x, scale: mp.exp(x / scale)))

QUANTILES: dict[str, Quantile] = {
    "norm": Quantile(lambda x, scale: _normal(x / scale), SCALES, "scale"),
    "lognorm": Quantile(lambda x, s, scale: _normal(mp.log(x / scale) / s), SHAPES[:2], "s scale"),
    "skewnorm": Quantile(_skewnorm, ((-3.0,),), "a", (1e-200, 0.2, 0.9), 30),
    "halfnorm": Quantile(_halfnorm, SCALES, "scale"),
    "exponnorm": Quantile(_exponnorm, ((0.1, 1.0), (1.5, 2.0), (1e3, 1.0)), "K scale", LEVELS, 70),
    "invgauss": Quantile(_invgauss, ((0.01, 2.0), (1.5, 1.0), (1e3, 1.0)), "mu scale", LEVELS, 70),
    "truncnorm": Quantile(
        _truncnorm, ((-1.0, 2.0, 1.5), (3.0, 9.0, 1.0), (-50.0, -40.0, 1.0)), "a b scale", LEVELS[2:], 80
    ),
    "t": Quantile(_t, ((0.6, 1.0), (3.0, 2.0), (45.0, 1.0)), "df scale"),
    "laplace": Quantile(_laplace, SCALES, "scale"),
    "logistic": Quantile(_logistic, SCALES, "scale"),
    "cauchy": Quantile(_cauchy, SCALES, "scale"),
    "halfcauchy": Quantile(_halfcauchy, SCALES, "scale"),
    "expon": Quantile(_by_level(lambda x, scale: x / scale), SCALES, "scale"),
    "rayleigh": Quantile(_by_level(lambda x, scale: (x / scale) ** 2 / 2), SCALES, "scale"),
    "gumbel_r": Quantile(_gumbel, SCALES, "scale"),
    "gumbel_l": Quantile(mirrored(_gumbel), SCALES, "scale"),
    "weibull_min": Quantile(_by_level(_weibull), SHAPES[:2], "c scale"),
    "weibull_max": Quantile(mirrored(_by_level(_weibull)), SHAPES[:2], "c scale"),
    "genextreme": Quantile(
        mirrored(_by_level(lambda x, c, scale: _gev(-x, c, scale))),
        ((-0.3, 2.0), (1e-7, 1.0), (0.4, 1.0)),
        "c scale",
        BOUNDED,
    ),
    "pareto": Quantile(_by_level(lambda x, b, scale: b * mp.log(x / scale)), SHAPES[1:], "b scale"),
    "genpareto": Quantile(
        _by_level(lambda x, c, scale: mp.log1p(c * x / scale) / c),
        ((-0.3, 2.0), (1e-7, 1.0), (0.4, 1.0)),
        "c scale",
        BOUNDED,
    ),
    "gamma": Quantile(_gamma, ((0.3, 1.0), (2.5, 3.0), (400.0, 1.0)), "a scale"),
    "gamma_mean": Quantile(lambda x, mu, a: _gamma(x, a, mu / a), ((2.0, 0.8), (0.1, 9.0)), "mu a"),
    "chi2": Quantile(lambda x, df, scale: _gamma(x, df / 2, 2 * scale), ((1.0, 1.0), (9.0, 2.0)), "df scale"),
    "invgamma": Quantile(
        lambda x, a, scale: _gamma(1 / x, a, 1 / scale)[::-1], ((0.8, 1.0), (6.0, 2.0)), "a scale"
    ),
    "gengamma": Quantile(_gengamma, ((0.7, 2.0, 1.0), (3.0, -1.5, 2.0), (0.02, 9.0, 1.0)), "a c scale"),
    "beta": Quantile(_beta, ((0.4, 0.7), (3.0, 0.9), (9.0, 40.0)), "a b", BOUNDED),
    "beta_mean": Quantile(
        lambda x, mu, phi: _beta(x, mu * phi, (1 - mu) * phi), ((0.2, 4.0), (0.7, 30.0)), "mu phi", BOUNDED
    ),
    "f": Quantile(_f, ((1.4, 3.0, 1.0), (12.0, 5.0, 2.0)), "dfn dfd scale", LEVELS[1:]),
    "uniform": Quantile(lambda x, scale: (x / scale, 1 - x / scale), SCALES, "scale"),
    "triang": Quantile(_triang, ((0.3,), (0.8,)), "c", BOUNDED),
    "vonmises": Quantile(_vonmises, ((0.2,), (2.0,), (60.0,)), "kappa", (1e-9, 0.01, 0.2, 0.49, 0.8), 30),
    "tweedie": Quantile(_tweedie, ((2.0, 1.5, 1.5), (3.0, 0.4, 1.7)), "mu phi p", (0.4, 0.9, 1.0 - 1e-9), 40),
}

# Ops that are compared within the quantiles of a distribution alone.
WITHIN_QUANTILES = {
    "compound_isf": "tweedie",
    "compound_ppf": "tweedie",
    "skewnorm_ppf": "skewnorm",
    "vonmises_ppf": "vonmises",
}


def _arguments(name: str, params: tuple[Any, ...]) -> dict[str, Any]:
    return dict(zip(QUANTILES[name].names.split(), params, strict=True))


def _errors(name: str, method: str, q: float, params: tuple[float, ...]) -> Iterator[tuple[str, float]]:
    """The relative errors of a quantile and of its derivatives; none if it leaves the range of doubles."""
    row, side = QUANTILES[name], (1 if method == "isf" else 0)
    f = getattr(getattr(stats, name), method)
    start = (q, *params)
    traced = tg.trace(lambda theta: f(theta[0], **_arguments(name, tuple(theta[1:]))), start)
    x, slopes = traced.value_and_grad_flat(np.array(start))
    with mp.workdps(row.digits):
        level, at = mp.mpf(q), [mp.mpf(a) for a in params]
        tail = side if q < 0.5 else 1 - side
        aim = level if tail == side else 1 - level

        def solved(y: Any) -> Any:
            return row.tails(y, *at)[tail] - aim

        place = mp.mpf(float(x))
        if not 1e-290 < abs(place) < 1e290:
            return
        step = abs(place) * mp.mpf(10) ** (-row.digits // 3)
        slope = (solved(place + step) - solved(place - step)) / (2 * step)
        off = solved(place) / slope
        # what a relative change of p moves it by counts as well: next to 0 the quantile has no other digits
        yield "value", float(abs(off) / (abs(place) + abs(level / slope)))
        for _ in range(4):
            place -= solved(place) / slope
            slope = (solved(place + step) - solved(place - step)) / (2 * step)
        trues = [(-1 if side else 1) / abs(slope)]
        for i, a in enumerate(at):
            h = abs(a) * mp.mpf(10) ** (-row.digits // 3)
            moved = [row.tails(place, *at[:i], a + k * h, *at[i + 1 :])[tail] for k in (1, -1)]
            trues.append((moved[1] - moved[0]) / (2 * h) / slope)
        for what, true, found, a in zip(("q", *row.names.split()), trues, slopes, (level, *at), strict=True):
            size = abs(true) + (0 if what == "q" else abs(place / a) * ROUGH)
            if size < HUGE:
                yield (
                    f"d/d{what}",
                    float(abs(mp.mpf(float(found)) - true) / size) if np.isfinite(found) else np.inf,
                )


def worst_quantile(name: str, share: int = 1) -> list[Worst]:
    """The worst errors of `ppf` and `isf` and of their derivatives, at one of so many points."""
    found: dict[tuple[str, str], Worst] = {}
    row = QUANTILES[name]
    points = [(method, q, at) for method in ("ppf", "isf") for at in row.at for q in row.levels]
    for method, q, at in points[::share]:
        for what, error in _errors(name, method, q, at):
            bound = BOUND if what in ("value", "d/dq") else SLOPE_BOUND
            new = Worst(f"{name}.{method}", what, error, (q, *at), bound)
            if (method, what) not in found or not error <= found[method, what].error:
                found[method, what] = new
    return list(found.values())


def all_quantiles() -> Iterator[Worst]:
    """The rows of the table of errors."""
    for name in QUANTILES:
        yield from worst_quantile(name)
