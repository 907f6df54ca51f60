"""Profile likelihoods and their intervals, against closed forms, SciPy and a book."""

import pickle
import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import optimize, stats
from scipy.special import expit, xlogy

from tapegrad.mle import FitResult, ProfileWarning, fit
from tapegrad.mle.infer import profile as profile_module
from tapegrad.mle.transforms import correlation, ordered, positive, positive_definite, simplex
from tapegrad.stats import norm

RNG = np.random.default_rng(20)
DRAWS = RNG.normal(size=100)
MEAN, SD = 5.065030, float(np.exp(0.72864665))
X = MEAN + SD * (DRAWS - DRAWS.mean()) / DRAWS.std()
LIMIT = stats.chi2.ppf(0.95, 1) / 2


def normal(mu: Any, log_sigma: Any) -> Any:
    return norm.logpdf(X, mu, np.exp(log_sigma)).sum()


@pytest.fixture(scope="module")
def result() -> FitResult:
    return fit(normal, {"mu": 0.0, "log_sigma": 0.0})


def crossings(profile: Any, top: float, low: float, high: float) -> list[float]:
    """Where a profile in closed form is LIMIT below its maximum at `top`."""
    ends = ((low, top), (top, high))
    return [
        optimize.brentq(lambda v: profile(v) - profile(top) + LIMIT, *end, xtol=1e-15, rtol=1e-14)
        for end in ends
    ]


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
    stored = pickle.loads(pickle.dumps(result))
    with pytest.raises(ValueError, match="not stored with a result: fit again"):
        stored.profile("mu")


def test_a_profile_without_a_maximum_in_the_others_is_told() -> None:
    # Where a is more than 1.15, b runs away.
    def loglik(a: Any, b: Any) -> Any:
        return -50.0 * (a - 1.0) ** 2 - np.log1p(np.exp(-b)) - np.where(a < 1.15, 1.15 - a, 0.0) * np.exp(b)

    fitted = fit(loglik, {"a": 1.0, "b": 0.0})
    with pytest.warns(ProfileWarning, match="at 4 of the values of a no maximum was found") as caught:
        profile = fitted.profile("a")
    assert np.sum(profile.values > 1.15) == 4
    high = profile.interval[1]
    assert caught[0].filename == __file__  # the user's line, not one of ours
    # From 1.15 on, the maximum is that of the first term alone.
    np.testing.assert_allclose(high, 1.0 + np.sqrt((-fitted.llf + LIMIT) / 50.0), rtol=1e-9)


# Parts of vectors and matrices, and functions ---------------------------------------------------------------


def test_profiles_of_shares() -> None:
    # All other shares in proportion: what is left is a binomial likelihood.
    counts = np.array([3.0, 5.0, 2.0, 40.0])
    shares = fit(lambda p: (counts * np.log(p)).sum(), {"p": np.full(4, 0.25)}, transforms={"p": simplex})
    intervals = shares.conf_int(method="profile")
    for count, interval in zip(counts, intervals, strict=True):

        def binomial(p: float, count: float = count) -> float:
            return float(count * np.log(p) + (50.0 - count) * np.log1p(-p))

        expected = crossings(binomial, count / 50.0, 1e-9, 1.0 - 1e-9)
        np.testing.assert_allclose(interval, expected, rtol=1e-8)
    curve = shares.profile("p[0]")
    assert curve.name == "p[0]"
    np.testing.assert_allclose(curve.params.sum(axis=1), 1.0, rtol=1e-12)
    np.testing.assert_allclose(curve.params[:, 0], curve.values, rtol=1e-10)
    np.testing.assert_allclose(curve.params[:, 3] / curve.params[:, 1], 8.0, rtol=1e-6)


PAIRS = RNG.multivariate_normal([1.0, 2.0], [[2.0, 1.2], [1.2, 1.5]], 60)


def bivariate(mean: Any, cov: Any) -> Any:
    gaps = PAIRS - mean
    return -0.5 * np.log(np.linalg.det(cov)) - 0.5 * ((gaps @ np.linalg.inv(cov)) * gaps).sum(axis=1)


def test_profiles_of_a_covariance_matrix() -> None:
    start = {"mean": np.zeros(2), "cov": np.eye(2)}
    fitted = fit(bivariate, start, transforms={"cov": positive_definite})
    low, high = fitted.conf_int(method="profile").T
    variance = PAIRS[:, 0].var()
    expected = crossings(lambda v: -30.0 * (np.log(v) + variance / v), variance, 0.1, 20.0)
    np.testing.assert_allclose([low[2], high[2]], expected, rtol=1e-8)
    assert fitted.names[2:] == ("cov[0,0]", "cov[0,1]", "cov[1,0]", "cov[1,1]")
    np.testing.assert_array_equal([low[3], high[3]], [low[4], high[4]])
    # T. W. Anderson, An Introduction to Multivariate Statistical Analysis, 2003, section 4.2.
    r = np.corrcoef(PAIRS.T)[0, 1]
    curve = fitted.profile(lambda mean, cov: cov[0, 1] / np.sqrt(cov[0, 0] * cov[1, 1]))

    def of_correlation(rho: Any) -> Any:
        return 30.0 * np.log(1.0 - rho**2) - 60.0 * np.log(1.0 - rho * r)

    np.testing.assert_allclose(curve.estimate, r, rtol=1e-10)
    np.testing.assert_allclose(
        curve.llf - fitted.llf, of_correlation(curve.values) - of_correlation(r), atol=1e-10
    )
    np.testing.assert_allclose(curve.interval, crossings(of_correlation, r, -0.9, 0.99), rtol=1e-8)


def test_the_diagonal_of_a_correlation_matrix_is_fixed() -> None:
    z = (PAIRS - PAIRS.mean(axis=0)) / PAIRS.std(axis=0)

    def loglik(R: Any) -> Any:
        return -0.5 * np.log(np.linalg.det(R)) - 0.5 * ((z @ np.linalg.inv(R)) * z).sum(axis=1)

    fitted = fit(loglik, {"R": np.eye(2)}, transforms={"R": correlation})
    intervals = fitted.conf_int(method="profile")
    np.testing.assert_array_equal(intervals[[0, 3]], np.ones((2, 2)))
    r = fitted.x[1]

    def of_correlation(rho: float) -> float:
        return float(
            -30.0 * np.log(1.0 - rho**2) - 60.0 * (1.0 - rho * np.corrcoef(z.T)[0, 1]) / (1.0 - rho**2)
        )

    np.testing.assert_allclose(intervals[1], crossings(of_correlation, r, 0.0, 0.999), rtol=1e-8)
    with pytest.raises(ValueError, match=r"R\[0,0\] does not depend on any estimated parameter"):
        fitted.profile("R[0,0]")


@pytest.mark.parametrize("transforms", [None, {"sigma": positive}])
def test_the_profile_of_a_ratio_in_closed_form(transforms: Any) -> None:
    x = X[:30]
    fitted = fit(
        lambda mu, sigma: norm.logpdf(x, mu, sigma), {"mu": 4.0, "sigma": 2.0}, transforms=transforms
    )

    def signal_to_noise(mu: Any, sigma: Any) -> Any:
        return mu / sigma

    def best(ratio: float) -> float:
        # The derivative in sigma of the log-likelihood with mu = ratio * sigma is zero.
        s1, s2 = x.sum(), x @ x
        sigma = (-ratio * s1 + np.sqrt(ratio**2 * s1**2 + 120.0 * s2)) / 60.0
        return float(stats.norm.logpdf(x, ratio * sigma, sigma).sum())

    curve = fitted.profile(signal_to_noise)
    assert curve.name == "signal_to_noise"
    assert curve.is_monotone
    np.testing.assert_allclose(curve.llf, [best(value) for value in curve.values], rtol=1e-12)
    np.testing.assert_allclose(curve.interval, crossings(best, x.mean() / x.std(), 0.1, 9.0), rtol=1e-8)
    np.testing.assert_allclose(curve.params[:, 0] / curve.params[:, 1], curve.values, rtol=1e-10)


def test_functions_of_one_parameter_have_its_interval() -> None:
    x = np.array([0.3, -0.2, 0.5, 0.1])
    fitted = fit(lambda mu: norm.logpdf(x, mu, 1.0), {"mu": 1.0})
    ends = x.mean() + np.array([-1.0, 1.0]) * stats.norm.ppf(0.975) / 2.0
    for g in (lambda mu: np.exp(30.0 * mu), lambda mu: 1e9 * mu + 1e12, lambda mu: np.tanh(5.0 * mu)):
        np.testing.assert_allclose(fitted.profile(g).interval, g(ends), rtol=1e-8)
    # A square is not less than 0, and the interval ends there: mu = 0 is within that of mu.
    low, high = fitted.profile(lambda mu: mu * mu).interval
    np.testing.assert_allclose([low, high], [0.0, ends[1] ** 2], rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("seed", [1, 2])
def test_a_product_that_changes_its_sign(seed: int) -> None:
    # Mediation: both factors are nearly zero, where the product has a saddle.
    rng = np.random.default_rng(seed)
    cause = rng.normal(size=80)
    between, effect = rng.normal(size=80), 0.2 * cause + rng.normal(size=80)

    def loglik(a: Any, b: Any, c: Any) -> Any:
        first = norm.logpdf(between, a * cause, 1.0)
        return first + norm.logpdf(effect, b * between + c * cause, 1.0)

    fitted = fit(loglik, {"a": 0.0, "b": 0.0, "c": 0.0})
    assert (np.abs(fitted.zvalues[:2]) < 1.0).all()
    curve = fitted.profile(lambda a, b, c: a * b)
    assert curve.interval[0] < 0.0 < curve.interval[1]

    def by_scipy(value: float) -> float:
        found = [
            optimize.minimize(
                lambda theta: -loglik(*theta).sum(),
                start,
                method="SLSQP",
                constraints={"type": "eq", "fun": lambda theta: theta[0] * theta[1] - value},
                options={"ftol": 1e-13, "maxiter": 500},
            )
            for start in ([0.3, 0.3, 0.1], [-0.3, 0.3, 0.1], [0.3, -0.3, 0.1], [-0.3, -0.3, 0.1])
        ]
        return -float(min(run.fun for run in found if run.success))

    expected = [by_scipy(value) for value in curve.values]
    np.testing.assert_allclose(curve.llf, expected, rtol=0.0, atol=1e-6)


def test_profiles_of_ordered_and_of_fixed_parts() -> None:
    # Two thresholds: their difference is profiled as well by a fit in which it is a parameter.
    level = np.array([5.0, 9.0, 6.0])

    def loglik(cuts: Any) -> Any:
        cdf = expit(cuts)
        return level[0] * np.log(cdf[0]) + level[1] * np.log(cdf[1] - cdf[0]) + level[2] * np.log1p(-cdf[1])

    def by_gap(first: Any, gap: Any) -> Any:
        return loglik(np.stack([first, first + gap]))

    whole = fit(loglik, {"cuts": np.array([-1.0, 1.0])}, transforms={"cuts": ordered})
    apart = fit(by_gap, {"first": -1.0, "gap": 2.0}, transforms={"gap": positive})
    np.testing.assert_allclose(
        whole.profile(lambda cuts: cuts[1] - cuts[0]).interval, apart.profile("gap").interval, rtol=1e-8
    )
    np.testing.assert_allclose(
        whole.profile("cuts[1]").interval,
        apart.profile(lambda first, gap: first + gap).interval,
        rtol=1e-8,
    )
    held = fit(normal, {"mu": 0.0, "log_sigma": 0.0}, fixed={"log_sigma": 0.5})
    shifted = np.array(held.profile("mu").interval) + 0.5
    np.testing.assert_allclose(
        held.profile(lambda mu, log_sigma: mu + log_sigma).interval, shifted, rtol=1e-9
    )


def test_functions_that_have_no_profile(result: FitResult) -> None:
    with pytest.raises(ValueError, match=r"a profile needs one number; f returns an array of shape \(2,\)"):
        result.profile(lambda mu, log_sigma: np.stack([mu, log_sigma]))
    with pytest.raises(ValueError, match="f does not depend on any estimated parameter"):
        result.profile(lambda mu, log_sigma: 1.0)


# Without a walk ---------------------------------------------------------------------------------------------

TIMES = stats.weibull_min.rvs(1.5, scale=3.0, size=60, random_state=3)


def weibull(shape: Any, scale: Any) -> Any:
    z = TIMES / scale
    return (np.log(shape / scale) + (shape - 1.0) * np.log(z) - z**shape).sum()


@pytest.mark.parametrize("alpha", [0.3, 0.05, 0.001])
@pytest.mark.parametrize(
    ("loglik", "start", "options"),
    [
        (normal, {"mu": 0.0, "log_sigma": 0.0}, {}),
        (weibull, {"shape": 1.0, "scale": 1.0}, {}),
        (weibull, {"shape": 1.0, "scale": 1.0}, {"transforms": {"shape": positive, "scale": positive}}),
        (budworm, {"male": 0.0, "female": 0.0, "ldose": 0.0}, {}),
    ],
    ids=["normal", "weibull", "positive", "budworm"],
)
def test_ends_found_directly_are_those_of_the_walk(
    loglik: Any, start: Any, options: Any, alpha: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted = fit(loglik, start, **options)
    walked = [fitted.profile(name, alpha).interval for name in fitted.names]
    monkeypatch.setattr(profile_module, "_profile", None)  # nothing walks from here on
    np.testing.assert_allclose(fitted.conf_int(alpha, method="profile"), walked, rtol=1e-8)


def test_ends_found_directly_take_few_evaluations(monkeypatch: pytest.MonkeyPatch) -> None:
    fitted = fit(weibull, {"shape": 1.0, "scale": 1.0})
    function = fitted.require_model("the function").function
    calls = {"value_and_grad_flat": 0, "hessian_flat": 0}

    def count(name: str) -> None:
        method = getattr(function, name)

        def counting(vector: Any) -> Any:
            calls[name] += 1
            return method(vector)

        monkeypatch.setattr(function, name, counting)

    for name in calls:
        count(name)
    fitted.conf_int(method="profile")
    assert calls["value_and_grad_flat"] <= 4 * 9  # for each of four ends, and one at the estimates
    assert calls["hessian_flat"] <= 4


def test_an_end_behind_which_the_profile_rises_again_is_walked_to() -> None:
    best = fit(two_peaks, {"a": 1.0, "b": 0.0})
    with pytest.warns(ProfileWarning, match="rises again beyond"):
        found = best.conf_int(0.1, method="profile")
    with pytest.warns(ProfileWarning):
        np.testing.assert_allclose(found[0], best.profile("a", alpha=0.1).interval)
