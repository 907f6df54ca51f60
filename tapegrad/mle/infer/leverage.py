"""Leverages: what each observation does to its own fit, by its score and its Hessian."""

from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from tapegrad.mle.model.model import Model
from tapegrad.mle.model.rows import weighted_scores

Array: TypeAlias = npt.NDArray[np.float64]

_ALL: Final = 1e-8  # of one minus a leverage: what is left is rounding


def row_information(model: Model, free: Array) -> Array:
    """Minus the Hessian of each observation's log-likelihood (times its weight), shape (n, q, q).

    Raises
    ------
    ValueError
        If the log-likelihood is one number.
    """
    rows, q = model.require_rows("leverages"), free.size
    found = np.empty((rows.outputs.size, q, q))
    axes = np.eye(q)
    for i in range(q):
        block = -rows.second_flat(free, axes[i], axes[i:]).T
        found[:, i, i:] = found[:, i:, i] = block
    return found if model.weights is None else found * model.weights[:, None, None]


def leverages(model: Model, free: Array, root: Array) -> tuple[Array, Array]:
    """The leverage matrices of the observations, as eigenvalues and eigenvectors.

    With A the information and ``root root' = A^-1``, that of observation i is ``root' A_i root`` with its
    share A_i of A. In a generalised linear model with the canonical link it has one eigenvalue that is not 0,
    the diagonal element of the hat matrix.

    Returns
    -------
    values : ndarray, shape (n, q)
    vectors : ndarray, shape (n, q, q)
    """
    matrices = root.T @ row_information(model, free) @ root
    values, vectors = np.linalg.eigh(0.5 * (matrices + np.swapaxes(matrices, 1, 2)))
    return values, vectors


def spread_without(model: Model, free: Array, inverse: Array, power: float) -> Array:
    """The sandwich with the scores of observations enlarged for their leverage, shape (q, q).

    Parameters
    ----------
    inverse : ndarray, shape (q, q)
        That of the information, or a generalised one.
    power : float
        0.5 for HC2, 1 for HC3: minus the power of the identity less the leverage matrix that scores are
        multiplied by. For HC3, what is added up are squares of Newton's steps to the estimates without an
        observation.

    Raises
    ------
    ValueError
        If an observation has all the say in something: its leverage is 1.
    """
    if not np.isfinite(inverse).all():
        return np.full_like(inverse, np.nan)
    root = _root(inverse)
    values, vectors = leverages(model, free, root)
    if not np.isfinite(values).all():
        return np.full_like(inverse, np.nan)
    rest = 1.0 - values
    if rest.min() < _ALL:
        worst = int(np.argmin(rest.min(axis=1)))
        raise ValueError(
            f"observation {worst} alone determines a parameter, or a combination of some (its leverage is "
            f"{1.0 - rest[worst].min():.4g}): without it there is no fit; use cov_type='HC0' or 'HC1'"
        )
    # In units of the root, the scores along the axes of each leverage matrix.
    along = np.einsum("nkj,nk->nj", vectors, weighted_scores(model, free) @ root)
    enlarged = np.einsum("nkj,nj->nk", vectors, along * rest**-power) @ root.T
    return np.asarray(enlarged.T @ enlarged)


def _root(inverse: Array) -> Array:
    """A matrix that gives `inverse` when multiplied by its transpose."""
    scale = np.sqrt(np.diag(inverse))
    scale = np.where(scale > 0.0, scale, 1.0)
    values, vectors = np.linalg.eigh(inverse / np.outer(scale, scale))
    return np.asarray(scale[:, None] * vectors * np.sqrt(np.maximum(values, 0.0)))
