"""Every op that may stand on a tape, each declared in one place."""

from tapegrad.ops import (
    broadcasting,
    elementwise,
    indexing,
    linalg,
    logic,
    reductions,
    shaping,
    special,
)
from tapegrad.ops.registry import NUMPY, OPS, Aval, Op, Recordable

__all__ = [
    "NUMPY",
    "OPS",
    "Aval",
    "Op",
    "Recordable",
    "broadcasting",
    "elementwise",
    "indexing",
    "linalg",
    "logic",
    "reductions",
    "shaping",
    "special",
]
