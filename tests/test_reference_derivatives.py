"""Derivatives against references: published problems, other libraries' formulas, and mpmath to 80 digits."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from exactly import DIGITS, MEANING, AtAKink, derivatives, run
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from more_garbow_hillstrom import PROBLEMS, Problem
from mpmath import mp
from scipy import optimize, special
from test_random_programs import PROGRAM, THETA, traced

import tapegrad as tg
from tapegrad.ops import OPS

RTOL = 1e-12


def assert_close(found: Any, expected: Any, scale: Any) -> None:
    """Compare element by element, to a relative 1e-12 of `scale`."""
    expected, scale = np.asarray(expected, dtype=float), np.asarray(scale, dtype=float)
    assert np.shape(found) == expected.shape
    # The reference has no exact zeros, but numbers that are smaller than all others by 30 digits and more.
    off = np.abs(found - expected) - RTOL * scale - 1e-25 * scale.max()
    assert (off <= 0.0).all(), f"off by {off.max():.3g} more than allowed:\n{found}\n{expected}"


# Published problems -----------------------------------------------------------------------------------------


def points(problem: Problem) -> list[np.ndarray]:
    start = np.array(problem.start)
    i = np.arange(start.size)
    return [start, start * (1.0 + 0.2 * np.sin(i + 1.0)) + 0.1 * np.cos(i)]


@pytest.mark.parametrize("problem", [pytest.param(p, id=p.name) for p in PROBLEMS])
def test_more_garbow_hillstrom(problem):
    """Gradient and Hessian of the sum of squares, and the Jacobian of the residuals.

    Each element of the gradient and the Hessian is a sum over the residuals. Where its terms cancel, as they
    all do in an element of the gradient of Gaussian at its start, what is left is no measure: the sum of the
    terms' magnitudes is. Where nothing cancels, this is the element itself.
    """
    sum_of_squares = tg.trace(lambda x: (problem.residuals(x) ** 2).sum(), points(problem)[1])
    residuals = tg.trace(problem.residuals, points(problem)[1])
    for x in points(problem):
        with mp.workdps(DIGITS):
            r, first, second = derivatives(problem.exactly, x)
            slopes = 2 * r[:, None] * first
            squares = 2 * first[:, :, None] * first[:, None, :]
            bends = 2 * r[:, None, None] * second
            value, gradient, hessian = (r**2).sum(), slopes.sum(axis=0), (squares + bends).sum(axis=0)
            sizes = abs(slopes).sum(axis=0), (abs(squares) + abs(bends)).sum(axis=0)
        assert_close(sum_of_squares(x), value, value)
        assert_close(sum_of_squares.grad(x), gradient, sizes[0])
        assert_close(sum_of_squares.hessian(x), hessian, sizes[1])
        assert_close(residuals.jacobian(x), first, abs(first).max(axis=0))


@pytest.mark.parametrize("problem", [pytest.param(p, id=p.name) for p in PROBLEMS])
def test_their_minima_are_the_published_ones(problem):
    """So the problems are the article's, and the Jacobian leads there."""
    residuals = tg.trace(problem.residuals, points(problem)[1])
    found = optimize.least_squares(
        residuals, problem.start, residuals.jacobian, x_scale="jac", method="lm", xtol=1e-15, max_nfev=3000
    )
    # The article cuts its numbers off after six digits.
    assert 2.0 * found.cost == pytest.approx(problem.minimum, rel=1e-5, abs=1e-20)


# Other libraries' formulas ----------------------------------------------------------------------------------


def rosen(x: Any) -> Any:
    return (100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2).sum()


@pytest.mark.parametrize("n", [2, 3, 10, 200])
def test_rosenbrock_in_scipy(n):
    rng = np.random.default_rng(n)
    tape = tg.trace(rosen, rng.normal(size=n))
    for _ in range(3):
        x, v = rng.normal(size=(2, n))
        hessian = optimize.rosen_hess(x)
        assert tape(x) == pytest.approx(optimize.rosen(x), rel=RTOL)
        np.testing.assert_allclose(tape.grad(x), optimize.rosen_der(x), rtol=RTOL, atol=1e-12)
        np.testing.assert_allclose(tape.hessian(x), hessian, rtol=RTOL, atol=1e-12)
        np.testing.assert_allclose(tape.hessian(x, sparse=True).toarray(), hessian, rtol=RTOL, atol=1e-12)
        product = optimize.rosen_hess_prod(x, v)
        np.testing.assert_allclose(tape.hvp(x, v), product, rtol=RTOL, atol=1e-12 * abs(product).max())


RNG = np.random.default_rng(7)
DESIGN = np.column_stack([np.ones(200), RNG.normal(size=(200, 3))])
INDEX = DESIGN @ [0.3, -0.5, 0.4, 0.1]
CHOSEN = (RNG.random(200) < special.expit(INDEX)).astype(float)
COUNTS = RNG.poisson(np.exp(INDEX)).astype(float)


def logit(beta: Any) -> Any:
    eta = DESIGN @ beta
    return (CHOSEN * eta - np.logaddexp(0.0, eta)).sum()


def probit(beta: Any) -> Any:
    return special.log_ndtr((2.0 * CHOSEN - 1.0) * (DESIGN @ beta)).sum()


def poisson(beta: Any) -> Any:
    eta = DESIGN @ beta
    return (COUNTS * eta - np.exp(eta) - special.gammaln(COUNTS + 1.0)).sum()


def negative_binomial(theta: Any) -> Any:
    beta, alpha = theta[:-1], theta[-1]
    mu, n = np.exp(DESIGN @ beta), 1.0 / alpha
    norm = special.gammaln(COUNTS + n) - special.gammaln(COUNTS + 1.0) - special.gammaln(n)
    return (norm + n * np.log(n / (n + mu)) + COUNTS * np.log(mu / (n + mu))).sum()


@pytest.mark.parametrize("at", [0.0, 0.2, -0.7])
@pytest.mark.parametrize(
    ("f", "name", "counts"),
    [
        (logit, "Logit", CHOSEN),
        (probit, "Probit", CHOSEN),
        (poisson, "Poisson", COUNTS),
        (negative_binomial, "NegativeBinomial", COUNTS),
    ],
)
def test_regressions_in_statsmodels(f, name, counts, at):
    """Its analytic scores and Hessians; relative to the largest element, since the others may cancel."""
    discrete = pytest.importorskip("statsmodels.discrete.discrete_model")
    theta = at + np.array([0.1, -0.3, 0.25, 0.05, 1.2])[: 4 + (f is negative_binomial)]
    model = getattr(discrete, name)(counts, DESIGN)
    model._transparams = False  # the dispersion itself, not its logarithm
    tape = tg.trace(f, np.full(theta.size, 0.5))
    score, hessian = model.score(theta), model.hessian(theta)
    assert tape(theta) == pytest.approx(model.loglike(theta), rel=RTOL)
    np.testing.assert_allclose(tape.grad(theta), score, rtol=RTOL, atol=RTOL * abs(score).max())
    np.testing.assert_allclose(tape.hessian(theta), hessian, rtol=RTOL, atol=RTOL * abs(hessian).max())


# mpmath -----------------------------------------------------------------------------------------------------


KNOWN = [pytest.param(op, id=op.name) for op in OPS.values() if op.name in MEANING and op.rule is not None]


@pytest.mark.parametrize("op", KNOWN)
def test_elementwise_ops_to_second_order(op):
    rng = np.random.default_rng(11)
    low, high = np.array(op.domain).T
    arity = len(op.domain)
    tape = tg.trace(lambda theta: op(*theta), [*(0.5 * (low + high) + 0.01)])
    for x in rng.uniform(low, high, (5, arity)):
        with mp.workdps(DIGITS):
            value, first, second = derivatives(lambda *x: [MEANING[op.name](*x)], x)
        assert_close(tape(x), value[0], np.abs(tape(x)) + 0.01)
        assert_close(
            tape.value_and_grad_flat(x)[1], first[0], np.abs(np.asarray(first[0], dtype=float)) + 0.01
        )
        assert_close(tape.hessian(x), second[0], np.abs(np.asarray(second[0], dtype=float)) + 0.01)


UNARY = (
    np.sin,
    np.cos,
    np.tanh,
    np.arctan,
    np.arcsinh,
    np.abs,
    special.expit,
    special.log_expit,
    special.ndtr,
    special.log_ndtr,
    special.erf,
    lambda x: np.exp(np.tanh(x)),
    lambda x: np.expm1(np.sin(x)),
    lambda x: np.log1p(x * x),
    lambda x: np.sqrt(1.0 + x**2),
    lambda x: x**3 / (1.0 + x**2),
    lambda x: (1.2 + np.sin(x)) ** -1.7,
    lambda x: 2.0 ** np.tanh(x),
    lambda x: np.cbrt(2.0 + np.cos(x)),
    lambda x: np.arcsin(0.9 * np.sin(x)),
    lambda x: np.arctanh(0.8 * np.cos(x)),
    lambda x: np.cosh(np.tanh(x)) - np.sinh(np.sin(x)),
    lambda x: special.gammaln(1.5 + np.tanh(x)),
    lambda x: special.digamma(2.0 + np.sin(x)),
    lambda x: special.erfcx(np.tanh(x)),
    lambda x: special.ndtri(0.5 + 0.4 * np.tanh(x)),
    lambda x: special.logit(0.5 + 0.3 * np.sin(x)),
    lambda x: np.where(x > 0.1, np.log(x), x**2),
    lambda x: np.clip(x, -0.7, 0.6),
)
BINARY = (
    lambda x, y: x + y,
    lambda x, y: x - y,
    lambda x, y: np.tanh(x) * y,
    lambda x, y: x / (1.5 + np.tanh(y)),
    lambda x, y: (1.2 + np.sin(x)) ** np.tanh(y),
    lambda x, y: special.xlogy(np.tanh(x), 1.5 + np.sin(y)),
    lambda x, y: special.betaln(1.5 + np.tanh(x), 2.0 + np.sin(y)),
    lambda x, y: np.arctan2(x, 1.5 + np.tanh(y)),
    lambda x, y: np.where(x < y, np.sin(x), y * 0.5),
    np.logaddexp,
    np.hypot,
    np.maximum,
    np.minimum,
)
STEPS = st.lists(
    st.tuples(st.booleans(), st.integers(0, 99), st.integers(0, 99), st.integers(0, 99)),
    min_size=1,
    max_size=12,
)
START = st.lists(st.floats(-1.5, 1.5, allow_subnormal=False), min_size=3, max_size=3).map(np.array)
# Hypothesis likes equal and round numbers; moved by these, no two meet at a kink.
ASIDE = np.array([0.03719, -0.05173, 0.01291, 0.07717, -0.02953])


def interpret(steps: list[tuple[bool, int, int, int]], theta: Any) -> Any:
    """Each step appends a number made of one or two earlier ones."""
    numbers = [theta[0], theta[1], theta[2]]
    for is_unary, which, i, j in steps:
        x, y = numbers[-1 - i % len(numbers)], numbers[-1 - j % len(numbers)]
        numbers.append(UNARY[which % len(UNARY)](x) if is_unary else BINARY[which % len(BINARY)](x, y))
    return numbers[-1] + 0.1 * sum(numbers)


def assert_agree_with_mpmath(tape: tg.TracedFunction, theta: np.ndarray) -> None:
    """Value, gradient and Hessian of a tape, against the same tape run in mpmath.

    To 1e-10 of the largest second derivative, or of 1 where that is less: rounding the arguments of a sharply
    bent function by 1e-16 moves its derivatives by that much.
    """
    value, gradient = tape.value_and_grad_flat(theta)
    hessian = tape.hessian(theta)
    try:
        with mp.workdps(DIGITS):
            exact = [
                np.asarray(d[0], dtype=float) for d in derivatives(lambda *x: [run(tape.tape, *x)], theta)
            ]
    except AtAKink:
        assume(False)
    scale = max(1.0, np.abs(exact[2]).max())
    assume(scale < 1e5)
    np.testing.assert_allclose(value, exact[0], rtol=RTOL, atol=1e-12)
    np.testing.assert_allclose(gradient, exact[1], rtol=0.0, atol=1e-11 * scale)
    np.testing.assert_allclose(hessian, exact[2], rtol=0.0, atol=1e-10 * scale)


LONG = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@LONG
@given(STEPS, START)
def test_random_scalar_programs(steps, theta):
    theta = theta + ASIDE[:3]
    assert_agree_with_mpmath(tg.trace(lambda theta: interpret(steps, theta), theta), theta)


@LONG
@given(PROGRAM, THETA, THETA)
def test_random_programs_with_vectors_branches_and_loops(program, first, theta):
    tape = traced(program, first)
    theta = theta + ASIDE
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", tg.RetraceWarning)
        assert_agree_with_mpmath(tape, theta)
