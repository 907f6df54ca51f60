"""Symmetric matrices that fall into many small blocks, factorised side by side as stacks of dense ones."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from scipy.sparse.csgraph import connected_components

from tapegrad.sparse import NotPositiveDefinite, Pattern

Array = np.ndarray[Any, Any]

MOST = 24  # rows of a block: larger ones are sparse themselves, or have a dense factorisation of their own


class Stack:
    """The blocks of one size k.

    Attributes
    ----------
    members : ndarray of int, shape (g, k)
        The rows of each block.
    stored : ndarray of int
        The positions of their elements among the stored ones of the whole matrix.
    places : ndarray of int
        Where these stand in the stack, as one flat array.
    """

    def __init__(self, pattern: Pattern, members: Array) -> None:
        self.members = members
        g, k = members.shape
        block, row = np.full(pattern.n, -1), np.zeros(pattern.n, dtype=np.intp)
        block[members] = np.arange(g)[:, None]
        row[members] = np.arange(k)
        self.stored = np.flatnonzero(block[pattern.rows] >= 0)
        rows, columns = pattern.rows[self.stored], pattern.indices[self.stored]
        self.places = (block[rows] * k + row[rows]) * k + row[columns]

    def matrices(self, values: Array) -> Array:
        """The blocks, shape (g, k, k)."""
        g, k = self.members.shape
        dense = np.zeros(g * k * k)
        dense[self.places] = values[self.stored]
        return dense.reshape(g, k, k)


class Blocks:
    """The symbolic part: which rows belong together."""

    def __init__(self, pattern: Pattern, labels: Array) -> None:
        self.pattern = pattern
        self.labels = labels
        sizes = np.bincount(labels)
        order = np.argsort(labels, kind="stable")
        starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
        self.stacks = [
            Stack(pattern, order[starts[sizes == k][:, None] + np.arange(k)]) for k in np.unique(sizes)
        ]

    def factor(self, values: Array) -> BlocksFactor:
        """The Cholesky factors of all blocks; `NotPositiveDefinite` if one has none."""
        matrices = [stack.matrices(values) for stack in self.stacks]
        try:
            with np.errstate(invalid="ignore"):
                lower = [_cholesky(dense) for dense in matrices]
        except np.linalg.LinAlgError:
            raise NotPositiveDefinite(self.pattern.matrix(values)) from None
        return BlocksFactor(self, matrices, lower)


def _cholesky(dense: Array) -> Array:
    if dense.shape[-1] > 1:
        lower: Array = np.linalg.cholesky(dense)
    else:
        lower = np.sqrt(dense)
    if not (np.isfinite(lower).all() and (np.diagonal(lower, axis1=1, axis2=2) > 0.0).all()):
        raise np.linalg.LinAlgError
    return lower


class BlocksFactor:
    """The Cholesky factors of the blocks."""

    def __init__(self, symbolic: Blocks, matrices: list[Array], lower: list[Array]) -> None:
        self.symbolic = symbolic
        self._matrices = matrices
        self._lower = lower

    @cached_property
    def logdet(self) -> float:
        """The logarithm of the determinant."""
        return 2.0 * float(sum(np.log(np.diagonal(lower, axis1=1, axis2=2)).sum() for lower in self._lower))

    @cached_property
    def roots(self) -> list[Array]:
        """For each stack L'^-1 of the blocks' Cholesky factors L: upper triangular roots of the inverses."""
        return [np.linalg.inv(lower).mT for lower in self._lower]

    @cached_property
    def inverses(self) -> list[Array]:
        """The inverses of the blocks of each stack."""
        found = []
        for lower in self._lower:
            if lower.shape[-1] == 1:
                found.append(1.0 / lower**2)
            else:
                inverse = np.linalg.inv(lower)
                found.append(inverse.mT @ inverse)
        return found

    def solve(self, b: Array) -> Array:
        """The solution of ``A x = b``, for a vector or for the columns of a matrix."""
        columns = b.reshape(len(b), -1)
        found = np.empty_like(columns)
        for stack, dense, inverse in zip(self.symbolic.stacks, self._matrices, self.inverses, strict=True):
            right = columns[stack.members]
            x = inverse @ right
            if dense.shape[-1] > 1:
                x += inverse @ (right - dense @ x)  # which takes back what the inverse has lost
            found[stack.members] = x
        return found.reshape(b.shape)

    def spread(self, z: Array) -> Array:
        """``L'^-1 z``, L being the Cholesky factors: of independent normal z, what has this precision."""
        found = np.empty_like(z)
        for stack, root in zip(self.symbolic.stacks, self.roots, strict=True):
            found[stack.members] = (root @ z[stack.members][:, :, None])[:, :, 0]
        return found

    def inverse_subset(self) -> Array:
        """The elements of the inverse at the positions of the pattern, in its order."""
        found = np.empty(self.symbolic.pattern.nnz)
        for stack, inverse in zip(self.symbolic.stacks, self.inverses, strict=True):
            found[stack.stored] = inverse.ravel()[stack.places]
        return found

    def moved(self, changes: list[Array]) -> Array:
        """The traces of ``S M_i S M_j``, S the inverse, of symmetric matrices by their stored elements."""
        total = np.zeros((len(changes), len(changes)))
        for stack, inverse in zip(self.symbolic.stacks, self.inverses, strict=True):
            parts = np.array([inverse @ stack.matrices(change) for change in changes])
            total += np.einsum("igab,jgba->ij", parts, parts, optimize=True)
        return total


def blocks_of(pattern: Pattern) -> Array:
    """For each row the number of its block: rows of different blocks never meet."""
    _, labels = connected_components(pattern.matrix(np.ones(pattern.nnz)), directed=False)
    return np.asarray(labels)
