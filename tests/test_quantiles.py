"""Quantiles: against mpmath in the tails, at the ends of the support, of counts, and of what is wrapped."""

from __future__ import annotations

import mpmath as mp
import numpy as np
import pytest
from scipy import stats as scipys

import tapegrad as tg
from benchmarks.distributions import DISTRIBUTIONS
from benchmarks.distributions.quantiles import QUANTILES, worst_quantile
from tapegrad import stats

COUNTS = {
    "poisson": ((3.3,), (1e6,), (1e-3,)),
    "nbinom": ((2.5, 0.1), (0.3, 0.6)),
    "nbinom_mu": ((5.0, 1.3),),
    "bernoulli": ((0.3,), (1.0,), (0.0,)),
    "binom": ((20, 0.3), (1000, 0.01), (20, 1.0)),
    "geom": ((0.05,), (1.0,)),
    "betabinom": ((20, 2.0, 3.0),),
    "hypergeom": ((50, 20, 12),),
    "genpoisson": ((2.0, 0.3),),
    "cmpoisson": ((5.0, 1.3),),
    "skellam": ((3.0, 4.0),),
}
INSIDE = np.array([1e-12, 0.003, 0.2, 0.51, 0.77, 0.999, 1.0 - 1e-12])
# mpmath takes a while for these: so few of the points are asked, and some by the slow tests alone.
SHARES = {"tweedie": 11, "exponnorm": 17, "invgauss": 17, "gengamma": 29}
SLOW = ("skewnorm", "vonmises")


def test_every_distribution_of_numbers_has_quantiles() -> None:
    for row in DISTRIBUTIONS:
        dist = getattr(stats, row.name)
        assert hasattr(dist, "ppf")
        assert hasattr(dist, "isf")
    assert {row.name for row in DISTRIBUTIONS} == {*QUANTILES, *COUNTS}


@pytest.mark.parametrize("name", [name for name in QUANTILES if name not in SLOW])
def test_against_mpmath(name: str) -> None:
    is_right(name, SHARES.get(name, 7))


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW)
def test_against_integrals_of_mpmath(name: str) -> None:
    is_right(name, 3)


@pytest.mark.parametrize("name", SLOW)
def test_against_the_distribution_function(name: str) -> None:
    """Which test_more_cdfs.py compares with mpmath."""
    dist, q = getattr(stats, name), np.array([0.02, 0.3, 0.499, 0.7, 0.99])
    q = np.append(q, [1e-200, 1e-9]) if name == "skewnorm" else q  # other angles are next to half a turn
    for shape in (0.3, 5.0, 200.0):
        np.testing.assert_allclose(dist.cdf(dist.ppf(q, shape), shape), q, rtol=3e-13 if shape < 9 else 1e-11)
        np.testing.assert_allclose(dist.sf(dist.isf(q, shape), shape), q, rtol=3e-13 if shape < 9 else 1e-11)


def is_right(name: str, share: int) -> None:
    rows = worst_quantile(name, share)
    assert {row.what for row in rows} >= {"value", "d/dq"}
    assert not [row for row in rows if not row.error <= row.bound]


@pytest.mark.parametrize("name", COUNTS)
def test_counts_are_the_smallest_that_are_enough(name: str) -> None:
    dist, first = getattr(stats, name), 1.0 if name == "geom" else 0.0
    for params in COUNTS[name]:
        for f, tail, grows in ((dist.ppf, dist.cdf, True), (dist.isf, dist.sf, False)):
            k = f(INSIDE, *params)
            here, before = tail(k, *params), tail(k - 1.0, *params)
            assert np.all(here >= INSIDE if grows else here <= INSIDE)
            assert np.all(before < INSIDE if grows else before > INSIDE)
            ends = f([0.0, 1.0, -0.1, 1.1, np.nan], *params)
            assert np.isnan(ends[2:]).all()
            if name != "skellam":
                assert ends[0 if grows else 1] == first - 1.0
        k = np.unique(dist.ppf(np.linspace(0.01, 0.99, 23), *params))
        k = k[dist.cdf(k, *params) < 1.0]  # beyond, the quantile of 1 is meant
        np.testing.assert_array_equal(dist.ppf(dist.cdf(k, *params), *params), k)
        np.testing.assert_array_equal(dist.isf(dist.sf(k, *params), *params), k)


def test_counts_in_a_tail_that_is_next_to_nothing() -> None:
    for q in (1e-30, 1e-200):
        k = int(stats.poisson.isf(q, 2.0))
        with mp.workdps(60):
            above = [mp.gammainc(j + 1, 0, 2, regularized=True) for j in (k, k - 1)]
        assert above[0] <= q < above[1]


def test_a_quantile_of_counts_cannot_be_traced() -> None:
    for f in (
        lambda mu: stats.poisson.ppf(0.3, mu),
        lambda q: stats.binom.isf(q / 9.0, 20, 0.3),
        lambda pi: stats.zero_inflated(stats.poisson).ppf(0.3, pi / 9.0, 2.0),
    ):
        with pytest.raises(tg.TraceError, match=r"is a count at .*test_quantiles.*constant between steps"):
            tg.trace(f, 2.0)
    # of plain numbers it is one
    assert tg.trace(lambda a: a * stats.poisson.ppf(0.3, 2.0), 2.0)(3.0) == 3.0


@pytest.mark.parametrize(
    "name", [row.name for row in DISTRIBUTIONS if row.name in QUANTILES and row.scipys is None]
)
def test_the_ends_are_those_of_the_support(name: str) -> None:
    row = next(row for row in DISTRIBUTIONS if row.name == name)
    fixed = dict(zip(QUANTILES[name].names.split(), QUANTILES[name].at[0], strict=True))
    ours, theirs = getattr(stats, name), getattr(scipys, name)
    low, high = theirs.support(**fixed)
    np.testing.assert_allclose(ours.ppf([0.0, 1.0], **fixed), [low, high], rtol=1e-15)
    np.testing.assert_allclose(ours.isf([1.0, 0.0], **fixed), [low, high], rtol=1e-15)
    for q in (-1e-9, 1.0 + 1e-9, np.nan):
        assert np.isnan(ours.ppf(q, **fixed))
        assert np.isnan(ours.isf(q, **fixed))
    if "scale" in row.grid:
        for scale in (0.0, -1.0, np.nan):
            assert np.isnan(ours.ppf(0.3, **{**fixed, "scale": scale}))


def test_second_derivatives_are_those_of_the_inverse_function() -> None:
    """By the derivatives of the density: ``x'' = -f'(x) / f(x)**3``."""
    for name, params in (
        ("gamma", (2.5,)),
        ("beta", (0.7, 3.0)),
        ("t", (3.0,)),
        ("skewnorm", (2.0,)),
        ("exponnorm", (1.5,)),
        ("invgauss", (0.7,)),
        ("vonmises", (2.0,)),
        ("genextreme", (0.2,)),
        ("f", (3.0, 5.0)),
        ("truncnorm", (-1.0, 2.0)),
    ):
        dist = getattr(stats, name)
        for q in (0.03, 0.3, 0.8):
            traced = tg.trace(lambda q, dist=dist, params=params: dist.ppf(q, *params), q)
            x = traced(q)
            density = tg.trace(lambda x, dist=dist, params=params: dist.pdf(x, *params), x)
            expected = -density.grad(x) / density(x) ** 3
            assert traced.hessian(q)[0, 0] == pytest.approx(expected, rel=1e-10)


def test_the_median_of_a_symmetric_distribution_does_not_move() -> None:
    for name, params in (("t", (3.0,)), ("vonmises", (2.0,)), ("skewnorm", (0.0,)), ("cauchy", ())):
        traced = tg.trace(lambda p, name=name: getattr(stats, name).ppf(0.5, *p), params or (1.0,))
        assert traced(params or (1.0,)) == pytest.approx(0.0 if params else 1.0, abs=1e-15)
    traced = tg.trace(lambda df: stats.t.ppf(0.5, df), 3.0)
    assert traced.grad(3.0) == 0.0


def test_ends_do_not_move_with_a_shape() -> None:
    traced = tg.trace(lambda a: stats.gamma.ppf(np.array([0.0, 0.5]), a).sum(), 2.0)
    alone = tg.trace(lambda a: stats.gamma.ppf(0.5, a), 2.0)
    assert traced.grad(2.0) == pytest.approx(alone.grad(2.0), rel=1e-14)


def test_truncated_quantiles() -> None:
    q = np.array([0.0, 1e-9, 0.2, 0.7, 1.0 - 1e-9, 1.0])
    for low, high in ((1.0, 4.0), (30.0, np.inf), (-np.inf, 0.1)):
        truncated = stats.truncated(stats.gamma, low, high)
        for f, log in ((truncated.ppf, truncated.logcdf), (truncated.isf, truncated.logsf)):
            x = f(q, a=2.0)
            np.testing.assert_allclose(np.exp(log(x, a=2.0)), q, rtol=1e-5, atol=1e-12)
    np.testing.assert_allclose(
        stats.truncated(stats.norm, -1.0, 2.0).ppf(q), stats.truncnorm.ppf(q, -1.0, 2.0), rtol=1e-12
    )
    counts = stats.truncated(stats.poisson, low=0, high=9)
    k = np.arange(1.0, 10.0)
    np.testing.assert_array_equal(counts.ppf(np.exp(counts.logcdf(k, mu=2.0)), mu=2.0), k)
    np.testing.assert_array_equal(counts.ppf([0.0, 1.0], 2.0), [0.0, 9.0])


@pytest.mark.parametrize("wrap", [stats.zero_inflated, stats.hurdle])
def test_quantiles_with_more_zeros(wrap) -> None:  # type: ignore[no-untyped-def]
    dist, k = wrap(stats.poisson), np.arange(9.0)
    np.testing.assert_array_equal(dist.ppf(dist.cdf(k, 0.3, 2.0), pi=0.3, mu=2.0), k)
    np.testing.assert_array_equal(dist.isf(dist.sf(k, 0.3, 2.0), 0.3, mu=2.0), k)
    np.testing.assert_array_equal(dist.ppf([0.0, 0.1, 0.29, 1.0], 0.3, 2.0), [-1.0, 0.0, 0.0, np.inf])


def test_a_fit_through_a_quantile() -> None:
    """The scale of a gamma distribution by its 90 % point, as in a bound on a risk."""
    y = scipys.gamma.ppf(np.linspace(0.05, 0.95, 19), 2.0, scale=3.0)

    def loglik(log_a, log_q):
        a = np.exp(log_a)
        return stats.gamma.logpdf(y, a, 0.0, np.exp(log_q) / stats.gamma.ppf(0.9, a)).sum()

    fit = tg.fit(loglik, dict(log_a=0.0, log_q=2.0))
    plain = tg.fit(
        lambda log_a, log_s: stats.gamma.logpdf(y, np.exp(log_a), 0.0, np.exp(log_s)).sum(),
        dict(log_a=0.0, log_s=0.0),
    )
    at = np.exp(plain.params["log_a"])
    point = scipys.gamma.ppf(0.9, at, scale=np.exp(plain.params["log_s"]))
    assert np.exp(fit.params["log_q"]) == pytest.approx(point, rel=1e-7)
    assert fit.llf == pytest.approx(plain.llf, rel=1e-12)
