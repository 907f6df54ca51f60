"""What JAX does otherwise than NumPy, and does not show; and functions for samplers in JAX."""

from __future__ import annotations

from importlib import metadata
from typing import Any

import numpy as np
import pytest
from scipy import special

import tapegrad as tg
from benchmarks.distributions import DISTRIBUTIONS
from tapegrad.backends.jax import backend
from tapegrad.backends.replay import evaluate
from tapegrad.samplers import LogDensity
from tapegrad.stats import expon, norm
from tests.test_jax import outputs_of

jax = pytest.importorskip("jax")
jnp = jax.numpy

pytestmark = pytest.mark.filterwarnings("ignore::tapegrad.UnusedParameterWarning")

RNG = np.random.default_rng(7)


def same(function: Any, *arrays: Any, signs: bool = True) -> None:
    """Compare the function at arrays with the reference, NaN, infinities and signs of zeros included."""
    finite = [np.linspace(0.5, 2.0, array.size).reshape(array.shape) for array in arrays]
    traced = tg.trace(lambda p: function(*p), finite, backend="replay")
    point = np.concatenate([np.ravel(array) for array in arrays])
    expected = np.asarray(evaluate(traced.tape, point, {})[traced.tape.outputs[0]])
    (found,) = outputs_of(traced.tape, point)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=0.0)
    if signs:
        zero = expected == 0.0
        np.testing.assert_array_equal(np.signbit(found[zero]), np.signbit(expected[zero]))


EDGES = np.array([0.0, 1.0, -1.0, 0.5, -0.5, 1.5, 2.5, -2.5, 3.0, -3.0, 1e300, np.inf, -np.inf, np.nan])
XS, YS = (grid.ravel() for grid in np.meshgrid(EDGES, EDGES))


@pytest.mark.filterwarnings("ignore::tapegrad.NonFiniteWarning")
def test_numbers_at_the_edges() -> None:
    same(lambda x: np.stack([np.sign(x), np.rint(x), np.trunc(x), np.floor(x), np.ceil(x)]), EDGES)
    same(lambda x: np.stack([np.log1p(x), np.expm1(x), np.log(x), np.sqrt(x), np.abs(x)]), EDGES)
    same(lambda x, y: np.stack([x % y, x // y, np.fmod(x, y)]), XS, YS, signs=False)
    same(lambda x, y: np.stack([np.maximum(x, y), np.minimum(x, y), np.fmax(x, y), np.fmin(x, y)]), XS, YS)
    same(lambda x, y: np.stack([np.logaddexp(x, y), np.hypot(x, y), np.arctan2(x, y), x**y]), XS, YS)
    same(lambda x, y: np.stack([special.xlogy(x, y), np.where(x > y, x, y), x * y, x / y]), XS, YS)
    same(lambda x: np.stack([x**3, x**-2, x**0, x**2]), EDGES)
    same(lambda x: np.stack([special.expi(x), special.log_ndtr(x), special.erfc(x)]), EDGES, signs=False)


@pytest.mark.filterwarnings("ignore::tapegrad.NonFiniteWarning", "ignore::tapegrad.BranchWarning")
def test_along_axes_with_missing_numbers_and_none() -> None:
    x = np.array([[2.0, np.nan, -1.0], [0.5, 3.0, -np.inf], [-np.inf, -np.inf, -np.inf]])
    same(
        lambda x: np.stack([np.max(x, 1), np.min(x, 1), np.sum(x, 1), np.prod(x, 1), np.cumsum(x, 1)[:, 2]]),
        x,
    )
    same(lambda x: np.stack([np.sort(x, 1)[:, 0], np.median(x, 1), special.logsumexp(x, 1)]), x)
    same(lambda x: x[np.arange(3), np.argmax(x, 1)] + x[np.arange(3), np.argmin(x, 1)], x)
    same(lambda x: np.stack([np.sum(x[:0], 0), np.prod(x[:0], 0), np.any(x[:0] > 0.0, 0) * 1.0]), x)


def test_data_are_on_the_device_once() -> None:
    x = RNG.normal(size=1_000)
    x.flags.writeable = False
    traced = tg.trace(lambda b, x: -np.log1p((x - b) ** 2).sum(), dict(b=0.1), data=dict(x=x), backend="jax")
    at = np.array([0.2])
    traced.value_flat(at), traced.value_and_grad_flat(at), traced.hessian_flat(at)
    executables = traced._router.current._executables.values()
    places = {id(executable.idle[0]._data[0]) for executable in executables}
    assert len(executables) == 3
    assert len(places) == 1


def test_what_is_no_number_is_no_index() -> None:
    traced = tg.trace(
        lambda b, x: b[x.astype(int)].sum(), dict(b=np.ones(3)), data=dict(x=[1.0]), backend="jax"
    )
    assert traced.with_data(x=[2.7])(dict(b=np.arange(3.0))) == 2.0
    for x in (np.nan, np.inf, 1e300):
        with pytest.raises(IndexError):
            traced.with_data(x=[x])(dict(b=np.ones(3)))


@pytest.mark.filterwarnings("ignore::tapegrad.BranchWarning")
def test_at_a_tie_branches_go_the_way_of_the_code() -> None:
    """JAX multiplies by 1 / 3 and fuses ``b * c - d``: its own comparisons would go either way."""
    for b, c in RNG.uniform(0.1, 1.0, (12, 2)):
        d, third = b * c, b / 3.0

        def loglik(b: Any, c: Any, d: float = d, third: float = third) -> Any:
            return (b if b / 3.0 == third else -b) + (c if b * c - d >= 0.0 else -c)

        traced = tg.trace(loglik, dict(b=0.5, c=0.5), backend="jax")
        assert traced(dict(b=b, c=c)) == loglik(b, c)


@pytest.mark.parametrize("is_on", [False, True])
def test_the_setting_of_the_process_is_no_matter(is_on: bool) -> None:
    with jax.enable_x64(is_on):
        traced = tg.trace(lambda x: np.sum(x / 3.0), dict(x=np.ones(3)), backend="jax")
        assert traced.value_flat(np.array([1.0, 1e-12, 0.0])) == 1.0 / 3.0 + 1e-12 / 3.0
        assert traced.hessian_flat(np.ones(3)).dtype == np.float64
        assert jax.config.jax_enable_x64 is is_on
        assert jnp.ones(1).dtype == (np.float64 if is_on else np.float32)


def test_without_jax_or_with_an_old_one(monkeypatch: pytest.MonkeyPatch) -> None:
    version = metadata.version
    monkeypatch.setattr(metadata, "version", lambda name: "0.4.30" if name == "jax" else version(name))
    with pytest.raises(ValueError, match=r"needs JAX 0\.9 or later, not 0\.4\.30: .*tapegrad\[jax\]"):
        tg.trace(lambda x: x, 1.0, backend="jax")
    monkeypatch.setattr(backend, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"needs JAX: .*tapegrad\[jax\]"):
        tg.trace(lambda x: x, 1.0, backend="jax")
    with pytest.raises(ImportError, match=r"needs JAX: .*tapegrad\[jax\]"):
        LogDensity(lambda x: -(x**2), 1.0).as_jax()


# Digits -----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_special_functions_keep_their_digits_for_large_shapes() -> None:
    """JAX's own have 11 of them there, and of the incomplete beta function 5."""
    a, b = 10.0 ** RNG.uniform(-1.0, 4.0, (2, 300))
    x = a * np.exp(RNG.normal(0.0, 0.3, 300))
    share = np.clip(a / (a + b) * np.exp(RNG.normal(0.0, 0.3, 300)), 1e-9, 1.0 - 1e-9)
    for function, arrays in (
        (special.gammainc, (a, x)),
        (special.gammaincc, (a, x)),
        (special.betainc, (a, b, share)),
        (special.stdtr, (a, -x / a)),
    ):
        found = tg.trace(lambda p, f=function: f(*p), arrays, backend="jax")(arrays)
        expected = function(*arrays)
        normal = expected > 1e-30  # further out it is SciPy that has 11 digits
        np.testing.assert_allclose(found[normal], expected[normal], rtol=1e-12)


def test_what_scipy_has_wrong_is_right() -> None:
    """See the scripts in findings/ on inv_boxcox1p, powm1 and gammasgn."""
    traced = tg.trace(lambda y, k: special.inv_boxcox1p(y, k), dict(y=1.0, k=0.5), backend="jax")
    assert traced(dict(y=2.0, k=1e-160)) == pytest.approx(np.expm1(2.0), rel=1e-14)
    assert tg.trace(lambda y: special.powm1(0.5, y), -1.0, backend="jax")(-1025.0) == np.inf
    signs = tg.trace(lambda x: special.gammasgn(x) * x, np.array([-0.5, -1.5]), backend="jax")
    np.testing.assert_array_equal(np.sign(signs(np.array([-2147483648.5, -1e10 - 1.5]))), [1.0, -1.0])


@pytest.mark.slow
@pytest.mark.parametrize("row", DISTRIBUTIONS, ids=lambda row: row.name)
def test_every_density_runs(row: Any) -> None:
    density = row.densities[0]
    arguments = (row.data, *row.at)[: len(density.names)]
    fixed, free = arguments[: density.data], arguments[density.data :]
    if not free:
        pytest.skip("a mass of counts alone")
    found, expected = (
        tg.trace(lambda theta: density.function(*fixed, *theta).sum(), free, backend=backend)
        for backend in ("jax", "replay")
    )
    vector = expected.ravel(free)
    value, gradient = expected.value_and_grad_flat(vector)
    here, slope = found.value_and_grad_flat(vector)
    assert here == pytest.approx(value, rel=1e-12)
    np.testing.assert_allclose(slope, gradient, rtol=1e-11, atol=1e-12 * np.abs(gradient).max())
    curvature = expected.hessian_flat(vector)
    size = np.abs(curvature).max()
    np.testing.assert_allclose(found.hessian_flat(vector), curvature, rtol=1e-11, atol=1e-12 * size)


# Data in pieces ---------------------------------------------------------------------------------------------


def test_chunks_of_dask_run_on_it() -> None:
    dask_array = pytest.importorskip("dask.array")
    x, y = RNG.normal(size=5_000), RNG.normal(size=5_000)

    def loglik(a: Any, b: Any, x: Any, y: Any) -> Any:
        return -np.log1p((y - a - b * x) ** 2).sum()

    chunks = {name: dask_array.from_array(z, chunks=1_700) for name, z in dict(x=x, y=y).items()}
    theta = dict(a=0.1, b=0.2)
    found = tg.fit(tg.trace(loglik, theta, data=chunks, backend="jax"), theta)
    expected = tg.fit(loglik, theta, data=dict(x=x, y=y))
    np.testing.assert_allclose(found.x, expected.x, rtol=1e-8)
    np.testing.assert_allclose(found.bse, expected.bse, rtol=1e-8)


# Functions for JAX ------------------------------------------------------------------------------------------

OBSERVED = RNG.normal(5.0, 2.0, 100)


@pytest.fixture(scope="module")
def density() -> LogDensity:
    return LogDensity(
        lambda mu, sigma, x: norm.logpdf(x, mu, sigma).sum(),
        dict(mu=5.0, sigma=2.0),
        transforms=dict(sigma=tg.mle.transforms.positive),
        logprior=lambda mu, sigma: norm.logpdf(mu, 0.0, 10.0) + expon.logpdf(sigma, scale=5.0),
        data=dict(x=OBSERVED),
    )


def test_a_log_density_as_a_function_of_jax(density: LogDensity) -> None:
    logdensity = density.as_jax()
    with jax.enable_x64(True):
        points = density.start + RNG.normal(0.0, 0.3, (3, 2))
        values, gradients = jax.device_get(jax.jit(jax.vmap(jax.value_and_grad(logdensity)))(points))
        hessian = np.asarray(jax.hessian(logdensity)(points[0]))
        _, moved = jax.jvp(logdensity, (jnp.asarray(points[0]),), (jnp.ones(2),))
    for point, value, gradient in zip(points, values, gradients, strict=True):
        expected, slope = density(point)
        assert float(value) == pytest.approx(expected, rel=1e-13)
        np.testing.assert_allclose(gradient, slope, rtol=1e-12)
    first = points[0]
    differences = [(density(first + h)[1] - density(first - h)[1]) / 2e-5 for h in 1e-5 * np.eye(2)]
    np.testing.assert_allclose(hessian, differences, rtol=1e-6)
    assert float(moved) == pytest.approx(float(np.sum(gradients[0])), rel=1e-13)


def test_where_there_is_no_density_and_where_jax_cannot_follow() -> None:
    with jax.enable_x64(True):
        outside = LogDensity(lambda t: np.log(t), 1.0).as_jax()
        value, slope = jax.value_and_grad(outside)(jnp.array([-1.0]))
        assert value == -np.inf
        assert slope == 0.0
    with pytest.raises(TypeError, match=r"float64, not of float32: write jax\.config\.update"):
        outside(jnp.array([1.0]))
    with pytest.raises(ValueError, match=r"cannot branch on its parameters, as it does at .*choices"):
        LogDensity(lambda t: t if t > 0.0 else -t, 1.0).as_jax()


def test_blackjax_samples_it(density: LogDensity) -> None:
    blackjax = pytest.importorskip("blackjax")
    logdensity = density.as_jax()
    with jax.enable_x64(True):
        sampler = blackjax.nuts(logdensity, step_size=0.3, inverse_mass_matrix=jnp.array([0.04, 0.005]))
        state = sampler.init(jnp.asarray(density.start))
        keys = jax.random.split(jax.random.key(1), 1_000)

        def step(state: Any, key: Any) -> Any:
            state, _ = sampler.step(key, state)
            return state, state.position

        draws = np.asarray(jax.lax.scan(step, state, keys)[1])
    # The posterior is all but normal around the estimates: 1,000 draws tell its mean to 0.1 of its deviation.
    assert draws[:, 0].mean() == pytest.approx(OBSERVED.mean(), abs=0.06)
    assert draws[:, 1].mean() == pytest.approx(np.log(OBSERVED.std()), abs=0.03)
