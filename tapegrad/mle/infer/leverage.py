"""Leverages: what each observation does to its own fit, by its score and its Hessian."""

from collections.abc import Sequence
from functools import partial
from typing import Final, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from tapegrad.mle.model.rows import Scores

Array: TypeAlias = npt.NDArray[np.float64]

_ALL: Final = 1e-8  # of one minus a leverage: what is left is rounding


class Spread(NamedTuple):
    """What enlarged scores of some observations add up to.

    Attributes
    ----------
    size : int
        How many observations these are.
    least : float
        The smallest of one minus the leverages, NaN if one is unknown.
    worst : int
        The observation that has it, counted from the first of these.
    total : ndarray, shape (q, q)
        The sum of the outer products of the enlarged scores.
    """

    size: int
    least: float
    worst: int
    total: Array


def spread_without(found: Scores, inverse: Array, power: float) -> Array:
    """The sandwich with the scores of observations enlarged for their leverage, shape (q, q).

    With A the information and ``root root' = A^-1``, the leverage matrix of observation i is
    ``root' A_i root`` with its share A_i of A. In a generalised linear model with the canonical link it has
    one eigenvalue that is not 0, the diagonal element of the hat matrix.

    Parameters
    ----------
    found : Scores
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
    spread: Spread = found.of_each(partial(_enlarged, root=root, power=power), _together)
    if spread.least < _ALL:
        raise ValueError(
            f"observation {spread.worst} alone determines a parameter, or a combination of some (its "
            f"leverage is {1.0 - spread.least:.4g}): without it there is no fit; use cov_type='HC0' or 'HC1'"
        )
    return np.asarray(root @ spread.total @ root.T)


def _enlarged(scores: Array, information: Array, root: Array, power: float) -> Spread:
    """What some scores, enlarged for their leverage, add up to, in units of the root."""
    matrices = root.T @ information @ root
    if not np.isfinite(matrices).all():
        return Spread(len(scores), np.nan, 0, np.full_like(root, np.nan))
    values, vectors = np.linalg.eigh(0.5 * (matrices + np.swapaxes(matrices, 1, 2)))
    rest = 1.0 - values
    lowest = rest.min(axis=1)
    worst = int(np.argmin(lowest))
    if lowest[worst] < _ALL:
        return Spread(len(scores), float(lowest[worst]), worst, np.full_like(root, np.nan))
    along = np.einsum("nkj,nk->nj", vectors, scores @ root)
    enlarged = np.einsum("nkj,nj->nk", vectors, along * rest**-power)
    return Spread(len(scores), float(lowest[worst]), worst, enlarged.T @ enlarged)


def _together(parts: Sequence[Spread]) -> Spread:
    """One of several, in the order of their observations."""
    starts = np.cumsum([0, *(part.size for part in parts)])
    leasts = [part.least for part in parts]
    place = int(np.argmin(leasts))  # the first NaN, if there is one
    return Spread(
        int(starts[-1]),
        leasts[place],
        int(starts[place]) + parts[place].worst,
        np.add.reduce([part.total for part in parts]),
    )


def _root(inverse: Array) -> Array:
    """A matrix that gives `inverse` when multiplied by its transpose."""
    scale = np.sqrt(np.diag(inverse))
    scale = np.where(scale > 0.0, scale, 1.0)
    values, vectors = np.linalg.eigh(inverse / np.outer(scale, scale))
    return np.asarray(scale[:, None] * vectors * np.sqrt(np.maximum(values, 0.0)))
