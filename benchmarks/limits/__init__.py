"""Value and gradient written by hand in C: what a machine can do, compiled as tapegrad compiles its own C."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np

from tapegrad.backends.c.compiler import compiler
from tapegrad.backends.c.library import library

Theta = dict[str, Any]
Array = np.ndarray[Any, Any]

# Where the function of each model stands.
FILES: Final = {
    **dict.fromkeys(("normal", "student_t", "mixture", "logistic"), "rows.c"),
    **dict.fromkeys(("garch", "hmm_log", "local_level"), "loops.c"),
}
BLOCK: Final = 256  # rows of a matrix that stand together, as in rows.c


def has_limit(name: str) -> bool:
    """Whether a model was written by hand, and there is a compiler."""
    return name in FILES and compiler() is not None


@cache
def _library(file: str) -> ctypes.CDLL:
    return library(Path(__file__).with_name(file).read_text(encoding="ascii"))


def by_hand_in_c(name: str, columns: Sequence[Any], start: Theta) -> Callable[[Theta], tuple[float, Theta]]:
    """Value and gradient of a model on its columns, at parameters as in `start`."""
    function = getattr(_library(FILES[name]), name)
    function.restype = ctypes.c_double
    arrays = [
        in_blocks(column) if np.ndim(column) == 2 else np.ascontiguousarray(column) for column in columns
    ]
    theta, gradient = (np.zeros(sum(np.size(item) for item in start.values())) for _ in range(2))
    data = (ctypes.c_void_p * len(arrays))(*(array.ctypes.data for array in arrays))
    bound = [ctypes.c_long(len(columns[0])), data]
    bound += [ctypes.c_void_p(array.ctypes.data) for array in (theta, gradient)]
    places, first = {}, 0
    for key, item in start.items():
        places[key] = first if np.ndim(item) == 0 else slice(first, first + np.size(item))
        first += np.size(item)

    def call(at: Theta) -> tuple[float, Theta]:
        for key, place in places.items():
            theta[place] = at[key]
        value = function(*bound)
        return value, {
            key: gradient.item(place) if isinstance(place, int) else gradient[place].copy()
            for key, place in places.items()
        }

    call.kept = arrays  # type: ignore[attr-defined]
    return call


def in_blocks(matrix: Any) -> Array:
    """The rows of a matrix in blocks, column by column within each, with zeros behind the last."""
    rows, columns = matrix.shape
    count = -(-rows // BLOCK)
    whole = np.zeros((count * BLOCK, columns))
    whole[:rows] = matrix
    return np.ascontiguousarray(whole.reshape(count, BLOCK, columns).transpose(0, 2, 1))
