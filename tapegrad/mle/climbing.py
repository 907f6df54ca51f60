"""The end of every fit: Newton steps with the exact Hessian, and the verdict on where they arrive."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from tapegrad.mle import optimizers
from tapegrad.mle.inference import combination, is_definite, solve, why_not_definite
from tapegrad.mle.optimizers import Surface

Array: TypeAlias = npt.NDArray[np.float64]

# Distances to the maximum, in standard errors: what Newton's steps aim at, and what passes for a maximum
# where rounding stops them earlier.
_AIM = 1e-9
_CLOSE = 1e-4
# Near a maximum each step squares the distance, so that a handful is enough wherever there is one.
NEWTON_STEPS = 10


@dataclass(frozen=True)
class End:
    """Where a fit ends: the distance to the maximum is in standard errors, NaN if there is none."""

    x: Array
    value: float
    information: Array
    definite: bool
    converged: bool
    distance: float
    steps: int
    last_step: Array


def polish(surface: Surface, x: Array, limit: int = NEWTON_STEPS) -> End:
    """Newton steps from `x` while each comes closer to the maximum, and whether they arrived.

    Parameters
    ----------
    surface : Surface
        What is maximised.
    x : ndarray, shape (q,)
        Where to begin; value and gradient are finite there.
    limit : int
        The most steps to take.
    """
    value, gradient = surface.value_and_grad_flat(x)
    steps = 0
    while True:
        information = -surface.hessian(x)
        if not is_definite(information):
            return End(x, value, information, False, False, np.nan, steps, np.full_like(x, np.nan))
        step = solve(information, gradient)
        distance = _length(gradient, step)
        arrived = distance <= _AIM
        if arrived or steps == limit:
            arrived = distance <= (_CLOSE if limit == 0 else _AIM)
            break
        new_x = x + step
        new_value, new_gradient = surface.value_and_grad_flat(new_x)
        # Written so that NaN is no improvement. A value lower by rounding alone is as good.
        as_high = new_value >= value - 1e-12 * (1.0 + abs(value))
        if not (as_high and _distance(information, new_gradient) < distance):
            arrived = distance <= _CLOSE
            break
        x, value, gradient, steps = new_x, new_value, new_gradient, steps + 1
    return End(x, value, information, True, arrived, distance, steps, step)


def _distance(information: Array, gradient: Array) -> float:
    """How far the maximum is in standard errors, if the log-likelihood is a parabola."""
    return _length(gradient, solve(information, gradient)) if np.isfinite(gradient).all() else np.inf


def _length(gradient: Array, step: Array) -> float:
    return math.sqrt(max(float(gradient @ step), 0.0))


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
    value, gradient = surface.value_and_grad_flat(x)
    if not optimizers.is_finite(value, gradient):
        unknown = np.full((x.size, x.size), np.nan)
        return End(x, value, unknown, False, False, np.nan, 0, np.full_like(x, np.nan))
    end = polish(surface, x)
    if end.converged:
        return end
    objective = optimizers.Objective(surface, end.x, end.value)
    for method in ("newton", "bfgs"):
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
    elif end.steps == NEWTON_STEPS:
        units = 1.0 / np.sqrt(np.diag(end.information))
        direction = combination(end.last_step / units, units, names)
        reason = f"not converged: the log-likelihood keeps rising along {direction}, perhaps without end"
    else:
        reason = f"not converged: still {end.distance:.2g} standard errors from a maximum"
    return f"{reason} (the optimiser stopped with: {run.message})"
