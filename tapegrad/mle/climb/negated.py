"""Whether a function without a maximum is minus a log-likelihood, as `minimize` takes it."""

from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from tapegrad.function.record import definition
from tapegrad.function.traced import TracedFunction
from tapegrad.mle.climb.climbing import climb
from tapegrad.mle.climb.surfaces import Surface
from tapegrad.mle.matrices import is_definite
from tapegrad.mle.model.model import Model
from tapegrad.recording.frames import location

Array: TypeAlias = npt.NDArray[np.float64]

# No log-likelihood rises by that many times the size of its first value: log-densities end at 709.
_RUNS_OFF: Final = 1e8


class _Negative:
    """Minus a surface."""

    def __init__(self, surface: Surface) -> None:
        self._surface = surface

    def value_flat(self, vector: Array) -> float:
        return -self._surface.value_flat(vector)

    def value_and_grad_flat(self, vector: Array) -> tuple[float, Array]:
        value, gradient = self._surface.value_and_grad_flat(vector)
        return -value, -gradient

    def hessian_flat(self, theta: Array) -> Array:
        found: Array = -self._surface.hessian_flat(theta)
        return found


@np.errstate(all="ignore")
def looks_negated(model: Model, surface: Surface, value: float, end: float) -> str:
    """A question to the user whose function seems to be minus a log-likelihood; empty where it does not.

    Parameters
    ----------
    model : Model
        Of a search that has found no maximum.
    surface : Surface
        What was searched.
    value, end : float
        The values at its start and at its end.
    """
    ask = "did you return minus the log-likelihood? fit maximises, and"
    name = f"{model.name}{_written_at(model)}"
    instead = "return the log-likelihood itself, without the minus that minimize wants"
    start = model.space.start
    # A function that curves downwards everywhere is no minus log-likelihood.
    if not is_definite(-surface.hessian_flat(start)):
        lowest = climb(_Negative(surface), start)
        if lowest.converged:
            x = zip(model.space.names, model.space.natural(lowest.x), strict=True)
            at = ", ".join(f"{label} = {number:.4g}" for label, number in list(x)[:5])
            return f"{ask} {name} has a minimum at {at} instead of a maximum: {instead}"
    if end - value > _RUNS_OFF * (1.0 + abs(value)):
        return f"{ask} {name} grows from {value:.4g} to {end:.4g}, as no log-likelihood does: {instead}"
    return ""


def _written_at(model: Model) -> str:
    """Where the function is written, as far as that is known."""
    if isinstance(model.loglik, TracedFunction):
        return location(model.loglik.tape.entries[-1].source) if model.loglik.tape.entries else ""
    written = definition(model.loglik)
    return f" ({written.rpartition(' (')[2]}" if written.endswith(")") else ""
