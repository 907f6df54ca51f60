"""Counts among so many: binomial, beta-binomial, hypergeometric; and trials until a success."""

from typing import Any

import numpy as np
from scipy.special import betainc, betaincc, gammaln, ndtr, xlog1py, xlogy

from tapegrad.ops.deviances import nb_deviance
from tapegrad.ops.gammas import log_poch
from tapegrad.stats.common import (
    ByParts,
    Discrete,
    Operand,
    choose,
    log1mexp,
    not_a_count,
    operand,
    placed,
    positive,
    quiet,
    replace,
    shift,
    valid,
)
from tapegrad.stats.counts import log_factorial_rest
from tapegrad.stats.steps import by_moments, count_quantile
from tapegrad.stats.sums import log_sum_between

# Up to these totals the usual formula, of which a tape makes more, has an error below 1e-12 of the result.
_COUNTS = 500


def _is_total(n: Operand) -> Any:
    """Where a number is whole, and not negative."""
    n = operand(n)
    return np.logical_and(np.greater_equal(n, 0), np.equal(np.floor(n), n))


def _probability(p: Operand) -> Any:
    return valid(p, np.logical_and(np.greater_equal(p, 0), np.less_equal(p, 1)))


def _log_choose(n: Any, k: Any) -> Any:
    return gammaln(n + 1) - (gammaln(k + 1) + gammaln(n - k + 1))


def log_mass(k: Any, n: Any, p: Any) -> Any:
    """The binomial log-probability of counts 0 <= k <= n in the saddle-point form of C. Loader."""
    rest = log_factorial_rest(n) - log_factorial_rest(k) - log_factorial_rest(n - k)
    return rest - nb_deviance(k, n - k, p)


def _binom_guess(z: Any, n: Any, p: Any) -> Any:
    deviation = np.sqrt(n * p * (1.0 - p))
    return by_moments(n * p, deviation, (1.0 - 2.0 * p) / deviation, z)


class binom(ByParts, Discrete):  # SciPy's name
    """The binomial distribution: successes among `n` trials, each of probability 0 <= `p` <= 1.

    Examples
    --------
    >>> from tapegrad.stats import binom
    >>> float(round(binom.logpmf(3, n=10, p=0.4), 6))
    -1.53716
    """

    @staticmethod
    @quiet
    def logpmf(k: Operand, n: Operand, p: Operand, loc: Operand = 0) -> Any:
        """Log of the probability; ``-inf`` where `k` is no count up to `n`.

        Where `n` is above 500 it is computed in the saddle-point form of C. Loader, "Fast and accurate
        computation of binomial probabilities" (2000), in which nothing large cancels.

        Parameters
        ----------
        k : array_like
            Numbers of successes.
        n, p : array_like
            Number of trials, and the probability of success in each.
        loc : array_like
            Shift of the support.

        Returns
        -------
        float or ndarray
            One log-probability for each element of the broadcast arguments.
        """
        k, n, p = shift(k, loc), valid(n, _is_total(n)), _probability(p)
        outside = np.logical_or(not_a_count(k), np.greater(k, n))
        if np.greater(n, _COUNTS).any():
            inside = choose(outside, 0.0, k)
            value = log_mass(inside, n, p)
        else:
            value = _log_choose(n, k) + (xlogy(k, p) + xlog1py(n - k, -p))
        return replace(value, outside, -np.inf, n, p)

    @staticmethod
    @quiet
    def cdf(k: Operand, n: Operand, p: Operand, loc: Operand = 0) -> Any:
        """Probability of a count up to `k`."""
        k, n, p = np.floor(shift(k, loc)), valid(n, _is_total(n)), _probability(p)
        value = betaincc(np.maximum(k + 1.0, 0.5), np.maximum(n - k, 0.5), p)
        value = replace(value, np.less(k, 0), 0.0, n, p)
        return replace(value, np.greater_equal(k, n), 1.0, n, p)

    @staticmethod
    @quiet
    def sf(k: Operand, n: Operand, p: Operand, loc: Operand = 0) -> Any:
        """Probability of a count above `k`."""
        k, n, p = np.floor(shift(k, loc)), valid(n, _is_total(n)), _probability(p)
        value = betainc(np.maximum(k + 1.0, 0.5), np.maximum(n - k, 0.5), p)
        value = replace(value, np.less(k, 0), 1.0, n, p)
        return replace(value, np.greater_equal(k, n), 0.0, n, p)

    @staticmethod
    def ppf(q: Operand, n: Operand, p: Operand, loc: Operand = 0) -> Any:
        """The smallest count up to which the probability is at least `q`; of plain numbers."""
        return placed(count_quantile(binom, q, False, (n, p), _binom_guess, 0.0, n), loc, 1)

    @staticmethod
    def isf(q: Operand, n: Operand, p: Operand, loc: Operand = 0) -> Any:
        """The smallest count above which the probability is at most `q`; of plain numbers."""
        return placed(count_quantile(binom, q, True, (n, p), _binom_guess, 0.0, n), loc, 1)


def _betabinom_guess(z: Any, n: Any, a: Any, b: Any) -> Any:
    share = a / (a + b)
    spread = n * share * (1.0 - share) * (a + b + n) / (a + b + 1.0)
    return by_moments(n * share, np.sqrt(spread), 0.0, z)


class betabinom(Discrete):  # SciPy's name
    """The beta-binomial distribution: `n` trials whose probability has a beta distribution (`a`, `b`).

    Examples
    --------
    >>> from tapegrad.stats import betabinom
    >>> float(round(betabinom.logpmf(3, n=10, a=2.0, b=3.0), 6))
    -1.938941
    """

    @staticmethod
    @quiet
    def logpmf(k: Operand, n: Operand, a: Operand, b: Operand, loc: Operand = 0) -> Any:
        """Log of the probability, with its digits near the binomial limit of large `a` and `b`."""
        k, n, a, b = shift(k, loc), valid(n, _is_total(n)), positive(a), positive(b)
        outside = np.logical_or(not_a_count(k), np.greater(k, n))
        inside = replace(k, outside, 0.0)
        ways = _log_choose(n, inside)
        value = ways + (log_poch(a, inside) + log_poch(b, n - inside)) - log_poch(a + b, n)
        return replace(value, outside, -np.inf, n, a, b)

    @staticmethod
    @quiet
    def logcdf(k: Operand, n: Operand, a: Operand, b: Operand, loc: Operand = 0) -> Any:
        """Log of `cdf`, a sum of probabilities, as is `logsf`."""
        k, n, a, b = np.floor(shift(k, loc)), valid(n, _is_total(n)), positive(a), positive(b)
        value = log_sum_between(betabinom.logpmf, 0.0, np.minimum(k, n), n, a, b)
        return replace(replace(value, np.less(k, 0), -np.inf, n, a, b), np.greater_equal(k, n), 0.0, n, a, b)

    @staticmethod
    @quiet
    def logsf(k: Operand, n: Operand, a: Operand, b: Operand, loc: Operand = 0) -> Any:
        """Log of `sf`, accurate in the tail."""
        k, n, a, b = np.floor(shift(k, loc)), valid(n, _is_total(n)), positive(a), positive(b)
        value = log_sum_between(betabinom.logpmf, np.maximum(k + 1.0, 0.0), n, n, a, b)
        return replace(replace(value, np.less(k, 0), 0.0, n, a, b), np.greater_equal(k, n), -np.inf, n, a, b)

    @staticmethod
    def ppf(q: Operand, n: Operand, a: Operand, b: Operand, loc: Operand = 0) -> Any:
        """The smallest count up to which the probability is at least `q`; of plain numbers."""
        return placed(count_quantile(betabinom, q, False, (n, a, b), _betabinom_guess, 0.0, n), loc, 1)

    @staticmethod
    def isf(q: Operand, n: Operand, a: Operand, b: Operand, loc: Operand = 0) -> Any:
        """The smallest count above which the probability is at most `q`; of plain numbers."""
        return placed(count_quantile(betabinom, q, True, (n, a, b), _betabinom_guess, 0.0, n), loc, 1)


def _urn(M: Operand, n: Operand, N: Operand) -> tuple[Any, Any, Any]:
    """All, good and drawn ones; the first is ``nan`` where the numbers do not go together."""
    whole, good, drawn = operand(M), operand(n), operand(N)
    holds = np.logical_and(_is_total(whole), np.logical_and(_is_total(good), _is_total(drawn)))
    holds = np.logical_and(holds, np.logical_and(np.less_equal(good, whole), np.less_equal(drawn, whole)))
    return valid(whole, np.logical_and(holds, np.greater(whole, 0))), good, drawn


def _hypergeom_guess(z: Any, M: Any, n: Any, N: Any) -> Any:
    share = n / M
    spread = N * share * (1.0 - share) * (M - N) / np.maximum(M - 1.0, 1.0)
    return by_moments(N * share, np.sqrt(spread), 0.0, z)


def _hypergeom_ends(M: Operand, n: Operand, N: Operand) -> tuple[Any, Any]:
    whole, good, drawn = operand(M), operand(n), operand(N)
    return np.maximum(0.0, drawn - (whole - good)), np.minimum(good, drawn)


class hypergeom(Discrete):  # SciPy's name
    """The hypergeometric distribution: good ones among `N` drawn, where `n` among `M` are good.

    Examples
    --------
    >>> from tapegrad.stats import hypergeom
    >>> float(round(hypergeom.logpmf(3, M=20, n=7, N=12), 6))
    -1.616168
    """

    @staticmethod
    @quiet
    def logpmf(k: Operand, M: Operand, n: Operand, N: Operand, loc: Operand = 0) -> Any:
        """Log of the probability, with its digits at large numbers too."""
        k, (whole, good, drawn) = shift(k, loc), _urn(M, n, N)
        outside = np.logical_or(not_a_count(k), np.greater(k, np.minimum(good, drawn)))
        # No more bad ones are drawn than there are.
        outside = np.logical_or(outside, np.greater(drawn - k, whole - good))
        k = choose(outside, np.minimum(good, np.maximum(0, drawn - (whole - good))), k)
        share = drawn / whole  # of which any probability will do
        value = log_mass(k, good, share) + log_mass(drawn - k, whole - good, share)
        value = value - log_mass(drawn, whole, share)
        certain = np.logical_or(np.equal(drawn, 0), np.equal(drawn, whole))
        return replace(choose(certain, 0.0 * (k + whole), value), outside, -np.inf, whole)

    @staticmethod
    @quiet
    def logcdf(k: Operand, M: Operand, n: Operand, N: Operand, loc: Operand = 0) -> Any:
        """Log of `cdf`, a sum of probabilities, as is `logsf`."""
        k, (whole, good, drawn) = np.floor(shift(k, loc)), _urn(M, n, N)
        most = np.minimum(good, drawn)
        value = log_sum_between(hypergeom.logpmf, 0.0, np.clip(k, 0.0, most), whole, good, drawn)
        value = replace(value, np.greater_equal(k, most), 0.0, whole)
        return replace(value, np.less(k, 0), -np.inf, whole)

    @staticmethod
    @quiet
    def logsf(k: Operand, M: Operand, n: Operand, N: Operand, loc: Operand = 0) -> Any:
        """Log of `sf`, accurate in the tail."""
        k, (whole, good, drawn) = np.floor(shift(k, loc)), _urn(M, n, N)
        most = np.minimum(good, drawn)
        value = log_sum_between(hypergeom.logpmf, np.clip(k + 1.0, 0.0, most), most, whole, good, drawn)
        value = replace(value, np.less(k, 0), 0.0, whole)
        return replace(value, np.greater_equal(k, most), -np.inf, whole)

    @staticmethod
    def ppf(q: Operand, M: Operand, n: Operand, N: Operand, loc: Operand = 0) -> Any:
        """The smallest count up to which the probability is at least `q`; of plain numbers."""
        return placed(
            count_quantile(hypergeom, q, False, (M, n, N), _hypergeom_guess, *_hypergeom_ends(M, n, N)),
            loc,
            1,
        )

    @staticmethod
    def isf(q: Operand, M: Operand, n: Operand, N: Operand, loc: Operand = 0) -> Any:
        """The smallest count above which the probability is at most `q`; of plain numbers."""
        return placed(
            count_quantile(hypergeom, q, True, (M, n, N), _hypergeom_guess, *_hypergeom_ends(M, n, N)), loc, 1
        )


def _geom_guess(z: Any, p: Any) -> Any:
    return np.log(ndtr(-z)) / np.log1p(-p)


class geom(Discrete):  # SciPy's name
    """The geometric distribution on 1, 2, ...: trials until the first success, of probability 0 < `p` <= 1.

    Examples
    --------
    >>> from tapegrad.stats import geom
    >>> float(round(geom.logpmf(3, p=0.4), 6))
    -1.937942
    """

    @staticmethod
    @quiet
    def logpmf(k: Operand, p: Operand, loc: Operand = 0) -> Any:
        """Log of the probability, ``log(p) + (k - 1) log(1 - p)``."""
        k = shift(k, loc)
        p = valid(p, np.logical_and(np.greater(p, 0), np.less_equal(p, 1)))
        value = np.log(p) + xlog1py(k - 1, -p)
        return replace(value, np.logical_or(not_a_count(k), np.less(k, 1)), -np.inf, p)

    @staticmethod
    @quiet
    def cdf(k: Operand, p: Operand, loc: Operand = 0) -> Any:
        """Probability of a number up to `k`."""
        return -np.expm1(geom.logsf(k, p, loc))

    @staticmethod
    @quiet
    def logcdf(k: Operand, p: Operand, loc: Operand = 0) -> Any:
        """Log of `cdf`, accurate in both tails."""
        return log1mexp(-geom.logsf(k, p, loc))

    @staticmethod
    @quiet
    def logsf(k: Operand, p: Operand, loc: Operand = 0) -> Any:
        """Log of `sf`, ``floor(k) log(1 - p)``."""
        k = np.floor(shift(k, loc))
        p = valid(p, np.logical_and(np.greater(p, 0), np.less_equal(p, 1)))
        return replace(xlog1py(k, -p), np.less(k, 1), 0.0, p)

    @staticmethod
    def ppf(q: Operand, p: Operand, loc: Operand = 0) -> Any:
        """The smallest count up to which the probability is at least `q`; of plain numbers."""
        return placed(count_quantile(geom, q, False, (p,), _geom_guess, 1.0, np.inf), loc, 1)

    @staticmethod
    def isf(q: Operand, p: Operand, loc: Operand = 0) -> Any:
        """The smallest count above which the probability is at most `q`; of plain numbers."""
        return placed(count_quantile(geom, q, True, (p,), _geom_guess, 1.0, np.inf), loc, 1)
