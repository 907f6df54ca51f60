"""Log-densities under the names, arguments and parameters of `scipy.stats`.

Every function is plain NumPy and `scipy.special`, so the same code runs on numbers, on arrays and on traced
values. As in SciPy, a point outside the support has density zero (log-density ``-inf``) and an invalid
parameter gives ``nan``; neither warns. Arguments broadcast against each other.

Where the formula itself is already ``nan`` for an invalid parameter there is no test for it, and a support
test on plain data that finds nothing outside adds nothing to a tape.
"""

from typing import Any, TypeAlias

import numpy as np
from scipy.special import gammaln, log_ndtr, ndtr, xlog1py, xlogy

from tapegrad.ops.deviances import bd0, nb_deviance
from tapegrad.ops.gammas import HALF_LOG_2PI, gamma_rest, gamma_rest_gain, log_poch

__all__ = ["bernoulli", "expon", "nbinom", "norm", "poisson"]

# A number, an array, a sequence of numbers, or a traced value: what NumPy's functions take.
Operand: TypeAlias = Any

# Up to these counts the usual formulas, of which a tape makes more, have an error below 1e-12 of the result.
_POISSON_COUNTS = 1000
_NBINOM_COUNTS = 500
_LOG_2 = np.log(2.0)
_quiet = np.errstate(divide="ignore", over="ignore", invalid="ignore")


def _operand(value: Operand) -> Any:
    """Sequences, arrays and pandas objects as float64 arrays; numbers and traced values as they are."""
    if isinstance(value, list | tuple | np.ndarray | np.generic) or hasattr(value, "to_numpy"):
        array = np.asarray(value)
        # On int8, bool or float32 data scipy.special would compute in float32.
        return array.astype(np.float64, copy=False) if array.dtype.kind in "biuf" else array
    return value


def _shift(x: Operand, loc: Operand) -> Any:
    """``x - loc``, and `x` itself for the default `loc`, so that a tape has no entry for it."""
    x = _operand(x)
    return x if isinstance(loc, int | float) and loc == 0 else np.subtract(x, _operand(loc))


def _valid(parameter: Operand, valid: Any) -> Any:
    """The parameter, ``nan`` where it is not valid."""
    parameter = _operand(parameter)
    return parameter if _is_plain(valid) and np.all(valid) else _where(valid, parameter, np.nan)


def _positive(scale: Operand) -> Any:
    return _valid(scale, np.greater(scale, 0))


def _not_a_count(k: Any) -> Any:
    # Written so that it is False for nan, which must come out as nan and not as an impossible count.
    return np.logical_or(np.less(k, 0), np.less(np.floor(k), k))


def _replace(value: Any, outside: Any, by: float, *parameters: Any) -> Any:
    """`value`, with `by` put in where `outside` holds and no parameter is ``nan``."""
    if _is_plain(outside) and not np.any(outside):
        return value
    for parameter in parameters:
        outside = np.logical_and(outside, np.logical_not(np.isnan(parameter)))
    return _where(outside, by, value)


def _log_factorial_rest(k: Any) -> Any:
    """``log(k!) - k log(k) + k``, which grows as slowly as log(k)."""
    positive = np.greater(k, 0)
    k = _where(positive, k, 1.0)
    return _where(positive, gamma_rest(0.0, k) + (np.log(k) + HALF_LOG_2PI), 0.0)


def _where(condition: Any, a: Any, b: Any) -> Any:
    chosen = np.where(condition, a, b)
    # For numbers NumPy gives an array without axes; indexing turns it into a number.
    return chosen[()] if isinstance(chosen, np.ndarray) else chosen


def _is_plain(mask: Any) -> bool:
    return isinstance(mask, np.ndarray | np.generic)


class norm:  # SciPy's name
    """The normal distribution: mean `loc`, standard deviation `scale` > 0.

    Examples
    --------
    >>> from tapegrad.stats import norm
    >>> float(round(norm.logpdf(1.0, loc=0.0, scale=2.0), 6))
    -1.737086
    """

    @staticmethod
    @_quiet
    def logpdf(x: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Log of the density, ``-((x - loc) / scale)**2 / 2 - log(scale) - log(2 pi) / 2``.

        Parameters
        ----------
        x : array_like
            Where to evaluate it.
        loc, scale : array_like
            Mean and standard deviation, in the units of `x`.

        Returns
        -------
        float or ndarray
            One log-density for each element of the broadcast arguments.
        """
        scale = _operand(scale)
        z = np.divide(_shift(x, loc), scale)
        return -0.5 * (z * z) - (np.log(scale) + HALF_LOG_2PI)

    @staticmethod
    def pdf(x: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Density, the exponential of `logpdf`."""
        return np.exp(norm.logpdf(x, loc, scale))

    @staticmethod
    @_quiet
    def cdf(x: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Probability of a value up to `x`."""
        return ndtr(_shift(x, loc) / _positive(scale))

    @staticmethod
    @_quiet
    def logcdf(x: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Log of `cdf`, accurate far into the left tail where `cdf` underflows."""
        return log_ndtr(_shift(x, loc) / _positive(scale))

    @staticmethod
    @_quiet
    def sf(x: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Probability of a value above `x` (the survival function)."""
        return ndtr(-(_shift(x, loc) / _positive(scale)))

    @staticmethod
    @_quiet
    def logsf(x: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Log of `sf`, accurate far into the right tail where `sf` underflows."""
        return log_ndtr(-(_shift(x, loc) / _positive(scale)))


class expon:  # SciPy's name
    """The exponential distribution on ``x >= loc``: `scale` > 0 is the mean above `loc`, 1 / rate.

    Examples
    --------
    >>> from tapegrad.stats import expon
    >>> float(round(expon.logpdf(1.0, scale=2.0), 6))
    -1.193147
    """

    @staticmethod
    @_quiet
    def logpdf(x: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Log of the density, ``-(x - loc) / scale - log(scale)``; ``-inf`` for ``x < loc``.

        Parameters
        ----------
        x : array_like
            Where to evaluate it.
        loc, scale : array_like
            Lower end of the support, and mean distance from it, in the units of `x`.

        Returns
        -------
        float or ndarray
            One log-density for each element of the broadcast arguments.
        """
        x, scale = _shift(x, loc), _positive(scale)
        return _replace(-(x / scale) - np.log(scale), np.less(x, 0), -np.inf, scale)

    @staticmethod
    def pdf(x: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Density, the exponential of `logpdf`."""
        return np.exp(expon.logpdf(x, loc, scale))

    @staticmethod
    @_quiet
    def cdf(x: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Probability of a value up to `x`."""
        x, scale = _shift(x, loc), _positive(scale)
        return _replace(-np.expm1(-(x / scale)), np.less(x, 0), 0.0, scale)

    @staticmethod
    @_quiet
    def logcdf(x: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Log of `cdf`, accurate at both ends.

        The two forms and the point between them are those of M. Maechler, "Accurately computing
        log(1 - exp(-|a|))" (2012), equation 7.
        """
        x, scale = _shift(x, loc), _positive(scale)
        z = x / scale
        value = _where(np.less(z, _LOG_2), np.log(-np.expm1(-z)), np.log1p(-np.exp(-z)))
        return _replace(value, np.less(x, 0), -np.inf, scale)

    @staticmethod
    def sf(x: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Probability of a value above `x` (the survival function)."""
        return np.exp(expon.logsf(x, loc, scale))

    @staticmethod
    @_quiet
    def logsf(x: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Log of `sf`, ``-(x - loc) / scale``; 0 for ``x < loc``."""
        x, scale = _shift(x, loc), _positive(scale)
        return _replace(-(x / scale), np.less(x, 0), 0.0, scale)


class poisson:  # SciPy's name
    """The Poisson distribution on 0, 1, 2, ...: mean `mu` >= 0.

    Examples
    --------
    >>> from tapegrad.stats import poisson
    >>> float(round(poisson.logpmf(3, mu=2.0), 6))
    -1.712318
    """

    @staticmethod
    @_quiet
    def logpmf(k: Operand, mu: Operand, loc: Operand = 0) -> Any:
        """Log of the probability, ``k log(mu) - mu - log(k!)``; ``-inf`` where `k` is not a count.

        Where a count is above 1,000 it is computed in the saddle-point form of C. Loader, "Fast and accurate
        computation of binomial probabilities" (2000), in which nothing large cancels.

        Parameters
        ----------
        k : array_like
            Counts.
        mu : array_like
            Mean, at least 0.
        loc : array_like
            Shift of the support.

        Returns
        -------
        float or ndarray
            One log-probability for each element of the broadcast arguments.
        """
        k, mu = _shift(k, loc), _valid(mu, np.greater_equal(mu, 0))
        if np.greater(k, _POISSON_COUNTS).any():
            value = -(bd0(k, mu) + _log_factorial_rest(k))
        else:
            value = xlogy(k, mu) - (gammaln(k + 1) + mu)
        return _replace(value, _not_a_count(k), -np.inf, mu)


class nbinom:  # SciPy's name
    """The negative binomial distribution: failures before `n` > 0 successes of probability 0 < `p` <= 1.

    `n` need not be whole. A regression with mean `mu` and variance ``mu + alpha * mu**2`` (the NB2 of the
    econometricians) has ``n = 1 / alpha`` and ``p = n / (n + mu)``.

    Examples
    --------
    >>> from tapegrad.stats import nbinom
    >>> float(round(nbinom.logpmf(3, n=2.5, p=0.4), 6))
    -1.941832
    """

    @staticmethod
    @_quiet
    def logpmf(k: Operand, n: Operand, p: Operand, loc: Operand = 0) -> Any:
        """Log of the probability; ``-inf`` where `k` is not a count.

        It is ``log Gamma(n + k) - log Gamma(k + 1) - log Gamma(n) + n log(p) + k log(1 - p)``, and keeps its
        digits where `n` is huge, that is near the Poisson limit. Where a count is above 500, it is computed
        in the saddle-point form of `poisson.logpmf`.

        Parameters
        ----------
        k : array_like
            Counts of failures.
        n, p : array_like
            Number of successes waited for, and the probability of each.
        loc : array_like
            Shift of the support.

        Returns
        -------
        float or ndarray
            One log-probability for each element of the broadcast arguments.
        """
        k = _shift(k, loc)
        n = _valid(n, np.greater(n, 0))
        p = _valid(p, np.logical_and(np.greater(p, 0), np.less_equal(p, 1)))
        if np.greater(k, _NBINOM_COUNTS).any():
            value = gamma_rest_gain(0.0, n, k) - (nb_deviance(n, k, p) + _log_factorial_rest(k))
        else:
            value = log_poch(n, k) - gammaln(k + 1) + n * np.log(p) + xlog1py(k, -p)
        return _replace(value, _not_a_count(k), -np.inf, n, p)


class bernoulli:  # SciPy's name
    """The Bernoulli distribution on 0 and 1: `p` in [0, 1] is the probability of 1.

    Examples
    --------
    >>> from tapegrad.stats import bernoulli
    >>> float(round(bernoulli.logpmf(1, p=0.3), 6))
    -1.203973
    """

    @staticmethod
    @_quiet
    def logpmf(k: Operand, p: Operand, loc: Operand = 0) -> Any:
        """Log of the probability, ``log(p)`` at 1 and ``log(1 - p)`` at 0; ``-inf`` anywhere else.

        Parameters
        ----------
        k : array_like
            Outcomes, 0 or 1.
        p : array_like
            Probability of 1.
        loc : array_like
            Shift of the support.

        Returns
        -------
        float or ndarray
            One log-probability for each element of the broadcast arguments.
        """
        k = _shift(k, loc)
        p = _valid(p, np.logical_and(np.greater_equal(p, 0), np.less_equal(p, 1)))
        value = xlogy(k, p) + xlog1py(1 - k, -p)
        return _replace(value, np.logical_or(_not_a_count(k), np.greater(k, 1)), -np.inf, p)
