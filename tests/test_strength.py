"""strength: cheaper operations, before and after, and what they give at special values."""

from __future__ import annotations

import numpy as np
import pytest
from test_exponentials import EPS, INF, X, finished, gradient_of, outputs
from test_passes import assert_lists, ops

import tapegrad as tg
from tapegrad.passes import tidy

pytestmark = pytest.mark.filterwarnings("ignore::tapegrad.NonFiniteWarning")


def test_a_division_by_a_scalar_shares_its_reciprocal_before_and_after():
    gradient = gradient_of(lambda mu, s: np.tanh((X - mu) / s).sum(), mu=0.3, s=0.4)
    assert_lists(
        gradient,
        """
         [0]  sub         X, mu        -> %3   (256,)
         [1]  div         %3, s        -> %4   (256,)
         [2]  tanh        %4           -> %5   (256,)
         [3]  sum         %5, axis=0   -> %6   scalar
         [4]  sech        %4           -> %7   (256,)
         [5]  square      %7           -> %8   (256,)
         [6]  reciprocal  s            -> %9   scalar
         [7]  mul         %8, %4       -> %10  (256,)
         [8]  sum         %10, axis=0  -> %11  scalar
         [9]  mul         %9, %11      -> %12  scalar
        [10]  neg         %12          -> %13  scalar
        [11]  sum         %8, axis=0   -> %14  scalar
        [12]  mul         %9, %14      -> %15  scalar
        [13]  neg         %15          -> %16  scalar
        """,
    )
    assert_lists(
        finished(gradient),
        """
         [0]  sub         X, mu        -> %3   (256,)
         [1]  reciprocal  s            -> %4   scalar
         [2]  mul         %3, %4       -> %5   (256,)
         [3]  tanh        %5           -> %6   (256,)
         [4]  sum         %6, axis=0   -> %7   scalar
         [5]  sech        %5           -> %8   (256,)
         [6]  square      %8           -> %9   (256,)
         [7]  mul         %9, %5       -> %10  (256,)
         [8]  sum         %10, axis=0  -> %11  scalar
         [9]  mul         %4, %11      -> %12  scalar
        [10]  neg         %12          -> %13  scalar
        [11]  sum         %9, axis=0   -> %14  scalar
        [12]  mul         %4, %14      -> %15  scalar
        [13]  neg         %15          -> %16  scalar
        """,
    )


def test_a_cube_before_and_after():
    gradient = gradient_of(lambda x: (X * x**3).sum(), x=X)
    assert_lists(
        gradient,
        """
        [0]  power   x, 3        -> %3  (256,)
        [1]  mul     X, %3       -> %4  (256,)
        [2]  sum     %4, axis=0  -> %5  scalar
        [3]  square  x           -> %6  (256,)
        [4]  mul     %6, X       -> %7  (256,)
        [5]  mul     %7, 3       -> %8  (256,)
        """,
    )
    assert_lists(
        finished(gradient),
        """
        [0]  square  x           -> %3  (256,)
        [1]  mul     x, %3       -> %4  (256,)
        [2]  mul     X, %4       -> %5  (256,)
        [3]  sum     %5, axis=0  -> %6  scalar
        [4]  mul     %3, X       -> %7  (256,)
        [5]  mul     %7, 3       -> %8  (256,)
        """,
    )


NUMBERS = np.array(
    [
        0.0,
        -0.0,
        1.0,
        -1.0,
        2.5,
        -0.3,
        INF,
        -INF,
        np.nan,
        5e-324,
        -3e-310,
        2e-308,
        1e-160,
        -1e160,
        1e308,
        -1.7e308,
    ]
)


@pytest.mark.parametrize("exponent", [3.0, 4.0, -2.0, -3.0, -4.0, 1.5])
def test_powers(exponent):
    tape = tidy(tg.trace(lambda x: np.power(x, exponent), np.ones(NUMBERS.size)).tape)
    done = finished(tape)
    assert ops(tape) == ["power"]
    assert "power" not in ops(done)
    with np.errstate(all="ignore"):
        expected = np.power(NUMBERS, exponent)
    if exponent == 1.5:
        expected[NUMBERS == -INF] = np.nan  # as NumPy's own x**0.5 has it
    np.testing.assert_allclose(outputs(done, NUMBERS)[0], expected, rtol=4 * EPS, atol=5e-324)


def test_a_power_keeps_its_slope_at_zero():
    tape = tg.trace(lambda x: np.power(x, 1.5).sum(), np.ones(3))
    np.testing.assert_array_equal(tape.grad(np.array([0.0, 1.0, 4.0])), [0.0, 1.5, 3.0])
    cube = tg.trace(lambda x: np.power(x, 3.0).sum(), np.ones(3))
    np.testing.assert_array_equal(cube.hessian(np.array([0.0, 1.0, -2.0])), np.diag([0.0, 6.0, -12.0]))


@pytest.mark.parametrize("s", NUMBERS)
def test_a_quotient_by_a_scalar(s):
    """Of anything by anything: only by the smallest numbers is the result another, and never a finite one."""
    tape = tg.trace(lambda x, s: x / s, dict(x=np.ones(NUMBERS.size), s=1.0)).tape
    done = finished(tape)
    assert ops(done) == ["reciprocal", "mul"]
    (found,) = outputs(done, NUMBERS, s)
    with np.errstate(all="ignore"):
        expected = NUMBERS / s
    if s == 0.0 or not abs(s) < 2.0**-1024:
        np.testing.assert_allclose(found, expected, rtol=4 * EPS, atol=1e-323)
        return
    zero, finite = NUMBERS == 0.0, np.isfinite(NUMBERS)
    np.testing.assert_array_equal(found[~finite], expected[~finite])
    assert np.isnan(found[zero]).all()
    np.testing.assert_array_equal(found[finite & ~zero], np.sign(expected[finite & ~zero]) * INF)


def test_a_constant_divisor_whose_reciprocal_is_not_normal():
    for c, is_kept in ((3.0, False), (1e-310, True), (1e308, True), (0.0, True)):
        tape = tg.trace(lambda x, c=c: x / c, np.ones(3)).tape
        assert (ops(finished(tape)) == ["div"]) == is_kept


def test_signs_move_into_scalars():
    tape = tg.trace(lambda v, s: np.exp(-(s * v)) + np.sin(-(v - s)), dict(v=X, s=2.0)).tape
    assert ops(tape) == ["mul", "neg", "exp", "sub", "neg", "sin", "add"]
    done = finished(tape)
    assert ops(done) == ["neg", "mul", "exp", "sub", "sin", "add"]
    assert done.avals[done.entries[0].output].shape == ()
    np.testing.assert_array_equal(outputs(done, X, 2.0)[0], outputs(tape, X, 2.0)[0])
    read_twice = tg.trace(lambda v, s: np.exp(-(s * v)) + s * v, dict(v=X, s=2.0)).tape
    assert ops(finished(tidy(read_twice))).count("mul") == 1
