"""scipy.stats: quantiles, means, variances and entropies of its distributions.

Quantiles are those of tapegrad.stats where it has the distribution. The rest is by SciPy's own formulas.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tapegrad.errors import TraceError
from tapegrad.recording.frames import whereabouts
from tapegrad.recording.standins.densities import as_array, own_distribution, refused, states
from tapegrad.recording.standins.formulas import formula
from tapegrad.recording.standins.mechanism import StandIn

Arguments = tuple[Any, ...]


def _parsed(dist: Any, args: Arguments, kwargs: dict[str, Any]) -> tuple[Arguments, Any, Any, Any]:
    """Shapes, location and scale, and where they are valid."""
    kwargs = {key: as_array(value) for key, value in kwargs.items()}
    shapes, loc, scale = dist._parse_args(*map(as_array, args), **kwargs)
    with np.errstate(all="ignore"):
        return shapes, loc, scale, np.logical_and(dist._argcheck(*shapes), np.greater(scale, 0))


def _quantile(name: str) -> Callable[..., Any]:
    def answer(original: Callable[..., Any], dist: Any, q: Any, *args: Any, **kwargs: Any) -> Any:
        if hasattr(dist, "pmf"):
            raise TraceError(
                f"{name} of scipy.stats.{dist.name} gives counts{whereabouts()}: it is constant between "
                "steps, and tells a likelihood nothing"
            )
        q = as_array(q)
        own = getattr(own_distribution(dist), name, None)
        if own is not None:
            return own(q, *map(as_array, args), **{key: as_array(value) for key, value in kwargs.items()})
        shapes, loc, scale, is_valid = _parsed(dist, args, kwargs)
        low, high = formula(dist, "_get_support")(*shapes)
        with np.errstate(all="ignore"):
            inside = np.logical_and(np.greater(q, 0), np.less(q, 1))
            z = _inner(dist, name, np.where(inside, q, 0.5), shapes)
            at_0, at_1 = (low, high) if name == "ppf" else (high, low)
            z = np.where(np.equal(q, 0), at_0, np.where(np.equal(q, 1), at_1, z))
            is_valid = np.logical_and(is_valid, np.logical_and(np.greater_equal(q, 0), np.less_equal(q, 1)))
            return np.where(is_valid, z * scale + loc, np.nan)[()]

    return answer


def _inner(dist: Any, name: str, q: Any, shapes: Arguments) -> Any:
    """The standard quantile; that of the other tail where only this has a formula."""
    if states(dist, f"_{name}"):
        return getattr(dist, f"_{name}")(q, *shapes)
    other = "isf" if name == "ppf" else "ppf"
    if not states(dist, f"_{other}"):
        raise refused(dist, name)
    return getattr(dist, f"_{other}")(1.0 - q, *shapes)


def _median(original: Callable[..., Any], dist: Any, *args: Any, **kwargs: Any) -> Any:
    return _quantile("ppf")(original, dist, 0.5, *args, **kwargs)


def _interval(original: Callable[..., Any], dist: Any, confidence: Any, *args: Any, **kwargs: Any) -> Any:
    tail = 0.5 * (1.0 - as_array(confidence))
    return tuple(_quantile(name)(original, dist, tail, *args, **kwargs) for name in ("ppf", "isf"))


def _moments(dist: Any, shapes: Arguments) -> tuple[Any, Any]:
    """Mean and variance of the standard form."""
    mean = variance = None
    if states(dist, "_stats"):
        options = {"moments": "mv"} if dist._stats_has_moments else {}
        mean, variance = dist._stats(*shapes, **options)[:2]
    if (mean is None or variance is None) and not states(dist, "_munp"):
        raise refused(dist, "moments")
    mean = dist._munp(1, *shapes) if mean is None else mean
    return mean, dist._munp(2, *shapes) - mean * mean if variance is None else variance


def _of_moments(f: Callable[..., Any]) -> Callable[..., Any]:
    def answer(original: Callable[..., Any], dist: Any, *args: Any, **kwargs: Any) -> Any:
        shapes, loc, scale, is_valid = _parsed(dist, args, kwargs)
        with np.errstate(all="ignore"):
            return np.where(is_valid, f(*_moments(dist, shapes), loc, scale), np.nan)[()]

    return answer


def _entropy(original: Callable[..., Any], dist: Any, *args: Any, **kwargs: Any) -> Any:
    shapes, _, scale, is_valid = _parsed(dist, args, kwargs)
    if not states(dist, "_entropy"):
        raise refused(dist, "entropy")
    with np.errstate(all="ignore"):
        value = dist._entropy(*shapes)
        return np.where(is_valid, value if hasattr(dist, "pmf") else value + np.log(scale), np.nan)[()]


_ANSWERS: dict[str, Callable[..., Any]] = {
    "median": _median,
    "interval": _interval,
    "mean": _of_moments(lambda mean, variance, loc, scale: mean * scale + loc),
    "var": _of_moments(lambda mean, variance, loc, scale: variance * scale**2),
    "std": _of_moments(lambda mean, variance, loc, scale: np.sqrt(variance) * scale),
    "entropy": _entropy,
}
_INFRASTRUCTURE = "scipy.stats._distn_infrastructure"
TABLE = [
    *[StandIn(f"{_INFRASTRUCTURE}:rv_generic", name, answer) for name, answer in _ANSWERS.items()],
    StandIn(f"{_INFRASTRUCTURE}:rv_discrete", "entropy", _entropy),
    *[
        StandIn(f"{_INFRASTRUCTURE}:{kind}", name, _quantile(name))
        for kind in ("rv_continuous", "rv_discrete")
        for name in ("ppf", "isf")
    ],
]
