"""What optimisers minimise: the log-likelihood with its sign turned, finite everywhere."""

import math
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from tapegrad.mle.climb.surfaces import Surface, is_finite

Array: TypeAlias = npt.NDArray[np.float64]


class StopError(Exception):
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
    at_best : tuple of float and ndarray, or None
        The surface's value and gradient there; None where the gradient was not asked for.
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
        self.at_best: tuple[float, Array] | None = None
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
        if -value == self._best and np.array_equal(x, self.best_x):
            self.at_best = value, gradient
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
                raise StopError(str(stop) or "the callback") from None

    def _note(self, x: Array, value: float) -> None:
        if value < self._best:
            self._best, self.best_x, self.at_best = value, x.copy(), None  # an optimiser may reuse its array
            self.path.append(-value)

    def _bowl(self, x: Array) -> tuple[float, Array]:
        height = 100.0 * (1.0 + abs(self._best))
        away = x - self.best_x
        return self._best + height, 2.0 * height * away / (away @ away)
