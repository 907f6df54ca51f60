"""Python's math: functions of single numbers, called through the module."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import special

from tapegrad.recording import dispatch
from tapegrad.recording.buffers import unbuffered
from tapegrad.recording.standins.mechanism import StandIn


def _by(function: Callable[..., Any]) -> Callable[..., Any]:
    """An answer by a NumPy function. Where math raises an error, so does it."""

    def answer(original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        args = unbuffered(args)
        original(*dispatch.plain_of(args), **dispatch.plain_of(kwargs))
        result = function(*args, **kwargs)
        return result if result.shape == () else result.reshape(())

    return answer


def _log(x: Any, base: Any = None) -> Any:
    return np.log(x) if base is None else np.log(x) / np.log(base)


def _sum(numbers: Any) -> Any:
    return np.sum(np.stack(list(numbers)))


def _prod(numbers: Any, *, start: Any = 1.0) -> Any:
    for number in numbers:
        start = start * number
    return start


def _dist(p: Any, q: Any) -> Any:
    return np.linalg.norm(np.stack([a - b for a, b in zip(p, q, strict=True)]))


def _hypot(*sides: Any) -> Any:
    return np.hypot(*sides) if len(sides) == 2 else np.linalg.norm(np.stack(sides))


_BY_NAME: dict[str, Callable[..., Any]] = {
    **{
        name: getattr(np, name)
        for name in (
            *("acos", "acosh", "asin", "asinh", "atan", "atan2", "atanh", "cbrt", "copysign", "cos", "cosh"),
            *("degrees", "exp", "exp2", "expm1", "fabs", "isfinite", "isinf", "isnan", "log10", "log1p"),
            *("log2", "pow", "radians", "sin", "sinh", "sqrt", "tan", "tanh"),
        )
    },
    "log": _log,
    "fsum": _sum,
    "prod": _prod,
    "dist": _dist,
    "hypot": _hypot,
    "gamma": special.gamma,
    "lgamma": special.gammaln,
    "erf": special.erf,
    "erfc": special.erfc,
}

TABLE = [StandIn("math", name, _by(function)) for name, function in _BY_NAME.items()]
