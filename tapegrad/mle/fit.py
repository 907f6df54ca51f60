"""Maximum-likelihood fits."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from tapegrad.function import TracedFunction, trace
from tapegrad.mle import optimizers
from tapegrad.mle.inference import (
    ConvergenceWarning,
    StandardErrorWarning,
    combination,
    is_definite,
    solve,
    why_not_definite,
)
from tapegrad.mle.result import FitResult

Array: TypeAlias = npt.NDArray[np.float64]

# Distances to the maximum, in standard errors: what Newton's steps aim at, and what passes for a maximum
# where rounding stops them earlier.
_AIM = 1e-9
_CLOSE = 1e-4
# Near a maximum each step squares the distance, so that a handful is enough wherever there is one.
_NEWTON_STEPS = 10


def fit(
    loglik: Callable[..., Any] | TracedFunction,
    params: Any,
    method: str = "bfgs",
    *,
    nobs: int | None = None,
    maxiter: int | None = None,
) -> FitResult:
    """Maximise a log-likelihood.

    The optimiser uses exact derivatives. Whatever it says, the fit then takes Newton steps with the exact
    Hessian as long as they come closer to the maximum, and calls itself converged only if they end at one:
    the gradient small relative to the curvature, and the Hessian negative definite. Standard errors come from
    that same Hessian.

    Parameters
    ----------
    loglik : callable or TracedFunction
        The log-likelihood (not its negative) in plain NumPy, or what `trace` made of it.
    params : float, array_like, or a nest of lists, tuples and dicts of them
        Where to start, in the structure that `trace` takes: a dict is passed as keyword arguments.
    method : str
        "bfgs", "lbfgs", "newton" (SciPy's trust-exact), "gradient_ascent", or any method of
        `scipy.optimize.minimize`. Upper and lower case are the same.
    nobs : int, optional
        Number of observations, for BIC. Where it is not given, it is the common length of the data, if they
        have one.
    maxiter : int, optional
        Limit on the optimiser's iterations, in its own count; its own default where not given.

    Returns
    -------
    FitResult
        Estimates, standard errors, tests and intervals, and `summary()`.

    Raises
    ------
    ValueError
        If there is no such method, if the log-likelihood or its gradient is not finite at the start, or if it
        is constant there.

    Warns
    -----
    StandardErrorWarning
        The Hessian is not negative definite at the end. The standard errors are NaN, and the message says
        along which parameters it is not.
    ConvergenceWarning
        The fit stopped short of a maximum.

    Examples
    --------
    >>> import numpy as np
    >>> from tapegrad import fit
    >>> from tapegrad.stats import expon
    >>> waits = np.array([0.8, 2.9, 0.3, 1.6, 4.4])
    >>> result = fit(lambda scale: expon.logpdf(waits, scale=scale).sum(), {"scale": 1.0})
    >>> round(result.params["scale"], 6), result.bse.round(6)  # the mean, and the mean / sqrt(5)
    (2.0, array([0.894427]))
    """
    optimizer = optimizers.resolve(method)
    tape = loglik if isinstance(loglik, TracedFunction) else trace(loglik, params)
    start = tape.ravel(params)
    objective = optimizers.Objective(tape, start, _value_at_start(tape, start))
    run = optimizers.run(objective, optimizer, maxiter)
    end = _polish(tape, objective.best_x)
    message = _verdict(end, run, tape.names)
    if not end.converged:
        category = ConvergenceWarning if end.definite else StandardErrorWarning
        warnings.warn(message, category, stacklevel=2)
    return FitResult(
        params=tape.unravel(end.x),
        x=end.x,
        names=tape.names,
        llf=end.llf,
        observed_info=end.information,
        nobs=tape.nobs if nobs is None else nobs,
        converged=end.converged,
        message=message,
        nit=run.nit + end.steps,
        nfev=objective.nfev,
        method=method,
        model=tape.tape.name,
    )


def _value_at_start(tape: TracedFunction, start: Array) -> float:
    """The log-likelihood at the start, where it must be finite, differentiable and not constant."""
    value, gradient = tape.value_and_grad_flat(start)
    at = ", ".join(f"{name}={x:.6g}" for name, x in zip(tape.names, start, strict=True))
    if not np.isfinite(value):
        raise ValueError(
            f"the log-likelihood is {value} at the start ({at}): start where it is finite, inside the "
            "support of the data and of the parameters"
        )
    bad = [name for name, slope in zip(tape.names, gradient, strict=True) if not np.isfinite(slope)]
    if bad:
        raise ValueError(
            f"the gradient of the log-likelihood is not finite at the start ({at}) in {', '.join(bad)}: "
            "start elsewhere, or check that the log-likelihood has a derivative there"
        )
    if not gradient.any() and not tape.hessian(start).any():
        raise ValueError(
            f"the log-likelihood is constant around the start ({at}): gradient and Hessian are zero there. "
            "Check that what it returns depends on the parameters, or start elsewhere"
        )
    return value


@dataclass(frozen=True)
class _End:
    """Where a fit ends: the distance to the maximum is in standard errors, NaN if there is none."""

    x: Array
    llf: float
    information: Array
    definite: bool
    converged: bool
    distance: float
    steps: int
    last_step: Array


def _polish(tape: TracedFunction, x: Array) -> _End:
    """Newton steps from `x` while each comes closer to the maximum, and whether they arrived."""
    value, gradient = tape.value_and_grad_flat(x)
    steps = 0
    while True:
        information = -tape.hessian(x)
        if not is_definite(information):
            return _End(x, value, information, False, False, np.nan, steps, np.full_like(x, np.nan))
        step = solve(information, gradient)
        distance = _distance(information, gradient)
        arrived = distance <= _AIM
        if arrived or steps == _NEWTON_STEPS:
            break
        new_x = x + step
        new_value, new_gradient = tape.value_and_grad_flat(new_x)
        # Written so that NaN is no improvement. A value lower by rounding alone is as good.
        as_high = new_value >= value - 1e-12 * (1.0 + abs(value))
        if not (as_high and _distance(information, new_gradient) < distance):
            arrived = distance <= _CLOSE
            break
        x, value, gradient, steps = new_x, new_value, new_gradient, steps + 1
    return _End(x, value, information, True, arrived, distance, steps, step)


def _distance(information: Array, gradient: Array) -> float:
    """How far the maximum is in standard errors, if the log-likelihood is a parabola."""
    return float(np.sqrt(gradient @ solve(information, gradient))) if np.isfinite(gradient).all() else np.inf


def _verdict(end: _End, run: optimizers.Run, names: Sequence[str]) -> str:
    if end.converged:
        return f"converged: {end.distance:.1g} standard errors from the maximum"
    if not end.definite:
        reason = f"no standard errors: {why_not_definite(end.information, names)}"
    elif end.steps == _NEWTON_STEPS:
        units = 1.0 / np.sqrt(np.diag(end.information))
        direction = combination(end.last_step / units, units, names)
        reason = f"not converged: the log-likelihood keeps rising along {direction}, perhaps without end"
    else:
        reason = f"not converged: still {end.distance:.2g} standard errors from a maximum"
    return f"{reason} (the optimiser stopped with: {run.message})"
