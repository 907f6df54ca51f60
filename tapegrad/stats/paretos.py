"""Distributions of what exceeds a limit: Pareto, and generalised Pareto."""

from typing import Any

import numpy as np
from scipy.special import boxcox, boxcox1p

from tapegrad.ops.quotients import log1p_over
from tapegrad.stats.common import (
    Continuous,
    Operand,
    choose,
    level_above,
    level_below,
    log1mexp,
    operand,
    outside_or_infinite,
    placed,
    positive,
    probability,
    quiet,
    replace,
    shift,
    standardize,
)


class pareto(Continuous):  # SciPy's name
    """The Pareto distribution on ``x - loc >= scale``: the tail index `b` > 0, `scale` > 0.

    Examples
    --------
    >>> from tapegrad.stats import pareto
    >>> float(round(pareto.logpdf(3.0, b=1.5, scale=2.0), 6))
    -1.301345
    """

    @staticmethod
    @quiet
    def logpdf(x: Operand, b: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Log of the density, ``log(b) + b log(scale) - (b + 1) log(x - loc)``."""
        x, b, scale = shift(x, loc), positive(b), positive(scale)
        value = (np.log(b) - np.log(x)) - b * (np.log(x) - np.log(scale))
        return replace(value, outside_or_infinite(x, np.less(x, scale)), -np.inf, b, scale)

    @staticmethod
    @quiet
    def cdf(x: Operand, b: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Probability of a value up to `x`."""
        return -np.expm1(pareto.logsf(x, b, loc, scale))

    @staticmethod
    @quiet
    def logcdf(x: Operand, b: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Log of `cdf`, accurate in both tails."""
        x, b, scale = shift(x, loc), positive(b), positive(scale)
        value = log1mexp(b * (np.log(x) - np.log(scale)))
        return replace(value, np.less_equal(x, scale), -np.inf, b, scale)

    @staticmethod
    @quiet
    def logsf(x: Operand, b: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Log of `sf`, ``-b log((x - loc) / scale)``."""
        x, b, scale = shift(x, loc), positive(b), positive(scale)
        return replace(-b * (np.log(x) - np.log(scale)), np.less_equal(x, scale), 0.0, b, scale)

    @staticmethod
    @quiet
    def ppf(q: Operand, b: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Quantile: the value up to which the probability is `q`."""
        return placed(np.exp(level_below(q) / positive(b)), loc, positive(scale))

    @staticmethod
    @quiet
    def isf(q: Operand, b: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """The value above which the probability is `q`."""
        return placed(np.exp(level_above(q) / positive(b)), loc, positive(scale))


def _reduced(x: Operand, c: Operand, loc: Operand, scale: Operand) -> tuple[Any, ...]:
    """``log1p(c z) / c``, ``log1p(c z)``, what is below the support, and what is above it."""
    z, _ = standardize(x, loc, scale)
    u = operand(c) * z
    above = np.logical_and(np.greater_equal(z, 0), np.less_equal(u, -1.0))
    above = np.logical_or(above, np.equal(operand(x), np.inf))
    return z * log1p_over(0.0, u), np.log1p(u), np.less(z, 0), above


class genpareto(Continuous):  # SciPy's name
    """The generalised Pareto distribution on ``x >= loc``: shape `c`, `scale` > 0.

    It is exponential for c = 0, has an upper end for c < 0, and a heavy tail for c > 0.

    Examples
    --------
    >>> from tapegrad.stats import genpareto
    >>> float(round(genpareto.logpdf(1.0, c=0.2, scale=2.0), 6))
    -1.265008
    """

    @staticmethod
    @quiet
    def logpdf(x: Operand, c: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Log of the density, smooth where `c` passes 0; ``-inf`` outside the support."""
        scale = positive(scale)
        y, log_rest, below, above = _reduced(x, c, loc, scale)
        value = -(y + log_rest) - np.log(scale)
        # At the upper end itself the density ends in a step for c = -1, and in a pole below.
        at_end = choose(np.equal(c, -1.0), -np.log(scale), choose(np.less(c, -1.0), np.inf, -np.inf))
        beyond = choose(np.isneginf(log_rest), at_end, -np.inf)
        return replace(value, np.logical_or(below, above), beyond, c, loc, scale)

    @staticmethod
    @quiet
    def cdf(x: Operand, c: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Probability of a value up to `x`."""
        return -np.expm1(genpareto.logsf(x, c, loc, scale))

    @staticmethod
    @quiet
    def logcdf(x: Operand, c: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Log of `cdf`, accurate in both tails."""
        scale = positive(scale)
        y, _, below, above = _reduced(x, c, loc, scale)
        value = replace(log1mexp(y), above, 0.0, c, loc, scale)
        return replace(value, below, -np.inf, c, loc, scale)

    @staticmethod
    @quiet
    def logsf(x: Operand, c: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Log of `sf`, ``-log1p(c z) / c``."""
        scale = positive(scale)
        y, _, below, above = _reduced(x, c, loc, scale)
        value = replace(-y, above, -np.inf, c, loc, scale)
        return replace(value, below, 0.0, c, loc, scale)

    @staticmethod
    @quiet
    def ppf(q: Operand, c: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Quantile: the value up to which the probability is `q`."""
        return placed(-boxcox1p(-probability(q), np.negative(operand(c))), loc, positive(scale))

    @staticmethod
    @quiet
    def isf(q: Operand, c: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """The value above which the probability is `q`."""
        return placed(-boxcox(probability(q), np.negative(operand(c))), loc, positive(scale))
