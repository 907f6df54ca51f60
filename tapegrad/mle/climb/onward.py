"""On from where a search has stopped without a maximum: Newton's steps, and leaps to where it is higher."""

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from tapegrad.mle.climb import optimizers
from tapegrad.mle.climb.climbing import End, polish
from tapegrad.mle.climb.objectives import Objective
from tapegrad.mle.climb.surfaces import Surface
from tapegrad.mle.matrices import to_unit_diagonal

Array: TypeAlias = npt.NDArray[np.float64]

_LEAPS: Final = 8
# A leap that gains less, or less than this share of the value, is not worth it.
_GAIN: Final = 1e-8
_GAIN_SHARE: Final = 1e-12
# Lengths of leaps, in units of the parameters' sizes, and in standard errors.
_REACH: Final = 4.0 ** np.arange(-4.0, 5.0)
_NEARER: Final = 4.0 ** -np.arange(5.0)
# Of the information scaled to a unit diagonal: with less curvature than this, a direction is looked along.
_SOFT: Final = 1e-6
_TRIES: Final = 5


class Onward(NamedTuple):
    """Where the way on has ended, after so many iterations."""

    end: End
    nit: int


@np.errstate(all="ignore")  # what rises without end may overflow on its way
def onward(surface: Surface, end: End, maxiter: int | None, is_sound: Callable[[Array], bool]) -> Onward:
    """Newton's method from an end that is no maximum, and from wherever something higher is seen from it.

    Parameters
    ----------
    surface : Surface
    end : End
    maxiter : int or None
        The most iterations.
    is_sound : callable
        Whether a height at a point is no rounding.
    """
    nit = 0
    start, value = end.x, end.value
    for _ in range(_LEAPS):
        left = None if maxiter is None else maxiter - nit
        if left is not None and left <= 0:
            break
        objective = Objective(surface, start, value)
        nit += optimizers.run(objective, optimizers.NEWTON, left).nit
        found = polish(surface, objective.best_x, known=objective.at_best)
        nit += found.steps
        if _better(found, end):
            end = found
        if end.arrived:
            break
        leap = _leap(surface, end, is_sound)
        if leap is None:
            break
        start, value = leap
    return Onward(end, nit)


def _better(found: End, end: End) -> bool:
    """A maximum, or higher, or as high with a clearer view of the curvature."""
    if not (np.isfinite(found.value) and np.isfinite(found.information).all()):
        return False
    reach = _GAIN_SHARE * (1.0 + abs(end.value))
    return found.arrived or found.value >= end.value - reach


def _leap(surface: Surface, end: End, is_sound: Callable[[Array], bool]) -> tuple[Array, float] | None:
    """The nearest point around that has half of the largest gain; None if no point gains."""
    if not np.isfinite(end.value):
        return None
    least = end.value + _GAIN + _GAIN_SHARE * abs(end.value)
    seen = [(step, surface.value_flat(end.x + step)) for step in _steps(surface, end)]

    def can_go(x: Array) -> bool:
        return is_sound(x) and bool(np.isfinite(surface.hessian_flat(x)).all())

    higher = sorted((s for s in seen if s[1] > least and np.isfinite(s[1])), key=lambda s: -s[1])
    for step, value in higher[:_TRIES]:
        if can_go(end.x + step):
            enough = end.value + 0.5 * (value - end.value)
            near = sorted((s for s in higher if s[1] >= enough), key=lambda s: float(s[0] @ s[0]))
            return next((end.x + s[0], s[1]) for s in near if s[0] is step or can_go(end.x + s[0]))
    return None


def _steps(surface: Surface, end: End) -> Iterator[Array]:
    """Steps to try: uphill, and both ways along what bends little or upwards, at many lengths."""
    gradient = surface.value_and_grad_flat(end.x)[1]
    if not (np.isfinite(gradient).all() and np.isfinite(end.information).all()):
        return
    scaled, scale = to_unit_diagonal(end.information)
    eigenvalues, vectors = np.linalg.eigh(scaled)
    uphill = scale * (vectors @ ((vectors.T @ (scale * gradient)) / np.maximum(np.abs(eigenvalues), _SOFT)))
    ways = [uphill, -uphill] if uphill.any() else []
    for vector in vectors.T[eigenvalues < _SOFT][:3]:
        ways += [scale * vector, -scale * vector]
    if end.definite:
        factor = (scale[:, None] * vectors / np.sqrt(eigenvalues)).sum(axis=1) / np.sqrt(scale.size)
        ways += [factor, -factor]
    for way in ways:
        for length in _lengths(way, end):
            yield length * way


def _lengths(way: Array, end: End) -> Array:
    sizes = 1.0 + np.abs(end.x)
    lengths = _REACH / np.max(np.abs(way) / sizes)
    if not end.definite:
        return lengths
    return np.concatenate([lengths, _NEARER / np.sqrt(way @ end.information @ way)])
