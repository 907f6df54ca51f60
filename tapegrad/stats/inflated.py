"""Counts with more or fewer zeros: zero-inflated distributions, and hurdles."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from tapegrad.stats.common import Operand, choose, log1mexp, operand, quiet, valid
from tapegrad.stats.steps import count_quantile

Distribution = Any  # a class of counts of `tapegrad.stats`


def _share(pi: Operand) -> Any:
    return valid(pi, np.logical_and(np.greater_equal(pi, 0), np.less_equal(pi, 1)))


def zero_inflated(dist: Distribution) -> "ZeroInflated":
    """Counts that are 0 with probability `pi`, and otherwise have a distribution, which may be 0 too.

    Parameters
    ----------
    dist : distribution
        Such as `tapegrad.stats.poisson`.

    Returns
    -------
    ZeroInflated
        Its methods take `pi` after the counts, and then the parameters of `dist`.

    Examples
    --------
    >>> from tapegrad.stats import poisson, zero_inflated
    >>> float(round(zero_inflated(poisson).logpmf(0, pi=0.3, mu=2.0), 6))
    -0.929541
    """
    return ZeroInflated(dist)


def _guess(z: Any, *arguments: Any) -> Any:
    """No guess: the search begins at 0."""
    return 0.0 * z


@dataclass(frozen=True)
class ZeroInflated:
    """What `zero_inflated` returns."""

    dist: Distribution

    @quiet
    def logpmf(self, k: Operand, pi: Operand, *arguments: Operand, **named: Operand) -> Any:
        """Log of the probability, for 0 <= `pi` <= 1."""
        pi, plain = _share(pi), self.dist.logpmf(k, *arguments, **named)
        is_zero = np.equal(operand(k), 0)
        return choose(is_zero, np.log(pi + (1.0 - pi) * np.exp(plain)), np.log1p(-pi) + plain)

    @quiet
    def pmf(self, k: Operand, pi: Operand, *arguments: Operand, **named: Operand) -> Any:
        """Probability of `k`."""
        return np.exp(self.logpmf(k, pi, *arguments, **named))

    @quiet
    def logcdf(self, k: Operand, pi: Operand, *arguments: Operand, **named: Operand) -> Any:
        """Log of the probability of a count up to `k`."""
        pi, below = _share(pi), np.less(operand(k), 0)
        value = np.log1p(-(1.0 - pi) * np.exp(self.dist.logsf(k, *arguments, **named)))
        return choose(below, -np.inf + 0.0 * pi, value)

    @quiet
    def logsf(self, k: Operand, pi: Operand, *arguments: Operand, **named: Operand) -> Any:
        """Log of the probability of a count above `k`."""
        pi, below = _share(pi), np.less(operand(k), 0)
        return choose(below, 0.0 * pi, np.log1p(-pi) + self.dist.logsf(k, *arguments, **named))

    def cdf(self, k: Operand, pi: Operand, *arguments: Operand, **named: Operand) -> Any:
        """Probability of a count up to `k`."""
        return np.exp(self.logcdf(k, pi, *arguments, **named))

    def sf(self, k: Operand, pi: Operand, *arguments: Operand, **named: Operand) -> Any:
        """Probability of a count above `k`."""
        return np.exp(self.logsf(k, pi, *arguments, **named))

    def ppf(self, q: Operand, pi: Operand, *arguments: Operand, **named: Operand) -> Any:
        """The smallest count up to which the probability is at least `q`; of plain numbers."""
        return count_quantile(self, q, False, (pi, *arguments), _guess, **named)

    def isf(self, q: Operand, pi: Operand, *arguments: Operand, **named: Operand) -> Any:
        """The smallest count above which the probability is at most `q`; of plain numbers."""
        return count_quantile(self, q, True, (pi, *arguments), _guess, **named)


def hurdle(dist: Distribution) -> "Hurdle":
    """Counts that are 0 with probability `pi`, and otherwise have a distribution without its zeros.

    Parameters
    ----------
    dist : distribution
        Such as `tapegrad.stats.poisson`.

    Returns
    -------
    Hurdle
        Its methods take `pi` after the counts, and then the parameters of `dist`.

    Examples
    --------
    >>> from tapegrad.stats import hurdle, poisson
    >>> float(round(hurdle(poisson).logpmf(2, pi=0.3, mu=2.0), 6))
    -1.518114
    """
    return Hurdle(dist)


@dataclass(frozen=True)
class Hurdle:
    """What `hurdle` returns."""

    dist: Distribution

    @quiet
    def logpmf(self, k: Operand, pi: Operand, *arguments: Operand, **named: Operand) -> Any:
        """Log of the probability, for 0 <= `pi` <= 1."""
        pi, plain = _share(pi), self.dist.logpmf(k, *arguments, **named)
        more = log1mexp(-self.dist.logpmf(0.0, *arguments, **named))
        return choose(np.equal(operand(k), 0), np.log(pi), (np.log1p(-pi) - more) + plain)

    @quiet
    def pmf(self, k: Operand, pi: Operand, *arguments: Operand, **named: Operand) -> Any:
        """Probability of `k`."""
        return np.exp(self.logpmf(k, pi, *arguments, **named))

    @quiet
    def logsf(self, k: Operand, pi: Operand, *arguments: Operand, **named: Operand) -> Any:
        """Log of the probability of a count above `k`."""
        pi, below = _share(pi), np.less(operand(k), 0)
        more = log1mexp(-self.dist.logpmf(0.0, *arguments, **named))
        value = (np.log1p(-pi) - more) + self.dist.logsf(k, *arguments, **named)
        return choose(below, 0.0 * pi, value)

    @quiet
    def logcdf(self, k: Operand, pi: Operand, *arguments: Operand, **named: Operand) -> Any:
        """Log of the probability of a count up to `k`."""
        return log1mexp(-self.logsf(k, pi, *arguments, **named))

    def cdf(self, k: Operand, pi: Operand, *arguments: Operand, **named: Operand) -> Any:
        """Probability of a count up to `k`."""
        return np.exp(self.logcdf(k, pi, *arguments, **named))

    def sf(self, k: Operand, pi: Operand, *arguments: Operand, **named: Operand) -> Any:
        """Probability of a count above `k`."""
        return np.exp(self.logsf(k, pi, *arguments, **named))

    def ppf(self, q: Operand, pi: Operand, *arguments: Operand, **named: Operand) -> Any:
        """The smallest count up to which the probability is at least `q`; of plain numbers."""
        return count_quantile(self, q, False, (pi, *arguments), _guess, **named)

    def isf(self, q: Operand, pi: Operand, *arguments: Operand, **named: Operand) -> Any:
        """The smallest count above which the probability is at most `q`; of plain numbers."""
        return count_quantile(self, q, True, (pi, *arguments), _guess, **named)
