"""The JAX backend: every op that it has, models, loops, and what JAX does otherwise."""

from __future__ import annotations

import re
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from scipy import special, stats

import tapegrad as tg
from benchmarks.gpu import print_gpu
from tapegrad.backends.jax.backend import compiled
from tapegrad.backends.jax.forms import FORMS, JOINED, ORDERS
from tapegrad.backends.jax.printer import NoForm
from tapegrad.backends.jax.without import _BY_NAME
from tapegrad.backends.replay import evaluate
from tapegrad.ops import OPS
from tests.loop_programs import program as loop_program
from tests.test_c_random import _examples
from tests.test_ops import DIFFERENTIABLE, SAMPLES, Program, _traceable
from tests.test_random_programs import PROGRAM, THETA
from tests.test_strangers import hostile_tapes

jax = pytest.importorskip("jax")

pytestmark = pytest.mark.filterwarnings("ignore::tapegrad.UnusedParameterWarning")

TOLERANCE = 1e-12


def outputs_of(tape: Any, point: Any) -> list[Any]:
    workspace = compiled(tape, (), 1).workspace({})
    workspace.run(point)
    return list(workspace.outputs)


def compared(parameter: Any, kind: str) -> None:
    program = Program(parameter, masks=kind == "value")
    if not _traceable(program):
        pytest.skip("nothing to trace")
    traced = tg.trace(program.op if kind == "value" else program.scalar, program.params, backend="replay")
    tape = traced.tape if kind == "value" else traced.grad_tape
    for theta in (program.params, program.elsewhere()):
        point = traced.ravel(theta)
        values = evaluate(tape, point, {})
        expected = [np.asarray(values[slot]) for slot in tape.outputs]
        try:
            found = outputs_of(tape, point)
        except NoForm:
            pytest.skip("JAX has no form of this op, or of its slope")
        size = max((np.max(np.abs(e[np.isfinite(e)]), initial=0.0) for e in expected), default=0.0)
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(one, other, rtol=TOLERANCE, atol=TOLERANCE * size)


@pytest.mark.parametrize("parameter", SAMPLES)
def test_every_op_gives_what_the_reference_gives(parameter: Any) -> None:
    compared(parameter, "value")


@pytest.mark.slow
@pytest.mark.parametrize("parameter", DIFFERENTIABLE)
def test_every_slope_is_that_of_the_reference(parameter: Any) -> None:
    compared(parameter, "gradient")


# Models -----------------------------------------------------------------------------------------------------

RNG = np.random.default_rng(30)
X = RNG.normal(size=(200, 3))
Y = RNG.poisson(np.exp(X @ [0.3, -0.2, 0.1])).astype(float)
GROUP = RNG.integers(0, 5, 200)
START = dict(b=np.array([0.1, 0.2, -0.3]))


def poisson(b):
    eta = X @ b
    return (Y * eta - np.exp(eta) - special.gammaln(Y + 1.0)).sum()


def student(b):
    z = (Y - b[0]) / np.exp(b[1])
    nu = 2.0 + np.exp(b[2])
    return (
        special.gammaln((nu + 1) / 2) - special.gammaln(nu / 2) - b[1] - (nu + 1) / 2 * np.log1p(z**2 / nu)
    ).sum()


def probit(b):
    return special.log_ndtr(np.where(Y > 1.0, X @ b, -(X @ b))).sum()


def grouped(b):
    effect = np.concatenate([b, b[:2] ** 2])
    return stats.norm.logpdf(Y, effect[GROUP], np.exp(b[0])).sum()


def mixture(b):
    return np.logaddexp(-0.5 * (Y - b[0]) ** 2, b[2] - 0.5 * (Y - b[1]) ** 2).sum()


def garch(b):
    h, total = 1.0, 0.0
    for y in Y:
        h = 0.1 + np.exp(b[0]) * 0.1 * y * y + 0.5 / (1.0 + np.exp(-b[1])) * h
        total = total - 0.5 * (np.log(h) + y * y / h)
    return total + b[2]


def nonlinear(b):
    state, total = b[0], 0.0
    for y in Y:
        state = np.tanh(b[1] * state + 0.1 * y)
        total = total - (y - state - b[2]) ** 2
    return total


def with_a_branch(b):
    return (Y * b[0]).sum() if b[1] > 0.0 else -(np.abs(Y * b[2])).sum()


def with_matrices(b):
    covariance = np.eye(3) * np.exp(b[0]) + 0.1 * np.outer(b, b)
    factor = np.linalg.cholesky(covariance)
    return -0.5 * (np.linalg.solve(covariance, X.T) * X.T).sum() - len(X) * np.log(np.diag(factor)).sum()


MODELS = [poisson, student, grouped, mixture, garch, nonlinear, with_a_branch, with_matrices]


@pytest.mark.parametrize("model", MODELS)
def test_models_agree_with_the_reference(model):
    reference, traced = (tg.trace(model, START, backend=backend) for backend in ("replay", "jax"))
    for theta in (START["b"], np.array([0.2, -0.4, 0.5])):
        value, slope = reference.value_and_grad_flat(theta)
        found, gradient = traced.value_and_grad_flat(theta)
        assert found == pytest.approx(value, rel=1e-12)
        np.testing.assert_allclose(gradient, slope, rtol=1e-11, atol=1e-11 * np.abs(slope).max())
        curvature = reference.hessian_flat(theta)
        np.testing.assert_allclose(
            traced.hessian_flat(theta), curvature, rtol=1e-10, atol=1e-11 * np.abs(curvature).max()
        )
    assert traced.retraces == reference.retraces


def test_a_fit_is_the_same():
    reference, found = (tg.fit(tg.trace(poisson, START, backend=b), START) for b in ("numpy", "jax"))
    np.testing.assert_allclose(found.x, reference.x, rtol=1e-10)
    np.testing.assert_allclose(found.bse, reference.bse, rtol=1e-10)


def test_other_data_and_source():
    def loglik(mu, x):
        return -((x - mu) ** 2).sum()

    traced = tg.trace(
        loglik, dict(mu=0.0), data=dict(x=np.arange(3.0)), backend="jax", sufficient_statistics=False
    )
    assert traced.with_data(x=np.array([1.0, 1.0, 4.0]))(dict(mu=1.0)) == -9.0
    assert re.search(
        r"def early\(theta, data\):\n    v0 = theta\[0\]  # mu\n(    .*\n)*    # test_jax.py:\d+  return -",
        traced.source(),
    )


# What JAX does otherwise ------------------------------------------------------------------------------------


def test_numbers_are_float64_and_the_setting_of_the_process_stays():
    traced = tg.trace(lambda x: np.sum(x / 3.0), dict(x=np.ones(3)), backend="jax")
    assert traced.value_flat(np.array([1.0, 1e-12, 0.0])) == (1.0 / 3.0 + 1e-12 / 3.0)
    assert not jax.config.jax_enable_x64
    assert jax.numpy.ones(1).dtype == np.float32


def test_an_index_that_does_not_exist_is_an_error():
    def loglik(b, i):
        return (b[i] ** 2).sum()

    traced = tg.trace(loglik, dict(b=np.ones(3)), data=dict(i=np.array([0, 2])), backend="jax")
    assert traced.with_data(i=np.array([-1, -3]))(dict(b=np.array([1.0, 2.0, 3.0]))) == 10.0
    with pytest.raises(IndexError, match=r"index 3 is out of bounds.*test_jax\.py:\d+: `return \(b\[i\]"):
        traced.with_data(i=np.array([0, 3]))(dict(b=np.ones(3)))


def test_what_is_not_chosen_has_no_slope():
    x = np.array([0.0, 1.0, -1.0])
    traced = tg.trace(lambda b: np.where(x * b > 0.0, np.log(x * b), 0.0).sum(), dict(b=2.0), backend="jax")
    assert traced.grad(dict(b=2.0)) == dict(b=0.5)


def test_an_op_without_a_form_is_told_with_its_line():
    traced = tg.trace(lambda b: special.owens_t(b, 1.0), dict(b=2.0), backend="jax")
    with pytest.raises(
        NoForm, match=r"the backend 'jax' cannot run owens_t at .*test_jax\.py:\d+: `traced = "
    ):
        traced(dict(b=1.0))


def test_the_reason_is_told_for_which_there_is_no_form():
    traced = tg.trace(lambda b: special.gammaincinv(2.0, b), dict(b=0.2), backend="jax")
    with pytest.raises(NoForm, match=r"cannot run gammaincinv at .*: it is found step by step, by a search"):
        traced(dict(b=0.1))


def test_no_text_of_a_hostile_tape_is_run():
    for tape in hostile_tapes():
        try:
            compiled(tape, (), 1).workspace({}).run(np.ones(1))
        except (NameError, SyntaxError):  # foreign text has got into the source
            raise
        except Exception:
            continue


def test_the_source_stands_for_itself():
    """It has its imports, and a loop is a function that reads what stands around it."""
    traced = tg.trace(nonlinear, START, backend="jax")
    source = traced.source()
    assert re.search(r"    def step_v\d+\(state, own\):\n        s\d+ = state\[0\]\n", source)
    namespace = {}
    exec(source, namespace)
    program = compiled(traced.grad_tape, (), 1)
    with jax.enable_x64(True):
        _, (value, *_), outside = namespace["early"](START["b"], program.arrays({}))
    assert float(value) == pytest.approx(nonlinear(START["b"]), rel=1e-12)
    assert outside is None


def test_a_loop_that_gathers_checks_its_indices():
    def loglik(b, i, y):
        def step(state, own):
            place, y = own
            state = np.tanh(0.5 * state + b[place] * y)
            return state, state

        return (tg.scan(step, b[0], (i, y))[1] ** 2).sum()

    data = dict(i=np.array([0, 2, 1, 1]), y=np.arange(4.0))
    found, expected = (tg.trace(loglik, dict(b=np.ones(3)), data=data, backend=b) for b in ("jax", "replay"))
    point = np.array([0.1, -0.4, 0.7])
    np.testing.assert_allclose(found.hessian_flat(point), expected.hessian_flat(point), rtol=1e-12)
    assert "lax.scan" in found.source()
    assert ".add(" in found.source()
    with pytest.raises(IndexError, match="index 3 is out of bounds"):
        found.with_data(i=np.array([0, 2, 3, 1]))(dict(b=np.ones(3)))


def test_a_loop_that_gathers_by_its_state():
    def loglik(b, y):
        def step(state, y):
            state = np.tanh(0.5 * state + b[np.floor(2.9 * np.abs(state)).astype(int)] * y)
            return state, state

        return (tg.scan(step, 0.1, y)[1] ** 2).sum()

    data = dict(y=np.linspace(-2.0, 2.0, 9))
    found, expected = (tg.trace(loglik, dict(b=np.ones(3)), data=data, backend=b) for b in ("jax", "replay"))
    point = np.array([0.6, -0.4, 1.7])
    value, gradient = expected.value_and_grad_flat(point)
    here, slope = found.value_and_grad_flat(point)
    assert here == pytest.approx(value, rel=1e-12)
    np.testing.assert_allclose(slope, gradient, rtol=1e-12)
    assert "outside_" in found.source()


def test_auto_never_picks_it():
    traced = tg.trace(poisson, START)
    for _ in range(50):
        traced.value_and_grad_flat(START["b"])
    assert "jnp" not in traced.source()


def test_the_table_has_ops_alone():
    assert not (set(FORMS) | set(JOINED) | set(ORDERS) | set(_BY_NAME)) - set(OPS)
    assert not set(_BY_NAME) & (set(FORMS) | set(JOINED))


def test_beta_keeps_its_digits():
    """JAX's own has 6 of them there, see findings/jax-beta-seven-digits.sh."""
    traced = tg.trace(lambda a: special.betaln(a, 0.5), dict(a=1.0), backend="jax")
    assert traced(dict(a=8.1)) == pytest.approx(special.betaln(8.1, 0.5), rel=1e-13)


@pytest.mark.slow
def test_the_script_for_gpus_runs_on_the_processor(capsys):
    assert print_gpu("cpu", 5_000) == 0
    lines = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"ops: \d+ agree with the reference to 1e-12; \d+ have no form for JAX", lines[1])
    assert lines[2].startswith("models: ")
    assert print_gpu("gpu", 5_000) == 0 or jax.devices("gpu")


def test_data_in_pieces_run_on_it(tmp_path):
    x = np.lib.format.open_memmap(tmp_path / "x.npy", mode="w+", shape=(20_000,))
    x[:] = RNG.normal(size=20_000)

    def loglik(mu, x):
        return -np.log1p((x - mu) ** 2).sum()

    found, expected = (tg.trace(loglik, dict(mu=0.1), data=dict(x=x), backend=b) for b in ("jax", "numpy"))
    assert found.value_flat(np.array([0.3])) == pytest.approx(expected.value_flat(np.array([0.3])), rel=1e-13)


# Random programs --------------------------------------------------------------------------------------------


def agree(tapes: list[tuple[Any, Any]], tolerance: float = TOLERANCE) -> int:
    """Compare tapes, each at a point, with the reference; how many JAX could run."""
    ran = 0
    for tape, point in tapes:
        try:
            found = outputs_of(tape, point)
        except NoForm:
            continue
        values = evaluate(tape, point, {})
        expected = [np.asarray(values[slot]) for slot in tape.outputs]
        size = max([1.0, *(np.max(np.abs(e[np.isfinite(e)]), initial=0.0) for e in expected)])
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance * size)
        ran += 1
    return ran


@pytest.mark.filterwarnings(
    *(f"ignore::tapegrad.{kind}Warning" for kind in ("Branch", "NonFinite", "Retrace"))
)
@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(PROGRAM, THETA)
def test_random_programs(program, theta):
    agree(_examples([program], [theta]))


@pytest.mark.slow
@pytest.mark.filterwarnings(
    *(f"ignore::tapegrad.{kind}Warning" for kind in ("Branch", "NonFinite", "Retrace"))
)
@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(PROGRAM, THETA)
def test_many_random_programs(program, theta):
    agree(_examples([program], [theta]))


@pytest.mark.slow
def test_random_loops():
    """The short tapes, where a loop is a scan, blow up rounding errors by no more than 1000."""
    tapes = []
    for seed in range(12):
        made = loop_program(Random(seed))
        traced = tg.trace(made.function(), made.theta(0), backend="replay")
        tapes += [
            (traced.short_tape, traced.ravel(made.theta(1))),
            (traced.grad_tape, traced.ravel(made.theta(1))),
        ]
    assert agree(tapes, 1e-10) > len(tapes) // 2
