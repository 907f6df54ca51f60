"""scipy.stats: random variables as objects, such as `Normal(mu=0, sigma=1)`, and what is made of them.

Their methods run as they stand. What stands here is done with complex numbers in SciPy, which are the
logarithms of negative ones, or by a search or an adaptive rule, which cannot be recorded.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from tapegrad.errors import TraceError
from tapegrad.recording.buffers import as_buffer, trace_in
from tapegrad.recording.frames import whereabouts
from tapegrad.recording.standins.mechanism import StandIn
from tapegrad.recording.standins.numpys import traced_array
from tapegrad.stats.common import log1mexp, quiet

_MODULE = "scipy.stats._distribution_infrastructure"


@quiet
def _log_difference(x: Any, y: Any) -> Any:
    """``log(exp(x) - exp(y))``, which is NaN for ``x < y``, where SciPy's is complex."""
    return np.where(np.equal(y, -np.inf), x, x + log1mexp(x - y))


def _difference(original: Callable[..., Any], x: Any, y: Any) -> Any:
    return _log_difference(traced_array(x), traced_array(y))


def _between(original: Callable[..., Any], dist: Any, x: Any, y: Any, **params: Any) -> Any:
    """The logarithm of the probability between two points, by the tail in which less is lost."""
    below = [dist._logcdf_dispatch(z, **params) for z in (x, y)]
    above = [dist._logccdf_dispatch(z, **params) for z in (x, y)]
    left = np.logical_and(np.less(below[0], -1.0), np.less(below[1], -1.0))
    right = np.logical_and(np.less(above[0], -1.0), np.less(above[1], -1.0))
    in_tail = np.where(right, _log_difference(above[0], above[1]), _log_difference(below[1], below[0]))
    outside = np.logaddexp(below[0], above[1])
    return np.where(np.logical_or(left, right), in_tail, _log_difference(0.0, outside))


def _log_between(original: Callable[..., Any], dist: Any, x: Any, y: Any, **params: Any) -> Any:
    """The logarithm of `_cdf2_dispatch`, which is NaN where the second point is the smaller one."""
    p = dist._cdf2_dispatch(x, y, **params)
    in_order = np.less_equal(x, y)
    return np.where(in_order, np.log(np.where(in_order, p, 1.0)), np.nan)


def _of_two_points(name: str, turned: Callable[[Any], Any]) -> Callable[..., Any]:
    """A method of two points; `turned` is its value where the second one is smaller.

    SciPy's `logcdf` is complex there.
    """

    def answer(original: Callable[..., Any], dist: Any, x: Any, y: Any = None, **options: Any) -> Any:
        x, y = traced_array(x), traced_array(y)
        if y is None or trace_in((x, y, dist._parameters)) is None:
            return NotImplemented
        low, high = dist.support()
        first, last = (np.minimum(np.maximum(f(x, y), low), high) for f in (np.minimum, np.maximum))
        value = getattr(dist, f"_{name}2_dispatch")(first, last, **options, **dist._parameters)
        return np.where(np.less(y, x), turned(value), value)

    return answer


def _blank(original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """An array to add up in, also traced values."""
    return as_buffer(np.asarray(original(*args, **kwargs)))


def _refused(how: str) -> Callable[..., Any]:
    def answer(original: Callable[..., Any], dist: Any, *args: Any, **kwargs: Any) -> Any:
        raise TraceError(
            f"{type(dist).__name__} of scipy.stats has no formula for this method, and goes about it by "
            f"{how}, which cannot be traced{whereabouts()}: write the formula, or take one of tapegrad.stats"
        )

    return answer


def _by_logarithm(name: str) -> Callable[..., Any]:
    """The exponential, where a kind of distribution states the logarithm only and SciPy integrates."""

    def answer(original: Callable[..., Any], dist: Any, x: Any, **params: Any) -> Any:
        if not _states(dist, name):
            return NotImplemented
        return np.exp(getattr(dist, name)(x, **params))

    return answer


def _by_difference(original: Callable[..., Any], dist: Any, x: Any, y: Any, **params: Any) -> Any:
    """By the distribution function at both points, for which SciPy takes the integral between them."""
    return dist._cdf2_subtraction(x, y, **params)


def _states(dist: Any, name: str) -> bool:
    base = vars(sys.modules[_MODULE])["UnivariateDistribution"]
    return getattr(type(dist), name) is not getattr(base, name)


_TURNED: dict[str, Callable[[Any], Any]] = {
    "cdf": lambda p: -p,
    "ccdf": lambda p: 2.0 - p,
    "logcdf": lambda p: np.nan,
    "logccdf": lambda p: np.log(2.0 - np.exp(p)),
}
_VARIABLE = f"{_MODULE}:UnivariateDistribution"
TABLE = [
    StandIn(_MODULE, "_logexpxmexpy", _difference),
    StandIn(_VARIABLE, "_logcdf2_subtraction", _between),
    StandIn(_VARIABLE, "_logcdf2_logexp", _log_between),
    *[
        StandIn(_VARIABLE, name, _of_two_points(name, turned), always=True)
        for name, turned in _TURNED.items()
    ],
    StandIn(_VARIABLE, "_cdf_quadrature", _by_logarithm("_logcdf_dispatch")),
    StandIn(_VARIABLE, "_ccdf_quadrature", _by_logarithm("_logccdf_dispatch")),
    StandIn(_VARIABLE, "_cdf2_quadrature", _by_difference),
    StandIn(_VARIABLE, "_logcdf2_quadrature", _between),
    StandIn(f"{_MODULE}:Mixture", "_full", _blank, always=True),
    StandIn(_VARIABLE, "_quadrature", _refused("adaptive integrals")),
    StandIn(_VARIABLE, "_solve_bounded", _refused("a search")),
    StandIn(f"{_MODULE}:Mixture", "_invert", _refused("a search"), always=True),
]
