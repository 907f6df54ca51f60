"""scipy.stats: formulas of distributions that SciPy computes in compiled code, number by number.

Each stands in the place of a method of the standard form, and is written as SciPy defines it.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.special import gammainc, gammaincc, gammaln, ive, kve

from tapegrad.errors import TraceError
from tapegrad.ops.mixtures import chndtr, ncx2_pdf, ncx2_sf
from tapegrad.ops.quotients import log1p_over
from tapegrad.ops.registry import Recordable
from tapegrad.recording.frames import whereabouts
from tapegrad.special import logsumexp
from tapegrad.stats import vonmises

_HALF_LOG_2PI = 0.5 * math.log(2.0 * math.pi)


def _plain(number: Any) -> Any:
    """A whole parameter as Python decides on it, which a tape guards."""
    return np.asarray(number.decide() if isinstance(number, Recordable) else number)


# Bessel functions -------------------------------------------------------------------------------------------


def _geninvgauss(x: Any, p: Any, b: Any) -> Any:
    return (p - 1.0) * np.log(x) - 0.5 * b * (x - 1.0) ** 2 / x - np.log(2.0 * kve(p, b))


def _genhyperbolic(x: Any, p: Any, a: Any, b: Any) -> Any:
    root = np.hypot(1.0, x)
    gap = (a - b) * (a + b)
    width = np.sqrt(gap)
    level = 0.5 * p * np.log(gap) - _HALF_LOG_2PI - (p - 0.5) * np.log(a) - (np.log(kve(p, width)) - width)
    return level + (p - 0.5) * np.log(root) + (np.log(kve(p - 0.5, a * root)) - a * root) + b * x


# Pearson's third type ---------------------------------------------------------------------------------------

_NORMAL = 0.000016


def _pearson3(x: Any, skew: Any) -> tuple[Any, Any, Any]:
    """Two by the skewness, the gamma variable and its shape."""
    if np.any(np.less(np.abs(skew), _NORMAL)):
        raise TraceError(
            "pearson3 of scipy.stats takes a normal distribution for a skewness below 0.000016, and so has "
            f"no slope in it there{whereabouts()}: start with another skewness"
        )
    slope = 2.0 / skew
    return slope, slope * (x + slope), slope * slope


def _pearson3_logpdf(x: Any, skew: Any) -> Any:
    slope, y, shape = _pearson3(x, skew)
    inside = np.greater(y, 0.0)
    some = np.where(inside, y, 1.0)
    value = np.log(np.abs(slope)) + (shape - 1.0) * np.log(some) - some - gammaln(shape)
    return np.where(inside, value, -np.inf)


def _pearson3_tail(of_left: bool) -> Callable[..., Any]:
    def tail(x: Any, skew: Any) -> Any:
        slope, y, shape = _pearson3(x, skew)
        y = np.maximum(y, 0.0)
        is_lower = np.equal(np.greater(slope, 0.0), of_left)
        return np.where(is_lower, gammainc(shape, y), gammaincc(shape, y))

    return tail


# Sums of uniform variables: a B-spline, by the recurrence of de Boor ----------------------------------------


def _b_splines(x: Any, order: int, count: int) -> list[Any]:
    """The B-spline of so many whole knots at ``x``, ``x - 1`` and so on: `count` of them."""
    at = [x - float(j) for j in range(count + order - 1)]
    level = [np.where(np.logical_and(np.greater_equal(y, 0.0), np.less(y, 1.0)), 1.0, 0.0) for y in at]
    for m in range(2, order + 1):
        pairs = zip(at, level[:-1], level[1:], strict=False)
        level = [(y * here + (m - y) * beyond) / (m - 1.0) for y, here, beyond in pairs]
    return level


def _irwinhall(x: Any, n: Any, value: Callable[[Any, int], Any]) -> Any:
    orders = _plain(n)
    total: Any = 0.0
    for order in np.unique(orders[np.isfinite(orders)]).astype(int).tolist():
        total = total + np.where(orders == order, value(x, order), 0.0)
    return total


def _irwinhall_pdf(x: Any, n: Any) -> Any:
    return _irwinhall(x, n, lambda x, order: _b_splines(x, order, 1)[0])


def _irwinhall_cdf(x: Any, n: Any) -> Any:
    return _irwinhall(x, n, lambda x, order: sum(_b_splines(x, order + 1, order + 1)))


# Counts -----------------------------------------------------------------------------------------------------


def _fisher_terms(M: Any, n: Any, N: Any, odds: Any) -> tuple[Any, Any]:
    """All counts along a last axis, and the logarithms of their weights."""
    M, n, N = (_plain(number)[..., None] for number in (M, n, N))
    counts = np.arange(np.max(np.minimum(n, N)) + 1.0)
    inside = (counts <= n) & (counts <= N) & (N - counts <= M - n)
    k = np.where(inside, counts, np.maximum(0, N - (M - n)))
    ways = -gammaln(k + 1) - gammaln(n - k + 1) - gammaln(N - k + 1) - gammaln(M - n - N + k + 1)
    odds = odds[..., None] if np.ndim(odds) else odds
    return counts, np.where(inside, ways + k * np.log(odds), -np.inf)


def _fisher_logpmf(x: Any, M: Any, n: Any, N: Any, odds: Any) -> Any:
    M, n, N = (_plain(number) for number in (M, n, N))
    _, weights = _fisher_terms(M, n, N, odds)
    k = np.clip(x, np.maximum(0, N - (M - n)), np.minimum(n, N))
    ways = -gammaln(k + 1) - gammaln(n - k + 1) - gammaln(N - k + 1) - gammaln(M - n - N + k + 1)
    return ways + k * np.log(odds) - logsumexp(weights, axis=-1)


def _fisher_cdf(x: Any, M: Any, n: Any, N: Any, odds: Any) -> Any:
    counts, weights = _fisher_terms(M, n, N, odds)
    below = np.where(np.less_equal(counts, np.asarray(x)[..., None]), weights, -np.inf)
    return np.exp(logsumexp(below, axis=-1) - logsumexp(weights, axis=-1))


def _poisson_binomial(cumulates: bool) -> Callable[..., Any]:
    def f(k: Any, *chances: Any) -> Any:
        """Of all counts, one trial after the other."""
        masses: list[Any] = [1.0]
        for p in chances:
            masses = [
                (masses[i] * (1.0 - p) if i < len(masses) else 0.0) + (masses[i - 1] * p if i else 0.0)
                for i in range(len(masses) + 1)
            ]
        k = np.floor(k)
        total: Any = 0.0
        for i, mass in enumerate(masses):
            total = total + np.where(np.greater_equal(k, i) if cumulates else np.equal(k, i), mass, 0.0)
        return total

    return f


# Others -----------------------------------------------------------------------------------------------------


def _kappa4_support(h: Any, k: Any) -> tuple[Any, Any]:
    some = np.where(np.equal(k, 0.0), 1.0, k)
    positive = np.where(np.greater(h, 0.0), h, 1.0)
    low = np.where(np.equal(k, 0.0), np.log(positive), (1.0 - positive**-some) / some)
    otherwise = np.where(np.less(k, 0.0), 1.0 / some, -np.inf)
    low = np.where(np.greater(h, 0.0), low, otherwise)
    return low, np.where(np.greater(k, 0.0), 1.0 / some, np.inf)


def _kappa4(x: Any, h: Any, k: Any) -> tuple[Any, Any]:
    """The logarithms of ``(1 - k x)**(-1 / k)`` and of the distribution function, smooth in both at 0."""
    w = x * log1p_over(0.0, -k * x)
    u = np.exp(-w)
    return w, -u * log1p_over(0.0, -h * u)


def _kappa4_logpdf(x: Any, h: Any, k: Any) -> Any:
    w, log_cdf = _kappa4(x, h, k)
    return (1.0 - h) * log_cdf - (1.0 - k) * w


def _breitwigner_cdf(x: Any, rho: Any) -> Any:
    """The imaginary part of a product of a root and an arctangent."""
    length = np.hypot(1.0, 1.0 / rho)
    real, imaginary = np.sqrt(0.5 * (length - 1.0)), np.sqrt(0.5 * (length + 1.0))  # of sqrt(-1 + i / rho)
    # x over the root of -rho (rho + i), whose imaginary part is negative
    scale = x / (rho * length)
    u, v = scale * real, scale * imaginary
    turn = 0.5 * np.arctan2(2.0 * u, 1.0 - u * u - v * v)
    rise = 0.25 * np.log((u * u + (1.0 + v) ** 2) / (u * u + (1.0 - v) ** 2))
    level = np.sqrt(2.0 / (1.0 + length)) / math.pi
    return np.minimum(2.0 * level * (real * rise + imaginary * turn), 1.0)


def _ncx2_logpdf(x: Any, df: Any, nc: Any) -> Any:
    """SciPy's formula, and at a noncentrality of 0, where that divides by 0, one with a slope in it."""
    root_x, root_nc = np.sqrt(x), np.sqrt(nc)
    order = 0.5 * df - 1.0
    value = (
        0.5 * order * np.log(x / nc)
        - 0.5 * (root_x - root_nc) ** 2
        + np.log(0.5 * ive(order, root_x * root_nc))
    )
    return np.where(np.equal(nc, 0.0), np.log(ncx2_pdf(x, df, nc)), value)


FORMULAS: dict[tuple[str, str], Callable[..., Any]] = {
    ("geninvgauss", "_logpdf"): _geninvgauss,
    ("genhyperbolic", "_logpdf"): _genhyperbolic,
    ("irwinhall", "_pdf"): _irwinhall_pdf,
    ("irwinhall", "_cdf"): _irwinhall_cdf,
    ("kappa4", "_get_support"): _kappa4_support,
    ("kappa4", "_logpdf"): _kappa4_logpdf,
    ("kappa4", "_cdf"): lambda x, h, k: np.exp(_kappa4(x, h, k)[1]),
    ("kappa4", "_logcdf"): lambda x, h, k: _kappa4(x, h, k)[1],
    ("nchypergeom_fisher", "_logpmf"): _fisher_logpmf,
    ("nchypergeom_fisher", "_cdf"): _fisher_cdf,
    ("ncx2", "_logpdf"): _ncx2_logpdf,
    ("ncx2", "_cdf"): chndtr,
    ("ncx2", "_sf"): ncx2_sf,
    ("pearson3", "_logpdf"): _pearson3_logpdf,
    ("pearson3", "_cdf"): _pearson3_tail(True),
    ("pearson3", "_sf"): _pearson3_tail(False),
    ("poisson_binom", "_pmf"): _poisson_binomial(False),
    ("poisson_binom", "_cdf"): _poisson_binomial(True),
    ("rel_breitwigner", "_cdf"): _breitwigner_cdf,
    ("vonmises_line", "_cdf"): vonmises.cdf,
}


def formula(dist: Any, name: str) -> Callable[..., Any]:
    """What computes a method of the standard form of a distribution of SciPy's."""
    found = FORMULAS.get((dist.name, name))
    theirs = getattr(sys.modules.get("scipy.stats"), dist.name, None)
    return getattr(dist, name) if found is None or type(theirs) is not type(dist) else found
