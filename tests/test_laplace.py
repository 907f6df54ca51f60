"""Marginal log-likelihoods by Laplace's method, held against TMB and against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import multivariate_normal

import tapegrad as tg
from benchmarks.laplace import models
from tapegrad.backends.c.compiler import compiler
from tapegrad.marginal.inner import InnerProblem
from tapegrad.stats import norm, poisson

needs_compiler = pytest.mark.skipif(compiler() is None, reason="no compiler")
SLOW = ("ar1xar1", "rasch", "field")
CASES = [pytest.param(name, marks=pytest.mark.slow if name in SLOW else ()) for name in models.NAMES]


def marginal_of(case):
    return tg.laplace(case.joint, case.start, random=case.random)


@pytest.mark.parametrize("name", [one for one in CASES if not one.values[0].startswith("glmmTMB")])
def test_value_and_gradient_at_the_start_are_those_of_tmb(name):
    case = models.case(name)
    told = case.told
    marginal = marginal_of(case)
    value, gradient = marginal.value_and_grad_flat(np.array(told["start"], dtype=float))
    expected = -np.array(told["laplace_grad_at_start"])
    assert value == pytest.approx(-told["laplace_nll_at_start"], rel=1e-8)
    assert gradient == pytest.approx(expected, rel=1e-8, abs=1e-8 * np.abs(expected).max())


@pytest.mark.parametrize("name", CASES)
def test_value_standard_errors_and_modes_at_the_optimum_are_those_of_tmb(name):
    case = models.case(name)
    told = case.told
    marginal = marginal_of(case)
    estimate = np.array(told["estimate"])
    assert marginal.value_flat(estimate) == pytest.approx(-told["objective"], rel=1e-8)
    errors = np.sqrt(np.diag(np.linalg.inv(-marginal.hessian_flat(estimate))))
    assert errors == pytest.approx(np.array(told["se"]), rel=1e-5)
    mode = marginal.mode(marginal.structure.unravel(estimate))
    expected = np.array(told["random_mode"])
    if name == "ar1xar1":  # TMB's arrays stand in Fortran's order
        mode = mode.reshape(50, 50).T.ravel()
    assert mode == pytest.approx(expected, rel=1e-5, abs=1e-5 * np.abs(expected).max())


# Where the joint log-likelihood is quadratic in the random effects, Laplace's method is exact ---------------

RNG = np.random.default_rng(4)
GROUP = np.repeat(np.arange(6), 4)
SLOPES = RNG.normal(size=24)
Y = RNG.normal(size=24) + 1.3 * RNG.normal(size=6)[GROUP] + 1.5 * RNG.normal(size=6)[GROUP] * SLOPES


def linear(beta, log_tau, log_sigma, a, b):
    mean = beta + a[GROUP] + b[GROUP] * SLOPES
    effects = norm.logpdf(a, 0.0, np.exp(log_tau[0])).sum() + norm.logpdf(b, 0.0, np.exp(log_tau[1])).sum()
    return effects + norm.logpdf(Y, mean, np.exp(log_sigma)).sum()


START = dict(beta=0.2, log_tau=np.array([-0.3, -0.9]), log_sigma=0.1, a=np.zeros(6), b=np.zeros(6))


def closed_form(beta, log_tau, log_sigma):
    same = GROUP[:, None] == GROUP
    cov = same * (np.exp(2.0 * log_tau[0]) + np.exp(2.0 * log_tau[1]) * np.outer(SLOPES, SLOPES))
    return multivariate_normal(np.full(24, beta), cov + np.exp(2.0 * log_sigma) * np.eye(24)).logpdf(Y)


def as_function(beta, log_tau, log_sigma):
    """The closed form, to be traced."""
    same = GROUP[:, None] == GROUP
    cov = same * (np.exp(2.0 * log_tau[0]) + np.exp(2.0 * log_tau[1]) * np.outer(SLOPES, SLOPES))
    cov = cov + np.exp(2.0 * log_sigma) * np.eye(24)
    rest = Y - beta
    return -0.5 * (rest @ np.linalg.solve(cov, rest) + np.linalg.slogdet(cov)[1] + 24 * np.log(2 * np.pi))


def test_linear_mixed_model_is_exact():
    marginal = tg.laplace(linear, START, random=["a", "b"])
    at = dict(beta=0.4, log_tau=np.array([-0.1, -0.5]), log_sigma=-0.2)
    assert marginal(at) == pytest.approx(closed_form(**at), rel=1e-12)
    exact = tg.trace(as_function, at)
    gradient = marginal.structure.ravel(marginal.grad(at))
    assert gradient == pytest.approx(exact.value_and_grad_flat(exact.ravel(at))[1], rel=1e-10)
    assert marginal.hessian(at) == pytest.approx(exact.hessian(at), rel=1e-9, abs=1e-9)


def test_elements_may_be_random_and_others_not():
    """b[0] is a parameter: the integral is over the other eleven."""
    some = [f"b[{i}]" for i in range(1, 6)]
    marginal = tg.laplace(linear, START, random=["a", *some])
    assert marginal.names == ("beta", "log_tau[0]", "log_tau[1]", "log_sigma", "b[0]")
    at = dict(beta=0.4, log_tau=np.array([-0.1, -0.5]), log_sigma=-0.2, b=np.array([0.3]))
    same = GROUP[:, None] == GROUP
    slopes = np.where(GROUP == 0, 0.0, SLOPES)
    cov = same * (np.exp(-0.2) + np.exp(-1.0) * np.outer(slopes, slopes)) + np.exp(-0.4) * np.eye(24)
    mean = 0.4 + np.where(GROUP == 0, 0.3 * SLOPES, 0.0)
    expected = multivariate_normal(mean, cov).logpdf(Y) + norm.logpdf(0.3, 0.0, np.exp(-0.5))
    assert marginal(at) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("name", ["thetalog", "socatt", "glmmTMB_salamanders_pois"])
def test_hessian_is_the_derivative_of_the_gradient(name):
    case = models.case(name)
    marginal = marginal_of(case)
    theta = 1.02 * np.array(case.told["estimate"])
    hessian = marginal.hessian_flat(theta)
    for i in range(theta.size):
        move = np.zeros(theta.size)
        move[i] = 1e-5
        up, down = (marginal.value_and_grad_flat(theta + sign * move)[1] for sign in (1.0, -1.0))
        assert hessian[i] == pytest.approx((up - down) / 2e-5, rel=1e-5, abs=1e-5 * np.abs(hessian).max())


@pytest.mark.parametrize("name", ["thetalog", "socatt", "glmmTMB_salamanders_pois"])
def test_the_way_to_a_point_leaves_no_trace(name):
    case = models.case(name)
    theta = np.array(case.told["estimate"])
    found = []
    for way in ([], [0.7 * theta], [1.3 * theta, 0.9 * theta], [theta + 0.2, theta - 0.2]):
        marginal = marginal_of(case)
        for point in way:
            marginal.value_flat(point)
        found.append((marginal.value_flat(theta), *marginal.value_and_grad_flat(theta)[1]))
    values = np.array(found)
    assert np.ptp(values[:, 0]) <= 1e-10 * abs(values[0, 0])
    assert np.ptp(values, axis=0).max() <= 1e-10 * max(1.0, np.abs(values).max())


SEEN = np.array([[1.0, 3.0, 0.0], [4.0, 6.0, 2.0], [0.0, 1.0, 1.0]])


def counts(mu, log_tau, u):
    effects = norm.logpdf(u, 0.0, np.exp(log_tau)).sum()
    return effects + poisson.logpmf(SEEN, np.exp(mu + u[:, None])).sum()


# Chains, branches, lattices ---------------------------------------------------------------------------------


def kalman(y, phi, sd, noise):
    """The log-likelihood of an autoregression that is seen with noise, by the Kalman filter."""
    mean, variance, total = 0.0, sd**2 / (1.0 - phi**2), 0.0
    for seen in y:
        spread = variance + noise**2
        total -= 0.5 * (np.log(2.0 * np.pi * spread) + (seen - mean) ** 2 / spread)
        gain = variance / spread
        mean, variance = phi * (mean + gain * (seen - mean)), phi**2 * variance * (1.0 - gain) + sd**2
    return total


@pytest.mark.parametrize("n", [2_000, pytest.param(100_000, marks=pytest.mark.slow)])
def test_a_chain_is_that_of_the_kalman_filter(n):
    y = np.random.default_rng(5).normal(size=n)

    def joint(phi, sd, noise, x):
        first = norm.logpdf(x[0], 0.0, sd / np.sqrt(1.0 - phi**2))
        return first + norm.logpdf(x[1:], phi * x[:-1], sd).sum() + norm.logpdf(y, x, noise).sum()

    at = dict(phi=0.7, sd=0.5, noise=0.8)
    marginal = tg.laplace(joint, {**at, "x": np.zeros(n)}, random="x")
    assert marginal(at) == pytest.approx(kalman(y, **at), rel=1e-11)
    gradient = marginal.grad(at)
    for name in at:
        up, down = (kalman(y, **{**at, name: at[name] + step}) for step in (1e-5, -1e-5))
        assert gradient[name] == pytest.approx((up - down) / 2e-5, rel=1e-6, abs=1e-5 * np.sqrt(n))


def test_each_branch_has_a_layout_of_its_own():
    y = np.array([0.4, -0.3, 1.2, 0.1])

    def joint(s, u):
        if s > 0.0:  # neighbours meet
            return norm.logpdf(u[0]) + norm.logpdf(u[1:], s * u[:-1]).sum() + norm.logpdf(y, u).sum()
        return norm.logpdf(u).sum() + norm.logpdf(y, u, np.exp(s)).sum()

    marginal = tg.laplace(joint, dict(s=0.5, u=np.zeros(4)), random="u")
    lower = np.eye(4) - 0.5 * np.eye(4, k=-1)
    chained = np.linalg.inv(lower.T @ lower) + np.eye(4)
    for _ in range(2):
        assert marginal(dict(s=0.5)) == pytest.approx(multivariate_normal(np.zeros(4), chained).logpdf(y))
        apart = norm.logpdf(y, 0.0, np.sqrt(1.0 + np.exp(-1.0))).sum()
        assert marginal(dict(s=-0.5)) == pytest.approx(apart, rel=1e-12)


def test_a_traced_joint_log_likelihood_with_data():
    def joint(mu, log_tau, u, y):
        return norm.logpdf(u, 0.0, np.exp(log_tau)).sum() + norm.logpdf(y, mu + u[:, None], 1.0).sum()

    y = np.random.default_rng(8).normal(size=(5, 3))
    start = dict(mu=0.0, log_tau=0.0, u=np.zeros(5))
    traced = tg.trace(joint, start, data=dict(y=np.zeros((5, 3))))
    one = tg.laplace(traced, start, random="u", data=dict(y=y))
    other = tg.laplace(joint, start, random="u", data=dict(y=y))
    at = dict(mu=0.3, log_tau=-0.2)
    assert one(at) == pytest.approx(other(at), rel=1e-13)


@pytest.mark.parametrize("backend", ["replay", "numpy", pytest.param("c", marks=needs_compiler)])
@pytest.mark.parametrize("nodes", [1, 3])
def test_it_stands_under_a_trace(backend, nodes):
    """With a penalty and other parameters: derivatives by the chain rule, by hand."""
    marginal = tg.laplace(counts, dict(mu=0.0, log_tau=0.0, u=np.zeros(3)), random="u", quadrature=nodes)

    def penalised(mu, tau):
        return marginal(dict(mu=2.0 * mu, log_tau=np.log(tau))) - 0.5 * mu**2

    traced = tg.trace(penalised, dict(mu=0.1, tau=0.8), backend=backend)
    mu, tau = at = np.array([0.2, 0.7])
    inside = np.array([2.0 * mu, np.log(tau)])
    value, slope = marginal.value_and_grad_flat(inside)
    expected = np.array([2.0 * slope[0] - mu, slope[1] / tau])
    found = traced.value_and_grad_flat(at)
    assert found[0] == pytest.approx(value - 0.5 * mu**2, rel=1e-12)
    assert found[1] == pytest.approx(expected, rel=1e-11)
    scale = np.diag([2.0, 1.0 / tau])
    curved = scale @ marginal.hessian_flat(inside) @ scale - np.diag([1.0, slope[1] / tau**2])
    assert traced.hessian_flat(at) == pytest.approx(curved, rel=1e-10)


def test_its_gradient_and_hessian_stand_under_a_trace():
    marginal = tg.laplace(counts, dict(mu=0.0, log_tau=0.0, u=np.zeros(3)), random="u")
    at = np.array([0.2, -0.3])

    def steepness(mu):
        return marginal.grad(dict(mu=mu, log_tau=-0.3))["mu"] ** 2

    slope, curved = marginal.value_and_grad_flat(at)[1], marginal.hessian_flat(at)
    traced = tg.trace(steepness, dict(mu=0.0))
    assert traced.grad(dict(mu=0.2))["mu"] == pytest.approx(2.0 * slope[0] * curved[0, 0], rel=1e-11)
    trace = tg.trace(lambda mu: np.trace(marginal.hessian(dict(mu=mu, log_tau=-0.3))), dict(mu=0.0))
    assert trace(dict(mu=0.2)) == pytest.approx(np.trace(curved), rel=1e-11)
    with pytest.raises(tg.TraceError, match=r"marginal log-likelihood of counts .* a third derivative"):
        trace.grad(dict(mu=0.2))
    with pytest.raises(TypeError, match="value_and_grad and mode take numbers"):
        tg.trace(lambda mu: marginal.mode(dict(mu=mu, log_tau=0.0)).sum(), dict(mu=0.0))


def test_a_penalised_fit_is_that_with_a_prior():
    start = dict(mu=0.0, log_tau=0.0, u=np.zeros(3))
    marginal = tg.laplace(counts, start, random="u")

    def prior(mu, log_tau):
        return norm.logpdf(mu, 0.0, 0.5) + norm.logpdf(log_tau, 0.0, 0.3)

    def posterior(mu, log_tau):
        return marginal(dict(mu=mu, log_tau=log_tau)) + prior(mu, log_tau)

    expected = tg.fit(counts, start, random="u", logprior=prior)
    found = tg.fit(posterior, dict(mu=0.0, log_tau=0.0))
    assert found.converged
    assert found.x == pytest.approx(expected.x, rel=1e-7)
    assert found.bse == pytest.approx(expected.bse, rel=1e-7)


def test_a_tape_that_holds_it_is_not_stored(tmp_path):
    marginal = tg.laplace(counts, dict(mu=0.0, log_tau=0.0, u=np.zeros(3)), random="u")
    traced = tg.trace(lambda mu: marginal(dict(mu=mu, log_tau=0.0)), dict(mu=0.0))
    tg.verify(traced.tape)
    with pytest.raises(TypeError, match=r"cannot store the marginal log-likelihood of counts"):
        tg.save(traced.tape, tmp_path / "tape.json")


# What is no random effect -----------------------------------------------------------------------------------


def test_a_random_effect_without_influence_is_named():
    marginal = tg.laplace(lambda s, u: -0.5 * u[0] ** 2 - s**2, dict(s=1.0, u=np.zeros(3)), random="u")
    with pytest.raises(InnerProblem, match=r"does not depend on u\[1\], u\[2\]"):
        marginal(dict(s=1.0))


def test_a_flat_direction_is_named():
    def joint(s, u):
        return -0.5 * np.exp(s) * (u[0] - u[1] - 1.0) ** 2 - 0.5 * u[2] ** 2

    marginal = tg.laplace(joint, dict(s=0.0, u=np.zeros(3)), random="u")
    with pytest.raises(
        InnerProblem, match=r"is flat along u\[0\] \+ u\[1\] \(a block of 2: u\[0\], u\[1\]\)"
    ):
        marginal(dict(s=0.0))


def test_what_is_not_finite_at_the_start_is_said():
    marginal = tg.laplace(lambda s, u: (np.log(u) - u).sum() - s**2, dict(s=1.0, u=np.ones(2)), random="u")
    assert marginal.mode(dict(s=1.0)) == pytest.approx(np.ones(2))
    marginal = tg.laplace(lambda s, u: (np.log(s * u) - u).sum(), dict(s=1.0, u=np.ones(2)), random="u")
    with pytest.raises(
        InnerProblem, match="the joint log-likelihood is nan at the start of the random effects"
    ):
        marginal(dict(s=-1.0))


def test_poor_starts_reach_the_mode():
    """Newton's first steps overshoot, and far away the joint log-likelihood is not concave."""

    def joint(s, u):
        return -np.exp(np.minimum(u, 300.0)).sum() + (3.0 * u).sum() - np.log1p((u - 1.0) ** 2).sum() - s**2

    found = [
        tg.laplace(joint, dict(s=1.0, u=np.full(3, start)), random="u").mode(dict(s=1.0))
        for start in (0.0, 20.0, -40.0, 100.0)
    ]
    for mode in found[1:]:
        assert mode == pytest.approx(found[0], rel=1e-10)


def test_a_saddle_is_left():
    """Between the two peaks of u it curves upwards at the start, where the slope is 0."""

    def joint(s, u):
        return (2.0 * u**2 - u**4).sum() - s**2

    marginal = tg.laplace(joint, dict(s=1.0, u=np.zeros(2)), random="u")
    assert np.abs(marginal.mode(dict(s=1.0))) == pytest.approx(np.ones(2), rel=1e-12)


def test_what_has_no_peak_is_said_to_run_off():
    def joint(s, u):
        return np.log1p(u**2).sum() * s

    marginal = tg.laplace(joint, dict(s=1.0, u=np.ones(2)), random="u")
    with pytest.raises(InnerProblem, match=r"u\[0\]"):
        marginal(dict(s=1.0))


def test_names_are_checked():
    with pytest.raises(ValueError, match=r"no parameter 'v'; there are beta, log_tau, log_sigma, a, b"):
        tg.laplace(linear, START, random="v")
    with pytest.raises(ValueError, match=r"leave at least one to be estimated"):
        tg.laplace(linear, START, random=list(START))
