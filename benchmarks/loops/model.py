"""What a loop model is, and the table of all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.random import Generator

Theta: TypeAlias = dict[str, Any]
Loglik: TypeAlias = Callable[..., Any]


@dataclass(frozen=True)
class Loop:
    """A log-likelihood on data of its own.

    Attributes
    ----------
    loglik : callable
        A plain Python loop, of the parameters.
    start : dict
    array : callable, optional
        The same as array code.
    y : ndarray, optional
        What is observed, for those who compute the same in another way.
    """

    loglik: Loglik
    start: Theta
    array: Loglik | None = None
    y: Any = None

    def plain(self, theta: Theta) -> float:
        """A call of the loop without tapegrad, on NumPy's numbers."""
        return float(self.loglik(**numbers(theta)))


@dataclass(frozen=True)
class LoopModel:
    """How a loop model is made for `n` observations.

    Attributes
    ----------
    name : str
    kind : str
        ``"rows"``: nothing is carried; ``"linear"``: a recurrence that is linear in what it carries;
        ``"nonlinear"``: another recurrence; ``"spelling"``: one of the other ways to write a loop.
    make : callable
        ``make(rng, n)`` draws the data.
    size : int
        The number of observations that the benchmark takes.
    """

    name: str
    kind: str
    make: Callable[[Generator, int], Loop]
    size: int

    def data(self, n: int) -> Loop:
        """The model with the same `n` observations each time."""
        return self.make(np.random.default_rng(20_190), n)


LOOPS: Final[dict[str, LoopModel]] = {}


def loop(kind: str, size: int = 10_000) -> Callable[[Callable[[Generator, int], Loop]], LoopModel]:
    """Put a model into the table, under the name of what makes it."""

    def enter(make: Callable[[Generator, int], Loop]) -> LoopModel:
        LOOPS[make.__name__] = LoopModel(make.__name__, kind, make, size)
        return LOOPS[make.__name__]

    return enter


def numbers(theta: Theta) -> Theta:
    """Parameters as a fit without tapegrad would pass them: NumPy's numbers and arrays."""
    return {
        name: np.float64(value) if np.ndim(value) == 0 else np.array(value) for name, value in theta.items()
    }
