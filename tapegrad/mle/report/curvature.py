"""Findings from the Hessian of a failed fit: directions in which the log-likelihood does not fall."""

from collections.abc import Iterator
from typing import Final, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from tapegrad.mle.climb.climbing import sharp
from tapegrad.mle.estimate import Estimate
from tapegrad.mle.matrices import combination, is_definite, is_reliable, solve, to_unit_diagonal
from tapegrad.mle.report.ways import SINGULAR, Site, Way, ways_up

Array: TypeAlias = npt.NDArray[np.float64]

# Closer than this to its top, in standard errors, a parabola has arrived at it.
_THERE: Final = 1e-9
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

    @property
    def page(self) -> str:
        """The page of the documentation, and its section, that says what the message means and what to do."""
        return f"diagnosis.html#{self.kind.replace(' ', '-')}"


def curvature(result: Estimate, site: Site | None, ends: set[int]) -> Iterator[Finding]:
    """What the Hessian shows of the coordinates that are not at `ends`, nor on a way without end."""
    information, names = result.observed_info, result.free_names
    broken = [name for name, row in zip(names, information, strict=True) if not np.isfinite(row).all()]
    if broken:
        yield Finding(
            "not finite",
            f"the Hessian is not finite in {', '.join(broken)}: the log-likelihood has no second derivative "
            f"there{'' if site is None else f'; {site.model.function.explain(site.x).text.splitlines()[0]}'}",
        )
        return
    rest = [i for i in range(len(names)) if i not in ends]
    if site is not None and not result.converged:
        way = next(ways_up(site, rest), None) if rest else None
        if way is not None or sharp(site.x, information).any():  # what else is seen follows from it
            yield _perfect(site) if way is None else _rising(site, way)
            return
    if rest:
        yield from _undetermined(names, site, information, rest)


def _perfect(site: Site) -> Finding:
    """No way up is seen any more, because rounding has made a maximum."""
    i = int(np.argmax(np.diag(site.information) * np.spacing(np.abs(site.x)) ** 2))
    return Finding(
        "rising",
        f"the data determine {site.names[i]} to the last digit of a float: they are fitted perfectly, and "
        f"the log-likelihood keeps rising{_sharpening(site, i)}: there is no maximum; fix the scale of what "
        "is left, or bound it from below",
    )


def _sharpening(site: Site, i: int) -> str:
    """Which other parameter makes coordinate `i` still sharper, in words."""
    best, text = 1.0, ""
    for j in np.flatnonzero(~sharp(site.x, site.information)).tolist():
        for sign, course in ((1.0, "grows"), (-1.0, "falls")):
            beside = site.x.copy()
            beside[j] += sign * 0.01 * (1.0 + abs(site.x[j]))
            gain = -site.surface.hessian_flat(beside)[i, i] / site.information[i, i]
            if gain > best:
                best, text = gain, f" as {site.names[j]} {course}"
    return text


def _undetermined(
    names: tuple[str, ...], site: Site | None, information: Array, rest: list[int]
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
        elif site is not None and not site.result.converged and len(rest) == len(names):
            yield from _flat_top(shown, site.gradient[rest], block)
        return
    used = block.any(axis=1)
    for i in np.flatnonzero(~used):
        yield _unbent(names, site, rest[int(i)])
    for eigenvalue, vector in zip(eigenvalues, vectors.T, strict=True):
        if eigenvalue < SINGULAR and vector[used].any() and np.abs(vector[~used]).sum() < 1e-6:
            yield _direction(combination(vector, scale, shown), eigenvalue)


def _flat_top(names: tuple[str, ...], gradient: Array, information: Array) -> Iterator[Finding]:
    """Whether a parabola has arrived at its top, and yet the fit has not converged."""
    step = solve(information, gradient)
    if step.any() and gradient @ step <= _THERE**2:
        scale = 1.0 / np.sqrt(np.diag(information))
        yield _flatter(combination(step / scale, scale, names))


def _flatter(text: str) -> Finding:
    return Finding(
        "flat",
        f"the top of the log-likelihood is flatter than a parabola along {text}: there are no standard "
        "errors; use conf_int(method='profile'), or other parameters",
    )


def _unbent(names: tuple[str, ...], site: Site | None, i: int) -> Finding:
    """A coordinate in which the log-likelihood does not bend."""
    if site is not None:
        far = np.zeros(site.x.size)
        far[i] = 1.0 + abs(site.x[i])
        beside = [site.x + sign * 0.1 * far for sign in (1.0, -1.0)]
        if all(site.surface.hessian_flat(x)[i, i] < 0.0 for x in beside):
            return _flatter(names[i])
        if any(site.surface.value_flat(site.x + sign * far) != site.value for sign in (1.0, -1.0)):
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


def curved_ridge(text: str) -> Finding:
    """Parameters that make up for each other, so that one of them can take any value."""
    return Finding(
        "flat",
        f"the log-likelihood is flat along a ridge on which {text} wanders off, and other parameters make up "
        "for it: these parameters are not determined one by one; leave one out, fix it, or tie them",
    )


def _rising(site: Site, way: Way) -> Finding:
    """A direction without end, and as far as can be seen from the observations, why there is none."""
    lead = way.weights[np.argmax(np.abs(way.weights))]
    text = combination(way.weights, way.units, site.names)
    if way.is_ridge:
        return curved_ridge(text)
    course = f"{text} {'grows' if lead > 0.0 else 'falls'}"
    endless = f"the log-likelihood keeps rising as {course}"
    certain = _certain(site, way.furthest)
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


def _certain(site: Site, x: Array) -> str:
    """Which observations have probability 1 at `x`, in words."""
    model = site.model
    if model.pointwise is None:
        # Where the data together have probability 1, each of them has.
        together = model.prior is None and abs(site.surface.value_flat(x)) < _CERTAIN
        return "all observations are" if together else ""
    heights = site.observations(x)
    count = int(np.sum(heights > -_CERTAIN))
    if count == 0 or not heights.max() <= _CERTAIN:
        return ""
    return f"{count} of {heights.size} observations {'is' if count == 1 else 'are'}"


def collapse(site: Site) -> Iterator[Finding]:
    """Whether one observation alone has a very high density."""
    if site.model.pointwise is None:
        return
    heights = site.observations(site.x)
    top = int(np.argmax(heights))
    above = float(heights[top] - np.median(heights))
    if above > _COLLAPSED:
        yield Finding(
            "collapse",
            f"the density of observation {top} (counted from 0) is e^{above:.3g} times the median one: a "
            "component has shrunk onto it, where there is no maximum; start elsewhere, bound its scale from "
            "below, or add a logprior",
        )
