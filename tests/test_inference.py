"""Intervals, tests, functions of the parameters, criteria and simulation, against closed forms."""

import json
from typing import Any

import numpy as np
import pytest
from scipy import stats
from scipy.special import expit, log_ndtr, ndtr

import tapegrad as tg
from tapegrad.mle import FitResult, check_consistency, compare, fit, lr_test, wald_test
from tapegrad.mle.climb.surfaces import is_finite
from tapegrad.mle.matrices import is_definite, to_unit_diagonal, why_not_definite
from tapegrad.mle.resample.simulation import expected_information
from tapegrad.mle.transforms import correlation, unit
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


def test_large_numbers_are_finite_without_a_warning() -> None:
    assert is_finite(1.0, np.array([1e200, 1.0]))
    assert not is_finite(1.0, np.array([1e200, np.inf]))
    assert not is_finite(1.0, np.array([1e200, np.nan]))
    assert not is_finite(-np.inf, np.array([1e200]))


@pytest.mark.parametrize("beside", [1e-300, 1.0, 1e200, 1e308])
@pytest.mark.parametrize("tiny", [0.0, 5e-324, 1e-320, 1e-200])
def test_an_indefinite_matrix_has_eigenvalues_however_tiny_its_diagonal(tiny: float, beside: float) -> None:
    matrix = np.array([[tiny, beside, 0.0], [beside, tiny, 1.0], [0.0, 1.0, 2.0]])
    scaled, scale = to_unit_diagonal(matrix)
    assert np.isfinite(scaled).all()
    assert np.isfinite(scale).all()
    assert np.linalg.eigvalsh(scaled)[0] < -0.1
    assert not is_definite(matrix)
    assert "curves upwards" in why_not_definite(matrix, "abc")


def test_the_published_tests(result: FitResult) -> None:
    test = result.wald_test("mu = 5")
    np.testing.assert_allclose([test.statistic, test.pvalue], [0.0984755, 0.753667], atol=5e-6)
    assert test.df == 1
    assert not test.significant()
    assert str(test) == "Wald test of mu = 5: chi2(1) = 0.0984766, p = 0.7537"
    ratio = result.lr_test({"mu": 0.0})  # in closed form
    np.testing.assert_allclose(ratio.statistic, 100.0 * np.log1p((X.mean() / X.std()) ** 2))


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
    intervals = fitted.conf_int(0.1, method="bootstrap", draws=200, seed=1)
    np.testing.assert_array_equal(intervals, bootstrap(fitted, 200, seed=1).conf_int(0.1))
    half = stats.norm.ppf(0.95) * X.std() / 10.0
    np.testing.assert_allclose(intervals[0], [fitted.x[0] - half, fitted.x[0] + half], atol=0.08)
    for interval in ("bca", "basic", "normal"):
        by_option = fitted.conf_int(0.1, method="bootstrap", interval=interval, draws=200, seed=1)
        np.testing.assert_array_equal(by_option, bootstrap(fitted, 200, seed=1).conf_int(0.1, interval))
        assert (by_option != intervals).any()
    with pytest.raises(ValueError, match="no interval 'bc': choose one of percentile, bca"):
        fitted.conf_int(method="bootstrap", interval="bc", draws=10**9)  # said before the refits
    with pytest.raises(ValueError, match="takes no interval; those are for method='bootstrap'"):
        fitted.conf_int(method="profile", interval="bca")


def test_fixed_parameters_stay_in_the_table() -> None:
    held = fit(normal, {"mu": 0.0, "log_sigma": 0.0}, fixed={"mu": 5.0}, nobs=100)
    assert held.names == ("mu", "log_sigma")
    assert held.is_fixed.tolist() == [True, False]
    assert held.bse[0] == 0.0
    assert np.isnan(held.zvalues[0])
    assert held.df_model == 1
    assert held.df_resid == 99
    line = str(held).splitlines()[2]
    assert line.split() == ["mu", "5.000000", "fixed"]
    correlation = held.corr_params()
    assert np.isnan(correlation[0]).all()
    assert correlation[1, 1] == 1.0


def test_the_ones_in_a_correlation_matrix_are_fixed() -> None:
    z = np.random.default_rng(0).normal(size=(60, 3)) @ (np.eye(3) + 0.5)
    z = z / z.std(axis=0)

    def loglik(R: Any) -> Any:
        return -0.5 * np.log(np.linalg.det(R)) - 0.5 * ((z @ np.linalg.inv(R)) * z).sum(axis=1)

    fitted = fit(loglik, {"R": np.eye(3)}, transforms={"R": correlation})
    np.testing.assert_array_equal(fitted.is_fixed, np.eye(3, dtype=bool).ravel())
    assert (fitted.bse[[0, 4, 8]] == 0.0).all()
    assert str(fitted).count("fixed") == 3
    assert np.isnan(fitted.corr_params()[4]).all()


def test_correlations_and_names_of_others() -> None:
    x = np.arange(10.0)
    y = np.array([1, 2, 1, 3, 5, 4, 7, 9, 12, 15.0])
    fitted = fit(lambda a, b: poisson.logpmf(y, np.exp(a + b * x)).sum(), {"a": 0.0, "b": 0.0})
    cov = fitted.cov_params()
    np.testing.assert_allclose(fitted.corr_params()[0, 1], cov[0, 1] / np.sqrt(cov[0, 0] * cov[1, 1]))
    np.testing.assert_array_equal(fitted.tvalues, fitted.zvalues)
    assert fitted.df_model == 2
    assert fitted.df_resid == 8
    criteria = pytest.importorskip("statsmodels.tools.eval_measures")
    np.testing.assert_allclose(fitted.aic, criteria.aic(fitted.llf, 10, 2), rtol=1e-14)
    np.testing.assert_allclose(fitted.aicc, criteria.aicc(fitted.llf, 10, 2), rtol=1e-14)
    np.testing.assert_allclose(fitted.bic, criteria.bic(fitted.llf, 10, 2), rtol=1e-14)
    assert fit(lambda a: -((a - x[:2]) ** 2).sum(), 0.0, nobs=2).aicc == np.inf
    assert fitted.se_reliable
    assert fitted.njev > 0
    assert fitted.nhev > 0


def waits_model() -> tuple[FitResult, Any]:
    waits = np.random.default_rng(1).exponential(2.0, size=400)
    fitted = fit(lambda scale, waits: expon.logpdf(waits, scale=scale), {"scale": 1.0}, data={"waits": waits})

    def simulate(params: Any, rng: np.random.Generator) -> dict[str, Any]:
        return {"waits": rng.exponential(params["scale"], size=400)}

    return fitted, simulate


def test_the_information_estimated_and_simulated() -> None:
    fitted, simulate = waits_model()
    mean = fitted.x[0]
    assert fitted._model is not None
    scores = fitted._model.data["waits"] / mean**2 - 1 / mean
    np.testing.assert_allclose(fitted.expected_info(), [[(scores**2).sum()]], rtol=1e-8)
    by_simulation = fitted.expected_info(simulate, draws=300, seed=1)
    np.testing.assert_allclose(by_simulation, [[400 / mean**2]], rtol=0.02)
    np.testing.assert_array_equal(by_simulation, fitted.expected_info(simulate, draws=300, seed=1))


def test_the_information_by_its_formula() -> None:
    # Over all outcomes, with and without weights, against the textbook's X'WX.
    design = np.column_stack([np.ones(50), np.random.default_rng(5).normal(size=50)])
    weights = np.random.default_rng(6).integers(1, 4, size=50)
    y = np.random.default_rng(7).poisson(np.exp(design @ [0.5, 0.3]))
    count = fit(
        lambda b, y: poisson.logpmf(y, np.exp(design @ b)), {"b": np.zeros(2)}, data={"y": y}, weights=weights
    )
    w = weights * np.exp(design @ count.x)
    found = expected_information(count, outcomes={"y": range(60)})
    np.testing.assert_allclose(found, design.T @ (w[:, None] * design), rtol=1e-10)
    probit = fit(
        lambda b, z: log_ndtr((2.0 * z - 1.0) * (design @ b)),
        {"b": np.zeros(2)},
        data={"z": (y > 1).astype(float)},
        logprior=lambda b: norm.logpdf(b, 0.0, 10.0).sum(),
    )
    eta = design @ probit.x
    w = stats.norm.pdf(eta) ** 2 / (ndtr(eta) * ndtr(-eta))
    exactly = design.T @ (w[:, None] * design)  # of the likelihood, without the prior
    np.testing.assert_allclose(expected_information(probit, outcomes={"z": [0, 1]}), exactly, rtol=1e-10)
    # The observed information of a probit is another one.
    assert np.abs(probit.observed_info / exactly - 1.0).max() > 1e-3

    def simulate(params: Any, rng: np.random.Generator) -> dict[str, Any]:
        return {"z": (rng.random(50) < ndtr(design @ params["b"])).astype(float)}

    np.testing.assert_allclose(probit.expected_info(simulate, 400, seed=1), exactly, rtol=0.03, atol=0.3)


def test_the_information_by_quadrature() -> None:
    fitted, simulate = waits_model()
    points, widths = np.polynomial.legendre.leggauss(100)
    found = expected_information(fitted, outcomes={"waits": 50.0 * (points + 1.0)}, widths=50.0 * widths)
    np.testing.assert_allclose(found, [[400 / fitted.x[0] ** 2]], rtol=1e-8)
    with pytest.raises(ValueError, match=r"the outcomes of waits add up to 0\..* for some observations"):
        expected_information(fitted, outcomes={"waits": [0.0, 1.0]})
    with pytest.raises(ValueError, match="the values of one of the data; these are waits"):
        expected_information(fitted, outcomes={"y": [0.0, 1.0]})
    with pytest.raises(ValueError, match="by outcomes= or by simulate=, not by both"):
        expected_information(fitted, simulate, outcomes={"waits": [0.0]})
    whole = fit(lambda a, x: -((a - x) ** 2).sum(), 0.0, data={"x": np.array([1.0, 2.0])})
    with pytest.raises(ValueError, match="need the log-likelihood of each observation"):
        whole.expected_info()


def test_consistency_of_model_and_simulation() -> None:
    fitted, simulate = waits_model()
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
    with pytest.raises(ValueError, match="5 parameters need more than 5 draws, not 5"):
        check_consistency(*five_means(), 5, seed=1)


def five_means() -> tuple[FitResult, Any]:
    y = np.random.default_rng(2).normal(size=(20, 5))
    fitted = fit(
        lambda mu, y: norm.logpdf(y, mu, 1.0).sum(axis=1),
        {"mu": np.zeros(5)},
        data={"y": y},
        logprior=lambda mu: norm.logpdf(mu, 3.0, 0.3).sum(),
    )
    return fitted, lambda params, rng: {"y": params["mu"] + rng.normal(size=(20, 5))}


def test_consistency_is_hotellings_test_of_the_scores_without_the_prior() -> None:
    fitted, simulate = five_means()
    found = check_consistency(fitted, simulate, 12, seed=4)
    rng = np.random.default_rng(4)
    scores = np.array([rng.normal(size=(20, 5)).sum(axis=0) for _ in range(12)])
    mean, cov = scores.mean(axis=0), np.cov(scores.T)
    t_squared = 12.0 * mean @ np.linalg.solve(cov, mean)
    np.testing.assert_allclose(found.statistic, t_squared * 7.0 / 11.0, rtol=1e-9)
    # The chi-squared distribution would give far too small a p-value with so few draws.
    np.testing.assert_allclose(found.pvalue, stats.f.sf(t_squared * 7.0 / 55.0, 5, 7), rtol=1e-9)


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
    prior = fit(counts, {"b": np.zeros(3)}, logprior=lambda b: norm.logpdf(b, 0.0, 1.0).sum())
    for test in (
        lambda: prior.lr_test(smaller),
        lambda: prior.lr_test({"b[1]": 0.0}),
        lambda: prior.score_test({"b[1]": 0.0}),
    ):
        with pytest.raises(ValueError, match="counts has a logprior"):
            test()
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
    np.testing.assert_allclose(np.sqrt(np.diag(both.cov)), both.bse, rtol=1e-12)


def test_predictions_of_many_observations(result: FitResult) -> None:
    # Their covariance matrix, 80 GB, is not made for the standard errors.
    x = np.linspace(0.0, 1.0, 100_000)
    many = result.predict(lambda mu, log_sigma: mu + x * log_sigma)
    v = result.cov_params()
    np.testing.assert_allclose(many.bse**2, v[0, 0] + 2.0 * x * v[0, 1] + x**2 * v[1, 1], rtol=1e-10)
    assert many.conf_int().shape == (100_000, 2)


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
    assert ">mu</td>" in html
    assert "&lt; 2e-16" in html
    assert html == result._repr_html_() == result.summary()._repr_html_()
    latex = result.summary().as_latex()
    assert r"log\_sigma & 0.728647" in latex
    assert r"$<$ 2e$-$16 & *** \\" in latex
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


def test_outputs_of_delta_have_names() -> None:
    result = fit(normal, {"mu": 0.0, "log_sigma": 0.0})

    def both(mu: Any, log_sigma: Any) -> Any:
        return np.stack([mu / np.exp(log_sigma), np.exp(2.0 * log_sigma)])

    named = result.delta(both, names=["signal to noise", "variance"])
    assert named.names == ("signal to noise", "variance")
    assert [line.split("  ")[0].strip() for line in str(named).splitlines()] == [
        "signal to noise",
        "variance",
    ]
    np.testing.assert_array_equal(named.bse, result.delta(both).bse)
    assert result.predict(lambda mu, log_sigma: mu, names="centre").names == ("centre",)
    with pytest.raises(ValueError, match="both returns 2 numbers, not 1 as names="):
        result.delta(both, names=["one"])
