"""Distributions whose probabilities are series of positive terms, summed to convergence."""

from typing import Any

import numpy as np
from scipy.special import gammaln, xlogy

from tapegrad.ops.further_quantiles import compound_isf, compound_ppf
from tapegrad.ops.mixtures import (
    noncentral_gammainc,
    noncentral_gammaincc,
    poisson_gammainc,
    poisson_gammaincc,
)
from tapegrad.special import logsumexp
from tapegrad.stats.common import (
    ByParts,
    Continuous,
    Discrete,
    Operand,
    choose,
    not_a_count,
    operand,
    placed,
    positive,
    quiet,
    replace,
    shift,
    valid,
)
from tapegrad.stats.steps import by_moments, count_quantile
from tapegrad.stats.sums import log_sum_between, log_sum_from

_MOST_TERMS = 1 << 16
_NEGLIGIBLE = -45.0  # the logarithm of what a sum does not notice


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


def _cmpoisson_guess(z: Any, lam: Any, nu: Any) -> Any:
    level = np.power(lam, 1.0 / nu)
    return by_moments(level - 0.5 * (nu - 1.0) / nu, np.sqrt(level / nu), 0.0, z)


class cmpoisson(Discrete):
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
    @quiet
    def logcdf(k: Operand, lam: Operand, nu: Operand, loc: Operand = 0) -> Any:
        """Log of `cdf`, a sum of probabilities."""
        k, lam, nu = np.floor(shift(k, loc)), positive(lam), positive(nu)
        value = log_sum_between(cmpoisson.logpmf, 0.0, k, lam, nu)
        return replace(replace(value, np.less(k, 0), -np.inf, lam, nu), np.equal(k, np.inf), 0.0, lam, nu)

    @staticmethod
    @quiet
    def logsf(k: Operand, lam: Operand, nu: Operand, loc: Operand = 0) -> Any:
        """Log of `sf`, a sum to convergence, accurate in the tail."""
        k, lam, nu = np.floor(shift(k, loc)), positive(lam), positive(nu)
        value = log_sum_from(cmpoisson.logpmf, np.maximum(k + 1.0, 0.0), lam, nu)
        return replace(replace(value, np.less(k, 0), 0.0, lam, nu), np.equal(k, np.inf), -np.inf, lam, nu)

    @staticmethod
    def ppf(q: Operand, lam: Operand, nu: Operand, loc: Operand = 0) -> Any:
        """The smallest count up to which the probability is at least `q`; of plain numbers."""
        return placed(count_quantile(cmpoisson, q, False, (lam, nu), _cmpoisson_guess), loc, 1)

    @staticmethod
    def isf(q: Operand, lam: Operand, nu: Operand, loc: Operand = 0) -> Any:
        """The smallest count above which the probability is at most `q`; of plain numbers."""
        return placed(count_quantile(cmpoisson, q, True, (lam, nu), _cmpoisson_guess), loc, 1)


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


class tweedie(ByParts, Continuous):
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
    @quiet
    def cdf(x: Operand, mu: Operand, phi: Operand, p: Operand) -> Any:
        """Probability of a value up to `x`, a sum of gamma distribution functions."""
        x, mu, phi = shift(x, 0), positive(mu), positive(phi)
        shape, total, rate = _parts(np.maximum(x, 0.0), mu, phi, p)
        return replace(
            poisson_gammainc(0.0, 0.0, 0.0, 0.0, shape, total, rate), np.less(x, 0), 0.0, mu, phi, rate
        )

    @staticmethod
    @quiet
    def sf(x: Operand, mu: Operand, phi: Operand, p: Operand) -> Any:
        """Probability of a value above `x`, accurate in the tail."""
        x, mu, phi = shift(x, 0), positive(mu), positive(phi)
        shape, total, rate = _parts(np.maximum(x, 0.0), mu, phi, p)
        return replace(poisson_gammaincc(0.0, 0.0, shape, total, rate), np.less(x, 0), 1.0, mu, phi, rate)

    @staticmethod
    @quiet
    def ppf(q: Operand, mu: Operand, phi: Operand, p: Operand) -> Any:
        """Quantile: the smallest value up to which the probability is at least `q`."""
        shape, each, rate = _parts(1.0, positive(mu), positive(phi), p)
        return compound_ppf(operand(q), shape, rate) / each

    @staticmethod
    @quiet
    def isf(q: Operand, mu: Operand, phi: Operand, p: Operand) -> Any:
        """The value above which the probability is `q`."""
        shape, each, rate = _parts(1.0, positive(mu), positive(phi), p)
        return compound_isf(operand(q), shape, rate) / each


def _parts(x: Any, mu: Any, phi: Any, p: Operand) -> tuple[Any, Any, Any]:
    """The shape of each gamma variable, `x` in units of their scale, and the mean of their number."""
    p = valid(p, np.logical_and(np.greater(p, 1), np.less(p, 2)))
    each = np.power(mu, 1.0 - p) / (phi * (p - 1.0))
    return (2.0 - p) / (p - 1.0), x * each, np.power(mu, 2.0 - p) / (phi * (2.0 - p))


def _log_bessel_series(k: Any, log_product: Any) -> Any:
    """The logarithm of the sum of ``exp(j log_product) / (j! (j + k)!)`` over j = 0, 1, ..."""
    terms = 32
    while True:
        first = -gammaln(k + 1.0)
        last = terms * log_product - gammaln(terms + 1.0) - gammaln(terms + k + 1.0)
        slope = log_product - np.log(terms) - np.log(terms + k)
        goes_on = np.logical_or(np.greater(last - first, _NEGLIGIBLE), np.greater(slope, -0.7))
        if not np.any(goes_on):
            break
        terms *= 2
        if terms > _MOST_TERMS:
            raise ValueError(
                f"skellam: the series has more than {_MOST_TERMS} terms. Their number grows as the means; "
                "keep these below about 10000"
            )
    j = np.arange(float(terms))
    exponents = (
        np.expand_dims(log_product, -1) * j - gammaln(j + 1.0) - gammaln(np.expand_dims(k, -1) + (j + 1.0))
    )
    return logsumexp(exponents, axis=-1)


def _skellam_guess(z: Any, mu1: Any, mu2: Any) -> Any:
    return by_moments(mu1 - mu2, np.sqrt(mu1 + mu2), 0.0, z)


class skellam(ByParts, Discrete):  # SciPy's name
    """The distribution of Skellam: the difference of two Poisson counts, of means `mu1` > 0 and `mu2` > 0.

    Examples
    --------
    >>> from tapegrad.stats import skellam
    >>> float(round(skellam.logpmf(1, mu1=2.0, mu2=1.5), 6))
    -1.563087
    """

    @staticmethod
    @quiet
    def logpmf(k: Operand, mu1: Operand, mu2: Operand, loc: Operand = 0) -> Any:
        """Log of the probability; ``-inf`` where `k` is not whole.

        It is a series to convergence, whose number of terms grows as the means.

        Parameters
        ----------
        k : array_like
            Differences.
        mu1, mu2 : array_like
            Means of the two counts.
        loc : array_like
            Shift of the support.

        Returns
        -------
        float or ndarray
            One log-probability for each element of the broadcast arguments.
        """
        k, mu1, mu2 = shift(k, loc), positive(mu1), positive(mu2)
        size = np.abs(k)
        powers = size * np.log(choose(np.less(k, 0), mu2, mu1))
        value = powers - (mu1 + mu2) + _log_bessel_series(size, np.log(mu1) + np.log(mu2))
        return replace(value, not_a_count(size), -np.inf, mu1, mu2)

    @staticmethod
    @quiet
    def cdf(k: Operand, mu1: Operand, mu2: Operand, loc: Operand = 0) -> Any:
        """Probability of a difference up to `k`, a sum of Poisson distribution functions."""
        k, mu1, mu2 = np.floor(shift(k, loc)), positive(mu1), positive(mu2)
        right = noncentral_gammaincc(np.maximum(k, 0.0) + 1.0, mu1, mu2)
        return choose(np.less(k, 0), noncentral_gammainc(0.0, np.maximum(-k, 1.0), mu2, mu1), right)

    @staticmethod
    @quiet
    def sf(k: Operand, mu1: Operand, mu2: Operand, loc: Operand = 0) -> Any:
        """Probability of a difference above `k`."""
        return skellam.cdf(-(np.floor(shift(k, loc)) + 1.0), mu2, mu1)

    @staticmethod
    def ppf(q: Operand, mu1: Operand, mu2: Operand, loc: Operand = 0) -> Any:
        """The smallest count up to which the probability is at least `q`; of plain numbers."""
        return placed(count_quantile(skellam, q, False, (mu1, mu2), _skellam_guess, -np.inf, np.inf), loc, 1)

    @staticmethod
    def isf(q: Operand, mu1: Operand, mu2: Operand, loc: Operand = 0) -> Any:
        """The smallest count above which the probability is at most `q`; of plain numbers."""
        return placed(count_quantile(skellam, q, True, (mu1, mu2), _skellam_guess, -np.inf, np.inf), loc, 1)
