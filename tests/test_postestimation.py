"""Effects, predictions, limits, impacts, forecasts of a fit; against statsmodels, pyhf and tables."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy.special import gammaln, ndtr, ndtri
from scipy.stats import chi2

import tapegrad as tg
from tapegrad.mle import FitResult, ProfileWarning, fit
from tapegrad.mle.infer.simultaneous import alpha_of_each
from tapegrad.mle.transforms import positive
from tapegrad.special import expit
from tapegrad.stats import bernoulli, norm, poisson

RNG = np.random.default_rng(11)
N = 80
AGE = RNG.normal(size=N)
SEX = RNG.integers(0, 2, N).astype(float)
X = np.column_stack([np.ones(N), AGE, SEX])
SICK = (RNG.uniform(size=N) < 1.0 / (1.0 + np.exp(-X @ [-0.4, 0.9, 0.7]))).astype(float)
COUNTS = RNG.poisson(np.exp(X @ [0.3, 0.4, -0.2]))


def risk(a: Any, b: Any, c: Any, age: Any, sex: Any) -> Any:
    return expit(a + b * age + c * sex)


def loglik(a: Any, b: Any, c: Any, age: Any, sex: Any) -> Any:
    return bernoulli.logpmf(SICK, risk(a, b, c, age, sex))


@pytest.fixture(scope="module")
def logit() -> FitResult:
    return fit(loglik, dict(a=0.0, b=0.0, c=0.0), data=dict(age=AGE, sex=SEX))


@pytest.fixture(scope="module")
def theirs() -> Any:
    return sm.Logit(SICK, X).fit(disp=0, tol=1e-14)


# Effects ----------------------------------------------------------------------------------------------------


def test_average_marginal_effects_are_statsmodels(logit: FitResult, theirs: Any) -> None:
    effects = logit.effects(risk, ["age", "sex"])
    margins = theirs.get_margeff()
    assert effects.names == ("age", "sex")
    np.testing.assert_allclose(effects.x, margins.margeff, rtol=1e-8)
    np.testing.assert_allclose(effects.bse, margins.margeff_se, rtol=1e-6)


def test_contrasts_are_statsmodels_discrete_changes(logit: FitResult, theirs: Any) -> None:
    effects = logit.effects(risk, dict(age=None, sex=[0, 1]))
    margins = theirs.get_margeff(dummy=True)
    assert effects.names == ("age", "sex: 1 - 0")
    np.testing.assert_allclose(effects.x, margins.margeff, rtol=1e-8)
    np.testing.assert_allclose(effects.bse, margins.margeff_se, rtol=1e-6)
    # In the other order, the same.
    turned = logit.effects(risk, dict(sex=[0, 1], age=None))
    np.testing.assert_array_equal(turned.x, effects.x[::-1])


def test_effects_at_the_means_and_of_columns_of_a_matrix(theirs: Any) -> None:
    result = fit(lambda b: bernoulli.logpmf(SICK, expit(X @ b)), np.zeros(3))
    effects = result.effects(lambda b, X: expit(X @ b), ["X[1]", "X[2]"], dict(X=X.mean(axis=0)[None, :]))
    margins = theirs.get_margeff(at="mean")
    np.testing.assert_allclose(effects.x, margins.margeff, rtol=1e-8)
    np.testing.assert_allclose(effects.bse, margins.margeff_se, rtol=1e-6)
    both = result.effects(lambda b, X: expit(X @ b), {"X[2]": [0, 1, 2]}, dict(X=X))
    assert both.names == ("X[2]: 1 - 0", "X[2]: 2 - 0")
    expected = [np.mean(expit(X * [1, 1, 0] @ result.x + v * result.x[2])) for v in (0, 1, 2)]
    np.testing.assert_allclose(both.x, np.array(expected[1:]) - expected[0])


@pytest.mark.parametrize(
    ("of", "message"),
    [
        ("weight", "no variable 'weight': the data are age, sex"),
        ({"sex": [1]}, r"sex is compared at two values or more, such as \[0, 1\], not at \[1\]"),
        ({"sex": ["f", "m"]}, "sex has no level 'f'"),
        ("age[1]", r"age has shape \(80,\), and no column 1"),
    ],
)
def test_effects_that_there_are_none_of(logit: FitResult, of: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        logit.effects(risk, of)


# Predictions ------------------------------------------------------------------------------------------------


def test_predictions_are_statsmodels(logit: FitResult) -> None:
    new = pd.DataFrame(
        {"age": [0.0, 1.5, -2.0], "sex": [1, 0, 1], "other": ["x", "y", "z"]}, index=list("pqr")
    )
    glm = sm.GLM(SICK, X, family=sm.families.Binomial()).fit(tol=1e-14)
    exog = np.column_stack([np.ones(3), new[["age", "sex"]]])
    expected = glm.get_prediction(exog).summary_frame(alpha=0.1)
    found = logit.predict(lambda a, b, c, age, sex: a + b * age + c * sex, data=new, transform=expit)
    frame = found.frame(alpha=0.1)
    assert list(frame.index) == ["p", "q", "r"]
    assert list(frame.columns) == ["value", "se", "low", "high"]
    np.testing.assert_allclose(
        frame, expected[["mean", "mean_se", "mean_ci_lower", "mean_ci_upper"]], rtol=1e-6
    )
    plain = logit.predict(risk, data=new)
    np.testing.assert_allclose(plain.bse, expected["mean_se"], rtol=1e-6)
    np.testing.assert_allclose(found.cov, plain.cov, rtol=1e-9)
    assert (found.conf_int(0.05, simultaneous="sidak")[:, 1] > found.conf_int()[:, 1]).all()


def test_predictions_without_data_are_functions_of_parameters(logit: FitResult) -> None:
    assert logit.predict(lambda a, b, c: a + b).bse == logit.delta(lambda a, b, c: a + b).bse
    ratios = logit.predict(lambda a, b, c: np.array([b, c]), ["age", "sex"], transform=np.exp)
    np.testing.assert_allclose(ratios.conf_int(), np.exp(logit.conf_int()[1:]))
    with pytest.raises(ValueError, match="this one mixes them"):
        logit.predict(lambda a, b, c: np.array([b, c]), transform=np.cumsum)
    with pytest.raises(ValueError, match="age is the name of a parameter and of data"):
        fit(lambda age: norm.logpdf(age), dict(age=1.0)).predict(lambda age: age, data=dict(age=[1.0]))


def test_predictions_with_random_effects_have_their_spread() -> None:
    group = np.arange(N) % 8
    y = AGE + RNG.normal(size=8)[group]

    def joint(u: Any, mu: Any, log_s: Any, log_t: Any) -> Any:
        return norm.logpdf(y, mu + u[group], np.exp(log_s)).sum() + norm.logpdf(u, 0.0, np.exp(log_t)).sum()

    start = dict(u=np.zeros(8), mu=0.0, log_s=0.0, log_t=0.0)
    result = fit(joint, start, random="u", nobs=N)
    where = np.array([0, 3, 3])
    found = result.predict(lambda u, mu, where: mu + u[where], data=dict(where=where))
    expected = result.delta(lambda u, mu: mu + u[where])
    np.testing.assert_allclose(found.bse, expected.bse)
    scaled = result.predict(lambda u, mu, where: mu + u[where], data=dict(where=where), transform=np.exp)
    np.testing.assert_allclose(scaled.bse, np.exp(expected.x) * expected.bse)
    np.testing.assert_allclose(scaled.conf_int(), np.exp(expected.conf_int()))
    one = result.effects(lambda u, mu, where: mu + u[where], dict(where=[0, 3]), dict(where=where))
    np.testing.assert_allclose(one.bse, result.delta(lambda u: u[3] - u[0]).bse)
    with pytest.raises(ValueError, match=r"compare two values, as in dict\(where=\[0, 1\]\)"):
        result.effects(lambda u, mu, where: mu + u[where], "where", dict(where=where))


# Simultaneous intervals -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("k", "quantile"), [(2, 2.21), (3, 2.35), (5, 2.51)])
def test_the_largest_of_correlated_numbers(k: int, quantile: float) -> None:
    """C. W. Dunnett, Biometrics 20 (1964), table II: two-sided, 95 %, correlations of 1/2, infinite df."""
    cov = 0.5 + 0.5 * np.eye(k)
    alpha = alpha_of_each(0.05, "max", k, lambda: cov)
    np.testing.assert_allclose(-ndtri(alpha / 2.0), quantile, atol=0.006)


def test_simultaneous_levels_in_closed_form() -> None:
    independent = alpha_of_each(0.05, "max", 4, lambda: np.diag([1.0, 4.0, 9.0, 0.1]))
    np.testing.assert_allclose(independent, alpha_of_each(0.05, "sidak", 4, lambda: np.eye(4)), rtol=2e-3)
    np.testing.assert_allclose(alpha_of_each(0.05, "sidak", 4, lambda: np.eye(4)), 1.0 - 0.95**0.25)
    assert alpha_of_each(0.05, "bonferroni", 4, lambda: np.eye(4)) == 0.0125
    one = np.ones((3, 3)) + 0.0 * np.eye(3)  # three times the same number
    np.testing.assert_allclose(alpha_of_each(0.05, "max", 3, lambda: one), 0.05, rtol=1e-3)
    np.testing.assert_allclose(alpha_of_each(0.05, "scheffe", 3, lambda: one), 0.05)
    scheffe = alpha_of_each(0.05, "scheffe", 3, lambda: np.eye(3))
    np.testing.assert_allclose(ndtri(scheffe / 2.0) ** 2, chi2.ppf(0.95, 3))


def test_intervals_for_all_parameters_together(logit: FitResult) -> None:
    widths = {
        kind: np.diff(logit.conf_int(simultaneous=kind), axis=1)[0, 0]
        for kind in (None, "max", "sidak", "bonferroni", "scheffe")
    }
    assert list(widths.values()) == sorted(widths.values())
    # The shadow of the joint region: as far as the best others allow.
    low, high = logit.conf_int(simultaneous="scheffe")[1]
    assert (high - low) / 2.0 == pytest.approx(np.sqrt(chi2.ppf(0.95, 3)) * logit.bse[1])
    profile = logit.conf_int(method="profile", simultaneous="bonferroni")
    np.testing.assert_array_equal(profile, logit.conf_int(0.05 / 3, "profile"))
    with pytest.raises(
        ValueError, match="simultaneous= is one of bonferroni, sidak, scheffe, max, not 'holm'"
    ):
        logit.conf_int(simultaneous="holm")


# One-sided tests --------------------------------------------------------------------------------------------


def test_one_sided_tests(logit: FitResult, theirs: Any) -> None:
    z = theirs.tvalues[1]
    greater = logit.wald_test("b = 0", alternative="greater")
    np.testing.assert_allclose([greater.root, greater.pvalue], [z, ndtr(-z)], rtol=1e-6)
    less = logit.wald_test("b = 0", alternative="less")
    np.testing.assert_allclose(less.pvalue, ndtr(z), rtol=1e-6)
    assert str(less) == f"Wald test of b = 0 against less: z = {less.root:.6g}, p = {less.pvalue:.4g}"
    two = logit.lr_test({"b": 0.0})
    one = logit.lr_test({"b": 0.0}, alternative="greater")
    np.testing.assert_allclose(one.pvalue, two.pvalue / 2.0)
    assert logit.lr_test({"b": 5.0}, alternative="greater").pvalue > 0.999
    score = logit.score_test({"b": 0.0}, alternative="less")
    np.testing.assert_allclose(score.pvalue, 1.0 - logit.score_test({"b": 0.0}).pvalue / 2.0)
    with pytest.raises(ValueError, match="a one-sided test is of one restriction, not of 2"):
        logit.wald_test("b = 0, c = 0", alternative="greater")
    with pytest.raises(ValueError, match="alternative is 'two-sided', 'greater' or 'less'"):
        logit.wald_test("b = 0", alternative="larger")
    with pytest.raises(ValueError, match="without boundary="):
        logit.lr_test({"b": 0.0}, alternative="greater", boundary=1)


# Limits -----------------------------------------------------------------------------------------------------


def test_a_limit_is_the_end_of_an_interval_of_twice_alpha(logit: FitResult) -> None:
    low, high = logit.profile("b", 0.2).interval
    assert logit.limit("b", 0.1).value == pytest.approx(high, rel=1e-7)
    assert logit.limit("b", 0.1, side="lower").value == pytest.approx(low, rel=1e-7)
    ratio = logit.limit(lambda a, b, c: b / a, 0.1, side="lower")
    assert ratio.value == pytest.approx(logit.profile(lambda a, b, c: b / a, 0.2).interval[0], rel=1e-6)
    scale = fit(lambda s: norm.logpdf(AGE, 0.0, s), dict(s=1.0), transforms=dict(s=positive))
    assert scale.limit("s").value == pytest.approx(scale.profile("s", 0.1).interval[1], rel=1e-7)
    assert str(scale.limit("s")).endswith(" at 95% confidence (profile likelihood)")


def on_off(mu: Any, gamma: Any, n: Any, aux: Any) -> Any:
    """The model of pyhf's `uncorrelated_background`."""
    signal, background, tau = np.array([12.0, 11.0]), np.array([50.0, 52.0]), np.array([50 / 3, 52 / 7]) ** 2
    expected, known = mu * signal + gamma * background, gamma * tau
    return np.sum(n * np.log(expected) - expected - gammaln(n + 1.0) + aux * np.log(known) - known)


# The numbers of pyhf 0.7.6: `toms748_scan(data, model, 0, 3)`.
@pytest.mark.parametrize(("counts", "expected"), [([51.0, 48.0], 1.01156937), ([40.0, 45.0], 0.64354081)])
def test_limits_by_cls_are_those_of_pyhf(counts: list[float], expected: float) -> None:
    data = dict(n=np.array(counts), aux=np.array([50 / 3, 52 / 7]) ** 2)
    result = fit(on_off, dict(mu=0.1, gamma=np.ones(2)), data=data)
    none = fit(on_off, dict(mu=0.0, gamma=np.ones(2)), data=data, fixed="mu")
    gamma = none.params["gamma"]
    background = dict(n=gamma * [50.0, 52.0], aux=gamma * data["aux"])
    found = result.limit("mu", bound=0.0, background=background)
    assert found.kind == "CLs"
    np.testing.assert_allclose(found.value, expected, rtol=2e-5)
    assert found.value > result.limit("mu", bound=0.0).value  # which excludes more
    with pytest.raises(ValueError, match=r"alpha of a limit is one minus its confidence level, below 0\.5"):
        result.limit("mu", 0.95)
    with pytest.raises(ValueError, match=r"upper limits with a bound=, such as bound=0\.0"):
        result.limit("mu", background=background)


def test_a_limit_where_the_estimate_is_beyond_the_bound() -> None:
    """One count and a background of 3: values are compared with no signal, and not with one of -2."""
    result = fit(lambda s: poisson.logpmf(np.array([1.0]), s + 3.0), dict(s=0.5))
    assert result.x[0] == pytest.approx(-2.0)
    found = result.limit("s", 0.05, bound=0.0).value
    ratio = 2.0 * ((found - np.log(found + 3.0)) - (0.0 - np.log(3.0)))
    assert ratio == pytest.approx(ndtri(0.95) ** 2, rel=1e-6)
    assert result.limit("s", 0.05).value < found


# Impacts ----------------------------------------------------------------------------------------------------


def test_impacts_of_a_gaussian_model_in_closed_form() -> None:
    y, design = (
        np.array([1.2, 0.4, -0.7, 2.0]),
        np.array([[1, 0.5, 0.1], [1, -0.3, 0.2], [1, 0, 2], [1, 1, -1.0]]),
    )

    def gaussian(mu: Any, one: Any, two: Any) -> Any:
        return (
            norm.logpdf(y, design @ np.array([mu, one, two])).sum()
            + norm.logpdf(one)
            + norm.logpdf(two, 0.5, 2.0)
        )

    result = fit(gaussian, dict(mu=0.0, one=0.0, two=0.0))
    found = result.impacts("mu", constraints=dict(two=(0.5, 2.0)))
    cov = result.cov_params()
    expected = {"one": cov[0, 1] / result.bse[1], "two": cov[0, 2] / result.bse[2]}
    assert abs(expected[found.names[0]]) > abs(expected[found.names[1]])
    for i, name in enumerate(found.names):
        assert found.up[i] == pytest.approx(expected[name])
        assert found.down[i] == pytest.approx(-expected[name])
    two = found.names.index("two")
    assert found.pulls[two] == pytest.approx((result.params["two"] - 0.5) / 2.0)
    assert found.constraints[two] == pytest.approx(result.bse[2] / 2.0)
    assert "constraint" in found._repr_html_()
    with pytest.raises(ValueError, match="no parameter 'nu'; the parameters are mu, one, two"):
        result.impacts("nu")
    half = fit(lambda mu, s: norm.logpdf(y, mu, s), dict(mu=0.0, s=1.0))
    with pytest.warns(ProfileWarning, match="there is no fit with s one standard error away"):
        assert np.isnan(replace(half, observed_info=np.diag([1.0, 1e-2])).impacts("mu").down).any()
    held = fit(gaussian, dict(mu=0.0, one=0.0, two=0.0), fixed="two")
    assert held.impacts("mu").names == ("one",)


# Robust errors ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "power"), [("HC2", 1), ("HC3", 2)])
def test_hc2_and_hc3_by_the_leverages_of_statsmodels(kind: str, power: int) -> None:
    glm = sm.GLM(COUNTS, X, family=sm.families.Poisson()).fit(tol=1e-14)
    leverage = glm.get_influence().hat_matrix_diag
    bread = np.linalg.inv(X.T @ (X * glm.mu[:, None]))
    meat = X.T @ (X * ((COUNTS - glm.mu) ** 2 / (1.0 - leverage) ** power)[:, None])
    result = fit(lambda b: poisson.logpmf(COUNTS, np.exp(X @ b)), np.zeros(3), cov_type=kind)
    np.testing.assert_allclose(result.cov_params(), bread @ meat @ bread, rtol=1e-8)
    assert f"covariance: {kind}" in str(result)


@pytest.mark.parametrize("kind", ["HC2", "HC3"])
def test_hc2_and_hc3_of_least_squares(kind: str) -> None:
    y = X @ [1.0, 0.5, -1.0] + RNG.normal(size=N) * (1.0 + AGE**2)
    ols = sm.OLS(y, X).fit()

    def linear(beta: Any, sigma: Any) -> Any:
        return norm.logpdf(y, X @ beta, sigma)

    result = fit(linear, dict(beta=np.zeros(3), sigma=2.0), fixed="sigma", cov_type=kind)
    np.testing.assert_allclose(result.bse[:3], getattr(ols, f"{kind}_se"), rtol=1e-8)


def test_hc3_is_the_jackknife_by_newtons_steps_also_in_free_coordinates() -> None:
    def model(mu: Any, s: Any, x: Any) -> Any:
        return norm.logpdf(x, mu, s)

    result = fit(model, dict(mu=0.0, s=1.0), data=dict(x=AGE), transforms=dict(s=positive), cov_type="HC3")
    theta = result.free_estimates
    steps = []
    for i in range(N):
        left = tg.trace(lambda z, i=i: model(z[0], np.exp(z[1]), np.delete(AGE, i)).sum(), theta)
        steps.append(np.linalg.solve(left.hessian_flat(theta), left.value_and_grad_flat(theta)[1]))
    np.testing.assert_allclose(result.cov_free, np.array(steps).T @ np.array(steps), rtol=1e-7)


def test_an_observation_with_all_the_say() -> None:
    alone = np.column_stack([np.ones(N), np.arange(N) == 3]).astype(float)
    with pytest.raises(ValueError, match=r"observation 3 alone determines .* use cov_type='HC0' or 'HC1'"):
        fit(lambda b: norm.logpdf(AGE, alone @ b), np.zeros(2), cov_type="HC3")


# Forecasts and filtered states ------------------------------------------------------------------------------

Y = np.cumsum(RNG.normal(size=60)) * 0.1 + RNG.normal(size=60)


def test_forecasts_of_an_autoregression_are_statsmodels() -> None:
    def ar(a: Any, log_s: Any) -> Any:
        s = np.exp(log_s)
        return norm.logpdf(Y[1:], a * Y[:-1], s).sum() + norm.logpdf(Y[0], 0.0, s / np.sqrt(1.0 - a * a))

    result = fit(ar, dict(a=0.5, log_s=0.0))

    def step(state: Any, a: Any, log_s: Any) -> Any:
        mean, variance = a * state[0], a * a * state[1] + np.exp(2.0 * log_s)
        return (mean, variance), mean, variance

    ahead = result.forecast(lambda a, log_s: (Y[-1], 0.0), step, 4)
    known = sm.tsa.arima.ARIMA(Y, order=(1, 0, 0), trend="n").filter([result.x[0], np.exp(2.0 * result.x[1])])
    theirs = known.get_forecast(4)
    np.testing.assert_allclose(ahead.x, theirs.predicted_mean, rtol=1e-8)
    np.testing.assert_allclose(np.sqrt(ahead.variances), theirs.se_mean, rtol=1e-8)
    # What they leave out is the uncertainty of the coefficient: its slope, k a^(k - 1) y, times its error.
    k = np.arange(1.0, 5.0)
    np.testing.assert_allclose(
        ahead.bse, abs(k * result.x[0] ** (k - 1.0) * Y[-1]) * result.bse[0], rtol=1e-7
    )
    half = ahead.conf_int(0.1)[:, 1] - ahead.x
    np.testing.assert_allclose(half, -ndtri(0.05) * np.sqrt(ahead.bse**2 + theirs.se_mean**2))
    assert ahead.names == ("t + 1", "t + 2", "t + 3", "t + 4")
    with pytest.raises(ValueError, match=r"returns \(state, mean\), or \(state, mean, variance\)"):
        result.forecast(lambda a, log_s: 0.0, lambda state, a, log_s: state, 2)
    with pytest.raises(ValueError, match="steps is the number of steps"):
        result.forecast(lambda a, log_s: 0.0, step, 0)


def test_filtered_states_of_a_local_level_are_statsmodels() -> None:
    def filtered(log_q: Any, log_r: Any) -> Any:
        q, r = np.exp(log_q), np.exp(log_r)

        def step(carry: Any, y: Any) -> Any:
            mean, variance = carry
            spread = variance + r
            gain = variance / spread
            new = mean + gain * (y - mean)
            return (new, variance * (1.0 - gain) + q), (new, norm.logpdf(y, mean, np.sqrt(spread)))

        return tg.scan(step, (0.0, 10.0), Y)[1]

    result = fit(lambda log_q, log_r: filtered(log_q, log_r)[1].sum(), dict(log_q=-2.0, log_r=0.0), nobs=60)
    model = sm.tsa.UnobservedComponents(Y, "llevel")
    model.ssm.initialize_known(np.array([0.0]), np.array([[10.0]]))
    model.ssm.loglikelihood_burn = 0
    theirs = model.filter(np.exp(result.x[::-1]))
    states = result.predict(lambda log_q, log_r: filtered(log_q, log_r)[0])
    np.testing.assert_allclose(states.x, theirs.filtered_state[0], rtol=1e-8)
    np.testing.assert_allclose(result.llf, theirs.llf, rtol=1e-8)
    assert (states.bse > 0.0).all()
    assert states.frame().shape == (60, 4)
