"""Sparse symmetric matrices: all ways to factorise them agree, with dense algebra and with one another."""

from __future__ import annotations

from importlib.util import find_spec
from itertools import permutations

import numpy as np
import pytest
from scipy import sparse

from tapegrad.sparse import NotPositiveDefinite, analyse, pattern_of
from tapegrad.sparse.fronts import Fronts
from tapegrad.sparse.layout import layout_of
from tapegrad.sparse.ordering import dissected, of_least_degree

RNG = np.random.default_rng(3)
WAYS = ["dense", "banded", "fronts", "superlu", None]
if find_spec("qdldl") is not None:
    WAYS.append("qdldl")


def lattice(k, kappa=0.3):
    """The precision of a Gaussian field on a grid."""
    one, eye = sparse.diags_array([-1.0, 2.0, -1.0], offsets=[-1, 0, 1], shape=(k, k)), sparse.eye_array(k)
    return sparse.kron(one, eye) + sparse.kron(eye, one) + kappa * sparse.eye_array(k * k)


def chain(n, width=1):
    """A banded matrix."""
    bands = [RNG.normal(size=n - k) for k in range(1, width + 1)]
    offsets = list(range(1, width + 1))
    upper = sparse.diags_array(bands, offsets=offsets, shape=(n, n))
    return upper + upper.T + sparse.eye_array(n) * (2.0 + 6.0 * width)


def crossed(rows, columns):
    """Effects of rows and of columns that all meet."""
    met = sparse.csr_array(np.full((rows, columns), 0.5))
    return sparse.block_array(
        [[sparse.eye_array(rows) * columns, met], [met.T, sparse.eye_array(columns) * rows]]
    )


def scattered(n, per_row):
    """Any pattern."""
    near = sparse.random_array((n, n), density=per_row / n, rng=5)
    return near @ near.T + sparse.eye_array(n)


def groups(count, size):
    """Blocks that do not meet, some of them larger."""
    parts = [sparse.coo_array(np.eye(size + i % 3) + 0.5) for i in range(count)]
    return sparse.block_diag(parts)


MATRICES = {
    "one": sparse.eye_array(1) * 3.0,
    "diagonal": sparse.diags_array(np.linspace(0.5, 3.0, 150)),
    "lattice": lattice(17),
    "chain": chain(400),
    "band": chain(300, 4),
    "crossed": crossed(90, 12),
    "scattered": scattered(200, 2),
    "groups": groups(60, 2),
    "full": sparse.csr_array(np.cov(RNG.normal(size=(40, 90)))),
    "arrow": sparse.eye_array(200) * 250.0
    + sparse.csr_array(np.outer(np.eye(200)[0], np.ones(200)))
    + sparse.csr_array(np.outer(np.ones(200), np.eye(200)[0])),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", MATRICES)
def test_all_ways_agree_with_dense_algebra(name, way):
    matrix = MATRICES[name]
    dense = matrix.toarray()
    symbolic = analyse(matrix, way)
    factor = symbolic.factor(matrix)
    inverse, pattern = np.linalg.inv(dense), symbolic.pattern
    assert factor.logdet == pytest.approx(np.linalg.slogdet(dense)[1], rel=1e-12, abs=1e-12)
    found = factor.inverse_subset()
    scale = np.sqrt(inverse.diagonal()[pattern.rows] * inverse.diagonal()[pattern.indices])
    np.testing.assert_allclose(found / scale, inverse[pattern.rows, pattern.indices] / scale, atol=1e-12)
    for b in (RNG.normal(size=len(dense)), RNG.normal(size=(len(dense), 3))):
        np.testing.assert_allclose(factor.solve(b), np.linalg.solve(dense, b), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("way", WAYS)
def test_other_values_of_one_pattern(way):
    symbolic = analyse(lattice(12), way)
    factors = [symbolic.factor(lattice(12, kappa)) for kappa in (0.1, 1.0, 0.2)]
    b = np.arange(144.0)
    for kappa, factor in zip((0.1, 1.0, 0.2), factors, strict=True):
        dense = lattice(12, kappa).toarray()
        assert factor.logdet == pytest.approx(np.linalg.slogdet(dense)[1], rel=1e-12)
        np.testing.assert_allclose(factor.solve(b), np.linalg.solve(dense, b), rtol=1e-10)


@pytest.mark.parametrize("way", [way for way in WAYS if way not in ("dense", "banded")])
def test_a_large_lattice(way):
    """SuperLU fills L up with zeros here, which stand in no front. The trace of the inverse times A is n."""
    matrix = sparse.csr_array(lattice(120))
    matrix.sort_indices()
    factor = analyse(matrix, way).factor(matrix)
    assert factor.inverse_subset() @ matrix.data == pytest.approx(matrix.shape[0], rel=1e-11)
    one = 2.0 - 2.0 * np.cos(np.pi * np.arange(1, 121) / 121)
    assert factor.logdet == pytest.approx(np.log(0.3 + one[:, None] + one).sum(), rel=1e-12)


@pytest.mark.parametrize("way", WAYS)
def test_a_failure_leaves_nothing_behind(way):
    symbolic, good = analyse(lattice(12), way), lattice(12)
    before = symbolic.factor(good)
    for bad in (lattice(12, -1.0), lattice(12, np.nan), lattice(12) * 0.0):
        with pytest.raises(NotPositiveDefinite):
            symbolic.factor(bad)
        for factor in (before, symbolic.factor(good)):
            np.testing.assert_allclose(good @ factor.solve(np.arange(144.0)), np.arange(144.0), atol=1e-10)
    assert before.solve(np.zeros((144, 0))).shape == (144, 0)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["lattice", "chain", "crossed", "groups", "scattered"])
def test_what_is_not_positive_definite_is_told_with_a_direction(name, way):
    matrix = sparse.csr_array(MATRICES[name])
    lowest = np.linalg.eigvalsh(matrix.toarray())[0]
    moved = matrix - 1.01 * lowest * sparse.eye_array(matrix.shape[0])
    with pytest.raises(NotPositiveDefinite) as caught:
        analyse(moved, way).factor(moved)
    error = caught.value
    assert np.linalg.norm(error.direction) == pytest.approx(1.0)
    assert error.curvature == pytest.approx(error.direction @ (moved @ error.direction), rel=1e-6)
    assert error.curvature < 0.0
    assert f"row {error.where}" in str(error)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("bad", [np.nan, np.inf, 0.0, -1.0])
def test_a_bad_diagonal_is_told_with_its_row(way, bad):
    matrix = lattice(11).tolil()
    matrix[70, 70] = bad
    matrix = matrix.tocsr()
    with pytest.raises(NotPositiveDefinite) as caught:
        analyse(lattice(11), way).factor(analyse(lattice(11)).values_of(matrix))
    assert caught.value.where == 70


@pytest.mark.parametrize("way", WAYS)
def test_a_singular_matrix_is_not_positive_definite(way):
    matrix = sparse.csr_array(np.kron(np.eye(60), np.ones((2, 2))))
    with pytest.raises(NotPositiveDefinite):
        analyse(matrix, way).factor(matrix)


def test_the_direction_in_a_large_matrix():
    matrix = lattice(40, kappa=-0.03)
    with pytest.raises(NotPositiveDefinite) as caught:
        analyse(matrix).factor(matrix)
    direction = caught.value.direction
    assert direction @ (matrix @ direction) < 0.0


def test_patterns_are_completed():
    pattern = pattern_of(sparse.csr_array(([1.0, 0.0], ([0, 3], [2, 1])), shape=(4, 4)))
    stored = set(zip(pattern.rows.tolist(), pattern.indices.tolist(), strict=True))
    assert stored == {(0, 0), (1, 1), (2, 2), (3, 3), (0, 2), (2, 0), (1, 3), (3, 1)}
    assert (pattern.rows[pattern.mirror] == pattern.indices).all()


def test_what_does_not_fit_is_refused():
    symbolic = analyse(lattice(3))
    with pytest.raises(ValueError, match="33 values wanted"):
        symbolic.factor(np.ones(3))
    with pytest.raises(ValueError, match="outside the pattern"):
        symbolic.factor(sparse.csr_array(np.ones((9, 9))))
    with pytest.raises(ValueError, match="a square matrix wanted"):
        analyse(sparse.csr_array(np.ones((2, 3))))
    with pytest.raises(ValueError, match="9 rows wanted"):
        symbolic.factor(lattice(3)).solve(np.ones(8))
    with pytest.raises(ValueError, match="backend must be one of"):
        analyse(lattice(3), "lapack")


@pytest.mark.parametrize("order", [of_least_degree, lambda pattern: dissected(pattern, 12)])
def test_every_order_holds_every_row_once(order):
    for matrix in MATRICES.values():
        pattern = pattern_of(matrix)
        elimination = order(pattern)
        assert sorted(elimination.order) == list(range(pattern.n))
        layout = layout_of(pattern, elimination)
        held = np.concatenate([batch.columns.ravel() for batch in layout.batches])
        assert sorted(held[held < pattern.n]) == list(range(pattern.n))


def test_a_chain_is_dissected_into_few_batches():
    layout = layout_of(pattern := pattern_of(chain(20_000)), dissected(pattern, 12))
    assert len(layout.batches) < 20
    assert layout.size < 20 * 20_000


@pytest.mark.parametrize("name", ["one", "lattice", "chain", "crossed", "groups", "full"])
def test_the_inverse_along_directions(name):
    matrix = sparse.csr_array(MATRICES[name])
    symbolic = analyse(matrix)
    pattern = symbolic.pattern
    moves = [pattern.symmetric(RNG.normal(size=pattern.nnz)) for _ in range(3)]
    inverse = np.linalg.inv(matrix.toarray())
    first, second, third = (pattern.matrix(move).toarray() for move in moves)
    expected = {
        0: inverse,
        1: -inverse @ first @ inverse,
        2: inverse @ (first @ inverse @ second + second @ inverse @ first) @ inverse,
        3: -sum(
            inverse @ a @ inverse @ b @ inverse @ c @ inverse
            for a, b, c in permutations((first, second, third))
        ),
    }
    for order, dense in expected.items():
        found = symbolic.inverse_along(matrix, moves[:order])
        wanted = dense[pattern.rows, pattern.indices]
        np.testing.assert_allclose(found, wanted, rtol=1e-10, atol=1e-12 * np.abs(wanted).max())


@pytest.mark.parametrize("seed", range(12))
def test_random_patterns_in_both_orders(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(20, 300))
    edges = rng.integers(0, n, size=(2, int(n * rng.uniform(0.3, 2.5))))
    if seed % 2:  # mostly neighbours
        edges[1] = np.minimum(edges[0] + rng.integers(1, 9, size=edges.shape[1]), n - 1)
    half = sparse.coo_array((rng.normal(size=edges.shape[1]), tuple(edges)), shape=(n, n)).tocsr()
    matrix = half + half.T
    matrix = sparse.csr_array(matrix + sparse.diags_array(np.abs(matrix).sum(axis=1) + 0.5))
    pattern = pattern_of(matrix)
    values, inverse = analyse(matrix).values_of(matrix), np.linalg.inv(matrix.toarray())
    for elimination in (of_least_degree(pattern), dissected(pattern, 7), dissected(pattern, 30)):
        factor = Fronts(pattern, elimination).factor(values)
        assert factor.logdet == pytest.approx(-np.linalg.slogdet(inverse)[1], rel=1e-11)
        np.testing.assert_allclose(
            factor.inverse_subset(), inverse[pattern.rows, pattern.indices], rtol=1e-9, atol=1e-12
        )
