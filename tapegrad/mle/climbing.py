"""The end of every fit: Newton steps with the exact Hessian, and the verdict on where they arrive."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from tapegrad.mle import optimizers
from tapegrad.mle.inference import combination, covariance, why_not_definite
from tapegrad.mle.optimizers import Surface

Array: TypeAlias = npt.NDArray[np.float64]

# Distances to the maximum, in standard errors: what Newton's steps aim at, and what passes for a maximum
# where rounding stops them earlier.
_AIM: Final = 1e-9
_CLOSE: Final = 1e-4
# Shares of Newton's step after which the gradient is looked at, to tell rounding from curvature.
_SHARES: Final = (1.0 / 30.0, 1.0 / 300.0)
# Near a maximum each step squares the distance, so that a handful is enough wherever there is one.
NEWTON_STEPS: Final = 10


@dataclass(frozen=True)
class End:
    """Where a fit ends: distances are in standard errors, NaN if there is no maximum.

    Attributes
    ----------
    x : ndarray, shape (q,)
    value : float
    information : ndarray, shape (q, q)
        Minus the Hessian there.
    definite : bool
        Whether it is positive definite.
    distance : float
        How far the maximum is, if the log-likelihood is a parabola.
    blurred : bool
        Whether rounding in the gradient is all that keeps it from being less.
    steps : int
        Newton's steps on the way.
    last_step : ndarray, shape (q,)
        The one that would come next.
    """

    x: Array
    value: float
    information: Array
    definite: bool
    distance: float
    blurred: bool
    steps: int
    last_step: Array

    @property
    def converged(self) -> bool:
        """Whether this is a maximum."""
        return self.distance <= (_CLOSE if self.blurred else _AIM)


@np.errstate(all="ignore")  # where there is no maximum, numbers may grow without bound
def polish(surface: Surface, x: Array, limit: int = NEWTON_STEPS) -> End:
    """Newton steps from `x` while each comes closer to the maximum, and whether they arrived.

    Parameters
    ----------
    surface : Surface
        What is maximised.
    x : ndarray, shape (q,)
        Where to begin. Where value or gradient are not finite there, that is where it ends.
    limit : int
        The most steps to take.
    """
    value, gradient = surface.value_and_grad_flat(x)
    if not optimizers.is_finite(value, gradient):
        return _nowhere(x, value, np.full((x.size, x.size), np.nan), 0)
    steps = 0
    while True:
        information = -surface.hessian_flat(x)
        cov = covariance(information)
        if np.isnan(cov[0, 0]):  # not definite: there is none
            return _nowhere(x, value, information, steps)
        step = cov @ gradient
        distance = _distance(gradient, cov)
        if distance <= _AIM or steps == limit:
            break
        new_x = x + step
        new_value, new_gradient = surface.value_and_grad_flat(new_x)
        # Written so that NaN is no improvement. A value lower by rounding alone is as good.
        as_high = new_value >= value - 1e-10 * (1.0 + abs(value))
        if not (as_high and _distance(new_gradient, cov) < distance):
            break
        x, value, gradient, steps = new_x, new_value, new_gradient, steps + 1
    blurred = distance > _AIM and _is_blurred(surface, x, gradient, step, cov)
    return End(x, value, information, True, distance, blurred, steps, step)


def _nowhere(x: Array, value: float, information: Array, steps: int) -> End:
    return End(x, value, information, False, np.nan, False, steps, np.full_like(x, np.nan))


def _is_blurred(surface: Surface, x: Array, gradient: Array, step: Array, cov: Array) -> bool:
    """Whether the gradient near `x` is rounding.

    After a share of Newton's step, the same share of the gradient should be gone. What is amiss, relative to
    the share, shrinks with the share if it comes from third derivatives, and does not if it is rounding.
    """
    amiss = []
    for share in _SHARES:
        there = surface.value_and_grad_flat(x + share * step)[1]
        amiss.append(_distance(there - (1.0 - share) * gradient, cov) / share)
    first, second = np.array(amiss) / _distance(gradient, cov)
    return bool(min(first, second) > 0.3 and 0.5 * first < second < np.inf)


def _distance(gradient: Array, cov: Array) -> float:
    """How far the maximum is in standard errors, if the log-likelihood is a parabola."""
    squared = float(gradient @ cov @ gradient)
    return math.sqrt(max(squared, 0.0)) if math.isfinite(squared) else math.inf


def climb(surface: Surface, x: Array) -> End:
    """To the maximum from a start that is close to it in most cases: Newton's steps, and BFGS where they
    fail.

    Parameters
    ----------
    surface : Surface
        What is maximised.
    x : ndarray, shape (q,)
        Where to begin. Where value or gradient are not finite there, that is where it ends.
    """
    surface = optimizers.Supported(surface)
    end = polish(surface, x)
    if end.converged or not optimizers.is_finite(*surface.value_and_grad_flat(end.x)):
        return end
    objective = optimizers.Objective(surface, end.x, end.value)
    for method in (optimizers.NEWTON, "bfgs"):
        optimizers.run(objective, method, None)
        end = polish(surface, objective.best_x)
        if end.converged:
            break
    return end


def verdict(end: End, run: optimizers.Run, names: Sequence[str]) -> str:
    """How a fit ended, in words; `names` are those of the free coordinates."""
    if run.stopped:
        reason = "not converged: stopped early"
    elif end.converged:
        return f"converged: {end.distance:.1g} standard errors from the maximum"
    elif not end.definite:
        reason = f"no standard errors: {why_not_definite(end.information, names)}"
    elif end.blurred:
        reason = (
            f"not converged: {end.distance:.2g} standard errors from a maximum, and rounding in the "
            "log-likelihood lets no step come closer"
        )
    elif end.steps == NEWTON_STEPS:
        units = 1.0 / np.sqrt(np.diag(end.information))
        direction = combination(end.last_step / units, units, names)
        reason = f"not converged: the log-likelihood keeps rising along {direction}, perhaps without end"
    else:
        reason = f"not converged: still {end.distance:.2g} standard errors from a maximum"
    return f"{reason} (the optimiser stopped with: {run.message})"
