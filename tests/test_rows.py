"""Log-likelihoods by observation: scores, robust covariances, weights and influence against statsmodels."""

import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import stats as scipy_stats
from scipy.special import expit

from tapegrad import mle, trace
from tapegrad.mle import FitResult, fit
from tapegrad.mle.infer.sandwich import free_covariance
from tapegrad.mle.transforms import positive
from tapegrad.stats import bernoulli, norm, poisson

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # theirs, not ours
    sm = pytest.importorskip("statsmodels.api")

RNG = np.random.default_rng(11)
N = 200
DESIGN = np.column_stack([np.ones(N), RNG.normal(size=(N, 2))])
GROUPS = RNG.integers(0, 12, size=N)
SHOCK = RNG.normal(size=12)[GROUPS]
COUNTS = RNG.poisson(np.exp(DESIGN @ [0.3, 0.5, -0.4] + 0.5 * SHOCK)).astype(float)
BINARY = (DESIGN @ [0.2, 1.0, -0.5] + SHOCK + RNG.logistic(size=N) > 0.0).astype(float)
LINEAR = DESIGN @ [1.0, 2.0, -1.0] + SHOCK * (1.0 + DESIGN[:, 1] ** 2)
START = {"beta": np.zeros(3)}


def poisson_rows(beta: Any) -> Any:
    return poisson.logpmf(COUNTS, np.exp(DESIGN @ beta))


def logit_rows(beta: Any) -> Any:
    return bernoulli.logpmf(BINARY, expit(DESIGN @ beta))


def normal_rows(beta: Any, sigma: Any) -> Any:
    return norm.logpdf(LINEAR, DESIGN @ beta, sigma)


MODELS: list[tuple[Callable[..., Any], Any]] = [
    (poisson_rows, lambda: sm.Poisson(COUNTS, DESIGN)),
    (logit_rows, lambda: sm.Logit(BINARY, DESIGN)),
]
KINDS: list[tuple[str, dict[str, Any]]] = [
    ("nonrobust", {}),
    ("HC0", {}),
    ("cluster", {"groups": GROUPS}),
    ("cluster", {"groups": GROUPS, "use_correction": False}),
    ("HAC", {"maxlags": 4}),
    ("HAC", {"maxlags": 4, "use_correction": True}),
]


@pytest.mark.parametrize(("rows", "model"), MODELS)
@pytest.mark.parametrize(("cov_type", "cov_kwds"), KINDS)
def test_covariances_agree_with_statsmodels(
    rows: Callable[..., Any], model: Callable[[], Any], cov_type: str, cov_kwds: dict[str, Any]
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = model().fit(
            method="newton", tol=1e-14, disp=0, cov_type=cov_type, cov_kwds=dict(cov_kwds) or None
        )
    ours = fit(rows, START, cov_type=cov_type, cov_kwds=cov_kwds)
    np.testing.assert_allclose(ours.x, theirs.params, rtol=1e-9)
    np.testing.assert_allclose(ours.cov_params(), theirs.cov_params(), rtol=1e-7)
    np.testing.assert_allclose(ours.bse, theirs.bse, rtol=1e-8)
    assert ours.cov_type == cov_type
    assert ours.nobs == N


@pytest.mark.parametrize("cov_type", ["HC0", "HC1"])
def test_white_agrees_with_ordinary_least_squares(cov_type: str) -> None:
    # With sigma fixed the free coordinates are OLS's; whatever it is fixed at, it leaves the sandwich.
    theirs = sm.OLS(LINEAR, DESIGN).fit(cov_type=cov_type)
    ours = fit(normal_rows, {**START, "sigma": 1.0}, fixed={"sigma": 3.0}, cov_type=cov_type)
    np.testing.assert_allclose(ours.cov_params()[:3, :3], theirs.cov_params(), rtol=1e-9)


def test_the_outer_product_of_the_gradients() -> None:
    model = sm.Poisson(COUNTS, DESIGN)
    estimates = model.fit(method="newton", tol=1e-14, disp=0).params
    theirs = model.score_obs(estimates)
    ours = fit(poisson_rows, START, cov_type="opg")
    np.testing.assert_allclose(mle.scores(ours), theirs, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(ours.cov_params(), np.linalg.inv(theirs.T @ theirs), rtol=1e-7)


def test_rows_add_up() -> None:
    by_row, whole = fit(poisson_rows, START), fit(lambda beta: poisson_rows(beta).sum(), START)
    values = mle.pointwise(by_row)
    assert values.shape == (N,)
    np.testing.assert_allclose(values, poisson_rows(by_row.x), rtol=1e-13)
    np.testing.assert_allclose(values.sum(), by_row.llf, rtol=1e-13)
    np.testing.assert_allclose(mle.scores(by_row).sum(axis=0), np.zeros(3), atol=1e-7)
    np.testing.assert_allclose(by_row.x, whole.x, rtol=1e-10)
    np.testing.assert_allclose(by_row.bse, whole.bse, rtol=1e-10)
    assert whole.nobs == N


def test_a_traced_function_of_rows_serves_as_well() -> None:
    traced = trace(poisson_rows, START)
    np.testing.assert_allclose(
        fit(traced, START, cov_type="HC0").bse, fit(poisson_rows, START, cov_type="HC0").bse
    )


def test_standard_errors_do_not_depend_on_the_coordinates() -> None:
    start = {**START, "sigma": 1.0}
    for cov_type, kwds in [*KINDS, ("HC1", {}), ("opg", {})]:
        plain = fit(normal_rows, start, cov_type=cov_type, cov_kwds=kwds)
        transformed = fit(
            normal_rows, start, transforms={"sigma": positive}, cov_type=cov_type, cov_kwds=kwds
        )
        np.testing.assert_allclose(transformed.x, plain.x, rtol=1e-8)
        np.testing.assert_allclose(transformed.cov_params(), plain.cov_params(), rtol=1e-6, atol=1e-14)


# Weights ----------------------------------------------------------------------------------------------------


def test_weights_are_numbers_of_observations() -> None:
    counts = RNG.integers(0, 4, size=N)
    repeated = np.repeat(np.arange(N), counts)

    def of_repeated(beta: Any) -> Any:
        return poisson.logpmf(COUNTS[repeated], np.exp(DESIGN[repeated] @ beta))

    weighted, plain = fit(poisson_rows, START, weights=counts), fit(of_repeated, START)
    np.testing.assert_allclose(weighted.x, plain.x, rtol=1e-9)
    np.testing.assert_allclose(weighted.bse, plain.bse, rtol=1e-9)
    np.testing.assert_allclose(weighted.llf, plain.llf, rtol=1e-12)


def test_sampling_weights_have_the_sandwich_of_weighted_scores() -> None:
    weights = RNG.uniform(0.5, 2.0, size=N)
    theirs = sm.WLS(LINEAR, DESIGN, weights=weights).fit(cov_type="HC0")
    ours = fit(normal_rows, {**START, "sigma": 1.0}, fixed="sigma", weights=weights, cov_type="HC0")
    np.testing.assert_allclose(ours.x[:3], theirs.params, rtol=1e-9)
    np.testing.assert_allclose(ours.bse[:3], theirs.bse, rtol=1e-9)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.ones(3), r"shape \(200,\), one for each observation, not \(3,\)"),
        (-np.ones(N), "finite and not negative"),
        (np.zeros(N), "not all zero"),
        (np.full(N, np.nan), "finite"),
    ],
)
def test_weights_that_are_none(weights: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fit(poisson_rows, START, weights=weights)


def test_weights_are_numbers_of_observations_in_outer_products_too() -> None:
    counts = RNG.integers(1, 4, size=N)
    repeated = np.repeat(np.arange(N), counts)
    weighted = fit(poisson_rows, START, weights=counts, cov_type="opg")
    plain = fit(
        lambda beta: poisson.logpmf(COUNTS[repeated], np.exp(DESIGN[repeated] @ beta)), START, cov_type="opg"
    )
    np.testing.assert_allclose(weighted.bse, plain.bse, rtol=1e-8)
    np.testing.assert_allclose(weighted.expected_info(), plain.expected_info(), rtol=1e-8)
    null = {"beta[1]": 0.3}
    np.testing.assert_allclose(
        weighted.score_test(null, "opg").statistic, plain.score_test(null, "opg").statistic, rtol=1e-7
    )


# Influence --------------------------------------------------------------------------------------------------


def test_influence_is_the_first_step_of_leaving_an_observation_out() -> None:
    result = fit(normal_rows, {**START, "sigma": 1.0}, transforms={"sigma": positive})
    found = mle.influence(result)
    step = 1e-4
    for i in (0, 17, 120):
        weights = np.ones(N)
        weights[i] += step
        up = fit(normal_rows, {**START, "sigma": 1.0}, weights=weights, transforms={"sigma": positive})
        weights[i] -= 2.0 * step
        down = fit(normal_rows, {**START, "sigma": 1.0}, weights=weights, transforms={"sigma": positive})
        np.testing.assert_allclose(found[i], (up.x - down.x) / (2.0 * step), rtol=1e-5, atol=1e-9)


def test_without_a_maximum_there_is_no_covariance() -> None:
    result = fit(poisson_rows, START)
    flat = np.zeros((3, 3))
    assert result._model is not None
    for kind, kwds in KINDS:
        assert np.isnan(free_covariance(result._model, result.x, flat, kind, kwds)).all()
    assert np.isnan(mle.influence(replace(result, observed_info=flat))).all()


# Of a result ------------------------------------------------------------------------------------------------


def test_results_observation_by_observation() -> None:
    result = fit(normal_rows, {**START, "sigma": 1.0}, transforms={"sigma": positive})
    *beta, sigma = result.x
    residuals = (LINEAR - DESIGN @ beta) / sigma
    np.testing.assert_allclose(mle.pointwise(result), normal_rows(np.array(beta), sigma), rtol=1e-12)
    by_log_sigma = residuals**2 - 1.0
    expected_scores = np.column_stack([DESIGN * residuals[:, None] / sigma, by_log_sigma])
    np.testing.assert_allclose(mle.scores(result), expected_scores, rtol=1e-9, atol=1e-12)
    assert mle.influence(result).shape == (N, 4)
    draws = result.x + np.array([[0.0, 0.1, 0.0, 0.0], [0.0, 0.0, -0.1, 0.2]])
    expected = [norm.logpdf(LINEAR, DESIGN @ draw[:3], draw[3]) for draw in draws]
    np.testing.assert_allclose(mle.pointwise(result, draws), expected, rtol=1e-12)
    with pytest.raises(ValueError, match=r"draws must have shape \(s, 4\), not \(4,\)"):
        mle.pointwise(result, result.x)
    with pytest.raises(ValueError, match="sigma must be greater than 0"):
        mle.pointwise(result, [[0.0, 0.0, 0.0, -1.0]])
    held = fit(normal_rows, {**START, "sigma": 1.0}, fixed={"sigma": 2.0})
    draw = np.append(held.x[:3] + 0.1, 2.0)
    np.testing.assert_allclose(mle.pointwise(held, [draw])[0], normal_rows(draw[:3], 2.0), rtol=1e-12)
    with pytest.raises(ValueError, match="sigma is 3 in draw 1, but fixed at, or tied to, 2 in the fit"):
        mle.pointwise(held, [draw, np.append(draw[:3], 3.0)])


def test_waic_and_leaving_one_out_from_pointwise_values() -> None:
    # A normal mean, known variance, flat prior: all of it has a closed form (A. Gelman, J. Hwang and A.
    # Vehtari, "Understanding predictive information criteria for Bayesian models", Statistics and Computing
    # 24, 2014, section 4).
    x = np.random.default_rng(3).normal(1.0, 1.0, size=25)
    n, mean = x.size, x.mean()
    result = fit(lambda mu: norm.logpdf(x, mu, 1.0), {"mu": 0.0})
    levels = (np.arange(20_000) + 0.5) / 20_000  # the posterior as quantiles, without chance
    draws = scipy_stats.norm.ppf(levels, mean, 1.0 / np.sqrt(n))
    values = mle.pointwise(result, draws[:, None])
    assert values.shape == (20_000, n)
    lppd = np.log(np.exp(values).mean(axis=0))
    np.testing.assert_allclose(lppd, scipy_stats.norm.logpdf(x, mean, np.sqrt(1.0 + 1.0 / n)), atol=1e-4)
    p_waic = values.var(axis=0)
    np.testing.assert_allclose(p_waic, 0.5 / n**2 + (x - mean) ** 2 / n, rtol=2e-3)
    by_importance = -np.log(np.exp(-values).mean(axis=0))
    without = (x.sum() - x) / (n - 1)
    exactly = scipy_stats.norm.logpdf(x, without, np.sqrt(1.0 + 1.0 / (n - 1)))
    np.testing.assert_allclose(by_importance, exactly, atol=1e-3)


def test_influences_are_close_to_leaving_out() -> None:
    result = fit(normal_rows, {**START, "sigma": 1.0}, transforms={"sigma": positive})
    found = mle.influence(result)
    without = result.x - mle.jackknife(result).draws
    np.testing.assert_allclose(found, without, atol=0.1 * np.abs(without).max())


def test_vuongs_test_by_its_formula() -> None:
    poisson_fit = fit(poisson_rows, START)
    other = fit(lambda mu, sigma: norm.logpdf(COUNTS, mu, sigma), {"mu": 1.0, "sigma": 1.0})
    m = poisson_rows(poisson_fit.x) - norm.logpdf(COUNTS, *other.x)
    for correction, penalty in (("none", 0.0), ("aic", 1.0), ("bic", 0.5 * np.log(N))):
        found = mle.vuong_test(poisson_fit, other, correction)
        z = (m.sum() - penalty) / (np.sqrt(N) * m.std())
        np.testing.assert_allclose(found.statistic, z, rtol=1e-9)
        np.testing.assert_allclose(found.pvalue, 2.0 * scipy_stats.norm.sf(abs(z)), rtol=1e-9)
        # The same by SciPy's t, whose standard deviation has n - 1 for a divisor.
        t = scipy_stats.ttest_1samp(m, penalty / N).statistic
        np.testing.assert_allclose(found.statistic, t * np.sqrt(N / (N - 1)), rtol=1e-9)
        turned = mle.vuong_test(other, poisson_fit, correction)
        np.testing.assert_allclose(turned.statistic, -found.statistic)
    assert "in favour of the first model" in str(mle.vuong_test(poisson_fit, other))


def test_vuongs_test_of_what_cannot_be_compared() -> None:
    poisson_fit = fit(poisson_rows, START)
    with pytest.raises(ValueError, match="the same log-likelihood: there is nothing to test"):
        mle.vuong_test(poisson_fit, fit(poisson_rows, START, "newton"))
    with pytest.raises(ValueError, match="the models have 200 and 2 observations"):
        mle.vuong_test(poisson_fit, fit(lambda mu: norm.logpdf(np.array([1.0, 2.0]), mu), {"mu": 0.0}))
    with pytest.raises(ValueError, match="not defined for weighted observations"):
        mle.vuong_test(poisson_fit, fit(poisson_rows, START, weights=np.ones(N)))
    with_prior = fit(poisson_rows, START, logprior=lambda beta: norm.logpdf(beta, 0.0, 1.0).sum())
    with pytest.raises(ValueError, match="poisson_rows has a logprior"):
        mle.vuong_test(poisson_fit, with_prior)
    with pytest.raises(ValueError, match="no correction 'hq': choose one of none, aic, bic"):
        mle.vuong_test(poisson_fit, poisson_fit, "hq")


# Bad input --------------------------------------------------------------------------------------------------


def kind_of(cov_type: str, **cov_kwds: Any) -> FitResult:
    return fit(poisson_rows, START, cov_type=cov_type, cov_kwds=cov_kwds)


def test_wrong_kinds_and_keywords() -> None:
    with pytest.raises(ValueError, match="no cov_type 'HC4': choose one of nonrobust, opg, HC0"):
        kind_of("HC4")
    with pytest.raises(ValueError, match="takes cov_kwds groups, use_correction; groups is missing"):
        kind_of("cluster")
    with pytest.raises(ValueError, match="takes cov_kwds none; maxlags is unknown"):
        kind_of("HC0", maxlags=3)
    with pytest.raises(ValueError, match="one label for each of the 200 observations"):
        kind_of("cluster", groups=[1, 2])
    with pytest.raises(ValueError, match="at least two groups"):
        kind_of("cluster", groups=np.ones(N))
    missing: Any = ["a", "b"] * (N // 2)
    for label in (None, np.nan):
        missing[7] = label
        with pytest.raises(ValueError, match="groups has no label for observation 7"):
            kind_of("cluster", groups=np.array(missing, dtype=object))
    with pytest.raises(ValueError, match="whole number from 0 to 199"):
        kind_of("HAC", maxlags=-1)


def test_one_number_has_no_rows() -> None:
    def whole(beta: Any) -> Any:
        return poisson_rows(beta).sum()

    message = r"let whole return an array of shape \(n,\), without the .sum\(\)"
    with pytest.raises(ValueError, match=message):
        fit(whole, START, cov_type="HC0")
    with pytest.raises(ValueError, match=message):
        fit(whole, START, weights=np.ones(N))
    with pytest.raises(ValueError, match=r"bhhh \(Fisher scoring\) needs the scores of each observation"):
        fit(whole, START, "bhhh")


def test_too_few_observations_for_a_correction() -> None:
    few = np.array([1.0, 2.0])
    with pytest.raises(ValueError, match=r"2 observations are too few for the correction n / \(n - 2\)"):
        fit(lambda mu, s: norm.logpdf(few, mu, s), {"mu": 1.0, "s": 1.0}, cov_type="HC1")
