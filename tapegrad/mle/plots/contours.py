"""Joint confidence regions of two parameters, and of every pair."""

from collections.abc import Sequence
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.special import chdtri

from tapegrad.mle.estimate import Estimate
from tapegrad.mle.infer.profile import profiles
from tapegrad.mle.plots.canvas import (
    FIRST,
    SECOND,
    SECOND_LINE,
    Labels,
    axes_or_new,
    finish,
    finish_all,
    new_figure,
)
from tapegrad.mle.plots.follow import Curve, Surface2
from tapegrad.mle.plots.profiles import draw_profile
from tapegrad.mle.progress import Progress, patient

Array: TypeAlias = npt.NDArray[np.float64]

_CIRCLE: Final = np.linspace(0.0, 2.0 * np.pi, 201)


def plot_contour(
    result: Estimate, first: str, second: str, levels: tuple[float, ...] = (0.5, 0.95), *, ax: Any = None
) -> Any:
    """Joint confidence regions of two parameters: by the likelihood, and Wald's ellipses.

    The likelihood regions are those of the profile likelihood of both. Their lines are followed from the
    maximum outwards and around, with all other parameters fitted again at each point; where they turn, the
    points are closer. A part of a region that does not hang together with the maximum is not found.

    Parameters
    ----------
    result : FitResult
    first, second : str
        The parameters, across and up.
    levels : tuple of float
        Confidence levels, between 0 and 1.
    ax : matplotlib axes, optional

    Returns
    -------
    matplotlib axes

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    ValueError
        If there are no two such parameters, if one is fixed or constrained together with others, if the fit
        has not converged, or if a level is not between 0 and 1.
    """
    ax = axes_or_new(ax)
    places = _pair(result, first, second)
    _check_levels(levels)
    with patient(f"contour of {first} and {second}") as shown:
        _draw_contour(ax, result, places, levels, shown)
    finish(ax, Labels(x=first, y=second, legend=True))
    return ax


def _check_levels(levels: Sequence[float]) -> None:
    if not (levels and all(0.0 < level < 1.0 for level in levels)):
        raise ValueError(f"levels are confidence levels between 0 and 1, such as (0.5, 0.95), not {levels}")


def _draw_contour(
    ax: Any, result: Estimate, places: list[int], levels: Sequence[float], shown: Progress
) -> None:
    surface = Surface2(result, places, shown)
    cov = result.cov_params()[np.ix_(places, places)]
    ellipse = np.linalg.cholesky(cov) @ [np.cos(_CIRCLE), np.sin(_CIRCLE)]
    for i, level in enumerate(sorted(levels)):
        drop = 0.5 * float(chdtri(2, 1.0 - level))
        curve = surface.contour(drop)
        across, up = curve.points.T
        ax.plot(across, up, color=FIRST, label=None if i else "likelihood")
        wald = result.x[places, None] + np.sqrt(2.0 * drop) * ellipse
        ax.plot(*wald, linestyle=SECOND_LINE, color=SECOND, linewidth=1.0, label=None if i else "Wald")
        _write_level(ax, curve, f"{100 * level:g}%")
    ax.plot(*result.x[places], "+", color="black")
    ax.margins(0.08)


def _write_level(ax: Any, curve: Curve, text: str) -> None:
    """The level on its line, at its highest point."""
    x, y = curve.points[np.argmax(curve.points[:, 1])]
    low, high = curve.points[:, 0].min(), curve.points[:, 0].max()
    share = (x - low) / (high - low)
    side = "left" if share < 0.25 else "right" if share > 0.75 else "center"
    ax.text(
        x, y, text, fontsize="small", color=FIRST, ha=side, va="center", clip_on=True,
        bbox={"facecolor": ax.get_facecolor(), "edgecolor": "none", "pad": 1.0},
    )  # fmt: skip


def _pair(result: Estimate, first: str, second: str) -> list[int]:
    """The positions of two parameters that a contour can be drawn for."""
    space = result.require_model("a contour plot").space
    places = places_of(result, [first, second])
    if first == second or len(set(space.coordinate[places])) < 2:
        raise ValueError(f"a contour takes two different parameters, not {first} and {second}")
    for name, place in zip((first, second), places, strict=True):
        if space.coordinate[place] < 0:
            raise ValueError(f"{name} is fixed, or constrained together with others: it has no contours")
    if not result.converged:
        raise ValueError(f"the fit has not converged: {result.message}")
    return places


def places_of(result: Estimate, names: Sequence[str]) -> list[int]:
    """Where parameters stand.

    Raises
    ------
    ValueError
        If there is no such parameter.
    """
    unknown = [name for name in names if name not in result.names]
    if unknown:
        raise ValueError(f"no parameter {unknown[0]!r}; the parameters are {', '.join(result.names)}")
    return [result.names.index(name) for name in names]


def plot_pairs(
    result: Estimate,
    names: Sequence[str] | None = None,
    levels: tuple[float, ...] = (0.5, 0.95),
    *,
    ax: Any = None,
) -> Any:
    """Every pair of parameters: contours below the diagonal, and on it the profiles.

    Parameters
    ----------
    result : FitResult
    names : sequence of str, optional
        Which parameters, two or more; by default all that are not fixed.
    levels : tuple of float
        Confidence levels, see `plot_contour`; the profiles' is the highest.
    ax : array of matplotlib axes, shape (k, k), optional
        Those above the diagonal are taken away.

    Returns
    -------
    ndarray of matplotlib axes, of shape (k, k)
        None above the diagonal.

    Raises
    ------
    ImportError, ValueError
        As `plot_contour` does; or if `ax` has another shape.
    """
    if names is None:
        names = [name for name, held in zip(result.names, result.is_fixed, strict=True) if not held]
    k = len(names)
    if k < 2:
        raise ValueError(f"pairs are of two parameters or more, not of {', '.join(names) or 'none'}")
    _check_levels(levels)
    pairs = {
        (i, j): _pair(result, names[j], names[i]) for i in range(k) for j in range(i)
    }  # what is wrong is said before any work is done
    grid = _grid(ax, k)
    with patient(f"pairs of {k} parameters", k * (k + 1) // 2) as shown:
        for i, curve in enumerate(profiles(result, list(names), 1.0 - max(levels))):
            draw_profile(grid[i, i], curve, float(result.bse[result.names.index(names[i])]))
            shown.step(names[i])
        for (i, j), places in pairs.items():
            _draw_contour(grid[i, j], result, places, levels, Progress("", None, False))
            shown.step(f"{names[i]}, {names[j]}")
    finish_all([(grid[i, j], _labels(names, i, j)) for i in range(k) for j in range(i + 1)])
    return grid


def _labels(names: Sequence[str], i: int, j: int) -> Labels:
    """Names stand outside of the triangle, and once."""
    return Labels(
        x=names[j] if i in (j, len(names) - 1) else "",
        y=names[i] if i and not j else "",
        legend=(i, j) == (0, 0),
    )


def _grid(ax: Any, k: int) -> Any:
    grid = np.full((k, k), None)
    if ax is None:
        figure = new_figure(2.6 * k, 2.4 * k)
        for i in range(k):
            for j in range(i + 1):
                grid[i, j] = figure.add_subplot(k, k, i * k + j + 1)
        return grid
    given = np.asarray(ax, dtype=object)
    if given.shape != (k, k):
        raise ValueError(f"pairs of {k} parameters need an array of {k} by {k} axes, not {given.shape}")
    for i in range(k):
        for j in range(k):
            if j <= i:
                grid[i, j] = given[i, j]
            else:
                given[i, j].remove()
    return grid
