"""Numbers with intervals, a line for each: coefficients, random effects, impacts."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from tapegrad.mle.estimate import Estimate
from tapegrad.mle.infer.impacts import Impacts
from tapegrad.mle.infer.random import random_effects
from tapegrad.mle.plots.canvas import FIRST, REFERENCE, SECOND, Labels, axes_or_new, finish, name_lines
from tapegrad.mle.plots.contours import places_of
from tapegrad.mle.progress import patient
from tapegrad.mle.report.intervals import conf_int

Array: TypeAlias = npt.NDArray[np.float64]


def plot_coefficients(
    result: Estimate,
    names: Sequence[str] | None = None,
    alpha: float = 0.05,
    method: str = "wald",
    *,
    drop: str | Sequence[str] = (),
    sd: Mapping[str, float] | None = None,
    ax: Any = None,
) -> Any:
    """Estimates with their confidence intervals, one line for each parameter.

    Parameters
    ----------
    result : FitResult
    names : sequence of str, optional
        Which parameters; by default all.
    alpha : float
        One minus the confidence level.
    method : str
        Of intervals, see `FitResult.conf_int`.
    drop : str or sequence of str
        Parameters that are left out, such as the constant, whose size would hide the others.
    sd : mapping of str to float, optional
        Standard deviations of the variables of coefficients: these are drawn as the effects of one of them.
    ax : matplotlib axes, optional

    Returns
    -------
    matplotlib axes

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    ValueError
        If there is no such parameter, or none is left; or as `FitResult.conf_int` does.
    """
    left_out = [drop] if isinstance(drop, str) else list(drop)
    places_of(result, [*left_out, *(sd or {})])
    chosen = [name for name in (result.names if names is None else names) if name not in left_out]
    places = places_of(result, chosen)
    if not places:
        raise ValueError("no parameter is left to be drawn")
    ax = axes_or_new(ax, 5.0, 1.2 + 0.3 * len(chosen))
    units = np.array([(sd or {}).get(name, 1.0) for name in chosen])
    with patient("intervals"):
        ends = conf_int(result, alpha, method)[places] * units[:, None]
    lines = np.arange(len(chosen))[::-1]
    draw_intervals(ax, lines, result.x[places] * units, ends)
    ax.axvline(0.0, color=REFERENCE, linewidth=0.8)
    name_lines(ax, lines, chosen)
    ax.set_ylim(-0.6, len(chosen) - 0.4)
    what = "estimate per standard deviation" if sd else "estimate"
    finish(ax, Labels(x=f"{what}, {100 * (1 - alpha):g}% {method.replace('wald', 'Wald')} interval"))
    return ax


def draw_intervals(ax: Any, lines: npt.NDArray[Any], x: Array, ends: Array) -> None:
    """Points with their intervals: bars with ends, that show beside the points however short they are."""
    size = 5.0 if len(lines) <= 40 else 2.5
    low, high = ends.T
    ax.hlines(lines, low, high, color=FIRST, linewidth=1.4, zorder=3)
    # An interval narrower than its point is seen by its ends.
    ax.plot(low, lines, "|", color=FIRST, markersize=1.8 * size, zorder=4)
    ax.plot(high, lines, "|", color=FIRST, markersize=1.8 * size, zorder=4)
    ax.plot(x, lines, "o", color=FIRST, markersize=size, markerfacecolor="white", zorder=3.5)


def plot_random_effects(
    result: Estimate, label: str | None = None, alpha: float = 0.05, *, sort: bool = True, ax: Any = None
) -> Any:
    """The random effects with their intervals, in the order of their modes: a caterpillar.

    Parameters
    ----------
    result : FitResult
    label : str, optional
        Which; needed where there are several kinds.
    alpha : float
        One minus the level of the intervals.
    sort : bool
        Whether the smallest is the lowest; otherwise they stand in their order.
    ax : matplotlib axes, optional

    Returns
    -------
    matplotlib axes

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    ValueError
        If the model has no random effects, or several kinds of which none is named.
    KeyError
        If there is no such label.
    """
    found = random_effects(result)
    labels = dict(found.labels())
    if label is None:
        if len(labels) > 1:
            raise ValueError(f"there are several kinds of random effects: name one of {', '.join(labels)}")
        (label,) = labels
    places = np.array(found.places(label))
    places = places[np.argsort(found.x[places], kind="stable")] if sort else places[::-1]
    ax = axes_or_new(ax, 5.0, float(np.clip(1.0 + 0.18 * places.size, 3.0, 9.0)))
    lines = np.arange(places.size)
    draw_intervals(ax, lines, found.x[places], found.conf_int(alpha)[places])
    ax.axvline(0.0, color=REFERENCE, linewidth=0.8)
    height = ax.get_window_extent().height * 72.0 / ax.figure.dpi
    if places.size * 11.0 <= height:
        name_lines(ax, lines, [found.names[i] for i in places])
    else:  # names would stand on each other
        ax.set_yticks([])
    ax.set_ylim(-1.0, places.size)
    finish(ax, Labels(x=f"{label}, {100 * (1 - alpha):g}% interval"))
    return ax


def plot_impacts(impacts: Impacts, most: int = 20, *, ax: Any = None) -> Any:
    """Impacts on a parameter of interest, the largest at the top, with the pulls in brackets.

    Parameters
    ----------
    impacts : Impacts
        What `FitResult.impacts` gives.
    most : int
        How many are drawn.
    ax : matplotlib axes, optional

    Returns
    -------
    matplotlib axes

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    """
    count = min(most, len(impacts.names))
    ax = axes_or_new(ax, 5.0, 1.2 + 0.3 * count)
    lines = np.arange(count)[::-1]
    ax.barh(lines, impacts.up[:count], height=0.6, color=FIRST, label="+1 SE")
    ax.barh(
        lines, impacts.down[:count], height=0.6, color="none", edgecolor=SECOND, hatch="///",
        label="\N{MINUS SIGN}1 SE",
    )  # fmt: skip
    ax.axvline(0.0, color=REFERENCE, linewidth=0.8)
    name_lines(ax, lines, impacts.names[:count], [f" ({pull:+.2f})" for pull in impacts.pulls[:count]], 0.45)
    ax.set_ylim(-0.6, 1.3 * count + 0.2)  # room for the legend
    finish(ax, Labels(x=f"change of {impacts.of}", legend=True, where={"loc": "upper right"}))
    return ax
