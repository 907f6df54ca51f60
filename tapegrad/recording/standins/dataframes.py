"""pandas: the products of DataFrames and Series, which ask the other operand for a plain array."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tapegrad.ops.linalg import matmul
from tapegrad.recording.buffers import unbuffered
from tapegrad.recording.standins.mechanism import StandIn
from tapegrad.recording.tracer import is_traced


def _dot(original: Callable[..., Any], frame: Any, other: Any) -> Any:
    other = unbuffered(other)
    return matmul(frame, other) if is_traced(other) else NotImplemented


TABLE = [StandIn(f"pandas:{kind}", "dot", _dot) for kind in ("DataFrame", "Series")]
