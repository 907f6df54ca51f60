"""Pictures of single observations: residuals, their quantiles, influences."""

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.special import betaincinv, ndtri

from tapegrad.mle.estimate import Estimate
from tapegrad.mle.infer.observations import influence
from tapegrad.mle.model.columns import taken_by
from tapegrad.mle.plots.canvas import FIRST, REFERENCE, SECOND, SECOND_LINE, Labels, axes_or_new, finish, mark
from tapegrad.mle.plots.contours import places_of
from tapegrad.nest import call

Array: TypeAlias = npt.NDArray[np.float64]
Values: TypeAlias = Callable[..., Any] | npt.ArrayLike

_BINS: Final = 12


def plot_residuals(
    result: Estimate,
    residuals: Values,
    against: Values | None = None,
    *,
    marked: int = 3,
    labels: Sequence[Any] | None = None,
    name: str = "",
    ax: Any = None,
) -> Any:
    """Residuals against fitted values, or whatever else, with their means in bins.

    Parameters
    ----------
    result : FitResult
    residuals : callable or array_like, shape (n,)
        Of the parameters in their structure, and of the data of the fit that it has arguments for; such as
        ``lambda mu, sigma, y: (y - mu) / sigma``.
    against : callable or array_like, shape (n,), optional
        What is drawn across, such as the fitted values; the number of the observation where not given.
    marked : int
        How many of the largest are marked with their numbers, or labels.
    labels : sequence, optional
        Of the observations.
    name : str
        What stands across.
    ax : matplotlib axes, optional

    Returns
    -------
    matplotlib axes

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    ValueError
        If the residuals are no vector of finite numbers, or what is across has another shape.
    """
    values = _evaluated(result, residuals, "residuals")
    across = np.arange(values.size, dtype=np.float64)
    if against is not None:
        across = _evaluated(result, against, "against")
        name = name or "fitted value"
    if across.shape != values.shape:
        raise ValueError(f"there are {values.size} residuals, and {across.size} values to draw them against")
    ax = axes_or_new(ax)
    ax.plot(across, values, "o", color=FIRST, markersize=3, alpha=0.7)
    ax.axhline(0.0, color=REFERENCE, linewidth=0.8)
    middle, means = _binned(across, values)
    ax.plot(middle, means, linestyle=SECOND_LINE, color=SECOND, linewidth=2.0, label="mean")
    finish(ax, Labels(x=name or "observation", y="residual", legend=True))
    _mark_largest(ax, across, values, marked, labels)
    return ax


def _evaluated(result: Estimate, values: Values, what: str) -> Array:
    if callable(values):
        model = result.kept_model
        data = {} if model is None else dict(model.data)
        values = call(values, result.params, taken_by(values, data))
    found = np.asarray(values, dtype=np.float64)
    if found.ndim != 1 or not np.isfinite(found).all():
        raise ValueError(f"{what} are a vector of finite numbers, one for each observation")
    return found


def _mark_largest(ax: Any, x: Array, y: Array, count: int, labels: Sequence[Any] | None) -> None:
    largest = np.argsort(-np.abs(y), kind="stable")[:count]
    texts = [i if labels is None else labels[i] for i in largest]
    mark(ax, x[largest], y[largest], texts)


def _binned(across: Array, values: Array) -> tuple[Array, Array]:
    """Means of as many observations each, along what is drawn across."""
    order = np.argsort(across, kind="stable")
    parts = np.array_split(order, max(1, min(_BINS, values.size // 5)))
    return (
        np.array([across[part].mean() for part in parts]),
        np.array([values[part].mean() for part in parts]),
    )


def plot_qq(
    result: Estimate, residuals: Values, alpha: float = 0.05, *, marked: int = 3, ax: Any = None
) -> Any:
    """Residuals in their order against those that are expected of normal ones, with a band for each.

    Parameters
    ----------
    result : FitResult
    residuals : callable or array_like, shape (n,)
        Standard normal if the model is right, such as ``lambda mu, sigma, y: (y - mu) / sigma``, or of any
        continuous distribution the normal quantiles of its `cdf`. See `plot_residuals`.
    alpha : float
        One minus the probability with which each residual is within its band.
    marked : int
        How many of those furthest from the line are marked with their numbers.
    ax : matplotlib axes, optional

    Returns
    -------
    matplotlib axes

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    ValueError
        If the residuals are no vector of finite numbers.
    """
    values = _evaluated(result, residuals, "residuals")
    n, order = values.size, np.argsort(values, kind="stable")
    rank = np.arange(1.0, n + 1.0)
    expected = ndtri((rank - 0.375) / (n + 0.25))  # G. Blom 1958
    # The rank-th smallest of n uniform numbers has a beta distribution.
    low, high = (ndtri(betaincinv(rank, n + 1.0 - rank, share)) for share in (alpha / 2.0, 1.0 - alpha / 2.0))
    ax = axes_or_new(ax)
    ax.fill_between(expected, low, high, color=REFERENCE, alpha=0.25, linewidth=0.0)
    ax.plot(expected, expected, color=REFERENCE, linewidth=0.8)
    ax.plot(expected, values[order], "o", color=FIRST, markersize=3)
    far = np.argsort(-np.abs(values[order] - expected), kind="stable")[:marked]
    finish(ax, Labels(x="expected of normal residuals", y="residual"))
    mark(ax, expected[far], values[order][far], order[far], below=True)
    return ax


def plot_influence(
    result: Estimate,
    name: str | None = None,
    *,
    marked: int = 3,
    labels: Sequence[Any] | None = None,
    ax: Any = None,
) -> Any:
    """How far each observation moves the estimates, or one of them.

    Parameters
    ----------
    result : FitResult
        Of a log-likelihood that returns one value for each observation.
    name : str, optional
        A parameter: then what is drawn is how far each observation moves it, in its standard errors. Where it
        is not given, it is how far it moves all of them, ``d' A d / q`` with the information A of the q free
        coordinates: Cook's distance, to first order.
    marked : int
        How many of the largest are marked with their numbers, or labels.
    labels : sequence, optional
        Of the observations.
    ax : matplotlib axes, optional

    Returns
    -------
    matplotlib axes

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    ValueError
        If there is no such parameter, or as `tapegrad.mle.influence` does.
    """
    moved = influence(result)
    if name is not None:
        (place,) = places_of(result, [name])
        values, what = moved[:, place] / result.bse[place], f"influence on {name}, standard errors"
    else:
        values, what = _distances(result, moved), "distance of the estimates"
    ax = axes_or_new(ax)
    numbers = np.arange(values.size, dtype=np.float64)
    ax.vlines(numbers, 0.0, values, color=FIRST, linewidth=1.0)
    ax.plot(numbers, values, "o", color=FIRST, markersize=3)
    ax.axhline(0.0, color=REFERENCE, linewidth=0.8)
    finish(ax, Labels(x="observation", y=what))
    _mark_largest(ax, numbers, values, marked, labels)
    return ax


def _distances(result: Estimate, moved: Array) -> Array:
    """Cook's distances, of estimates that move in their free coordinates."""
    cov = result.cov_params()
    kept = ~result.is_fixed
    inverse = np.linalg.pinv(cov[np.ix_(kept, kept)], hermitian=True)
    return np.asarray(np.einsum("ni,ij,nj->n", moved[:, kept], inverse, moved[:, kept]) / result.df_model)
