"""Counts whose variance is not their mean: negative binomial by its mean, generalised and CMP Poisson."""

from typing import Any

import numpy as np
from scipy.special import gammaln, xlogy

from tapegrad.ops.deviances import bd0
from tapegrad.ops.gammas import gamma_rest_gain
from tapegrad.special import logsumexp
from tapegrad.stats.common import Operand, choose, not_a_count, positive, quiet, replace, shift, valid
from tapegrad.stats.counts import log_factorial_rest

_COUNTS = 500  # up to here the usual formula has an error below 1e-12 of the result
_MOST_TERMS = 1 << 16
_NEGLIGIBLE = -45.0  # the logarithm of what a sum does not notice


class nbinom_mu:
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
            value = (n + k) * np.log1p(u) - (k + gammaln(k + 1)) + xlogy(k, mu)
        return replace(value + gamma_rest_gain(0.0, n, k), not_a_count(k), -np.inf, mu, n)

    @staticmethod
    def pmf(k: Operand, mu: Operand, n: Operand, loc: Operand = 0) -> Any:
        """Probability of `k`, the exponential of `logpmf`."""
        return np.exp(nbinom_mu.logpmf(k, mu, n, loc))


class genpoisson:
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
        k, theta = shift(k, loc), positive(theta)
        lam = valid(lam, np.logical_and(np.greater_equal(lam, 0), np.less(lam, 1)))
        m = theta + k * lam
        if np.greater(k, _COUNTS).any():
            value = np.log(theta) - np.log(m) - (bd0(k, m) + log_factorial_rest(k))
        else:
            value = np.log(theta) + (k - 1.0) * np.log(m) - m - gammaln(k + 1)
        return replace(value, not_a_count(k), -np.inf, theta, lam)

    @staticmethod
    def pmf(k: Operand, theta: Operand, lam: Operand, loc: Operand = 0) -> Any:
        """Probability of `k`, the exponential of `logpmf`."""
        return np.exp(genpoisson.logpmf(k, theta, lam, loc))


def _normaliser(lam: Any, nu: Any) -> Any:
    """The logarithm of the sum of ``lam**j / (j!)**nu``, until a term is nothing next to the first."""
    terms = 32
    log_lam = np.log(lam)
    while True:
        last = terms * log_lam - nu * gammaln(terms + 1.0)
        goes_on = np.logical_or(np.greater(last, _NEGLIGIBLE), np.greater(log_lam - nu * np.log(terms), -0.7))
        if not np.any(goes_on):
            break
        terms *= 2
        if terms > _MOST_TERMS:
            raise ValueError(
                f"cmpoisson: the series of the normaliser has more than {_MOST_TERMS} terms. Their number "
                "grows as lam**(1 / nu); keep this below about 10000"
            )
    j = np.arange(1.0, terms)
    exponents = np.expand_dims(log_lam, -1) * j - np.expand_dims(nu, -1) * gammaln(j + 1)
    return np.logaddexp(0.0, logsumexp(exponents, axis=-1))  # the term of 0 is 1


class cmpoisson:
    """The Conway-Maxwell-Poisson distribution: `lam` > 0, `nu` > 0; Poisson's for ``nu = 1``.

    Examples
    --------
    >>> from tapegrad.stats import cmpoisson
    >>> float(round(cmpoisson.logpmf(3, lam=2.0, nu=1.0), 6))  # Poisson
    -1.712318
    """

    @staticmethod
    @quiet
    def logpmf(k: Operand, lam: Operand, nu: Operand, loc: Operand = 0) -> Any:
        """Log of the probability, ``k log(lam) - nu log(k!)`` less the logarithm of the normaliser.

        The normaliser is a series to convergence, whose number of terms grows as ``lam**(1 / nu)``.

        Parameters
        ----------
        k : array_like
            Counts.
        lam, nu : array_like
            Rate and dispersion: counts spread less than Poisson's for ``nu > 1``.
        loc : array_like
            Shift of the support.

        Returns
        -------
        float or ndarray
            One log-probability for each element of the broadcast arguments.
        """
        k, lam, nu = shift(k, loc), positive(lam), positive(nu)
        value = (xlogy(k, lam) - nu * gammaln(k + 1)) - _normaliser(lam, nu)
        return replace(value, not_a_count(k), -np.inf, lam, nu)

    @staticmethod
    def pmf(k: Operand, lam: Operand, nu: Operand, loc: Operand = 0) -> Any:
        """Probability of `k`, the exponential of `logpmf`."""
        return np.exp(cmpoisson.logpmf(k, lam, nu, loc))


def _series(z: Any, a: Any) -> Any:
    """The logarithm of the sum of ``exp(j z) / (j! Gamma(j a))`` over j = 1, 2, ..."""
    terms = 32
    first = z - gammaln(a)
    while True:
        last = terms * z - gammaln(terms + 1.0) - gammaln(terms * a)
        slope = z - np.log(terms) - a * np.log(terms * a)
        goes_on = np.logical_or(np.greater(last - first, _NEGLIGIBLE), np.greater(slope, -0.7))
        if not np.any(goes_on):
            break
        terms *= 2
        if terms > _MOST_TERMS:
            raise ValueError(
                f"tweedie: the series has more than {_MOST_TERMS} terms. Their number grows as "
                "x**(2 - p) / (phi * (2 - p)); is phi too small, or p too close to 1 or 2?"
            )
    j = np.arange(1.0, terms + 1.0)
    exponents = np.expand_dims(z, -1) * j - gammaln(j + 1) - gammaln(np.expand_dims(a, -1) * j)
    return logsumexp(exponents, axis=-1)


class tweedie:
    """The Tweedie distribution of power 1 < `p` < 2: mean `mu` > 0, variance ``phi * mu**p``.

    It is a sum of a Poisson number of gamma variables: 0 with some probability, with a density above.

    Examples
    --------
    >>> from tapegrad.stats import tweedie
    >>> float(round(tweedie.logpdf(0.0, mu=2.0, phi=1.5, p=1.5), 6))
    -1.885618
    """

    @staticmethod
    @quiet
    def logpdf(x: Operand, mu: Operand, phi: Operand, p: Operand) -> Any:
        """Log of the density for ``x > 0``, and of the probability of ``x = 0``.

        It is the series of P. K. Dunn and G. K. Smyth (2005), to convergence.

        Parameters
        ----------
        x : array_like
            Where to evaluate it.
        mu, phi, p : array_like
            Mean, dispersion and power.

        Returns
        -------
        float or ndarray
            One number for each element of the broadcast arguments.
        """
        x, mu, phi = shift(x, 0), positive(mu), positive(phi)
        p = valid(p, np.logical_and(np.greater(p, 1), np.less(p, 2)))
        rate = np.power(mu, 2.0 - p) / (phi * (2.0 - p))
        some = replace(x, np.logical_or(np.less_equal(x, 0), np.isinf(x)), 1.0)
        a = (2.0 - p) / (p - 1.0)
        z = a * (np.log(some) - np.log(phi * (p - 1.0))) - np.log(phi * (2.0 - p))
        each = np.power(mu, 1.0 - p) / (phi * (p - 1.0))
        value = choose(np.equal(x, 0), -rate, _series(z, a) - np.log(some) - (some * each + rate))
        return replace(value, np.logical_or(np.less(x, 0), np.isinf(x)), -np.inf, mu, phi, p)

    @staticmethod
    def pdf(x: Operand, mu: Operand, phi: Operand, p: Operand) -> Any:
        """Density at `x`, and the probability of 0."""
        return np.exp(tweedie.logpdf(x, mu, phi, p))
