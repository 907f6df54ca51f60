"""Random loops: array code gives what the record and plain calls give, in value, gradient and Hessian."""

from __future__ import annotations

import operator
from functools import reduce
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tapegrad as tg
from tapegrad.passes import LOOPS, tidy
from tests.loop_programs import disagreement, program

quiet = pytest.mark.filterwarnings(
    "ignore::tapegrad.LongTapeWarning", "ignore::tapegrad.RetraceWarning", "ignore::tapegrad.BranchWarning"
)


@quiet
@settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(st.randoms(use_true_random=False))
def test_random_loops(random: Random) -> None:
    made = program(random)
    assert disagreement(made) is None, made.source


@quiet
@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(st.randoms(use_true_random=False))
def test_random_loops_in_generated_code(random: Random) -> None:
    made = program(random)
    assert disagreement(made, backend="numpy") is None, made.source


@quiet
@pytest.mark.slow
@settings(max_examples=3000, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.randoms(use_true_random=False))
def test_many_random_loops(random: Random) -> None:
    made = program(random)
    assert disagreement(made) is None, made.source


# Chains of other ops than addition --------------------------------------------------------------------------

X = np.random.default_rng(3).random(40)


def product(t: Any) -> Any:
    p = 1.0
    for x in X:
        p = p * (1.0 + t[0] * np.sin(t[1] * x))
    return p


def product_with_zeros(t: Any) -> Any:
    p = 1.0
    for i, x in enumerate(X):
        p = p * ((t[0] - 0.3) * x if i in (3, 7) else t[1] + np.exp(t[0] * x))
    return p


def ragged_products(t: Any) -> Any:
    ll = 0.0
    for i in range(30):
        p = 1.0
        for x in X[: 8 + 3 * (i % 7)]:
            p *= 1.0 + np.exp(-t[0] - t[1] * x)
        ll += np.log(p)
    return ll


def from_minus_infinity(t: Any) -> Any:
    s = -np.inf
    for x in X:
        s = np.logaddexp(s, t[0] * x - t[1] ** 2)
    return s


def ragged_logs(t: Any) -> Any:
    ll = 0.0
    for i in range(30):
        s = -np.inf
        for x in X[: 8 + 3 * (i % 7)]:
            s = np.logaddexp(t[0] * x - t[1] ** 2, s)
        ll += s
    return ll


def impossible(t: Any) -> Any:
    s = -np.inf
    for i, x in enumerate(X):
        s = np.logaddexp(s, -np.inf if i % 3 else t[0] * x + t[1])
    return s


def reduced(t: Any) -> Any:
    terms = [1.0 + t[0] * np.exp(t[1] * x) for x in X]
    return reduce(operator.mul, terms) + reduce(np.logaddexp, terms)


CHAINS = (
    product,
    product_with_zeros,
    ragged_products,
    from_minus_infinity,
    ragged_logs,
    impossible,
    reduced,
)


def compare(f: Any, at: Any) -> tg.Tape:
    """Hold the short tape against the record, and return it."""
    short, long = (tg.trace(f, at, reroll=on) for on in (True, False))
    for theta in (at, at * 1.3 + 0.1):
        for found, expected in (
            (short(theta), f(theta)),
            (short.grad(theta), long.grad(theta)),
            (short.hessian(theta), long.hessian(theta)),
        ):
            np.testing.assert_allclose(found, expected, rtol=0.0, atol=1e-12 * np.abs(expected).max())
    return tidy(tidy(long.tape, LOOPS))


@pytest.mark.parametrize("f", CHAINS, ids=lambda f: f.__name__)
def test_a_chain_of_products_or_of_logs_is_one_reduction(f: Any) -> None:
    tape = compare(f, np.array([0.3, 0.2]))
    names = [entry.op.name for entry in tape.entries]
    assert "prod" in names or "logsumexp" in names
    assert len(names) < 25


def test_a_loop_without_any_chain() -> None:
    def f(t: Any) -> Any:
        return np.stack([np.exp(np.sin(t[i % 2] / (i + 1.0))) for i in range(80)]).max()

    compare(f, np.array([0.3, 0.8]))


def test_partial_results_that_are_read_stay_right() -> None:
    def f(t: Any) -> Any:
        s, p, q = -np.inf, 1.0, 0.0
        for x in X:
            s, p = np.logaddexp(s, t[0] * x), p * (t[1] + x)
            q += np.sin(s) * np.cos(p)
        return q

    assert len(compare(f, np.array([0.3, 0.8])).entries) < 40


@pytest.mark.parametrize("extreme", [np.maximum, np.minimum])
def test_three_that_tie_share_as_the_chain_shares(extreme: Any) -> None:
    def f(t: Any) -> Any:
        m = t[0]
        for i in range(60):
            m = extreme(m, t[0] if i == 30 else t[1] if i == 45 else t[2] + 0.0 * X[i % 40] + (i % 40))
        return m

    at = np.array([2.0, 2.0, 100.0]) if extreme is np.minimum else np.array([2.0, 2.0, -100.0])
    short, long = (tg.trace(f, at, reroll=on) for on in (True, False))
    np.testing.assert_array_equal(short.grad(at), long.grad(at))
