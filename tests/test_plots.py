"""The pictures show the numbers; nothing here looks at pixels."""

import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import expit, ndtri, xlogy
from scipy.stats import chi2

from tapegrad.mle import FitResult, StandardErrorWarning, fit
from tapegrad.mle.plots import plot_coefficients, plot_contour, plot_convergence, plot_pairs, plot_profile
from tapegrad.mle.transforms import positive
from tapegrad.stats import norm

pyplot = pytest.importorskip("matplotlib.pyplot")

DOCS = Path(__file__).parents[1] / "docs"
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
    smooth, points, low, high, parabola, wald_low, wald_high, limit = axes.lines
    np.testing.assert_allclose(points.get_ydata().max(), 0.0, atol=1e-9)
    np.testing.assert_allclose(limit.get_ydata(), -chi2.ppf(0.95, 1) / 2)
    ends = [line.get_xdata()[0] for line in (low, high)]
    np.testing.assert_allclose(ends, result.profile("b").interval)
    ends = [line.get_xdata()[0] for line in (wald_low, wald_high)]
    np.testing.assert_allclose(ends, result.conf_int()[1])
    # Both curves pass the limit where their intervals end.
    for curve, interval in ((smooth, result.profile("b").interval), (parabola, result.conf_int()[1])):
        heights = np.interp(interval, curve.get_xdata(), curve.get_ydata())
        np.testing.assert_allclose(heights, -chi2.ppf(0.95, 1) / 2, rtol=2e-3)
    assert saved(axes, tmp_path) > 5000


def test_a_contour(result: FitResult, tmp_path: Any) -> None:
    axes = plot_contour(result, "a", "b", levels=(0.95, 0.5))
    inner, _, outer, wald, _ = axes.lines
    # On the lines the log-likelihood is half a chi-squared quantile below its maximum.
    for line, level in ((inner, 0.5), (outer, 0.95)):
        drops = [result.llf - budworm(a, b) for a, b in np.column_stack(line.get_data())[::5]]
        np.testing.assert_allclose(drops, chi2.ppf(level, 2) / 2, rtol=2e-3)
    # On Wald's, the quadratic form is the quantile.
    away = np.array(wald.get_data()) - result.x[:, None]
    forms = np.einsum("ik,ij,jk->k", away, np.linalg.inv(result.cov_params()), away)
    np.testing.assert_allclose(forms, chi2.ppf(0.95, 2))
    assert saved(axes, tmp_path) > 5000


def test_a_contour_refits_the_others_and_ends_where_the_support_does() -> None:
    x = np.array([4.2, 5.9, 3.1, 6.4, 5.0, 7.3, 4.8, 5.5, 2.7, 6.1])
    z = np.arange(10.0) - 4.5

    def loglik(a: Any, b: Any, sigma: Any) -> Any:
        return norm.logpdf(x, a + b * z, sigma).sum()

    fitted = fit(loglik, {"a": 1.0, "b": 0.0, "sigma": 1.0}, transforms={"sigma": positive})
    vertices = np.column_stack(plot_contour(fitted, "a", "sigma", levels=(0.9,)).lines[0].get_data())
    # The best b is the same for every a and sigma.
    drops = [fitted.llf - loglik(a, fitted.params["b"], s) for a, s in vertices[::10]]
    np.testing.assert_allclose(drops, chi2.ppf(0.9, 2) / 2, rtol=2e-3)
    raw = fit(loglik, {"a": 4.0, "b": 0.0, "sigma": 1.0}, fixed="b")
    vertices = np.column_stack(plot_contour(raw, "a", "sigma", levels=(0.999,)).lines[0].get_data())
    assert vertices[:, 1].min() > 0.0
    assert np.isfinite(vertices).all()


def test_pairs(result: FitResult, tmp_path: Any) -> None:
    grid = plot_pairs(result)
    assert grid.shape == (2, 2)
    assert grid[0, 1] is None
    assert (grid[1, 0].get_xlabel(), grid[1, 0].get_ylabel()) == ("a", "b")
    assert (grid[0, 0].get_xlabel(), grid[1, 1].get_xlabel()) == ("a", "b")
    assert grid[1, 1].get_ylabel() == ""
    assert saved(grid[0, 0], tmp_path) > 5000
    with pytest.raises(ValueError, match="pairs are of two parameters or more, not of a"):
        plot_pairs(result, ["a"])


@pytest.mark.parametrize(
    ("first", "second", "levels", "message"),
    [
        ("a", "c", (0.5,), "no parameter 'c'; the parameters are a, b"),
        ("a", "a", (0.5,), "two different parameters, not a and a"),
        ("a", "b", (95.0,), "levels are confidence levels between 0 and 1"),
        ("a", "b", (), "levels are confidence levels between 0 and 1"),
    ],
)
def test_contours_there_are_none_of(
    result: FitResult, first: str, second: str, levels: Any, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        plot_contour(result, first, second, levels)


def test_contours_of_what_is_held_or_has_no_maximum() -> None:
    held = fit(budworm, {"a": -2.0, "b": 0.0}, fixed="a")
    with pytest.raises(ValueError, match="a is fixed"):
        plot_contour(held, "a", "b")
    with pytest.raises(ValueError, match="pairs are of two parameters or more, not of b"):
        plot_pairs(held)
    with pytest.warns(StandardErrorWarning):
        flat = fit(lambda a, b: -((a + b) ** 2), {"a": 1.0, "b": 2.0})
    with pytest.raises(ValueError, match="the fit has not converged: no standard errors"):
        plot_contour(flat, "a", "b")


def test_a_path(result: FitResult, tmp_path: Any) -> None:
    axes = plot_convergence(result)
    missing = axes.lines[0].get_ydata()
    np.testing.assert_allclose(missing[0], result.llf - budworm(0.0, 0.0))
    assert (np.diff(missing[np.isfinite(missing)]) < 0.0).all()
    assert saved(axes, tmp_path) > 5000
    with pytest.raises(ValueError, match="the optimiser has not improved on its start"):
        plot_convergence(fit(budworm, result.params))


def test_a_path_with_a_prior_ends_at_the_posterior_mode() -> None:
    fitted = fit(budworm, {"a": 0.0, "b": 0.0}, logprior=lambda a, b: norm.logpdf(a) + norm.logpdf(b))
    missing = plot_convergence(fitted).lines[0].get_ydata()
    start = budworm(0.0, 0.0) + 2.0 * norm.logpdf(0.0)
    top = fitted.llf + float(norm.logpdf(fitted.x).sum())
    np.testing.assert_allclose(missing[0], top - start)


def test_coefficients(result: FitResult, tmp_path: Any) -> None:
    axes = plot_coefficients(result)
    np.testing.assert_array_equal(axes.lines[2].get_xdata(), result.x)
    (bars,) = axes.collections
    drawn = [(x0, x1) for (x0, _), (x1, _) in bars.get_segments()]
    np.testing.assert_allclose(drawn, result.conf_int())
    assert axes.get_xlabel() == "estimate, 95% Wald interval"
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b"]
    assert plot_coefficients(result, ["b"], ax=axes) is axes
    assert saved(axes, tmp_path) > 5000
    with pytest.raises(ValueError, match="no parameter 'c'"):
        plot_coefficients(result, ["c"])


def test_a_profile_of_a_function(result: FitResult) -> None:
    def half(a: Any, b: Any) -> Any:  # the dose that kills half of them
        return -a / b

    axes = plot_profile(result, half, 0.1)
    assert axes.get_xlabel() == "half"
    assert axes.get_title().startswith("90% interval ")
    derived = result.delta(half)
    wald = [line.get_xdata()[0] for line in axes.lines[5:7]]
    np.testing.assert_allclose(wald, derived.value + ndtri(0.95) * derived.bse[0] * np.array([-1.0, 1.0]))


def test_without_matplotlib(result: FitResult, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"pictures need matplotlib: .*tapegrad\[plots\]"):
        plot_profile(result, "b")


def test_the_pages_show_the_pictures_that_are_there() -> None:
    pages = [page.read_text(encoding="utf-8") for page in DOCS.glob("*.md")]
    shown = {name for page in pages for name in re.findall(r"\(images/([^)]+)\)", page)}
    assert shown == {path.name for path in (DOCS / "images").glob("*.png")}
    for name in shown:
        assert (DOCS / "images" / name).read_bytes().startswith(b"\x89PNG")
