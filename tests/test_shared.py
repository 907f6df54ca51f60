"""What programs on the same data share: copies of matrices are made once."""

import numpy as np
import pytest
from scipy import special

import tapegrad as tg
from tapegrad.backends.c import program
from tapegrad.backends.c.compiler import compiler
from tapegrad.backends.shared import Shared
from tapegrad.function.derived import HESSIAN
from tapegrad.passes import once

N = 3_000
RNG = np.random.default_rng(4)
DATA = dict(X=RNG.normal(size=(N, 3)), y=RNG.poisson(1.0, N).astype(float))
THETA = np.array([0.2, -0.1, 0.3])


def poisson(b, X, y):
    eta = X @ b
    return (y * eta - np.exp(eta) - special.gammaln(y + 1.0)).sum()


def test_a_form_is_made_once_for_an_array_and_goes_with_its_last_user():
    shared, made = Shared(), []

    def doubled(array):
        made.append(1)
        return 2.0 * array

    whole = np.arange(12.0).reshape(4, 3)
    one = shared.form("doubled", whole, doubled)
    assert shared.form("doubled", whole[:], doubled) is one
    assert shared.form("halved", whole, lambda array: 0.5 * array)[1, 1] == 2.0
    np.testing.assert_array_equal(shared.form("doubled", whole[:2], doubled), 2.0 * whole[:2])
    np.testing.assert_array_equal(shared.form("doubled", whole.T, doubled), 2.0 * whole.T)
    assert len(made) == 3
    del one
    shared.form("doubled", whole, doubled)
    assert len(made) == 4


@pytest.mark.skipif(compiler() is None, reason="no C compiler")
def test_gradient_and_hessian_share_one_copy_of_the_matrix(monkeypatch):
    copies = []
    original = program.in_chunks
    monkeypatch.setattr(program, "in_chunks", lambda rows: copies.append(rows.shape) or original(rows))
    compiled = tg.trace(poisson, dict(b=THETA), data=DATA, backend="c", sufficient_statistics=False)
    compiled.value_and_grad_flat(THETA)
    found = compiled.hessian_flat(THETA)
    X = DATA["X"]
    np.testing.assert_allclose(found, -(X.T * np.exp(X @ THETA)) @ X, rtol=1e-11)
    assert copies == [(N, 3)]


@pytest.mark.parametrize("rows", [1, 511, 512, 513, 1_500])
def test_chunks_of_columns(rows):
    matrix = RNG.normal(size=(rows, 3))
    chunks = program.in_chunks(matrix)
    flat = chunks[:, :, : program.WIDTH].transpose(0, 2, 1).reshape(-1, 3)
    np.testing.assert_array_equal(flat[:rows], matrix)
    np.testing.assert_array_equal(flat[rows:], np.broadcast_to(matrix[-1], (len(flat) - rows, 3)))


def test_data_transposed_are_read_where_they_lie():
    traced = tg.trace(poisson, dict(b=THETA), data=DATA, sufficient_statistics=False)
    tape = traced._router.current.tapes[HESSIAN]
    first, rest = once(tape)
    assert "transpose" in [entry.op.name for entry in tape.entries]
    assert "transpose" not in [entry.op.name for entry in first.entries]
    assert all(rest.avals[slot].shape in ((N, 3), (N,)) for slot in rest.data)


@pytest.mark.parametrize("at", [np.inf, np.nan])
def test_directions_that_a_row_does_not_move_stay_zero(at):
    """A column with an infinity does not spoil the derivatives in the others, as a product would."""

    def f(b, X):
        return np.arctan(X @ b)[1:].sum() + np.sin(b[0])

    X = np.array([[1.0, at], [0.5, -0.25], [2.0, 1.5]])
    traced = tg.trace(f, dict(b=np.array([0.3, 0.1])), data=dict(X=X))
    expected = tg.trace(f, dict(b=np.array([0.3, 0.1])), data=dict(X=np.nan_to_num(X, nan=7.0, posinf=7.0)))
    theta = np.array([0.3, 0.1])
    np.testing.assert_allclose(traced.hessian_flat(theta), expected.hessian_flat(theta), rtol=1e-13)


@pytest.mark.skipif(compiler() is None, reason="no C compiler")
def test_chunks_made_anew_give_the_bits_of_those_that_are_kept(monkeypatch):
    def f(b, X, y):
        eta = X @ b
        return np.where(y > 0.0, np.tanh(eta), eta * y).sum() - 0.1 * (X[:, 0] * eta).sum()

    for width, rows in ((2, 40), (4, 511), (5, 512), (7, 1_026), (9, 2_000)):
        data = dict(X=RNG.normal(size=(rows, width)), y=RNG.normal(size=rows))
        start = dict(b=np.linspace(-0.5, 0.5, width))
        kept = tg.trace(f, start, data=data, backend="c")
        value, slope = kept.value_and_grad_flat(start["b"])
        with monkeypatch.context() as patch:
            patch.setattr(program, "MOST_TWICE", 0)
            anew = tg.trace(f, start, data=data, backend="c")
            found, gradient = anew.value_and_grad_flat(start["b"])
        assert found == value
        np.testing.assert_array_equal(gradient, slope)
        replayed = tg.trace(f, start, data=data, backend="replay")
        np.testing.assert_allclose(gradient, replayed.value_and_grad_flat(start["b"])[1], rtol=1e-12)
