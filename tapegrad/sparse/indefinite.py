"""What is told of a matrix that is not positive definite."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import splu, spsolve_triangular

Array = np.ndarray[Any, Any]

_DENSE = 1000  # rows; up to here all eigenvectors are found
# Without a pivot off the diagonal, SuperLU's elimination is that of a symmetric matrix.
SYMMETRIC: dict[str, Any] = {
    "permc_spec": "MMD_AT_PLUS_A",
    "diag_pivot_thresh": 0.0,
    "options": {"SymmetricMode": True},
}


class NotPositiveDefinite(np.linalg.LinAlgError):
    """A symmetric matrix is not positive definite.

    Parameters
    ----------
    matrix : csc_array
        The matrix.

    Attributes
    ----------
    direction : ndarray
        A unit vector along which the matrix curves downwards, or hardly at all; found when asked for. Up to
        1,000 rows it is the eigenvector of the smallest eigenvalue.
    curvature : float
        ``direction @ matrix @ direction``; NaN where the matrix holds NaN.
    where : int
        The row in which `direction` is largest; that of the first NaN where the matrix holds NaN.
    """

    def __init__(self, matrix: Any) -> None:
        super().__init__()
        self.matrix = matrix

    @cached_property
    def _pair(self) -> tuple[float, Array]:
        matrix = self.matrix
        if not np.isfinite(matrix.data).all():
            row = matrix.tocoo().coords[0][np.flatnonzero(~np.isfinite(matrix.data))[0]]
            return float("nan"), np.eye(1, matrix.shape[0], row)[0]
        return _lowest(matrix)

    @property
    def direction(self) -> Array:
        return self._pair[1]

    @property
    def curvature(self) -> float:
        return self._pair[0]

    @property
    def where(self) -> int:
        return int(np.argmax(np.abs(self.direction)))

    def __str__(self) -> str:
        n, where = self.matrix.shape[0], self.where
        if np.isnan(self.curvature):
            return f"the matrix ({n} x {n}) is not positive definite: row {where} holds NaN or infinity"
        return (
            f"the matrix ({n} x {n}) is not positive definite: along a direction that is "
            f"largest in row {where} its curvature is {self.curvature:.3g}"
        )


def _lowest(matrix: Any) -> tuple[float, Array]:
    """A direction along which the matrix curves downwards, and how much; the lowest one of a small matrix."""
    if matrix.shape[0] <= _DENSE:
        values, vectors = np.linalg.eigh(matrix.toarray())
        return float(values[0]), vectors[:, 0]
    factors = _eliminated(matrix)
    # With P A P' = L D L' and the least pivot k of D, the direction d = P' L'^-1 e_k has d' A d = D[k].
    lowest = int(np.argmin(factors.U.diagonal()))
    unit = np.eye(1, matrix.shape[0], lowest)[0]
    found = spsolve_triangular(factors.L.T.tocsr(), unit, lower=False, unit_diagonal=True)[factors.perm_c]
    found /= np.linalg.norm(found)
    return float(found @ (matrix @ found)), found


def _eliminated(matrix: Any) -> Any:
    """The factors of the matrix, or, where a pivot is 0, of one next to it."""
    size = float(np.abs(matrix.data).max(initial=0.0)) or 1.0
    for shift in (0.0, 1e-14, 1e-11, 1e-8):
        moved = matrix + shift * size * sparse.eye_array(matrix.shape[0], format="csc")
        try:
            factors = splu(moved.tocsc(), **SYMMETRIC)
        except RuntimeError:  # a pivot of 0
            continue
        if np.array_equal(factors.perm_r, factors.perm_c):
            return factors
    raise np.linalg.LinAlgError("a matrix is so singular that no direction of it can be told from others")
