"""The random effects of a fit: their modes and errors, and the precision of all unknowns together."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt
from scipy import sparse

from tapegrad.marginal.curvature import responses
from tapegrad.marginal.inner import InnerProblem, mode
from tapegrad.marginal.peaks import other_peak
from tapegrad.mle.estimate import Estimate
from tapegrad.mle.levels import normal_intervals
from tapegrad.mle.matrices import moves_along
from tapegrad.mle.tables import Table, Tabled

Array: TypeAlias = npt.NDArray[np.float64]
_NO_SPREAD: Final = 1e-5  # of the standard deviation at the start

AnyEstimate = TypeVar("AnyEstimate", bound=Estimate)


@dataclass(frozen=True, eq=False, repr=False)
class RandomEffects(Tabled):
    """The random effects of a fit.

    Attributes
    ----------
    names : tuple of str
        Such as "u[3]".
    x : ndarray of shape (r,)
        Their modes at the estimates of the parameters.
    bse : ndarray of shape (r,)
        Standard errors, of a random effect about its mode, with the uncertainty of the parameters included.
    """

    names: tuple[str, ...]
    x: Array
    bse: Array

    def __getitem__(self, label: str) -> Any:
        """The modes of one parameter by its label, or of one element by its name."""
        places = self.places(label)
        return float(self.x[places[0]]) if label in self.names else self.x[places]

    def places(self, label: str) -> list[int]:
        """Where the random effects of a label stand.

        Raises
        ------
        KeyError
            If there is no such label.
        """
        found = [i for i, name in enumerate(self.names) if name == label or name.partition("[")[0] == label]
        if not found:
            raise KeyError(f"no random effect {label!r}; there are {', '.join(dict(self.labels()))}")
        return found

    def labels(self) -> Iterator[tuple[str, int]]:
        """The labels, without the brackets of elements, and how many random effects have each."""
        counts: dict[str, int] = {}
        for name in self.names:
            label = name.partition("[")[0]
            counts[label] = counts.get(label, 0) + 1
        yield from counts.items()

    def conf_int(self, alpha: float = 0.05) -> Array:
        """Intervals by the normal distribution, of shape (r, 2)."""
        return normal_intervals(self.x, self.bse, alpha)

    def table(self) -> Table:
        """Modes and standard errors: print it, or take its HTML, LaTeX or Markdown."""
        columns = zip(self.names, self.x, self.bse, strict=True)
        rows = tuple((name, f"{mode:.6g}", f"{error:.4g}") for name, mode, error in columns)
        return Table(("", "mode", "std. error"), rows)

    def __str__(self) -> str:
        shown = self.table().rows[:10]
        width = max(len(name) for name, _, _ in shown)
        lines = [f"{name:<{width}}  {mode}  (se {error})" for name, mode, error in shown]
        more = len(self.names) - len(shown)
        return "\n".join([*lines, f"and {more:,} more"] if more else lines)

    __repr__ = __str__


def random_effects(result: Estimate) -> RandomEffects:
    """The random effects of a fit.

    Raises
    ------
    ValueError
        If the model has none.
    """
    if result.modes is None or result.modes_bse is None:
        raise ValueError(f"{result.model} has no random effects: name them as fit(..., random=...)")
    return RandomEffects(result.random_names, result.modes, result.modes_bse)


def with_modes(result: AnyEstimate) -> AnyEstimate:
    """A fit of a model with random effects, with their modes at its estimates."""
    model = result.require_model("random effects")
    marginal, free = model.marginal, result.free_estimates
    division = model.division
    assert division is not None
    count = division.random.size
    try:
        found = marginal.mode(free)
    except InnerProblem:
        modes, errors = np.full(count, np.nan), np.full(count, np.nan)
        return replace(result, random_names=division.random_names, modes=modes, modes_bse=errors)
    pattern = found.point.layout.pattern
    variances = found.factor.inverse_subset()[pattern.diagonal]
    moves = mode_slopes(result)
    cov = result.cov_of_free()
    variances = variances + np.sum((moves @ cov) * moves, axis=1)
    variances[moves_along(moves, result.observed_info, result.flat)] = np.nan
    return replace(
        result, random_names=division.random_names, modes=found.u.copy(), modes_bse=np.sqrt(variances)
    )


def mode_slopes(result: Estimate) -> Array:
    """Derivative of the modes in the free coordinates, shape (r, q), by the implicit function theorem."""
    marginal = result.require_model("how the modes move").marginal
    free = result.free_estimates
    found = marginal.mode(free)
    joint = marginal.joint
    return responses(joint, found, joint.vector(free, found.u))[:, joint.inner].T


def shifts(result: Estimate) -> Array:
    """How far the mean of each random effect lies from its mode, in its standard deviations, shape (r,).

    Both are those given data and parameters; the mean is that to first order in the third derivatives. Where
    the joint log-likelihood is quadratic in the random effects, it is 0. Laplace's method takes it for 0.
    """
    marginal = result.require_model("how skewed random effects are").marginal
    found = marginal.mode(result.free_estimates)
    variances = found.factor.inverse_subset()[found.point.layout.pattern.diagonal]
    return np.asarray(marginal.pull(result.free_estimates) / np.sqrt(variances))


def several_peaks(result: Estimate) -> str | None:
    """What is said of random effects with several modes at the estimates; None where one is found."""
    marginal = result.require_model("the modes of random effects").marginal
    found = other_peak(marginal, result.free_estimates)
    return None if found is None else str(found)


def without_spread(result: Estimate) -> str | None:
    """What is said of random effects whose variance has gone to 0; None if none has.

    Their standard deviations given the data are compared with those at the start of the fit.
    """
    model = result.require_model("the spread of random effects")
    marginal = model.marginal
    now, before = (
        np.sqrt(found.factor.inverse_subset()[found.point.layout.pattern.diagonal])
        for found in (
            marginal.mode(result.free_estimates),
            mode(marginal.joint, model.space.start, marginal.start),
        )
    )
    effects = random_effects(result)
    for label, _ in effects.labels():
        mine = effects.places(label)
        if (now[mine] <= _NO_SPREAD * before[mine]).all():
            spread = f"{now[mine].max():.2g}, and {before[mine].max():.2g} at the start"
            return (
                f"the variance of {label} goes to 0, the end of its range (the random effects have a "
                f"standard deviation of {spread}). Leave {label} out, or estimate the logarithm of the "
                "standard deviation: then its own error alone is unknown"
            )
    return None


def joint_precision(result: Estimate) -> Any:
    """The precision matrix of free coordinates and random effects together, sparse.

    It is the inverse of their joint covariance matrix, in which a random effect is normal about its mode, and
    the mode moves with the parameters. The free coordinates come first, in the order of `free_names`, then
    the random effects.

    Parameters
    ----------
    result : FitResult

    Returns
    -------
    csc_array of shape (q + r, q + r)

    Raises
    ------
    ValueError
        If the model has no random effects, or the fit was read from a file.
    """
    marginal = result.require_model("the joint precision").marginal
    found = marginal.mode(result.free_estimates)
    inner = found.point.layout.pattern.matrix(found.point.curvature)
    moves = mode_slopes(result)
    mixed = -(inner @ moves)
    outer = result.observed_info + moves.T @ (inner @ moves)
    blocks = [[sparse.csc_array(outer), sparse.csc_array(mixed.T)], [sparse.csc_array(mixed), inner]]
    return sparse.csc_array(sparse.block_array(blocks))
