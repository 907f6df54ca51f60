"""Intervals that hold for several numbers at once: by which level of each the level of all is kept."""

from collections.abc import Callable
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.special import chdtri, ndtr, ndtri

from tapegrad.mle.levels import checked_alpha

Array: TypeAlias = npt.NDArray[np.float64]

KINDS: Final = ("bonferroni", "sidak", "scheffe", "max")
# Up to how many numbers the distribution of the largest is integrated, how exactly, and from which seed.
_MOST: Final = 100
_POINTS: Final = 5_000
_EXACT: Final = 5e-5
_SEED: Final = 7


def alpha_of_each(alpha: float, kind: str | None, k: int, cov: Callable[[], Array]) -> float:
    """One minus the level of each interval, so that all hold together with a probability of ``1 - alpha``.

    Parameters
    ----------
    alpha : float
        One minus the confidence level of all of them together.
    kind : str or None
        - None: each interval by itself.
        - "bonferroni": ``alpha / k``, which is safe whatever the dependence.
        - "sidak": ``1 - (1 - alpha)^(1 / k)``, exact for independent numbers, safe for jointly normal ones
          (Z. Sidak, Journal of the American Statistical Association 62, 1967).
        - "scheffe": of the joint confidence region, so that it holds for all linear combinations as well (H.
          Scheffe, Biometrika 40, 1953): its intervals are the shadows of the ellipsoid.
        - "max": of the largest of the correlated normal numbers, each in its standard errors; the shortest
          that there are (T. Hothorn, F. Bretz and P. Westfall, Biometrical Journal 50, 2008).
    k : int
        How many numbers there are.
    cov : callable
        Gives their covariance matrix, of shape (k, k), where it is needed.

    Raises
    ------
    ValueError
        If there is no such kind, or "max" is asked of more than 100 numbers, or of numbers without errors.
    """
    checked_alpha(alpha)
    if kind is None:
        return alpha
    if kind not in KINDS:
        raise ValueError(f"simultaneous= is one of {', '.join(KINDS)}, not {kind!r}")
    if k <= 1:
        return alpha
    if kind == "bonferroni":
        return alpha / k
    if kind == "sidak":
        return float(-np.expm1(np.log1p(-alpha) / k))
    if kind == "scheffe":
        # Of all linear combinations of numbers that depend on each other, there are only as many as the rank.
        return float(2.0 * ndtr(-np.sqrt(chdtri(_rank(cov()), alpha))))
    return float(2.0 * ndtr(-_quantile_of_largest(alpha, cov())))


def _correlations(cov: Array) -> Array:
    bse = np.sqrt(np.diag(cov))
    if not (np.isfinite(cov).all() and (bse > 0.0).all()):
        raise ValueError("simultaneous intervals need standard errors of all numbers")
    return np.asarray(cov / np.outer(bse, bse))


def _rank(cov: Array) -> int:
    return int(np.linalg.matrix_rank(_correlations(cov), tol=1e-9, hermitian=True))


def _quantile_of_largest(alpha: float, cov: Array) -> float:
    """The number that the largest of ``|z|`` exceeds with probability `alpha`."""
    from scipy.stats import multivariate_normal

    k = len(cov)
    if k > _MOST:
        raise ValueError(
            f"simultaneous='max' is for up to {_MOST} numbers, not {k}: use 'sidak' or 'scheffe'"
        )
    correlations = _correlations(cov)

    def beyond(q: float) -> float:
        inside = multivariate_normal.cdf(
            np.full(k, q),
            cov=correlations,
            allow_singular=True,
            lower_limit=np.full(k, -q),
            maxpts=_POINTS * k,
            abseps=_EXACT,
            releps=_EXACT,
            rng=np.random.default_rng(_SEED),
        )
        return 1.0 - float(inside) - alpha

    low, high = -ndtri(alpha / 2.0), -ndtri(alpha / (2.0 * k))
    return float(brentq(beyond, low - 1e-3, high + 1e-3, xtol=1e-5))
