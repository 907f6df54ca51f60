"""The ends of a profile interval, found directly where the profile is a plain one.

At an end two things hold: the log-likelihood is so much below its maximum, and its slope vanishes in all
other parameters. Newton's method solves these equations together, without the profile in between
(D. J. Venzon and S. H. Moolgavkar, "A method for computing profile-likelihood-based confidence intervals",
Applied Statistics 37, 1988). Here it is the root of the likelihood ratio that is brought to its limit, which
is nearly a straight line, and one Hessian serves as long as the steps shrink.

Whatever looks otherwise than around the maximum of a plain likelihood is left to the walk along the profile,
see `tapegrad.mle.infer.profile`, which assumes no shape.
"""

import math
from typing import Final, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from tapegrad.mle.climb.others import Others, others
from tapegrad.mle.climb.surfaces import Surface, is_finite
from tapegrad.mle.matrices import is_definite, solve

Array: TypeAlias = npt.NDArray[np.float64]

# In standard errors: how near the maximum has to be, and how near an end is before the last step, which
# squares that.
_AT_TOP: Final = 1e-6
_NEAR: Final = 1e-5
_MOST_STEPS: Final = 12
# A step that leaves more than this share of what was amiss wants a new Hessian; one with a new Hessian that
# leaves more than the other leads elsewhere.
_SHRUNK: Final = 0.1
_STUCK: Final = 0.5
# How much steeper or flatter the root may be at an end than at the maximum.
_BENT: Final = 4.0
# How far beyond an end it is looked at, as far as a walk goes; and the share by which the root has to grow
# there, of what it would along a straight line.
_BEYOND: Final = (0.2, 0.4)
_STRAIGHT: Final = 0.6
_HIGHER: Final = 1e-6


class Top(NamedTuple):
    """A maximum: its point, its height, and minus the Hessian there with its inverse."""

    free: Array
    height: float
    information: Array
    cov: Array


def top_of(surface: Surface, free: Array, information: Array) -> Top | None:
    """The maximum that a fit has found; None if it is none."""
    if not (np.isfinite(information).all() and is_definite(information)):
        return None
    height, gradient = surface.value_and_grad_flat(free)
    cov = solve(information, np.eye(free.size))
    is_there = is_finite(height, gradient) and float(gradient @ cov @ gradient) <= _AT_TOP**2
    return Top(free, height, information, cov) if is_there else None


@np.errstate(all="ignore")
def end_of(surface: Surface, top: Top, place: int, sign: int, limit: float) -> float | None:
    """The value of a coordinate at one end of its interval; None where only a walk can tell.

    Parameters
    ----------
    surface : Surface
        The log-likelihood.
    top : Top
    place : int
        The coordinate.
    sign : {-1, 1}
        The lower end, or the upper.
    limit : float
        The root of the likelihood ratio there.
    """
    error = math.sqrt(top.cov[place, place])
    beside = others(top.information, [place])
    x = top.free + sign * limit / error * top.cov[:, place]
    before, is_new = math.inf, False
    for _ in range(_MOST_STEPS):
        look = _look(top, beside, x, *surface.value_and_grad_flat(x))
        if look is None:
            return None
        amiss = look.distance + abs(look.root - limit)
        if amiss <= _NEAR:
            is_plain = 1.0 / _BENT < look.rate * sign * error < _BENT
            if not (is_plain and _falls_on(surface, top, beside, look, limit)):
                return None
            return float(x[place]) + (limit - look.root) / look.rate
        if not amiss <= _SHRUNK * before:
            found = others(-np.asarray(surface.hessian_flat(x)), [place])
            stuck = is_new and amiss > _STUCK * before
            anew = None if stuck or found is None else _look(top, found, x, look.value, look.gradient)
            if found is None or anew is None:
                return None
            beside, look, is_new = found, anew, True
        step = (limit - look.root) / look.rate
        if not abs(step) <= 2.0 * limit * error:
            return None
        x, before = look.moved(step), amiss
    return None


class _Look(NamedTuple):
    """What is seen of the profile from a point near it.

    Attributes
    ----------
    x, value, gradient
        The point, and the log-likelihood there.
    beside : Others
    root, rate : float
        The root of the likelihood ratio of the profile, and how it grows with the coordinate.
    distance : float
        How far the maximum in the others is, in standard errors.
    """

    x: Array
    value: float
    gradient: Array
    beside: Others
    root: float
    rate: float
    distance: float

    def moved(self, step: float) -> Array:
        """The point on the profile after a step of the coordinate."""
        return self.beside.moved(self.x, self.gradient, [step])


def _look(top: Top, beside: Others | None, x: Array, value: float, gradient: Array) -> _Look | None:
    """What is seen from a point; None if nothing is, or something as high as the maximum."""
    if beside is None or not is_finite(value, gradient):
        return None
    slopes = gradient[beside.places]
    squared = max(float(slopes @ beside.cov @ slopes), 0.0)
    fall = 2.0 * (top.height - value) - squared
    if not fall > _HIGHER:
        return None
    root = math.sqrt(fall)
    slope = float(gradient[beside.held[0]] + beside.turn[:, 0] @ slopes)
    return _Look(x, value, gradient, beside, root, -slope / root, math.sqrt(squared)) if slope else None


def _falls_on(surface: Surface, top: Top, beside: Others | None, end: _Look, limit: float) -> bool:
    """Whether the profile falls on beyond an end."""
    share, least = _BEYOND
    further = share * limit + least
    x = end.moved((limit - end.root + further) / end.rate)
    beyond = _look(top, beside, x, *surface.value_and_grad_flat(x))
    return beyond is not None and beyond.root > limit + _STRAIGHT * further
