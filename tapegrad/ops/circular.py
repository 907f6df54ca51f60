"""``log(I0(x)) - x`` for x >= 0, of the modified Bessel function, and its derivatives.

With the quotient ``A = I1 / I0`` they are ``A - 1``, then ``A' = 1 - A / x - A**2`` and what follows by
Leibniz's rule. Near 0 and far out this cancels: there are the power series of log(I0), and its
asymptotic series (NIST Digital Library of Mathematical Functions, 10.25 and 10.40).
"""

from __future__ import annotations

import math
from fractions import Fraction
from functools import cache
from typing import Any

import numpy as np

from tapegrad.ops.elementwise import POSITIVE
from tapegrad.ops.orders import of_order
from tapegrad.ops.raw import special
from tapegrad.ops.registry import Op, elementwise, written

NEAR, FAR = 1.0, 20.0
HALF_LOG_2PI = 0.5 * math.log(2.0 * math.pi)


def _log_of_series(terms: list[Fraction]) -> list[Fraction]:
    """The coefficients of the logarithm of a power series that begins with 1."""
    found = [Fraction(0)]
    for k in range(1, len(terms)):
        others = sum((i * found[i] * terms[k - i] for i in range(1, k)), start=Fraction(0))
        found.append(terms[k] - others / k)
    return found


@cache
def _near(n: int) -> tuple[float, ...]:
    """Of the n-th derivative of log(I0), in powers of x from the first that is there."""
    powers = _log_of_series([Fraction(1, 4**k * math.factorial(k) ** 2) for k in range(26)])
    return tuple(float(c * math.perm(2 * k, n)) for k, c in enumerate(powers) if 2 * k >= n)


@cache
def _far(n: int) -> tuple[float, ...]:
    """Of the n-th derivative of ``log(I0(x)) - x + log(x) / 2``, in powers of 1 / x from n on."""
    terms = [Fraction(1)]
    for k in range(1, 36):
        terms.append(terms[-1] * (2 * k - 1) ** 2 / (8 * k))
    powers = _log_of_series(terms)
    return tuple(float(c * (-1) ** n * math.perm(k + n - 1, n)) for k, c in enumerate(powers) if k)


def _polynomial(coefficients: tuple[float, ...], x: Any) -> Any:
    total: Any = 0.0
    for coefficient in reversed(coefficients):
        total = total * x + coefficient
    return total


def _by_series(n: int, x: Any) -> Any:
    value = _polynomial(_near(n), x * x) * (x if n % 2 else 1.0)
    return value - 1.0 if n == 1 else value


def _by_asymptotics(n: int, x: Any) -> Any:
    t = 1.0 / x
    of_log = (-1.0) ** (n - 1) * math.factorial(n - 1)
    return (_polynomial(_far(n), t) * t - 0.5 * of_log) * t**n


def quotient_slopes(n: int, x: Any, quotient: Any) -> Any:
    """The quotient, less 1, or a derivative of it: each follows from those before it."""
    t = 1.0 / x
    slopes = [quotient]
    for k in range(n - 1):
        over_x = sum(
            math.comb(k, i) * slopes[i] * (-1.0) ** (k - i) * math.factorial(k - i) * t ** (k - i + 1)
            for i in range(k + 1)
        )
        squared = sum(math.comb(k, i) * slopes[i] * slopes[k - i] for i in range(k + 1))
        slopes.append((1.0 if k == 0 else 0.0) - over_x - squared)
    return slopes[-1] - 1.0 if n == 1 else slopes[-1]


def _by_quotient(n: int, x: Any) -> Any:
    return quotient_slopes(n, x, special.i1e(x) / special.i0e(x))


def _log_i0e_slope(n: int, x: Any, out: Any = None) -> Any:
    x = np.abs(np.asarray(x, dtype=float))
    near, far = x < NEAR, x > FAR
    value = _by_quotient(n, np.where(near | far, NEAR, x))
    if near.any():
        value = np.where(near, _by_series(n, np.where(near, x, 0.0)), value)
    if far.any():
        value = np.where(far, _by_asymptotics(n, np.where(far, x, FAR)), value)
    return written(np.asarray(value), out)


def _log_i0e(x: Any, out: Any = None) -> Any:
    x = np.asarray(x, dtype=float)
    near, far = np.abs(x) < NEAR, x > FAR
    value = np.log(special.i0e(np.where(far, FAR, x)))
    if near.any():
        small = np.where(near, x, 0.0)
        value = np.where(near, _polynomial(_near(0), small * small) - np.abs(small), value)
    if far.any():
        large = np.where(far, x, FAR)
        t = 1.0 / large
        value = np.where(far, _polynomial(_far(0), t) * t - 0.5 * np.log(large) - HALF_LOG_2PI, value)
    return written(np.asarray(value), out)


log_i0e_slope: Op = of_order(
    "log_i0e_slope",
    _log_i0e_slope,
    lambda out, n, x: log_i0e_slope(n + 1.0, x),
    samples=tuple((order, np.array([0.3, 1.5, 7.0, 40.0])) for order in (1.0, 2.0)),
    least=1,
)
log_i0e: Op = elementwise(
    "log_i0e", _log_i0e, lambda out, x: log_i0e_slope(1.0, x), domain=POSITIVE, numpy=()
)
