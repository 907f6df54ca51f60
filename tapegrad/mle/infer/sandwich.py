"""Covariances of the estimates that hold under weaker assumptions, under statsmodels' names."""

from collections.abc import Mapping
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from tapegrad.mle.infer.leverage import spread_without
from tapegrad.mle.matrices import generalised_inverse
from tapegrad.mle.model.model import Model
from tapegrad.mle.model.rows import Scores, outer_products, scores, weighted_scores
from tapegrad.mle.model.shares import check_independent

Array: TypeAlias = npt.NDArray[np.float64]

# The keywords that each kind takes, and whether it must be given.
KINDS: Final[Mapping[str, Mapping[str, bool]]] = {
    "nonrobust": {},
    "opg": {},
    "HC0": {},
    "HC1": {},
    "HC2": {},
    "HC3": {},
    "cluster": {"groups": True, "use_correction": False},
    "HAC": {"maxlags": True, "use_correction": False},
}


def free_covariance(
    model: Model,
    free: Array,
    information: Array,
    cov_type: str = "nonrobust",
    cov_kwds: Mapping[str, Any] | None = None,
    flat: Array | None = None,
) -> Array:
    """Covariance matrix of the free coordinates, shape (q, q), at their estimates.

    With A the information, s_i the scores of the n observations (times their weights) and q free coordinates:

    - "nonrobust": ``A^-1``.
    - "opg": ``(sum s_i s_i')^-1``, the outer product of the gradients; weights are numbers of observations
      in it, as in A.
    - "HC0": ``A^-1 (sum s_i s_i') A^-1``, the sandwich (H. White 1982).
    - "HC1": that times ``n / (n - q)``.
    - "HC2", "HC3": the sandwich with each score multiplied by ``(I - A_i A^-1)`` to the power of minus one
      half, or minus one, where A_i is minus the Hessian of observation i. Where a linear predictor is all
      that is estimated, that is division by ``sqrt(1 - h_i)`` or ``1 - h_i`` with the leverage h_i (J.
      MacKinnon and H. White 1985); where a scale is estimated as well, it differs from that by terms of
      order 1 / n. HC3 adds up squares of Newton's steps to the estimates without observation i.
    - "cluster": the sandwich with the scores first added up in each of G groups, ``groups=`` one label for
      each observation; times ``G / (G - 1) (n - 1) / (n - q)`` unless ``use_correction=False``.
    - "HAC": the sandwich with the products of scores up to ``maxlags=`` observations apart, with Bartlett's
      weights (W. K. Newey and K. D. West 1987); times ``n / (n - q)`` if ``use_correction=True``.

    The numbers are statsmodels', with q counting every estimated coordinate. For its discrete models
    statsmodels gives HC0's numbers under the name HC1, too.

    Parameters
    ----------
    model : Model
    free : ndarray, shape (q,)
        The estimates.
    information : ndarray, shape (q, q)
        A: minus the Hessian of what was maximised.
    cov_type : str
    cov_kwds : mapping, optional
    flat : ndarray, shape (q, k), optional
        Directions that the data do not determine; inverses are then generalised ones, see
        `tapegrad.mle.matrices.generalised_inverse`.

    Returns
    -------
    ndarray, shape (q, q)
        All ``nan`` where what is inverted is not positive definite.

    Raises
    ------
    ValueError
        If there is no such kind, if its keywords are missing or wrong, if the log-likelihood is one number,
        or if for "HC2" and "HC3" an observation has a leverage of 1.
    """
    keywords = check_cov_type(cov_type, cov_kwds)
    if cov_type == "nonrobust":
        return generalised_inverse(information, flat)
    check_independent(model, free, keywords.get("groups"))
    if cov_type == "opg":
        return generalised_inverse(outer_products(model, free), flat)
    bread = generalised_inverse(information, flat)
    if cov_type in ("HC2", "HC3"):
        return spread_without(scores(model, free), bread, 0.5 if cov_type == "HC2" else 1.0)
    if cov_type == "HAC":
        if model.division is None:
            model.require_rows("cov_type='HAC'")
        meat = _newey_west(weighted_scores(model, free), **keywords)
    else:
        meat = _meat(scores(model, free), free.size, cov_type, keywords)
    result: Array = bread @ meat @ bread
    return result


def check_cov_type(cov_type: str, cov_kwds: Mapping[str, Any] | None) -> dict[str, Any]:
    """The keywords as a dict; ValueError if the kind or a keyword is unknown, or one is missing."""
    if cov_type not in KINDS:
        raise ValueError(f"no cov_type {cov_type!r}: choose one of {', '.join(KINDS)}")
    keywords, known = dict(cov_kwds or {}), KINDS[cov_type]
    missing = [name for name, needed in known.items() if needed and name not in keywords]
    unknown = [name for name in keywords if name not in known]
    if missing or unknown:
        takes = ", ".join(known) or "none"
        raise ValueError(
            f"cov_type={cov_type!r} takes cov_kwds {takes}"
            + (f"; {', '.join(missing)} is missing" if missing else "")
            + (f"; {', '.join(unknown)} is unknown" if unknown else "")
        )
    return keywords


def _meat(found: Scores, q: int, cov_type: str, keywords: Mapping[str, Any]) -> Array:
    if cov_type == "cluster":
        return _clustered(found, q, **keywords)
    outer = found.outer(2)
    return outer * _small_sample(found.count, q) if cov_type == "HC1" else outer


def _small_sample(n: int, q: int) -> float:
    if n <= q:
        raise ValueError(f"{n} observations are too few for the correction n / (n - {q}); use HC0")
    return n / (n - q)


def _clustered(found: Scores, q: int, groups: Any, use_correction: bool = True) -> Array:
    sums = found.by_group(groups)
    n, count = found.count, len(sums)
    factor = count / (count - 1.0) * (n - 1.0) / n * _small_sample(n, q) if use_correction else 1.0
    result: Array = sums.T @ sums * factor
    return result


def _newey_west(found: Array, maxlags: Any, use_correction: bool = False) -> Array:
    n, q = found.shape
    if maxlags != int(maxlags) or not 0 <= maxlags < n:
        raise ValueError(f"maxlags must be a whole number from 0 to {n - 1}, not {maxlags!r}")
    total: Array = found.T @ found
    for lag in range(1, int(maxlags) + 1):
        products = found[lag:].T @ found[:-lag]
        total = total + (1.0 - lag / (maxlags + 1.0)) * (products + products.T)
    return total * _small_sample(n, q) if use_correction else total
