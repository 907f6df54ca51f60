"""The marginal log-likelihood by importance sampling: an estimate with an error, as a check of other methods.

Draws come from the normal distribution that Laplace's method puts in place of the joint density. Each has a
weight, how much higher the joint density is there than the normal one, and the mean of the weights is what
the integral by Laplace's method is to be multiplied by. Blocks of random effects that never meet have weights
of their own, so that the error grows slowly with their number.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import logsumexp

from tapegrad.marginal.inner import InnerProblem
from tapegrad.marginal.messages import listed
from tapegrad.marginal.shares import NoShares
from tapegrad.marginal.surface import Marginal

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Sampled:
    """A marginal log-likelihood by importance sampling.

    Attributes
    ----------
    llf : float
        The estimate.
    se : float
        Its standard error.
    effective : float
        How many draws with equal weights are worth as much, in the block where they are fewest.
    samples : int
        The number of draws.
    """

    llf: float
    se: float
    effective: float
    samples: int


@np.errstate(over="ignore", invalid="ignore", divide="ignore")
def sampled(marginal: Marginal, theta: Array, samples: int, seed: int | None) -> Sampled:
    """Estimate the marginal log-likelihood.

    Parameters
    ----------
    marginal : Marginal
    theta : ndarray, shape (p,)
    samples : int
        The number of draws of all random effects.
    seed : int or None
        Of the draws.

    Raises
    ------
    InnerProblem
        If there is no mode, or the joint log-likelihood is not a number at a draw.
    """
    found, joint = marginal.mode(theta), marginal.joint
    labels = found.point.layout.labels

    def shares(u: Array) -> Array:
        return joint.shares(joint.vector(theta, u))[0][:-1]

    def whole(u: Array) -> Array:
        return np.array([joint.at(theta, u).value])

    rng = np.random.default_rng(seed)
    try:
        top, of = shares(found.u), shares
    except NoShares:
        top, of, labels = whole(found.u), whole, np.zeros_like(labels)
    logs = np.empty((samples, top.size))
    for row in logs:
        z = rng.standard_normal(found.u.size)
        u = found.u + found.factor.spread(z)
        row[:] = of(u) - top + 0.5 * np.bincount(labels, z**2)
        bad = np.isnan(row) | (row == np.inf)
        if bad.any():
            mine = np.flatnonzero(bad[labels]).tolist()
            names = listed([f"{joint.names[i]} = {u[i]:.4g}" for i in mine])
            raise InnerProblem(f"the joint log-likelihood is not a number at a draw of {names}")
    log_means = logsumexp(logs, axis=0) - np.log(samples)
    effective = np.exp(2.0 * logsumexp(logs, axis=0) - logsumexp(2.0 * logs, axis=0))
    variance = (1.0 / effective - 1.0 / samples).sum()
    llf = marginal.laplace_flat(theta) + float(log_means.sum())
    return Sampled(llf, float(np.sqrt(max(variance, 0.0))), float(effective.min()), samples)
