"""`sinc` and its derivatives, and NumPy's name for the Bessel function `i0`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tapegrad.ops.bessel import i0
from tapegrad.ops.orders import of_order
from tapegrad.ops.registry import Op, implements, written

_TERMS = 40


def _sinc(n: int, x: Any, out: Any) -> Any:
    """The derivative of order `n` of ``sin(pi x) / (pi x)``.

    That of ``S = sin(y) / y`` follows from ``y S[n] + n S[n - 1] = sin(y + n pi / 2)``, which loses digits
    near 0; there its power series has them.
    """
    if n == 0:
        return written(np.sinc(x), out)
    y = np.pi * np.asarray(x, dtype=np.float64)
    near = np.abs(y) <= n + 1.0
    found = np.empty(y.shape)
    found[near] = _series(n, y[near])
    far = y[~near]
    value = np.sin(far) / far
    for k in range(1, n + 1):
        value = (np.sin(far + k * np.pi / 2.0) - k * value) / far
    found[~near] = value
    found = np.where(np.isinf(y), 0.0, found)
    return written(np.pi**n * found, out)


def _series(n: int, y: Any) -> Any:
    start = (n + 1) // 2
    total = np.zeros_like(y)
    for k in range(start + _TERMS, start - 1, -1):
        total += (-1.0) ** k * y ** (2 * k - n) / (math.factorial(2 * k - n) * (2.0 * k + 1.0))
    return total


_ARGUMENTS = (0.3, np.array([0.0, 1e-9, 0.7, -1.3, 2.0, 5.5]), np.array([[0.1], [-4.0]]))
sinc_: Op = of_order(
    "sinc",
    _sinc,
    lambda out, n, x: sinc_(n + 1.0, x),
    samples=[(float(n), x) for n in (0, 2) for x in _ARGUMENTS],
)


@implements(np.sinc)
def sinc(x: Any) -> Any:
    """NumPy's `sinc`."""
    return sinc_(0.0, x)


implements(np.i0)(i0)
