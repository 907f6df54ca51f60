"""Integrals over the tail of a density, by which derivatives in shape parameters are computed.

The gamma and beta distributions have densities in the logarithm (or the log odds) of their variable that are
logarithmically concave and entire. From the point where a tail begins, such a density is ``exp(-k(v))`` with
a convex `k` that goes from 0 to infinity. So a fixed number of Gauss-Legendre nodes between 0 and the place
where k reaches 40 gives all digits, and a derivative in a shape parameter is the same integral with a weight:
a polynomial in the derivatives of the logarithm. No difference is taken.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

END = 40.0  # exp(-40) is less than a rounding
NODES = 64
HALVINGS = 8
CHUNK = 4096  # elements that are integrated at once

Integrand = Callable[[Any], Any]


@cache
def _rule() -> tuple[Any, Any]:
    """Nodes and weights on the way from 0 to 1."""
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    return 0.5 * (nodes[:, None] + 1.0), 0.5 * weights


def _end(k: Integrand, low: Any, high: Any) -> Any:
    """About where k, which increases behind `low`, reaches END; it does so before `high`."""
    low, high = np.log(low), np.log(high)
    for _ in range(HALVINGS):
        middle = 0.5 * (low + high)
        before = k(np.exp(middle)) < END
        low, high = np.where(before, middle, low), np.where(before, high, middle)
    return np.exp(high)


def tail_integral(k: Integrand, weight: Integrand, low: Any, high: Any) -> Any:
    """The integral of ``weight(v) exp(-k(v))`` over positive v, for a vector of tails."""
    end = _end(k, low, high)
    nodes, weights = _rule()
    v = nodes * end
    values = np.exp(-k(v)) * weight(v)
    # Along contiguous rows: so a number does not depend on those beside it, to the last bit.
    return end * np.sum(np.ascontiguousarray(values.T) * weights, axis=1)


def in_chunks(f: Callable[..., Any], *columns: Any) -> Any:
    """``f(*columns)`` for vectors of one length, so many elements at once."""
    size = columns[0].size
    found = np.empty(size)
    for start in range(0, size, CHUNK):
        part = slice(start, start + CHUNK)
        found[part] = f(*(column[part] for column in columns))
    return found


def on_columns(f: Callable[..., Any], *operands: Any) -> Any:
    """``f(*columns)`` of operands of any shapes that broadcast, in the shape of the result."""
    arrays = np.broadcast_arrays(*(np.asarray(x, dtype=float) for x in operands))
    with np.errstate(all="ignore"):
        return in_chunks(f, *(array.ravel() for array in arrays)).reshape(arrays[0].shape)


def bell(cumulants: Callable[[int, int], Any], i: int, j: int, known: dict[tuple[int, int], Any]) -> Any:
    """The derivative of order (i, j) of exp(f), by that function: a polynomial in the derivatives of f."""
    if i < 0 or j < 0:
        return 0.0
    if (i, j) == (0, 0):
        return 1.0
    if (i, j) not in known:
        a, b = (i - 1, j) if i else (0, j - 1)
        total: Any = 0.0
        for p in range(a + 1):
            for q in range(b + 1):
                share = math.comb(a, p) * math.comb(b, q)
                total = total + share * bell(cumulants, p, q, known) * cumulants(i - p, j - q)
        known[i, j] = total
    return known[i, j]
