"""`tapegrad.scan` and `tapegrad.map` against plain Python loops and closed forms."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from scipy.signal import lfilter
from scipy.special import logsumexp

import tapegrad as tg
from tapegrad import special

RNG = np.random.default_rng(7)
E = RNG.normal(size=40)
X = RNG.normal(size=(40, 3))
GROUP = RNG.integers(0, 4, size=40)
WALK = np.cumsum(RNG.normal(size=(30, 2)), axis=0)


def by_hand(step, init, xs=None, length=None):
    """What `scan` does, as anybody would write it."""
    count = length if xs is None else len(xs if not isinstance(xs, dict) else next(iter(xs.values())))
    carry, ys = init, []
    for t in range(count):
        x = {k: v[t] for k, v in xs.items()} if isinstance(xs, dict) else None if xs is None else xs[t]
        carry, y = step(carry, x)
        ys.append(y)
    return carry, stacked(ys)


def stacked(ys):
    if ys[0] is None:
        return None
    if isinstance(ys[0], tuple):
        return tuple(stacked(column) for column in zip(*ys, strict=True))
    return np.stack(ys)


# Models: each is given `scan`, and gives a function of its parameters and where to look at it ---------------


def garch(scan):
    def f(omega, alpha, beta):
        def step(h, e):
            return omega + alpha * e**2 + beta * h, h

        last, h = scan(step, omega / (1 - alpha - beta), E)
        return -0.5 * np.sum(np.log(h) + E**2 / h) + last

    return f, dict(omega=0.1, alpha=0.1, beta=0.8)


def gjr(scan):
    def f(mu, omega, alpha, gamma, beta):
        def step(carry, x):
            h, before = carry
            h = omega + (alpha + gamma * np.where(before < 0, 1.0, 0.0)) * before**2 + beta * h
            e = x - mu
            return (h, e), -0.5 * (np.log(h) + e**2 / h)

        (h, e), terms = scan(step, (omega / (1 - alpha - beta), 0.0), E)
        return terms.sum() + h * e

    return f, dict(mu=0.01, omega=0.1, alpha=0.1, gamma=0.05, beta=0.7)


def ar2(scan):
    def f(a, b, s):
        def step(carry, x):
            one, two = carry
            return (x, one), (x - a * one - b * two) ** 2

        last, squares = scan(step, (0.0, s), E)
        return -squares.sum() / s - 40 * np.log(s) + last[1] * s

    return f, dict(a=0.5, b=-0.2, s=1.2)


def second_order(scan):
    """Two numbers that move each other, the second one a step late."""

    def f(a, b, w):
        def step(carry, x):
            one, two = carry
            return (w + a * one - two / b + x, one), one * x

        last, ys = scan(step, (w, 0.5), E)
        return np.sum(ys**2) + last[0] * last[1]

    return f, dict(a=0.3, b=4.0, w=0.4)


def theta_logistic(scan):
    def f(r, k, s):
        def step(x, y):
            x = x + r * (1 - np.exp(x) / k)
            return x, (y - x) ** 2 / s

        last, terms = scan(step, np.log(k) * 0.5, E)
        return last - terms.sum() - 40 * np.log(s)

    return f, dict(r=0.3, k=2.0, s=1.0)


def hidden_markov(scan):
    def f(m, p):
        def step(logp, y):
            move = np.log(np.stack([np.stack([p, 1 - p]), np.stack([1 - p, p])]))
            logp = special.logsumexp(logp[:, None] + move, axis=0) - 0.5 * (y - m) ** 2
            return logp, None

        logp, nothing = scan(step, -0.5 * (E[0] - m) ** 2, E[1:])
        assert nothing is None
        return special.logsumexp(logp)

    return f, dict(m=np.array([-0.5, 0.7]), p=0.8)


def local_trend(scan):
    move = np.array([[1.0, 1.0], [0.0, 1.0]])

    def f(q, r):
        def step(carry, y):
            a, p = carry
            a = move @ a
            p = move @ p @ move.T + np.diag(q**2)
            v, s = y - a[0], p[0, 0] + r**2
            gain = p[:, 0] / s
            return (a + gain * v, p - np.outer(gain, p[0])), -0.5 * (np.log(s) + v**2 / s)

        (a, p), terms = scan(step, (np.zeros(2), 10.0 * np.eye(2)), WALK[:, 0])
        return terms.sum() + a[0] * p[1, 1]

    return f, dict(q=np.array([0.5, 0.3]), r=0.9)


def var(scan):
    def f(a, c):
        def step(y, x):
            return c + a @ y + 0.1 * x, np.sum((x - y) ** 2)

        last, terms = scan(step, np.zeros(2), WALK)
        return -terms.sum() + last @ c

    return f, dict(a=np.array([[0.5, 0.1], [-0.2, 0.3]]), c=np.array([0.1, 0.2]))


def no_xs(scan):
    def f(a):
        last, ys = scan(lambda x, nothing: (np.cos(a * x), x), 1.0, None, 12)
        return last * ys.sum()

    return f, dict(a=0.7)


def ignores_x(scan):
    return lambda a: scan(lambda c, x: (c * a, c), 1.0, E)[1].sum(), dict(a=0.9)


def ignores_carry(scan):
    return lambda a: scan(lambda c, x: (x * a, c * x), a, E)[1].sum(), dict(a=0.9)


def keeps_carry(scan):
    def f(a):
        (same, _), ys = scan(lambda c, x: ((c[0], c[0] * c[1] + x), c[1]), (a, 0.0), E)
        return same * ys.sum()

    return f, dict(a=0.9)


def swaps(scan):
    def f(a, b):
        last, ys = scan(lambda c, x: ((c[1], c[0]), c[0] * x), (a, b), E)
        return ys.sum() + last[0] ** 2 * last[1]

    return f, dict(a=0.9, b=1.1)


def constant_output(scan):
    return lambda a: scan(lambda c, x: (c + x * a, (a, 2.0)), a, E)[1][0].sum(), dict(a=0.9)


def nested(scan):
    def f(a, b):
        def outer(c, row):
            last, inner = scan(lambda d, x: (np.tanh(a * d + x * c), d), b * c, row)
            return last, inner.sum()

        last, ys = scan(outer, a, X)
        return last + (ys**2).sum()

    return f, dict(a=0.4, b=0.6)


def two_arrays(scan):
    def f(a):
        def step(c, x):
            return np.sin(c) + a * x["e"] * x["z"][1], c

        last, ys = scan(step, a, dict(e=E, z=X))
        return last + ys.sum()

    return f, dict(a=0.4)


def traced_xs(scan):
    def f(a, b):
        last, ys = scan(lambda c, x: (np.sin(c) * x, c), b, E * a + b)
        return last + ys.sum()

    return f, dict(a=0.4, b=0.3)


def local_array(scan):
    """An array that is made and filled within the step, out of values from around it."""

    def f(w):
        def step(c, x):
            z = np.zeros_like(w)
            z[0], z[1] = c * w[0], x
            copy = w.copy()
            copy[1] = c
            return np.sum(np.sin(z) * copy), z[0]

        last, ys = scan(step, 0.3, E)
        return last + ys.sum()

    return f, dict(w=np.array([0.5, 0.7]))


def decides_on_what_is_fixed(scan):
    def f(w):
        def step(c, x):
            if w[0] > 0 and np.any(w > 0.6):
                return c * w[0] + x, c
            return c, c

        last, ys = scan(step, 0.3, E)
        return last + ys.sum()

    return f, dict(w=np.array([0.5, 0.7]))


def truth(scan):
    """A truth value that is carried."""

    def f(a):
        def step(carry, x):
            level, alive = carry
            alive = alive & (x * a < 1.2)
            return (np.where(alive, level * a + 0.1, level), alive), np.where(alive, level, 0.0)

        (level, alive), ys = scan(step, (1.0, True), E)
        return level + ys.sum() + np.where(alive, a, 2 * a)

    return f, dict(a=0.9)


MODELS = [
    *(garch, gjr, ar2, second_order, theta_logistic, hidden_markov, local_trend, var, no_xs, ignores_x),
    *(ignores_carry, keeps_carry, swaps, constant_output, nested, two_arrays, traced_xs, local_array),
    *(decides_on_what_is_fixed, truth),
]


def close(found, expected):
    scale = max(1.0, np.abs(expected).max())
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12 * scale)


def flat(traced, theta):
    vector = traced.structure.ravel(theta)
    return *traced.value_and_grad_flat(vector), traced.hessian_flat(vector)


def moved(params):
    return {k: v * np.linspace(0.95, 1.07, np.size(v)).reshape(np.shape(v)) for k, v in params.items()}


@pytest.mark.parametrize("model", MODELS, ids=lambda m: m.__name__)
def test_scan_is_the_loop_that_is_written_out(model):
    f, params = model(tg.scan)
    g, _ = model(by_hand)
    theta = moved(params)
    ours, theirs = tg.trace(f, params), tg.trace(g, params, reroll=False)
    assert ours(theta) == pytest.approx(g(**theta), rel=1e-12)
    for found, expected in zip(flat(ours, theta), flat(theirs, theta), strict=True):
        close(found, expected)


@pytest.mark.parametrize("model", MODELS, ids=lambda m: m.__name__)
def test_scan_on_plain_numbers_is_the_loop(model):
    (f, params), (g, _) = model(tg.scan), model(by_hand)
    assert f(**params) == g(**params)
