"""One-step-ahead residuals, held against Kalman's filter and against distributions that are known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special, stats

import tapegrad as tg
from tapegrad.stats import bernoulli, expon, gamma, norm, poisson

RNG = np.random.default_rng(3)
N = 15
STATE = np.zeros(N)
for _t in range(1, N):
    STATE[_t] = 0.8 * STATE[_t - 1] + 0.5 * RNG.normal()
Y = 0.3 + STATE + 0.6 * RNG.normal(size=N)
ONES = np.ones(N)


def chain(mu, atanh_phi, log_sd, log_noise, x, y, keep):
    phi, sd = np.tanh(atanh_phi), np.exp(log_sd)
    first = norm.logpdf(x[0], 0.0, sd / np.sqrt(1.0 - phi**2))
    seen = (keep * norm.logpdf(y, mu + x, np.exp(log_noise))).sum()
    return first + norm.logpdf(x[1:], phi * x[:-1], sd).sum() + seen


@pytest.fixture(scope="module")
def result():
    start = dict(mu=0.0, atanh_phi=1.0, log_sd=-0.5, log_noise=-0.5, x=np.zeros(N))
    held = dict(atanh_phi=1.1, log_noise=-0.5)
    return tg.fit(chain, start, random="x", data=dict(y=Y, keep=ONES), fixed=held)


@pytest.fixture(scope="module")
def kalman(result):
    """Predictions and their standard deviations."""
    p = result.params
    phi, sd, noise = np.tanh(p["atanh_phi"]), np.exp(p["log_sd"]), np.exp(p["log_noise"])
    mean, variance, found = 0.0, sd**2 / (1.0 - phi**2), []
    for y in Y:
        total = variance + noise**2
        found.append((p["mu"] + mean, np.sqrt(total)))
        gain = variance / total
        mean, variance = phi * (mean + gain * (y - p["mu"] - mean)), phi**2 * variance * (1.0 - gain) + sd**2
    return np.array(found).T


def test_residuals_of_linear_normal_models_are_kalman_s(result, kalman):
    mean, sd = kalman
    found = result.one_step_residuals("y")
    assert found.residuals == pytest.approx((Y - mean) / sd, rel=1e-11, abs=1e-12)
    assert found.mean == pytest.approx(mean, rel=1e-11, abs=1e-12)
    assert found.sd == pytest.approx(sd, rel=1e-11)
    assert "15 one-step-ahead residuals" in str(found)


def test_the_generic_method_integrates_the_density(result, kalman):
    mean, sd = kalman
    found = result.one_step_residuals("y", method="generic")
    assert found.residuals == pytest.approx((Y - mean) / sd, rel=1e-8, abs=1e-9)
    assert found.upto == pytest.approx(special.ndtr((Y - mean) / sd), abs=1e-9)
    assert np.array_equal(found.below, found.upto)


def test_another_order(result):
    """Backwards in time: the chain is the same both ways, and so are the predictions."""
    flipped = tg.fit(
        chain,
        {**result.params, "x": np.zeros(N)},
        random="x",
        data=dict(y=Y[::-1], keep=ONES),
        fixed=["mu", "atanh_phi", "log_noise"],
    )
    assert flipped.x == pytest.approx(result.x, rel=1e-6)
    backwards = result.one_step_residuals("y", order=np.arange(N)[::-1])
    assert backwards.residuals[::-1] == pytest.approx(flipped.one_step_residuals("y").residuals, rel=1e-5)


def test_counts_have_the_probabilities_of_the_negative_binomial_distribution():
    """Poisson counts whose rates have one gamma distributed factor: exp(u). Laplace's integral is then off by
    a factor that depends on the shape alone, and Stirling's formula tells it."""
    y, a, b = np.array([3.0, 0.0, 5.0, 1.0]), 40.0, 12.0

    def joint(c, u, y, keep):
        return (
            gamma.logpdf(np.exp(u), a, 0.0, 1.0 / b) + u + (keep * poisson.logpmf(y, np.exp(u))).sum() - c**2
        )

    start = dict(c=0.1, u=1.0)
    fitted = tg.fit(joint, start, random="u", data=dict(y=y, keep=np.ones(4)))
    found = fitted.one_step_residuals("y", method="generic", discrete=True, seed=5)

    def stirling(z):
        return special.gammaln(z) - ((z - 0.5) * np.log(z) - z + 0.5 * np.log(2.0 * np.pi))

    k = np.arange(400.0)
    for t in range(4):
        shape, rate = a + y[:t].sum(), b + t
        p = stats.nbinom.pmf(k, shape, rate / (rate + 1.0)) * np.exp(-stirling(shape + k))
        p /= p.sum()
        assert found.below[t] == pytest.approx(p[k < y[t]].sum(), rel=1e-9, abs=1e-15)
        assert found.upto[t] == pytest.approx(p[k <= y[t]].sum(), rel=1e-9)
    between = special.ndtr(found.residuals)
    assert ((found.below <= between) & (between <= found.upto)).all()


def test_models_without_random_effects():
    y = np.array([0.4, 1.7, 0.1, 0.9])

    def loglik(scale, y, keep):
        return (keep * gamma.logpdf(y, 3.0, 0.0, scale)).sum()

    fitted = tg.fit(loglik, dict(scale=1.0), data=dict(y=y, keep=np.ones(4)))
    found = fitted.one_step_residuals("y", method="generic", support=(0.0, np.inf))
    assert found.upto == pytest.approx(stats.gamma.cdf(y, 3.0, 0.0, fitted.params["scale"]), rel=1e-8)

    def waiting(scale, y, keep):  # without a peak inside
        return (keep * expon.logpdf(y, 0.0, scale)).sum()

    fitted = tg.fit(waiting, dict(scale=1.0), data=dict(y=y, keep=np.ones(4)))
    with pytest.raises(ValueError, match="has no peak that is like that of a normal distribution"):
        fitted.one_step_residuals("y")
    found = fitted.one_step_residuals("y", method="generic", support=(0.0, np.inf))
    assert found.upto == pytest.approx(-np.expm1(-y / y.mean()), rel=1e-6)

    def answers(p, y, keep):
        return (keep * bernoulli.logpmf(y, p)).sum()

    z = np.array([0.0, 1.0, 1.0, 0.0, 1.0])
    fitted = tg.fit(answers, dict(p=0.5), data=dict(y=z, keep=np.ones(5)))
    found = fitted.one_step_residuals("y", method="generic", discrete=True, support=(0.0, 1.0), seed=1)
    assert found.below == pytest.approx(np.where(z == 1.0, 0.4, 0.0), rel=1e-6)
    assert found.upto == pytest.approx(np.where(z == 1.0, 1.0, 0.4), rel=1e-6)


def test_what_cannot_be(result):
    with pytest.raises(ValueError, match="'gaussian' or 'generic', not 'cdf'"):
        result.one_step_residuals("y", method="cdf")
    with pytest.raises(ValueError, match=r"z is none of the data of the fit \(y, keep\)"):
        result.one_step_residuals("z")
    with pytest.raises(ValueError, match=r"y must be ones in the shape of keep, \(15,\)"):
        result.one_step_residuals("keep", keep="y")
    with pytest.raises(ValueError, match="order: each of the numbers from 0 to 14 once"):
        result.one_step_residuals("y", order=[0, 0])
