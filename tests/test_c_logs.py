"""Products in logarithms and shares of sums in C, against the reference, in range and out of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.backends.c.compiler import compiler
from tapegrad.backends.c.program import CProgram
from tapegrad.backends.replay import evaluate
from tapegrad.function.trace import trace_quietly
from tapegrad.passes import FINISHING, tidy
from tapegrad.special import logsumexp
from tapegrad.tape.tape import Tape
from tests.bodies import scanned
from tests.c_batches import outputs_of, programs_of

pytestmark = pytest.mark.skipif(compiler() is None, reason="no C compiler was found")

N = 1_030  # beyond two chunks
RNG = np.random.default_rng(12)
MOVE = np.log(np.array([[0.9, 0.05, 0.05], [0.1, 0.7, 0.2], [0.3, 0.3, 0.4]]))
IMPOSSIBLE = np.where(np.eye(3)[::-1] > 0.0, -np.inf, MOVE)
SEEN = -0.5 * (RNG.normal(size=(N, 1)) - np.array([-1.0, 0.0, 1.0])) ** 2
FAR = np.where(np.arange(N)[:, None] % 300 == 7, 1_000.0, 1.0) * SEEN


def by_columns(h: Any, move: Any, seen: Any) -> tuple[Any]:
    return (logsumexp(h[:, None] + move, axis=0) + seen,)


def by_rows(h: Any, move: Any, seen: Any) -> tuple[Any]:
    return (seen + logsumexp(move + h, axis=1),)


def minus(h: Any, move: Any, seen: Any) -> tuple[Any]:
    return (logsumexp(np.reshape(h, (3, 1)) + move.T, axis=0) - seen,)


def alone(h: Any, move: Any, seen: Any) -> tuple[Any]:
    return (logsumexp(move + h[:, None], axis=0),)


def tape_of(step: Callable[..., Any]) -> Tape:
    def f(h: Any, move: Any, seen: Any) -> Any:
        return scanned(step, [h], [move], [seen], N)

    return trace_quietly(lambda parts: f(*parts), [np.zeros(3), MOVE, SEEN]).tape


STARTS = [
    np.log([0.5, 0.3, 0.2]),
    np.array([0.0, -np.inf, -2.0]),
    np.array([0.0, -900.0, -2e4]),
    np.array([np.nan, 0.0, 0.0]),
    np.full(3, -np.inf),
    np.array([np.inf, 0.0, 0.0]),
    np.array([3e4, 3e4 + 1.0, 3e4]),
]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_products_in_logarithms_are_those_of_the_reference() -> None:
    tapes = [tape_of(step) for step in (by_columns, by_rows, minus, alone)]
    for tape, program in zip(tapes, programs_of(tapes, 4), strict=True):
        assert "tg_power" in program.source
        points = [(start, MOVE, SEEN) for start in STARTS]
        points += [
            (STARTS[0], move, seen) for move in (MOVE, IMPOSSIBLE, 500.0 * MOVE) for seen in (SEEN, FAR)
        ]
        points += [(STARTS[0], MOVE + 800.0, SEEN), (STARTS[1], IMPOSSIBLE, np.full((N, 3), -np.inf))]
        for start, move, seen in points:
            point = np.concatenate([start, move.ravel(), seen.ravel()])
            values = evaluate(tape, point, {})
            with np.errstate(all="ignore"):
                (found,) = outputs_of(program, point)
            np.testing.assert_allclose(found, values[tape.outputs[0]], rtol=1e-13, atol=1e-13)


def test_a_step_that_is_no_such_product_is_taken_as_it_is_written() -> None:
    def twice(h: Any, move: Any, seen: Any) -> tuple[Any]:
        return (logsumexp(h[:, None] + seen[:, None] + move, axis=0),)

    def other(h: Any, move: Any, seen: Any) -> tuple[Any]:
        return (logsumexp(h[:, None] - move, axis=0) * 0.5 + seen,)

    for step in (twice, other):
        tape = tape_of(step)
        assert "tg_power" not in CProgram(tape).source


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_shares_of_sums_of_exponentials() -> None:
    x = RNG.normal(size=(600, 3))

    def loglik(m: Any) -> Any:
        return np.sum(logsumexp(x + m, axis=1))

    traced = tg.trace(loglik, dict(m=np.array([0.1, 0.2, -0.3])))
    tape = tidy(traced.grad_tape, FINISHING)
    program = CProgram(tape)
    rows = program.source[program.source.index("rows0") :]
    assert rows.count("= exp(") == 2 * 3  # the loop is printed with masks and without
    for m in (
        [0.1, 0.2, -0.3],
        [900.0, -900.0, 0.0],
        [-np.inf, 0.0, 1.0],
        [-np.inf] * 3,
        [np.inf, 0.0, 0.0],
        [np.nan, 0.0, 0.0],
    ):
        values = evaluate(tape, np.array(m), {})
        with np.errstate(all="ignore"):
            found = outputs_of(program, np.array(m))
        for one, slot in zip(found, tape.outputs, strict=True):
            np.testing.assert_allclose(one, values[slot], rtol=1e-13)
