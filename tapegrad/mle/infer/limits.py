"""One-sided limits of a parameter, by its profile likelihood."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri

from tapegrad.mle.estimate import Estimate
from tapegrad.mle.infer.held import hold
from tapegrad.mle.infer.hypotheses import require_maximum
from tapegrad.mle.model.model import Model
from tapegrad.mle.tables import Table, Tabled

Array: TypeAlias = npt.NDArray[np.float64]

_STEPS: Final = 60


@dataclass(frozen=True)
class Limit(Tabled):
    """A one-sided limit of a parameter.

    Attributes
    ----------
    name : str
    value : float
        The limit; infinite where the profile likelihood never falls far enough.
    side : str
        "upper" or "lower".
    alpha : float
        One minus the confidence level.
    estimate : float
    kind : str
        "profile likelihood", or "CLs".
    """

    name: str
    value: float
    side: str
    alpha: float
    estimate: float
    kind: str

    def table(self) -> Table:
        """Estimate and limit: print it, or take its HTML, LaTeX or Markdown."""
        header = f"{100 * (1 - self.alpha):g}% {self.side} limit"
        row = (self.name, f"{self.estimate:.6g}", f"{self.value:.6g}")
        return Table(("", "estimate", header), (row,), notes=(f"by {self.kind}",))

    def __str__(self) -> str:
        sign = "<" if self.side == "upper" else ">"
        level = f"{100 * (1 - self.alpha):g}%"
        return f"{self.name} {sign} {self.value:.6g} at {level} confidence ({self.kind})"


def limit(
    result: Estimate,
    name: str | Callable[..., Any],
    alpha: float = 0.05,
    *,
    side: str = "upper",
    bound: float | None = None,
    background: Mapping[str, Any] | None = None,
) -> Limit:
    """A one-sided limit of a parameter, or of a function of the parameters, by its profile likelihood.

    It is where the signed root of the likelihood ratio passes the normal quantile of `alpha`, and not of
    ``alpha / 2`` as for an interval.

    Parameters
    ----------
    result : FitResult
    name : str or callable
        What to limit, see `FitResult.profile`.
    alpha : float
        One minus the confidence level.
    side : str
        "upper" or "lower".
    bound : float, optional
        The end of the range on the other side: of a rate that cannot be negative, 0. If the estimate lies
        beyond it, values are compared with the bound (the statistic ``q~`` of G. Cowan, K. Cranmer, E. Gross
        and O. Vitells, European Physical Journal C 71, 2011, equation 16).
    background : mapping of str to array_like, optional
        What the data of the fit are expected to be at the bound (their "Asimov data", at the nuisance
        parameters fitted there). The limit is then that of CLs: the p-value is divided by the probability of
        such a value without a signal, so that nothing is excluded that the data cannot tell from the bound
        (A. L. Read, Journal of Physics G 28, 2002), by the asymptotic formulae of the paper above.

    Returns
    -------
    Limit

    Raises
    ------
    ValueError
        If there is no such parameter, or it was fixed; if the fit has no maximum, or was read from a file; if
        `alpha` is not between 0 and 0.5; or if `background` comes without a bound, or with side "lower".

    Examples
    --------
    >>> import numpy as np
    >>> from tapegrad import fit
    >>> from tapegrad.stats import poisson
    >>> result = fit(lambda s: poisson.logpmf(np.array([3.0]), s + 1.0), dict(s=1.0))
    >>> print(result.limit("s", 0.1, bound=0.0))
    s < 4.79777 at 90% confidence (profile likelihood)
    """
    if side not in ("upper", "lower"):
        raise ValueError(f"side is 'upper' or 'lower', not {side!r}")
    if background is not None and (bound is None or side == "lower"):
        raise ValueError("background= is for upper limits with a bound=, such as bound=0.0")
    if not 0.0 < alpha < 0.5:
        raise ValueError(f"alpha of a limit is one minus its confidence level, below 0.5, not {alpha}")
    model = result.require_model("a limit")
    require_maximum(result)
    z = -float(ndtri(alpha))
    curve = _Curve(model, result, name, bound, 1.0 if side == "upper" else -1.0)
    if background is None:
        value = curve.crossing(lambda value: curve.root(value) - z)
        return Limit(curve.name, value, side, alpha, curve.estimate, "profile likelihood")
    assert bound is not None
    expected = _Curve(model.with_data(**background), result, name, bound, 1.0)
    expected.start_at(bound)

    def gap(value: float) -> float:
        tail, power = _p_values(curve.root(value), expected.root(value))
        return float(np.log(alpha * power) - np.log(tail)) if tail > 0.0 else np.inf

    return Limit(curve.name, curve.crossing(gap), side, alpha, curve.estimate, "CLs")


def _p_values(root: float, expected: float) -> tuple[float, float]:
    """The p-values with the signal and without it (equations 65 and 66 of that paper, and 59)."""
    if root <= expected or expected == 0.0:
        return float(ndtr(-root)), float(ndtr(expected - root))
    q, a = root**2, expected**2
    return float(ndtr(-(q + a) / (2.0 * expected))), float(ndtr(-(q - a) / (2.0 * expected)))


class _Curve:
    """The profile likelihood on one side of the estimate, or of the bound that lies before it.

    Attributes
    ----------
    name : str
    estimate : float
    """

    def __init__(
        self,
        model: Model,
        result: Estimate,
        name: str | Callable[..., Any],
        bound: float | None,
        sign: float,
    ) -> None:
        self._model, self._result, self._sign = model, result, sign
        self._place = None if callable(name) else result.names.index(name) if name in result.names else None
        free = result.free_estimates
        self._held = hold(model, result.names, name, free)
        self.name = self._held.name
        self.estimate = self._held.shown(free, self._held.at(free))
        self._frees = {self.estimate: free}
        self._top = model.function.value_flat(free)
        self._begin = self.estimate
        if bound is not None and sign * (self.estimate - bound) < 0.0:
            self.start_at(bound)

    def start_at(self, value: float) -> None:
        """Compare with this value instead of the estimate."""
        self._top, self._begin = self._height(value), value

    def root(self, value: float) -> float:
        """The root of the likelihood ratio of a value; infinite where there is no likelihood."""
        height = self._height(value)
        return float(np.sqrt(max(2.0 * (self._top - height), 0.0))) if np.isfinite(height) else np.inf

    def crossing(self, gap: Callable[[float], float]) -> float:
        """Where a rising function of the value passes 0; infinite where it does not."""
        low, step = self._begin, self._step()
        for _ in range(_STEPS):
            high = low + self._sign * step
            if gap(high) > 0.0:
                return float(brentq(lambda value: _finite(gap(value)), low, high, xtol=1e-9 * step))
            low, step = high, 1.5 * step
        return float(np.inf * self._sign)

    def _step(self) -> float:
        """A standard error, as far as there is one."""
        error = self._held.error if self._place is None else float(self._result.bse[self._place])
        return error if np.isfinite(error) and error > 0.0 else 0.1 * (1.0 + abs(self._begin))

    def _height(self, value: float) -> float:
        nearest = min(self._frees, key=lambda known: abs(known - value))
        with np.errstate(all="ignore"):  # a fit that runs away may overflow on its way
            found = self._held.fitted(self._frees[nearest], self._as_held(value))
        if found.converged:
            self._frees[value] = found.free
        return found.llf

    def _as_held(self, value: float) -> float:
        """The value of what is held: a parameter's free coordinate."""
        space = self._model.space
        if self._place is None or space.coordinate[self._place] < 0:
            return value
        natural = self._result.x.copy()
        natural[self._place] = value
        return float(space.free(natural)[space.coordinate[self._place]])


def _finite(gap: float) -> float:
    """For the search, which halves where nothing is known but the sign."""
    return min(gap, 1e6)
