"""Log-densities for samplers; with nutpie where it is installed."""

import runpy
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from scipy import integrate, stats

import tapegrad as tg
from tapegrad.mle import transforms as tr
from tapegrad.samplers import LogDensity, nutpie_model, run_chains
from tapegrad.stats import beta, expon, gamma, norm

EXAMPLE = Path(__file__).parents[1] / "examples" / "sample_with_nutpie.py"


def log_density(a: Any, b: Any) -> Any:
    return -0.5 * (a - 1.0) ** 2 + np.log(b[0]) - b[0] - b[1] ** 2


START = {"a": 0.0, "b": np.array([1.0, 2.0])}


def test_value_and_gradient() -> None:
    for density in (LogDensity(log_density, START), LogDensity(tg.trace(log_density, START), START)):
        assert density.names == ("a", "b[0]", "b[1]")
        np.testing.assert_array_equal(density.start, [0.0, 1.0, 2.0])
        value, gradient = density([0.5, 2.0, 1.0])
        np.testing.assert_allclose(value, -0.125 + np.log(2.0) - 2.0 - 1.0)
        np.testing.assert_allclose(gradient, [0.5, -0.5, -2.0])
        assert density.unravel([0.5, 2.0, 1.0])["a"] == 0.5
        variables = density.variables([0.5, 2.0, 1.0])
        assert list(variables) == ["a", "b"]
        assert variables["a"].shape == ()
        np.testing.assert_array_equal(variables["b"], [2.0, 1.0])


def test_a_sampler_is_turned_back_where_there_is_no_density() -> None:
    value, gradient = LogDensity(log_density, START)([0.0, -1.0, 0.0])
    assert value == -np.inf
    np.testing.assert_array_equal(gradient, np.zeros(3))


# Constraints and priors -------------------------------------------------------------------------------------

CORRELATIONS = np.array([[1.0, 0.3, -0.2], [0.3, 1.0, 0.5], [-0.2, 0.5, 1.0]])
# A transform, a start, and which numbers of the values stand for all.
VOLUMES = [
    (tr.positive, np.array([0.5, 2.0]), np.ravel),
    (tr.unit, np.array([0.3, 0.9]), np.ravel),
    (tr.lower(-1.0), np.array([0.5, 2.0]), np.ravel),
    (tr.upper(3.0), np.array([0.5, 2.0]), np.ravel),
    (tr.interval(-2.0, 5.0), np.array([0.5, 2.0]), np.ravel),
    (tr.simplex, np.array([0.2, 0.5, 0.3]), lambda x: x[:-1]),
    (tr.ordered, np.array([-1.0, 0.5, 2.0]), np.ravel),
    (tr.correlation, CORRELATIONS, lambda x: x[np.tril_indices(3, -1)]),
    (tr.positive_definite, np.array([[2.0, 0.3], [0.3, 0.7]]), lambda x: x[np.tril_indices(2)]),
]


@pytest.mark.parametrize(("transform", "at", "numbers"), VOLUMES)
def test_the_jacobian_of_each_transform(transform: Any, at: Any, numbers: Any) -> None:
    """Its formula against the determinant of the exact Jacobian, and of differences."""
    free = transform.to_free(at, "x")
    jacobian = tg.trace(lambda z: numbers(transform.forward(z)), free).jacobian_flat(np.ravel(free))
    expected = np.linalg.slogdet(jacobian)[1]
    np.testing.assert_allclose(transform.log_volume(free), expected, rtol=1e-12)
    step = 1e-6
    moved = [
        (numbers(transform.forward(free + step * e)) - numbers(transform.forward(free - step * e)))
        / (2.0 * step)
        for e in np.eye(free.size)
    ]
    np.testing.assert_allclose(np.linalg.slogdet(np.array(moved))[1], expected, atol=1e-7)
    tg.testing.check_grads(transform.log_volume, free, order=1)


def test_a_transform_that_keeps_volumes() -> None:
    free = tr.sum_to_zero.to_free(np.array([1.0, 2.0, -3.0]), "x")
    jacobian = tg.trace(tr.sum_to_zero.forward, free).jacobian_flat(free)
    np.testing.assert_allclose(np.linalg.det(jacobian.T @ jacobian), 1.0, rtol=1e-14)
    assert tr.sum_to_zero.log_volume is None


def test_all_transforms_have_volumes() -> None:
    named = {one.name for one in vars(tr).values() if isinstance(one, tr.Transform)}
    assert named == {one.name for one, _, _ in VOLUMES if "(" not in one.name} | {"identity", "sum_to_zero"}


@pytest.mark.parametrize(
    ("transform", "density", "start"),
    [
        (tr.positive, lambda x: gamma.logpdf(x, 2.5), 1.0),
        (tr.unit, lambda x: beta.logpdf(x, 2.0, 3.5), 0.5),
        (tr.interval(-1.0, 3.0), lambda x: 0.0 * x - np.log(4.0), 0.5),
        (tr.lower(2.0), lambda x: -(x - 2.0), 3.0),
        (tr.upper(2.0), lambda x: -(2.0 - x), 1.0),
    ],
)
def test_densities_keep_their_mass(transform: Any, density: Any, start: float) -> None:
    """Over the free coordinate, the density that is sampled integrates to 1."""
    sampled = LogDensity(density, {"x": start}, transforms={"x": transform})
    mass = integrate.quad(lambda z: np.exp(sampled([z])[0]), -40.0, 40.0, limit=200)[0]
    np.testing.assert_allclose(mass, 1.0, rtol=1e-7)


def test_constraints_and_a_prior() -> None:
    y = np.array([0.3, 1.2, 2.2, 0.1])
    density = LogDensity(
        lambda mu, sigma, y: norm.logpdf(y, mu, sigma).sum(),
        {"mu": 0.0, "sigma": 1.0},
        transforms={"sigma": tr.positive},
        logprior=lambda mu, sigma: norm.logpdf(mu, 0.0, 10.0) + expon.logpdf(sigma),
        data={"y": y},
    )
    assert density.names == ("mu", "log(sigma)")
    mu, z = at = np.array([0.4, -0.2])
    expected = stats.norm(mu, np.exp(z)).logpdf(y).sum() + stats.norm(0, 10).logpdf(mu)
    expected += stats.expon.logpdf(np.exp(z)) + z
    value, gradient = density([mu, z])
    np.testing.assert_allclose(value, expected, rtol=1e-14)
    np.testing.assert_allclose(density.value([mu, z]), value, rtol=1e-15)
    for i, step in enumerate(np.eye(2) * 1e-6):
        slope = (density.value(at + step) - density.value(at - step)) / 2e-6
        np.testing.assert_allclose(gradient[i], slope, rtol=1e-7)
    np.testing.assert_allclose(density.unravel([mu, z])["sigma"], np.exp(z))
    np.testing.assert_allclose(density.variables([mu, z])["sigma"], np.exp(z))


def rows(mu: Any, sigma: Any) -> Any:
    return norm.logpdf(np.array([0.3, 1.2, 2.2, 0.1]), mu, sigma)


def test_the_density_of_a_fit() -> None:
    result = tg.fit(rows, {"mu": 0.0, "sigma": 1.0}, transforms={"sigma": tr.positive})
    density = LogDensity(result, logprior=lambda mu, sigma: expon.logpdf(sigma))
    np.testing.assert_array_equal(density.start, result.free_estimates)
    other = LogDensity(
        lambda mu, sigma: rows(mu, sigma).sum() + expon.logpdf(sigma),
        result.params,
        transforms={"sigma": tr.positive},
    )
    for x in ([0.3, 0.2], [1.0, -0.5]):
        np.testing.assert_allclose(density(x)[0], other(x)[0], rtol=1e-14)
        np.testing.assert_allclose(density(x)[1], other(x)[1], rtol=1e-13)
    penalised = tg.fit(rows, {"mu": 0.0, "sigma": 1.0}, logprior=lambda mu, sigma: expon.logpdf(sigma))
    expected = other([0.3, np.log(1.2)])[0] - np.log(1.2)
    np.testing.assert_allclose(LogDensity(penalised)([0.3, 1.2])[0], expected, rtol=1e-14)
    with pytest.raises(ValueError, match="has a logprior of its own"):
        LogDensity(penalised, logprior=lambda mu, sigma: 0.0 * mu)
    with pytest.raises(ValueError, match="a fit has its own parameters"):
        LogDensity(result, {"mu": 0.0})


def test_a_fit_with_random_effects() -> None:
    group = np.repeat(np.arange(4), 3)
    y = np.random.default_rng(1).standard_normal(12) + group

    def joint(mu: Any, sigma: Any, u: Any) -> Any:
        return norm.logpdf(y, mu + u[group], 1.0).sum() + norm.logpdf(u, 0.0, sigma).sum()

    start = {"mu": 0.0, "sigma": 1.0, "u": np.zeros(4)}
    result = tg.fit(joint, start, random="u", transforms={"sigma": tr.positive})
    density, x = LogDensity(result), result.free_estimates
    # Of normal random effects the marginal density is known.
    cov = np.eye(12) + np.exp(2.0 * x[1]) * np.equal.outer(group, group)
    exact = stats.multivariate_normal(x[0] * np.ones(12), cov).logpdf(y)
    np.testing.assert_allclose(density.value(x) - x[1], exact, rtol=1e-12)


def test_what_is_no_density_is_said_at_once() -> None:
    with pytest.raises(ValueError, match=r"a log-density needs a scalar; rows returns shape \(4,\)"):
        LogDensity(rows, {"mu": 0.0, "sigma": 1.0})
    with pytest.raises(ValueError, match="a log-density needs a scalar"):
        LogDensity(tg.trace(rows, {"mu": 0.0, "sigma": 1.0}), {"mu": 0.0, "sigma": 1.0})
    with pytest.raises(ValueError, match="with this logprior needs a scalar"):
        LogDensity(log_density, START, logprior=lambda a, b: b)
    with pytest.raises(ValueError, match="a must be greater than 0"):
        LogDensity(lambda a: -a, {"a": -1.0}, transforms={"a": tr.positive})
    with pytest.raises(TypeError, match="needs parameters to trace at"):
        LogDensity(log_density)
    assert repr(LogDensity(log_density, START)) == "<LogDensity of log_density in a, b[0], b[1]>"


# Several chains ---------------------------------------------------------------------------------------------


def langevin(density: LogDensity, x: Any, rng: np.random.Generator, draws: int = 3000) -> Any:
    """Langevin's walk with Metropolis' correction (G. O. Roberts and R. L. Tweedie 1996)."""
    step, kept = 0.7, []
    value, slope = density(x)
    for _ in range(draws):
        ahead = x + 0.5 * step**2 * slope
        to = ahead + step * rng.standard_normal(x.size)
        other, rise = density(to)
        back = to + 0.5 * step**2 * rise
        bent = (np.sum((to - ahead) ** 2) - np.sum((x - back) ** 2)) / (2.0 * step**2)
        if np.log(rng.random()) < other - value + bent:
            x, value, slope = to, other, rise
        kept.append(x)
    return kept


def test_chains_draw_from_the_density() -> None:
    """A gamma density on the logarithm of its variable: without the Jacobian the shape would be another."""
    density = LogDensity(lambda x: gamma.logpdf(x, 4.0), {"x": 4.0}, transforms={"x": tr.positive})
    draws = run_chains(langevin, density, 3, seed=2)
    x = draws.posterior()["x"]
    assert x.shape == (3, 3000)
    exact = stats.gamma(4.0)
    np.testing.assert_allclose(x.mean(), exact.mean(), rtol=0.05)
    np.testing.assert_allclose(np.quantile(x, [0.1, 0.5, 0.9]), exact.ppf([0.1, 0.5, 0.9]), rtol=0.07)
    assert not np.array_equal(draws.free[0], draws.free[1])
    first, again = [run_chains(lambda d, x, rng: langevin(d, x, rng, 50), density, 3, seed=2) for _ in "ab"]
    np.testing.assert_array_equal(first.free, again.free)


def test_chains_begin_around_a_fit() -> None:
    result = tg.fit(rows, {"mu": 0.0, "sigma": 1.0}, transforms={"sigma": tr.positive})
    starts = LogDensity(result).starts(400, seed=1)
    np.testing.assert_allclose(starts.mean(axis=0), result.free_estimates, atol=0.15)
    np.testing.assert_allclose(starts.std(axis=0), result.free_bse, rtol=0.1)
    inside = LogDensity(lambda a: np.log(a) + np.log(1.0 - a), {"a": 0.999})
    assert all(np.isfinite(inside.value(x)) for x in inside.starts(50, seed=1))


def test_draws_for_arviz() -> None:
    density = LogDensity(log_density, START)
    starts = [[0.0, 1.0, 2.0], [1.0, 1.0, 1.0]]
    draws = run_chains(lambda density, x, rng: [x, x + 1.0, x], density, 2, starts=starts)
    posterior = draws.posterior()
    assert {label: values.shape for label, values in posterior.items()} == {"a": (2, 3), "b": (2, 3, 2)}
    np.testing.assert_array_equal(posterior["b"][0, 1], [2.0, 3.0])
    assert repr(draws) == "<2 chains of 3 draws of 3 coordinates>"
    xarray = pytest.importorskip("xarray")
    dataset = draws.dataset()
    assert isinstance(dataset, xarray.Dataset)
    assert dataset["b"].dims == ("chain", "draw", "b_dim_0")


def test_draws_without_xarray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "xarray", None)
    draws = run_chains(lambda density, x, rng: [x], LogDensity(log_density, START), 1, seed=1)
    with pytest.raises(ImportError, match="needs xarray"):
        draws.dataset()


def test_chains_that_cannot_be() -> None:
    density = LogDensity(log_density, START)
    with pytest.raises(ValueError, match="chains is a count of 1 or more, not 0"):
        run_chains(langevin, density, 0)
    with pytest.raises(ValueError, match="2 chains have 1 starts"):
        run_chains(langevin, density, 2, starts=[[0.0, 1.0, 2.0]])
    with pytest.raises(ValueError, match=r"one shape \(draws, 3\), not \(2,\)"):
        run_chains(lambda density, x, rng: [1.0, 2.0], density, 2)


# nutpie -----------------------------------------------------------------------------------------------------


def test_without_nutpie(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nutpie.compiled_pyfunc", None)
    with pytest.raises(ImportError, match=r"tapegrad\[samplers\]"):
        nutpie_model(LogDensity(log_density, START))


def far_out(a: Any) -> Any:
    if a > 1.5:
        raise KeyError("far out")
    return -0.5 * a**2


class Sampler:
    """What is used of nutpie's: it walks outwards through the log-density in its `wait`."""

    def __init__(self, density: Any) -> None:
        self.density, self.is_finished = density, False

    def wait(self, timeout: float | None) -> None:
        self.values = [self.density(np.array([a]))[0] for a in np.linspace(0.0, 3.0, 7)]
        self.is_finished = True

    def take_results(self) -> Any:
        return self.values

    inspect = take_results


@dataclass(frozen=True)
class PyFuncModel:
    make_logp_fn: Any
    make_expand_fn: Any
    make_initial_point_fn: Any

    def _make_sampler(self) -> Any:
        return Sampler(self.make_logp_fn())


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("nutpie.compiled_pyfunc")
    module.PyFuncModel = PyFuncModel  # type: ignore[attr-defined]
    module.from_pyfunc = lambda **named: PyFuncModel(  # type: ignore[attr-defined]
        *(named[name] for name in ("make_logp_fn", "make_expand_fn", "make_initial_point_fn"))
    )
    monkeypatch.setitem(sys.modules, "nutpie", ModuleType("nutpie"))
    monkeypatch.setitem(sys.modules, "nutpie.compiled_pyfunc", module)


@pytest.mark.usefixtures("stand_in")
def test_an_error_late_in_a_run_is_one_that_names_the_line() -> None:
    model = nutpie_model(LogDensity(far_out, {"a": 0.0}))
    for _ in range(2):  # the first run leaves nothing behind
        sampler = model._make_sampler()
        assert not sampler.is_finished
        sampler.wait()
        assert sampler.is_finished
        for results in (sampler.take_results, sampler.inspect):
            with pytest.raises(
                RuntimeError, match=r"raised KeyError: 'far out' at .*test_samplers.py:\d+: `raise KeyError"
            ) as caught:
                results()
            assert isinstance(caught.value.__cause__, KeyError)


@pytest.mark.usefixtures("stand_in")
def test_a_run_without_errors_gives_its_results() -> None:
    sampler = nutpie_model(LogDensity(lambda a: -0.5 * a**2, {"a": 0.0}))._make_sampler()
    sampler.wait()
    np.testing.assert_allclose(sampler.take_results(), -0.5 * np.linspace(0.0, 3.0, 7) ** 2)
    assert sampler.inspect() == sampler.take_results()


@pytest.mark.usefixtures("stand_in")
def test_nothing_depends_on_the_seeds_that_every_chain_is_given_alike() -> None:
    model = nutpie_model(LogDensity(log_density, START))
    x = np.array([0.5, 2.0, 1.0])
    for seeds in ((0, 0, 0), (1, 2, 3)):
        assert model.make_expand_fn(*seeds)(x)["a"] == 0.5
    starts = np.array([model.make_initial_point_fn(seed) for seed in range(4)])
    assert len(np.unique(starts)) == starts.size


@pytest.mark.filterwarnings("ignore")  # those of the libraries behind nutpie
@pytest.mark.parametrize("start", [0.0, 1.4])
def test_nutpie_raises_what_the_log_density_raised(start: float) -> None:
    nutpie = pytest.importorskip("nutpie")
    model = nutpie_model(LogDensity(far_out, {"a": start}))
    with pytest.raises(RuntimeError, match=r"raised KeyError: 'far out' at .*test_samplers.py:\d+"):
        nutpie.sample(model, draws=300, tune=100, chains=2, seed=3, progress_bar=False)


def test_the_example_is_about_the_model_it_says() -> None:
    example = runpy.run_path(str(EXAMPLE))
    mode = tg.fit(example["log_posterior"], {"intercept": 0.0, "slope": 0.0})
    np.testing.assert_allclose(mode.x, [2.82432, -0.47712], atol=5e-4)


@pytest.mark.filterwarnings("ignore")  # those of the libraries behind nutpie
def test_the_example_runs(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("nutpie")
    runpy.run_path(str(EXAMPLE))["main"]()
    for line in capsys.readouterr().out.splitlines():
        _, _, mode, error, _, mean, sd = line.replace("(", "").replace(")", "").split()
        assert abs(float(mean) - float(mode)) < 0.3 * float(error)
        assert float(sd) == pytest.approx(float(error), rel=0.15)


@pytest.mark.filterwarnings("ignore")  # those of the libraries behind nutpie
def test_draws_have_the_shapes_and_the_moments_of_the_parameters() -> None:
    nutpie = pytest.importorskip("nutpie")
    cov = np.array([[1.0, 0.6], [0.6, 2.0]])
    inverse = np.linalg.inv(cov)

    def normal(a: Any, b: Any) -> Any:
        return -0.5 * (a - 3.0) ** 2 / 0.25 - 0.5 * b @ inverse @ b

    model = nutpie_model(LogDensity(normal, {"a": 0.0, "b": np.zeros(2)}))
    draws = nutpie.sample(model, draws=1500, tune=500, chains=2, seed=2, progress_bar=False).posterior
    assert draws["a"].shape == (2, 1500)
    assert draws["b"].shape == (2, 1500, 2)
    a, b = np.asarray(draws["a"]).ravel(), np.asarray(draws["b"]).reshape(-1, 2)
    # Some 1000 effective draws: a mean is right to 0.03 standard deviations, 5 of them are allowed.
    np.testing.assert_allclose([a.mean(), a.std()], [3.0, 0.5], atol=0.08)
    np.testing.assert_allclose(b.mean(axis=0), 0.0, atol=0.22)
    np.testing.assert_allclose(np.cov(b.T), cov, atol=0.35)


def test_a_density_with_one_value_for_each_row_fails_at_once() -> None:
    x = np.array([1.0, 2.0])

    def by_row(mu: Any) -> Any:
        return -0.5 * (x - mu) ** 2

    message = r"a log-density needs a scalar; by_row returns shape \(2,\): end it with \.sum\(\)\?"
    for density in (by_row, tg.trace(by_row, {"mu": 0.0})):
        with pytest.raises(ValueError, match=message):
            LogDensity(density, {"mu": 0.0})
    assert LogDensity(lambda mu: by_row(mu).sum(), {"mu": 0.0})([1.5])[0] == pytest.approx(-0.25)
