"""The optimisers: SciPy's and our own under one roof.

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

from tapegrad.errors import NonFiniteWarning
from tapegrad.function.record import line_that_raised
from tapegrad.mle.climb import ascent
from tapegrad.mle.matrices import warn
from tapegrad.recording.frames import location

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
# Those that go the same way whatever the units of the parameters are.
INVARIANT: Final = (NEWTON, BHHH)

_GRADIENT_TOLERANCE = 1e-5  # SciPy's own for BFGS


class Surface(Protocol):
    """What is maximised: a `TracedFunction` of a flat vector, or something with the same three methods."""

    def value_flat(self, vector: Array) -> float:
        """The value at a flat vector."""

    def value_and_grad_flat(self, vector: Array) -> tuple[float, Array]:
        """Value and gradient at a flat vector."""

    def hessian_flat(self, vector: Array) -> Any:
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

    def block(self, matrix: Array) -> Array:
        """The part of a matrix (q, q) that belongs to the moving coordinates."""
        return matrix[np.ix_(self._moving, self._moving)]

    def value_flat(self, vector: Array) -> float:
        """The value at a flat vector."""
        return self._surface.value_flat(self.whole(vector))

    def value_and_grad_flat(self, vector: Array) -> tuple[float, Array]:
        """Value and gradient at a flat vector."""
        value, gradient = self._surface.value_and_grad_flat(self.whole(vector))
        return value, gradient[self._moving]

    def hessian_flat(self, vector: Array) -> Array:
        """The Hessian at a flat vector."""
        return self.block(self._surface.hessian_flat(self.whole(vector)))


class Supported:
    """A surface that is NaN where the user's function raises an exception, which it tells once.

    The function itself runs in a search where a branch changes, and is traced anew.
    """

    def __init__(self, surface: Surface) -> None:
        self._surface = surface
        self._told = False

    def value_flat(self, vector: Array) -> float:
        """The value at a flat vector."""
        try:
            return self._surface.value_flat(vector)
        except Exception as error:
            self._tell(error)
            return math.nan

    def value_and_grad_flat(self, vector: Array) -> tuple[float, Array]:
        """Value and gradient at a flat vector."""
        try:
            return self._surface.value_and_grad_flat(vector)
        except Exception as error:
            self._tell(error)
            return math.nan, np.full(vector.size, np.nan)

    def hessian_flat(self, theta: Array) -> Any:
        """The Hessian at a flat vector."""
        try:
            return self._surface.hessian_flat(theta)
        except Exception as error:
            self._tell(error)
            return np.full((theta.size, theta.size), np.nan)

    def _tell(self, error: Exception) -> None:
        """Warn of an exception that the user's function has raised; raise any other again."""
        line = line_that_raised(error)
        if line is None:
            raise error
        if not self._told:
            self._told = True
            what = f"the log-likelihood raised {type(error).__name__}{location(line)}: {error}"
            warn(f"{what}. Where it raises counts as outside the support, as NaN does", NonFiniteWarning)


class Counted:
    """A surface that counts its evaluations, and does not repeat the latest.

    It is `Supported`.

    Attributes
    ----------
    nfev, njev, nhev : int
        Evaluations of the value, of the gradient (which come with a value), and of the Hessian.
    """

    def __init__(self, surface: Surface) -> None:
        self._surface = Supported(surface)
        self.nfev = self.njev = self.nhev = 0
        self._latest: tuple[bytes, tuple[float, Array]] | None = None
        self._latest_hessian: tuple[bytes, Array] | None = None

    def value_flat(self, vector: Array) -> float:
        """The value at a flat vector."""
        self.nfev += 1
        return self._surface.value_flat(vector)

    def value_and_grad_flat(self, vector: Array) -> tuple[float, Array]:
        """Value and gradient at a flat vector."""
        key = vector.tobytes()
        if self._latest is None or self._latest[0] != key:
            self.nfev += 1
            self.njev += 1
            self._latest = key, self._surface.value_and_grad_flat(vector)
        return self._latest[1]

    def hessian_flat(self, vector: Array) -> Array:
        """The Hessian at a flat vector."""
        key = vector.tobytes()
        if self._latest_hessian is None or self._latest_hessian[0] != key:
            self.nhev += 1
            self._latest_hessian = key, self._surface.hessian_flat(vector)
        return self._latest_hessian[1]


def is_finite(value: float, gradient: Array) -> bool:
    """Whether value and gradient are finite."""
    return math.isfinite(value) and bool(np.isfinite(gradient).all())


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
        Called after each iteration with the best point and the best log-likelihood so far. StopIteration ends
        the run.

    Attributes
    ----------
    best_x : ndarray of shape (q,)
        The best point seen, in the surface's coordinates.
    path : list of float
        The best log-likelihood so far, each time that it rises.
    nit : int
        The iterations that have been told to `end_iteration`.
    is_watched : bool
    """

    def __init__(
        self,
        surface: Surface,
        x: Array,
        value: float,
        outer_products: Callable[[Array], Array] | None = None,
        watch: Callable[[Array, float], None] | None = None,
    ) -> None:
        self._surface = surface
        self._watch = watch
        self.is_watched = watch is not None
        self._origin = x
        self._units: Array | None = None  # the surface's own
        self._latest: tuple[bytes, tuple[float, Array]] | None = None
        self.outer_products = outer_products
        self.best_x = x
        self._best = -value
        self.path = [value]
        self.nit = 0

    def take_units(self) -> float:
        """Count from the best point, in units in which the optimiser's first step has the right length.

        The curvature there gives each coordinate a unit, about a standard error. Many methods begin with a
        step of length 1, or trust their model that far. So all units are multiplied by the length of Newton's
        step in them (with the diagonal alone), if it is longer.

        Returns
        -------
        float
            By what they were multiplied.
        """
        x = self.best_x
        value, gradient = self._surface.value_and_grad_flat(x)
        curvature = np.abs(np.diag(self._surface.hessian_flat(x)))
        curvature = np.where(np.isfinite(curvature), curvature, 0.0)
        # Near a point of inflection a parabola reaches too far: none is to gain more than the value itself.
        steepness = np.maximum(np.sqrt(curvature), np.abs(gradient) / math.sqrt(2.0 * (1.0 + abs(value))))
        units = 1.0 / np.where(steepness > 0.0, steepness, 1.0)
        length = max(1.0, float(np.linalg.norm(units * gradient)))
        self._origin, self._units, self._latest = x, length * units, None
        return length

    @property
    def start(self) -> Array:
        """The best point in the coordinates that `value` and the others take."""
        return self.best_x if self._units is None else (self.best_x - self._origin) / self._units

    def _place(self, z: Array) -> Array:
        return z if self._units is None else self._origin + self._units * z

    def value(self, z: Array) -> float:
        """The value alone."""
        x = self._place(z)
        value = -self._surface.value_flat(x)
        if not math.isfinite(value):
            return self._bowl(x)[0]
        self._note(x, value)
        return value

    def value_and_grad(self, z: Array) -> tuple[float, Array]:
        """Value and gradient; SciPy asks for them one after the other, and gets the same."""
        key = z.tobytes()
        if self._latest is None or self._latest[0] != key:
            value, gradient = self._evaluated(self._place(z))
            self._latest = key, (value, gradient if self._units is None else gradient * self._units)
        return self._latest[1]

    def _evaluated(self, x: Array) -> tuple[float, Array]:
        value, gradient = self._surface.value_and_grad_flat(x)
        if not is_finite(value, gradient):
            return self._bowl(x)
        self._note(x, -value)
        return -value, -gradient

    def hessian(self, z: Array) -> Array:
        """The Hessian."""
        hessian: Array = -self._surface.hessian_flat(self._place(z))
        if self._units is not None:
            hessian = hessian * self._units * self._units[:, None]
        # Asked for at a point that has not been accepted yet, and then thrown away: any finite one will do.
        return hessian if np.isfinite(hessian).all() else np.eye(z.size)

    def end_iteration(self) -> None:
        """Count an iteration, and show it to who watches."""
        self.nit += 1
        if self._watch is not None:
            try:
                self._watch(self.best_x, -self._best)
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
    name = str(method).lower()
    name = SHORT_NAMES.get(name, name)
    if name not in (*OURS, *WITHOUT, *WITH_GRADIENT, *WITH_HESSIAN):
        ours = ", ".join((*SHORT_NAMES, *OURS))
        scipys = ", ".join(sorted({*WITHOUT, *WITH_GRADIENT, *WITH_HESSIAN} - {*SHORT_NAMES}))
        raise ValueError(f"no method {method!r}: choose one of {ours}, or SciPy's {scipys}")
    return name


# The objective is quiet by itself; SciPy's line searches may still overflow on their way.
@np.errstate(all="ignore")
def run(objective: Objective, method: str, maxiter: int | None, scaled: bool = False) -> Run:
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
    """
    try:
        return _run(objective, method, maxiter, scaled)
    except KeyboardInterrupt:
        message = "interrupted"
    except _StopError as stop:
        message = f"stopped by {stop}"
    exact = objective.is_watched or method in OURS
    return Run(objective.nit if exact else len(objective.path) - 1, message, stopped=True)


def _run(objective: Objective, method: str, maxiter: int | None, scaled: bool) -> Run:
    if method in INVARIANT:
        message = (ascent.newton if method == NEWTON else ascent.bhhh)(objective, maxiter)
        return Run(objective.nit, message)
    length = objective.take_units() if scaled else 1.0
    # In standard errors, as far as the curvature at the start tells, whose word is not good for many digits.
    tolerance = _GRADIENT_TOLERANCE * min(length, 1e3)
    if method == GRADIENT_ASCENT:
        message = ascent.gradient_ascent(objective, maxiter, tolerance)
        return Run(objective.nit, message)
    return _scipy(objective, method, maxiter, length, tolerance)


def _scipy(objective: Objective, method: str, maxiter: int | None, length: float, tolerance: float) -> Run:
    options: dict[str, Any] = {"gtol": tolerance} if method in _WITH_TOLERANCE else {}
    if maxiter is not None:
        options["maxfun" if method == "tnc" else "maxiter"] = maxiter  # TNC counts nothing else
    if method == "bfgs" and length > 1.0:
        options["hess_inv0"] = np.eye(objective.start.size) / length**2
    elif method == "l-bfgs-b":
        options["ftol"] = 1e-13  # SciPy's 2e-9 of the value may be many standard errors
    elif method in _WITH_RADIUS:
        options["max_trust_radius"] = np.inf  # SciPy's 1000 is too near for a parameter in the millions
    gradient = None if method in WITHOUT else lambda z: objective.value_and_grad(z)[1]
    result = minimize(
        objective.value if gradient is None else lambda z: objective.value_and_grad(z)[0],
        objective.start,
        method=method,
        jac=gradient,
        hess=objective.hessian if method in WITH_HESSIAN else None,
        callback=(lambda *_: objective.end_iteration()) if objective.is_watched else None,
        options=options,
    )
    return Run(int(result.get("nit", result.nfev)), str(result.message))  # COBYLA has no iterations
