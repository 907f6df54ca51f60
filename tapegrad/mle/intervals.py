"""Confidence intervals of all parameters."""

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from tapegrad.mle.inference import checked_alpha, covariance, normal_intervals
from tapegrad.mle.profile import profiles

if TYPE_CHECKING:
    from tapegrad.mle.result import FitResult

Array: TypeAlias = npt.NDArray[np.float64]

METHODS = ("wald", "transformed", "profile", "bootstrap")


def conf_int(result: "FitResult", alpha: float = 0.05, method: str = "wald", **options: Any) -> Array:
    """Confidence intervals of all parameters.

    Parameters
    ----------
    result : FitResult
    alpha : float
        One minus the confidence level, between 0 and 1.
    method : str
        - "wald": estimate plus and minus a normal quantile times the standard error.
        - "transformed": the same in the free coordinates of the fit, with the ends transformed, so that they
          keep the parameters' constraints.
        - "profile": where the profile likelihood falls by half a chi-squared quantile.
        - "bootstrap": percentiles of estimates from resampled data.
    **options
        For "bootstrap" only, the arguments of `tapegrad.bootstrap`.

    Returns
    -------
    ndarray of shape (p, 2)
        Lower and upper ends; both are the value for a parameter that was fixed.

    Raises
    ------
    ValueError
        If `alpha` is not between 0 and 1, if there is no such method, or if a parameter has no interval of
        the kind: "transformed" and "profile" need a free coordinate for each.
    """
    checked_alpha(alpha)
    if method not in METHODS:
        raise ValueError(f"no method {method!r} of intervals: choose one of {', '.join(METHODS)}")
    if options and method != "bootstrap":
        raise ValueError(f"method {method!r} takes no {', '.join(options)}; those are for method='bootstrap'")
    if method == "bootstrap":
        from tapegrad.mle.resampling import bootstrap

        return bootstrap(result, **options).conf_int(alpha)
    if method == "wald":
        return normal_intervals(result.x, result.bse, alpha)
    return _transformed(result, alpha) if method == "transformed" else _profiled(result, alpha)


def _transformed(result: "FitResult", alpha: float) -> Array:
    if result.free is None:
        return normal_intervals(result.x, result.bse, alpha)
    space = result.require_model("an interval with transformed ends").space
    whole = [
        name
        for name, place, held in zip(space.names, space.coordinate, space.fixed, strict=True)
        if place < 0 and not held
    ]
    if whole:
        raise ValueError(
            f"{', '.join(whole)} have no free coordinates of their own: use method='wald' or 'bootstrap'"
        )
    cov = covariance(result.observed_info) if result.cov_free is None else result.cov_free
    half = -ndtri(alpha / 2.0) * np.sqrt(np.diag(cov))
    if np.isnan(half).any():
        return np.full((result.x.size, 2), np.nan)
    return space.interval(result.free - half, result.free + half)


def _profiled(result: "FitResult", alpha: float) -> Array:
    model = result.require_model("a profile interval")
    space = model.space
    names = [name for name, held in zip(result.names, space.fixed, strict=True) if not held]
    # Elements that are tied have one profile.
    first = {int(space.coordinate[result.names.index(name)]): name for name in reversed(names)}
    found = dict(zip(first.values(), profiles(result, list(first.values()), alpha), strict=True))
    ends = np.column_stack([result.x, result.x])
    for i, name in enumerate(result.names):
        if name in names:
            ends[i] = found[first[int(space.coordinate[i])]].interval
    return ends
