"""The tape machine against replay: bits where C and NumPy have the same, all ops, small arrays, programs."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tapegrad as tg
from tapegrad.backends.c import printer, program
from tapegrad.backends.c.compiler import compiler
from tapegrad.backends.c.machine import cases
from tapegrad.backends.c.program import CProgram
from tapegrad.backends.interpreter import Workspace
from tapegrad.backends.replay import evaluate
from tapegrad.ops import OPS
from tapegrad.ops.registry import BOOL, Op, arity_of
from tapegrad.passes import tidy
from tapegrad.tape.tape import Tape
from tests import loop_programs
from tests.test_random_programs import PROGRAM, THETA, traced

pytestmark = pytest.mark.skipif(compiler() is None, reason="no C compiler")

SPECIAL = [0.0, -0.0, 1.0, -1.5, math.inf, -math.inf, math.nan, 5e-324, 1e308, -3e-200, 0.1]


@pytest.fixture(autouse=True)
def everything_on_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(printer, "MOST_PRINTED", -1)


def both(tape: Tape, *points: Any) -> Iterator[tuple[Any, Any]]:
    """Each output by the machine and by replay, at all points."""
    made = CProgram(tape)
    assert any(part.code is not None for part in made.printed.early)
    ours, replayed = made.workspace({}), Workspace(tape, {})
    for inputs in points:
        for workspace in (ours, replayed):
            workspace.run(np.asarray(inputs, dtype=float))
        yield from zip(ours.outputs, replayed.outputs, strict=True)


def check(f: Callable[..., Any], at: Any, points: Any, exactly: bool = False) -> None:
    """`f` and its gradient, at all points."""
    traced = tg.trace(f, np.asarray(at, dtype=float))
    for tape in (traced.tape, traced.grad_tape):
        for ours, replayed in both(tape, *points):
            if exactly:
                np.testing.assert_array_equal(ours, replayed)
            else:
                np.testing.assert_allclose(ours, replayed, rtol=1e-13, atol=1e-300)


# Arithmetic -------------------------------------------------------------------------------------------------

# Not the larger of two: which of 0 and -0 that is, NumPy leaves to the processor.
STEPS: dict[str, Callable[[Any, Any], Any]] = {
    "x + y": lambda x, y: x + y,
    "x - y": lambda x, y: x - y,
    "x * y": lambda x, y: x * y,
    "x / y": lambda x, y: x / y,
    "-x": lambda x, y: -x,
    "x * x": lambda x, y: x * x,
    "abs(x)": lambda x, y: np.abs(x),
    "choice": lambda x, y: np.where(x > y, x, 0.5 * y),
    "sqrt": lambda x, y: np.sqrt(np.abs(x)),
}
PLACES = st.integers(0, 5)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(list(STEPS)), st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=40
    ),
    st.lists(st.sampled_from(SPECIAL) | st.floats(-3.0, 3.0), min_size=4, max_size=4),
)
def test_arithmetic_has_the_bits_of_replay(steps: list[tuple[str, int, int]], point: list[float]) -> None:
    def f(a: Any, b: Any, c: Any, d: Any) -> Any:
        values = [a, b, c, d, a - c, 0.3]
        for step, i, j in steps:
            values[(i + 2 * j) % 6] = STEPS[step](values[i], values[j])
        total = a + b + c + d
        for value in values:
            total = total + value
        return total

    traced = tg.trace(f, dict(a=0.6, b=-0.7, c=1.3, d=0.4))
    for tape in (traced.tape, traced.grad_tape):
        for ours, replayed in both(tape, point):
            np.testing.assert_array_equal(ours, replayed)


@pytest.mark.parametrize(("first", "second"), list(itertools.product(list(STEPS)[:6], repeat=2)))
def test_pairs_have_the_bits_of_ieee(first: str, second: str) -> None:
    def f(x: Any) -> Any:
        inner = STEPS[first](x[0], x[1])
        return STEPS[second](inner, x[2]) + STEPS[second](x[2], inner)

    check(f, [0.3, 0.7, 1.1], list(itertools.product(SPECIAL, repeat=3))[::7], exactly=True)


# Every case -------------------------------------------------------------------------------------------------

ELEMENTWISE = [op for op in OPS.values() if op.is_elementwise and op.c and "{rest}" not in op.c]


def points_of(op: Op) -> tuple[Any, ...]:
    """Arguments of one element each."""
    if op.domain:
        return tuple(low + (0.37 + 0.11 * i) * (high - low) for i, (low, high) in enumerate(op.domain))
    arguments, _ = op.samples[0]
    return tuple(np.ravel(x)[0].item() for x in arguments)


@pytest.mark.parametrize("op", ELEMENTWISE, ids=lambda op: op.name)
def test_every_elementwise_op(op: Op) -> None:
    at = points_of(op)
    count = arity_of(op).start
    at = at if len(at) >= count else (at * count)[:count]
    moves = [op.differentiable(i) for i in range(len(at))]

    def f(x: Any) -> Any:
        operands = []
        for i, number in enumerate(at):
            operand = x[i] if moves[i] or not any(moves) else float(number)
            operands.append(operand > 0.0 if op.takes_at(i) == BOOL else operand)
        return op(*operands) * 1.0 + 0.1 * x[0]

    traced = tg.trace(f, np.asarray(at, dtype=float))
    for tape in (traced.tape, traced.grad_tape) if any(moves) else (traced.tape,):
        if not any(entry.op is op for entry in tape.entries) and tape is traced.tape:
            pytest.skip("written in other ops")
        for ours, replayed in both(tape, at):
            np.testing.assert_allclose(ours, replayed, rtol=1e-13, atol=1e-300)


def test_cases_have_opcodes_of_their_own() -> None:
    assert len({case.text for case in cases().values()}) > 100


# Arrays -----------------------------------------------------------------------------------------------------


def test_small_arrays_element_by_element() -> None:
    def f(x: Any) -> Any:
        a, b = x[:4].reshape(2, 2), x[4:6]
        c = np.concatenate([a @ b, b * a[0], np.exp(b)[::-1]])
        d = np.max(c) * np.sum(np.stack([c, c * c]), axis=0) + np.prod(b)
        return tg.special.logsumexp(d) + np.sum(np.where(d > 1.0, d, 0.5 * d)) + np.min(d)

    check(f, np.linspace(0.2, 0.9, 6), [np.linspace(0.1, 1.1, 6), np.linspace(-0.6, 0.8, 6)])


def test_elements_of_large_arrays_are_fetched_and_put_together() -> None:
    def f(x: Any) -> Any:
        y = np.sort(x)
        parts = [y[i] * y[40 - i] + i for i in range(1, 25)]
        return np.sort(np.stack(parts))[3] + y[::-1][2] + y[30]

    check(f, np.linspace(0.2, 0.9, 41) ** 2, [np.cos(np.arange(41.0))])


def test_guards_and_what_decides_them_are_numpys() -> None:
    def f(x: Any) -> Any:
        total = x[0]
        for i in range(30):
            total = np.exp(-total) * x[1] if total > 0.5 else total + np.exp(0.1 * x[2]) * 0.1 * i
        return total

    check(f, [0.3, 0.9, -0.2], [[0.3, 0.9, -0.2]])


# Programs ---------------------------------------------------------------------------------------------------


def chain(n: int) -> Callable[[Any], Any]:
    draws = random.Random(7)
    ways = [
        (draws.randrange(5), draws.randrange(3), draws.randrange(3), draws.randrange(3)) for _ in range(n)
    ]

    def f(x: Any) -> Any:
        values = [x[0], x[1], x[2]]
        for k, i, j, to in ways:
            a, b = values[i], values[j]
            values[to] = [
                a * b + 0.1,
                a - 0.3 * b,
                a / (1.0 + np.abs(a)),
                1.0 / (1.0 + a * a),
                b / (2.0 + a * a),
            ][k]
        return values[0] + values[1] * values[2]

    return f


def test_a_long_tape_compiles_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for special in (False, True):
        program.machine(special)  # once for all

    def refuse(*arguments: Any) -> Any:
        raise AssertionError("a compiler was asked")

    monkeypatch.setattr(program, "library", refuse)
    monkeypatch.setattr(printer, "MOST_PRINTED", 400)
    traced = tg.trace(chain(1_000), np.array([0.3, 0.5, 0.7]), backend="c")
    expected = tg.trace(chain(1_000), np.array([0.3, 0.5, 0.7]), backend="replay")
    at = np.array([0.2, 0.9, 0.4])
    assert traced(at) == expected(at)
    np.testing.assert_array_equal(traced.grad(at), expected.grad(at))


def test_short_tapes_are_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(printer, "MOST_PRINTED", 400)
    tape = tg.trace(chain(20), np.array([0.3, 0.5, 0.7])).tape
    assert all(part.code is None for part in CProgram(tape).printed.early)


def test_directions_run_late() -> None:
    traced = tg.trace(chain(30), np.array([0.3, 0.5, 0.7]), backend="c")
    expected = tg.trace(chain(30), np.array([0.3, 0.5, 0.7]), backend="replay")
    at = np.array([0.2, 0.9, 0.4])
    np.testing.assert_allclose(traced.hessian(at), expected.hessian(at), rtol=1e-11)


def agree_with_the_reference(tape: Tape, point: Any, tolerance: float) -> None:
    """What runs on the machine, as far as nothing is left for a compiler."""
    made = CProgram(tape)
    if any(part.name for part in made.printed.early):
        return
    workspace = made.workspace({})
    workspace.run(np.asarray(point, dtype=float))
    values = evaluate(tape, point, {})
    expected = [np.asarray(values[slot]) for slot in tape.outputs]
    size = max([1.0, *(np.max(np.abs(e[np.isfinite(e)]), initial=0.0) for e in expected)])
    for found, value in zip(workspace.outputs, expected, strict=True):
        np.testing.assert_allclose(found, value, rtol=tolerance, atol=tolerance * size)


QUIET = [f"ignore::tapegrad.{kind}Warning" for kind in ("Branch", "NonFinite", "Retrace", "LongTape")]


@pytest.mark.filterwarnings(*QUIET)
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(PROGRAM, THETA)
def test_random_programs(made: Any, theta: Any) -> None:
    tape = traced(made, theta, "replay")
    for one in (tape.tape, tape.grad_tape, tidy(tape.hessian_tape)):
        agree_with_the_reference(one, theta, 1e-12)


@pytest.mark.filterwarnings(*QUIET)
@pytest.mark.parametrize("seed", range(12))
def test_random_loops(seed: int) -> None:
    made = loop_programs.program(random.Random(seed))
    theta = made.theta(0)
    tape = tg.trace(made.function(), theta, backend="replay", reroll=False)
    point = tape.ravel(made.theta(1))
    for one in (tape.tape, tape.grad_tape):
        agree_with_the_reference(one, point, 1e-10)  # these loops blow up rounding errors by some thousand


def test_threads_at_once_have_the_same_bits() -> None:
    traced = tg.trace(chain(300), np.array([0.3, 0.5, 0.7]), backend="c")
    points = np.random.default_rng(3).uniform(0.1, 0.9, (16, 3))
    expected = [traced.value_and_grad(point) for point in points]
    with ThreadPoolExecutor(8) as pool:
        for found, true in zip(pool.map(traced.value_and_grad, list(points) * 4), expected * 4, strict=True):
            assert found[0] == true[0]
            np.testing.assert_array_equal(found[1], true[1])
