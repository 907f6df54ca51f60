"""Counts by category, and shares that add up to one."""

from typing import Any

import numpy as np
from scipy.special import gammaln, xlogy

from tapegrad.ops.gammas import log_poch
from tapegrad.stats.common import Operand, choose, not_a_count, operand, quiet, replace

_CLOSE = 1e-8  # shares whose sum is this close to 1 add up to 1


def _total(x: Any) -> Any:
    return np.sum(x, axis=-1)


def _shares(p: Operand) -> Any:
    """The shares, and ``nan`` where they are not positive or do not add up to one."""
    p = operand(p)
    holds = np.logical_and(np.greater_equal(p, 0), np.less_equal(p, 1)).all(axis=-1)
    holds = np.logical_and(holds, np.less_equal(np.abs(_total(p) - 1.0), _CLOSE))
    if isinstance(holds, np.ndarray | np.generic) and np.all(holds):
        return p
    return choose(holds[..., None], p, np.nan)


class categorical:
    """One of the categories 0, 1, ..., by their probabilities `p`, along the last axis.

    Examples
    --------
    >>> from tapegrad.stats import categorical
    >>> float(round(categorical.logpmf(1, p=[0.5, 0.3, 0.2]), 6))
    -1.203973
    """

    @staticmethod
    @quiet
    def logpmf(k: Operand, p: Operand) -> Any:
        """Log of the probability of category `k`; ``-inf`` where there is no such category.

        Parameters
        ----------
        k : array_like of int
            Categories, as data.
        p : array_like
            Probabilities along the last axis, which add up to one. Its other axes broadcast with `k`.

        Returns
        -------
        float or ndarray
            One log-probability for each category.
        """
        k, p = operand(k), _shares(p)
        count = p.shape[-1]
        is_k = np.equal(np.expand_dims(k, -1), np.arange(count))
        chosen = np.sum(np.where(is_k, np.log(p), 0.0), axis=-1)
        outside = np.logical_or(not_a_count(k), np.greater_equal(k, count))
        return replace(chosen, outside, -np.inf, _total(p))[()]

    @staticmethod
    def pmf(k: Operand, p: Operand) -> Any:
        """Probability of category `k`."""
        return np.exp(categorical.logpmf(k, p))


def _counts(x: Any, n: Any) -> Any:
    """Whether some of the numbers along the last axis are no counts, or do not add up to `n`."""
    return np.logical_or(not_a_count(x).any(axis=-1), np.not_equal(_total(x), n))


class multinomial:  # SciPy's name
    """How often `n` trials end in each category, whose probabilities are `p`; along the last axis.

    Examples
    --------
    >>> from tapegrad.stats import multinomial
    >>> float(round(multinomial.logpmf([1, 2, 1], n=4, p=[0.3, 0.5, 0.2]), 6))
    -1.714798
    """

    @staticmethod
    @quiet
    def logpmf(x: Operand, n: Operand, p: Operand) -> Any:
        """Log of the probability; ``-inf`` where `x` does not add up to `n`.

        The derivatives in `p` are those of ``sum(x * log(p))``: each share counts as a parameter.

        Parameters
        ----------
        x : array_like
            Counts, the categories along the last axis.
        n : array_like
            Number of trials.
        p : array_like
            Probabilities along the last axis, which add up to one.

        Returns
        -------
        float or ndarray
            One log-probability for each row of `x`.
        """
        x, n, p = operand(x), operand(n), _shares(p)
        value = (gammaln(n + 1) - _total(gammaln(x + 1))) + _total(xlogy(x, p))
        return replace(value, _counts(x, n), -np.inf, _total(p))

    @staticmethod
    def pmf(x: Operand, n: Operand, p: Operand) -> Any:
        """Probability of `x`."""
        return np.exp(multinomial.logpmf(x, n, p))


class dirichlet:  # SciPy's name
    """The Dirichlet distribution of shares that add up to one; `alpha` > 0 are its concentrations.

    As in SciPy, `x` has the shares along its FIRST axis: ``(K,)``, or ``(K, N)`` for N points.

    Examples
    --------
    >>> from tapegrad.stats import dirichlet
    >>> float(round(dirichlet.logpdf([0.2, 0.5, 0.3], alpha=[2.0, 3.0, 1.5]), 6))
    1.492478
    """

    @staticmethod
    @quiet
    def logpdf(x: Operand, alpha: Operand) -> Any:
        """Log of the density; ``-inf`` where shares are outside 0 to 1 or do not add up to one.

        Parameters
        ----------
        x : array_like
            Shares along the first axis.
        alpha : array_like
            Concentrations, one for each share.

        Returns
        -------
        float or ndarray
            One log-density for each point.
        """
        x, alpha = operand(x), operand(alpha)
        alpha = choose(np.greater(alpha, 0), alpha, np.nan)
        x = np.moveaxis(x, 0, -1)
        if x.shape[-1] == alpha.shape[-1] - 1:  # SciPy takes the last share as given by the others
            x = np.concatenate([x, 1.0 - np.sum(x, axis=-1, keepdims=True)], axis=-1)
        value = _total(xlogy(alpha - 1.0, x)) + (gammaln(_total(alpha)) - _total(gammaln(alpha)))
        outside = np.logical_or(np.less(x, 0), np.greater(x, 1)).any(axis=-1)
        outside = np.logical_or(outside, np.greater(np.abs(_total(x) - 1.0), _CLOSE))
        return replace(value, outside, -np.inf, _total(alpha))

    @staticmethod
    def pdf(x: Operand, alpha: Operand) -> Any:
        """Density at `x`."""
        return np.exp(dirichlet.logpdf(x, alpha))


class dirichlet_multinomial:  # SciPy's name
    """How often `n` trials end in each category, whose probabilities have a Dirichlet distribution.

    Examples
    --------
    >>> from tapegrad.stats import dirichlet_multinomial
    >>> float(round(dirichlet_multinomial.logpmf([1, 2, 1], alpha=[2.0, 3.0, 1.5], n=4), 6))
    -2.209638
    """

    @staticmethod
    @quiet
    def logpmf(x: Operand, alpha: Operand, n: Operand) -> Any:
        """Log of the probability, with its digits near the multinomial limit of large `alpha`.

        Parameters
        ----------
        x : array_like
            Counts, the categories along the last axis.
        alpha : array_like
            Concentrations, along the last axis.
        n : array_like
            Number of trials.

        Returns
        -------
        float or ndarray
            One log-probability for each row of `x`.
        """
        x, alpha, n = operand(x), operand(alpha), operand(n)
        alpha = choose(np.greater(alpha, 0), alpha, np.nan)
        ways = gammaln(n + 1) - _total(gammaln(x + 1))
        value = ways + _total(log_poch(alpha, x)) - log_poch(_total(alpha), n)
        return replace(value, _counts(x, n), -np.inf, _total(alpha))

    @staticmethod
    def pmf(x: Operand, alpha: Operand, n: Operand) -> Any:
        """Probability of `x`."""
        return np.exp(dirichlet_multinomial.logpmf(x, alpha, n))
