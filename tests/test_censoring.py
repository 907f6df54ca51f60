"""Censored, truncated, zero-inflated and hurdle distributions, against SciPy, mpmath and closed forms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mpmath as mp
import numpy as np
import pytest
import scipy.stats

from benchmarks.distributions.jets import exp, expm1, log, log1p, log_ncdf, ncdf, terms_of
from tapegrad import fit, stats, trace

INF = np.inf
LOWER = np.array([2.0, 5.0, -INF, 0.0, 1.0, -INF])
UPPER = np.array([2.0, INF, 3.0, 3.0, 2.0, INF])


def of_scipy(name: str, *parameters: float) -> np.ndarray:
    dist = getattr(scipy.stats, name)(*parameters)
    with np.errstate(all="ignore"):
        between = np.log(dist.cdf(UPPER) - dist.cdf(LOWER))
        return np.where(LOWER == UPPER, dist.logpdf(LOWER), between)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("norm", (1.3, 2.0)),
        ("weibull_min", (1.4, 0.0, 3.0)),
        ("lognorm", (0.7, 0.0, 2.1)),
        ("expon", (0.0, 2.0)),
        ("logistic", (1.3, 2.0)),
        ("gumbel_r", (1.3, 2.0)),
        ("genpareto", (0.2, 0.0, 2.0)),
        ("gamma", (2.2, 0.0, 1.3)),
        ("t", (4.0, 1.0, 2.0)),
        ("invgauss", (0.7, 0.0, 3.0)),
    ],
)
def test_all_kinds_of_rows_in_one_call(name: str, parameters: tuple[float, ...]) -> None:
    value = stats.censored(getattr(stats, name)).logpdf(LOWER, UPPER, *parameters)
    np.testing.assert_allclose(value, of_scipy(name, *parameters), rtol=1e-13, atol=1e-15)
    for i in range(LOWER.size):  # and alone
        one = stats.censored(getattr(stats, name)).logpdf(LOWER[i], UPPER[i], *parameters)
        assert one == pytest.approx(value[i], rel=1e-15, abs=1e-300)


def weibull_terms(c: Any, scale: Any) -> tuple[Any, ...]:
    def hazard(x: float) -> Any:
        return exp(c * (mp.log(x) - log(scale)))

    known = log(c) - log(scale) + (c - 1) * (mp.log(2) - log(scale)) - hazard(2.0)
    up_to = log(-expm1(-hazard(3.0)))
    between = log(exp(-hazard(1.0)) - exp(-hazard(2.0)))
    return known, -hazard(5.0), up_to, up_to, between


def normal_terms(loc: Any, scale: Any) -> tuple[Any, ...]:
    def z(x: float) -> Any:
        return (mp.mpf(x) - loc) / scale

    known = -z(2.0) * z(2.0) / 2 - log(scale) - mp.log(2 * mp.pi) / 2
    between = log(ncdf(z(3.0)) - ncdf(z(0.0))), log(ncdf(z(2.0)) - ncdf(z(1.0)))
    return known, log_ncdf(-z(5.0)), log_ncdf(z(3.0)), *between


def compare(function: Callable[..., Any], formula: Callable[..., Any], at: tuple[float, ...]) -> None:
    names = tuple(f"t{i}" for i in range(len(at)))
    with mp.workdps(600):  # far out, the terms of the intervals cancel
        terms = terms_of(formula, names, 0)(*map(mp.mpf, at))
        true = {key: float(mp.fsum(values)) for key, values in terms.items()}
    traced = trace(lambda theta: function(*theta), at)
    assert traced(at) == pytest.approx(true[()], rel=1e-12)
    gradient, hessian = traced.value_and_grad_flat(np.array(at))[1], traced.hessian_flat(np.array(at))
    for i, one in enumerate(names):
        assert gradient[i] == pytest.approx(true[one,], rel=1e-11)
        for j in range(i, len(names)):
            assert hessian[i, j] == pytest.approx(true[one, names[j]], rel=1e-10)


@pytest.mark.parametrize("at", [(1.4, 3.0), (0.6, 0.8), (3.0, 7.0)])
def test_derivatives_of_censored_weibull_rows(at: tuple[float, float]) -> None:
    censored = stats.censored(stats.weibull_min)
    compare(lambda c, scale: censored.logpdf(LOWER, UPPER, c, 0, scale).sum(), weibull_terms, at)


@pytest.mark.parametrize("at", [(1.3, 2.0), (-30.0, 1.0), (40.0, 1.5)])
def test_derivatives_of_censored_normal_rows_in_both_tails(at: tuple[float, float]) -> None:
    censored = stats.censored(stats.norm)
    compare(lambda loc, scale: censored.logpdf(LOWER, UPPER, loc, scale).sum(), normal_terms, at)


def test_bounds_may_be_data_of_a_trace() -> None:
    censored = stats.censored(stats.norm)
    traced = trace(
        lambda loc, lower, upper: censored.logpdf(lower, upper, loc, 2.0).sum(),
        0.0,
        data=dict(lower=LOWER, upper=UPPER),
    )
    plain = trace(lambda loc: censored.logpdf(LOWER, UPPER, loc, 2.0).sum(), 0.0)
    assert traced(1.3) == pytest.approx(of_scipy("norm", 1.3, 2.0).sum(), rel=1e-13)
    assert traced.grad(1.3) == pytest.approx(plain.grad(1.3), rel=1e-13)
    assert traced.hessian(1.3)[0, 0] == pytest.approx(plain.hessian(1.3)[0, 0], rel=1e-12)


def test_a_lower_bound_above_the_upper_one_is_nan() -> None:
    assert np.isnan(stats.censored(stats.norm).logpdf(2.0, 1.0))
    assert stats.censored(stats.expon).logpdf(-3.0, -2.0) == -INF


def test_an_exponential_rate_from_censored_times_is_events_by_time() -> None:
    """Freireich et al. (1963), 6-mercaptopurine: 9 relapses in 359 weeks among 21 patients."""
    weeks = [6, 6, 6, 7, 10, 13, 16, 22, 23, 6, 9, 10, 11, 17, 19, 20, 25, 32, 32, 34, 35]
    lower = np.array(weeks, dtype=float)
    upper = np.where(np.arange(21) < 9, lower, INF)
    found = fit(
        lambda log_scale: stats.censored(stats.expon).logpdf(lower, upper, 0, np.exp(log_scale)).sum(),
        dict(log_scale=1.0),
    )
    assert np.exp(-found.params["log_scale"]) == pytest.approx(9 / 359, rel=1e-9)
    assert found.bse[0] == pytest.approx(1 / 3, rel=1e-9)


# Truncated --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("low", "high"), [(-1.0, 2.0), (9.0, 10.0), (-12.0, -9.5), (2.0, INF), (-INF, 0.0)])
def test_a_truncated_normal_is_scipys(low: float, high: float) -> None:
    x = np.array([-20.0, -10.0, -0.5, 1.0, 2.5, 9.1, 9.9, 30.0])
    ours, scipys = stats.truncated(stats.norm, low, high), scipy.stats.truncnorm(low, high)
    for method in ("logpdf", "logcdf", "logsf"):
        value, expected = getattr(ours, method)(x, 0.0, 1.0), getattr(scipys, method)(x)
        np.testing.assert_allclose(value, expected, rtol=1e-11, atol=1e-13, err_msg=method)


def truncated_terms(mu: Any, sigma: Any) -> tuple[Any, ...]:
    y = (mp.log(mp.mpf("2.5")) - mu) / sigma
    above = log_ncdf(-(0 - mu) / sigma)  # more than 1
    return -y * y / 2, -log(sigma), -mp.log(mp.mpf("2.5")), -mp.log(2 * mp.pi) / 2, -above


@pytest.mark.parametrize("at", [(0.3, 0.8), (-20.0, 0.7)])
def test_derivatives_of_a_truncated_density(at: tuple[float, float]) -> None:
    above_1 = stats.truncated(stats.lognorm, low=1.0)
    compare(lambda mu, sigma: above_1.logpdf(2.5, sigma, 0, np.exp(mu)), truncated_terms, at)


def test_what_is_truncated_may_be_censored_too() -> None:
    dist = stats.censored(stats.truncated(stats.expon, low=1.0))
    # Without memory: from 1 on, time counts anew.
    np.testing.assert_allclose(
        dist.logpdf([2.0, 3.0], [2.0, INF], 0, 2.0), [-0.5 - np.log(2.0), -1.0], rtol=1e-13
    )


def test_counts_with_a_detection_limit() -> None:
    censored = stats.censored(stats.geom)
    lower, upper = np.array([-INF, 4.0, 9.0]), np.array([2.0, 4.0, INF])
    dist = scipy.stats.geom(0.3)
    expected = [dist.logcdf(2), dist.logpmf(4), dist.logsf(9)]
    np.testing.assert_allclose(censored.logpmf(lower, upper, 0.3), expected, rtol=1e-13)
    assert stats.truncated(stats.geom, low=1).logpmf(1, 0.3) == -INF
    assert stats.truncated(stats.geom, low=1).logpmf(3, 0.3) == pytest.approx(dist.logpmf(2), rel=1e-13)


# Zeros ------------------------------------------------------------------------------------------------------

KS = np.array([-1.0, 0.0, 0.5, 1.0, 4.0])


@pytest.mark.parametrize("pi", [0.0, 0.3, 1.0, -0.1])
def test_zero_inflated_and_hurdle_masses(pi: float) -> None:
    dist = scipy.stats.nbinom(2.5, 0.4)
    share = pi if pi >= 0 else np.nan
    with np.errstate(all="ignore"):
        inflated = share * (KS == 0) + (1 - share) * dist.pmf(KS)
        jumped = np.where(KS == 0, share, (1 - share) * dist.pmf(KS) / dist.sf(0))
    found = stats.zero_inflated(stats.nbinom).pmf(KS, pi, 2.5, 0.4)
    np.testing.assert_allclose(found, inflated, rtol=1e-13, atol=1e-300)
    np.testing.assert_allclose(stats.hurdle(stats.nbinom).pmf(KS, pi, 2.5, 0.4), jumped, rtol=1e-13)


def test_cumulated_zeros() -> None:
    dist = scipy.stats.geom(0.3, -1)
    for k in (-1.0, 0.0, 3.0):
        below = 0.2 * (k >= 0) + 0.8 * dist.cdf(k)
        assert np.exp(stats.zero_inflated(stats.geom).logcdf(k, 0.2, 0.3, -1)) == pytest.approx(
            below, abs=1e-15
        )
        assert np.exp(stats.zero_inflated(stats.geom).logsf(k, 0.2, 0.3, -1)) == pytest.approx(1 - below)
        jumped = 0.2 * (k >= 0) + 0.8 * max(dist.cdf(k) - 0.3, 0.0) / 0.7
        assert np.exp(stats.hurdle(stats.geom).logcdf(k, 0.2, 0.3, -1)) == pytest.approx(jumped, abs=1e-15)


def inflated_terms(pi: Any, mu: Any) -> tuple[Any, ...]:
    return log(pi + (1 - pi) * exp(-mu)), log1p(-pi), 3 * log(mu), -mu, -mp.loggamma(4)


def hurdle_terms(pi: Any, mu: Any) -> tuple[Any, ...]:
    return log(pi), log1p(-pi), 3 * log(mu), -mu, -mp.loggamma(4), -log(-expm1(-mu))


def test_derivatives_of_inflated_and_hurdle_masses() -> None:
    counts = np.array([0.0, 3.0])
    for wrapper, formula in ((stats.zero_inflated, inflated_terms), (stats.hurdle, hurdle_terms)):
        compare(lambda pi, mu, w=wrapper: w(stats.poisson).logpmf(counts, pi, mu).sum(), formula, (0.3, 2.0))
