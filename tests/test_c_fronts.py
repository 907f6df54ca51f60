"""Parts of the inverse of sparse matrices in C, held against NumPy's fronts and dense inverses."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

import tapegrad as tg
from tapegrad.backends.c import fronts
from tapegrad.backends.c.compiler import compiler
from tapegrad.sparse import analyse
from tapegrad.stats import norm, poisson

pytestmark = pytest.mark.skipif(compiler() is None, reason="no compiler")
BACKENDS = ("fronts", "superlu", "qdldl")


def lattice(side):
    line = sparse.diags_array([-1.0, 2.1, -1.0], offsets=[-1, 0, 1], shape=(side, side))
    eye = sparse.eye_array(side)
    return sparse.csc_array(sparse.kron(line, eye) + sparse.kron(eye, line))


def scattered(n):
    """A random pattern with a row that meets all others, and some that meet none."""
    rng = np.random.default_rng(4)
    part = sparse.random_array((n, n), density=2.0 / n, rng=rng).tolil()
    part[0, : n // 2] = 0.1
    whole = sparse.csc_array(part + part.T)
    return whole + sparse.diags_array(np.abs(whole).sum(axis=1) + 0.5)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("matrix", [lattice(23), scattered(300)], ids=["lattice", "scattered"])
def test_they_are_those_of_the_inverse(matrix, backend, monkeypatch):
    if backend == "qdldl":
        pytest.importorskip("qdldl")
    monkeypatch.setattr(fronts, "_LARGE", 0)
    symbolic = analyse(matrix, backend, fronts.inverse_subset)
    pattern = symbolic.pattern
    expected = np.linalg.inv(matrix.toarray())[pattern.rows, pattern.indices]
    for scale in (1.0, 3.0):  # the room of the first is used again
        factor = symbolic.factor(matrix * scale)
        assert fronts.inverse_subset(factor._factored) is not None
        assert factor.inverse_subset() == pytest.approx(expected / scale, rel=1e-10, abs=1e-14)


def test_large_fronts_go_through_blas(monkeypatch):
    """A lattice whose last fronts are wide: the loops and BLAS agree with NumPy."""
    matrix = lattice(60)
    symbolic = analyse(matrix, "fronts")
    assert max(batch.own * batch.rest**2 for batch in symbolic._layout.batches) > 50_000
    monkeypatch.setattr(fronts, "_LARGE", 0)
    factored = symbolic.factor(matrix)._factored
    assert fronts.inverse_subset(factored) == pytest.approx(factored.inverse_subset(), rel=1e-12)


def test_small_and_other_factors_are_left_to_numpy():
    small = analyse(lattice(5), "fronts").factor(lattice(5))
    assert fronts.inverse_subset(small._factored) is None
    dense = analyse(lattice(5), "dense").factor(lattice(5))
    assert fronts.inverse_subset(dense._factored) is None


def test_a_field_has_the_same_gradient_with_and_without(monkeypatch):
    monkeypatch.setattr(fronts, "_LARGE", 0)
    precision, y = lattice(12), np.random.default_rng(2).poisson(2.0, 144).astype(float)

    def joint(mu, log_tau, x):
        field = 72.0 * log_tau - 0.5 * np.exp(log_tau) * (x @ (precision @ x))
        return field + poisson.logpmf(y, np.exp(mu + x)).sum() + norm.logpdf(mu)

    start = dict(mu=0.5, log_tau=0.0, x=np.zeros(144))
    found = []
    for backend in ("auto", "numpy"):
        traced = tg.trace(joint, start, backend=backend)
        marginal = tg.laplace(traced, start, random="x")
        found.append(np.r_[marginal.value_and_grad_flat(np.array([0.4, 0.2]))])
    assert found[0] == pytest.approx(found[1], rel=1e-10)


def test_without_a_compiler_numpy_does_it(monkeypatch):
    monkeypatch.setattr(fronts, "_LARGE", 0)
    monkeypatch.setattr(fronts, "_library", lambda: None)
    matrix = lattice(8)
    factor = analyse(matrix, "fronts", fronts.inverse_subset).factor(matrix)
    plain = analyse(matrix, "fronts").factor(matrix)
    assert np.array_equal(factor.inverse_subset(), plain.inverse_subset())
