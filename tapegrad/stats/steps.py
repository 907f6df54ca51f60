"""Quantiles of counts: the smallest count up to which the probability is large enough.

A quantile of counts is constant between steps. As a function of a parameter it has no slope anywhere that
tells a likelihood something, so a traced argument is refused, and not given the derivative 0.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import ndtri

from tapegrad.errors import TraceError
from tapegrad.ops.registry import Recordable
from tapegrad.stats.common import Operand, operand

Array = Any


def count_quantile(
    dist: Any,
    p: Operand,
    above: bool,
    arguments: tuple[Operand, ...],
    guess: Callable[..., Any],
    *ends: Operand,
    **named: Operand,
) -> Any:
    """The smallest count whose `cdf` is at least `p`, or, if `above`, whose `sf` is at most `p`.

    Parameters
    ----------
    dist : distribution
        Its `cdf` and `sf` are asked, whichever is known better.
    p : array_like
        Probabilities.
    above : bool
        Whether they are those of the upper tail.
    arguments : tuple of array_like
        The parameters of the distribution, without the location.
    guess : callable
        Of a quantile of the normal distribution and the parameters: about what comes out.
    *ends : array_like
        The smallest and the largest count, 0 and infinity if they are not given.
    **named : array_like
        Further parameters.

    Returns
    -------
    float or ndarray
        Whole numbers. As in SciPy, one less than the smallest count where nothing need be below.
    """
    given = (p, *arguments, *named.values(), *(ends or (0.0, np.inf)))
    arrays = np.broadcast_arrays(*(_plain(x, dist) for x in given))
    p, *columns, low, high = (array.ravel() for array in arrays)
    tails = _Tails(dist, above, len(arguments), tuple(named))
    with np.errstate(all="ignore"):
        start = np.floor(guess(-ndtri(p) if above else ndtri(p), *columns))
        start = np.clip(np.where(np.isfinite(start), start, np.maximum(low, 0.0)), low, high)
        nothing, all_ = (1.0, 0.0) if above else (0.0, 1.0)
        found = np.where(p == nothing, low - 1.0, np.where(p == all_, high, np.nan))
        invalid = np.isnan(tails.of(dist.cdf, start, columns))
        found[invalid] = np.nan
        search = np.flatnonzero((p > 0.0) & (p < 1.0) & ~invalid)
        columns = [column[search] for column in columns]
        found[search] = _search(tails, p[search], columns, start[search], low[search] - 1.0)
    return found.reshape(arrays[0].shape)[()]


@dataclass(frozen=True)
class _Tails:
    """The tails of a distribution whose last parameters have names."""

    dist: Any
    above: bool
    count: int
    names: tuple[str, ...]

    def of(self, f: Callable[..., Any], k: Array, columns: list[Array]) -> Array:
        """A method of the distribution at some counts."""
        named = dict(zip(self.names, columns[self.count :], strict=True))
        return np.asarray(f(k, *columns[: self.count], **named))

    def reached(self, k: Array, p: Array, columns: list[Array]) -> Array:
        """Whether enough is below: by the given tail, or by the other one if p is known as well there."""
        here, other = (self.dist.sf, self.dist.cdf) if self.above else (self.dist.cdf, self.dist.sf)
        value = self.of(here, k, columns)
        reached = np.asarray(value <= p if self.above else value >= p)
        again = np.flatnonzero(~reached & (p >= 0.5))
        if again.size:
            value = self.of(other, k[again], [column[again] for column in columns])
            rest = 1.0 - p[again]
            reached[again] = value >= rest if self.above else value <= rest
        return reached


def _plain(x: Operand, dist: Any) -> Array:
    x = operand(x)
    tracer = getattr(x, "recorded", x)  # of a buffer
    if isinstance(tracer, Recordable):
        recorder = getattr(tracer, "recorder", None)
        where = "" if recorder is None else recorder.whereabouts()
        name = getattr(dist, "__name__", type(dist).__name__)
        raise TraceError(
            f"a quantile of {name} is a count{where}: it is constant between steps, so it has no derivative "
            "that tells a likelihood anything. Compute it outside of the function, from plain numbers"
        )
    return np.asarray(x, dtype=float)


def _search(tails: _Tails, p: Array, columns: list[Array], start: Array, least: Array) -> Array:
    """Steps that double until a count is on either side, and halves between them."""
    low, high = least.copy(), np.full(p.shape, np.inf)
    k, stride, left = start.copy(), np.ones(p.shape), np.arange(p.size)
    while left.size:
        at = k[left]
        reached = tails.reached(at, p[left], [column[left] for column in columns])
        high[left] = np.where(reached, at, high[left])
        low[left] = np.where(reached, low[left], at)
        down, up = low[left], high[left]
        found_low, found_high = ~reached | (down > least[left]), np.isfinite(up)
        middle = np.floor(down + 0.5 * (up - down))
        on = np.where(reached, np.maximum(at - stride[left], down + 1.0), at + stride[left])
        k[left] = np.where(found_low & found_high, middle, on)
        stride[left] *= 2.0
        left = left[~(up - down <= np.maximum(1.0, 2.0 * np.spacing(np.abs(up))))]
    return high


def by_moments(mean: Any, deviation: Any, skewness: Any, z: Any) -> Any:
    """About the quantile of a distribution of these moments, by the expansion of Cornish and Fisher."""
    return mean + deviation * (z + skewness * (z * z - 1.0) / 6.0)
