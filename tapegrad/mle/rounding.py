"""How far rounding reaches into a log-likelihood, measured where it is evaluated."""

from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from tapegrad.mle.optimizers import Surface, is_finite

Array: TypeAlias = npt.NDArray[np.float64]

# Shifts of a point, in units of the distance of neighbouring floats: far too short to matter by themselves.
_SHIFTS: Final = (16.0, -11.0, 7.0, -75.0, 230.0, -19.0)
_SMALLEST: Final = 1e-3  # nearer to 0, the distance of floats says nothing about the parameter
# By how much rounding may change a log-likelihood that is to be maximised, and share of its size.
_ALLOWED: Final = 1e-7
_ALLOWED_SHARE: Final = 1e-13


def noise(surface: Surface, x: Array, value: float, gradient: Array) -> float:
    """By how much rounding changes the value at `x`, as points next to it show; infinite at an edge.

    Between two points the value should change by the mean of their slopes. What is left is rounding.

    Parameters
    ----------
    surface : Surface
    x : ndarray, shape (q,)
    value : float
    gradient : ndarray, shape (q,)
        Those at `x`.
    """
    signs = np.where(np.arange(x.size) % 2 == 0, 1.0, -1.0)
    unit = signs * np.spacing(np.maximum(np.abs(x), _SMALLEST))
    worst = 0.0
    with np.errstate(all="ignore"):
        for shift in _SHIFTS:
            near = x + shift * unit
            there, slope = surface.value_and_grad_flat(near)
            left = abs(there - value - 0.5 * float((near - x) @ (gradient + slope)))
            worst = max(worst, left) if np.isfinite(left) else np.inf
    return worst


def is_clear(surface: Surface, x: Array, value: float, gradient: Array) -> bool:
    """Whether rounding hides nothing at `x` that is worth a search."""
    return noise(surface, x, value, gradient) <= allowed(value)


def allowed(value: float) -> float:
    """How much of a value may be rounding."""
    return _ALLOWED + _ALLOWED_SHARE * abs(value)


class Clear:
    """A surface that ends where rounding begins to hide it: there its value is NaN.

    Only what is higher than all before can mislead a search, and is looked at.

    Parameters
    ----------
    surface : Surface
    value : float
        That where a search begins.
    """

    def __init__(self, surface: Surface, value: float) -> None:
        self._surface = surface
        self._best = value

    def value_flat(self, vector: Array) -> float:
        """The value at a flat vector."""
        return self.value_and_grad_flat(vector)[0]

    def value_and_grad_flat(self, vector: Array) -> tuple[float, Array]:
        """Value and gradient at a flat vector."""
        value, gradient = self._surface.value_and_grad_flat(vector)
        if value > self._best and is_finite(value, gradient):
            if not is_clear(self._surface, vector, value, gradient):
                return np.nan, gradient
            self._best = value
        return value, gradient

    def hessian(self, theta: Array) -> Any:
        """The Hessian at a flat vector."""
        return self._surface.hessian(theta)
