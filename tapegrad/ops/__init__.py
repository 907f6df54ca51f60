"""Every op that may stand on a tape, each declared in one place."""

from tapegrad.ops import (
    arranging,
    broadcasting,
    choices,
    decompositions,
    deviances,
    elementwise,
    gammas,
    indexing,
    linalg,
    logic,
    products,
    reductions,
    shaping,
    sorting,
    special,
)
from tapegrad.ops.registry import NUMPY, OPS, Aval, Op, Recordable

__all__ = [
    "NUMPY",
    "OPS",
    "Aval",
    "Op",
    "Recordable",
    "arranging",
    "broadcasting",
    "choices",
    "decompositions",
    "deviances",
    "elementwise",
    "gammas",
    "indexing",
    "linalg",
    "logic",
    "products",
    "reductions",
    "shaping",
    "sorting",
    "special",
]
