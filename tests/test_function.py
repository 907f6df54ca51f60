"""The traced function: values for reading, data that can be rebound, threads, and what `trace` decides."""

from __future__ import annotations

import pickle
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from scipy import stats as scipy_stats

import tapegrad as tg

X = np.array([1.2, -0.3, 2.2, 0.7])


def loglik(mu, log_sigma):
    z = (X - mu) / np.exp(log_sigma)
    return (-0.5 * z**2 - log_sigma - 0.5 * np.log(2.0 * np.pi)).sum()


def normal_score(x, mu, log_sigma):
    z = (x - mu) / np.exp(log_sigma)
    return np.array([np.sum(z) / np.exp(log_sigma), np.sum(z**2 - 1.0)])


def test_value_gradient_and_hessian_of_the_normal_model():
    tape = tg.trace(loglik, dict(mu=0.0, log_sigma=0.0))
    theta = dict(mu=0.7, log_sigma=-0.2)
    value, gradient = tape.value_and_grad(theta)
    assert value == pytest.approx(scipy_stats.norm.logpdf(X, 0.7, np.exp(-0.2)).sum(), rel=1e-14)
    np.testing.assert_allclose(list(gradient.values()), normal_score(X, 0.7, -0.2), rtol=1e-13)
    assert tape.grad(theta) == gradient
    assert tape(theta) == value
    z = (X - 0.7) / np.exp(-0.2)
    cross = -2.0 * z.sum() / np.exp(-0.2)
    expected = [[-4.0 / np.exp(-0.4), cross], [cross, -2.0 * (z**2).sum()]]
    np.testing.assert_allclose(tape.hessian(theta), expected, rtol=1e-13)


def test_theta_comes_nested_or_flat():
    tape = tg.trace(lambda a, b: a * (b @ b), dict(a=2.0, b=np.ones(2)))
    nested, flat = dict(a=2.0, b=[1.0, 3.0]), [2.0, 1.0, 3.0]
    assert tape(nested) == tape(flat) == tape(np.array(flat)) == 20.0
    gradient = tape.grad(flat)
    assert gradient["a"] == 10.0
    np.testing.assert_array_equal(gradient["b"], [4.0, 12.0])
    assert tape.names == ("a", "b[0]", "b[1]")


def test_values_gives_every_number_by_slot():
    tape = tg.trace(loglik, dict(mu=0.0, log_sigma=0.0))
    values = tape.values(dict(mu=0.7, log_sigma=-0.2))
    assert len(values) == len(tape.tape.avals)
    by_label = {v.label: v for v in values}
    assert by_label["mu"].value == 0.7
    assert by_label["mu"].adjoint == pytest.approx(normal_score(X, 0.7, -0.2)[0])
    assert values[-1].value == pytest.approx(tape(dict(mu=0.7, log_sigma=-0.2)))
    assert values[-1].adjoint == 1.0
    exp = next(v for v in values if v.entry is not None and v.entry.op.name == "exp")
    assert exp.value == pytest.approx(np.exp(-0.2))
    assert exp.entry.source.text == "z = (X - mu) / np.exp(log_sigma)"
    assert values[exp.slot] == exp
    assert [v.slot for v in values[:2]] == [0, 1]
    table = str(values)
    assert "log_sigma" in table.splitlines()[3]
    assert "test_function.py" in table


def test_values_of_an_array_function_have_no_adjoints():
    values = tg.trace(lambda a: a * X, 1.0).values(2.0)
    np.testing.assert_array_equal(values[-1].value, 2.0 * X)
    assert values[-1].adjoint is None


def test_array_valued_functions_have_values_but_no_gradient():
    tape = tg.trace(lambda a: a * X, 1.0)
    np.testing.assert_array_equal(tape(3.0), 3.0 * X)
    with pytest.raises(
        ValueError, match=r"the gradient needs a scalar; f returns shape \(4,\): end it with .sum"
    ):
        tape.grad(3.0)
    for method in (tape.hessian, tape.value_flat):
        with pytest.raises(ValueError, match="needs a scalar"):
            method(np.array([3.0]))


def test_results_are_not_views_of_the_workspace():
    tape = tg.trace(lambda a: a * X, np.ones(4))
    first = tape(np.ones(4))
    tape(np.zeros(4))
    np.testing.assert_array_equal(first, X)
    scalar = tg.trace(lambda a: (a * X).sum(), np.ones(4))
    gradient = scalar.grad(np.ones(4))
    scalar.grad(np.zeros(4))
    np.testing.assert_array_equal(gradient, X)


def test_captured_data_are_frozen():
    x = X.copy()
    tape = tg.trace(lambda a: (a * x).sum(), 1.0)
    x[:] = 0.0
    assert tape(1.0) == pytest.approx(X.sum())


def test_read_only_data_are_not_copied():
    x = X.copy()
    shared = x[:]
    shared.flags.writeable = False  # but x can still be written to
    tape = tg.trace(lambda a: (a * shared).sum(), 1.0)
    x[:] = 0.0
    assert tape(1.0) == pytest.approx(X.sum())
    x.flags.writeable = False
    (value,) = (value for _, value in tg.trace(lambda a: (a * x).sum(), 1.0).tape.constants if np.ndim(value))
    assert value is x


def test_data_can_be_rebound_without_a_trace():
    calls = []

    def f(mu, y, n):
        calls.append(1)
        return -((y - mu) ** 2).sum() / n

    tape = tg.trace(f, dict(mu=0.0), data=dict(y=X, n=4))
    traced = len(calls)
    other = tape.with_data(y=2.0 * X)
    assert other(dict(mu=0.5)) == pytest.approx(-((2.0 * X - 0.5) ** 2).sum() / 4)
    assert other.grad(dict(mu=0.5))["mu"] == pytest.approx((2.0 * X - 0.5).sum() / 2.0)
    assert tape(dict(mu=0.5)) == pytest.approx(-((X - 0.5) ** 2).sum() / 4)
    assert len(calls) == traced
    assert tape.nobs == 4


def test_data_may_be_traced_where_another_function_gives_them():
    inner = tg.trace(lambda mu, y: -((y - mu) ** 2).sum(), dict(mu=0.0), data=dict(y=X))
    np.testing.assert_array_equal(inner.data["y"], X)
    outer = tg.trace(lambda a, b, y: inner.on(dict(mu=a), dict(y=b * y)), dict(a=0.0, b=1.0), data=dict(y=X))
    for y in (X, X**2):
        gradient = outer.with_data(y=y).grad(dict(a=0.5, b=2.0))
        assert gradient["a"] == pytest.approx(2.0 * (2.0 * y - 0.5).sum())
        assert gradient["b"] == pytest.approx(-2.0 * (y * (2.0 * y - 0.5)).sum())
    assert inner.on(dict(mu=1.0), dict(y=2.0 * X)) == inner.with_data(y=2.0 * X)(dict(mu=1.0))
    assert inner.on(dict(mu=1.0), {}) == inner(dict(mu=1.0))


def test_a_branch_on_data_is_guarded_when_data_can_change():
    def f(mu, y):
        return mu * y.sum() if y.sum() > 0.0 else -mu

    tape = tg.trace(f, dict(mu=1.0), data=dict(y=X))
    other = tape.with_data(y=-X)
    assert other(dict(mu=2.0)) == -2.0
    assert other.retraces == 1
    assert tape(dict(mu=2.0)) == pytest.approx(2.0 * X.sum())


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        (dict(z=X), ValueError, r"\['z'\] is not data of this function; its data are \['y'\]"),
        (dict(y=X[:2]), ValueError, r"data y must have shape \(4,\)"),
        (dict(y=np.arange(4)), ValueError, "dtype float64"),
        (dict(y=["a"] * 4), TypeError, "data y must be real numbers"),
    ],
)
def test_wrong_data_says_what_was_expected(data, error, message):
    tape = tg.trace(lambda mu, y: (mu * y).sum(), dict(mu=1.0), data=dict(y=X))
    with pytest.raises(error, match=message):
        tape.with_data(**data)


def test_nobs_is_the_number_of_rows_added_up():
    table = np.ones((4, 2))
    assert tg.trace(lambda b: (table @ b - X).sum(), np.ones(2)).nobs == 4
    prior = np.ones(2)
    assert tg.trace(lambda b: (table @ b - X).sum() - prior @ b, np.ones(2)).nobs == 4
    assert tg.trace(lambda a: a * 2.0, 1.0).nobs is None


def test_many_threads_share_one_traced_function():
    tape = tg.trace(loglik, dict(mu=0.0, log_sigma=0.0))

    def steps(a):
        n = 0
        while a < 10.0:
            a = a * 2.0
            n += 1
        return a * n

    branching = tg.trace(steps, 1.0)
    rng = np.random.default_rng(0)
    points = rng.normal(size=(400, 2))
    start = threading.Barrier(8)

    def work(k):
        start.wait()
        found = []
        for mu, log_sigma in points[k::8]:
            value, gradient = tape.value_and_grad_flat(np.array([mu, log_sigma]))
            found.append((value, *gradient, branching(abs(mu) + 0.1), branching.grad(abs(mu) + 0.1)))
        return np.array(found)

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(work, range(8)))
    for k, found in enumerate(results):
        for (mu, log_sigma), row in zip(points[k::8], found, strict=True):
            np.testing.assert_allclose(row[0], loglik(mu, log_sigma), rtol=1e-12)
            np.testing.assert_allclose(row[1:3], normal_score(X, mu, log_sigma), rtol=1e-12)
            a = abs(mu) + 0.1
            doublings = max(int(np.ceil(np.log2(10.0 / a))), 0)
            np.testing.assert_allclose(row[3], a * 2.0**doublings * doublings, rtol=1e-12)
            np.testing.assert_allclose(row[4], 2.0**doublings * doublings, rtol=1e-12)


@pytest.mark.filterwarnings("ignore::tapegrad.LongTapeWarning")
def test_long_chains_need_no_recursion():
    def f(a):
        total = a
        for _ in range(50_000):
            total = total + a
        return total

    tape = tg.trace(f, 1.0)
    assert tape(2.0) == pytest.approx(100_002.0)
    assert tape.grad(2.0) == pytest.approx(50_001.0)


def test_representations():
    tape = tg.trace(loglik, dict(mu=0.0, log_sigma=0.0))
    assert repr(tape) == "<TracedFunction loglik(mu, log_sigma)>"
    assert str(tape).startswith("tape loglik(mu, log_sigma) -> scalar")
    assert repr(tg.trace(lambda b: b @ b, np.ones(9))).endswith(", ...)>")


def test_a_guard_on_nan_is_met_again_without_a_trace():
    def f(a):
        try:
            return a * int(a)
        except ValueError:
            return 7.0 + 0.0 * X.sum()

    tape = tg.trace(f, 1.5)
    assert [tape(np.nan) for _ in range(3)] == [7.0, 7.0, 7.0]
    assert tape.retraces == 1


def test_a_wrong_branch_is_refused_every_time():
    tape = tg.trace(lambda a: a * X.sum() if a > 0.0 else a * X, 1.0)
    for _ in range(2):
        with pytest.raises(tg.TraceError, match="return the same structure and shapes on all"):
            tape(-1.0)
    assert tape(2.0) == pytest.approx(2.0 * X.sum())


def test_names_that_clash():
    with pytest.raises(ValueError, match="mu stands in both params and data"):
        tg.trace(lambda mu: mu, dict(mu=1.0), data=dict(mu=X))


def test_a_traced_function_says_what_to_pickle_instead():
    with pytest.raises(TypeError, match="pickle its tapes"):
        pickle.dumps(tg.trace(loglik, dict(mu=0.0, log_sigma=0.0)))
