"""Symmetric distributions with heavier tails than the normal: t, Laplace, logistic, Cauchy; half the last."""

import math
from typing import Any

import numpy as np
from scipy.special import betainc, betaincc, expit, log_expit, logit, ndtr

from tapegrad.ops.gammas import HALF_LOG_2PI, gamma_rest_gain
from tapegrad.ops.quantiles import t_ppf
from tapegrad.ops.quotients import log1p_over
from tapegrad.ops.trigonometric import log_cosh
from tapegrad.stats.common import (
    ByParts,
    Continuous,
    Operand,
    choose,
    log_of_part,
    operand,
    placed,
    positive,
    probability,
    quiet,
    replace,
    shift,
    standardize,
)

_LOG_2 = math.log(2.0)
_LOG_PI = math.log(math.pi)
_ALL_BUT_NORMAL = 1e17
_NORMAL = 1e300  # so many degrees of freedom make a normal distribution, as infinitely many do


def log_normaliser(df: Any) -> Any:
    """The log-density of t at 0, with its digits where `df` is large."""
    h = 1.0 / df
    gain = gamma_rest_gain(0.0, 0.5 * df, 0.5)
    return 0.5 * (np.log1p(h) + (log1p_over(0.0, h) - 1.0)) + (gain - HALF_LOG_2PI)


def _finite(df: Operand) -> Any:
    return np.minimum(positive(df), _NORMAL)


class t(Continuous):  # SciPy's name
    """Student's t distribution: `df` > 0 degrees of freedom, location `loc`, `scale` > 0.

    Examples
    --------
    >>> from tapegrad.stats import t
    >>> float(round(t.logpdf(1.0, df=4.0), 6))
    -1.538688
    """

    @staticmethod
    @quiet
    def logpdf(x: Operand, df: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Log of the density, that of the normal distribution in the limit of large `df`.

        Parameters
        ----------
        x : array_like
            Where to evaluate it.
        df : array_like
            Degrees of freedom, perhaps infinite.
        loc, scale : array_like
            Location and scale.

        Returns
        -------
        float or ndarray
            One log-density for each element of the broadcast arguments.
        """
        df = _finite(df)
        z, scale = standardize(x, loc, scale)
        square = z * z
        w = square / df
        # (df + 1) log1p(w) in two parts, whose derivatives in df do not cancel where it is large
        value = -0.5 * (np.log1p(w) + square * log1p_over(0.0, w)) + (log_normaliser(df) - np.log(scale))
        return replace(value, np.isinf(operand(x)), -np.inf, df, loc, scale)

    @staticmethod
    @quiet
    def cdf(x: Operand, df: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Probability of a value up to `x`."""
        df = _finite(df)
        z, scale = standardize(x, loc, scale)
        w = z * z / df
        # Half the probability of both tails, by the argument that is known to more digits.
        share = np.minimum(w, 1.0) / (1.0 + np.minimum(w, 1.0))
        centre = 0.5 - 0.5 * betainc(0.5, 0.5 * df, share)
        middle = choose(np.less(np.abs(z), 1.0), centre, 0.5 * betaincc(0.5, 0.5 * df, share))
        tail = choose(np.less(w, 1.0), middle, 0.5 * betainc(0.5 * df, 0.5, 1.0 / (1.0 + w)))
        tail = choose(np.greater(df, _ALL_BUT_NORMAL), ndtr(-np.abs(z)), tail)
        return choose(np.less(z, 0), tail, 1.0 - tail)

    @staticmethod
    @quiet
    def sf(x: Operand, df: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Probability of a value above `x`."""
        return t.cdf(-shift(x, loc), df, 0, scale)

    @staticmethod
    @quiet
    def logcdf(x: Operand, df: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Log of `cdf`."""
        arguments = x, df, loc, scale
        return log_of_part(t.cdf(*arguments), t.sf(*arguments))

    @staticmethod
    @quiet
    def logsf(x: Operand, df: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Log of `sf`."""
        return t.logcdf(-shift(x, loc), df, 0, scale)

    @staticmethod
    @quiet
    def ppf(q: Operand, df: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Quantile: the value up to which the probability is `q`."""
        return placed(t_ppf(operand(q), _finite(df)), loc, positive(scale))

    @staticmethod
    @quiet
    def isf(q: Operand, df: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """The value above which the probability is `q`."""
        return placed(-t_ppf(operand(q), _finite(df)), loc, positive(scale))


def _laplace(p: Operand) -> Any:
    p = probability(p)
    return choose(np.less(p, 0.5), np.log(2.0 * p), -np.log(2.0 * (1.0 - p)))


class laplace(Continuous):  # SciPy's name
    """The Laplace distribution: location `loc`, `scale` > 0 (mean absolute deviation).

    Examples
    --------
    >>> from tapegrad.stats import laplace
    >>> float(round(laplace.logpdf(1.0, scale=2.0), 6))
    -1.886294
    """

    @staticmethod
    @quiet
    def logpdf(x: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Log of the density, ``-abs(x - loc) / scale - log(2 scale)``."""
        z, scale = standardize(x, loc, scale)
        return -np.abs(z) - (np.log(scale) + _LOG_2)

    @staticmethod
    @quiet
    def logcdf(x: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Log of `cdf`, accurate in both tails."""
        z, _ = standardize(x, loc, scale)
        return choose(np.less(z, 0), z - _LOG_2, np.log1p(-0.5 * np.exp(-z)))

    @staticmethod
    @quiet
    def logsf(x: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Log of `sf`, accurate in both tails."""
        return laplace.logcdf(-shift(x, loc), 0, scale)

    @staticmethod
    @quiet
    def ppf(q: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Quantile: the value up to which the probability is `q`."""
        return placed(_laplace(q), loc, positive(scale))

    @staticmethod
    @quiet
    def isf(q: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """The value above which the probability is `q`."""
        return placed(-_laplace(q), loc, positive(scale))


class logistic(Continuous):  # SciPy's name
    """The logistic distribution: mean `loc`, `scale` > 0.

    Examples
    --------
    >>> from tapegrad.stats import logistic
    >>> float(round(logistic.logpdf(1.0, scale=2.0), 6))
    -2.141301
    """

    @staticmethod
    @quiet
    def logpdf(x: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Log of the density, ``-2 log(cosh(z / 2)) - log(4 scale)`` for ``z = (x - loc) / scale``."""
        z, scale = standardize(x, loc, scale)
        return -2.0 * log_cosh(0.5 * z) - (np.log(scale) + 2.0 * _LOG_2)

    @staticmethod
    @quiet
    def cdf(x: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Probability of a value up to `x`."""
        return expit(standardize(x, loc, scale)[0])

    @staticmethod
    @quiet
    def logcdf(x: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Log of `cdf`, accurate in both tails."""
        return log_expit(standardize(x, loc, scale)[0])

    @staticmethod
    @quiet
    def sf(x: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Probability of a value above `x`."""
        return expit(-standardize(x, loc, scale)[0])

    @staticmethod
    @quiet
    def logsf(x: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Log of `sf`, accurate in both tails."""
        return log_expit(-standardize(x, loc, scale)[0])

    @staticmethod
    @quiet
    def ppf(q: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Quantile: the value up to which the probability is `q`."""
        return placed(logit(operand(q)), loc, positive(scale))

    @staticmethod
    @quiet
    def isf(q: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """The value above which the probability is `q`."""
        return placed(-logit(operand(q)), loc, positive(scale))


def _cauchy(p: Operand) -> Any:
    """The tangent of the angle, by its distance from the nearest pole or from 0."""
    p = probability(p)
    left = np.less(p, 0.25)
    tail = 1.0 / np.tan(math.pi * choose(left, p, 1.0 - p))
    beyond = np.logical_or(left, np.greater(p, 0.75))
    return choose(beyond, choose(left, -tail, tail), np.tan(math.pi * (p - 0.5)))


class cauchy(ByParts, Continuous):  # SciPy's name
    """The Cauchy distribution: median `loc`, `scale` > 0 (half the distance of the quartiles).

    Examples
    --------
    >>> from tapegrad.stats import cauchy
    >>> float(round(cauchy.logpdf(1.0, scale=2.0), 6))
    -2.061021
    """

    @staticmethod
    @quiet
    def logpdf(x: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Log of the density, ``-log(1 + z**2) - log(pi scale)`` for ``z = (x - loc) / scale``."""
        z, scale = standardize(x, loc, scale)
        return -2.0 * np.log(np.hypot(1.0, z)) - (np.log(scale) + _LOG_PI)

    @staticmethod
    @quiet
    def cdf(x: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Probability of a value up to `x`, accurate in both tails."""
        return np.arctan2(1.0, -standardize(x, loc, scale)[0]) / math.pi

    @staticmethod
    @quiet
    def sf(x: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Probability of a value above `x`, accurate in both tails."""
        return np.arctan2(1.0, standardize(x, loc, scale)[0]) / math.pi

    @staticmethod
    @quiet
    def ppf(q: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Quantile: the value up to which the probability is `q`."""
        return placed(_cauchy(q), loc, positive(scale))

    @staticmethod
    @quiet
    def isf(q: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """The value above which the probability is `q`."""
        return placed(-_cauchy(q), loc, positive(scale))


class halfcauchy(ByParts, Continuous):  # SciPy's name
    """The half-Cauchy distribution on ``x >= loc``: `scale` > 0 is the median above `loc`.

    Examples
    --------
    >>> from tapegrad.stats import halfcauchy
    >>> float(round(halfcauchy.logpdf(1.0, scale=2.0), 6))
    -1.367873
    """

    @staticmethod
    @quiet
    def logpdf(x: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Log of the density; ``-inf`` for ``x < loc``."""
        x, scale = shift(x, loc), positive(scale)
        return replace(cauchy.logpdf(x, 0, scale) + _LOG_2, np.less(x, 0), -np.inf, scale)

    @staticmethod
    @quiet
    def cdf(x: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Probability of a value up to `x`."""
        x, scale = shift(x, loc), positive(scale)
        return replace(2.0 / math.pi * np.arctan(x / scale), np.less(x, 0), 0.0, scale)

    @staticmethod
    @quiet
    def sf(x: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Probability of a value above `x`."""
        x, scale = shift(x, loc), positive(scale)
        return replace(2.0 / math.pi * np.arctan2(1.0, x / scale), np.less(x, 0), 1.0, scale)

    @staticmethod
    @quiet
    def ppf(q: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Quantile: the value up to which the probability is `q`."""
        q = probability(q)
        near, far = np.tan(0.5 * math.pi * q), 1.0 / np.tan(0.5 * math.pi * (1.0 - q))
        return placed(choose(np.less(q, 0.5), near, far), loc, positive(scale))

    @staticmethod
    @quiet
    def isf(q: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """The value above which the probability is `q`."""
        q = probability(q)
        near, far = np.tan(0.5 * math.pi * (1.0 - q)), 1.0 / np.tan(0.5 * math.pi * q)
        return placed(choose(np.less(q, 0.5), far, near), loc, positive(scale))
