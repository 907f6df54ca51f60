"""Sufficient statistics: sums over rows that are put together from a few rows in the place of all."""

from __future__ import annotations

import tracemalloc
import warnings
from fractions import Fraction
from typing import Any

import mpmath
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import special, stats

import tapegrad as tg
from tapegrad.passes import dce, simplify, statistics
from tapegrad.passes.statistics.compression import BLOCK, compress, fitted, together
from tapegrad.stats import bernoulli, expon, nbinom, norm, poisson
from tapegrad.tape.tape import OperandNames

RNG = np.random.default_rng(0)
N = 400
WAITS = RNG.gamma(2.0, 1.5, N)
SHARES = RNG.beta(2.0, 3.0, N)
COUNTS = RNG.poisson(3.0, N).astype(float)
NORMAL = RNG.normal(5.0, 2.0, N)
BITS = (RNG.random(N) < 0.3).astype(float)
EVENT = RNG.random(N) < 0.6
WEIGHTS = np.where(RNG.random(N) < 0.2, 0.0, RNG.random(N))
ERRORS = RNG.random(N) + 0.5
GROUP = RNG.integers(0, 4, N)
X = RNG.normal(size=(N, 3)) + 4.0
X1, X2 = RNG.normal(size=(2, N))
BETA = np.array([0.1, -0.2, 0.3])
FEW = 50


def largest(tape: tg.Tape) -> int:
    """The size of the largest array that a tape computes."""
    sizes = [int(np.prod(tape.avals[entry.output].shape)) for entry in tape.entries]
    return max(sizes, default=0)


def touches_rows(traced: tg.TracedFunction) -> bool:
    return largest(traced.grad_tape) > FEW


def plain(f: Any, params: Any) -> tg.TracedFunction:
    """The same function without the pass."""
    return tg.trace(f, params, sufficient_statistics=False, backend="replay")


def agree(traced: tg.TracedFunction, reference: tg.TracedFunction, vector: Any, rtol: float = 1e-12) -> None:
    """Value, gradient and Hessian, each next to the largest number in it."""
    value, gradient = traced.value_and_grad_flat(vector)
    expected, slope = reference.value_and_grad_flat(vector)
    assert value == pytest.approx(expected, rel=rtol, abs=rtol)
    np.testing.assert_allclose(gradient, slope, rtol=rtol, atol=rtol * (1.0 + np.abs(slope).max()))
    hessian, curvature = traced.hessian(vector), reference.hessian(vector)
    np.testing.assert_allclose(hessian, curvature, rtol=rtol, atol=rtol * (1.0 + np.abs(curvature).max()))


# The families -----------------------------------------------------------------------------------------------

FAMILIES: dict[str, tuple[Any, dict[str, Any], Any]] = {
    "exponential": (
        lambda log_rate: (log_rate - np.exp(log_rate) * WAITS).sum(),
        dict(log_rate=0.3),
        lambda log_rate: stats.expon.logpdf(WAITS, scale=np.exp(-log_rate)).sum(),
    ),
    "exponential, stats": (
        lambda scale: expon.logpdf(WAITS, scale=scale).sum(),
        dict(scale=2.0),
        lambda scale: stats.expon.logpdf(WAITS, scale=scale).sum(),
    ),
    "exponential, with its support": (
        lambda scale: np.where(WAITS >= 0.0, -WAITS / scale - np.log(scale), -np.inf).sum(),
        dict(scale=2.0),
        lambda scale: stats.expon.logpdf(WAITS, scale=scale).sum(),
    ),
    "normal": (
        lambda mu, log_sigma: (
            -0.5 * ((NORMAL - mu) / np.exp(log_sigma)) ** 2 - log_sigma - 0.5 * np.log(2.0 * np.pi)
        ).sum(),
        dict(mu=4.0, log_sigma=0.4),
        lambda mu, log_sigma: stats.norm.logpdf(NORMAL, mu, np.exp(log_sigma)).sum(),
    ),
    "normal, stats": (
        lambda mu, sigma: norm.logpdf(NORMAL, mu, sigma).sum(),
        dict(mu=4.0, sigma=1.5),
        lambda mu, sigma: stats.norm.logpdf(NORMAL, mu, sigma).sum(),
    ),
    "normal, gated by its parameter": (
        lambda mu, sigma: np.where(sigma > 0.0, norm.logpdf(NORMAL, mu, sigma), -np.inf).sum(),
        dict(mu=4.0, sigma=1.5),
        lambda mu, sigma: stats.norm.logpdf(NORMAL, mu, sigma).sum(),
    ),
    "normal, as a mean": (
        lambda mu, sigma: N * norm.logpdf(NORMAL.reshape(20, -1), mu, sigma).mean(),
        dict(mu=4.0, sigma=1.5),
        lambda mu, sigma: stats.norm.logpdf(NORMAL, mu, sigma).sum(),
    ),
    "normal, by a dot product": (
        lambda mu, sigma: -0.5 * ((NORMAL - mu) / sigma) @ ((NORMAL - mu) / sigma) - N * np.log(sigma),
        dict(mu=4.0, sigma=1.5),
        lambda mu, sigma: stats.norm.logpdf(NORMAL, mu, sigma).sum() + 0.5 * N * np.log(2.0 * np.pi),
    ),
    "normal, by a norm": (
        lambda mu, sigma: -0.5 * (np.linalg.norm(NORMAL - mu) / sigma) ** 2 - N * np.log(sigma),
        dict(mu=4.0, sigma=1.5),
        lambda mu, sigma: stats.norm.logpdf(NORMAL, mu, sigma).sum() + 0.5 * N * np.log(2.0 * np.pi),
    ),
    "lognormal": (
        lambda mu, s: (
            -0.5 * ((np.log(WAITS) - mu) / s) ** 2 - np.log(s * WAITS * np.sqrt(2.0 * np.pi))
        ).sum(),
        dict(mu=0.5, s=0.8),
        lambda mu, s: stats.lognorm.logpdf(WAITS, s, scale=np.exp(mu)).sum(),
    ),
    "lognormal, stats": (
        lambda mu, s: (norm.logpdf(np.log(WAITS), mu, s) - np.log(WAITS)).sum(),
        dict(mu=0.5, s=0.8),
        lambda mu, s: stats.lognorm.logpdf(WAITS, s, scale=np.exp(mu)).sum(),
    ),
    "gamma": (
        lambda a, s: ((a - 1.0) * np.log(WAITS / s) - WAITS / s - special.gammaln(a) - np.log(s)).sum(),
        dict(a=2.2, s=1.3),
        lambda a, s: stats.gamma.logpdf(WAITS, a, scale=s).sum(),
    ),
    "gamma, by xlogy": (
        lambda a, s: (special.xlogy(a - 1.0, WAITS) - WAITS / s - special.gammaln(a) - a * np.log(s)).sum(),
        dict(a=2.2, s=1.3),
        lambda a, s: stats.gamma.logpdf(WAITS, a, scale=s).sum(),
    ),
    "beta": (
        lambda a, b: (
            (a - 1.0) * np.log(SHARES) + (b - 1.0) * np.log1p(-SHARES) - special.betaln(a, b)
        ).sum(),
        dict(a=2.2, b=3.3),
        lambda a, b: stats.beta.logpdf(SHARES, a, b).sum(),
    ),
    "beta, by xlogy": (
        lambda a, b: (
            special.xlogy(a - 1.0, SHARES) + special.xlog1py(b - 1.0, -SHARES) - special.betaln(a, b)
        ).sum(),
        dict(a=2.2, b=3.3),
        lambda a, b: stats.beta.logpdf(SHARES, a, b).sum(),
    ),
    "weibull with its shape fixed": (
        lambda s: (np.log(1.5 / s) + 0.5 * np.log(WAITS / s) - (WAITS / s) ** 1.5).sum(),
        dict(s=2.3),
        lambda s: stats.weibull_min.logpdf(WAITS, 1.5, scale=s).sum(),
    ),
    "inverse gaussian": (
        lambda m, s: (
            0.5 * np.log(s / (2.0 * np.pi * WAITS**3)) - s * (WAITS - m) ** 2 / (2.0 * m**2 * WAITS)
        ).sum(),
        dict(m=2.3, s=1.1),
        lambda m, s: stats.invgauss.logpdf(WAITS, m / s, scale=s).sum(),
    ),
    "inverse gamma": (
        lambda a, b: (a * np.log(b) - special.gammaln(a) - (a + 1.0) * np.log(WAITS) - b / WAITS).sum(),
        dict(a=2.3, b=1.1),
        lambda a, b: stats.invgamma.logpdf(WAITS, a, scale=b).sum(),
    ),
    "poisson": (
        lambda log_mu: (COUNTS * log_mu - np.exp(log_mu) - special.gammaln(COUNTS + 1.0)).sum(),
        dict(log_mu=1.1),
        lambda log_mu: stats.poisson.logpmf(COUNTS, np.exp(log_mu)).sum(),
    ),
    "poisson, stats": (
        lambda mu: poisson.logpmf(COUNTS, mu).sum(),
        dict(mu=2.5),
        lambda mu: stats.poisson.logpmf(COUNTS, mu).sum(),
    ),
    "poisson, with its support": (
        lambda mu: np.where(
            COUNTS >= 0.0, special.xlogy(COUNTS, mu) - mu - special.gammaln(COUNTS + 1.0), -np.inf
        ).sum(),
        dict(mu=2.5),
        lambda mu: stats.poisson.logpmf(COUNTS, mu).sum(),
    ),
    "bernoulli": (
        lambda p: (BITS * np.log(p) + (1.0 - BITS) * np.log1p(-p)).sum(),
        dict(p=0.4),
        lambda p: stats.bernoulli.logpmf(BITS, p).sum(),
    ),
    "bernoulli, stats": (
        lambda p: bernoulli.logpmf(BITS, p).sum(),
        dict(p=0.4),
        lambda p: stats.bernoulli.logpmf(BITS, p).sum(),
    ),
    "negative binomial with its size fixed": (
        lambda p: nbinom.logpmf(COUNTS, 3.5, p).sum(),
        dict(p=0.4),
        lambda p: stats.nbinom.logpmf(COUNTS, 3.5, p).sum(),
    ),
    "censored exponential": (
        lambda rate: np.where(EVENT, np.log(rate) - rate * WAITS, -rate * WAITS).sum(),
        dict(rate=0.4),
        lambda rate: np.where(
            EVENT, stats.expon.logpdf(WAITS, scale=1.0 / rate), stats.expon.logsf(WAITS, scale=1.0 / rate)
        ).sum(),
    ),
    "censored exponential, stats": (
        lambda scale: (
            expon.logpdf(WAITS, scale=scale)[EVENT].sum() + expon.logsf(WAITS[~EVENT], scale=scale).sum()
        ),
        dict(scale=2.1),
        lambda scale: np.where(
            EVENT, stats.expon.logpdf(WAITS, scale=scale), stats.expon.logsf(WAITS, scale=scale)
        ).sum(),
    ),
    "two groups": (
        lambda a, b, s, t: norm.logpdf(NORMAL, np.where(EVENT, a, b), np.where(BITS == 1.0, s, t)).sum(),
        dict(a=4.0, b=5.0, s=1.2, t=1.4),
        lambda a, b, s, t: stats.norm.logpdf(
            NORMAL, np.where(EVENT, a, b), np.where(BITS == 1.0, s, t)
        ).sum(),
    ),
    "a factor": (
        lambda mu, s: norm.logpdf(NORMAL, mu[GROUP], s).sum(),
        dict(mu=np.linspace(3.0, 5.0, 4), s=1.5),
        lambda mu, s: stats.norm.logpdf(NORMAL, mu[GROUP], s).sum(),
    ),
    "a factor and a design": (
        lambda mu, b, s: norm.logpdf(NORMAL, mu[GROUP] + X @ b, s).sum(),
        dict(mu=np.linspace(3.0, 5.0, 4), b=BETA, s=1.5),
        lambda mu, b, s: stats.norm.logpdf(NORMAL, mu[GROUP] + X @ b, s).sum(),
    ),
    "exponential with a factor": (
        lambda log_rate: (log_rate[GROUP - 4] - np.exp(log_rate)[GROUP - 4] * WAITS).sum(),
        dict(log_rate=np.linspace(-0.3, 0.5, 4)),
        lambda log_rate: stats.expon.logpdf(WAITS, scale=np.exp(-log_rate)[GROUP]).sum(),
    ),
    "weights": (
        lambda mu, s: (WEIGHTS * norm.logpdf(NORMAL, mu, s)).sum(),
        dict(mu=4.0, s=1.5),
        lambda mu, s: WEIGHTS @ stats.norm.logpdf(NORMAL, mu, s),
    ),
    "weights that leave rows out": (
        lambda mu, s: np.where(WEIGHTS > 0.0, WEIGHTS * norm.logpdf(NORMAL, mu, s), 0.0).sum(),
        dict(mu=4.0, s=1.5),
        lambda mu, s: WEIGHTS @ stats.norm.logpdf(NORMAL, mu, s),
    ),
    "known errors": (
        lambda mu, s: norm.logpdf(NORMAL, mu, s * ERRORS).sum(),
        dict(mu=4.0, s=1.5),
        lambda mu, s: stats.norm.logpdf(NORMAL, mu, s * ERRORS).sum(),
    ),
    "autoregression": (
        lambda mu, phi, s: norm.logpdf((NORMAL - mu)[1:], phi * (NORMAL - mu)[:-1], s).sum(),
        dict(mu=4.0, phi=0.3, s=1.5),
        lambda mu, phi, s: stats.norm.logpdf(NORMAL[1:], mu + phi * (NORMAL[:-1] - mu), s).sum(),
    ),
    "regression on columns": (
        lambda a, b, c, s: norm.logpdf(NORMAL, a + b * X1 + c * X2, s).sum(),
        dict(a=4.0, b=0.2, c=0.3, s=1.5),
        lambda a, b, c, s: stats.norm.logpdf(NORMAL, a + b * X1 + c * X2, s).sum(),
    ),
    "regression on many columns": (
        lambda b, s: norm.logpdf(NORMAL, sum(b[i] * np.roll(X1, i) for i in range(12)), s).sum(),
        dict(b=np.linspace(-0.2, 0.5, 12), s=1.5),
        lambda b, s: stats.norm.logpdf(NORMAL, sum(b[i] * np.roll(X1, i) for i in range(12)), s).sum(),
    ),
    "least squares": (
        lambda b, log_s: norm.logpdf(NORMAL, X @ b, np.exp(log_s)).sum(),
        dict(b=BETA, log_s=0.3),
        lambda b, log_s: stats.norm.logpdf(NORMAL, X @ b, np.exp(log_s)).sum(),
    ),
    "least squares with an intercept and a column": (
        lambda a, b, c, s: norm.logpdf(NORMAL, a + X @ b + c * X2, s).sum(),
        dict(a=1.0, b=BETA, c=0.3, s=1.5),
        lambda a, b, c, s: stats.norm.logpdf(NORMAL, a + X @ b + c * X2, s).sum(),
    ),
    "least squares with two matrices": (
        lambda b, c, s: norm.logpdf(NORMAL, X @ b + X[:, :2] ** 2 @ c, s).sum(),
        dict(b=BETA, c=BETA[:2] / 10.0, s=1.5),
        lambda b, c, s: stats.norm.logpdf(NORMAL, X @ b + X[:, :2] ** 2 @ c, s).sum(),
    ),
    "least squares with rows on the right": (
        lambda b, s: norm.logpdf(NORMAL, b @ X.T, s).sum(),
        dict(b=BETA, s=1.5),
        lambda b, s: stats.norm.logpdf(NORMAL, X @ b, s).sum(),
    ),
    "least squares with columns": (
        lambda b, s: norm.logpdf(NORMAL[:, None], X @ b[:, None], s).sum(),
        dict(b=BETA, s=1.5),
        lambda b, s: stats.norm.logpdf(NORMAL, X @ b, s).sum(),
    ),
    "least squares by a sum along the axis": (
        lambda b, s: norm.logpdf(NORMAL, (X * b).sum(axis=1), s).sum(),
        dict(b=BETA, s=1.5),
        lambda b, s: stats.norm.logpdf(NORMAL, X @ b, s).sum(),
    ),
    "weighted least squares": (
        lambda b: -0.5 * (WEIGHTS * (NORMAL - X @ b) ** 2).sum(),
        dict(b=BETA),
        lambda b: -0.5 * WEIGHTS @ (NORMAL - X @ b) ** 2,
    ),
    "least squares in one of two groups": (
        lambda a, b, s: norm.logpdf(NORMAL, np.where(EVENT, X @ b, a), s).sum(),
        dict(a=4.0, b=BETA, s=1.5),
        lambda a, b, s: stats.norm.logpdf(NORMAL, np.where(EVENT, X @ b, a), s).sum(),
    ),
}


@pytest.mark.parametrize("name", FAMILIES)
def test_value_gradient_and_hessian_without_the_data(name: str) -> None:
    f, params, oracle = FAMILIES[name]
    traced, reference = tg.trace(f, params), plain(f, params)
    assert not touches_rows(traced)
    assert largest(reference.grad_tape) >= 100
    assert traced(params) == pytest.approx(oracle(**params), rel=1e-12)
    vector = traced.ravel(params)
    for factor in (1.0, 0.9, 1.9, 0.05):
        agree(traced, reference, factor * vector, rtol=1e-11)
    assert largest(traced.hessian_tape) <= max(FEW, vector.size**2)


@pytest.mark.parametrize("name", ["poisson, stats", "poisson", "bernoulli, stats", "exponential, stats"])
def test_edges_are_what_the_plain_function_says(name: str) -> None:
    f, params, _ = FAMILIES[name]
    traced, reference = tg.trace(f, params), plain(f, params)
    for edge in (0.0, -0.0, 1.0, -1.0, 1e-300, 1e300, 800.0, -800.0, np.inf, -np.inf, np.nan):
        value, gradient = traced.value_and_grad_flat(np.array([edge]))
        expected, slope = reference.value_and_grad_flat(np.array([edge]))
        assert value == pytest.approx(expected, rel=1e-13, nan_ok=True)
        assert gradient == pytest.approx(slope, rel=1e-13, nan_ok=True)


@pytest.mark.parametrize("counts", [np.zeros(5), np.array([0.0, 2.0, 1.0]), np.array([3.0, 2.0, 1.0])])
@pytest.mark.parametrize("mu", [0.0, 1.5, np.inf, np.nan, -1.0])
def test_no_count_meets_the_logarithm_of_zero(counts: Any, mu: float) -> None:
    for f in (
        lambda mu: special.xlogy(counts, mu).sum(),
        lambda mu: special.xlog1py(counts, mu - 1.0).sum(),
        lambda mu: (counts * np.log(mu) - mu).sum(),
        lambda mu: poisson.logpmf(counts, mu).sum(),
        lambda mu: np.where(counts > 0.0, special.xlogy(counts, mu), mu).sum(),
        lambda mu: np.where(counts == 2.0, np.log(mu), special.xlogy(counts, mu)).sum(),
    ):
        traced, reference = tg.trace(f, 2.0), plain(f, 2.0)
        assert largest(traced.grad_tape) <= 1
        value, gradient = traced.value_and_grad_flat(np.array([mu]))
        expected, slope = reference.value_and_grad_flat(np.array([mu]))
        assert value == pytest.approx(expected, rel=1e-13, nan_ok=True)
        assert gradient == pytest.approx(slope, rel=1e-13, nan_ok=True)


def test_infinity_times_mixed_signs_is_nan() -> None:
    for data, expected in ((WAITS, np.inf), (-WAITS, -np.inf), (COUNTS, np.nan), (X1, np.nan)):
        traced = tg.trace(lambda a, data=data: (a * data + 1.0).sum(), 1.0)
        assert not touches_rows(traced)
        value = traced.value_flat(np.array([np.inf]))
        assert value == pytest.approx(expected, nan_ok=True)
        with np.errstate(invalid="ignore"):
            assert value == pytest.approx((np.inf * data + 1.0).sum(), nan_ok=True)


def test_rows_outside_the_support_have_no_density() -> None:
    y = np.array([1.0, 2.0, -1.0, 3.0])
    traced = tg.trace(lambda s: np.where(y >= 0.0, -y / s - np.log(s), -np.inf).sum(), 2.0)
    assert largest(traced.grad_tape) <= 1
    value, gradient = traced.value_and_grad_flat(np.array([1.5]))
    assert value == -np.inf
    assert gradient == pytest.approx(6.0 / 1.5**2 - 3.0 / 1.5, rel=1e-14)


def test_what_a_mask_leaves_out_may_be_nan() -> None:
    holes = NORMAL.copy()
    holes[::7] = np.nan

    def f(mu: Any, s: Any) -> Any:
        return np.where(np.isnan(holes), 0.0, norm.logpdf(holes, mu, s)).sum()

    traced = tg.trace(f, dict(mu=4.0, s=1.5))
    assert not touches_rows(traced)
    value, gradient = traced.value_and_grad_flat(np.array([4.5, 1.2]))
    assert value == pytest.approx(stats.norm.logpdf(holes[~np.isnan(holes)], 4.5, 1.2).sum(), rel=1e-13)
    assert np.isfinite(gradient).all()


# Digits -----------------------------------------------------------------------------------------------------


def test_nothing_is_lost_where_the_mean_is_large() -> None:
    x = RNG.normal(1e8, 1.0, 500)
    mu, log_sigma = 1e8 + 0.3, 0.1
    for f in (
        lambda mu, log_sigma: (-0.5 * ((x - mu) / np.exp(log_sigma)) ** 2 - log_sigma).sum(),
        lambda mu, log_sigma: norm.logpdf(x, mu, np.exp(log_sigma)).sum() + 250.0 * np.log(2.0 * np.pi),
    ):
        traced = tg.trace(f, dict(mu=0.0, log_sigma=0.0))
        assert not touches_rows(traced)
        value, gradient = traced.value_and_grad_flat(np.array([mu, log_sigma]))
        with mpmath.workdps(40):
            sigma = mpmath.exp(mpmath.mpf(log_sigma))
            z = [(mpmath.mpf(float(v)) - mpmath.mpf(mu)) / sigma for v in x]
            squares = sum(v * v for v in z)
            expected = -squares / 2 - len(z) * mpmath.mpf(log_sigma)
            slopes = [sum(z) / sigma, squares - len(z)]
        assert value == pytest.approx(float(expected), rel=1e-13)
        np.testing.assert_allclose(gradient, [float(s) for s in slopes], rtol=1e-12)


def test_two_groups_far_apart_keep_their_digits() -> None:
    x = RNG.normal(0.0, 1.0, 200) + np.where(EVENT[:200], 1e8, 0.0)
    traced = tg.trace(lambda a, b: ((x - np.where(EVENT[:200], a, b)) ** 2).sum(), dict(a=1.0, b=1.0))
    assert not touches_rows(traced)
    value, gradient = traced.value_and_grad_flat(np.array([1e8 + 0.25, 0.125]))
    residuals = x - np.where(EVENT[:200], 1e8 + 0.25, 0.125)
    assert value == pytest.approx(residuals @ residuals, rel=1e-14)
    expected = [-2.0 * residuals[EVENT[:200]].sum(), -2.0 * residuals[~EVENT[:200]].sum()]
    np.testing.assert_allclose(gradient, expected, rtol=1e-13)


# NIST Statistical Reference Datasets, linear regression: Filip, a polynomial of degree 10 (public domain).
FILIP = """
0.8116 -6.860120914 0.9072 -4.324130045 0.9052 -4.358625055 0.9039 -4.358426747 0.8053 -6.955852379
0.8377 -6.661145254 0.8667 -6.355462942 0.8809 -6.118102026 0.7975 -7.115148017 0.8162 -6.815308569
0.8515 -6.519993057 0.8766 -6.204119983 0.8885 -5.853871964 0.8859 -6.109523091 0.8959 -5.79832982
0.8913 -5.482672118 0.8959 -5.171791386 0.8971 -4.851705903 0.9021 -4.517126416 0.909 -4.143573228
0.9139 -3.709075441 0.9199 -3.499489089 0.8692 -6.300769497 0.8872 -5.953504836 0.89 -5.642065153
0.891 -5.031376979 0.8977 -4.680685696 0.9035 -4.329846955 0.9078 -3.928486195 0.7675 -8.56735134
0.7705 -8.363211311 0.7713 -8.107682739 0.7736 -7.823908741 0.7775 -7.522878745 0.7841 -7.218819279
0.7971 -6.920818754 0.8329 -6.628932138 0.8641 -6.323946875 0.8804 -5.991399828 0.7668 -8.781464495
0.7633 -8.663140179 0.7678 -8.473531488 0.7697 -8.247337057 0.77 -7.971428747 0.7749 -7.676129393
0.7796 -7.352812702 0.7897 -7.072065318 0.8131 -6.774174009 0.8498 -6.478861916 0.8741 -6.159517513
0.8061 -6.835647144 0.846 -6.53165267 0.8751 -6.224098421 0.8856 -5.910094889 0.8919 -5.598599459
0.8934 -5.290645224 0.894 -4.974284616 0.8957 -4.64454848 0.9047 -4.290560426 0.9129 -3.885055584
0.9209 -3.408378962 0.9219 -3.13200249 0.7739 -8.726767166 0.7681 -8.66695597 0.7665 -8.511026475
0.7703 -8.165388579 0.7702 -7.886056648 0.7761 -7.588043762 0.7809 -7.283412422 0.7961 -6.995678626
0.8253 -6.691862621 0.8602 -6.392544977 0.8809 -6.067374056 0.8301 -6.684029655 0.8664 -6.378719832
0.8834 -6.065855188 0.8898 -5.752272167 0.8964 -5.132414673 0.8963 -4.811352704 0.9074 -4.098269308
0.9119 -3.66174277 0.9228 -3.2644011
"""


def longley() -> tuple[Any, Any]:
    """J. W. Longley's data of 1967, of the same collection: the response, and the design with its ones."""
    datasets = pytest.importorskip("statsmodels.datasets")
    data = datasets.longley.load_pandas().data
    others = data.drop(columns="TOTEMP").to_numpy(float)
    return data["TOTEMP"].to_numpy(float), np.column_stack([np.ones(len(data)), others])


def filip() -> tuple[Any, Any]:
    y, x = np.array(FILIP.split(), dtype=float).reshape(-1, 2).T
    return y, x[:, None] ** np.arange(11)


def optimum(y: Any, x: Any) -> Any:
    """The least-squares coefficients, to the last bit but one."""
    with mpmath.workdps(60):
        a, b = mpmath.matrix(x.tolist()), mpmath.matrix(y.tolist())
        return np.array([float(v) for v in mpmath.lu_solve(a.T * a, a.T * b)])


def errors_of_squares(traced: tg.TracedFunction, y: Any, x: Any, b: Any) -> tuple[float, float]:
    """The relative error of a sum of squares, and that of its gradient next to its parts."""
    value, gradient = traced.value_and_grad_flat(b)
    with mpmath.workdps(60):
        numbers = np.frompyfunc(lambda v: mpmath.mpf(float(v)), 1, 1)
        residuals = numbers(y) - numbers(x) @ numbers(b)
        squares = residuals @ residuals
        slopes = -2 * (numbers(x).T @ residuals)
        sizes = np.sqrt(np.add.reduce(x**2)) * float(mpmath.sqrt(squares))
        far = max(
            abs(float(mpmath.mpf(g) - s)) / size for g, s, size in zip(gradient, slopes, sizes, strict=True)
        )
        return abs(float((mpmath.mpf(value) - squares) / squares)), far


@pytest.mark.skipif(
    np.finfo(np.longdouble).eps == np.finfo(float).eps, reason="long doubles are doubles here"
)
def test_an_ill_conditioned_design_is_more_exact_than_by_rows() -> None:
    y, x = longley()
    b = optimum(y, x)

    def squares(b: Any) -> Any:
        return ((y - x @ b) ** 2).sum()

    traced, by_rows = tg.trace(squares, b), plain(squares, b)
    assert largest(traced.grad_tape) <= 12
    for near in (b, b * (1.0 + 1e-8)):
        value, gradient = errors_of_squares(traced, y, x, near)
        value_by_rows, gradient_by_rows = errors_of_squares(by_rows, y, x, near)
        assert value < value_by_rows / 100.0
        assert gradient < gradient_by_rows / 100.0
    for far in (1.01 * b, 0.0 * b):
        assert max(errors_of_squares(traced, y, x, far)) < 1e-13


def test_a_nearly_singular_design_loses_what_the_rows_lose_and_no_more() -> None:
    # The parts of the fit are eight million times as large as the response: at 0 they would cancel.
    y, x = filip()
    b = optimum(y, x)

    def squares(b: Any) -> Any:
        return ((y - x @ b) ** 2).sum()

    traced, by_rows = tg.trace(squares, b), plain(squares, b)
    assert largest(traced.grad_tape) <= 12
    for at in (b, b * (1.0 + 1e-8), 1.01 * b):
        assert max(errors_of_squares(traced, y, x, at)) < 10.0 * max(errors_of_squares(by_rows, y, x, at))
    assert max(errors_of_squares(traced, y, x, 0.0 * b)) < 1e-14


def test_an_intercept_of_its_own_keeps_the_digits_too() -> None:
    y, x = longley()
    b = optimum(y, x)

    def squares(a: Any, b: Any) -> Any:
        return ((y - (a + x[:, 1:] @ b)) ** 2).sum()

    traced = tg.trace(squares, dict(a=b[0], b=b[1:]))
    assert largest(traced.grad_tape) <= 12
    value, gradient = errors_of_squares(traced, y, x, b)
    assert value < 1e-14
    assert gradient < 1e-14


def test_a_slope_without_an_intercept_keeps_its_digits_where_the_mean_is_large() -> None:
    x = 1e8 + RNG.normal(size=50)
    early, late = x[:-1], x[1:]
    traced = tg.trace(lambda a: -0.5 * ((late - a * early) ** 2).sum(), 0.9)
    exact = sum(Fraction(u) * (Fraction(v) - Fraction(u)) for u, v in zip(early, late, strict=True))
    # The terms are some 40 times as large as their sum; a fit with an intercept is 4e-8 off.
    assert traced.grad(1.0) == pytest.approx(float(exact), rel=1e-9)


def test_many_rows_are_added_as_exactly_as_few() -> None:
    n = 3 * BLOCK + 17
    x = RNG.normal(1e6, 1.0, n)
    traced = tg.trace(lambda mu: ((x - mu) ** 2).sum(), 0.0)
    with np.errstate(all="ignore"):
        exact = x.astype(np.longdouble) - np.longdouble(1e6 + 0.5)
    assert traced(1e6 + 0.5) == pytest.approx(float(exact @ exact), rel=1e-14)


# Rows that stand for others ---------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [5, 300, BLOCK + 3])
@pytest.mark.parametrize("weighted", [False, True])
def test_compressed_rows_have_the_same_products(n: int, weighted: bool) -> None:
    rng = np.random.default_rng(n)
    columns = np.stack([rng.normal(size=n) + 5000.0, rng.gamma(2.0, size=n), np.full(n, 0.1)])
    weights = rng.random(n) if weighted else None

    def blocks() -> Any:
        step = 4096
        for i in range(0, n, step):
            yield columns[:, i : i + step], None if weights is None else weights[i : i + step]

    def walk(each: Any, merge: Any) -> Any:
        return together(map(each, blocks()), merge)

    found = compress(walk, [False] * 3)
    assert found is not None
    w = np.ones(n) if weights is None else weights
    mean = columns @ w / w.sum()
    assert found.weight == pytest.approx(w.sum(), rel=1e-14)
    np.testing.assert_allclose(found.centre + found.excess / found.weight, mean, rtol=1e-14)
    centred = columns - mean[:, None]
    np.testing.assert_allclose(found.factor.T @ found.factor, centred * w @ centred.T, rtol=1e-12, atol=1e-12)
    assert found.factor.shape == (2, 3)
    taken_out = fitted(found, walk, 0, has_intercept=False)
    assert taken_out.fit is not None  # the mean is large against the residuals
    rest = columns[0] - columns[1] * taken_out.fit[1]
    assert np.add.reduce(taken_out.factor[:, 0] ** 2) == pytest.approx(
        (rest - rest @ w / w.sum()) ** 2 @ w, rel=1e-9
    )


def test_the_memory_beyond_the_data_does_not_grow() -> None:
    n = 1_000_000
    x, y = RNG.normal(size=(n, 4)), RNG.normal(size=n)

    def f(b: Any, s: Any) -> Any:
        return norm.logpdf(y, x @ b, s).sum()

    tape = simplify(tg.trace(f, dict(b=np.zeros(4), s=1.0)).tape)
    tracemalloc.start()
    try:
        after = statistics(tape)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(after.entries) > len(tape.entries)
    assert peak < 8e6


@pytest.mark.parametrize(
    ("x", "y"),
    [
        (np.column_stack([X, X[:, 0] + X[:, 1]]), NORMAL),  # columns that depend on each other
        (np.column_stack([X, np.zeros(N), np.ones(N)]), NORMAL),
        (X, np.full(N, 3.25)),
        (X, np.zeros(N)),
        (X, X @ BETA),
        (RNG.normal(size=(5, 8)), RNG.normal(size=5)),  # fewer rows than columns
        (RNG.normal(size=(9, 3)), RNG.normal(size=9)),
        (RNG.normal(size=(30, 30)), RNG.normal(size=30)),
        (RNG.normal(size=(2, 1)), RNG.normal(size=2)),
    ],
)
def test_designs_of_any_rank_and_size(x: Any, y: Any) -> None:
    def f(b: Any, c: Any, s: Any) -> Any:
        return norm.logpdf(y, c + x @ b, s).sum()

    params = dict(b=np.linspace(-0.3, 0.4, x.shape[1]), c=0.2, s=1.5)
    traced = tg.trace(f, params)
    agree(traced, plain(f, params), traced.ravel(params), rtol=1e-11)
    assert touches_rows(traced) == (largest(plain(f, params).grad_tape) > FEW and x.shape[0] < 2 * x.shape[1])


def test_designs_of_very_many_columns_stay_as_they_are() -> None:
    x = RNG.normal(size=(400, 120))
    traced = tg.trace(lambda b: ((NORMAL - x @ b) ** 2).sum(), np.zeros(120))
    assert largest(traced.tape) == largest(traced.grad_tape) == 400


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_data_that_are_not_finite_are_left_to_the_rows(bad: float) -> None:
    holes = NORMAL.copy()
    holes[3] = bad
    for f in (lambda a: ((holes - a) ** 2).sum(), lambda a: ((holes - X @ np.stack([a, a, a])) ** 2).sum()):
        traced = tg.trace(f, 1.0)
        assert touches_rows(traced)
        assert traced.value_flat(np.array([0.5])) == pytest.approx(f(0.5), nan_ok=True)


def test_nan_in_the_data_is_told_by_its_name() -> None:
    holes = NORMAL.copy()
    holes[3] = np.nan
    traced = tg.trace(lambda a: ((holes - a) ** 2).sum(), dict(a=1.0))
    with pytest.warns(tg.NonFiniteWarning, match="holes holds 1 NaN"):
        assert np.isnan(traced(dict(a=0.5)))


# What stays, and what is shown ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "f",
    [
        lambda a: ((NORMAL - a) ** 2 * (NORMAL - a)).sum(),
        lambda a: np.exp(a * NORMAL).sum(),
        lambda a: np.log(a * NORMAL - 20.0).sum(),
        lambda a: np.log(a * X1).sum(),  # some are negative
        lambda a: (X1 * (NORMAL - a) ** 2).sum(),  # weights of both signs
        lambda a: (WAITS**a).sum(),
        lambda a: np.maximum(NORMAL - a, 0.0).sum(),
        lambda a: nbinom.logpmf(COUNTS, a, 0.4).sum(),
        lambda a: expon.logpdf(WAITS, loc=a).sum(),
        lambda a: poisson.logpmf(COUNTS, np.exp(a * X1)).sum(),
    ],
)
def test_what_is_no_polynomial_is_left_alone(f: Any) -> None:
    traced = tg.trace(f, 1.1)
    assert touches_rows(traced)
    with np.errstate(invalid="ignore"):
        assert traced.value_flat(np.array([0.7])) == pytest.approx(f(0.7), rel=1e-13, nan_ok=True)


def test_a_branch_on_a_sum_keeps_its_bits() -> None:
    def f(a: Any) -> Any:
        total = ((NORMAL - a) ** 2).sum()
        return total if total > 100.0 else -total

    traced = tg.trace(f, dict(a=1.0))
    assert touches_rows(traced)
    assert traced(dict(a=1.0)) == f(1.0)


def test_data_that_can_be_rebound_are_not_summed_away() -> None:
    traced = tg.trace(lambda a, y: ((y - a) ** 2).sum(), dict(a=1.0), data=dict(y=NORMAL))
    assert touches_rows(traced)


def test_sums_that_keep_their_axes() -> None:
    def f(a: Any) -> Any:
        rest = NORMAL * a - WAITS
        return (rest - rest.mean(axis=0, keepdims=True)).sum() + rest.var() + np.std(a * X1)

    traced = tg.trace(f, 0.7)
    assert not touches_rows(traced)
    agree(traced, plain(f, 0.7), np.array([0.7]), rtol=1e-11)


def ops(tape: tg.Tape) -> list[str]:
    return [entry.op.name for entry in tape.entries]


def test_the_entries_before_and_after() -> None:
    tape = simplify(tg.trace(lambda mu: ((NORMAL - mu) ** 2).sum(), 1.0).tape)
    assert ops(tape) == ["sub", "square", "sum"]
    after = dce(statistics(tape))
    texts = OperandNames(after)
    assert ops(after) == ["sub", "mul", "add", "square", "mul", "add"]
    assert {entry.source for entry in after.entries} == {tape.entries[0].source}
    named = [texts[slot] for entry in after.entries for slot in entry.inputs if "NORMAL" in texts[slot]]
    assert named == ["mean(NORMAL)", "sum(NORMAL - mean)", "sum((NORMAL - mean) * (NORMAL - mean))"]
    assert all(label in str(after) for label in named)
    constants = {texts[slot]: value for slot, value in after.constants}
    assert constants[named[0]] == pytest.approx(NORMAL.mean(), rel=1e-15)
    assert constants[named[2]] == pytest.approx(N * NORMAL.var(), rel=1e-14)


def test_the_entries_of_least_squares() -> None:
    tape = simplify(tg.trace(lambda b: ((NORMAL - X @ b) ** 2).sum(), BETA).tape)
    assert ops(tape) == ["matmul", "sub", "square", "sum"]
    after = dce(statistics(tape))
    assert largest(after) == 4
    assert ops(after).count("matmul") == 1
    assert "R[:, X] of [NORMAL, X]" in str(after)
    assert "mean(X)" in str(after)


def test_the_listing_names_what_was_summed() -> None:
    traced = tg.trace(lambda a, b: ((NORMAL - a) * (WAITS - b)).sum(), dict(a=1.0, b=2.0))
    listing = str(traced.grad_tape)
    products = "sum((NORMAL - mean) * (WAITS - mean))"
    for label in ("mean(NORMAL)", "sum(NORMAL - mean)", "mean(WAITS)", products):
        assert label in listing
    assert "mean(" not in str(traced.tape)  # the tape as recorded
    assert "mean(" not in str(traced)
    columns = tg.trace(FAMILIES["regression on columns"][0], FAMILIES["regression on columns"][1])
    assert "R[1, 2] of [NORMAL, X1, X2]" in str(columns.grad_tape)
    assert traced(dict(a=0.5, b=0.1)) == pytest.approx(((NORMAL - 0.5) * (WAITS - 0.1)).sum())
    censored = tg.trace(FAMILIES["censored exponential"][0], dict(rate=0.4))
    assert "mean(WAITS) where EVENT" in str(censored.grad_tape)
    assert "sum(WAITS - mean) where not EVENT" in str(censored.grad_tape)
    weighted = tg.trace(lambda mu: (ERRORS * (NORMAL - mu) ** 2).sum(), 1.0)
    assert "sum((NORMAL - mean) * (NORMAL - mean)) weighted by ERRORS" in str(weighted.grad_tape)
    scaled = tg.trace(lambda mu, s: norm.logpdf(NORMAL, mu, s).sum(), dict(mu=1.0, s=2.0))
    assert "norm(NORMAL - mean)" in str(scaled.grad_tape)
    halved = tg.trace(lambda mu: (((NORMAL - mu) / 2.0) ** 2).sum(), 1.0)
    assert "sum((NORMAL" not in str(halved.grad_tape)


def test_it_can_be_turned_off() -> None:
    f, params, _ = FAMILIES["normal, stats"]
    off = tg.trace(f, params, sufficient_statistics=False)
    assert touches_rows(off)
    assert not touches_rows(tg.trace(f, params))
    assert "mean(" not in str(off.grad_tape)


def test_the_number_of_observations_is_still_known() -> None:
    result = tg.fit(FAMILIES["least squares"][0], dict(b=np.zeros(3), log_s=0.0))
    solution = np.linalg.lstsq(X, NORMAL)[0]
    assert result.converged
    np.testing.assert_allclose(result.params["b"], solution, rtol=1e-9)
    assert result.bic == pytest.approx(-2.0 * result.llf + 4.0 * np.log(N))


# Random lines and products of them --------------------------------------------------------------------------

DATA = (NORMAL, WAITS, X1, COUNTS, BITS, np.full(N, 0.7))
# A column to begin with; then for each step its kind, its scalar and its column.
LINES = st.tuples(
    st.sampled_from(range(6)),
    st.lists(st.tuples(st.integers(0, 6), st.integers(0, 2), st.integers(0, 5)), max_size=4),
)


def followed(line: tuple[int, list[tuple[int, int, int]]], a: Any, b: Any, beta: Any) -> Any:
    """What the steps of a line make of its first column."""
    start, steps = line
    found: Any = DATA[start]
    for kind, scalar, column in steps:
        s, x = (a, b, 0.5 * a * b)[scalar], DATA[column]
        found = (
            lambda u: u + s,  # noqa: B023
            lambda u: s * x - u,  # noqa: B023
            lambda u: u / (2.0 + s**2),  # noqa: B023
            lambda u: u - X @ beta,
            lambda u: np.where(EVENT, u, s * x),  # noqa: B023
            lambda u: -u * s,  # noqa: B023
            lambda u: (x + u)[::-1],  # noqa: B023
        )[kind](found)
    return found


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(LINES, LINES, st.integers(0, 4))
def test_random_products_of_lines(left: Any, right: Any, kind: int) -> None:
    def f(a: Any, b: Any, beta: Any) -> Any:
        u, v = followed(left, a, b, beta), followed(right, a, b, beta)
        if kind == 0:
            return (u - a * v).sum()
        if kind == 1:
            return (u * v).sum() + 0.0 * (a + b + beta.sum())
        if kind == 2:
            return (-0.5 * u**2 + a * v - np.log(2.0 + b**2)).sum()
        if kind == 3:
            return (u + a) @ v
        return (WEIGHTS * (u * v - a)).mean()

    params = dict(a=0.7, b=-1.3, beta=BETA)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", tg.UnusedParameterWarning)
        traced, reference = tg.trace(f, params), plain(f, params)
    assert not touches_rows(traced)
    for factor in (1.0, -2.0):
        agree(traced, reference, factor * traced.ravel(params), rtol=1e-11)


def test_a_level_that_is_infinite_keeps_to_itself():
    y = np.array([2, 1, 2, 2, 1])
    tape = tg.trace(lambda p: np.log(p)[y].sum(), np.array([0.2, 0.3, 0.5]))
    assert tape(np.array([0.0, 0.3, 0.5])) == pytest.approx(2 * np.log(0.3) + 3 * np.log(0.5))
    assert tape(np.array([0.2, 0.0, 0.5])) == -np.inf
