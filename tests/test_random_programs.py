"""Random programs: whatever the engine records, a replay equals a plain call, at any parameters."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import special

import tapegrad as tg
from tapegrad.backends.replay import adjoints, evaluate
from tapegrad.derive.pullback import sweep
from tapegrad.tape.slots import active_slots
from tests.conftest import TINY

X = np.array([0.3, -1.2, 0.8])
TABLE = np.array([[0.5, -0.4, 1.1], [0.9, 0.2, -0.7]])

# Bounded functions, so that rounding is not blown up on the way.
UNARY = (
    np.sin,
    np.tanh,
    np.arctan,
    np.abs,
    np.negative,
    special.expit,
    special.ndtr,
    lambda x: np.sqrt(np.abs(x) + 0.1),
    lambda x: np.log1p(np.abs(x)),
    lambda x: np.exp(-np.abs(x)),
    lambda x: np.tanh(x) ** 2,
    lambda x: np.where(x > 0.0, np.log(x), 0.25),
    lambda x: np.clip(x, -0.5, 0.5),
)
BINARY = (
    operator.add,
    operator.sub,
    lambda x, y: np.tanh(x) * np.tanh(y),
    lambda x, y: x / (1.5 + np.abs(y)),
    np.maximum,
    np.minimum,
    np.logaddexp,
    np.hypot,
    lambda x, y: np.where(x > y, x, y / 2.0),
)
# Vector to scalar, scalar to vector, vector to vector.
REDUCE = (np.sum, np.mean, np.max, np.min, lambda v: v[1], lambda v: v @ X, np.linalg.norm)
SPREAD = (lambda s: s * X, lambda s: np.stack([s, 2.0 * s, s - 1.0]), lambda s: np.broadcast_to(s, (3,)))
MIX = (
    np.cumsum,
    lambda v: v[::-1],
    lambda v: (TABLE @ v)[np.array([0, 1, 1])],
    lambda v: v[np.array([2, 0, 0])],
)


def written(v: Any, s: Any) -> Any:
    """Item assignment into an array made like a traced one."""
    out = np.zeros_like(v)
    out[0] = s
    out[1:] = v[:2]
    out[2] += 1.0
    return out


def branched(s: Any, threshold: float) -> Any:
    if s > threshold:
        return s * 0.5
    if s < threshold - 1.0 or s * 2.0 > 3.0 * threshold:
        return np.tanh(s) + 1.0
    return s - threshold


def looped(s: Any, threshold: float) -> Any:
    steps = 0
    while s < threshold and steps < 6:
        s = s + 0.4
        steps += 1
    return s * 0.1 + steps


def run(program: list[tuple[str, int, int, float]], a: Any, b: Any, v: Any) -> Any:
    """Interpret a program: each instruction appends a scalar or a vector made of earlier ones."""
    scalars, vectors = [a, b], [v]
    for kind, i, j, c in program:
        s, t, w = scalars[i % len(scalars)], scalars[j % len(scalars)], vectors[i % len(vectors)]
        u = vectors[j % len(vectors)]
        if kind == "unary":
            scalars.append(UNARY[j % len(UNARY)](s))
        elif kind == "unary of vector":
            vectors.append(UNARY[j % len(UNARY)](w))
        elif kind == "binary":
            scalars.append(BINARY[int(abs(c) * 7) % len(BINARY)](s, t))
        elif kind == "binary of vectors":
            vectors.append(BINARY[int(abs(c) * 7) % len(BINARY)](w, u))
        elif kind == "mixed":
            vectors.append(BINARY[int(abs(c) * 7) % len(BINARY)](w, t))
        elif kind == "reduce":
            scalars.append(REDUCE[j % len(REDUCE)](w))
        elif kind == "spread":
            vectors.append(SPREAD[j % len(SPREAD)](s))
        elif kind == "mix":
            vectors.append(MIX[j % len(MIX)](w))
        elif kind == "write":
            vectors.append(written(w, s))
        elif kind == "constant":
            scalars.append(s + c)
        elif kind == "branch":
            scalars.append(branched(s, c))
        elif kind == "loop":
            scalars.append(looped(s, c))
    return scalars[-1] + vectors[-1].sum() + 0.1 * (a + b + v.sum())


KINDS = (
    "unary",
    "unary of vector",
    "binary",
    "binary of vectors",
    "mixed",
    "reduce",
    "spread",
    "mix",
    "write",
    "constant",
    "branch",
    "loop",
)
# On a grid: ties are frequent, and no derivative overflows.
NUMBERS = st.integers(-2000, 2000).map(lambda k: k / 1000.0)
INSTRUCTION = st.tuples(st.sampled_from(KINDS), st.integers(0, 12), st.integers(0, 12), NUMBERS)
PROGRAM = st.lists(INSTRUCTION, min_size=1, max_size=12)
THETA = st.lists(NUMBERS, min_size=5, max_size=5).map(np.array)


def plain(program: Any, theta: np.ndarray) -> float:
    with np.errstate(all="ignore"):
        return float(run(program, theta[0], theta[1], theta[2:].copy()))


def traced(program: Any, theta: np.ndarray, backend: str = "numpy") -> tg.TracedFunction:
    def f(a: Any, b: Any, v: Any) -> Any:
        return run(program, a, b, v)

    return tg.trace(f, dict(a=float(theta[0]), b=float(theta[1]), v=theta[2:]), backend=backend)


quiet = [
    pytest.mark.filterwarnings("ignore::tapegrad.BranchWarning"),
    pytest.mark.filterwarnings("ignore::tapegrad.NonFiniteWarning"),
    pytest.mark.filterwarnings("ignore::tapegrad.RetraceWarning"),
]
pytestmark = quiet
SETTINGS = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@SETTINGS
@given(PROGRAM, st.lists(THETA, min_size=2, max_size=6))
def test_a_replay_equals_a_plain_call_at_any_theta(program, thetas):
    tape = traced(program, thetas[0])
    for theta in (*thetas, *reversed(thetas)):
        np.testing.assert_allclose(tape(theta), plain(program, theta), rtol=1e-11, atol=1e-12)


@SETTINGS
@given(PROGRAM, st.lists(THETA, min_size=2, max_size=4))
def test_the_recorded_gradient_equals_the_numeric_sweep(program, thetas):
    tape = traced(program, thetas[0])
    for theta in thetas:
        value, gradient = tape.value_and_grad_flat(theta)
        tg.verify(tape.tape)
        tg.verify(tape.grad_tape)
        np.testing.assert_allclose(value, plain(program, theta), rtol=1e-11, atol=1e-12)
        swept = adjoints(tape.tape, evaluate(tape.tape, theta, {}))
        expected = _leaves(tape.tape, swept)
        np.testing.assert_allclose(gradient, expected, rtol=1e-9, atol=1e-10)


@SETTINGS
@given(PROGRAM, st.lists(THETA, min_size=2, max_size=4), st.sampled_from(["numpy", TINY]))
def test_every_backend_agrees_with_the_reference(program, thetas, backend):
    reference, tape = traced(program, thetas[0], "replay"), traced(program, thetas[0], backend)
    for theta in thetas:
        value, gradient = tape.value_and_grad_flat(theta)
        expected_value, expected_gradient = reference.value_and_grad_flat(theta)
        np.testing.assert_allclose(value, expected_value, rtol=1e-11, atol=1e-12)
        np.testing.assert_allclose(gradient, expected_gradient, rtol=1e-9, atol=1e-10)
        np.testing.assert_allclose(tape.hessian(theta), reference.hessian(theta), rtol=1e-7, atol=1e-7)


@SETTINGS
@given(PROGRAM, THETA, THETA)
def test_the_gradient_is_the_slope(program, theta, direction):
    """Against Richardson-extrapolated central differences, wherever they settle on a value themselves."""
    tape = traced(program, theta)
    _, gradient = tape.value_and_grad_flat(theta)

    def slope(h: float) -> float:
        return (plain(program, theta + h * direction) - plain(program, theta - h * direction)) / (2.0 * h)

    coarse, fine, finer = slope(4e-4), slope(2e-4), slope(1e-4)
    first, second = (4.0 * fine - coarse) / 3.0, (4.0 * finer - fine) / 3.0
    here, h = plain(program, theta), 1e-4
    ahead, behind = plain(program, theta + h * direction) - here, here - plain(program, theta - h * direction)
    # At a tie the slope jumps by a share of one component of the direction, be it the smallest.
    bent = abs(ahead - behind) / h > 1e-2 * np.abs(direction[direction != 0.0]).min(initial=np.inf)
    if not np.isfinite(second) or abs(first - second) > 1e-7 or abs(fine - finer) > 1e-5 or bent:
        return  # a kink or a jump within the steps
    np.testing.assert_allclose(gradient @ direction, second, rtol=1e-6, atol=1e-6)


@SETTINGS
@given(PROGRAM, THETA)
def test_the_hessian_equals_numeric_sweeps_of_the_gradient_tape(program, theta):
    tape = traced(program, theta)
    hessian = tape.hessian(theta)
    gradient = tape.grad_tape
    # NumPy's scalars, because Python's floats raise where a rule divides by zero.
    values = [np.float64(x) if type(x) is float else x for x in evaluate(gradient, theta, {})]
    active = active_slots(gradient, gradient.parameters)
    rows = []
    for i in range(theta.size):
        seeds = _seeds(gradient, np.eye(theta.size)[i], active)
        with np.errstate(all="ignore"):
            swept = sweep(gradient, values.__getitem__, seeds, active)
        rows.append(_leaves(gradient, swept))
    expected = np.array(rows)
    np.testing.assert_allclose(hessian, 0.5 * (expected + expected.T), rtol=1e-8, atol=1e-9)


def _seeds(gradient: tg.Tape, direction: np.ndarray, active: bytearray) -> dict[int, Any]:
    """Cotangents of the gradient's outputs that pick out one of its elements."""
    seeds: dict[int, Any] = {}
    start = 0
    for slot in gradient.outputs[1:]:
        shape = gradient.avals[slot].shape
        part = direction[start : start + int(np.prod(shape))].reshape(shape)
        start += part.size
        if active[slot]:
            seeds[slot] = seeds.get(slot, 0.0) + part
    return seeds


def _leaves(tape: tg.Tape, swept: dict[int, Any]) -> np.ndarray:
    parts = [np.broadcast_to(swept.get(slot, 0.0), tape.avals[slot].shape) for slot in tape.parameters]
    return np.concatenate([np.ravel(part) for part in parts])
