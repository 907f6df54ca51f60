"""No NaN from the branch not taken: what is masked out of a cotangent stays out, at both orders."""

from __future__ import annotations

import numpy as np
import pytest

import tapegrad as tg
import tapegrad.special as tgs
from tapegrad.backends.replay import adjoints, evaluate

AT = np.array([0.0, 0.5, 2.0])

CASES = {
    # name: (function, gradient at AT, diagonal of the Hessian at AT)
    "where with log": (lambda x: np.where(x > 0.0, np.log(x), 0.0), [0, 2, 0.5], [0, -4, -0.25]),
    "where with sqrt": (
        lambda x: np.where(x > 0.0, np.sqrt(x), 0.0),
        [0, 0.5 / np.sqrt(0.5), 0.5 / np.sqrt(2.0)],
        [0, -0.25 * 0.5**-1.5, -0.25 * 2.0**-1.5],
    ),
    "where with division": (lambda x: np.where(x > 0.0, 1.0 / x, x), [1, -4, -0.25], [0, 16, 0.25]),
    "where with a power": (
        lambda x: np.where(x > 0.0, x**-1.5, 1.0),
        [0, -1.5 * 0.5**-2.5, -1.5 * 2.0**-2.5],
        [0, 3.75 * 0.5**-3.5, 3.75 * 2.0**-3.5],
    ),
    "where inside a function": (
        lambda x: np.exp(np.where(x > 0.0, np.log(x), -1.0)),
        [0, 1, 1],
        [0, 0, 0],
    ),
    "maximum": (lambda x: np.maximum(np.log(x), -50.0), [0, 2, 0.5], [0, -4, -0.25]),
    "minimum": (lambda x: np.minimum(-np.log(x), 50.0), [0, -2, -0.5], [0, 4, 0.25]),
    "clip": (lambda x: np.clip(np.log(x), -50.0, 50.0), [0, 2, 0.5], [0, -4, -0.25]),
    "indexing": (lambda x: np.log(x)[1:], [0, 2, 0.5], [0, -4, -0.25]),
    "fancy indexing": (lambda x: np.log(x)[np.array([2, 1])], [0, 2, 0.5], [0, -4, -0.25]),
    "max of an array": (lambda x: np.max(np.log(x)), [0, 0, 0.5], [0, 0, -0.25]),
    "nested where": (
        lambda x: np.where(x > 1.0, 0.0, np.where(x > 0.0, np.log(x), 0.0)),
        [0, 2, 0],
        [0, -4, 0],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_gradient_and_hessian_are_finite_and_right(name):
    f, gradient, diagonal = CASES[name]
    tape = tg.trace(lambda x: f(x).sum(), np.array([0.1, 0.5, 2.0]))
    np.testing.assert_allclose(tape.grad(AT), gradient, rtol=1e-12)
    np.testing.assert_allclose(tape.hessian(AT), np.diag(diagonal), rtol=1e-12, atol=1e-14)
    swept = adjoints(tape.tape, evaluate(tape.tape, AT, {}))
    np.testing.assert_allclose(swept[tape.tape.parameters[0]], gradient, rtol=1e-12)


def test_a_shared_scalar_masked_everywhere():
    x = np.array([-1.0, -2.0])
    tape = tg.trace(lambda a: np.where(x > 0.0, np.log(a), 3.0 * a).sum(), 1.0)
    assert tape.grad(0.0) == 6.0
    assert tape.hessian(0.0) == 0.0


def test_what_is_not_masked_stays_infinite():
    tape = tg.trace(lambda x: np.log(x).sum(), np.array([1.0, 2.0]))
    np.testing.assert_array_equal(tape.grad(np.array([0.0, 2.0])), [np.inf, 0.5])


# Rows that are masked afterwards ----------------------------------------------------------------------------

X = np.array([[1.0, 2.0], [np.nan, 1.0], [3.0, 1.0], [-np.inf, np.nan]])
KEPT = np.array([True, False, True, False])
B = np.array([0.3, 0.4])


def log_logistic(eta):
    return -np.log1p(np.exp(-eta))


MASKED = {
    "where": lambda ll: np.where(KEPT, ll, 0.0).sum(),
    "indexing": lambda ll: ll[KEPT].sum(),
    "nansum": np.nansum,
    "assignment": lambda ll: _cleared(ll).sum(),
}


def _cleared(ll):
    ll = ll * 1.0
    ll[~KEPT] = 0.0
    return ll


PREDICTORS = {
    "X @ b": lambda b: X @ b,
    "b @ X.T": lambda b: b @ X.T,
    "a matrix of coefficients": lambda b: (X @ np.stack([b, b], axis=1))[:, 0],
    "a stack of matrices": lambda b: (np.stack([X, X]) @ b)[1],
    "one row at a time": lambda b: np.stack([row @ b for row in X]),
    "(X * b).sum": lambda b: (X * b).sum(axis=1),
    "einsum": lambda b: np.einsum("ij,j->i", X, b),
}


@pytest.mark.parametrize("predictor", [*PREDICTORS, "data"])
@pytest.mark.parametrize("masked", MASKED)
def test_rows_of_nan_that_are_masked_afterwards(masked, predictor):
    with np.errstate(invalid="ignore"):
        if predictor == "data":
            f = tg.trace(lambda b, x: MASKED[masked](log_logistic(x @ b)), dict(b=B), data=dict(x=X))
        else:
            f = tg.trace(lambda b: MASKED[masked](log_logistic(PREDICTORS[predictor](b))), dict(b=B))
    kept = X[KEPT]
    p = 1.0 / (1.0 + np.exp(kept @ B))
    np.testing.assert_allclose(f(B), log_logistic(kept @ B).sum(), rtol=1e-14)
    np.testing.assert_allclose(f.grad(B)["b"], kept.T @ p, rtol=1e-13)
    np.testing.assert_allclose(f.jvp(B, [1.0, -2.0]), p @ kept @ [1.0, -2.0], rtol=1e-13)
    hessian = -(kept.T * (p * (1.0 - p))) @ kept
    np.testing.assert_allclose(f.hessian(B), hessian, rtol=1e-13)
    np.testing.assert_allclose(f.hessian(B, sparse=True).toarray(), hessian, rtol=1e-13)


def test_a_row_of_nan_that_is_not_masked_is_nan():
    f = tg.trace(lambda b: log_logistic(X[:2] @ b), B)
    with pytest.warns(tg.NonFiniteWarning, match="the Jacobian of f is NaN: the data .* holds 1 NaN"):
        np.testing.assert_array_equal(np.isnan(f.jacobian(B)), [[False, False], [True, True]])


def test_a_product_with_finite_data_has_no_gate():
    f = tg.trace(lambda b: np.where(KEPT[:3], log_logistic(np.nan_to_num(X)[:3] @ b), 0.0).sum(), B)
    assert "gated_matmul" not in {entry.op.name for entry in f.grad_tape.entries}


@pytest.mark.parametrize("rows", [100, 20_000])
def test_long_data_with_missing_rows(rows):
    """Block by block, too."""
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(rows, 3)), rng.normal(size=rows)
    missing = rng.random(rows) < 0.1
    full = x[~missing], y[~missing]
    x[missing, rng.integers(0, 3, missing.sum())] = np.nan

    def loglik(b, x, y, kept):
        return np.where(kept, -np.log1p((y - np.tanh(x @ b)) ** 2), 0.0).sum()

    f = tg.trace(lambda b: loglik(b, x, y, ~missing), np.zeros(3))
    g = tg.trace(lambda b: loglik(b, *full, True), np.zeros(3))
    at = np.array([0.3, -0.2, 0.5])
    np.testing.assert_allclose(f.grad(at), g.grad(at), rtol=1e-11)
    np.testing.assert_allclose(f.hessian(at), g.hessian(at), rtol=1e-11)


# What has not been chosen, from both sides ------------------------------------------------------------------

SIDES = {
    "maximum": lambda x: np.maximum(x, 0.0),
    "maximum from the left": lambda x: np.maximum(0.0, x),
    "minimum": lambda x: -np.minimum(-x, 0.0),
    "fmax": lambda x: np.fmax(x, 0.0),
    "fmin": lambda x: -np.fmin(-x, 0.0),
    "fmax of a missing value": lambda x: np.where(x > 0.0, np.fmax(x, np.nan), 0.0),
    "clip": lambda x: np.clip(x, 0.0, 5.0),
    "relu": tgs.relu,
    "where": lambda x: np.where(x > 0.0, x, 0.0),
    "max of rows": lambda x: np.stack([x, 0.0 * x]).max(axis=0),
    "update": lambda x: _written(x),
}


def _written(x):
    x = x * 1.0
    x[x < 0.0] = 0.0
    return x


@pytest.mark.parametrize("name", SIDES)
@pytest.mark.parametrize("root", [np.sqrt, lambda u: u**0.5, np.cbrt, lambda u: np.log(u + 0.0)], ids=str)
def test_an_infinite_slope_behind_what_was_not_chosen(name, root):
    at = np.array([-1.0, 2.0, -3.0])
    f = tg.trace(lambda x: np.exp(root(SIDES[name](x))).sum(), np.array([1.0, 2.0, 3.0]))
    plain = tg.trace(lambda x: np.exp(root(x)).sum(), np.array([2.0]))
    slope, bend = plain.grad(at[1:2]).item(), plain.hessian(at[1:2]).item()
    np.testing.assert_allclose(f.grad(at), [0.0, slope, 0.0], rtol=1e-13)
    np.testing.assert_allclose(f.jvp(at, [1.0, 1.0, 1.0]), slope, rtol=1e-13)
    np.testing.assert_allclose(f.hessian(at), np.diag([0.0, bend, 0.0]), rtol=1e-13)


def test_a_level_that_no_row_has():
    for unused in (np.inf, np.nan):
        f = tg.trace(lambda w: w[[1, 2, 2]].sum(), np.array([1.0, 2.0, 3.0]))
        at = np.array([unused, 2.0, 3.0])
        assert f(at) == pytest.approx(8.0, rel=1e-15)
        np.testing.assert_allclose(f.grad(at), [0.0, 1.0, 2.0], rtol=1e-14)


LEVELS = np.arange(200) % 5
RESPONSE = 0.01 * np.arange(200)


@pytest.mark.parametrize(
    "f",
    [
        lambda w: np.where(LEVELS > 0, (RESPONSE - w[LEVELS]) ** 2, 0.0).sum(),
        lambda w: ((RESPONSE - w[LEVELS]) ** 2)[LEVELS > 0].sum(),
        lambda w: ((RESPONSE - w[LEVELS % 4 + 1]) ** 2).sum(),
        lambda w: ((RESPONSE - w[-1 - LEVELS % 4]) ** 2).sum(),
    ],
)
def test_a_level_that_no_row_has_in_sufficient_statistics(f):
    tape = tg.trace(f, np.array([0.1, 1.0, 2.0, 3.0, 4.0]))
    assert max(int(np.prod(aval.shape)) for aval in tape.grad_tape.avals if aval.dtype == float) < 40
    at = np.array([np.nan, 1.5, 2.0, 3.0, 4.5])
    assert tape(at) == pytest.approx(f(at), rel=1e-13)
    assert tape.grad(at)[0] == 0.0
    assert np.isfinite(tape.grad(at)).all()


Z = np.array([[1.0, 2.0, 0.5], [np.nan, 1.0, 2.0], [3.0, 1.0, 0.3], [np.inf, 1.0, 1.0], [0.0, -np.inf, 1.0]])
S = np.array([np.eye(2) + 0.1, np.full((2, 2), np.nan), 2.0 * np.eye(2) + 0.3, *np.full((2, 2, 2), np.nan)])
WHOLE = np.array([True, False, True, False, False])
ROW_BY_ROW = {
    "prod": lambda z, s, b: np.prod(z * b, axis=1),
    "cumprod": lambda z, s, b: np.cumprod(z * b, axis=1).sum(axis=1),
    "logsumexp": lambda z, s, b: tgs.logsumexp(z * b, axis=1),
    "softmax": lambda z, s, b: tgs.softmax(z * b, axis=1)[:, 0],
    "std": lambda z, s, b: np.std(z * b, axis=1),
    "norm": lambda z, s, b: np.linalg.norm(z * b, axis=1),
    "median": lambda z, s, b: np.median(z * b, axis=1),
    "quadratic form": lambda z, s, b: ((z * b)[:, None, :] @ (z * b)[:, :, None])[:, 0, 0],
    "slogdet": lambda z, s, b: np.linalg.slogdet(s * b[0] + b[1] * np.eye(2))[1],
    "det": lambda z, s, b: np.linalg.det(s * b[0] + b[1] * np.eye(2)),
    "inv": lambda z, s, b: np.linalg.inv(s * b[0] + b[1] * np.eye(2))[:, 0, 0],
    "solve": lambda z, s, b: np.linalg.solve(s * b[0] + b[1] * np.eye(2), z[:, :2, None])[:, 0, 0],
    "cholesky": lambda z, s, b: np.linalg.cholesky(s * b[0] + b[1] * np.eye(2))[:, 1, 1],
}


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("name", ROW_BY_ROW)
def test_rows_of_nan_behind_what_works_row_by_row(name):
    f, at = ROW_BY_ROW[name], np.array([0.7, 0.4, 0.9])
    masked = tg.trace(lambda b: np.where(WHOLE, f(Z, S, b), 0.0).sum(), at)
    whole = tg.trace(lambda b: f(Z[WHOLE], S[WHOLE], b).sum(), at)
    np.testing.assert_allclose(masked.grad(at), whole.grad(at), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(masked.hessian(at), whole.hessian(at), rtol=1e-11, atol=1e-13)
