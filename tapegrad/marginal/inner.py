"""The inner problem: where the joint log-likelihood is highest in the random effects, parameters given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import numpy as np

from tapegrad.marginal import messages
from tapegrad.marginal.joint import Joint, Point
from tapegrad.marginal.layout import AnyFactor
from tapegrad.sparse import NotPositiveDefinite

Array = np.ndarray[Any, Any]

# Newton's decrement, squared, at which the mode is reached: a mode that is off by a share d of its standard
# errors changes the log-determinant by a multiple of d.
_REACHED: Final = 1e-24
# Below this one, or this share of the joint log-likelihood, steps that do not shrink any more are rounding.
_NEAR: Final = 1e-10
_ROUNDING: Final = 1e-15
_STEPS: Final = 200
_LARGEST_SHIFT: Final = 1e12
# Steps by such a share of a random effect lead nowhere.
_SMALL_STEP: Final = 1e-5
_SMALLEST_SHIFT: Final = 1e-6


class InnerProblem(ValueError):
    """The random effects have no mode at some parameters, or none that was found.

    Parameters
    ----------
    message : str
    where : callable, optional
        Says in which line of the user's that arises. A search for parameters meets many such errors, and
        shows none.
    """

    def __init__(self, message: str, where: Callable[[], str] | None = None) -> None:
        super().__init__(message)
        self._where = where

    def __str__(self) -> str:
        message = super().__str__()
        return message if self._where is None else f"{message}\n{self._where()}"


@dataclass(frozen=True, eq=False)
class Mode:
    """The mode of the random effects.

    Attributes
    ----------
    u : ndarray, shape (q,)
    point : Point
        The joint log-likelihood there.
    factor : AnyFactor
        Minus its Hessian there, factorised.
    steps : int
    """

    u: Array
    point: Point
    factor: AnyFactor
    steps: int


@np.errstate(all="ignore")
def mode(joint: Joint, theta: Array, u: Array) -> Mode:
    """Newton's method with step control, from `u`, until only rounding is left of the steps.

    Where minus the Hessian is not positive definite, or a step does not rise, the diagonal is shifted upwards
    (Levenberg). That is for the way alone: the mode is left with the Hessian as it is.

    Raises
    ------
    InnerProblem
        If there is no mode, or none is found; the message names the random effects.
    """
    point = joint.at(theta, u)
    if not point.is_finite:
        told = messages.not_finite(joint.names, point.value, point.slope)
        raise InnerProblem(told, partial(_explained, joint, joint.vector(theta, u)))
    if point.layout.idle.any():
        raise InnerProblem(messages.idle(joint.names, point.layout))
    shift, before, step = 0.0, np.inf, np.zeros_like(u)
    beyond: Array | None = None  # what was tried last, where the joint log-likelihood is not finite
    for steps in range(_STEPS):
        factor, shift = _factorised(joint, point, shift)
        step = factor.solve(point.slope)
        decrement = float(point.slope @ step)
        near = max(_NEAR, _ROUNDING * abs(point.value))
        if shift == 0.0 and (decrement <= _REACHED or near >= decrement >= 0.25 * before):
            return Mode(u, point, factor, steps)
        if shift > 0.0 and decrement <= _REACHED:
            u, point, shift = _off_saddle(joint, theta, u, point)
            continue
        new = joint.at(theta, u + step)
        # Near the mode the gain is rounding, and Newton's own step is the best.
        rises = new.is_finite and (
            new.value >= point.value + 1e-4 * decrement or (decrement < _NEAR * (1.0 + abs(point.value)))
        )
        beyond = beyond if new.is_finite else u + step
        if rises:
            u, point, before = u + step, new, decrement if shift == 0.0 else np.inf
            shift = 0.0 if shift <= _SMALLEST_SHIFT else 0.1 * shift
        else:
            shift, before = max(10.0 * shift, 1e-3), np.inf
        if shift > _LARGEST_SHIFT:
            break
    raise _stuck(joint, theta, u, step, beyond, steps + 1)


def _explained(joint: Joint, x: Array) -> str:
    return joint.function.explain(x).text


def _stuck(
    joint: Joint, theta: Array, u: Array, step: Array, beyond: Array | None, steps: int
) -> InnerProblem:
    """Why Newton's method came to no mode: an edge of the support, a kink, or no end at all."""
    is_small = bool((np.abs(step) <= _SMALL_STEP * (1.0 + np.abs(u))).all())
    if is_small and beyond is not None:
        labels = joint.at(theta, u).layout.labels
        block = _culprit(joint, theta, u, beyond, labels)
        there = np.where(block, beyond, u)
        value = joint.at(theta, there).value
        told = messages.edge(joint.names, there, np.flatnonzero(block), value)
        return InnerProblem(told, partial(_explained, joint, joint.vector(theta, there)))
    if is_small:
        return InnerProblem(messages.kink(joint.names, u, step, steps))
    return InnerProblem(messages.diverged(joint.names, u, step, steps))


def _culprit(joint: Joint, theta: Array, u: Array, beyond: Array, labels: Array) -> Array:
    """The random effects of a block that leaves the support alone: half of the blocks move at a time."""
    blocks = np.unique(labels)
    while blocks.size > 1:
        half = blocks[: blocks.size // 2]
        there = np.where(np.isin(labels, half), beyond, u)
        blocks = blocks[blocks.size // 2 :] if joint.at(theta, there).is_finite else half
    found: Array = labels == blocks[0]
    return found


def _factorised(joint: Joint, point: Point, shift: float) -> tuple[AnyFactor, float]:
    """Minus the Hessian, with its diagonal shifted as far as it takes, and how far that is."""
    pattern, values = point.layout.pattern, point.curvature
    while True:
        shifted = values
        if shift:
            diagonal = np.abs(values[pattern.diagonal])
            size = diagonal.max(initial=0.0) or 1.0
            shifted = values.copy()
            shifted[pattern.diagonal] += shift * np.maximum(diagonal, 1e-8 * size)
        try:
            return point.layout.system.factor(shifted), shift
        except NotPositiveDefinite as error:
            if shift > _LARGEST_SHIFT:
                raise InnerProblem(messages.not_definite(joint.names, point.layout, error)) from None
            shift = max(10.0 * shift, 1e-3)


def _off_saddle(joint: Joint, theta: Array, u: Array, point: Point) -> tuple[Array, Point, float]:
    """A higher point, from one where the slope is 0 but which is no maximum."""
    try:
        point.layout.system.factor(point.curvature)
        return u, point, 0.0
    except NotPositiveDefinite as error:
        found = error
    length = 1.0 + float(np.abs(u).max(initial=0.0))
    while length > 1e-6:
        for sign in (1.0, -1.0):
            there = u + sign * length * found.direction
            new = joint.at(theta, there)
            if new.is_finite and new.value > point.value:
                return there, new, 1e-3
        length *= 0.1
    raise InnerProblem(messages.not_definite(joint.names, point.layout, found))
