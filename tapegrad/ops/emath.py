"""NumPy's `emath`, which gives complex numbers where NumPy gives NaN: on the real side, which is guarded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tapegrad.ops.elementwise import absolute, log, log2, log10, power, sqrt
from tapegrad.ops.logic import less
from tapegrad.ops.reductions import any as any_along
from tapegrad.ops.registry import implements
from tapegrad.ops.trigonometric import arccos, arcsin, arctanh


def _real(name: str, is_complex: Any) -> None:
    """Refuse what leaves the real numbers; a guard holds the rest there."""
    if bool(any_along(is_complex)):
        raise NotImplementedError(
            f"np.emath.{name} gives complex numbers here, and tapegrad computes with real ones: choose with "
            "np.where before"
        )


def _of_positive(name: str, rule: Callable[..., Any]) -> Callable[..., Any]:
    def real(x: Any) -> Any:
        _real(name, less(x, 0.0))
        return rule(x)

    return real


def _within_one(name: str, rule: Callable[..., Any]) -> Callable[..., Any]:
    def real(x: Any) -> Any:
        _real(name, less(1.0, absolute(x)))
        return rule(x)

    return real


implements(np.emath.sqrt)(_of_positive("sqrt", sqrt))
implements(np.emath.log)(_of_positive("log", log))
implements(np.emath.log2)(_of_positive("log2", log2))
implements(np.emath.log10)(_of_positive("log10", log10))
implements(np.emath.arccos)(_within_one("arccos", arccos))
implements(np.emath.arcsin)(_within_one("arcsin", arcsin))
implements(np.emath.arctanh)(_within_one("arctanh", arctanh))


@implements(np.emath.logn)
def logn(n: Any, x: Any) -> Any:
    """NumPy's `emath.logn`."""
    _real("logn", less(x, 0.0))
    _real("logn", less(n, 0.0))
    return log(x) / log(n)


@implements(np.emath.power)
def emath_power(x: Any, p: Any) -> Any:
    """NumPy's `emath.power`."""
    _real("power", less(x, 0.0))
    return power(x, p)
