"""What elementwise ops are tried on: the table of shapes, and numbers within their domains."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from tapegrad.ops.registry import Shape

_UNARY: list[tuple[Shape, ...]] = [((),), ((3,),), ((2, 3),), ((2, 1, 3),), ((0,),)]
_BINARY: list[tuple[Shape, ...]] = [
    ((), ()),
    ((3,), ()),
    ((), (3,)),
    ((2, 3), (3,)),
    ((2, 1), (1, 3)),
    ((2, 1, 3), (4, 1)),
    ((0,), (1,)),
]


def shapes_for(count: int) -> list[tuple[Shape, ...]]:
    """The shapes of so many inputs."""
    if count == 1:
        return _UNARY
    return [(first, *([second] * (count - 1))) for first, second in _BINARY]


def draw(
    domain: Sequence[tuple[float, float]], shapes: Sequence[Shape], seed: int, name: str
) -> tuple[Any, ...]:
    """Inputs of an op of this name, uniform within its domain."""
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    return tuple([rng.uniform(low, high, shape) for shape, (low, high) in zip(shapes, domain, strict=True)])
