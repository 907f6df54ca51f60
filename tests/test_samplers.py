"""Log-densities for samplers; with nutpie where it is installed."""

import runpy
from pathlib import Path
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


def test_a_sampler_is_turned_back_where_there_is_no_density() -> None:
    value, gradient = LogDensity(log_density, START)([0.0, -1.0, 0.0])
    assert value == -np.inf
    np.testing.assert_array_equal(gradient, np.zeros(3))


def test_without_nutpie(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "nutpie.compiled_pyfunc", None)
    with pytest.raises(ImportError, match=r"tapegrad\[samplers\]"):
        nutpie_model(LogDensity(log_density, START))


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
