"""Loops in C: scans, linear recurrences, and the joins between them, against the reference."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from benchmarks.loops import LOOPS, Loop
from tapegrad.backends.c.compiler import compiler
from tapegrad.backends.c.program import CProgram
from tapegrad.backends.replay import evaluate
from tapegrad.passes import FINISHING, tidy
from tapegrad.tape.tape import Tape
from tests.c_batches import outputs_of, programs_of
from tests.test_scan_random import PARAMS, THETA, Program

pytestmark = [
    pytest.mark.skipif(compiler() is None, reason="no C compiler was found"),
    pytest.mark.filterwarnings("ignore::tapegrad.UnusedParameterWarning"),
]

N = 60
# Vector functions are within 4 units in the last place, and sums have an order of their own.
TOLERANCE = 1e-13


def assert_agrees(program: CProgram, point: Any, name: str = "") -> None:
    """Hold a program against the reference, every output by the size of its largest element."""
    tape = program.tape
    values = evaluate(tape, point, {})
    for found, slot in zip(outputs_of(program, point), tape.outputs, strict=True):
        expected = np.asarray(values[slot], dtype=float)
        finite = np.abs(expected[np.isfinite(expected)])
        np.testing.assert_allclose(
            found, expected, rtol=TOLERANCE, atol=TOLERANCE * np.max(finite, initial=0.0), err_msg=name
        )


def uses_numpy(program: CProgram) -> bool:
    """Whether anything is left to NumPy's kernels."""
    printed = program.printed
    return any(part.entries for part in (*printed.early, *printed.late))


# Whole models -----------------------------------------------------------------------------------------------


def egarch() -> Loop:
    """EGARCH(1,1): the logarithm of the variance is carried."""
    y = np.random.default_rng(3).normal(size=N)

    def loglik(mu: Any, omega: Any, alpha: Any, gamma: Any, beta: Any) -> Any:
        log_h, total = omega / (1.0 - beta), 0.0
        for t in range(N):
            z = (y[t] - mu) * np.exp(-0.5 * log_h)
            total -= 0.5 * (log_h + z * z)
            log_h = omega + alpha * (np.abs(z) - 0.8) + gamma * z + beta * log_h
        return total

    return Loop(loglik, dict(mu=0.02, omega=-0.1, alpha=0.2, gamma=-0.05, beta=0.9))


def kalman_of_matrices() -> Loop:
    """A local trend as people write it with matrices."""
    y = np.random.default_rng(4).normal(size=N).cumsum()
    move, shock = np.array([[1.0, 1.0], [0.0, 0.9]]), np.eye(2)

    def loglik(log_q: Any, log_r: Any) -> Any:
        def step(carry: Any, seen: Any) -> Any:
            mean, cov = carry
            mean, cov = move @ mean, move @ cov @ move.T + np.exp(log_q) * shock
            s = cov[0, 0] + np.exp(log_r)
            v = seen - mean[0]
            gain = cov[:, 0] / s
            term = -0.5 * (np.log(s) + v * v / s)
            return (mean + gain * v, cov - np.outer(gain, cov[0])), term

        return tg.scan(step, (np.zeros(2), 5.0 * np.eye(2)), y)[1].sum()

    return Loop(loglik, dict(log_q=-1.0, log_r=0.2))


HERE = {"egarch": egarch, "kalman_of_matrices": kalman_of_matrices}
QUICK = ["garch", "gjr", "arma", "local_level", "theta_logistic", "ricker", "var2", "garch_array"]
OTHERS = [name for name in LOOPS if name not in QUICK]


def model(name: str) -> Loop:
    return HERE[name]() if name in HERE else LOOPS[name].data(N)


def tapes_of(name: str, with_hessian: bool = True) -> tuple[list[Tape], np.ndarray]:
    loop = model(name)
    traced = tg.trace(loop.loglik, loop.start)
    tapes = [traced.grad_tape, traced.hessian_tape] if with_hessian else [traced.grad_tape]
    return [tidy(tape, FINISHING) for tape in tapes], traced.ravel(loop.start)


def hold_models(names: list[str], with_hessian: bool = True) -> None:
    found = [tapes_of(name, with_hessian) for name in names]
    programs = iter(programs_of([tape for tapes, _ in found for tape in tapes], 32))
    for name, (tapes, start) in zip(names, found, strict=True):
        for _ in tapes:
            program = next(programs)
            for point in (start, 1.03 * start + 0.007):
                assert_agrees(program, point, name)


def test_value_gradient_and_hessian_of_loops_are_those_of_the_reference() -> None:
    hold_models([*QUICK, *HERE])


def test_value_and_gradient_of_a_hidden_markov_model() -> None:
    hold_models(["hmm_log", "hmm_scaled"], with_hessian=False)


@pytest.mark.slow
@pytest.mark.parametrize("name", OTHERS)
def test_all_other_loops(name: str) -> None:
    hold_models([name])


@pytest.mark.parametrize("name", ["garch", "gjr", "local_level", "hmm_log", "kalman_of_matrices"])
def test_a_gradient_is_one_call(name: str) -> None:
    (tape,), _ = tapes_of(name, with_hessian=False)
    program = CProgram(tape)
    assert not uses_numpy(program)
    assert len(program.printed.early) == 1


def test_models_that_differ_in_data_and_length_share_their_code() -> None:
    def source(seed: int, n: int) -> str:
        loop = LOOPS["garch"].make(np.random.default_rng(seed), n)
        tape = tg.trace(loop.loglik, loop.start).grad_tape
        return CProgram(tape).source

    assert source(1, 100) == source(2, 100) == source(3, 150)


def test_the_source_shows_the_lines_of_a_step() -> None:
    loop = LOOPS["theta_logistic"].data(N)
    source = CProgram(tg.trace(loop.loglik, loop.start).grad_tape).source
    step = source[source.index("static void loop0") :]
    assert "size = size * np.exp(r" in step[: step.index("\n}\n")]


# Steps ------------------------------------------------------------------------------------------------------


def random_tapes(seed: int) -> list[Tape]:
    traced = tg.trace(Program(seed).function(tg.scan), PARAMS)
    return [traced.grad_tape]


def hold_random(seeds: range) -> None:
    for program in programs_of([tape for seed in seeds for tape in random_tapes(seed)], 4):
        assert_agrees(program, THETA)


def test_random_steps() -> None:
    hold_random(range(24))


@pytest.mark.slow
def test_many_random_steps() -> None:
    hold_random(range(24, 200))


def program_of(f: Callable[..., Any], *start: Any) -> tuple[CProgram, np.ndarray]:
    traced = tg.trace(f, *start, backend="replay", check=False)
    return CProgram(traced.tape, shortest=8), traced.ravel(*start)


def hold(f: Callable[..., Any], *start: Any, numpy: bool = False) -> None:
    """Hold a function against the reference, and say whether NumPy has a part in it."""
    program, point = program_of(f, *start)
    assert uses_numpy(program) is numpy
    assert_agrees(program, point)
