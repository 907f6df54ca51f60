"""Distribution functions that are integrals or sums: values against mpmath, slopes against differences."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
from mpmath import mp
from scipy import stats as scipys
from test_scipy_stats import slopes

import tapegrad as tg
from tapegrad import stats

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")


def skewnorm(z, a):
    edges = mp.linspace(z - 18, z, 19)
    return mp.quad(lambda t: 2 * mp.npdf(t) * mp.ncdf(a * t), edges)


def vonmises(x, kappa):
    if x > 0:
        return 1 - vonmises(-x, kappa)
    width = min(x + mp.pi, 60 / (1 + kappa * mp.sin(-x)) if kappa * mp.sin(-x) > 20 else 9)
    edges = mp.linspace(x - width, x, 15)
    return mp.quad(lambda t: mp.exp(kappa * mp.cos(t)), edges) / (2 * mp.pi * mp.besseli(0, kappa))


def of_masses(mass, first, last):
    """Both sums of a list of masses, from `first` on."""

    def both(k, *params):
        masses = [mass(j, *params) for j in range(first, last)]
        return mp.fsum(masses[: int(k) + 1 - first]), mp.fsum(masses[int(k) + 1 - first :])

    return both


def betabinom(j, n, a, b):
    return mp.binomial(n, j) * mp.beta(j + a, n - j + b) / mp.beta(a, b) if j <= n else 0


def hypergeom(j, M, n, N):
    return mp.binomial(n, j) * mp.binomial(M - n, N - j) / mp.binomial(M, N) if j <= N else 0


def genpoisson(j, theta, lam):
    return theta * (theta + j * lam) ** (j - 1) * mp.exp(-theta - j * lam) / mp.factorial(j)


def nbinom_mu(j, mu, n):
    return mp.rf(n, j) / mp.factorial(j) * (n / (n + mu)) ** n * (mu / (n + mu)) ** j


def cmpoisson(k, lam, nu):
    below, above = of_masses(lambda j, lam, nu: lam**j / mp.factorial(j) ** nu, 0, 300)(k, lam, nu)
    return below / (below + above), above / (below + above)


def skellam(j, mu1, mu2):
    return (
        mp.exp(-mu1 - mu2) * (mu1 / mu2) ** (mpmath.mpf(j) / 2) * mp.besseli(abs(j), 2 * mp.sqrt(mu1 * mu2))
    )


def tweedie(x, mu, phi, p):
    rate, shape = mu ** (2 - p) / phi / (2 - p), (2 - p) / (p - 1)
    total = x / (phi * (p - 1) * mu ** (p - 1))
    below, above = mp.exp(-rate), mpmath.mpf(0)
    for j in range(1, 250):
        weight = mp.exp(-rate) * rate**j / mp.factorial(j)
        below += weight * mp.gammainc(shape * j, 0, total, regularized=True)
        above += weight * mp.gammainc(shape * j, total, mp.inf, regularized=True)
    return below, above


# What gives cdf and sf, and the points: the argument, and the parameters.
CASES = {
    "skewnorm": (
        lambda z, a: (skewnorm(z, a), skewnorm(-z, -a)),
        ((-3.0, 2.0), (-0.2, 30.0), (0.0, 100.0), (0.5, 1.0), (-2.0, -3.0), (-8.0, 0.5)),
    ),
    "vonmises": (
        lambda x, k: (vonmises(x, k), vonmises(-x, k)),
        ((-3.0, 2.0), (-0.2, 30.0), (0.1, 1000.0), (0.5, 0.01), (2.0, 3.0), (-1.5, 50.0)),
    ),
    "betabinom": (of_masses(betabinom, 0, 201), ((3, 10, 2.0, 3.0), (0, 10, 0.2, 0.3), (50, 200, 20.0, 3.0))),
    "hypergeom": (of_masses(hypergeom, 0, 101), ((3, 20, 7, 12), (6, 20, 7, 12), (30, 1000, 100, 400))),
    "genpoisson": (of_masses(genpoisson, 0, 700), ((3, 2.0, 0.3), (60, 2.0, 0.3), (5, 50.0, 0.6))),
    "nbinom_mu": (of_masses(nbinom_mu, 0, 700), ((3, 2.0, 1.3), (0, 2.0, 0.7), (60, 2.0, 0.5))),
    "cmpoisson": (cmpoisson, ((3, 2.0, 1.3), (60, 2.0, 0.5), (20, 30.0, 1.2))),
    "skellam": (
        of_masses(skellam, -250, 250),
        ((-5, 3.0, 2.0), (7, 3.0, 2.0), (-60, 10.0, 40.0), (100, 30.0, 40.0)),
    ),
    "tweedie": (
        tweedie,
        ((1.0, 2.0, 1.5, 1.5), (0.0, 2.0, 1.5, 1.5), (40.0, 2.0, 1.5, 1.5), (5.0, 30.0, 0.4, 1.7)),
    ),
}
# Whole parameters have no slopes.
FIXED = {"betabinom": 1, "hypergeom": 3}


@pytest.mark.parametrize("name", CASES)
def test_both_tails_against_mpmath(name):
    # A logarithm next to 0 has the rounding of the probability 1, which is that of a sum of masses.
    both, points = CASES[name]
    for point in points:
        with mp.workdps(30 if name == "skewnorm" else 40):
            exact = both(*(mpmath.mpf(x) for x in point))
            below, above, *logs = map(float, (*exact, mp.log(exact[0]), mp.log(exact[1])))
        dist = getattr(stats, name)
        assert dist.cdf(*point) == pytest.approx(below, rel=1e-12)
        assert dist.sf(*point) == pytest.approx(above, rel=1e-12)
        assert dist.logcdf(*point) == pytest.approx(logs[0], rel=1e-12, abs=1e-13)
        assert dist.logsf(*point) == pytest.approx(logs[1], rel=1e-12, abs=1e-13)


@pytest.mark.parametrize("name", CASES)
def test_slopes_of_both_tails(name):
    dist, points = getattr(stats, name), CASES[name][1]
    x, fixed = np.array([point[0] for point in points], dtype=float), FIXED.get(name, 0)
    params = np.array([point[1:] for point in points], dtype=float)
    if fixed == params.shape[1]:
        return

    def f(v):
        moving = [*params.T[:fixed], *[params[:, fixed + i] * v[i] for i in range(params.shape[1] - fixed)]]
        return (dist.logcdf(x, *moving) + 0.3 * dist.logsf(x, *moving) + dist.cdf(x, *moving)).sum()

    at = np.ones(params.shape[1] - fixed)
    traced = tg.trace(f, at)
    expected = slopes(f, at)
    np.testing.assert_allclose(traced.grad(at), expected, rtol=1e-7)
    bend = [slopes(lambda v, i=i: traced.grad(v)[i], at) for i in range(at.size)]
    np.testing.assert_allclose(traced.hessian(at), bend, rtol=1e-6)


def test_scipy_gives_the_same_where_it_has_them():
    for name in ("skewnorm", "betabinom", "hypergeom", "skellam"):
        for point in CASES[name][1][:2]:
            expected = getattr(scipys, name).cdf(*point)
            assert getattr(stats, name).cdf(*point) == pytest.approx(expected, rel=1e-7, abs=1e-12)
    for x in (-9.0, -3.2, 0.4, 4.0, 20.0):  # full turns count
        assert stats.vonmises.cdf(x, 1.5, 0.3) == pytest.approx(scipys.vonmises.cdf(x, 1.5, 0.3), rel=1e-10)
        assert stats.vonmises.cdf(x, 1.5) + stats.vonmises.sf(x, 1.5) == pytest.approx(1.0)


def test_outside_of_the_support():
    k = np.array([-3.0, -1.0, 2.5, 11.0, np.inf, np.nan])
    for dist, params in ((stats.betabinom, (10, 2.0, 3.0)), (stats.hypergeom, (30, 10, 12))):
        np.testing.assert_array_equal(dist.cdf(k, *params)[[0, 1, 3, 4, 5]], [0, 0, 1, 1, np.nan])
        np.testing.assert_array_equal(dist.sf(k, *params)[[0, 1, 3, 4, 5]], [1, 1, 0, 0, np.nan])
        assert dist.cdf(2.5, *params) == dist.cdf(2, *params)
    for dist, params in (
        (stats.genpoisson, (2.0, 0.3)),
        (stats.cmpoisson, (2.0, 1.4)),
        (stats.nbinom_mu, (2.0, 1.4)),
    ):
        np.testing.assert_array_equal(dist.cdf(k, *params)[[0, 1, 4, 5]], [0, 0, 1, np.nan])
        np.testing.assert_array_equal(dist.sf(k, *params)[[0, 1, 4, 5]], [1, 1, 0, np.nan])
        assert np.isnan(dist.cdf(2.0, -1.0, params[1]))
    assert stats.tweedie.cdf(-1.0, 2.0, 1.0, 1.5) == 0.0
    assert stats.tweedie.cdf(np.inf, 2.0, 1.0, 1.5) == 1.0
    assert np.isnan(stats.tweedie.cdf(1.0, 2.0, 1.0, 2.5))


def test_densities_that_end_in_a_step():
    assert stats.genextreme.logpdf(3.5, 1.0, 1.5, 2.0) == -np.log(2.0)
    assert stats.genpareto.logpdf(3.5, -1.0, 1.5, 2.0) == -np.log(2.0)
    for c in (-0.5, -2.0):
        end = 2.0 / -c
        assert stats.genpareto.logpdf(end, c, 0.0, 2.0) == scipys.genpareto.logpdf(end, c, 0.0, 2.0)
    traced = tg.trace(
        lambda c, s: stats.genpareto.logpdf(np.array([0.5, 1.0]), c, 0.0, s).sum(), dict(c=0.1, s=1.3)
    )
    assert traced(dict(c=-1.0, s=1.0)) == 0.0
    assert traced.grad(dict(c=-1.0, s=1.0))["s"] == -2.0


def test_counts_given_as_data_and_longer_tails():
    traced = tg.trace(
        lambda mu, k: stats.genpoisson.logsf(k, mu, 0.5).sum(), 2.0, data={"k": np.array([1.0, 4.0])}
    )
    assert traced(150.0) == pytest.approx(
        stats.genpoisson.logsf(np.array([1.0, 4.0]), 150.0, 0.5).sum(), rel=1e-13
    )
    other = traced.with_data(k=np.array([30.0, 90.0]))
    assert other(2.0) == pytest.approx(
        stats.genpoisson.logsf(np.array([30.0, 90.0]), 2.0, 0.5).sum(), rel=1e-13
    )
