"""Distributions of vectors and of matrices, by Cholesky factors: normal, t, Wishart, and LKJ."""

import math
from typing import Any

import numpy as np
from scipy.special import gammaln

from tapegrad.ops.decompositions import cholesky
from tapegrad.ops.gammas import HALF_LOG_2PI
from tapegrad.ops.quotients import log1p_over
from tapegrad.special import multigammaln
from tapegrad.stats.common import Operand, choose, operand, positive, quiet
from tapegrad.stats.symmetric import log_normaliser

_LOG_2, _LOG_PI = math.log(2.0), math.log(math.pi)


def _log_det(factor: Any) -> Any:
    """Half the log-determinant, by the Cholesky factor."""
    return np.sum(np.log(np.diagonal(factor, axis1=-2, axis2=-1)), axis=-1)


def _square(matrix: Operand, dimension: int) -> Any:
    """A covariance as a matrix: numbers and diagonals stand for one, as in SciPy."""
    matrix = operand(matrix)
    if np.ndim(matrix) == 0:
        return matrix * np.eye(dimension)
    return np.diag(matrix) if np.ndim(matrix) == 1 else matrix


def _whitened(x: Operand, mean: Operand, matrix: Operand) -> tuple[Any, Any, int]:
    """The squared distance of each point, half the log-determinant, and the dimension."""
    x, mean = operand(x), 0.0 if mean is None else operand(mean)
    dimension = max(_last(mean), _last(operand(matrix)))
    if dimension == 1 and np.ndim(x) == 1:  # so many points, each a number
        x = np.reshape(x, (-1, 1))
    factor = cholesky(_square(matrix, dimension))
    away = x - mean
    columns = np.reshape(away, (-1, dimension)).T
    z = np.linalg.solve(factor, columns)
    squares = np.sum(z * z, axis=0)
    return np.reshape(squares, np.shape(away)[:-1]), _log_det(factor), dimension


def _last(x: Any) -> int:
    return int(np.shape(x)[-1]) if np.ndim(x) else 1


class multivariate_normal:  # SciPy's name
    """The multivariate normal distribution: `mean`, and the covariance matrix `cov`, positive definite.

    Examples
    --------
    >>> from tapegrad.stats import multivariate_normal
    >>> float(round(multivariate_normal.logpdf([1.0, 0.0], mean=[0.0, 0.0], cov=[[2.0, 0.5], [0.5, 1.0]]), 6))
    -2.403399
    """

    @staticmethod
    @quiet
    def logpdf(x: Operand, mean: Operand = None, cov: Operand = 1) -> Any:
        """Log of the density, ``nan`` where `cov` is not positive definite.

        Of `cov` only the lower triangle is read, as by NumPy's `cholesky`.

        Parameters
        ----------
        x : array_like
            Points, along the last axis.
        mean : array_like, optional
            The mean, 0 by default. It may have a row for each point.
        cov : array_like
            One covariance matrix; a number or a vector stands for a diagonal one.

        Returns
        -------
        float or ndarray
            One log-density for each point.
        """
        squares, half_log_det, dimension = _whitened(x, mean, cov)
        return (-0.5 * squares - (half_log_det + dimension * HALF_LOG_2PI))[()]

    @staticmethod
    def pdf(x: Operand, mean: Operand = None, cov: Operand = 1) -> Any:
        """Density at `x`."""
        return np.exp(multivariate_normal.logpdf(x, mean, cov))


class multivariate_t:  # SciPy's name
    """The multivariate t distribution: location `loc`, the matrix `shape`, and `df` > 0 degrees of freedom.

    Examples
    --------
    >>> from tapegrad.stats import multivariate_t
    >>> float(round(multivariate_t.logpdf([1.0, 0.0], [0.0, 0.0], [[2.0, 0.5], [0.5, 1.0]], df=4), 6))
    -2.518279
    """

    @staticmethod
    @quiet
    def logpdf(x: Operand, loc: Operand = None, shape: Operand = 1, df: Operand = 1) -> Any:
        """Log of the density, ``nan`` where `shape` is not positive definite.

        Parameters
        ----------
        x : array_like
            Points, along the last axis.
        loc : array_like, optional
            The location, 0 by default.
        shape : array_like
            The scale matrix. The covariance is ``df / (df - 2)`` times that.
        df : array_like
            Degrees of freedom.

        Returns
        -------
        float or ndarray
            One log-density for each point.
        """
        squares, half_log_det, dimension = _whitened(x, loc, shape)
        df = positive(df)
        # Half of log Gamma's gain by dimension / 2, in steps of t, whose digits stay where df is large
        flat = sum(log_normaliser(df + j) + 0.5 * np.log1p(j / df) for j in range(dimension))
        w = squares / df
        # (df + dimension) log1p(w) in two parts, as in t
        kernel = -0.5 * (dimension * np.log1p(w) + squares * log1p_over(0.0, w))
        return (kernel + (flat - half_log_det))[()]

    @staticmethod
    def pdf(x: Operand, loc: Operand = None, shape: Operand = 1, df: Operand = 1) -> Any:
        """Density at `x`."""
        return np.exp(multivariate_t.logpdf(x, loc, shape, df))


class wishart:  # SciPy's name
    """The Wishart distribution of positive definite matrices: `df` > dimension - 1, and the matrix `scale`.

    Examples
    --------
    >>> from tapegrad.stats import wishart
    >>> float(round(wishart.logpdf([[2.0, 0.3], [0.3, 1.0]], df=5, scale=[[1.0, 0.2], [0.2, 0.5]]), 6))
    -3.777837
    """

    @staticmethod
    @quiet
    def logpdf(x: Operand, df: Operand, scale: Operand) -> Any:
        """Log of the density, ``nan`` where `x` or `scale` is not positive definite.

        Parameters
        ----------
        x : array_like
            A matrix, or many along the last axis, as in SciPy.
        df : array_like
            Degrees of freedom.
        scale : array_like
            The scale matrix: the mean is `df` times it.

        Returns
        -------
        float or ndarray
            One log-density for each matrix.
        """
        x, df = operand(x), operand(df)
        x = np.reshape(x, (1, 1)) if np.ndim(x) == 0 else x
        x = np.moveaxis(x, -1, 0) if np.ndim(x) == 3 else x
        dimension = int(np.shape(x)[-1])
        df = choose(np.greater(df, dimension - 1), df, np.nan)
        factor, of_x = cholesky(_square(scale, dimension)), cholesky(x)
        z = np.linalg.solve(factor, of_x)
        trace = np.sum(z * z, axis=(-2, -1))
        value = (df - dimension - 1) * _log_det(of_x) - df * _log_det(factor) - 0.5 * trace
        return (value - (0.5 * dimension * _LOG_2 * df + multigammaln(0.5 * df, dimension)))[()]

    @staticmethod
    def pdf(x: Operand, df: Operand, scale: Operand) -> Any:
        """Density at `x`."""
        return np.exp(wishart.logpdf(x, df, scale))


class lkj:
    """The distribution of correlation matrices of Lewandowski, Kurowicka and Joe (2009): `eta` > 0.

    The density is ``det(R)**(eta - 1)``, normalised: uniform for ``eta = 1``.

    Examples
    --------
    >>> from tapegrad.stats import lkj
    >>> float(round(lkj.logpdf([[1.0, 0.5], [0.5, 1.0]], eta=2.0), 6))
    -0.575364
    """

    @staticmethod
    @quiet
    def logpdf(x: Operand, eta: Operand) -> Any:
        """Log of the density in the correlations; ``nan`` for what is not positive definite.

        Parameters
        ----------
        x : array_like
            A correlation matrix, along the last two axes.
        eta : array_like
            The shape.

        Returns
        -------
        float or ndarray
            One log-density for each matrix.
        """
        x, eta = operand(x), positive(eta)
        dimension = int(np.shape(x)[-1])
        rows = [0.5 * k * _LOG_PI + gammaln(eta + 0.5 * (dimension - 1 - k)) for k in range(1, dimension)]
        flat = sum(rows, start=0.0) - (dimension - 1) * gammaln(eta + 0.5 * (dimension - 1))
        return (2.0 * (eta - 1.0) * _log_det(cholesky(x)) - flat)[()]

    @staticmethod
    def pdf(x: Operand, eta: Operand) -> Any:
        """Density at `x`."""
        return np.exp(lkj.logpdf(x, eta))
