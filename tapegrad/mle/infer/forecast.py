"""Forecasts: a recursion carried on beyond the data, with the errors of its parameters and of its shocks."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from tapegrad.mle.estimate import Estimate
from tapegrad.mle.infer.delta import Derived, delta
from tapegrad.mle.infer.simultaneous import alpha_of_each
from tapegrad.mle.levels import normal_intervals
from tapegrad.nest import call

Array: TypeAlias = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False, repr=False)
class Forecasts(Derived):
    """Forecasts with their uncertainty.

    Attributes
    ----------
    variances : ndarray, shape (k,)
        Those of what is forecast if the parameters were known; 0 where the step gives none. They widen
        `predicted_se` and `conf_int`, and `bse` is that of the mean alone.
    """

    variances: Array = field(kw_only=True)

    @property
    def predicted_se(self) -> Array:
        """Standard errors of what is forecast: of the mean, and of the outcome about it, of shape (k,)."""
        return np.sqrt(self.bse**2 + self.variances)

    def conf_int(self, alpha: float = 0.05, *, simultaneous: str | None = None) -> Array:
        """Intervals for what is forecast, of shape (k, 2); see `Derived.conf_int`."""
        each = alpha_of_each(alpha, simultaneous, self.x.size, lambda: self.cov + np.diag(self.variances))
        return normal_intervals(self.x, self.predicted_se, each)


def forecast(
    result: Estimate,
    last: Callable[..., Any],
    step: Callable[..., Any],
    steps: int,
    names: Sequence[str] | None = None,
) -> Forecasts:
    """Carry a recursion on beyond the data, with errors by the delta method.

    Parameters
    ----------
    result : FitResult
    last : callable
        The state at the end of the data, of the parameters in their structure: what `tapegrad.scan` carried
        last, ``scan(...)[0]``.
    step : callable
        ``step(state, **params) -> (state, mean)``, or ``(state, mean, variance)``: the next state, and what
        is forecast from this one: a number. The variance is that of the outcome if the parameters were known.
        (Parameters that are no dict come as one argument, ``step(state, params)``.)
    steps : int
        How many.
    names : sequence of str, optional
        What to call the forecasts; ``t + 1``, ``t + 2`` and so on where not given.

    Returns
    -------
    Forecasts

    Raises
    ------
    ValueError
        If `steps` is less than 1, or the step returns something else.

    Examples
    --------
    >>> import numpy as np
    >>> import tapegrad as tg
    >>> from tapegrad.stats import norm
    >>> y = np.array([1.0, 0.6, 0.9, 0.2, -0.3, 0.1, 0.4, 0.2])
    >>> result = tg.fit(lambda a: norm.logpdf(y[1:], a * y[:-1], 0.5).sum(), dict(a=0.5))
    >>> ahead = result.forecast(lambda a: y[-1], lambda y, a: (a * y, a * y, 0.25), 2)
    >>> ahead.names, ahead.x.round(3)
    (('t + 1', 't + 2'), array([0.109, 0.06 ]))
    """
    if steps < 1:
        raise ValueError(f"steps is the number of steps beyond the data, 1 or more, not {steps}")

    def ahead(*positional: Any, **params: Any) -> Any:
        given = params if params else positional[0]
        state = call(last, given, {})
        means, variances = [], []
        for _ in range(steps):
            state, mean, variance = _stepped(step, state, given)
            means.append(mean)
            variances.append(variance)
        return {"means": means, "variances": variances}

    ahead.__wrapped__ = last  # type: ignore[attr-defined]
    both = delta(result, ahead)
    labels = tuple(f"t + {i + 1}" for i in range(steps)) if names is None else tuple(map(str, names))
    if len(labels) != steps:
        raise ValueError(f"{steps} forecasts need {steps} names, not {len(labels)}")
    x, variances = both.x[:steps], both.x[steps:]
    undetermined = None if both.undetermined is None else both.undetermined[:steps]
    return Forecasts(
        x, x, labels, both.jacobian[:steps], both.cov_estimates, undetermined, variances=variances
    )


def _stepped(step: Callable[..., Any], state: Any, params: Any) -> tuple[Any, Any, Any]:
    found = step(state, **params) if isinstance(params, dict) else step(state, params)
    if not (isinstance(found, tuple) and len(found) in (2, 3)):
        raise ValueError("a step of a forecast returns (state, mean), or (state, mean, variance)")
    new, mean, *rest = found
    if np.ndim(mean) or any(np.ndim(one) for one in rest):
        raise ValueError(
            "what a step forecasts is one number: take one element, and forecast others by themselves"
        )
    return new, mean, rest[0] if rest else 0.0 * mean
