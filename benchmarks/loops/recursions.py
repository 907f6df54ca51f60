"""Loops that carry something from one iteration to the next."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.random import Generator
from scipy.special import gammaln

from benchmarks.loops.model import Loop, loop
from tapegrad.special import logsumexp


@loop("linear")
def garch(rng: Generator, n: int) -> Loop:
    """GARCH(1,1)."""
    y = rng.normal(size=n)

    def loglik(mu: Any, log_omega: Any, alpha: Any, beta: Any) -> Any:
        omega, h, ll, e = np.exp(log_omega), 1.0, 0.0, 0.0
        for t in range(n):
            h = omega + alpha * e * e + beta * h
            e = y[t] - mu
            ll -= 0.5 * (np.log(h) + e * e / h)
        return ll

    return Loop(loglik, dict(mu=0.05, log_omega=-2.0, alpha=0.1, beta=0.8), y=y)


def returns(rng: Generator, n: int) -> Any:
    """Returns of a GARCH(1,1) process, with heavy tails."""
    h, e, y = 1.0, 0.0, np.empty(n)
    for t, z in enumerate(rng.standard_t(8.0, n) * np.sqrt(6.0 / 8.0)):
        h = 0.05 + 0.08 * e * e * (1.5 if e < 0.0 else 0.7) + 0.85 * h
        e = np.sqrt(h) * z
        y[t] = 0.03 + e
    return y


@loop("linear")
def garch_student(rng: Generator, n: int) -> Loop:
    """GARCH(1,1) with Student errors, on returns that are like that."""
    y = returns(rng, n)

    def loglik(mu: Any, log_omega: Any, log_alpha: Any, log_beta: Any, log_nu: Any) -> Any:
        omega, alpha, beta = np.exp(log_omega), np.exp(log_alpha), np.exp(log_beta)
        nu = 2.0 + np.exp(log_nu)
        constant = gammaln(0.5 * (nu + 1.0)) - gammaln(0.5 * nu) - 0.5 * np.log(np.pi * (nu - 2.0))
        h, ll, e = 1.0, 0.0, 0.0
        for t in range(n):
            h = omega + alpha * e * e + beta * h
            e = y[t] - mu
            ll += constant - 0.5 * np.log(h) - 0.5 * (nu + 1.0) * np.log1p(e * e / (h * (nu - 2.0)))
        return ll

    return Loop(loglik, dict(mu=0.0, log_omega=-2.5, log_alpha=-2.3, log_beta=-0.2, log_nu=1.5))


@loop("linear", size=2_500)
def gjr(rng: Generator, n: int) -> Loop:
    """GJR-GARCH: the sign of each residual, which the mean moves, decides on its weight."""
    y = returns(rng, n)

    def loglik(mu: Any, log_omega: Any, log_alpha: Any, log_beta: Any, log_gamma: Any) -> Any:
        omega, alpha, beta = np.exp(log_omega), np.exp(log_alpha), np.exp(log_beta)
        gamma, h, ll, e = np.exp(log_gamma), 1.0, 0.0, 0.0
        for t in range(n):
            if e < 0.0:  # noqa: SIM108 -- as people write it
                h = omega + (alpha + gamma) * e * e + beta * h
            else:
                h = omega + alpha * e * e + beta * h
            e = y[t] - mu
            ll -= 0.5 * (np.log(h) + e * e / h)
        return ll

    return Loop(loglik, dict(mu=0.0, log_omega=-2.5, log_alpha=-2.6, log_beta=-0.2, log_gamma=-2.5))


@loop("linear")
def garch_array(rng: Generator, n: int) -> Loop:
    """GARCH(1,1), which fills an array."""
    y = rng.normal(size=n)

    def loglik(theta: Any) -> Any:
        e = y - theta[0]
        h = np.zeros_like(theta, shape=n)
        h[0] = 1.0
        for t in range(1, n):
            h[t] = np.exp(theta[1]) + theta[2] * e[t - 1] ** 2 + theta[3] * h[t - 1]
        return -0.5 * np.sum(np.log(h) + e * e / h)

    return Loop(loglik, dict(theta=np.array([0.05, -2.0, 0.1, 0.8])))


@loop("rows")
def ar3(rng: Generator, n: int) -> Loop:
    """An autoregression on observed values, which carries nothing."""
    y = rng.normal(size=n)

    def loglik(c: Any, phi: Any, log_sigma: Any) -> Any:
        ll = 0.0
        for t in range(3, n):
            e = y[t] - c - phi[0] * y[t - 1] - phi[1] * y[t - 2] - phi[2] * y[t - 3]
            ll += -0.5 * e * e / np.exp(2.0 * log_sigma) - log_sigma
        return ll

    def array(c: Any, phi: Any, log_sigma: Any) -> Any:
        e = y[3:] - c - phi[0] * y[2:-1] - phi[1] * y[1:-2] - phi[2] * y[:-3]
        return np.sum(-0.5 * e * e / np.exp(2.0 * log_sigma) - log_sigma)

    return Loop(loglik, dict(c=0.1, phi=np.array([0.2, 0.1, -0.1]), log_sigma=0.1), array)


@loop("linear")
def arma(rng: Generator, n: int) -> Loop:
    """ARMA(3,2), which carries its last two residuals."""
    y = rng.normal(size=n)

    def loglik(phi: Any, psi: Any, log_sigma: Any) -> Any:
        e = [0.0, 0.0, 0.0]
        ll = 0.0
        for t in range(3, n):
            mean = phi[0] * y[t - 1] + phi[1] * y[t - 2] + phi[2] * y[t - 3]
            e.append(y[t] - mean - psi[0] * e[t - 1] - psi[1] * e[t - 2])
            ll += -0.5 * e[t] ** 2 * np.exp(-2.0 * log_sigma) - log_sigma
        return ll

    return Loop(loglik, dict(phi=np.array([0.3, 0.1, -0.1]), psi=np.array([0.2, -0.3]), log_sigma=0.1))


@loop("nonlinear")
def local_level(rng: Generator, n: int) -> Loop:
    """The Kalman filter of a random walk with noise."""
    y = np.cumsum(0.4 * rng.normal(size=n)) + rng.normal(size=n)

    def loglik(log_q: Any, log_r: Any) -> Any:
        q, r, mean, var, ll = np.exp(log_q), np.exp(log_r), 0.0, 10.0, 0.0
        for t in range(n):
            var = var + q
            s = var + r
            v = y[t] - mean
            gain = var / s
            ll -= 0.5 * (np.log(s) + v * v / s)
            mean = mean + gain * v
            var = (1.0 - gain) * var
        return ll

    return Loop(loglik, dict(log_q=-1.0, log_r=0.1), y=y)


@loop("nonlinear", size=1_000)
def local_trend(rng: Generator, n: int) -> Loop:
    """The Kalman filter of a level with a slope, in matrices."""
    y = np.cumsum(np.cumsum(0.1 * rng.normal(size=n))) + rng.normal(size=n)
    move, see = np.array([[1.0, 1.0], [0.0, 1.0]]), np.array([1.0, 0.0])

    def loglik(log_level: Any, log_slope: Any, log_r: Any) -> Any:
        noise = np.diag(np.stack([np.exp(log_level), np.exp(log_slope)]))
        mean, var, ll = np.zeros(2), 10.0 * np.eye(2), 0.0
        for t in range(n):
            mean = move @ mean
            var = move @ var @ move.T + noise
            s = see @ var @ see + np.exp(log_r)
            v = y[t] - see @ mean
            gain = var @ see / s
            ll = ll - 0.5 * (np.log(s) + v * v / s)
            mean = mean + gain * v
            var = var - np.outer(gain, see @ var)
        return ll

    return Loop(loglik, dict(log_level=-1.0, log_slope=-2.0, log_r=0.1))


@loop("linear")
def var2(rng: Generator, n: int) -> Loop:
    """A bivariate vector autoregression of order 1 with moving averages, which carries both residuals."""
    y = rng.normal(size=(n, 2))

    def loglik(a: Any, b: Any, log_sigma: Any) -> Any:
        u = v = ll = 0.0
        for t in range(1, n):
            mean_u = a[0, 0] * y[t - 1, 0] + a[0, 1] * y[t - 1, 1]
            mean_v = a[1, 0] * y[t - 1, 0] + a[1, 1] * y[t - 1, 1]
            u, v = y[t, 0] - mean_u - b[0, 0] * u - b[0, 1] * v, y[t, 1] - mean_v - b[1, 0] * u - b[1, 1] * v
            ll += -0.5 * (u * u + v * v) * np.exp(-2.0 * log_sigma) - 2.0 * log_sigma
        return ll

    a, b = np.array([[0.3, 0.1], [-0.1, 0.4]]), np.array([[0.2, -0.1], [0.1, 0.3]])
    return Loop(loglik, dict(a=a, b=b, log_sigma=0.1))


@loop("nonlinear", size=1_000)
def hmm_log(rng: Generator, n: int) -> Loop:
    """Three hidden states: the forward algorithm in logs, on vectors."""
    y = rng.normal(size=n) + rng.integers(-1, 2, n)

    def loglik(m: Any, stay: Any) -> Any:
        p = 1.0 / (1.0 + np.exp(-stay))
        log_move = np.log(np.where(np.eye(3) > 0.0, p, 0.5 * (1.0 - p)))
        forward = -0.5 * (y[0] - m) ** 2 - np.log(3.0)
        for t in range(1, n):
            forward = logsumexp(forward[:, None] + log_move, axis=0) - 0.5 * (y[t] - m) ** 2
        return logsumexp(forward)

    return Loop(loglik, dict(m=np.array([-1.0, 0.1, 1.2]), stay=0.5), y=y)


@loop("nonlinear", size=1_000)
def hmm_scaled(rng: Generator, n: int) -> Loop:
    """Three hidden states: the forward algorithm with scaling, number by number."""
    y = rng.normal(size=n) + rng.integers(-1, 2, n)

    def loglik(m: Any, stay: Any) -> Any:
        p = 1.0 / (1.0 + np.exp(-stay))
        q = 0.5 * (1.0 - p)
        forward, ll = [1.0 / 3.0] * 3, 0.0
        for t in range(n):
            joint = []
            for k in range(3):
                moved = 0.0
                for j in range(3):
                    moved += forward[j] * (p if j == k else q)
                joint.append(moved * np.exp(-0.5 * (y[t] - m[k]) ** 2))
            scale = joint[0] + joint[1] + joint[2]
            ll += np.log(scale)
            forward = [value / scale for value in joint]
        return ll

    return Loop(loglik, dict(m=np.array([-1.0, 0.1, 1.2]), stay=0.5))


@loop("nonlinear")
def ricker(rng: Generator, n: int) -> Loop:
    """A Ricker population, observed with noise."""
    y = np.log(1.0 + rng.exponential(1.0, n))

    def loglik(r: Any, log_k: Any, log_sigma: Any) -> Any:
        size, ll = 1.0, 0.0
        for t in range(n):
            size = size * np.exp(r * (1.0 - size / np.exp(log_k)))
            e = y[t] - np.log(size)
            ll += -0.5 * e * e / np.exp(2.0 * log_sigma) - log_sigma
        return ll

    return Loop(loglik, dict(r=0.5, log_k=0.3, log_sigma=0.1))


@loop("nonlinear")
def theta_logistic(rng: Generator, n: int) -> Loop:
    """A theta-logistic population, observed with noise."""
    y = 1.0 + 0.2 * rng.normal(size=n)

    def loglik(r: Any, k: Any, log_theta: Any, log_sigma: Any) -> Any:
        size, ll = 1.0, 0.0
        for t in range(n):
            size = size * np.exp(r * (1.0 - (size / k) ** np.exp(log_theta)))
            e = y[t] - size
            ll += -0.5 * e * e / np.exp(2.0 * log_sigma) - log_sigma
        return ll

    return Loop(loglik, dict(r=0.5, k=1.2, log_theta=0.1, log_sigma=0.1))


@loop("linear")
def hawkes(rng: Generator, n: int) -> Loop:
    """A marked Hawkes process: its intensity decays, and every event adds to it by its mark."""
    times, marks = np.cumsum(rng.exponential(1.0, n)), rng.exponential(1.0, n)

    def loglik(log_mu: Any, log_a: Any, log_b: Any, mark: Any) -> Any:
        mu, a, b = np.exp(log_mu), np.exp(log_a), np.exp(log_b)
        excited, ll, last = 0.0, 0.0, 0.0
        for i in range(n):
            excited = np.exp(-b * (times[i] - last)) * excited
            ll += np.log(mu + a * excited)
            size = np.exp(mark * marks[i])
            ll -= a * size / b * (1.0 - np.exp(-b * (times[-1] - times[i])))
            excited = excited + size
            last = times[i]
        return ll - mu * times[-1]

    return Loop(loglik, dict(log_mu=-0.3, log_a=-1.5, log_b=0.3, mark=0.1))


@loop("nonlinear", size=200)
def pruning(rng: Generator, n: int) -> Loop:
    """A two-state character on a balanced tree of eight tips, at `n` sites: from the tips to the root."""
    tips = rng.integers(0, 2, (n, 8))
    children = [(0, 1), (2, 3), (4, 5), (6, 7), (8, 9), (10, 11), (12, 13)]
    lengths = rng.exponential(0.3, 14)

    def loglik(log_rate: Any, root: Any) -> Any:
        rate, p = np.exp(log_rate), 1.0 / (1.0 + np.exp(-root))
        ll = 0.0
        for site in tips:
            zero = [1.0 if state == 0 else 0.0 for state in site]
            one = [1.0 if state == 1 else 0.0 for state in site]
            for left, right in children:
                below = [1.0, 1.0]
                for child in (left, right):
                    change = 0.5 * (1.0 - np.exp(-2.0 * rate * lengths[child]))
                    below[0] = below[0] * ((1.0 - change) * zero[child] + change * one[child])
                    below[1] = below[1] * (change * zero[child] + (1.0 - change) * one[child])
                zero.append(below[0])
                one.append(below[1])
            ll += np.log(p * zero[-1] + (1.0 - p) * one[-1])
        return ll

    return Loop(loglik, dict(log_rate=0.2, root=0.3))
