"""Distributions made of the normal: log-normal, skew-normal, half-normal, with an exponential part."""

import math
from typing import Any

import numpy as np
from scipy.special import erf, erfc, erfcinv, erfinv, log_ndtr, ndtr, ndtri

from tapegrad.ops.further_quantiles import exponnorm_isf, exponnorm_ppf, skewnorm_ppf, wald_isf, wald_ppf
from tapegrad.ops.gammas import HALF_LOG_2PI
from tapegrad.ops.skew import skewnorm_cdf
from tapegrad.ops.tilted import exponnorm_log_tails, invgauss_log_tails, log_tilted
from tapegrad.stats.common import (
    ByParts,
    Continuous,
    Operand,
    choose,
    log_of_part,
    operand,
    placed,
    positive,
    probability,
    quiet,
    replace,
    shift,
    standardize,
)
from tapegrad.stats.normals import norm

_LOG_2 = math.log(2.0)
_ROOT = math.sqrt(0.5)


class lognorm(Continuous):  # SciPy's name
    """The log-normal distribution on ``x > loc``: ``log(x - loc)`` is normal, around ``log(scale)``.

    `s` > 0 is its standard deviation.

    Examples
    --------
    >>> from tapegrad.stats import lognorm
    >>> float(round(lognorm.logpdf(1.0, s=0.5, scale=2.0), 6))
    -1.186697
    """

    @staticmethod
    @quiet
    def logpdf(x: Operand, s: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Log of the density; ``-inf`` for ``x <= loc``.

        Parameters
        ----------
        x : array_like
            Where to evaluate it.
        s : array_like
            Standard deviation of the logarithm.
        loc, scale : array_like
            Lower end of the support, and median above it, in the units of `x`.

        Returns
        -------
        float or ndarray
            One log-density for each element of the broadcast arguments.
        """
        x, s, scale = shift(x, loc), positive(s), positive(scale)
        log_x = np.log(x)
        y = (log_x - np.log(scale)) / s
        value = -0.5 * (y * y) - (log_x + HALF_LOG_2PI) - np.log(s)
        return replace(value, np.less_equal(x, 0), -np.inf, s, scale)

    @staticmethod
    @quiet
    def cdf(x: Operand, s: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Probability of a value up to `x`."""
        x, s, scale = shift(x, loc), positive(s), positive(scale)
        return replace(ndtr((np.log(x) - np.log(scale)) / s), np.less_equal(x, 0), 0.0, s, scale)

    @staticmethod
    @quiet
    def sf(x: Operand, s: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Probability of a value above `x`."""
        x, s, scale = shift(x, loc), positive(s), positive(scale)
        return replace(ndtr((np.log(scale) - np.log(x)) / s), np.less_equal(x, 0), 1.0, s, scale)

    @staticmethod
    @quiet
    def logcdf(x: Operand, s: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Log of `cdf`, accurate in both tails."""
        x, s, scale = shift(x, loc), positive(s), positive(scale)
        return replace(log_ndtr((np.log(x) - np.log(scale)) / s), np.less_equal(x, 0), -np.inf, s, scale)

    @staticmethod
    @quiet
    def logsf(x: Operand, s: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Log of `sf`, accurate in both tails."""
        x, s, scale = shift(x, loc), positive(s), positive(scale)
        return replace(log_ndtr((np.log(scale) - np.log(x)) / s), np.less_equal(x, 0), 0.0, s, scale)

    @staticmethod
    @quiet
    def ppf(q: Operand, s: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Quantile: the value up to which the probability is `q`."""
        return placed(np.exp(positive(s) * ndtri(operand(q))), loc, positive(scale))

    @staticmethod
    @quiet
    def isf(q: Operand, s: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """The value above which the probability is `q`."""
        return placed(np.exp(-positive(s) * ndtri(operand(q))), loc, positive(scale))


class skewnorm(ByParts, Continuous):  # SciPy's name
    """The skew-normal distribution: skewness parameter `a`, location `loc`, `scale` > 0.

    Examples
    --------
    >>> from tapegrad.stats import skewnorm
    >>> float(round(skewnorm.logpdf(1.0, a=2.0), 6))
    -0.748804
    """

    @staticmethod
    @quiet
    def logpdf(x: Operand, a: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Log of the density, that of the normal and ``log(2 ndtr(a z))`` for ``z = (x - loc) / scale``."""
        z, scale = standardize(x, loc, scale)
        value = (log_ndtr(operand(a) * z) - 0.5 * (z * z)) - (np.log(scale) + (HALF_LOG_2PI - _LOG_2))
        return replace(value, np.isinf(operand(x)), -np.inf, a, loc, scale)

    @staticmethod
    @quiet
    def cdf(x: Operand, a: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Probability of a value up to `x`, with its digits in either tail."""
        return skewnorm_cdf(standardize(x, loc, scale)[0], operand(a))

    @staticmethod
    @quiet
    def sf(x: Operand, a: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Probability of a value above `x`."""
        return skewnorm_cdf(-standardize(x, loc, scale)[0], np.negative(operand(a)))

    @staticmethod
    @quiet
    def ppf(q: Operand, a: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Quantile: the value up to which the probability is `q`."""
        return placed(skewnorm_ppf(operand(q), operand(a)), loc, positive(scale))

    @staticmethod
    @quiet
    def isf(q: Operand, a: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """The value above which the probability is `q`."""
        return placed(-skewnorm_ppf(operand(q), np.negative(operand(a))), loc, positive(scale))


class halfnorm(Continuous):  # SciPy's name
    """The half-normal distribution on ``x >= loc``: `scale` > 0 is the deviation of the whole.

    Examples
    --------
    >>> from tapegrad.stats import halfnorm
    >>> float(round(halfnorm.logpdf(1.0, scale=2.0), 6))
    -1.043939
    """

    @staticmethod
    @quiet
    def logpdf(x: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Log of the density; ``-inf`` for ``x < loc``."""
        x, scale = shift(x, loc), positive(scale)
        return replace(norm.logpdf(x, 0, scale) + _LOG_2, np.less(x, 0), -np.inf, scale)

    @staticmethod
    @quiet
    def cdf(x: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Probability of a value up to `x`."""
        x, scale = shift(x, loc), positive(scale)
        return replace(erf(_ROOT * (x / scale)), np.less(x, 0), 0.0, scale)

    @staticmethod
    @quiet
    def sf(x: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Probability of a value above `x`."""
        x, scale = shift(x, loc), positive(scale)
        return replace(erfc(_ROOT * (x / scale)), np.less(x, 0), 1.0, scale)

    @staticmethod
    @quiet
    def logcdf(x: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Log of `cdf`."""
        return log_of_part(halfnorm.cdf(x, loc, scale), halfnorm.sf(x, loc, scale))

    @staticmethod
    @quiet
    def logsf(x: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Log of `sf`, accurate far into the tail."""
        x, scale = shift(x, loc), positive(scale)
        z = x / scale
        value = choose(np.less(z, 0.5), np.log1p(-erf(_ROOT * z)), log_ndtr(-z) + _LOG_2)
        return replace(value, np.less(x, 0), 0.0, scale)

    @staticmethod
    @quiet
    def ppf(q: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Quantile: the value up to which the probability is `q`."""
        return placed(math.sqrt(2.0) * erfinv(probability(q)), loc, positive(scale))

    @staticmethod
    @quiet
    def isf(q: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """The value above which the probability is `q`."""
        return placed(math.sqrt(2.0) * erfcinv(probability(q)), loc, positive(scale))


class exponnorm(Continuous):  # SciPy's name
    """A normal variable (`loc`, `scale`) plus an exponential one, whose mean is ``K * scale``.

    Examples
    --------
    >>> from tapegrad.stats import exponnorm
    >>> float(round(exponnorm.logpdf(1.0, K=1.5), 6))
    -1.311059
    """

    @staticmethod
    @quiet
    def logpdf(x: Operand, K: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Log of the density, accurate in both tails."""
        k = positive(K)
        z, scale = standardize(x, loc, scale)
        value = log_tilted(z, k) - (np.log(k) + np.log(scale))
        return replace(value, np.isinf(operand(x)), -np.inf, k, loc, scale)

    @staticmethod
    @quiet
    def logcdf(x: Operand, K: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Log of `cdf`, far into the left tail too."""
        k = positive(K)
        z, scale = standardize(x, loc, scale)
        value = exponnorm_log_tails(z, k)[0]
        value = replace(value, np.equal(operand(x), np.inf), 0.0, k, loc, scale)
        return replace(value, np.equal(operand(x), -np.inf), -np.inf, k, loc, scale)

    @staticmethod
    @quiet
    def logsf(x: Operand, K: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Log of `sf`, accurate far into the right tail."""
        k = positive(K)
        z, scale = standardize(x, loc, scale)
        value = exponnorm_log_tails(z, k)[1]
        value = replace(value, np.equal(operand(x), np.inf), -np.inf, k, loc, scale)
        return replace(value, np.equal(operand(x), -np.inf), 0.0, k, loc, scale)

    @staticmethod
    @quiet
    def ppf(q: Operand, K: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Quantile: the value up to which the probability is `q`."""
        return placed(exponnorm_ppf(operand(q), positive(K)), loc, positive(scale))

    @staticmethod
    @quiet
    def isf(q: Operand, K: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """The value above which the probability is `q`."""
        return placed(exponnorm_isf(operand(q), positive(K)), loc, positive(scale))


class invgauss(Continuous):  # SciPy's name
    """The inverse Gaussian distribution on ``x > loc``: `mu` > 0, `scale` > 0; the mean is ``mu * scale``.

    With the mean m and the shape lambda of the textbooks, ``mu = m / lambda`` and ``scale = lambda``.

    Examples
    --------
    >>> from tapegrad.stats import invgauss
    >>> float(round(invgauss.logpdf(1.0, mu=0.5, scale=2.0), 6))
    -0.572365
    """

    @staticmethod
    @quiet
    def logpdf(x: Operand, mu: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Log of the density; ``-inf`` for ``x <= loc``."""
        x, mu, scale = shift(x, loc), positive(mu), positive(scale)
        z = x / scale
        away = (z - mu) / mu
        value = -0.5 * (away * away / z) - (1.5 * np.log(x) + HALF_LOG_2PI) + 0.5 * np.log(scale)
        outside = np.logical_or(np.less_equal(x, 0), np.isinf(x))
        return replace(value, outside, -np.inf, mu, scale)

    @staticmethod
    @quiet
    def logcdf(x: Operand, mu: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Log of `cdf`, far into the left tail too."""
        x, mu, scale = shift(x, loc), positive(mu), positive(scale)
        value = invgauss_log_tails(x / scale, mu)[0]
        value = replace(value, np.equal(x, np.inf), 0.0, mu, scale)
        return replace(value, np.less_equal(x, 0), -np.inf, mu, scale)

    @staticmethod
    @quiet
    def logsf(x: Operand, mu: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Log of `sf`."""
        x, mu, scale = shift(x, loc), positive(mu), positive(scale)
        value = invgauss_log_tails(x / scale, mu)[1]
        value = replace(value, np.equal(x, np.inf), -np.inf, mu, scale)
        return replace(value, np.less_equal(x, 0), 0.0, mu, scale)

    @staticmethod
    @quiet
    def ppf(q: Operand, mu: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Quantile: the value up to which the probability is `q`."""
        return placed(wald_ppf(operand(q), positive(mu)), loc, positive(scale))

    @staticmethod
    @quiet
    def isf(q: Operand, mu: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """The value above which the probability is `q`."""
        return placed(wald_isf(operand(q), positive(mu)), loc, positive(scale))
