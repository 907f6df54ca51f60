"""The log-densities over the whole range of doubles, against mpmath: large counts, and the Poisson limit."""

from __future__ import annotations

import warnings
from typing import Any

import mpmath as mp
import numpy as np
import pytest

import tapegrad as tg
from benchmarks.accuracy_densities import DENSITIES, worst
from benchmarks.distributions import Density
from tapegrad import stats

MILLION = 1e6


def poisson_logpmf(k: float, mu: float) -> float:
    with mp.workdps(80):
        k, mu = mp.mpf(k), mp.mpf(mu)
        return float(k * mp.log(mu) - mu - mp.loggamma(k + 1))


def nbinom_logpmf(k: float, n: float, p: float) -> float:
    with mp.workdps(400):
        k, n, p = mp.mpf(k), mp.mpf(n), mp.mpf(p)
        coefficient = mp.loggamma(n + k) - mp.loggamma(n) - mp.loggamma(k + 1)
        return float(coefficient + n * mp.log(p) + k * mp.log1p(-p))


@pytest.mark.parametrize("density", DENSITIES, ids=lambda density: density.name)
def test_worst_errors_over_the_whole_range(density: Density) -> None:
    """A smaller version of ``python -m benchmarks --accuracy``."""
    for found in worst(density, max(20, int(300 * density.share))):
        assert found.error <= found.bound, found


# Values -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("k", "n", "p"),
    [
        (3.0, 1e15, 1e15 / (1e15 + 5)),
        (3.0, 1e10, 1e10 / (1e10 + 5)),
        (3.0, 1e12, 1e12 / (1e12 + 5)),
        (500.0, 1e13, 1e13 / (1e13 + 480.0)),
        (501.0, 1e13, 1e13 / (1e13 + 480.0)),
        (1e15, 1e15, 0.5),
        (1e15, 3e14, 0.25),
        (12.0, 1e-300, 0.3),
        (3.0, 1e300, 1.0 - 2.0**-53),
    ],
)
def test_nbinom_at_the_given_doubles(k: float, n: float, p: float) -> None:
    true = nbinom_logpmf(k, n, p)
    assert stats.nbinom.logpmf(k, n, p) == pytest.approx(true, rel=1e-12, abs=0.0)
    traced = tg.trace(lambda n, p: stats.nbinom.logpmf(k, n, p), dict(n=2.0, p=0.5))
    assert traced(dict(n=n, p=p)) == pytest.approx(true, rel=1e-12, abs=0.0)


def test_nbinom_near_its_poisson_limit_is_that_of_the_report() -> None:
    assert stats.nbinom.logpmf(3, 1e15, 1e15 / (1e15 + 5)) == pytest.approx(
        -1.96184813502954, rel=1e-13, abs=0.0
    )


@pytest.mark.parametrize("mu", [1e15, 1e15 + 3e7, 0.9e15, 1e12, 1e18])
def test_poisson_of_large_counts(mu: float) -> None:
    true = poisson_logpmf(1e15, mu)
    assert stats.poisson.logpmf(10**15, mu) == pytest.approx(true, rel=1e-14, abs=0.0)
    assert tg.trace(lambda mu: stats.poisson.logpmf(10**15, mu), 1e15)(mu) == pytest.approx(
        true, rel=1e-14, abs=0.0
    )


def test_poisson_of_a_large_count_at_its_mean_is_that_of_the_report() -> None:
    assert stats.poisson.logpmf(10**15, 1e15) == pytest.approx(-18.188326730660016, rel=1e-15, abs=0.0)


@pytest.mark.parametrize("limit", [1000.0, 500.0])
def test_both_forms_agree_where_one_takes_over(limit: float) -> None:
    below, above = np.array([0.0, 7.0, limit]), np.array([0.0, 7.0, limit, limit + 1.0])
    for function, parameters in (
        (stats.poisson.logpmf, (0.97 * limit,)),
        (stats.poisson.logpmf, (0.0,)),
        (stats.nbinom.logpmf, (3.3, 0.01)),
        (stats.nbinom.logpmf, (1e9, 1.0 - 1e-7)),
        (stats.nbinom.logpmf, (2.0, 1.0)),
    ):
        np.testing.assert_allclose(
            function(above, *parameters)[:3], function(below, *parameters), rtol=1e-12, atol=1e-12
        )


def test_large_counts_beside_what_is_no_count() -> None:
    k = np.array([-1.0, 0.5, 0.0, 1e6, np.nan])
    for value in (stats.poisson.logpmf(k, 3.0), stats.nbinom.logpmf(k, 3.0, 0.4)):
        np.testing.assert_array_equal(value[:2], -np.inf)
        assert np.isfinite(value[2:4]).all()
        assert np.isnan(value[4])
    for value in (stats.poisson.logpmf(k, -1.0), stats.nbinom.logpmf(k, 3.0, 1.1)):
        assert np.isnan(value).all()


def test_large_counts_at_the_edges_of_the_parameters() -> None:
    k = np.array([0.0, 2000.0])
    np.testing.assert_array_equal(stats.poisson.logpmf(k, 0.0), [0.0, -np.inf])
    np.testing.assert_array_equal(stats.poisson.logpmf(k, np.inf), -np.inf)
    np.testing.assert_array_equal(stats.nbinom.logpmf(k, 2.0, 1.0), [0.0, -np.inf])
    zeros = tg.trace(lambda mu: stats.poisson.logpmf(k, mu)[:1].sum(), 2.0)
    assert zeros.grad(0.0) == -1.0
    at_one = tg.trace(lambda n, p: stats.nbinom.logpmf(k, n, p)[0], dict(n=2.0, p=0.5))
    assert at_one.grad(dict(n=2.0, p=1.0)) == dict(n=0.0, p=2.0)


# Derivatives ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1e6, 1e12, 1e15, 1e18, 1e100])
def test_the_derivative_in_n_is_no_noise(n: float) -> None:
    p = float(np.clip(n / (n + 5.0), 0.0, 1.0 - 2.0**-53))
    traced = tg.trace(lambda n: stats.nbinom.logpmf(3, n, p), 2.0)
    with mp.workdps(60):
        rising = [mp.mpf(n) + j for j in range(3)]
        first = mp.fsum(1 / x for x in rising) + mp.log(mp.mpf(p))
        second = -mp.fsum(1 / x**2 for x in rising)
    assert traced.grad(n) == pytest.approx(float(first), rel=1e-14, abs=0.0)
    assert traced.hessian(n)[0, 0] == pytest.approx(float(second), rel=1e-14, abs=0.0)


@pytest.mark.parametrize("k", [4.0, 700.0, 1e12])
@pytest.mark.parametrize("n", [0.03, 5.0, 11.9, 12.1, 1e4, 1e13])
def test_third_derivatives_of_nbinom(k: float, n: float) -> None:
    p = n / (n + 0.7 * k)
    traced = tg.trace(lambda n, p: stats.nbinom.logpmf(k, n, p), dict(n=2.0, p=0.5))
    with mp.workdps(80):
        first, third = mp.mpf(n), mp.psi(2, mp.mpf(n) + mp.mpf(k)) - mp.psi(2, mp.mpf(n))
        q, p_ = 1 - mp.mpf(p), mp.mpf(p)
        in_p = 2 * first / p_**3 - 2 * mp.mpf(k) / q**3
    theta = dict(n=n, p=p)
    along_n, along_p = (traced.third(theta, dict(n=a, p=1.0 - a)) for a in (1.0, 0.0))
    assert along_n[0, 0] == pytest.approx(float(third), rel=1e-12, abs=0.0)
    assert along_n[1, 1] == pytest.approx(-1.0 / p**2, rel=1e-13, abs=0.0)
    assert along_p[1, 1] == pytest.approx(float(in_p), rel=1e-12, abs=0.0)


@pytest.mark.parametrize("k", [3.0, 2000.0, 1e15])
def test_third_derivatives_of_poisson(k: float) -> None:
    traced = tg.trace(lambda mu: stats.poisson.logpmf(k, mu), k)
    for mu in (k, 1.7 * k, 0.01 * k):
        assert traced.third(mu, 1.0)[0, 0] == pytest.approx(2.0 * k / mu**3, rel=1e-14, abs=0.0)


# Fits -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1.0, MILLION])
@pytest.mark.parametrize("seed", range(3))
def test_a_negative_binomial_fit_to_less_dispersed_counts_stays_below_the_poisson_fit(
    size: float, seed: int
) -> None:
    """The supremum of the negative binomial likelihoods of such counts is that of the Poisson likelihoods."""
    counts = np.random.default_rng(seed).binomial(10, 0.5, 200) + np.rint(size)
    mean = counts.mean()
    supremum = stats.poisson.logpmf(counts, mean).sum()

    def loglik(log_mu: Any, log_alpha: Any) -> Any:
        mu, n = np.exp(log_mu), np.exp(-log_alpha)
        return stats.nbinom.logpmf(counts, n, n / (n + mu)).sum()

    traced = tg.trace(loglik, dict(log_mu=np.log(mean), log_alpha=0.0))
    for log_alpha in np.linspace(0.0, -45.0, 91):
        assert traced.value_flat(np.array([np.log(mean), log_alpha])) <= supremum + 1e-11 * abs(supremum)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", tg.ConvergenceWarning)
        warnings.simplefilter("ignore", tg.StandardErrorWarning)
        result = tg.fit(loglik, dict(log_mu=0.0, log_alpha=0.0))
    assert result.llf <= supremum + 1e-11 * abs(supremum)


# On the tape ------------------------------------------------------------------------------------------------


def test_small_counts_keep_the_steps_of_which_a_tape_makes_most() -> None:
    counts = np.arange(20.0)
    names = {e.op.name for e in tg.trace(lambda mu: stats.poisson.logpmf(counts, mu), 2.0).tape.entries}
    assert "xlogy" in names
    assert "bd0" not in names


@pytest.mark.parametrize("mean", [5e3, 1e9, 1e15])
def test_large_counts_have_a_sufficient_statistic_that_loses_no_digits(mean: float) -> None:
    counts = np.random.default_rng(0).poisson(mean, 400).astype(float)
    traced = tg.trace(lambda mu: stats.poisson.logpmf(counts, mu).sum(), mean)
    assert all(traced.grad_tape.avals[entry.output].shape == () for entry in traced.grad_tape.entries)
    for mu in (mean, 1.001 * mean, 3.0 * mean, 0.01 * mean):
        true = sum(poisson_logpmf(k, mu) for k in counts)
        assert traced(mu) == pytest.approx(true, rel=1e-14, abs=0.0)
        assert traced.grad(mu) == pytest.approx((counts - mu).sum() / mu, rel=1e-12, abs=0.0)
        assert traced.hessian(mu)[0, 0] == pytest.approx(-counts.sum() / mu**2, rel=1e-13, abs=0.0)


def test_weighted_and_masked_large_counts() -> None:
    rng = np.random.default_rng(1)
    counts, weights, kept = rng.poisson(5e3, 60) * 1.0, rng.random(60), rng.random(60) < 0.5

    def f(mu: Any) -> Any:
        rows = stats.poisson.logpmf(counts, mu)
        return (weights * rows).sum() + np.where(kept, rows, 0.0).sum()

    traced = tg.trace(f, 5e3)
    plain = tg.trace(f, 5e3, sufficient_statistics=False, backend="replay")
    for mu in (5e3, 4.9e3, 1e2):
        assert traced(mu) == pytest.approx(plain(mu), rel=1e-13, abs=0.0)
        assert traced.grad(mu) == pytest.approx(plain.grad(mu), rel=1e-12, abs=0.0)


def test_new_data_of_another_size_take_the_other_form() -> None:
    traced = tg.trace(lambda mu, k: stats.poisson.logpmf(k, mu).sum(), 5.0, data={"k": np.array([3.0, 8.0])})
    large = traced.with_data(k=np.array([1e15, 1e15]))
    assert large(1e15) == pytest.approx(2.0 * poisson_logpmf(1e15, 1e15), rel=1e-14, abs=0.0)
    assert traced(5.0) == pytest.approx(
        poisson_logpmf(3.0, 5.0) + poisson_logpmf(8.0, 5.0), rel=1e-14, abs=0.0
    )
