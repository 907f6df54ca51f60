"""Fits against published numbers, closed forms and statsmodels; and what happens when there is no maximum."""

import pickle
import re
import warnings
from collections.abc import Callable
from dataclasses import FrozenInstanceError
from typing import Any

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit, gammaln

from tapegrad import TracedFunction, trace
from tapegrad.errors import NonFiniteWarning
from tapegrad.mle import ConvergenceWarning, FitResult, StandardErrorWarning, compare, fit
from tapegrad.mle.climb.objectives import Objective
from tapegrad.mle.climb.optimizers import resolve
from tapegrad.mle.climb.surfaces import Counted
from tapegrad.mle.matrices import combination, covariance, is_definite
from tapegrad.mle.transforms import positive, unit
from tapegrad.stats import bernoulli, expon, norm, poisson

OWN_METHODS = ("bfgs", "lbfgs", "newton", "trust", "gradient_ascent")
SCIPY_METHODS = (
    *("Nelder-Mead", "Powell", "CG", "BFGS", "Newton-CG", "L-BFGS-B", "TNC", "COBYLA", "COBYQA", "SLSQP"),
    *("trust-constr", "trust-ncg", "trust-exact", "trust-krylov"),
)


def scaled_draws(mean: float, sd: float, n: int = 100) -> np.ndarray:
    draws = np.random.default_rng(20).normal(size=n)
    return mean + sd * (draws - draws.mean()) / draws.std()


# The sample of the published fit. It gives log_sigma to six digits, .728647, and the log-likelihood to nine:
# that is log_sigma to eight.
X = scaled_draws(5.065030, np.exp(0.72864665))
START = {"mu": 0.0, "log_sigma": 0.0}


def normal(mu: Any, log_sigma: Any) -> Any:
    return norm.logpdf(X, mu, np.exp(log_sigma)).sum()


def raw_normal(mu: Any, sigma: Any) -> Any:
    return norm.logpdf(X, mu, sigma).sum()


# The published fit ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", [*OWN_METHODS, *SCIPY_METHODS])
def test_the_published_normal_fit_by_every_method(method: str) -> None:
    result = fit(normal, START, method)
    assert result.converged
    np.testing.assert_allclose(result.x, [5.065030, 0.72864665], rtol=1e-9)
    np.testing.assert_allclose(result.bse, [0.207227, 0.070711], atol=5e-7)
    np.testing.assert_allclose(result.zvalues, [24.442, 10.305], atol=5e-4)
    np.testing.assert_allclose(result.llf, -214.758518, atol=5e-7)
    np.testing.assert_allclose(result.aic, 433.517, atol=5e-4)
    np.testing.assert_allclose(result.conf_int()[0], [4.65887, 5.47119], atol=5e-6)
    np.testing.assert_allclose(result.conf_int()[1], [0.590056, 0.867237], atol=5e-7)
    np.testing.assert_allclose(result.bic, 433.517036 - 4.0 + 2.0 * np.log(100), atol=1e-5)


def test_all_of_scipys_methods_are_there() -> None:
    listed = re.findall(r"^\s+- '([\w-]+)'\s*:ref:", minimize.__doc__ or "", re.MULTILINE)
    assert len(listed) > 10
    for method in listed:
        assert resolve(method) == method.lower()


def test_dogleg_which_wants_a_concave_start() -> None:
    np.testing.assert_allclose(fit(normal, {"mu": 4.0, "log_sigma": 1.0}, "dogleg").x, [5.065030, 0.72864665])


def test_the_published_table() -> None:
    result = fit(normal, START)
    assert str(result.summary()) == (
        "Maximum likelihood fit: normal    method: bfgs    covariance: nonrobust\n"
        "           Estimate  Std. Error  z value  Pr(>|z|)\n"
        "mu         5.065030    0.207227   24.442   < 2e-16 ***\n"
        "log_sigma  0.728647    0.070711   10.305   < 2e-16 ***\n"
        "---\n"
        "Signif. codes:  0 '***' 0.001 '**' 0.01 '*' 0.05 '.' 0.1 ' ' 1\n"
        "Log-likelihood: -214.8    AIC: 433.5    BIC: 438.7    No. observations: 100\n"
        f"Converged in {result.seconds:.2g} s and {result.nit} iterations"
    )
    assert repr(result.summary()) == str(result.summary()) == str(result)


# Against closed forms and statsmodels -----------------------------------------------------------------------


@pytest.mark.parametrize("method", OWN_METHODS)
def test_exponential_in_closed_form(method: str) -> None:
    waits = np.random.default_rng(3).exponential(2.5, size=400)
    result = fit(lambda scale: expon.logpdf(waits, scale=scale).sum(), {"scale": 1.0}, method)
    mean = waits.mean()
    np.testing.assert_allclose(result.params["scale"], mean, rtol=1e-10)
    np.testing.assert_allclose(result.observed_info, [[400 / mean**2]], rtol=1e-9)
    np.testing.assert_allclose(result.cov_params(), [[mean**2 / 400]], rtol=1e-9)
    np.testing.assert_allclose(result.llf, -400 * (1 + np.log(mean)), rtol=1e-12)


@pytest.mark.parametrize("method", OWN_METHODS)
def test_logistic_regression_agrees_with_statsmodels(method: str) -> None:
    sm = pytest.importorskip("statsmodels.api")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # theirs, not ours
        data = sm.datasets.spector.load_pandas()
        x = np.column_stack([np.ones(len(data.endog)), data.exog.to_numpy()])
        theirs = sm.Logit(data.endog.to_numpy(), x).fit(method="newton", tol=1e-14, disp=0)
    y = data.endog.to_numpy()
    result = fit(lambda beta: bernoulli.logpmf(y, expit(x @ beta)).sum(), {"beta": np.zeros(4)}, method)
    np.testing.assert_allclose(result.params["beta"], theirs.params, rtol=1e-8)
    np.testing.assert_allclose(result.bse, theirs.bse, rtol=1e-8)
    np.testing.assert_allclose(result.pvalues, theirs.pvalues, rtol=1e-7)
    np.testing.assert_allclose(result.cov_params(), theirs.cov_params(), rtol=1e-7)
    np.testing.assert_allclose(result.conf_int(0.1), theirs.conf_int(0.1), rtol=1e-7)
    np.testing.assert_allclose([result.llf, result.aic, result.bic], [theirs.llf, theirs.aic, theirs.bic])
    assert result.nobs == 32


def test_errors_do_not_depend_on_the_units() -> None:
    # The information's diagonal spans 28 orders of magnitude: inverted as it is, it would pass for singular.
    def loglik(mu: Any, log_sigma: Any) -> Any:
        return normal(1e6 * mu, 1e-8 * log_sigma)

    plain, scaled = fit(normal, START), fit(loglik, {"mu": 4e-6, "log_sigma": 0.5e8}, "newton")
    assert scaled.converged
    np.testing.assert_allclose(scaled.bse * [1e6, 1e-8], plain.bse, rtol=1e-6)
    np.testing.assert_allclose(scaled.zvalues, plain.zvalues, rtol=1e-6)


# Parameters and results -------------------------------------------------------------------------------------


def test_results_have_the_structure_of_the_parameters() -> None:
    target = np.array([[1.0, 2.0], [3.0, 4.0]])

    def loglik(a: Any, b: Any) -> Any:
        return -((a - 1.5) ** 2) - ((b["c"] - target) ** 2).sum() - (b["d"][0] + 2.0) ** 2

    result = fit(loglik, {"a": 0.0, "b": {"c": np.zeros((2, 2)), "d": [1.0]}})
    assert isinstance(result.params["a"], float)
    np.testing.assert_allclose(result.params["b"]["c"], target)
    assert result.params["b"]["d"] == pytest.approx([-2.0])
    assert len(result.names) == result.x.size == result.bse.size == 6
    np.testing.assert_allclose(result.bse, np.sqrt(0.5))


def test_a_single_number_is_a_parameter_too() -> None:
    result = fit(lambda rate: (np.log(rate) - rate * X).sum(), 0.1)
    assert isinstance(result.params, float)
    assert result.params == pytest.approx(1.0 / X.mean(), rel=1e-10)


def test_a_traced_function_is_fitted_without_another_trace() -> None:
    calls = []

    def counted(mu: Any, log_sigma: Any) -> Any:
        calls.append(mu)
        return normal(mu, log_sigma)

    tape = trace(counted, START)
    before = len(calls)
    result = fit(tape, START)
    assert isinstance(tape, TracedFunction)
    assert len(calls) == before
    np.testing.assert_array_equal(result.x, fit(normal, START).x)


def test_branches_may_change_on_the_way() -> None:
    # Huber's loss, as a branch for every observation and as np.where.
    data = np.array([-3.0, 0.1, 0.2, 0.4, 0.9, 7.0])

    def branching(mu: Any) -> Any:
        total = 0.0
        for x in data:
            r = x - mu
            total = total - (0.5 * r * r if abs(r) < 1.0 else abs(r) - 0.5)
        return total

    def masked(mu: Any) -> Any:
        r = data - mu
        return -np.where(np.abs(r) < 1.0, 0.5 * r * r, np.abs(r) - 0.5).sum()

    tape = trace(branching, 4.0)
    result = fit(tape, 4.0)
    assert tape.retraces > 0
    np.testing.assert_allclose(result.params, 0.4, rtol=1e-9)  # the mean of the four in the middle
    np.testing.assert_allclose(result.bse, 0.5)
    np.testing.assert_allclose(result.params, fit(masked, 4.0).params, rtol=1e-9)


def test_aliases_and_fields() -> None:
    result = fit(normal, START, "BFGS")
    np.testing.assert_array_equal(result.std_errors, result.bse)
    assert result.success is result.converged is True
    assert result.method == "BFGS"
    assert result.names == ("mu", "log_sigma")
    assert result.nfev >= result.nit > 0
    assert result.message.startswith("converged")
    np.testing.assert_allclose(result.observed_info @ result.cov_params(), np.eye(2), atol=1e-12)


def test_results_are_frozen_and_pickle() -> None:
    result = fit(normal, START)
    with pytest.raises(FrozenInstanceError):
        result.llf = 0.0  # type: ignore[misc]
    copy = pickle.loads(pickle.dumps(result))
    assert isinstance(copy, FitResult)
    assert str(copy) == str(result)
    np.testing.assert_array_equal(copy.cov_params(), result.cov_params())


@pytest.mark.parametrize("alpha", [0.0, 1.0, 95.0, np.nan])
def test_a_confidence_level_in_percent_is_refused(alpha: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        fit(normal, START).conf_int(alpha)


def test_the_number_of_observations() -> None:
    def no_data(a: Any) -> Any:
        return -((a - 1.0) ** 2)

    unknown = fit(no_data, 0.0)
    assert unknown.nobs is None
    for criterion in ("bic", "aicc", "df_resid"):
        told = rf"{criterion} is NaN: the number of observations is not known; pass nobs= to fit"
        with pytest.warns(NonFiniteWarning, match=told):
            assert np.isnan(getattr(unknown, criterion))
        assert unknown.to_dict()[criterion] is None
    assert "BIC: unknown (pass nobs=)    No. observations: unknown" in str(unknown)
    assert "AICc and BIC need the number of observations" in str(compare(unknown, unknown))
    assert fit(normal, START).nobs == 100
    assert fit(no_data, 0.0, nobs=50).bic == pytest.approx(np.log(50.0))


def test_small_and_large_numbers_keep_their_digits_in_the_table() -> None:
    result = fit(
        lambda a, b: -(((a - 2e-7) / 3e-9) ** 2) - ((b - 3e9) / 4e8) ** 2, {"a": 0.0, "b": 1e9}, "newton"
    )
    table = str(result.summary())
    assert "2.00000e-07  2.12132e-09" in table
    assert "3.00000e+09  2.82843e+08" in table


@pytest.mark.parametrize(
    ("z", "stars"), [(4.0, "***"), (3.0, "**"), (2.0, "*"), (1.8, "."), (1.0, ""), (-3.0, "**")]
)
def test_stars(z: float, stars: str) -> None:
    line = str(fit(lambda a: -0.5 * (a - z) ** 2, 0.0)).splitlines()[2]
    assert line.rstrip().endswith(stars)
    assert line.count("*") + line.endswith(".") == len(stars)


# Rough ground -----------------------------------------------------------------------------------------------


GAMMA = np.random.default_rng(2).gamma(3.0, 2.0, size=200)
HEADS = np.array(45 * [1.0] + 5 * [0.0])
GRID = np.linspace(0.0, 1.0, 51)


def gamma_loglik(a: Any, scale: Any) -> Any:
    value = ((a - 1.0) * np.log(GAMMA) - GAMMA / scale).sum() - GAMMA.size * (gammaln(a) + a * np.log(scale))
    return np.where(a > 0.0, value, np.nan)


def ends_at_one(a: Any) -> Any:
    return 0.1 * np.log(1.0 - a * GRID).sum() + np.log(a * (1.0 + GRID)).sum()


ROUGH: list[tuple[Callable[..., Any], dict[str, float]]] = [
    (raw_normal, {"mu": 0.0, "sigma": 0.05}),
    (raw_normal, {"mu": 0.0, "sigma": 1.0}),
    (raw_normal, {"mu": 0.0, "sigma": 50.0}),
    (raw_normal, {"mu": 100.0, "sigma": 1.0}),
    (raw_normal, {"mu": 5.0, "sigma": 1e-3}),
    (lambda p: bernoulli.logpmf(HEADS, p).sum(), {"p": 0.01}),
    (gamma_loglik, {"a": 0.1, "scale": 0.1}),
    (gamma_loglik, {"a": 10.0, "scale": 10.0}),
    (ends_at_one, {"a": 0.01}),
    (lambda a: 3.0 * a + np.sqrt(1.0 - a), {"a": -0.5}),  # outside, its Hessian is NaN too
]


# SLSQP and dogleg, which wants a concave start, stop on some of these, and say so.
BACKING_OFF = [*OWN_METHODS, *(set(SCIPY_METHODS) - {"SLSQP", "BFGS", "L-BFGS-B", "trust-exact"})]


@pytest.mark.parametrize("method", sorted(BACKING_OFF))
@pytest.mark.parametrize(("loglik", "start"), ROUGH)
def test_steps_out_of_the_support_are_taken_back(
    loglik: Callable[..., Any], start: dict[str, float], method: str
) -> None:
    # Given infinity outside, L-BFGS-B and TNC stop short on about half of these, and trust-exact raises.
    result = fit(loglik, start, method)
    assert result.converged, result.message
    gradient = trace(loglik, start).value_and_grad_flat(result.x)[1]
    assert np.sqrt(gradient @ result.cov_params() @ gradient) < 1e-8


def test_newton_steps_finish_what_the_optimiser_left() -> None:
    result = fit(normal, {"mu": 4.5, "log_sigma": 1.0}, "lbfgs", maxiter=2)
    assert 2 < result.nit <= result.nfev <= 9  # one of them to see that it is a parabola
    np.testing.assert_allclose(result.x, [5.065030, 0.72864665], rtol=1e-9)


def test_the_best_point_seen_is_kept_whatever_becomes_of_the_array() -> None:
    surface = Counted(trace(normal, START))
    objective = Objective(surface, np.zeros(2), normal(0.0, 0.0))
    for x in ([4.0, 1.0], [5.0, 0.7], [6.0, 2.0], [np.nan, 0.0]):
        array = np.array(x)
        objective.value_and_grad(array)
        array[:] = 0.0  # an optimiser may reuse it
    assert objective.best_x.tolist() == [5.0, 0.7]
    assert surface.nfev == 4


def test_maxiter_is_a_limit_and_a_fit_cut_short_says_so() -> None:
    for method in (*OWN_METHODS, "tnc"):
        with pytest.warns(StandardErrorWarning, match="this is not a maximum"):
            result = fit(raw_normal, {"mu": 100.0, "sigma": 1.0}, method, maxiter=1)
        assert not result.converged
        assert result.nit <= 1
        assert "NOT CONVERGED" in str(result)


def test_newton_steps_out_of_the_support_are_not_taken() -> None:
    # At 1.9 times the mean, Newton's step goes to a scale below 0.
    start = 1.9 * X.mean()
    with pytest.warns(ConvergenceWarning, match="still .* standard errors from a maximum"):
        result = fit(lambda s: expon.logpdf(X, 0.0, s).sum(), {"s": start}, "gradient_ascent", maxiter=0)
    assert result.params["s"] == start
    assert not result.converged


def test_newton_steps_to_where_the_gradient_is_infinite_are_not_taken() -> None:
    with pytest.warns(ConvergenceWarning, match="still 1 standard errors from a maximum"):
        result = fit(
            lambda a: -0.5 * (a - 1.0) ** 2 + np.where(a < 0.5, 0.0, np.sqrt(1.0 - a)),
            {"a": 0.0},
            "gradient_ascent",
            maxiter=0,
        )
    assert result.params["a"] == 0.0


def test_newton_goes_far_in_few_steps() -> None:
    # SciPy's own limit on the trust region is 1000.
    result = fit(lambda mu, s: norm.logpdf(1e6 * X, mu, s).sum(), {"mu": 0.0, "s": 1.0}, "newton")
    assert result.converged
    assert result.nit < 100


# Five parameters in units that are up to twelve orders of magnitude apart, as they come in practice.
@pytest.mark.parametrize("method", [*OWN_METHODS, "cg", "slsqp", "cobyqa"])
def test_units_that_are_far_apart(method: str) -> None:
    rng = np.random.default_rng(6)
    x = np.column_stack([np.ones(60), 1e4 * rng.normal(size=60), 1e-5 * rng.normal(size=60)])
    y = x @ [3.0, 2e-4, 4e5] + rng.normal(size=60)

    def loglik(beta: Any, log_variance: Any) -> Any:
        return norm.logpdf(y, x @ beta, np.exp(0.5 * log_variance)).sum()

    result = fit(loglik, {"beta": np.zeros(3), "log_variance": 1.0}, method)
    assert result.converged, result.message
    beta, (ssr,), *_ = np.linalg.lstsq(x, y)
    np.testing.assert_allclose(result.params["beta"], beta, rtol=1e-8)
    np.testing.assert_allclose(result.params["log_variance"], np.log(ssr / 60), rtol=1e-8)


# No maximum -------------------------------------------------------------------------------------------------


def assert_no_errors(result: FitResult, but: tuple[str, ...] = ()) -> None:
    """Those of the parameters `but` aside, which the data determine all the same."""
    lost = np.array([name not in but for name in result.names])
    assert not result.converged
    np.testing.assert_array_equal(np.isnan(result.bse), lost)
    np.testing.assert_array_equal(np.isnan(result.cov_params()), lost | lost[:, None])
    np.testing.assert_array_equal(np.isnan(result.conf_int()), np.column_stack([lost, lost]))
    np.testing.assert_array_equal(np.isnan(result.pvalues), lost)
    assert np.isfinite(result.x).all()
    assert "NOT CONVERGED" in str(result)


def test_a_parameter_that_does_nothing() -> None:
    def loglik(mu: Any, nothing: Any) -> Any:
        return norm.logpdf(X, mu, 1.0).sum() + 0.0 * nothing

    with pytest.warns(StandardErrorWarning, match="of nothing: the log-likelihood is flat along nothing"):
        result = fit(loglik, {"mu": 0.0, "nothing": 1.0})
    assert_no_errors(result, but=("mu",))
    assert result.bse[0] == pytest.approx(1.0 / np.sqrt(X.size), rel=1e-12)
    assert result.params["mu"] == pytest.approx(X.mean())  # what there is to be found is found
    assert result.params["nothing"] == 1.0


def test_a_parameter_that_is_not_used() -> None:
    with pytest.warns(StandardErrorWarning, match="flat along unused") as told:
        result = fit(lambda mu, unused: -((mu - 1.0) ** 2), {"mu": 0.0, "unused": 1.0})
    assert_no_errors(result, but=("mu",))
    assert [warning.filename for warning in told] == [__file__]  # once, at the line above


@pytest.mark.parametrize("method", OWN_METHODS)
def test_collinear_columns(method: str) -> None:
    rng = np.random.default_rng(5)
    x = np.column_stack([np.ones(80), rng.normal(size=(80, 2))])
    x = np.column_stack([x, x[:, 0] - 2.0 * x[:, 2]])
    y = rng.poisson(3.0, size=80)
    with pytest.warns(StandardErrorWarning, match="flat along") as caught:
        result = fit(lambda beta: poisson.logpmf(y, np.exp(x @ beta)).sum(), {"beta": np.zeros(4)}, method)
    assert_no_errors(result, but=("beta[1]",))
    message = str(caught[0].message)
    # Adding (1, 0, -2, -1) to beta changes nothing; beta[1] has no part in it.
    assert all(name in message for name in ("beta[0]", "beta[2]", "beta[3]"))
    assert "beta[1]" not in message


def test_a_saddle_point() -> None:
    def saddle(a: Any, b: Any) -> Any:
        return b * b - a * a - b**4

    with pytest.warns(StandardErrorWarning, match="curves upwards along b"):
        assert_no_errors(fit(saddle, {"a": 1.0, "b": 0.0}, maxiter=0))
    result = fit(saddle, {"a": 1.0, "b": 0.0})  # which is left behind
    np.testing.assert_allclose([result.params["a"], abs(result.params["b"])], [0.0, np.sqrt(0.5)], atol=1e-9)
    assert result.converged


@pytest.mark.parametrize("method", OWN_METHODS)
def test_perfect_separation_is_not_convergence(method: str) -> None:
    x = np.array([-2.0, -1.0, 1.0, 3.0])
    y = (x > 0.0).astype(float)
    # The optimisers report success: the gradient is small, because the log-likelihood has come close to 0.
    with pytest.warns(ConvergenceWarning, match="keeps rising along slope"):
        result = fit(lambda slope: bernoulli.logpmf(y, expit(slope * x)).sum(), {"slope": 0.0}, method)
    assert not result.converged


@pytest.mark.parametrize("method", OWN_METHODS)
def test_a_log_likelihood_without_bound(method: str) -> None:
    with pytest.warns(StandardErrorWarning, match="straight line, in a"):
        assert not fit(lambda a: 3.0 * a, {"a": 1.0}, method).converged
    with pytest.warns(StandardErrorWarning, match="straight line, in a"):
        assert not fit(lambda a: 1e-3 * a, {"a": 1.0}, method).converged
    with pytest.warns(StandardErrorWarning, match="curves upwards along a"):
        assert not fit(lambda a: a * a, {"a": 1.0}, method).converged


def test_a_kink_is_not_a_maximum_with_errors() -> None:
    with pytest.warns(StandardErrorWarning):
        result = fit(lambda a: -np.abs(a - 2.0), 0.0)
    assert_no_errors(result)


@pytest.mark.parametrize("transforms", [{}, {"share": unit, "sigma": positive}])
def test_a_component_that_collapses_onto_one_observation(transforms: dict[str, Any]) -> None:
    def mixture(share: Any, mu: Any, sigma: Any) -> Any:
        first = np.log(share) + norm.logpdf(X, mu[0], sigma[0])
        return np.logaddexp(first, np.log1p(-share) + norm.logpdf(X, mu[1], sigma[1]))

    trap = {"share": 0.01, "mu": np.array([X[0], 5.0]), "sigma": np.array([1e-3, 2.0])}
    with pytest.warns(StandardErrorWarning, match="no standard errors"):
        result = fit(mixture, trap, transforms=transforms)
    assert_no_errors(result)
    assert "collapse" in result.diagnose().kinds


@pytest.mark.parametrize("transforms", [{}, {"sigma": positive}])
def test_data_that_do_not_vary(transforms: dict[str, Any]) -> None:
    same = np.full(50, 3.0)
    with pytest.warns(StandardErrorWarning, match="curves upwards|straight line"):
        result = fit(
            lambda mu, sigma: norm.logpdf(same, mu, sigma).sum(),
            {"mu": 0.0, "sigma": 1.0},
            transforms=transforms,
        )
    assert_no_errors(result)
    assert "rising" in result.diagnose().kinds


def test_fewer_observations_than_parameters() -> None:
    rng = np.random.default_rng(4)
    x, y = rng.normal(size=(5, 8)), rng.normal(size=5)
    with pytest.warns(StandardErrorWarning, match="flat along"):
        result = fit(lambda beta: norm.logpdf(y, x @ beta, 1.0).sum(), {"beta": np.zeros(8)})
    assert_no_errors(result)
    assert {"few data", "flat"} <= set(result.diagnose().kinds)


def test_a_ridge_without_end_is_not_taken_for_a_maximum() -> None:
    # Towards infinity it is ever closer to a maximum, by the parabola, and never there.
    def ridge(a: Any, b: Any) -> Any:
        return -1.0 / b - 0.5 * (a - 10.0 * (b / 1e8) ** 2) ** 2

    with pytest.warns(ConvergenceWarning, match="still .*e-05 standard errors from a maximum"):
        assert not fit(ridge, {"a": 40.0, "b": 2e8}, "newton", maxiter=0).converged


@pytest.mark.parametrize("method", ["bfgs", "newton"])
@pytest.mark.parametrize(("sd", "is_close"), [(0.1, True), (1e-5, False)])
def test_rounding_may_keep_a_fit_from_its_maximum(method: str, sd: float, is_close: bool) -> None:
    # Numbers near 1e9 are 1e-7 apart. The standard error is a tenth of sd: 1e-5 of it are lost, or a tenth.
    y = 1e9 + scaled_draws(0.0, sd)

    def fitted() -> FitResult:
        return fit(
            lambda mu: -0.5 * (np.abs(y - (1e9 + mu)) ** 1.5 / sd**1.5).sum(), {"mu": 3.0 * sd}, method
        )

    if is_close:
        assert fitted().converged
    else:
        with pytest.warns(
            ConvergenceWarning, match="rounding in the log-likelihood lets no step come closer"
        ):
            assert not fitted().converged


# Bad input --------------------------------------------------------------------------------------------------


def test_a_start_outside_the_support_names_the_start() -> None:
    with pytest.raises(ValueError, match=r"nan at the start \(mu=1, sigma=-1\): start where it is finite"):
        fit(raw_normal, {"mu": 1.0, "sigma": -1.0})
    with pytest.raises(ValueError, match=r"-inf at the start \(loc=1e\+06\)"):
        fit(lambda loc: expon.logpdf(X, loc).sum(), {"loc": 1e6})


def test_an_infinite_gradient_at_the_start_names_the_parameter() -> None:
    with pytest.raises(ValueError, match=r"not finite at the start \(mu=1, v=0\) in v:"):
        fit(lambda mu, v: norm.logpdf(X, mu + np.sqrt(v), 1.0).sum(), {"mu": 1.0, "v": 0.0})


def test_nan_in_the_data() -> None:
    data = np.array([1.0, np.nan])
    with pytest.raises(ValueError, match="log-likelihood is nan at the start"):
        fit(lambda mu: norm.logpdf(data, mu).sum(), {"mu": 1.0})


def test_a_start_that_breaks_its_constraint() -> None:
    with pytest.raises(ValueError, match=r"sigma must be greater than 0 \(positive\), not -1"):
        fit(raw_normal, {"mu": 1.0, "sigma": -1.0}, transforms={"sigma": positive})


def test_no_rows() -> None:
    nothing = X[:0]
    with pytest.raises(ValueError, match="no data: the arrays that f uses have no rows"):
        fit(lambda mu: norm.logpdf(nothing, mu).sum(), {"mu": 1.0})
    with pytest.raises(ValueError, match="no data: the arrays that f uses have no rows"):
        fit(lambda mu: norm.logpdf(X[:0], mu).sum(), {"mu": 1.0})


def test_a_start_that_is_no_number() -> None:
    with pytest.raises(ValueError, match="start values must be finite; these are not: mu"):
        fit(normal, {"mu": np.nan, "log_sigma": 0.0})
    with pytest.raises(ValueError, match="start values must be finite; these are not: log_sigma"):
        fit(trace(normal, START), {"mu": 0.0, "log_sigma": np.inf})


def test_a_constant() -> None:
    with pytest.raises(ValueError, match=r"constant around the start \(a=1\)"):
        fit(lambda a: X.sum() + 0.0 * a, {"a": 1.0})


def test_what_is_neither_a_number_nor_one_for_each_observation() -> None:
    with pytest.raises(
        ValueError, match=r"needs a scalar log-likelihood.* returns an array of shape \(100, 1\)"
    ):
        fit(lambda mu: norm.logpdf(X[:, None], mu), {"mu": 1.0})
    with pytest.raises(ValueError, match=r"returns several outputs"):
        fit(lambda mu: (mu, mu), {"mu": 1.0})
    with pytest.raises(ValueError, match=r"no data: f returns the log-likelihoods of 0 observations"):
        fit(lambda mu: norm.logpdf(X[:0], mu), {"mu": 1.0})


def test_an_unknown_method() -> None:
    with pytest.raises(ValueError, match=r"no method 'adam': choose one of bfgs, .*nelder-mead"):
        fit(normal, START, "adam")
    with pytest.raises(ValueError, match="no method 3: choose one of"):
        fit(normal, START, 3)  # type: ignore[arg-type]


# Inference --------------------------------------------------------------------------------------------------


def test_the_covariance_is_the_inverse_as_long_as_there_is_one() -> None:
    for gap in (1e-2, 1e-6, 1e-10):
        r = 1.0 - gap
        information = np.array([[4.0, 2.0 * r], [2.0 * r, 1.0]])
        expected = np.array([[1.0, -2.0 * r], [-2.0 * r, 4.0]]) / (4.0 * gap * (1.0 + r))
        np.testing.assert_allclose(covariance(information), expected, rtol=1e-15 / gap)
    for information in (
        np.ones((2, 2)),
        np.array([[1.0, 2.0], [2.0, 1.0]]),
        np.array([[np.nan]]),
        np.zeros((1, 1)),
    ):
        assert not is_definite(information)
        assert np.isnan(covariance(information)).all()


def test_directions_are_told_in_the_parameters_own_units() -> None:
    names = ("a", "b", "c")
    assert combination(np.array([0.7, -0.7, 0.0]), np.ones(3), names) == "a - b"
    assert combination(np.array([-0.7, 0.7, 1e-9]), np.array([1.0, 0.5, 1.0]), names) == "a - 0.5 b"
    assert combination(np.array([0.1, 0.2, 0.9]), np.ones(3), names) == "c + 0.222 b + 0.111 a"


def test_a_search_stops_where_only_rounding_is_left() -> None:
    # The line search cannot see a rise of less than 1e-4 here, which is hundredths of standard errors away.
    x = np.random.default_rng(3).normal(2.0, 3.0, 500)

    def far(mu: Any, log_sigma: Any) -> Any:
        z = (x - mu) / np.exp(log_sigma)
        return 1e11 - 0.5 * (z * z).sum() - x.size * log_sigma

    result = fit(far, {"mu": 0.0, "log_sigma": 0.0})
    assert result.converged
    np.testing.assert_allclose(result.x, [x.mean(), np.log(x.std())], rtol=1e-10)
    assert result.nfev <= 40


def test_bfgs_begins_with_a_hessian_that_is_quick() -> None:
    rng = np.random.default_rng(4)
    X = rng.normal(size=(20_000, 8))
    y = (rng.random(20_000) < expit(X @ np.linspace(-0.5, 0.5, 8))).astype(float)

    def loglik(beta: Any) -> Any:
        return (y * (X @ beta) - np.logaddexp(0.0, X @ beta)).sum()

    quick, newton = (fit(loglik, {"beta": np.zeros(8)}, method) for method in ("bfgs", "newton"))
    assert quick.converged
    assert quick.nfev <= 20
    np.testing.assert_allclose(quick.x, newton.x, rtol=1e-9)
