"""The algebra of information matrices, and what to say of one that is not definite."""

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_factor, cho_solve, solve_triangular

Array: TypeAlias = npt.NDArray[np.float64]

# Of the information scaled to a unit diagonal. Its entries are sums over the data, right to about 1e-16: of
# an eigenvalue smaller than this at most three digits are right, and no more of the standard errors.
_SMALLEST_EIGENVALUE = 1e-13
# With one smaller than this, fewer than about half of the digits of a standard error are right.
_RELIABLE_EIGENVALUE = 1e-8

# Of a matrix scaled to a unit diagonal, with squares that do not overflow.
_LARGEST_ENTRY = 1e150

# What a function changes by along a direction, relative to its standard error, if that is more than rounding.
_MOVED = 1e-6


def covariance(information: Array) -> Array:
    """Inverse of the observed information.

    Parameters
    ----------
    information : ndarray of shape (p, p)
        Minus the Hessian of the log-likelihood at its maximum.

    Returns
    -------
    ndarray of shape (p, p)
        The covariance matrix of the estimates; all ``nan`` where `information` is not positive definite to
        working precision, never a repaired one.
    """
    if not is_definite(information):
        return np.full_like(information, np.nan)
    return solve(information, np.eye(len(information)))


def generalised_inverse(information: Array, directions: Array | None) -> Array:
    """Inverse of the information on what does not move along some directions.

    It is the inverse on the orthogonal complement of the directions, in units in which the information has a
    unit diagonal. Of what moves along none of them, see `moves_along`, it gives the variance, whatever the
    units; of anything else it says nothing.

    Parameters
    ----------
    information : ndarray of shape (q, q)
    directions : ndarray of shape (q, k), or None
        With None, or no directions, this is `covariance`.

    Returns
    -------
    ndarray of shape (q, q)
        All ``nan`` where the information is not positive definite on the complement.
    """
    if directions is None or directions.shape[1] == 0:
        return covariance(information)
    _, scale = to_unit_diagonal(information)
    k = directions.shape[1]
    if k == len(information):
        return np.zeros_like(information)
    beside = np.linalg.qr(directions / scale[:, None], mode="complete")[0][:, k:] * scale[:, None]
    inverse: Array = beside @ covariance(beside.T @ information @ beside) @ beside.T
    return inverse


def moves_along(jacobian: Array, information: Array, directions: Array | None) -> npt.NDArray[np.bool_]:
    """Which functions of the free coordinates change along some directions, of shape (m,).

    Parameters
    ----------
    jacobian : ndarray of shape (m, q)
        Their derivatives in the free coordinates.
    information : ndarray of shape (q, q)
    directions : ndarray of shape (q, k), or None
    """
    if directions is None or directions.shape[1] == 0:
        return np.zeros(len(jacobian), dtype=np.bool_)
    # Of a coordinate at an end the curvature gives no unit; it is one of logarithms in most cases.
    axes = directions[:, np.count_nonzero(directions, axis=0) == 1].any(axis=1)
    units = np.where(axes, 1.0, to_unit_diagonal(information)[1])
    moved = np.linalg.norm(jacobian @ directions, axis=1)
    return np.asarray(moved > _MOVED * np.linalg.norm(jacobian * units, axis=1))


def covariance_factor(information: Array) -> Array:
    """A factor C of the inverse, ``C C' = information^-1``, of a definite `information`, shape (q, q)."""
    scaled, scale = to_unit_diagonal(information)
    factor = solve_triangular(np.linalg.cholesky(scaled), np.eye(scale.size), lower=True)
    return np.asarray(factor.T * scale[:, None])


def is_definite(information: Array) -> bool:
    """Whether the information is finite, and positive definite to working precision in any units."""
    if not np.isfinite(information).all():
        return False
    scaled, _ = to_unit_diagonal(information)
    return bool(np.linalg.eigvalsh(scaled)[0] > _SMALLEST_EIGENVALUE)


def solve(information: Array, right: Array) -> Array:
    """``information^-1 right``, a vector or a matrix, for a definite `information`."""
    scaled, scale = to_unit_diagonal(information)
    solution: Array = cho_solve(cho_factor(scaled, lower=True), (right.T * scale).T)
    return (solution.T * scale).T


def is_reliable(information: Array) -> bool:
    """Whether the standard errors from the information have about half of their digits right, or more."""
    if not np.isfinite(information).all():
        return False
    scaled, _ = to_unit_diagonal(information)
    return bool(np.linalg.eigvalsh(scaled)[0] > _RELIABLE_EIGENVALUE)


def why_not_definite(information: Array, names: Sequence[str]) -> str:
    """Say in the parameters' names why `is_definite` does not hold.

    Parameters
    ----------
    information : ndarray of shape (p, p)
        Minus the Hessian of the log-likelihood at the estimates.
    names : sequence of str
        The parameters' names, in the same order.

    Returns
    -------
    str
        For example "the log-likelihood is flat along beta[1] - beta[2]".
    """
    rows = list(zip(names, information, strict=True))
    broken = [name for name, row in rows if not np.isfinite(row).all()]
    if broken:
        return f"the Hessian of the log-likelihood is not finite in {', '.join(broken)}"
    idle = [name for name, row in rows if not row.any()]
    if idle:
        return f"the log-likelihood is constant, or a straight line, in {', '.join(idle)}"
    scaled, scale = to_unit_diagonal(information)
    eigenvalues, vectors = np.linalg.eigh(scaled)
    direction = combination(vectors[:, 0], scale, names)
    if eigenvalues[0] < -_SMALLEST_EIGENVALUE:
        return f"the log-likelihood curves upwards along {direction}: this is not a maximum"
    return f"the log-likelihood is flat along {direction}: the data do not determine it"


def combination(weights: Array, units: Array, names: Sequence[str]) -> str:
    """A direction in the space of the parameters, such as "beta[1] - 0.5 beta[2]".

    Parameters
    ----------
    weights : ndarray of shape (p,)
        The direction in units in which the parameters can be compared. What is small here is left out.
    units : ndarray of shape (p,)
        Those units: the direction in the parameters' own is ``weights * units``.
    names : sequence of str
        The parameters' names.
    """
    large = np.flatnonzero(np.abs(weights) > 0.1 * np.abs(weights).max())
    large = large[np.argsort(-np.abs(weights[large]), kind="stable")][:5]
    direction = weights * units
    direction = direction / direction[large[0]]
    text = ""
    for i in large.tolist():
        sign = " - " if direction[i] < 0 else " + "
        size = f"{abs(direction[i]):.3g}"
        text += sign + (names[i] if size == "1" else f"{size} {names[i]}")
    return text.removeprefix(" + ")


def to_unit_diagonal(information: Array) -> tuple[Array, Array]:
    """``information * outer(scale, scale)`` with ones (or minus ones) on the diagonal, and `scale`.

    Where `information` is finite, both are, and have eigenvalues.
    """
    diagonal = np.abs(np.diag(information))
    scale = 1.0 / np.sqrt(np.where(diagonal > 0.0, diagonal, 1.0))
    # One factor after the other: the product of both may overflow where the diagonal is tiny. Beside a tiny
    # diagonal an entry may still overflow, and the matrix is far from definite, however large it is.
    with np.errstate(over="ignore"):
        scaled = information * scale * scale[:, None]
    return np.clip(scaled, -_LARGEST_ENTRY, _LARGEST_ENTRY), scale
