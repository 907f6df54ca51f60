"""Other ways to write a loop."""

from __future__ import annotations

import itertools
import operator
from functools import reduce
from typing import Any

import numpy as np
from numpy.random import Generator

from benchmarks.loops.model import Loop, loop


@loop("spelling")
def lists(rng: Generator, n: int) -> Loop:
    """Lists of intermediate results."""
    x = rng.normal(size=n)

    def loglik(mu: Any, log_sigma: Any) -> Any:
        z = []
        for i in range(n):
            z.append((x[i] - mu) / np.exp(log_sigma))
        terms = [None] * n
        for i in range(n):
            terms[i] = -0.5 * z[i] * z[i] - log_sigma
        return sum(terms)

    return Loop(loglik, dict(mu=0.1, log_sigma=0.2))


@loop("spelling")
def zipped(rng: Generator, n: int) -> Loop:
    """`zip` over data and neighbours."""
    x, w = rng.normal(size=n), rng.exponential(1.0, n)

    def loglik(mu: Any, rho: Any) -> Any:
        ll = 0.0
        for before, now, weight in zip(x, x[1:], w, strict=False):
            ll = ll - weight * (now - mu - rho * (before - mu)) ** 2
        return ll

    return Loop(loglik, dict(mu=0.1, rho=0.3))


@loop("spelling")
def enumerated(rng: Generator, n: int) -> Loop:
    """`enumerate`, whose number is data too."""
    x = rng.normal(size=n)

    def loglik(mu: Any, trend: Any) -> Any:
        ll = 0.0
        for i, value in enumerate(x):
            ll -= (value - mu - trend * (i / n)) ** 2
        return ll

    return Loop(loglik, dict(mu=0.1, trend=0.3))


@loop("spelling")
def comprehension(rng: Generator, n: int) -> Loop:
    """A comprehension, and a sum of a generator."""
    x = rng.normal(size=n)

    def loglik(mu: Any, log_sigma: Any) -> Any:
        z = [(value - mu) / np.exp(log_sigma) for value in x]
        return -0.5 * sum(item * item for item in z) - n * log_sigma

    return Loop(loglik, dict(mu=0.1, log_sigma=0.2))


@loop("spelling")
def reduced(rng: Generator, n: int) -> Loop:
    """`functools.reduce`, of log-densities by `np.logaddexp` and by addition."""
    x = rng.normal(size=n)

    def loglik(mu: Any, log_sigma: Any) -> Any:
        logs = [-0.5 * ((value - mu) / np.exp(log_sigma)) ** 2 - log_sigma for value in x]
        return reduce(operator.add, logs) - reduce(np.logaddexp, logs)

    return Loop(loglik, dict(mu=0.1, log_sigma=0.2))


@loop("spelling")
def accumulated(rng: Generator, n: int) -> Loop:
    """`itertools.accumulate`, all of whose values are used."""
    x = rng.normal(size=n)

    def loglik(level: Any, decay: Any, log_sigma: Any) -> Any:
        path = itertools.accumulate(x, lambda state, value: decay * state + value, initial=level)
        return sum(-0.5 * s * s * np.exp(-2.0 * log_sigma) - log_sigma for s in path)

    return Loop(loglik, dict(level=0.4, decay=0.6, log_sigma=0.2))


@loop("spelling")
def helper(rng: Generator, n: int) -> Loop:
    """A function for each step."""
    y = rng.normal(size=n)

    def step(h: Any, e: Any, omega: Any, alpha: Any, beta: Any) -> Any:
        return omega + alpha * e**2 + beta * h

    def density(e: Any, h: Any) -> Any:
        return -0.5 * (np.log(h) + e**2 / h)

    def loglik(mu: Any, omega: Any, alpha: Any, beta: Any) -> Any:
        h, ll = 1.0, 0.0
        for t in range(1, n):
            h = step(h, y[t - 1] - mu, omega, alpha, beta)
            ll = ll + density(y[t] - mu, h)
        return ll

    return Loop(loglik, dict(mu=0.05, omega=0.2, alpha=0.1, beta=0.7))


class Smoother:
    """Exponential smoothing: an object that keeps its state."""

    def __init__(self, level: Any, weight: Any) -> None:
        self.level, self.weight = level, weight

    def surprise(self, value: Any) -> Any:
        """How far a value is from what was expected; and learn from it."""
        e = value - self.level
        self.level = self.level + self.weight * e
        return e


@loop("spelling")
def stateful(rng: Generator, n: int) -> Loop:
    """A class with a state."""
    y = rng.normal(size=n)

    def loglik(level: Any, weight: Any, log_sigma: Any) -> Any:
        smoother = Smoother(level, weight)
        ll = 0.0
        for value in y:
            ll -= 0.5 * (smoother.surprise(value) / np.exp(log_sigma)) ** 2 + log_sigma
        return ll

    return Loop(loglik, dict(level=0.1, weight=0.3, log_sigma=0.2))
