"""pandas and polars: operators that ask the other operand for a plain array."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tapegrad.ops.linalg import matmul
from tapegrad.recording.buffers import unbuffered
from tapegrad.recording.standins.mechanism import StandIn
from tapegrad.recording.tracer import is_traced


def _dot(original: Callable[..., Any], frame: Any, other: Any) -> Any:
    other = unbuffered(other)
    return matmul(frame, other) if is_traced(other) else NotImplemented


def _operator(ufunc: np.ufunc) -> Callable[..., Any]:
    def answer(original: Callable[..., Any], series: Any, other: Any) -> Any:
        other = unbuffered(other)
        return ufunc(np.asarray(series), other) if is_traced(other) else NotImplemented

    return answer


# Operators of a polars Series convert what stands on their right side.
_OPERATORS = {
    "__add__": np.add,
    "__sub__": np.subtract,
    "__mul__": np.multiply,
    "__truediv__": np.true_divide,
    "__pow__": np.power,
    "__lt__": np.less,
    "__le__": np.less_equal,
    "__gt__": np.greater,
    "__ge__": np.greater_equal,
    "__eq__": np.equal,
    "__ne__": np.not_equal,
}

TABLE = [
    *(StandIn(f"pandas:{kind}", "dot", _dot) for kind in ("DataFrame", "Series")),
    *(StandIn("polars:Series", name, _operator(ufunc)) for name, ufunc in _OPERATORS.items()),
]
