"""Loops whose iterations do not depend on each other."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.random import Generator
from scipy.special import ndtr

from benchmarks.loops.model import Loop, loop


@loop("rows")
def normal(rng: Generator, n: int) -> Loop:
    """Independent normal observations."""
    x = rng.normal(1.0, 1.5, n)

    def loglik(mu: Any, log_sigma: Any) -> Any:
        ll = 0.0
        for i in range(n):
            z = (x[i] - mu) / np.exp(log_sigma)
            ll += -0.5 * z * z - log_sigma
        return ll

    def array(mu: Any, log_sigma: Any) -> Any:
        z = (x - mu) / np.exp(log_sigma)
        return np.sum(-0.5 * z * z - log_sigma)

    return Loop(loglik, dict(mu=0.5, log_sigma=0.2), array)


@loop("rows")
def weibull(rng: Generator, n: int) -> Loop:
    """Survival times, some of them censored on the right."""
    t = np.maximum(rng.weibull(1.5, n), 1e-3)
    died = rng.random(n) < 0.7

    def loglik(log_shape: Any, log_scale: Any) -> Any:
        shape, scale = np.exp(log_shape), np.exp(log_scale)
        ll = 0.0
        for i in range(n):
            z = (t[i] / scale) ** shape
            if died[i]:
                ll += log_shape - log_scale + (shape - 1.0) * np.log(t[i] / scale) - z
            else:
                ll -= z
        return ll

    def array(log_shape: Any, log_scale: Any) -> Any:
        shape, scale = np.exp(log_shape), np.exp(log_scale)
        hazard = log_shape - log_scale + (shape - 1.0) * np.log(t[died] / scale)
        return np.sum(hazard) - np.sum((t / scale) ** shape)

    return Loop(loglik, dict(log_shape=0.1, log_scale=0.2), array)


@loop("rows")
def logistic(rng: Generator, n: int) -> Loop:
    """Logistic regression, with an inner loop over the columns, one of which is 1."""
    X = np.column_stack([np.ones(n), rng.normal(size=(n, 2)), rng.random(n) < 0.5])
    y = (rng.random(n) < 0.4).astype(float)

    def loglik(beta: Any) -> Any:
        ll = 0.0
        for i in range(n):
            eta = 0.0
            for j in range(4):
                eta += beta[j] * X[i, j]
            ll += y[i] * eta - np.log1p(np.exp(eta))
        return ll

    def array(beta: Any) -> Any:
        eta = X @ beta
        return np.sum(y * eta - np.log1p(np.exp(eta)))

    return Loop(loglik, dict(beta=np.array([0.1, -0.2, 0.3, 0.4])), array)


@loop("rows")
def panel(rng: Generator, n: int) -> Loop:
    """Random intercepts of groups of different sizes, some of them empty."""
    sizes = rng.integers(0, 10, max(n // 5, 1))
    groups = [rng.normal(size=size) for size in sizes]
    y, group = np.concatenate(groups), np.repeat(np.arange(len(sizes)), sizes)

    def loglik(mu: Any, log_sigma: Any, log_tau: Any, u: Any) -> Any:
        ll = 0.0
        for g, rows in enumerate(groups):
            ll -= 0.5 * u[g] ** 2
            for value in rows:
                z = (value - mu - np.exp(log_tau) * u[g]) / np.exp(log_sigma)
                ll += -0.5 * z * z - log_sigma
        return ll

    def array(mu: Any, log_sigma: Any, log_tau: Any, u: Any) -> Any:
        z = (y - mu - np.exp(log_tau) * u[group]) / np.exp(log_sigma)
        return np.sum(-0.5 * z * z - log_sigma) - 0.5 * np.sum(u**2)

    start = dict(mu=0.1, log_sigma=0.2, log_tau=-0.3, u=0.1 * rng.normal(size=len(sizes)))
    return Loop(loglik, start, array)


@loop("rows", size=150)
def cox(rng: Generator, n: int) -> Loop:
    """A partial likelihood: for each death a loop over all who are at risk."""
    t, x = rng.exponential(1.0, n), rng.normal(size=n)
    died = rng.random(n) < 0.6

    def loglik(beta: Any) -> Any:
        ll = 0.0
        for i in range(n):
            if not died[i]:
                continue
            at_risk = 0.0
            for j in range(n):
                if t[j] >= t[i]:
                    at_risk += np.exp(beta * x[j])
            ll += beta * x[i] - np.log(at_risk)
        return ll

    def array(beta: Any) -> Any:
        order = np.argsort(-t)
        at_risk = np.cumsum(np.exp(beta * x[order]))
        return np.sum((beta * x[order] - np.log(at_risk))[died[order]])

    return Loop(loglik, dict(beta=0.3), array)


@loop("rows")
def mixture(rng: Generator, n: int) -> Loop:
    """A mixture, with an inner loop over the components."""
    x = np.where(rng.random(n) < 0.4, rng.normal(-1.0, 1.0, n), rng.normal(1.0, 1.0, n))

    def loglik(w: Any, m: Any) -> Any:
        ll = 0.0
        for i in range(n):
            density = 0.0
            for k in range(2):
                density += (w if k == 0 else 1.0 - w) * np.exp(-0.5 * (x[i] - m[k]) ** 2)
            ll += np.log(density)
        return ll

    def array(w: Any, m: Any) -> Any:
        first, second = (np.exp(-0.5 * (x - m[k]) ** 2) for k in range(2))
        return np.sum(np.log(w * first + (1.0 - w) * second))

    return Loop(loglik, dict(w=0.4, m=np.array([-0.5, 0.7])), array)


@loop("rows", size=1_000)
def recapture(rng: Generator, n: int) -> Loop:
    """Capture histories of `n` animals on six occasions, from their first captures on."""
    histories = (rng.random((n, 6)) < 0.4).astype(int)
    histories[np.arange(n), rng.integers(0, 5, n)] = 1

    def loglik(phi: Any, p: Any) -> Any:
        s, q = 1.0 / (1.0 + np.exp(-phi)), 1.0 / (1.0 + np.exp(-p))
        ll = 0.0
        for history in histories:
            first = next(t for t in range(6) if history[t])
            last = max(t for t in range(6) if history[t])
            for t in range(first + 1, last + 1):
                ll += np.log(s[t - 1])
                if history[t]:
                    ll += np.log(q)
                else:
                    ll += np.log(1.0 - q)
            never = 1.0
            for t in range(5, last, -1):
                never = 1.0 - s[t - 1] + s[t - 1] * (1.0 - q) * never
            ll += np.log(never)
        return ll

    return Loop(loglik, dict(phi=np.array([0.5, 0.8, 0.6, 0.9, 0.7]), p=-0.2))


@loop("rows")
def ordered_probit(rng: Generator, n: int) -> Loop:
    """Three ordered answers, told apart by ``if`` and ``elif``."""
    x = rng.normal(size=n)
    answer = np.digitize(0.5 * x + rng.normal(size=n), [-0.5, 0.6])

    def loglik(beta: Any, cut: Any, log_gap: Any) -> Any:
        ll = 0.0
        for i in range(n):
            eta = beta * x[i]
            if answer[i] == 0:
                ll += np.log(ndtr(cut - eta))
            elif answer[i] == 1:
                ll += np.log(ndtr(cut + np.exp(log_gap) - eta) - ndtr(cut - eta))
            else:
                ll += np.log(1.0 - ndtr(cut + np.exp(log_gap) - eta))
        return ll

    def array(beta: Any, cut: Any, log_gap: Any) -> Any:
        low, middle, high = (beta * x[answer == k] for k in range(3))
        top = cut + np.exp(log_gap)
        return (
            np.sum(np.log(ndtr(cut - low)))
            + np.sum(np.log(ndtr(top - middle) - ndtr(cut - middle)))
            + np.sum(np.log(1.0 - ndtr(top - high)))
        )

    return Loop(loglik, dict(beta=0.3, cut=-0.4, log_gap=0.1), array)


@loop("rows", size=1_000)  # the Hessian has a row for each
def states(rng: Generator, n: int) -> Loop:
    """A theta-logistic population whose sizes are parameters, observed with noise."""
    y = 1.0 + 0.3 * rng.normal(size=n)

    def loglik(r: Any, log_k: Any, log_theta: Any, x: Any) -> Any:
        ll = -0.5 * (y[0] - x[0]) ** 2
        for t in range(1, n):
            mean = x[t - 1] + r * (1.0 - np.exp(x[t - 1] - log_k) ** np.exp(log_theta))
            ll -= 2.0 * (x[t] - mean) ** 2
            ll -= 0.5 * (y[t] - x[t]) ** 2
        return ll

    def array(r: Any, log_k: Any, log_theta: Any, x: Any) -> Any:
        mean = x[:-1] + r * (1.0 - np.exp(x[:-1] - log_k) ** np.exp(log_theta))
        return -2.0 * np.sum((x[1:] - mean) ** 2) - 0.5 * np.sum((y - x) ** 2)

    start = dict(r=0.4, log_k=0.5, log_theta=0.2, x=1.0 + 0.2 * rng.normal(size=n))
    return Loop(loglik, start, array)
