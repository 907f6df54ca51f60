"""Fits with random effects, held against TMB, against closed forms, and against statsmodels."""

from __future__ import annotations

import numpy as np
import pytest
import test_laplace as linear

import tapegrad as tg
from benchmarks.laplace import models
from tapegrad.mle import check_consistency
from tapegrad.mle.transforms import positive
from tapegrad.stats import norm, poisson

SLOW = ("ar1xar1", "orange_big", "rasch", "field")
CASES = [pytest.param(name, marks=pytest.mark.slow if name in SLOW else ()) for name in models.NAMES]


@pytest.mark.parametrize("name", CASES)
def test_fits_are_those_of_tmb(name):
    case = models.case(name)
    told = case.told
    result = tg.fit(case.joint, case.start, random=case.random)
    assert result.converged
    # TMB's optimisers stop short of the maximum: its own gradient says by how much. glmmTMB tells none.
    estimate, cov, errors = (np.array(told[key]) for key in ("estimate", "cov_fixed", "se"))
    estimate = estimate - cov @ np.array(told.get("gradient_at_opt", 0.0 * estimate))
    close = 1e-6 * np.maximum(np.abs(estimate), errors) if "gradient_at_opt" in told else 2e-5 * errors
    assert (np.abs(result.x - estimate) <= close).all()
    assert result.bse == pytest.approx(errors, rel=3e-5)
    assert result.llf == pytest.approx(-told["objective"], rel=1e-8)
    modes, spread = np.array(told["random_mode"]), np.array(told.get("random_se", []))
    if name == "ar1xar1":  # TMB's arrays stand in Fortran's order
        modes, spread = (array.reshape(50, 50).T.ravel() for array in (modes, spread))
    assert result.random.x == pytest.approx(modes, rel=1e-4, abs=1e-5 * np.abs(modes).max())
    if spread.size:
        assert result.random.bse == pytest.approx(spread, rel=3e-5)


# A linear mixed model, whose marginal likelihood is known ---------------------------------------------------

START = {**linear.START, "log_sigma": 0.0}


@pytest.fixture(scope="module")
def result():
    return tg.fit(linear.linear, START, random=["a", "b"])


@pytest.fixture(scope="module")
def closed():
    start = {name: START[name] for name in ("beta", "log_tau", "log_sigma")}
    return tg.fit(linear.as_function, start)


def test_fit_is_that_of_the_closed_form(result, closed):
    assert result.names == closed.names
    assert result.llf == pytest.approx(closed.llf, rel=1e-12)
    assert result.x == pytest.approx(closed.x, rel=1e-7, abs=1e-8)
    assert result.cov_params() == pytest.approx(closed.cov_params(), rel=1e-6, abs=1e-9)


def test_profile_intervals_are_those_of_the_closed_form(result, closed):
    found, expected = (one.conf_int(method="profile") for one in (result, closed))
    assert found == pytest.approx(expected, rel=1e-6, abs=1e-7)


def test_joint_precision_has_the_errors(result):
    cov = np.linalg.inv(result.joint_precision().toarray())
    q = result.x.size
    assert cov[:q, :q] == pytest.approx(result.cov_params(), rel=1e-8, abs=1e-12)
    assert np.sqrt(np.diag(cov)[q:]) == pytest.approx(result.random.bse, rel=1e-8)


def test_functions_of_both_have_the_errors_of_the_joint_covariance(result):
    found = result.delta(lambda beta, a: dict(level=beta + a[:2], top=np.exp(a).sum()))
    assert found.names == ("level[0]", "level[1]", "top")
    cov, q = np.linalg.inv(result.joint_precision().toarray()), result.x.size
    slopes = np.zeros((3, q + 12))
    slopes[:2, 0] = 1.0
    slopes[[0, 1], [q, q + 1]] = 1.0
    slopes[2, q : q + 6] = np.exp(result.random["a"])
    assert found.cov == pytest.approx(slopes @ cov @ slopes.T, rel=1e-8, abs=1e-12)
    assert found.bse == pytest.approx(np.sqrt(np.diag(found.cov)))
    assert found.value["level"][1] == pytest.approx(result.params["beta"] + result.random["a[1]"])


def test_sum_of_exponentials_has_the_error_of_tmb():
    case = models.case("simple")
    told = case.told["adreport"]
    found = tg.fit(case.joint, case.start, random="u").delta(lambda u: np.exp(u).sum())
    assert found.x == pytest.approx([told["estimate"][1]], rel=1e-6)
    assert found.bse == pytest.approx([told["se"][1]], rel=1e-5)


def test_means_over_the_random_effects():
    """Of a normal random effect with variance s, the mean of its square is that of the mode plus s; with
    Poisson counts the mean of the exponential is known from the gamma distribution."""
    y = np.array([3.0, 0.0, 7.0, 2.0])

    def joint(c, u):  # exp(u) is gamma distributed given the counts, with the flat limit of its prior
        return poisson.logpmf(y, np.exp(u)).sum() + (0.5 * u - np.exp(u)).sum() - 0.5 * (c - 1.0) ** 2

    result = tg.fit(joint, dict(c=0.0, u=np.zeros(4)), random="u")
    shape = y + 0.5  # of a gamma density of exp(u) with rate 2; the mode of u is log(shape / 2)
    assert result.random.x == pytest.approx(np.log(shape / 2.0), rel=1e-9)
    found = result.delta(lambda u: np.exp(u), bias_correct=True)
    # Laplace's integral of the gamma density is off by a factor that depends on the shape alone, so that the
    # derivative in the rate, which is the mean, is exact.
    assert found.x == pytest.approx(shape / 2.0, rel=1e-9)
    squares = result.delta(lambda c, u: (u**2).sum() + c, bias_correct=True)
    step = 1e-4  # the marginal of f + e g, by differences

    def tilted(e):
        def f(c, u):
            return joint(c, u) + e * ((u**2).sum() + c)

        return tg.laplace(f, dict(c=1.0, u=np.zeros(4)), random="u").value(dict(c=1.0))

    assert squares.x[0] == pytest.approx((tilted(step) - tilted(-step)) / (2.0 * step), rel=1e-6)


def test_a_variance_on_the_boundary_has_a_mixture_of_chi_squares(result):
    def without(beta, log_tau, log_sigma, a):
        effects = norm.logpdf(a, 0.0, np.exp(log_tau)).sum()
        return effects + norm.logpdf(linear.Y, beta + a[linear.GROUP], np.exp(log_sigma)).sum()

    smaller = tg.fit(without, dict(beta=0.0, log_tau=0.0, log_sigma=0.0, a=np.zeros(6)), random="a")
    plain, mixed = (result.lr_test(smaller, boundary=boundary) for boundary in (0, 1))
    assert mixed.statistic == plain.statistic
    assert mixed.pvalue == pytest.approx(0.5 * plain.pvalue, rel=1e-12)
    with pytest.raises(ValueError, match="from 0 to 1, not 2"):
        result.lr_test(smaller, boundary=2)


def test_summary_tells_of_the_random_effects(result):
    text = str(result.summary())
    assert "Random effects  Number  SD of modes  Mean Std. Error" in text
    assert "Integrated out by Laplace's method" in text
    assert result.to_dict()["random"]["a[0]"]["mode"] == result.random.x[0]


def test_scores_by_group_are_those_of_the_closed_form():
    """One row for each group, and one for each observation and each random effect, in groups."""
    y, group = linear.Y, linear.GROUP

    def by_group(mu, log_tau, log_sigma, u):
        rows = norm.logpdf(y.reshape(6, 4), mu + u[:, None], np.exp(log_sigma)).sum(axis=1)
        return rows + norm.logpdf(u, 0.0, np.exp(log_tau))

    def one_by_one(mu, log_tau, log_sigma, u):
        rows = norm.logpdf(y, mu + u[group], np.exp(log_sigma))
        return np.concatenate([rows, norm.logpdf(u, 0.0, np.exp(log_tau))])

    def closed(mu, log_tau, log_sigma):
        cov = np.exp(2.0 * log_tau) * np.ones((4, 4)) + np.exp(2.0 * log_sigma) * np.eye(4)
        rest = y.reshape(6, 4) - mu
        squares = (rest * np.linalg.solve(cov, rest.T).T).sum(axis=1)
        return -0.5 * (squares + np.linalg.slogdet(cov)[1] + 4.0 * np.log(2.0 * np.pi))

    start = dict(mu=0.0, log_tau=0.0, log_sigma=0.0)
    full = {**start, "u": np.zeros(6)}
    labels = np.concatenate([group, np.arange(6)])
    for kind in ("HC0", "opg"):
        expected = tg.fit(closed, start, cov_type=kind)
        assert tg.fit(by_group, full, random="u", cov_type=kind).bse == pytest.approx(expected.bse, rel=1e-5)
    plain = dict(groups=np.arange(6), use_correction=False)
    expected = tg.fit(closed, start, cov_type="cluster", cov_kwds=plain)
    told = dict(groups=labels, use_correction=False)
    found = tg.fit(one_by_one, full, random="u", cov_type="cluster", cov_kwds=told)
    assert found.bse == pytest.approx(expected.bse, rel=1e-5)
    with pytest.raises(ValueError, match=r"u\[0\] stands in several rows"):
        tg.fit(one_by_one, full, random="u", cov_type="HC0")


def test_diagnosis_is_fine():
    case = models.case("glmmTMB_salamanders_pois")
    assert tg.fit(case.joint, case.start, random="b").diagnose().is_fine


def test_separation_within_groups_is_named():
    """All outcomes in each group are alike: the maximum is one of Laplace's method alone."""
    y = np.repeat([0.0, 1.0], 50).reshape(20, 5)

    def joint(mu, log_tau, u):
        eta = mu + u[:, None]
        return norm.logpdf(u, 0.0, np.exp(log_tau)).sum() + (y * eta - np.logaddexp(0.0, eta)).sum()

    # There are two maxima, one for each sign of mu.
    found = tg.fit(joint, dict(mu=0.1, log_tau=0.0, u=np.zeros(20)), random="u").diagnose()
    assert "skewed random effects" in found.kinds
    assert "u[0], u[1], u[2] and 17 more are far from normal" in str(found)


def test_a_profile_reaches_a_standard_deviation_of_0_and_simulated_data_are_fitted():
    rng = np.random.default_rng(11)
    group = np.repeat(np.arange(12), 4)
    y = rng.normal(size=48) + 0.35 * rng.normal(size=12)[group]

    def joint(mu, sd, u, y):
        return norm.logpdf(u, 0.0, sd).sum() + norm.logpdf(y, mu + u[group], 0.8).sum()

    def simulate(params, rng):
        return dict(y=params["mu"] + params["sd"] * rng.normal(size=12)[group] + 0.8 * rng.normal(size=48))

    start = dict(mu=0.0, sd=1.0, u=np.zeros(12))
    found = tg.fit(joint, start, random="u", data=dict(y=y), transforms=dict(sd=positive))
    assert found.nobs == 48
    low, high = found.conf_int(method="profile")[1]
    assert low == 0.0

    def deviance(sd):  # the profile of sd in closed form
        cov = sd**2 * (group[:, None] == group) + 0.64 * np.eye(48)
        inverse = np.linalg.inv(cov)
        rest = y - inverse.sum(axis=0) @ y / inverse.sum()
        return rest @ inverse @ rest + np.linalg.slogdet(cov)[1]

    assert deviance(high) - deviance(found.params["sd"]) == pytest.approx(3.841459, rel=1e-5)
    assert check_consistency(found, simulate, draws=60, seed=1).pvalue > 0.01


def test_transforms_fixed_ties_and_priors_go_with_it(closed):
    """tau on its own scale, both tied; then one of them held."""

    def joint(beta, tau, sigma, a, b):
        return linear.linear(beta, np.log(tau), np.log(sigma), a, b)

    def known(beta, tau, sigma):
        return linear.as_function(beta, np.log(tau), np.log(sigma))

    start = dict(beta=0.2, tau=np.array([0.7, 0.7]), sigma=1.0)
    effects = dict(a=np.zeros(6), b=np.zeros(6))
    options = dict(
        transforms=dict(tau=positive, sigma=positive),
        tie=[("tau[0]", "tau[1]")],
        logprior=lambda beta, tau, sigma: norm.logpdf(beta, 0.0, 0.1),
    )
    found = tg.fit(joint, {**start, **effects}, random=["a", "b"], **options)
    expected = tg.fit(known, start, **options)
    assert found.x == pytest.approx(expected.x, rel=1e-6, abs=1e-8)
    assert found.bse == pytest.approx(expected.bse, rel=1e-5, abs=1e-9)
    assert found.llf == pytest.approx(expected.llf, rel=1e-10)
    held = dict(
        transforms=options["transforms"], fixed={"tau[1]": 0.4}, phases=dict(sigma=2), n_starts=2, seed=1
    )
    found = tg.fit(joint, {**start, **effects}, random=["a", "b"], **held)
    expected = tg.fit(known, start, **held)
    assert found.x == pytest.approx(expected.x, rel=1e-6, abs=1e-8)
    assert found.bse == pytest.approx(expected.bse, rel=1e-5, abs=1e-9)


def test_reml_by_naming_coefficients_random():
    """The restricted likelihood has the coefficients integrated out, too: against its closed form."""
    x = np.column_stack([np.ones(24), linear.SLOPES])

    def joint(beta, log_tau, log_sigma, a):
        mean = x @ beta + a[linear.GROUP]
        effects = norm.logpdf(a, 0.0, np.exp(log_tau)).sum()
        return effects + norm.logpdf(linear.Y, mean, np.exp(log_sigma)).sum()

    def restricted(log_tau, log_sigma):
        same = linear.GROUP[:, None] == linear.GROUP
        cov = np.exp(2.0 * log_tau) * same + np.exp(2.0 * log_sigma) * np.eye(24)
        inverse = np.linalg.inv(cov)
        normal = x.T @ inverse @ x
        rest = linear.Y - x @ np.linalg.solve(normal, x.T @ inverse @ linear.Y)
        terms = np.linalg.slogdet(cov)[1] + np.linalg.slogdet(normal)[1] + 22.0 * np.log(2.0 * np.pi)
        return -0.5 * (rest @ inverse @ rest + terms)

    start = dict(log_tau=0.0, log_sigma=0.0)
    found = tg.fit(joint, {**start, "beta": np.zeros(2), "a": np.zeros(6)}, random=["a", "beta"])
    expected = tg.fit(restricted, start)
    assert found.llf == pytest.approx(expected.llf, rel=1e-10)
    assert found.x == pytest.approx(expected.x, rel=1e-6)
    assert found.bse == pytest.approx(expected.bse, rel=1e-5)


def test_data_can_be_replaced_and_a_fit_is_stored(tmp_path):
    def joint(mu, log_tau, u, y):
        return norm.logpdf(u, 0.0, np.exp(log_tau)).sum() + poisson.logpmf(y, np.exp(mu + u[:, None])).sum()

    y = np.random.default_rng(2).poisson(3.0, size=(12, 4)).astype(float)
    start = dict(mu=1.0, log_tau=-1.0, u=np.zeros(12))
    result = tg.fit(joint, start, data=dict(y=y + np.arange(12)[:, None] % 3), random="u")
    again = tg.fit(joint, start, data=dict(y=y[::-1] + np.arange(12)[::-1, None] % 3), random="u")
    assert again.x == pytest.approx(result.x, rel=1e-7)
    assert again.random.x == pytest.approx(result.random.x[::-1], rel=1e-6, abs=1e-8)
    result.save(tmp_path / "fit.json")
    stored = tg.load(tmp_path / "fit.json")
    assert stored.random.names == result.random.names
    assert np.array_equal(stored.random.bse, result.random.bse)
    with pytest.raises(ValueError, match="needs the log-likelihood"):
        stored.joint_precision()


def test_a_variance_that_goes_to_zero_is_told():
    """The same finding as for any parameter that runs off, and no standard error for it alone."""
    y = np.tile([-1.0, 1.0, 0.5, -0.5], 6)

    def joint(mu, log_tau, log_sigma, u):
        effects = norm.logpdf(u, 0.0, np.exp(log_tau)).sum()
        return effects + norm.logpdf(y, mu + u[linear.GROUP], np.exp(log_sigma)).sum()

    start = dict(mu=0.1, log_tau=-1.0, log_sigma=0.0, u=np.zeros(6))
    with pytest.warns(tg.ConvergenceWarning, match="levels off in log_tau"):
        result = tg.fit(joint, start, random="u")
    assert not result.converged
    assert np.isnan(result.bse[1])
    assert result.bse[[0, 2]] == pytest.approx([y.std() / np.sqrt(24), 1.0 / np.sqrt(48)], rel=1e-5)
    assert "log_tau" in str(result.diagnose())
    plain = tg.fit(
        lambda mu, log_sigma: norm.logpdf(y, mu, np.exp(log_sigma)).sum(), dict(mu=0.1, log_sigma=0.0)
    )
    test = result.lr_test(plain, boundary=1)
    assert test.statistic == pytest.approx(0.0, abs=1e-6)
    assert test.pvalue > 0.49


def test_a_group_to_come_is_one_without_data():
    """Its random effect has a mode of 0, and the standard deviation of all groups."""
    group = np.repeat(np.arange(6), 4)

    def joint(mu, log_tau, u):
        return norm.logpdf(u, 0.0, np.exp(log_tau)).sum() + norm.logpdf(linear.Y, mu + u[group], 1.0).sum()

    start = dict(mu=0.0, log_tau=0.0)
    found = tg.fit(joint, {**start, "u": np.zeros(7)}, random="u")
    alone = tg.fit(joint, {**start, "u": np.zeros(6)}, random="u")
    assert found.x == pytest.approx(alone.x, rel=1e-6)
    assert found.llf == pytest.approx(alone.llf, rel=1e-10)
    new = found.delta(lambda mu, u: mu + u[6])
    assert new.x == pytest.approx(found.x[:1])
    variance = found.cov_params()[0, 0] + np.exp(2.0 * found.params["log_tau"])
    assert new.bse**2 == pytest.approx([variance], rel=1e-6)


def test_a_mistake_is_told_from_inaccuracy():
    """Answers of yes or no, two for each group, with a large spread: Laplace's method is off, and the joint
    log-likelihood is right. Then it is wrong."""
    y = np.zeros((40, 2))

    def joint(mu, log_sd, u, y):
        eta = mu + u[:, None]
        return norm.logpdf(u, 0.0, np.exp(log_sd)).sum() + (y * eta - np.logaddexp(0.0, eta)).sum()

    def simulate(params, rng, scale=1.0):
        u = scale * np.exp(params["log_sd"]) * rng.normal(size=40)
        drawn = rng.uniform(size=(40, 2)) < 1.0 / (1.0 + np.exp(-(params["mu"] + u[:, None])))
        return dict(y=drawn.astype(float), u=u)

    at = dict(mu=0.3, log_sd=0.9)
    y = simulate(at, np.random.default_rng(1))["y"]
    found = tg.fit(joint, {**at, "u": np.zeros(40)}, random="u", data=dict(y=y), nobs=80)
    right = check_consistency(found, simulate, draws=300, seed=1)
    assert right.joint.pvalue > 0.01
    assert right.pvalue < 1e-4
    assert right.bias[1] < -0.1  # the spread is estimated too small
    assert "the joint log-likelihood fits the simulated data" in str(right)
    wrong = check_consistency(found, lambda p, rng: simulate(p, rng, 1.3), draws=300, seed=1)
    assert wrong.joint.pvalue < 1e-6
    with pytest.raises(ValueError, match="gives 1 random effects, and there are 40"):
        check_consistency(found, lambda p, rng: {**simulate(p, rng), "u": 1.0}, draws=3)


# What cannot be ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (dict(transforms=dict(a=positive)), r"transforms: a is integrated out over all real numbers"),
        (dict(fixed="a"), "fixed: a is a random effect"),
        (dict(fixed={"a[1]": 0.0}), r"fixed: a\[1\] is a random effect"),
        (dict(tie=[("a[0]", "a[1]")]), r"tie: a\[0\] is a random effect"),
        (dict(weights=np.ones(24)), "weights= multiplies"),
        (dict(random="c"), "no parameter 'c'"),
        (dict(cov_type="opg"), "with random effects there is none"),
    ],
)
def test_what_makes_no_sense_is_refused(options, told):
    with pytest.raises(ValueError, match=told):
        tg.fit(linear.linear, START, **{"random": ["a", "b"], **options})


def test_a_fit_without_a_mode_at_its_start_names_the_random_effects():
    def joint(s, u):
        return -0.5 * np.exp(s) * (u[0] - u[1] - 1.0) ** 2 + s - 0.5 * u[2] ** 2

    with pytest.raises(ValueError, match=r"is flat along u\[0\] \+ u\[1\]"):
        tg.fit(joint, dict(s=0.0, u=np.zeros(3)), random="u")


def test_a_fit_without_random_effects_has_none(closed):
    with pytest.raises(ValueError, match="as_function has no random effects"):
        closed.random  # noqa: B018
