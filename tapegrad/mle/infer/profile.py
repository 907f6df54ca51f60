"""Profile likelihoods: the best log-likelihood for each value of a parameter, or of a function of them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from tapegrad.mle.climb.refit import refit
from tapegrad.mle.climb.surfaces import Supported
from tapegrad.mle.estimate import Estimate
from tapegrad.mle.infer.ends import end_of, top_of
from tapegrad.mle.infer.held import Held, hold, natural_at
from tapegrad.mle.levels import checked_alpha
from tapegrad.mle.model.model import Model
from tapegrad.mle.notices import warn
from tapegrad.mle.tables import Table, Tabled

Array: TypeAlias = npt.NDArray[np.float64]

# Of the signed root of the likelihood ratio between neighbouring points: where two would be further apart
# than this the steps are halved, where they are much nearer they are doubled.
_STEP: Final = 0.5
_MAX_STEPS: Final = 200
_FLAT_STEPS: Final = 25
_RESTARTS: Final = 5


class ProfileWarning(RuntimeWarning):
    """A profile likelihood is not what an interval by itself would make one believe."""


@dataclass(frozen=True, eq=False, repr=False)
class Profile(Tabled):
    """The profile likelihood of one parameter, or of one function of them.

    Attributes
    ----------
    name : str
        The parameter's, or the function's.
    values : ndarray of shape (k,)
        Its values, in increasing order; the estimate is one of them.
    llf : ndarray of shape (k,)
        The maximum of the log-likelihood over everything else at each value.
    roots : ndarray of shape (k,)
        Signed roots of the likelihood ratio, ``sign(value - estimate) sqrt(2 (max - llf))``: a straight line
        where Wald's interval is right.
    params : ndarray of shape (k, p)
        All parameters at each value.
    estimate : float
        Its maximum-likelihood estimate.
    interval : tuple of float
        The confidence interval at `alpha`. An end is infinite where the profile never falls below the limit,
        and the last possible value where the log-likelihood ends before that.
    alpha : float
    """

    name: str
    values: Array
    llf: Array
    roots: Array
    params: Array
    estimate: float
    interval: tuple[float, float]
    alpha: float

    @property
    def is_monotone(self) -> bool:
        """Whether the profile falls all the way on both sides of the estimate."""
        return bool((np.diff(self.roots) > -1e-6).all())

    def table(self) -> Table:
        """Estimate and interval: print it, or take its HTML, LaTeX or Markdown."""
        low, high = self.interval
        row = (self.name, f"{self.estimate:.6g}", f"{low:.6g} to {high:.6g}")
        return Table(("", "estimate", f"{100 * (1 - self.alpha):g}% profile interval"), (row,))

    def __str__(self) -> str:
        table = self.table()
        ((name, estimate, interval),) = table.rows
        return f"{name} = {estimate}, {table.header[2]} {interval}"

    __repr__ = __str__


class _Point(NamedTuple):
    """A value of the held quantity, the best free vector at this value, and the log-likelihood there."""

    value: float
    free: Array
    height: float
    converged: bool


class _Better(Exception):
    """A higher maximum was met on the way."""

    def __init__(self, free: Array) -> None:
        super().__init__()
        self.free = free


def profile(result: Estimate, name: str | Callable[..., Any], alpha: float = 0.05) -> Profile:
    """Profile one parameter, or one function of them, out to beyond its confidence interval.

    From the estimate the parameter is moved in steps, all others are fitted again at each, and the ends of
    the interval are then found between the points where the signed root of the likelihood ratio passes the
    normal quantile. No shape of the profile is assumed in this. Where a fit on the way comes out above the
    maximum, the profile starts anew from there.

    Parameters
    ----------
    result : FitResult
    name : str or callable
        A parameter, such as "mu" or "beta[2]"; or a function of the parameters in plain NumPy, as `delta`
        takes it, that returns one number.
    alpha : float
        One minus the confidence level of the interval.

    Returns
    -------
    Profile

    Raises
    ------
    ValueError
        If there is no such parameter, if it was fixed, or if the function does not depend on what is
        estimated; if the result was read from a file; if `alpha` is not between 0 and 1.

    Warns
    -----
    ProfileWarning
        If a better maximum was met, if values beyond the interval are as likely as those within, or if the
        other parameters have no maximum at some values.

    Examples
    --------
    >>> import numpy as np
    >>> from tapegrad import fit
    >>> from tapegrad.stats import expon
    >>> waits = np.array([0.8, 2.9, 0.3, 1.6, 4.4])
    >>> result = fit(lambda scale: expon.logpdf(waits, scale=scale).sum(), {"scale": 1.0})
    >>> print(result.profile("scale"))
    scale = 2, 95% profile interval 0.930545 to 5.57723
    >>> def beyond_3(scale):
    ...     return np.exp(-3.0 / scale)
    >>> print(result.profile(beyond_3))
    beyond_3 = 0.22313, 95% profile interval 0.0397989 to 0.583972
    """
    return profiles(result, [name], alpha)[0]


def profiles(result: Estimate, names: Sequence[str | Callable[..., Any]], alpha: float) -> list[Profile]:
    """Profiles of several parameters or functions, all of them about the same maximum."""
    return _about(result, names, alpha)[1]


def _about(
    result: Estimate, names: Sequence[str | Callable[..., Any]], alpha: float
) -> tuple[Array, list[Profile]]:
    """The maximum that profiles are about, that of the fit unless a better one is met, and the profiles."""
    model = result.require_model("a profile likelihood")
    limit = -float(ndtri(checked_alpha(alpha) / 2.0))
    free = result.free_estimates
    for _ in range(_RESTARTS):
        # What is wrong with a name is said before any work is done.
        held = [hold(model, result.names, name, free) for name in names]
        try:
            return free, [_profile(model, free, one, limit, alpha) for one in held]
        except _Better as better:
            free = _announced(result, model, better.free)
    raise RuntimeError(
        f"profiles keep meeting better maxima: fit {result.model} again, with several starts (n_starts=)"
    )


def intervals(result: Estimate, places: Sequence[int], alpha: float) -> list[tuple[float, float]]:
    """Profile intervals of parameters, by their places in the natural vector.

    Their ends are found directly, where the likelihood is a plain one there, and by walks along the profiles
    where not.
    """
    found = _direct(result, places, alpha)
    rest = [place for place in places if place not in found]
    top, walked = _about(result, [result.names[place] for place in rest], alpha)
    if top is not result.free_estimates:  # the others have to be about the better maximum as well
        rest, walked = list(places), profiles(result, [result.names[place] for place in places], alpha)
    found |= {place: curve.interval for place, curve in zip(rest, walked, strict=True)}
    return [found[place] for place in places]


def _direct(result: Estimate, places: Sequence[int], alpha: float) -> dict[int, tuple[float, float]]:
    """The intervals of those whose ends can be found without a walk."""
    model = result.require_model("a profile likelihood")
    limit = -float(ndtri(checked_alpha(alpha) / 2.0))
    surface, free = Supported(model.function), result.free_estimates
    top = top_of(surface, free, result.observed_info) if result.converged else None
    found: dict[int, tuple[float, float]] = {}
    if top is None:
        return found
    for place in places:
        coordinate = int(model.space.coordinate[place])
        ends = [end_of(surface, top, coordinate, sign, limit) for sign in (-1, 1)] if coordinate >= 0 else []
        shown = [natural_at(model, free, place, end) for end in ends if end is not None]
        if len(shown) == 2 and np.isfinite(shown).all():
            found[place] = (shown[0], shown[1])
    return found


def _announced(result: Estimate, model: Model, free: Array) -> Array:
    """The better maximum near `free`, after a warning that there is one."""
    found = refit(model, free)
    params = dict(zip(result.names, map(float, model.space.natural(found.free)), strict=True))
    at = ", ".join(f"{name}={value:.6g}" for name, value in params.items())
    warn(
        f"the profile met a better maximum, {found.llf:.6g} at {at}: it is now about that one; fit again "
        "from there",
        ProfileWarning,
    )
    return found.free


def _profile(model: Model, free: Array, held: Held, limit: float, alpha: float) -> Profile:
    top = _Point(held.at(free), free, model.function.value_flat(free), converged=True)
    sides = [_Side(held, top, sign, limit) for sign in (-1, 1)]
    ends = [side.walk() for side in sides]
    points = [*reversed(sides[0].points[1:]), *sides[1].points]
    heights = np.array([point.height for point in points])
    values = np.array([held.shown(point.free, point.value) for point in points])
    estimate = held.shown(free, top.value)
    _warn(held.name, sides)
    roots = np.sign(values - estimate) * np.sqrt(np.maximum(2.0 * (top.height - heights), 0.0))
    low, high = (held.shown(free, end) for end in ends)
    params = np.array([model.space.natural(point.free) for point in points])
    return Profile(held.name, values, heights, roots, params, estimate, (low, high), alpha)


def _warn(name: str, sides: "Sequence[_Side]") -> None:
    if not all(side.is_simple for side in sides):
        warn(
            f"the profile of {name} rises again beyond its interval: the values there are as likely as those "
            "within; look at the profile",
            ProfileWarning,
        )
    failed = sum(not point.converged for side in sides for point in side.points)
    if failed:
        warn(
            f"at {failed} of the values of {name} no maximum was found in the other parameters: the profile "
            "may lie too low there, and the interval be too short",
            ProfileWarning,
        )


class _Side:
    """One side of a profile: the points from the maximum outwards."""

    def __init__(self, held: Held, top: _Point, sign: int, limit: float) -> None:
        self.held = held
        self.top = top
        self.sign = sign
        self.limit = limit
        self.points = [top]
        self.is_simple = True

    def root(self, height: float) -> float:
        """The root of the likelihood ratio, positive on both sides; infinite where there is no likelihood."""
        return float(np.sqrt(max(2.0 * (self.top.height - height), 0.0))) if np.isfinite(height) else np.inf

    def walk(self) -> float:
        """Step outwards until well beyond the limit; the end of the interval."""
        end = np.inf * self.sign
        for inner, outer in self._steps():
            r, next_r = self.root(inner.height), self.root(outer.height)
            if r < self.limit <= next_r and np.isinf(end):
                end = self._crossing(inner, outer)
            if next_r < self.limit <= r:
                self.is_simple = False
            if np.isfinite(end) and next_r > 1.2 * self.limit + 0.4:
                break
        return float(end)

    def _steps(self) -> Iterator[tuple[_Point, _Point]]:
        """Neighbouring points, further and further out; the last one may have no likelihood."""
        step, flat = self._first_step(), 0
        smallest = 1e-9 * step
        point = self.top
        for _ in range(_MAX_STEPS):
            value = point.value + self.sign * step
            if not np.isfinite(value) or value == point.value:
                return
            new = self._fitted(value, [point])
            rise = abs(self.root(new.height) - self.root(point.height))
            if rise > 2.0 * _STEP and step > smallest + 1e-14 * abs(value):
                step *= 0.5
                continue
            if np.isfinite(new.height):
                self.points.append(new)
            yield point, new
            flat = flat + 1 if rise < 1e-3 else 0
            if flat == _FLAT_STEPS or not np.isfinite(new.height):
                return
            point = new
            step *= 2.0 if rise < 0.5 * _STEP else 1.0

    def _first_step(self) -> float:
        usual = _STEP * self.held.error
        return usual if np.isfinite(usual) and usual > 0.0 else 1e-2 * (1.0 + abs(self.top.value))

    def _crossing(self, inner: _Point, outer: _Point) -> float:
        """Where the root passes the limit between two points: secant steps, or halving where they fail."""
        tolerance = 1e-10 * (abs(inner.value) + abs(outer.value - inner.value))
        while abs(outer.value - inner.value) > tolerance:
            below, above = self.root(inner.height) - self.limit, self.root(outer.height) - self.limit
            share = below / (below - above) if np.isfinite(above) else 0.5
            middle = inner.value + min(max(share, 0.01), 0.99) * (outer.value - inner.value)
            new = self._fitted(middle, [inner, outer])
            gap = self.root(new.height) - self.limit
            if abs(gap) < 1e-9:
                return middle
            inner, outer = (new, outer) if gap < 0.0 else (inner, new)
        return inner.value

    def _fitted(self, value: float, near: list[_Point]) -> _Point:
        """The best fit with this value, from the neighbours and, if need be, the maximum."""
        best = _Point(value, self.top.free, -np.inf, converged=False)
        for start in [*near, self.top]:
            with np.errstate(all="ignore"):  # a fit that runs away may overflow on its way
                found = self.held.fitted(start.free, value)
            if np.isfinite(found.llf) and found.llf > best.height:
                best = _Point(value, found.free, found.llf, found.converged)
            if found.converged:
                break
        if best.height > self.top.height + 1e-6 * (1.0 + abs(self.top.height)):
            raise _Better(best.free)
        return best
