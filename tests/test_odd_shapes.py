"""What NumPy takes a tape takes: empty arrays, arrays of no dimension or one element, NumPy's integers."""

from __future__ import annotations

import itertools
import warnings

import numpy as np
import pytest

import tapegrad as tg

ARRAYS = {
    "empty": np.zeros(0),
    "no rows": np.zeros((0, 3)),
    "no columns": np.zeros((3, 0)),
    "0-d": np.array(0.7),
    "one": np.array([0.7]),
    "one by one": np.array([[0.7]]),
    "three": np.array([0.3, 0.9, 0.6]),
}
OF_AXES = (np.sum, np.prod, np.mean, np.var, np.std, np.cumsum, np.cumprod, np.max, np.min, np.ptp, np.median)
CALLS = {
    **{f.__name__: f for f in (*OF_AXES, np.nansum, np.nanmean, np.sort, np.diff, np.flip, np.tril, np.triu)},
    **{f"{f.__name__} along the first": lambda x, f=f: f(x, axis=np.int64(0)) for f in OF_AXES},
    **{f"{f.__name__} along the last": lambda x, f=f: f(x, axis=-1) for f in (*OF_AXES, np.flip)},
    **{f"{f.__name__} kept": lambda x, f=f: f(x, axis=0, keepdims=True) for f in (np.sum, np.var, np.median)},
    "var, few": lambda x: np.var(x, ddof=5),
    "cov, few": lambda x: np.cov(x, ddof=5),
    "quantile": lambda x: np.quantile(x, 0.3),
    "quantiles": lambda x: np.quantile(x, [0.2, 0.7]),
    "average": lambda x: np.average(x, weights=np.ones(np.shape(x))),
    "0-d index": lambda x: x[np.array(0)],
    "take 0-d": lambda x: np.take(x, np.array(0)),
    "take none": lambda x: np.take(x, np.zeros(0, dtype=int)),
    "slice of none": lambda x: x[:0] * 2.0,
    "through none": lambda x: x * 2.0 + x[:0].sum(),
    "diff of none": lambda x: np.diff(x, 0),
    "diag": lambda x: np.diag(x, np.int64(1)),
    "matmul": lambda x: x.T @ x,
    "dot": lambda x: np.dot(x, 2.0),
    "inner": lambda x: np.inner(2.0, x),
    "outer": lambda x: np.outer(x, x),
    "convolve": lambda x: np.convolve(x, 0.5),
    "concatenate": lambda x: np.concatenate([x, x]),
    "stack": lambda x: np.stack([x, x]),
    "reshape": lambda x: np.reshape(x, -1),
    "broadcast": lambda x: np.broadcast_to(x, np.array([2, *np.shape(x)])),
    "where": lambda x: np.where(x > 0.5, x, 0.0),
    "clip": lambda x: np.clip(x, 0.4, 0.8),
    "einsum": lambda x: np.einsum("i,i->", x, x),
    "assignment": lambda x: _with_first(x),
}


def _with_first(x):
    rows = np.zeros((2, *np.shape(x)), like=x) if np.shape(x) else np.zeros(2, like=np.atleast_1d(x))
    rows[0] = x[None] if np.shape(x) else x
    return rows


def in_numpy(f, x):
    """What NumPy gives; None where it raises."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return np.asarray(f(x.copy()), dtype=float)
    except (ArithmeticError, ValueError, IndexError, TypeError):
        return None


CASES = [
    pytest.param(name, shape, id=f"{name} of {shape}")
    for name, shape in itertools.product(CALLS, ARRAYS)
    if in_numpy(CALLS[name], ARRAYS[shape]) is not None
]


@pytest.mark.filterwarnings("ignore::RuntimeWarning", "ignore::tapegrad.NonFiniteWarning")
@pytest.mark.filterwarnings("ignore::tapegrad.UnusedParameterWarning")
@pytest.mark.parametrize(("name", "shape"), CASES)
def test_what_numpy_takes(name, shape):
    x = ARRAYS[shape]
    want = in_numpy(CALLS[name], x)
    theta = dict(x=x, more=np.array([0.1]))
    f = tg.trace(lambda x, more: CALLS[name](x) + 0.0 * more.sum(), theta)
    assert np.shape(f(theta)) == want.shape
    np.testing.assert_allclose(f(theta), want, rtol=1e-14)
    dense = np.reshape(f.jacobian(theta)["x"], (want.size, x.size))
    spread = f.jacobian(theta, sparse=True)
    assert spread.shape == (want.size, x.size + 1)
    np.testing.assert_allclose(spread.toarray()[:, : x.size], dense, rtol=1e-13, atol=1e-15)
    pulled = np.reshape(f.vjp(theta, np.ones(want.shape))["x"], -1)
    if np.isfinite(dense).all():
        np.testing.assert_allclose(pulled, dense.sum(axis=0), rtol=1e-13, atol=1e-15)
    g = tg.trace(lambda x, more: (CALLS[name](x) ** 2 * 1.0 + more * 0.0).sum() + (more**2).sum(), theta)
    assert g.grad(theta)["x"].shape == x.shape if x.ndim else isinstance(g.grad(theta)["x"], float)
    hessian = g.hessian(theta)
    assert hessian.shape == (x.size + 1, x.size + 1)
    if np.isfinite(hessian).all():
        found = g.hessian(theta, sparse=True).toarray()
        np.testing.assert_allclose(found, hessian, rtol=1e-13, atol=1e-14)


def test_hessians_of_a_quantile():
    x = np.array([1.0, 2.0, 4.0])
    f = tg.trace(lambda x: np.quantile(x, 0.3) ** 2, x)
    slope = np.array([0.4, 0.6, 0.0])  # 0.6 of the way from the first to the second
    np.testing.assert_allclose(f.hessian(x), 2.0 * np.outer(slope, slope), rtol=1e-13)
    np.testing.assert_allclose(f.hessian(x, sparse=True).toarray(), 2.0 * np.outer(slope, slope), rtol=1e-13)


def test_an_assignment_with_one_axis_more():
    def f(x):
        rows = np.zeros((3, 3), like=x)
        rows[0] = x[None]
        rows[1:, 0] = x[None, None, :2]
        return (rows**2).sum()

    x = np.array([1.0, 2.0, 4.0])
    tape = tg.trace(f, x)
    assert tape(x) == 26.0
    np.testing.assert_array_equal(tape.grad(x), [4.0, 8.0, 8.0])
    np.testing.assert_array_equal(tape.hessian(x, sparse=True).toarray(), np.diag([4.0, 4.0, 2.0]))


@pytest.mark.parametrize("backend", ["numpy", "replay"])
def test_products_of_a_function_without_outputs(backend):
    f = tg.trace(lambda x: x[:0] * 2.0, np.ones(3), backend=backend)
    assert f(np.ones(3)).shape == f.jvp(np.ones(3), np.ones(3)).shape == (0,)
    np.testing.assert_array_equal(f.vjp(np.ones(3), np.zeros(0)), np.zeros(3))
    assert f.jacobian(np.ones(3)).shape == f.jacobian(np.ones(3), sparse=True).shape == (0, 3)
    waist = tg.trace(lambda x: x[:0].sum() * np.ones(2), np.ones(3), backend=backend)
    np.testing.assert_array_equal(waist.jacobian(np.ones(3)), np.zeros((2, 3)))
    np.testing.assert_array_equal(waist.jacobian(np.ones(3), sparse=True).toarray(), np.zeros((2, 3)))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_what_numpy_warns_of():
    x = np.array([1.0, 2.0, 4.0])
    assert tg.trace(lambda x: np.var(x, ddof=3), x)(x) == np.inf
    with pytest.warns(tg.NonFiniteWarning):
        assert np.isnan(tg.trace(lambda x: np.median(x[:0]) + x.sum(), x)(x))
    with pytest.warns(tg.NonFiniteWarning):
        assert np.isnan(tg.trace(lambda x: np.var(x[:1], ddof=1), x)(x))


def test_weights_that_sum_to_zero():
    x = np.array([1.0, 2.0, 4.0])
    with pytest.raises(ZeroDivisionError, match="Weights sum to zero"):
        tg.trace(lambda x: np.average(x, weights=np.zeros(3)), x)
    f = tg.trace(lambda w: np.average(x, weights=w), np.ones(3))
    assert f.grad(np.ones(3))[0] == pytest.approx((1.0 - 7.0 / 3.0) / 3.0)
    with pytest.warns(tg.NonFiniteWarning, match="it arises in where"):
        assert np.isnan(f(np.array([1.0, -1.0, 0.0])))
