"""Where optimisers start: whether one can start there, several random starts, and starts in phases."""

from collections.abc import Iterator, Mapping
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from tapegrad.mle.climb.surfaces import Surface, is_finite
from tapegrad.mle.model.model import Model
from tapegrad.mle.model.space import Space

Array: TypeAlias = npt.NDArray[np.float64]

_SPREAD = 2.0
_REDRAWS = 50


def value_at_start(model: Model, surface: Surface) -> float:
    """The value at the start, where it must be finite, differentiable and not constant.

    Parameters
    ----------
    model : Model
    surface : Surface
        The model's function, or one that passes on to it.

    Raises
    ------
    ValueError
        If it is not; the message names the step where the first NaN or infinity arises.
    """
    start = model.space.start
    value, gradient = surface.value_and_grad_flat(start)
    if is_finite(value, gradient) and gradient.any():
        return value
    natural = zip(model.space.names, model.space.values, strict=True)
    at = ", ".join(f"{name}={x:.6g}" for name, x in natural)
    what = "log-likelihood" if model.prior is None else "log-likelihood plus log-prior"
    if not np.isfinite(value):
        raise ValueError(
            f"the {what} is {value} at the start ({at}): start where it is finite, inside the "
            f"support of the data and of the parameters\n{model.function.explain(start)}"
        )
    slopes = zip(model.space.free_names, gradient, strict=True)
    bad = [name for name, slope in slopes if not np.isfinite(slope)]
    if bad:
        raise ValueError(
            f"the gradient of the {what} is not finite at the start ({at}) in {', '.join(bad)}: "
            f"start elsewhere, or check that it has a derivative there\n{model.function.explain(start)}"
        )
    if not surface.hessian_flat(start).any():
        raise ValueError(
            f"the {what} is constant around the start ({at}): gradient and Hessian are zero there. "
            "Check that there are data, that what it returns depends on the parameters, or start elsewhere"
        )
    return value


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
    if count == 1:
        return
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
    if not phases:
        return []
    begins = np.ones(space.start.size, dtype=np.intp)
    for name, phase in phases.items():
        if phase != int(phase) or phase < 1:
            raise ValueError(f"phases: {name} must begin in phase 1, 2 and so on, not {phase!r}")
        begins[space.coordinates(name)] = phase
    if not (begins == 1).any():
        raise ValueError("phases: no parameter begins in phase 1; those that are not named do")
    return [np.flatnonzero(begins <= phase) for phase in np.unique(begins)[:-1]]
