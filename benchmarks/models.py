"""The log-likelihoods that are timed.

Each is plain code in the NumPy functions of a module `xp` and the special functions of a module `special`, so
that every library runs the same lines: tapegrad gets ``numpy`` and ``scipy.special`` themselves, the others
their own equivalents. Beside each stands its value and gradient, derived and vectorised by hand.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.random import Generator
from scipy.special import digamma, expit, gammaln

Data: TypeAlias = dict[str, Any]
Theta: TypeAlias = dict[str, Any]  # a float or an array for each parameter
ValueAndGrad: TypeAlias = Callable[[Theta], tuple[float, Theta]]

HALF_LOG_2PI: Final = 0.5 * float(np.log(2.0 * np.pi))
ARRAY_SIZES: Final = (100, 10_000, 1_000_000)
LOOP_SIZES: Final = (100, 1_000, 10_000)


@dataclass(frozen=True)
class Model:
    """A log-likelihood with what is needed to time it."""

    name: str
    loglik: Callable[..., Any]  # loglik(xp, special, **data, **theta)
    by_hand: Callable[..., tuple[float, Theta]]  # by_hand(**data, **theta), of arrays
    simulate: Callable[[Generator, int], Data]
    start: Theta  # away from the maximum, so that no gradient is a small difference of large numbers
    sizes: tuple[int, ...] = ARRAY_SIZES
    is_loop: bool = False

    def data(self, n: int) -> Data:
        """The same `n` observations each time."""
        return self.simulate(np.random.default_rng(20_190), n)


def exponential(xp: Any, special: Any, x: Any, log_rate: Any) -> Any:
    return xp.sum(log_rate - xp.exp(log_rate) * x)


def exponential_by_hand(x: Any, log_rate: float) -> tuple[float, Theta]:
    expected = np.exp(log_rate) * x.sum()
    return x.size * log_rate - expected, {"log_rate": x.size - expected}


def simulate_exponential(rng: Generator, n: int) -> Data:
    return {"x": rng.exponential(0.5, n)}


def normal(xp: Any, special: Any, x: Any, mu: Any, log_sigma: Any) -> Any:
    z = (x - mu) / xp.exp(log_sigma)
    return xp.sum(-0.5 * z * z - log_sigma - HALF_LOG_2PI)


def normal_by_hand(x: Any, mu: float, log_sigma: float) -> tuple[float, Theta]:
    sigma = np.exp(log_sigma)
    z = (x - mu) / sigma
    squares = z @ z
    value = -0.5 * squares - x.size * (log_sigma + HALF_LOG_2PI)
    return value, {"mu": z.sum() / sigma, "log_sigma": squares - x.size}


def simulate_normal(rng: Generator, n: int) -> Data:
    return {"x": rng.normal(5.0, 2.0, n)}


def logistic(xp: Any, special: Any, X: Any, y: Any, beta: Any) -> Any:
    eta = X @ beta
    return xp.sum(y * eta - xp.logaddexp(0.0, eta))


def logistic_by_hand(X: Any, y: Any, beta: Any) -> tuple[float, Theta]:
    eta = X @ beta
    return y @ eta - np.logaddexp(0.0, eta).sum(), {"beta": X.T @ (y - expit(eta))}


def simulate_logistic(rng: Generator, n: int) -> Data:
    X = rng.normal(size=(n, 10))
    X[:, 0] = 1.0
    truth = 0.5 * (-1.0) ** np.arange(10)
    return {"X": X, "y": (rng.random(n) < expit(X @ truth)).astype(np.float64)}


def student_t(xp: Any, special: Any, x: Any, mu: Any, log_sigma: Any, log_nu: Any) -> Any:
    nu = xp.exp(log_nu)
    z = (x - mu) / xp.exp(log_sigma)
    norm = special.gammaln(0.5 * (nu + 1.0)) - special.gammaln(0.5 * nu) - 0.5 * xp.log(np.pi * nu)
    return xp.sum(norm - log_sigma - 0.5 * (nu + 1.0) * xp.log1p(z * z / nu))


def student_t_by_hand(x: Any, mu: float, log_sigma: float, log_nu: float) -> tuple[float, Theta]:
    n, nu, sigma = x.size, np.exp(log_nu), np.exp(log_sigma)
    z = (x - mu) / sigma
    w = z * z / nu
    logs = np.log1p(w).sum()
    pull = (nu + 1.0) / (1.0 + w)  # how strongly each observation pulls: less, the further out it lies
    squares = pull @ w
    norm = gammaln(0.5 * (nu + 1.0)) - gammaln(0.5 * nu) - 0.5 * np.log(np.pi * nu)
    d_norm = 0.5 * (digamma(0.5 * (nu + 1.0)) - digamma(0.5 * nu) - 1.0 / nu)
    grad = {
        "mu": (pull @ z) / (nu * sigma),
        "log_sigma": squares - n,
        "log_nu": nu * (n * d_norm - 0.5 * logs) + 0.5 * squares,
    }
    return n * (norm - log_sigma) - 0.5 * (nu + 1.0) * logs, grad


def simulate_student_t(rng: Generator, n: int) -> Data:
    return {"x": 3.0 + 1.5 * rng.standard_t(4.0, n)}


def mixture(xp: Any, special: Any, x: Any, logit_w: Any, mu1: Any, mu2: Any, log_s1: Any, log_s2: Any) -> Any:
    z1 = (x - mu1) / xp.exp(log_s1)
    z2 = (x - mu2) / xp.exp(log_s2)
    first = -xp.logaddexp(0.0, -logit_w) - log_s1 - 0.5 * z1 * z1
    second = -xp.logaddexp(0.0, logit_w) - log_s2 - 0.5 * z2 * z2
    return xp.sum(xp.logaddexp(first, second) - HALF_LOG_2PI)


def mixture_by_hand(
    x: Any, logit_w: float, mu1: float, mu2: float, log_s1: float, log_s2: float
) -> tuple[float, Theta]:
    s1, s2 = np.exp(log_s1), np.exp(log_s2)
    z1, z2 = (x - mu1) / s1, (x - mu2) / s2
    first = -np.logaddexp(0.0, -logit_w) - log_s1 - 0.5 * z1 * z1
    second = -np.logaddexp(0.0, logit_w) - log_s2 - 0.5 * z2 * z2
    total = np.logaddexp(first, second)
    r1, r2 = np.exp(first - total), np.exp(second - total)  # the responsibilities
    grad = {
        "logit_w": r1.sum() - x.size * expit(logit_w),
        "mu1": (r1 @ z1) / s1,
        "mu2": (r2 @ z2) / s2,
        "log_s1": r1 @ (z1 * z1 - 1.0),
        "log_s2": r2 @ (z2 * z2 - 1.0),
    }
    return total.sum() - x.size * HALF_LOG_2PI, grad


def simulate_mixture(rng: Generator, n: int) -> Data:
    first = rng.random(n) < 0.3
    return {"x": np.where(first, rng.normal(-2.0, 1.0, n), rng.normal(3.0, 1.5, n))}


def exponential_loop(xp: Any, special: Any, x: Any, log_rate: Any) -> Any:
    rate = xp.exp(log_rate)
    ll = 0.0
    for xi in x:
        ll = ll + log_rate - rate * xi
    return ll


def normal_loop(xp: Any, special: Any, x: Any, mu: Any, log_sigma: Any) -> Any:
    sigma = xp.exp(log_sigma)
    ll = 0.0
    for xi in x:
        z = (xi - mu) / sigma
        ll = ll - 0.5 * z * z - log_sigma - HALF_LOG_2PI
    return ll


def as_floats(simulate: Callable[[Generator, int], Data]) -> Callable[[Generator, int], Data]:
    """Lists of Python floats, the fastest thing to loop over: NumPy's own scalars slow every contestant."""
    return lambda rng, n: {name: column.tolist() for name, column in simulate(rng, n).items()}


MODELS: Final = {
    model.name: model
    for model in (
        Model("exponential", exponential, exponential_by_hand, simulate_exponential, {"log_rate": 0.2}),
        Model("normal", normal, normal_by_hand, simulate_normal, {"mu": 4.0, "log_sigma": 0.9}),
        Model("logistic", logistic, logistic_by_hand, simulate_logistic, {"beta": np.full(10, 0.05)}),
        Model(
            "student_t",
            student_t,
            student_t_by_hand,
            simulate_student_t,
            {"mu": 2.5, "log_sigma": 0.2, "log_nu": 1.0},
        ),
        Model(
            "mixture",
            mixture,
            mixture_by_hand,
            simulate_mixture,
            {"logit_w": 0.1, "mu1": -1.0, "mu2": 2.0, "log_s1": 0.2, "log_s2": 0.1},
        ),
        Model(
            "exponential_loop",
            exponential_loop,
            exponential_by_hand,
            as_floats(simulate_exponential),
            {"log_rate": 0.2},
            LOOP_SIZES,
            is_loop=True,
        ),
        Model(
            "normal_loop",
            normal_loop,
            normal_by_hand,
            as_floats(simulate_normal),
            {"mu": 4.0, "log_sigma": 0.9},
            LOOP_SIZES,
            is_loop=True,
        ),
    )
}
