"""Pictures of a fit; they need matplotlib.

Each function draws into the axes given, or into those of a new figure, and returns them. Nothing is shown or
saved: call ``axes.figure.savefig("profile.png")``, or let Jupyter show it.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.special import chdtri, ndtri

from tapegrad.mle.climb.others import Others, others, settled
from tapegrad.mle.climb.refit import Refit, refit
from tapegrad.mle.climb.surfaces import Supported, Surface
from tapegrad.mle.estimate import Estimate
from tapegrad.mle.infer.delta import delta
from tapegrad.mle.infer.profile import profile, profiles
from tapegrad.mle.model.model import Model
from tapegrad.mle.report.intervals import conf_int

Array: TypeAlias = npt.NDArray[np.float64]


# How many values of each parameter a contour is drawn from.
_POINTS: Final = 31
# How far down a profile is drawn, in units of the drop at its interval's ends.
_DEPTH: Final = 1.8


def _figure(width: float, height: float) -> Any:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError('pictures need matplotlib: python -m pip install "tapegrad[plots]"') from error
    return Figure(figsize=(width, height), layout="constrained")


def _axes(axes: Any, width: float = 5.0, height: float = 4.0) -> Any:
    return _figure(width, height).subplots() if axes is None else axes


def plot_profile(
    result: Estimate, name: str | Callable[..., Any], alpha: float = 0.05, *, axes: Any = None
) -> Any:
    """The profile likelihood of a parameter and Wald's parabola, each with its interval.

    Parameters
    ----------
    result : FitResult
    name : str or callable
        What to profile, see `FitResult.profile`.
    alpha : float
        One minus the confidence level.
    axes : matplotlib axes, optional

    Returns
    -------
    matplotlib axes

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    ValueError
        As `FitResult.profile` does.
    """
    axes = _axes(axes)
    curve = profile(result, name, alpha)
    error = delta(result, name).bse[0] if callable(name) else result.bse[result.names.index(name)]
    drop = 0.5 * ndtri(alpha / 2.0) ** 2
    fine = np.linspace(curve.values[0], curve.values[-1], 201)
    axes.plot(fine, _smooth(curve.values, curve.roots, fine), color="C0", label="profile")
    axes.plot(curve.values, curve.llf - curve.llf.max(), "o", color="C0", markersize=3)
    _ends(axes, curve.interval, drop, "C0")
    if np.isfinite(error):
        across = np.linspace(-1.0, 1.0, 201) * np.sqrt(2.0 * _DEPTH * drop)
        axes.plot(curve.estimate + error * across, -0.5 * across**2, "--", color="C1", label="Wald")
        half = error * np.sqrt(2.0 * drop)
        _ends(axes, (curve.estimate - half, curve.estimate + half), drop, "C1", linestyle="--")
    axes.axhline(-drop, color="grey", linewidth=0.8)
    axes.set_ylim(-_DEPTH * drop, 0.08 * drop)
    axes.set_xlabel(curve.name)
    axes.set_ylabel("log-likelihood, less its maximum")
    axes.set_title(
        f"{100 * (1 - alpha):g}% interval {curve.interval[0]:.4g} to {curve.interval[1]:.4g}", fontsize=10
    )
    axes.legend(frameon=False)
    return axes


def _ends(axes: Any, interval: tuple[float, float], drop: float, color: str, linestyle: str = "-") -> None:
    """The ends of an interval, from the limit down to the axis."""
    for end in interval:
        if np.isfinite(end):
            axes.plot([end, end], [-drop, -_DEPTH * drop], linestyle, color=color, linewidth=0.8)


def _smooth(values: Array, roots: Array, fine: Array) -> Array:
    """The profile between its points: the roots, nearly a straight line, by monotone cubics."""
    from scipy.interpolate import PchipInterpolator

    return np.asarray(-0.5 * PchipInterpolator(values, roots)(fine) ** 2)


def plot_contour(
    result: Estimate, first: str, second: str, levels: tuple[float, ...] = (0.5, 0.95), *, axes: Any = None
) -> Any:
    """Joint confidence regions of two parameters: by the likelihood, and Wald's ellipses.

    The likelihood regions are those of the profile likelihood of both, with all others fitted again at each
    of 31 by 31 points.

    Parameters
    ----------
    result : FitResult
    first, second : str
        The parameters, across and up.
    levels : tuple of float
        Confidence levels, between 0 and 1.
    axes : matplotlib axes, optional

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
    axes = _axes(axes)
    places = _pair(result, first, second)
    if not (levels and all(0.0 < level < 1.0 for level in levels)):
        raise ValueError(f"levels are confidence levels between 0 and 1, such as (0.5, 0.95), not {levels}")
    drops = 0.5 * chdtri(2, 1.0 - np.sort(levels))
    # One parameter's profile interval at this alpha spans the joint region's width.
    alpha = float(1.0 - np.max(levels)) ** 1.5
    curves = profiles(result, [first, second], alpha)
    grids = [_grid(curve.values, curve.interval) for curve in curves]
    top = max(curve.llf.max() for curve in curves)
    below = np.clip(top - _surface(result, places, grids), 0.0, 4.0 * drops[-1])
    roots = np.sqrt(2.0 * below)  # which is smoother between the points than the likelihood ratio itself
    lines = axes.contour(*grids, roots, levels=np.sqrt(2.0 * drops), colors="C0")
    texts = [f"{100 * level:g}%" for level in np.sort(levels)]
    axes.clabel(lines, fmt=dict(zip(lines.levels, texts, strict=True)), fontsize=8)
    circle = np.linspace(0.0, 2.0 * np.pi, 201)
    ellipse = np.linalg.cholesky(result.cov_params()[np.ix_(places, places)]) @ [
        np.cos(circle),
        np.sin(circle),
    ]
    for drop in drops:
        axes.plot(*(result.x[places, None] + np.sqrt(2.0 * drop) * ellipse), "--", color="C1", linewidth=1.0)
    axes.plot(*result.x[places], "+", color="black")
    axes.plot([], [], color="C0", label="likelihood")
    axes.plot([], [], "--", color="C1", label="Wald")
    axes.legend(frameon=False)
    axes.set_xlabel(first)
    axes.set_ylabel(second)
    return axes


def _pair(result: Estimate, first: str, second: str) -> list[int]:
    """The positions of two parameters that a contour can be drawn for."""
    space = result.require_model("a contour plot").space
    places = _places(result, [first, second])
    if first == second or len(set(space.coordinate[places])) < 2:
        raise ValueError(f"a contour takes two different parameters, not {first} and {second}")
    for name, place in zip((first, second), places, strict=True):
        if space.coordinate[place] < 0:
            raise ValueError(f"{name} is fixed, or constrained together with others: it has no contours")
    if not result.converged:
        raise ValueError(f"the fit has not converged: {result.message}")
    return places


def _places(result: Estimate, names: Sequence[str]) -> list[int]:
    unknown = [name for name in names if name not in result.names]
    if unknown:
        raise ValueError(f"no parameter {unknown[0]!r}; the parameters are {', '.join(result.names)}")
    return [result.names.index(name) for name in names]


def plot_pairs(
    result: Estimate, names: Sequence[str] | None = None, levels: tuple[float, ...] = (0.5, 0.95)
) -> Any:
    """Every pair of parameters: contours below the diagonal, and on it the profiles.

    Parameters
    ----------
    result : FitResult
    names : sequence of str, optional
        Which parameters, two or more; by default all that are not fixed.
    levels : tuple of float
        Confidence levels, see `plot_contour`; the profiles' is the highest.

    Returns
    -------
    ndarray of matplotlib axes, of shape (k, k)
        None above the diagonal.

    Raises
    ------
    ImportError, ValueError
        As `plot_contour` does.
    """
    if names is None:
        names = [name for name, held in zip(result.names, result.is_fixed, strict=True) if not held]
    k = len(names)
    if k < 2:
        raise ValueError(f"pairs are of two parameters or more, not of {', '.join(names) or 'none'}")
    grid = np.full((k, k), None)
    figure = _figure(2.6 * k, 2.4 * k)
    for i, up in enumerate(names):
        for j, across in enumerate(names[: i + 1]):
            axes = grid[i, j] = figure.add_subplot(k, k, i * k + j + 1)
            if i == j:
                plot_profile(result, up, 1.0 - max(levels), axes=axes).set_ylabel("")
            else:
                plot_contour(result, across, up, levels, axes=axes)
            if (i, j) != (0, 0):
                axes.get_legend().remove()
    return grid


def _grid(values: Array, interval: tuple[float, float]) -> Array:
    low = interval[0] if np.isfinite(interval[0]) else values[0]
    high = interval[1] if np.isfinite(interval[1]) else values[-1]
    return np.linspace(low, high, _POINTS)


def _surface(result: Estimate, places: list[int], grids: list[Array]) -> Array:
    """What is maximised, with two parameters held at each point of a grid and all others fitted.

    Minus infinity where there is no likelihood, NaN where the others have no maximum.
    """
    model = result.require_model("a contour plot")
    top = result.free_estimates
    coordinates = model.space.coordinate[places]
    surface, beside = Supported(model.function), others(result.observed_info, coordinates)
    heights = np.empty((_POINTS, _POINTS))
    near = [top] * _POINTS  # the last fits in each column
    for i, up in enumerate(grids[1]):
        for j, across in enumerate(grids[0]):
            natural = result.x.copy()
            natural[places] = across, up
            wanted = model.space.free(natural)[coordinates]
            starts = (near[j], near[j - 1], top)
            found = None if beside is None else _stepped(surface, beside, starts[:2], wanted)
            if found is None:
                held = dict(zip(map(int, coordinates), map(float, wanted), strict=True))
                found = _refitted(model, starts, held)
            if found.converged:
                near[j] = found.free
            heights[i, j] = found.llf if found.converged else -np.inf if np.isneginf(found.llf) else np.nan
    return heights


def _stepped(surface: Surface, beside: Others, starts: Sequence[Array], wanted: Array) -> Refit | None:
    """The others' maximum from the nearer of its neighbours, by the Hessian of the estimates."""
    start = min(starts, key=lambda x: float(np.abs(x[beside.held] - wanted).sum()))
    point = beside.moved(start, np.zeros(start.size), (wanted - start[beside.held]).tolist())
    point[beside.held] = wanted
    found = settled(surface, point, beside)
    return None if found is None else Refit(*found, converged=True)


def _refitted(model: Model, starts: Sequence[Array], held: Mapping[int, float]) -> Refit:
    for start in starts:
        found = refit(model, start, held)
        if found.converged:
            break
    return found


def plot_convergence(result: Estimate, *, axes: Any = None) -> Any:
    """How the optimiser came near to the maximum: what was missing at each improvement, on a log scale.

    Parameters
    ----------
    result : FitResult
    axes : matplotlib axes, optional

    Returns
    -------
    matplotlib axes
    """
    if result.path is None or result.path.size < 2:
        raise ValueError("this fit has no path: the optimiser has not improved on its start")
    axes = _axes(axes)
    best = result.path.max()
    if result.kept_model is not None:  # Newton's last steps are not on the path
        best = max(best, result.kept_model.function.value_flat(result.free_estimates))
    missing = best - result.path
    # What is equal to the last digit is not on a log scale.
    axes.semilogy(np.where(missing > 0.0, missing, np.nan), "o-", markersize=3)
    axes.set_xlabel("improvement")
    axes.set_ylabel("log-likelihood, missing to the maximum")
    axes.set_title(f"{result.method}: {result.nit} iterations, {result.nfev} evaluations", fontsize=10)
    return axes


def plot_coefficients(
    result: Estimate,
    names: Sequence[str] | None = None,
    alpha: float = 0.05,
    method: str = "wald",
    *,
    axes: Any = None,
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
    axes : matplotlib axes, optional

    Returns
    -------
    matplotlib axes
    """
    names = list(result.names) if names is None else list(names)
    places = _places(result, names)
    axes = _axes(axes, 5.0, 1.0 + 0.3 * len(names))
    low, high = conf_int(result, alpha, method)[places].T
    lines = np.arange(len(names))[::-1]
    axes.hlines(lines, low, high, color="C0")
    axes.plot(result.x[places], lines, "o", color="C0")
    axes.axvline(0.0, color="grey", linewidth=0.8)
    axes.set_yticks(lines, names)
    axes.set_ylim(-0.6, len(names) - 0.4)
    axes.set_xlabel(f"estimate, {100 * (1 - alpha):g}% {method.replace('wald', 'Wald')} interval")
    return axes
