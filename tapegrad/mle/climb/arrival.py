"""Where a search that nears a maximum may stop: what is left is for Newton's steps.

Such a search stops by the length of the gradient, in whatever units the parameters have. With much data that
is far below the rounding of the log-likelihood: its line searches then compare rounding, up to ten times an
iteration. But a step s of a quasi-Newton method says in standard errors where it began: the maximum was
sqrt(-g's) of them away, as far as its curvature is right, and half of -g's is what the log-likelihood rises
by. Newton's method squares what is left, so it does not pay to search on where that is small.
"""

from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from tapegrad.mle.climb.objectives import Objective

Array: TypeAlias = npt.NDArray[np.float64]

# Of -g's, by when Newton's steps take over, and how many roundings of the value; a step of the right length
# takes the slope along it away.
_NEAR: Final = 1e-10
_ROUNDINGS: Final = 4.0 * float(np.finfo(np.float64).eps)
_SHARE: Final = 0.5


class Arrived(Exception):
    """Ends the run of an optimiser."""


class Arrival:
    """Looks at each iteration of an optimiser.

    Parameters
    ----------
    objective : Objective
        What it minimises.

    Attributes
    ----------
    nit : int
        The iterations so far.
    """

    def __init__(self, objective: Objective) -> None:
        self._objective = objective
        self._before: tuple[Array, Array] = objective.start, objective.value_and_grad(objective.start)[1]
        self.nit = 0

    def look(self, z: Any) -> None:
        """Raise `Arrived` where the step to `z` was a small one."""
        self.nit += 1
        point = np.array(z)
        value, gradient = self._objective.value_and_grad(point)
        start, slope = self._before
        self._before = point, gradient
        step = point - start
        gain, left = -float(slope @ step), abs(float(gradient @ step))
        if gain <= _ROUNDINGS * abs(value) or (gain <= _NEAR and left <= _SHARE * gain):
            raise Arrived
