"""What is climbed: surfaces over flat vectors, and surfaces made of others."""

import math
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from tapegrad.errors import NonFiniteWarning
from tapegrad.function.record import line_that_raised
from tapegrad.marginal.inner import InnerProblem
from tapegrad.mle.notices import warn
from tapegrad.recording.frames import location

Array: TypeAlias = npt.NDArray[np.float64]


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
        """Warn of an exception that the user's function has raised; raise any other again.

        Where random effects have no mode, there is no marginal log-likelihood, as outside the support.
        """
        if isinstance(error, InnerProblem):
            return
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
