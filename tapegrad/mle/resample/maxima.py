"""The maxima of one model: on other weights, which share one trace, or on other data."""

from collections.abc import Iterable
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from tapegrad.mle.climb.climbing import climb
from tapegrad.mle.climb.surfaces import Surface
from tapegrad.mle.estimate import Estimate
from tapegrad.mle.model.model import Model
from tapegrad.mle.notices import ConvergenceWarning, warn
from tapegrad.mle.progress import Progress

Array: TypeAlias = npt.NDArray[np.float64]


class Reweighted:
    """What is maximised with other weights, in the trace that all weights share: a surface.

    Parameters
    ----------
    model : Model
        One whose log-likelihood returns one value for each observation.
    weights : ndarray, shape (n,)
    """

    def __init__(self, model: Model, weights: Array) -> None:
        self._function = model.weighted
        self._q = model.space.start.size
        self._point = np.concatenate([np.zeros(self._q), weights])
        self._directions = np.zeros((self._q, self._point.size))
        np.fill_diagonal(self._directions, 1.0)

    def _at(self, free: Array) -> Array:
        self._point[: self._q] = free
        return self._point

    def value_flat(self, vector: Array) -> float:
        """The value at a free vector."""
        return self._function.value_flat(self._at(vector))

    def value_and_grad_flat(self, vector: Array) -> tuple[float, Array]:
        """Value and gradient at a free vector."""
        value, gradient = self._function.value_and_grad_flat(self._at(vector))
        return value, gradient[: self._q]

    def hessian_flat(self, vector: Array) -> Array:
        """The Hessian at a free vector, shape (q, q)."""
        point = self._at(vector)
        columns = [self._function.hvp_flat(point, v)[: self._q] for v in self._directions]
        hessian = np.array(columns)
        return np.asarray(0.5 * (hessian + hessian.T))


def require_converged(result: Estimate) -> tuple[Model, Array]:
    """The model of a fit that has converged, and its estimates in free coordinates.

    Raises
    ------
    ValueError
        If the fit has not converged, or was loaded without its model.
    """
    model = result.require_model("a refit")
    if not result.converged:
        raise ValueError(f"refits start from a maximum, and this fit has none: {result.message}")
    return model, result.free_estimates


def maxima(
    surfaces: Iterable[Surface], start: Array, label: str, total: int, progress: bool
) -> tuple[Array, npt.NDArray[np.bool_]]:
    """The maximum of each surface, in free coordinates.

    Returns
    -------
    ends : ndarray, shape (total, q)
    converged : ndarray of bool, shape (total,)
    """
    ends = np.empty((total, start.size))
    converged = np.zeros(total, dtype=bool)
    with Progress(label, total, progress) as shown:
        for i, surface in enumerate(surfaces):
            with np.errstate(all="ignore"):  # a refit that runs away may overflow on its way
                end = climb(surface, start)
            ends[i], converged[i] = end.x, end.converged
            shown.step()
    return ends, converged


def natural_rows(model: Model, ends: Array) -> Array:
    """The natural vectors (k, p) of free vectors (k, q)."""
    return np.array([model.space.natural(end) for end in ends]).reshape(len(ends), len(model.space.names))


def warn_of_failures(converged: npt.NDArray[np.bool_], what: str, then: str) -> None:
    """Warn about refits that have not converged, with their number and their treatment."""
    failed = int(np.sum(~converged))
    if failed:
        warn(f"{failed} of {converged.size} {what} have not converged, and {then}", ConvergenceWarning)


def base_weights(model: Model) -> Array:
    """The weights of a fit, shape (n,)."""
    return np.ones(model.n_rows) if model.weights is None else model.weights
