"""Normal distributions of random effects and their covariances, against SciPy, mpmath and full matrices."""

from __future__ import annotations

import mpmath as mp
import numpy as np
import pytest
from scipy import sparse
from scipy.stats import multivariate_normal, norm

import tapegrad as tg
from tapegrad import covariance, stats

RNG = np.random.default_rng(2)
X = RNG.normal(size=6)
COV = np.cov(RNG.normal(size=(6, 20))) + 0.3 * np.eye(6)
MEAN = np.linspace(-0.5, 0.5, 6)


def derivatives_agree(function, expected, at):
    """Value, gradient and Hessian against another form of the same function."""
    traced, other = tg.trace(function, at), tg.trace(expected, at)
    for point in (at, at * 1.05 + 0.02):
        assert traced(point) == pytest.approx(other(point), rel=1e-12)
        np.testing.assert_allclose(traced.grad(point), other.grad(point), rtol=1e-9, atol=1e-11)
        np.testing.assert_allclose(traced.hessian(point), other.hessian(point), rtol=1e-8, atol=1e-9)
    return traced


def autoregression(n, rho, scale=1.0):
    """The full covariance."""
    steps = np.arange(n)
    return scale**2 * rho ** np.abs(steps[:, None] - steps)


# By factor and precision ------------------------------------------------------------------------------------


@pytest.mark.parametrize("x", [X, RNG.normal(size=(3, 6))])
def test_factor_and_precision_are_the_covariance(x):
    expected = multivariate_normal.logpdf(x, MEAN, COV)
    factor, precision = np.linalg.cholesky(COV), np.linalg.inv(COV)
    for form in (precision, sparse.csr_array(precision), sparse.csc_matrix(precision)):
        found = stats.multivariate_normal_prec.logpdf(x, MEAN, form)
        assert np.shape(found) == np.shape(expected)
        np.testing.assert_allclose(found, expected, rtol=1e-12)
    found = stats.multivariate_normal_chol.logpdf(x, MEAN, factor + np.triu(np.ones((6, 6)), 1))
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    np.testing.assert_allclose(stats.multivariate_normal_prec.pdf(x, MEAN, precision), np.exp(expected))
    np.testing.assert_allclose(stats.multivariate_normal_chol.pdf(x, MEAN, factor), np.exp(expected))


def test_what_is_not_positive_definite_is_nan():
    precision = np.diag([1.0, 2.0, -1.0])
    for form in (precision, sparse.csr_array(precision)):
        assert np.isnan(stats.multivariate_normal_prec.logpdf(np.zeros(3), prec=form))
    assert np.isnan(stats.multivariate_normal_chol.logpdf(np.zeros(3), chol=precision))


def test_shapes_that_do_not_fit_are_told():
    with pytest.raises(ValueError, match=r"\(5, 5\) wanted; it is \(6, 6\)"):
        stats.multivariate_normal_prec.logpdf(np.zeros(5), prec=sparse.eye_array(6))
    with pytest.raises(ValueError, match="a precision for each axis wanted: 2, not 1"):
        stats.separable_normal.logpdf(np.zeros((3, 4)), precs=[np.eye(3)])
    with pytest.raises(ValueError, match=r"\(4, 4\) wanted"):
        stats.separable_normal.logpdf(np.zeros((3, 4)), precs=[np.eye(3), np.eye(3)])


def chain(n):
    return sparse.diags_array([-1.0, 2.0, -1.0], offsets=[-1, 0, 1], shape=(n, n), format="csr")


@pytest.mark.parametrize("n", [5, 150])
def test_a_sparse_precision_with_parameters(n):
    """A combination of matrices, with the point and the mean among the parameters."""
    c, g, u = sparse.diags_array(np.linspace(0.5, 2.0, n)), chain(n), np.sin(np.arange(n))
    full, stiff = c.toarray(), g.toarray()

    def function(p):
        return stats.multivariate_normal_prec.logpdf(u * p[2], p[1], np.exp(2.0 * p[0]) * c + p[3] ** 2 * g)

    def expected(p):
        precision = np.exp(2.0 * p[0]) * full + p[3] ** 2 * stiff
        return stats.multivariate_normal_prec.logpdf(u * p[2], p[1], precision)

    traced = derivatives_agree(function, expected, np.array([0.2, 0.3, 0.9, 1.1]))
    assert "sparse_logdet" in str(traced.tape)


def test_derivatives_of_a_log_determinant():
    """Of sum(log(exp(p) c + eigenvalues)), which is known."""
    n = 30
    eigenvalues = np.linalg.eigvalsh(chain(n).toarray())
    one = sparse.eye_array(n, format="csr")
    traced = tg.trace(
        lambda p: stats.multivariate_normal_prec.logpdf(np.zeros(n), prec=p[0] * one + chain(n)), np.ones(1)
    )
    k = 1.3
    assert traced.grad(np.array([k]))[0] == pytest.approx(0.5 * np.sum(1.0 / (k + eigenvalues)), rel=1e-12)
    hessian = traced.hessian(np.array([k]))[0, 0]
    assert hessian == pytest.approx(-0.5 * np.sum((k + eigenvalues) ** -2.0), rel=1e-11)


def test_a_point_where_the_precision_is_not_definite_is_nan_in_a_replay():
    c = sparse.eye_array(20, format="csr")
    traced = tg.trace(
        lambda p: stats.multivariate_normal_prec.logpdf(np.ones(20), prec=p * c - 0.1 * chain(20)), 2.0
    )
    assert np.isfinite(traced(2.0))
    with pytest.warns(tg.NonFiniteWarning):
        assert np.isnan(traced(-1.0))


# Time series ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rho", "scale"), [(0.6, 1.5), (-0.9, 0.2), (0.999999, 1.0), (0.0, 3.0)])
def test_autoregression(rho, scale):
    expected = multivariate_normal.logpdf(X, MEAN, autoregression(6, rho, scale), allow_singular=False)
    assert stats.ar1.logpdf(X, rho, MEAN, scale) == pytest.approx(expected, rel=1e-9)
    precision = covariance.ar1_precision(6, rho, scale)
    inverse = np.linalg.inv(autoregression(6, rho, scale))
    np.testing.assert_allclose(precision.toarray(), inverse, rtol=1e-8, atol=1e-8 * inverse.max())
    found = stats.multivariate_normal_prec.logpdf(X, MEAN, precision)
    assert found == pytest.approx(expected, rel=1e-9)


def test_derivatives_of_an_autoregression():
    def precise(p):
        return stats.multivariate_normal_prec.logpdf(X, p[2], covariance.ar1_precision(6, p[0], p[1]))

    def full(p):
        steps = np.abs(np.subtract.outer(np.arange(6.0), np.arange(6.0)))
        return stats.multivariate_normal.logpdf(X, p[2] * np.ones(6), p[1] ** 2 * p[0] ** steps)

    at = np.array([0.4, 1.3, 0.2])
    derivatives_agree(lambda p: stats.ar1.logpdf(X, p[0], p[2], p[1]), full, at)
    derivatives_agree(precise, full, at)


def test_series_along_the_last_axis():
    table = RNG.normal(size=(3, 6))
    found = stats.ar1.logpdf(table, 0.3)
    np.testing.assert_allclose(found, [stats.ar1.logpdf(row, 0.3) for row in table], rtol=1e-13)
    found = stats.random_walk.logpdf(table, 0.3, order=2)
    np.testing.assert_allclose(found, [stats.random_walk.logpdf(row, 0.3, order=2) for row in table])
    np.testing.assert_allclose(
        stats.random_walk.pdf(table, 2.0), np.exp(stats.random_walk.logpdf(table, 2.0))
    )
    np.testing.assert_allclose(stats.ar1.pdf(table, 0.1), np.exp(stats.ar1.logpdf(table, 0.1)))


@pytest.mark.parametrize("order", [1, 2])
def test_random_walks(order):
    expected = norm.logpdf(np.diff(X, order), 0.0, 0.7).sum()
    assert stats.random_walk.logpdf(X, 0.7, order) == pytest.approx(expected, rel=1e-13)
    derivatives_agree(
        lambda p: stats.random_walk.logpdf(p[1:], p[0], order),
        lambda p: stats.norm.logpdf(np.diff(p[1:], order), 0.0, p[0]).sum(),
        np.concatenate([[0.7], X]),
    )


def test_bad_parameters_of_series():
    assert np.isnan(stats.ar1.logpdf(X, 1.0))
    assert np.isnan(stats.ar1.logpdf(X, 0.5, 0, -1.0))
    assert np.isnan(stats.random_walk.logpdf(X, -1.0))
    with pytest.raises(ValueError, match="order must be 1 or 2"):
        stats.random_walk.logpdf(X, 1.0, order=3)
    with pytest.raises(ValueError, match="more than 2 elements"):
        stats.random_walk.logpdf(X[:2], 1.0, order=2)
    with pytest.raises(ValueError, match="2 elements or more"):
        covariance.ar1_precision(1, 0.5)


# Fields -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(3, 4), (2, 3, 4)])
def test_separable(shape):
    x, rhos = RNG.normal(size=shape), (0.5, -0.3, 0.8)
    full = np.ones((1, 1))
    for length, rho in zip(shape, rhos, strict=False):
        full = np.kron(full, autoregression(length, rho))
    expected = multivariate_normal.logpdf(x.ravel(), None, full)
    some_sparse = [covariance.ar1_precision(n, rho) for n, rho in zip(shape, rhos, strict=False)]
    full_ones = [np.linalg.inv(autoregression(n, rho)) for n, rho in zip(shape, rhos, strict=False)]
    for precs in (some_sparse, full_ones, [some_sparse[0], *full_ones[1:]]):
        assert stats.separable_normal.logpdf(x, precs=precs) == pytest.approx(expected, rel=1e-11)
    assert stats.separable_normal.pdf(x, precs=some_sparse) == pytest.approx(np.exp(expected), rel=1e-11)


def test_derivatives_of_a_separable_field():
    x = RNG.normal(size=(4, 3))

    def function(p):
        precs = covariance.ar1_precision(4, p[0]), covariance.ar1_precision(3, p[1], p[2])
        return stats.separable_normal.logpdf(x, p[3], precs)

    def expected(p):
        rows = np.abs(np.subtract.outer(np.arange(4.0), np.arange(4.0)))
        columns = np.abs(np.subtract.outer(np.arange(3.0), np.arange(3.0)))
        full = np.kron(p[0] ** rows, p[2] ** 2 * p[1] ** columns)
        return stats.multivariate_normal.logpdf(x.ravel(), p[3] * np.ones(12), full)

    derivatives_agree(function, expected, np.array([0.5, 0.3, 1.2, 0.1]))


def _matern(distance, length, nu):
    s = mp.sqrt(2 * mp.mpf(nu)) * mp.mpf(distance) / mp.mpf(length)
    return mp.mpf(2) ** (1 - mp.mpf(nu)) / mp.gamma(nu) * s ** mp.mpf(nu) * mp.besselk(nu, s)


@pytest.mark.parametrize("nu", [0.5, 1.5, 2.5, 0.3, 1.0, 2.2, 7.5])
def test_matern(nu):
    distances = np.array([1e-8, 0.01, 0.3, 1.0, 4.0, 30.0])
    expected = [float(_matern(d, 0.8, nu)) for d in distances]
    np.testing.assert_allclose(covariance.matern(distances, 0.8, nu), expected, rtol=1e-11)
    assert covariance.matern(0.0, 0.8, nu) == 1.0
    assert np.isnan(covariance.matern(np.nan, 0.8, nu))


@pytest.mark.parametrize("nu", [1.5, 0.7])
def test_derivatives_of_matern(nu):
    mp.mp.dps = 30
    traced = tg.trace(
        lambda p: covariance.matern(np.array([0.0, 0.5, 2.0]), p[0], p[1]) @ np.arange(1.0, 4.0),
        np.array([0.8, nu]),
    )

    def total(length, order):
        return 1 + 2 * _matern(0.5, length, order) + 3 * _matern(2, length, order)

    assert traced(np.array([0.8, nu])) == pytest.approx(float(total(0.8, nu)), rel=1e-12)
    for i, orders in enumerate([(1, 0), (0, 1)]):
        expected = float(mp.diff(total, (0.8, nu), orders))
        assert traced.grad(np.array([0.8, nu]))[i] == pytest.approx(expected, rel=1e-9)
    fixed = tg.trace(lambda p: covariance.matern(np.array([0.0, 0.5, 2.0]), p, nu) @ np.arange(1.0, 4.0), 0.8)
    assert fixed.grad(0.8) == pytest.approx(float(mp.diff(lambda x: total(x, nu), 0.8)), rel=1e-9)
    assert fixed.hessian(0.8) == pytest.approx(float(mp.diff(lambda x: total(x, nu), 0.8, 2)), rel=1e-8)


@pytest.mark.parametrize("alpha", [1, 2])
def test_spde(alpha):
    mass, stiff, u = sparse.diags_array(np.linspace(0.5, 1.5, 8)), chain(8), np.cos(np.arange(8.0))
    c, g = mass.toarray(), stiff.toarray()

    def dense(kappa, tau):
        if alpha == 1:
            return tau**2 * (kappa**2 * c + g)
        return tau**2 * (kappa**4 * c + 2.0 * kappa**2 * g + g @ np.diag(1.0 / np.diag(c)) @ g)

    np.testing.assert_allclose(
        covariance.spde(mass, stiff, 0.7, 1.3, alpha).toarray(), dense(0.7, 1.3), rtol=1e-13
    )
    derivatives_agree(
        lambda p: stats.multivariate_normal_prec.logpdf(
            u, None, covariance.spde(mass, stiff, p[0], p[1], alpha)
        ),
        lambda p: stats.multivariate_normal_prec.logpdf(u, None, dense(p[0], p[1])),
        np.array([0.7, 1.3]),
    )


def test_bad_input_of_spde():
    full = sparse.csr_array([[2.0, 0.5], [0.5, 1.0]])
    with pytest.raises(ValueError, match="lump it"):
        covariance.spde(full, full, 1.0)
    with pytest.raises(ValueError, match="alpha must be 1 or 2"):
        covariance.spde(full, full, 1.0, alpha=3)
    with pytest.raises(TypeError, match="must be sparse"):
        covariance.spde(np.eye(2), full, 1.0)


def test_unstructured_correlations():
    theta = np.array([0.5, -0.3, 0.2, 1.1, 0.4, -0.7])
    factor = covariance.unstructured(theta)
    triangle = np.array([[1, 0, 0, 0], [0.5, 1, 0, 0], [-0.3, 0.2, 1, 0], [1.1, 0.4, -0.7, 1]])
    full = triangle @ triangle.T
    scale = np.sqrt(np.diag(full))
    np.testing.assert_allclose(factor @ factor.T, full / np.outer(scale, scale), rtol=1e-13)
    sd, x = np.array([0.5, 1.0, 2.0, 0.7]), X[:4]

    def by_factor(p):
        return stats.multivariate_normal_chol.logpdf(x, None, p[6:, None] * covariance.unstructured(p[:6]))

    def by_covariance(p):
        root = covariance.unstructured(p[:6])
        return stats.multivariate_normal.logpdf(x, None, np.outer(p[6:], p[6:]) * (root @ root.T))

    derivatives_agree(by_factor, by_covariance, np.concatenate([theta, sd]))
    with pytest.raises(ValueError, match="numbers in one row wanted"):
        covariance.unstructured(np.ones(2))
