"""What is wrong with a fit, in the parameters' names."""

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from tapegrad.mle.estimate import Estimate
from tapegrad.mle.infer.random import several_peaks, shifts
from tapegrad.mle.matrices import covariance, to_unit_diagonal
from tapegrad.mle.report.curvature import Finding, collapse, curvature, curved_ridge
from tapegrad.mle.report.ways import SINGULAR, Site, is_ridge
from tapegrad.mle.transforms import identity

Array: TypeAlias = npt.NDArray[np.float64]

# The ratio of standard errors that may be why a fit has not converged.
_UNITS_APART: Final = 1e4
# A free coordinate has run to the end of its parameter's range if it is further out than this, and the
# log-likelihood so flat there that its standard error would be more than that and its slope less.
_FAR_OUT: Final = 8.0
_FLAT_ERROR: Final = 3.0
_FLAT_SLOPE: Final = 1e-2
# Exponentials of more than this are at the end of any range.
_OVERFLOWING: Final = 100.0


# A mean so many standard deviations from the mode belongs to no density that a normal one comes near.
_SHIFTED = 1.0


@dataclass(frozen=True, eq=False, repr=False)
class Diagnosis:
    """What is wrong with a fit; print it.

    Attributes
    ----------
    findings : tuple of Finding
        Nothing was found wrong if there are none.
    eigenvalues : ndarray of shape (q,)
        Of the observed information in units in which its diagonal is 1 (or -1), the smallest first: what is
        near 0 is a direction that the data do not determine. NaN where the information is not finite.
    """

    findings: tuple[Finding, ...]
    eigenvalues: Array
    unknown: str = ""  # what could not be looked for

    @property
    def condition(self) -> float:
        """The largest eigenvalue over the smallest one; infinite where the information is not definite."""
        smallest, largest = self.eigenvalues[0], self.eigenvalues[-1]
        return float(largest / smallest) if smallest > 0.0 else np.inf

    @property
    def rank(self) -> int:
        """The number of directions that the data determine."""
        return int(np.sum(self.eigenvalues > SINGULAR))

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
        lines = [f"- {finding.kind}: {finding.message}" for finding in self.findings]
        return "\n".join([*lines, self.unknown] if self.unknown else lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        if self.is_fine:
            return f"<div>{self}</div>"
        items = (f"<li><b>{escape(kind)}</b>: {escape(message)}</li>" for kind, message in self.findings)
        return f"<ul>{''.join(items)}</ul>"


def diagnose(result: Estimate) -> Diagnosis:
    """Look for what makes a fit or its standard errors untrustworthy.

    Parameters
    ----------
    result : FitResult
        Of one that was read from a file, only what its numbers show is found.

    Examples
    --------
    >>> import numpy as np
    >>> from tapegrad import fit
    >>> from tapegrad.stats import norm
    >>> x = np.array([3.1, 4.4, 2.5, 3.8, 4.0])
    >>> fit(lambda mu: norm.logpdf(x, mu, 1.0).sum(), dict(mu=0.0)).diagnose()
    nothing found wrong with this fit
    """
    site = None if result.kept_model is None else Site(result, result.kept_model)
    findings = list(_convergence(result))
    ends = {} if site is None else _ends(site)
    findings += ends.values()
    findings += curvature(result, site, set(ends))
    if site is not None and not result.converged:
        findings += collapse(site)
    if [finding.kind for finding in findings] == ["not converged"]:
        findings += _scaling(result)
    if site is not None and result.converged:
        findings += _shape(site)
    if site is not None and result.modes is not None and np.isfinite(result.modes).all():
        findings += _skewed(result) if result.quadrature == 1 else ()
        peaks = several_peaks(result)
        findings += [] if peaks is None else [Finding("several peaks", peaks)]
    few = "" if result.nobs is not None else "whether there are few data is not known: pass nobs= to fit"
    return Diagnosis(tuple(findings), _eigenvalues(result.observed_info), few)


def _skewed(result: Estimate) -> Iterator[Finding]:
    """Random effects that are far from normal, given the data."""
    found = np.abs(shifts(result))
    far = np.flatnonzero(found > _SHIFTED)
    if far.size:
        first = far[np.argsort(-found[far], kind="stable")][:3]
        names = ", ".join(result.random_names[i] for i in first.tolist())
        more = f" and {far.size - 3:,} more" if far.size > 3 else ""
        yield Finding(
            "skewed random effects",
            f"given the data, {names}{more} are far from normal (their means lie up to {found.max():.1f} "
            "standard deviations from their modes), and Laplace's method is inaccurate; perhaps all outcomes "
            "in a group are alike. check_laplace() says how much that matters; fit(quadrature=) integrates "
            "more exactly, where random effects come in small groups",
        )


def _eigenvalues(information: Array) -> Array:
    if not np.isfinite(information).all():
        return np.full(len(information), np.nan)
    return np.asarray(np.linalg.eigvalsh(to_unit_diagonal(information)[0]))


def _convergence(result: Estimate) -> Iterator[Finding]:
    if not result.converged:
        yield Finding("not converged", result.message.removeprefix("not converged: "))
    if result.nobs is not None and result.nobs < result.df_model:
        count = f"{result.nobs} observation{'s' * (result.nobs != 1)}"
        yield Finding("few data", f"{count} cannot determine {result.df_model} parameters: use fewer")


# The ends of ranges -----------------------------------------------------------------------------------------


def _ends(site: Site) -> dict[int, Finding]:
    """The free coordinates at an end, with what to say of each: none where there is a maximum."""
    return {} if site.result.converged else _edges(site) | _bounds(site)


def _bounds(site: Site) -> dict[int, Finding]:
    """Where the log-likelihood does not keep a parameter away from the end of its range."""
    space, x = site.model.space, site.x
    with np.errstate(invalid="ignore"):
        flat = ~(np.diag(site.information) > _FLAT_ERROR**-2) & (np.abs(site.gradient) < _FLAT_SLOPE)
    found = {}
    for block in space.blocks:
        # Those of whole vectors and matrices have free coordinates in the parameters' units, too.
        if block.transform == identity or not block.transform.elementwise:
            continue
        for i in space.coordinate[block.own].tolist():
            if (flat[i] and abs(x[i]) > _FAR_OUT) or abs(x[i]) > _OVERFLOWING:
                if is_ridge(site, i):
                    found[i] = curved_ridge(site.names[i])
                    continue
                here = np.flatnonzero(space.coordinate == i)
                values = ", ".join(f"{site.result.names[k]} = {site.result.x[k]:.6g}" for k in here)
                found[i] = Finding(
                    "bound",
                    f"{values} is at the end of its range ({site.names[i]} = {x[i]:.4g}), and the data do "
                    "not keep it away: Wald's theory does not hold there; fix it, or fit the model without "
                    "it",
                )
    return found


def _edges(site: Site) -> dict[int, Finding]:
    """Where the log-likelihood rises up to where it stops being finite."""
    found = {}
    for i, (name, slope) in enumerate(zip(site.names, site.gradient, strict=True)):
        beyond = site.x.copy()
        beyond[i] += 1e-4 * (1.0 + abs(site.x[i])) * np.sign(slope)
        if slope != 0.0 and np.isfinite(slope) and not np.isfinite(site.surface.value_flat(beyond)):
            found[i] = Finding(
                "edge",
                f"the log-likelihood rises as {name} {'grows' if slope > 0.0 else 'falls'}, up to where it "
                f"stops being finite, near {site.x[i]:.6g}: the maximum is at the edge of the parameter's "
                "range, if there is one; fix the parameter there",
            )
    return found


# Units and shape --------------------------------------------------------------------------------------------


def _scaling(result: Estimate) -> Iterator[Finding]:
    """Whether standard errors are of very different sizes."""
    diagonal = np.abs(np.diag(result.observed_info))
    diagonal = np.where(np.isfinite(diagonal) & (diagonal > 0.0), diagonal, np.nan)
    if np.isnan(diagonal).all():
        return
    widths = 1.0 / np.sqrt(diagonal)
    smallest, largest = int(np.nanargmin(widths)), int(np.nanargmax(widths))
    names = result.free_names
    if widths[largest] > _UNITS_APART * widths[smallest]:
        yield Finding(
            "scaling",
            f"{names[largest]} has a standard error of about {widths[largest]:.1g}, {names[smallest]} one of "
            f"{widths[smallest]:.1g}: use units in which they are nearer to each other, or method='newton'",
        )


def _shape(site: Site) -> Iterator[Finding]:
    """Whether the log-likelihood two standard errors away is what Wald's parabola says."""
    cov = covariance(site.information)
    bent = []
    for i, name in enumerate(site.names):
        # Along this direction the others follow as the parabola says; the drop there is 2.
        step = 2.0 * cov[:, i] / np.sqrt(cov[i, i])
        drops = np.array([site.value - site.surface.value_flat(site.x + sign * step) for sign in (1.0, -1.0)])
        if not ((drops > 1.4) & (drops < 2.8)).all():
            bent.append(name)
    if bent:
        yield Finding(
            "not quadratic",
            f"two standard errors away the log-likelihood is far from a parabola in {', '.join(bent)}: use "
            "conf_int(method='profile')",
        )
