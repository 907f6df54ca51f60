"""`tapegrad.scan` and `tapegrad.map` against plain Python loops and closed forms."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from scipy.signal import lfilter
from scipy.special import logsumexp

import tapegrad as tg
from tapegrad import special, stats
from tapegrad.forward import Dual
from tapegrad.graph import Value

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


# Closed forms -----------------------------------------------------------------------------------------------


def test_an_autoregression_is_lfilter():
    def f(a, b):
        return tg.scan(lambda y, x: (a * y + b * x,) * 2, 0.0, E)[1]

    y = lfilter([2.0], [1.0, -0.6], E)
    traced = tg.trace(f, dict(a=0.5, b=1.0))
    close(traced(dict(a=0.6, b=2.0)), y)
    # The derivative in a is the same filter on what came before.
    slope = lfilter([1.0], [1.0, -0.6], np.concatenate([[0.0], y[:-1]]))
    jacobian = traced.jacobian_flat(np.array([0.6, 2.0]))
    close(jacobian, np.column_stack([slope, y / 2.0]))


def test_a_geometric_sequence_in_every_order():
    def f(a):
        return tg.scan(lambda c, x: (c * a, None), 1.0, None, 9)[0]

    traced = tg.trace(f, 0.7)
    derivatives = [0.8**9, 9 * 0.8**8, 72 * 0.8**7, 504 * 0.8**6]
    close(traced(0.8), derivatives[0])
    close(traced.grad(0.8), derivatives[1])
    close(traced.hessian(0.8), derivatives[2])
    once_more = tg.trace(lambda a: traced.grad(a), 0.7)
    close(once_more.hessian(0.8), derivatives[3])


def test_the_logistic_map_has_the_derivative_of_the_chain_rule():
    def f(r, x):
        return tg.scan(lambda x, nothing: (r * x * (1 - x), x), x, None, 20)[0]

    found = tg.trace(f, dict(r=3.1, x=0.2)).grad(dict(r=3.3, x=0.3))
    x, by_r, by_x = 0.3, 0.0, 1.0
    for _ in range(20):
        by_r, by_x = x * (1 - x) + 3.3 * (1 - 2 * x) * by_r, 3.3 * (1 - 2 * x) * by_x
        x = 3.3 * x * (1 - x)
    close([found["r"], found["x"]], [by_r, by_x])


def test_a_hidden_markov_model_is_the_sum_over_all_paths():
    f, params = hidden_markov(lambda step, init, xs: tg.scan(step, init, xs[:6]))
    theta = moved(params)
    move = np.array([[theta["p"], 1 - theta["p"]], [1 - theta["p"], theta["p"]]])
    paths = np.stack(np.meshgrid(*[[0, 1]] * 7, indexing="ij"), axis=-1).reshape(-1, 7)
    terms = np.log(move[paths[:, :-1], paths[:, 1:]]).sum(1)
    terms -= 0.5 * ((E[:7] - theta["m"][paths]) ** 2).sum(1)
    close(tg.trace(f, params)(theta), logsumexp(terms))


# What is recorded -------------------------------------------------------------------------------------------


def ops(f, params):
    return tg.trace(f, params, reroll=False).tape.entries.op_names()


def test_what_is_handed_on_linearly_is_a_recurrence():
    for model in (garch, gjr, second_order, keeps_carry):
        f, params = model(tg.scan)
        found = ops(f, params)
        assert "recurrence" in found
        assert "scan" not in found


def test_what_comes_from_xs_a_step_late_is_array_code():
    for model in (ar2, ignores_carry):
        f, params = model(tg.scan)
        assert not ops(f, params) & {"recurrence", "scan"}


@pytest.mark.parametrize("model", [theta_logistic, hidden_markov, local_trend, var, truth])
def test_the_tape_does_not_grow_with_the_number_of_steps(model):
    f, params = model(tg.scan)
    assert len(tg.trace(f, params, reroll=False).tape.entries) < 60


def test_the_step_is_called_once_and_lines_are_those_of_the_step():
    calls = []

    def step(c, x):
        calls.append(not hasattr(x, "recorder"))
        return np.sin(c) + x, np.exp(x)

    traced = tg.trace(lambda a: tg.scan(step, a, E)[1].sum() * a, 0.3)
    assert calls.count(False) == 1
    assert "return np.sin(c) + x, np.exp(x)" in str(traced.tape)


# map --------------------------------------------------------------------------------------------------------


def mapped(f, params, g):
    """Compare a function with `tg.map` in it with one that has a list comprehension in its place."""
    theta = moved(params)
    ours, theirs = tg.trace(f, params), tg.trace(g, params, reroll=False)
    for found, expected in zip(flat(ours, theta), flat(theirs, theta), strict=True):
        close(found, expected)
    assert f(**params) == pytest.approx(g(**params), rel=1e-15)
    assert len(ours.tape.entries) < 40


def test_map_over_rows_is_a_product_with_a_matrix():
    mapped(
        lambda beta: np.sum(tg.map(lambda x: np.exp(-((x @ beta) ** 2)), X)),
        dict(beta=np.array([0.3, -0.4, 0.5])),
        lambda beta: np.sum(np.stack([np.exp(-((x @ beta) ** 2)) for x in X])),
    )


def test_map_looks_up_by_index():
    def f(mu, table):
        return np.sum(tg.map(lambda x: (x["e"] - mu[x["g"]]) ** 2 * table[1, x["g"]], dict(e=E, g=GROUP)))

    def g(mu, table):
        return sum((e - mu[g]) ** 2 * table[1, g] for e, g in zip(E, GROUP, strict=True))

    mapped(f, dict(mu=np.arange(4.0), table=np.arange(8.0).reshape(2, 4)), g)


def test_map_looks_up_columns_and_elements_of_its_own():
    def f(table):
        return np.sum(tg.map(lambda x: np.sin(table[:, x["g"]]) * x["z"][x["k"]], dict(g=GROUP, z=X, k=K)))

    def g(table):
        return np.sum(np.stack([np.sin(table[:, GROUP[i]]) * X[i, K[i]] for i in range(40)]))

    K = GROUP % 3
    mapped(f, dict(table=np.arange(8.0).reshape(2, 4)), g)


def test_map_gives_nests_and_whole_numbers_as_floats():
    found = tg.map(lambda x: dict(a=x, b=(x > 1, 2 * x)), np.arange(3))
    assert {k: np.asarray(v).dtype.name for k, v in found.items() if k == "a"} == {"a": "float64"}
    np.testing.assert_array_equal(found["b"][0], [False, False, True])
    traced = tg.trace(lambda w: tg.map(lambda x: dict(a=x, b=w * x), np.arange(3)), 2.0)
    np.testing.assert_array_equal(traced(3.0)["a"], [0.0, 1.0, 2.0])
    np.testing.assert_array_equal(traced(3.0)["b"], [0.0, 3.0, 6.0])


def test_a_scan_inside_map():
    def f(w):
        return tg.map(lambda row: tg.scan(lambda c, x: (np.sin(c) * w[0] + x, c), w[1], row)[0], X).sum()

    def g(w):
        total = 0.0
        for row in X:
            c = w[1]
            for x in row:
                c = np.sin(c) * w[0] + x
            total = total + c
        return total

    params, theta = dict(w=np.array([0.5, 0.4])), dict(w=np.array([0.6, 0.3]))
    ours, theirs = tg.trace(f, params), tg.trace(g, params, reroll=False)
    for found, expected in zip(flat(ours, theta), flat(theirs, theta), strict=True):
        close(found, expected)


# Loops in loops ---------------------------------------------------------------------------------------------

PANEL = RNG.normal(size=(7, 9))


def panel_garch(w, b, y):
    """A linear recursion for each series, each with a factor of its own."""

    def one(row):
        step = lambda h, e: (w[0] + 0.1 * e**2 + row["b"] * h, h)  # noqa: E731
        last, h = tg.scan(step, w[1] * row["b"], row["y"])
        return last - 0.5 * np.sum(np.log(h) + row["y"] ** 2 / h)

    return tg.map(one, dict(y=y, b=b)).sum()


def panel_vectors(w, b, y):
    """A recursion of vectors that is not linear, with a matrix of its own for each series."""

    def one(row):
        turn = np.stack([np.stack([row["b"], w[0]]), np.stack([w[1], row["b"] * w[0]])])
        step = lambda c, e: (np.tanh(turn @ c) + e, c[0] * c[1])  # noqa: E731
        last, ys = tg.scan(step, np.stack([w[0], row["b"]]), row["y"])
        return last[0] * last[1] + ys.sum()

    return tg.map(one, dict(y=y, b=b)).sum()


def panel_var(w, b, y):
    """A recursion of two numbers that is linear, and the same factors for all series."""

    def one(row):
        step = lambda c, e: ((w[0] * c[0] + w[1] * c[1] + e, c[0] - 0.3 * c[1]), c[1] ** 2)  # noqa: E731
        last, ys = tg.scan(step, (row["b"], w[0]), row["y"])
        return last[0] * last[1] + ys.sum()

    return tg.map(one, dict(y=y, b=b)).sum()


def panel_scores(w, b, y):
    """The derivative of a recursion, in the step of another."""
    inner = tg.trace(lambda a: tg.scan(lambda c, e: (a * c + e, np.sin(c)), 0.3, E[:5])[1].sum(), 0.2)

    def step(c, row):
        return c * w[0] + inner.grad(row["b"] * c) * w[1], row["y"].sum() * c

    return tg.scan(step, w[1], dict(y=y, b=b))[1].sum()


@pytest.mark.parametrize("length", [1, 2, 9])
@pytest.mark.parametrize("model", [panel_garch, panel_vectors, panel_var, panel_scores])
def test_loops_in_loops(model, length, monkeypatch):
    params = dict(w=np.array([0.4, 0.6]), b=np.linspace(0.2, 0.8, 7))
    theta, y = moved(params), PANEL[:, :length]
    ours = tg.trace(lambda w, b: model(w, b, y), params)
    assert len(ours.tape.entries) < 60
    found = flat(ours, theta)
    monkeypatch.setattr(tg, "scan", by_hand)
    monkeypatch.setattr(tg, "map", lambda f, xs: by_hand(lambda c, x: (c, f(x)), 0.0, xs)[1])
    theirs = tg.trace(lambda w, b: model(w, b, y), params, reroll=False)
    for one, expected in zip(found, flat(theirs, theta), strict=True):
        close(one, expected)


# What else is asked of a tape -------------------------------------------------------------------------------


def test_sparse_hessians():
    def f(a, b):
        return tg.scan(lambda c, x: (np.sin(c) * a + x, c * b), a, E)[1].sum()

    traced = tg.trace(f, dict(a=0.4, b=1.2))
    sparse = traced.hessian(dict(a=0.5, b=1.1), sparse=True)
    close(sparse.toarray(), traced.hessian_flat(np.array([0.5, 1.1])))


def test_fits_are_stored_with_their_scans(tmp_path):
    y = 1.0 + lfilter([1.0], [1.0, -0.6], RNG.normal(size=200))

    def loglik(mu, phi, log_sigma):
        def step(carry, y):
            mean = np.tanh(carry * phi) + mu
            return y - mu, -log_sigma - 0.5 * ((y - mean) / np.exp(log_sigma)) ** 2

        return tg.scan(step, 0.0, y)[1].sum()

    result = tg.fit(loglik, dict(mu=0.5, phi=0.3, log_sigma=0.0))
    result.save(tmp_path / "fit.json")
    again = tg.load(tmp_path / "fit.json")
    assert again.params == result.params
    np.testing.assert_array_equal(again.cov_params(), result.cov_params())


def test_tapes_with_scans_are_stored_and_pickled(tmp_path):
    f, params = local_trend(tg.scan)
    traced = tg.trace(f, params)
    tg.save(traced.tape, tmp_path / "tape.json")
    assert str(tg.load(tmp_path / "tape.json")).splitlines()[0] == str(traced.tape).splitlines()[0]
    assert str(pickle.loads(pickle.dumps(traced.tape))) == str(traced.tape)


def test_explain_names_the_step():
    traced = tg.trace(lambda a: tg.scan(lambda c, x: (np.log(c) * a + x, c), a, E + 4)[1].sum(), 3.0)
    told = str(traced.explain(-3.0))
    assert "in step 1 of 40" in told
    assert "np.log(c) * a + x" in told


@pytest.mark.parametrize("backend", ["numpy", "replay"])
def test_backends(backend):
    f, params = theta_logistic(tg.scan)
    theta = moved(params)
    close(tg.trace(f, params, backend=backend)(theta), f(**theta))


# Bad input --------------------------------------------------------------------------------------------------


def refused(error, match, step, init=1.0, xs=E, length=None):
    """The same error on plain numbers and in a trace."""
    with pytest.raises(error, match=match):
        tg.scan(lambda c, x: step(c, x, 0.5), init, xs, length)
    with pytest.raises(error, match=match):
        tg.trace(lambda a: tg.scan(lambda c, x: step(c, x, a), init, xs, length)[0], 0.5)


def test_another_structure_or_shape():
    refused(ValueError, r"test_scan.py:\d+\) returned as its carry a tuple", lambda c, x, a: ((c, a), x))
    refused(
        ValueError, r"its carry an array of shape \(2,\); expected a number", lambda c, x, a: (a * E[:2], x)
    )
    refused(
        ValueError, "a dict of b: a number; expected a dict of a: ", lambda c, x, a: (dict(b=a), x), dict(a=1)
    )
    refused(ValueError, "returned as its carry None", lambda c, x, a: (None, x))
    refused(ValueError, "expected None", lambda c, x, a: (a * x, x), None)
    refused(TypeError, "expected a pair: the carry and y", lambda c, x, a: c * a)
    refused(TypeError, "returned a tuple of 3; expected a pair", lambda c, x, a: (c, a, x))


def test_y_of_another_shape_in_a_later_step():
    with pytest.raises(
        ValueError, match=r"its y an array of shape \(2,\); expected an array of shape \(1,\)"
    ):
        tg.map(lambda n: np.ones(int(n)), np.arange(1, 4))


def test_a_dict_in_another_order_and_lists_for_tuples_are_the_same_structure():
    def f(a):
        carry, _ = tg.scan(
            lambda c, x: (dict(v=[c["v"][0] * a], u=c["u"] + x), None), dict(u=1.0, v=(2.0,)), E
        )
        return carry["u"] * carry["v"][0]

    close(tg.trace(f, 0.9)(0.8), (1.0 + E.sum()) * 2.0 * 0.8**40)
    close(f(0.8), (1.0 + E.sum()) * 2.0 * 0.8**40)


def test_xs_of_unequal_length():
    step = lambda c, x, a: (c * a, None)  # noqa: E731
    refused(ValueError, "e has 40, z has 3: xs need one length", step, xs=dict(e=E, z=E[:3]))
    refused(ValueError, "length has 3, xs has 40", step, length=3)
    refused(ValueError, "hand over xs, or length", step, xs=None)
    refused(ValueError, r"xs\[0\] is a number: .* write np.array", step, xs=[1.0, 2.0])
    refused(TypeError, "xs must be a real number", step, xs=E + 1j)
    refused(TypeError, "init must be a real number", step, init="one")
    refused(TypeError, "xs is a MaskedArray", step, xs=np.ma.masked_greater(E, 1.0))
    refused(ValueError, "length must be at least 0, not -2", step, xs=None, length=-2)
    refused(TypeError, "cannot be interpreted as an integer", step, xs=None, length=2.5)


def test_no_step():
    carry, ys = tg.scan(lambda c, x: (2 * c, (c, x * np.ones(3), x > 0)), 1, E[:0])
    assert (carry, ys[0].shape, ys[1].shape, ys[2].dtype.name) == (1.0, (0,), (0, 3), "bool")
    traced = tg.trace(lambda a: tg.scan(lambda c, x: (a * c, c), a, E[:0])[1].sum() + a**2, 0.5)
    close(traced.grad(0.7), 1.4)
    assert tg.map(lambda x: x @ np.ones((2, 5)), np.ones((0, 2))).shape == (0, 5)


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("model", [garch, gjr, theta_logistic, local_trend, truth])
def test_few_steps(model, count):
    f, params = model(lambda step, init, xs: tg.scan(step, init, xs[:count]))
    g, _ = model(lambda step, init, xs: by_hand(step, init, xs[:count]))
    if model is garch:  # which has the data in its likelihood, too
        f, g = (lambda omega, alpha, beta, f=f: tail(f, omega, alpha, beta, count) for f in (f, g))
    theta = moved(params)
    ours, theirs = tg.trace(f, params), tg.trace(g, params, reroll=False)
    for found, expected in zip(flat(ours, theta), flat(theirs, theta), strict=True):
        close(found, expected)


def tail(f, omega, alpha, beta, count):
    global E
    whole, E = E, E[:count]
    try:
        return f(omega, alpha, beta)
    finally:
        E = whole


def test_a_nan_in_one_step():
    y = E.copy()
    y[4] = np.nan
    traced = tg.trace(lambda a: tg.scan(lambda c, x: (np.sin(c) * a, np.where(x > 0, x, c)), a, y)[0], 0.4)
    c = 0.4
    for _ in E:
        c = np.sin(c) * 0.4
    close(traced(0.4), c)


@pytest.mark.parametrize("on", ["c > x", "x > 0.5", "abs(c) < 1 and x > 0"])
def test_branches_are_refused_by_their_line(on):
    space = {}
    exec(f"def step(c, x):\n    return (c * 0.5 if {on} else c), c", space)
    with pytest.raises(tg.TraceError, match=r"a step of scan decides on a traced value.*np\.where"):
        tg.trace(lambda a: tg.scan(space["step"], a, E)[0], 0.5)


def test_a_decision_that_is_the_same_in_all_steps_is_a_guard():
    def f(a):
        def step(c, x):
            return (c * a if x * a > -3.0 else c + 10.0 * a), c

        return tg.scan(step, 1.0, E)[0]

    traced = tg.trace(f, 0.5)
    close(traced(0.7), 0.7**40)
    assert traced.retraces == 0
    with pytest.raises(tg.TraceError, match="decides on a traced value"):  # where it is no longer the same
        traced(3.0)


def test_densities_that_look_at_their_data_go_through_map():
    counts = np.arange(40) % 7
    mapped(
        lambda mu: tg.map(lambda k: stats.poisson.logpmf(k, mu), counts).sum(),
        dict(mu=2.5),
        lambda mu: stats.poisson.logpmf(counts, mu).sum(),
    )


def test_an_index_of_plain_data_is_refused_by_its_line():
    with pytest.raises(tg.TraceError, match=r"a step of map asks for a traced whole number.*`.*X\[i\]"):
        tg.trace(lambda w: tg.map(lambda i: X[i] @ w, np.arange(4)).sum(), np.ones(3))


def test_what_leaves_a_step_is_refused():
    def leaks(a):
        kept = []
        last, _ = tg.scan(lambda c, x: (kept.append(c) or c * a, None), a, E)
        return last + kept[-1]

    with pytest.raises(tg.TraceError, match=r"value of a step of scan was used outside.*kept\[-1\]"):
        tg.trace(leaks, 0.5)


def test_writing_to_outside_state_is_refused():
    def counts(a):
        count = [0]

        def step(c, x):
            count[0] += 1
            return c * a + count[0], c

        return tg.scan(step, a, E)[0]

    def appends(a):
        seen = []
        tg.scan(lambda c, x: (c * a, seen.append(1.0)), a, E)
        return a * len(seen)

    for f in (counts, appends):
        with pytest.raises(
            tg.ReplayError, match="change something outside of it, such as a list or a counter"
        ):
            tg.trace(f, 0.5)

    def fills(w):
        around = np.zeros_like(w)

        def step(c, x):
            around[0] = c
            return c * w[0], c

        return tg.scan(step, w[0], E)[0] + around[0]

    def adds(w):
        around = np.zeros_like(w)

        def step(c, x):
            around[:] += w
            return c * w[0], c

        return tg.scan(step, w[0], E)[0] + around[0]

    for f in (fills, adds):
        with pytest.raises(tg.TraceError, match=r"writes to an array from around it.*around\["):
            tg.trace(f, np.array([0.5, 0.4]))


def test_a_step_may_change_what_it_is_given():
    start = np.array([1.0, 2.0])

    def f(a):
        def step(c, x):
            c += x * a
            x *= 2.0
            return c, c

        last, ys = tg.scan(step, start, X[:, :2])
        return np.sum(last * ys[3])

    expected = lambda a: np.sum((start + a * X[:, :2].sum(0)) * (start + a * X[:4, :2].sum(0)))  # noqa: E731
    before = X.copy()
    close(f(0.5), expected(0.5))
    close(tg.trace(f, 0.5)(0.7), expected(0.7))
    np.testing.assert_array_equal(X, before)
    np.testing.assert_array_equal(start, [1.0, 2.0])


def test_whole_numbers_are_floats_and_truth_values_stay():
    carry, ys = tg.scan(lambda c, x: (c + 1, c), 1, np.arange(3))
    assert type(carry) is np.float64
    assert ys.dtype == np.float64
    carry, _ = tg.scan(lambda c, x: (c & (x < 2), None), True, np.arange(3))
    assert carry.dtype == bool
    with pytest.raises(TypeError, match=r"carries a truth value.*write 1.0 and 0.0"):
        tg.scan(lambda c, x: (c * 0.5, None), True, np.arange(3))
    with pytest.raises(TypeError, match=r"carries a truth value.*write 1.0 and 0.0"):
        tg.trace(lambda a: tg.scan(lambda c, x: (c * a, None), True, np.arange(3))[0], 0.5)


def test_nothing_traced_stays_plain():
    def f(a):
        last, ys = tg.scan(lambda c, x: (c * 0.5 + x, c), 1.0, E)
        assert type(last) is np.float64
        assert type(ys) is np.ndarray
        return a * last

    close(tg.trace(f, 0.5).grad(0.5), tg.scan(lambda c, x: (c * 0.5 + x, c), 1.0, E)[0])


def test_dual_numbers():
    last, ys = tg.scan(lambda c, x: (c * 0.5 + x, c**2), Dual(1.0, 1.0), E[:3])
    close(last.tangent, 0.125)
    close(ys.tangent, 2 * np.array([1.0, 0.5 * (0.5 + E[0]), 0.25 * (0.25 + 0.5 * E[0] + E[1])]))


def test_nodes_of_graph():
    a = Value(0.6)
    last, ys = tg.scan(lambda c, x: (c * a + x, c**2), 1.0, E[:3])
    (last + ys.sum()).backward()
    f = tg.trace(lambda a: np.sum(tg.scan(lambda c, x: (c * a + x, c**2), 1.0, E[:3])[1]), 0.6)
    g = tg.trace(lambda a: tg.scan(lambda c, x: (c * a + x, c**2), 1.0, E[:3])[0], 0.6)
    close(a.grad, f.grad(0.6) + g.grad(0.6))


def test_the_result_can_be_written_to():
    def f(a):
        last, ys = tg.scan(lambda c, x: (c * a, x), a, E)
        ys[0] = last
        return np.sum(ys**2)

    close(tg.trace(f, 0.9)(0.8), 0.8**82 + np.sum(E[1:] ** 2))
