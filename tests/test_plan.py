"""The plan and the code printed from it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit, gammaln

import tapegrad as tg
from tapegrad.backends.interpreter import Workspace
from tapegrad.backends.numpy.compiled import Compiled
from tapegrad.function.derived import GRADIENT, HVP, VALUE
from tapegrad.plan.plan import plan
from tapegrad.plan.stages import RowLoop, Whole

RNG = np.random.default_rng(0)
N = 23
X = RNG.normal(size=(N, 3))
Y = (RNG.random(N) < 0.5).astype(float)
COUNTS = RNG.poisson(2.0, N).astype(float)
GROUP = RNG.integers(0, 4, N)
KNOTS = RNG.normal(size=(3, N))


def logistic(beta):
    eta = X @ beta
    return (Y * eta - np.logaddexp(0.0, eta)).sum()


def two_passes(mu, log_sigma):
    centred = COUNTS - mu
    scale = np.sqrt(centred**2 + 1.0).sum()
    return -0.5 * np.log1p(centred**2 / (scale + np.exp(log_sigma))).sum() - log_sigma


def gathered(u, log_sigma):
    eta = u[GROUP] * np.exp(log_sigma)
    return (COUNTS * eta - np.exp(eta) - gammaln(COUNTS + 1.0)).sum() - 0.5 * (u**2).sum()


def mixture_by_columns(w, mu):
    each = -0.5 * (COUNTS[:, None] - mu) ** 2 + np.log(w)
    return np.log(np.exp(each).sum(axis=1)).sum() + np.max(each, axis=1).sum()


def rows_on_the_right(beta):
    return np.tanh(beta @ KNOTS).sum() + (KNOTS.T @ beta)[::-1].sum()


def barrier(mu):
    return np.cumsum(np.exp(-mu * COUNTS))[-1] + np.cumsum(mu * COUNTS).sum()


def chain(u, phi):
    return -0.5 * ((u[1:] - phi * u[:-1]) ** 2).sum() - 0.5 * ((COUNTS - np.exp(u)) ** 2).sum()


def joined(mu):
    two = np.stack([COUNTS * mu, np.sin(mu * COUNTS)], axis=1)
    return (two @ np.array([0.3, 0.7])).sum() + np.where(two > 0.5, two, 0.1).sum()


def written(mu):
    out = np.zeros_like(mu * COUNTS)
    out[:] = mu * COUNTS
    out[3:7] = mu
    return (out**2).sum()


CASES = {
    "logistic": (logistic, dict(beta=np.array([0.1, -0.2, 0.3]))),
    "two passes": (two_passes, dict(mu=1.0, log_sigma=0.2)),
    "gathered": (gathered, dict(u=np.array([0.1, 0.4, -0.2, 0.0]), log_sigma=-0.3)),
    "mixture by columns": (mixture_by_columns, dict(w=np.array([0.3, 0.7]), mu=np.array([1.0, 3.0]))),
    "rows on the right": (rows_on_the_right, dict(beta=np.array([0.1, -0.2, 0.3]))),
    "barrier": (barrier, dict(mu=0.3)),
    "chain": (chain, dict(u=np.linspace(-1.0, 1.0, N), phi=0.4)),
    "joined": (joined, dict(mu=0.3)),
    "written": (written, dict(mu=0.3)),
}


def loops(found):
    return [stage for stage in found.stages if isinstance(stage, RowLoop)]


@pytest.mark.parametrize("longest", [0, 1, 4, 10**6])
@pytest.mark.parametrize("block", [1, 2, 3, 5, 10, 11, 10**6])
@pytest.mark.parametrize("name", CASES)
def test_blocks_of_any_size_give_the_reference_values(name, block, longest):
    f, params = CASES[name]
    traced = tg.trace(f, params, backend="replay")
    path = traced._router.path_at(traced.ravel(params))
    products = path.tapes[HVP]
    p = traced.structure.size
    late = products.parameters[len(path.tape.parameters) :]
    for tape, leaves in ((path.tapes[VALUE], ()), (path.tapes[GRADIENT], ()), (products, late)):
        compiled = Compiled(tape, leaves, block, longest=longest)
        ours, reference = compiled.workspace(path.data), Workspace(tape, path.data, leaves)
        for shift in (0.0, 0.1):
            vector = traced.ravel(params) + shift
            for workspace in (ours, reference):
                workspace.run(vector)
                if leaves:
                    workspace.run_late(np.linspace(0.5, 1.0, p))
            for mine, theirs in zip(ours.outputs, reference.outputs, strict=True):
                np.testing.assert_allclose(mine, theirs, rtol=1e-12, atol=1e-13)


def test_a_plain_likelihood_is_one_loop_for_value_and_gradient():
    found = plan(tg.trace(logistic, CASES["logistic"][1]).grad_tape, block=5)
    (loop,) = loops(found)
    assert loop.rows == N
    assert len(loop.sums) == 2
    assert not loop.stored
    assert not any(isinstance(stage, Whole) for stage in found.stages)


def test_what_depends_on_a_sum_takes_further_loops():
    found = plan(tg.trace(two_passes, CASES["two passes"][1]).grad_tape, block=5)
    assert len(loops(found)) == 3  # the sum, what is divided by it, and what comes back through it
    assert loops(found)[0].stored


def test_what_mixes_rows_is_executed_whole():
    found = plan(tg.trace(barrier, CASES["barrier"][1]).tape, block=5)
    whole = {entry.op.name for stage in found.stages if isinstance(stage, Whole) for entry in stage.entries}
    along = {entry.op.name for loop in loops(found) for entry in loop.entries}
    assert "cumsum" in whole
    assert {"exp", "sum"} <= along


def test_short_arrays_have_no_loops():
    found = plan(tg.trace(logistic, CASES["logistic"][1]).grad_tape)
    assert loops(found) == []
    assert str(found).startswith("plan of logistic: 1 stage\n  whole: ")


def test_several_row_lengths():
    def f(mu):
        return np.sin(mu * COUNTS).sum() + np.exp(mu * X[:11, 0]).sum()

    found = plan(tg.trace(f, dict(mu=0.1)).grad_tape, block=5)
    assert {loop.rows for loop in loops(found)} == {N, 11}


def test_the_printed_source_shows_the_users_lines():
    tape = tg.trace(logistic, CASES["logistic"][1])
    text = tape.source()
    assert "eta = X @ beta" in text
    assert "np_dot(" in text
    assert text.startswith("def bind(")


def test_names_in_the_users_comments_do_not_confuse_the_printer():
    a1 = COUNTS
    b2 = 2.0

    def f(v3):
        return (v3 * a1 * b2).sum()  # a7, b8, v9

    assert tg.trace(f, dict(v3=1.0))(dict(v3=0.5)) == pytest.approx(COUNTS.sum())


def test_where_python_raises_the_reference_takes_over():
    tape = tg.trace(lambda a: np.exp(a) / (a - 1.0) + (a * X[:, 0]).sum() * 0.0, dict(a=0.5))
    assert tape(dict(a=1.0)) == np.inf
    assert tape(dict(a=800.0)) == np.inf
    assert tape(dict(a=0.5)) == pytest.approx(np.exp(0.5) / -0.5)


def test_the_logistic_gradient_by_hand():
    beta = np.array([0.4, 0.1, -0.7])
    expected = X.T @ (Y - expit(X @ beta))
    np.testing.assert_allclose(
        tg.trace(logistic, dict(beta=np.zeros(3))).grad(beta)["beta"], expected, rtol=1e-12
    )


def test_large_data_in_blocks():
    n = 40_000
    x = RNG.normal(3.0, 2.0, n)

    def f(mu, log_sigma):
        z = (x - mu) / np.exp(log_sigma)
        return (-np.log1p(z**2) - log_sigma).sum()

    theta = np.array([2.5, 0.6])
    tape, reference = (
        tg.trace(f, dict(mu=0.0, log_sigma=0.0)),
        tg.trace(f, dict(mu=0.0, log_sigma=0.0), backend="replay"),
    )
    assert len(loops(plan(tape.grad_tape))) == 1
    value, gradient = tape.value_and_grad_flat(theta)
    expected_value, expected_gradient = reference.value_and_grad_flat(theta)
    assert value == pytest.approx(expected_value, rel=1e-13)
    np.testing.assert_allclose(gradient, expected_gradient, rtol=1e-12)
    np.testing.assert_allclose(tape.hessian(theta), reference.hessian(theta), rtol=1e-12)


@pytest.mark.parametrize("n", [200, 20_000])
def test_the_hessian_of_long_data_takes_one_pass(n):
    x = RNG.normal(3.0, 2.0, n)

    def f(beta, log_sigma):
        z = (x - beta[0] - beta[1] * np.sin(x)) / np.exp(log_sigma)
        return (-np.log1p(z**2) - log_sigma).sum()

    tape = tg.trace(f, dict(beta=np.zeros(2), log_sigma=0.0))
    assert tape._router.current.tapes.has_cheap_hessian == (n == 20_000)
    theta = dict(beta=np.array([2.5, 0.3]), log_sigma=0.6)
    columns = [
        tape.structure.ravel(tape.hvp(theta, direction))
        for direction in np.eye(3)  # by other tapes
    ]
    np.testing.assert_allclose(tape.hessian(theta), columns, rtol=1e-11, atol=1e-9)


def test_the_result_does_not_depend_on_the_number_of_threads():
    n = 100_000
    x = RNG.normal(3.0, 2.0, n)

    def f(mu, log_sigma):
        return -np.log1p(((x - mu) / np.exp(log_sigma)) ** 2).sum() - n * log_sigma

    theta = np.array([2.5, 0.6])
    one, *more = (tg.trace(f, dict(mu=0.0, log_sigma=0.0), threads=threads) for threads in (1, 2, 3))
    value, gradient = one.value_and_grad_flat(theta)
    for tape in more:
        other_value, other_gradient = tape.value_and_grad_flat(theta)
        assert other_value == value
        np.testing.assert_array_equal(other_gradient, gradient)
        np.testing.assert_array_equal(tape.hessian(theta), one.hessian(theta))


def test_an_unknown_backend():
    with pytest.raises(ValueError, match="no backend 'cuda': choose one of auto, numpy, replay, c"):
        tg.trace(logistic, CASES["logistic"][1], backend="cuda")
