"""Log-densities for samplers; with nutpie where it is installed."""

import runpy
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.samplers import LogDensity, nutpie_model

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
