"""The optimisers: SciPy's under one roof, gradient ascent, Newton-Raphson and BHHH.

All of them see one `Objective`, the log-likelihood with its sign turned (SciPy minimises), and none of them
is believed: `fit` takes the best point the objective has seen, finishes with Newton steps and judges for
itself.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

Array: TypeAlias = npt.NDArray[np.float64]

GRADIENT_ASCENT: Final = "gradient_ascent"
NEWTON: Final = "newton"
BHHH: Final = "bhhh"
OURS: Final = (GRADIENT_ASCENT, NEWTON, BHHH)
# Other names: SciPy's methods that most fits want, and what ours are called elsewhere.
SHORT_NAMES: Final = {
    "bfgs": "bfgs",
    "lbfgs": "l-bfgs-b",
    "trust": "trust-exact",
    "gradient_descent": GRADIENT_ASCENT,
    "fisher_scoring": BHHH,
}
# SciPy's methods by the derivatives they take: none, the gradient, the gradient and the Hessian.
WITHOUT: Final = ("nelder-mead", "powell", "cobyla", "cobyqa")
WITH_GRADIENT: Final = ("cg", "bfgs", "l-bfgs-b", "tnc", "slsqp")
WITH_HESSIAN: Final = ("newton-cg", "dogleg", "trust-ncg", "trust-krylov", "trust-exact", "trust-constr")

_GRADIENT_TOLERANCE = 1e-5  # SciPy's own for BFGS
_DECREMENT_TOLERANCE = 1e-6  # in standard errors; Newton's steps at the end do the rest
_ASCENT_STEPS = 10_000
_NEWTON_STEPS = 200
_HALVINGS = 100
_SMALLEST_EIGENVALUE = 1e-8


class Surface(Protocol):
    """What is maximised: a `TracedFunction` of a flat vector, or something with the same three methods."""

    def value_flat(self, vector: Array) -> float:
        """The value at a flat vector."""

    def value_and_grad_flat(self, vector: Array) -> tuple[float, Array]:
        """Value and gradient at a flat vector."""

    def hessian(self, theta: Array) -> Any:
        """The Hessian at a flat vector, shape (q, q)."""


class Slice:
    """A surface with some coordinates held where they are: a surface over the others.

    Parameters
    ----------
    surface : Surface
    at : ndarray, shape (q,)
        The point whose coordinates are held.
    moving : ndarray of int
        The coordinates that are not.
    """

    def __init__(self, surface: Surface, at: Array, moving: npt.NDArray[np.intp]) -> None:
        self._surface = surface
        self._at = at
        self._moving = moving

    def whole(self, vector: Array) -> Array:
        """The point on the whole surface."""
        point = self._at.copy()
        point[self._moving] = vector
        return point

    def value_flat(self, vector: Array) -> float:
        """The value at a flat vector."""
        return self._surface.value_flat(self.whole(vector))

    def value_and_grad_flat(self, vector: Array) -> tuple[float, Array]:
        """Value and gradient at a flat vector."""
        value, gradient = self._surface.value_and_grad_flat(self.whole(vector))
        return value, gradient[self._moving]

    def hessian(self, theta: Array) -> Array:
        """The Hessian at a flat vector."""
        hessian: Array = self._surface.hessian(self.whole(theta))
        return hessian[np.ix_(self._moving, self._moving)]


def is_finite(value: float, gradient: Array) -> bool:
    """Whether value and gradient are finite."""
    # One sum tells in most cases; it is not finite for very large numbers, either.
    return math.isfinite(value + float(gradient @ gradient)) or bool(
        math.isfinite(value) and np.isfinite(gradient).all()
    )


@dataclass(frozen=True)
class Run:
    """How an optimiser ended: in its own words, after so many iterations; `stopped` if from outside."""

    nit: int
    message: str
    stopped: bool = False


class _StopError(Exception):
    """Carries a callback's StopIteration through SciPy, whose methods each do something else with it."""


class Objective:
    """The negative log-likelihood as a function to be minimised, finite everywhere.

    Where the log-likelihood or its gradient is not finite, the objective is a bowl far above the best value
    seen, with its bottom at the best point seen. A line search that steps there turns back. Infinity would
    say the same, but not to every optimiser: given one, L-BFGS-B reports success where it stands, TNC gives
    up, and trust-exact raises.

    Parameters
    ----------
    surface : Surface
        The log-likelihood.
    x : ndarray of shape (q,)
        The start.
    value : float
        The log-likelihood at the start, finite.
    outer_products : callable, optional
        The sum of the outer products of the observations' scores at a point, shape (q, q); BHHH wants it.
    watch : callable, optional
        Called after each iteration with its number, the best point and the best log-likelihood so far.
        StopIteration ends the run.
    """

    def __init__(
        self,
        surface: Surface,
        x: Array,
        value: float,
        outer_products: Callable[[Array], Array] | None = None,
        watch: Callable[[int, Array, float], None] | None = None,
    ) -> None:
        self._surface = surface
        self._watch = watch
        self.outer_products = outer_products
        self.best_x = x
        self._best = -value
        self.path = [value]  # the best log-likelihood, each time that it rises
        self.nfev = 0
        self.njev = 0
        self.nhev = 0
        self.nit = 0

    def value(self, x: Array) -> float:
        self.nfev += 1
        value = -self._surface.value_flat(x)
        if not math.isfinite(value):
            return self._bowl(x)[0]
        self._note(x, value)
        return value

    def value_and_grad(self, x: Array) -> tuple[float, Array]:
        self.nfev += 1
        self.njev += 1
        value, gradient = self._surface.value_and_grad_flat(x)
        if not is_finite(value, gradient):
            return self._bowl(x)
        self._note(x, -value)
        return -value, -gradient

    def hessian(self, x: Array) -> Array:
        self.nhev += 1
        hessian: Array = -self._surface.hessian(x)
        # Asked for at a point that has not been accepted yet, and then thrown away: any finite one will do.
        return hessian if np.isfinite(hessian).all() else np.eye(x.size)

    def end_iteration(self) -> None:
        """Count an iteration, and show it to who watches."""
        self.nit += 1
        if self._watch is not None:
            try:
                self._watch(self.nit, self.best_x, -self._best)
            except StopIteration as stop:
                raise _StopError(str(stop) or "the callback") from None

    def _note(self, x: Array, value: float) -> None:
        if value < self._best:
            self._best, self.best_x = value, x.copy()  # an optimiser may reuse its array
            self.path.append(-value)

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
    if name not in (*OURS, *WITHOUT, *WITH_GRADIENT, *WITH_HESSIAN):
        ours = ", ".join((*SHORT_NAMES, *OURS))
        scipys = ", ".join(sorted({*WITHOUT, *WITH_GRADIENT, *WITH_HESSIAN} - {*SHORT_NAMES}))
        raise ValueError(f"no method {method!r}: choose one of {ours}, or SciPy's {scipys}")
    return name


def run(objective: Objective, method: str, maxiter: int | None) -> Run:
    """Run the optimiser named by `resolve` from the best point of `objective`, which keeps what it finds.

    An interrupt (Ctrl-C) ends the run, not the program.
    """
    # The objective is quiet by itself; SciPy's line searches may still overflow on their way.
    with np.errstate(all="ignore"):
        try:
            if method == GRADIENT_ASCENT:
                return _gradient_ascent(objective, _ASCENT_STEPS if maxiter is None else maxiter)
            if method in (NEWTON, BHHH):
                return _scoring(objective, method, _NEWTON_STEPS if maxiter is None else maxiter)
            return _scipy(objective, method, maxiter)
        except KeyboardInterrupt:
            return Run(objective.nit, "interrupted", stopped=True)
        except _StopError as stop:
            return Run(objective.nit, f"stopped by {stop}", stopped=True)


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
        callback=lambda *_: objective.end_iteration(),
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
        found = _backtrack(objective, x, value, gradient, -length * gradient)
        if found is None:
            return Run(iteration, "no step along the gradient raises the log-likelihood")
        new_x, new_value, new_gradient = found
        step, change = new_x - x, new_gradient - gradient
        curvature = float(step @ change)
        taken = float(np.linalg.norm(step) / np.linalg.norm(gradient))
        length = float(step @ step) / curvature if curvature > 0.0 else 2.0 * taken
        x, value, gradient = new_x, new_value, new_gradient
        objective.end_iteration()
    return Run(maxiter, f"{maxiter} iterations were not enough")


def _scoring(objective: Objective, method: str, maxiter: int) -> Run:
    """Newton-Raphson, and the method of Berndt, Hall, Hall and Hausman: steps halved until Armijo's rule
    holds.

    The step is the gradient divided by a curvature: the exact Hessian, or the outer products of the scores,
    which estimate the information without second derivatives (E. K. Berndt et al., Annals of Economic and
    Social Measurement 3, 1974). Where the curvature is not positive its eigenvalues are taken by their size,
    so that every step goes upwards.
    """
    curvature = objective.hessian if method == NEWTON else objective.outer_products
    if curvature is None:
        raise ValueError(
            "bhhh (Fisher scoring) needs the scores of each observation: let the log-likelihood return an "
            "array of shape (n,), without the .sum() at its end"
        )
    x = objective.best_x
    value, gradient = objective.value_and_grad(x)
    for iteration in range(maxiter):
        step = -_solve_by_size(curvature(x), gradient)
        if np.sqrt(-gradient @ step) <= _DECREMENT_TOLERANCE:
            return Run(iteration, "the step is small")
        found = _backtrack(objective, x, value, gradient, step)
        if found is None:
            return Run(iteration, "no step raises the log-likelihood")
        x, value, gradient = found
        objective.end_iteration()
    return Run(maxiter, f"{maxiter} iterations were not enough")


def _solve_by_size(curvature: Array, gradient: Array) -> Array:
    """The gradient divided by the curvature, with eigenvalues by their size, in units of the diagonal."""
    diagonal = np.abs(np.diag(curvature))
    scale = 1.0 / np.sqrt(np.where(diagonal > 0.0, diagonal, 1.0))
    eigenvalues, vectors = np.linalg.eigh(curvature * np.outer(scale, scale))
    sizes = np.maximum(np.abs(eigenvalues), _SMALLEST_EIGENVALUE)
    step: Array = scale * (vectors @ ((vectors.T @ (scale * gradient)) / sizes))
    return step


def _backtrack(
    objective: Objective, x: Array, value: float, gradient: Array, step: Array
) -> tuple[Array, float, Array] | None:
    """The first of the step and its halves that satisfies Armijo's rule, or None."""
    slope = float(gradient @ step)
    length = 1.0
    for _ in range(_HALVINGS):
        new_x = x + length * step
        new_value, new_gradient = objective.value_and_grad(new_x)
        if new_value < value + 1e-4 * length * slope:
            return new_x, new_value, new_gradient
        length *= 0.5
    return None
