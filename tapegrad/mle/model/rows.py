"""What each observation contributes: log-likelihoods, scores and influences.

All take the model of a fit and a free vector (q,), and need a log-likelihood that returns one value for each
observation.
"""

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from tapegrad.mle.matrices import is_definite, solve
from tapegrad.mle.model.model import Model

Array: TypeAlias = npt.NDArray[np.float64]


def pointwise(model: Model, free: Array) -> Array:
    """Log-likelihood of each observation, unweighted, shape (n,): what WAIC, PSIS and Vuong's test take."""
    rows = model.require_rows("pointwise values")
    values: Array = rows(free)
    return values


def scores(model: Model, free: Array) -> Array:
    """Derivative of each observation's log-likelihood with respect to the free coordinates, shape (n, q).

    Weights multiply them, so that their sum is the gradient of the weighted log-likelihood (without the
    prior).
    """
    found = _unweighted(model, free)
    return found if model.weights is None else found * model.weights[:, None]


def outer_products(model: Model, free: Array) -> Array:
    """Sum of the outer products of the scores, shape (q, q), which estimates the information.

    A weight counts as a number of observations, as it does in the Hessian: ``sum w_i s_i s_i'``.
    """
    found = _unweighted(model, free)
    weighted = found if model.weights is None else found * model.weights[:, None]
    total: Array = weighted.T @ found
    return total


def _unweighted(model: Model, free: Array) -> Array:
    rows = model.require_rows("scores")
    columns = [block.reshape(block.shape[0], -1) for block in _blocks(rows.jacobian(free))]
    return np.hstack(columns)


def _blocks(nest: Any) -> Iterator[Array]:
    if isinstance(nest, np.ndarray):
        yield nest
        return
    for part in nest.values() if isinstance(nest, Mapping) else nest:
        yield from _blocks(part)


def influence(model: Model, free: Array, information: Array) -> Array:
    """How far each observation moves the estimates, to first order, shape (n, p), on the natural scale.

    Row i is the natural Jacobian times ``information^-1 score_i``: the change of the estimates when the
    observation's weight rises by its own size, and so about minus the change when it is left out (the
    infinitesimal jackknife; L. A. Jaeckel 1972).

    Parameters
    ----------
    model : Model
    free : ndarray, shape (q,)
        The estimates.
    information : ndarray, shape (q, q)
        Minus the Hessian there.

    Returns
    -------
    ndarray, shape (n, p)
        All ``nan`` where `information` is not positive definite.
    """
    found = scores(model, free)
    jacobian = model.space.jacobian(free)
    if not is_definite(information):
        return np.full((found.shape[0], jacobian.shape[0]), np.nan)
    moved: Array = (jacobian @ solve(information, found.T)).T
    return moved


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
