"""Likelihoods as people write them: all passes, blocks and threads against the reference without them."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
from scipy import special as sp

import tapegrad as tg
from tapegrad import special, stats

RNG = np.random.default_rng(3)
N = 17_000  # more than two blocks
X = np.column_stack([np.ones(N), RNG.normal(size=(N, 4))])
B = RNG.normal(size=5) * 0.5
Y = (RNG.random(N) < sp.expit(X @ B)).astype(float)
COUNTS = RNG.poisson(np.exp(X @ B * 0.5)).astype(float)
TIMES = RNG.weibull(1.5, N)
DIED = RNG.random(N) < 0.7
GROUP = RNG.integers(0, 20, N)
LEVEL = RNG.integers(0, 3, N)
WEIGHTS = RNG.random(N)
OFFSET = RNG.normal(size=N) * 0.1
DATA = dict(X=X, y=Y, c=COUNTS, t=TIMES)


def zero_inflated(b, p, X, c):
    eta = X @ b
    counted = -np.logaddexp(0, p) + c * eta - np.exp(eta) - sp.gammaln(c + 1)
    none = np.logaddexp(-np.logaddexp(0, -p), -np.logaddexp(0, p) - np.exp(eta))
    return np.where(c == 0, none, counted).sum()


def hierarchical(u, log_sigma, c):
    eta = u[GROUP] + 0.1
    return (c * eta - np.exp(eta)).sum() - 0.5 * (u**2).sum() / np.exp(2 * log_sigma) - u.size * log_sigma


def weibull(k, log_scale, t):
    hazard = np.where(DIED, np.log(k) - k * log_scale + (k - 1) * np.log(t), 0)
    return (hazard - (t / np.exp(log_scale)) ** k).sum()


def ordered(b, gap, X):
    eta = X @ b
    low, high = sp.expit(-eta), sp.expit(gap - eta)
    return np.log(np.where(LEVEL == 0, low, np.where(LEVEL == 1, high - low, 1 - high))).sum()


def multinomial(b, X):
    eta = X @ b
    return (np.take_along_axis(eta, LEVEL[:, None], 1)[:, 0] - special.logsumexp(eta, axis=1)).sum()


def student(mu, log_sigma, log_nu, t):
    nu = np.exp(log_nu)
    norm = sp.gammaln((nu + 1) / 2) - sp.gammaln(nu / 2) - 0.5 * np.log(np.pi * nu) - log_sigma
    return (norm - (nu + 1) / 2 * np.log1p(((t - mu) / np.exp(log_sigma)) ** 2 / nu)).sum()


MODELS = {
    "logit": (lambda b, X, y: (y * (X @ b) - np.log1p(np.exp(X @ b))).sum(), dict(b=B)),
    "logit by log_expit": (
        lambda b, X, y: np.where(y == 1, sp.log_expit(X @ b), sp.log_expit(-(X @ b))).sum(),
        dict(b=B),
    ),
    "logit by xlogy": (
        lambda b, X, y: (sp.xlogy(y, sp.expit(X @ b)) + sp.xlog1py(1 - y, -sp.expit(X @ b))).sum(),
        dict(b=B),
    ),
    "logit by signs": (lambda b, X, y: -np.logaddexp(0, -(2 * y - 1) * (X @ b)).sum(), dict(b=B)),
    "logit by bernoulli": (
        lambda b, X, y: stats.bernoulli.logpmf(y, 1 / (1 + np.exp(-(X @ b)))).sum(),
        dict(b=B),
    ),
    "probit": (lambda b, X, y: sp.log_ndtr((2 * y - 1) * (X @ b)).sum(), dict(b=B)),
    "poisson": (lambda b, X, c: stats.poisson.logpmf(c, np.exp(X @ b + OFFSET)).sum(), dict(b=B * 0.5)),
    "negative binomial": (
        lambda b, a, X, c: stats.nbinom.logpmf(c, np.exp(-a), 1 / (1 + np.exp(a + X @ b))).sum(),
        dict(b=B * 0.5, a=0.3),
    ),
    "zero-inflated": (zero_inflated, dict(b=B * 0.5, p=-1.0)),
    "hierarchical": (hierarchical, dict(u=np.linspace(-0.1, 0.2, 20), log_sigma=0.1)),
    "weibull, censored": (weibull, dict(k=1.3, log_scale=0.1)),
    "least squares": (
        lambda b, s, X, c: stats.norm.logpdf(c, X @ b + OFFSET, np.exp(s)).sum(),
        dict(b=B, s=0.2),
    ),
    "weighted least squares": (
        lambda b, s, X, c: (WEIGHTS * stats.norm.logpdf(c, X @ b, np.exp(s))).sum(),
        dict(b=B, s=0.2),
    ),
    "two designs": (
        lambda b, a, X, c: stats.norm.logpdf(c, X @ b, np.exp(X @ a)).sum(),
        dict(b=B, a=B * 0.1),
    ),
    "ordered": (ordered, dict(b=B, gap=1.2)),
    "autoregression": (
        lambda m, p, s, t: stats.norm.logpdf(t[1:], m + p * (t[:-1] - m), np.exp(s)).sum(),
        dict(m=0.9, p=0.3, s=-0.5),
    ),
    "multinomial": (multinomial, dict(b=np.linspace(-0.5, 0.6, 15).reshape(5, 3))),
    "student": (student, dict(mu=0.9, log_sigma=-0.5, log_nu=1.0)),
}


@pytest.mark.parametrize("name", MODELS)
def test_value_gradient_and_hessian(name):
    f, params = MODELS[name]
    data = {key: DATA[key] for key in inspect.signature(f).parameters if key in DATA}

    def closed(**theta):
        return f(**theta, **data)

    reference = tg.trace(closed, params, backend="replay", sufficient_statistics=False)
    vector = reference.ravel(params)
    value, gradient = reference.value_and_grad_flat(vector)
    columns = [reference.ravel(reference.hvp(vector, e)) for e in np.eye(vector.size)]
    assert value == pytest.approx(f(**params, **data), rel=1e-13)
    for tape in (tg.trace(closed, params, threads=2), tg.trace(f, params, data=data)):
        found_value, found_gradient = tape.value_and_grad_flat(vector)
        assert found_value == pytest.approx(value, rel=1e-13)
        np.testing.assert_allclose(found_gradient, gradient, rtol=0.0, atol=1e-12 * np.abs(gradient).max())
        hessian = tape.hessian(vector)
        np.testing.assert_allclose(hessian, columns, rtol=0.0, atol=1e-12 * np.abs(columns).max())
