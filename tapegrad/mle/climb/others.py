"""The maximum in all coordinates but some, near one that is known: steps by a Hessian that is at hand.

Along a profile the maximum in the other coordinates moves little, and so does the Hessian. Newton's steps
with the Hessian of a neighbour shrink what is left by the share in which the two differ, at the cost of a
gradient each.
"""

import math
from collections.abc import Iterable
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from tapegrad.mle.climb.surfaces import Surface, is_finite
from tapegrad.mle.matrices import is_definite, solve

Array: TypeAlias = npt.NDArray[np.float64]

# In standard errors: before the last step; by which share each step has to shrink that, to be believed; and
# how far away it may begin.
_NEAR: Final = 1e-6
_SHRUNK: Final = 0.25
_FAR: Final = 3.0
_MOST_STEPS: Final = 8
# How far aside the Hessian is looked at.
_ASIDE: Final = 0.1


class Others(NamedTuple):
    """All coordinates but some: which they are, their covariance, and how they move with those.

    Attributes
    ----------
    held, places : ndarray of int
        The coordinates that are held, and the others.
    information, cov : ndarray, shape (m, m)
        Minus the Hessian in the others, and its inverse.
    turn : ndarray, shape (m, k)
        How the maximum in the others moves with what is held.
    """

    held: npt.NDArray[np.intp]
    places: npt.NDArray[np.intp]
    information: Array
    cov: Array
    turn: Array

    def moved(self, x: Array, gradient: Array, steps: Any) -> Array:
        """The maximum in the others after steps of what is held, from a point with this gradient."""
        point = x.copy()
        point[self.held] += steps
        point[self.places] += self.cov @ gradient[self.places] + self.turn @ np.asarray(steps)
        return point


def others(information: Array, held: Iterable[int]) -> Others | None:
    """The others by minus the Hessian at some point; None where they have no maximum there."""
    kept = np.array(list(held), dtype=np.intp)
    places = np.delete(np.arange(len(information)), kept)
    block = information[np.ix_(places, places)]
    if not np.isfinite(information).all() or (places.size and not is_definite(block)):
        return None
    cov = solve(block, np.eye(places.size)) if places.size else block
    return Others(kept, places, block, cov, -cov @ information[np.ix_(places, kept)])


@np.errstate(all="ignore")
def settled(surface: Surface, x: Array, beside: Others) -> tuple[Array, float] | None:
    """The maximum in the others near a point, and its height; None where the steps do not shrink fast."""
    before = math.inf
    for _ in range(_MOST_STEPS):
        value, gradient = surface.value_and_grad_flat(x)
        if not is_finite(value, gradient):
            return None
        slopes = gradient[beside.places]
        squared = max(float(slopes @ beside.cov @ slopes), 0.0)
        distance = math.sqrt(squared)
        if not distance <= min(_FAR, _SHRUNK * before):
            return None
        if distance <= _NEAR and math.isinf(before) and not _is_bowl(surface, x, gradient, beside):
            return None
        x = beside.moved(x, gradient, np.zeros(beside.held.size))
        if distance <= _NEAR:
            return x, value + 0.5 * squared
        before = distance
    return None


def _is_bowl(surface: Surface, x: Array, gradient: Array, beside: Others) -> bool:
    """Whether the gradient changes around a point as the Hessian says: no step has shown it."""
    if not beside.places.size:
        return True
    aside = _ASIDE * np.sqrt(np.diag(beside.cov))
    point = x.copy()
    point[beside.places] += aside
    there = surface.value_and_grad_flat(point)[1]
    amiss = (there - gradient)[beside.places] + beside.information @ aside
    return bool(amiss @ beside.cov @ amiss <= _SHRUNK**2 * (aside @ beside.information @ aside))
