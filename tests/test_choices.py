"""Branches inside loops: where both sides are known they are chosen anew, and never wrongly."""

from __future__ import annotations

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
        if e < 0:  # noqa: SIM108 - as users write it
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
        if x < c:  # noqa: SIM108 - as users write it
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
    for i, theta in enumerate(points(at, spread)):
        assert traced(theta) == pytest.approx(f(theta), rel=1e-12, abs=1e-12)
        if i % 4:
            continue
        there = tg.trace(f, theta, reroll=False)
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
        if k % 20 == 0:
            expected = tg.trace(f, theta, reroll=False).grad(theta)
            np.testing.assert_allclose(traced.grad(theta), expected, rtol=1e-10, atol=1e-10)


# Sides that are not taken -----------------------------------------------------------------------------------


def log_of_what_is_positive(theta):
    a, b = theta
    total = 0.0
    for y in Y:
        x = y - a
        if x > 0:
            total += np.log(x) * b
        else:
            total += -1e10 * x * b
    return total


def root_and_quotient(theta):
    a, b = theta
    total = 0.0
    for y in Y:
        x = y - a
        if x > 0:  # noqa: SIM108 - as users write it
            total = total + np.sqrt(x) / x**3 * b
        else:
            total = total - x * b**2
    return total


def log_that_is_carried(theta):
    """The untaken side is NaN or infinite in the recurrence itself."""
    a, b = theta
    h, total = 0.5 + 0.0 * a, 0.0
    for y in Y:
        if h > a:  # noqa: SIM108 - as users write it
            h = 0.5 * h + 0.1 * np.log(h - a) * b
        else:
            h = b + 0.3 * h * h
        total += h * y
    return total


def zero_divisor(theta):
    a, b = theta
    total = 0.0
    for i in range(N):
        x = a * (i % 3)  # 0 in every third iteration
        if x > 0:
            total += b / x
        else:
            total += b
    return total


@pytest.mark.parametrize("f", [log_of_what_is_positive, root_and_quotient, log_that_is_carried, zero_divisor])
def test_untaken_sides_have_no_influence(f):
    at = np.array([0.1, 0.7])
    traced = tg.trace(f, at)
    for theta in points(at, np.array([0.3, 0.1]), 3):
        there = tg.trace(f, theta, reroll=False)
        assert traced(theta) == pytest.approx(f(theta), rel=1e-11)
        np.testing.assert_allclose(traced.grad(theta), there.grad(theta), rtol=1e-9)
        scale = np.abs(there.hessian(theta)).max()
        np.testing.assert_allclose(traced.hessian(theta), there.hessian(theta), rtol=1e-9, atol=1e-9 * scale)
        direction = np.array([0.3, -0.2])
        np.testing.assert_allclose(
            traced.hvp(theta, direction), there.hvp(theta, direction), rtol=1e-9, atol=1e-9 * scale
        )
    assert traced.retraces == 0


# Comparisons with plain calls -------------------------------------------------------------------------------


class Calls:
    """A function that counts its plain calls."""

    def __init__(self, f):
        self.f, self.count = f, 0

    def __call__(self, theta):
        self.count += isinstance(theta, np.ndarray)
        return self.f(theta)


GJR, AT, SPREAD = next(p.values for p in LOOPS if p.id == "gjr_garch")


def test_each_side_is_compared_once():
    f = Calls(GJR)
    traced = tg.trace(f, AT)
    thetas = points(AT, SPREAD, 2 * FIRST_WAYS)
    f.count = 0
    for theta in thetas:
        traced.value_and_grad(theta)
    assert 0 < f.count <= len(thetas)
    f.count = 0
    for theta in thetas:
        traced.value_and_grad(theta)
        traced.hessian(theta)
        traced.hvp(theta, AT)
        traced(theta)
    assert f.count == 0
    assert traced.retraces == 0


@pytest.mark.parametrize("kind", ["value", "gradient", "hessian", "hvp"])
def test_a_wrong_conclusion_is_found(kind):
    """In one iteration the branch does something else, which the record has not seen."""
    low = 0.2
    odd = int(np.argmin(np.where(low < Y, Y, np.inf)))  # the first to flip when `low` grows

    def f(theta):
        a, b = theta
        z, total = b * X, 0.0
        for i in range(N):
            if Y[i] < a:
                total += z[i] * a if i != odd else 5.0 * b * a * a
            total += Y[i] * b
        return total

    run = {
        "value": lambda g, theta: g(theta),
        "gradient": lambda g, theta: g.grad(theta),
        "hessian": lambda g, theta: g.hessian(theta),
        "hvp": lambda g, theta: g.hvp(theta, np.array([0.3, 0.1])),
    }[kind]
    traced = tg.trace(f, np.array([low, 0.7]))
    assert any(guard.is_choice for guard in traced._router.current.tapes.short.guards)
    for a in (low - 0.3, Y[odd] + 1e-9, Y[odd] + 0.5):
        theta = np.array([a, 0.6])
        expected = run(tg.trace(f, theta, reroll=False), theta)
        np.testing.assert_allclose(run(traced, theta), expected, rtol=1e-11, atol=1e-11)
    assert traced.retraces > 0


def test_two_flips_that_cancel_prove_nothing():
    """As many branches are taken as before, then one more: sides alone would all have been seen."""
    y = np.linspace(-1.0, 1.0, 40)

    def f(theta):
        a, b, c = theta
        total, times = 0.0, 0
        for i, value in enumerate(y):
            z = value - (a if i < 20 else b)
            if z < 0:
                times += 1
            total += z * c
        return total - times * np.log(c)

    at, step = np.array([-0.51, 0.51, 0.8]), y[1] - y[0]
    traced = tg.trace(f, at)
    for k in range(1, 4):
        for up, down in ((k, k), (k, 0), (0, k)):
            theta = at + np.array([up * step, -down * step, 0.0])
            assert traced(theta) == pytest.approx(f(theta), rel=1e-13)


def test_other_data_are_compared_anew():
    def f(theta, y):
        a, b = theta
        total = 0.0
        for i in range(N):
            z = y[i] - a
            if z < 0:
                total += z * b
            else:
                total += z**2
        return total

    traced = tg.trace(f, np.array([0.1, 0.5]), data=dict(y=Y))
    other = traced.with_data(y=Y[::-1] + 0.3)
    for theta in points(np.array([0.1, 0.5]), np.array([1.0, 0.2])):
        assert other(theta) == pytest.approx(f(theta, Y[::-1] + 0.3), rel=1e-12)
        assert traced(theta) == pytest.approx(f(theta, Y), rel=1e-12)
    assert traced.retraces == other.retraces == 0


def test_many_threads():
    traced = tg.trace(GJR, AT)
    thetas = points(AT, SPREAD, 24)
    found: dict[int, float] = {}

    def work(start):
        for i in range(start, len(thetas), 4):
            found[i] = traced.value_and_grad(thetas[i])[0]

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert traced.retraces == 0
    for i, theta in enumerate(thetas):
        assert found[i] == pytest.approx(GJR(theta), rel=1e-12)


def test_no_number_confirms_nothing():
    traced = tg.trace(GJR, AT)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theta = AT + np.array([3.0, 0.0, -2.0, 0.0, 0.0])
        assert np.isnan(GJR(theta))
        assert np.isnan(traced(theta))
    theta = AT + np.array([2.5, 0.0, 0.0, 0.0, 0.0])
    assert traced(theta) == pytest.approx(GJR(theta), rel=1e-12)
    assert traced.retraces == 0


def test_hard_decisions_beside_choices():
    """A path is found by the decisions that are none of the loop's choices."""

    def f(theta):
        a, b = theta
        total = 0.0
        for y in Y:
            z = y - a
            if z < 0:
                total += z * b
            else:
                total += z**2
        if b > 0.5:
            return total * b
        return total - b if a > 0.2 else total + b

    traced = tg.trace(f, np.array([0.1, 0.4]))
    for theta in points(np.array([0.2, 0.5]), np.array([0.5, 0.2]), 30):
        assert traced(theta) == pytest.approx(f(theta), rel=1e-12)
    assert traced.retraces == 2


def test_values_are_those_of_the_sides_that_are_taken():
    traced = tg.trace(GJR, AT)
    for theta in [AT, *points(AT, SPREAD, 3)]:
        values = traced.values(theta)
        last = values.tape.outputs[0]
        assert values.values[last] == pytest.approx(GJR(theta), rel=1e-12)
