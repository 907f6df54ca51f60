"""The beta distribution, by its shapes and by its mean, and the F distribution."""

from typing import Any

import numpy as np
from scipy.special import betainc, betaincc

from tapegrad.ops.deviances import bd0, nb_deviance
from tapegrad.ops.gammas import HALF_LOG_2PI, gamma_rest
from tapegrad.ops.quantiles import odds_isf, odds_ppf
from tapegrad.stats.common import (
    ByParts,
    Continuous,
    Operand,
    at_edge,
    choose,
    operand,
    outside_or_infinite,
    placed,
    positive,
    quiet,
    replace,
    shift,
    standardize,
    valid,
)


def _rest(a: Any, b: Any) -> Any:
    """What the beta function leaves of the powers of `a`, `b` and ``a + b`` in it."""
    return (gamma_rest(0.0, a) + HALF_LOG_2PI) + (gamma_rest(0.0, b) - gamma_rest(0.0, a + b))


def _of_odds(odds: Any) -> Any:
    """The share: in the form whose slope does not cancel."""
    return choose(np.less(odds, 1.0), odds / (1.0 + odds), 1.0 / (1.0 + 1.0 / odds))


class beta(ByParts, Continuous):  # SciPy's name
    """The beta distribution between `loc` and ``loc + scale``: shapes `a` > 0 and `b` > 0.

    Examples
    --------
    >>> from tapegrad.stats import beta
    >>> float(round(beta.logpdf(0.25, a=2.0, b=3.0), 6))
    0.523248
    """

    @staticmethod
    @quiet
    def logpdf(x: Operand, a: Operand, b: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Log of the density, with all its digits at large shapes too.

        Parameters
        ----------
        x : array_like
            Where to evaluate it.
        a, b : array_like
            Shapes: powers of the distance from the lower and from the upper end.
        loc, scale : array_like
            Lower end of the support, and its length.

        Returns
        -------
        float or ndarray
            One log-density for each element of the broadcast arguments.
        """
        a, b = positive(a), positive(b)
        z, scale = standardize(x, loc, scale)
        value = -(nb_deviance(a, b, z) + _rest(a, b)) - (np.log(z) + np.log1p(-z)) - np.log(scale)
        value = at_edge(value, np.equal(z, 0), a - 1.0, np.log(b) - np.log(scale), a, b, scale)
        value = at_edge(value, np.equal(z, 1), b - 1.0, np.log(a) - np.log(scale), a, b, scale)
        return replace(value, np.logical_or(np.less(z, 0), np.greater(z, 1)), -np.inf, a, b, scale)

    @staticmethod
    @quiet
    def cdf(x: Operand, a: Operand, b: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Probability of a value up to `x`."""
        a, b = positive(a), positive(b)
        z, scale = standardize(x, loc, scale)
        value = replace(betainc(a, b, z), np.less(z, 0), 0.0, a, b, scale)
        return replace(value, np.greater(z, 1), 1.0, a, b, scale)

    @staticmethod
    @quiet
    def sf(x: Operand, a: Operand, b: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Probability of a value above `x`."""
        a, b = positive(a), positive(b)
        z, scale = standardize(x, loc, scale)
        value = replace(betaincc(a, b, z), np.less(z, 0), 1.0, a, b, scale)
        return replace(value, np.greater(z, 1), 0.0, a, b, scale)

    @staticmethod
    @quiet
    def ppf(q: Operand, a: Operand, b: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Quantile: the value up to which the probability is `q`."""
        return placed(_of_odds(odds_ppf(operand(q), positive(a), positive(b))), loc, positive(scale))

    @staticmethod
    @quiet
    def isf(q: Operand, a: Operand, b: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """The value above which the probability is `q`."""
        return placed(_of_odds(odds_isf(operand(q), positive(a), positive(b))), loc, positive(scale))


def _shapes(mu: Operand, phi: Operand) -> tuple[Any, Any]:
    mu = valid(mu, np.logical_and(np.greater(mu, 0), np.less(mu, 1)))
    phi = positive(phi)
    return mu * phi, (1.0 - mu) * phi


class beta_mean(Continuous):
    """The beta distribution by its mean 0 < `mu` < 1 and precision `phi` > 0, the sum of both shapes.

    The shapes are ``mu * phi`` and ``(1 - mu) * phi``, as in a beta regression.

    Examples
    --------
    >>> from tapegrad.stats import beta_mean
    >>> float(round(beta_mean.logpdf(0.25, mu=0.4, phi=5.0), 6))
    0.523248
    """

    @staticmethod
    @quiet
    def logpdf(x: Operand, mu: Operand, phi: Operand) -> Any:
        """Log of the density."""
        return beta.logpdf(x, *_shapes(mu, phi))

    @staticmethod
    @quiet
    def cdf(x: Operand, mu: Operand, phi: Operand) -> Any:
        """Probability of a value up to `x`."""
        return beta.cdf(x, *_shapes(mu, phi))

    @staticmethod
    @quiet
    def sf(x: Operand, mu: Operand, phi: Operand) -> Any:
        """Probability of a value above `x`."""
        return beta.sf(x, *_shapes(mu, phi))

    @staticmethod
    @quiet
    def logcdf(x: Operand, mu: Operand, phi: Operand) -> Any:
        """Log of `cdf`."""
        return beta.logcdf(x, *_shapes(mu, phi))

    @staticmethod
    @quiet
    def logsf(x: Operand, mu: Operand, phi: Operand) -> Any:
        """Log of `sf`."""
        return beta.logsf(x, *_shapes(mu, phi))

    @staticmethod
    @quiet
    def ppf(q: Operand, mu: Operand, phi: Operand) -> Any:
        """Quantile: the value up to which the probability is `q`."""
        return beta.ppf(q, *_shapes(mu, phi))

    @staticmethod
    @quiet
    def isf(q: Operand, mu: Operand, phi: Operand) -> Any:
        """The value above which the probability is `q`."""
        return beta.isf(q, *_shapes(mu, phi))


def _shares(z: Any, a: Any, b: Any) -> tuple[Any, Any]:
    """``a z / (b + a z)``, which has a beta distribution, and one minus that."""
    w = a * z / b
    return choose(np.isinf(w), 1.0, w / (1.0 + w)), 1.0 / (1.0 + w)


class f(ByParts, Continuous):  # SciPy's name
    """The F distribution on ``x >= loc``: `dfn` > 0 and `dfd` > 0 degrees of freedom above and below.

    Examples
    --------
    >>> from tapegrad.stats import f
    >>> float(round(f.logpdf(1.0, dfn=2.0, dfd=3.0), 6))
    -1.277064
    """

    @staticmethod
    @quiet
    def logpdf(x: Operand, dfn: Operand, dfd: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Log of the density."""
        a, b, x, scale = 0.5 * positive(dfn), 0.5 * positive(dfd), shift(x, loc), positive(scale)
        w = a * (x / scale) / b
        of_w = (a + b) / (1.0 + w)
        value = -(bd0(a, of_w * w) + bd0(b, of_w)) - (_rest(a, b) + np.log(x))
        value = at_edge(value, np.equal(x, 0), a - 1.0, -np.log(scale), a, b, scale)
        return replace(value, outside_or_infinite(x, np.less(x, 0)), -np.inf, a, b, scale)

    @staticmethod
    @quiet
    def cdf(x: Operand, dfn: Operand, dfd: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Probability of a value up to `x`."""
        a, b, x, scale = 0.5 * positive(dfn), 0.5 * positive(dfd), shift(x, loc), positive(scale)
        share, rest = _shares(x / scale, a, b)
        value = choose(np.less(share, 0.5), betainc(a, b, share), betaincc(b, a, rest))
        return replace(value, np.less_equal(x, 0), 0.0, a, b, scale)

    @staticmethod
    @quiet
    def sf(x: Operand, dfn: Operand, dfd: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Probability of a value above `x`."""
        a, b, x, scale = 0.5 * positive(dfn), 0.5 * positive(dfd), shift(x, loc), positive(scale)
        share, rest = _shares(x / scale, a, b)
        value = choose(np.less(share, 0.5), betaincc(a, b, share), betainc(b, a, rest))
        return replace(value, np.less_equal(x, 0), 1.0, a, b, scale)

    @staticmethod
    @quiet
    def ppf(q: Operand, dfn: Operand, dfd: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Quantile: the value up to which the probability is `q`."""
        q, a, b = operand(q), 0.5 * positive(dfn), 0.5 * positive(dfd)
        return placed(b / a * odds_ppf(q, a, b), loc, positive(scale))

    @staticmethod
    @quiet
    def isf(q: Operand, dfn: Operand, dfd: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """The value above which the probability is `q`."""
        q, a, b = operand(q), 0.5 * positive(dfn), 0.5 * positive(dfd)
        return placed(b / a * odds_isf(q, a, b), loc, positive(scale))
