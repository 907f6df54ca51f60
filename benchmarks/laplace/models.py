"""Models with random effects as plain NumPy functions, with the numbers that TMB gives for them.

The data and the numbers are read from tests/data/laplace. Each model is the joint log-likelihood; TMB's own
templates have its negative.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from tapegrad.covariance import spde
from tapegrad.stats import multivariate_normal_prec, norm, poisson

Array = np.ndarray[Any, Any]
FOLDER = Path(__file__).parent.parent.parent / "tests" / "data" / "laplace"


@dataclass
class Case:
    """A model with its start values, and what TMB says of it."""

    joint: Callable[..., Any]
    start: dict[str, Any]
    random: tuple[str, ...]
    told: dict[str, Any]


def array(stored: Any) -> Any:
    """An array as it is stored."""
    if isinstance(stored, dict) and stored.get("sparse"):
        places = (np.array(stored["i"]), np.array(stored["j"]))
        return sparse.csr_array((np.array(stored["x"], dtype=float), places), shape=stored["dim"])
    if isinstance(stored, dict) and stored.get("array"):
        return np.array(stored["values"], dtype=float).reshape(stored["dim"], order=stored["order"])
    if isinstance(stored, dict) and stored.get("factor"):
        return np.array(stored["codes0"])
    if isinstance(stored, list) and isinstance(stored[0], str):  # rows of digits
        return np.array([[*map(float, row)] for row in stored])
    return np.array(stored, dtype=float) if isinstance(stored, list) else stored


def read(name: str) -> dict[str, Any]:
    """The stored file of a model."""
    found: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    return found


def columns(matrix: Any) -> tuple[Array, Array]:
    """For each row of a matrix of zeros and ones, its ones: their columns, and how many of them count."""
    dense = matrix.toarray()
    most = int(dense.sum(axis=1).max())
    order = np.argsort(-dense, axis=1, kind="stable")[:, :most]
    return order, np.take_along_axis(dense, order, axis=1)


def simple(told: dict[str, Any]) -> Callable[..., Any]:
    """A normal mixed model through design matrices."""
    x, a = array(told["data"]["x"]), array(told["data"]["A"]).toarray()
    at, counts = columns(array(told["data"]["B"]))

    def joint(u: Any, beta: Any, logsdu: Any, logsd0: Any) -> Any:
        mean = a @ beta + (counts * u[at]).sum(axis=1)
        return norm.logpdf(u, 0.0, np.exp(logsdu)).sum() + norm.logpdf(x, mean, np.exp(logsd0)).sum()

    return joint


def randomregression(told: dict[str, Any]) -> Callable[..., Any]:
    """Random slopes and intercepts."""
    group, x, t = (array(told["data"][name]) for name in ("group", "x", "t"))

    def joint(a: Any, b: Any, mu: Any, sigma: Any, sigma0: Any) -> Any:
        effects = norm.logpdf(a, mu[0], sigma[0]).sum() + norm.logpdf(b, mu[1], sigma[1]).sum()
        return effects + norm.logpdf(x, a[group] * t + b[group], sigma0).sum()

    return joint


def thetalog(told: dict[str, Any]) -> Callable[..., Any]:
    """A state-space model of a population."""
    y = array(told["data"]["Y"])

    def joint(X: Any, logr0: Any, logtheta: Any, logK: Any, logQ: Any, logR: Any) -> Any:
        mean = X[:-1] + np.exp(logr0) * (1.0 - np.exp(np.exp(logtheta) * (X[:-1] - logK)))
        states = norm.logpdf(X[1:], mean, np.exp(0.5 * logQ)).sum()
        return states + norm.logpdf(y, X, np.exp(0.5 * logR)).sum()

    return joint


def socatt(told: dict[str, Any]) -> Callable[..., Any]:
    """Ordinal answers, with one random effect for each person."""
    y, s, x, group = (array(told["data"][name]) for name in ("y", "S", "X", "group"))
    last, first = y == s - 1, y == 0

    def joint(b: Any, logsigma: Any, tmpk: Any, u: Any) -> Any:
        alpha = tmpk[0] + np.concatenate([np.zeros(1), np.cumsum(np.exp(tmpk[1:]))])
        eta = x @ b + np.exp(logsigma) * u[group]
        above = np.where(last, 1.0, 1.0 / (1.0 + np.exp(-(alpha[np.where(last, 0, y)] - eta))))
        below = np.where(first, 0.0, 1.0 / (1.0 + np.exp(-(alpha[np.where(first, 0, y - 1)] - eta))))
        return norm.logpdf(u).sum() + np.log(1e-20 + above - below).sum()

    return joint


def orange_big(told: dict[str, Any]) -> Callable[..., Any]:
    """The growth of five trees, a thousand times."""
    data = told["data"]
    y, t, times = array(data["y"]), array(data["t"]), data["multiply"]
    tree = np.repeat(np.arange(data["M"]), np.array(data["ngroup"], dtype=int))

    def joint(beta: Any, log_sigma: Any, log_sigma_u: Any, u: Any) -> Any:
        grown = 1.0 / (1.0 + np.exp(-(t - 726.0 - beta[1]) / (356.0 + beta[2])))
        mean = (192.0 + beta[0] + u.reshape(times, -1)[:, tree]) * grown
        effects = (-log_sigma_u - 0.5 * (u / np.exp(log_sigma_u)) ** 2).sum()
        return effects + (-log_sigma - 0.5 * ((y - mean) / np.exp(log_sigma)) ** 2).sum()

    return joint


def ar1xar1(told: dict[str, Any]) -> Callable[..., Any]:
    """Counts on a grid, with a field that is autoregressive both ways."""
    counts = array(told["data"]["N"])
    shape = told["parameters_start"]["eta"]["dim"]

    def joint(eta: Any, transf_phi1: Any, transf_phi2: Any) -> Any:
        first, second = np.tanh(transf_phi1), np.tanh(transf_phi2)
        field = eta
        z = np.concatenate(
            [field[:, :1], (field[:, 1:] - second * field[:, :-1]) / np.sqrt(1.0 - second**2)], axis=1
        )
        z = np.concatenate([z[:1], (z[1:] - first * z[:-1]) / np.sqrt(1.0 - first**2)])
        scales = (shape[1] - 1) * shape[0] * 0.5 * np.log(1.0 - second**2)
        scales = scales + (shape[0] - 1) * shape[1] * 0.5 * np.log(1.0 - first**2)
        rates = eta.T.reshape(-1)
        return norm.logpdf(z).sum() - scales + poisson.logpmf(counts, np.exp(rates)).sum()

    return joint


def glmmTMB_salamanders_pois(told: dict[str, Any]) -> Callable[..., Any]:
    """Counts of salamanders, with one random effect for each site."""
    y, x = array(told["y"]), array(told["X"])
    site = columns(array(told["Z"]))[0][:, 0]

    def joint(beta: Any, theta: Any, b: Any) -> Any:
        rate = np.exp(x @ beta + b[site])
        return norm.logpdf(b, 0.0, np.exp(theta)).sum() + poisson.logpmf(y, rate).sum()

    return joint


def glmmTMB_sleepstudy(told: dict[str, Any]) -> Callable[..., Any]:
    """Reaction times, with correlated random intercepts and slopes."""
    y, x = array(told["y"]), array(told["X"])
    subject, days = array(told["data_frame"]["Subject"]), x[:, 1]

    def joint(beta: Any, betad: Any, theta: Any, b: Any) -> Any:
        effects = b.reshape(-1, 2)
        rho = theta[2] / np.sqrt(1.0 + theta[2] ** 2)
        first, second = effects[:, 0] / np.exp(theta[0]), effects[:, 1] / np.exp(theta[1])
        rest = (second - rho * first) / np.sqrt(1.0 - rho**2)
        scales = theta[0] + theta[1] + 0.5 * np.log(1.0 - rho**2)
        mean = x @ beta + effects[subject, 0] + effects[subject, 1] * days
        return (
            norm.logpdf(first).sum()
            + norm.logpdf(rest).sum()
            - scales * len(x) / 10
            + norm.logpdf(y, mean, np.exp(0.5 * betad)).sum()
        )

    return joint


def frailty(told: dict[str, Any]) -> Callable[..., Any]:
    """Weibull times to an event, with a frailty for each group; some are censored."""
    time, event, x, group = (array(told["data"][name]) for name in ("time", "event", "x", "group"))
    log_time, group = np.log(time), group.astype(int)

    def joint(beta: Any, log_shape: Any, log_sd: Any, u: Any) -> Any:
        shape = np.exp(log_shape)
        eta = beta[0] + beta[1] * x + u[group]
        log_hazard = log_shape + (shape - 1.0) * log_time + eta
        survived = -np.exp(eta + shape * log_time)
        return norm.logpdf(u, 0.0, np.exp(log_sd)).sum() + (event * log_hazard + survived).sum()

    return joint


def rasch(told: dict[str, Any]) -> Callable[..., Any]:
    """Right and wrong answers: persons and items, crossed."""
    right = array(told["data"]["right"])

    def joint(mean: Any, log_sd_person: Any, log_sd_item: Any, ability: Any, ease: Any) -> Any:
        eta = mean + ability[:, None] + ease
        effects = norm.logpdf(ability, 0.0, np.exp(log_sd_person)).sum()
        effects = effects + norm.logpdf(ease, 0.0, np.exp(log_sd_item)).sum()
        return effects + (right * eta - np.logaddexp(0.0, eta)).sum()

    return joint


def volatility(told: dict[str, Any]) -> Callable[..., Any]:
    """Stochastic volatility: the logarithm of the variance of 3,000 returns is autoregressive."""
    y = array(told["data"]["y"])

    def joint(log_scale: Any, atanh_phi: Any, log_sd: Any, h: Any) -> Any:
        phi, sd = np.tanh(atanh_phi), np.exp(log_sd)
        states = norm.logpdf(h[0], 0.0, sd / np.sqrt(1.0 - phi**2))
        states = states + norm.logpdf(h[1:], phi * h[:-1], sd).sum()
        return states + norm.logpdf(y, 0.0, np.exp(log_scale + 0.5 * h)).sum()

    return joint


def lattice(k: int) -> Any:
    """The stiffness matrix of a square lattice: differences of neighbours."""
    ends = np.full(k, 2.0)
    ends[[0, -1]] = 1.0
    line = sparse.diags_array([-np.ones(k - 1), ends, -np.ones(k - 1)], offsets=[-1, 0, 1])
    eye = sparse.eye_array(k)
    return sparse.csr_array(sparse.kron(line, eye) + sparse.kron(eye, line))


def field(told: dict[str, Any]) -> Callable[..., Any]:
    """Counts on a square lattice, with a Matern field by its precision."""
    count = array(told["data"]["count"])
    side = round(count.size**0.5)
    mass, stiffness = sparse.eye_array(count.size, format="csr"), lattice(side)

    def joint(mean: Any, log_kappa: Any, log_tau: Any, u: Any) -> Any:
        precision = spde(mass, stiffness, np.exp(log_kappa), np.exp(log_tau))
        effects = multivariate_normal_prec.logpdf(u, prec=precision)
        return effects + poisson.logpmf(count, np.exp(mean + u)).sum()

    return joint


def table(told: dict[str, Any]) -> dict[str, Array]:
    """The columns of a stored mixed model."""
    y, x = array(told["y"]), array(told["X"])
    if "data_frame" in told:
        return {"y": y, "days": x[:, 1], "subject": array(told["data_frame"]["Subject"])}
    return {"count": y, "unmined": x[:, 1], "site": columns(array(told["Z"]))[0][:, 0]}


def start_of(told: dict[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The start values by name, and the names of the random effects."""
    if "parameters_start" in told:
        start = {name: array(value) for name, value in told["parameters_start"].items()}
        start = {name: value if np.ndim(value) else float(value) for name, value in start.items()}
        named = told["random"]
        return start, (named,) if isinstance(named, str) else tuple(named)
    numbers = np.array(told["start"], dtype=float)
    names = told["fixed_names"]
    start = {}
    for name in dict.fromkeys(names):
        mine = numbers[[other == name for other in names]]
        start[name] = float(mine[0]) if len(mine) == 1 else mine
    start["b"] = np.zeros(told["n_random"])
    return start, ("b",)


MODELS = {
    made.__name__: made
    for made in (
        simple,
        randomregression,
        thetalog,
        socatt,
        orange_big,
        ar1xar1,
        glmmTMB_salamanders_pois,
        glmmTMB_sleepstudy,
        frailty,
        rasch,
        volatility,
        field,
    )
}
NAMES = tuple(MODELS)


def case(name: str) -> Case:
    """One of the models."""
    told = read(name)
    start, random = start_of(told)
    return Case(MODELS[name](told), start, random, told)
