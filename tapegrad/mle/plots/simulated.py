"""What was observed, against what the fitted model would give."""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from tapegrad.mle.estimate import Estimate
from tapegrad.mle.plots.canvas import FIRST, SECOND, Labels, axes_or_new, finish
from tapegrad.mle.progress import patient
from tapegrad.mle.resample.simulation import Simulate, simulated

Array: TypeAlias = npt.NDArray[np.float64]


def plot_simulated(
    result: Estimate,
    simulate: Simulate,
    statistic: Callable[[Mapping[str, Any]], Any],
    draws: int = 200,
    *,
    alpha: float = 0.05,
    seed: int | None = None,
    name: str = "statistic",
    ax: Any = None,
) -> Any:
    """A statistic of the data against the same of data that are simulated at the estimates.

    If it is a number, simulated ones are drawn as a histogram, with the share of those that are as far out on
    the nearer side. If it is an array, such as a histogram of the data, or the data in their order, each of
    its elements has a band.

    Parameters
    ----------
    result : FitResult
        Of a model with data that can be replaced, ``fit(..., data=...)``.
    simulate : callable
        ``simulate(params, rng)`` gives new data as a mapping, under the names of the data.
    statistic : callable
        Of the data as a mapping: a number, or an array of shape (k,).
    draws : int
        Number of simulated data sets.
    alpha : float
        One minus the probability with which each element of an array is within its band.
    seed : int, optional
    name : str
        What the statistic is called.
    ax : matplotlib axes, optional

    Returns
    -------
    matplotlib axes

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    ValueError
        If the model has no data to replace, or a statistic is neither a number nor an array of shape (k,).
    """
    model = result.require_model("simulation")
    rng = np.random.default_rng(seed)
    found = []
    with patient("simulation", draws) as shown:
        for drawn in simulated(model, result.free_estimates, simulate, draws, rng):
            found.append(np.asarray(statistic(drawn.data), dtype=np.float64))
            shown.step()
    observed, table = np.asarray(statistic(model.data), dtype=np.float64), np.array(found)
    if observed.ndim > 1 or table.shape != (draws, *observed.shape):
        raise ValueError(
            "a statistic of the data is a number, or an array of shape (k,), of the same shape always"
        )
    ax = axes_or_new(ax)
    if observed.ndim == 0:
        _draw_number(ax, float(observed), table, name)
    else:
        _draw_band(ax, observed, table, alpha, name)
    return ax


def _draw_number(ax: Any, observed: float, drawn: Array, name: str) -> None:
    ax.hist(drawn, bins="auto", color=FIRST, alpha=0.4, label="simulated")
    ax.axvline(observed, color="black", linewidth=2.0, label="observed")
    ax.set_ylim(top=1.3 * ax.get_ylim()[1])  # room for the legend
    below, above = np.mean(drawn <= observed), np.mean(drawn >= observed)
    side = "small" if below < above else "large"
    title = f"{100 * min(below, above):.3g}% of the draws are as {side}"
    finish(
        ax,
        Labels(x=name, y="draws", title=title, legend=True),
    )


def _draw_band(ax: Any, observed: Array, drawn: Array, alpha: float, name: str) -> None:
    low, middle, high = np.quantile(drawn, [alpha / 2.0, 0.5, 1.0 - alpha / 2.0], axis=0)
    places = np.arange(observed.size)
    band = f"{100 * (1 - alpha):g}% of the draws"
    ax.fill_between(places, low, high, color=FIRST, alpha=0.3, linewidth=0.0, label=band, step=None)
    ax.plot(places, middle, color=FIRST, linewidth=1.0)
    ax.plot(places, observed, "o", color=SECOND, markeredgecolor="black", markersize=4, label="observed")
    outside = int(np.sum((observed < low) | (observed > high)))
    finish(ax, Labels(x="element", y=name, title=f"{outside} of {observed.size} outside", legend=True))
