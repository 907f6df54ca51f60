"""Distributions of extremes: Gumbel, Weibull, and the generalised extreme value distribution."""

from typing import Any

import numpy as np
from scipy.special import boxcox

from tapegrad.ops.quotients import log1p_over
from tapegrad.stats.common import (
    Continuous,
    Operand,
    at_edge,
    choose,
    level_above,
    level_below,
    log1mexp_of_exp,
    operand,
    outside_or_infinite,
    placed,
    positive,
    quiet,
    replace,
    shift,
    standardize,
)


class gumbel_r(Continuous):  # SciPy's name
    """The Gumbel distribution of largest values: mode `loc`, `scale` > 0.

    Examples
    --------
    >>> from tapegrad.stats import gumbel_r
    >>> float(round(gumbel_r.logpdf(1.0, scale=2.0), 6))
    -1.799678
    """

    @staticmethod
    @quiet
    def logpdf(x: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Log of the density, ``-z - exp(-z) - log(scale)`` for ``z = (x - loc) / scale``."""
        z, scale = standardize(x, loc, scale)
        value = -(z + np.exp(-z)) - np.log(scale)
        return replace(value, np.isinf(operand(x)), -np.inf, loc, scale)

    @staticmethod
    @quiet
    def logcdf(x: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Log of `cdf`, ``-exp(-z)``."""
        return -np.exp(-standardize(x, loc, scale)[0])

    @staticmethod
    @quiet
    def sf(x: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Probability of a value above `x`."""
        return -np.expm1(-np.exp(-standardize(x, loc, scale)[0]))

    @staticmethod
    @quiet
    def logsf(x: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Log of `sf`, accurate in both tails."""
        return log1mexp_of_exp(-standardize(x, loc, scale)[0])

    @staticmethod
    @quiet
    def ppf(q: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Quantile: the value up to which the probability is `q`."""
        return placed(-np.log(level_above(q)), loc, positive(scale))

    @staticmethod
    @quiet
    def isf(q: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """The value above which the probability is `q`."""
        return placed(-np.log(level_below(q)), loc, positive(scale))


class gumbel_l(Continuous):  # SciPy's name
    """The Gumbel distribution of smallest values: mode `loc`, `scale` > 0.

    Examples
    --------
    >>> from tapegrad.stats import gumbel_l
    >>> float(round(gumbel_l.logpdf(1.0, scale=2.0), 6))
    -1.841868
    """

    @staticmethod
    @quiet
    def logpdf(x: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Log of the density, ``z - exp(z) - log(scale)`` for ``z = (x - loc) / scale``."""
        return gumbel_r.logpdf(-shift(x, loc), 0, scale)

    @staticmethod
    @quiet
    def logcdf(x: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Log of `cdf`, accurate in both tails."""
        return gumbel_r.logsf(-shift(x, loc), 0, scale)

    @staticmethod
    @quiet
    def cdf(x: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Probability of a value up to `x`."""
        return gumbel_r.sf(-shift(x, loc), 0, scale)

    @staticmethod
    @quiet
    def logsf(x: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Log of `sf`, ``-exp(z)``."""
        return gumbel_r.logcdf(-shift(x, loc), 0, scale)

    @staticmethod
    @quiet
    def ppf(q: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Quantile: the value up to which the probability is `q`."""
        return placed(np.log(level_below(q)), loc, positive(scale))

    @staticmethod
    @quiet
    def isf(q: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """The value above which the probability is `q`."""
        return placed(np.log(level_above(q)), loc, positive(scale))


class weibull_min(Continuous):  # SciPy's name
    """The Weibull distribution on ``x >= loc``: shape `c` > 0, `scale` > 0.

    Examples
    --------
    >>> from tapegrad.stats import weibull_min
    >>> float(round(weibull_min.logpdf(1.0, c=1.5, scale=2.0), 6))
    -0.987809
    """

    @staticmethod
    @quiet
    def logpdf(x: Operand, c: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Log of the density, ``log(c) + (c - 1) log(z) - z**c - log(scale)``.

        Parameters
        ----------
        x : array_like
            Where to evaluate it.
        c : array_like
            Shape: 1 is the exponential distribution.
        loc, scale : array_like
            Lower end of the support, and scale, in the units of `x`.

        Returns
        -------
        float or ndarray
            One log-density for each element of the broadcast arguments.
        """
        x, c, scale = shift(x, loc), positive(c), positive(scale)
        log_x = np.log(x)
        power = c * (log_x - np.log(scale))
        value = (power - np.exp(power)) - (log_x - np.log(c))
        value = at_edge(value, np.equal(x, 0), c - 1.0, -np.log(scale), c, scale)
        return replace(value, outside_or_infinite(x, np.less(x, 0)), -np.inf, c, scale)

    @staticmethod
    @quiet
    def cdf(x: Operand, c: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Probability of a value up to `x`."""
        return -np.expm1(weibull_min.logsf(x, c, loc, scale))

    @staticmethod
    @quiet
    def logcdf(x: Operand, c: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Log of `cdf`, accurate in both tails."""
        x, c, scale = shift(x, loc), positive(c), positive(scale)
        value = log1mexp_of_exp(c * (np.log(x) - np.log(scale)))
        return replace(value, np.less_equal(x, 0), -np.inf, c, scale)

    @staticmethod
    @quiet
    def logsf(x: Operand, c: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Log of `sf`, ``-z**c``."""
        x, c, scale = shift(x, loc), positive(c), positive(scale)
        value = -np.exp(c * (np.log(x) - np.log(scale)))
        return replace(value, np.less_equal(x, 0), 0.0, c, scale)

    @staticmethod
    @quiet
    def ppf(q: Operand, c: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Quantile: the value up to which the probability is `q`."""
        return placed(np.power(level_below(q), 1.0 / positive(c)), loc, positive(scale))

    @staticmethod
    @quiet
    def isf(q: Operand, c: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """The value above which the probability is `q`."""
        return placed(np.power(level_above(q), 1.0 / positive(c)), loc, positive(scale))


class weibull_max(Continuous):  # SciPy's name
    """The Weibull distribution on ``x <= loc``, the mirror of `weibull_min`.

    Examples
    --------
    >>> from tapegrad.stats import weibull_max
    >>> float(round(weibull_max.logpdf(-1.0, c=1.5, scale=2.0), 6))
    -0.987809
    """

    @staticmethod
    @quiet
    def logpdf(x: Operand, c: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Log of the density; ``-inf`` for ``x > loc``."""
        return weibull_min.logpdf(-shift(x, loc), c, 0, scale)

    @staticmethod
    @quiet
    def logcdf(x: Operand, c: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Log of `cdf`."""
        return weibull_min.logsf(-shift(x, loc), c, 0, scale)

    @staticmethod
    @quiet
    def sf(x: Operand, c: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Probability of a value above `x`."""
        return weibull_min.cdf(-shift(x, loc), c, 0, scale)

    @staticmethod
    @quiet
    def logsf(x: Operand, c: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Log of `sf`, accurate in both tails."""
        return weibull_min.logcdf(-shift(x, loc), c, 0, scale)

    @staticmethod
    @quiet
    def ppf(q: Operand, c: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Quantile: the value up to which the probability is `q`."""
        return placed(-np.power(level_above(q), 1.0 / positive(c)), loc, positive(scale))

    @staticmethod
    @quiet
    def isf(q: Operand, c: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """The value above which the probability is `q`."""
        return placed(-np.power(level_below(q), 1.0 / positive(c)), loc, positive(scale))


def _reduced(x: Operand, c: Operand, loc: Operand, scale: Operand) -> tuple[Any, Any, Any, Any]:
    """``-log1p(-c z) / c`` and ``log1p(-c z)``, what is below, and what is anywhere beyond the support."""
    z, _ = standardize(x, loc, scale)
    u = -(operand(c) * z)
    out = np.less_equal(u, -1.0)
    below = np.logical_or(np.equal(operand(x), -np.inf), np.logical_and(out, np.less(c, 0)))
    beyond = np.logical_or(np.equal(operand(x), np.inf), out)
    return z * log1p_over(0.0, u), np.log1p(u), below, beyond


class genextreme(Continuous):  # SciPy's name
    """The generalised extreme value distribution, with SciPy's sign of the shape `c`.

    It is the distribution of Gumbel for c = 0, has an upper end for c > 0 and a lower end for c < 0.
    Elsewhere the shape is often ``-c``.

    Examples
    --------
    >>> from tapegrad.stats import genextreme
    >>> float(round(genextreme.logpdf(1.0, c=-0.2, scale=2.0), 6))
    -1.88593
    """

    @staticmethod
    @quiet
    def logpdf(x: Operand, c: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Log of the density, smooth where `c` passes 0; ``-inf`` outside the support."""
        scale = positive(scale)
        y, log_rest, below, beyond = _reduced(x, c, loc, scale)
        log_scale = np.log(scale)
        value = -(y + np.exp(-y)) - (log_rest + log_scale)
        # For c = 1 the density ends in a step, at the upper end itself.
        at_end = choose(np.logical_and(np.equal(c, 1.0), np.isneginf(log_rest)), -log_scale, -np.inf)
        return replace(value, np.logical_or(beyond, below), at_end, c, loc, scale)

    @staticmethod
    @quiet
    def logcdf(x: Operand, c: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Log of `cdf`."""
        scale = positive(scale)
        y, _, below, beyond = _reduced(x, c, loc, scale)
        value = replace(-np.exp(-y), beyond, 0.0, c, loc, scale)
        return replace(value, below, -np.inf, c, loc, scale)

    @staticmethod
    @quiet
    def sf(x: Operand, c: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Probability of a value above `x`."""
        return -np.expm1(genextreme.logcdf(x, c, loc, scale))

    @staticmethod
    @quiet
    def logsf(x: Operand, c: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Log of `sf`, accurate in both tails."""
        scale = positive(scale)
        y, _, below, beyond = _reduced(x, c, loc, scale)
        value = replace(log1mexp_of_exp(-y), beyond, -np.inf, c, loc, scale)
        return replace(value, below, 0.0, c, loc, scale)

    @staticmethod
    @quiet
    def ppf(q: Operand, c: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Quantile: the value up to which the probability is `q`."""
        return placed(-boxcox(level_above(q), operand(c)), loc, positive(scale))

    @staticmethod
    @quiet
    def isf(q: Operand, c: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """The value above which the probability is `q`."""
        return placed(-boxcox(level_below(q), operand(c)), loc, positive(scale))
