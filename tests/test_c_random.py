"""Random programs and loops through C, number by number and by rows, against the reference."""

from __future__ import annotations

from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import tapegrad as tg
from tapegrad.backends.c.compiler import compiler
from tapegrad.backends.replay import evaluate
from tapegrad.passes import tidy
from tapegrad.tape.tape import Tape
from tests.c_batches import outputs_of, programs_of
from tests.loop_programs import program
from tests.test_random_programs import PROGRAM, THETA, traced

pytestmark = [
    pytest.mark.skipif(compiler() is None, reason="no C compiler was found"),
    pytest.mark.filterwarnings(
        *(f"ignore::tapegrad.{kind}Warning" for kind in ("Branch", "NonFinite", "Retrace", "LongTape"))
    ),
]
PHASES = [Phase.explicit, Phase.generate]  # to make a failure smaller takes a compilation for each attempt
CHECKS = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example]


def agree(tapes: list[tuple[Tape, Any]], shortest: int, tolerance: float) -> None:
    """Compare the outputs of tapes, each at a point, with those of the reference."""
    programs = programs_of([tape for tape, _ in tapes], shortest)
    for (tape, point), made in zip(tapes, programs, strict=True):
        values = evaluate(tape, point, {})
        expected = [np.asarray(values[slot]) for slot in tape.outputs]
        size = max([1.0, *(np.max(np.abs(e[np.isfinite(e)]), initial=0.0) for e in expected)])
        for found, value in zip(outputs_of(made, point), expected, strict=True):
            np.testing.assert_allclose(
                found, value, rtol=tolerance, atol=tolerance * size, err_msg=made.source
            )


def _examples(programs: list[Any], thetas: list[Any]) -> list[tuple[Tape, Any]]:
    found = []
    for made in programs:
        tape = traced(made, thetas[0], "replay")
        tapes = (tape.tape, tape.grad_tape, tidy(tape.hessian_tape))
        found += [(one, theta) for one in tapes for theta in thetas]
    return found


@settings(max_examples=5, deadline=None, suppress_health_check=CHECKS, derandomize=True, phases=PHASES)
@given(st.lists(PROGRAM, min_size=12, max_size=12), st.lists(THETA, min_size=1, max_size=1))
@pytest.mark.parametrize("shortest", [32, 2])
def test_random_programs(shortest, programs, thetas):
    agree(_examples(programs, thetas), shortest, 1e-12)


@pytest.mark.slow
@settings(max_examples=40, deadline=None, suppress_health_check=CHECKS)
@given(st.lists(PROGRAM, min_size=20, max_size=20), st.lists(THETA, min_size=2, max_size=2))
@pytest.mark.parametrize("shortest", [32, 2])
def test_many_random_programs(shortest, programs, thetas):
    agree(_examples(programs, thetas), shortest, 1e-12)


def _loops(first: int, last: int) -> list[tuple[Tape, Any]]:
    found = []
    for seed in range(first, last):
        made = program(Random(seed))
        theta = made.theta(0)
        tape = tg.trace(made.function(), theta, backend="replay")
        point = tape.ravel(made.theta(1))
        found += [(tape.tape, point), (tape.grad_tape, point)]
    return found


# These loops blow up rounding errors by no more than 1000.
@pytest.mark.parametrize("shortest", [32, 4])
def test_random_loops(shortest: int) -> None:
    agree(_loops(0, 8), shortest, 1e-10)


@pytest.mark.slow
@pytest.mark.parametrize("shortest", [32, 4])
@pytest.mark.parametrize("first", range(100, 500, 50))
def test_many_random_loops(first: int, shortest: int) -> None:
    agree(_loops(first, first + 50), shortest, 1e-10)
