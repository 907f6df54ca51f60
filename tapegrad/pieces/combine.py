"""The results of pieces become one, always in the same order: the bits depend on how rows are cut."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from tapegrad.plan.split import Combined

Outputs: TypeAlias = list[Any]

_PAIRS: dict[Combined, Callable[[Any, Any], Any]] = {
    Combined.SUM: np.add,
    Combined.MAXIMUM: np.maximum,
    Combined.MINIMUM: np.minimum,
    Combined.LOGSUMEXP: np.logaddexp,
    Combined.ANY: np.logical_or,
    Combined.ALL: np.logical_and,
}


def merged(parts: Sequence[Outputs], how: Sequence[Combined], axes: Sequence[int | None]) -> Outputs:
    """The outputs of all pieces as one, pair by pair: sums then lose digits by the logarithm of their number.

    Parameters
    ----------
    parts : sequence of lists
        The outputs of each piece, in the order of the rows.
    how : sequence of Combined
        For each output, how those of the pieces become one.
    axes : sequence of int or None
        For each output that is kept the axis along the rows.
    """
    return [
        _one([part[i] for part in parts], way, axis)
        for i, (way, axis) in enumerate(zip(how, axes, strict=True))
    ]


def _one(values: list[Any], how: Combined, axis: int | None) -> Any:
    if how is Combined.KEPT:
        return values[0] if len(values) == 1 else np.concatenate(values, axis=axis)
    pair = _PAIRS[how]
    while len(values) > 1:
        pairs = [pair(values[i], values[i + 1]) for i in range(0, len(values) - 1, 2)]
        values = pairs + values[len(values) - len(values) % 2 :]
    return values[0]
