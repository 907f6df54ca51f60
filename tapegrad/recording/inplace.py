"""``x *= v`` for a plain array `x` and a traced `v`, where one variable alone holds `x`.

Python binds the variable to what the operator gives. So if nobody else can see the array, nobody can tell a
new traced array from the old one. Who else holds it is known by counting references.
"""

from __future__ import annotations

import dis
import sys
from collections.abc import Sequence
from types import FrameType
from typing import Any

import numpy as np

from tapegrad.ops.registry import FLOAT

_INPLACE_ADD = 13  # the argument of BINARY_OP from which on the operators are in-place ones


def held_alone(out: Any, frame: FrameType, seen: Sequence[Any]) -> bool:
    """Whether `out` is one float64 array, which an in-place operator of `frame` is about to bind anew.

    `seen` are arrays that tapegrad itself holds on to.
    """
    if not (isinstance(out, tuple) and len(out) == 1 and type(out[0]) is np.ndarray):
        return False
    if out[0].dtype != FLOAT or out[0].base is not None or not _is_inplace(frame):
        return False
    if not any(value is out[0] for value in frame.f_locals.values()):
        return False
    return _references(out) - sum(array is out[0] for array in seen) == _ALONE


def _is_inplace(frame: FrameType) -> bool:
    code, at = frame.f_code.co_code, frame.f_lasti
    is_operator = 0 <= at < len(code) and dis.opname[code[at]] == "BINARY_OP"
    return is_operator and code[at + 1] >= _INPLACE_ADD


def _references(out: tuple[Any, ...]) -> int:
    return sys.getrefcount(out[0])


class _Counter:
    """Counts the references to an array that one variable holds, as NumPy hands it over."""

    count = 0

    def __array_ufunc__(
        self, ufunc: np.ufunc, method: str, *inputs: Any, out: Any = None, **kwargs: Any
    ) -> Any:
        if sys._getframe(1).f_locals:  # up to Python 3.12, looking at variables makes one more reference
            self.count = _references(out)


def _counted() -> int:
    counter = _Counter()
    array: Any = np.zeros(1)
    array *= counter
    return counter.count


_ALONE = _counted()
