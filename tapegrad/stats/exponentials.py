"""The exponential and the Rayleigh distribution."""

from typing import Any

import numpy as np

from tapegrad.stats.common import (
    Operand,
    choose,
    level_above,
    level_below,
    log1mexp,
    placed,
    positive,
    quiet,
    replace,
    shift,
)

_LOG_2 = np.log(2.0)
_TINY = 1e-9  # below, the square of a number is nothing next to 1


class expon:  # SciPy's name
    """The exponential distribution on ``x >= loc``: `scale` > 0 is the mean above `loc`, 1 / rate.

    Examples
    --------
    >>> from tapegrad.stats import expon
    >>> float(round(expon.logpdf(1.0, scale=2.0), 6))
    -1.193147
    """

    @staticmethod
    @quiet
    def logpdf(x: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Log of the density, ``-(x - loc) / scale - log(scale)``; ``-inf`` for ``x < loc``.

        Parameters
        ----------
        x : array_like
            Where to evaluate it.
        loc, scale : array_like
            Lower end of the support, and mean distance from it, in the units of `x`.

        Returns
        -------
        float or ndarray
            One log-density for each element of the broadcast arguments.
        """
        x, scale = shift(x, loc), positive(scale)
        return replace(-(x / scale) - np.log(scale), np.less(x, 0), -np.inf, scale)

    @staticmethod
    def pdf(x: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Density, the exponential of `logpdf`."""
        return np.exp(expon.logpdf(x, loc, scale))

    @staticmethod
    @quiet
    def cdf(x: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Probability of a value up to `x`."""
        x, scale = shift(x, loc), positive(scale)
        return replace(-np.expm1(-(x / scale)), np.less(x, 0), 0.0, scale)

    @staticmethod
    @quiet
    def logcdf(x: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Log of `cdf`, accurate at both ends."""
        x, scale = shift(x, loc), positive(scale)
        return replace(log1mexp(x / scale), np.less(x, 0), -np.inf, scale)

    @staticmethod
    def sf(x: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Probability of a value above `x` (the survival function)."""
        return np.exp(expon.logsf(x, loc, scale))

    @staticmethod
    @quiet
    def logsf(x: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Log of `sf`, ``-(x - loc) / scale``; 0 for ``x < loc``."""
        x, scale = shift(x, loc), positive(scale)
        return replace(-(x / scale), np.less(x, 0), 0.0, scale)

    @staticmethod
    @quiet
    def ppf(q: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Quantile: the value up to which the probability is `q`."""
        return placed(level_below(q), loc, positive(scale))

    @staticmethod
    @quiet
    def isf(q: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """The value above which the probability is `q`."""
        return placed(level_above(q), loc, positive(scale))


class rayleigh:  # SciPy's name
    """The Rayleigh distribution on ``x >= loc``: the length of two normal numbers of deviation `scale` > 0.

    Examples
    --------
    >>> from tapegrad.stats import rayleigh
    >>> float(round(rayleigh.logpdf(1.0, scale=2.0), 6))
    -1.511294
    """

    @staticmethod
    @quiet
    def logpdf(x: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Log of the density, ``log(x - loc) - 2 log(scale) - ((x - loc) / scale)**2 / 2``.

        It is ``-inf`` for ``x <= loc``.

        Parameters
        ----------
        x : array_like
            Where to evaluate it.
        loc, scale : array_like
            Lower end of the support, and the most likely distance from it, in the units of `x`.

        Returns
        -------
        float or ndarray
            One log-density for each element of the broadcast arguments.
        """
        x, scale = shift(x, loc), positive(scale)
        z = x / scale
        value = np.log(x) - 0.5 * (z * z) - 2.0 * np.log(scale)
        # Infinity is there to come out as -inf, and not as the difference of two infinities.
        return replace(value, np.logical_or(np.less(x, 0), np.isinf(x)), -np.inf, scale)

    @staticmethod
    def pdf(x: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Density, the exponential of `logpdf`."""
        return np.exp(rayleigh.logpdf(x, loc, scale))

    @staticmethod
    @quiet
    def cdf(x: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Probability of a value up to `x`."""
        x, scale = shift(x, loc), positive(scale)
        z = x / scale
        return replace(-np.expm1(-0.5 * (z * z)), np.less(x, 0), 0.0, scale)

    @staticmethod
    @quiet
    def logcdf(x: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Log of `cdf`, accurate at both ends."""
        x, scale = shift(x, loc), positive(scale)
        z = x / scale
        value = choose(np.less(z, _TINY), 2.0 * np.log(z) - _LOG_2, log1mexp(0.5 * (z * z)))
        return replace(value, np.less(x, 0), -np.inf, scale)

    @staticmethod
    def sf(x: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Probability of a value above `x` (the survival function)."""
        return np.exp(rayleigh.logsf(x, loc, scale))

    @staticmethod
    @quiet
    def logsf(x: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Log of `sf`, ``-((x - loc) / scale)**2 / 2``; 0 for ``x < loc``."""
        x, scale = shift(x, loc), positive(scale)
        z = x / scale
        return replace(-0.5 * (z * z), np.less(x, 0), 0.0, scale)

    @staticmethod
    @quiet
    def ppf(q: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Quantile: the value up to which the probability is `q`."""
        return placed(np.sqrt(2.0 * level_below(q)), loc, positive(scale))

    @staticmethod
    @quiet
    def isf(q: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """The value above which the probability is `q`."""
        return placed(np.sqrt(2.0 * level_above(q)), loc, positive(scale))
