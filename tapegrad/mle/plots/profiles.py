"""Profiles: of the log-likelihood, and of its signed root."""

from collections.abc import Callable
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.interpolate import PchipInterpolator
from scipy.special import ndtri

from tapegrad.mle.estimate import Estimate
from tapegrad.mle.infer.delta import delta
from tapegrad.mle.infer.profile import Profile, profile
from tapegrad.mle.plots.canvas import FIRST, REFERENCE, SECOND, SECOND_LINE, Labels, axes_or_new, finish
from tapegrad.mle.progress import patient

Array: TypeAlias = npt.NDArray[np.float64]

# How far down a profile is drawn, in units of the drop at its interval's ends.
_DEPTH: Final = 1.8


def plot_profile(
    result: Estimate, name: str | Callable[..., Any], alpha: float = 0.05, *, ax: Any = None
) -> Any:
    """The profile likelihood of a parameter and Wald's parabola, each with its interval.

    Parameters
    ----------
    result : FitResult
    name : str or callable
        What to profile, see `FitResult.profile`.
    alpha : float
        One minus the confidence level.
    ax : matplotlib axes, optional

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
    ax = axes_or_new(ax)
    curve, error = _profiled(result, name, alpha)
    draw_profile(ax, curve, error)
    low, high = curve.interval
    finish(
        ax,
        Labels(
            x=curve.name,
            y="log-likelihood, less its maximum",
            title=f"{100 * (1 - alpha):g}% interval {low:.4g} to {high:.4g}",
            legend=True,
        ),
    )
    return ax


def _profiled(result: Estimate, name: str | Callable[..., Any], alpha: float) -> tuple[Profile, float]:
    """The profile, and Wald's standard error."""
    with patient("profile"):
        curve = profile(result, name, alpha)
    error = delta(result, name).bse[0] if callable(name) else result.bse[result.names.index(name)]
    return curve, float(error)


def draw_profile(ax: Any, curve: Profile, error: float) -> None:
    """A profile, and the parabola of a standard error."""
    drop = 0.5 * float(ndtri(curve.alpha / 2.0)) ** 2
    fine = np.linspace(curve.values[0], curve.values[-1], 201)
    ax.plot(fine, -0.5 * _root_at(curve, fine) ** 2, color=FIRST, label="profile")
    ax.plot(curve.values, curve.llf - curve.llf.max(), "o", color=FIRST, markersize=3)
    _ends(ax, curve.interval, drop, FIRST, "-")
    if np.isfinite(error):
        across = np.linspace(-1.0, 1.0, 201) * np.sqrt(2.0 * _DEPTH * drop)
        ax.plot(
            curve.estimate + error * across,
            -0.5 * across**2,
            linestyle=SECOND_LINE,
            color=SECOND,
            label="Wald",
        )
        half = error * np.sqrt(2.0 * drop)
        _ends(ax, (curve.estimate - half, curve.estimate + half), drop, SECOND, SECOND_LINE)
    ax.axhline(-drop, color=REFERENCE, linewidth=0.8)
    ax.set_ylim(-_DEPTH * drop, 0.08 * drop)


def _ends(ax: Any, interval: tuple[float, float], drop: float, color: str, linestyle: Any) -> None:
    """The ends of an interval, from the limit down to the axis."""
    for end in interval:
        if np.isfinite(end):
            ax.plot([end, end], [-drop, -_DEPTH * drop], linestyle=linestyle, color=color, linewidth=0.8)


def _root_at(curve: Profile, fine: Array) -> Array:
    """The signed root between its points: nearly a straight line, by monotone cubics."""
    return np.asarray(PchipInterpolator(curve.values, curve.roots)(fine))


def plot_zeta(
    result: Estimate, name: str | Callable[..., Any], alpha: float = 0.05, *, ax: Any = None
) -> Any:
    """The signed root of the likelihood ratio of a parameter: a straight line where Wald's interval is right.

    Its ends at the normal quantiles are those of the profile interval (D. M. Bates and D. G. Watts,
    *Nonlinear Regression Analysis and Its Applications*, 1988, section 6.1).

    Parameters
    ----------
    result : FitResult
    name : str or callable
        What to profile, see `FitResult.profile`.
    alpha : float
        One minus the confidence level.
    ax : matplotlib axes, optional

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
    ax = axes_or_new(ax)
    curve, error = _profiled(result, name, alpha)
    limit = -float(ndtri(alpha / 2.0))
    fine = np.linspace(curve.values[0], curve.values[-1], 201)
    ax.plot(fine, _root_at(curve, fine), color=FIRST, label="profile")
    ax.plot(curve.values, curve.roots, "o", color=FIRST, markersize=3)
    if np.isfinite(error):
        straight = (fine - curve.estimate) / error
        ax.plot(fine, straight, linestyle=SECOND_LINE, color=SECOND, label="Wald")
    for sign, end in zip((-1.0, 1.0), curve.interval, strict=True):
        ax.axhline(sign * limit, color=REFERENCE, linewidth=0.8)
        if np.isfinite(end):
            ax.plot([end, end], [0.0, sign * limit], color=FIRST, linewidth=0.8)
    ax.axhline(0.0, color=REFERENCE, linewidth=0.8, linestyle=":")
    ax.set_ylim(*(np.array([-1.0, 1.0]) * 1.5 * limit))
    low, high = curve.interval
    title = f"{100 * (1 - alpha):g}% interval {low:.4g} to {high:.4g}"
    finish(ax, Labels(x=curve.name, y="signed root of the likelihood ratio", title=title, legend=True))
    return ax
