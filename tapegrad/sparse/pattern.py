"""Which elements of a symmetric matrix may be other than zero."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy import sparse

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class Pattern:
    """The stored elements of a symmetric matrix, both triangles, row by row.

    Attributes
    ----------
    n : int
        The number of rows.
    indptr, indices : ndarray of int
        As those of a csr_array with sorted indices; as the pattern is symmetric, also those of a csc_array.
    """

    n: int
    indptr: Array
    indices: Array

    @property
    def nnz(self) -> int:
        """The number of stored elements."""
        return int(self.indices.size)

    @cached_property
    def rows(self) -> Array:
        """The row of each stored element."""
        return np.repeat(np.arange(self.n, dtype=self.indices.dtype), np.diff(self.indptr))

    @cached_property
    def mirror(self) -> Array:
        """The position of each element's mirror image."""
        return np.lexsort((self.rows, self.indices))

    @cached_property
    def diagonal(self) -> Array:
        """The positions of the elements on the diagonal."""
        return np.flatnonzero(self.rows == self.indices)

    def matrix(self, values: Array) -> Any:
        """The csc_array of these values."""
        return sparse.csc_array((values, self.indices, self.indptr), shape=(self.n, self.n))

    def symmetric(self, values: Array) -> Array:
        """The values of the symmetric part."""
        return 0.5 * (values + values[self.mirror])


def pattern_of(matrix: Any) -> Pattern:
    """The pattern of a sparse matrix; one that is not symmetric, or has holes in its diagonal, is completed.

    Values are not looked at: a stored zero is an element.
    """
    found = sparse.csr_array(matrix)
    if found.shape[0] != found.shape[1]:
        raise ValueError(f"a square matrix wanted; the shape is {found.shape}")
    n = found.shape[0]
    ones = sparse.csr_array((np.ones(found.indices.size), found.indices, found.indptr), shape=found.shape)
    full = sparse.csr_array(ones + ones.T + sparse.eye_array(n, format="csr"))
    full.sort_indices()
    return Pattern(n, full.indptr, full.indices)
