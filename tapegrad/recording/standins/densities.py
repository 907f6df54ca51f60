"""scipy.stats: the methods of its distributions that take a point.

Where tapegrad.stats has a distribution, that serves. Otherwise the formulas of SciPy's own distribution run
on all traced values: those outside the support are masked afterwards.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from tapegrad import stats
from tapegrad.errors import TraceError
from tapegrad.recording.frames import whereabouts
from tapegrad.recording.standins.formulas import formula
from tapegrad.recording.standins.mechanism import StandIn
from tapegrad.recording.standins.numpys import TABLE as OF_NUMPY
from tapegrad.recording.standins.numpys import traced_array
from tapegrad.stats.sums import log_sum_between

_INFRASTRUCTURE = "scipy.stats._distn_infrastructure"


def _method(name: str) -> Callable[..., Any]:
    def answer(original: Callable[..., Any], dist: Any, x: Any, *args: Any, **kwargs: Any) -> Any:
        own = getattr(own_distribution(dist), name, None)
        x, args = as_array(x), tuple(map(as_array, args))
        kwargs = {key: as_array(value) for key, value in kwargs.items()}
        if own is not None:
            return own(x, *args, **kwargs)
        if "_parse_args" not in vars(dist):
            return NotImplemented
        shapes, loc, scale = dist._parse_args(*args, **kwargs)
        return Standard(dist, x, shapes, loc, scale).result(name)

    return answer


def as_array(arg: Any) -> Any:
    """An array of a list, traced or plain; numbers and arrays as they are."""
    array = traced_array(arg)
    return np.asarray(array) if isinstance(array, (list, tuple)) else array


def own_distribution(dist: Any) -> Any:
    """The distribution of tapegrad.stats that is the one of SciPy, or None."""
    name = str(dist.name)
    theirs = getattr(sys.modules.get("scipy.stats"), name, None)
    return getattr(stats, name, None) if type(theirs) is type(dist) else None


class Standard:
    """The standard form of a distribution, at the standardised point."""

    def __init__(self, dist: Any, x: Any, shapes: Any, loc: Any, scale: Any) -> None:
        self.dist = dist
        self.is_discrete = hasattr(dist, "pmf")
        self.scale = scale
        z = x - loc if self.is_discrete else (x - loc) / scale
        shape = np.broadcast_shapes(np.shape(z), *(np.shape(value) for value in shapes))
        self.is_number = shape == ()
        if np.shape(z) != (shape or (1,)):
            z = np.broadcast_to(z, shape or (1,))
        self.z = z * 1.0 if np.asarray(0).dtype == getattr(z, "dtype", None) else z
        self.shapes = shapes
        with np.errstate(all="ignore"):
            self.is_valid = np.logical_and(dist._argcheck(*shapes), np.greater(scale, 0))
            self.low, self.high = formula(dist, "_get_support")(*shapes)

    def result(self, name: str) -> Any:
        """One of the methods."""
        with np.errstate(all="ignore"):
            value = self._inside() if name[-3:] in ("pdf", "pmf") else self._cumulative(name)
            if name in ("pdf", "pmf"):
                value = np.exp(value)
            value = np.where(np.logical_and(self.is_valid, np.logical_not(np.isnan(self.z))), value, np.nan)
        return value[0] if self.is_number else value

    def _inside(self) -> Any:
        """The logarithm of the density or mass."""
        z = self.z
        found = np.logical_and(np.less_equal(self.low, z), np.less_equal(z, self.high))
        if self.is_discrete:
            found = np.logical_and(found, self.dist._nonzero(z, *self.shapes))
        value = self._log_density(z, *self.shapes)
        return np.where(found, value if self.is_discrete else value - np.log(self.scale), -np.inf)

    def _log_density(self, z: Any, *shapes: Any) -> Any:
        """The same for points that are in the support."""
        kind = "pmf" if self.is_discrete else "pdf"
        if self._states(f"_log{kind}"):
            return formula(self.dist, f"_log{kind}")(z, *shapes)
        if not self._states(f"_{kind}"):
            raise self._refused(kind)
        return np.log(formula(self.dist, f"_{kind}")(z, *shapes))

    def _cumulative(self, name: str) -> Any:
        z, of_tail = self.z, name.endswith("sf")
        value = self._probability(name)
        above, below = (0.0, 1.0) if of_tail else (1.0, 0.0)
        if name.startswith("log"):
            above, below = (-np.inf, 0.0) if of_tail else (0.0, -np.inf)
        value = np.where(np.greater_equal(z, self.high), above, value)
        is_below = np.less(z, self.low) if self.is_discrete else np.less_equal(z, self.low)
        return np.where(is_below, below, value)

    def _probability(self, name: str) -> Any:
        if name.startswith("log"):
            if self._states(f"_{name}"):
                return formula(self.dist, f"_{name}")(self.z, *self.shapes)
            p = self._probability(name[3:])
            q = self._probability("sf" if name == "logcdf" else "cdf")
            return np.where(np.less(p, 0.5), np.log(p), np.log1p(-q))
        other = "cdf" if name == "sf" else "sf"
        if not self._states(f"_{name}"):
            if not self._states(f"_{other}"):
                return self._summed(name)
            return 1.0 - formula(self.dist, f"_{other}")(self.z, *self.shapes)
        return formula(self.dist, f"_{name}")(self.z, *self.shapes)

    def _summed(self, name: str) -> Any:
        """The sum of the masses up to a count, as SciPy has it too."""
        if not self.is_discrete:
            raise self._refused(name)
        if not np.all(np.isfinite(self.low)):
            raise self._refused(name)
        last = np.minimum(np.floor(self.z), self.high)
        below = np.exp(log_sum_between(self._log_density, self.low, last, *self.shapes))
        return 1.0 - below if name == "sf" else below

    def _states(self, name: str) -> bool:
        return states(self.dist, name)

    def _refused(self, name: str) -> TraceError:
        return refused(self.dist, name)


def states(dist: Any, name: str) -> bool:
    """Whether a distribution has a formula of its own, not the general one by integrals or by a search."""
    general = sys.modules[_INFRASTRUCTURE]
    base = general.rv_discrete if hasattr(dist, "pmf") else general.rv_continuous
    is_general = getattr(type(dist), name, None) is getattr(base, name, None)
    return not is_general or formula(dist, name) != getattr(dist, name)


def refused(dist: Any, name: str) -> TraceError:
    """What is said of a method without a formula."""
    return TraceError(
        f"scipy.stats.{dist.name} has no formula for {name}, and computes it by integrals, differences or a "
        f"search, which cannot be traced{whereabouts()}: write the formula, or take one of tapegrad.stats"
    )


_METHODS = {
    "rv_continuous": ("pdf", "logpdf", "cdf", "logcdf", "sf", "logsf"),
    "rv_discrete": ("pmf", "logpmf", "cdf", "logcdf", "sf", "logsf"),
}
TABLE = [
    *[
        StandIn(f"{_INFRASTRUCTURE}:{kind}", name, _method(name))
        for kind, names in _METHODS.items()
        for name in names
    ],
    *[  # names that SciPy has taken out of NumPy
        row._replace(owner=f"scipy.stats.{module}")
        for module in ("_distn_infrastructure", "_continuous_distns", "_discrete_distns")
        for row in OF_NUMPY
        if row.name == "asarray"
    ],
]
