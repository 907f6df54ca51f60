"""How far rounding may reach into a log-likelihood: a running error bound."""

from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from tapegrad.function.traced import TracedFunction
from tapegrad.marginal.surface import Marginal
from tapegrad.mle.climb.surfaces import Surface, is_finite

Array: TypeAlias = npt.NDArray[np.float64]

# By how much rounding may change a log-likelihood that is to be maximised, and share of its size.
_ALLOWED: Final = 1e-7
_ALLOWED_SHARE: Final = 1e-13


def is_clear(function: TracedFunction | Marginal, x: Array) -> bool:
    """Whether rounding hides nothing at `x` that is worth a search."""
    return function.rounding_flat(x) <= allowed(function.value_flat(x))


def loudest(function: TracedFunction | Marginal, x: Array) -> int:
    """The coordinate that makes rounding grow most as it grows or falls."""

    def louder(i: int) -> float:
        step = np.zeros(x.size)
        step[i] = 0.25 * (1.0 + abs(x[i]))
        return max(function.rounding_flat(x + step), function.rounding_flat(x - step))

    return max(range(x.size), key=louder)


def allowed(value: float) -> float:
    """How much of a value may be rounding."""
    return _ALLOWED + _ALLOWED_SHARE * abs(value)


class Clear:
    """A surface that ends where rounding begins to hide it: there its value is NaN.

    Only what is higher than all before can mislead a search, and is looked at.

    Parameters
    ----------
    surface : Surface
    function : TracedFunction or Marginal
        What `surface` evaluates.
    value : float
        That where a search begins.
    slack : float
        How many times as much rounding is put up with.
    """

    def __init__(
        self, surface: Surface, function: TracedFunction | Marginal, value: float, slack: float = 1.0
    ) -> None:
        self._slack = slack
        self._surface = surface
        self._function = function
        self._best = value

    def value_flat(self, vector: Array) -> float:
        """The value at a flat vector."""
        return self._seen(vector, self._surface.value_flat(vector))

    def value_and_grad_flat(self, vector: Array) -> tuple[float, Array]:
        """Value and gradient at a flat vector."""
        value, gradient = self._surface.value_and_grad_flat(vector)
        return self._seen(vector, value) if is_finite(value, gradient) else value, gradient

    def hessian_flat(self, theta: Array) -> Any:
        """The Hessian at a flat vector."""
        return self._surface.hessian_flat(theta)

    def _seen(self, vector: Array, value: float) -> float:
        if value > self._best and np.isfinite(value):
            if self._function.rounding_flat(vector) > self._slack * allowed(value):
                return np.nan
            self._best = value
        return value
