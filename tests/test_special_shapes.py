"""Derivatives in shape parameters and orders against mpmath, at many points with the extremes among them."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from mpmath import mp, mpf
from scipy import special

import tapegrad as tg

BOUND = 1e-9


def true_slope(f, x, i, digits):
    """The derivative in argument `i`, by a difference of numbers of many digits."""
    with mp.workdps(digits):
        numbers = [mpf(a) for a in x]
        h = mpf(10) ** -20 * min(abs(numbers[i]), 1)
        ends = [f(*numbers[:i], numbers[i] + s * h, *numbers[i + 1 :]) for s in (1, -1)]
        return mp.re(ends[0] - ends[1]) / (2 * h)


def slopes(ufunc, points):
    """All first derivatives by tapegrad."""
    columns = list(np.array(points, dtype=float).T)
    traced = tg.trace(lambda theta: ufunc(*theta).sum(), columns)
    return traced.grad(columns)


def upper(a, x):
    return mp.gammainc(a, x, mp.inf, regularized=True)


def lower(a, x):
    return mp.gammainc(a, 0, x, regularized=True)


def beta(a, b, x):
    return mp.re(mp.betainc(a, b, 0, x, regularized=True))


GAMMA = [
    *itertools.product((1e-8, 1e-3, 0.3, 0.999), (1e-30, 1e-5, 0.5, 1.9, 2.1, 9.0)),
    *(
        (a, a + z * a**0.5)
        for a in (1.0, 2.5, 40.0, 200.0, 2000.0)
        for z in (-0.9, -0.1, 0.0, 0.3, 4.0, 12.0)
    ),
    *((a, 1e-3) for a in (1.0, 5.0, 40.0)),
]
BETA = [*itertools.product((1e-6, 0.3, 1.0, 7.0, 150.0), (1e-4, 0.8, 5.0, 90.0), (1e-9, 0.2, 0.7))]
ORDERS = [*itertools.product((1e-5, 0.3, 0.7, 3.5, 40.5), (1e-8, 0.01, 0.9, 1.9, 2.1, 8.0, 60.0, 500.0))]


@pytest.mark.parametrize(
    ("ufunc", "f", "points", "shapes", "digits"),
    [
        (special.gammainc, lower, GAMMA, (0,), 90),
        (special.gammaincc, upper, GAMMA, (0,), 90),
        (special.betainc, beta, BETA, (0, 1), 110),
        (special.betaincc, lambda a, b, x: beta(b, a, 1 - x), BETA, (0, 1), 110),
        (special.kve, lambda v, x: mp.besselk(v, x) * mp.exp(x), ORDERS, (0,), 60),
        (special.ive, lambda v, x: mp.besseli(v, x) * mp.exp(-x), ORDERS, (0,), 60),
    ],
    ids=["gammainc", "gammaincc", "betainc", "betaincc", "kve", "ive"],
)
def test_slopes_in_shapes(ufunc, f, points, shapes, digits):
    assert len(points) >= 40
    found = slopes(ufunc, points)
    for i in shapes:
        for k, x in enumerate(points):
            true = true_slope(f, x, i, digits)
            if not 1e-45 < abs(true) < 1e300:  # beside 1 mpmath has lost its digits; or no double is as large
                continue
            assert abs(found[i][k] - true) <= BOUND * abs(true), (i, x)


# Large shapes, where mpmath takes long: the normal limit, whose first terms are known -----------------------


def test_large_shapes_follow_their_expansion():
    # P(a, a) = 1/2 + 1 / (3 sqrt(2 pi a)) + ..., and dP/da + dP/dx is the slope of P(a, a).
    a = np.array([1e6, 1e8, 1e10])
    traced = tg.trace(lambda a: special.gammainc(a, a).sum(), a)
    series = -1 / (6 * np.sqrt(2 * np.pi)) * a**-1.5
    np.testing.assert_allclose(traced.grad(a), series, rtol=1e-3)  # what is left of two terms that cancel
    in_shape = tg.trace(lambda a: special.gammainc(a, 1e6).sum(), 1e6).grad(1e6)
    assert in_shape == pytest.approx(-1 / np.sqrt(2 * np.pi * 1e6), rel=1e-6)


# Edges ------------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::tapegrad.NonFiniteWarning")  # of the NaN among the arguments
def test_at_the_edges_the_slopes_are_their_limits():
    a, x = np.array([2.0, 2.0, 0.0, 0.0, 3.0]), np.array([0.0, np.inf, 0.7, 3.0, np.nan])
    in_a, in_x = tg.trace(lambda t: special.gammainc(*t).sum(), [np.ones(5), np.ones(5)]).grad([a, x])
    np.testing.assert_allclose(in_a[:4], [0.0, 0.0, -special.exp1(0.7), -special.exp1(3.0)], rtol=1e-12)
    np.testing.assert_allclose(in_x[:4], 0.0, atol=1e-290)
    assert np.isnan([in_a[4], in_x[4]]).all()


def test_at_the_ends_of_the_beta_distribution():
    a, b, x = np.array([2.0, 2.0, 1.0, 3.0]), np.array([3.0, 3.0, 2.5, 1.0]), np.array([0.0, 1.0, 0.0, 1.0])
    found = tg.trace(lambda t: special.betainc(*t).sum(), [a, b, x + 0.0]).grad([a, b, x])
    np.testing.assert_array_equal(found[:2], 0.0)
    np.testing.assert_allclose(found[2], [0.0, 0.0, 2.5, 3.0])


def test_numbers_and_arrays_and_third_derivatives():
    f = tg.trace(lambda a: special.gammainc(a, 0.9), 1.3)
    third = tg.trace(lambda a: tg.trace(f.grad, 1.0).grad(a), 1.3)
    with mp.workdps(60):
        true = [float(mp.diff(lambda a: lower(a, mpf(0.9)), mpf(1.3), n)) for n in (2, 3)]
    assert third(1.3) == pytest.approx(true[0], rel=1e-12)
    assert third.grad(1.3) == pytest.approx(true[1], rel=1e-11)


def test_only_what_is_asked_for_is_integrated():
    traced = tg.trace(lambda x: special.gammainc(1.3, x).sum(), np.array([0.3, 0.9]))
    assert "gammainc_slope" not in str(traced.grad_tape)
