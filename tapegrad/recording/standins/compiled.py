"""numba: what it compiles is written in Python, which runs on traced values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tapegrad.recording.standins.mechanism import StandIn


def _as_written(original: Callable[..., Any], compiled: Any, *args: Any, **kwargs: Any) -> Any:
    return compiled.py_func(*args, **kwargs)


TABLE = [StandIn("numba.core.registry:CPUDispatcher", "__call__", _as_written)]
