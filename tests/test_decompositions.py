"""Linear algebra in plain NumPy: the faces of the ops, closed forms, and singular matrices."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

import tapegrad as tg

A = np.array([[2.0, -1.0, 0.3], [0.4, 1.5, -0.8], [-0.6, 0.2, 1.1]])
S = A @ A.T + np.eye(3)
STACK = np.array([A, A.T + 1.0])
B = np.array([[0.5, 1.0], [-1.0, 0.2], [2.0, 0.7]])
V = np.array([0.3, -0.8, 1.2])
W = np.array([[0.2, 1.0, -0.4], [0.7, -0.3, 0.9], [1.1, 0.5, 0.6]])

FACES = {
    "solve for a vector": (lambda a: np.linalg.solve(a, V), A),
    "solve for a matrix": (lambda a: np.linalg.solve(a, B), A),
    "solve for a stack and a vector": (lambda a: np.linalg.solve(a, V), STACK),
    "solve for a stack and a matrix": (lambda a: np.linalg.solve(a, B), STACK),
    "solve with a traced right-hand side": (lambda b: np.linalg.solve(A, b), V),
    "inv": (np.linalg.inv, A),
    "inv of a stack": (np.linalg.inv, STACK),
    "det": (np.linalg.det, A),
    "det of a stack": (np.linalg.det, STACK),
    "slogdet, the logarithm": (lambda a: np.linalg.slogdet(a).logabsdet, A - 2.0),
    "slogdet, both": (lambda a: np.prod(np.linalg.slogdet(a)[0]) * np.linalg.slogdet(a)[1], STACK),
    "cholesky": (np.linalg.cholesky, S),
    "cholesky, upper": (lambda a: np.linalg.cholesky(a, upper=True), S),
    "cholesky of a stack": (lambda a: np.linalg.cholesky(a), np.array([S, S + W @ W.T])),
    "eigvalsh": (np.linalg.eigvalsh, S),
    "eigvalsh, upper": (lambda a: np.linalg.eigvalsh(a, UPLO="U"), S + np.triu(W, 1)),
    "eigh": (lambda a: np.linalg.eigh(a).eigenvalues + np.abs(np.linalg.eigh(a).eigenvectors)[0], S),
    "eigh, upper": (lambda a: np.abs(np.linalg.eigh(a, "U")[1]), S + np.triu(W, 1)),
    "eigenvalues of a stack": (lambda a: np.linalg.eigh(a)[0], np.array([S, S + W @ W.T])),
}


@pytest.mark.parametrize("name", FACES)
def test_traced_functions_give_what_numpy_gives(name):
    f, start = FACES[name]
    tape = tg.trace(f, start)
    for at in (start, 1.1 * start):
        np.testing.assert_allclose(tape(at), f(at), rtol=1e-13, atol=1e-14)


def test_the_results_of_slogdet_and_eigh_have_numpys_names():
    seen = []
    tg.trace(lambda a: seen.append((np.linalg.slogdet(a), np.linalg.eigh(a))) or a.sum(), S)
    assert type(seen[0][0]) is type(np.linalg.slogdet(S))
    assert type(seen[0][1]) is type(np.linalg.eigh(S))


def test_only_the_triangle_that_is_read_has_a_derivative():
    lower = tg.trace(lambda a: (np.linalg.cholesky(a) * W).sum(), S)
    assert not np.triu(lower.grad(S), 1).any()
    upper = tg.trace(lambda a: (np.linalg.cholesky(a, upper=True) * W.T).sum(), S)
    np.testing.assert_allclose(upper.grad(S), lower.grad(S).T, rtol=1e-13)
    values = tg.trace(lambda a: np.linalg.eigvalsh(a, "U")[0], S)
    assert not np.tril(values.grad(S), -1).any()


def normal_by_solve(sigma):
    return -0.5 * (V @ np.linalg.solve(sigma, V) + np.linalg.slogdet(sigma)[1] + 3.0 * np.log(2.0 * np.pi))


def normal_by_cholesky(sigma):
    factor = np.linalg.cholesky(sigma)
    z = np.linalg.solve(factor, V)
    return -0.5 * (z @ z + 3.0 * np.log(2.0 * np.pi)) - np.log(np.diagonal(factor)).sum()


def normal_by_eigenvalues(sigma):
    values, vectors = np.linalg.eigh(sigma)
    z = vectors.T @ V
    return -0.5 * ((z * z / values).sum() + np.log(values).sum() + 3.0 * np.log(2.0 * np.pi))


def normal_by_inverse(sigma):
    return -0.5 * (V @ np.linalg.inv(sigma) @ V + np.log(np.linalg.det(sigma)) + 3.0 * np.log(2.0 * np.pi))


@pytest.mark.parametrize("f", [normal_by_solve, normal_by_cholesky, normal_by_eigenvalues, normal_by_inverse])
def test_the_normal_density_in_its_covariance(f):
    """The first two derivatives along a symmetric direction D, with P the precision and u = P x.

    They are ``(u'Du - tr(PD)) / 2`` and ``tr(PDPD) / 2 - u'DPDu`` (Magnus and Neudecker, chapter 15).
    """
    tape = tg.trace(lambda a: f(S + a * (W + W.T)), 0.0)
    for a in (0.0, 0.1):
        sigma, d = S + a * (W + W.T), W + W.T
        precision = np.linalg.inv(sigma)
        u = precision @ V
        assert tape(a) == pytest.approx(stats.multivariate_normal.logpdf(V, cov=sigma), rel=1e-13)
        assert tape.grad(a) == pytest.approx(0.5 * (u @ d @ u - np.trace(precision @ d)), rel=1e-11)
        second = 0.5 * np.trace(precision @ d @ precision @ d) - u @ d @ precision @ d @ u
        assert tape.hessian(a)[0, 0] == pytest.approx(second, rel=1e-10)


def test_closed_forms():
    inverse = np.linalg.inv(A)
    logdet = tg.trace(lambda a: np.linalg.slogdet(a)[1], A)
    np.testing.assert_allclose(logdet.grad(A), inverse.T, rtol=1e-13)
    # d2 log|A| / dA_ij dA_kl = -inv(A)_jk inv(A)_li
    expected = -np.einsum("jk,li->ijkl", inverse, inverse).reshape(9, 9)
    np.testing.assert_allclose(logdet.hessian(A), expected, rtol=1e-12)
    det = tg.trace(np.linalg.det, A)
    np.testing.assert_allclose(det.grad(A), np.linalg.det(A) * inverse.T, rtol=1e-13)
    spectrum = tg.trace(lambda a: (np.linalg.eigvalsh(a) ** 2).sum(), S)
    np.testing.assert_allclose(spectrum.grad(S), np.tril(4.0 * S) - np.diag(2.0 * np.diag(S)), rtol=1e-13)


def test_eigh_puts_the_matrix_together_again():
    def rebuilt(a):
        values, vectors = np.linalg.eigh(a)
        return (vectors * values) @ vectors.T

    tape = tg.trace(lambda a: (rebuilt(a) * W).sum(), S)
    whole = tg.trace(lambda a: ((np.tril(a) + np.tril(a, -1).T) * W).sum(), S)
    np.testing.assert_allclose(tape.grad(S), whole.grad(S), rtol=1e-12)
    np.testing.assert_allclose(tape.hessian(S), np.zeros((9, 9)), atol=1e-12)


# Where there is no result -----------------------------------------------------------------------------------

SINGULAR = np.array([[1.0, 2.0], [2.0, 4.0]])
REGULAR = np.array([[2.0, 0.5], [0.5, 1.0]])
FAILING = {
    "solve": lambda a: np.linalg.solve(a, V[:2]).sum(),
    "inv": lambda a: np.linalg.inv(a).sum(),
    "cholesky": lambda a: np.linalg.cholesky(a - 4.0 * np.eye(2)).sum(),
}


@pytest.mark.parametrize("name", FAILING)
def test_a_trace_at_a_singular_matrix_raises_numpys_error(name):
    with pytest.raises(np.linalg.LinAlgError):
        tg.trace(FAILING[name], SINGULAR)


@pytest.mark.parametrize("name", FAILING)
def test_a_replay_at_a_singular_matrix_is_nan_and_says_where(name):
    f = FAILING[name]
    good = REGULAR + 5.0 * np.eye(2)
    tape = tg.trace(f, good)
    with pytest.warns(tg.NonFiniteWarning, match=rf"it arises in {name}\("):
        assert np.isnan(tape(SINGULAR))
    with pytest.warns(tg.NonFiniteWarning):
        assert np.isnan(tape.grad(SINGULAR)).all()
    value, gradient = tape.value_and_grad_flat(SINGULAR.ravel())
    assert np.isnan(value)
    assert np.isnan(gradient).any()
    with pytest.warns(tg.NonFiniteWarning, match=rf"the Hessian of f is NaN: it arises in {name}\("):
        assert np.isnan(tape.hessian(SINGULAR)).any()
    assert tape(good) == f(good)


def test_an_error_that_the_users_code_catches_is_no_branch_of_the_tape():
    def guarded(a):
        try:
            return np.linalg.cholesky(a)[1, 1]
        except np.linalg.LinAlgError:
            return -1.0

    with pytest.raises(tg.ReplayError, match=r"replaying guarded gives nan, calling it gives -1"):
        tg.trace(guarded, SINGULAR - np.eye(2))
    with pytest.warns(tg.NonFiniteWarning, match="cholesky"):
        assert np.isnan(tg.trace(guarded, REGULAR)(SINGULAR - np.eye(2)))


def test_the_determinant_of_a_singular_matrix_is_zero_and_its_gradient_unknown():
    tape = tg.trace(np.linalg.det, REGULAR)
    assert tape(SINGULAR) == 0.0
    with pytest.warns(tg.NonFiniteWarning, match=r"det\("):
        assert np.isnan(tape.grad(SINGULAR)).all()
    assert tg.trace(lambda a: np.linalg.slogdet(a)[1], REGULAR)(SINGULAR) == -np.inf
    assert tg.trace(lambda a: np.linalg.slogdet(a)[0] + 0.0 * a[0, 0], REGULAR)(SINGULAR) == 0.0


@pytest.mark.parametrize(
    ("f", "error"),
    [
        (lambda a: np.linalg.inv(a[:2]), np.linalg.LinAlgError),
        (lambda a: np.linalg.cholesky(a[0]), np.linalg.LinAlgError),
        (lambda a: np.linalg.solve(a, V[:2]), ValueError),
        (lambda a: np.linalg.eigvalsh(a, "lower"), ValueError),
    ],
)
def test_wrong_arguments_raise_as_in_numpy(f, error):
    with pytest.raises(error):
        f(A)
    with pytest.raises(error):
        tg.trace(f, A)
