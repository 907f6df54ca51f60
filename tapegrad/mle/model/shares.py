"""The shares of rows in the slope of a marginal log-likelihood."""

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from tapegrad.marginal.joint import Joint
from tapegrad.mle.model.model import WEIGHTS, Model

Array: TypeAlias = npt.NDArray[np.float64]


def shares(model: Model, free: Array) -> Array:
    """The share of each row of the joint log-likelihood in the gradient of the marginal one, shape (n, q).

    Rows that share random effects have scores together only: those of the rows of a block add up to the score
    of the block. The gradient is that of ``f + v . f_u + w . h``, v and w held, and that is a sum over rows.
    """
    joint = _weighted(model)
    weights = joint.function.structure.leaves[-1].place
    marginal = model.marginal.like(joint, model.marginal.mode(free).u)
    theta = np.concatenate([free, np.ones(weights.stop - weights.start)])
    products = marginal.mixed(theta, np.eye(theta.size)[: free.size])
    return np.array([product[weights] for product in products]).reshape(free.size, -1).T


def _weighted(model: Model) -> Joint:
    """The joint log-likelihood as a function of weights of its rows, too, which are its last parameter."""
    given, division = model.specification, model.division
    assert division is not None
    rows = model.require_joint_rows("scores")

    def objective(**arguments: Any) -> Any:
        weights = arguments.pop(WEIGHTS)
        pieces, data = given.split(arguments)
        return given.total(pieces, data, weights)

    start = rows.structure.unravel(rows.structure.join(_start(model)))
    start[WEIGHTS] = np.ones(rows.outputs.size)
    traced = given.trace(objective, start, model.data)
    return Joint(traced, division.random_leaves(traced.structure))


def _start(model: Model) -> list[Any]:
    pieces = model.space.free_structure.unravel(model.space.start)
    joint = model.marginal.joint
    vector = joint.vector(model.space.free_structure.ravel(pieces), model.marginal.start)
    return [vector[leaf.place] for leaf in joint.function.structure.leaves]


def check_independent(model: Model, free: Array, groups: Any) -> None:
    """Check that no random effects are shared by rows that are taken for independent.

    Parameters
    ----------
    model : Model
    free : ndarray, shape (q,)
    groups : array_like or None
        A label for each row: rows of different groups are taken for independent. With None, all are.

    Raises
    ------
    ValueError
        If some are; the message names one.
    """
    if model.division is None:
        return
    rows = model.require_joint_rows("scores")
    joint, found = model.marginal.joint, model.marginal.mode(free)
    jacobian = rows.jacobian(joint.vector(free, found.u), sparse=True).tocsc()[:, joint.inner].tocoo()
    row, effect = jacobian.coords
    labels = np.arange(rows.outputs.size) if groups is None else np.unique(groups, return_inverse=True)[1]
    pairs = np.unique(np.column_stack([found.point.layout.labels[effect], labels[row]]), axis=0)
    blocks, counts = np.unique(pairs[:, 0], return_counts=True)
    if (counts > 1).any():
        first = int(np.flatnonzero(found.point.layout.labels == blocks[counts > 1][0])[0])
        what = "rows" if groups is None else "groups"
        raise ValueError(
            f"{model.division.random_names[first]} stands in several {what}, which are not independent: "
            f"let {model.name} return one row for each block of random effects, with their density added "
            "to it, or take groups that share none (cov_type='cluster')"
        )
