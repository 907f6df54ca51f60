"""Matrices with few diagonals, after their rows have been ordered, factorised by LAPACK: chains above all."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from scipy import sparse
from scipy.linalg.lapack import dpbtrf, dpbtrs, dtbtrs
from scipy.sparse.csgraph import reverse_cuthill_mckee

from tapegrad.sparse.fronts import Fronts
from tapegrad.sparse.indefinite import NotPositiveDefinite
from tapegrad.sparse.layout import Layout
from tapegrad.sparse.ordering import dissected
from tapegrad.sparse.pattern import Array, Pattern


class Banded:
    """The symbolic part: the order of the rows, and where each value stands in the band."""

    def __init__(self, pattern: Pattern, leaf: int) -> None:
        self.pattern = pattern
        self._leaf = leaf
        ones = sparse.csr_matrix(pattern.matrix(np.ones(pattern.nnz)))
        self.order = np.asarray(reverse_cuthill_mckee(ones, symmetric_mode=True), dtype=np.int64)
        place = np.empty(pattern.n, dtype=np.int64)
        place[self.order] = np.arange(pattern.n)
        rows, columns = place[pattern.rows], place[pattern.indices]
        self.width = int(np.abs(rows - columns).max(initial=0))
        self.below = np.flatnonzero(rows >= columns)
        rows, columns = rows[self.below], columns[self.below]
        self.at = columns * (self.width + 1) + rows - columns  # in Fortran's order

    @property
    def cost(self) -> float:
        """About how many microseconds a factorisation takes."""
        return 15.0 + self.pattern.n * (0.02 + 0.004 * self.width * (1.0 + 0.1 * self.width))

    @cached_property
    def fronts(self) -> Fronts:
        """What finds the inverse."""
        return Fronts(self.pattern, dissected(self.pattern, self._leaf))

    @property
    def layout(self) -> Layout:
        return self.fronts.layout

    def factor(self, values: Array) -> BandedFactor:
        """The Cholesky factor."""
        flat = np.zeros(self.pattern.n * (self.width + 1))
        flat[self.at] = values[self.below]
        band = flat.reshape(self.pattern.n, self.width + 1).T
        lower, failed = dpbtrf(band, lower=1, overwrite_ab=1)
        if failed or not np.isfinite(lower[0]).all():
            raise NotPositiveDefinite(self.pattern.matrix(values))
        return BandedFactor(self, values, lower)


class BandedFactor:
    """A Cholesky factor with few diagonals."""

    def __init__(self, symbolic: Banded, values: Array, lower: Array) -> None:
        self.symbolic = symbolic
        self.values = values
        self.lower = lower

    @property
    def logdet(self) -> float:
        return 2.0 * float(np.log(self.lower[0]).sum())

    def solve(self, b: Array) -> Array:
        order = self.symbolic.order
        x, _ = dpbtrs(self.lower, b[order], lower=1)
        found = np.empty_like(x)
        found[order] = x
        return np.ascontiguousarray(found.reshape(b.shape))

    def spread(self, z: Array) -> Array:
        order = self.symbolic.order
        found = np.empty_like(z)
        x, _ = dtbtrs(self.lower, z[order][:, None], uplo="L", trans="T")
        found[order] = x[:, 0]
        return found

    def inverse_subset(self) -> Array:
        # Takahashi's recursion along the band is one step after another; fronts take all parts at once.
        return self.symbolic.fronts.factor(self.values).inverse_subset()
