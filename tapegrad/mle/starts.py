"""Where optimisers start: several random starts, and starts in phases."""

from collections.abc import Iterator, Mapping
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from tapegrad.mle.optimizers import Surface, is_finite
from tapegrad.mle.space import Space

Array: TypeAlias = npt.NDArray[np.float64]

_SPREAD = 2.0
_REDRAWS = 50


def starts(
    surface: Surface, first: Array, value: float, count: int, seed: int | None
) -> Iterator[tuple[Array, float]]:
    """The first start and its value, then random ones around it.

    Each coordinate is drawn from a normal distribution around the first start's, with a standard deviation of
    twice the first start's size, and at least 2. Where the surface is not finite, the draw is repeated with
    half the standard deviation; a start that is not found in this way is left out.

    Parameters
    ----------
    surface : Surface
    first : ndarray, shape (q,)
        In free coordinates.
    value : float
        The surface's value there.
    count : int
        How many, the first included.
    seed : int, optional
        Of the random draws.
    """
    yield first, value
    rng = np.random.default_rng(seed)
    scale = np.maximum(1.0, np.abs(first))
    for _ in range(count - 1):
        spread = _SPREAD
        for _ in range(_REDRAWS):
            start = first + spread * scale * rng.normal(size=first.size)
            value, gradient = surface.value_and_grad_flat(start)
            if is_finite(value, gradient):
                yield start, value
                break
            spread *= 0.5


def moving_by_phase(space: Space, phases: Mapping[str, int]) -> list[npt.NDArray[np.intp]]:
    """The free coordinates that move in each phase but the last, in which all do.

    Parameters
    ----------
    space : Space
    phases : mapping of str to int
        Labels of parameters, or of elements, and the phase in which they begin to be estimated; those that
        are not named begin in phase 1.

    Raises
    ------
    ValueError
        If a label is unknown or fixed, if a phase is not a whole number from 1 up, or if nothing moves in the
        first.
    """
    begins = np.ones(space.start.size, dtype=np.intp)
    for name, phase in phases.items():
        if phase != int(phase) or phase < 1:
            raise ValueError(f"phases: {name} must begin in phase 1, 2 and so on, not {phase!r}")
        begins[space.coordinates(name)] = phase
    if not (begins == 1).any():
        raise ValueError("phases: no parameter begins in phase 1; those that are not named do")
    return [np.flatnonzero(begins <= phase) for phase in np.unique(begins)[:-1]]
