"""Confidence intervals of all parameters."""

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from tapegrad.mle.estimate import Estimate
from tapegrad.mle.infer.profile import intervals
from tapegrad.mle.infer.simultaneous import alpha_of_each
from tapegrad.mle.levels import checked_alpha, normal_intervals
from tapegrad.mle.resample.bootstrap import bootstrap, checked_interval

Array: TypeAlias = npt.NDArray[np.float64]

METHODS = ("wald", "transformed", "profile", "bootstrap")


def conf_int(
    result: Estimate,
    alpha: float = 0.05,
    method: str = "wald",
    *,
    simultaneous: str | None = None,
    **options: Any,
) -> Array:
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
        - "bootstrap": from estimates on resampled data.
    simultaneous : str, optional
        How to keep the level for all parameters together: "bonferroni", "sidak", "scheffe" (the shadows of
        the joint confidence region) or "max" (of the largest of the correlated numbers, the shortest that
        there are). Of some parameters only, take ``result.delta(...).conf_int(simultaneous=...)``.
    **options
        For "bootstrap" only: ``interval``, which is "percentile" (where not given), "bca", "basic" or
        "normal", see `tapegrad.mle.Bootstrap.conf_int`; and the arguments of `tapegrad.mle.bootstrap`.

    Returns
    -------
    ndarray of shape (p, 2)
        Lower and upper ends; both are the value for a parameter that was fixed.

    Raises
    ------
    ValueError
        If `alpha` is not between 0 and 1, if there is no such method or kind, or if a parameter has no
        interval of the kind: "transformed" needs a free coordinate for each.

    Examples
    --------
    >>> import numpy as np
    >>> from tapegrad import fit
    >>> from tapegrad.stats import expon
    >>> waits = np.array([0.8, 2.9, 0.3, 1.6, 4.4])
    >>> result = fit(lambda scale: expon.logpdf(waits, scale=scale), {"scale": 1.0})
    >>> result.conf_int(method="profile").round(3)
    array([[0.931, 5.577]])
    >>> bool((result.conf_int(method="bootstrap", interval="bca", draws=200, seed=1) > 0.0).all())
    True
    """
    checked_alpha(alpha)
    if method not in METHODS:
        raise ValueError(f"no method {method!r} of intervals: choose one of {', '.join(METHODS)}")
    if options and method != "bootstrap":
        raise ValueError(f"method {method!r} takes no {', '.join(options)}; those are for method='bootstrap'")
    alpha = _of_each(result, alpha, simultaneous)
    if method == "bootstrap":
        return _bootstrapped(result, alpha, **options)
    if method == "wald":
        return normal_intervals(result.x, result.bse, alpha)
    return _transformed(result, alpha) if method == "transformed" else _profiled(result, alpha)


def _of_each(result: Estimate, alpha: float, simultaneous: str | None) -> float:
    estimated = np.flatnonzero(~result.is_fixed)
    block = np.ix_(estimated, estimated)
    return alpha_of_each(alpha, simultaneous, estimated.size, lambda: result.cov_params()[block])


def _bootstrapped(result: Estimate, alpha: float, interval: str = "percentile", **options: Any) -> Array:
    kind = checked_interval(interval)  # before the refits
    return bootstrap(result, **options).conf_int(alpha, kind)


def _transformed(result: Estimate, alpha: float) -> Array:
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
            f"{', '.join(whole)} have no free coordinates of their own: use method='wald', 'profile' or "
            "'bootstrap'"
        )
    half = -ndtri(alpha / 2.0) * result.free_bse
    return space.interval(result.free - half, result.free + half)


def _profiled(result: Estimate, alpha: float) -> Array:
    space = result.require_model("a profile interval").space
    ends = np.column_stack([result.x, result.x])
    # The ones on the diagonal of a correlation matrix are as good as fixed: their errors are rounding.
    constant = space.fixed | (result.bse <= 1e-14 * np.abs(result.x))
    # What is tied to another has the same profile.
    owners = [int(owner) for owner in dict.fromkeys(space.owner[~constant])]
    for owner, interval in zip(owners, intervals(result, owners, alpha), strict=True):
        ends[space.owner == owner] = interval
    return ends
