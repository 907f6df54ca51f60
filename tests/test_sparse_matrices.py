"""SciPy's sparse matrices in traced functions."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

import tapegrad as tg
from tapegrad.ops import matrices

FORMATS = ["csr", "csc", "coo", "dia", "bsr", "lil", "dok"]
DENSE = np.array([[2.0, -0.5, 0.0], [0.0, 1.5, 0.7], [0.3, 0.0, 1.1], [0.0, 0.0, -0.4]])
SQUARE = np.array([[2.0, -0.5, 0.0], [-0.5, 1.5, 0.7], [0.0, 0.7, 1.1]])
U, LONG = np.array([0.4, -0.7, 1.3]), np.array([0.4, -0.7, 1.3, 0.2])
TABLE, TALL = np.linspace(-1.0, 1.2, 6).reshape(3, 2), np.linspace(-1.0, 1.2, 8).reshape(4, 2)


def both(dense, form):
    """A matrix as an array and as a matrix of SciPy's."""
    return [getattr(sparse, f"{form}_{kind}")(dense) for kind in ("array", "matrix")]


PRODUCTS = {
    "A @ u": (lambda a: lambda u: np.sin(a @ u).sum(), U),
    "u @ A": (lambda a: lambda u: np.sin(u @ a).sum(), LONG),
    "A.T @ u": (lambda a: lambda u: np.sin(a.T @ u).sum(), LONG),
    "A.dot(u)": (lambda a: lambda u: np.sin(a.dot(u)).sum(), U),
    "A @ table": (lambda a: lambda u: np.sin(a @ u).sum(), TABLE),
    "table.T @ A": (lambda a: lambda u: np.sin(u.T @ a).sum(), TALL),
    "A.T @ table": (lambda a: lambda u: np.sin(a.T @ u).sum(), TALL),
    "A @ list": (lambda a: lambda u: np.sin(a @ [u[0], 2.0, u[2] * u[1]]).sum(), U),
}


def agrees(function, dense, at):
    """Value, gradient and Hessian of a function and of the same one with full matrices."""
    traced, expected = tg.trace(function, at), tg.trace(dense, at)
    for point in (at, at * 1.3 + 0.1):
        assert traced(point) == pytest.approx(expected(point), rel=1e-13)
        np.testing.assert_allclose(traced.grad(point), expected.grad(point), rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(traced.hessian(point), expected.hessian(point), rtol=1e-12, atol=1e-14)
    return traced


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("name", PRODUCTS)
def test_products(name, form):
    make, at = PRODUCTS[name]
    for matrix in both(DENSE, form):
        traced = agrees(make(matrix), make(DENSE), at)
        assert "sparse_product" in str(traced.tape)


@pytest.mark.parametrize("form", FORMATS)
def test_quadratic_forms(form):
    for matrix in both(SQUARE, form):
        agrees(lambda u, m=matrix: u @ (m @ u), lambda u: u @ (SQUARE @ u), U)
        agrees(lambda u, m=matrix: (m @ u) @ (m.T @ u), lambda u: (SQUARE @ u) @ (SQUARE @ u), U)


@pytest.mark.parametrize("form", FORMATS)
def test_a_matrix_of_scipy_multiplies_by_stars(form):
    matrix = both(DENSE, form)[1]
    agrees(lambda u: np.sin(matrix * u).sum(), lambda u: np.sin(DENSE @ u).sum(), U)
    agrees(lambda u: np.sin(u * matrix).sum(), lambda u: np.sin(u @ DENSE).sum(), LONG)
    agrees(lambda u: np.sin((u[0] * matrix) * u).sum(), lambda u: np.sin(u[0] * DENSE @ u).sum(), U)


OTHER = np.array([[1.0, 0.0, 0.3], [0.0, 2.0, 0.0], [0.3, 0.0, 0.5]])
COMBINED = {
    "a C + G": lambda a, c, g: a**2 * c + g,
    "G + a C": lambda a, c, g: g + c * a,
    "difference": lambda a, c, g: a * g - c,
    "constant minus": lambda a, c, g: g - c / a,
    "three": lambda a, c, g: a**4 * c + 2.0 * a**2 * g + c * 0.5,
    "negative": lambda a, c, g: -(a * c) - 2.0 * g,
    "transposed": lambda a, c, g: (a * c).T + g.T,
    "scaled": lambda a, c, g: np.float64(2.0) * (a * c) / 3.0 + 0,
    "sum of a list": lambda a, c, g: sum([a * c, g]),
}


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("name", COMBINED)
def test_combinations_with_traced_coefficients(name, form):
    combine = COMBINED[name]
    for c, g in zip(both(OTHER, form), both(SQUARE, "csc"), strict=True):
        agrees(
            lambda u, c=c, g=g: np.sin(u @ (combine(u[0], c, g) @ u)),
            lambda u: np.sin(u @ (combine(u[0], OTHER, SQUARE) @ u)),
            U,
        )


@pytest.mark.parametrize(
    ("function", "dense"),
    [
        (lambda u, a: (a * u[0]).diagonal() @ u, lambda u: (SQUARE.diagonal() * u[0]) @ u),
        (lambda u, a: np.sin((a * u[0]).toarray()).sum(), lambda u: np.sin(SQUARE * u[0]).sum()),
        (lambda u, a: (a * u[0]).sum() * u[1], lambda u: (SQUARE * u[0]).sum() * u[1]),
        (lambda u, a: (a * u[0]).sum(axis=1) @ u, lambda u: (SQUARE * u[0]).sum(axis=1) @ u),
        (lambda u, a: (a * u[0]).sum(axis=0) @ u, lambda u: (SQUARE * u[0]).sum(axis=0) @ u),
        (lambda u, a: np.ones(3) @ (a * u[0]) @ u, lambda u: np.ones(3) @ (SQUARE * u[0]) @ u),
        (
            lambda u, a: (u[0] * a + np.outer(u, u)).sum() * u[1],
            lambda u: (u[0] * SQUARE + np.outer(u, u)).sum() * u[1],
        ),
    ],
)
def test_whole_matrices(function, dense):
    array = sparse.csr_array(SQUARE)
    agrees(lambda u: function(u, array), dense, U)
    agrees(lambda u: function(u, array.T), dense, U)


def test_elements_times_arrays():
    array = sparse.csr_array(SQUARE)
    agrees(lambda u: (array * u).sum() * u[0], lambda u: (SQUARE * u).sum() * u[0], U)
    agrees(lambda u: array.multiply(u[:, None]).sum() * u[0], lambda u: (SQUARE * u[:, None]).sum() * u[0], U)
    agrees(lambda u: (array.T * u).sum() * u[0], lambda u: (SQUARE.T * u).sum() * u[0], U)


def test_sparse_hessians_stay_sparse():
    n = 40
    precision = sparse.diags_array([-1.0, 2.5, -1.0], offsets=[-1, 0, 1], shape=(n, n)).tocsr()
    traced = tg.trace(lambda u: np.exp(u).sum() + u @ (precision @ u), np.linspace(-1.0, 1.0, n))
    found = traced.hessian(np.linspace(0.0, 1.0, n), sparse=True)
    assert found.nnz == 3 * n - 2
    expected = np.diag(np.exp(np.linspace(0.0, 1.0, n))) + 2.0 * precision.toarray()
    np.testing.assert_allclose(found.toarray(), expected, rtol=1e-12)


def test_one_matrix_is_one_constant():
    matrix = sparse.csr_array(DENSE)
    traced = tg.trace(lambda u: (matrix @ u) @ (matrix @ (2.0 * u)), U)
    held = [value for value in dict(traced.tape.constants).values() if np.shape(value) == (matrix.nnz,)]
    assert len(held) == 2  # values and indices


@pytest.mark.parametrize(
    ("function", "text"),
    [
        (lambda u, a: sparse.csr_array((u, ([0, 1, 2], [0, 1, 2]))) @ u, "cannot take traced values"),
        (lambda u, a: sparse.diags_array(u) @ u, "scipy.sparse.diags_array cannot take"),
        (lambda u, a: (u[0] * a).tocsc() @ u, r"`\.tocsc` of a sparse matrix with traced values"),
        (lambda u, a: (u[0] * a)[0, 0], "indexing a sparse matrix"),
        (lambda u, a: (u[0] * a) @ a, "the product of two sparse matrices"),
        (lambda u, a: a @ (u[0] * a), "the product of two sparse matrices"),
        (lambda u, a: (u[0] * a) ** 2, "a power of a sparse matrix"),
        (lambda u, a: u[0] * a + u[1], "a number added to all elements"),
        (lambda u, a: np.dot(u, a), "csr_array cannot stand where an array is wanted"),
        (lambda u, a: np.multiply(u[0], a), "csr_array cannot stand where an array is wanted"),
        (lambda u, a: np.asarray(u[0] * a), "an array made of a sparse matrix"),
        (lambda u, a: sparse.linalg.spsolve(a, u), "scipy.sparse.linalg.spsolve cannot take"),
        (lambda u, a: a.astype(complex) @ u, "complex128 data cannot stand"),
    ],
)
def test_what_does_not_work_is_told(function, text):
    array = sparse.csr_array(SQUARE)
    with pytest.raises(tg.TraceError, match=text) as caught:
        tg.trace(lambda u: function(u, array), U)
    assert "test_sparse_matrices.py" in str(caught.value)


@pytest.mark.parametrize("function", [lambda u, a: a @ u, lambda u, a: u @ a.T, lambda u, a: (u[0] * a) @ u])
def test_shapes_that_do_not_fit(function):
    with pytest.raises(ValueError, match=r"mismatch|rows do not fit"):
        tg.trace(lambda u: function(u, sparse.csr_array(DENSE)).sum(), np.ones(2))


def test_all_is_as_it_was_afterwards():
    before = vars(type(sparse.csr_array(DENSE)).__mro__[4]).copy()
    tg.trace(lambda u: (sparse.csr_array(SQUARE) @ u).sum(), U)
    assert vars(type(sparse.csr_array(DENSE)).__mro__[4]).copy() == before
    assert isinstance(sparse.csr_array(DENSE) @ U, np.ndarray)


def test_solutions_and_determinants():
    c, g = sparse.csr_array(OTHER + np.eye(3)), sparse.csr_array(SQUARE)

    def function(u):
        q = u[0] ** 2 * c + g
        return matrices.logdet(q) + u @ matrices.solve(q, np.sin(u)) + matrices.variances(q)[1]

    def dense(u):
        q = u[0] ** 2 * c.toarray() + g.toarray()
        inverse = np.linalg.inv(q)
        return np.linalg.slogdet(q)[1] + u @ inverse @ np.sin(u) + inverse[1, 1]

    agrees(function, dense, U)
