"""The solution of ``F(x) = p`` for a distribution function, with all its digits in either tail.

The equation is solved in the logarithm of the smaller tail, which is nearly a straight line or a parabola
where the tail itself spans hundreds of powers of ten. Newton's steps are taken inside a bracket that closes;
where a step leaves it, or gains too little, the bracket is halved, or opened further.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np


class Tail(NamedTuple):
    """A tail of a distribution.

    Attributes
    ----------
    log : callable
        ``log(x, *columns)``, its logarithm.
    slope : callable
        ``slope(x, value, *columns)``, the derivative of this, which is `value`, in x.
    """

    log: Callable[..., Any]
    slope: Callable[..., Any]


STEPS = 200
CLOSE = 1e-8  # the error of the logarithm that one more step takes out
EXACT = 1e-14  # and the one that is left alone
LARGEST = 700.0  # step in the logarithm of x
ROUNDING = 4e-16  # of x, which it does not come closer to


def solve(
    tail: Tail,
    log_p: Any,
    start: Any,
    *columns: Any,
    rises: bool,
    positive: bool = False,
    most: float = np.inf,
) -> Any:
    """Where a tail is ``exp(log_p)``: vectors of one length, each element for itself.

    Parameters
    ----------
    tail : Tail
    log_p, start : ndarray
        What it is to be, and where to begin.
    *columns : ndarray
        Its parameters.
    rises : bool
        Whether the tail is the lower one, which rises with x.
    positive : bool
        Whether x is positive: then the steps are taken in its logarithm.
    most : float
        The upper end of x.

    Returns
    -------
    ndarray
        The solutions, ``nan`` where there is none.
    """
    way, least = 1.0 if rises else -1.0, 0.0 if positive else -np.inf
    found = np.where(np.isfinite(start), start, 1.0)
    low, high = np.full(found.shape, least), np.full(found.shape, most)
    stride, before = np.ones(found.shape), np.full(found.shape, np.inf)
    left = np.arange(found.size)
    for _ in range(STEPS):
        x, mine = found[left], [column[left] for column in columns]
        value = tail.log(x, *mine)
        gap = way * (value - log_p[left])
        off = ~(np.abs(gap) < EXACT)
        if not np.all(off):
            left, x, value, gap = left[off], x[off], value[off], gap[off]
            mine = [column[off] for column in mine]
        if not left.size:
            return found
        low[left] = floor = np.where(gap < 0.0, x, low[left])
        high[left] = top = np.where(gap > 0.0, x, high[left])
        new = _moved(x, gap, way * tail.slope(x, value, *mine), positive)
        close = np.abs(gap) < CLOSE
        is_open = (floor == least) | np.isinf(top)
        good = (new > floor) & (new < top) & (is_open | (np.abs(gap) < 0.5 * before[left]))
        new = np.where(good, new, np.where(close, x, _further(x, gap, stride[left], floor, top, least)))
        found[left], before[left] = np.where(np.isnan(gap), np.nan, new), np.abs(gap)
        stride[left] = np.where(good, stride[left], 2.0 * stride[left])
        left = left[~(close | np.isnan(gap) | (np.abs(new - x) <= ROUNDING * np.abs(x)))]
    found[left] = np.nan
    return found


def _moved(x: Any, gap: Any, slope: Any, positive: bool) -> Any:
    """By Newton's step."""
    if positive:
        return x * np.exp(np.clip(-gap / (slope * x), -LARGEST, LARGEST))
    return x - gap / slope


def _further(x: Any, gap: Any, stride: Any, low: Any, high: Any, least: float) -> Any:
    """The middle of the bracket, or further on where it is open."""
    up = gap < 0.0
    is_open = np.where(up, np.isinf(high), low == least)
    move = np.where(up, stride, -stride)
    if least == 0.0:
        return np.where(is_open, x * np.exp(move), np.sqrt(low) * np.sqrt(high))
    return np.where(is_open, x + move, 0.5 * (low + high))
