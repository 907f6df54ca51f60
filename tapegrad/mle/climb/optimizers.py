"""The optimisers: SciPy's and our own under one roof.

All of them see one `Objective`, the log-likelihood with its sign turned (SciPy minimises), and none of them
is believed: `fit` takes the best point the objective has seen, finishes with Newton steps and judges for
itself.
"""

from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

from tapegrad.mle.climb import ascent
from tapegrad.mle.climb.arrival import Arrival, Arrived
from tapegrad.mle.climb.objectives import Objective, StopError
from tapegrad.mle.matrices import to_unit_diagonal

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
_WITH_RADIUS: Final = ("dogleg", "trust-ncg", "trust-krylov", "trust-exact")
# Those that stop where no element of the gradient, or its length, exceeds the option `gtol`.
_WITH_TOLERANCE: Final = ("cg", "bfgs", "l-bfgs-b", *_WITH_RADIUS)
# Those that are stopped where Newton's steps do the rest.
_WITH_ARRIVAL: Final = ("bfgs", "l-bfgs-b")
# Those that go the same way whatever the units of the parameters are.
INVARIANT: Final = (NEWTON, BHHH)

_GRADIENT_TOLERANCE: Final = 1e-5  # SciPy's own for BFGS
# Of the curvature in units of its diagonal: with less, the first step would lead anywhere.
_LEAST_CURVATURE: Final = 1e-6


@dataclass(frozen=True)
class Run:
    """How an optimiser ended.

    Attributes
    ----------
    nit : int
        Its iterations; of one that is interrupted while nobody watches, how often the best value has risen.
    message : str
        Why it stopped, in its own words.
    stopped : bool
        Whether it was stopped from outside.
    """

    nit: int
    message: str
    stopped: bool = False


def resolve(method: str) -> str:
    """The name of the optimiser meant by `method`, in any case: ours, or SciPy's in lower case.

    Raises
    ------
    ValueError
        If there is none of that name; the message lists them all.
    """
    name = str(method).lower()
    name = SHORT_NAMES.get(name, name)
    if name not in (*OURS, *WITHOUT, *WITH_GRADIENT, *WITH_HESSIAN):
        ours = ", ".join((*SHORT_NAMES, *OURS))
        scipys = ", ".join(sorted({*WITHOUT, *WITH_GRADIENT, *WITH_HESSIAN} - {*SHORT_NAMES}))
        raise ValueError(f"no method {method!r}: choose one of {ours}, or SciPy's {scipys}")
    return name


# The objective is quiet by itself; SciPy's line searches may still overflow on their way.
@np.errstate(all="ignore")
def run(
    objective: Objective, method: str, maxiter: int | None, scaled: bool = False, curved: bool = False
) -> Run:
    """Run an optimiser from the best point of an objective, which keeps what it finds.

    An interrupt (Ctrl-C) ends the run, not the program.

    Parameters
    ----------
    objective : Objective
    method : str
        As `resolve` gives it.
    maxiter : int or None
    scaled : bool
        Whether to take the units of the curvature at the start; those in `INVARIANT` need none.
    curved : bool
        Whether BFGS is to begin with the curvature at the start, where it is that of a parabola with a top.
    """
    try:
        return _run(objective, method, maxiter, scaled, curved)
    except KeyboardInterrupt:
        message = "interrupted"
    except StopError as stop:
        message = f"stopped by {stop}"
    exact = objective.is_watched or method in OURS
    return Run(objective.nit if exact else len(objective.path) - 1, message, stopped=True)


def _run(objective: Objective, method: str, maxiter: int | None, scaled: bool, curved: bool) -> Run:
    if method in INVARIANT:
        message = (ascent.newton if method == NEWTON else ascent.bhhh)(objective, maxiter)
        return Run(objective.nit, message)
    length = objective.take_units() if scaled else 1.0
    # In standard errors, as far as the curvature at the start tells, whose word is not good for many digits.
    tolerance = _GRADIENT_TOLERANCE * min(length, 1e3)
    if method == GRADIENT_ASCENT:
        message = ascent.gradient_ascent(objective, maxiter, tolerance)
        return Run(objective.nit, message)
    inverse = None
    if method == "bfgs" and length > 1.0:
        inverse = np.eye(objective.start.size) / length**2
    elif method == "bfgs" and curved:
        inverse = _inverse(objective.hessian(objective.start))
    return _scipy(objective, method, maxiter, tolerance, inverse)


def _inverse(curvature: Array) -> Array | None:
    """The inverse of the curvature, None where something does not curve the right way, or hardly does."""
    scaled, scale = to_unit_diagonal(curvature)
    eigenvalues, vectors = np.linalg.eigh(scaled)
    if not eigenvalues[0] > _LEAST_CURVATURE:
        return None
    root = scale[:, None] * vectors / np.sqrt(eigenvalues)
    inverse: Array = root @ root.T
    return inverse


def _scipy(
    objective: Objective, method: str, maxiter: int | None, tolerance: float, inverse: Array | None
) -> Run:
    options: dict[str, Any] = {"gtol": tolerance} if method in _WITH_TOLERANCE else {}
    if maxiter is not None:
        options["maxfun" if method == "tnc" else "maxiter"] = maxiter  # TNC counts nothing else
    if inverse is not None:
        options["hess_inv0"] = inverse
    elif method == "l-bfgs-b":
        options["ftol"] = 1e-13  # SciPy's 2e-9 of the value may be many standard errors
    elif method in _WITH_RADIUS:
        options["max_trust_radius"] = np.inf  # SciPy's 1000 is too near for a parameter in the millions
    gradient = None if method in WITHOUT else lambda z: objective.value_and_grad(z)[1]
    arrival = Arrival(objective) if method in _WITH_ARRIVAL else None

    def callback(z: Any, *_: Any) -> None:
        if objective.is_watched:
            objective.end_iteration()
        if arrival is not None:
            arrival.look(z)

    try:
        result = minimize(
            objective.value if gradient is None else lambda z: objective.value_and_grad(z)[0],
            objective.start,
            method=method,
            jac=gradient,
            hess=objective.hessian if method in WITH_HESSIAN else None,
            callback=callback if objective.is_watched or arrival is not None else None,
            options=options,
        )
    except Arrived:
        assert arrival is not None
        return Run(arrival.nit, "the step is small")
    return Run(int(result.get("nit", result.nfev)), str(result.message))  # COBYLA has no iterations
