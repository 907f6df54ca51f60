"""Loops in C: scans, linear recurrences, and the joins between them, against the reference."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from benchmarks.loops import LOOPS, Loop
from tapegrad.backends.c.compiler import compiler
from tapegrad.backends.c.program import CProgram
from tapegrad.backends.replay import evaluate
from tapegrad.derive.scan import scan_
from tapegrad.function.trace import trace_quietly
from tapegrad.ops.recurrences import recurrence_
from tapegrad.passes import FINISHING, tidy
from tapegrad.tape.tape import Tape, size_of
from tests.bodies import body_of
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
    """Hold a program against the reference, the value by its size, a gradient by its largest element."""
    tape = program.tape
    values = evaluate(tape, point, {})
    expected = [np.asarray(values[slot], dtype=float) for slot in tape.outputs]
    sizes = [np.max(np.abs(part[np.isfinite(part)]), initial=0.0) for part in expected]
    for i, (found, part) in enumerate(zip(outputs_of(program, point), expected, strict=True)):
        size = sizes[0] if i == 0 else max(sizes[1:])
        np.testing.assert_allclose(found, part, rtol=TOLERANCE, atol=TOLERANCE * size, err_msg=name)


def left_to_numpy(program: CProgram) -> list[str]:
    """The ops that are left to NumPy's kernels."""
    printed = program.printed
    return [entry.op.name for part in (*printed.early, *printed.late) for entry in part.entries]


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
QUICK = ["garch", "gjr", "local_level", "theta_logistic"]
OTHERS = [name for name in (*LOOPS, *HERE) if name not in QUICK]


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
        for program in islice(programs, len(tapes)):
            for point in (start, 1.03 * start + 0.007):
                assert_agrees(program, point, name)


def test_value_gradient_and_hessian_of_loops_are_those_of_the_reference() -> None:
    hold_models(QUICK)


def test_value_and_gradient_of_loops_on_arrays() -> None:
    hold_models(["hmm_log", "hmm_scaled", "arma", "ricker", "var2", *HERE], with_hessian=False)


@pytest.mark.slow
@pytest.mark.parametrize("name", OTHERS)
def test_all_other_loops(name: str) -> None:
    hold_models([name])


@pytest.mark.parametrize("name", ["garch", "gjr", "local_level", "hmm_log", "kalman_of_matrices"])
def test_a_gradient_is_one_call(name: str) -> None:
    (tape,), _ = tapes_of(name, with_hessian=False)
    program = CProgram(tape)
    assert not left_to_numpy(program)
    assert len(program.printed.early) == 1


def test_rows_of_tables_that_are_not_small() -> None:
    """Five states: a row is a table of 25 numbers, and the moves between states are read whole."""
    rng = np.random.default_rng(9)
    y, means = rng.normal(size=N), np.linspace(-1.0, 1.0, 5)

    def loglik(scale: Any, moves: Any) -> Any:
        def step(alpha: Any, seen: Any) -> Any:
            alpha = tg.special.logsumexp(alpha[:, None] + moves, axis=0) - 0.5 * (seen - scale * means) ** 2
            return alpha, None

        return tg.special.logsumexp(tg.scan(step, np.zeros(5), y)[0])

    traced = tg.trace(loglik, dict(scale=1.0, moves=rng.normal(size=(5, 5))))
    program = CProgram(tidy(traced.grad_tape, FINISHING))
    assert not left_to_numpy(program)
    assert_agrees(program, rng.normal(size=26))


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
    hold_random(range(10))


@pytest.mark.slow
def test_many_random_steps() -> None:
    hold_random(range(10, 120))


def traced_with(f: Callable[..., Any], *start: Any) -> Any:
    return trace_quietly(lambda parts: f(*parts), list(start), backend="replay")


def program_of(f: Callable[..., Any], *start: Any) -> tuple[CProgram, np.ndarray]:
    traced = traced_with(f, *start)
    return CProgram(traced.tape, shortest=8), traced.ravel(list(start))


def hold(f: Callable[..., Any], *start: Any, numpy: bool = False) -> None:
    """Hold a function against the reference, and say whether NumPy has a part in it."""
    program, point = program_of(f, *start)
    assert bool(left_to_numpy(program)) is numpy
    assert_agrees(program, point)


def test_what_decides_keeps_the_bits_of_numpy() -> None:
    def step(x: Any, flag: Any, y: Any) -> Any:
        return np.where(x > 0.45, 0.3 * x, x * y + np.sqrt(np.abs(x))), 1.0 * (x >= y)

    def f(x: Any, y: Any) -> Any:
        body = body_of(step, [0.3, 0.0], [], [0.3])
        return scan_(np.array([1.0, 0.0]) * x, y, body=body, count=40)

    hold(f, 0.4, np.linspace(0.1, 0.9, 40))
    assert "tg_where" in program_of(f, 0.4, np.linspace(0.1, 0.9, 40))[0].source


def test_a_decision_on_an_exponential_is_left_to_numpy() -> None:
    def step(x: Any, y: Any) -> Any:
        return (np.where(np.exp(x) > 1.5, 0.3 * x, x + y),)

    def f(x: Any, y: Any) -> Any:
        return scan_(np.array([1.0]) * x, y, body=body_of(step, [0.3], [], [0.3]), count=40)

    hold(f, 0.4, np.linspace(0.1, 0.9, 40), numpy=True)


def test_a_step_without_a_form_in_c_is_left_to_numpy() -> None:
    def step(x: Any, y: Any) -> Any:
        return (np.sort(x)[::-1] * 0.9 + y,)

    def f(x: Any, y: Any) -> Any:
        return scan_(x, y, body=body_of(step, [np.zeros(3)], [], [0.3]), count=20)

    hold(f, np.array([0.4, -0.2, 1.0]), np.linspace(0.1, 0.9, 20), numpy=True)


def test_constants_of_a_step_that_are_no_simple_numbers() -> None:
    table = np.array([[0.25, -0.0, 1e-300], [np.inf, 0.7, 17.0]])

    def step(x: Any, y: Any) -> Any:
        picked = table[:, np.array([2, 0])]
        return (0.123456789 * x + picked[1, 1] * y + 1.0 / table[0, 1], np.minimum(x, table[1, 0]) * -0.3)

    def f(x: Any, y: Any) -> Any:
        start = np.array([1.0, 0.5]) * x
        return scan_(start, y, body=body_of(lambda a, b, c: step(a + b, c), [0.3, 0.2], [], [0.3]), count=9)

    with np.errstate(divide="ignore"):
        hold(f, 0.4, np.linspace(0.1, 0.9, 9))


# Small matrices ---------------------------------------------------------------------------------------------


def near(n: int, seed: int) -> np.ndarray:
    """A matrix near the identity, whose first pivot is in its last row."""
    found = np.eye(n) + 0.3 * np.random.default_rng(seed).normal(size=(n, n))
    found[-1, 0] = 3.0
    return found


@pytest.mark.parametrize(
    "n", [1, 3, pytest.param(2, marks=pytest.mark.slow), pytest.param(4, marks=pytest.mark.slow)]
)
def test_equations_in_a_step(n: int) -> None:
    def step(x: Any, a: Any, y: Any) -> Any:
        b = a + y * np.eye(n)
        spread = np.linalg.cholesky(b @ b.T)
        sign, size = np.linalg.slogdet(b)
        solved = np.linalg.solve(b, 0.3 * x + y)
        return (solved + np.linalg.inv(b) @ x + spread[:, 0] * np.linalg.det(b) * 0.1 + sign * size,)

    def f(x: Any, a: Any, y: Any) -> Any:
        return scan_(x, a, y, body=body_of(step, [np.ones(n)], [near(n, 1)], [0.3]), count=9)

    hold(f, np.ones(n), near(n, n), np.linspace(0.1, 0.9, 9))
    traced = traced_with(
        lambda *parts: (f(*parts) ** 2).sum(), np.ones(n), near(n, n), np.linspace(0.1, 1, 9)
    )
    program = CProgram(traced.grad_tape, shortest=8)
    assert not left_to_numpy(program)
    assert_agrees(program, traced.ravel([np.ones(n), near(n, n), np.linspace(0.1, 1, 9)]))


def test_singular_matrices_in_a_step_give_nan() -> None:
    def step(x: Any, y: Any) -> Any:
        a = y * np.array([[1.0, 2.0], [2.0, 4.0]]) + np.where(y < 0.5, 1.0, 0.0) * np.eye(2)
        return (np.linalg.solve(a, np.ones(2)), np.linalg.inv(a) @ np.ones(2), np.linalg.cholesky(a)[0])

    def f(x: Any, y: Any) -> Any:
        body = body_of(lambda p, q, r, y: step(p, y), [np.ones(2)] * 3, [], [0.25])
        return scan_(np.ones(6) * x, y, body=body, count=3)

    traced = traced_with(f, 1.0, np.array([0.2, 0.25, 0.3]))
    assert_agrees(CProgram(traced.tape), np.array([1.0, 0.2, 1.0, 0.25]))


# Linear recurrences -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [None, np.inf, np.nan])
def test_recurrences_of_every_kind(bad: float | None) -> None:
    """Every width, constant or not, forward and backward, on arrays and on parts of larger ones."""
    rng = np.random.default_rng(8)
    cases = []
    for width in (0, 1, 2, 4, 6, 9):
        inner = (width,) if width else ()
        for varies in (False, True):
            for reverse in (False, True):
                a = 0.5 * rng.normal(size=(12 * varies or 1, *inner, *inner))
                b, start = rng.normal(size=(24, *inner)), rng.normal(size=inner)

                def f(a: Any, b: Any, start: Any, varies: Any = varies, reverse: Any = reverse) -> Any:
                    by = np.swapaxes(a, -1, -2) if np.ndim(start) else a  # not in order in memory
                    return recurrence_(by if varies else by[0], b[::2], start, reverse=reverse)

                traced = traced_with(f, a, b, start)
                if bad is not None:  # which zeros do not keep out
                    b[10], a[-1] = bad, np.where(a[-1] > 0.0, 0.0, a[-1])
                point = [np.ravel(part) for part in (a, b, start)]
                cases.append((traced.tape, np.concatenate(point)))
    for program, (_, point) in zip(programs_of([tape for tape, _ in cases], 4), cases, strict=True):
        assert not left_to_numpy(program)
        assert_agrees(program, point)


# Joins ------------------------------------------------------------------------------------------------------


def random_joins(seed: int) -> Tape:
    """Slices, joins, scatters and arithmetic on arrays of several lengths, and the gradient of all that."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(20, 60))
    plan = rng.integers(1_000, size=(rng.integers(3, 12), 5))

    def f(x: Any, v: Any) -> Any:
        found = [x * v, x]
        for kind, i, j, k, shift in plan.tolist():
            one, other = found[i % len(found)], found[j % len(found)]
            step = 1 + shift % 3
            if kind % 5 == 0 and len(one) > step + 17:
                found.append(np.concatenate([np.sin(x[k % 3 : k % 3 + step]), one[:-step]]))
            elif kind % 5 == 1 and len(one) > step + 17:
                found.append(np.concatenate([one[step:], [0.0, 1.0][: step % 3], one[:step] * v]))
            elif kind % 5 == 2:
                found.append(recurrence_(0.3 * v, one, v, reverse=bool(k % 2)))
            elif kind % 5 == 3 and len(one) > step + 17:
                found.append(one[step:] if k % 2 else one[:-step])
            else:
                m = min(len(one), len(other))
                found.append(np.tanh(one[:m] * other[-m:]) if k % 2 else one[-m:] + 0.5 * other[:m])
        return sum((0.3 + 0.1 * p) * np.sum(part * part[::-1]) for p, part in enumerate(found))

    traced = traced_with(f, rng.normal(size=n), 0.7)
    return tidy(traced.grad_tape, FINISHING)


def hold_joins(seeds: range) -> None:
    tapes = [random_joins(seed) for seed in seeds]
    for seed, program in zip(seeds, programs_of(tapes, 16, at_once=8), strict=True):
        inputs = sum(size_of(program.tape.avals[slot].shape) for slot in program.tape.parameters)
        for shift in range(2):  # what a run leaves in memory is no part of the next one
            assert_agrees(program, np.random.default_rng(seed + shift).normal(size=inputs), f"seed {seed}")


def test_random_joins() -> None:
    hold_joins(range(6))


@pytest.mark.slow
def test_many_random_joins() -> None:
    hold_joins(range(6, 72))


def test_what_joins_hand_on_is_not_copied() -> None:
    """In a GARCH gradient only single numbers are copied."""
    (tape,), _ = tapes_of("garch", with_hessian=False)
    source = CProgram(tape).source
    moves = source[source.index("static void move") :]
    copied = [line for line in moves.splitlines() if "memcpy(out" in line]
    assert copied
    assert all("1 * sizeof(double)" in line for line in copied)
