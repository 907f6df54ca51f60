"""Pictures of a fit; they need matplotlib.

Each function draws into the axes given, or into those of a new figure, and returns them. Nothing is shown or
saved: call ``axes.figure.savefig("profile.png")``, or let Jupyter show it.
"""

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.special import chdtri, ndtri

from tapegrad.mle.profile import profile, profiles

if TYPE_CHECKING:
    from tapegrad.mle.result import FitResult

Array: TypeAlias = npt.NDArray[np.float64]


def _axes(axes: Any, width: float = 5.0, height: float = 4.0) -> Any:
    if axes is not None:
        return axes
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("pictures need matplotlib: python -m pip install matplotlib") from error
    return Figure(figsize=(width, height), layout="constrained").subplots()


def plot_profile(result: "FitResult", name: str, alpha: float = 0.05, *, axes: Any = None) -> Any:
    """The profile likelihood of a parameter, Wald's parabola, and both intervals.

    Parameters
    ----------
    result : FitResult
    name : str
        The parameter.
    alpha : float
        One minus the confidence level.
    axes : matplotlib axes, optional

    Returns
    -------
    matplotlib axes
    """
    axes = _axes(axes)
    curve = profile(result, name, alpha)
    place = result.names.index(name)
    error = result.bse[place]
    drop = 0.5 * ndtri(alpha / 2.0) ** 2
    fine = np.linspace(curve.values[0], curve.values[-1], 201)
    axes.plot(fine, _smooth(curve.values, curve.roots, fine), color="C0", label="profile")
    axes.plot(curve.values, curve.llf - curve.llf.max(), "o", color="C0", markersize=3)
    if np.isfinite(error):
        parabola = -0.5 * ((fine - curve.estimate) / error) ** 2
        axes.plot(fine, np.where(parabola > -3.0 * drop, parabola, np.nan), "--", color="C1", label="Wald")
    axes.axhline(-drop, color="grey", linewidth=0.8)
    for end in curve.interval:
        if np.isfinite(end):
            axes.plot([end, end], [-drop, -1.8 * drop], color="C0", linewidth=0.8)
    axes.set_ylim(-1.8 * drop, 0.08 * drop)
    axes.set_xlabel(name)
    axes.set_ylabel("log-likelihood, less its maximum")
    axes.set_title(
        f"{100 * (1 - alpha):g}% interval {curve.interval[0]:.4g} to {curve.interval[1]:.4g}", fontsize=10
    )
    axes.legend(frameon=False)
    return axes


def _smooth(values: Array, roots: Array, fine: Array) -> Array:
    """The profile between its points: the roots, nearly a straight line, by monotone cubics."""
    from scipy.interpolate import PchipInterpolator

    return np.asarray(-0.5 * PchipInterpolator(values, roots)(fine) ** 2)


def plot_contour(
    result: "FitResult", first: str, second: str, levels: tuple[float, ...] = (0.5, 0.95), *, axes: Any = None
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
        Confidence levels.
    axes : matplotlib axes, optional

    Returns
    -------
    matplotlib axes
    """
    axes = _axes(axes)
    places = [result.names.index(first), result.names.index(second)]
    drops = 0.5 * chdtri(2, 1.0 - np.sort(levels))
    # One parameter's profile interval at this alpha spans the joint region's width.
    alpha = float(1.0 - np.max(levels)) ** 1.5
    curves = profiles(result, [first, second], alpha)
    grids = [_grid(curve.values, curve.interval) for curve in curves]
    heights = _surface(result, places, grids)
    top = max(curve.llf.max() for curve in curves)
    # The roots of the likelihood ratio are smoother between the points than the ratio itself.
    roots = np.sqrt(2.0 * np.maximum(top - heights, 0.0))
    limits = np.sqrt(2.0 * drops)
    lines = axes.contour(*grids, roots, levels=limits, colors="C0")
    names = {limit: f"{100 * level:g}%" for limit, level in zip(limits, np.sort(levels), strict=True)}
    axes.clabel(lines, fmt=names, fontsize=8)
    cov = result.cov_params()[np.ix_(places, places)]
    if np.isfinite(cov).all():
        circle = np.linspace(0.0, 2.0 * np.pi, 201)
        ellipse = np.linalg.cholesky(cov) @ np.array([np.cos(circle), np.sin(circle)])
        for drop in drops:
            across, up = result.x[places, None] + np.sqrt(2.0 * drop) * ellipse
            axes.plot(across, up, "--", color="C1", linewidth=1.0)
    axes.plot(*result.x[places], "+", color="black")
    axes.plot([], [], color="C0", label="likelihood")
    axes.plot([], [], "--", color="C1", label="Wald")
    axes.legend(frameon=False)
    axes.set_xlabel(first)
    axes.set_ylabel(second)
    return axes


def _grid(values: Array, interval: tuple[float, float]) -> Array:
    low = interval[0] if np.isfinite(interval[0]) else values[0]
    high = interval[1] if np.isfinite(interval[1]) else values[-1]
    return np.linspace(low, high, 31)


def _surface(result: "FitResult", places: list[int], grids: list[Array]) -> Array:
    """What is maximised, with two parameters held at each point of a grid and all others fitted."""
    from tapegrad.mle.fit import refit

    model = result.require_model("a contour plot")
    heights = np.empty((31, 31))
    for i, up in enumerate(grids[1]):
        start = result.x if result.free is None else result.free
        # Along each row the last fit is a good start for the next one.
        for j, across in enumerate(grids[0]):
            natural = result.x.copy()
            natural[places] = across, up
            wanted = model.space.free(natural)
            held = {int(c): float(wanted[c]) for c in model.space.coordinate[places]}
            found = refit(model, start, held)
            heights[i, j] = found.llf
            start = found.free if np.isfinite(found.llf) else start
    return heights


def plot_convergence(result: "FitResult", *, axes: Any = None) -> Any:
    """How the optimiser came near to the maximum: what was missing at each improvement, on a log scale.

    Parameters
    ----------
    result : FitResult
    axes : matplotlib axes, optional

    Returns
    -------
    matplotlib axes
    """
    if result.path is None or result.path.size == 0:
        raise ValueError("this fit has no path: the optimiser has not improved on its start")
    axes = _axes(axes)
    best = max(float(result.path.max()), result.llf)
    missing = best - result.path
    # What is equal to the last digit is not on a log scale.
    axes.semilogy(np.where(missing > 0.0, missing, np.nan), "o-", markersize=3)
    axes.set_xlabel("improvement")
    axes.set_ylabel("log-likelihood, missing to the maximum")
    axes.set_title(f"{result.method}: {result.nit} iterations, {result.nfev} evaluations", fontsize=10)
    return axes


def plot_coefficients(
    result: "FitResult",
    names: list[str] | None = None,
    alpha: float = 0.05,
    method: str = "wald",
    *,
    axes: Any = None,
) -> Any:
    """Estimates with their confidence intervals, one line for each parameter.

    Parameters
    ----------
    result : FitResult
    names : list of str, optional
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
    names = list(result.names) if names is None else names
    unknown = [name for name in names if name not in result.names]
    if unknown:
        raise ValueError(f"no parameter {unknown[0]!r}; the parameters are {', '.join(result.names)}")
    axes = _axes(axes, 5.0, 1.0 + 0.3 * len(names))
    places = [result.names.index(name) for name in names]
    low, high = result.conf_int(alpha, method)[places].T
    lines = np.arange(len(names))[::-1]
    axes.hlines(lines, low, high, color="C0")
    axes.plot(result.x[places], lines, "o", color="C0")
    axes.axvline(0.0, color="grey", linewidth=0.8)
    axes.set_yticks(lines, names)
    axes.set_ylim(-0.6, len(names) - 0.4)
    axes.set_xlabel(f"estimate, {100 * (1 - alpha):g}% {method} interval")
    return axes
