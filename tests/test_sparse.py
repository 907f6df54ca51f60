"""Sparse Hessians and Jacobians: equal to the dense ones, with few products."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import sparse

import tapegrad as tg
from tapegrad.function import derived

RNG = np.random.default_rng(5)
N = 12
GROUPS = np.repeat(np.arange(4), 3)
BAND = sparse.diags_array([1.0, -2.0, 1.0], offsets=[-1, 0, 1], shape=(N, N)).toarray()


def chain(x: Any) -> Any:
    return (np.exp(-0.1 * (x[1:] - x[:-1]) ** 2)).sum() + np.sin(x).sum()


def looped_chain(x: Any) -> Any:
    total = np.sin(x[0])
    for i in range(1, N):
        total = total + (x[i] - x[i - 1]) ** 4
    return total


def arrowhead(x: Any) -> Any:
    """Ten states in a chain, that share two parameters."""
    states, phi, log_sigma = x[:-2], x[-2], x[-1]
    shocks = (states[1:] - np.tanh(phi) * states[:-1]) / np.exp(log_sigma)
    return -0.5 * (shocks**2).sum() - 9.0 * log_sigma - 0.25 * (states**4).sum()


def blocks(x: Any) -> Any:
    return np.log1p((x.reshape(4, 3) ** 2).sum(axis=1)).sum()


def grouped(x: Any) -> Any:
    """Fancy indexing with repeated indices: four groups' effects, then eight observations' own."""
    return np.exp(0.1 * x[:4][GROUPS[:8]] * x[4:]).sum()


def scattered(x: Any) -> Any:
    out = np.zeros_like(x)
    out[::2] = x[1::2] ** 2
    out[1:] += x[:-1]
    return (out**2).sum()


def differenced(x: Any) -> Any:
    """A constant matrix with a band."""
    return np.cosh(0.3 * (BAND @ x)).sum()


def permuted(x: Any) -> Any:
    turned = np.concatenate([x[6:], x[:6]])[::-1].reshape(3, 4).T.ravel()
    return (np.where(turned > 0.0, turned**3, turned) * x).sum()


def dense(x: Any) -> Any:
    return np.log(np.exp(0.3 * x).sum()) + np.tanh(np.cumsum(x)).sum()


def linear(x: Any) -> Any:
    return np.arange(N) @ x


# The function, how many products are enough, and how many elements the pattern may have.
FUNCTIONS = {
    "chain": (chain, 3, 3 * N - 2),
    "looped chain": (looped_chain, 3, 3 * N - 2),
    "arrowhead": (arrowhead, 5, 3 * 10 - 2 + 4 * 10 + 4),
    "blocks": (blocks, 3, 36),
    "grouped": (grouped, 5, 4 + 8 + 16),
    "scattered": (scattered, 5, 5 * N),
    "differenced": (differenced, 5, 5 * N - 6),
    "permuted": (permuted, 5, 3 * N),
    "dense": (dense, N, N * N),
    "linear": (linear, 1, 0),
}


# Hessians ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_sparse_hessian_equals_the_dense_one(name, products):
    f, enough, most = FUNCTIONS[name]
    tape = tg.trace(f, RNG.normal(size=N), backend="numpy")  # "auto" finds the first dense ones otherwise
    for _ in range(2):
        x = RNG.normal(size=N)
        found, expected = tape.hessian(x, sparse=True), tape.hessian(x)
        assert isinstance(found, sparse.csc_array)
        assert found.shape == (N, N)
        assert found.nnz <= most
        np.testing.assert_allclose(found.toarray(), expected, rtol=1e-12, atol=1e-13)
    kinds, counts = zip(*products, strict=True)
    assert set(kinds) == {"hvp"}
    assert counts[0] == counts[2] <= enough
    assert counts[1] == counts[3] == N


def test_a_tridiagonal_hessian_takes_three_products(products):
    tape = tg.trace(chain, np.zeros(200))
    tape.hessian(np.ones(200), sparse=True)
    assert products == [("hvp", 3)]


def test_globals_cost_a_product_each(products):
    x = RNG.normal(size=202)
    tape = tg.trace(arrowhead, x)
    found = tape.hessian(x, sparse=True)
    assert found.nnz == 3 * 200 - 2 + 4 * 200 + 4
    np.testing.assert_allclose(found.toarray(), tape.hessian(x), rtol=1e-12, atol=1e-12)
    assert products[0][1] <= 5


@pytest.mark.parametrize("first", [True, False])
def test_globals_may_be_leaves_of_their_own(first):
    def f(states: Any, phi: Any) -> Any:
        return ((states[1:] - phi * states[:-1]) ** 2).sum() + states @ states

    states = RNG.normal(size=10)
    theta = dict(phi=0.5, states=states) if first else dict(states=states, phi=0.5)
    tape = tg.trace(f, theta)
    np.testing.assert_allclose(tape.hessian(theta, sparse=True).toarray(), tape.hessian(theta), atol=1e-13)


def test_random_sparse_polynomials():
    rng = np.random.default_rng(8)
    for _ in range(30):
        i, j, k = rng.integers(0, 15, (3, 12))
        weights = rng.normal(size=12)
        tape = tg.trace(
            lambda x, i=i, j=j, k=k, w=weights: (w * x[i] * x[j] * np.sin(x[k])).sum(), np.ones(15)
        )
        x = rng.normal(size=15)
        found = tape.hessian(x, sparse=True)
        np.testing.assert_allclose(found.toarray(), tape.hessian(x), rtol=1e-12, atol=1e-13)


def test_the_pattern_is_found_once(monkeypatch):
    calls = []
    find = derived.jacobian_pattern
    monkeypatch.setattr(derived, "jacobian_pattern", lambda tape: calls.append(1) or find(tape))
    tape = tg.trace(chain, np.zeros(N))
    for x in RNG.normal(size=(3, N)):
        tape.hessian(x, sparse=True)
    assert len(calls) == 1


def test_each_branch_has_a_pattern_of_its_own():
    def f(x: Any) -> Any:
        return chain(x) if x[0] > 0.0 else dense(x)

    tape = tg.trace(f, np.ones(N))
    for sign, count in ((1.0, 3 * N - 2), (-1.0, N * N), (1.0, 3 * N - 2)):
        x = sign * np.abs(RNG.normal(size=N))
        found = tape.hessian(x, sparse=True)
        assert found.nnz == count
        np.testing.assert_allclose(found.toarray(), tape.hessian(x), rtol=1e-12, atol=1e-13)


def test_a_state_space_model_of_ten_thousand_unknowns(products):
    """Stochastic volatility: states h follow an autoregression, observations are N(0, exp(h))."""
    n = 10_000
    y = RNG.normal(size=n)

    def loglik(h: Any, phi: Any, log_tau: Any) -> Any:
        shocks = (h[1:] - np.tanh(phi) * h[:-1]) / np.exp(log_tau)
        moves = -0.5 * (shocks**2).sum() - (n - 1) * log_tau
        return moves - 0.5 * (h + y**2 * np.exp(-h)).sum()

    h, phi, log_tau = 0.1 * RNG.normal(size=n), 0.8, -0.5
    found = tg.trace(loglik, dict(h=np.zeros(n), phi=0.5, log_tau=0.0)).hessian(
        dict(h=h, phi=phi, log_tau=log_tau), sparse=True
    )
    assert products[0][1] <= 5
    a, precision = np.tanh(phi), np.exp(-2.0 * log_tau)
    diagonal = -0.5 * y**2 * np.exp(-h)
    diagonal[1:] -= precision
    diagonal[:-1] -= a**2 * precision
    np.testing.assert_allclose(found.diagonal()[:n], diagonal, rtol=1e-12)
    np.testing.assert_allclose(found.diagonal(1)[: n - 1], a * precision, rtol=1e-12)
    shocks = h[1:] - a * h[:-1]
    assert found[n + 1, n + 1] == pytest.approx(-2.0 * precision * (shocks**2).sum(), rel=1e-11)
    slopes = h[:-2] + shocks[1:] - a * h[1:-1]
    last = found[[n], :].toarray()[0, 1 : n - 1]
    np.testing.assert_allclose(last, precision * (1.0 - a**2) * slopes, rtol=1e-12, atol=1e-12)


# Jacobians --------------------------------------------------------------------------------------------------


def test_a_banded_jacobian(products):
    tape = tg.trace(lambda x: np.sin(x[1:] * x[:-1]), np.ones(50))
    x = RNG.normal(size=50)
    found = tape.jacobian(x, sparse=True)
    assert isinstance(found, sparse.csc_array)
    assert found.shape == (49, 50)
    assert found.nnz == 98
    np.testing.assert_allclose(found.toarray(), tape.jacobian(x), rtol=1e-13)
    assert products[0] == ("jvp", 2)


def test_a_full_column_is_found_backwards_and_a_full_row_forwards(products):
    column = tg.trace(lambda x: x[0] ** 2 * x, np.ones(30))
    row = tg.trace(lambda x: np.append(np.tanh(x), x @ x), np.ones(30))
    x = RNG.normal(size=30)
    for tape in (column, row):
        np.testing.assert_allclose(tape.jacobian(x, sparse=True).toarray(), tape.jacobian(x), rtol=1e-12)
    assert [run for run in products if run[1] < 30] == [("jvp", 2), ("vjp", 2)]


def test_a_sparse_jacobian_of_a_nest_is_one_matrix():
    tape = tg.trace(lambda a, b: {"u": a * b, "v": [b[::-1], a]}, dict(a=1.0, b=np.ones(3)))
    found = tape.jacobian(dict(a=2.0, b=np.array([1.0, 2.0, 3.0])), sparse=True)
    expected = np.zeros((7, 4))
    expected[:3, 0] = [1.0, 2.0, 3.0]
    expected[:3, 1:] = 2.0 * np.eye(3)
    expected[3:6, 1:] = np.eye(3)[::-1]
    expected[6, 0] = 1.0
    np.testing.assert_array_equal(found.toarray(), expected)


def test_zeros_of_a_constant_matrix_cut_links():
    weights = sparse.random_array((20, 30), density=0.1, rng=np.random.default_rng(1)).toarray()
    tape = tg.trace(lambda x: np.exp(weights @ x), np.zeros(30))
    x = RNG.normal(size=30)
    found = tape.jacobian(x, sparse=True)
    assert found.nnz == np.count_nonzero(weights)
    np.testing.assert_allclose(found.toarray(), np.exp(weights @ x)[:, None] * weights, rtol=1e-13)
