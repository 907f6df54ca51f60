"""Loops as array code give the numbers of the record itself and of plain calls, in few entries."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from benchmarks.loops import LOOPS, Loop, numbers
from tapegrad import passes

N = 40
# Entries of the short tape, whatever the number of observations.
AT_MOST = {
    "normal": 14,
    "weibull": 17,
    "logistic": 14,
    "panel": 36,
    "cox": 24,
    "mixture": 18,
    "recapture": 90,
    "ordered_probit": 24,
    "states": 26,
    "garch": 22,
    "garch_student": 40,
    "gjr": 45,
    "garch_array": 24,
    "ar3": 52,
    "arma": 45,
    "local_level": 45,
    "local_trend": 85,
    "var2": 65,
    "hmm_log": 28,
    "hmm_scaled": 70,
    "ricker": 20,
    "theta_logistic": 20,
    "hawkes": 40,
    "pruning": 65,
    "lists": 16,
    "zipped": 20,
    "enumerated": 18,
    "comprehension": 16,
    "reduced": 30,
    "accumulated": 15,
    "helper": 20,
    "stateful": 22,
}


def flat(nest: Any) -> np.ndarray:
    """All numbers of a nest of dicts, one after the other."""
    if isinstance(nest, dict):
        return np.concatenate([flat(part) for part in nest.values()])
    return np.ravel(np.asarray(nest, dtype=float))


def places(start: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The start, and a place beside it."""
    yield start
    yield {name: np.asarray(value) * 1.07 + 0.01 for name, value in start.items()}


def assert_equal(found: Any, expected: Any) -> None:
    """Equal to 1e-12 of the largest."""
    found, expected = flat(found), flat(expected)
    np.testing.assert_allclose(found, expected, rtol=0.0, atol=1e-12 * np.abs(expected).max())


def shortened(record: tg.Tape) -> tg.Tape:
    """A record with its loops as array code."""
    return passes.tidy(passes.tidy(record, passes.LOOPS))


def check(loop: Loop) -> tg.Tape:
    """Hold the loop against its record and against plain calls, and return the short tape."""
    short, long = (tg.trace(loop.loglik, loop.start, reroll=on) for on in (True, False))
    for theta in places(loop.start):
        assert_equal(short(theta), long(theta))
        assert_equal(short(theta), loop.plain(theta))
        assert_equal(short.grad(theta), long.grad(theta))
        assert_equal(short.hessian(theta), long.hessian(theta))
    tape = shortened(long.tape)
    tg.verify(tape)
    return tape


@pytest.mark.parametrize("name", LOOPS)
def test_a_loop_gives_the_numbers_of_its_record_and_of_plain_calls(name: str) -> None:
    tape = check(LOOPS[name].data(N))
    assert len(tape.entries) <= AT_MOST.get(name, np.inf)


@pytest.mark.parametrize("name", AT_MOST)
def test_the_short_tape_does_not_grow_with_the_data(name: str) -> None:
    loop = LOOPS[name].data(3 * N)
    record = tg.trace(loop.loglik, loop.start).tape
    assert len(shortened(record).entries) <= AT_MOST[name]


@pytest.mark.parametrize("name", [name for name in LOOPS if LOOPS[name].data(N).array is not None])
def test_the_array_code_of_the_benchmark_is_the_loop(name: str) -> None:
    loop = LOOPS[name].data(N)
    assert loop.array is not None
    for theta in places(loop.start):
        assert_equal(loop.array(**numbers(theta)), loop.plain(theta))


def test_two_buffers_that_one_line_fills() -> None:
    def filled(a: Any, v: Any) -> Any:
        out = np.zeros_like(v)
        out[0] = a
        out[1:] = v[:2]
        out[2] += 1.0
        return out

    def f(a: Any, v: Any) -> Any:
        total = 0.0
        for y in np.linspace(-1.0, 1.0, 40):
            total = total + np.sin(a * y)
        return total + (filled(a, v) * filled(a * a, v)).sum()

    start = dict(a=0.3, v=np.array([0.5, -0.2, 0.7]))
    rerolled, unrolled = tg.trace(f, start), tg.trace(f, start, reroll=False)
    theta = np.array([0.4, -0.1, 0.2, 0.9])
    assert len(rerolled.short_tape.entries) < 64
    assert rerolled.value_flat(theta) == pytest.approx(f(0.4, theta[1:]), rel=1e-14)
    np.testing.assert_allclose(
        rerolled.hessian_flat(theta), unrolled.hessian_flat(theta), rtol=1e-13, atol=1e-14
    )


def _places_that_change(a, b):
    s = np.zeros(3) * a
    for t in range(60):
        s = s.copy()
        s[[t % 3]] = np.tanh(s[[t % 3]] * b + a * NOISE[t])
    return (s**2).sum()


def _places_that_stand_apart(a, b):
    both, state, total = np.array([0, 1]), np.eye(2) * a, 0.0
    for t in range(60):
        state = np.tanh(b * state + NOISE[t])
        diagonal = state[:, None][both, 0, both].sum()
        state = state + 0.01 * diagonal
        total = total + diagonal
    return total


NOISE = np.random.default_rng(0).normal(size=60)


@pytest.mark.parametrize("f", [_places_that_change, _places_that_stand_apart])
def test_steps_that_cannot_be_written_for_all_at_once_stay_as_they_are(f):
    rerolled, unrolled = (tg.trace(f, dict(a=0.3, b=0.4), reroll=reroll) for reroll in (True, False))
    at = np.array([0.4, 0.3])
    assert rerolled(at) == pytest.approx(f(*at), rel=1e-13)
    assert rerolled.value_and_grad_flat(at)[1] == pytest.approx(
        unrolled.value_and_grad_flat(at)[1], rel=1e-12
    )
    assert rerolled.hessian_flat(at) == pytest.approx(unrolled.hessian_flat(at), rel=1e-11)
