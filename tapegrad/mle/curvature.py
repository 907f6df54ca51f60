"""What the Hessian of a fit that went wrong shows: directions in which the log-likelihood does not fall."""

import warnings
from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from tapegrad.errors import NonFiniteWarning
from tapegrad.mle.inference import (
    combination,
    free_estimates,
    is_definite,
    is_reliable,
    to_unit_diagonal,
)
from tapegrad.mle.optimizers import is_finite
from tapegrad.mle.rounding import allowed, noise
from tapegrad.mle.rows import pointwise

if TYPE_CHECKING:
    from tapegrad.mle.model import Model
    from tapegrad.mle.result import FitResult

Array: TypeAlias = npt.NDArray[np.float64]

# Of the information scaled to a unit diagonal: an eigenvalue of this size is one of rounding.
SINGULAR: Final = 1e-10
# How far a direction is followed, outwards and back, in units of the parameters' sizes.
_OUTWARDS: Final = 4.0 ** np.arange(-4.0, 6.0)
_INWARDS: Final = np.array([*4.0 ** np.arange(-4.0, 0.0), 0.5, *(1.0 - 4.0 ** -np.arange(1.0, 10.0))])
# How often it must have been seen further out, and what it must have gained altogether.
_SEEN: Final = 3
_GAIN: Final = 1e-6
# What hides a log-likelihood, in units of the rounding that a search puts up with.
_HIDDEN: Final = 10.0
# Standard errors below so many distances of neighbouring floats are those of rounding.
_FLOATS: Final = 16.0
_ROUNDING: Final = 1e-12  # share of a value that is rounding in any case
# How far below 0 the log-probability of an outcome is that was predicted with certainty.
_CERTAIN: Final = 1e-6
# How far above the median the log-density of an observation is that a component has collapsed onto.
_COLLAPSED: Final = 12.0


class Finding(NamedTuple):
    """One thing that is wrong.

    Attributes
    ----------
    kind : str
        One of

        - "not converged", "few data": the estimates are no maximum; there are fewer observations than
          parameters.
        - "bound", "edge": a parameter at the end of its range; the log-likelihood rises up to where it is no
          longer finite.
        - "separation", "collapse", "rising": no maximum, because outcomes are predicted with certainty,
          because a component has shrunk onto one observation, or for other reasons.
        - "idle", "straight": a parameter without influence, or with straight pieces of influence only.
        - "flat", "nearly flat": directions that the data do not, or hardly, determine.
        - "not a maximum", "not finite": the Hessian is that of a saddle, or is not finite.
        - "scaling": units far apart, which may be why. "not quadratic": Wald's intervals mislead.
    message : str
        What was found, in the parameters' names, and what may help.
    """

    kind: str
    message: str


class Height(NamedTuple):
    """A value, and how low it may be if rounding has raised it."""

    height: float
    lower: float


class Place:
    """Where a fit has ended in its free coordinates, and the surface around it."""

    def __init__(self, result: "FitResult", model: "Model") -> None:
        self.result = result
        self.model = model
        self.tape = model.tape
        self.names = result.free_names
        self.information = result.observed_info
        self.x = free_estimates(result)
        self.value, self.gradient = model.tape.value_and_grad_flat(self.x)
        self.noise = noise(model.tape, self.x)

    def observations(self, x: Array) -> Array:
        """The log-likelihood of each observation at `x`."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NonFiniteWarning)
            return pointwise(self.model, x)

    def rises(self, way: Array) -> Array | None:
        """How far out along `way` what was maximised has been seen to rise; None if it does not.

        It must never fall, as far as it can be told from rounding, must have risen on the way here, and must
        have been seen some way further out, unless rounding hides it there.
        """
        with np.errstate(all="ignore"):
            unit = np.min((1.0 + np.abs(self.x)) / np.abs(way)) * way
            inside, _ = self._followed(-unit * _INWARDS[:, None], np.inf)
            outside, hidden = self._followed(unit * _OUTWARDS[:, None], _HIDDEN)
        if len(outside) < 1 + _SEEN and not hidden:
            return None
        if not all(one.height >= before.lower for before, one in pairwise(outside)):
            return None
        # Back from here it falls, by a little at first: what lies beyond is of no concern.
        falls = [one.lower <= before.height for before, one in pairwise(inside)]
        near = inside[: 1 + (len(falls) if all(falls) else falls.index(False))]
        gain = max(one.height for one in outside) - min(one.height for one in near)
        if not gain > _GAIN + 10.0 * (near[0].height - near[0].lower):
            return None
        return self.x + (unit * _OUTWARDS[len(outside) - 2] if len(outside) > 1 else 0.0)

    def _followed(self, steps: Array, most: float) -> tuple[list[Height], bool]:
        """The heights from here on, up to where they are not finite, or hidden by rounding, and whether so."""
        heights = [Height(self.value, self.value - self.noise - _ROUNDING * (1.0 + abs(self.value)))]
        for step in steps:
            x = self.x + step
            value, gradient = self.tape.value_and_grad_flat(x)
            if not is_finite(value, gradient):
                return heights, False
            reach = noise(self.tape, x)
            if reach > most * allowed(value):
                return heights, True
            heights.append(Height(value, value - reach - _ROUNDING * (1.0 + abs(value))))
        return heights, False


def curvature(result: "FitResult", place: Place | None, ends: set[int]) -> Iterator[Finding]:
    """What the Hessian shows of the coordinates that are not at `ends`, nor on a way without end."""
    information, names = result.observed_info, result.free_names
    broken = [name for name, row in zip(names, information, strict=True) if not np.isfinite(row).all()]
    if broken:
        yield Finding(
            "not finite",
            f"the Hessian is not finite in {', '.join(broken)}: the log-likelihood has no second derivative "
            "there",
        )
        return
    rest = [i for i in range(len(names)) if i not in ends]
    if place is not None and not result.converged:
        if is_perfect(place.x, information):
            yield _perfect(place)
            return
        found = next(_ways_up(place, rest), None) if rest else None
        if found is not None:  # what else is seen out there follows from it
            yield _rising(place, *found)
            return
    if rest:
        yield from _undetermined(names, place, information, rest)


def is_perfect(x: Array, information: Array) -> bool:
    """Whether standard errors are of the size of rounding: the data are fitted to the last digit."""
    sharp = np.diag(information) * (_FLOATS * np.spacing(np.abs(x))) ** 2 > 1.0
    return bool(sharp.any())


def _perfect(place: Place) -> Finding:
    i = int(np.argmax(np.diag(place.information) * np.spacing(np.abs(place.x)) ** 2))
    return Finding(
        "rising",
        f"the data determine {place.names[i]} to the last digit of a float: they are fitted perfectly, and "
        "the log-likelihood keeps rising as the scale of what is left falls: there is no maximum; fix the "
        "scale, or bound it from below",
    )


def _ways_up(place: Place, rest: list[int]) -> Iterator[tuple[Array, Array, Array]]:
    """Ways in the coordinates `rest` along which the log-likelihood rises without end.

    For each its weights, their units, and the furthest point that was seen.
    """
    block = np.ix_(rest, rest)
    scaled, scale = to_unit_diagonal(place.information[block])
    eigenvalues, vectors = np.linalg.eigh(scaled)
    slopes = vectors.T @ (scale * place.gradient[rest])
    uphill = vectors @ (slopes / np.maximum(np.abs(eigenvalues), SINGULAR))
    soft = vectors[:, eigenvalues < SINGULAR].T
    candidates = [*(sign * row for row in (*np.eye(len(rest)), *soft) for sign in (1.0, -1.0)), uphill]
    for weights in candidates:
        way = np.zeros(place.x.size)
        way[rest] = weights * scale
        if not way.any() or not np.isfinite(way).all():
            continue
        furthest = place.rises(way)
        if furthest is not None:
            whole, units = np.zeros(place.x.size), np.ones(place.x.size)
            whole[rest], units[rest] = weights, scale
            yield whole, units, furthest


def _undetermined(
    names: tuple[str, ...], place: Place | None, information: Array, rest: list[int]
) -> Iterator[Finding]:
    """Directions in the coordinates `rest` that the data do not determine."""
    block = information[np.ix_(rest, rest)]
    shown = tuple(names[i] for i in rest)
    scaled, scale = to_unit_diagonal(block)
    eigenvalues, vectors = np.linalg.eigh(scaled)
    if is_definite(block):
        if not is_reliable(block):
            yield Finding(
                "nearly flat",
                f"the data hardly determine {combination(vectors[:, 0], scale, shown)}: the standard errors "
                "have few right digits; center or rescale what belongs to these parameters, or leave one out",
            )
        return
    used = block.any(axis=1)
    for i in np.flatnonzero(~used):
        yield _unbent(names, place, rest[int(i)])
    for eigenvalue, vector in zip(eigenvalues, vectors.T, strict=True):
        if eigenvalue < SINGULAR and vector[used].any() and np.abs(vector[~used]).sum() < 1e-6:
            yield _direction(combination(vector, scale, shown), eigenvalue)


def _leading(weights: Array) -> set[int]:
    """The coordinates that a direction is named by."""
    return set(np.flatnonzero(np.abs(weights) > 0.1 * np.abs(weights).max()).tolist())


def _unbent(names: tuple[str, ...], place: Place | None, i: int) -> Finding:
    """A coordinate in which the log-likelihood does not bend."""
    if place is not None:
        far = np.zeros(place.x.size)
        far[i] = 1.0 + abs(place.x[i])
        if any(place.tape.value_flat(place.x + sign * far) != place.value for sign in (1.0, -1.0)):
            return Finding(
                "straight",
                f"the log-likelihood is a straight line in {names[i]} here: without curvature there are no "
                "standard errors; bootstrap, or use a smooth log-likelihood",
            )
    return Finding(
        "idle",
        f"the log-likelihood does not bend with {names[i]}: it may not depend on it at all; fix it, or leave "
        "it out",
    )


def _direction(text: str, eigenvalue: float) -> Finding:
    """A direction in which the log-likelihood does not fall."""
    if eigenvalue < -SINGULAR:
        return Finding(
            "not a maximum",
            f"the log-likelihood curves upwards along {text}: start elsewhere, or with n_starts=",
        )
    return Finding(
        "flat",
        f"the log-likelihood is flat along {text}: these parameters are not determined one by one (collinear "
        "columns, or one parameter too many); leave one out, fix it, or tie them",
    )


def _rising(place: Place, weights: Array, scale: Array, furthest: Array) -> Finding:
    """A direction without end, and as far as can be seen from the observations, why there is none."""
    lead = weights[np.argmax(np.abs(weights))]
    course = f"{combination(weights, scale, place.names)} {'grows' if lead > 0.0 else 'falls'}"
    endless = f"the log-likelihood keeps rising as {course}"
    certain = _certain(place, furthest)
    if certain:
        return Finding(
            "separation",
            f"{certain} predicted with certainty, and {endless}: there are no finite estimates; leave out "
            "what separates them, join its categories, or add a logprior",
        )
    return Finding(
        "rising",
        f"{endless}: there is no maximum (separated classes, an event that never happens, data that do not "
        "vary or are fitted perfectly, or a component that shrinks onto one observation); bound the "
        "parameters, leave out what wanders off, or add a logprior",
    )


def _certain(place: Place, x: Array) -> str:
    """Which observations have probability 1 at `x`, in words."""
    model = place.model
    if model.rows is None:
        # Where the data together have probability 1, each of them has.
        together = model.prior is None and abs(place.tape.value_flat(x)) < _CERTAIN
        return "all observations are" if together else ""
    heights = place.observations(x)
    count = int(np.sum(heights > -_CERTAIN))
    if count == 0 or not heights.max() <= _CERTAIN:
        return ""
    return f"{count} of {heights.size} observations {'is' if count == 1 else 'are'}"


def collapse(place: Place) -> Iterator[Finding]:
    """Whether one observation alone has a very high density."""
    if place.model.rows is None:
        return
    heights = place.observations(place.x)
    top = int(np.argmax(heights))
    above = float(heights[top] - np.median(heights))
    if above > _COLLAPSED:
        yield Finding(
            "collapse",
            f"the density of observation {top} (counted from 0) is e^{above:.3g} times the median one: a "
            "component has shrunk onto it, where there is no maximum; start elsewhere, bound its scale from "
            "below, or add a logprior",
        )
