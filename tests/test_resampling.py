"""Bootstrap, jackknife and cross-validation against closed forms and SciPy."""

import time
import warnings
from typing import Any

import numpy as np
import pytest
from scipy import stats as scipy_stats

from tapegrad.mle import ConvergenceWarning, FitResult, StandardErrorWarning, fit
from tapegrad.mle.resample.bootstrap import Bootstrap, bootstrap
from tapegrad.mle.resample.leaveout import cross_validate, jackknife
from tapegrad.mle.transforms import positive
from tapegrad.stats import bernoulli, expon, norm

RNG = np.random.default_rng(21)
WAITS = RNG.exponential(2.0, size=60)
N = 500
DESIGN = np.column_stack([np.ones(N), RNG.normal(size=N)])
Y = DESIGN @ [1.0, 2.0] + RNG.normal(size=N) * np.exp(0.5 * DESIGN[:, 1])
GROUPS = np.repeat(np.arange(50), 10)
CLUSTERED = Y + 2.0 * RNG.normal(size=50)[GROUPS]
START = {"beta": np.zeros(2), "sigma": 1.0}


def exponential() -> FitResult:
    # Its maximum is the mean of the data, also when they are weighted.
    return fit(lambda scale: expon.logpdf(WAITS, scale=scale), {"scale": 1.0}, transforms={"scale": positive})


def regression(y: Any = Y) -> FitResult:
    return fit(
        lambda beta, sigma: norm.logpdf(y, DESIGN @ beta, sigma), START, transforms={"sigma": positive}
    )


# The bootstrap ----------------------------------------------------------------------------------------------


def test_each_refit_is_the_mean_of_its_sample() -> None:
    found = bootstrap(exponential(), 50, seed=4)
    rng = np.random.default_rng(4)
    means = [
        np.average(WAITS, weights=np.bincount(rng.integers(60, size=60), minlength=60)) for _ in range(50)
    ]
    np.testing.assert_allclose(found.draws[:, 0], means, rtol=1e-9)
    np.testing.assert_allclose(found.bias, np.mean(means) - WAITS.mean(), rtol=1e-6)
    np.testing.assert_allclose(found.bse, np.std(means, ddof=1), rtol=1e-8)
    np.testing.assert_allclose(found.cov_params(), [[np.var(means, ddof=1)]], rtol=1e-8)
    assert found.failed == 0


@pytest.fixture(scope="module")
def many_draws() -> Bootstrap:
    return bootstrap(exponential(), 6000, seed=1)


@pytest.mark.parametrize("method", ["percentile", "basic", "BCa"])
def test_intervals_agree_with_scipy(many_draws: Bootstrap, method: str) -> None:
    found = many_draws.conf_int(0.1, method.lower())
    theirs = scipy_stats.bootstrap(
        (WAITS,), np.mean, n_resamples=60_000, confidence_level=0.9, method=method, rng=3
    ).confidence_interval
    np.testing.assert_allclose(found[0], theirs, rtol=0.012)


def test_bca_from_given_draws() -> None:
    # SciPy's own formula on the same draws: the jackknife's acceleration of a mean is that of the influences.
    draws = np.sort(np.random.default_rng(0).gamma(20.0, 0.1, size=4001))
    centred = WAITS - WAITS.mean()
    found = Bootstrap(np.array([1.95]), ("mean",), draws[:, None], 0, centred[:, None] / 60)
    z0 = scipy_stats.norm.ppf(np.mean(draws < 1.95))
    a = np.sum(centred**3) / (6.0 * np.sum(centred**2) ** 1.5)
    z = z0 + scipy_stats.norm.ppf([0.025, 0.975])
    levels = scipy_stats.norm.cdf(z0 + z / (1.0 - a * z))
    np.testing.assert_allclose(found.conf_int(0.05, "bca")[0], np.quantile(draws, levels), rtol=1e-12)
    normal = found.conf_int(0.05, "normal")[0]
    half = scipy_stats.norm.ppf(0.975) * draws.std(ddof=1)
    np.testing.assert_allclose(normal, 1.95 - (draws.mean() - 1.95) + np.array([-half, half]), rtol=1e-12)


def test_bca_without_draws_on_both_sides_is_nan() -> None:
    found = Bootstrap(np.array([0.0]), ("a",), np.linspace(1.0, 2.0, 50)[:, None], 0, np.ones((5, 1)))
    assert np.isnan(found.conf_int(method="bca")).all()


def test_bca_where_its_correction_has_a_pole_is_nan() -> None:
    draws = np.random.default_rng(0).normal(size=(500, 1))
    skewed = np.array([[10.0], [0.1], [-0.1]])  # an acceleration of nearly 1 / 6
    found = Bootstrap(np.zeros(1), ("a",), draws, 0, skewed)
    assert np.isfinite(found.conf_int(1e-6, "bca")).all()
    assert np.isnan(found.conf_int(1e-10, "bca")).all()


@pytest.mark.parametrize("kind", ["case", "wild"])
def test_standard_errors_are_the_robust_ones(kind: str) -> None:
    result = regression()
    robust = fit(
        lambda beta, sigma: norm.logpdf(Y, DESIGN @ beta, sigma),
        START,
        transforms={"sigma": positive},
        cov_type="HC0",
    )
    assert robust.bse[1] > 1.1 * result.bse[1]  # the errors are not those of the model
    found = bootstrap(result, 1000, kind=kind, seed=2)
    np.testing.assert_allclose(found.bse, robust.bse, rtol=0.08)
    np.testing.assert_allclose(found.cov_params(), robust.cov_params(), atol=0.1 * np.max(robust.bse) ** 2)


@pytest.mark.parametrize("kind", ["case", "wild"])
def test_clusters_are_drawn_as_a_whole(kind: str) -> None:
    robust = fit(
        lambda beta, sigma: norm.logpdf(CLUSTERED, DESIGN @ beta, sigma),
        START,
        transforms={"sigma": positive},
        cov_type="cluster",
        cov_kwds={"groups": GROUPS, "use_correction": False},
    )
    found = bootstrap(regression(CLUSTERED), 1000, kind=kind, groups=GROUPS, seed=2)
    np.testing.assert_allclose(found.bse, robust.bse, rtol=0.12)
    assert found.influence is not None
    assert found.influence.shape == (50, 3)


def test_parametric_draws_follow_the_model() -> None:
    def loglik(scale: Any, waits: Any) -> Any:
        return expon.logpdf(waits, scale=scale)

    def simulate(params: Any, rng: np.random.Generator) -> dict[str, Any]:
        return {"waits": rng.exponential(params["scale"], size=60)}

    result = fit(loglik, {"scale": 1.0}, data={"waits": WAITS})
    found = bootstrap(result, 400, kind="parametric", simulate=simulate, seed=5)
    rng = np.random.default_rng(5)
    means = [rng.exponential(result.params["scale"], size=60).mean() for _ in range(400)]
    np.testing.assert_allclose(found.draws[:, 0], means, rtol=1e-8)
    for bad, name in ((WAITS, "ndarray"), (None, "NoneType")):
        with pytest.raises(ValueError, match=f"must return a dict of arrays for data=, not a {name}"):
            bootstrap(result, 10, kind="parametric", simulate=lambda params, rng, bad=bad: bad)
        with pytest.raises(ValueError, match=f"must return a dict of arrays for data=, not a {name}"):
            result.coverage(lambda params, rng, bad=bad: bad)
    with pytest.raises(ValueError, match="scale came out the same from all simulated data"):
        bootstrap(result, 10, kind="parametric", simulate=lambda params, rng: {"waits": WAITS})
    # One number for all observations will do, but has no influences.
    whole = fit(lambda scale, waits: loglik(scale, waits).sum(), {"scale": 1.0}, data={"waits": WAITS})
    summed = bootstrap(whole, 400, kind="parametric", simulate=simulate, seed=5)
    np.testing.assert_allclose(summed.draws, found.draws, rtol=1e-8)
    with pytest.raises(ValueError, match="bca takes its acceleration from each observation's influence"):
        summed.conf_int(method="bca")


def test_weights_of_the_fit_stay() -> None:
    counts = RNG.integers(1, 4, size=60)
    result = fit(lambda scale: expon.logpdf(WAITS, scale=scale), {"scale": 1.0}, weights=counts)
    found = bootstrap(result, 20, seed=4)
    rng = np.random.default_rng(4)
    drawn = [np.bincount(rng.integers(60, size=60), minlength=60) for _ in range(20)]
    means = [np.average(WAITS, weights=counts * factors) for factors in drawn]
    np.testing.assert_allclose(found.draws[:, 0], means, rtol=1e-9)


def test_a_prior_stays() -> None:
    y = RNG.normal(3.0, 1.0, size=40)
    result = fit(
        lambda mu: norm.logpdf(y, mu, 1.0), {"mu": 0.0}, logprior=lambda mu: norm.logpdf(mu, 0.0, 0.5)
    )
    found = bootstrap(result, 20, seed=4)
    rng = np.random.default_rng(4)
    sums = [y @ np.bincount(rng.integers(40, size=40), minlength=40) for _ in range(20)]
    np.testing.assert_allclose(found.draws[:, 0], np.array(sums) / 44.0, rtol=1e-9)


def test_tied_parameters_stay_tied() -> None:
    result = fit(
        lambda a, b: norm.logpdf(Y, a + b * DESIGN[:, 1], 1.0), {"a": 0.0, "b": 0.0}, tie=[("a", "b")]
    )
    found = bootstrap(result, 20, seed=4)
    np.testing.assert_array_equal(found.draws[:, 0], found.draws[:, 1])


def test_fixed_parameters_stay() -> None:
    result = fit(
        lambda beta, sigma: norm.logpdf(Y, DESIGN @ beta, sigma),
        START,
        fixed=["beta[1]"],
        transforms={"sigma": positive},
    )
    found = bootstrap(result, 30, seed=1)
    assert (found.draws[:, 1] == 0.0).all()
    for method in ("percentile", "bca", "basic", "normal"):
        assert found.conf_int(method=method)[1].tolist() == [0.0, 0.0]


def test_data_are_replaced_without_a_new_trace() -> None:
    calls = 0

    def loglik(scale: Any, waits: Any) -> Any:
        nonlocal calls
        calls += 1
        return expon.logpdf(waits, scale=scale)

    result = fit(loglik, {"scale": 1.0}, data={"waits": WAITS}, transforms={"scale": positive})
    simulate = lambda params, rng: {"waits": rng.exponential(params["scale"], size=60)}  # noqa: E731
    cross_validate(result, 5)  # traces once more, with the weights as parameters
    calls = 0
    for kind in ("case", "wild"):
        bootstrap(result, 20, kind=kind)
    bootstrap(result, 20, kind="parametric", simulate=simulate)
    jackknife(result)
    cross_validate(result, 10)
    result.coverage(simulate, 20)
    assert calls == 0


def simulated_waits(params: Any, rng: np.random.Generator) -> dict[str, Any]:
    params["scale"] *= 2.0  # what it does with its parameters is its own business
    return {"waits": rng.exponential(0.5 * params["scale"], size=60)}


@pytest.mark.parametrize("kind", ["case", "wild", "parametric"])
def test_the_same_seed_gives_the_same_draws(kind: str) -> None:
    result = fit(lambda scale, waits: expon.logpdf(waits, scale=scale), {"scale": 1.0}, data={"waits": WAITS})
    simulate = simulated_waits if kind == "parametric" else None
    a, b, c = (bootstrap(result, 20, kind=kind, simulate=simulate, seed=seed).draws for seed in (1, 1, 2))
    np.testing.assert_array_equal(a, b)
    assert not np.array_equal(a, c)
    assert 1.0 < a.min() < a.max() < 4.0


def test_refits_that_fail_are_counted() -> None:
    # In some samples the groups are separated, and the slope has no maximum.
    x = np.array([-2.0, -1.0, -0.5, 0.5, 1.0, 2.0, 3.0])
    y = np.array([0.0, 0.0, 1.0, 0.0, 1.0, 1.0, 1.0])
    result = fit(lambda slope: bernoulli.logpmf(y, 1.0 / (1.0 + np.exp(-slope * x))), {"slope": 0.0})
    with pytest.warns(
        ConvergenceWarning, match=r"of 100 refits have not converged, and are left out"
    ) as caught:
        found = bootstrap(result, 100, seed=3)
    assert caught[0].filename == __file__
    assert 0 < found.failed < 50
    assert len(found.draws) == 100 - found.failed
    assert np.isfinite(found.draws).all()
    assert f"{found.failed} more have failed" in str(found)


def test_the_table() -> None:
    table = str(bootstrap(exponential(), 40, seed=1)).splitlines()
    assert table[0].split()[:2] == ["estimate", "bias"]
    assert table[1].startswith("scale")
    assert table[-1] == "40 refits"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"kind": "cluster"},
            r"no bootstrap 'cluster': choose one of case, wild, parametric \(groups= makes",
        ),
        ({"draws": 1}, "2 refits or more, not 1"),
        ({"kind": "parametric"}, "'parametric' needs it"),
        ({"simulate": lambda params, rng: {}}, "simulate= goes with kind='parametric'"),
        ({"groups": np.ones(3)}, r"one label for each of the 60 observations, not \(3,\)"),
        ({"groups": np.ones(60)}, "at least two groups"),
    ],
)
def test_bad_arguments(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        bootstrap(exponential(), **options)


def test_what_cannot_be_resampled() -> None:
    whole = fit(lambda scale: expon.logpdf(WAITS, scale=scale).sum(), {"scale": 1.0})
    for resample in (bootstrap, jackknife, cross_validate):
        with pytest.raises(ValueError, match=r"need the log-likelihood of each observation: let f return"):
            resample(whole)
    with pytest.warns(StandardErrorWarning):
        stuck = fit(lambda a: np.stack([a, 2.0 * a]), {"a": 1.0})
    with pytest.raises(ValueError, match="refits start from a maximum, and this fit has none"):
        bootstrap(stuck)
    found = bootstrap(exponential(), 10, seed=1)
    with pytest.raises(ValueError, match="no interval 'bc': choose one of percentile, bca, basic, normal"):
        found.conf_int(method="bc")
    with pytest.raises(ValueError, match="between 0 and 1"):
        found.conf_int(95.0)


def test_a_thousand_refits_are_quick(capsys: pytest.CaptureFixture[str]) -> None:
    result = regression()
    start = time.process_time()
    bootstrap(result, 1000, seed=1, progress=True)
    assert time.process_time() - start < 10.0
    assert "bootstrap" in capsys.readouterr().err


# Leaving out ------------------------------------------------------------------------------------------------


def test_the_jackknife_of_a_mean_in_closed_form() -> None:
    found = jackknife(exponential())
    np.testing.assert_allclose(found.draws[:, 0], (WAITS.sum() - WAITS) / 59.0, rtol=1e-9)
    np.testing.assert_allclose(found.bse, WAITS.std(ddof=1) / np.sqrt(60), rtol=1e-8)
    np.testing.assert_allclose(found.bias, 0.0, atol=1e-9)


def test_the_jackknife_removes_the_bias_of_a_variance() -> None:
    result = fit(
        lambda mu, v: norm.logpdf(WAITS, mu, np.sqrt(v)), {"mu": 1.0, "v": 1.0}, transforms={"v": positive}
    )
    found = jackknife(result)
    np.testing.assert_allclose(result.x[1] - found.bias[1], WAITS.var(ddof=1), rtol=1e-8)


def test_the_jackknife_of_groups_in_closed_form() -> None:
    groups = np.repeat(np.arange(6), 10)
    found = jackknife(exponential(), groups=groups)
    sums = np.array([WAITS[groups == g].sum() for g in range(6)])
    np.testing.assert_allclose(found.draws[:, 0], (WAITS.sum() - sums) / 50.0, rtol=1e-9)


def test_what_is_left_out_may_lie_outside_the_support() -> None:
    # theta - x is gamma(2) distributed; without its largest x, theta may fall below it.
    x = 5.0 - np.random.default_rng(6).gamma(2.0, size=40)

    def loglik(theta: Any, y: Any) -> Any:
        return np.log(theta - y) - (theta - y)

    result = fit(lambda theta: loglik(theta, x), {"theta": x.max() + 1.0})
    found = jackknife(result).draws[:, 0]
    for i in range(40):
        rest = np.delete(x, i)
        direct = fit(lambda theta, y=rest: loglik(theta, y), {"theta": result.x[0]})
        np.testing.assert_allclose(found[i], direct.x[0], rtol=1e-8)


def test_leaving_one_out_in_closed_form() -> None:
    found = cross_validate(exponential(), 60)
    means = (WAITS.sum() - WAITS) / 59.0
    np.testing.assert_allclose(found.pointwise, expon.logpdf(WAITS, scale=means), rtol=1e-9)
    np.testing.assert_allclose(found.elpd, found.pointwise.sum())
    np.testing.assert_allclose(found.se, np.sqrt(60 * found.pointwise.var(ddof=1)))


def test_folds_are_predicted_from_the_others() -> None:
    found = cross_validate(exponential(), 5, seed=7)
    assert np.bincount(found.folds).tolist() == [12] * 5
    for fold in range(5):
        inside = found.folds == fold
        mean = WAITS[~inside].mean()
        np.testing.assert_allclose(
            found.pointwise[inside], expon.logpdf(WAITS[inside], scale=mean), rtol=1e-8
        )
    np.testing.assert_array_equal(found.folds, cross_validate(exponential(), 5, seed=7).folds)
    groups = np.repeat(np.arange(6), 10)
    grouped = cross_validate(exponential(), 3, groups=groups, seed=1)
    assert all(len(set(grouped.folds[groups == g])) == 1 for g in range(6))
    with pytest.raises(ValueError, match="k is a number of folds from 2 to 6, not 10"):
        cross_validate(exponential(), groups=groups)


def test_what_cannot_be_fitted_without_a_fold_is_nan() -> None:
    x = np.array([-2.0, -1.0, -0.5, 0.5, 1.0, 2.0])
    y = np.array([0.0, 0.0, 0.0, 0.0, 1.0, 1.0])
    y[1] = 1.0
    result = fit(lambda slope: bernoulli.logpmf(y, 1.0 / (1.0 + np.exp(-slope * x))), {"slope": 0.0})
    assert result.converged
    x_only = fit(
        lambda a, slope: bernoulli.logpmf(y, 1.0 / (1.0 + np.exp(-a - slope * x))), {"a": 0.0, "slope": 0.0}
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = jackknife(x_only)
        predicted = cross_validate(x_only, 6)
    assert any("the jackknife is NaN" in str(w.message) for w in caught)
    assert any("their predictions are NaN" in str(w.message) for w in caught)
    assert np.isnan(found.bse).all()
    assert np.isnan(predicted.elpd)
