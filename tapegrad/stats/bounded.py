"""Distributions on intervals: uniform, triangular; and on the circle: von Mises."""

from typing import Any

import numpy as np

from tapegrad.ops.circular import log_i0e
from tapegrad.ops.further_quantiles import vonmises_ppf
from tapegrad.ops.turns import vonmises_tail
from tapegrad.stats.common import (
    ByParts,
    Continuous,
    Operand,
    choose,
    operand,
    placed,
    positive,
    probability,
    quiet,
    replace,
    standardize,
    valid,
)

_LOG_2PI = np.log(2.0 * np.pi)


class uniform(Continuous):  # SciPy's name
    """The uniform distribution between `loc` and ``loc + scale``.

    Examples
    --------
    >>> from tapegrad.stats import uniform
    >>> float(round(uniform.logpdf(1.0, scale=2.0), 6))
    -0.693147
    """

    @staticmethod
    @quiet
    def logpdf(x: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Log of the density, ``-log(scale)``; ``-inf`` outside."""
        z, scale = standardize(x, loc, scale)
        inside = np.logical_and(np.greater_equal(z, 0), np.less_equal(z, 1))
        missing = np.logical_or(np.isnan(z), np.isnan(scale))
        return choose(inside, -np.log(scale), choose(missing, np.nan, -np.inf))

    @staticmethod
    @quiet
    def cdf(x: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Probability of a value up to `x`."""
        return np.clip(standardize(x, loc, scale)[0], 0.0, 1.0)

    @staticmethod
    @quiet
    def sf(x: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Probability of a value above `x`."""
        return np.clip(1.0 - standardize(x, loc, scale)[0], 0.0, 1.0)

    @staticmethod
    @quiet
    def logcdf(x: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Log of `cdf`."""
        return np.log(uniform.cdf(x, loc, scale))

    @staticmethod
    @quiet
    def logsf(x: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Log of `sf`."""
        return np.log1p(-uniform.cdf(x, loc, scale))

    @staticmethod
    @quiet
    def ppf(q: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Quantile: the value up to which the probability is `q`."""
        return placed(probability(q), loc, positive(scale))

    @staticmethod
    @quiet
    def isf(q: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """The value above which the probability is `q`."""
        return placed(1.0 - probability(q), loc, positive(scale))


def _mode(c: Operand) -> Any:
    return valid(c, np.logical_and(np.greater_equal(c, 0), np.less_equal(c, 1)))


class triang(ByParts, Continuous):  # SciPy's name
    """The triangular distribution between `loc` and ``loc + scale``, whose mode is at ``loc + c * scale``.

    Examples
    --------
    >>> from tapegrad.stats import triang
    >>> float(round(triang.logpdf(1.0, c=0.4, scale=4.0), 6))
    -1.163151
    """

    @staticmethod
    @quiet
    def logpdf(x: Operand, c: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Log of the density; ``-inf`` outside."""
        c = _mode(c)
        z, scale = standardize(x, loc, scale)
        left = np.logical_or(np.less(z, c), np.equal(c, 1))
        height = choose(left, np.log(z) - np.log(c), np.log1p(-z) - np.log1p(-c))
        value = height + (np.log(2.0) - np.log(scale))
        # The ends are outside, but for one that is the mode.
        below = np.logical_or(np.less(z, 0), np.logical_and(np.equal(z, 0), np.greater(c, 0)))
        above = np.logical_or(np.greater(z, 1), np.logical_and(np.equal(z, 1), np.less(c, 1)))
        return replace(value, np.logical_or(below, above), -np.inf, c, scale)

    @staticmethod
    @quiet
    def cdf(x: Operand, c: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Probability of a value up to `x`."""
        c = _mode(c)
        z, scale = standardize(x, loc, scale)
        z = np.clip(z, 0.0, 1.0)
        left = np.logical_or(np.less(z, c), np.equal(c, 1))
        return choose(left, z * z / c, c + (z - c) * ((1.0 - z) + (1.0 - c)) / (1.0 - c))

    @staticmethod
    @quiet
    def sf(x: Operand, c: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Probability of a value above `x`."""
        c = _mode(c)
        z, scale = standardize(x, loc, scale)
        z = np.clip(z, 0.0, 1.0)
        left = np.logical_or(np.less(z, c), np.equal(c, 1))
        return choose(left, (1.0 - c) + (c - z) * (c + z) / c, np.square(1.0 - z) / (1.0 - c))

    @staticmethod
    @quiet
    def ppf(q: Operand, c: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Quantile: the value up to which the probability is `q`."""
        q, c = probability(q), _mode(c)
        value = choose(np.less(q, c), np.sqrt(c * q), 1.0 - np.sqrt((1.0 - c) * (1.0 - q)))
        return placed(value, loc, positive(scale))

    @staticmethod
    @quiet
    def isf(q: Operand, c: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """The value above which the probability is `q`."""
        q, c = probability(q), _mode(c)
        value = choose(np.greater(q, 1.0 - c), np.sqrt(c * (1.0 - q)), 1.0 - np.sqrt((1.0 - c) * q))
        return placed(value, loc, positive(scale))


class vonmises(ByParts, Continuous):  # SciPy's name
    """The von Mises distribution of angles: concentration `kappa` >= 0, around `loc`.

    Examples
    --------
    >>> from tapegrad.stats import vonmises
    >>> float(round(vonmises.logpdf(1.0, kappa=2.0), 6))
    -1.581266
    """

    @staticmethod
    @quiet
    def logpdf(x: Operand, kappa: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Log of the density, ``kappa cos(z) - log(2 pi I0(kappa)) - log(scale)``, with all digits.

        Parameters
        ----------
        x : array_like
            Angles; each full turn of ``2 pi scale`` leads to the same density.
        kappa : array_like
            Concentration: 0 is the uniform distribution on the circle.
        loc, scale : array_like
            The mean angle, and the unit of angles.

        Returns
        -------
        float or ndarray
            One log-density for each element of the broadcast arguments.
        """
        z, scale = standardize(x, loc, scale)
        kappa = valid(kappa, np.greater_equal(kappa, 0))
        away = -2.0 * np.square(np.sin(0.5 * z))
        return kappa * away - (log_i0e(kappa) + _LOG_2PI) - np.log(scale)

    @staticmethod
    @quiet
    def cdf(x: Operand, kappa: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Probability of angles from half a turn before `loc` up to `x`; one more for each full turn."""
        tail, right, turns = _parts_of_turn(x, kappa, loc, scale)
        return choose(right, 1.0 - tail, tail) + turns

    @staticmethod
    @quiet
    def sf(x: Operand, kappa: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """One less `cdf`, accurate in the tail."""
        tail, right, turns = _parts_of_turn(x, kappa, loc, scale)
        return choose(right, tail, 1.0 - tail) - turns

    @staticmethod
    @quiet
    def ppf(q: Operand, kappa: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Quantile, at most half a turn away from `loc`; infinite for 0 and 1, as in SciPy."""
        return placed(vonmises_ppf(operand(q), operand(kappa)), loc, positive(scale))

    @staticmethod
    @quiet
    def isf(q: Operand, kappa: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """The angle above which the probability is `q`, in the same turn."""
        return placed(-vonmises_ppf(operand(q), operand(kappa)), loc, positive(scale))


def _parts_of_turn(x: Operand, kappa: Operand, loc: Operand, scale: Operand) -> tuple[Any, Any, Any]:
    """The probability beyond an angle, the side that it is on, and how many full turns it has made."""
    z, _ = standardize(x, loc, scale)
    kappa = valid(kappa, np.greater_equal(kappa, 0))
    turns = np.rint(z / (2.0 * np.pi))
    rest = z - 2.0 * np.pi * turns
    tail = vonmises_tail(0.0, kappa, np.minimum(np.abs(rest), np.pi))
    return tail, np.greater_equal(rest, 0), turns
