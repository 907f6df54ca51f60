"""The optimisers: SciPy's under one roof, and gradient ascent.

All of them see one `Objective`, the log-likelihood with its sign turned (SciPy minimises), and none of them
is believed: `fit` takes the best point the objective has seen, finishes with Newton steps and judges for
itself.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

from tapegrad.function import TracedFunction

Array: TypeAlias = npt.NDArray[np.float64]

GRADIENT_ASCENT: Final = "gradient_ascent"
# Short names for the SciPy methods that most fits want. trust-exact is Newton's method in a trust region.
SHORT_NAMES: Final = {"bfgs": "bfgs", "lbfgs": "l-bfgs-b", "newton": "trust-exact"}
# SciPy's methods by the derivatives they take: none, the gradient, the gradient and the Hessian.
WITHOUT: Final = ("nelder-mead", "powell", "cobyla", "cobyqa")
WITH_GRADIENT: Final = ("cg", "bfgs", "l-bfgs-b", "tnc", "slsqp")
WITH_HESSIAN: Final = ("newton-cg", "dogleg", "trust-ncg", "trust-krylov", "trust-exact", "trust-constr")

_GRADIENT_TOLERANCE = 1e-5  # SciPy's own for BFGS
_ASCENT_STEPS = 10_000
_HALVINGS = 100


@dataclass(frozen=True)
class Run:
    """How an optimiser ended: in its own words, after so many iterations."""

    nit: int
    message: str


class Objective:
    """The negative log-likelihood as a function to be minimised, finite everywhere.

    Where the log-likelihood or its gradient is not finite, the objective is a bowl far above the best value
    seen, with its bottom at the best point seen. A line search that steps there turns back. Infinity would
    say the same, but not to every optimiser: given one, L-BFGS-B reports success where it stands, TNC gives
    up, and trust-exact raises.

    Parameters
    ----------
    tape : TracedFunction
        The log-likelihood.
    x : ndarray of shape (p,)
        The start.
    value : float
        The log-likelihood at the start, finite.
    """

    def __init__(self, tape: TracedFunction, x: Array, value: float) -> None:
        self._tape = tape
        self.best_x = x
        self._best = -value
        self.nfev = 0

    def value(self, x: Array) -> float:
        self.nfev += 1
        value = -self._tape.value_flat(x)
        if not np.isfinite(value):
            return self._bowl(x)[0]
        self._note(x, value)
        return value

    def value_and_grad(self, x: Array) -> tuple[float, Array]:
        self.nfev += 1
        value, gradient = self._tape.value_and_grad_flat(x)
        if not (np.isfinite(value) and np.isfinite(gradient).all()):
            return self._bowl(x)
        self._note(x, -value)
        return -value, -gradient

    def hessian(self, x: Array) -> Array:
        hessian = -self._tape.hessian(x)
        # Asked for at a point that has not been accepted yet, and then thrown away: any finite one will do.
        return hessian if np.isfinite(hessian).all() else np.eye(x.size)

    def _note(self, x: Array, value: float) -> None:
        if value < self._best:
            self._best, self.best_x = value, x.copy()  # an optimiser may reuse its array

    def _bowl(self, x: Array) -> tuple[float, Array]:
        height = 100.0 * (1.0 + abs(self._best))
        away = x - self.best_x
        return self._best + height, 2.0 * height * away / (away @ away)


def resolve(method: str) -> str:
    """The name of the optimiser meant by `method`, in any case: ours, or SciPy's in lower case.

    Raises
    ------
    ValueError
        If there is none of that name; the message lists them all.
    """
    name = method.lower()
    name = SHORT_NAMES.get(name, name)
    if name not in (GRADIENT_ASCENT, *WITHOUT, *WITH_GRADIENT, *WITH_HESSIAN):
        ours = ", ".join((*SHORT_NAMES, GRADIENT_ASCENT))
        scipys = ", ".join(sorted({*WITHOUT, *WITH_GRADIENT, *WITH_HESSIAN} - {*SHORT_NAMES}))
        raise ValueError(f"no method {method!r}: choose one of {ours}, or SciPy's {scipys}")
    return name


def run(objective: Objective, method: str, maxiter: int | None) -> Run:
    """Run the optimiser named by `resolve` from the best point of `objective`, which keeps what it finds."""
    # The objective is quiet by itself; SciPy's line searches may still overflow on their way.
    with np.errstate(all="ignore"):
        if method == GRADIENT_ASCENT:
            return _gradient_ascent(objective, _ASCENT_STEPS if maxiter is None else maxiter)
        return _scipy(objective, method, maxiter)


def _scipy(objective: Objective, method: str, maxiter: int | None) -> Run:
    function: Callable[[Array], Any] = objective.value if method in WITHOUT else objective.value_and_grad
    options: dict[str, float] = {}
    if maxiter is not None:
        options["maxfun" if method == "tnc" else "maxiter"] = maxiter  # TNC counts nothing else
    if method == "trust-exact":
        options["max_trust_radius"] = np.inf  # SciPy's 1000 is too near for a parameter in the millions
    result = minimize(
        function,
        objective.best_x.copy(),
        method=method,
        jac=method not in WITHOUT,
        hess=objective.hessian if method in WITH_HESSIAN else None,
        options=options,
    )
    return Run(int(result.get("nit", result.nfev)), str(result.message))  # COBYLA has no iterations


def _gradient_ascent(objective: Objective, maxiter: int) -> Run:
    """Steepest ascent with the step length of Barzilai and Borwein, halved until Armijo's rule holds.

    J. Barzilai and J. M. Borwein, "Two-point step size gradient methods", IMA Journal of Numerical Analysis 8
    (1988). Their length is 1 / curvature along the last step; where the curvature has the wrong sign there is
    none, and the last length is doubled.
    """
    x = objective.best_x
    value, gradient = objective.value_and_grad(x)
    length = 1.0 / max(float(np.linalg.norm(gradient)), _GRADIENT_TOLERANCE)
    for iteration in range(maxiter):
        if np.abs(gradient).max() <= _GRADIENT_TOLERANCE:
            return Run(iteration, "the gradient is small")
        slope = float(gradient @ gradient)
        for _ in range(_HALVINGS):
            new_x = x - length * gradient
            new_value, new_gradient = objective.value_and_grad(new_x)
            if new_value < value - 1e-4 * length * slope:
                break
            length *= 0.5
        else:
            return Run(iteration, "no step along the gradient raises the log-likelihood")
        step, change = new_x - x, new_gradient - gradient
        curvature = float(step @ change)
        length = float(step @ step) / curvature if curvature > 0.0 else 2.0 * length
        x, value, gradient = new_x, new_value, new_gradient
    return Run(maxiter, f"{maxiter} iterations were not enough")
