"""Ways along which a log-likelihood rises without end, seen from where a fit has stopped."""

import warnings
from collections.abc import Iterator
from typing import Final, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from tapegrad.errors import NonFiniteWarning
from tapegrad.mle.climb.refit import refit
from tapegrad.mle.climb.rounding import allowed
from tapegrad.mle.climb.surfaces import Supported
from tapegrad.mle.estimate import Estimate
from tapegrad.mle.matrices import to_unit_diagonal
from tapegrad.mle.model.model import Model

Array: TypeAlias = npt.NDArray[np.float64]

# Of the information scaled to a unit diagonal: an eigenvalue of this size is one of rounding.
SINGULAR: Final = 1e-10
# How far a direction is followed, outwards and back, in units of the parameters' sizes.
_OUTWARDS: Final = 4.0 ** np.arange(-4.0, 6.0)
_INWARDS: Final = np.array([*4.0 ** np.arange(-4.0, 0.0), 0.5, *(1.0 - 4.0 ** -np.arange(1.0, 26.0))])
# How often it must have been seen further out, and what it must have gained altogether.
_SEEN: Final = 3
_GAIN: Final = 1e-6
# What hides a log-likelihood, in units of the rounding that a search puts up with.
_HIDDEN: Final = 10.0
# A fall that need not be followed further, one that others may make up for, and what is left then.
_ENOUGH: Final = 10.0
_FALL: Final = 1e-2
_MADE_UP: Final = 1e-6
_ROUNDING: Final = 1e-12  # share of a value that is rounding in any case


class Way(NamedTuple):
    """A direction along which the log-likelihood rises.

    Attributes
    ----------
    weights, units : ndarray, shape (q,)
        The direction in units in which the parameters can be compared, and those units.
    furthest : ndarray, shape (q,)
        The furthest point that was seen.
    is_ridge : bool
        Whether it rises only as long as the other parameters stand still.
    """

    weights: Array
    units: Array
    furthest: Array
    is_ridge: bool


class Height(NamedTuple):
    """A value, and by how much rounding may have changed it."""

    height: float
    blur: float


class Site:
    """Where a fit has ended in its free coordinates, and the surface around it."""

    def __init__(self, result: Estimate, model: Model) -> None:
        self.result = result
        self.model = model
        self.surface = Supported(model.function)
        self.names = result.free_names
        self.information = result.observed_info
        self.x = result.free_estimates
        self.value: float
        self.gradient: Array
        self.value, self.gradient = model.function.value_and_grad_flat(self.x)
        self._here = self._height(self.x)

    def observations(self, x: Array) -> Array:
        """The log-likelihood of each observation at `x`."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NonFiniteWarning)
            values: Array = self.model.require_rows("pointwise values")(x)
            return values

    def followed(self, way: Array) -> tuple[Array, Array | None] | None:
        """The furthest point out along `way` up to which what was maximised rises, and one where it is lower.

        None if it does not rise.

        It must never fall, as far as it can be told from rounding, must have risen on the way here, and must
        have been seen some way further out, unless rounding hides it there.
        """
        with np.errstate(all="ignore"):
            unit = np.min((1.0 + np.abs(self.x)) / np.abs(way)) * way
            outside = self._outwards(unit)
            if outside is None:
                return None
            lowest, inside = min(self._inwards(unit), self._reset(way), key=lambda found: found[0])
        if not max(one.height for one in outside) - lowest > _GAIN + 10.0 * self._here.blur:
            return None
        furthest = self.x + (unit * _OUTWARDS[len(outside) - 2] if len(outside) > 1 else 0.0)
        return furthest, inside

    def _outwards(self, unit: Array) -> list[Height] | None:
        """The heights from here on, up to where rounding hides them; None if they fall, or end too soon."""
        heights = [self._here]
        for length in _OUTWARDS:
            one = self._height(self.x + length * unit)
            if not np.isfinite(one.height):
                return heights if len(heights) > _SEEN else None
            if one.height < heights[-1].height - heights[-1].blur - one.blur:
                return None
            if one.blur > max(_HIDDEN * allowed(one.height), heights[-1].blur):
                break
            heights.append(one)
        return heights

    def _inwards(self, unit: Array) -> tuple[float, Array | None]:
        """How low it is on the way here, and where it first is clearly lower.

        It falls by a little at first, and what lies beyond is of no concern.
        """
        before, inside = self._here, None
        for length in _INWARDS:
            x = self.x - length * unit
            one = self._height(x)
            if not one.height <= before.height + before.blur or before.height < self.value - _ENOUGH:
                break
            before = one
            if inside is None and one.height < self.value - _FALL:
                inside = x
        return before.height, inside

    def _reset(self, way: Array) -> tuple[float, Array | None]:
        """How low it is where a single coordinate was at the start; a way far out passes by too fast."""
        (moved,) = np.nonzero(way)
        if moved.size > 1:
            return np.inf, None
        x = self.x.copy()
        x[moved] = self.model.space.start[moved]
        height = self.surface.value_flat(x)
        if (x - self.x) @ way < 0.0 and height < self.value - _FALL:
            return height, x
        return np.inf, None

    def is_made_up(self, i: int, inside: Array | None) -> bool:
        """Whether the other parameters, at a maximum, make up for what coordinate `i` loses at `inside`."""
        if self.x.size == 1 or inside is None:
            return False
        with np.errstate(all="ignore"):
            there = refit(self.model, inside, {i: float(inside[i])})
        return there.converged and bool(there.llf >= self.value - _MADE_UP - self._here.blur)

    def _height(self, x: Array) -> Height:
        value = self.surface.value_flat(x)
        if not np.isfinite(value):
            return Height(np.nan, np.inf)
        return Height(value, self.model.function.rounding_flat(x) + _ROUNDING * (1.0 + abs(value)))


def is_ridge(site: Site, i: int) -> bool:
    """Whether coordinate `i` has wandered off along a ridge, where others make up for it."""
    way = np.zeros(site.x.size)
    way[i] = np.sign(site.x[i])
    found = site.followed(way) if way.any() else None
    return found is not None and site.is_made_up(i, found[1])


def ways_up(site: Site, rest: list[int]) -> Iterator[Way]:
    """Ways in the coordinates `rest` along which the log-likelihood rises without end."""
    block = np.ix_(rest, rest)
    scaled, scale = to_unit_diagonal(site.information[block])
    eigenvalues, vectors = np.linalg.eigh(scaled)
    slopes = vectors.T @ (scale * site.gradient[rest])
    uphill = vectors @ (slopes / np.maximum(np.abs(eigenvalues), SINGULAR))
    soft = vectors[:, eigenvalues < SINGULAR].T
    came = (site.x - site.model.space.start)[rest] / scale
    candidates = [*(sign * row for row in (*np.eye(len(rest)), *soft) for sign in (1.0, -1.0)), uphill, came]
    for weights in candidates:
        way = np.zeros(site.x.size)
        way[rest] = weights * scale
        if not way.any() or not np.isfinite(way).all():
            continue
        found = site.followed(way)
        if found is not None:
            whole, units = np.zeros(site.x.size), np.ones(site.x.size)
            whole[rest], units[rest] = weights, scale
            (moved,) = np.nonzero(way)
            ridge = moved.size == 1 and site.is_made_up(int(moved[0]), found[1])
            yield Way(whole, units, found[0], ridge)
