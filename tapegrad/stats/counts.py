"""Distributions of counts: numbers of events, of failures, and of successes."""

from typing import Any

import numpy as np
from scipy.special import betainc, betaincc, gammainc, gammaincc, gammaln, xlog1py, xlogy

from tapegrad.ops.deviances import bd0, nb_deviance
from tapegrad.ops.gammas import HALF_LOG_2PI, gamma_rest, gamma_rest_gain, log_poch
from tapegrad.stats.common import (
    ByParts,
    Discrete,
    Operand,
    choose,
    not_a_count,
    placed,
    quiet,
    replace,
    shift,
    valid,
)
from tapegrad.stats.steps import by_moments, count_quantile

# Up to these counts the usual formulas, of which a tape makes more, have an error below 1e-12 of the result.
_POISSON_COUNTS = 1000
_NBINOM_COUNTS = 500


def log_factorial_rest(k: Any) -> Any:
    """``log(k!) - k log(k) + k``, which grows as slowly as log(k)."""
    positive = np.greater(k, 0)
    k = choose(positive, k, 1.0)
    return choose(positive, gamma_rest(0.0, k) + (np.log(k) + HALF_LOG_2PI), 0.0)


def _poisson_guess(z: Any, mu: Any) -> Any:
    return by_moments(mu, np.sqrt(mu), 1.0 / np.sqrt(mu), z)


class poisson(ByParts, Discrete):  # SciPy's name
    """The Poisson distribution on 0, 1, 2, ...: mean `mu` >= 0.

    Examples
    --------
    >>> from tapegrad.stats import poisson
    >>> float(round(poisson.logpmf(3, mu=2.0), 6))
    -1.712318
    """

    @staticmethod
    @quiet
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
        k, mu = shift(k, loc), valid(mu, np.greater_equal(mu, 0))
        if np.greater(k, _POISSON_COUNTS).any():
            value = -(bd0(k, mu) + log_factorial_rest(k))
        else:
            value = xlogy(k, mu) - (gammaln(k + 1) + mu)
        return replace(value, not_a_count(k), -np.inf, mu)

    @staticmethod
    @quiet
    def cdf(k: Operand, mu: Operand, loc: Operand = 0) -> Any:
        """Probability of a count up to `k`."""
        k, mu = np.floor(shift(k, loc)), valid(mu, np.greater_equal(mu, 0))
        return replace(gammaincc(np.maximum(k, 0.0) + 1.0, mu), np.less(k, 0), 0.0, mu)

    @staticmethod
    @quiet
    def sf(k: Operand, mu: Operand, loc: Operand = 0) -> Any:
        """Probability of a count above `k`."""
        k, mu = np.floor(shift(k, loc)), valid(mu, np.greater_equal(mu, 0))
        return replace(gammainc(np.maximum(k, 0.0) + 1.0, mu), np.less(k, 0), 1.0, mu)

    @staticmethod
    def ppf(q: Operand, mu: Operand, loc: Operand = 0) -> Any:
        """The smallest count up to which the probability is at least `q`; of plain numbers."""
        return placed(count_quantile(poisson, q, False, (mu,), _poisson_guess), loc, 1)

    @staticmethod
    def isf(q: Operand, mu: Operand, loc: Operand = 0) -> Any:
        """The smallest count above which the probability is at most `q`; of plain numbers."""
        return placed(count_quantile(poisson, q, True, (mu,), _poisson_guess), loc, 1)


def _size(n: Operand) -> Any:
    return valid(n, np.greater(n, 0))


def _chance(p: Operand) -> Any:
    return valid(p, np.logical_and(np.greater(p, 0), np.less_equal(p, 1)))


def _nbinom_guess(z: Any, n: Any, p: Any) -> Any:
    deviation = np.sqrt(n * (1.0 - p)) / p
    return by_moments(n * (1.0 - p) / p, deviation, (2.0 - p) / np.sqrt(n * (1.0 - p)), z)


class nbinom(ByParts, Discrete):  # SciPy's name
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
    @quiet
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
        k, n, p = shift(k, loc), _size(n), _chance(p)
        if np.greater(k, _NBINOM_COUNTS).any():
            value = gamma_rest_gain(0.0, n, k) - (nb_deviance(n, k, p) + log_factorial_rest(k))
        else:
            value = log_poch(n, k) - gammaln(k + 1) + n * np.log(p) + xlog1py(k, -p)
        return replace(value, not_a_count(k), -np.inf, n, p)

    @staticmethod
    @quiet
    def cdf(k: Operand, n: Operand, p: Operand, loc: Operand = 0) -> Any:
        """Probability of a count up to `k`."""
        k, n, p = np.floor(shift(k, loc)), _size(n), _chance(p)
        return replace(betainc(n, np.maximum(k, 0.0) + 1.0, p), np.less(k, 0), 0.0, n, p)

    @staticmethod
    @quiet
    def sf(k: Operand, n: Operand, p: Operand, loc: Operand = 0) -> Any:
        """Probability of a count above `k`."""
        k, n, p = np.floor(shift(k, loc)), _size(n), _chance(p)
        return replace(betaincc(n, np.maximum(k, 0.0) + 1.0, p), np.less(k, 0), 1.0, n, p)

    @staticmethod
    def ppf(q: Operand, n: Operand, p: Operand, loc: Operand = 0) -> Any:
        """The smallest count up to which the probability is at least `q`; of plain numbers."""
        return placed(count_quantile(nbinom, q, False, (n, p), _nbinom_guess), loc, 1)

    @staticmethod
    def isf(q: Operand, n: Operand, p: Operand, loc: Operand = 0) -> Any:
        """The smallest count above which the probability is at most `q`; of plain numbers."""
        return placed(count_quantile(nbinom, q, True, (n, p), _nbinom_guess), loc, 1)


def _bernoulli_guess(z: Any, p: Any) -> Any:
    return 0.0 * p


class bernoulli(Discrete):  # SciPy's name
    """The Bernoulli distribution on 0 and 1: `p` in [0, 1] is the probability of 1.

    Examples
    --------
    >>> from tapegrad.stats import bernoulli
    >>> float(round(bernoulli.logpmf(1, p=0.3), 6))
    -1.203973
    """

    @staticmethod
    @quiet
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
        k = shift(k, loc)
        p = valid(p, np.logical_and(np.greater_equal(p, 0), np.less_equal(p, 1)))
        value = xlogy(k, p) + xlog1py(1 - k, -p)
        return replace(value, np.logical_or(not_a_count(k), np.greater(k, 1)), -np.inf, p)

    @staticmethod
    @quiet
    def logcdf(k: Operand, p: Operand, loc: Operand = 0) -> Any:
        """Log of `cdf`, ``log(1 - p)`` from 0 to 1."""
        k = shift(k, loc)
        p = valid(p, np.logical_and(np.greater_equal(p, 0), np.less_equal(p, 1)))
        value = replace(np.log1p(-p) + 0.0 * k, np.greater_equal(k, 1), 0.0, p)
        return replace(value, np.less(k, 0), -np.inf, p)

    @staticmethod
    @quiet
    def logsf(k: Operand, p: Operand, loc: Operand = 0) -> Any:
        """Log of `sf`, ``log(p)`` from 0 to 1."""
        k = shift(k, loc)
        p = valid(p, np.logical_and(np.greater_equal(p, 0), np.less_equal(p, 1)))
        value = replace(np.log(p) + 0.0 * k, np.greater_equal(k, 1), -np.inf, p)
        return replace(value, np.less(k, 0), 0.0, p)

    @staticmethod
    def ppf(q: Operand, p: Operand, loc: Operand = 0) -> Any:
        """The smallest count up to which the probability is at least `q`; of plain numbers."""
        return placed(count_quantile(bernoulli, q, False, (p,), _bernoulli_guess, 0.0, 1.0), loc, 1)

    @staticmethod
    def isf(q: Operand, p: Operand, loc: Operand = 0) -> Any:
        """The smallest count above which the probability is at most `q`; of plain numbers."""
        return placed(count_quantile(bernoulli, q, True, (p,), _bernoulli_guess, 0.0, 1.0), loc, 1)
