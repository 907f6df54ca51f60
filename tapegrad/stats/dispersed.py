"""Counts whose variance is not their mean: negative binomial by its mean, and generalised Poisson."""

from typing import Any

import numpy as np
from scipy.special import betainc, betaincc, gammaln, xlogy

from tapegrad.ops.deviances import bd0
from tapegrad.ops.gammas import gamma_rest_gain
from tapegrad.stats.common import (
    ByParts,
    Discrete,
    Operand,
    choose,
    not_a_count,
    placed,
    positive,
    quiet,
    replace,
    shift,
    valid,
)
from tapegrad.stats.counts import log_factorial_rest
from tapegrad.stats.steps import by_moments, count_quantile
from tapegrad.stats.sums import log_sum_between, log_sum_from

_COUNTS = 500  # up to here the usual formula has an error below 1e-12 of the result


def _nbinom_mu_guess(z: Any, mu: Any, n: Any) -> Any:
    deviation = np.sqrt(mu + mu * mu / n)
    return by_moments(mu, deviation, (n + 2.0 * mu) / (n * deviation), z)


class nbinom_mu(ByParts, Discrete):
    """The negative binomial distribution by its mean `mu` >= 0 and size `n` > 0: ``p = n / (n + mu)``.

    The variance is ``mu + mu**2 / n``; in the NB2 regressions of the econometricians ``n = 1 / alpha``.

    Examples
    --------
    >>> from tapegrad.stats import nbinom_mu
    >>> float(round(nbinom_mu.logpmf(3, mu=3.75, n=2.5), 6))
    -1.941832
    """

    @staticmethod
    @quiet
    def logpmf(k: Operand, mu: Operand, n: Operand, loc: Operand = 0) -> Any:
        """Log of the probability, that of the Poisson distribution in the limit of large `n`.

        Parameters
        ----------
        k : array_like
            Counts.
        mu, n : array_like
            Mean and size.
        loc : array_like
            Shift of the support.

        Returns
        -------
        float or ndarray
            One log-probability for each element of the broadcast arguments.
        """
        k, mu, n = shift(k, loc), valid(mu, np.greater_equal(mu, 0)), positive(n)
        if np.greater(k, _COUNTS).any():
            ratio = (n + k) / (n + mu)
            value = -(bd0(n, n * ratio) + bd0(k, mu * ratio)) - log_factorial_rest(k)
        else:
            u = (k - mu) / (n + mu)
            log_ratio = choose(np.less(u, -0.5), np.log((n + k) / (n + mu)), np.log1p(u))
            value = (n + k) * log_ratio - (k + gammaln(k + 1)) + xlogy(k, mu)
        return replace(value + gamma_rest_gain(0.0, n, k), not_a_count(k), -np.inf, mu, n)

    @staticmethod
    @quiet
    def cdf(k: Operand, mu: Operand, n: Operand, loc: Operand = 0) -> Any:
        """Probability of a count up to `k`."""
        k, mu, n = np.floor(shift(k, loc)), valid(mu, np.greater_equal(mu, 0)), positive(n)
        return replace(betaincc(np.maximum(k, 0.0) + 1.0, n, mu / (n + mu)), np.less(k, 0), 0.0, mu, n)

    @staticmethod
    @quiet
    def sf(k: Operand, mu: Operand, n: Operand, loc: Operand = 0) -> Any:
        """Probability of a count above `k`."""
        k, mu, n = np.floor(shift(k, loc)), valid(mu, np.greater_equal(mu, 0)), positive(n)
        return replace(betainc(np.maximum(k, 0.0) + 1.0, n, mu / (n + mu)), np.less(k, 0), 1.0, mu, n)

    @staticmethod
    def ppf(q: Operand, mu: Operand, n: Operand, loc: Operand = 0) -> Any:
        """The smallest count up to which the probability is at least `q`; of plain numbers."""
        return placed(count_quantile(nbinom_mu, q, False, (mu, n), _nbinom_mu_guess), loc, 1)

    @staticmethod
    def isf(q: Operand, mu: Operand, n: Operand, loc: Operand = 0) -> Any:
        """The smallest count above which the probability is at most `q`; of plain numbers."""
        return placed(count_quantile(nbinom_mu, q, True, (mu, n), _nbinom_mu_guess), loc, 1)


def _below_1(lam: Operand) -> Any:
    return valid(lam, np.logical_and(np.greater_equal(lam, 0), np.less(lam, 1)))


def _genpoisson_guess(z: Any, theta: Any, lam: Any) -> Any:
    mean = theta / (1.0 - lam)
    deviation = np.sqrt(mean) / (1.0 - lam)
    return by_moments(mean, deviation, (1.0 + 2.0 * lam) / np.sqrt(theta * (1.0 - lam)), z)


class genpoisson(Discrete):
    """The generalised Poisson distribution of Consul and Jain (1973): `theta` > 0 and 0 <= `lam` < 1.

    The mean is ``theta / (1 - lam)`` and the variance ``theta / (1 - lam)**3``.

    Examples
    --------
    >>> from tapegrad.stats import genpoisson
    >>> float(round(genpoisson.logpmf(3, theta=2.0, lam=0.3), 6))
    -1.869191
    """

    @staticmethod
    @quiet
    def logpmf(k: Operand, theta: Operand, lam: Operand, loc: Operand = 0) -> Any:
        """Log of the probability, ``log(theta) + (k - 1) log(theta + k lam) - theta - k lam - log(k!)``."""
        k, theta, lam = shift(k, loc), positive(theta), _below_1(lam)
        m = theta + k * lam
        if np.greater(k, _COUNTS).any():
            value = np.log(theta) - np.log(m) - (bd0(k, m) + log_factorial_rest(k))
        else:
            value = np.log(theta) + (k - 1.0) * np.log(m) - m - gammaln(k + 1)
        return replace(value, not_a_count(k), -np.inf, theta, lam)

    @staticmethod
    @quiet
    def logcdf(k: Operand, theta: Operand, lam: Operand, loc: Operand = 0) -> Any:
        """Log of `cdf`, a sum of probabilities."""
        k, theta, lam = np.floor(shift(k, loc)), positive(theta), _below_1(lam)
        value = log_sum_between(genpoisson.logpmf, 0.0, k, theta, lam)
        return replace(
            replace(value, np.less(k, 0), -np.inf, theta, lam), np.equal(k, np.inf), 0.0, theta, lam
        )

    @staticmethod
    @quiet
    def logsf(k: Operand, theta: Operand, lam: Operand, loc: Operand = 0) -> Any:
        """Log of `sf`, a sum to convergence, accurate in the tail."""
        k, theta, lam = np.floor(shift(k, loc)), positive(theta), _below_1(lam)
        value = log_sum_from(genpoisson.logpmf, np.maximum(k + 1.0, 0.0), theta, lam)
        return replace(
            replace(value, np.less(k, 0), 0.0, theta, lam), np.equal(k, np.inf), -np.inf, theta, lam
        )

    @staticmethod
    def ppf(q: Operand, theta: Operand, lam: Operand, loc: Operand = 0) -> Any:
        """The smallest count up to which the probability is at least `q`; of plain numbers."""
        return placed(count_quantile(genpoisson, q, False, (theta, lam), _genpoisson_guess), loc, 1)

    @staticmethod
    def isf(q: Operand, theta: Operand, lam: Operand, loc: Operand = 0) -> Any:
        """The smallest count above which the probability is at most `q`; of plain numbers."""
        return placed(count_quantile(genpoisson, q, True, (theta, lam), _genpoisson_guess), loc, 1)
