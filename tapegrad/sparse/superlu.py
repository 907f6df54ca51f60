"""Sparse matrices, factorised by SciPy's SuperLU with all pivots on the diagonal."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.sparse.linalg import splu

from tapegrad.sparse.indefinite import SYMMETRIC, NotPositiveDefinite
from tapegrad.sparse.pattern import Array, Pattern

_AT_ONCE = 64  # columns of the inverse


class SuperLU:
    """The symbolic part."""

    def __init__(self, pattern: Pattern) -> None:
        self.pattern = pattern

    def factor(self, values: Array) -> SuperLUFactor:
        """The factors; every pivot is looked at."""
        matrix = self.pattern.matrix(values)
        try:
            factors = splu(matrix, **SYMMETRIC)
        except RuntimeError:  # a pivot of 0
            raise NotPositiveDefinite(matrix) from None
        pivots = factors.U.diagonal()
        if not (np.array_equal(factors.perm_r, factors.perm_c) and (pivots > 0.0).all()):
            raise NotPositiveDefinite(matrix)
        return SuperLUFactor(self.pattern, factors, pivots)


class SuperLUFactor:
    """SuperLU's factors."""

    def __init__(self, pattern: Pattern, factors: Any, pivots: Array) -> None:
        self.pattern = pattern
        self.factors = factors
        self.pivots = pivots

    @property
    def logdet(self) -> float:
        return float(np.log(self.pivots).sum())

    def solve(self, b: Array) -> Array:
        found: Array = self.factors.solve(b)
        return found

    def inverse_subset(self) -> Array:
        pattern = self.pattern
        found = np.empty(pattern.nnz)
        for first in range(0, pattern.n, _AT_ONCE):
            stop = min(first + _AT_ONCE, pattern.n)
            unit = np.zeros((pattern.n, stop - first))
            unit[np.arange(first, stop), np.arange(stop - first)] = 1.0
            part = slice(pattern.indptr[first], pattern.indptr[stop])
            found[part] = self.factors.solve(unit)[pattern.indices[part], pattern.rows[part] - first]
        return found
