"""The Hessian of a marginal log-likelihood: exact, or by differences of the exact gradient."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np

from tapegrad.marginal.blocks import BlocksFactor
from tapegrad.marginal.inner import Mode
from tapegrad.marginal.joint import Joint

Array = np.ndarray[Any, Any]

# Random effects in one sparse block: with more of them, all of whose covariances the exact Hessian needs,
# differences of the gradient cost less.
MOST_EXACT: Final = 400
_STEP: Final = 1e-3


def is_exact(found: Mode) -> bool:
    """Whether the Hessian is computed exactly there."""
    return isinstance(found.factor, BlocksFactor) or found.u.size <= MOST_EXACT


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


def exact(joint: Joint, found: Mode, x: Array, v: Array, weights: Array) -> Array:
    """The exact Hessian.

    Let L be the joint log-likelihood less half the log-determinant of A, and S the inverse of A. As
    parameters move along i and j, the mode moves with them. The second derivatives of L, and of the mode
    times the slope of L, are those of ``f + v . f_u + w . h`` along both, with v and w held; the rest is the
    trace of ``S A_i S A_j``, halved, A_i being how A changes along i.
    """
    directions = responses(joint, found, x)
    products = np.array(joint.second(x, v, weights, directions))
    changes = joint.bent(x, directions)
    hessian: Array = directions @ products.T + 0.5 * _traces(found, changes)
    return 0.5 * (hessian + hessian.T)


def _traces(found: Mode, changes: list[Array]) -> Array:
    if isinstance(found.factor, BlocksFactor):
        return found.factor.moved(changes)
    pattern = found.point.layout.pattern
    parts = np.array([found.factor.solve(pattern.matrix(change).toarray()) for change in changes])
    traces: Array = np.einsum("iab,jba->ij", parts, parts, optimize=True)
    return traces


def by_differences(gradient: Callable[[Array], Array], theta: Array, units: Array) -> tuple[Array, float]:
    """Central differences of a gradient, on two scales and extrapolated, and about how wrong they are.

    Parameters
    ----------
    gradient : callable
    theta : ndarray, shape (p,)
    units : ndarray, shape (p,)
        Steps are a thousandth of these.

    Returns
    -------
    hessian : ndarray, shape (p, p)
    error : float
        The largest change of an element by the extrapolation, in those units and relative to the diagonal.
    """
    wide, narrow = (_differences(gradient, theta, _STEP * share * units) for share in (2.0, 1.0))
    found = (4.0 * narrow - wide) / 3.0
    scale = np.sqrt(np.abs(np.diag(found)))
    scale = np.where(scale > 0.0, scale, 1.0)
    error = float(np.max(np.abs(found - narrow) / np.outer(scale, scale), initial=0.0))
    return 0.5 * (found + found.T), error


def _differences(gradient: Callable[[Array], Array], theta: Array, steps: Array) -> Array:
    rows = []
    for i, step in enumerate(steps):
        move = np.zeros_like(theta)
        move[i] = step
        up, down = theta + move, theta - move
        rows.append((gradient(up) - gradient(down)) / (up[i] - down[i]))
    return np.array(rows).reshape(theta.size, theta.size)
