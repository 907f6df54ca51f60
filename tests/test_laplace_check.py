"""The check of Laplace's method: by quadrature, and by importance sampling."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import test_laplace as linear
from scipy.integrate import quad

import tapegrad as tg
from tapegrad.marginal.importance import sampled
from tapegrad.marginal.inner import InnerProblem
from tapegrad.stats import bernoulli, norm, poisson

ANSWERS = np.array([[0, 0, 0, 1], [1, 1, 1, 1], [0, 0, 1, 0], [1, 0, 1, 1], [0, 0, 0, 0], [1, 1, 1, 0]])
START = dict(mu=0.0, log_sd=0.0, u=np.zeros(6))


def answers(mu, log_sd, u):
    p = 1.0 / (1.0 + np.exp(-mu - np.exp(log_sd) * u[:, None]))
    return norm.logpdf(u).sum() + bernoulli.logpmf(ANSWERS, p).sum()


def exact(mu, log_sd):
    def density(u, row):
        p = 1.0 / (1.0 + np.exp(-mu - np.exp(log_sd) * u))
        return np.exp(-0.5 * u * u) / np.sqrt(2.0 * np.pi) * np.prod(np.where(row == 1, p, 1.0 - p))

    return sum(np.log(quad(density, -12, 12, (row,), epsabs=1e-14, epsrel=1e-11)[0]) for row in ANSWERS)


@pytest.fixture(scope="module")
def result():
    return tg.fit(answers, START, random="u", nobs=24)


def test_it_tells_where_laplace_is_off(result):
    found = result.check_laplace(refit=True)
    assert found.nodes == (1, 3, 7, 15)
    assert found.llf[0] == result.llf
    assert found.llf[3] == pytest.approx(exact(*result.x), abs=1e-5)
    assert not found.is_accurate
    assert "Laplace's method is inaccurate here: with 15 nodes" in found.verdict
    assert "(log_sd). Fit again with quadrature=7." in found.verdict
    again = tg.fit(answers, START, random="u", nobs=24, quadrature=15)
    assert found.estimates[3] == pytest.approx(again.x, abs=1e-7)
    assert found.estimates[0] == pytest.approx(result.x, abs=1e-7)
    # One step of Newton's method foretells where the estimates go.
    step = (again.x - result.x) / result.bse
    assert found.shifts[3] == pytest.approx(step, abs=0.02)
    lines = str(found).splitlines()
    assert lines[0].split() == ["Nodes", "Log-likelihood", "Difference", "Shift", "of", "estimates", "(SE)"]
    assert lines[1].startswith("1 (Laplace)")
    assert lines[5].split() == ["Estimates", "1", "3", "7", "15"]


def test_a_fit_by_quadrature_is_checked_as_such():
    fit = tg.fit(answers, START, random="u", nobs=24, quadrature=7)
    found = fit.check_laplace()
    assert found.is_accurate
    assert found.verdict.startswith("Quadrature with 7 nodes is accurate here")
    assert found.llf[2] == fit.llf
    assert abs(found.shifts[2]).max() < 1e-8


def test_where_it_is_exact_it_says_so():
    """A linear mixed model: all nodes agree, and all weights of the draws are equal."""
    fit = tg.fit(linear.linear, linear.START, random=["a", "b"])
    found = fit.check_laplace(samples=50, seed=3)
    assert found.llf == pytest.approx([fit.llf] * 4, rel=1e-12)
    assert abs(found.shifts).max() < 1e-5
    assert found.sampled.llf == pytest.approx(fit.llf, rel=1e-12)
    assert found.sampled.se < 1e-6
    assert found.sampled.effective == pytest.approx(50.0, rel=1e-9)
    assert found.is_accurate
    assert "Laplace's method is accurate here" in found.verdict
    assert "agrees with importance sampling" in found.verdict


def test_too_few_nodes_are_told(result):
    assert "has not settled with 3 nodes: ask for more" in result.check_laplace((1, 2, 3)).verdict


def test_draws_estimate_the_integral(result):
    found = result.check_laplace((), samples=4_000, seed=1)
    again = result.check_laplace((), samples=4_000, seed=1)
    assert again.sampled == found.sampled
    true = exact(*result.x)
    assert abs(found.sampled.llf - true) < 3.0 * found.sampled.se
    assert found.sampled.se < 0.01
    assert not found.is_accurate
    assert "Laplace's method is off by -0.1" in found.verdict
    assert "4,000 draws" in str(found)


def test_draws_of_a_chain_go_through_its_sparse_factor():
    """A linear state-space model has equal weights; with counts, the estimate has an honest error."""
    y = np.random.default_rng(5).poisson(2.0, size=40).astype(float)

    def chain(phi, sd, x, is_normal):
        first = norm.logpdf(x[0], 0.0, sd / np.sqrt(1.0 - phi**2))
        moves = norm.logpdf(x[1:], phi * x[:-1], sd).sum()
        seen = norm.logpdf(y, x, 1.0) if is_normal else poisson.logpmf(y, np.exp(x))
        return first + moves + seen.sum()

    at, start = np.array([0.6, 0.5]), dict(phi=0.5, sd=1.0, x=np.zeros(40))
    plain = tg.laplace(lambda phi, sd, x: chain(phi, sd, x, True), start, random="x")._marginal
    found = sampled(plain, at, 20, 1)
    assert found.llf == pytest.approx(plain.value_flat(at), rel=1e-12)
    assert found.effective == pytest.approx(20.0, rel=1e-9)
    bent = tg.laplace(lambda phi, sd, x: chain(phi, sd, x, False), start, random="x")._marginal
    several = [sampled(bent, at, 400, seed) for seed in range(12)]
    spread = np.std([one.llf for one in several], ddof=1)
    assert 0.5 < spread / np.mean([one.se for one in several]) < 2.0


def test_few_effective_draws_are_told():
    """Exponential tails of u, which the normal distribution lacks."""

    def joint(c, u):
        return -np.sqrt(1e-4 + u**2).sum() - (c - 1.0) ** 2

    found = tg.fit(joint, dict(c=0.0, u=np.zeros(3)), random="u").check_laplace((), samples=2_000, seed=1)
    assert not found.is_accurate
    assert "too few to trust" in found.verdict


def test_a_draw_that_is_no_number_is_named():
    def joint(a, u):
        with np.errstate(invalid="ignore"):
            return (2.0 * np.log(u) - u).sum() - a**2

    marginal = tg.laplace(joint, dict(a=1.0, u=np.array([1.0, 2.0])), random="u")._marginal
    with pytest.raises(InnerProblem, match=r"is not a number at a draw of u\[\d\] = -"):
        sampled(marginal, np.array([0.0]), 500, 1)


def test_a_prior_takes_no_part():
    fit = tg.fit(answers, START, random="u", logprior=lambda mu, log_sd: norm.logpdf(log_sd, 0.0, 0.3))
    found = fit.check_laplace(samples=20, seed=1)
    assert found.llf[0] == pytest.approx(fit.llf, rel=1e-13)
    assert found.sampled.llf == pytest.approx(fit.llf, abs=0.5)


def test_without_standard_errors_the_log_likelihoods_are_compared():
    y = np.tile([-1.0, 1.0, 0.5, -0.5], 6)

    def joint(mu, log_tau, u):
        effects = norm.logpdf(u, 0.0, np.exp(log_tau)).sum()
        return effects + norm.logpdf(y, mu + u[linear.GROUP], 1.0).sum()

    with pytest.warns(tg.ConvergenceWarning, match="levels off in log_tau"):
        fit = tg.fit(joint, dict(mu=0.1, log_tau=-1.0, u=np.zeros(6)), random="u")
    found = fit.check_laplace((1, 3))
    assert np.isnan(found.shifts[:, 1]).all()
    assert abs(found.shifts[:, 0]).max() < 1e-6
    assert found.is_accurate
    without = replace(found, shifts=np.full((2, 2), np.nan))
    assert without.is_accurate
    assert "the standard errors are unknown" in without.verdict
    assert "unknown" in str(without).splitlines()[1]


def test_what_cannot_be_checked_is_said(result):
    with pytest.raises(ValueError, match="nothing to compute"):
        result.check_laplace(())
    with pytest.raises(ValueError, match="2 or more, not 1"):
        result.check_laplace(samples=1)
    with pytest.raises(ValueError, match="has no random effects"):
        tg.fit(lambda c: -(c**2), dict(c=1.0)).check_laplace()
