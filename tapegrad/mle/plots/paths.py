"""How a fit came to its maximum, and what a test of it can see."""

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri

from tapegrad.mle.estimate import Estimate
from tapegrad.mle.levels import checked_alpha
from tapegrad.mle.plots.canvas import FIRST, REFERENCE, SECOND, SECOND_LINE, Labels, axes_or_new, finish
from tapegrad.mle.plots.contours import places_of

Array: TypeAlias = npt.NDArray[np.float64]

_STYLES: tuple[tuple[str, Any], ...] = (
    (FIRST, "-"),
    (SECOND, SECOND_LINE),
    ("black", ":"),
    (REFERENCE, "-."),
)


def plot_convergence(result: Estimate, *, ax: Any = None) -> Any:
    """How the optimiser came near to the maximum: what was missing at each improvement, on a log scale.

    Parameters
    ----------
    result : FitResult
    ax : matplotlib axes, optional

    Returns
    -------
    matplotlib axes

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    ValueError
        If the fit has no path.
    """
    if result.path is None or result.path.size < 2:
        raise ValueError("this fit has no path: the optimiser has not improved on its start")
    ax = axes_or_new(ax)
    best = float(result.path.max())
    if result.kept_model is not None:  # Newton's last steps are not on the path
        best = max(best, result.kept_model.function.value_flat(result.free_estimates))
    missing = best - result.path
    # What is equal to the last digit is not on a log scale.
    ax.semilogy(np.where(missing > 0.0, missing, np.nan), "o-", color=FIRST, markersize=3)
    finish(
        ax,
        Labels(
            x="improvement",
            y="log-likelihood, missing to the maximum",
            title=f"{result.method}: {result.nit} iterations, {result.nfev} evaluations",
        ),
    )
    return ax


def power(distance: Array, error: float, alpha: float) -> Array:
    """The probability that Wald's two-sided test rejects, with the truth at a distance from what is tested.

    ``P(|Z + distance / error| > z)`` with a standard normal Z.
    """
    z, shift = -float(ndtri(alpha / 2.0)), distance / error
    return np.asarray(ndtr(shift - z) + ndtr(-shift - z))


def plot_power(
    result: Estimate,
    name: str,
    null: float = 0.0,
    alpha: float = 0.05,
    sizes: Sequence[float] = (1.0, 2.0, 4.0),
    *,
    ax: Any = None,
) -> Any:
    """The power of Wald's test of a parameter, against its true value, with more and with less data.

    The standard error is that of the fit, and falls with the root of the number of observations. The dotted
    line stands at the estimate.

    Parameters
    ----------
    result : FitResult
    name : str
    null : float
        The value that is tested.
    alpha : float
        The level of the test.
    sizes : sequence of float
        How many times as many observations as the fit has, up to four.
    ax : matplotlib axes, optional

    Returns
    -------
    matplotlib axes

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    ValueError
        If there is no such parameter, or it has no standard error; or if `sizes` are not one to four
        positive numbers.
    """
    (place,) = places_of(result, [name])
    error = float(result.bse[place])
    checked_alpha(alpha)
    if not (np.isfinite(error) and error > 0.0):
        raise ValueError(f"{name} has no standard error: {result.message}")
    if not 1 <= len(sizes) <= len(_STYLES) or not all(size > 0.0 for size in sizes):
        raise ValueError(f"sizes are one to {len(_STYLES)} positive numbers, not {sizes}")
    ax = axes_or_new(ax)
    furthest = max(abs(result.x[place] - null), 4.0 * error / np.sqrt(min(1.0, *sizes)))
    truth = null + np.linspace(-1.1, 1.1, 401) * furthest
    for size, (color, style) in zip(sizes, _STYLES, strict=False):
        ax.plot(
            truth, power(truth - null, error / np.sqrt(size), alpha), color=color, linestyle=style,
            label=_size(result, size),
        )  # fmt: skip
    ax.axhline(alpha, color=REFERENCE, linewidth=0.8)
    ax.axvline(result.x[place], color="black", linewidth=0.8, linestyle=(0, (1, 2)))
    ax.set_ylim(0.0, 1.02)
    title = f"Wald test of {name} = {null:g} at {100 * alpha:g}%"
    finish(ax, Labels(x=f"true {name}", y="power", title=title, legend=True, where={"loc": "lower right"}))
    return ax


def _size(result: Estimate, size: float) -> str:
    return f"{size:g} times the data" if result.nobs is None else f"n = {round(size * result.nobs):,}"
