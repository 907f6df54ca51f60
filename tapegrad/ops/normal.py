"""Error functions and the normal distribution, of scipy.special.

By the chain rule their derivatives cancel: that of `erfcx` is ``2 x erfcx(x) - 2 / sqrt(pi)``, two terms that
agree in all their digits far to the right. Here they are functions of an order, as `polygamma` is: repeated
integrals of erfc (NIST Digital Library of Mathematical Functions, 7.18), and cumulants.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np

from tapegrad.ops.elementwise import exp, square
from tapegrad.ops.orders import of_order
from tapegrad.ops.raw import special
from tapegrad.ops.registry import Gate, Op, elementwise, written

PROBABILITY = (0.1, 0.9)
TWO_OVER_SQRT_PI = 2.0 / math.sqrt(math.pi)
SQRT_2PI = math.sqrt(2.0 * math.pi)
SQRT_HALF = math.sqrt(0.5)

# Densities: where they are 0 they do not move, however large the argument -----------------------------------


def _gaussian(x: Any, out: Any = None) -> Any:
    squared = np.square(x, out=out)
    return np.exp(np.negative(squared, out=out), out=out)


def _normal_density(x: Any, out: Any = None) -> Any:
    exponent = np.multiply(np.square(x, out=out), -0.5, out=out)
    return np.divide(np.exp(exponent, out=out), SQRT_2PI, out=out)


gaussian: Op = elementwise(
    "gaussian",
    _gaussian,
    (-2.0, lambda out, x: x, Gate(lambda out, x: out)),
    flattens=0,
    numpy=(),
    c="tg_gaussian({0})",
)
normal_density: Op = elementwise(
    "normal_density",
    _normal_density,
    (-1.0, lambda out, x: x, Gate(lambda out, x: out)),
    flattens=0,
    numpy=(),
    c="tg_normal_density({0})",
)
erf = elementwise(
    "erf", special.erf, (TWO_OVER_SQRT_PI, lambda out, x: gaussian(x)), flattens=0, c="erf({0})"
)
erfc = elementwise(
    "erfc", special.erfc, (-TWO_OVER_SQRT_PI, lambda out, x: gaussian(x)), flattens=0, c="erfc({0})"
)
ndtr = elementwise("ndtr", special.ndtr, lambda out, x: normal_density(x), flattens=0, c="tg_ndtr({0})")
erfinv = elementwise(
    "erfinv", special.erfinv, (1.0 / TWO_OVER_SQRT_PI, lambda out, x: exp(square(out))), domain=(-0.9, 0.9)
)
ndtri = elementwise(
    "ndtri",
    special.ndtri,
    (SQRT_2PI, lambda out, x: exp(0.5 * square(out))),
    domain=PROBABILITY,
    c="tg_ndtri({0})",
)

# Repeated integrals of erfc, times exp(x**2) ----------------------------------------------------------------

FORWARD = 1.5  # up to here the recurrence loses no more than a digit or two


def _ratios(x: Any, most: int, steps: int = 150) -> list[Any]:
    """Of each repeated integral from the first to the `most`-th and the one before it, for x > 0.

    By their continued fraction, which begins at the end with the limit of its tail.
    """
    ratio = 1.0 / (x + np.sqrt(x * x + 2.0 * (steps + 1)))
    found: list[Any] = []
    for k in range(steps, 0, -1):
        ratio = 1.0 / (2.0 * x + 2.0 * (k + 1) * ratio)
        if k <= most:
            found.append(ratio)
    return found[::-1]


def _integral(n: int, x: Any) -> Any:
    before: Any = TWO_OVER_SQRT_PI
    found = special.erfcx(x)
    for k in range(1, n + 1):
        before, found = found, (before - 2.0 * x * found) / (2.0 * k)
    far = np.asarray(x > FORWARD)
    if np.any(far):
        right = np.where(far, x, FORWARD)
        found = np.where(far, math.prod(_ratios(right, n), start=special.erfcx(right)), found)
    return found


def _erfcx_integral(n: int, x: Any, out: Any = None) -> Any:
    return written(_integral(n, np.asarray(x, dtype=float)), out)


erfcx_integral: Op = of_order(
    "erfcx_integral",
    _erfcx_integral,
    (-2.0, lambda out, n, x: n + 1.0, lambda out, n, x: erfcx_integral(n + 1.0, x)),
    samples=tuple((order, np.array([-1.5, 0.3, 1.2, 4.0])) for order in (1.0, 2.0)),
    c="tg_erfcx_integral({0}, {1})",
)
erfcx = elementwise("erfcx", special.erfcx, (-2.0, lambda out, x: erfcx_integral(1.0, x)), c="tg_erfcx({0})")

# Differences of these, which keep their digits: the integral of the next one over the step ------------------

NODES = 24  # for steps in which the function falls by a factor of a few


@cache
def _unit_rule() -> tuple[Any, Any]:
    """Nodes and weights between 0 and 1."""
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    return 0.5 * (nodes + 1.0), 0.5 * weights


def _gap(n: int, x: Any, step: Any) -> Any:
    """``f(x) - f(x + step)`` for the repeated integral f of order n, times exp(x**2), and steps >= 0."""
    near = step < np.where(x < 0.0, 1.0 / (1.0 - x), np.maximum(x, 1.0))
    nodes, weights = _unit_rule()
    some = np.where(near, step, 0.0)[..., None]
    rise = np.where(near, x, 0.0)[..., None] + some * nodes
    by_integral = 2.0 * (n + 1.0) * np.sum(_integral(n + 1, rise) * weights, axis=-1) * step
    # where it is infinite to the left, so is the difference
    return np.where(
        near, by_integral, _integral(n, x) - np.where(np.isinf(step), 0.0, _integral(n, x + step))
    )


def _erfcx_gap(n: int, x: Any, step: Any, out: Any = None) -> Any:
    x, step = np.broadcast_arrays(np.asarray(x, dtype=float), np.asarray(step, dtype=float))
    return written(np.asarray(_gap(n, x, step)), out)


erfcx_gap: Op = of_order(
    "erfcx_gap",
    _erfcx_gap,
    (-2.0, lambda out, n, x, step: n + 1.0, lambda out, n, x, step: erfcx_gap(n + 1.0, x, step)),
    (2.0, lambda out, n, x, step: n + 1.0, lambda out, n, x, step: erfcx_integral(n + 1.0, x + step)),
    samples=tuple(
        (order, np.array([-1.5, 0.3, 1.2, 4.0]), np.array([0.1, 2.0, 0.01, 0.5])) for order in (0.0, 1.0)
    ),
)

# The logarithm of the normal distribution function ----------------------------------------------------------

TAIL = {1: -np.inf, 2: -10.0}  # where to go over to cumulants, by the order of the derivative


@cache
def _in_powers(n: int) -> dict[tuple[int, int], int]:
    """The derivative of order `n` as a polynomial in x and the first, m, of which that is -m (x + m)."""
    if n == 1:
        return {(0, 1): 1}
    found: dict[tuple[int, int], int] = {}

    def collect(i: int, j: int, number: int) -> None:
        found[i, j] = found.get((i, j), 0) + number

    for (i, j), number in _in_powers(n - 1).items():
        if i:
            collect(i - 1, j, i * number)
        collect(i + 1, j, -j * number)
        collect(i, j + 1, -j * number)
    return found


def _mills(x: Any, out: Any = None) -> Any:
    """The density by the distribution function."""
    # By erfcx, which keeps its digits where both are 0, and is infinite where the density is all but 0.
    found = special.erfcx(np.multiply(x, -SQRT_HALF, out=out), out=out)
    found = np.divide(2.0 / SQRT_2PI, found, out=out)
    right = np.greater(x, 30.0)
    return written(np.where(right, _normal_density(x), found), out) if right.any() else found


def _by_powers(n: int, x: Any) -> Any:
    m = _mills(x)
    if n == 1:
        return m
    still = m == 0.0  # far to the right, at infinity too
    x = np.where(still, 0.0, x)
    numbers = _in_powers(n)
    total: Any = 0.0
    for j in range(n, 0, -1):
        of_m: Any = 0.0
        for i in range(n, -1, -1):
            of_m = of_m * x + numbers.get((i, j), 0)
        total = (total + of_m) * m
    return total


def _cumulants(a: Any, most: int) -> Iterator[Any]:
    """The first `most` cumulants of the excess of a standard normal variable over a > 0, if it is above a."""
    moments: list[Any] = [1.0]
    for k, ratio in enumerate(_ratios(SQRT_HALF * a, most), start=1):
        moments.append(moments[-1] * (k * math.sqrt(2.0)) * ratio)
    found: list[Any] = []
    for k in range(1, most + 1):
        others = (math.comb(k - 1, i - 1) * found[i - 1] * moments[k - i] for i in range(1, k))
        found.append(moments[k] - sum(others))
        yield found[-1]


def _slope(n: int, x: Any) -> Any:
    found = _by_powers(n, x)
    far = np.asarray(x < TAIL.get(n, -2.0))
    if np.any(far):
        (*_, last) = _cumulants(np.where(far, -x, 2.0), n)
        found = np.where(far, last - 1.0 if n == 2 else last, found)
    return found


def _log_ndtr_slope(n: int, x: Any, out: Any = None) -> Any:
    if n == 1:
        return _mills(x, out)
    return written(_slope(n, np.asarray(x, dtype=float)), out)


log_ndtr_slope: Op = of_order(
    "log_ndtr_slope",
    _log_ndtr_slope,
    lambda out, n, x: log_ndtr_slope(n + 1.0, x),
    samples=tuple((order, np.array([-12.0, -3.0, 0.3, 2.0])) for order in (1.0, 2.0)),
    least=1,
    c="tg_log_ndtr_slope({0}, {1})",
)
log_ndtr = elementwise(
    "log_ndtr", special.log_ndtr, lambda out, x: log_ndtr_slope(1.0, x), flattens=0, c="tg_log_ndtr({0})"
)
