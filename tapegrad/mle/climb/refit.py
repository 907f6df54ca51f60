"""A fit again: from another start, on other data, or with some coordinates held."""

from collections.abc import Mapping
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from tapegrad.mle.climb.climbing import climb
from tapegrad.mle.climb.surfaces import Slice
from tapegrad.mle.model.model import Model

Array: TypeAlias = npt.NDArray[np.float64]


class Refit(NamedTuple):
    """Where `refit` ends.

    Attributes
    ----------
    free : ndarray, shape (q,)
    llf : float
        What was maximised: the (weighted) log-likelihood, plus the log-prior where there is one.
    converged : bool
    """

    free: Array
    llf: float
    converged: bool


def refit(model: Model, start_free: Array, fixed: Mapping[int, float] | None = None) -> Refit:
    """Maximise a model again from another start, with some of its free coordinates held.

    Newton steps first, which are enough near a maximum, and BFGS where they fail. Nothing is raised or
    warned: look at `converged`.

    Parameters
    ----------
    model : Model
        That of a fit.
    start_free : ndarray, shape (q,)
        Where to start, in free coordinates. Where the log-likelihood is not finite there, it is also the end.
    fixed : mapping of int to float, optional
        Places in the free vector, and the values that they are held at.
    """
    point = np.array(start_free, dtype=np.float64)
    held = dict(fixed or {})
    point[list(held)] = list(held.values())
    moving = np.array([i for i in range(point.size) if i not in held], dtype=np.intp)
    if moving.size == 0:
        value = model.function.value_flat(point)
        return Refit(point, value, bool(np.isfinite(value)))
    if moving.size == point.size:
        end = climb(model.function, point)
        return Refit(end.x, end.value, end.converged)
    surface = Slice(model.function, point, moving)
    end = climb(surface, point[moving])
    return Refit(surface.whole(end.x), end.value, end.converged)
