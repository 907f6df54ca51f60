"""The local rules: what each makes of the entries, and that it keeps the value, at special values as well."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.backends.replay import evaluate
from tapegrad.derive.pullback import reverse
from tapegrad.passes import dce, simplify

X = np.array([1.0, 2.0, 4.0])
TABLE = np.array([[1.0, -2.0, 0.5], [0.25, 3.0, -1.0], [2.0, 0.0, 1.0]])
DATA = np.array([0.5, 0.0, -1.75])
EPS = np.finfo(float).eps

pytestmark = pytest.mark.filterwarnings("ignore::tapegrad.UnusedParameterWarning")

ORDINARY = (0.0, -0.0, 1.0, -1.0, 2.5, -0.3, 700.0)
INFINITE = (np.inf, -np.inf, np.nan)
# The smallest and the largest numbers, and such whose squares or products leave the range.
EXTREME = (5e-324, -3e-310, 2e-308, 1e-160, -1e160, 1e308, -1.7e308)


def ops(tape):
    return [entry.op.name for entry in tape.entries]


def value(tape, theta):
    values = evaluate(tape, np.ravel(theta), {})
    return [values[slot] for slot in tape.outputs]


def before_and_after(f):
    """The tape of a function of a vector and a scalar as recorded, and simplified."""
    tape = tg.trace(f, dict(v=X, s=2.0)).tape
    tidied = dce(simplify(tape))
    tg.verify(tidied)
    return tape, tidied


def points(pool):
    """Every number in every place, and mixtures."""
    mixed = np.random.default_rng(0).choice(pool, (200, 4))
    return [*mixed, *(np.array([x, x, x, s]) for x, s in itertools.product(pool, pool))]


def assert_same(before, after, thetas, ulps, sizes=None):
    """To `ulps` units in the last place of the values before, or of `sizes`; the smallest number is none."""
    for theta in thetas:
        (found,), (expected,) = value(after, theta), value(before, theta)
        size = np.abs(expected) if sizes is None else sizes(np.array(theta[:3]), theta[3])
        with np.errstate(invalid="ignore"):
            close = (np.abs(found - expected) <= ulps * EPS * size + 5e-324) & np.isfinite(size)
        close |= (found == expected) | (np.isnan(found) & np.isnan(expected))
        assert np.all(close), f"{theta}: {found} instead of {expected}"


# name: (function of a vector and a scalar, entries before, entries after, rounding in units of 2**-52)
EXACT = {
    "neutral elements": (lambda v, s: (0.0 + v + 0.0) * 1.0 - 0.0, "add add mul sub", ""),
    "neutral factors": (lambda v, s: 1.0 * v / 1.0, "mul div", ""),
    "arrays of a neutral element": (lambda v, s: v * np.ones(3) + np.zeros(3), "mul add", ""),
    "0 - x": (lambda v, s: 0.0 - v, "sub", "neg"),
    "double negation": (lambda v, s: np.negative(-v), "neg neg", ""),
    "-1 * -x": (lambda v, s: -1.0 * -v, "neg mul", ""),
    "x - (-y)": (lambda v, s: np.sin(v) - (-v), "sin neg sub", "sin add"),
    "x + (-y)": (lambda v, s: np.sin(v) + (-v), "sin neg add", "sin sub"),
    "(-x) + y": (lambda v, s: -v + np.sin(v), "neg sin add", "sin sub"),
    "signs that cancel": (lambda v, s: (-v) * (-np.sin(v)), "neg sin neg mul", "sin mul"),
    "the sign of a quotient": (lambda v, s: -((-v) / np.sin(v)), "neg sin div neg", "sin div"),
    "the sign of a reciprocal": (lambda v, s: -np.reciprocal(-v), "neg reciprocal neg", "reciprocal"),
    "the sign of a sum": (lambda v, s: -(-v).sum(), "neg sum neg", "sum"),
    "the sign of a product": (lambda v, s: -(TABLE @ -v), "neg matmul neg", "matmul"),
    "a sign that would grow": (lambda v, s: (-s) * v, "neg mul", "neg mul"),
    "even functions": (lambda v, s: np.abs(-v) + np.square(-v), "neg abs neg square add", "abs square add"),
    "x * x": (lambda v, s: v * np.multiply(v, 1.0), "mul mul", "square"),
    "x + x": (lambda v, s: v + np.add(v, 0.0), "add add", "mul"),
    "the square of |x|": (lambda v, s: np.square(np.abs(v)), "abs square", "square"),
    "x**1": (lambda v, s: np.power(v, 1.0), "power", ""),
    "x**0": (lambda v, s: np.power(v, 0.0) * v, "power mul", ""),
    "1 / x": (lambda v, s: 1.0 / v, "div", "reciprocal"),
    "-1 / x": (lambda v, s: -1.0 / v, "div", "reciprocal neg"),
    "zeros of both signs": (lambda v, s: s / np.array([0.0, -0.0, 0.0]), "div", "div"),
    "x / 2": (lambda v, s: v / 2.0, "div", "mul"),
    "x / -0.125": (lambda v, s: v / -0.125, "div", "mul"),
    "a constant choice": (lambda v, s: np.where(True, v, np.sin(v)), "sin where", ""),
    "the same choice everywhere": (lambda v, s: np.where(X > 9.0, s, v), "where", ""),
    "a scalar chosen everywhere": (lambda v, s: np.where(X > 0.0, s, v), "where", "broadcast_to"),
    "a choice of x or x": (lambda v, s: np.where(v > 1.0, v, v), "greater where", ""),
    "the maximum of x and x": (lambda v, s: np.maximum(v, np.minimum(v, v)), "minimum maximum", ""),
    "a small operand": (lambda v, s: np.sin(np.full(3, 2.0) * s) * v, "mul sin mul", "mul sin mul"),
    "a stretched operand": (
        lambda v, s: np.where(v > 0.0, np.broadcast_to(s, (3,)), np.zeros(3)),
        "greater broadcast_to where",
        "greater where",
    ),
}


@pytest.mark.parametrize("name", EXACT)
def test_an_exact_rule(name):
    f, before, after = EXACT[name]
    tape, tidied = before_and_after(f)
    assert (ops(tape), ops(tidied)) == (before.split(), after.split())
    assert_same(tape, tidied, points((*ORDINARY, *INFINITE, *EXTREME)), ulps=0)


# Within rounding: as before, and by how much.
ROUNDED = {
    "x**2": (lambda v, s: np.power(v, 2.0), "power", "square", 2),
    "x**-1": (lambda v, s: np.power(v, -1.0), "power", "reciprocal", 2),
}
# Within rounding as long as nothing in between over- or underflows.
REORDERED = {
    "constants": (lambda v, s: 2.0 * (v * 3.0) * 0.7, "mul mul mul", "mul", 3),
    "scalars": (lambda v, s: (s * v) * np.sin(v), "mul sin mul", "sin mul mul", 3),
    "x * (x * y)": (lambda v, s: v**2 + v * (v * DATA), "square mul mul add", "square mul add", 5),
    "1 / (1 / x)": (lambda v, s: 1.0 / (1.0 / v), "div div", "", 2),
    "x / (1 / y)": (lambda v, s: np.sin(v) / (1.0 / v), "sin div div", "sin mul", 3),
}


@pytest.mark.parametrize("name", [*ROUNDED, *REORDERED])
def test_a_rule_within_rounding(name):
    f, before, after, ulps = {**ROUNDED, **REORDERED}[name]
    tape, tidied = before_and_after(f)
    assert (ops(tape), ops(tidied)) == (before.split(), after.split())
    pool = (*ORDINARY, *INFINITE, *(EXTREME if name in ROUNDED else ()))
    assert_same(tape, tidied, points(pool), ulps)


# Sums, to rounding of their terms: (function, entries before and after, the sum of the terms' magnitudes).
SUMS = {
    "s * x": (lambda v, s: (s * v).sum(), "mul sum", "sum mul", lambda v, s: np.abs(s * v).sum()),
    "x / s": (lambda v, s: (v / s).sum(), "div sum", "sum div", lambda v, s: np.abs(v / s).sum()),
    "(z**2 / s) * y": (
        lambda v, s: (v**2 / s * np.sin(v)).sum(),
        "square div sin mul sum",
        "square sin mul sum div",
        lambda v, s: np.abs(v**2 / s * np.sin(v)).sum(),
    ),
    "(x / s) * y": (
        lambda v, s: (v / s * np.sin(v)).sum(),
        "div sin mul sum",
        "div sin mul sum",
        lambda v, s: np.abs(v / s * np.sin(v)).sum(),
    ),
    "a stretched scalar": (
        lambda v, s: np.broadcast_to(s, (3,)).sum(),
        "broadcast_to sum",
        "mul",
        lambda v, s: 3.0 * np.abs(s),
    ),
    "data times a scalar": (
        lambda v, s: (np.broadcast_to(s, (3,)) * DATA).sum(),
        "broadcast_to mul sum",
        "mul",
        lambda v, s: np.abs(s * DATA).sum(),
    ),
    "(s * x) @ y": (lambda v, s: s * v @ np.sin(v), "mul sin matmul", "sin matmul mul", None),
    "data times data": (lambda v, s: s * X @ X + (s * X) @ X, "mul matmul mul matmul add", "mul", None),
}


@pytest.mark.parametrize("name", SUMS)
def test_a_scalar_leaves_a_sum(name):
    f, before, after, sizes = SUMS[name]
    tape, tidied = before_and_after(f)
    assert (ops(tape), ops(tidied)) == (before.split(), after.split())
    finite = [x for x in ORDINARY if x]
    thetas = [theta for theta in points((*ORDINARY, *INFINITE)) if theta[3] in finite]
    assert len(thetas) > 100
    if sizes is None:

        def sizes(v, s):
            return np.abs(s * v * np.sin(v)).sum() + np.abs(s * X * X).sum()

    with np.errstate(invalid="ignore"):
        assert_same(tape, tidied, thetas, 4, sizes)


# Rules with limits of their own -----------------------------------------------------------------------------


def test_constants_are_not_gathered_out_of_range():
    for c, d, x in ((1e200, 1e200, 1e-300), (1e-200, 1e-200, 1e300)):
        tape, tidied = before_and_after(lambda v, s, c=c, d=d: c * (d * v))
        assert ops(tidied) == ["mul", "mul"]
        assert_same(tape, tidied, [np.full(4, x)], ulps=0)
    tape, tidied = before_and_after(lambda v, s: 0.0 * (np.inf * v))
    assert_same(tape, tidied, points((*ORDINARY, *INFINITE)), ulps=0)


def test_a_square_root_for_half_a_power():
    tape, tidied = before_and_after(lambda v, s: np.power(v, 0.5))
    assert ops(tidied) == ["sqrt"]
    pool = [x for x in (*ORDINARY, *INFINITE, *EXTREME) if x != -np.inf]
    assert_same(tape, tidied, points(pool), ulps=2)
    # There NumPy's power disagrees with NumPy's own x**0.5.
    (found,) = value(tidied, [-np.inf, 1.0, 1.0, 1.0])
    with np.errstate(invalid="ignore"):
        np.testing.assert_array_equal(found, np.array([-np.inf, 1.0, 1.0]) ** 0.5)


def test_the_logarithm_of_an_exponential():
    tape, tidied = before_and_after(lambda v, s: np.log(np.exp(v)))
    assert ops(tidied) == []
    for theta in points((*ORDINARY, *INFINITE)):
        (found,), (expected,) = value(tidied, theta), value(tape, theta)
        np.testing.assert_allclose(found, expected, rtol=1e-15, atol=EPS)
    # Where the exponential leaves the range, the logarithm is still right.
    np.testing.assert_array_equal(value(tidied, [800.0, -800.0, 1.0, 1.0])[0], [800.0, -800.0, 1.0])


def test_an_exponential_below_the_line():
    tape, tidied = before_and_after(lambda v, s: X / np.exp(v))
    assert (ops(tape), ops(tidied)) == (["exp", "div"], ["neg", "exp", "mul"])
    assert_same(tape, tidied, points((*ORDINARY, *INFINITE, -700.0)), ulps=4)
    # One that is read elsewhere too is not computed twice.
    _, tidied = before_and_after(lambda v, s: X / np.exp(v) + np.exp(v))
    assert ops(tidied) == ["exp", "div", "add"]
    _, tidied = before_and_after(lambda v, s: v / np.exp(s))
    assert ops(tidied) == ["exp", "div"]


def test_its_slope_is_at_hand():
    gradient = tg.trace(lambda eta: np.tanh(X / np.exp(eta)).sum(), X).grad_tape
    assert ops(gradient).count("exp") == 1
    assert not {"div", "reciprocal"} & set(ops(gradient))


def test_linear_ops_let_signs_out():
    groups = np.array([0, 1, 1])
    gradient = tg.trace(lambda u: -np.exp(u[groups]).sum(), np.zeros(2)).grad_tape
    assert ops(gradient) == ["getitem", "exp", "sum", "neg", "scatter", "neg"]
    assert gradient.avals[gradient.entries[-1].inputs[0]].shape == (2,)


def test_a_product_that_is_larger_keeps_its_scalar():
    _, tidied = before_and_after(lambda v, s: np.reshape(s * v, (3, 1)) @ np.reshape(np.sin(v), (1, 3)))
    assert ops(tidied) == ["mul", "reshape", "sin", "reshape", "matmul"]


# Gates ------------------------------------------------------------------------------------------------------

MASK = np.array([True, False, True])
GATED = {
    "closed and open": (lambda v: np.where(MASK, np.log(v), 0.5 * v), ["gated_div", "add"]),
    "a finite factor": (lambda v: np.where(MASK, DATA * v, -v), []),
    "maximum": (lambda v: np.where(v > 1.5, 2.0 * v, 0.0), ["mul"]),
}


@pytest.mark.parametrize("name", GATED)
def test_gates_that_are_known_open_or_close(name):
    f, expected = GATED[name]
    tape = tg.trace(lambda v: f(v).sum(), X)
    untidied = reverse(tape.tape)
    gradient = tape.grad_tape
    derivative = ops(gradient)[ops(gradient).index("sum") + 1 :]
    assert [op for op in derivative if op in ("gated_div", "gated_mul", "mul", "add")] == expected
    for theta in points((*ORDINARY, *INFINITE)):
        for slot, other in zip(gradient.outputs, untidied.outputs, strict=True):
            found = evaluate(gradient, theta[:3], {})[slot]
            np.testing.assert_allclose(found, evaluate(untidied, theta[:3], {})[other], rtol=1e-14)


# What decides -----------------------------------------------------------------------------------------------

DECIDING = {
    "a reciprocal": lambda x: np.power(x, -1.0),
    "a square": lambda x: np.power(x, 2.0),
    "a root": lambda x: np.power(x, 0.5),
    "a quotient": lambda x: x / 3.0,
    "an exponential below": lambda x: 3.0 / np.exp(x),
    "a square again": lambda x: np.square(x) - x * (x * 0.3),
    "scalars": lambda x: 0.3 * (0.7 * x) * x,
    "a logarithm": lambda x: np.log(np.exp(x)),
    "a cube": lambda x: np.power(x, 3.0),
    "logaddexp": lambda x: np.logaddexp(x, 0.3),
}


@pytest.mark.parametrize("name", DECIDING)
def test_what_decides_keeps_its_bits(name):
    g = DECIDING[name]
    x = np.random.default_rng(1).uniform(0.1, 3.0, 400)
    # At these thresholds any other last bit falls on the other side.
    threshold = g(x)

    def f(v):
        found = g(v)
        return np.where(found > threshold, 1.0, 0.0) + np.where(found < threshold, 1.0, 0.0) + 0.0 * v

    assert not f(x).any()
    assert not tg.trace(f, x + 0.1)(x).any()
