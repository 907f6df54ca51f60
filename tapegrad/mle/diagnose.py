"""What is wrong with a fit, in the parameters' names."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from tapegrad.mle.inference import combination, covariance, is_definite, is_reliable, solve, to_unit_diagonal

if TYPE_CHECKING:
    from tapegrad.function import TracedFunction
    from tapegrad.mle.result import FitResult

Array: TypeAlias = npt.NDArray[np.float64]

# How far out a direction is followed, in units of the curvature along each parameter.
_DISTANCES: Final = 4.0 ** np.arange(8)
_UNITS_APART: Final = 1e8


class Finding(NamedTuple):
    """One thing that is wrong.

    Attributes
    ----------
    kind : str
        "not converged", "few data", "not finite", "idle", "flat", "rising", "not a maximum", "edge", "bound",
        "scaling", "nearly flat" or "not quadratic".
    message : str
        What was found, and what may help.
    """

    kind: str
    message: str


@dataclass(frozen=True, repr=False)
class Diagnosis:
    """What is wrong with a fit; print it.

    Attributes
    ----------
    findings : tuple of Finding
        Nothing was found wrong if there are none.
    """

    findings: tuple[Finding, ...]

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of the findings."""
        return tuple(finding.kind for finding in self.findings)

    @property
    def is_fine(self) -> bool:
        """Whether nothing was found wrong."""
        return not self.findings

    def __str__(self) -> str:
        if self.is_fine:
            return "nothing found wrong with this fit"
        return "\n".join(f"- {finding.kind}: {finding.message}" for finding in self.findings)

    __repr__ = __str__


def diagnose(result: "FitResult") -> Diagnosis:
    """Look for what makes a fit or its standard errors untrustworthy.

    Parameters
    ----------
    result : FitResult
        Of one that was read from a file, only what its numbers show is found.
    """
    findings = list(_convergence(result))
    findings += _curvature(result)
    findings += _bounds(result)
    findings += _scaling(result)
    if result.converged:
        findings += _shape(result)
    return Diagnosis(tuple(findings))


def _free_names(result: "FitResult") -> tuple[str, ...]:
    if result.free is None:
        return result.names
    if result._model is not None:
        return result._model.space.free_names
    return tuple(f"free[{i}]" for i in range(result.free.size))


def _free(result: "FitResult") -> Array:
    return result.x if result.free is None else result.free


def _convergence(result: "FitResult") -> Iterator[Finding]:
    if not result.converged:
        yield Finding("not converged", result.message)
    if result.nobs is not None and result.nobs < result.df_model:
        yield Finding(
            "few data", f"{result.nobs} observations cannot determine {result.df_model} parameters: use fewer"
        )
    if not result.converged and result._model is not None:
        yield from _edge(result, result._model.tape)


def _edge(result: "FitResult", tape: "TracedFunction") -> Iterator[Finding]:
    """Whether the log-likelihood rises towards a place where it stops being finite."""
    x, names = _free(result), _free_names(result)
    gradient = tape.value_and_grad_flat(x)[1]
    for name, slope, place in zip(names, gradient, range(x.size), strict=True):
        beyond = x.copy()
        beyond[place] += 1e-4 * (1.0 + abs(x[place])) * np.sign(slope)
        if slope != 0.0 and np.isfinite(slope) and not np.isfinite(tape.value_flat(beyond)):
            yield Finding(
                "edge",
                f"the log-likelihood rises in {name} up to where it stops being finite, near {x[place]:.6g}: "
                "the maximum is at the edge of the parameter's range, if there is one; fix the parameter "
                "there",
            )


# The Hessian ------------------------------------------------------------------------------------------------


def _curvature(result: "FitResult") -> Iterator[Finding]:
    information, names = result.observed_info, _free_names(result)
    broken = [name for name, row in zip(names, information, strict=True) if not np.isfinite(row).all()]
    if broken:
        yield Finding(
            "not finite",
            f"the Hessian is not finite in {', '.join(broken)}: the log-likelihood has no second derivative "
            "there",
        )
        return
    idle = [name for name, row in zip(names, information, strict=True) if not row.any()]
    if idle:
        yield Finding(
            "idle",
            f"the log-likelihood does not bend with {', '.join(idle)}: it may not depend on it at all; fix "
            "it, or leave it out",
        )
    if is_definite(information):
        yield from _definite(result)
        return
    used = information.any(axis=1)
    scaled, scale = to_unit_diagonal(information)
    eigenvalues, vectors = np.linalg.eigh(scaled)
    for eigenvalue, vector in zip(eigenvalues, vectors.T, strict=True):
        if eigenvalue < 1e-10 and vector[used].any() and np.abs(vector[~used]).sum() < 1e-6:
            yield _direction(result, eigenvalue, vector, scale)


def _definite(result: "FitResult") -> Iterator[Finding]:
    """Of a definite Hessian: whether it is nearly singular, and whether the fit runs away."""
    information, names = result.observed_info, _free_names(result)
    scaled, scale = to_unit_diagonal(information)
    if not is_reliable(information):
        vector = np.linalg.eigh(scaled)[1][:, 0]
        yield Finding(
            "nearly flat",
            f"the data hardly determine {combination(vector, scale, names)}: the standard errors have few "
            "right digits; center or rescale what belongs to these parameters, or leave one out",
        )
    if result._model is not None and not result.converged:
        tape = result._model.tape
        step = solve(information, tape.value_and_grad_flat(_free(result))[1])
        found = _followed(tape, _free(result), step, least=0.0)
        if found is not None:
            yield _rising(combination(step / scale, scale, names), found)


def _direction(result: "FitResult", eigenvalue: float, vector: Array, scale: Array) -> Finding:
    """A direction in which the log-likelihood does not fall."""
    names = _free_names(result)
    text = combination(vector, scale, names)
    if result._model is not None:
        tape = result._model.tape
        for sign in (1.0, -1.0):
            found = _followed(tape, _free(result), sign * vector * scale, least=1e3)
            if found is not None:
                return _rising(combination(sign * vector, scale, names), found)
    if eigenvalue < -1e-10:
        return Finding(
            "not a maximum",
            f"the log-likelihood curves upwards along {text}: start elsewhere, or with n_starts=",
        )
    return Finding(
        "flat",
        f"the log-likelihood is flat along {text}: these parameters are not determined one by one (collinear "
        "columns, or one parameter too many); leave one out, fix it, or tie them",
    )


def _rising(direction: str, gain: float) -> Finding:
    return Finding(
        "rising",
        f"the log-likelihood keeps rising along {direction}, by {gain:.3g} and more: there is no maximum "
        "(separated classes, or a component that collapses onto one observation); bound the parameters, or "
        "add a prior",
    )


def _followed(tape: "TracedFunction", x: Array, step: Array, least: float) -> float | None:
    """How much the log-likelihood has risen far along `step`, if it never falls on the way.

    None if that is not more than `least` times its rounding errors.
    """
    start = tape.value_flat(x)
    heights = np.array([start, *(tape.value_flat(x + distance * step) for distance in _DISTANCES)])
    finite = np.isfinite(heights)
    heights = heights[: len(heights) if finite.all() else int(np.argmin(finite))]
    noise = 1e-12 * (1.0 + abs(start))
    if len(heights) < 4 or (np.diff(heights) < -noise).any() or heights[-1] - start <= least * noise:
        return None
    return float(heights[-1] - start)


# Bounds, units, shape ---------------------------------------------------------------------------------------


def _bounds(result: "FitResult") -> Iterator[Finding]:
    """Parameters whose transform has run to its end."""
    if result.jacobian is None or result._model is None:
        return
    space = result._model.space
    for place, (name, coordinate) in enumerate(zip(space.names, space.coordinate, strict=True)):
        if coordinate < 0 or result.free is None:
            continue
        slope = abs(result.jacobian[place, coordinate])
        if abs(result.free[coordinate]) > 12.0 and slope < 1e-5 * max(1.0, abs(result.x[place])):
            yield Finding(
                "bound",
                f"{name} = {result.x[place]:.6g} is at the end of its range ({space.free_names[coordinate]} "
                f"= {result.free[coordinate]:.4g}): Wald's theory does not hold there; fix it at the end",
            )


def _scaling(result: "FitResult") -> Iterator[Finding]:
    diagonal = np.abs(np.diag(result.observed_info))
    diagonal = np.where(np.isfinite(diagonal) & (diagonal > 0.0), diagonal, np.nan)
    if np.isnan(diagonal).all():
        return
    widths = 1.0 / np.sqrt(diagonal)
    smallest, largest = int(np.nanargmin(widths)), int(np.nanargmax(widths))
    names = _free_names(result)
    if widths[largest] > _UNITS_APART * widths[smallest]:
        yield Finding(
            "scaling",
            f"{names[largest]} moves in steps of {widths[largest]:.1g}, {names[smallest]} in steps of "
            f"{widths[smallest]:.1g}: use units in which they are nearer to each other",
        )


def _shape(result: "FitResult") -> Iterator[Finding]:
    """Whether the log-likelihood two standard errors away is what Wald's parabola says."""
    if result._model is None:
        return
    tape, x, names = result._model.tape, _free(result), _free_names(result)
    top = tape.value_flat(x)
    cov = covariance(result.observed_info)
    bent = []
    for i, name in enumerate(names):
        # Along this direction the others follow as the parabola says; the drop there is 2.
        step = 2.0 * cov[:, i] / np.sqrt(cov[i, i])
        drops = np.array([top - tape.value_flat(x + sign * step) for sign in (1.0, -1.0)])
        if not ((drops > 1.4) & (drops < 2.8)).all():
            bent.append(name)
    if bent:
        yield Finding(
            "not quadratic",
            f"two standard errors away the log-likelihood is far from a parabola in {', '.join(bent)}: use "
            "conf_int(method='profile')",
        )
