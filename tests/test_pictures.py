"""Every picture at full and at half width, with short and with very long names: its texts have room."""

import itertools
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy.stats import chi2
from scipy.stats import norm as scipy_norm

from tapegrad import fit
from tapegrad.mle import FitResult
from tapegrad.mle.progress import Progress
from tapegrad.stats import norm

pytest.importorskip("matplotlib")
plots = pytest.importorskip("tapegrad.mle.plots")
from matplotlib import pyplot  # noqa: E402
from matplotlib.text import Text  # noqa: E402

RNG = np.random.default_rng(3)
X = RNG.normal(size=60)
Z = 2.0 * X + 0.25 * RNG.normal(size=60)  # coefficients correlated at -0.99
Y = 1.0 + 0.5 * X + 0.8 * RNG.normal(size=60)
GROUP = np.repeat(np.arange(15), 4)
V = RNG.normal(size=15)[GROUP] + RNG.normal(size=60)
LONG = (
    "an_extremely_long_name_of_a_constant_in_dollars[$]",
    "income of the household in the year before last (thousands)",
    "another.very.long.name.of.a.coefficient.which.goes.on.and.on[12]",
)


def regression(b: Any, log_s: Any, y: Any) -> Any:
    return norm.logpdf(y, b[0] + b[1] * X + b[2] * Z, np.exp(log_s))


def residuals(b: Any, log_s: Any, y: Any) -> Any:
    return (y - b[0] - b[1] * X - b[2] * Z) / np.exp(log_s)


def simulate(params: Any, rng: np.random.Generator) -> dict[str, Any]:
    b = params["b"]
    return dict(y=rng.normal(b[0] + b[1] * X + b[2] * Z, np.exp(params["log_s"])))


def joint(u: Any, mu: Any, log_t: Any, log_s: Any) -> Any:
    return norm.logpdf(V, mu + u[GROUP], np.exp(log_s)).sum() + norm.logpdf(u, 0.0, np.exp(log_t)).sum()


@pytest.fixture(scope="module")
def short() -> FitResult:
    result = fit(regression, dict(b=np.zeros(3), log_s=0.0), data=dict(y=Y))
    return result.renamed(b=["const", "x", "z"])


@pytest.fixture(scope="module")
def long(short: FitResult) -> FitResult:
    return short.renamed(**dict(zip(("const", "x", "z"), LONG, strict=True)))


@pytest.fixture(scope="module")
def grouped() -> FitResult:
    return fit(joint, dict(u=np.zeros(15), mu=0.0, log_t=0.0, log_s=0.0), random="u")


# One line for each picture: of a fit, and the axes.
PICTURES: dict[str, Callable[[FitResult, Any], Any]] = {
    "profile": lambda r, ax: plots.plot_profile(r, r.names[1], ax=ax),
    "zeta": lambda r, ax: plots.plot_zeta(r, r.names[1], ax=ax),
    "contour": lambda r, ax: plots.plot_contour(r, r.names[1], r.names[2], ax=ax),
    "coefficients": lambda r, ax: plots.plot_coefficients(r, ax=ax),
    "coefficients, scaled": lambda r, ax: plots.plot_coefficients(
        r, drop=r.names[0], sd={r.names[1]: X.std()}, ax=ax
    ),
    "impacts": lambda r, ax: plots.plot_impacts(r.impacts(r.names[1]), ax=ax),
    "convergence": lambda r, ax: plots.plot_convergence(r, ax=ax),
    "power": lambda r, ax: plots.plot_power(r, r.names[1], ax=ax),
    "residuals": lambda r, ax: plots.plot_residuals(r, residuals, X, name=r.names[2], ax=ax),
    "quantiles": lambda r, ax: plots.plot_qq(r, residuals, ax=ax),
    "distances": lambda r, ax: plots.plot_influence(r, ax=ax),
    "influence": lambda r, ax: plots.plot_influence(r, r.names[1], labels=np.arange(1900, 1960), ax=ax),
    "simulated": lambda r, ax: plots.plot_simulated(
        r, simulate, lambda d: d["y"].max(), 20, seed=1, name=r.names[1], ax=ax
    ),
    "simulated, in order": lambda r, ax: plots.plot_simulated(
        r, simulate, lambda d: np.sort(d["y"]), 20, seed=1, name=r.names[1], ax=ax
    ),
    "random effects": lambda r, ax: plots.plot_random_effects(r, ax=ax),
}


def texts_of(figure: Any) -> list[tuple[str, Any]]:
    """What is written, with the rectangle that it takes; ticks outside of their axes are not drawn."""
    figure.draw_without_rendering()
    hidden = set()
    for ax in figure.axes:
        for axis, (low, high) in ((ax.xaxis, ax.get_xlim()), (ax.yaxis, ax.get_ylim())):
            ticks = zip(axis.get_majorticklocs(), axis.get_majorticklabels(), strict=False)
            hidden |= {id(label) for place, label in ticks if not min(low, high) <= place <= max(low, high)}
            hidden |= {id(label) for label in axis.get_minorticklabels()}
    found = [
        text
        for text in figure.findobj(Text)
        if text.get_visible() and text.get_text().strip() and id(text) not in hidden
    ]
    return [(text.get_text(), text.get_window_extent()) for text in found]


def check(figure: Any) -> None:
    whole = figure.bbox
    texts = texts_of(figure)
    assert texts
    for text, box in texts:
        inside = whole.x0 - 1 <= box.x0 and box.x1 <= whole.x1 + 1
        assert inside and whole.y0 - 1 <= box.y0 and box.y1 <= whole.y1 + 1, f"{text!r} beyond the figure"  # noqa: PT018
    for (first, one), (second, other) in itertools.combinations(texts, 2):
        across = min(one.x1, other.x1) - max(one.x0, other.x0)
        up = min(one.y1, other.y1) - max(one.y0, other.y0)
        assert min(across, up) < 1.5, f"{first!r} on {second!r}"


@pytest.mark.parametrize("name", PICTURES)
def test_texts_have_room(name: str, request: pytest.FixtureRequest) -> None:
    fixtures = ("grouped", "grouped") if name == "random effects" else ("short", "long")
    results = [request.getfixturevalue(fixture) for fixture in fixtures]
    for result in results[:: 1 if name in ("contour", "coefficients") else -2]:
        check(PICTURES[name](result, None).figure)
    figure, halves = pyplot.subplots(1, 2, figsize=(5.0, 2.6), layout="constrained")
    for result, ax in zip(results, halves, strict=True):
        assert PICTURES[name](result, ax) is ax
    check(figure)


def test_pairs_have_room(long: FitResult) -> None:
    grid = plots.plot_pairs(long, long.names[:3])
    check(grid[0, 0].figure)
    assert [ax.get_xlabel() != "" for ax in grid[2]] == [True, True, True]
    figure, given = pyplot.subplots(2, 2, figsize=(5.0, 4.0), layout="constrained")
    grid = plots.plot_pairs(long, long.names[1:3], ax=given)
    assert grid[1, 0] is given[1, 0]
    assert grid[0, 1] is None
    assert len(figure.axes) == 3
    check(figure)
    with pytest.raises(ValueError, match=r"pairs of 2 parameters need an array of 2 by 2 axes, not \(3,\)"):
        plots.plot_pairs(long, long.names[1:3], ax=np.empty(3, dtype=object))


# What is drawn ----------------------------------------------------------------------------------------------


def test_contours_at_a_correlation_of_99_hundredths_are_smooth(short: FitResult) -> None:
    assert abs(short.corr_params()[1, 2]) > 0.985
    ax = plots.plot_contour(short, "x", "z", levels=(0.95,))
    line = np.column_stack(ax.lines[0].get_data())
    np.testing.assert_allclose(line[0], line[-1], atol=1e-9)  # it closes
    # In units of Wald's ellipse, the line turns by a few degrees at each point, and never back.
    cov = short.cov_params()[1:3, 1:3]
    steps = np.diff(np.linalg.solve(np.linalg.cholesky(cov), line[:-1].T), axis=1).T
    turns = steps[:-1, 0] * steps[1:, 1] - steps[:-1, 1] * steps[1:, 0]
    angles = np.degrees(
        np.arcsin(turns / np.linalg.norm(steps[:-1], axis=1) / np.linalg.norm(steps[1:], axis=1))
    )
    assert angles.min() > 0.0
    assert angles.max() < 6.0

    # In closed form: with the constant and the variance fitted again, n / 2 log(rss) has risen by the drop.
    def rss(b: Any, c: Any) -> Any:
        left = Y - b * X - c * Z
        return np.sum((left - left.mean()) ** 2)

    best = rss(*short.x[1:3])
    drops = [30.0 * np.log(rss(b, c) / best) for b, c in line[::7]]
    np.testing.assert_allclose(drops, chi2.ppf(0.95, 2) / 2.0, rtol=2e-3)


def test_the_signed_root_passes_the_quantiles_at_the_interval(short: FitResult) -> None:
    ax = plots.plot_zeta(short, "log_s", 0.1)
    root, wald = ax.lines[0], ax.lines[2]
    ends = np.interp(short.profile("log_s", 0.1).interval, *root.get_data())
    np.testing.assert_allclose(ends, scipy_norm.ppf([0.05, 0.95]), atol=1e-3)
    ends = np.interp(short.conf_int(0.1)[3], *wald.get_data())
    np.testing.assert_allclose(ends, scipy_norm.ppf([0.05, 0.95]), atol=1e-9)


def test_coefficients_without_the_constant_by_standard_deviations(short: FitResult) -> None:
    ax = plots.plot_coefficients(short, drop="const", sd=dict(x=2.0))
    assert [label.get_text() for label in ax.get_yticklabels()] == ["x", "z", "log_s"]
    points = ax.lines[2]
    np.testing.assert_allclose(points.get_xdata(), short.x[1:] * [2.0, 1.0, 1.0])
    np.testing.assert_allclose(ax.lines[0].get_xdata(), short.conf_int()[1:, 0] * [2.0, 1.0, 1.0])
    with pytest.raises(ValueError, match="no parameter 'intercept'"):
        plots.plot_coefficients(short, drop="intercept")
    with pytest.raises(ValueError, match="no parameter is left to be drawn"):
        plots.plot_coefficients(short, ["x"], drop="x")


def test_power_is_the_level_at_the_hypothesis(short: FitResult) -> None:
    ax = plots.plot_power(short, "x", null=0.2, alpha=0.1, sizes=(1, 4))
    for line, size in zip(ax.lines[:2], (1, 4), strict=True):
        truth, found = line.get_data()
        shift = (truth - 0.2) / (short.bse[1] / np.sqrt(size))
        expected = scipy_norm.sf(1.6448536 - shift) + scipy_norm.cdf(-1.6448536 - shift)
        np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert np.interp(0.2, *ax.lines[0].get_data()) == pytest.approx(0.1, abs=1e-4)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["n = 60", "n = 240"]
    with pytest.raises(ValueError, match="sizes are one to 4 positive numbers"):
        plots.plot_power(short, "x", sizes=())


def test_quantiles_have_bands_of_uniform_order_statistics(short: FitResult) -> None:
    ax = plots.plot_qq(short, residuals)
    drawn = ax.lines[1].get_ydata()
    np.testing.assert_allclose(drawn, np.sort(residuals(short.params["b"], short.params["log_s"], Y)))
    # The smallest of n uniform numbers is below u with probability 1 - (1 - u)^n.
    low = ax.collections[0].get_paths()[0].vertices[:, 1].min()
    assert scipy_norm.cdf(low) == pytest.approx(1.0 - 0.975 ** (1.0 / 60.0), rel=1e-6)
    with pytest.raises(ValueError, match="residuals are a vector of finite numbers"):
        plots.plot_qq(short, np.ones((2, 2)))


def test_influences_are_those_of_the_fit(short: FitResult) -> None:
    from tapegrad.mle import influence

    moved = influence(short)
    drawn = plots.plot_influence(short).lines[0].get_ydata()
    cov = short.cov_params()
    np.testing.assert_allclose(
        drawn, np.einsum("ni,ij,nj->n", moved, np.linalg.inv(cov), moved) / 4.0, rtol=1e-6
    )
    one = plots.plot_influence(short, "x").lines[0].get_ydata()
    np.testing.assert_allclose(one, moved[:, 1] / short.bse[1])


def test_observed_against_simulated(short: FitResult) -> None:
    ax = plots.plot_simulated(short, simulate, lambda d: d["y"].mean(), 40, seed=2)
    draws = [simulate(short.params, rng)["y"].mean() for rng in [np.random.default_rng(2)] for _ in range(40)]
    assert sum(patch.get_height() for patch in ax.patches) == 40
    share = min(np.mean(np.array(draws) <= Y.mean()), np.mean(np.array(draws) >= Y.mean()))
    assert ax.get_title().replace("\n", " ").startswith(f"{100 * share:.3g}% of the draws")
    band = plots.plot_simulated(short, simulate, lambda d: np.sort(d["y"]), 40, seed=2)
    np.testing.assert_array_equal(band.lines[1].get_ydata(), np.sort(Y))
    with pytest.raises(ValueError, match="a number, or an array of shape"):
        plots.plot_simulated(short, simulate, lambda d: np.ones((2, 2)), 2)


def test_random_effects_stand_in_their_order(grouped: FitResult) -> None:
    ax = plots.plot_random_effects(grouped)
    points = ax.lines[2].get_xdata()
    np.testing.assert_array_equal(points, np.sort(grouped.random["u"]))
    assert ax.get_xlabel() == "u, 95% interval"
    with pytest.raises(KeyError, match="no random effect 'v'"):
        plots.plot_random_effects(grouped, "v")


# Progress ---------------------------------------------------------------------------------------------------


def test_nothing_is_said_before_two_seconds(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "tqdm", None)
    clock = [0.0]
    monkeypatch.setattr("tapegrad.mle.progress.time.monotonic", lambda: clock[0])
    with Progress("pairs", 3, True, 2.0) as shown:
        for second in (0.5, 1.5):
            clock[0] = second
            shown.step()
        assert capsys.readouterr().err == ""
        clock[0] = 2.5
        shown.step("a, b")
    assert capsys.readouterr().err == "pairs: 3/3 a, b\npairs: 3/3 done\n"
    with Progress("fast", None, True, 2.0) as shown:
        shown.step()
    assert capsys.readouterr().err == ""
