"""``log1p(u) / u``, which is 1 at u = 0, and its derivatives.

Distributions of extremes are written with it, as their shape may pass 0. It is the integral of
``1 / (1 + u t)`` over t from 0 to 1, so its derivatives are integrals of one sign: next to 0, Gauss's rule
has all their digits. Further out, integration by parts gives each derivative by the one before it.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tapegrad.ops.orders import of_order
from tapegrad.ops.registry import Op, written

NEAR = 0.35  # up to here the rule has 16 digits; beyond, three orders by parts lose one or two
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(10)
NODES = tuple(zip((0.5 * (_NODES + 1.0)).tolist(), (0.5 * _WEIGHTS).tolist(), strict=True))


def _by_rule(n: int, u: Any) -> Any:
    total: Any = 0.0
    for t, weight in NODES:
        inner = 1.0 / (1.0 + u * t)
        term = weight * inner
        for _ in range(n):
            term = term * inner * t
        total = total + term
    return (-1.0) ** n * math.factorial(n) * total


def _by_parts(n: int, u: Any) -> Any:
    found = np.log1p(u) / u
    for k in range(1, n + 1):
        found = ((-1.0) ** (k - 1) * math.factorial(k - 1) * (1.0 + u) ** (-float(k)) - k * found) / u
    return found


def _log1p_over(n: int, u: Any, out: Any = None) -> Any:
    u = np.asarray(u, dtype=float)
    near = np.abs(u) < NEAR
    if n == 0:  # whose formula is right wherever it has a value
        zero = np.equal(u, 0.0)
        some = np.where(zero, 1.0, u)
        return written(np.where(zero, 1.0, np.where(np.isposinf(u), 0.0, np.log1p(some) / some)), out)
    value = _by_rule(n, np.where(near, u, 0.0)) if near.any() else np.zeros(u.shape)
    if not near.all():
        value = np.where(near, value, _by_parts(n, np.where(near, 3.0, u)))
    return written(np.asarray(value), out)


log1p_over: Op = of_order(
    "log1p_over",
    _log1p_over,
    lambda out, n, u: log1p_over(n + 1.0, u),
    samples=tuple((order, np.array([-0.7, -0.2, 0.0, 1.3, 4.0])) for order in (0.0, 1.0, 2.0)),
    c="tg_log1p_over({0}, {1})",
)
