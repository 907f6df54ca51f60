"""The Hessian of a marginal log-likelihood: exact, but for one term where there are many random effects."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from tapegrad.marginal.blocks import BlocksFactor
from tapegrad.marginal.inner import Mode
from tapegrad.marginal.joint import Joint

Array = np.ndarray[Any, Any]

# Random effects in one sparse block: with more of them, all of whose covariances the exact Hessian needs, it
# is cheaper to see how those of neighbours change.
MOST_EXACT: Final = 400
_STEP: Final = 2e-3


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


def hessian(joint: Joint, found: Mode, x: Array, v: Array, weights: Array) -> tuple[Array, float | None]:
    """The Hessian, and about how wrong it is relative to its diagonal; None where it is exact.

    Let L be the joint log-likelihood less half the log-determinant of A, and S the inverse of A. As
    parameters move along i and j, the mode moves with them. The second derivatives of L, and of the mode
    times the slope of L, are those of ``f + v . f_u + w . h`` along both, with v and w held; the rest is the
    trace of ``S A_i S A_j``, halved, A_i being how A changes along i.
    """
    directions = responses(joint, found, x)
    products, changes = joint.second(x, v, weights, directions)
    if isinstance(found.factor, BlocksFactor):
        traces, errors = found.factor.moved(changes), None
    elif found.u.size <= MOST_EXACT:
        traces, errors = _traces(found, changes), None
    else:
        traces, errors = _by_differences(found, changes)
    matrix: Array = directions @ np.array(products).T + 0.5 * traces
    error = None
    if errors is not None:
        scale = np.sqrt(np.maximum(np.abs(np.diag(matrix)), np.finfo(float).tiny))
        error = float(np.max(np.abs(errors) / np.outer(scale, scale), initial=0.0))
    return 0.5 * (matrix + matrix.T), error


def _traces(found: Mode, changes: list[Array]) -> Array:
    pattern = found.point.layout.pattern
    parts = np.array([found.factor.solve(pattern.matrix(change).toarray()) for change in changes])
    traces: Array = np.einsum("iab,jba->ij", parts, parts, optimize=True)
    return traces


def _by_differences(found: Mode, changes: list[Array]) -> tuple[Array, Array]:
    """The same by central differences: the elements of S where A has some, as A moves along each change.

    They are taken on three scales and extrapolated twice; the second time changes them by more than is left
    of their error.
    """
    pattern, system = found.point.layout.pattern, found.point.layout.system
    weights, values = np.array(changes), found.point.curvature
    diagonal = np.abs(values[pattern.diagonal])
    columns, errors = [], []
    for change in changes:
        size = float(np.max(np.abs(change[pattern.diagonal]) / diagonal, initial=0.0)) or 1.0
        slopes = []
        for step in np.array([4.0, 2.0, 1.0]) * _STEP / size:
            up, down = (system.factor(values + sign * step * change) for sign in (1.0, -1.0))
            slopes.append((down.inverse_subset() - up.inverse_subset()) / (2.0 * step))
        wide, narrow = ((4.0 * slopes[i + 1] - slopes[i]) / 3.0 for i in range(2))
        best = (16.0 * narrow - wide) / 15.0
        columns.append(weights @ best)
        errors.append(weights @ (best - narrow))
    return np.array(columns), np.array(errors)
