"""What the Hessian of a fit that went wrong shows: directions in which the log-likelihood does not fall."""

import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from tapegrad.errors import NonFiniteWarning
from tapegrad.mle.inference import (
    combination,
    free_estimates,
    is_definite,
    is_reliable,
    solve,
    to_unit_diagonal,
)
from tapegrad.mle.optimizers import Supported
from tapegrad.mle.rows import pointwise

if TYPE_CHECKING:
    from tapegrad.mle.model import Model
    from tapegrad.mle.result import FitResult

Array: TypeAlias = npt.NDArray[np.float64]

# Of the information scaled to a unit diagonal: an eigenvalue of this size is one of rounding.
SINGULAR: Final = 1e-10
# How far out a direction is followed, in units of the curvature along each parameter.
_DISTANCES: Final = 4.0 ** np.arange(8)
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


class Place:
    """Where a fit has ended in its free coordinates, and the surface around it."""

    def __init__(self, result: "FitResult", model: "Model") -> None:
        self.result = result
        self.model = model
        self.tape = Supported(model.tape)
        self.names = result.free_names
        self.information = result.observed_info
        self.x = free_estimates(result)
        self.value, self.gradient = model.tape.value_and_grad_flat(self.x)

    def observations(self) -> Array:
        """The log-likelihood of each observation."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NonFiniteWarning)
            return pointwise(self.model, self.x)

    def rises(self, step: Array, least: float) -> bool:
        """Whether what was maximised rises far along `step` and never falls on the way.

        Risen it has by more than `least` times its rounding errors.
        """
        slope = abs(float(self.gradient @ step))
        if np.isfinite(slope):  # where it is steep, the first step goes no further than to about 1 more
            step = step / max(slope, 1.0)
        heights = np.array([self.value, *(self.tape.value_flat(self.x + far * step) for far in _DISTANCES)])
        finite = np.isfinite(heights)
        heights = heights[: len(heights) if finite.all() else int(np.argmin(finite))]
        noise = 1e-12 * (1.0 + abs(self.value))
        if len(heights) < 4 or (np.diff(heights) < -noise).any():
            return False
        return bool(heights[-1] - self.value > least * noise)


def curvature(result: "FitResult", place: Place | None, ends: set[int]) -> Iterator[Finding]:
    """What the Hessian shows, directions aside in which little else moves than the coordinates `ends`."""
    information, names = result.observed_info, result.free_names
    broken = [name for name, row in zip(names, information, strict=True) if not np.isfinite(row).all()]
    if broken:
        yield Finding(
            "not finite",
            f"the Hessian is not finite in {', '.join(broken)}: the log-likelihood has no second derivative "
            f"there{'' if place is None else f'; {place.model.tape.explain(place.x).text.splitlines()[0]}'}",
        )
        return
    scaled, scale = to_unit_diagonal(information)
    eigenvalues, vectors = np.linalg.eigh(scaled)
    if is_definite(information):
        if not is_reliable(information):
            yield Finding(
                "nearly flat",
                f"the data hardly determine {combination(vectors[:, 0], scale, names)}: the standard errors "
                "have few right digits; center or rescale what belongs to these parameters, or leave one out",
            )
        if place is not None and not result.converged:
            step = solve(information, place.gradient)
            if not _leading(step / scale) <= ends and place.rises(step, least=0.0):
                yield _rising(place, step / scale, scale)
        return
    for i in np.flatnonzero(~information.any(axis=1)):
        if i not in ends:
            yield _unbent(names, place, int(i))
    used = information.any(axis=1)
    for eigenvalue, vector in zip(eigenvalues, vectors.T, strict=True):
        turning = eigenvalue < SINGULAR and vector[used].any() and np.abs(vector[~used]).sum() < 1e-6
        if turning and not _leading(vector) <= ends:
            yield _direction(names, place, eigenvalue, vector, scale)


def _leading(weights: Array) -> set[int]:
    """The coordinates that a direction is named by."""
    return set(np.flatnonzero(np.abs(weights) > 0.1 * np.abs(weights).max()).tolist())


def _unbent(names: tuple[str, ...], place: Place | None, i: int) -> Finding:
    """A coordinate in which the log-likelihood does not bend."""
    if place is not None:
        along = np.zeros(place.x.size)
        along[i] = 1.0
        for uphill in (along, -along):
            if place.rises(uphill, least=1e3):
                return _rising(place, uphill, np.ones(place.x.size))
        far = 1.0 + abs(place.x[i])
        if any(place.tape.value_flat(place.x + sign * far * along) != place.value for sign in (1.0, -1.0)):
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


def _direction(
    names: tuple[str, ...], place: Place | None, eigenvalue: float, vector: Array, scale: Array
) -> Finding:
    """A direction in which the log-likelihood does not fall."""
    if place is not None:
        for uphill in (vector, -vector):
            if place.rises(uphill * scale, least=1e3):
                return _rising(place, uphill, scale)
    text = combination(vector, scale, names)
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


def _rising(place: Place, weights: Array, scale: Array) -> Finding:
    """A direction without end, and as far as can be seen from the observations, why there is none."""
    lead = weights[np.argmax(np.abs(weights))]
    course = f"{combination(weights, scale, place.names)} {'grows' if lead > 0.0 else 'falls'}"
    endless = f"the log-likelihood keeps rising as {course}"
    certain = _certain(place)
    if certain:
        return Finding(
            "separation",
            f"{certain} predicted with certainty, and {endless}: there are no finite estimates; leave out "
            "what separates them, join its categories, or add a logprior",
        )
    return Finding(
        "rising",
        f"{endless}: there is no maximum (separated classes, data that do not vary, or a component that "
        "shrinks onto one observation); bound the parameters, or add a logprior",
    )


def _certain(place: Place) -> str:
    """Which observations have probability 1, in words."""
    model = place.model
    if model.rows is None:
        # Where the data together have probability 1, each of them has.
        together = model.prior is None and -_CERTAIN < place.value <= 0.0
        return "all observations are" if together else ""
    heights = place.observations()
    count = int(np.sum(heights > -_CERTAIN))
    if count == 0 or not heights.max() <= _CERTAIN:
        return ""
    return f"{count} of {heights.size} observations {'is' if count == 1 else 'are'}"


def collapse(place: Place) -> Iterator[Finding]:
    """Whether one observation alone has a very high density."""
    if place.model.rows is None:
        return
    heights = place.observations()
    top = int(np.argmax(heights))
    above = float(heights[top] - np.median(heights))
    if above > _COLLAPSED:
        yield Finding(
            "collapse",
            f"the density of observation {top} (counted from 0) is e^{above:.3g} times the median one: a "
            "component has shrunk onto it, where there is no maximum; start elsewhere, bound its scale from "
            "below, or add a logprior",
        )
