"""The end of every fit: Newton steps with the exact Hessian, and the verdict on where they arrive."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from tapegrad.mle.climb import optimizers
from tapegrad.mle.climb.objectives import Objective
from tapegrad.mle.climb.parabola import Bowl, distance_by
from tapegrad.mle.climb.surfaces import Supported, Surface, is_finite
from tapegrad.mle.matrices import combination, covariance, to_unit_diagonal, why_not_definite

Array: TypeAlias = npt.NDArray[np.float64]

# Distances to the maximum, in standard errors: what Newton's steps aim at, and what passes for a maximum
# where rounding stops them earlier.
_AIM: Final = 1e-9
_CLOSE: Final = 1e-4
# A parabola with its top so far away, in its own standard errors, is none.
_FAR: Final = 1e3
# Standard errors below so many distances of neighbouring floats are those of rounding.
_FLOATS: Final = 16.0
# Of the information scaled to a unit diagonal: a direction with less curvature may be a ridge.
_RIDGE: Final = 1e-7
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
    holds : bool
        Whether there is a maximum at that distance: the log-likelihood around is that parabola. Looked for
        where the distance is small, or blurred.
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
    holds: bool
    steps: int
    last_step: Array

    @property
    def converged(self) -> bool:
        """Whether this is a maximum."""
        return self.holds and self.distance <= (_CLOSE if self.blurred else _AIM)

    @property
    def arrived(self) -> bool:
        """Whether no search can come closer."""
        return self.converged or (self.blurred and self.holds)

    @property
    def has_errors(self) -> bool:
        """Whether there is a parabola with its top near enough to speak of standard errors."""
        return self.converged or (
            self.definite and self.distance <= _FAR and not sharp(self.x, self.information).any()
        )


def sharp(x: Array, information: Array) -> npt.NDArray[np.bool_]:
    """Which coordinates have standard errors of the size of rounding, as where data are fitted perfectly."""
    found: npt.NDArray[np.bool_] = np.diag(information) * (_FLOATS * np.spacing(np.abs(x))) ** 2 > 1.0
    return found


@np.errstate(all="ignore")  # where there is no maximum, numbers may grow without bound
def polish(
    surface: Surface, x: Array, limit: int = NEWTON_STEPS, known: tuple[float, Array] | None = None
) -> End:
    """Newton steps from `x` while each comes closer to the maximum, and whether they arrived.

    Parameters
    ----------
    surface : Surface
        What is maximised.
    x : ndarray, shape (q,)
        Where to begin. Where value or gradient are not finite there, that is where it ends.
    limit : int
        The most steps to take.
    known : tuple of float and ndarray, optional
        Value and gradient at `x`, where they are known already.
    """
    value, gradient = surface.value_and_grad_flat(x) if known is None else known
    if not is_finite(value, gradient):
        return _nowhere(x, value, np.full((x.size, x.size), np.nan), 0)
    steps, before = 0, None
    information = -surface.hessian_flat(x)
    if limit:
        x, value, gradient, information = _settled(surface, x, value, gradient, information)
    while True:
        cov = covariance(information)
        if np.isnan(cov[0, 0]):  # not definite: there is none
            return _nowhere(x, value, information, steps)
        step = cov @ gradient
        distance = distance_by(gradient, cov)
        if distance <= _AIM or steps == limit:
            break
        new_x = x + step
        new_value, new_gradient = surface.value_and_grad_flat(new_x)
        # Written so that NaN is no improvement. A value lower by rounding alone is as good.
        as_high = new_value >= value - 1e-10 * (1.0 + abs(value))
        if not (as_high and distance_by(new_gradient, cov) < distance):
            break
        x, value, gradient, steps, before = new_x, new_value, new_gradient, steps + 1, information
        information = -surface.hessian_flat(x)
    blurred = distance > _AIM and _is_blurred(surface, x, gradient, step, cov)
    holds = False
    if distance <= _AIM or blurred:
        bowl = Bowl(surface, x, gradient, information, cov)
        holds = (not blurred and bowl.is_clean(before)) or bowl.reaches(distance, step)
        holds = holds or (blurred and distance > _CLOSE and bowl.is_seen(step, distance))
    return End(x, value, information, True, distance, blurred, holds, steps, step)


def _settled(
    surface: Surface, x: Array, value: float, gradient: Array, information: Array
) -> tuple[Array, float, Array, Array]:
    """On the ridge, where there is one: Newton steps across the directions that the data do not determine.

    What is left of the gradient bends a ridge that is not straight, upwards or downwards, so that it passes
    for a maximum or for a saddle. Where nothing is undetermined, or something curves upwards, all stays as it
    is.
    """
    for _ in range(NEWTON_STEPS):
        if not np.isfinite(information).all():
            break
        scaled, scale = to_unit_diagonal(information)
        eigenvalues, vectors = np.linalg.eigh(scaled)
        steep = eigenvalues > _RIDGE
        if steep.all() or not steep.any() or eigenvalues[0] < -_RIDGE:
            break
        across = scale[:, None] * vectors[:, steep] / np.sqrt(eigenvalues[steep])
        slopes = across.T @ gradient
        new_x = x + across @ slopes
        new_value, new_gradient = surface.value_and_grad_flat(new_x)
        as_high = new_value >= value - 1e-10 * (1.0 + abs(value))
        if not (as_high and np.linalg.norm(across.T @ new_gradient) < 0.5 * np.linalg.norm(slopes)):
            break
        x, value, gradient, information = new_x, new_value, new_gradient, -surface.hessian_flat(new_x)
    return x, value, gradient, information


def _nowhere(x: Array, value: float, information: Array, steps: int) -> End:
    return End(x, value, information, False, np.nan, False, False, steps, np.full_like(x, np.nan))


def _is_blurred(surface: Surface, x: Array, gradient: Array, step: Array, cov: Array) -> bool:
    """Whether the gradient near `x` is rounding.

    After a share of Newton's step, the same share of the gradient should be gone. What is amiss, relative to
    the share, shrinks with the share if it comes from third derivatives, and does not if it is rounding.
    """
    amiss = []
    for share in _SHARES:
        there = surface.value_and_grad_flat(x + share * step)[1]
        amiss.append(distance_by(there - (1.0 - share) * gradient, cov) / share)
    first, second = np.array(amiss) / distance_by(gradient, cov)
    return bool(min(first, second) > 0.3 and 0.5 * first < second < np.inf)


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
    surface = Supported(surface)
    end = polish(surface, x)
    if end.converged or not is_finite(*surface.value_and_grad_flat(end.x)):
        return end
    objective = Objective(surface, end.x, end.value)
    for method in (optimizers.NEWTON, "bfgs"):
        optimizers.run(objective, method, None)
        end = polish(surface, objective.best_x, known=objective.at_best)
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
    elif end.blurred and end.holds:
        reason = (
            f"not converged: {end.distance:.2g} standard errors from a maximum, and rounding in the "
            "log-likelihood lets no step come closer"
        )
    elif sharp(end.x, end.information).any():
        reason = (
            f"no standard errors: the data determine {_sharpest(end, names)} to the last digit of a float"
        )
    elif not end.has_errors:
        reason = f"no standard errors: a maximum, if there is one, is {end.distance:.2g} of them away"
    elif end.steps == NEWTON_STEPS or end.blurred or end.distance <= _AIM:
        reason = (
            f"not converged: the log-likelihood keeps rising along {_course(end, names)}, perhaps without "
            "end, or its top is flat: slope and curvature vanish together"
        )
    else:
        reason = f"not converged: still {end.distance:.2g} standard errors from a maximum"
    return f"{reason} (the optimiser stopped with: {run.message})"


def _course(end: End, names: Sequence[str]) -> str:
    """The direction that bends least, in units of the parameters' sizes."""
    sizes = 1.0 + np.abs(end.x)
    _, vectors = np.linalg.eigh(covariance(end.information) / np.outer(sizes, sizes))
    return combination(vectors[:, -1], sizes, names)


def _sharpest(end: End, names: Sequence[str]) -> str:
    return names[int(np.argmax(np.diag(end.information) * np.spacing(np.abs(end.x)) ** 2))]
