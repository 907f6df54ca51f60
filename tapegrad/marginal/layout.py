"""Where the elements of an inner Hessian stand, and what factorises it."""

from __future__ import annotations

from functools import cached_property
from typing import Any, Protocol

import numpy as np

from tapegrad.backends.c.fronts import inverse_subset
from tapegrad.derive.sparsity import Colouring
from tapegrad.marginal.blocks import MOST, Blocks, blocks_of
from tapegrad.sparse import analyse, pattern_of

Array = np.ndarray[Any, Any]


class AnyFactor(Protocol):
    """A factorised matrix."""

    @property
    def logdet(self) -> float:
        """The logarithm of the determinant."""

    def solve(self, b: Array) -> Array:
        """The solution of ``A x = b``, for a vector or for the columns of a matrix."""

    def spread(self, z: Array) -> Array:
        """A root of the inverse times z, block by block: its covariance is the inverse for independent z."""

    def inverse_subset(self) -> Array:
        """The elements of the inverse at the positions of the pattern, in its order."""


class AnySystem(Protocol):
    """A pattern made ready: it factorises matrices, given by their stored elements."""

    def factor(self, values: Array) -> AnyFactor:
        """The factorisation; `NotPositiveDefinite` where there is none."""


class Layout:
    """The pattern of the inner Hessian on one path, and the system of equations that it makes.

    Attributes
    ----------
    pattern : Pattern
        The stored elements, both triangles, row by row; the diagonal is complete.
    idle : ndarray of bool
        The random effects in which the log-likelihood is constant or a straight line.

    With `compiles`, parts of the inverse of large matrices are found in compiled code, where that can be.
    """

    def __init__(self, colouring: Colouring, idle: Array, compiles: bool = False) -> None:
        self._compiles = compiles
        self._colouring = colouring
        self.pattern = pattern_of(colouring.pattern)
        self.idle = idle

    def read_at(self, width: int) -> Array:
        """Where each stored element stands among the products with the seeds, as one flat array."""
        pattern, found = self.pattern, self._colouring
        rows, columns = pattern.rows, pattern.indices
        mirrored = found.alone[rows]
        source = np.where(mirrored, columns, rows)
        colour = found.colours[np.where(mirrored, rows, columns)]
        return np.asarray(colour * width + source, dtype=np.intp)

    @cached_property
    def labels(self) -> Array:
        """For each random effect the number of its block."""
        return blocks_of(self.pattern)

    @cached_property
    def system(self) -> AnySystem:
        """What factorises minus the inner Hessian."""
        if np.bincount(self.labels).max() <= MOST:
            return Blocks(self.pattern, self.labels)
        compiled = inverse_subset if self._compiles else None
        return analyse(self.pattern.matrix(np.ones(self.pattern.nnz)), compiled=compiled)
