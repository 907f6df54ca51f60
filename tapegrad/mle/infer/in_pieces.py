"""Sums of products of scores where the data are in pieces: no score leaves its piece."""

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from tapegrad.function.long import with_groups
from tapegrad.mle.model.model import Model
from tapegrad.mle.model.rows import outer_products

Array: TypeAlias = npt.NDArray[np.float64]

# With spaces: no parameter and no data are called so.
GROUP = "group of the observation"
FACTORS = "factors of the groups"


def meat_in_pieces(model: Model, free: Array, cov_type: str, keywords: Mapping[str, Any]) -> Array:
    """The middle of the sandwich, shape (q, q), see `free_covariance`.

    Raises
    ------
    ValueError
        If the kind needs all scores in one place, or if there is one group only.
    """
    assert model.nobs is not None
    n, q = model.nobs, free.size
    if cov_type == "cluster":
        sums = _sums_by_group(model, free, keywords["groups"])
        count = len(sums)
        correct = keywords.get("use_correction", True)
        factor = count / (count - 1.0) * (n - 1.0) / (n - q) if correct else 1.0
        total: Array = sums.T @ sums * factor
        return total
    if cov_type not in ("HC0", "HC1"):
        model.require_rows(f"cov_type={cov_type!r}")  # which says why not
    return outer_products(model, free) * (n / (n - q) if cov_type == "HC1" else 1.0)


def _sums_by_group(model: Model, free: Array, groups: Any) -> Array:
    """The scores added up in each group, shape (G, q).

    With a factor for the log-likelihoods of each group, they are the second derivatives of the sum in a
    factor and a parameter.
    """
    given = model.specification
    data, count = with_groups(model.data, GROUP, groups)
    if count < 2:
        raise ValueError("groups must name at least two groups")

    def weighed(**arguments: Any) -> Any:
        group, factors = arguments.pop(GROUP), arguments.pop(FACTORS)
        return (factors[group] * given.values(*given.split(arguments))).sum()

    start = {**given.space.free_structure.unravel(given.space.start), FACTORS: np.zeros(count)}
    traced = given.trace(weighed, start, data)
    vector = np.concatenate([free, np.zeros(count)])
    products = [
        traced.hvp_flat(vector, direction)[free.size :] for direction in np.eye(free.size, vector.size)
    ]
    return np.stack(products, axis=1)
