"""The normal distribution and its kin."""

from typing import Any

import numpy as np
from scipy.special import log_ndtr, ndtr, ndtri

from tapegrad.ops.gammas import HALF_LOG_2PI
from tapegrad.stats.common import Operand, operand, placed, positive, quiet, shift


class norm:  # SciPy's name
    """The normal distribution: mean `loc`, standard deviation `scale` > 0.

    Examples
    --------
    >>> from tapegrad.stats import norm
    >>> float(round(norm.logpdf(1.0, loc=0.0, scale=2.0), 6))
    -1.737086
    """

    @staticmethod
    @quiet
    def logpdf(x: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Log of the density, ``-((x - loc) / scale)**2 / 2 - log(scale) - log(2 pi) / 2``.

        Parameters
        ----------
        x : array_like
            Where to evaluate it.
        loc, scale : array_like
            Mean and standard deviation, in the units of `x`.

        Returns
        -------
        float or ndarray
            One log-density for each element of the broadcast arguments.
        """
        scale = operand(scale)
        z = np.divide(shift(x, loc), scale)
        return -0.5 * (z * z) - (np.log(scale) + HALF_LOG_2PI)

    @staticmethod
    def pdf(x: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Density, the exponential of `logpdf`."""
        return np.exp(norm.logpdf(x, loc, scale))

    @staticmethod
    @quiet
    def cdf(x: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Probability of a value up to `x`."""
        return ndtr(shift(x, loc) / positive(scale))

    @staticmethod
    @quiet
    def logcdf(x: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Log of `cdf`, accurate far into the left tail where `cdf` underflows."""
        return log_ndtr(shift(x, loc) / positive(scale))

    @staticmethod
    @quiet
    def sf(x: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Probability of a value above `x` (the survival function)."""
        return ndtr(-(shift(x, loc) / positive(scale)))

    @staticmethod
    @quiet
    def logsf(x: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Log of `sf`, accurate far into the right tail where `sf` underflows."""
        return log_ndtr(-(shift(x, loc) / positive(scale)))

    @staticmethod
    @quiet
    def ppf(q: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Quantile: the value up to which the probability is `q`."""
        return placed(ndtri(operand(q)), loc, positive(scale))

    @staticmethod
    @quiet
    def isf(q: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """The value above which the probability is `q`."""
        return placed(-ndtri(operand(q)), loc, positive(scale))
