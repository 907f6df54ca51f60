"""Where derivatives go wrong elsewhere: one test per trap, against values found by hand.

More of the traps of `where`, `maximum`, `clip` and indexing stand in test_masking.py.
"""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from scipy import special

import tapegrad as tg
import tapegrad.special as tgs
from tapegrad import stats
from tapegrad.backends.replay import adjoints, evaluate

INF = np.inf


def check(f, at, value, gradient, hessian, start=0.7):
    """Trace `f` away from the trap, and compare its derivatives at `at`; NaN stands for NaN."""
    at = np.asarray(at, dtype=float)
    tape = tg.trace(f, start + 0.1 * np.arange(at.size).reshape(at.shape))
    vector = at.ravel()
    found, slope = tape.value_and_grad_flat(vector)
    np.testing.assert_allclose(found, value, rtol=1e-13)
    np.testing.assert_allclose(slope, np.ravel(gradient), rtol=1e-13, atol=1e-15)
    hessian = np.broadcast_to(hessian, (at.size, at.size))
    np.testing.assert_allclose(tape.hessian(vector), hessian, rtol=1e-13, atol=1e-14)
    swept = adjoints(tape.tape, evaluate(tape.tape, vector, {}))[tape.tape.parameters[0]]
    np.testing.assert_allclose(np.ravel(swept), np.ravel(gradient), rtol=1e-13, atol=1e-15)
    forward = [tape.jvp(vector, v) for v in np.eye(at.size)]
    if np.isfinite(gradient).all():
        np.testing.assert_allclose(forward, np.ravel(gradient), rtol=1e-13, atol=1e-15)


# Powers -----------------------------------------------------------------------------------------------------

LOG2 = np.log(2.0)


@pytest.mark.parametrize("zero", [0, 0.0, np.array(0.0)])
def test_x_to_the_zero(zero):
    for at in (0.0, 2.0, -1.0):
        check(lambda x: x**zero, at, 1.0, 0.0, 0.0)
        check(lambda x: np.power(x, zero), at, 1.0, 0.0, 0.0)
    check(lambda x: (x ** np.array([0.0, 1.0, 2.0, 3.0])).sum(), 0.0, 1.0, 1.0, 2.0)


def test_x_to_the_zero_with_a_traced_exponent():
    check(lambda t: t[0] ** t[1], [2.0, 0.0], 1.0, [0.0, LOG2], [[0.0, 0.5], [0.5, LOG2**2]])
    check(lambda t: t[0] ** t[1], [0.0, 2.0], 0.0, [0.0, 0.0], [[2.0, 0.0], [0.0, 0.0]])
    tape = tg.trace(lambda x, y: x**y, dict(x=1.5, y=0.5))
    # 0**y falls from 1 to 0 at y = 0, and x**y has the slope 0 in x there.
    assert tape.grad(dict(x=0.0, y=0.0)) == dict(x=0.0, y=-INF)
    # The mixed derivative is x**(y - 1) (1 + y log x), and at (0, 1) it is infinite.
    assert tape.hessian_flat(np.array([0.0, 1.0]))[0, 1] == -INF


def test_zero_to_the_y():
    check(lambda y: 0.0**y, 1.5, 0.0, 0.0, 0.0)
    data = np.array([0.0, 2.0])
    check(lambda y: (data**y).sum(), 3.0, 8.0, 8.0 * LOG2, 8.0 * LOG2**2)
    check(lambda t: ((data / t[0]) ** t[1]).sum(), [1.0, 2.0], 4.0, [-8.0, 4.0 * LOG2], [
        [24.0, -4.0 * (1.0 + 2.0 * LOG2)],
        [-4.0 * (1.0 + 2.0 * LOG2), 4.0 * LOG2**2],
    ])  # fmt: skip


@pytest.mark.parametrize(
    "f",
    [
        lambda x: x**2,
        lambda x: x**2.0,
        lambda x: x * x,
        lambda x: np.square(x),
        lambda x: np.power(x, 2),
        lambda x: np.float_power(x, 2.0),
        lambda x: x ** np.array(2),
        lambda x: abs(x) ** 2,
        lambda x: abs(x) * abs(x),
    ],
)
def test_x_squared_at_zero(f):
    check(f, 0.0, 0.0, 0.0, 2.0)
    assert tg.trace(f, 0.7).third(0.0, 1.0) == 0.0


def test_other_powers_at_zero():
    check(lambda x: x**1, 0.0, 0.0, 1.0, 0.0)
    check(lambda x: x**3, 0.0, 0.0, 0.0, 0.0)
    assert tg.trace(lambda x: x**3, 0.7).third(0.0, 1.0) == 6.0
    check(lambda x: x**1.5, 0.0, 0.0, 0.0, INF)
    check(lambda x: x**0.5, 0.0, 0.0, INF, -INF)
    check(lambda x: x**-1.0, 0.0, INF, -INF, INF)


# Zero times infinity ----------------------------------------------------------------------------------------


def test_where_around_a_product_with_a_root():
    def f(t):
        x, y = t
        return np.where(x > 0.0, y * np.sqrt(x), 0.0) + x

    check(f, [0.0, 0.0], 0.0, [1.0, 0.0], 0.0)
    check(f, [0.0, 3.0], 0.0, [1.0, 0.0], 0.0)


def test_the_root_of_zero_in_a_product_with_zero_is_nan_where_nothing_was_masked():
    """The slope in x of ``y * sqrt(x)`` at (0, 0) is 0; NaN is given all the same.

    What arrives there is 0 times infinity, and it is also in ``sin(sqrt(x))**2``, whose slope at 0 is 1. No
    rule for one step can tell these apart, and NaN with the line in which it arises is better than a 0 that
    may be wrong. `np.where`, as above, says which of them is meant.
    """
    tape = tg.trace(lambda x, y: y * np.sqrt(x), dict(x=1.0, y=1.0))
    with pytest.warns(tg.NonFiniteWarning, match=r"sqrt\("):
        gradient = tape.grad(dict(x=0.0, y=0.0))
    assert np.isnan(gradient["x"])
    assert gradient["y"] == 0.0
    for f in (lambda x: np.sin(np.sqrt(x)) ** 2, lambda x: x * np.sqrt(x), lambda x: 0.0 * np.sqrt(x)):
        assert np.isnan(tg.trace(f, 1.0).value_and_grad_flat(np.zeros(1))[1])


# Kinks and ties ---------------------------------------------------------------------------------------------


def test_kinks_have_the_slope_zero():
    check(lambda x: np.abs(x), 0.0, 0.0, 0.0, 0.0)
    check(lambda x: abs(x) + 3.0 * x, 0.0, 0.0, 3.0, 0.0)
    check(tgs.relu, 0.0, 0.0, 0.0, 0.0)
    check(lambda x: x * abs(x), 0.0, 0.0, 0.0, 0.0)
    check(lambda x: abs(x) ** 3, 0.0, 0.0, 0.0, 0.0)


@pytest.mark.parametrize("f", [np.maximum, np.minimum, np.fmax, np.fmin])
def test_ties_of_two_share_equally(f):
    check(lambda t: f(t[0], t[1]), [1.5, 1.5], 1.5, [0.5, 0.5], 0.0)
    check(lambda t: f(t[0] ** 2, 1.0), [1.0], 1.0, 1.0, 1.0)
    check(lambda x: f(x, 0.0), 0.0, 0.0, 0.5, 0.0)


def test_clip_at_its_bounds_shares_with_them():
    for at in (0.0, 1.0):
        check(lambda x: np.clip(x, 0.0, 1.0), at, at, 0.5, 0.0)
    check(lambda t: np.clip(t[0], t[1], 5.0), [2.0, 2.0], 2.0, [0.5, 0.5], 0.0)


def test_max_with_equal_entries_shares_equally():
    check(np.max, [2.0, -1.0, 2.0, 2.0], 2.0, np.array([1, 0, 1, 1]) / 3.0, 0.0)
    check(np.min, [-2.0, 1.0, -2.0, -2.0], -2.0, np.array([1, 0, 1, 1]) / 3.0, 0.0)
    check(np.ptp, [2.0, 2.0], 0.0, [0.0, 0.0], 0.0)


def test_a_square_behind_a_tie():
    third = np.outer([1, 0, 1, 1], [1, 0, 1, 1]) / 9.0
    check(lambda t: np.max(t) ** 2, [2.0, -1.0, 2.0, 2.0], 4.0, np.array([4, 0, 4, 4]) / 3.0, 2.0 * third)


def test_sort_with_equal_entries():
    weights = np.array([1.0, 10.0, 100.0, 1000.0])
    # The two threes keep their order: the first of them is the smaller.
    check(lambda t: np.sort(t) @ weights, [3.0, 1.0, 3.0, 2.0], 3321.0, [100.0, 1.0, 1000.0, 10.0], 0.0)
    check(
        lambda t: np.sort(t) ** 2 @ weights,
        [3.0, 3.0, 3.0, 3.0],
        9999.0,
        6.0 * weights,
        np.diag(2.0 * weights),
    )
    check(lambda t: np.sort(t**2).sum(), np.zeros(20), 0.0, np.zeros(20), 2.0 * np.eye(20))


def test_median_with_equal_entries():
    check(np.median, [2.0, 2.0, 2.0], 2.0, [0.0, 1.0, 0.0], 0.0)
    check(np.median, [1.0, 2.0, 2.0, 5.0], 2.0, [0.0, 0.5, 0.5, 0.0], 0.0)


# Products with logarithms -----------------------------------------------------------------------------------


def test_xlogy_of_zeros():
    zeros = np.array([0.0, 0.0, 3.0])
    check(lambda y: special.xlogy(zeros[:2], y).sum(), 0.0, 0.0, 0.0, 0.0)
    check(lambda y: special.xlogy(zeros, y).sum(), 1.0, 0.0, 3.0, -3.0)
    check(lambda y: special.xlogy(zeros, y).sum(), 0.0, -INF, INF, -INF)
    check(lambda t: special.xlogy(t[0], t[1]), [0.0, 2.0], 0.0, [LOG2, 0.0], [[0.0, 0.5], [0.5, 0.0]])
    check(lambda x: special.xlogy(x, x), 0.0, 0.0, -INF, INF)


def test_xlog1py_of_zeros():
    check(lambda p: special.xlog1py(0.0, -p), 1.0, 0.0, 0.0, 0.0)
    check(lambda p: special.xlog1py(2.0, -p), 1.0, -INF, -INF, -INF)
    check(lambda t: special.xlog1py(t[0], t[1]), [0.0, 1.0], 0.0, [LOG2, 0.0], [[0.0, 0.5], [0.5, 0.0]])


# Sums of exponentials ---------------------------------------------------------------------------------------


def test_logsumexp_with_minus_infinity():
    share = np.array([1.0, 2.0, 0.0]) / 3.0
    curvature = np.diag(share) - np.outer(share, share)
    check(tgs.logsumexp, [0.0, LOG2, -INF], np.log(3.0), share, curvature)
    factors = np.array([1.0, 2.0, 0.0])
    terms = np.exp([0.0, 1.0, 2.0])
    share = terms / (terms @ factors)
    check(
        lambda b: tgs.logsumexp(np.array([0.0, 1.0, 2.0]), b=b),
        factors,
        np.log(terms @ factors),
        share,
        -np.outer(share, share),
    )


def test_logsumexp_of_minus_infinities():
    check(tgs.logsumexp, [-INF, -INF], -INF, [0.0, 0.0], 0.0)
    check(lambda t: np.logaddexp.reduce(t), [-INF, -INF, -INF], -INF, np.zeros(3), 0.0)


def test_logaddexp_of_minus_infinities():
    check(lambda t: np.logaddexp(t[0], t[1]), [-INF, -INF], -INF, [0.0, 0.0], 0.0)
    check(lambda t: np.logaddexp(t[0], t[1]), [1.5, -INF], 1.5, [1.0, 0.0], 0.0)
    check(lambda t: np.logaddexp2(t[0], t[1]), [-INF, -INF], -INF, [0.0, 0.0], 0.0)


# Lengths ----------------------------------------------------------------------------------------------------


def test_norm_at_zero():
    """The slope is that of least norm among all subgradients, and level; of `hypot`, too."""
    check(np.linalg.norm, [0.0, 0.0], 0.0, [0.0, 0.0], 0.0)
    check(lambda t: np.linalg.norm(t, 1), [0.0, -2.0], 2.0, [0.0, -1.0], 0.0)
    check(lambda t: np.hypot(t[0], t[1]), [0.0, 0.0], 0.0, [0.0, 0.0], 0.0)
    check(lambda t: np.hypot(t[0], t[1]), [0.0, -2.0], 2.0, [0.0, -1.0], [[0.5, 0.0], [0.0, 0.0]])
    rows = tg.trace(lambda t: np.linalg.norm(t, axis=1).sum(), np.ones((2, 2)))
    at = np.array([[0.0, 0.0], [3.0, 4.0]])
    np.testing.assert_allclose(rows.grad(at), [[0.0, 0.0], [0.6, 0.8]], rtol=1e-15)
    expected = np.zeros((4, 4))
    expected[2:, 2:] = np.array([[16.0, -12.0], [-12.0, 9.0]]) / 125.0
    np.testing.assert_allclose(rows.hessian(at), expected, rtol=1e-14, atol=1e-16)


def test_the_square_of_a_norm_at_zero():
    check(lambda t: 0.5 * np.linalg.norm(t) ** 2, np.zeros(3), 0.0, np.zeros(3), np.eye(3))

    def by_itself(t):
        length = np.linalg.norm(t - 1.0)
        return length * length

    check(by_itself, np.ones(2), 0.0, np.zeros(2), 2.0 * np.eye(2))


# Indices and axes -------------------------------------------------------------------------------------------


def test_repeated_indices():
    twice = np.array([0, 2, 0, -1, 2, 2])
    check(lambda t: (t[twice] ** 2).sum(), [3.0, 5.0, 2.0], 34.0, [12.0, 0.0, 16.0], np.diag([4.0, 0.0, 8.0]))
    check(lambda t: np.prod(t[[1, 1, 1]]), [5.0, 2.0], 8.0, [0.0, 12.0], [[0.0, 0.0], [0.0, 12.0]])
    check(
        lambda t: t[[0, 1, 1], [1, 0, 0]] @ np.array([1.0, 10.0, 100.0]),
        np.eye(2),
        0.0,
        [0.0, 1.0, 110.0, 0.0],
        0.0,
    )
    check(lambda t: np.take(t, [0, 0]).sum() * t[1], [2.0, 3.0], 12.0, [6.0, 4.0], [[0.0, 2.0], [2.0, 0.0]])


def test_axes_of_length_one():
    column, row = np.array([[1.0], [2.0]]), np.array([[3.0, 4.0, 5.0]])
    tape = tg.trace(lambda a, b: ((a + b) ** 2).sum(), dict(a=column + 0.5, b=row))
    gradient = tape.grad(dict(a=column, b=row))
    np.testing.assert_array_equal(gradient["a"], [[30.0], [36.0]])
    np.testing.assert_array_equal(gradient["b"], [[18.0, 22.0, 26.0]])
    expected = np.block([[6.0 * np.eye(2), np.full((2, 3), 2.0)], [np.full((3, 2), 2.0), 4.0 * np.eye(3)]])
    np.testing.assert_array_equal(tape.hessian(dict(a=column, b=row)), expected)
    one = tg.trace(lambda a: (a * np.ones((3, 1, 2))).sum() * a[0], np.array([2.0]))
    assert one.grad(np.array([2.0])).shape == (1,)
    assert one.grad(np.array([2.0])) == 24.0
    assert one.hessian(np.array([2.0])) == 12.0


def test_axes_of_length_zero():
    def f(a, b, empty):
        total = (a * empty).sum() + (b[:0] * a).sum() + np.prod(b[:0]) + (b[None, :] + empty[:, None]).sum()
        return total + a * a + np.concatenate([empty, b]).sum() + np.linalg.norm(empty) + np.sort(empty).sum()

    theta = dict(a=3.0, b=np.array([1.0, 2.0]), empty=np.zeros(0))
    tape = tg.trace(f, dict(a=1.0, b=np.zeros(2), empty=np.zeros(0)))
    assert tape(theta) == 13.0
    gradient = tape.grad(theta)
    assert gradient["a"] == 6.0
    np.testing.assert_array_equal(gradient["b"], [1.0, 1.0])
    assert gradient["empty"].shape == (0,)
    np.testing.assert_array_equal(tape.hessian(theta), np.diag([2.0, 0.0, 0.0]))


# Products ---------------------------------------------------------------------------------------------------


def test_prod_with_zeros():
    check(np.prod, [0.0, 5.0, 2.0], 0.0, [10.0, 0.0, 0.0], [[0, 2, 5], [2, 0, 0], [5, 0, 0]])
    check(np.prod, [0.0, 0.0, 2.0], 0.0, np.zeros(3), [[0, 2, 0], [2, 0, 0], [0, 0, 0]])
    check(np.prod, np.zeros(3), 0.0, np.zeros(3), 0.0)
    assert tg.trace(np.prod, np.ones(3)).third(np.zeros(3), [0.0, 0.0, 1.0])[0, 1] == 1.0


def test_cumprod_with_zeros():
    # a + a b + a b c
    check(
        lambda t: np.cumprod(t).sum(),
        [0.0, 0.0, 2.0],
        0.0,
        [1.0, 0.0, 0.0],
        [[0, 3, 0], [3, 0, 0], [0, 0, 0]],
    )


# Repeated eigenvalues ---------------------------------------------------------------------------------------


def equicorrelation(rho, n=4):
    return (1.0 - rho) * np.eye(n) + rho * np.ones((n, n))


SYMMETRIC_FUNCTIONS = {
    # name: (function of the eigenvalues, its slope)
    "sum": (lambda w: w.sum(), lambda w: np.ones_like(w)),
    "log determinant": (lambda w: np.log(w).sum(), lambda w: 1.0 / w),
    "sum of squares": (lambda w: (w**2).sum(), lambda w: 2.0 * w),
    "product": (np.prod, lambda w: np.prod(w) / w),
}


@pytest.mark.parametrize("name", SYMMETRIC_FUNCTIONS)
@pytest.mark.parametrize("matrix", [np.eye(4), 2.5 * np.eye(4), equicorrelation(0.3), equicorrelation(-0.2)])
def test_repeated_eigenvalues(name, matrix):
    """Gradients of symmetric functions are right; second derivatives are NaN rather than noise over noise."""
    f, slope = SYMMETRIC_FUNCTIONS[name]
    tape = tg.trace(lambda a: f(np.linalg.eigvalsh(a)), np.diag([1.0, 2.0, 3.0, 4.0]))
    values, vectors = np.linalg.eigh(matrix)
    whole = (vectors * slope(values)) @ vectors.T
    # The lower triangle is read, and stands for both.
    expected = 2.0 * np.tril(whole, -1) + np.diag(np.diag(whole))
    np.testing.assert_allclose(tape.grad(matrix), expected, rtol=1e-12, atol=1e-13)
    with pytest.warns(tg.NonFiniteWarning, match=r"the Hessian of f is NaN: it arises in .* at .*eigvalsh"):
        assert np.isnan(tape.hessian(matrix)).any()


def test_one_of_repeated_eigenvalues():
    """The smallest of equal eigenvalues has many subgradients, of which one is given: a projection."""
    tape = tg.trace(lambda a: np.linalg.eigvalsh(a)[0], np.diag([1.0, 2.0, 3.0]))
    gradient = tape.grad(np.eye(3))
    assert np.trace(gradient) == pytest.approx(1.0)
    both = 0.5 * (gradient + gradient.T)
    np.testing.assert_allclose(both @ both, both, atol=1e-14)


def test_the_determinant_of_an_equicorrelation_needs_no_eigenvalues():
    # log|R| is 3 log(1 - rho) + log(1 + 3 rho)
    rho = 0.3
    value = 3.0 * np.log(1.0 - rho) + np.log(1.0 + 3.0 * rho)
    slope = -3.0 / (1.0 - rho) + 3.0 / (1.0 + 3.0 * rho)
    curvature = -3.0 / (1.0 - rho) ** 2 - 9.0 / (1.0 + 3.0 * rho) ** 2
    tape = tg.trace(lambda rho: np.linalg.slogdet(equicorrelation(rho))[1], 0.1)
    assert tape(rho) == pytest.approx(value, rel=1e-13)
    assert tape.grad(rho) == pytest.approx(slope, rel=1e-13)
    assert tape.hessian(rho)[0, 0] == pytest.approx(curvature, rel=1e-12)
    by_eigenvalues = tg.trace(lambda rho: np.log(np.linalg.eigvalsh(equicorrelation(rho))).sum(), 0.1)
    assert by_eigenvalues.grad(rho) == pytest.approx(slope, rel=1e-13)


# Many uses and long tapes -----------------------------------------------------------------------------------


def test_parameters_used_zero_times():
    with pytest.warns(tg.UnusedParameterWarning, match="b"):
        tape = tg.trace(lambda a, b: a**2, dict(a=1.0, b=np.ones(2)))
    theta = dict(a=3.0, b=np.ones(2))
    np.testing.assert_array_equal(tape.ravel(tape.grad(theta)), [6.0, 0.0, 0.0])
    np.testing.assert_array_equal(tape.hessian(theta), np.diag([2.0, 0.0, 0.0]))
    np.testing.assert_array_equal(tape.hvp(theta, np.ones(3))["b"], [0.0, 0.0])
    with pytest.warns(tg.UnusedParameterWarning):
        constant = tg.trace(lambda a: 4.0, 1.0)
    assert (constant(2.0), constant.grad(2.0), constant.hessian(2.0)) == (4.0, 0.0, 0.0)


def weighted_sum(n):
    weights = np.linspace(0.0, 1.0, n).tolist()

    def f(a):
        total = 0.0
        for w in weights:
            total = total + w * a
        return total * total

    return f


@pytest.mark.filterwarnings("ignore::tapegrad.LongTapeWarning")
def test_parameters_used_100_000_times_on_a_tape_of_200_000_entries():
    tape = tg.trace(weighted_sum(100_000), 2.0)
    assert len(tape.tape.entries) == 200_001
    assert tape(3.0) == pytest.approx((50_000.0 * 3.0) ** 2, rel=1e-12)
    assert tape.grad(3.0) == pytest.approx(50_000.0**2 * 6.0, rel=1e-12)


def test_arrays_put_together_from_many_numbers():
    n = 2_000
    tape = tg.trace(lambda a: np.log(np.stack([a * k for k in range(1, n + 1)])).sum(), 1.5)
    assert tape(2.0) == pytest.approx(n * LOG2 + special.gammaln(n + 1), rel=1e-12)
    assert tape.grad(2.0) == pytest.approx(n / 2.0, rel=1e-12)
    assert tape.hessian(2.0)[0, 0] == pytest.approx(-n / 4.0, rel=1e-12)


def roots(n):
    """After n steps from x it is at ``sqrt(x**2 + n)``, by three entries a step."""

    def f(x):
        for _ in range(n):
            x = np.sqrt(x * x + 1.0)
        return x

    return f


def check_long_tape(steps):
    tape = tg.trace(roots(steps), 2.0, reroll=False)
    assert len(tape.tape.entries) == 3 * steps
    end = np.sqrt(9.0 + steps)
    assert tape(3.0) == pytest.approx(end, rel=1e-11)
    assert tape.grad(3.0) == pytest.approx(3.0 / end, rel=1e-11)
    assert tape.hessian(3.0)[0, 0] == pytest.approx(steps / end**3, rel=1e-7)
    tg.verify(tape.grad_tape)
    assert len(pickle.loads(pickle.dumps(tape.tape)).entries) == 3 * steps
    assert "more lines" in str(tape.grad_tape)
    return tape


def test_a_chain_has_no_recursion_limit():
    tape = check_long_tape(1_000)  # of 3000 entries, one on the other
    assert tape.third(3.0, 1.0)[0, 0] == pytest.approx(-9.0 * 1_000 / 1_009.0**2.5, rel=1e-9)


@pytest.mark.slow
def test_a_tape_of_a_million_entries():
    check_long_tape(333_334)


@pytest.mark.slow
def test_parameters_used_a_million_times():
    tape = tg.trace(weighted_sum(1_000_000), 2.0)
    assert tape.grad(3.0) == pytest.approx(500_000.0**2 * 6.0, rel=1e-12)
    assert tape.hessian(3.0)[0, 0] == pytest.approx(500_000.0**2 * 2.0, rel=1e-12)


# Log-densities at the edge of the support -------------------------------------------------------------------


def test_log_densities_at_the_edge_of_the_support():
    check(lambda s: stats.expon.logpdf(0.0, scale=s), 2.0, -LOG2, -0.5, 0.25)
    check(lambda loc: stats.expon.logpdf(1.0, loc=loc), 1.0, 0.0, 1.0, 0.0, start=0.5)
    check(lambda mu: stats.poisson.logpmf(np.zeros(2), mu).sum(), 0.0, 0.0, -2.0, 0.0)
    check(lambda p: stats.bernoulli.logpmf(0, p), 0.0, 0.0, -1.0, -1.0)
    check(lambda p: stats.bernoulli.logpmf(1, p), 1.0, 0.0, 1.0, -1.0)
    check(
        lambda t: stats.nbinom.logpmf(0, t[0], t[1]), [2.5, 1.0], 0.0, [0.0, 2.5], [[0.0, 1.0], [1.0, -2.5]]
    )


def test_log_densities_outside_the_support():
    """Minus infinity, and level there: the data say nothing on where to go."""
    check(lambda loc: stats.expon.logpdf(1.0, loc=loc), 2.0, -INF, 0.0, 0.0, start=0.5)


def test_impossible_outcomes_at_the_edge_of_the_parameters():
    check(lambda mu: stats.poisson.logpmf(2, mu), 0.0, -INF, INF, -INF)
    check(lambda p: stats.bernoulli.logpmf(1, p), 0.0, -INF, INF, -INF)
    check(lambda p: stats.bernoulli.logpmf(0, p), 1.0, -INF, -INF, -INF)
