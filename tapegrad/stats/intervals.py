"""What is known of an observation: its value, a bound, two bounds; and what of a distribution is observed."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import log_ndtr, ndtri_exp

from tapegrad.stats.common import (
    Continuous,
    Operand,
    choose,
    log1mexp,
    operand,
    placed,
    positive,
    probability,
    quiet,
    replace,
    standardize,
    valid,
)
from tapegrad.stats.normals import norm
from tapegrad.stats.steps import count_quantile

Distribution = Any  # a class of `tapegrad.stats`, or a wrapper of one


def _all(condition: Any) -> bool:
    """Whether a condition holds everywhere, as plain data can tell."""
    return isinstance(condition, bool | np.ndarray | np.generic) and bool(np.all(condition))


def log_between(dist: Distribution, low: Any, high: Any, *arguments: Any, **named: Any) -> Any:
    """The log-probability of ``low < x <= high``.

    It is a difference of two probabilities below, or of two above: of the smaller ones, with all digits.
    """
    if _all(np.equal(low, -np.inf)):
        return dist.logcdf(high, *arguments, **named)
    if _all(np.equal(high, np.inf)):
        return dist.logsf(low, *arguments, **named)
    below_low, below_high = (dist.logcdf(x, *arguments, **named) for x in (low, high))
    above_low, above_high = (dist.logsf(x, *arguments, **named) for x in (low, high))
    below = below_high + log1mexp(below_high - below_low)
    above = above_low + log1mexp(above_low - above_high)
    value = choose(np.less_equal(below_high, above_low), below, above)
    nothing = np.logical_or(np.equal(below_high, -np.inf), np.equal(above_low, -np.inf))
    return choose(nothing, -np.inf, value)


def _log_density(dist: Distribution) -> Any:
    return dist.logpmf if hasattr(dist, "logpmf") else dist.logpdf


def censored(dist: Distribution) -> "Censored":
    """A distribution whose observations may be known by bounds alone.

    Parameters
    ----------
    dist : distribution
        Such as `tapegrad.stats.weibull_min`; it must have `logcdf` and `logsf`.

    Returns
    -------
    Censored
        Its `logpdf` (for counts `logpmf`) takes two bounds for each observation.

    Examples
    --------
    >>> import numpy as np
    >>> from tapegrad.stats import censored, weibull_min
    >>> lower = [2.0, 5.0, 0.0, 1.0]  # exactly 2, more than 5, up to 3, between 1 and 2
    >>> upper = [2.0, np.inf, 3.0, 2.0]
    >>> censored(weibull_min).logpdf(lower, upper, c=1.5, scale=3.0).round(6)
    array([-1.440211, -2.151657, -0.458675, -1.407699])
    """
    return Censored(dist)


@dataclass(frozen=True)
class Censored:
    """What `censored` returns."""

    dist: Distribution

    @quiet
    def logpdf(self, lower: Operand, upper: Operand, *arguments: Operand, **named: Operand) -> Any:
        """Log of the likelihood of each observation.

        Where ``lower == upper`` the value is known, and it is the log-density there. Otherwise the value is
        above `lower` and at most `upper`, and it is the log-probability of that. An infinite `upper` makes a
        row right-censored, and a `lower` of minus infinity left-censored.

        Parameters
        ----------
        lower, upper : array_like
            The bounds.
        *arguments, **named : array_like
            The parameters of the distribution.

        Returns
        -------
        float or ndarray
            One number for each observation; ``nan`` where ``lower > upper``.
        """
        lower, upper = operand(lower), operand(upper)
        known, left, right = np.equal(lower, upper), np.equal(lower, -np.inf), np.equal(upper, np.inf)
        density = _log_density(self.dist)
        if _all(known):
            return density(lower, *arguments, **named)
        # Where a bound is infinite, the other one takes its place in what is not chosen.
        low, high = choose(left, upper, lower), choose(right, lower, upper)
        value: Any = np.nan
        if not _all(np.logical_or(known, np.logical_or(left, right))):
            value = log_between(self.dist, low, high, *arguments, **named)
        if not _all(np.logical_not(right)):
            value = choose(right, self.dist.logsf(low, *arguments, **named), value)
        if not _all(np.logical_not(left)):
            value = choose(left, choose(right, 0.0, self.dist.logcdf(high, *arguments, **named)), value)
        if not _all(np.logical_not(known)):
            value = choose(known, density(high, *arguments, **named), value)
        wrong = np.greater(lower, upper)
        return value if _all(np.logical_not(wrong)) else choose(wrong, np.nan, value)

    @property
    def logpmf(self) -> Any:
        """`logpdf`, for counts: a row counts as exact where both bounds are the same count.

        A count of at least 10 has the bounds 9 and infinity, and a count below the detection limit of 3 those
        of minus infinity and 2.
        """
        return self.logpdf


def truncated(dist: Distribution, low: Operand = -np.inf, high: Operand = np.inf) -> "Truncated":
    """A distribution of which only values above `low` and up to `high` are observed.

    Parameters
    ----------
    dist : distribution
        Such as `tapegrad.stats.lognorm`; it must have `logcdf` and `logsf`.
    low, high : array_like
        The bounds. For counts, ``low=0`` leaves out 0.

    Returns
    -------
    Truncated
        A distribution with the methods of `dist`, which `censored` takes as well.

    Examples
    --------
    >>> from tapegrad.stats import expon, truncated
    >>> float(round(truncated(expon, low=1.0).logpdf(2.5, scale=3.0), 6))
    -1.598612
    """
    return Truncated(dist, low, high)


@dataclass(frozen=True)
class Truncated:
    """What `truncated` returns."""

    dist: Distribution
    low: Operand
    high: Operand

    def _outside(self, x: Any) -> Any:
        return np.logical_or(np.less_equal(x, self.low), np.greater(x, self.high))

    @quiet
    def logpdf(self, x: Operand, *arguments: Operand, **named: Operand) -> Any:
        """Log of the density (of the probability, for counts); ``-inf`` for what is not observed."""
        x = operand(x)
        total = log_between(self.dist, self.low, self.high, *arguments, **named)
        return replace(
            _log_density(self.dist)(x, *arguments, **named) - total, self._outside(x), -np.inf, total
        )

    @property
    def logpmf(self) -> Any:
        """`logpdf`, for counts."""
        return self.logpdf

    @quiet
    def logcdf(self, x: Operand, *arguments: Operand, **named: Operand) -> Any:
        """Log of the probability of a value up to `x`."""
        x = operand(x)
        total = log_between(self.dist, self.low, self.high, *arguments, **named)
        part = log_between(self.dist, self.low, np.clip(x, self.low, self.high), *arguments, **named)
        value = replace(part - total, np.less_equal(x, self.low), -np.inf, total)
        return replace(value, np.greater_equal(x, self.high), 0.0, total)

    @quiet
    def logsf(self, x: Operand, *arguments: Operand, **named: Operand) -> Any:
        """Log of the probability of a value above `x`."""
        x = operand(x)
        total = log_between(self.dist, self.low, self.high, *arguments, **named)
        part = log_between(self.dist, np.clip(x, self.low, self.high), self.high, *arguments, **named)
        value = replace(part - total, np.less_equal(x, self.low), 0.0, total)
        return replace(value, np.greater_equal(x, self.high), -np.inf, total)

    def cdf(self, x: Operand, *arguments: Operand, **named: Operand) -> Any:
        """Probability of a value up to `x`."""
        return np.exp(self.logcdf(x, *arguments, **named))

    def sf(self, x: Operand, *arguments: Operand, **named: Operand) -> Any:
        """Probability of a value above `x`."""
        return np.exp(self.logsf(x, *arguments, **named))

    def ppf(self, q: Operand, *arguments: Operand, **named: Operand) -> Any:
        """Quantile: the value up to which the probability is `q`; of counts, the smallest such count."""
        return self._quantile(q, False, *arguments, **named)

    def isf(self, q: Operand, *arguments: Operand, **named: Operand) -> Any:
        """The value above which the probability is `q`; of counts, the smallest such count."""
        return self._quantile(q, True, *arguments, **named)

    def _quantile(self, q: Operand, above: bool, *arguments: Operand, **named: Operand) -> Any:
        if hasattr(self.dist, "logpmf"):
            ends = np.floor(self.low) + 1.0, np.floor(self.high)
            return count_quantile(self, q, above, arguments, lambda z, *given: 0.0 * z, *ends, **named)
        return self._value(q, above, *arguments, **named)

    @quiet
    def _value(self, q: Operand, above: bool, *arguments: Operand, **named: Operand) -> Any:
        """The quantile of the whole distribution, for the probability that this has in it."""
        dist, q = self.dist, probability(q)
        total = np.exp(log_between(dist, self.low, self.high, *arguments, **named))
        p, rest = (1.0 - q, q) if above else (q, 1.0 - q)
        below = dist.cdf(self.low, *arguments, **named) + p * total
        beyond = dist.sf(self.high, *arguments, **named) + rest * total
        left = np.less(below, beyond)
        value = choose(left, dist.ppf(below, *arguments, **named), dist.isf(beyond, *arguments, **named))
        return choose(np.isnan(total), np.nan, np.clip(value, self.low, self.high))


class truncnorm(Continuous):  # SciPy's name
    """The normal distribution between `a` and `b`, which are in units of `scale` from `loc`, as in SciPy.

    Examples
    --------
    >>> from tapegrad.stats import truncnorm
    >>> float(round(truncnorm.logpdf(1.0, a=-1.0, b=2.0), 6))
    -1.218772
    """

    @staticmethod
    @quiet
    def logpdf(x: Operand, a: Operand, b: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Log of the density, accurate where both ends are in the same far tail; ``-inf`` outside."""
        z, scale = standardize(x, loc, scale)
        a, b = _ordered(a, b)
        value = norm.logpdf(z) - (log_between(norm, a, b) + np.log(scale))
        return replace(value, np.logical_or(np.less(z, a), np.greater(z, b)), -np.inf, a, b, scale)

    @staticmethod
    @quiet
    def logcdf(x: Operand, a: Operand, b: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Log of `cdf`."""
        z, scale = standardize(x, loc, scale)
        a, b = _ordered(a, b)
        value = log_between(norm, a, np.clip(z, a, b)) - log_between(norm, a, b)
        value = replace(value, np.less_equal(z, a), -np.inf, a, b, scale)
        return replace(value, np.greater_equal(z, b), 0.0, a, b, scale)

    @staticmethod
    @quiet
    def logsf(x: Operand, a: Operand, b: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Log of `sf`."""
        return truncnorm.logcdf(-operand(x), -operand(b), -operand(a), -operand(loc), scale)

    @staticmethod
    @quiet
    def ppf(q: Operand, a: Operand, b: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Quantile: the value up to which the probability is `q`."""
        q, (a, b) = probability(q), _ordered(a, b)
        z = _between_ends(np.log(q), np.log1p(-q), a, b)
        return placed(_at_ends(z, q, a, b), loc, positive(scale))

    @staticmethod
    @quiet
    def isf(q: Operand, a: Operand, b: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """The value above which the probability is `q`."""
        q, (a, b) = probability(q), _ordered(a, b)
        z = _between_ends(np.log1p(-q), np.log(q), a, b)
        return placed(_at_ends(z, q, b, a), loc, positive(scale))


def _at_ends(z: Any, p: Any, a: Any, b: Any) -> Any:
    return replace(replace(z, np.equal(p, 0), a, a, b), np.equal(p, 1), b, a, b)


def _between_ends(log_below: Any, log_above: Any, a: Any, b: Any) -> Any:
    """The point that divides the normal distribution between `a` and `b`, by the smaller tail beyond it."""
    total = log_between(norm, a, b)
    below = np.logaddexp(log_ndtr(a), log_below + total)
    above = np.logaddexp(log_ndtr(-b), log_above + total)
    return choose(np.less(below, above), ndtri_exp(below), -ndtri_exp(above))


def _ordered(a: Operand, b: Operand) -> tuple[Any, Any]:
    return valid(a, np.less(a, b)), operand(b)
