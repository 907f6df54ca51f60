"""Directions that the data do not determine: found in the Hessian, and confirmed by walking along them.

A singular Hessian alone tells little: units far apart and nearly collinear columns make one, too. Here a
direction counts as flat only if the log-likelihood stays the same far along it, to both sides, and as an end
only if it levels off to one side. What does not move along such directions keeps its standard errors.
"""

from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from tapegrad.mle.climb.surfaces import Surface
from tapegrad.mle.estimate import Estimate
from tapegrad.mle.matrices import combination, generalised_inverse, moves_along, to_unit_diagonal

Array: TypeAlias = npt.NDArray[np.float64]

# Eigenvalues, of the information scaled to a unit diagonal: what a walk is worth at a top, and what one of 0
# may be before Newton's steps have led there.
_SUSPECT: Final = 1e-8
_CURVED: Final = 1e-4
# What a value differs by from rounding, relative to one plus its size, and from rounding far away.
_NOISE: Final = 1e-11
_FAR_NOISE: Final = 1e-15
# Distances are in standard errors, were the other coordinates known: the first step of a walk, how far it has
# to come, and how far it goes. A curvature of 1e-9 shows at the nearest, one of 1e-17 at the farthest.
_FIRST, _NEAR, _FARTHEST = 0.5, 4.0, 1e6
_WALKS: Final = 4
# Newton's steps beside a direction, and where they are at the top.
_CORRECTIONS: Final = 12
_CLOSE: Final = 1e-6
# A standard error of a free coordinate as large as that may be one of a coordinate at an end.
_WIDE: Final = 30.0
_SLOPE: Final = 0.05
# How far it is followed to both sides, how much the log-likelihood may still rise on the one, and how much it
# has to fall on the other.
_OUTWARD: Final = (1.0, 2.0, 4.0, 8.0, 9.0)
_INWARD: Final = tuple(2.0**k for k in range(8))
_LEVEL: Final = 1e-4
_FALL: Final = 1e-2


@dataclass(frozen=True, eq=False)
class Undetermined:
    """A top of the log-likelihood with directions in which it does not fall.

    Attributes
    ----------
    x : ndarray, shape (q,)
        A point of the top.
    value : float
    information : ndarray, shape (q, q)
        Minus the Hessian there.
    directions : ndarray, shape (q, k)
        The flat directions, and the axes of the coordinates at an end, in free coordinates.
    ends : tuple of int
        The coordinates that have run to an end, where the log-likelihood levels off.
    """

    x: Array
    value: float
    information: Array
    directions: Array
    ends: tuple[int, ...]


@np.errstate(all="ignore")
def undetermined(surface: Surface, x: Array, information: Array) -> Undetermined | None:
    """The directions that the data do not determine, or None where there are none, or no top.

    Parameters
    ----------
    surface : Surface
        What was maximised.
    x : ndarray, shape (q,)
        Where the search has ended.
    information : ndarray, shape (q, q)
        Minus the Hessian there.
    """
    if not np.isfinite(information).all():
        return None
    wide = _wide(surface, x, information)
    if not wide and np.linalg.eigvalsh(to_unit_diagonal(information)[0])[0] > _SUSPECT:
        return None
    ends = tuple(i for i in wide if _levels_off(surface, x, i))
    axes = np.eye(x.size)[:, list(ends)]
    top = _top(surface, x, axes)
    if top is None:
        return None
    point, directions = top
    if not all(_is_flat(point, along) for along in _to_walk(directions).T):
        return None
    together = np.hstack([directions, axes])
    some = 0 < together.shape[1] < x.size  # where all directions are flat, nothing is left beside them
    return Undetermined(point.x, point.value, point.information, together, ends) if some else None


def _wide(surface: Surface, x: Array, information: Array) -> list[int]:
    """The coordinates that may be at an end: slope and curvature vanish there, but not their ratio."""
    diagonal = np.diag(information)
    if (diagonal >= _WIDE**-2).all():  # as in most fits: spares an evaluation
        return []
    slope = np.abs(surface.value_and_grad_flat(x)[1])
    found = (diagonal <= 0.0) | ((diagonal < _WIDE**-2) & (slope > _SLOPE * diagonal))
    return [int(i) for i in np.flatnonzero(found)]


# Ends -------------------------------------------------------------------------------------------------------


def _levels_off(surface: Surface, x: Array, i: int) -> bool:
    """Whether the log-likelihood levels off as coordinate `i` runs to one side, and falls on the other."""
    axis = np.eye(x.size)[i]
    return any(_levels_off_along(surface, x, outward) for outward in (axis, -axis))


def _levels_off_along(surface: Surface, x: Array, outward: Array) -> bool:
    value = surface.value_flat(x)
    noise = _NOISE * (1.0 + abs(value))
    heights = [value, *(surface.value_flat(x + far * outward) for far in _OUTWARD)]
    if not np.isfinite(heights).all() or np.diff(heights).min() < -noise:
        return False
    if heights[-1] - value > _LEVEL or heights[-1] - heights[-2] > noise:  # still on its way
        return False
    inward = (surface.value_flat(x - far * outward) for far in _INWARD)
    return any(not np.isfinite(there) or there < value - _FALL for there in inward)


# Flat directions --------------------------------------------------------------------------------------------


class _Point:
    """A point on a surface, with the axes of the coordinates that are held there."""

    def __init__(self, surface: Surface, x: Array, held: Array) -> None:
        self.surface, self.x, self.held = surface, x, held
        self.value, self.gradient = surface.value_and_grad_flat(x)
        self.information = -surface.hessian_flat(x)
        self.finite = bool(np.isfinite(self.value) and np.isfinite(self.information).all())
        if self.finite:
            self._moving = np.flatnonzero(~held.any(axis=1))
            scaled, self._scale = to_unit_diagonal(self.information[np.ix_(self._moving, self._moving)])
            self.eigenvalues, self._vectors = np.linalg.eigh(scaled)

    @property
    def suspects(self) -> int:
        """The number of directions that may be flat."""
        limit = _CURVED if (self.eigenvalues < -_SUSPECT).any() else _SUSPECT
        return int(np.sum(self.eigenvalues < limit))

    def flattest(self, count: int) -> Array:
        """The directions of the `count` smallest eigenvalues, of length one in standard errors."""
        found = np.zeros((self.x.size, count))
        found[self._moving] = self._vectors[:, :count] * self._scale[:, None]
        return found

    def nearest(self, direction: Array, count: int) -> Array:
        """Of the directions that those span, the one nearest to `direction`."""
        basis = self._vectors[:, :count]
        along = basis @ (basis.T @ (direction[self._moving] / self._scale))
        found = np.zeros(self.x.size)
        found[self._moving] = along / np.linalg.norm(along) * self._scale
        return found

    def step(self, count: int) -> tuple[Array, float]:
        """Newton's step beside the flattest directions, and its length in standard errors; NaN where the
        log-likelihood does not curve downwards there."""
        cov = generalised_inverse(self.information, np.hstack([self.flattest(count), self.held]))
        return cov @ self.gradient, float(np.sqrt(self.gradient @ cov @ self.gradient))


def _top(surface: Surface, x: Array, held: Array) -> tuple[_Point, Array] | None:
    """The top beside the suspect directions, and these; None where Newton's steps do not lead to one."""
    point = _Point(surface, x, held)
    best: tuple[float, _Point, int] | None = None
    for _ in range(_CORRECTIONS):
        if not point.finite or (point.eigenvalues < -_CURVED).any():
            break
        count = point.suspects
        step, distance = point.step(count)
        if best is not None and not distance < 0.5 * best[0]:
            break
        best = distance, point, count
        if count == 0 and distance <= _CLOSE:  # the search has done that, and others look at its end
            break
        point = _Point(surface, point.x + step, held)
    if best is None or not best[0] <= _CLOSE or (best[1].eigenvalues < -_SUSPECT).any():
        return None
    return best[1], best[1].flattest(best[2])


def _to_walk(directions: Array) -> Array:
    """The directions, or where they are many a few that mix them all."""
    count = directions.shape[1]
    if count <= _WALKS:
        return directions
    mixed = np.linalg.qr(np.random.default_rng(0).normal(size=(count, _WALKS)))[0]
    return np.asarray(directions @ mixed)


def _is_flat(start: _Point, direction: Array) -> bool:
    """Whether the log-likelihood stays the same far along a direction, or along the curve that it begins.

    To one side the curve may end soon, at a boundary.
    """
    lengths = sorted(_level_length(start, side * direction) for side in (1.0, -1.0))
    return lengths[0] > 0.0 and sum(lengths) >= 2.0 * _NEAR


def _level_length(start: _Point, direction: Array) -> float:
    """How far a walk gets on which the log-likelihood stays the same; 0 where it changes."""
    count, point, length, come = start.suspects, start, _FIRST, 0.0
    while come < _FARTHEST and length > _FIRST / 8.0:
        ahead = _corrected(point, length * direction, count)
        if ahead is None:
            if come >= 2.0 * _NEAR:
                break
            length *= 0.5
            continue
        come += length
        if abs(ahead.value - start.value) > (_NOISE + _FAR_NOISE * come) * (1.0 + abs(start.value)):
            return 0.0
        direction, point, length = ahead.nearest(direction, count), ahead, 2.0 * length
    return come


def _corrected(point: _Point, step: Array, count: int) -> _Point | None:
    """The top beside the flat directions, near a point one step on; None where it is not found."""
    ahead = _Point(point.surface, point.x + step, point.held)
    for _ in range(_CORRECTIONS):
        if not ahead.finite:
            return None
        beside, distance = ahead.step(count)
        if distance <= _CLOSE:
            # Where it is lost, another one has taken its place.
            return ahead if ahead.eigenvalues[count - 1] < _CURVED else None
        if not distance <= 1.0:
            return None
        ahead = _Point(point.surface, ahead.x + beside, point.held)
    return None


# In words ---------------------------------------------------------------------------------------------------


def why_undetermined(result: Estimate) -> tuple[str, ...]:
    """Which parameters have no standard errors, and why, of a result with directions that are `flat`."""
    if result.flat is None:
        return ()
    free_names = result.free_names
    slopes = np.eye(result.x.size) if result.jacobian is None else result.jacobian
    at_end = np.array([name in result.ends for name in free_names])
    axes = np.eye(len(free_names))[:, at_end]
    flat = result.flat[:, : result.flat.shape[1] - axes.shape[1]]
    told = []
    for directions, text in ((flat, _why_flat), (axes, _why_at_end)):
        moved = moves_along(slopes, result.observed_info, directions) & ~result.is_fixed
        if directions.shape[1]:
            told.append(text(result, np.flatnonzero(moved).tolist(), directions))
    return tuple(told)


def _why_flat(result: Estimate, moved: list[int], directions: Array) -> str:
    _, scale = to_unit_diagonal(result.observed_info)
    along = [combination(column / scale, scale, result.free_names) for column in directions.T]
    lost, where = ", ".join(result.names[i] for i in moved), ", and along ".join(along)
    told = (
        f"no standard errors of {lost}: the log-likelihood is flat along {where}, so that the data do not "
        "determine them"
    )
    others = len(moved) < np.sum(~result.is_fixed)
    return f"{told}; the others do not move along it" if others else told


def _why_at_end(result: Estimate, moved: list[int], directions: Array) -> str:
    values = ", ".join(f"{result.names[i]} = {result.x[i]:.3g}" for i in moved)
    where = "at infinity" if set(result.ends) <= set(result.names) else "at the boundary"
    return (
        f"{where}: {values}, the log-likelihood levels off in {', '.join(result.ends)}; no standard error "
        "there, and those of the others are with it held"
    )
