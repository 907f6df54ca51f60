"""The scores of the observations, and observations in groups.

What takes a model and a free vector (q,) needs a log-likelihood that returns one value for each observation.
"""

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from tapegrad.function.derived import OUTER
from tapegrad.mle.derivatives import jacobian
from tapegrad.mle.model.model import Model
from tapegrad.mle.model.shares import shares

Array: TypeAlias = npt.NDArray[np.float64]


def unweighted_scores(model: Model, free: Array) -> Array:
    """Derivative of each observation's log-likelihood with respect to the free coordinates, shape (n, q).

    With random effects, they are the shares of the rows of the joint log-likelihood, see `shares`.
    """
    if model.division is not None:
        return shares(model, free)
    return jacobian(model.require_rows("scores"), free)


def weighted_scores(model: Model, free: Array) -> Array:
    """The scores times the weights, shape (n, q); their sum is the gradient of the weighted log-likelihood,
    without the prior."""
    found = unweighted_scores(model, free)
    return found if model.weights is None else found * model.weights[:, None]


def outer_products(model: Model, free: Array) -> Array:
    """Sum of the outer products of the scores, shape (q, q), which estimates the information.

    A weight counts as a number of observations, as it does in the Hessian: ``sum w_i s_i s_i'``.
    """
    if model.is_in_pieces:
        outer: Array = model.require_rows("scores", whole=False).run(OUTER, free)[0][0]
        return outer
    found = unweighted_scores(model, free)
    weighted = found if model.weights is None else found * model.weights[:, None]
    total: Array = weighted.T @ found
    return total


def labels_of(model: Model, groups: Any) -> Any:
    """The labels of groups: those of a column of the data by its name, without rows that were left out.

    Raises
    ------
    ValueError
        If there is no such column.
    """
    if isinstance(groups, str):
        if groups not in model.data:
            raise ValueError(f"groups={groups!r} is no column of the data, which are {', '.join(model.data)}")
        return model.data[groups]
    if groups is None or model.kept is None:
        return groups
    array = np.asarray(groups)
    return array[model.kept] if array.shape == model.kept.shape else array


def group_index(groups: Any, n: int) -> tuple[npt.NDArray[np.intp], int]:
    """For each observation the number of its group, and how many groups there are; each its own for None.

    Raises
    ------
    ValueError
        If there is not one label for each observation, if a label is missing, or if there is one group only.
    """
    if groups is None:
        return np.arange(n), n
    labels = np.asarray(groups)
    if labels.shape != (n,):
        raise ValueError(f"groups must have one label for each of the {n} observations, not {labels.shape}")
    missing = [i for i, label in enumerate(labels.tolist()) if label is None or label != label]
    if missing:
        raise ValueError(f"groups has no label for observation {missing[0]} (None or NaN)")
    _, index = np.unique(labels, return_inverse=True)
    count = int(index.max()) + 1
    if count < 2:
        raise ValueError("groups must name at least two groups")
    return index, count


def sums_by_group(values: Array, groups: Any) -> Array:
    """The rows of `values`, shape (n, k), added up in each group."""
    index, count = group_index(groups, len(values))
    sums = np.zeros((count, values.shape[1]))
    np.add.at(sums, index, values)
    return sums
