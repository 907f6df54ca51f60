"""Sufficient statistics: sums over rows that are put together from sums computed once."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
from scipy import special, stats

import tapegrad as tg

RNG = np.random.default_rng(0)
N = 400
WAITS = RNG.gamma(2.0, 1.5, N)
SHARES = RNG.beta(2.0, 3.0, N)
COUNTS = RNG.poisson(3.0, N).astype(float)
NORMAL = RNG.normal(5.0, 2.0, N)


def normal(mu, log_sigma):
    z = (NORMAL - mu) / np.exp(log_sigma)
    return (-0.5 * z**2 - log_sigma - 0.5 * np.log(2.0 * np.pi)).sum()


CASES = {
    "exponential": (
        lambda log_rate: (log_rate - np.exp(log_rate) * WAITS).sum(),
        lambda log_rate: stats.expon.logpdf(WAITS, scale=np.exp(-log_rate)).sum(),
        dict(log_rate=0.3),
    ),
    "normal": (
        normal,
        lambda mu, log_sigma: stats.norm.logpdf(NORMAL, mu, np.exp(log_sigma)).sum(),
        dict(mu=4.0, log_sigma=0.4),
    ),
    "lognormal": (
        lambda mu, s: (
            -0.5 * ((np.log(WAITS) - mu) / s) ** 2 - np.log(s * WAITS * np.sqrt(2.0 * np.pi))
        ).sum(),
        lambda mu, s: stats.lognorm.logpdf(WAITS, s, scale=np.exp(mu)).sum(),
        dict(mu=0.5, s=0.8),
    ),
    "gamma": (
        lambda a, s: ((a - 1.0) * np.log(WAITS) - WAITS / s - special.gammaln(a) - a * np.log(s)).sum(),
        lambda a, s: stats.gamma.logpdf(WAITS, a, scale=s).sum(),
        dict(a=2.2, s=1.3),
    ),
    "beta": (
        lambda a, b: (
            (a - 1.0) * np.log(SHARES) + (b - 1.0) * np.log1p(-SHARES) - special.betaln(a, b)
        ).sum(),
        lambda a, b: stats.beta.logpdf(SHARES, a, b).sum(),
        dict(a=2.2, b=3.3),
    ),
    "weibull with its shape fixed": (
        lambda s: (np.log(1.5 / s) + 0.5 * (np.log(WAITS) - np.log(s)) - (1.0 / s) ** 1.5 * WAITS**1.5).sum(),
        lambda s: stats.weibull_min.logpdf(WAITS, 1.5, scale=s).sum(),
        dict(s=2.3),
    ),
    "poisson": (
        lambda log_mu: (COUNTS * log_mu - np.exp(log_mu) - special.gammaln(COUNTS + 1.0)).sum(),
        lambda log_mu: stats.poisson.logpmf(COUNTS, np.exp(log_mu)).sum(),
        dict(log_mu=1.1),
    ),
}
# A sum with log(s * WAITS) inside is no polynomial in fixed functions of the data.
KEEPS_ROWS = {"lognormal"}


def touches_rows(tape):
    return any(tape.avals[entry.output].shape != () for entry in tape.entries)


@pytest.mark.parametrize("name", CASES)
def test_value_gradient_and_hessian(name):
    f, expected, theta = CASES[name]
    tape = tg.trace(f, theta)
    assert touches_rows(tape.tape)
    assert touches_rows(tape.grad_tape) == (name in KEEPS_ROWS)
    plain = tg.trace(f, theta, sufficient_statistics=False)
    assert touches_rows(plain.grad_tape)
    assert tape(theta) == pytest.approx(expected(**theta), rel=1e-13)
    vector = tape.ravel(theta)
    np.testing.assert_allclose(
        tape.value_and_grad_flat(vector)[1], plain.value_and_grad_flat(vector)[1], rtol=1e-11, atol=1e-11
    )
    np.testing.assert_allclose(tape.hessian(theta), plain.hessian(theta), rtol=1e-11, atol=1e-9)


def test_nothing_is_lost_where_the_mean_is_large():
    x = RNG.normal(1e8, 1.0, 500)

    def f(mu, log_sigma):
        z = (x - mu) / np.exp(log_sigma)
        return (-0.5 * z**2 - log_sigma).sum()

    mu, log_sigma = 1e8 + 0.3, 0.1
    tape = tg.trace(f, dict(mu=0.0, log_sigma=0.0))
    assert not touches_rows(tape.grad_tape)
    value, gradient = tape.value_and_grad_flat(np.array([mu, log_sigma]))
    with mpmath.workdps(40):
        sigma = mpmath.exp(mpmath.mpf(log_sigma))
        z = [(mpmath.mpf(float(v)) - mpmath.mpf(mu)) / sigma for v in x]
        squares = sum(v * v for v in z)
        expected = -squares / 2 - len(z) * mpmath.mpf(log_sigma)
        slopes = [sum(z) / sigma, squares - len(z)]
    assert value == pytest.approx(float(expected), rel=1e-13)
    np.testing.assert_allclose(gradient, [float(s) for s in slopes], rtol=1e-11)


def test_the_listing_shows_what_was_summed():
    tape = tg.trace(lambda a: (a * np.sin(NORMAL) * WAITS * 1.0 + a * a * NORMAL).sum(), dict(a=1.0))
    f = tg.trace(lambda a, b: ((NORMAL - a) * (WAITS - b)).sum(), dict(a=1.0, b=2.0))
    assert tape(dict(a=2.0)) == pytest.approx((2.0 * np.sin(NORMAL) * WAITS + 4.0 * NORMAL).sum())
    assert "sum(NORMAL - mean)" in str(f.grad_tape)
    assert f(dict(a=0.5, b=0.1)) == pytest.approx(((NORMAL - 0.5) * (WAITS - 0.1)).sum())


def test_a_branch_on_a_sum_keeps_its_bits():
    def f(a):
        total = ((NORMAL - a) ** 2).sum()
        return total if total > 100.0 else -total

    tape = tg.trace(f, dict(a=1.0))
    assert touches_rows(tape.grad_tape)
    assert tape(dict(a=1.0)) == f(1.0)


def test_data_that_can_be_rebound_are_not_summed_away():
    tape = tg.trace(lambda a, y: ((y - a) ** 2).sum(), dict(a=1.0), data=dict(y=NORMAL))
    assert touches_rows(tape.grad_tape)


def test_cubes_and_functions_of_both_are_left_alone():
    for f in (lambda a: ((NORMAL - a) ** 2 * (NORMAL - a)).sum(), lambda a: np.exp(a * NORMAL).sum()):
        assert touches_rows(tg.trace(f, dict(a=0.1)).grad_tape)


def test_nan_in_the_data_stays_nan():
    holes = NORMAL.copy()
    holes[3] = np.nan
    tape = tg.trace(lambda a: ((holes - a) ** 2).sum(), dict(a=1.0))
    with pytest.warns(tg.NonFiniteWarning, match="holes holds 1 NaN"):
        assert np.isnan(tape(dict(a=0.5)))
