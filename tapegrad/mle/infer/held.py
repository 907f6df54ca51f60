"""Profiles hold a free coordinate, or a function of the parameters, at one value after another.

A coordinate is simply left out of the fit. For a function ``g`` the fit takes place on the surface of all
points where it has the value. Such a surface has one dimension less than the free space: near a point of it,
every other one is where a line in the direction of ``g``'s slope, shifted sideways, meets it. On the surface
the log-likelihood is a function of the shift alone, with exact derivatives, and is maximised as any other.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from tapegrad.function.trace import trace_quietly
from tapegrad.function.traced import TracedFunction
from tapegrad.mle.climb.climbing import climb
from tapegrad.mle.climb.others import others, settled
from tapegrad.mle.climb.refit import Refit, refit
from tapegrad.mle.climb.surfaces import Supported, Surface
from tapegrad.mle.matrices import covariance, covariance_factor, is_definite
from tapegrad.mle.model.model import Model
from tapegrad.nest import Leaf, call

Array: TypeAlias = npt.NDArray[np.float64]

# A standard error of less than this, relative to the value, is one of rounding.
_ROUNDING: Final = 1e-14
# In standard errors along the line: how exactly it is to meet the surface, how exactly it must where the
# function's rounding allows no more, and the longest step on the way there.
_AIM: Final = 1e-12
_CLOSE: Final = 1e-8
_FAR: Final = 10.0
_STEPS: Final = 60
_CHARTS: Final = 3


class Held(Protocol):
    """What is held.

    Attributes
    ----------
    name : str
    error : float
        Its standard error; not finite, or zero, where there is none.
    """

    name: str
    error: float

    def at(self, free: Array) -> float:
        """Its value at a free vector."""

    def shown(self, free: Array, value: float) -> float:
        """A value as the user sees it; `free` has the other coordinates."""

    def fitted(self, start: Array, value: float) -> Refit:
        """The best fit with this value, from a fit with one near it."""


def natural_at(model: Model, free: Array, place: int, value: float) -> float:
    """A natural parameter where its coordinate has a value."""
    point = free.copy()
    point[int(model.space.coordinate[place])] = value
    with np.errstate(all="ignore"):
        return float(model.space.natural(point)[place])


class HeldCoordinate:
    """A free coordinate, which a natural parameter is a monotone function of.

    Parameters
    ----------
    model : Model
    name : str
        The parameter's.
    place : int
        Its place in the natural vector.
    top : ndarray, shape (q,)
        The maximum.
    """

    def __init__(self, model: Model, name: str, place: int, top: Array) -> None:
        self.name = name
        self._model = model
        self._place = place
        self._coordinate = int(model.space.coordinate[place])
        information = -model.function.hessian_flat(top)
        variance = covariance(information)[self._coordinate, self._coordinate]
        self.error = float(np.sqrt(variance))
        self._surface = Supported(model.function)
        self._others = others(information, [self._coordinate])

    def at(self, free: Array) -> float:
        """The coordinate's value at a free vector."""
        return float(free[self._coordinate])

    def shown(self, free: Array, value: float) -> float:
        """The natural parameter where the coordinate has this value."""
        return natural_at(self._model, free, self._place, value)

    def fitted(self, start: Array, value: float) -> Refit:
        """The best fit with this value.

        By a Hessian from a neighbour, or one from here; where neither leads to a maximum, as any other fit.
        """
        if self._others is not None:
            step = [value - float(start[self._coordinate])]
            near = self._others.moved(start, np.zeros(start.size), step)
            near[self._coordinate] = value
            found = settled(self._surface, near, self._others)
            if found is None:
                there = others(-np.asarray(self._surface.hessian_flat(near)), [self._coordinate])
                found = None if there is None else settled(self._surface, near, there)
                self._others = self._others if found is None else there
            if found is not None:
                return Refit(*found, converged=True)
        return refit(self._model, start, {self._coordinate: value})


class HeldFunction:
    """A function of the parameters.

    Parameters
    ----------
    model : Model
    name : str
    function : TracedFunction
        Of free coordinates; one number.
    top : ndarray, shape (q,)
        The maximum.
    """

    def __init__(self, model: Model, name: str, function: TracedFunction, top: Array) -> None:
        self.name = name
        self._surface = model.function
        self._function = function
        information = -model.function.hessian_flat(top)
        # Where there is no maximum, any units will do.
        self._factor = covariance_factor(information) if is_definite(information) else np.eye(top.size)
        self.error = float(np.linalg.norm(self._factor.T @ function.value_and_grad_flat(top)[1]))

    def at(self, free: Array) -> float:
        """The function's value at a free vector."""
        return self._function.value_flat(free)

    def shown(self, free: Array, value: float) -> float:
        """The value itself."""
        return value

    def fitted(self, start: Array, value: float) -> Refit:
        """The best fit with this value; minus infinity where no point near `start` has it."""
        found = self._climbed(start, value)
        if np.isfinite(found.llf):
            return found
        # At a saddle the slope leads nowhere: the product of two parameters, both nearly zero, changes its
        # sign off to the side.
        others = [self._climbed(beside, value) for beside in self._beside(start, value)]
        return max(others, key=lambda other: other.llf)

    def _climbed(self, start: Array, value: float) -> Refit:
        point, height = start, -np.inf
        for _ in range(_CHARTS):
            chart = _Chart(self._surface, self._function, point, value, self._factor)
            end = climb(chart, np.zeros(point.size - 1)) if point.size > 1 else None
            found = chart.point(np.empty(0) if end is None else end.x)
            if found is None:
                break
            point, height = found, self._surface.value_flat(found)
            if not np.isfinite(height) or end is None or end.converged:
                break
        finite = bool(np.isfinite(height))
        return Refit(point, height if finite else -np.inf, finite and (end is None or end.converged))

    def _beside(self, point: Array, value: float) -> list[Array]:
        """A standard error to both sides, where the function bends most towards the value."""
        curvature = self._factor.T @ self._function.hessian_flat(point) @ self._factor
        if not np.isfinite(curvature).all():
            return [point]
        vectors = np.linalg.eigh(curvature)[1]
        aside = self._factor @ vectors[:, -1 if value > self.at(point) else 0]
        return [point + aside, point - aside]


class _Chart:
    """The log-likelihood where a function has a given value, as a surface over q - 1 numbers u.

    Its points are ``at + sideways u + along t``, where t solves ``function = value``. With the derivatives of
    t in u by the implicit function theorem, and Z those of the point, the gradient is ``Z' grad L``, and the
    Hessian that of the Lagrangian, ``Z' (hess L - m hess g) Z`` with the multiplier
    ``m = along' grad L / along' grad g`` (J. Nocedal and S. J. Wright, *Numerical Optimization*, 2006,
    section 15.3).
    """

    def __init__(
        self, surface: Surface, function: TracedFunction, at: Array, value: float, factor: Array
    ) -> None:
        self._surface, self._function, self._at, self._value = surface, function, at, value
        # In units in which the information is the identity, the first axis is the slope of the function.
        slope = factor.T @ function.value_and_grad_flat(at)[1]
        axes = np.linalg.qr(slope[:, None], mode="complete")[0]
        self._along, self._sideways = factor @ axes[:, 0], factor @ axes[:, 1:]

    def point(self, u: Array) -> Array | None:
        """The point at u, by Newton's steps along the line; None where it does not meet the surface."""
        point = self._at + self._sideways @ u
        gap, slope = self._gap(point)
        for _ in range(_STEPS):
            rate = float(slope @ self._along)
            if rate == 0.0:
                return None
            step = min(max(-gap / rate, -_FAR), _FAR)
            while abs(step) > _AIM:
                new = point + step * self._along
                new_gap, new_slope = self._gap(new)
                if abs(new_gap) < abs(gap):
                    break
                step *= 0.5
            else:
                return point if abs(gap) <= _CLOSE * abs(rate) else None
            point, gap, slope = new, new_gap, new_slope
        return None

    def _gap(self, point: Array) -> tuple[float, Array]:
        value, slope = self._function.value_and_grad_flat(point)
        return value - self._value, slope

    def _tangents(self, point: Array) -> tuple[Array, Array, float]:
        """Z, the gradient of the log-likelihood, and its value."""
        slope = self._gap(point)[1]
        value, gradient = self._surface.value_and_grad_flat(point)
        tilt = -(slope @ self._sideways) / float(slope @ self._along)
        return self._sideways + np.outer(self._along, tilt), gradient, value

    def value_flat(self, vector: Array) -> float:
        """The value at u; NaN where there is no such point."""
        point = self.point(vector)
        return np.nan if point is None else self._surface.value_flat(point)

    def value_and_grad_flat(self, vector: Array) -> tuple[float, Array]:
        """Value and gradient at u."""
        point = self.point(vector)
        if point is None:
            return np.nan, np.full(vector.size, np.nan)
        tangents, gradient, value = self._tangents(point)
        return value, tangents.T @ gradient

    def hessian_flat(self, vector: Array) -> Array:
        """The Hessian at u, shape (q - 1, q - 1)."""
        point = self.point(vector)
        if point is None:
            return np.full((vector.size, vector.size), np.nan)
        tangents, gradient, _ = self._tangents(point)
        multiplier = float(self._along @ gradient) / float(self._along @ self._gap(point)[1])
        bent = self._surface.hessian_flat(point) - multiplier * self._function.hessian_flat(point)
        return np.asarray(tangents.T @ bent @ tangents)


def hold(model: Model, names: Sequence[str], what: str | Callable[..., Any], top: Array) -> Held:
    """What a profile of `what` holds, a parameter (one of `names`) or a function of the parameters.

    Raises
    ------
    ValueError
        If there is no such parameter, if it does not depend on what is estimated, or if the function returns
        anything but one number.
    """
    space = model.space
    if callable(what):
        name = getattr(what, "__name__", type(what).__name__).replace("<lambda>", "f")
        return _held_function(model, name, lambda pieces: call(what, space.params(pieces), {}), top)
    if what not in names:
        raise ValueError(f"no parameter {what!r}; the parameters are {', '.join(names)}")
    place = names.index(what)
    if space.fixed[place]:
        raise ValueError(f"{what} is fixed: there is nothing to profile")
    if space.coordinate[place] >= 0:
        return HeldCoordinate(model, what, place, top)
    which = next(i for i, leaf in enumerate(space.structure.leaves) if place < leaf.place.stop)
    index = place - space.structure.leaves[which].place.start

    def element(pieces: dict[str, Any]) -> Any:
        return np.reshape(space.leaves(pieces)[which], (-1,))[index]

    return _held_function(model, what, element, top)


def _held_function(model: Model, name: str, function: Callable[..., Any], top: Array) -> HeldFunction:
    def of_pieces(**pieces: Any) -> Any:
        return function(pieces)

    of_pieces.__name__ = name
    traced = trace_quietly(of_pieces, model.space.free_structure.unravel(model.space.start))
    root = traced.outputs.root
    if not (isinstance(root, Leaf) and root.shape == ()):
        raise ValueError(f"a profile needs one number; {name} returns {traced.outputs.expected()}")
    held = HeldFunction(model, name, traced, top)
    if not held.error > _ROUNDING * abs(held.at(top)):
        raise ValueError(f"{name} does not depend on any estimated parameter: it has no profile")
    return held
