"""Sparse matrices, factorised front by front, in stacks that NumPy works on at once.

With P the pivots of a front, B what stands below them, and G = B P^-1, the elimination takes B G' off the
rest, which is added to the parent. From the inverse Z at the further rows, that at the front's own rows
follows (K. Takahashi, 1973): it is -Z G below, and P^-1 + G' Z G at the pivots.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg.lapack import dpotrf, dtrtri

from tapegrad.sparse.indefinite import NotPositiveDefinite
from tapegrad.sparse.layout import Batch, Layout, layout_of
from tapegrad.sparse.ordering import Elimination
from tapegrad.sparse.pattern import Array, Pattern


class Fronts:
    """The symbolic part."""

    def __init__(self, pattern: Pattern, elimination: Elimination) -> None:
        self.pattern = pattern
        self.layout = layout_of(pattern, elimination)

    def factor(self, values: Array) -> FrontsFactor:
        """The factors of each front."""
        layout = self.layout
        pool = np.zeros(layout.size)
        pool[layout.at] = values
        pool[layout.ones] = 1.0
        factors, logdet = [], 0.0
        for batch in layout.batches:
            fronts = pool[batch.start : batch.stop].reshape(batch.count, batch.side, batch.side)
            back, diagonal = _inverse_root(fronts[:, : batch.own, : batch.own])
            with np.errstate(divide="ignore", invalid="ignore"):
                part = float(np.log(diagonal).sum())
            if not np.isfinite(part):
                raise NotPositiveDefinite(self.pattern.matrix(values))
            logdet += 2.0 * part
            below = np.matmul(fronts[:, batch.own :, : batch.own], back.transpose(0, 2, 1))
            if batch.rest:
                left = fronts[:, batch.own :, batch.own :]
                left -= np.matmul(below, below.transpose(0, 2, 1))
                np.add.at(pool, batch.in_parents().ravel(), left.ravel())
            factors.append((back, below))
        return FrontsFactor(layout, factors, logdet)


def _inverse_root(pivots: Array) -> tuple[Array, Array]:
    """The inverses of the Cholesky factors L of a stack of matrices, and the diagonals of L, or NaN."""
    count, n = pivots.shape[:2]
    if n == 1:
        with np.errstate(invalid="ignore", divide="ignore"):
            root = np.sqrt(pivots)
            return 1.0 / root, root
    if count == 1:
        lower, failed = dpotrf(pivots[0], lower=1, clean=1)
        if failed:
            return pivots, np.full(1, np.nan)
        return inverse_of_lower(lower[None]), lower.diagonal()
    try:
        lower = np.linalg.cholesky(pivots)
    except np.linalg.LinAlgError:
        return pivots, np.full(1, np.nan)
    return inverse_of_lower(lower), np.diagonal(lower, axis1=1, axis2=2)


def inverse_of_lower(lower: Array) -> Array:
    """The inverses of a stack of lower triangular matrices."""
    if len(lower) == 1:
        found: Array = dtrtri(lower[0], lower=1)[0][None]
        return found
    return np.linalg.inv(lower)


class FrontsFactor:
    """For each batch of fronts L^-1 of the pivots P = L L', and what stands below them, times L'^-1."""

    def __init__(self, layout: Layout, factors: list[tuple[Array, Array]], logdet: float) -> None:
        self.layout = layout
        self.factors = factors
        self.logdet = logdet

    def solve(self, b: Array) -> Array:
        layout = self.layout
        n = layout.order.size
        x = np.zeros((n + 1, b[0].size))
        x[:n] = b[layout.order].reshape(n, -1)
        for batch, (back, below) in zip(layout.batches, self.factors, strict=True):
            own = np.matmul(back, x[batch.columns])
            x[batch.columns] = own
            if batch.rest:
                np.subtract.at(x, batch.rows.ravel(), np.matmul(below, own).reshape(-1, x.shape[1]))
            x[n] = 0.0
        return self._back(x).reshape(b.shape)

    def spread(self, z: Array) -> Array:
        x = np.zeros((z.size + 1, 1))
        x[:-1, 0] = z[self.layout.order]
        return self._back(x)[:, 0]

    def _back(self, x: Array) -> Array:
        """``L'^-1 x``, L being that of the whole matrix; x, in the order of elimination, is overwritten."""
        layout = self.layout
        n = layout.order.size
        for batch, (back, below) in zip(reversed(layout.batches), reversed(self.factors), strict=True):
            own = x[batch.columns]
            if batch.rest:
                own -= np.matmul(below.transpose(0, 2, 1), x[batch.rows])
            x[batch.columns] = np.matmul(back.transpose(0, 2, 1), own)
            x[n] = 0.0
        found = np.empty_like(x[:n])
        found[layout.order] = x[:n]
        return found

    def inverse_subset(self) -> Array:
        layout = self.layout
        pool = np.zeros(layout.size)
        for batch, (back, below) in zip(reversed(layout.batches), reversed(self.factors), strict=True):
            fronts = pool[batch.start : batch.stop].reshape(batch.count, batch.side, batch.side)
            _inverse(batch, back, below, pool, fronts)
        found: Array = pool[layout.at]
        return found


def _inverse(batch: Batch, back: Array, below: Array, pool: Array, fronts: Array) -> None:
    """Write the inverse at the rows of these fronts, from that at the rows of their parents."""
    own, transposed = batch.own, back.transpose(0, 2, 1)
    pivots = np.matmul(transposed, back)
    if batch.rest:
        beyond = pool[batch.in_parents()]
        gain = np.matmul(below, back)
        aside = np.matmul(beyond, gain)
        pivots += np.matmul(gain.transpose(0, 2, 1), aside)
        np.negative(aside, out=aside)
        fronts[:, own:, own:] = beyond
        fronts[:, own:, :own] = aside
        fronts[:, :own, own:] = aside.transpose(0, 2, 1)
    fronts[:, :own, :own] = pivots
