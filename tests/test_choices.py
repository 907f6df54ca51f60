"""Branches inside loops: where both sides are known they are chosen anew, and never wrongly."""

from __future__ import annotations

import pickle
import threading
import warnings

import numpy as np
import pytest
from scipy.special import ndtr

import tapegrad as tg
from tapegrad.function.seen import FIRST_WAYS
from tapegrad.passes.loops.branches import branches
from tapegrad.tape.verify import verify

pytestmark = [
    pytest.mark.filterwarnings("ignore::tapegrad.RetraceWarning"),
    pytest.mark.filterwarnings("ignore::tapegrad.LongTapeWarning"),
]

N = 60
RNG = np.random.default_rng(7)
Y = RNG.standard_normal(N)
X = RNG.uniform(0.2, 2.0, N)
LOOPS = []


def loop(at, spread):
    """Enter a function with its start and how far its parameters move."""

    def enter(f):
        LOOPS.append(pytest.param(f, np.array(at), np.array(spread), id=f.__name__))
        return f

    return enter


@loop([0.1, -2.0, 0.1, 0.6, 0.1], [0.6, 0.5, 0.05, 0.1, 0.05])
def gjr_garch(theta):
    mu, log_w, a, b, c = theta
    w, h, e, total = np.exp(log_w), 1.0, 0.0, 0.0
    for y in Y:
        if e < 0:
            h = w + (a + c) * e * e + b * h
        else:
            h = w + a * e * e + b * h
        e = y - mu
        total = total - 0.5 * (np.log(h) + e * e / h)
    return total


@loop([0.1, -2.0, 0.1, 0.6, 0.1], [0.6, 0.5, 0.05, 0.1, 0.05])
def gjr_garch_on_arrays(theta):
    e = Y - theta[0]
    h = np.zeros_like(theta, shape=N)
    h[0] = 1.0
    for t in range(1, N):
        if e[t - 1] < 0:
            h[t] = np.exp(theta[1]) + (theta[2] + theta[4]) * e[t - 1] ** 2 + theta[3] * h[t - 1]
        else:
            h[t] = np.exp(theta[1]) + theta[2] * e[t - 1] ** 2 + theta[3] * h[t - 1]
    return -0.5 * (np.log(h) + e**2 / h).sum()


@loop([0.1, -2.0, 0.1, 0.6, 0.1], [0.6, 0.5, 0.05, 0.1, 0.05])
def gjr_garch_without_else(theta):
    mu, log_w, a, b, c = theta
    w, h, e, total = np.exp(log_w), 1.0, 0.0, 0.0
    for y in Y:
        step = a * e * e
        if e < 0:
            step = step + c * e * e
        h = w + step + b * h
        e = y - mu
        total = total - 0.5 * (np.log(h) + e * e / h)
    return total


@loop([0.0, 0.3, -0.4, 0.1], [0.3, 0.2, 0.2, 0.2])
def threshold_of_the_state(theta):
    c, a, b, log_s = theta
    x, total = 0.1 * a, 0.0
    for y in Y:
        if x < c:
            x = a * x + y
        else:
            x = b * x - y
        total -= 0.5 * (y - x) ** 2 * np.exp(-2 * log_s) + log_s
    return total


@loop([0.0, 0.9, 0.1], [0.3, 0.05, 0.2])
def carried_through(theta):
    c, a, log_s = theta
    h, total = 1.0 + 0.0 * a, 0.0
    for y in Y:
        if y < c:
            h = h * a
        total -= 0.5 * (y - h) ** 2 * np.exp(-2 * log_s) + log_s
    return total


@loop([0.4, -0.5, 0.2], [0.3, 0.3, 0.3])
def ordered_classes(theta):
    slope, low, log_width = theta
    high, total = low + np.exp(log_width), 0.0
    for x, y in zip(X, Y, strict=True):
        eta = slope * x
        if y < low:
            total += np.log(ndtr(low - eta))
        elif y < high:
            total += np.log(ndtr(high - eta) - ndtr(low - eta))
        else:
            total += np.log(1 - ndtr(high - eta))
    return total


@loop([0.1, 0.2, 0.8], [0.5, 0.1, 0.3])
def huber(theta):
    mu, log_s, k = theta
    total = 0.0
    for y in Y:
        r = (y - mu) / np.exp(log_s)
        if abs(r) < k:
            total -= 0.5 * r**2
        else:
            total -= k * abs(r) - 0.5 * k**2
        total -= log_s
    return total


@loop([0.1, 0.2], [0.5, 0.1])
def inner_if(theta):
    a, b = theta
    total = 0.0
    for y in Y:
        z = y - a
        if z > 0:
            s = y * b
            if s > z:
                s = s * z
            total += s * a
        total += z * b
    return total


@loop([0.1, 0.2], [0.5, 0.1])
def two_in_a_row(theta):
    a, b = theta
    total = 0.0
    for x, y in zip(X, Y, strict=True):
        z = y - a
        s = z * b if z > 0 else -z
        q = x - b if x < 1.0 + b else x * a
        total += s * q
    return total


@loop([0.1, 0.2], [0.5, 0.1])
def extremes(theta):
    a, b = theta
    total = 0.0
    for x, y in zip(X, Y, strict=True):
        total += max(y - b, a) * x + min(x * a * y, b) ** 2
    return total


@loop([0.1, 0.2], [0.5, 0.1])
def plain_numbers_by_side(theta):
    a, b = theta
    total = 0.0
    for y in Y:
        k = 1.0 if y < a else 2.0
        total += k * b * y + (a if y - b < 0 else 0.0)
    return total


@loop([0.1, 0.2], [0.5, 0.1])
def skipped(theta):
    a, b = theta
    total = 0.0
    for y in Y:
        if y < a:
            continue
        total += b * (y - a) ** 2
    return total


@loop([0.1, 0.2], [0.5, 0.1])
def a_helper_on_both_sides(theta):
    a, b = theta

    def term(u, v):
        return u * v - np.exp(u)

    total = 0.0
    for y in Y:
        z = y - a
        total += term(z, b) if z < 0 else term(-z, a)
    return total


def points(at, spread, count=8):
    rng = np.random.default_rng(3)
    return [at + spread * rng.uniform(-1, 1, at.size) for _ in range(count)]


@pytest.mark.parametrize(("f", "at", "spread"), LOOPS)
def test_a_flip_needs_no_new_trace(f, at, spread):
    traced = tg.trace(f, at)
    assert any(guard.is_choice for guard in traced._router.current.tapes.short.guards)
    verify(branches(traced.tape))
    for theta in points(at, spread):
        there = tg.trace(f, theta, reroll=False)
        assert traced(theta) == pytest.approx(f(theta), rel=1e-12, abs=1e-12)
        np.testing.assert_allclose(traced.grad(theta), there.grad(theta), rtol=1e-10, atol=1e-10)
        np.testing.assert_allclose(traced.hessian(theta), there.hessian(theta), rtol=1e-9, atol=1e-9)
    assert traced.retraces == 0


# What is known of no other iteration ------------------------------------------------------------------------


def data_in_the_branch(theta):
    a, b = theta
    total = 0.0
    for x, y in zip(X, Y, strict=True):
        if y < a:
            total += b * np.sqrt(x)
        total += a * y
    return total


def one_iteration_of_its_own(theta):
    a, b = theta
    total = 0.0
    for i, y in enumerate(Y):
        z = y - a
        if i == 7 or z < 0:
            z = z * b * (3.0 if i == 7 else 1.0)
        total += z**2
    return total


def equality(theta):
    a, b = theta
    total = 0.0
    for i in range(N):
        total += b if a * (i % 2) == 0.0 else a * b
    return total


def counted(theta):
    """Plain numbers count the branches: what is added behind the loop depends on all of them."""
    a, b = theta
    total, times = 0.0, 0
    for y in Y:
        if y < a:
            total += b * a
            times += 1
        total += (y - a) ** 2
    return total - times * np.log(b)


def collected(theta):
    a, b = theta
    low, total = [], 0.0
    for y in Y:
        z = y - a
        if z < 0:
            low.append(z)
        total += z * b
    return total + sum(z**2 for z in low)


def broken_off(theta):
    a, b = theta
    total = 0.0
    for k in range(12):
        for y in Y[5 * k : 5 * k + 5]:
            if y > a:
                break
            total += b * y * a
    return total


def runs(theta):
    """What happens depends on two decisions, of which one is of the iteration before."""
    a, b = theta
    total, before = 0.0, False
    for y in Y:
        z = y - a
        if z < 0:
            total += b * z if before else z
            before = True
        else:
            before = False
    return total


def while_inside(theta):
    a, b = theta
    total = 0.0
    for k in range(12):
        z = a + 0.1 * (k % 3)
        while z < 2.0:
            z = z * (1.5 + b)
        total += z
    return total


@pytest.mark.parametrize(
    "f",
    [
        data_in_the_branch,
        one_iteration_of_its_own,
        equality,
        counted,
        collected,
        broken_off,
        runs,
        while_inside,
    ],
)
@pytest.mark.filterwarnings("ignore::tapegrad.BranchWarning")
def test_what_follows_no_pattern_stays_right(f):
    at, spread = np.array([0.3, 0.4]), np.array([0.25, 0.2])
    traced = tg.trace(f, at)
    rng = np.random.default_rng(5)
    for k in range(60):
        theta = at + spread * rng.uniform(-1, 1, 2) * (0.1 if k % 2 else 1.0)
        assert traced(theta) == pytest.approx(f(theta), rel=1e-12, abs=1e-12)
        if k % 10 == 0:
            expected = tg.trace(f, theta, reroll=False).grad(theta)
            np.testing.assert_allclose(traced.grad(theta), expected, rtol=1e-10, atol=1e-10)
