"""The Hessian of a marginal log-likelihood."""

from __future__ import annotations

from typing import Any

import numpy as np

from tapegrad.marginal.blocks import BlocksFactor
from tapegrad.marginal.inner import Mode
from tapegrad.marginal.joint import Joint
from tapegrad.sparse import Symbolic

Array = np.ndarray[Any, Any]


def responses(joint: Joint, found: Mode, x: Array) -> Array:
    """How parameters and mode move as each parameter does: a direction for each, shape (p, p + q)."""
    count = joint.outer.size
    directions = np.zeros((count, x.size))
    directions[np.arange(count), joint.outer] = 1.0
    if not count:
        return directions
    mixed = np.array(joint.hessian_columns(x, directions))[:, joint.inner]
    directions[:, joint.inner] = found.factor.solve(mixed.T).T
    return directions


def hessian(joint: Joint, found: Mode, x: Array, v: Array, weights: Array) -> Array:
    """The exact Hessian.

    Let L be the joint log-likelihood less half the log-determinant of A, and S the inverse of A. As
    parameters move along i and j, the mode moves with them. The second derivatives of L, and of the mode
    times the slope of L, are those of ``f + v . f_u + w . h`` along both, with v and w held; the rest is the
    trace of ``S A_i S A_j``, halved, A_i being how A changes along i.
    """
    directions = responses(joint, found, x)
    products, changes = joint.second(x, v, weights, directions)
    factor, system = found.factor, found.point.layout.system
    if isinstance(factor, BlocksFactor):
        traces = factor.moved(changes)
    else:
        assert isinstance(system, Symbolic)
        traces = _traces(system, found.point.curvature, changes)
    matrix: Array = directions @ np.array(products).T + 0.5 * traces
    return 0.5 * (matrix + matrix.T)


def _traces(system: Symbolic, values: Array, changes: list[Array]) -> Array:
    """The traces from the elements of S where A has some: along A_i they move by those of ``-S A_i S``."""
    weights = np.array(changes)
    return np.array([-(weights @ system.inverse_along(values, [change])) for change in changes])
