"""Probabilities of counts up to a limit, and beyond it, as sums of the probabilities of single counts."""

from collections.abc import Callable
from typing import Any

import numpy as np

from tapegrad.special import logsumexp
from tapegrad.stats.common import choose

NEGLIGIBLE = -45.0  # the logarithm of what a sum does not notice
MOST_TERMS = 1 << 16
AT_FIRST = 64


def log_sum_between(logpmf: Callable[..., Any], low: Any, high: Any, *params: Any) -> Any:
    """The logarithm of the sum of ``exp(logpmf(j, *params))`` over the whole numbers from `low` to `high`."""
    first, last = _extreme(np.min, low), _extreme(np.max, high)
    return _summed(logpmf, low, high, np.arange(float(first), max(first, last) + 1.0), params)


def log_sum_from(logpmf: Callable[..., Any], low: Any, *params: Any) -> Any:
    """The same from `low` on: so many terms that no further one is noticed, which a tape guards."""
    terms, lowest, highest = AT_FIRST, _extreme(np.min, low), _extreme(np.max, low)
    while True:
        first, last = logpmf(low, *params), logpmf(float(highest + terms), *params)
        if not np.any(np.greater(last - first, NEGLIGIBLE)):
            break
        terms *= 2
        if terms > MOST_TERMS:
            raise ValueError(f"a tail of more than {MOST_TERMS} counts that matter")
    steps = np.arange(float(lowest), highest + terms + 1.0)
    return _summed(logpmf, low, np.inf, steps, params)


def _extreme(f: Callable[..., Any], counts: Any) -> int:
    """The smallest or largest of the counts that are numbers."""
    return int(f(choose(np.isfinite(counts), counts, 0.0)))


def _summed(logpmf: Callable[..., Any], low: Any, high: Any, steps: Any, params: tuple[Any, ...]) -> Any:
    dimensions = len(np.broadcast_shapes(*map(np.shape, (low, high, *params))))
    column = np.reshape(steps, (-1, *(1,) * dimensions))
    inside = np.logical_and(np.greater_equal(column, low), np.less_equal(column, high))
    value = logsumexp(choose(inside, logpmf(column, *params), -np.inf), axis=0)
    for given in (low, high, *params):
        value = choose(np.isnan(given), np.nan, value)
    return value
