"""Stable helper functions under the names and arguments of `scipy.special`.

Each function takes numbers, arrays and traced values. The ufuncs of `scipy.special` also take traced values
themselves. Other functions of `scipy.special` are written in Python and do not: this module has them. It also
has a few functions that `scipy.special` lacks.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tapegrad.ops import elementwise as _elementwise
from tapegrad.ops import factorials as _factorials
from tapegrad.ops import integrals as _integrals
from tapegrad.ops import normal as _normal
from tapegrad.ops import reductions as _reductions
from tapegrad.ops import special as _special
from tapegrad.ops.logic import greater, greater_equal, logical_and, where

__all__ = [
    "betaln",
    "comb",
    "digamma",
    "erf",
    "erfc",
    "expit",
    "gammaln",
    "lambertw",
    "log_expit",
    "log_ndtr",
    "log_softmax",
    "logit",
    "logsumexp",
    "multigammaln",
    "ndtr",
    "polygamma",
    "relu",
    "sigmoid",
    "softmax",
    "softplus",
    "xlog1py",
    "xlogy",
    "zeta",
]

# Logistic functions -----------------------------------------------------------------------------------------


def expit(x: Any) -> Any:
    """The logistic function ``1 / (1 + exp(-x))``.

    Parameters
    ----------
    x : array_like

    Examples
    --------
    >>> from tapegrad.special import expit
    >>> float(expit(0.0)), float(expit(-800.0))
    (0.5, 0.0)
    """
    return _special.expit(x)


def sigmoid(x: Any) -> Any:
    """The logistic function, under its other name: see `expit`."""
    return _special.expit(x)


def log_expit(x: Any) -> Any:
    """The logarithm of `expit`, which does not underflow.

    Examples
    --------
    >>> from tapegrad.special import log_expit
    >>> float(log_expit(-1000.0))
    -1000.0
    """
    return _special.log_expit(x)


def logit(p: Any) -> Any:
    """The log odds ``log(p / (1 - p))``: the inverse of `expit`.

    Examples
    --------
    >>> from tapegrad.special import logit
    >>> float(logit(0.5))
    0.0
    """
    return _special.logit(p)


def softplus(x: Any) -> Any:
    """``log(1 + exp(x))`` without overflow: a smooth way to a positive number.

    Examples
    --------
    >>> from tapegrad.special import softplus
    >>> float(softplus(1000.0))
    1000.0
    """
    return _special.softplus(x)


def relu(x: Any) -> Any:
    """``max(x, 0)``; its derivative at 0 is 0.

    Examples
    --------
    >>> import numpy as np
    >>> from tapegrad.special import relu
    >>> relu(np.array([-1.0, 2.0]))
    array([0., 2.])
    """
    return _elementwise.relu(x)


# Sums of exponentials ---------------------------------------------------------------------------------------


def logsumexp(
    a: Any, axis: Any = None, b: Any = None, keepdims: bool = False, return_sign: bool = False
) -> Any:
    """``log(sum(b * exp(a)))`` without overflow.

    Parameters
    ----------
    a : array_like
    axis : int or tuple of int, optional
        The axes to sum over; by default all axes.
    b : array_like, optional
        Factors of the exponentials, which may be zero or negative.
    keepdims : bool
        Keep the axes summed over, with length one.
    return_sign : bool
        Also return the sign of the sum, and the logarithm of its absolute value.

    Returns
    -------
    float or ndarray, or a pair of them
        NaN if the sum is negative and `return_sign` is not set.

    Examples
    --------
    >>> import numpy as np
    >>> from tapegrad.special import logsumexp
    >>> round(float(logsumexp(np.array([1000.0, 1000.0]))), 6)
    1000.693147
    """
    return _reductions.logsumexp(a, axis, b, keepdims, return_sign)


def softmax(x: Any, axis: Any = None) -> Any:
    """``exp(x) / sum(exp(x))``: positive shares that add up to one.

    Parameters
    ----------
    x : array_like
    axis : int or tuple of int, optional
        The axes to sum over; by default all axes.

    Examples
    --------
    >>> import numpy as np
    >>> from tapegrad.special import softmax
    >>> softmax(np.array([1000.0, 1000.0]))
    array([0.5, 0.5])
    """
    return _elementwise.exp(log_softmax(x, axis))


def log_softmax(x: Any, axis: Any = None) -> Any:
    """The logarithm of `softmax`, which does not underflow.

    Parameters
    ----------
    x : array_like
    axis : int or tuple of int, optional
        The axes to sum over; by default all axes.

    Examples
    --------
    >>> import numpy as np
    >>> from tapegrad.special import log_softmax
    >>> log_softmax(np.array([1000.0, 0.0]))
    array([    0., -1000.])
    """
    return _elementwise.sub(x, _reductions.logsumexp(x, axis, keepdims=True))


# The gamma family -------------------------------------------------------------------------------------------


def gammaln(x: Any) -> Any:
    """The logarithm of the absolute value of the gamma function.

    Examples
    --------
    >>> from tapegrad.special import gammaln
    >>> round(float(gammaln(5.0)), 6)  # log(4!)
    3.178054
    """
    return _special.gammaln(x)


def digamma(z: Any) -> Any:
    """The derivative of `gammaln`."""
    return _special.digamma(z)


def polygamma(n: Any, x: Any) -> Any:
    """The derivative of `digamma` of order `n`.

    Parameters
    ----------
    n : array_like of int
        The order; 0 gives `digamma` itself.
    x : array_like
        Positive numbers.

    Examples
    --------
    >>> from tapegrad.special import polygamma
    >>> round(float(polygamma(1, 1.0)), 6)  # pi**2 / 6
    1.644934
    """
    return _special.polygamma(n, x)


def multigammaln(a: Any, d: int) -> Any:
    """The logarithm of the multivariate gamma function; NaN for ``a <= (d - 1) / 2``.

    Parameters
    ----------
    a : array_like
    d : int
        The dimension.

    Examples
    --------
    >>> from tapegrad.special import multigammaln
    >>> round(float(multigammaln(3.0, 2)), 6)
    1.550195
    """
    total: Any = 0.25 * d * (d - 1) * math.log(math.pi)
    for j in range(d):
        total = _elementwise.add(total, _special.gammaln(_elementwise.sub(a, 0.5 * j)))
    found = where(greater(a, 0.5 * (d - 1)), total, np.nan)
    return found[()] if isinstance(found, np.ndarray) else found


def betaln(a: Any, b: Any) -> Any:
    """The logarithm of the absolute value of the beta function."""
    return _special.betaln(a, b)


def comb(N: Any, k: Any) -> Any:
    """The number of ways to choose `k` of `N` things, as a real number; 0 where there is none.

    Examples
    --------
    >>> from tapegrad.special import comb
    >>> float(comb(5.0, 2.0))
    10.0
    """
    exists = logical_and(logical_and(greater_equal(N, k), greater_equal(N, 0.0)), greater_equal(k, 0.0))
    found = where(exists, _factorials.binom(where(exists, N, 2.0), where(exists, k, 1.0)), 0.0)
    return found[()] if isinstance(found, np.ndarray) else found


def zeta(x: Any, q: Any = 1.0) -> Any:
    """Hurwitz's zeta function, the sum of ``(k + q)**-x`` over ``k = 0, 1, ...``; Riemann's for ``q = 1``.

    Examples
    --------
    >>> from tapegrad.special import zeta
    >>> round(float(zeta(2.0)), 6)  # pi**2 / 6
    1.644934
    """
    return _factorials.zeta(x, q)


def lambertw(z: Any, k: int = 0) -> Any:
    """The real solution `w` of ``w * exp(w) = z``; NaN where there is none.

    Parameters
    ----------
    z : array_like
    k : int
        The branch: 0 for solutions of at least -1, or -1 for those below.

    Examples
    --------
    >>> from tapegrad.special import lambertw
    >>> round(float(lambertw(1.0)), 6)
    0.567143
    """
    return _integrals.lambertw(z, k)


# Error functions and the normal distribution ----------------------------------------------------------------


def erf(z: Any) -> Any:
    """The error function."""
    return _normal.erf(z)


def erfc(x: Any) -> Any:
    """``1 - erf(x)``, which keeps its digits for large `x`."""
    return _normal.erfc(x)


def ndtr(x: Any) -> Any:
    """The standard normal distribution function."""
    return _normal.ndtr(x)


def log_ndtr(x: Any) -> Any:
    """The logarithm of `ndtr`, which does not underflow.

    Examples
    --------
    >>> from tapegrad.special import log_ndtr
    >>> round(float(log_ndtr(-100.0)), 4)
    -5005.5242
    """
    return _normal.log_ndtr(x)


# Products with a logarithm ----------------------------------------------------------------------------------


def xlogy(x: Any, y: Any) -> Any:
    """``x * log(y)``, and 0 where `x` is 0.

    Examples
    --------
    >>> from tapegrad.special import xlogy
    >>> float(xlogy(0.0, 0.0))
    0.0
    """
    return _special.xlogy(x, y)


def xlog1py(x: Any, y: Any) -> Any:
    """``x * log(1 + y)``, and 0 where `x` is 0."""
    return _special.xlog1py(x, y)
