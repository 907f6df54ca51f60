"""Normal distributions of random effects: by factor and by precision, time series, fields on grids."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tapegrad.ops import matrices
from tapegrad.ops.decompositions import cholesky
from tapegrad.ops.gammas import HALF_LOG_2PI
from tapegrad.stats.common import Operand, operand, positive, quiet, valid
from tapegrad.stats.normals import norm


def _away(x: Operand, mean: Operand) -> Any:
    x = operand(x)
    return x if mean is None else x - operand(mean)


class multivariate_normal_chol:
    """The multivariate normal distribution by a factor of its covariance: `chol` is lower triangular.

    Examples
    --------
    >>> import numpy as np
    >>> from tapegrad.stats import multivariate_normal_chol
    >>> chol = np.linalg.cholesky([[2.0, 0.5], [0.5, 1.0]])
    >>> float(round(multivariate_normal_chol.logpdf([1.0, 0.0], chol=chol), 6))
    -2.403399
    """

    @staticmethod
    @quiet
    def logpdf(x: Operand, mean: Operand = None, chol: Operand = 1) -> Any:
        """Log of the density; ``nan`` where the diagonal of `chol` is not positive.

        Parameters
        ----------
        x : array_like
            Points, along the last axis.
        mean : array_like, optional
            The mean, 0 by default. It may have a row for each point.
        chol : array_like
            The lower triangle L of the covariance ``L @ L.T``; what stands above the diagonal is not read.

        Returns
        -------
        float or ndarray
            One log-density for each point.
        """
        away, chol = _away(x, mean), np.tril(operand(chol))
        dimension = int(np.shape(chol)[-1])
        z = np.linalg.solve(chol, np.reshape(away, (-1, dimension)).T)
        squares = np.reshape(np.sum(z * z, axis=0), np.shape(away)[:-1])
        diagonal = positive(np.diagonal(chol))
        return (-0.5 * squares - (np.sum(np.log(diagonal)) + dimension * HALF_LOG_2PI))[()]

    @staticmethod
    def pdf(x: Operand, mean: Operand = None, chol: Operand = 1) -> Any:
        """Density at `x`."""
        return np.exp(multivariate_normal_chol.logpdf(x, mean, chol))


def _log_det(precision: Any) -> Any:
    """The log-determinant of a precision, sparse or not."""
    if matrices.is_sparse(precision):
        return matrices.logdet(precision)
    return 2.0 * np.sum(np.log(np.diagonal(cholesky(operand(precision)))))


class multivariate_normal_prec:
    """The multivariate normal distribution by its precision, the inverse of the covariance; sparse or not.

    For a sparse precision all derivatives are exact and stay within its pattern.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy import sparse
    >>> from tapegrad.stats import multivariate_normal_prec
    >>> precision = sparse.diags_array([-1.0, 2.5, -1.0], offsets=[-1, 0, 1], shape=(4, 4))
    >>> float(round(multivariate_normal_prec.logpdf(np.ones(4), prec=precision), 6))
    -4.146107
    """

    @staticmethod
    @quiet
    def logpdf(x: Operand, mean: Operand = None, prec: Any = 1) -> Any:
        """Log of the density; ``nan`` where `prec` is not positive definite.

        Parameters
        ----------
        x : array_like
            Points, along the last axis.
        mean : array_like, optional
            The mean, 0 by default. It may have a row for each point.
        prec : array_like or sparse matrix
            The precision matrix, symmetric: a constant, or a combination of constant sparse matrices with
            parameters, such as ``kappa**2 * C + G``.

        Returns
        -------
        float or ndarray
            One log-density for each point.
        """
        away, prec = _away(x, mean), prec if matrices.is_sparse(prec) else np.atleast_2d(operand(prec))
        _square(prec, int(np.shape(away)[-1]))
        squares = np.sum((away @ prec) * away, axis=-1)
        return (0.5 * (_log_det(prec) - squares) - prec.shape[0] * HALF_LOG_2PI)[()]

    @staticmethod
    def pdf(x: Operand, mean: Operand = None, prec: Any = 1) -> Any:
        """Density at `x`."""
        return np.exp(multivariate_normal_prec.logpdf(x, mean, prec))


def _square(precision: Any, dimension: int) -> None:
    if precision.shape != (dimension, dimension):
        raise ValueError(f"a precision of shape {(dimension, dimension)} wanted; it is {precision.shape}")


class separable_normal:
    """The normal distribution of tables whose precision is a Kronecker product: one factor for each axis.

    The element ``[i, j]`` and ``[k, l]`` of a table have the covariance ``A[i, k] * B[j, l]``, with A and B
    the inverses of the precisions. No matrix of the size of the table is formed.

    Examples
    --------
    >>> import numpy as np
    >>> from tapegrad.covariance import ar1_precision
    >>> from tapegrad.stats import separable_normal
    >>> precs = ar1_precision(3, 0.5), ar1_precision(4, -0.2)
    >>> float(round(separable_normal.logpdf(np.ones((3, 4)), precs=precs), 6))
    -14.276168
    """

    @staticmethod
    @quiet
    def logpdf(x: Operand, mean: Operand = None, precs: Sequence[Any] = ()) -> Any:
        """Log of the density of one table; ``nan`` where a precision is not positive definite.

        Parameters
        ----------
        x : array_like
            A table of any number of axes.
        mean : array_like, optional
            The mean, 0 by default.
        precs : sequence of array_like or sparse matrix
            A precision for each axis.

        Returns
        -------
        float
            The log-density.
        """
        away = _away(x, mean)
        shape = np.shape(away)
        if len(precs) != len(shape):
            raise ValueError(f"a precision for each axis wanted: {len(shape)}, not {len(precs)}")
        size, log_det, product = math.prod(shape), 0.0, away
        for axis, (prec, length) in enumerate(zip(precs, shape, strict=True)):
            factor = prec if matrices.is_sparse(prec) else operand(prec)
            _square(factor, length)
            log_det = log_det + (size // length) * _log_det(factor)
            product = _along(factor, product, axis)
        return (0.5 * (log_det - np.sum(away * product)) - size * HALF_LOG_2PI)[()]

    @staticmethod
    def pdf(x: Operand, mean: Operand = None, precs: Sequence[Any] = ()) -> Any:
        """Density at `x`."""
        return np.exp(separable_normal.logpdf(x, mean, precs))


def _along(matrix: Any, x: Any, axis: int) -> Any:
    """The product of a matrix and each line of an array along an axis."""
    moved = np.moveaxis(x, axis, 0)
    flat = matrix @ np.reshape(moved, (np.shape(moved)[0], -1))
    return np.moveaxis(np.reshape(flat, np.shape(moved)), 0, axis)


class ar1:
    """A stationary autoregression of order 1, along the last axis: ``x[t] = rho * x[t - 1] + noise``.

    Its elements have the mean `loc` and the standard deviation `scale`; the noise has ``scale * sqrt(1 -
    rho**2)``.

    Examples
    --------
    >>> from tapegrad.stats import ar1
    >>> float(round(ar1.logpdf([0.3, 0.5, -0.2], rho=0.6, scale=1.5), 6))
    -3.669285
    """

    @staticmethod
    @quiet
    def logpdf(x: Operand, rho: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Log of the density of a series; ``nan`` where ``abs(rho) >= 1`` or `scale` is not positive.

        Parameters
        ----------
        x : array_like
            Series, along the last axis.
        rho : float
            The autocorrelation.
        loc : array_like
            The mean, for all elements or for each.
        scale : float
            The marginal standard deviation.

        Returns
        -------
        float or ndarray
            One log-density for each series.
        """
        rho = valid(rho, np.less(np.abs(operand(rho)), 1.0))
        away = _away(x, None if isinstance(loc, int | float) and loc == 0 else loc)
        scale = positive(scale)
        innovation = scale * np.sqrt((1.0 - rho) * (1.0 + rho))
        first = norm.logpdf(away[..., 0], 0, scale)
        steps = norm.logpdf(away[..., 1:] - rho * away[..., :-1], 0, innovation)
        return (first + np.sum(steps, axis=-1))[()]

    @staticmethod
    def pdf(x: Operand, rho: Operand, loc: Operand = 0, scale: Operand = 1) -> Any:
        """Density of `x`."""
        return np.exp(ar1.logpdf(x, rho, loc, scale))


class random_walk:
    """A random walk, along the last axis: its differences of first or second order are normal.

    It is an intrinsic distribution (H. Rue and L. Held 2005, chapter 3): the density is that of the
    differences, and the level, with order 2 also the slope, is free.

    Examples
    --------
    >>> from tapegrad.stats import random_walk
    >>> float(round(random_walk.logpdf([0.3, 0.5, -0.2, 0.1], scale=0.5), 6))
    -1.917374
    >>> float(round(random_walk.logpdf([0.3, 0.5, -0.2, 0.1], scale=0.5, order=2), 6))
    -4.071583
    """

    @staticmethod
    def logpdf(x: Operand, scale: Operand = 1, order: int = 1) -> Any:
        """Log of the density of the differences of a series.

        Parameters
        ----------
        x : array_like
            Series, along the last axis, of more elements than `order`.
        scale : float
            The standard deviation of the differences.
        order : {1, 2}
            Which differences.

        Returns
        -------
        float or ndarray
            One log-density for each series.
        """
        x = operand(x)
        if order not in (1, 2):
            raise ValueError(f"order must be 1 or 2, not {order!r}")
        if np.shape(x)[-1] <= order:
            raise ValueError(f"more than {order} elements wanted; the shape is {np.shape(x)}")
        return np.sum(norm.logpdf(np.diff(x, n=order), 0, scale), axis=-1)

    @staticmethod
    def pdf(x: Operand, scale: Operand = 1, order: int = 1) -> Any:
        """Density of the differences of `x`."""
        return np.exp(random_walk.logpdf(x, scale, order))
