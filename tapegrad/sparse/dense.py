"""Small or full matrices, factorised as dense ones."""

from __future__ import annotations

import numpy as np
from scipy.linalg import LinAlgError, cho_solve, cholesky, solve_triangular
from scipy.linalg.lapack import dpotri

from tapegrad.sparse.indefinite import NotPositiveDefinite
from tapegrad.sparse.pattern import Array, Pattern


class Dense:
    """The symbolic part: where each value stands."""

    def __init__(self, pattern: Pattern) -> None:
        self.pattern = pattern
        self.at = pattern.rows.astype(np.intp) * pattern.n + pattern.indices

    def factor(self, values: Array) -> DenseFactor:
        """The Cholesky factor."""
        n = self.pattern.n
        matrix = np.zeros(n * n)
        matrix[self.at] = values
        try:
            lower = cholesky(matrix.reshape(n, n), lower=True, check_finite=False)
        except LinAlgError:
            lower = np.full((1, 1), np.nan)
        if not np.isfinite(lower.diagonal()).all():
            raise NotPositiveDefinite(self.pattern.matrix(values))
        return DenseFactor(self, lower)


class DenseFactor:
    """A lower triangular Cholesky factor."""

    def __init__(self, symbolic: Dense, lower: Array) -> None:
        self.symbolic = symbolic
        self.lower = lower

    @property
    def logdet(self) -> float:
        return 2.0 * float(np.log(self.lower.diagonal()).sum())

    def solve(self, b: Array) -> Array:
        found: Array = cho_solve((self.lower, True), b, check_finite=False)
        return found

    def spread(self, z: Array) -> Array:
        found: Array = solve_triangular(self.lower, z, lower=True, trans=1, check_finite=False)
        return found

    def inverse_subset(self) -> Array:
        inverse, _ = dpotri(self.lower, lower=1)
        pattern = self.symbolic.pattern
        rows, columns = np.maximum(pattern.rows, pattern.indices), np.minimum(pattern.rows, pattern.indices)
        found: Array = inverse[rows, columns]
        return found
