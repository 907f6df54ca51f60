"""exponentials: one where there were several, before and after, and right where its forms have kinks."""

from __future__ import annotations

import itertools
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from mpmath import mp, mpf
from scipy import special
from test_passes import assert_lists, ops
from test_random_programs import PROGRAM, SETTINGS, THETA, traced
from test_random_programs import pytestmark as quiet

import tapegrad as tg
from tapegrad.backends.replay import evaluate
from tapegrad.derive.pushforward import pushforward
from tapegrad.passes import FINISHING, PASSES, dce, exponentials, statistics, tidy
from tapegrad.passes.exponentials import LONG

N = LONG
X = np.linspace(-3.0, 3.0, N)
EPS = np.finfo(float).eps
INF = np.inf
pytestmark = quiet


def outputs(tape, *theta, data=()):
    values = evaluate(tape, np.concatenate([np.ravel(part) for part in theta]), dict(data))
    return [values[slot] for slot in tape.outputs]


# Listings show what these passes do, and not which sums `statistics` has found before.
OTHERS = tuple(tape_pass for tape_pass in PASSES if tape_pass is not statistics)


def gradient_of(f, **params):
    return tg.trace(f, params, sufficient_statistics=False).grad_tape


def hessian_product(gradient):
    """The tape of Hessian-vector products."""
    return tidy(pushforward(dce(replace(gradient, outputs=gradient.outputs[1:]))), OTHERS)


def finished(tape):
    done = tidy(tape, FINISHING)
    tg.verify(done)
    return done


# One exponential --------------------------------------------------------------------------------------------


def test_one_exponential_for_a_logistic_likelihood_before_and_after():
    gradient = gradient_of(lambda b: np.logaddexp(0.0, b * X).sum(), b=0.3)
    assert_lists(
        gradient,
        """
        [0]  mul        b, X        -> %3  (256,)
        [1]  logaddexp  0, %3       -> %4  (256,)
        [2]  sum        %4, axis=0  -> %5  scalar
        [3]  share      %3, 0       -> %6  (256,)
        [4]  mul        %6, X       -> %7  (256,)
        [5]  sum        %7, axis=0  -> %8  scalar
        """,
    )
    assert_lists(
        exponentials(gradient),
        """
         [0]  mul        b, X         -> %3   (256,)
         [1]  exp_gap    0, %3        -> %4   (256,)
         [2]  log1p      %4           -> %5   (256,)
         [3]  maximum    0, %3        -> %6   (256,)
         [4]  add        %6, %5       -> %7   (256,)
         [5]  sum        %7, axis=0   -> %8   scalar
         [6]  one_above  %3, 0, %4    -> %9   (256,)
         [7]  add        1, %4        -> %11  (256,)
         [8]  div        %9, %11      -> %12  (256,)
         [9]  mul        %12, X       -> %13  (256,)
        [10]  sum        %13, axis=0  -> %14  scalar
        """,
    )


def test_one_exponential_for_a_mixture_before_and_after():
    gradient = gradient_of(lambda a, b: np.logaddexp(a - X, b + X).sum(), a=0.1, b=0.3)
    assert_lists(
        gradient,
        """
        [0]  sub        a, X        -> %3   (256,)
        [1]  add        b, X        -> %4   (256,)
        [2]  logaddexp  %3, %4      -> %5   (256,)
        [3]  sum        %5, axis=0  -> %6   scalar
        [4]  share      %3, %4      -> %7   (256,)
        [5]  share      %4, %3      -> %8   (256,)
        [6]  sum        %8, axis=0  -> %9   scalar
        [7]  sum        %7, axis=0  -> %10  scalar
        """,
    )
    assert_lists(
        exponentials(gradient),
        """
         [0]  sub        a, X         -> %3   (256,)
         [1]  add        b, X         -> %4   (256,)
         [2]  exp_gap    %3, %4       -> %5   (256,)
         [3]  log1p      %5           -> %6   (256,)
         [4]  maximum    %3, %4       -> %7   (256,)
         [5]  add        %7, %6       -> %8   (256,)
         [6]  sum        %8, axis=0   -> %9   scalar
         [7]  one_above  %3, %4, %5   -> %10  (256,)
         [8]  add        1, %5        -> %12  (256,)
         [9]  div        %10, %12     -> %13  (256,)
        [10]  one_above  %4, %3, %5   -> %14  (256,)
        [11]  div        %14, %12     -> %15  (256,)
        [12]  sum        %15, axis=0  -> %16  scalar
        [13]  sum        %13, axis=0  -> %17  scalar
        """,
    )


def test_the_product_of_both_shares_before_and_after():
    gradient = gradient_of(lambda b: np.logaddexp(0.0, b * X).sum(), b=0.3)
    product = hessian_product(gradient)
    assert_lists(
        product,
        """
        [0]  mul          b, X        -> %4  (256,)
        [1]  both_shares  %4, 0       -> %5  (256,)
        [2]  mul          X, %5       -> %6  (256,)
        [3]  mul          %6, X       -> %7  (256,)
        [4]  sum          %7, axis=0  -> %8  scalar
        [5]  mul          %1, %8      -> %9  scalar
        """,
    )
    assert_lists(
        finished(product),
        """
        [0]  mul      b, X         -> %5   (256,)
        [1]  exp_gap  0, %5        -> %6   (256,)
        [2]  add      1, %6        -> %7   (256,)
        [3]  square   %7           -> %8   (256,)
        [4]  div      %6, %8       -> %9   (256,)
        [5]  mul      X, %9        -> %10  (256,)
        [6]  mul      %10, X       -> %11  (256,)
        [7]  sum      %11, axis=0  -> %12  scalar
        [8]  mul      %1, %12      -> %13  scalar
        """,
    )


# Every spelling of the logistic likelihood, in value and gradient, takes one exponential.
LOGISTIC = {
    "logaddexp": lambda b: np.logaddexp(0.0, b * X).sum(),
    "the other way round": lambda b: np.logaddexp(b * X, 0.0).sum(),
    "of the negative": lambda b: np.logaddexp(0.0, -(b * X)).sum(),
    "log_expit": lambda b: special.log_expit(b * X).sum(),
    "log_expit of the negative": lambda b: special.log_expit(-(b * X)).sum(),
    "expit": lambda b: special.expit(b * X).sum(),
    "expit and its complement": lambda b: (np.sin(special.expit(b * X)) + special.expit(-(b * X))).sum(),
    "softplus": lambda b: tg.special.softplus(b * X).sum(),
    "log1p(exp(x))": lambda b: np.log1p(np.exp(b * X)).sum(),
}


@pytest.mark.parametrize("name", LOGISTIC)
def test_one_exponential_in_every_spelling(name):
    gradient = gradient_of(LOGISTIC[name], b=0.3)
    product = hessian_product(gradient)
    for tape, arguments in ((gradient, (0.7,)), (product, (0.7, 1.0))):
        done = finished(tape)
        assert sum(ops(done).count(op) for op in ("exp", "exp_gap")) == 1
        assert not {"logaddexp", "expit", "log_expit", "softplus", "share"} & set(ops(done))
        for found, expected in zip(outputs(done, *arguments), outputs(tape, *arguments), strict=True):
            assert found == pytest.approx(expected, rel=1e-13)


def test_log1p_of_exp_shares_its_exponential_before_and_after():
    assert_lists(
        gradient_of(lambda b: np.log1p(np.exp(b * X)).sum(), b=0.3),
        """
        [0]  mul         b, X         -> %3   (256,)
        [1]  exp         %3           -> %4   (256,)
        [2]  log1p       %4           -> %5   (256,)
        [3]  sum         %5, axis=0   -> %6   scalar
        [4]  add         1, %4        -> %7   (256,)
        [5]  reciprocal  %7           -> %8   (256,)
        [6]  mul         %8, %4       -> %9   (256,)
        [7]  mul         %9, X        -> %10  (256,)
        [8]  sum         %10, axis=0  -> %11  scalar
        """,
    )


def test_small_arrays_scalars_and_what_decides_are_left_alone():
    for f in (
        lambda b: np.logaddexp(0.0, b * X[1:]).sum(),
        lambda b: np.logaddexp(0.0, b),
        lambda b: np.where(np.logaddexp(0.0, b * X) > 0.7, b, 2.0) @ X,
    ):
        tape = tg.trace(f, 0.3).tape
        assert "logaddexp" in ops(tape)
        assert ops(finished(tape)) == ops(dce(tape))


# What it gives ----------------------------------------------------------------------------------------------

SPECIAL = (0.0, -0.0, 1.0, -1.0, 36.5, -40.0, 800.0, -800.0, 5e-324, 1e308, -1e308, INF, -INF, np.nan)
PAIRS = np.array([*itertools.product(SPECIAL, SPECIAL)] * 2)
RANDOM = np.random.default_rng(0).normal(size=(2 * N, 2)) * 10.0 ** np.linspace(-9.0, 2.7, 2 * N)[:, None]


def exactly(x, y):
    """log(exp(x) + exp(y)), both shares, and their product."""
    if np.isnan(x) or np.isnan(y):
        return (np.nan,) * 4
    if np.isinf(x) and x == y:
        share = 0.5 if x > 0.0 else 0.0
        return (x, share, share, share**2)
    if np.isinf(x) or np.isinf(y):
        return (max(x, y), float(x > y), float(y > x), 0.0)
    with mp.workdps(50):
        e = mp.exp(-abs(mpf(x) - mpf(y)))
        larger, smaller = 1 / (1 + e), e / (1 + e)
        p, q = (larger, smaller) if x > y else (smaller, larger)
        return (float(max(x, y) + mp.log1p(e)), float(p), float(q), float(p * q))


def assert_near(found, expected, limits):
    with np.errstate(invalid="ignore"):
        near = np.abs(found - expected) <= limits
    assert (near | (found == expected) | (np.isnan(found) & np.isnan(expected))).all()


@pytest.mark.parametrize("pairs", [PAIRS, RANDOM], ids=["special", "random"])
@pytest.mark.parametrize("make", [finished, dce], ids=["finished", "as it is read"])
def test_values_shares_and_second_derivatives(pairs, make):
    """At ties and infinities of both signs, and of the smallest share to its last digits."""
    start = dict(x=np.zeros(len(pairs)), y=np.ones(len(pairs)))
    x, y = pairs.T
    values, p, q, product = np.array([exactly(*pair) for pair in pairs]).T
    elements = tg.trace(lambda x, y: np.logaddexp(x, y), start).tape
    gradient = tg.trace(lambda x, y: np.logaddexp(x, y).sum(), start).grad_tape
    # Near 0, where the larger argument and the rest cancel, to rounding of these.
    sizes = np.maximum(np.abs(values), np.minimum(np.abs(pairs.max(axis=1)), 1.0))
    assert_near(outputs(make(elements), x, y)[0], values, 3 * EPS * sizes)

    ones, zeros = np.ones(len(pairs)), np.zeros(len(pairs))
    second = make(hessian_product(gradient))
    found = {
        "shares": (outputs(make(gradient), x, y)[1:], (p, q)),
        "slopes in x": (outputs(second, x, y, ones, zeros), (product, -product)),
        "slopes in y": (outputs(second, x, y, zeros, ones), (-product, product)),
    }
    with np.errstate(all="ignore"):
        gaps = np.minimum(np.nan_to_num(np.abs(x - y)), 800.0)
    for both, expected in found.values():
        for share, right in zip(both, expected, strict=True):
            # x - y is rounded, and the exponential of that loses as many digits as it has before the point.
            assert_near(share, right, (6.0 + gaps) * EPS * np.abs(right) + 1e-307)


def test_third_derivatives_at_ties():
    tape = tg.trace(lambda x: np.logaddexp(x, 0.0).sum(), X)
    gradient = dce(replace(tape.grad_tape, outputs=tape.grad_tape.outputs[1:]))
    second = tidy(pushforward(gradient))
    third = finished(tidy(pushforward(second, moving=second.parameters[:1])))
    at = np.where(np.arange(N) % 2 == 0, 0.0, X)
    p = special.expit(at)
    (found,) = outputs(third, at, np.ones(N), np.ones(N))
    np.testing.assert_allclose(found, p * (1.0 - p) * (1.0 - 2.0 * p), rtol=1e-12, atol=1e-16)


@pytest.mark.filterwarnings("ignore::tapegrad.NonFiniteWarning")
def test_hessians_at_ties_and_infinities():
    """Through the public face: a Hessian is 1/4 where the arguments are equal, and 0 where one is nothing."""
    tape = tg.trace(lambda x, y: np.logaddexp(x, y), dict(x=np.zeros(2 * N), y=np.ones(2 * N)))
    total = tg.trace(lambda a, b: np.logaddexp(a + X, b + X).sum(), dict(a=0.0, b=1.0))
    at = dict(a=0.4, b=0.4)
    np.testing.assert_allclose(total.hessian(at), 0.25 * N * np.array([[1.0, -1.0], [-1.0, 1.0]]), rtol=1e-14)
    assert total.grad(at) == dict(a=0.5 * N, b=0.5 * N)
    nothing = np.full(2 * N, -INF)
    np.testing.assert_array_equal(tape(dict(x=nothing, y=nothing)), nothing)
    for direction in ("x", "y"):
        tangent = {name: np.full(2 * N, float(name == direction)) for name in "xy"}
        np.testing.assert_array_equal(tape.jvp(dict(x=nothing, y=nothing), tangent), np.zeros(2 * N))


@pytest.mark.parametrize("name", [name for name in LOGISTIC if name != "log1p(exp(x))"])
def test_logistic_functions_at_special_values(name):
    z = np.array([*SPECIAL, *np.linspace(-50.0, 50.0, 300)])
    f = {
        "log_expit": special.log_expit,
        "log_expit of the negative": lambda x: special.log_expit(-x),
        "expit": special.expit,
        "expit and its complement": lambda x: special.expit(-x),
        "softplus": tg.special.softplus,
        "logaddexp": lambda x: np.logaddexp(0.0, x),
        "the other way round": lambda x: np.logaddexp(x, 0.0),
        "of the negative": lambda x: np.logaddexp(0.0, -x),
    }[name]
    tape = tidy(tg.trace(f, z * 0.0 + 1.0 if np.isfinite(z).all() else np.ones(z.size)).tape)
    (found,) = outputs(finished(tape), z)
    with np.errstate(invalid="ignore"):
        np.testing.assert_allclose(found, f(z), rtol=4 * EPS, atol=1e-307)


@SETTINGS
@given(PROGRAM, THETA)
def test_random_programs_keep_value_gradient_and_hessian(program, theta):
    """With every array taken for a large one."""
    gradient = traced(program, theta).grad_tape
    tapes = [(gradient, theta), (hessian_product(gradient), np.concatenate([theta, np.ones(5)]))]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys.modules[exponentials.__module__], "LONG", 0)
        for tape, vector in tapes:
            done = finished(tape)
            assert len(done.guards) == len(tape.guards)
            for found, expected in zip(outputs(done, vector), outputs(tape, vector), strict=True):
                np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-10)
