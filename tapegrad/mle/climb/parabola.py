"""Whether a log-likelihood is the parabola that Newton's steps and standard errors take it for."""

import math
from collections.abc import Sequence
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from tapegrad.mle.climb.surfaces import Surface
from tapegrad.mle.matrices import covariance_factor

Array: TypeAlias = npt.NDArray[np.float64]

# Distances from the end, in standard errors, and how much of the gradient's change may be amiss there.
_CLEAN: Final = ((0.5, 0.25), (0.05, 0.05))
_STEADY: Final = 1e-2  # how much the information may have changed over the last step
_AMISS: Final = 0.25
_SCALES: Final = 4.0 ** -np.arange(1.0, 15.0)
_ROOM: Final = 10.0  # how much further than the maximum the parabola must reach


def distance_by(gradient: Array, cov: Array) -> float:
    """How far the maximum is in standard errors, if the log-likelihood is a parabola."""
    squared = float(gradient @ cov @ gradient)
    return math.sqrt(max(squared, 0.0)) if math.isfinite(squared) else math.inf


class Bowl:
    """The parabola at a point, and how far the surface departs from it.

    Parameters
    ----------
    surface : Surface
    x, gradient : ndarray, shape (q,)
    information, cov : ndarray, shape (q, q)
        Minus the Hessian at `x`, and its inverse.
    """

    def __init__(self, surface: Surface, x: Array, gradient: Array, information: Array, cov: Array) -> None:
        self._surface = surface
        self._x = x
        self._gradient = gradient
        self._information = information
        self._cov = cov
        # Some way along every direction that has a standard error, and one standard error in all.
        self.factor = covariance_factor(information)
        self.across = self.factor.sum(axis=1) / math.sqrt(x.size)

    def amiss(self, step: Array) -> float:
        """The error of the parabola in the change of the gradient along a step of length 1, or NaN."""
        there = self._surface.value_and_grad_flat(self._x + step)[1]
        length = math.sqrt(max(float(step @ self._information @ step), 0.0))
        return distance_by(there - self._gradient + self._information @ step, self._cov) / length

    def is_steady(self, before: Array) -> bool:
        """Whether the information is nearly that of another point."""
        change = self.factor.T @ (self._information - before) @ self.factor
        return bool(np.abs(change).max() <= _STEADY)

    def is_clean(self, before: Array | None) -> bool:
        """Whether a few looks suffice to see that the point is at a maximum.

        One, half a standard error away, if the information, which comes from second derivatives, has not
        changed since a point `before`. Where rounding makes up a maximum, or where the curvature vanishes
        together with the slope, both would be chance.
        """
        looks = _CLEAN if before is None or not self.is_steady(before) else _CLEAN[:1]
        return all(self.amiss(share * self.across) <= limit for share, limit in looks)

    def reaches(self, distance: float, step: Array) -> bool:
        """Whether the parabola holds in a neighbourhood that is large against the distance to its top.

        Then there is a maximum (L. V. Kantorovich 1948). At a point of inflection or towards infinity the
        neighbourhood shrinks with the distance. And what is rounding does not hold on two scales, on both
        sides, in several directions.
        """
        directions = [self.across, *([step / distance] if distance > 0.0 else [])]
        least = _ROOM * math.sqrt(self._x.size) * distance
        held = False
        for scale in _SCALES[least <= _SCALES].tolist():
            holds = self._holds(scale, directions)
            if holds and held:
                return True
            held = holds
        return False

    def is_seen(self, step: Array, distance: float) -> bool:
        """Whether the parabola can be told from rounding half a standard error away."""
        return self._holds(0.5, [self.across, step / distance])

    def _holds(self, scale: float, directions: Sequence[Array]) -> bool:
        shifts = (sign * scale * direction for direction in directions for sign in (1.0, -1.0))
        return all(self.amiss(shift) <= _AMISS for shift in shifts)
