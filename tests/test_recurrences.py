"""Linear recurrences: every way to solve them gives what the definition gives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.signal import lfilter

import tapegrad as tg
from tapegrad.ops import recurrences
from tapegrad.ops.recurrences import recurrence_


def by_definition(a: Any, b: Any, start: Any, reverse: bool) -> Any:
    a, b, s = np.asarray(a), np.asarray(b), np.asarray(start)
    varies = a.ndim > 2 * s.ndim
    states = np.empty(b.shape)
    for t in reversed(range(len(b))) if reverse else range(len(b)):
        factor = a[t] if varies else a
        s = states[t] = (factor @ s if s.ndim else factor * s) + b[t]
    return states


def problem(count: int, m: int | None, varies: bool) -> tuple[Any, Any, Any]:
    rng = np.random.default_rng([count, m or 0, varies])
    shape = () if m is None else (m,)
    a = rng.uniform(-1.0, 1.0, (count,) * varies + shape * 2) / (m or 1)
    return (float(a) if a.ndim == 0 else a), rng.normal(size=(count, *shape)), rng.normal(size=shape)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("varies", [False, True])
@pytest.mark.parametrize("m", [None, 1, 2, 3, 5, 12, 13])
def test_each_way_is_the_definition(monkeypatch, m, varies, reverse):
    monkeypatch.setattr(recurrences, "_AT_ONCE", 4)
    for count in (1, 2, 3, 4, 5, 8, 9, 30):
        a, b, start = problem(count, m, varies)
        expected = by_definition(a, b, start, reverse)
        found = recurrence_(a, b, start, reverse=reverse)
        np.testing.assert_allclose(found, expected, rtol=1e-13, atol=1e-14)


def test_an_autoregression_in_states_is_the_filter_of_its_order():
    rng = np.random.default_rng(0)
    phi, b = np.array([0.5, -0.3, 0.2]), rng.normal(size=3000)
    companion = np.vstack([phi, np.eye(3)[:2]])
    terms = np.column_stack([b, np.zeros((3000, 2))])
    states = recurrence_(companion, terms, np.zeros(3), reverse=False)
    np.testing.assert_allclose(states[:, 0], lfilter([1.0], [1.0, *-phi], b), rtol=1e-12, atol=1e-13)
    np.testing.assert_array_equal(states[1:, 1], states[:-1, 0])


def test_a_random_walk_and_one_that_explodes_keep_their_digits():
    b = np.arange(-2000.0, 3000.0)  # whole numbers, whose sums are exact
    np.testing.assert_array_equal(recurrence_(1.0, b, 3.0, reverse=False), 3.0 + np.cumsum(b))
    growing = np.full(600, 3.0)
    states = recurrence_(growing, np.zeros(600), 1.0, reverse=False)
    np.testing.assert_allclose(states, [3.0**t for t in range(1, 601)], rtol=1e-13)


@pytest.mark.parametrize("m", [None, 2])
def test_what_is_not_finite_stays_where_the_definition_has_it(m):
    a, b, start = problem(40, m, True)
    for value in (np.inf, np.nan):
        for place in ("a", "b"):
            factors, terms = a.copy(), b.copy()
            (factors if place == "a" else terms)[7].flat[0] = value
            with np.errstate(all="ignore"):
                expected = by_definition(factors, terms, start, False)
                found = recurrence_(factors, terms, start, reverse=False)
            np.testing.assert_allclose(found, expected, rtol=1e-13)
    decoupled, terms = np.array([[0.5, 0.0], [0.0, 0.9]]), np.ones((6, 2))
    terms[2, 0] = np.nan
    with np.errstate(all="ignore"):
        expected = by_definition(decoupled, terms, np.zeros(2), False)
        found = recurrence_(decoupled, terms, np.zeros(2), reverse=False)
    np.testing.assert_array_equal(found, expected)
    infinite = np.array([1.0, np.inf, 1.0])
    with np.errstate(all="ignore"):  # nothing times infinity
        assert np.isnan(recurrence_(infinite, np.zeros(3), 0.0, reverse=False)[1:]).all()


def test_the_gradient_of_a_garch_model_by_a_recurrence_is_that_of_its_loop():
    rng = np.random.default_rng(1)
    y = rng.normal(size=60)

    def by_recurrence(w: Any, a: Any, b: Any) -> Any:
        h = recurrence_(b, w + a * y[:-1] ** 2, 1.0, reverse=False)
        return (np.log(h) + y[1:] ** 2 / h).sum()

    def by_loop(w: Any, a: Any, b: Any) -> Any:
        h, total = 1.0, 0.0
        for t in range(1, 60):
            h = w + a * y[t - 1] ** 2 + b * h
            total = total + np.log(h) + y[t] ** 2 / h
        return total

    start = {"w": 0.1, "a": 0.1, "b": 0.8}
    one, other = tg.trace(by_recurrence, start), tg.trace(by_loop, start, reroll=False)
    for name, found in one.grad(start).items():
        np.testing.assert_allclose(found, other.grad(start)[name], rtol=1e-12)
    np.testing.assert_allclose(one.hessian(start), other.hessian(start), rtol=1e-11)
    v = np.array([0.3, -0.2, 0.5])
    np.testing.assert_allclose(one.third(start, v), other.third(start, v), rtol=1e-10)
