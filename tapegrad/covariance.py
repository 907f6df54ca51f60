"""Covariance and precision matrices of Gaussian fields, time series and random effects."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy import sparse
from scipy.special import gammaln, kve

from tapegrad.ops.registry import Recordable

_HALVES = (0.5, 1.5, 2.5)
_SMALL = 1e-60  # below, a correlation is 1 to the last digit


def matern(distance: Any, length: Any, nu: Any = 1.5) -> Any:
    """The Matern correlation at these distances.

    With ``s = sqrt(2 nu) distance / length`` it is ``2**(1 - nu) / gamma(nu) * s**nu * kv(nu, s)`` (C. E.
    Rasmussen and C. K. I. Williams 2006, Gaussian Processes for Machine Learning, eq. 4.14). For 1/2, 3/2
    and 5/2 as plain numbers closed forms serve.

    Parameters
    ----------
    distance : array_like
        Distances, 0 or more.
    length : float
        The length scale, above 0. In the form ``kv(nu, distance / phi)`` it is ``sqrt(2 nu) * phi``.
    nu : float
        The smoothness, above 0; it may be a parameter.

    Returns
    -------
    ndarray
        Correlations, 1 at the distance 0.

    Examples
    --------
    >>> from tapegrad.covariance import matern
    >>> matern([0.0, 0.5, 2.0], length=1.0, nu=1.5).round(6)
    array([1.      , 0.784888, 0.139731])
    >>> matern([0.0, 0.5, 2.0], length=1.0, nu=0.8).round(6)
    array([1.      , 0.695767, 0.138984])
    """
    distance = distance if isinstance(distance, Recordable) else np.asarray(distance, dtype=float)
    if not isinstance(nu, Recordable) and float(nu) in _HALVES:
        return _half_integer(math.sqrt(2.0 * nu) * distance / length, float(nu))
    scaled = np.sqrt(2.0 * nu) * distance / length
    is_apart = np.greater(scaled, _SMALL)
    s = np.where(is_apart, scaled, 1.0)
    log_value = (1.0 - nu) * math.log(2.0) - gammaln(nu) + nu * np.log(s) + np.log(kve(nu, s)) - s
    return np.where(is_apart, np.exp(log_value), np.where(np.isnan(scaled), np.nan, 1.0))


def _half_integer(s: Any, nu: float) -> Any:
    decay = np.exp(-s)
    if nu == 0.5:
        return decay
    return (1.0 + s) * decay if nu == 1.5 else (1.0 + s + s * s / 3.0) * decay


def spde(mass: Any, stiffness: Any, kappa: Any, tau: Any = 1.0, alpha: int = 2) -> Any:
    """The precision of a Matern field on a mesh, out of the matrices of finite elements.

    With mass matrix C and stiffness matrix G it is ``tau**2 * (kappa**2 C + G)`` for `alpha` 1, and
    ``tau**2 * (kappa**4 C + 2 kappa**2 G + G C**-1 G)`` for `alpha` 2 (F. Lindgren, H. Rue and J. Lindstrom
    2011, eq. 10). In the plane the smoothness is ``alpha - 1``, and the range ``sqrt(8 (alpha - 1)) /
    kappa``.

    Parameters
    ----------
    mass : sparse array
        C, diagonal (lumped) where `alpha` is 2. A constant.
    stiffness : sparse array
        G. A constant.
    kappa, tau : float
        Above 0.
    alpha : {1, 2}

    Returns
    -------
    sparse matrix
        For `multivariate_normal_prec`, and for products.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy import sparse
    >>> from tapegrad.covariance import spde
    >>> mass = sparse.diags_array([0.5, 1.0, 0.5])
    >>> stiffness = sparse.csr_array([[1.0, -1.0, 0.0], [-1.0, 2.0, -1.0], [0.0, -1.0, 1.0]])
    >>> spde(mass, stiffness, kappa=1.0).toarray()
    array([[ 5.5, -6. ,  1. ],
           [-6. , 13. , -6. ],
           [ 1. , -6. ,  5.5]])
    """
    if not (sparse.issparse(mass) and sparse.issparse(stiffness)):
        raise TypeError("mass and stiffness must be sparse arrays of plain numbers")
    mass, stiffness = sparse.csr_array(mass), sparse.csr_array(stiffness)
    if alpha == 1:
        return (kappa**2 * mass + stiffness) * tau**2
    if alpha != 2:
        raise ValueError(f"alpha must be 1 or 2, not {alpha!r}")
    lumped = mass.diagonal()
    if mass.nnz != np.count_nonzero(lumped) or not (lumped > 0.0).all():
        raise ValueError(
            "for alpha 2 the mass matrix must be diagonal and positive: lump it, as in "
            "sparse.diags_array(mass.sum(axis=1))"
        )
    twice = stiffness @ sparse.diags_array(1.0 / lumped) @ stiffness
    return (kappa**4 * mass + (2.0 * kappa**2) * stiffness + sparse.csr_array(twice)) * tau**2


def ar1_precision(n: int, rho: Any, scale: Any = 1.0) -> Any:
    """The precision of a stationary autoregression of order 1: tridiagonal.

    The correlation is ``rho**abs(i - j)``, and `scale` the standard deviation of each element.

    Parameters
    ----------
    n : int
        The number of elements, 2 or more.
    rho : float
        The autocorrelation, between -1 and 1.
    scale : float
        The marginal standard deviation.

    Returns
    -------
    sparse matrix

    Examples
    --------
    >>> from tapegrad.covariance import ar1_precision
    >>> (ar1_precision(3, 0.5).toarray() * 0.75).round(12)
    array([[ 1.  , -0.5 ,  0.  ],
           [-0.5 ,  1.25, -0.5 ],
           [ 0.  , -0.5 ,  1.  ]])
    """
    if n < 2:
        raise ValueError(f"an autoregression has 2 elements or more, not {n}")
    inner = np.ones(n)
    inner[[0, -1]] = 0.0
    beside = sparse.diags_array([1.0, 1.0], offsets=[-1, 1], shape=(n, n), format="csr")
    precision = sparse.eye_array(n, format="csr") + rho**2 * sparse.diags_array(inner, format="csr")
    return (precision - rho * beside) * (1.0 / ((1.0 - rho) * (1.0 + rho) * scale**2))


def unstructured(theta: Any) -> Any:
    """The Cholesky factor of an unstructured correlation matrix.

    The lower triangle of `theta`, row by row, and ones on the diagonal are a matrix; its rows are scaled to
    length 1. This is the parameterisation of TMB's UNSTRUCTURED_CORR and of glmmTMB's ``us()``, and that of
    tapegrad's transform "correlation".

    Parameters
    ----------
    theta : array_like, shape (m * (m - 1) / 2,)
        Any numbers.

    Returns
    -------
    ndarray, shape (m, m)
        L, with ``L @ L.T`` the correlation matrix. With standard deviations `sd` the factor of the
        covariance, for `multivariate_normal_chol`, is ``sd[:, None] * L``.

    Examples
    --------
    >>> from tapegrad.covariance import unstructured
    >>> factor = unstructured([0.5, -0.3, 0.2])
    >>> (factor @ factor.T).round(4)
    array([[ 1.    ,  0.4472, -0.2822],
           [ 0.4472,  1.    ,  0.0421],
           [-0.2822,  0.0421,  1.    ]])
    """
    theta = theta if isinstance(theta, Recordable) else np.asarray(theta, dtype=float)
    count = theta.shape[0] if np.ndim(theta) == 1 else -1
    m = (1 + math.isqrt(8 * max(count, 0) + 1)) // 2
    if m * (m - 1) // 2 != count:
        raise ValueError(f"m (m - 1) / 2 numbers in one row wanted; the shape is {np.shape(theta)}")
    rows, columns = np.tril_indices(m, -1)
    places = np.full((m, m), count)
    places[rows, columns] = np.arange(count)
    factor = np.concatenate([theta, np.zeros(1)])[places] + np.eye(m)
    return factor / np.sqrt(np.sum(factor * factor, axis=1, keepdims=True))


__all__ = ["ar1_precision", "matern", "spde", "unstructured"]
