"""Optimisers of our own: gradient ascent, Newton-Raphson, and the method of Berndt, Hall, Hall and Hausman.

Each minimises an `Objective`, the negative log-likelihood, and says why it stopped.
"""

from collections.abc import Callable
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from tapegrad.mle.climb.objectives import Objective
from tapegrad.mle.matrices import to_unit_diagonal

Array: TypeAlias = npt.NDArray[np.float64]

_DECREMENT_TOLERANCE: Final = 1e-6  # in standard errors; Newton's steps at the end do the rest
_ASCENT_STEPS: Final = 10_000
_NEWTON_STEPS: Final = 200
_HALVINGS: Final = 100
_SMALLEST_EIGENVALUE: Final = 1e-8


def gradient_ascent(objective: Objective, maxiter: int | None, tolerance: float) -> str:
    """Steepest ascent with the step length of Barzilai and Borwein, halved until Armijo's rule holds.

    J. Barzilai and J. M. Borwein, "Two-point step size gradient methods", IMA Journal of Numerical Analysis 8
    (1988). Their length is 1 / curvature along the last step; where the curvature has the wrong sign there is
    none, and the last length is doubled. It stops where no element of the gradient exceeds `tolerance`.
    """
    limit = _ASCENT_STEPS if maxiter is None else maxiter
    x = objective.start
    value, gradient = objective.value_and_grad(x)
    length = 1.0 / max(float(np.linalg.norm(gradient)), tolerance)
    for _ in range(limit):
        if np.abs(gradient).max() <= tolerance:
            return "the gradient is small"
        found = _backtrack(objective, x, value, gradient, -length * gradient)
        if found is None:
            return "no step along the gradient raises the log-likelihood"
        new_x, new_value, new_gradient = found
        step, change = new_x - x, new_gradient - gradient
        curvature = float(step @ change)
        taken = float(np.linalg.norm(step) / np.linalg.norm(gradient))
        length = float(step @ step) / curvature if curvature > 0.0 else 2.0 * taken
        x, value, gradient = new_x, new_value, new_gradient
        objective.end_iteration()
    return _limited(limit)


def newton(objective: Objective, maxiter: int | None) -> str:
    """Newton-Raphson: steps by the exact Hessian, halved until Armijo's rule holds."""
    return _scoring(objective, objective.hessian, maxiter)


def bhhh(objective: Objective, maxiter: int | None) -> str:
    """Steps by the outer products of the scores, which estimate the information, halved until Armijo's rule
    holds.

    E. K. Berndt, B. H. Hall, R. E. Hall and J. A. Hausman, Annals of Economic and Social Measurement 3
    (1974). Fisher's scoring takes the expected information in their place, which nobody can read off a
    log-likelihood.

    Raises
    ------
    ValueError
        If there are no scores, because the log-likelihood is one number.
    """
    if objective.outer_products is None:
        raise ValueError(
            "bhhh (Fisher scoring) needs the scores of each observation: let the log-likelihood return an "
            "array of shape (n,), without the .sum() at its end"
        )
    return _scoring(objective, objective.outer_products, maxiter)


def _scoring(objective: Objective, curvature: Callable[[Array], Array], maxiter: int | None) -> str:
    """Where the curvature is not positive its eigenvalues are taken by their size, so that every step goes
    upwards."""
    limit = _NEWTON_STEPS if maxiter is None else maxiter
    x = objective.start
    value, gradient = objective.value_and_grad(x)
    for _ in range(limit):
        step = -_solve_by_size(curvature(x), gradient)
        if np.sqrt(-gradient @ step) <= _DECREMENT_TOLERANCE:
            return "the step is small"
        found = _backtrack(objective, x, value, gradient, step)
        if found is None:
            return "no step raises the log-likelihood"
        x, value, gradient = found
        objective.end_iteration()
    return _limited(limit)


def _limited(limit: int) -> str:
    return f"{limit} iterations were not enough"


def _solve_by_size(curvature: Array, gradient: Array) -> Array:
    """The gradient divided by the curvature, with eigenvalues by their size, in units of the diagonal."""
    scaled, scale = to_unit_diagonal(curvature)
    eigenvalues, vectors = np.linalg.eigh(scaled)
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
