"""The noncentral F and Student t distributions, of scipy.special.

The one is a sum over a Poisson number of beta distribution functions, as `mixtures` has them of the gamma
distribution: all terms are positive, and a derivative in a shape is the sum of the derivatives of the terms.

The other is an integral over the logarithm of a chi variable, of an integrand that is entire and falls off on
both sides (Johnson, Kotz, Balakrishnan: Continuous Univariate Distributions 2, 31). So equal steps give all
digits. The steps may move with the parameters, for the integral does not depend on them; so its derivatives
are those of the sum.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.special import _ufuncs

from tapegrad.ops.elementwise import exp, log, sqrt, square
from tapegrad.ops.incomplete_beta import _betainc_slope, _density, beta_density
from tapegrad.ops.incomplete_gamma import LEAST
from tapegrad.ops.logic import maximum, minimum, where
from tapegrad.ops.mixtures import BISECTIONS, summed
from tapegrad.ops.normal import log_ndtr
from tapegrad.ops.orders import of_order
from tapegrad.ops.raw import special
from tapegrad.ops.reductions import logsumexp
from tapegrad.ops.registry import NUMPY, Op, written
from tapegrad.ops.shaping import reshape_, shape_of
from tapegrad.ops.special import gammaln
from tapegrad.ops.tails import on_columns

# Noncentral F: sums of beta distribution functions ----------------------------------------------------------


def _crest(a: Any, b: Any, x: Any, y: Any) -> Any:
    """The number at which a Poisson probability times the beta density is largest."""
    low, high = np.zeros_like(y), 2.0 * (y + np.sqrt(y * (a + b + 1.0))) + 10.0
    for _ in range(BISECTIONS):
        middle = 0.5 * (low + high)
        rises = np.log(y / middle) + np.log(x * (a + b + middle) / (a + middle)) > 0.0
        low, high = np.where(rises, middle, low), np.where(rises, high, middle)
    return 0.5 * (low + high)


def _sum(term: Callable[..., Any], side: Any, c: int, *operands: Any) -> Any:
    """The sum of ``term(j, a, b, x, 1 - x)``; `side` says around which number."""

    def f(a: Any, b: Any, x: Any, rest: Any, y: Any) -> Any:
        inside = (a > 0.0) & (b > 0.0) & (x > 0.0) & (rest > 0.0) & (y >= 0.0) & np.isfinite(a + b + y)
        a, b, y = (np.where(inside, z, 1.0) for z in (a, b, y))
        x, rest = (np.where(inside, z, 0.5) for z in (x, rest))
        y = np.maximum(y, LEAST)
        centre = side(_crest(a + c, b, x, y), y)
        return np.where(inside, summed(term, centre, c, y, a, b, x, rest), np.nan)

    return on_columns(f, *operands)


def _lower(i: int, k: int, c: int, a: Any, b: Any, x: Any, rest: Any, y: Any, out: Any = None) -> Any:
    def term(j: Any, a: Any, b: Any, x: Any, rest: Any) -> Any:
        if i + k:
            return _betainc_slope(i, k, a + j, b, x, rest)
        return np.where(x < 0.5, special.betainc(a + j, b, x), special.betaincc(b, a + j, rest))

    value = _sum(term, (lambda crest, y: crest) if i + k else np.minimum, c, a, b, x, rest, y)
    x, rest = np.asarray(x), np.asarray(rest)
    return written(np.where(x == 0.0, 0.0, np.where(rest == 0.0, float(i + k == 0), value)), out)


def _upper(c: int, a: Any, b: Any, x: Any, rest: Any, y: Any, out: Any = None) -> Any:
    def term(j: Any, a: Any, b: Any, x: Any, rest: Any) -> Any:
        return np.where(x < 0.5, special.betaincc(a + j, b, x), special.betainc(b, a + j, rest))

    value = _sum(term, np.maximum, c, a, b, x, rest, y)
    x, rest = np.asarray(x), np.asarray(rest)
    return written(np.where(x == 0.0, 1.0, np.where(rest == 0.0, 0.0, value)), out)


def _of_density(
    i: int, k: int, m: int, c: int, a: Any, b: Any, x: Any, rest: Any, y: Any, out: Any = None
) -> Any:
    def term(j: Any, a: Any, b: Any, x: Any, rest: Any) -> Any:
        return _density(i, k, m, a + j, b, x, rest)

    value = _sum(term, lambda crest, y: crest, c, a, b, x, rest, y)
    x, rest = np.asarray(x), np.asarray(rest)
    first = np.exp(np.negative(y)) * beta_density.kernel(i, k, m, a, b, x, rest) if c == 0 else 0.0
    return written(np.where(x == 0.0, first, np.where(rest == 0.0, 0.0, value)), out)


X = np.array([0.3, 0.1, 0.2])  # below a half the rest is not asked for
SAMPLES = (np.array([0.7, 2.5, 4.0]), np.array([1.6, 3.0, 9.0]), X, 1.0 - X, np.array([1.5, 3.0, 0.2]))

# The sum of beta densities, differentiated in both shapes and x; the terms begin with that of c.
poisson_beta_density: Op = of_order(
    "poisson_beta_density",
    _of_density,
    lambda out, i, k, m, c, a, b, x, rest, y: poisson_beta_density(i + 1.0, k, m, c, a, b, x, rest, y),
    lambda out, i, k, m, c, a, b, x, rest, y: poisson_beta_density(i, k + 1.0, m, c, a, b, x, rest, y),
    lambda out, i, k, m, c, a, b, x, rest, y: poisson_beta_density(i, k, m + 1.0, c, a, b, x, rest, y),
    None,
    lambda out, i, k, m, c, a, b, x, rest, y: poisson_beta_density(i, k, m, c + 1.0, a, b, x, rest, y) - out,
    samples=((0.0, 0.0, 0.0, 0.0, *SAMPLES), (1.0, 0.0, 1.0, 0.0, *SAMPLES)),
    orders=4,
)
poisson_betainc: Op = of_order(
    "poisson_betainc",
    _lower,
    lambda out, i, k, c, a, b, x, rest, y: poisson_betainc(i + 1.0, k, c, a, b, x, rest, y),
    lambda out, i, k, c, a, b, x, rest, y: poisson_betainc(i, k + 1.0, c, a, b, x, rest, y),
    lambda out, i, k, c, a, b, x, rest, y: poisson_beta_density(i, k, 0.0, c, a, b, x, rest, y),
    None,
    lambda out, i, k, c, a, b, x, rest, y: poisson_betainc(i, k, c + 1.0, a, b, x, rest, y) - out,
    samples=((0.0, 0.0, 0.0, *SAMPLES), (1.0, 0.0, 0.0, *SAMPLES)),
    orders=3,
)
poisson_betaincc: Op = of_order(
    "poisson_betaincc",
    _upper,
    (-1.0, lambda out, c, a, b, x, rest, y: poisson_betainc(1.0, 0.0, c, a, b, x, rest, y)),
    (-1.0, lambda out, c, a, b, x, rest, y: poisson_betainc(0.0, 1.0, c, a, b, x, rest, y)),
    (-1.0, lambda out, c, a, b, x, rest, y: poisson_beta_density(0.0, 0.0, 0.0, c, a, b, x, rest, y)),
    None,
    lambda out, c, a, b, x, rest, y: poisson_betaincc(c + 1.0, a, b, x, rest, y) - out,
    samples=((0.0, *SAMPLES),),
)


def _of_ratio(dfn: Any, dfd: Any, f: Any) -> tuple[Any, Any]:
    """The share of the numerator in both sums of squares, and the rest."""
    f = maximum(f, 0.0)
    total = dfd + dfn * f
    return dfn * f / total, dfd / total


def _ncf_cdf(dfn: Any, dfd: Any, nc: Any, f: Any) -> Any:
    return poisson_betainc(0.0, 0.0, 0.0, 0.5 * dfn, 0.5 * dfd, *_of_ratio(dfn, dfd, f), 0.5 * nc)


def _ncf_sf(x: Any, dfn: Any, dfd: Any, nc: Any) -> Any:
    return poisson_betaincc(0.0, 0.5 * dfn, 0.5 * dfd, *_of_ratio(dfn, dfd, x), 0.5 * nc)


def _ncf_pdf(x: Any, dfn: Any, dfd: Any, nc: Any) -> Any:
    share, rest = _of_ratio(dfn, dfd, x)
    density = poisson_beta_density(0.0, 0.0, 0.0, 0.0, 0.5 * dfn, 0.5 * dfd, share, rest, 0.5 * nc)
    return density * dfn / dfd * square(rest)


# Noncentral t: integrals in equal steps ---------------------------------------------------------------------

_STEP = 0.1
_STEPS = np.arange(-85.0, 131.0) * _STEP
_WAY, _SPEED = _STEPS - np.expm1(-_STEPS), np.log(1.0 + np.exp(-_STEPS))  # far to the left in few steps
_WIDEST = 0.7  # to the right the integrand falls off as exp(-exp(2 v)), however wide it is to the left


def _crest_of(power: Any, z: Any) -> tuple[Any, Any]:
    """Crest and width of ``u**power exp(-(u - z)**2 / 2)`` in ``log(u)``."""
    root = sqrt(square(z) + 4.0 * power)
    # Of the two forms, the one that does not cancel.
    crest = where(z > 0.0, 0.5 * (z + root), 2.0 * power / (root - where(z > 0.0, 0.0, z)))
    return crest, minimum(1.0 / sqrt(crest * root), _WIDEST)


def _column(x: Any) -> Any:
    return reshape_(x, (*shape_of(x), 1))


def _log_integral(level: Callable[[Any], Any], crest: Any, width: Any) -> Any:
    """The logarithm of the integral of ``exp(level(v))`` over all v, for a last axis of steps."""
    v = _column(crest) + _column(width) * _WAY
    return logsumexp(level(v) + _SPEED, axis=-1) + log(_STEP * width)


def _nct_logpdf(x: Any, df: Any, nc: Any) -> Any:
    total = df + square(x)
    z = nc * x / sqrt(total)
    crest, width = _crest_of(df + 1.0, z)

    def level(v: Any) -> Any:
        return _column(df + 1.0) * v - 0.5 * square(exp(v) - _column(z))

    value = 0.5 * df * log(df) - 0.5 * math.log(math.pi) - gammaln(0.5 * df)
    value = value - 0.5 * (df - 1.0) * math.log(2.0) - 0.5 * (df + 1.0) * log(total)
    return value - 0.5 * df * square(nc) / total + _log_integral(level, log(crest), width)


def _nct_tail(x: Any, df: Any, nc: Any) -> Any:
    """The lower tail below the centre: the mean of that of a normal variable, given the chi variable."""
    scale = 1.0 + square(x) / df
    crest, narrow = _crest_of(df, nc * x / sqrt(df * scale))
    _, width = _crest_of(df, 0.0 * x)

    def level(v: Any) -> Any:
        u = exp(v)
        return _column(df) * v - 0.5 * square(u) + log_ndtr(_column(x / sqrt(df)) * u - _column(nc))

    value = _log_integral(level, log(crest) - 0.5 * log(scale), maximum(narrow, width))
    return exp(value + (1.0 - 0.5 * df) * math.log(2.0) - gammaln(0.5 * df))


def _nct(x: Any, df: Any, nc: Any, of_left: bool) -> Any:
    """By the smaller of both tails."""
    is_left = x < nc
    tail = _nct_tail(where(is_left, x, -x), df, where(is_left, nc, -nc))
    return where(is_left, tail, 1.0 - tail) if of_left else where(is_left, 1.0 - tail, tail)


for _ufunc, _rule in (
    ("ncfdtr", _ncf_cdf),
    ("_ncf_sf", _ncf_sf),
    ("_ncf_pdf", _ncf_pdf),
    ("nctdtr", lambda df, nc, t: _nct(t, df, nc, True)),
    ("_nct_sf", lambda x, df, nc: _nct(x, df, nc, False)),
    ("_nct_pdf", lambda x, df, nc: exp(_nct_logpdf(x, df, nc))),
):
    if hasattr(_ufuncs, _ufunc):  # versions of SciPy have other ones
        NUMPY[getattr(_ufuncs, _ufunc)] = _rule
