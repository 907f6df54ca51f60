"""Fits with random effects, held against TMB, against closed forms, and against statsmodels."""

from __future__ import annotations

import laplace_models as models
import numpy as np
import pytest
import test_laplace as linear

import tapegrad as tg
from tapegrad.mle.transforms import positive
from tapegrad.stats import norm, poisson

SLOW = ("ar1xar1", "orange_big")
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


def test_diagnosis_is_fine():
    case = models.case("glmmTMB_salamanders_pois")
    assert tg.fit(case.joint, case.start, random="b").diagnose().is_fine


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
