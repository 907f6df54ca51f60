"""The gamma distribution under its names: by shape, by mean, as chi-squared, of a power, of the inverse."""

from typing import Any

import numpy as np
from scipy.special import gammainc, gammaincc, gammaln

from tapegrad.ops.deviances import bd0
from tapegrad.ops.gammas import HALF_LOG_2PI, gamma_rest
from tapegrad.ops.quantiles import gamma_isf, gamma_ppf
from tapegrad.stats.common import (
    ByParts,
    Continuous,
    Operand,
    at_edge,
    choose,
    operand,
    outside_or_infinite,
    placed,
    positive,
    probability,
    quiet,
    replace,
    shift,
    valid,
)

_TINY = 1e-290  # below, a gamma quantile is a power of the probability


def log_density(x: Any, z: Any, a: Any) -> Any:
    """Of ``x = scale * z``, where z has the gamma distribution of shape `a`.

    It is in the form of C. Loader, "Fast and accurate computation of binomial probabilities" (2000), in which
    nothing large cancels.
    """
    return -(bd0(a, z) + np.log(x)) - (gamma_rest(0.0, a) + HALF_LOG_2PI)


class gamma(ByParts, Continuous):  # SciPy's name
    """The gamma distribution on ``x >= loc``: shape `a` > 0, `scale` > 0 (1 / rate).

    Examples
    --------
    >>> from tapegrad.stats import gamma
    >>> float(round(gamma.logpdf(1.0, a=2.0, scale=3.0), 6))
    -2.530558
    """

    @staticmethod
    @quiet
    def logpdf(x: Operand, a: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Log of the density, with all its digits at large shapes too.

        Parameters
        ----------
        x : array_like
            Where to evaluate it.
        a : array_like
            Shape.
        loc, scale : array_like
            Lower end of the support, and scale, in the units of `x`.

        Returns
        -------
        float or ndarray
            One log-density for each element of the broadcast arguments.
        """
        x, a, scale = shift(x, loc), positive(a), positive(scale)
        value = at_edge(log_density(x, x / scale, a), np.equal(x, 0), a - 1.0, -np.log(scale), a, scale)
        return replace(value, outside_or_infinite(x, np.less(x, 0)), -np.inf, a, scale)

    @staticmethod
    @quiet
    def cdf(x: Operand, a: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Probability of a value up to `x`."""
        x, a, scale = shift(x, loc), positive(a), positive(scale)
        return replace(gammainc(a, x / scale), np.less(x, 0), 0.0, a, scale)

    @staticmethod
    @quiet
    def sf(x: Operand, a: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Probability of a value above `x`."""
        x, a, scale = shift(x, loc), positive(a), positive(scale)
        return replace(gammaincc(a, x / scale), np.less(x, 0), 1.0, a, scale)

    @staticmethod
    @quiet
    def ppf(q: Operand, a: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Quantile: the value up to which the probability is `q`."""
        return placed(gamma_ppf(operand(q), positive(a)), loc, positive(scale))

    @staticmethod
    @quiet
    def isf(q: Operand, a: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """The value above which the probability is `q`."""
        return placed(gamma_isf(operand(q), positive(a)), loc, positive(scale))


class gamma_mean(Continuous):
    """The gamma distribution by its mean `mu` > 0 and shape `a` > 0: the scale is ``mu / a``.

    The variance is ``mu**2 / a``, as in a gamma regression.

    Examples
    --------
    >>> from tapegrad.stats import gamma_mean
    >>> float(round(gamma_mean.logpdf(1.0, mu=6.0, a=2.0), 6))
    -2.530558
    """

    @staticmethod
    @quiet
    def logpdf(x: Operand, mu: Operand, a: Operand, loc: Operand = 0) -> Any:
        """Log of the density."""
        x, mu, a = shift(x, loc), positive(mu), positive(a)
        value = -a * bd0(1.0, x / mu) - (np.log(x) + (gamma_rest(0.0, a) + HALF_LOG_2PI))
        value = at_edge(value, np.equal(x, 0), a - 1.0, -np.log(mu), mu, a)
        return replace(value, outside_or_infinite(x, np.less(x, 0)), -np.inf, mu, a)

    @staticmethod
    @quiet
    def cdf(x: Operand, mu: Operand, a: Operand, loc: Operand = 0) -> Any:
        """Probability of a value up to `x`."""
        mu, a = positive(mu), positive(a)
        return gamma.cdf(x, a, loc, mu / a)

    @staticmethod
    @quiet
    def sf(x: Operand, mu: Operand, a: Operand, loc: Operand = 0) -> Any:
        """Probability of a value above `x`."""
        mu, a = positive(mu), positive(a)
        return gamma.sf(x, a, loc, mu / a)

    @staticmethod
    @quiet
    def logcdf(x: Operand, mu: Operand, a: Operand, loc: Operand = 0) -> Any:
        """Log of `cdf`."""
        mu, a = positive(mu), positive(a)
        return gamma.logcdf(x, a, loc, mu / a)

    @staticmethod
    @quiet
    def logsf(x: Operand, mu: Operand, a: Operand, loc: Operand = 0) -> Any:
        """Log of `sf`."""
        mu, a = positive(mu), positive(a)
        return gamma.logsf(x, a, loc, mu / a)

    @staticmethod
    @quiet
    def ppf(q: Operand, mu: Operand, a: Operand, loc: Operand = 0) -> Any:
        """Quantile: the value up to which the probability is `q`."""
        mu, a = positive(mu), positive(a)
        return gamma.ppf(q, a, loc, mu / a)

    @staticmethod
    @quiet
    def isf(q: Operand, mu: Operand, a: Operand, loc: Operand = 0) -> Any:
        """The value above which the probability is `q`."""
        mu, a = positive(mu), positive(a)
        return gamma.isf(q, a, loc, mu / a)


class chi2(Continuous):  # SciPy's name
    """The chi-squared distribution on ``x >= loc``: `df` > 0 degrees of freedom.

    Examples
    --------
    >>> from tapegrad.stats import chi2
    >>> float(round(chi2.logpdf(1.0, df=3.0), 6))
    -1.418939
    """

    @staticmethod
    @quiet
    def logpdf(x: Operand, df: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Log of the density: that of a gamma distribution of shape ``df / 2`` and scale ``2 * scale``."""
        return gamma.logpdf(x, 0.5 * operand(df), loc, 2.0 * operand(scale))

    @staticmethod
    @quiet
    def cdf(x: Operand, df: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Probability of a value up to `x`."""
        return gamma.cdf(x, 0.5 * operand(df), loc, 2.0 * operand(scale))

    @staticmethod
    @quiet
    def sf(x: Operand, df: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Probability of a value above `x`."""
        return gamma.sf(x, 0.5 * operand(df), loc, 2.0 * operand(scale))

    @staticmethod
    @quiet
    def logcdf(x: Operand, df: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Log of `cdf`."""
        return gamma.logcdf(x, 0.5 * operand(df), loc, 2.0 * operand(scale))

    @staticmethod
    @quiet
    def logsf(x: Operand, df: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Log of `sf`."""
        return gamma.logsf(x, 0.5 * operand(df), loc, 2.0 * operand(scale))

    @staticmethod
    @quiet
    def ppf(q: Operand, df: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Quantile: the value up to which the probability is `q`."""
        return gamma.ppf(q, 0.5 * operand(df), loc, 2.0 * operand(scale))

    @staticmethod
    @quiet
    def isf(q: Operand, df: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """The value above which the probability is `q`."""
        return gamma.isf(q, 0.5 * operand(df), loc, 2.0 * operand(scale))


class invgamma(ByParts, Continuous):  # SciPy's name
    """The inverse gamma distribution on ``x > loc``: ``scale / (x - loc)`` is gamma, of shape `a`.

    Examples
    --------
    >>> from tapegrad.stats import invgamma
    >>> float(round(invgamma.logpdf(1.0, a=2.0, scale=3.0), 6))
    -0.802775
    """

    @staticmethod
    @quiet
    def logpdf(x: Operand, a: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Log of the density; ``-inf`` for ``x <= loc``."""
        x, a, scale = shift(x, loc), positive(a), positive(scale)
        return replace(
            log_density(x, scale / x, a), outside_or_infinite(x, np.less_equal(x, 0)), -np.inf, a, scale
        )

    @staticmethod
    @quiet
    def cdf(x: Operand, a: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Probability of a value up to `x`."""
        x, a, scale = shift(x, loc), positive(a), positive(scale)
        return replace(gammaincc(a, scale / x), np.less_equal(x, 0), 0.0, a, scale)

    @staticmethod
    @quiet
    def sf(x: Operand, a: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Probability of a value above `x`."""
        x, a, scale = shift(x, loc), positive(a), positive(scale)
        return replace(gammainc(a, scale / x), np.less_equal(x, 0), 1.0, a, scale)

    @staticmethod
    @quiet
    def ppf(q: Operand, a: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Quantile: the value up to which the probability is `q`."""
        return placed(1.0 / gamma_isf(operand(q), positive(a)), loc, positive(scale))

    @staticmethod
    @quiet
    def isf(q: Operand, a: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """The value above which the probability is `q`."""
        return placed(1.0 / gamma_ppf(operand(q), positive(a)), loc, positive(scale))


def _power(x: Any, scale: Any, c: Any) -> Any:
    return np.exp(c * np.log(x / scale))


def _power_quantile(below: Any, z: Any, a: Any, c: Any) -> Any:
    """A power of a gamma quantile, which may be in range where that is not; `below` is its probability."""
    tiny = np.less(z, _TINY)
    return replace(np.power(z, 1.0 / c), tiny, np.exp((np.log(below) + gammaln(a + 1.0)) / (a * c)))


class gengamma(ByParts, Continuous):  # SciPy's name
    """The generalised gamma distribution on ``x >= loc``: the power `c` of it is gamma, of shape `a`.

    `c` may be negative, and is not 0.

    Examples
    --------
    >>> from tapegrad.stats import gengamma
    >>> float(round(gengamma.logpdf(1.0, a=2.0, c=1.5, scale=3.0), 6))
    -3.082822
    """

    @staticmethod
    @quiet
    def logpdf(x: Operand, a: Operand, c: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Log of the density."""
        x, a, scale, c = shift(x, loc), positive(a), positive(scale), valid(c, np.not_equal(c, 0))
        value = np.log(np.abs(c)) + log_density(x, _power(x, scale, c), a)
        flat = np.log(np.abs(c)) - gammaln(a) - np.log(scale)
        value = at_edge(value, np.equal(x, 0), choose(np.less(c, 0), 1.0, a * c - 1.0), flat, a, c, scale)
        return replace(value, outside_or_infinite(x, np.less(x, 0)), -np.inf, a, c, scale)

    @staticmethod
    @quiet
    def cdf(x: Operand, a: Operand, c: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Probability of a value up to `x`."""
        x, a, scale, c = shift(x, loc), positive(a), positive(scale), valid(c, np.not_equal(c, 0))
        z = _power(x, scale, c)
        return replace(
            choose(np.greater(c, 0), gammainc(a, z), gammaincc(a, z)), np.less_equal(x, 0), 0.0, a, c, scale
        )

    @staticmethod
    @quiet
    def sf(x: Operand, a: Operand, c: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Probability of a value above `x`."""
        x, a, scale, c = shift(x, loc), positive(a), positive(scale), valid(c, np.not_equal(c, 0))
        z = _power(x, scale, c)
        return replace(
            choose(np.greater(c, 0), gammaincc(a, z), gammainc(a, z)), np.less_equal(x, 0), 1.0, a, c, scale
        )

    @staticmethod
    @quiet
    def ppf(q: Operand, a: Operand, c: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Quantile: the value up to which the probability is `q`."""
        q, a, c = probability(q), positive(a), valid(c, np.not_equal(c, 0))
        up = np.greater(c, 0)
        z = choose(up, gamma_ppf(q, a), gamma_isf(q, a))
        return placed(_power_quantile(choose(up, q, 1.0 - q), z, a, c), loc, positive(scale))

    @staticmethod
    @quiet
    def isf(q: Operand, a: Operand, c: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """The value above which the probability is `q`."""
        q, a, c = probability(q), positive(a), valid(c, np.not_equal(c, 0))
        up = np.greater(c, 0)
        z = choose(up, gamma_isf(q, a), gamma_ppf(q, a))
        return placed(_power_quantile(choose(up, 1.0 - q, q), z, a, c), loc, positive(scale))
