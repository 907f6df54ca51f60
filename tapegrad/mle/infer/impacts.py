"""Pulls of nuisance parameters, and their impacts on a parameter of interest."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from tapegrad.mle.climb.refit import refit
from tapegrad.mle.estimate import Estimate
from tapegrad.mle.infer.hypotheses import require_maximum
from tapegrad.mle.infer.profile import ProfileWarning
from tapegrad.mle.notices import warn
from tapegrad.mle.tables import Table, Tabled

Array: TypeAlias = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False, repr=False)
class Impacts(Tabled):
    """What nuisance parameters are pulled to, and do to a parameter of interest; the largest first. Print it.

    Attributes
    ----------
    of : str
        The parameter of interest.
    names : tuple of str, length k
        The nuisance parameters.
    pulls : ndarray, shape (k,)
        Estimate less the centre of the constraint, over its width.
    constraints : ndarray, shape (k,)
        Standard error over the width of the constraint: below 1, the data say more than the constraint.
    down, up : ndarray, shape (k,)
        By how much the estimate of `of` changes if the nuisance parameter is held one standard error below or
        above its estimate, and all others are fitted again.
    """

    of: str
    names: tuple[str, ...]
    pulls: Array
    constraints: Array
    down: Array
    up: Array

    def table(self) -> Table:
        """As a table, which has HTML, LaTeX and Markdown."""
        columns = [self.pulls, self.constraints, self.down, self.up]
        texts = [
            [format(value, form) for value in column] for column, form in zip(columns, _FORMS, strict=True)
        ]
        header = ("", "pull", "constraint", "down", "up")
        title = f"Impacts on {self.of} of one standard error"
        return Table(header, tuple(zip(self.names, *texts, strict=True)), title=title)

    def __str__(self) -> str:
        return str(self.table())

    __repr__ = __str__


_FORMS = (".3f", ".3f", ".4g", ".4g")


def impacts(
    result: Estimate,
    of: str,
    names: Sequence[str] | None = None,
    *,
    constraints: Mapping[str, tuple[float, float]] | None = None,
) -> Impacts:
    """Pulls of nuisance parameters, and their impacts on a parameter of interest.

    Parameters
    ----------
    result : FitResult
    of : str
        The parameter of interest.
    names : sequence of str, optional
        The nuisance parameters; by default all others that are estimated.
    constraints : mapping of str to (float, float), optional
        Centre and width (a standard deviation) of what is known of a nuisance parameter besides the data;
        ``(0.0, 1.0)`` where not given.

    Returns
    -------
    Impacts

    Raises
    ------
    ValueError
        If there is no such parameter, or it is fixed or constrained together with others; if the fit has no
        maximum, or was read from a file.

    Warns
    -----
    ProfileWarning
        If a parameter one standard error away is out of its range, or the others have no maximum there. These
        impacts are NaN.

    Examples
    --------
    >>> import numpy as np
    >>> from tapegrad import fit
    >>> from tapegrad.stats import norm, poisson
    >>> counts = np.array([55.0, 48.0])
    >>> def loglik(signal, background):
    ...     expected = signal * np.array([5.0, 1.0]) + 45.0 * (1.0 + 0.1 * background)
    ...     return poisson.logpmf(counts, expected).sum() + norm.logpdf(background)
    >>> print(fit(loglik, dict(signal=1.0, background=0.0)).impacts("signal"))
    Impacts on signal of one standard error
                 pull  constraint    down       up
    background  0.058       0.889  0.9569  -0.9352
    """
    model = result.require_model("impacts")
    require_maximum(result)
    chosen = [
        name for name, held in zip(result.names, result.is_fixed, strict=True) if not held and name != of
    ]
    chosen = list(names) if names is not None else chosen
    coordinates = _coordinates(result, [of, *chosen])
    place = result.names.index(of)
    rows = []
    for name, coordinate in zip(chosen, coordinates[1:], strict=True):
        at = result.names.index(name)
        centre, width = (constraints or {}).get(name, (0.0, 1.0))
        moved = [_moved(model, result, at, coordinate, place, sign) for sign in (-1.0, 1.0)]
        rows.append(((result.x[at] - centre) / width, result.bse[at] / width, *moved))
    table = np.array(rows, dtype=np.float64).reshape(len(chosen), 4)
    lost = [name for name, row in zip(chosen, table, strict=True) if np.isnan(row[2:]).any()]
    if lost:
        warn(
            f"there is no fit with {', '.join(lost)} one standard error away: these impacts are NaN",
            ProfileWarning,
        )
    order = np.argsort(-np.abs(table[:, 2:]).max(axis=1, initial=0.0), kind="stable")
    pulls, constrained, down, up = table[order].T
    return Impacts(of, tuple(chosen[i] for i in order), pulls, constrained, down, up)


def _coordinates(result: Estimate, names: Sequence[str]) -> list[int]:
    space = result.require_model("impacts").space
    found = []
    for name in names:
        if name not in result.names:
            raise ValueError(f"no parameter {name!r}; the parameters are {', '.join(result.names)}")
        coordinate = int(space.coordinate[result.names.index(name)])
        if coordinate < 0:
            raise ValueError(
                f"{name} is fixed, or constrained together with others: it cannot be moved alone"
            )
        found.append(coordinate)
    return found


def _moved(model: Any, result: Estimate, at: int, coordinate: int, of: int, sign: float) -> float:
    """What becomes of the parameter of interest with a nuisance parameter one standard error away."""
    natural = result.x.copy()
    natural[at] += sign * result.bse[at]
    try:
        wanted = float(model.space.free(natural)[coordinate])
    except ValueError:  # outside of the range
        return np.nan
    found = refit(model, result.free_estimates, {coordinate: wanted})
    if not found.converged:
        return np.nan
    return float(model.space.natural(found.free)[of] - result.x[of])
