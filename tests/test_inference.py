"""Profiles, tests, functions of the parameters, criteria and simulation, against closed forms and books."""

import json
import pickle
import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import optimize, stats
from scipy.special import expit, xlogy

import tapegrad as tg
from tapegrad.mle import (
    FitResult,
    ProfileWarning,
    check_consistency,
    compare,
    fit,
    lr_test,
    wald_test,
)
from tapegrad.mle.transforms import positive, simplex, unit
from tapegrad.stats import bernoulli, expon, norm, poisson


def scaled_draws(mean: float, sd: float, n: int = 100) -> np.ndarray:
    draws = np.random.default_rng(20).normal(size=n)
    return mean + sd * (draws - draws.mean()) / draws.std()


X = scaled_draws(5.065030, np.exp(0.72864665))


def normal(mu: Any, log_sigma: Any) -> Any:
    return norm.logpdf(X, mu, np.exp(log_sigma)).sum()


@pytest.fixture(scope="module")
def result() -> FitResult:
    return fit(normal, {"mu": 0.0, "log_sigma": 0.0})


# Published numbers ------------------------------------------------------------------------------------------


def test_the_published_tests(result: FitResult) -> None:
    # The first number is that of known sigma = 1 against mu = 0, in the published example.
    test = result.wald_test("mu = 5")
    np.testing.assert_allclose([test.statistic, test.pvalue], [0.0984755, 0.753667], atol=5e-6)
    assert test.df == 1
    assert not test.significant()
    assert str(test) == "Wald test of mu = 5: chi2(1) = 0.0984766, p = 0.7537"


# MASS, 4th edition, section 8.4: the deaths of budworms by sex and by the logarithm of the dose.
DOSE = np.tile(np.arange(6.0), 2)
MALE = np.repeat([1.0, 0.0], 6)
DEAD = np.array([1, 4, 9, 13, 18, 20, 0, 2, 6, 10, 12, 16.0])


def budworm(male: Any, female: Any, ldose: Any) -> Any:
    p = expit(male * MALE + female * (1.0 - MALE) + ldose * DOSE)
    return (xlogy(DEAD, p) + xlogy(20.0 - DEAD, 1.0 - p)).sum()


def test_the_profile_intervals_of_the_budworms() -> None:
    def by_scipy(low: float, high: float) -> float:
        """Where the profile, each point by SciPy without derivatives, passes the limit."""

        def best(ldose: float) -> float:
            options = {"xatol": 1e-10, "fatol": 1e-13, "maxiter": 4000, "maxfev": 4000}
            found = optimize.minimize(
                lambda b: -budworm(b[0], b[1], ldose), [-2.5, -3.5], method="Nelder-Mead", options=options
            )
            return -float(found.fun)

        limit = fitted.llf - stats.chi2.ppf(0.95, 1) / 2
        return float(optimize.brentq(lambda ldose: best(ldose) - limit, low, high, xtol=1e-10))

    fitted = fit(budworm, {"male": 0.0, "female": 0.0, "ldose": 0.0})
    np.testing.assert_allclose(fitted.params["ldose"], 1.0642, atol=5e-5)
    profile = fitted.profile("ldose")
    # R's confint interpolates the profile by a spline; the book has four decimals.
    np.testing.assert_allclose(profile.interval, [0.8229, 1.3391], atol=1e-4)
    np.testing.assert_allclose(profile.interval, [by_scipy(0.5, 1.0), by_scipy(1.1, 1.8)], rtol=1e-7)
    assert profile.is_monotone
    intervals = fitted.conf_int(method="profile")
    np.testing.assert_allclose(intervals[2], profile.interval, rtol=1e-9)


# Profiles ---------------------------------------------------------------------------------------------------


def test_a_profile_in_closed_form() -> None:
    # Of the mean of a normal sample: n/2 log(1 + (m - mu)^2 / s^2) below the maximum.
    fitted = fit(normal, {"mu": 0.0, "log_sigma": 0.0})
    profile = fitted.profile("mu", alpha=0.1)
    s2 = np.exp(2 * 0.72864665)
    half = np.sqrt(s2 * np.expm1(stats.chi2.ppf(0.9, 1) / 100))
    np.testing.assert_allclose(profile.interval, [5.065030 - half, 5.065030 + half], rtol=1e-8)
    expected = fitted.llf - 50 * np.log1p((profile.values - 5.065030) ** 2 / s2)
    np.testing.assert_allclose(profile.llf, expected, rtol=1e-11)
    np.testing.assert_allclose(profile.params[:, 0], profile.values)
    assert str(profile).startswith("mu = 5.06503, 90% profile interval 4.72185 to 5.40821")


def test_profiles_do_not_depend_on_the_scale_of_the_fit() -> None:
    def raw(mu: Any, sigma: Any) -> Any:
        return norm.logpdf(X, mu, sigma).sum()

    start = {"mu": 4.0, "sigma": 1.0}
    plain = fit(raw, start)
    free = fit(raw, start, transforms={"sigma": positive})
    np.testing.assert_allclose(plain.conf_int(method="profile"), free.conf_int(method="profile"), rtol=1e-7)
    by_log = np.exp(fit(normal, {"mu": 0.0, "log_sigma": 0.0}).conf_int(method="profile")[1])
    np.testing.assert_allclose(free.conf_int(method="profile")[1], by_log, rtol=1e-7)


def test_an_end_that_is_not_there_is_infinite() -> None:
    # Five successes in five trials: the log-odds have no upper limit; neither has the odds' own.
    successes, limit = 5.0, stats.chi2.ppf(0.95, 1) / 2
    ones = fit(lambda z: 5.0 * -np.log1p(np.exp(-z)) - 1e-12 * z * z, {"z": 1.0}, "newton")
    low, high = ones.profile("z").interval
    np.testing.assert_allclose(low, -np.log(np.expm1(limit / successes)), rtol=1e-4)
    assert high > 1e5  # the penalty's own


def test_a_flat_tail() -> None:
    fitted = fit(lambda b: -2.5 * b * b / (1.0 + b * b) + np.where(b < 0.0, -b * b, 0.0), {"b": 0.3})
    low, high = fitted.profile("b", alpha=0.01).interval
    assert high == np.inf
    assert np.isfinite(low)
    with pytest.raises(ValueError, match="no method 'wild'"):
        fitted.conf_int(method="wild")


def test_an_end_at_the_edge_of_the_support() -> None:
    data = np.array([0.5, 1.0, 2.0, 3.0])

    def loglik(upper: Any) -> Any:  # a triangle on 0 to upper, whose density is 2 (upper - x) / upper^2
        return (np.log(upper - data) - 2.0 * np.log(upper)).sum()

    fitted = fit(loglik, {"upper": 5.0})
    low, high = fitted.profile("upper").interval
    limit = fitted.llf - stats.chi2.ppf(0.95, 1) / 2
    with np.errstate(all="ignore"):
        np.testing.assert_allclose(
            low, optimize.brentq(lambda u: loglik(u) - limit, 3.0 + 1e-9, 4.0), rtol=1e-8
        )
        np.testing.assert_allclose(high, optimize.brentq(lambda u: loglik(u) - limit, 5.0, 60.0), rtol=1e-8)

    def jump(a: Any) -> Any:
        return np.where(a < 1.5, -0.5 * (a - 1.0) ** 2, -np.inf)

    low, high = fit(jump, {"a": 0.5}).profile("a").interval
    np.testing.assert_allclose([low, high], [1.0 - stats.norm.ppf(0.975), 1.5], rtol=1e-8)


def two_peaks(a: Any, b: Any) -> Any:
    """Peaks near -1 (lower) and 1 (higher) in a, with a valley between them."""
    left, right = np.exp(-0.5 * ((a + 1.0) / 0.5) ** 2), np.exp(-0.5 * ((a - 1.0) / 0.5) ** 2)
    return np.log(0.3 * left + right) - (b - 0.1 * a) ** 2


def test_a_profile_restarts_from_a_better_maximum() -> None:
    start = {"a": -1.0, "b": 0.0}
    local = fit(two_peaks, start)
    assert local.params["a"] == pytest.approx(-1.0, abs=1e-2)
    best = fit(two_peaks, {"a": 1.0, "b": 0.0})
    with pytest.warns(ProfileWarning, match=r"met a better maximum, .* at a=0.99"):
        profile = local.profile("a", alpha=0.001)
    assert profile.estimate == pytest.approx(best.params["a"], abs=1e-8)
    with pytest.warns(ProfileWarning, match="better maximum"):
        both = local.conf_int(0.001, method="profile")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        np.testing.assert_allclose(both, best.conf_int(0.001, method="profile"), rtol=1e-6)


def test_a_profile_that_rises_again_is_survived_and_told() -> None:
    best = fit(two_peaks, {"a": 1.0, "b": 0.0})
    with pytest.warns(ProfileWarning, match="rises again beyond"):
        profile = best.profile("a", alpha=0.1)
    assert not profile.is_monotone
    low, high = profile.interval
    assert 0.0 < low < high < 2.0


def test_profiles_under_other_names(result: FitResult) -> None:
    renamed = replace(result, names=("mean", "log sd"))
    np.testing.assert_allclose(renamed.profile("mean").interval, result.profile("mu").interval)
    np.testing.assert_allclose(renamed.conf_int(method="profile"), result.conf_int(method="profile"))


def test_tied_parameters_have_one_profile() -> None:
    def loglik(a: Any, b: Any) -> Any:
        return norm.logpdf(X[:50], a, 2.0).sum() + norm.logpdf(X[50:], b, 2.0).sum()

    tied = fit(loglik, {"a": 1.0, "b": 1.0}, tie=[("a", "b")])
    intervals = tied.conf_int(method="profile")
    half = stats.norm.ppf(0.975) * 2.0 / 10.0
    np.testing.assert_allclose(intervals, [[X.mean() - half, X.mean() + half]] * 2, rtol=1e-7)
    assert tied.df_model == 1


def test_what_has_no_profile(result: FitResult) -> None:
    with pytest.raises(ValueError, match="no parameter 'nu'; the parameters are mu, log_sigma"):
        result.profile("nu")
    held = fit(normal, {"mu": 0.0, "log_sigma": 0.0}, fixed={"mu": 5.0})
    with pytest.raises(ValueError, match="mu is fixed"):
        held.profile("mu")
    np.testing.assert_array_equal(held.conf_int(method="profile")[0], [5.0, 5.0])
    counts = np.array([3.0, 5.0, 2.0])
    shares = fit(lambda p: (counts * np.log(p)).sum(), {"p": np.full(3, 1 / 3)}, transforms={"p": simplex})
    with pytest.raises(ValueError, match="constrained as a whole"):
        shares.profile("p[0]")
    with pytest.raises(ValueError, match="no free coordinates of their own"):
        shares.conf_int(method="transformed")
    stored = pickle.loads(pickle.dumps(result))
    with pytest.raises(ValueError, match="not stored with a result: fit again"):
        stored.profile("mu")


# Intervals and errors ---------------------------------------------------------------------------------------


def test_intervals_with_transformed_ends() -> None:
    y = np.array([1.0, 1.0, 0.0, 1.0, 1.0, 1.0])
    fitted = fit(lambda p: bernoulli.logpmf(y, p).sum(), {"p": 0.5}, transforms={"p": unit})
    z, error = np.log(5.0), 1.0 / np.sqrt(6 * 5 / 36)
    half = stats.norm.ppf(0.975) * error
    np.testing.assert_allclose(
        fitted.conf_int(method="transformed")[0], expit([z - half, z + half]), rtol=1e-8
    )
    np.testing.assert_allclose(fitted.bse, np.sqrt(5 / 6 / 6 / 6), rtol=1e-8)
    assert fitted.conf_int()[0, 1] > 1.0
    np.testing.assert_array_equal(
        fit(normal, {"mu": 0.0, "log_sigma": 0.0}).conf_int(method="transformed"),
        fit(normal, {"mu": 0.0, "log_sigma": 0.0}).conf_int(),
    )
    with pytest.raises(ValueError, match="takes no draws"):
        fitted.conf_int(method="profile", draws=3)


def test_bootstrap_intervals() -> None:
    from tapegrad.mle import bootstrap

    fitted = fit(lambda mu: norm.logpdf(X, mu, 2.0), {"mu": 4.0})
    intervals = fitted.conf_int(0.1, method="bootstrap", n=400, seed=1)
    np.testing.assert_array_equal(intervals, bootstrap(fitted, 400, seed=1).conf_int(0.1))
    half = stats.norm.ppf(0.95) * X.std() / 10.0
    np.testing.assert_allclose(intervals[0], [fitted.x[0] - half, fitted.x[0] + half], atol=0.06)


def test_fixed_parameters_stay_in_the_table() -> None:
    held = fit(normal, {"mu": 0.0, "log_sigma": 0.0}, fixed={"mu": 5.0}, nobs=100)
    assert held.names == ("mu", "log_sigma")
    assert held.is_fixed.tolist() == [True, False]
    assert held.bse[0] == 0.0
    assert np.isnan(held.zvalues[0])
    assert held.df_model == 1
    assert held.df_resid == 99
    line = str(held).splitlines()[2]
    assert line.split() == ["mu", "5", "fixed"]
    correlation = held.corr_params()
    assert np.isnan(correlation[0]).all()
    assert correlation[1, 1] == 1.0


def test_correlations_and_names_of_others() -> None:
    x = np.arange(10.0)
    y = np.array([1, 2, 1, 3, 5, 4, 7, 9, 12, 15.0])
    fitted = fit(lambda a, b: poisson.logpmf(y, np.exp(a + b * x)).sum(), {"a": 0.0, "b": 0.0})
    cov = fitted.cov_params()
    np.testing.assert_allclose(fitted.corr_params()[0, 1], cov[0, 1] / np.sqrt(cov[0, 0] * cov[1, 1]))
    np.testing.assert_array_equal(fitted.tvalues, fitted.zvalues)
    assert fitted.df_model == 2
    assert fitted.df_resid == 8
    np.testing.assert_allclose(fitted.aicc, fitted.aic + 2 * 2 * 3 / (10 - 2 - 1))
    assert fit(lambda a: -((a - x[:2]) ** 2).sum(), 0.0, nobs=2).aicc == np.inf
    assert fitted.se_reliable
    assert fitted.njev > 0
    assert fitted.nhev > 0


def test_expected_information() -> None:
    def rows(scale: Any, waits: Any) -> Any:
        return expon.logpdf(waits, scale=scale)

    waits = np.random.default_rng(1).exponential(2.0, size=400)
    fitted = fit(rows, {"scale": 1.0}, data={"waits": waits})
    mean = waits.mean()
    scores = waits / mean**2 - 1 / mean
    np.testing.assert_allclose(fitted.expected_info(), [[(scores**2).sum()]], rtol=1e-8)

    def simulate(params: Any, rng: np.random.Generator) -> dict[str, Any]:
        return {"waits": rng.exponential(params["scale"], size=400)}

    by_simulation = fitted.expected_info(simulate, draws=300, seed=1)
    np.testing.assert_allclose(by_simulation, [[400 / mean**2]], rtol=0.02)
    assert check_consistency(fitted, simulate, 200, seed=2).pvalue > 0.01

    def wrong(params: Any, rng: np.random.Generator) -> dict[str, Any]:
        return {"waits": rng.exponential(1.1 * params["scale"], size=400)}

    assert check_consistency(fitted, wrong, 200, seed=2).pvalue < 1e-4
    study = fitted.coverage(simulate, 300, seed=3)
    assert study.failed == 0
    np.testing.assert_allclose(study.coverage, 0.95, atol=0.04)
    np.testing.assert_array_less(np.abs(study.bias), 4 * study.sd / np.sqrt(300))
    np.testing.assert_allclose(study.sd, fitted.bse, rtol=0.15)
    assert "coverage" in str(study)
    with pytest.raises(ValueError, match="draws must be 2 or more"):
        fitted.coverage(simulate, 1)
    with pytest.raises(ValueError, match="pass them as fit"):
        fit(normal, {"mu": 0.0, "log_sigma": 0.0}).coverage(simulate)


# Tests of hypotheses ----------------------------------------------------------------------------------------


RNG = np.random.default_rng(8)
Z = np.column_stack([np.ones(60), RNG.normal(size=(60, 2))])
COUNTS = RNG.poisson(np.exp(Z @ [0.5, 0.3, 0.1])).astype(float)


def counts(b: Any) -> Any:
    return poisson.logpmf(COUNTS, np.exp(Z @ b)).sum()


@pytest.fixture(scope="module")
def regression() -> FitResult:
    return fit(counts, {"b": np.zeros(3)})


def test_wald_by_words_by_matrix_and_by_function(regression: FitResult) -> None:
    matrix = np.array([[0.0, 1.0, -1.0]])
    x, cov = regression.x, regression.cov_params()
    expected = (x[1] - x[2]) ** 2 / (cov[1, 1] + cov[2, 2] - 2 * cov[1, 2])
    for hypothesis in (
        "b[1] = b[2]",
        "b[1] - b[2] = 0",
        "2*b[1] == 2 * b[2]",
        matrix,
        matrix[0],
        lambda b: b[1] - b[2],
    ):
        test = regression.wald_test(hypothesis)
        np.testing.assert_allclose(test.statistic, expected, rtol=1e-10)
        np.testing.assert_allclose(test.pvalue, stats.chi2.sf(expected, 1), rtol=1e-10)
    joint = wald_test(regression, "b[1] = 0, b[2] = 0")
    block = x[1:] @ np.linalg.solve(cov[1:, 1:], x[1:])
    np.testing.assert_allclose(joint.statistic, block, rtol=1e-9)
    assert joint.df == 2
    np.testing.assert_allclose(regression.wald_test("b[1] = b[2] = 0").statistic, block, rtol=1e-9)
    np.testing.assert_allclose(
        wald_test(regression, np.eye(3)[1:], [0.1, 0.2]).statistic,
        (x[1:] - [0.1, 0.2]) @ np.linalg.solve(cov[1:, 1:], x[1:] - [0.1, 0.2]),
        rtol=1e-9,
    )


def test_wald_on_nonlinear_hypotheses(regression: FitResult) -> None:
    x, cov = regression.x, regression.cov_params()
    gradient = np.array([np.exp(x[0]) * x[1], np.exp(x[0]), -2 * x[2]])
    gap = np.exp(x[0]) * x[1] - x[2] ** 2
    expected = gap**2 / (gradient @ cov @ gradient)
    np.testing.assert_allclose(
        regression.wald_test("exp(b[0]) * b[1] = b[2]**2").statistic, expected, rtol=1e-9
    )


@pytest.mark.parametrize(
    ("hypothesis", "message"),
    [
        ("b[1]", "is no equation"),
        ("b[7] = 0", r"'b\[7\]' in the hypothesis .* is no parameter"),
        ("b[1] = __import__('os')", "is no parameter, number, operator or function"),
        ("b[1] = open('x')", "is no parameter, number, operator or function"),
        ("b[1] = b[0].real", "is no parameter"),
        ("b[1] =", "cannot read ''"),
        ("1 = 2", "says nothing about the parameters"),
        ("b[1] = 0, 2 * b[1] = 0", "depend on each other"),
        ("b[1] < 0", "is no parameter"),
    ],
)
def test_hypotheses_that_cannot_be_read(regression: FitResult, hypothesis: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        regression.wald_test(hypothesis)
    with pytest.raises(ValueError, match="one column for each of the 3 parameters"):
        regression.wald_test(np.eye(2))


def test_likelihood_ratio_and_score(regression: FitResult) -> None:
    smaller = fit(lambda b: poisson.logpmf(COUNTS, np.exp(Z[:, :1] @ b)).sum(), {"b": np.zeros(1)})
    by_fits = lr_test(regression, smaller)
    by_values = regression.lr_test({"b[1]": 0.0, "b[2]": 0.0})
    np.testing.assert_allclose(by_fits.statistic, 2 * (regression.llf - smaller.llf))
    np.testing.assert_allclose(by_values.statistic, by_fits.statistic, rtol=1e-9)
    assert by_values.df == by_fits.df == 2
    mean = COUNTS.mean()
    gradient, information = Z.T @ (COUNTS - mean), mean * Z.T @ Z
    expected = gradient @ np.linalg.solve(information, gradient)
    score = regression.score_test({"b[1]": 0.0, "b[2]": 0.0})
    np.testing.assert_allclose(score.statistic, expected, rtol=1e-9)
    assert score.kind == "score"
    with pytest.raises(ValueError, match=r"call it as larger\.lr_test\(smaller\)"):
        smaller.lr_test(regression)
    with pytest.raises(ValueError, match="60 and 59 observations"):
        regression.lr_test(fit(lambda b: poisson.logpmf(COUNTS[1:], np.exp(b)).sum(), {"b": 0.0}, nobs=59))
    with pytest.raises(ValueError, match="no parameter 'c'"):
        regression.score_test({"c": 0.0})
    with pytest.raises(ValueError, match="is above the other one"):
        regression.lr_test(fit(lambda b: 0.0 * COUNTS.sum() - b * b, {"b": 1.0}, nobs=60))


def test_the_score_test_by_outer_products() -> None:
    data = X

    def rows(mu: Any, sigma: Any) -> Any:
        return norm.logpdf(data, mu, sigma)

    fitted = fit(rows, {"mu": 4.0, "sigma": 1.5})
    test = fitted.score_test({"mu": 4.8}, information="opg")
    s0 = np.sqrt(np.mean((X - 4.8) ** 2))
    by_row = np.column_stack([(X - 4.8) / s0**2, (X - 4.8) ** 2 / s0**3 - 1 / s0])
    ones = np.ones(100)  # n times the uncentred R squared of ones on the scores
    expected = ones @ by_row @ np.linalg.solve(by_row.T @ by_row, by_row.T @ ones)
    np.testing.assert_allclose(test.statistic, expected, rtol=1e-8)
    with pytest.raises(ValueError, match="'observed' or 'opg'"):
        fitted.score_test({"mu": 4.8}, information="expected")


# Functions of the parameters --------------------------------------------------------------------------------


def test_delta(result: FitResult) -> None:
    sigma = result.delta(lambda mu, log_sigma: np.exp(log_sigma))
    np.testing.assert_allclose(sigma.value, np.exp(result.x[1]))
    np.testing.assert_allclose(sigma.bse, np.exp(result.x[1]) * result.bse[1])
    both = result.predict(
        lambda mu, log_sigma: {"cv": np.exp(log_sigma) / mu, "q": mu + np.array([0.0, 1.0])}
    )
    assert both.names == ("cv", "q[0]", "q[1]")
    np.testing.assert_allclose(both.value["q"], result.x[0] + np.array([0.0, 1.0]))
    jacobian = np.array([-np.exp(result.x[1]) / result.x[0] ** 2, np.exp(result.x[1]) / result.x[0]])
    np.testing.assert_allclose(both.bse[0], np.sqrt(jacobian @ result.cov_params() @ jacobian))
    half = stats.norm.ppf(0.975) * both.bse
    np.testing.assert_allclose(both.conf_int(), np.column_stack([both.x - half, both.x + half]))
    assert "cv" in str(both)


# Comparison -------------------------------------------------------------------------------------------------


def test_comparison(regression: FitResult) -> None:
    null = fit(lambda b: poisson.logpmf(COUNTS, np.exp(b) + 0.0 * COUNTS).sum(), {"b": 0.0}, nobs=60)
    table = compare(regression, null, names=["full", "null"])
    assert table.aic[0] == min(regression.aic, null.aic)
    np.testing.assert_allclose(table.weights.sum(), 1.0)
    np.testing.assert_allclose(table.weights[1] / table.weights[0], np.exp(-table.delta[1] / 2))
    assert "weight" in str(table)
    assert table._repr_html_().startswith("<table>")
    with pytest.raises(ValueError, match="two or more"):
        compare(regression)
    with pytest.raises(ValueError, match="2 fits need 2 names"):
        compare(regression, null, names=["a"])
    with pytest.raises(ValueError, match=r"60, 100 observations"):
        compare(regression, fit(normal, {"mu": 0.0, "log_sigma": 0.0}))


# Output -----------------------------------------------------------------------------------------------------


def test_tables_in_html_and_latex(result: FitResult) -> None:
    html = result.summary().as_html()
    assert "<td>mu</td>" in html
    assert "&lt; 2e-16" in html
    assert html == result._repr_html_() == result.summary()._repr_html_()
    latex = result.summary().as_latex()
    assert r"log\_sigma & 0.728647" in latex
    assert r"$<$ 2e-16 & *** \\" in latex
    assert latex.count(r"\\") == 3
    assert r"\begin{tabular}{lrrrrl}" in latex


def test_the_numbers_as_a_dict(result: FitResult) -> None:
    numbers = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert numbers["params"]["mu"]["estimate"] == result.x[0]
    assert numbers["llf"] == result.llf
    assert numbers["nobs"] == 100
    np.testing.assert_array_equal(numbers["cov_params"], result.cov_params())
    with pytest.warns(tg.StandardErrorWarning):
        broken = fit(lambda a, b: -((a + b) ** 2), {"a": 1.0, "b": 2.0})
    assert broken.to_dict()["params"]["a"]["se"] is None


def test_labels(result: FitResult) -> None:
    pandas = pytest.importorskip("pandas")
    labelled = result.labelled
    assert isinstance(labelled.params, pandas.Series)
    assert labelled.params["mu"] == result.x[0]
    assert labelled.bse["log_sigma"] == result.bse[1]
    assert labelled.tvalues["mu"] == labelled.zvalues["mu"] == result.zvalues[0]
    assert labelled.pvalues["mu"] == result.pvalues[0]
    assert labelled.cov_params().loc["mu", "log_sigma"] == result.cov_params()[0, 1]
    assert labelled.corr_params().loc["mu", "mu"] == 1.0
    intervals = labelled.conf_int(0.1)
    assert list(intervals.columns) == ["0.05", "0.95"]
    assert list(labelled.table().columns) == ["estimate", "se", "z", "p", "low", "high"]


def test_no_labels_without_pandas(result: FitResult, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pandas", None)
    labelled = result.labelled
    np.testing.assert_array_equal(labelled.params, result.x)
    np.testing.assert_array_equal(labelled.cov_params(), result.cov_params())
    np.testing.assert_array_equal(labelled.conf_int(), result.conf_int())
    assert labelled.table().shape == (2, 6)
