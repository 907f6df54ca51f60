"""How the inverse of a sparse matrix changes along directions, of any order, at the positions of its pattern.

The derivative of the inverse Z along a direction T is -Z T Z. It has elements everywhere, and those of the
pattern are found as those of Z itself: the computation by fronts is carried out with jets. A jet holds a
number's derivative along each set of directions, by the bits of its index, and the product's is the sum over
all splits of the set.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tapegrad.sparse.layout import Batch, Layout
from tapegrad.sparse.pattern import Array

Jet = list[Array]


def inverse_along(layout: Layout, values: Array, directions: Sequence[Array]) -> Array:
    """The derivative of the inverse of the matrix of these values, along all directions."""
    count = 2 ** len(directions)
    pools = [np.zeros(layout.size) for _ in range(count)]
    pools[0][layout.at] = values
    pools[0][layout.ones] = 1.0
    for i, direction in enumerate(directions):
        pools[2**i][layout.at] = direction
    steps = []
    for batch in layout.batches:
        fronts = [_fronts(batch, pool) for pool in pools]
        own = batch.own
        inverse = _inverse([_symmetric(front[:, :own, :own]) for front in fronts])
        below = [front[:, own:, :own] for front in fronts]
        gain = _product(below, inverse)
        if batch.rest:
            places = batch.in_parents().ravel()
            taken = _product(gain, _transposed(below))
            for pool, front, less in zip(pools, fronts, taken, strict=True):
                np.add.at(pool, places, (front[:, own:, own:] - less).ravel())
        steps.append((inverse, gain))
    pools = [np.zeros(layout.size) for _ in range(count)]
    for batch, (inverse, gain) in zip(reversed(layout.batches), reversed(steps), strict=True):
        _write_inverse(batch, inverse, gain, pools)
    found: Array = pools[-1][layout.at]
    return found


def _write_inverse(batch: Batch, inverse: Jet, gain: Jet, pools: list[Array]) -> None:
    """Write the inverse at the rows of these fronts, from that at the rows of their parents."""
    own, places = batch.own, batch.in_parents()
    beyond = [pool[places] for pool in pools]
    aside = _product(beyond, gain)
    more = _product(_transposed(gain), aside)
    for k, pool in enumerate(pools):
        front = _fronts(batch, pool)
        front[:, own:, own:] = beyond[k]
        front[:, own:, :own] = -aside[k]
        front[:, :own, own:] = -aside[k].transpose(0, 2, 1)
        front[:, :own, :own] = inverse[k] + more[k]


def _fronts(batch: Batch, pool: Array) -> Array:
    return pool[batch.start : batch.stop].reshape(batch.count, batch.side, batch.side)


def _symmetric(fronts: Array) -> Array:
    """The matrices of which the lower triangles are given."""
    lower = np.tril(fronts)
    return lower + np.tril(fronts, -1).transpose(0, 2, 1)


def _transposed(jet: Jet) -> Jet:
    return [part.transpose(0, 2, 1) for part in jet]


def _splits(k: int) -> list[int]:
    """The subsets of a set."""
    return [part for part in range(k + 1) if part & k == part]


def _product(left: Jet, right: Jet) -> Jet:
    found = []
    for k in range(len(left)):
        total = np.matmul(left[0], right[k])
        for part in _splits(k)[1:]:
            total += np.matmul(left[part], right[k ^ part])
        found.append(total)
    return found


def _inverse(jet: Jet) -> Jet:
    """The inverses: what the product with `jet` leaves of each set must vanish."""
    found = [np.linalg.inv(jet[0])]
    for k in range(1, len(jet)):
        total = np.zeros_like(jet[0])
        for part in _splits(k)[1:]:
            total += np.matmul(jet[part], found[k ^ part])
        found.append(-np.matmul(found[0], total))
    return found
