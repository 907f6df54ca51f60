"""Sparse matrices, factorised by compiled code: SciPy's SuperLU, or QDLDL where it is installed.

Neither says of itself that a matrix is not positive definite. All pivots must stand on the diagonal and be
positive: by Sylvester's law of inertia, then and only then the matrix is. Both give L D L', whose parts are
those of fronts; so the inverse is found as it is there.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from importlib.util import find_spec
from threading import Lock
from typing import Any

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import splu

from tapegrad.sparse.fronts import FrontsFactor, inverse_of_lower
from tapegrad.sparse.indefinite import SYMMETRIC, NotPositiveDefinite
from tapegrad.sparse.layout import Layout, layout_of
from tapegrad.sparse.ordering import Elimination, grouped
from tapegrad.sparse.pattern import Array, Pattern


class Places:
    """Where the elements of L stand in fronts; `order` tells the place of each row of L among the fronts'."""

    def __init__(self, layout: Layout, order: Array) -> None:
        self.layout = layout
        self.order = order
        self._known: tuple[Array, Array, Array] | None = None

    def of(self, lower: Any) -> tuple[Array, Array]:
        """Which elements of L stand in fronts, and where; the rest are zeros that SuperLU adds."""
        known = self._known
        if known is None or not np.array_equal(known[0], lower.indices):
            columns = np.repeat(np.arange(self.order.size), np.diff(lower.indptr))
            rows, columns = self.order[lower.indices], self.order[columns]
            held = np.flatnonzero(self.layout.holds(rows, columns))
            known = lower.indices, held, self.layout.positions(rows[held], columns[held])
            self._known = known
        return known[1:]


class EliminatedFactor:
    """L D L', with the rows of L in an order of elimination."""

    def __init__(
        self, places: Places, lower: Any, pivots: Array, solver: Callable[[Array], Array | None]
    ) -> None:
        self.places = places
        self.lower = lower
        self.pivots = pivots
        self._solver = solver

    @property
    def logdet(self) -> float:
        return float(np.log(self.pivots).sum())

    def solve(self, b: Array) -> Array:
        found = self._solver(b)
        return self.fronts.solve(b) if found is None else found

    def spread(self, z: Array) -> Array:
        return self.fronts.spread(z)

    def inverse_subset(self) -> Array:
        return self.fronts.inverse_subset()

    @cached_property
    def fronts(self) -> FrontsFactor:
        """The same factors front by front."""
        layout = self.places.layout
        held, at = self.places.of(self.lower)
        pool = np.zeros(layout.size)
        pool[layout.ones] = 1.0
        pool[layout.diagonal] = 1.0
        pool[at] = self.lower.data[held]
        roots = np.ones(self.pivots.size + 1)
        roots[self.places.order] = np.sqrt(self.pivots)
        factors = []
        for batch in layout.batches:
            fronts = pool[batch.start : batch.stop].reshape(batch.count, batch.side, batch.side)
            parts = fronts[:, :, : batch.own] * roots[batch.columns][:, None, :]
            factors.append((inverse_of_lower(parts[:, : batch.own]), parts[:, batch.own :]))
        return FrontsFactor(layout, factors, self.logdet)


class SuperLU:
    """The symbolic part for SciPy's SuperLU: the pattern in its order of elimination."""

    def __init__(self, pattern: Pattern, elimination: Elimination) -> None:
        self.pattern = pattern
        self.layout = layout_of(pattern, elimination)
        place = np.empty(pattern.n, dtype=np.int64)
        place[elimination.order] = self.natural = np.arange(pattern.n)
        self.places = Places(self.layout, self.natural)
        rows, columns = place[pattern.rows], place[pattern.indices]
        self.moves = np.lexsort((rows, columns))  # of the elements, to columns in the order of elimination
        counts = np.bincount(columns, minlength=pattern.n)
        indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
        self.moved = Pattern(pattern.n, indptr, rows[self.moves].astype(np.int32))

    def factor(self, values: Array) -> EliminatedFactor:
        """The factors; every pivot is looked at."""
        try:
            found = splu(self.moved.matrix(values[self.moves]), **{**SYMMETRIC, "permc_spec": "NATURAL"})
        except RuntimeError:  # a pivot of 0
            raise NotPositiveDefinite(self.pattern.matrix(values)) from None
        pivots = found.U.diagonal()
        on_diagonal = np.array_equal(found.perm_r, self.natural) and np.array_equal(
            found.perm_c, self.natural
        )
        if not (on_diagonal and (pivots > 0.0).all() and np.isfinite(pivots).all()):
            raise NotPositiveDefinite(self.pattern.matrix(values))
        return EliminatedFactor(self.places, found.L, pivots, self._solver(found))

    def _solver(self, factors: Any) -> Callable[[Array], Array]:
        order = self.layout.order

        def solve(b: Array) -> Array:
            found = np.empty_like(b)
            found[order] = factors.solve(b[order])
            return found

        return solve


def has_qdldl() -> bool:
    """Whether the package qdldl is installed."""
    return find_spec("qdldl") is not None


class QDLDL:
    """The symbolic part for QDLDL, which finds an order itself, that of approximate minimum degree."""

    def __init__(self, pattern: Pattern) -> None:
        from qdldl import Solver

        self.pattern = pattern
        upper = pattern.rows >= pattern.indices  # of a csc matrix
        self.upper = np.flatnonzero(upper)
        indptr = np.concatenate([[0], np.cumsum(np.bincount(pattern.rows[upper], minlength=pattern.n))])
        self.indptr, self.indices = indptr.astype(np.int32), pattern.indices[upper]
        self.solver = Solver(
            self._matrix(np.where(pattern.rows == pattern.indices, 2.0 * pattern.n, -1.0)), True
        )
        lower, _, order = self.solver.factors()
        elimination = grouped(pattern, np.asarray(order), np.diff(lower.indptr) + 1)
        self.layout = layout_of(pattern, elimination)
        place = np.empty(pattern.n, dtype=np.int64)
        place[elimination.order] = np.arange(pattern.n)
        self.places = Places(self.layout, place[order])
        self._lock = Lock()
        self._latest: object = None  # stands for the matrix that the solver has factorised last

    def _matrix(self, values: Array) -> Any:
        parts = values[self.upper], self.indices, self.indptr
        return sparse.csc_matrix(parts, shape=(self.pattern.n, self.pattern.n))

    def factor(self, values: Array) -> EliminatedFactor:
        """The factors; QDLDL takes indefinite matrices and NaN, so every pivot is looked at."""
        with self._lock:
            self._latest = None
            try:
                self.solver.update(self._matrix(values), True)
            except RuntimeError:  # a pivot of 0
                raise NotPositiveDefinite(self.pattern.matrix(values)) from None
            lower, pivots, _ = self.solver.factors()
            lower, pivots = lower.copy(), pivots.copy()
            self._latest = this = object()
        if not ((pivots > 0.0).all() and np.isfinite(pivots).all()):
            raise NotPositiveDefinite(self.pattern.matrix(values))
        return EliminatedFactor(self.places, lower, pivots, self._solver(this))

    def _solver(self, this: object) -> Callable[[Array], Array | None]:
        def solve(b: Array) -> Array | None:
            with self._lock:
                if self._latest is not this:
                    return None
                if b.ndim == 1:
                    found: Array = self.solver.solve(b)
                    return found
                return np.stack([self.solver.solve(column) for column in np.ascontiguousarray(b.T)], axis=1)

        return solve
