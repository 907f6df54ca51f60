"""One-step-ahead residuals: each observation against its distribution given those before it."""

import itertools
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from tapegrad.function.trace import trace_quietly
from tapegrad.function.traced import TracedFunction
from tapegrad.marginal.joint import Joint
from tapegrad.marginal.surface import Marginal
from tapegrad.mle.estimate import Estimate
from tapegrad.mle.model.model import Model
from tapegrad.mle.tables import Table, Tabled

Array: TypeAlias = npt.NDArray[np.float64]

_STEPS: Final = 50
_NEGLIGIBLE: Final = 36.0  # how far below its peak a log-density adds nothing
_NODES, _SHARES = np.polynomial.legendre.leggauss(10)
# The panels of the integral, in standard deviations from the peak.
_EDGES: Final = np.array([0.0, 1.5, 3.2, 5.5, *(8.5 * 2.0 ** np.arange(12))])
# What the new observation is called, and which one it is, beside the user's own names.
_VALUE, _WHERE = "new observation", "place of the new observation"


@dataclass(frozen=True, eq=False, repr=False)
class OneStep(Tabled):
    """One-step-ahead residuals: standard normal and independent of each other if the model is right.

    Attributes
    ----------
    residuals : ndarray of shape (n,)
        In the order of the observations, whatever the order in which they were predicted.
    mean, sd : ndarray of shape (n,), or None
        By the method "gaussian": the prediction of each observation from those before it, and its standard
        deviation.
    below, upto : ndarray of shape (n,), or None
        By the method "generic": the probabilities, given those before it, of a smaller observation, and of
        one that is not larger. Of continuous observations both are the same.
    """

    residuals: Array
    mean: Array | None = None
    sd: Array | None = None
    below: Array | None = None
    upto: Array | None = None

    def table(self) -> Table:
        """Each observation's residual and prediction: print it, or take its HTML, LaTeX or Markdown."""
        columns = {"residual": self.residuals, "mean": self.mean, "sd": self.sd, "below": self.below}
        known = {
            name: column for name, column in {**columns, "up to": self.upto}.items() if column is not None
        }
        rows = zip(*(map("{:.4g}".format, column) for column in known.values()), strict=True)
        return Table(("", *known), tuple((str(i), *row) for i, row in enumerate(rows)), title=str(self))

    def __str__(self) -> str:
        r = self.residuals
        return (
            f"{r.size} one-step-ahead residuals: mean {r.mean():.4g}, standard deviation {r.std(ddof=1):.4g}"
        )

    __repr__ = __str__


def one_step_residuals(
    result: Estimate,
    data: str,
    *,
    keep: str = "keep",
    method: str = "gaussian",
    discrete: bool = False,
    support: tuple[float, float] | None = None,
    order: npt.ArrayLike | None = None,
    seed: int | None = None,
) -> OneStep:
    """One-step-ahead residuals, at the estimates.

    The log-likelihood must say which observations take part: it multiplies the log-density of each by an
    element of a further array of the data, as in ``(keep * norm.logpdf(y, x, sd)).sum()`` with
    ``data=dict(y=y, keep=np.ones(n))``. Random effects are integrated out anew for each number of
    observations. The time is proportional to the square of their number.

    K. Thygesen, C. Albertsen, C. Berg, K. Kristensen and A. Nielsen, "Validation of ecological state space
    models using the Laplace approximation", Environmental and Ecological Statistics 24 (2017).

    Parameters
    ----------
    result : FitResult
    data : str
        The name of the observations among the data.
    keep : str
        The name of the array of ones.
    method : {"gaussian", "generic"}
        "gaussian" takes the distribution of each observation given those before it for normal, with the
        place of its peak for the mean and the curvature there for the variance: exact for linear normal
        models, where it is that of the Kalman filter. "generic" integrates it, or sums it up.
    discrete : bool
        Whether observations are whole numbers, for "generic". Residuals are then drawn between the
        probabilities below and up to each (P. Dunn and G. Smyth 1996).
    support : (float, float), optional
        The range of the observations, for "generic": all numbers by default, and from 0 on for discrete ones.
    order : array_like of int, shape (n,), optional
        The order in which observations are predicted; by default as they stand.
    seed : int, optional
        For discrete observations.

    Returns
    -------
    OneStep

    Raises
    ------
    ValueError
        If `data` and `keep` are no data of the fit with the same shape, if `order` is no order, or if the
        density of an observation has no peak.

    Examples
    --------
    >>> import numpy as np
    >>> from tapegrad import fit
    >>> from tapegrad.stats import norm
    >>> y = np.array([0.8, 2.9, 0.3, 1.6, 4.4])
    >>> def joint(mu, log_sd, u, y, keep):  # y are equally correlated
    ...     return norm.logpdf(u, 0.0, 0.5) + (keep * norm.logpdf(y, mu + u, np.exp(log_sd))).sum()
    >>> start = dict(mu=0.0, log_sd=0.0, u=0.0)
    >>> result = fit(joint, start, random="u", data=dict(y=y, keep=np.ones(5)))
    >>> result.one_step_residuals("y").residuals.round(3)
    array([-0.741,  0.629, -1.042, -0.15 ,  1.614])
    """
    if method not in ("gaussian", "generic"):
        raise ValueError(f"method: 'gaussian' or 'generic', not {method!r}")
    model = result.require_model("one-step-ahead residuals")
    y = _observations(model, data, keep)
    places = np.arange(y.size) if order is None else np.asarray(order)
    if not np.array_equal(np.sort(places), np.arange(y.size)):
        raise ValueError(f"order: each of the numbers from 0 to {y.size - 1} once")
    density = _Density(model, result.free_estimates, data, keep, places)
    if method == "gaussian":
        peaks = np.array([density.require_peak(t, float(y[places[t]])) for t in range(y.size)])
        mean, sd = peaks[np.argsort(places)].T
        return OneStep((y - mean) / sd, mean, sd)
    default = (0.0, np.inf) if discrete else (-np.inf, np.inf)
    low, high = default if support is None else support
    tails = _discrete if discrete else _continuous
    shares = np.array([tails(density, t, low, high) for t in range(y.size)])[np.argsort(places)]
    below, upto = shares[:, 0] / shares.sum(axis=1), shares[:, :2].sum(axis=1) / shares.sum(axis=1)
    above = shares[:, 2] / shares.sum(axis=1)
    drawn = np.random.default_rng(seed).uniform(size=y.size) * (upto - below)
    # From the end that is nearer, so that far residuals keep their digits.
    residuals = np.where(below + drawn < 0.5, ndtri(below + drawn), -ndtri(above + (upto - below - drawn)))
    return OneStep(residuals, below=below, upto=upto)


def _observations(model: Model, data: str, keep: str) -> Array:
    known = ", ".join(model.data) or "none"
    for name in (data, keep):
        if name not in model.data:
            raise ValueError(
                f"{name} is none of the data of the fit ({known}): let the log-likelihood multiply the "
                f"log-density of each observation by an element of {keep}, and fit with "
                f"data=dict({data}={data}, {keep}=np.ones(n))"
            )
    y, ones = (np.asarray(model.data[name], dtype=np.float64) for name in (data, keep))
    if y.shape != ones.shape or not (ones == 1.0).all():
        raise ValueError(f"{keep} must be ones in the shape of {data}, {y.shape}")
    return y.ravel()


class _Peak(NamedTuple):
    """Where the density of an observation is highest, and its standard deviation by the curvature there."""

    mean: float
    sd: float


class _Density:
    """The log-density, up to a constant, of each observation given those before it.

    Parameters
    ----------
    model : Model
    free : ndarray of shape (q,)
        The estimates, which stay as they are.
    data, keep : str
        The names of the observations, and of what says which take part.
    places : ndarray of int, shape (n,)
        The order of the observations.
    """

    def __init__(
        self, model: Model, free: Array, data: str, keep: str, places: npt.NDArray[np.integer[Any]]
    ) -> None:
        self.y = np.asarray(model.data[data], dtype=np.float64)
        self._keep, self.places = keep, places
        self._function = _of_one(model, free, data)
        self._at = -1

    def function(self, t: int) -> TracedFunction | Marginal:
        """The log-likelihood of the first t + 1 observations, as a function of the last of them."""
        if t != self._at:
            where, kept = np.zeros(self.y.size), np.zeros(self.y.size)
            where[self.places[t]] = 1.0
            kept[self.places[: t + 1]] = 1.0
            shape = self.y.shape
            told = {_WHERE: where.reshape(shape), self._keep: kept.reshape(shape)}
            self._function, self._at = self._function.with_data(**told), t
        return self._function

    def value(self, t: int, z: float) -> float:
        """The log-density of observation t at z, up to a constant."""
        return float(self.function(t).value_flat(np.array([z])))

    def peak(self, t: int, start: float) -> _Peak | None:
        """Its highest point, by Newton's method; None where there is none that is like a parabola's."""
        function, z = self.function(t), start
        value, slope = function.value_and_grad_flat(np.array([z]))
        for _ in range(_STEPS):
            curvature = -float(function.hessian_flat(np.array([z]))[0, 0])
            if not curvature > 0.0:
                return None
            step = float(slope[0]) / curvature
            if step * step * curvature <= 1e-20:
                return _Peak(z, 1.0 / np.sqrt(curvature))
            for _ in range(_STEPS):
                new, new_slope = function.value_and_grad_flat(np.array([z + step]))
                if new >= value - 1e-12 * abs(value):
                    break
                step *= 0.5
            z, value, slope = z + step, new, new_slope
        return None

    def require_peak(self, t: int, start: float) -> _Peak:
        """The same.

        Raises
        ------
        ValueError
            If there is none.
        """
        found = self.peak(t, start)
        if found is None:
            raise ValueError(
                f"the density of observation {self.places[t]}, given those before it, has no peak that is "
                "like that of a normal distribution: method='generic' needs none"
            )
        return found

    def middle(self, t: int, y: float) -> _Peak:
        """Its peak, or without one the observation itself, and the way on which the density falls or rises by
        a factor of e."""
        found = self.peak(t, y)
        if found is None:
            slope = self.function(t).value_and_grad_flat(np.array([y]))[1]
            found = _Peak(y, 1.0 / abs(float(slope[0])))
        return found


def _of_one(model: Model, free: Array, data: str) -> TracedFunction | Marginal:
    """The log-likelihood at the estimates as a function of one observation; `_WHERE` has a 1 in its place."""
    given, division = model.specification, model.division
    pieces = given.space.free_structure.unravel(free)

    def total(**arguments: Any) -> Any:
        new, where = arguments.pop(_VALUE), arguments.pop(_WHERE)
        random = {} if division is None else {key: arguments.pop(key) for key in division.random_keys}
        arguments[data] = np.where(np.greater(where, 0.0), new, arguments[data])
        return np.sum(given.values({**pieces, **random}, arguments))

    total.__name__ = given.name
    total.__wrapped__ = given.loglik  # type: ignore[attr-defined]
    y = np.asarray(model.data[data], dtype=np.float64)
    told = {**model.data, data: y, _WHERE: np.zeros(y.shape)}
    start: dict[str, Any] = {_VALUE: float(y.ravel()[0])}
    if division is None:
        return trace_quietly(total, start, data=told)
    found = model.marginal.mode(free)
    whole = np.zeros(division.structure.size)
    whole[division.random] = found.u
    traced = trace_quietly(total, {**start, **division.start(whole)}, data=told)
    return model.marginal.like(Joint(traced, division.random_leaves(traced.structure)), found.u)


def _continuous(density: _Density, t: int, low: float, high: float) -> tuple[float, float, float]:
    """The integrals of the density below the observation, at it (0) and above it, up to a factor."""
    y = float(density.y.ravel()[density.places[t]])
    top, sd = density.middle(t, y)
    peak = density.value(t, top)

    def integral(sign: float, end: float) -> float:
        """From the observation to an end of the support."""
        marks = np.sort(np.concatenate([top + sd * _EDGES, top - sd * _EDGES, [y, end]]))
        marks = marks[np.isfinite(marks)]
        marks = marks[(sign * (marks - y) >= 0.0) & (sign * marks <= sign * end)]
        marks, total = marks if sign > 0.0 else marks[::-1], 0.0
        for left, right in itertools.pairwise(marks.tolist()):
            if sign * (left - top) > 0.0 and density.value(t, left) < peak - _NEGLIGIBLE:
                break
            half = 0.5 * abs(right - left)
            points = 0.5 * (left + right) + half * _NODES
            values = np.array([density.value(t, float(z)) for z in points])
            total += half * float(_SHARES @ np.exp(values - peak))
        return total

    return integral(-1.0, low), 0.0, integral(1.0, high)


def _discrete(density: _Density, t: int, low: float, high: float) -> tuple[float, float, float]:
    """The sums of the probabilities below the observation, at it and above it, up to a factor."""
    y = float(density.y.ravel()[density.places[t]])
    peak = density.value(t, y)

    def total(sign: float, end: float) -> float:
        values, z, highest = [], y + sign, peak
        while sign * (z - end) <= 0.0:
            values.append(density.value(t, z))
            highest = max(highest, values[-1])
            falling = len(values) > 1 and values[-1] < values[-2]
            if falling and values[-1] < highest - _NEGLIGIBLE:
                break
            z += sign
        return float(np.exp(np.array(values) - peak).sum())

    return total(-1.0, low), 1.0, total(1.0, high)
