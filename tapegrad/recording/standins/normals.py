"""scipy.stats: the multivariate normal distribution, frozen or not."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tapegrad.recording.standins.mechanism import StandIn
from tapegrad.recording.standins.numpys import traced_array


def _logpdf(x: Any, mean: Any = None, cov: Any = 1) -> Any:
    """By the Cholesky factor of the covariance matrix."""
    x, mean, cov = (traced_array(value) for value in (x, mean, cov))
    mean = np.zeros(1) if mean is None else np.atleast_1d(mean)
    size = max(mean.shape[0], *np.shape(cov), 1)
    if np.ndim(cov) < 2:
        cov = np.eye(size) * cov
    x = np.atleast_1d(x)
    if x.ndim == 1:
        x = x[:, None] if size == 1 else x[None]
    factor = np.linalg.cholesky(cov)
    rows = x.reshape(-1, size) - mean
    squares = np.sum(np.linalg.solve(factor, rows.T) ** 2, axis=0)
    value = -0.5 * (size * math.log(2.0 * math.pi) + squares) - np.sum(np.log(np.diagonal(factor)))
    return np.squeeze(value.reshape(x.shape[:-1]))[()]


def _method(of_log: Callable[..., Any]) -> Callable[..., Any]:
    def answer(
        original: Any, dist: Any, x: Any, mean: Any = None, cov: Any = 1, allow_singular: bool = False
    ) -> Any:
        return NotImplemented if allow_singular else of_log(_logpdf(x, mean, cov))

    return answer


class _Frozen:
    """The distribution with traced parameters."""

    def __init__(self, mean: Any, cov: Any) -> None:
        self.mean = mean
        self.cov = cov

    def logpdf(self, x: Any) -> Any:
        return _logpdf(x, self.mean, self.cov)

    def pdf(self, x: Any) -> Any:
        return np.exp(self.logpdf(x))


def _frozen(
    original: Any, dist: Any, mean: Any = None, cov: Any = 1, allow_singular: bool = False, seed: Any = None
) -> Any:
    return NotImplemented if allow_singular else _Frozen(mean, cov)


_OWNER = "scipy.stats._multivariate:multivariate_normal_gen"
TABLE = [
    StandIn(_OWNER, "logpdf", _method(lambda value: value)),
    StandIn(_OWNER, "pdf", _method(np.exp)),
    StandIn(_OWNER, "__call__", _frozen),
]
