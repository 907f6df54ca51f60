"""Random effects that cannot be integrated out, or hardly: each is told in the parameters' own words."""

from __future__ import annotations

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.marginal.inner import InnerProblem
from tapegrad.mle.transforms import positive
from tapegrad.stats import bernoulli, expon, norm, poisson
from tapegrad.stats import laplace as double_exponential

Y = np.array([1.0, 2.0, 0.0, 4.0])
GROUP = np.array([0, 0, 1, 1])
THIS = r"at .*test_random_bad_input\.py:\d+: `"


def seen(c, u):
    return norm.logpdf(Y, c + u[GROUP]).sum()


def start(u=(0.0, 0.0)):
    return dict(c=0.0, u=np.array(u))


def refused(joint, begin, told):
    with pytest.raises(ValueError, match=told) as caught:
        tg.fit(joint, begin, random="u")
    return str(caught.value)


# No influence, no data, no density --------------------------------------------------------------------------


def test_a_group_without_data_has_its_density_alone():
    """Its integral is 1, and its mode that of the density."""

    def joint(c, u):
        return norm.logpdf(u, 0.3, 0.7).sum() + seen(c, u)

    found = tg.fit(joint, start((0.0, 0.0, 0.0)), random="u")
    without = tg.fit(joint, start(), random="u")
    assert found.llf == pytest.approx(without.llf, rel=1e-13)
    assert found.x == pytest.approx(without.x, rel=1e-9)
    assert found.random["u[2]"] == pytest.approx(0.3)
    assert found.random.bse[2] == pytest.approx(0.7)


def test_a_group_without_data_and_density_is_named():
    def joint(c, u):
        return norm.logpdf(u[:2]).sum() + seen(c, u)

    refused(joint, start((0.0, 0.0, 0.0)), r"does not depend on u\[2\], or only as a straight line")


def test_improper_densities_are_named():
    """Differences alone have a density, so that all may move together."""

    def joint(c, u):
        return norm.logpdf(np.diff(u)).sum() - 0.5 * (c - 1.0) ** 2

    text = refused(joint, start((0.0, 0.0, 0.0)), r"is flat along u\[\d\] \+ u\[\d\] \+ u\[\d\]")
    assert "a block of 3: u[0], u[1], u[2]" in text
    assert "may be improper" in text


# Where the inner problem goes wrong -------------------------------------------------------------------------


def test_a_start_that_is_no_number_is_explained_by_its_line():
    def joint(c, u):
        return norm.logpdf(u).sum() + (Y * np.log(u[GROUP] + c) - u[GROUP]).sum()

    begin = dict(c=-1.0, u=np.zeros(2))
    text = refused(joint, begin, "the joint log-likelihood is nan at the start of the random effects")
    assert "it arises in log(" in text
    assert "`return norm.logpdf(u).sum() + (Y * np.log(u[GROUP] + c)" in text


def test_a_start_that_overflows_is_explained_by_its_line():
    def joint(c, u):
        return norm.logpdf(u).sum() + poisson.logpmf(Y, np.exp(c + u[GROUP])).sum()

    text = refused(joint, start((1000.0, 0.0)), "at the start of the random effects")
    assert "poisson.logpmf(Y, np.exp(c + u[GROUP]))" in text


def test_a_search_that_diverges_names_what_runs_off():
    def joint(c, u):
        return norm.logpdf(u[0]) - np.log1p(u[1] ** 2) * np.exp(c) + np.exp(u[1]) - c**2

    refused(joint, start((0.5, 1.0)), r"have not come to a mode in \d+ steps; the last ones moved u\[1\] = ")


@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_what_is_not_finite_at_the_mode_is_explained_by_its_line(value):
    def joint(c, u):
        return np.where(u > 0.9, value, -((u - np.array([0.5, 2.0])) ** 2)).sum() - (c - 1.0) ** 2

    text = refused(
        joint, start((0.5, 0.1)), rf"is {value} at u\[1\] = 0\.9, right beside where it rises most"
    )
    assert "`return np.where(u > 0.9, value" in text


def test_bounds_and_kinks_are_told_apart():
    text = refused(
        lambda c, u: expon.logpdf(u).sum() + norm.logpdf(Y - 3.0, c + u[GROUP]).sum(),
        start((0.5, 0.1)),
        r"is -inf at u\[\d\] = -\d.*e-\d+, right beside where it rises most. .* such as np.exp\(u\)",
    )
    assert "discrete" in text
    refused(
        lambda c, u: double_exponential.logpdf(u).sum() + norm.logpdf(Y, c + u[GROUP], 3.0).sum(),
        start((0.5, 1.0)),
        r"at u\[0\] = .*the joint log-likelihood has a kink there, as np.abs has at 0",
    )


def test_marginal_functions_say_the_same():
    def joint(c, u):
        return (np.log(c * u) - u).sum()

    marginal = tg.laplace(joint, dict(c=1.0, u=np.ones(2)), random="u")
    with pytest.raises(
        InnerProblem, match=r"(?s)is nan at the start.*arises in log\(.*`return \(np.log\(c \* u"
    ):
        marginal(dict(c=-1.0))


# Discrete ones ----------------------------------------------------------------------------------------------


def test_a_discrete_density_is_refused():
    told = r"is -inf at u\[\d\] = \d.*take the sum over all values of a discrete one in the log-likelihood"
    with pytest.warns(tg.DiscreteWarning, match="u is rounded"):
        text = refused(lambda c, u: poisson.logpmf(u, 3.0).sum() + seen(c, u), start((2.0, 3.0)), told)
    assert "poisson.logpmf(u, 3.0)" in text


def rounding(c, u):
    return norm.logpdf(u).sum() + seen(c, np.round(u))


def indexing(c, u):
    levels = np.array([0.1, 0.2, 0.3])
    return norm.logpdf(u).sum() + seen(c, levels[u.astype(int)])


@pytest.mark.parametrize("joint", [rounding, indexing])
def test_rounding_is_told(joint):
    with pytest.warns(tg.DiscreteWarning, match=rf"u is rounded {THIS}return norm.logpdf\(u\)"):
        tg.fit(joint, start((0.0, 1.0)), random="u")
    with pytest.warns(tg.DiscreteWarning, match=r"u is rounded"):
        tg.laplace(joint, start((0.0, 1.0)), random="u")


def test_interpolation_is_no_rounding():
    knots = np.linspace(-4.0, 4.0, 9)

    def joint(c, u):
        return norm.logpdf(u).sum() + seen(c, np.interp(u, knots, 0.1 * knots))

    assert tg.fit(joint, start((0.3, 0.4)), random="u").converged


def test_whole_numbers_to_start_from_are_numbers():
    begin = dict(c=0, u=np.array([0, 1]))
    assert tg.fit(lambda c, u: norm.logpdf(u).sum() + seen(c, u), begin, random="u").converged


# Several peaks ----------------------------------------------------------------------------------------------


def two_peaks(c, u):
    return (-0.5 * (u**2 - 4.0) ** 2 + 0.3 * u).sum() + norm.logpdf(Y, c + 0.1 * u[GROUP]).sum()


def test_a_mode_that_is_not_the_highest_is_told():
    """The start of u[1] is on the wrong side of 0; from 0 itself the search comes to the other peak."""
    with pytest.warns(tg.ConvergenceWarning, match=r"several peaks") as told:
        found = tg.fit(two_peaks, start((1.0, -1.0)), random="u")
    text = str(told[0].message)
    assert "one at u[1] = -1.9" in text
    assert "one at u[1] = 2.0" in text
    assert "higher by 1." in text
    assert "u[0]" not in text
    assert "several peaks" in found.diagnose().kinds


def test_one_peak_from_all_starts_is_no_news():
    def joint(c, u):
        return norm.logpdf(u).sum() + poisson.logpmf(Y, np.exp(c + u[GROUP])).sum()

    assert "several peaks" not in tg.fit(joint, start((3.0, -3.0)), random="u").diagnose().kinds


# Transforms, separation, variances of 0 ---------------------------------------------------------------------


def test_a_transform_belongs_to_parameters():
    with pytest.raises(ValueError, match=r"transforms: u is integrated out.*np\.exp\(u\)"):
        tg.fit(seen, start(), random="u", transforms=dict(u=positive))


def test_separation_within_groups_has_errors_or_is_told():
    def joint(c, log_sd, u):
        p = 1.0 / (1.0 + np.exp(-c - np.exp(log_sd) * u[GROUP]))
        return norm.logpdf(u).sum() + bernoulli.logpmf(np.array([0.0, 0.0, 1.0, 1.0]), p).sum()

    found = tg.fit(joint, dict(c=0.1, log_sd=0.0, u=np.zeros(2)), random="u")
    assert "skewed random effects" in found.diagnose().kinds
    assert not found.check_laplace().is_accurate


def test_a_variance_of_zero_on_its_own_scale_is_named():
    """The group means are 0; with sd as it is, the fit goes to 0 itself."""
    y = np.array([-1.0, 1.0, 1.0, -1.0])

    def joint(c, sd, u):
        return norm.logpdf(u, 0.0, sd).sum() + norm.logpdf(y, c + u[GROUP]).sum()

    with pytest.warns(tg.ConvergenceWarning, match=r"the variance of u goes to 0, the end of its range"):
        found = tg.fit(joint, dict(c=0.1, sd=1.0, u=np.zeros(2)), random="u")
    assert not found.converged
    assert found.params["c"] == pytest.approx(0.0, abs=1e-9)
    assert "the variance of u goes to 0" in str(found.summary())


# `converged` and the errors never disagree ------------------------------------------------------------------


def collinear(a, b, u):
    return norm.logpdf(u).sum() + norm.logpdf(Y, a + b + u[GROUP]).sum()


def product(a, b, u):
    return norm.logpdf(u, 0.0, np.exp(a + b)).sum() + norm.logpdf(Y, u[GROUP]).sum()


def idle(a, b, u):
    return norm.logpdf(u).sum() + norm.logpdf(Y, a + u[GROUP]).sum() + 0.0 * b


def saturated(a, b, u):
    """Two variances for each number: only their sum is in the data."""
    return norm.logpdf(u, 0.0, np.exp(a)).sum() + norm.logpdf(Y, u, np.exp(b)).sum()


def ridge(a, b, u):
    return norm.logpdf(u, a * b).sum() + norm.logpdf(Y, u[GROUP]).sum()


@pytest.mark.parametrize(
    ("joint", "flat"),
    [(collinear, "a - b"), (product, "a - b"), (idle, "b"), (saturated, None), (ridge, None)],
)
def test_a_singular_hessian_is_no_convergence(joint, flat):
    """TMB says of such fits that they converged, with errors that are NaN."""
    begin = dict(a=0.2, b=0.3, u=np.zeros(4 if joint is saturated else 2))
    with pytest.warns((tg.StandardErrorWarning, tg.ConvergenceWarning)):
        found = tg.fit(joint, begin, random="u")
    assert not found.converged
    assert np.isnan(found.bse).any()
    assert "NOT CONVERGED" in str(found.summary())
    if flat is not None:
        assert f"flat along {flat}" in found.message


def test_what_converged_has_errors():
    found = tg.fit(lambda c, u: norm.logpdf(u).sum() + seen(c, u), start(), random="u")
    assert found.converged
    assert np.isfinite(found.bse).all()
    assert np.isfinite(found.random.bse).all()
