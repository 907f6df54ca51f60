"""The pictures show the numbers; nothing here looks at pixels."""

from typing import Any

import numpy as np
import pytest
from scipy.special import expit, xlogy

from tapegrad.mle import FitResult, fit
from tapegrad.mle.plots import plot_coefficients, plot_contour, plot_convergence, plot_profile

pytest.importorskip("matplotlib")

DOSE = np.tile(np.arange(6.0), 2)
DEAD = np.array([1, 4, 9, 13, 18, 20, 0, 2, 6, 10, 12, 16.0])


def budworm(a: Any, b: Any) -> Any:
    p = expit(a + b * DOSE)
    return (xlogy(DEAD, p) + xlogy(20.0 - DEAD, 1.0 - p)).sum()


@pytest.fixture(scope="module")
def result() -> FitResult:
    return fit(budworm, {"a": 0.0, "b": 0.0})


def saved(axes: Any, tmp_path: Any) -> int:
    axes.figure.savefig(tmp_path / "picture.png")
    return int((tmp_path / "picture.png").stat().st_size)


def test_a_profile(result: FitResult, tmp_path: Any) -> None:
    axes = plot_profile(result, "b")
    assert axes.get_xlabel() == "b"
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["profile", "Wald"]
    curve = axes.lines[1]
    np.testing.assert_allclose(curve.get_ydata().max(), 0.0, atol=1e-9)
    assert saved(axes, tmp_path) > 5000


def test_a_contour(result: FitResult, tmp_path: Any) -> None:
    axes = plot_contour(result, "a", "b", levels=(0.95, 0.5))
    (paths,) = axes.collections
    vertices = paths.get_paths()[1].vertices
    # On the outer line the log-likelihood is half a chi-squared quantile below its maximum.
    drops = [result.llf - budworm(a, b) for a, b in vertices[::10]]
    np.testing.assert_allclose(drops, 5.991465 / 2, atol=0.05)
    assert saved(axes, tmp_path) > 5000


def test_a_path(result: FitResult, tmp_path: Any) -> None:
    axes = plot_convergence(result)
    missing = axes.lines[0].get_ydata()
    assert (np.diff(missing[np.isfinite(missing)]) < 0.0).all()
    assert saved(axes, tmp_path) > 5000


def test_coefficients(result: FitResult, tmp_path: Any) -> None:
    axes = plot_coefficients(result)
    np.testing.assert_array_equal(axes.lines[0].get_xdata(), result.x)
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b"]
    assert plot_coefficients(result, ["b"], axes=axes) is axes
    assert saved(axes, tmp_path) > 5000
    with pytest.raises(ValueError, match="no parameter 'c'"):
        plot_coefficients(result, ["c"])


def test_without_matplotlib(result: FitResult, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match="pictures need matplotlib"):
        plot_profile(result, "b")
