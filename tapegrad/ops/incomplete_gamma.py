"""The incomplete gamma function, with derivatives of every order in its shape as well.

With ``g(a, x) = x**(a - 1) exp(-x) / Gamma(a)``, the derivative of order n in `a` is the integral of g times
a polynomial in ``log(t) - psi(a)``. It is taken over that side of x where the first of these polynomials has
one sign, so that nothing cancels; over all x it is 0. Where `a` is small, the density in log(t) has a long
flat stretch. There, ``P(a, x) = P(a + 1, x) + x**a exp(-x) / Gamma(a + 1)`` takes it out.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tapegrad.ops.deviances import _bd0, _log_ratio
from tapegrad.ops.gammas import HALF_LOG_2PI, _rest
from tapegrad.ops.orders import of_order
from tapegrad.ops.raw import special
from tapegrad.ops.registry import Op, elementwise, written
from tapegrad.ops.tails import END, bell, on_columns, tail_integral

STRETCHED = 2.0  # up to this x, small shapes are raised
LARGE = 10.0  # from this shape on, Stirling's form
EXP_REST = tuple(1.0 / math.factorial(k) for k in range(15, 1, -1))  # of the power series
LEAST = 1e-300  # stands for a shape of 0, of which it has the limits


def _log_term(a: Any, x: Any) -> Any:
    """``log(x**a exp(-x) / Gamma(a + 1))``."""
    large = a > LARGE
    high = np.where(large, a, LARGE)
    far = -_bd0(high, np.where(large, x, LARGE)) - _rest(0, high) - HALF_LOG_2PI - np.log(high)
    near = special.xlogy(np.where(large, 1.0, a), x) - x - special.gammaln(np.where(large, 1.0, a) + 1.0)
    return np.where(large, far, near)


def _excess(a: Any, x: Any) -> Any:
    """``log(x) - psi(a)``."""
    return _log_ratio(x, a) - _rest(1, a)


def _weights(a: Any, excess: Any) -> Callable[[int], Any]:
    """The derivatives of ``x**a / Gamma(a)``, by it, for ``excess = log(x) - psi(a)``."""
    rises: dict[int, Any] = {}

    def cumulants(i: int, j: int) -> Any:
        if i == 1:
            return excess
        if i not in rises:
            rises[i] = -special.polygamma(i - 1, a)
        return rises[i]

    known: dict[tuple[int, int], Any] = {}
    return lambda n: bell(cumulants, n, 0, known)


def _shape_weight(n: int, a: Any, x: Any) -> Callable[[Any], Any]:
    """The derivative of order n of ``t**a / Gamma(a)`` by ``t**a / Gamma(a + 1)``, at a log(t).

    The function that it gives takes ``log(t) - log(x)``.

    By Gamma(a + 1) where a is small: next to 0 the terms of ``1 / Gamma(a)`` would cancel.
    """
    small = a < 1.0
    raised = np.where(small, a + 1.0, a)
    start = _excess(raised, x)
    once = np.where(small, float(n), 0.0)

    def weight(u: Any) -> Any:
        of = _weights(raised, start + u)
        return a * of(n) + once * of(n - 1) if n else a * of(0)

    return weight


def _lower(n: int, a: Any, x: Any) -> Any:
    weight = _shape_weight(n, a, x)

    def k(v: Any) -> Any:
        return (a - x) * v + x * _exp_rest(-v)

    low = END / a
    high = np.minimum((END + x) / a, np.where(a > x, END / (a - x), np.inf))
    return tail_integral(k, lambda v: weight(-v), low, np.maximum(high, low))


def _upper(n: int, a: Any, x: Any) -> Any:
    weight = _shape_weight(n, a, x)

    def k(v: Any) -> Any:
        return (x - a) * v + x * _exp_rest(v)

    gap = x - a
    high = 2.0 * END / (gap + np.sqrt(gap * gap + 2.0 * END * x))
    low = np.minimum(np.log1p(END / x), high)
    return -tail_integral(k, weight, low, high)


def _exp_rest(v: Any) -> Any:
    """``exp(v) - 1 - v``."""
    near = np.abs(v) < 0.5
    if not np.any(near):
        return np.expm1(v) - v
    small = np.where(near, v, 0.0)
    total: Any = EXP_REST[0]
    for coefficient in EXP_REST[1:]:
        total = total * small + coefficient
    return np.where(near, small * small * total, np.expm1(v) - v)


def _beside(chosen: Any, f: Callable[..., Any], g: Callable[..., Any], *columns: Any) -> Any:
    """`f` of the elements that are chosen, and `g` of the others."""
    if np.all(chosen):
        return f(*columns)
    if not np.any(chosen):
        return g(*columns)
    found = np.empty(chosen.shape)
    found[chosen] = f(*(column[chosen] for column in columns))
    found[~chosen] = g(*(column[~chosen] for column in columns))
    return found


def _tail(n: int, a: Any, x: Any) -> Any:
    """The derivative of order n >= 1 in the shape, where both arguments are positive and finite."""

    def integral(a: Any, x: Any) -> Any:
        left = _excess(np.maximum(a, LEAST), x) < 0.0
        side = _beside(left, lambda a, x: _lower(n, a, x), lambda a, x: _upper(n, a, x), a, x)
        return np.exp(_log_term(a, x)) * side

    def raised(a: Any, x: Any) -> Any:
        step = np.exp(_log_term(a, x)) * _weights(a + 1.0, _excess(a + 1.0, x))(n)
        return step + integral(a + 1.0, x)

    return _beside((a < 1.0) & (x < STRETCHED), raised, integral, a, x)


def _gammainc_slope(n: int, a: Any, x: Any, out: Any = None) -> Any:
    def f(a: Any, x: Any) -> Any:
        if n == 0:
            return special.gammainc(a, x)
        inside = (a >= 0.0) & (x > 0.0) & np.isfinite(a) & np.isfinite(x)
        value = _tail(n, np.where(inside, np.maximum(a, LEAST), 1.0), np.where(inside, x, 1.0))
        outside = np.where((a >= 0.0) & (x >= 0.0), 0.0, np.nan)
        return np.where(inside, value, outside)

    return written(on_columns(f, a, x), out)


def _gamma_density(n: int, m: int, a: Any, x: Any, out: Any = None) -> Any:
    return written(on_columns(lambda a, x: _density(n, m, a, x), a, x), out)


def _density(n: int, m: int, a: Any, x: Any) -> Any:
    inside = (a >= 0.0) & (x > 0.0) & np.isfinite(a) & np.isfinite(x)
    at, to = np.where(inside, np.maximum(a, LEAST), 1.0), np.where(inside, x, 1.0)
    start = np.exp(_log_term(at, to) - np.log(to))
    rows: list[list[Any]] = [[], []]
    for j in range(n + 1):
        rows[1].append(start * _shape_weight(j, at, to)(0.0))
    for k in range(m):  # x g' = (a - 1 - x) g, differentiated k times in x and j times in a
        below, last = rows[-2], rows[-1]
        rows.append([])
        for j in range(n + 1):
            rise = (at - (k + 1.0) - to) * last[j]
            if j:
                rise = rise + j * last[j - 1]
            if k:
                rise = rise - k * below[j]
            rows[-1].append(rise / to)
    edge = _at_zero(n, m, a)
    outside = np.where((a >= 0.0) & (x >= 0.0), np.where(x == 0.0, edge, 0.0), np.nan)
    return np.where(inside, rows[-1][n], outside)


def _at_zero(n: int, m: int, a: Any) -> Any:
    """At x = 0: 0 for large shapes, for 1 that of an exponential variable, or infinite or NaN."""
    level = np.where(a > m + 1.0, 0.0, np.where(a == 0.0, 0.0, np.nan))
    level = np.where((a < 1.0) & (a > 0.0) & (m == 0) & (n == 0), np.inf, level)
    return np.where((a == 1.0) & (n == 0), (-1.0) ** m, level)


A = np.array([0.4, 1.0, 2.5, 30.0])
X = np.array([0.7, 0.3, 4.0, 28.0])
SAMPLES = ((1.5, 0.7), (A, X), (A[:, None], X[:2]))

# The density of a gamma variable; the orders are those of its derivatives in the shape and in x.
gamma_density: Op = of_order(
    "gamma_density",
    _gamma_density,
    lambda out, n, m, a, x: gamma_density(n + 1.0, m, a, x),
    lambda out, n, m, a, x: gamma_density(n, m + 1.0, a, x),
    samples=((0.0, 0.0, 1.5, 0.7), (1.0, 0.0, A, X), (0.0, 1.0, A, X)),
    orders=2,
    c="tg_gamma_density({0}, {1}, {2}, {3})",
)

# The derivative of gammainc in its shape.
gammainc_slope: Op = of_order(
    "gammainc_slope",
    _gammainc_slope,
    lambda out, n, a, x: gammainc_slope(n + 1.0, a, x),
    lambda out, n, a, x: gamma_density(n, 0.0, a, x),
    samples=((1.0, 1.5, 0.7), (1.0, A, X)),
    c="tg_gammainc_slope({0}, {1}, {2})",
)
gammainc = elementwise(
    "gammainc",
    special.gammainc,
    lambda out, a, x: gammainc_slope(1.0, a, x),
    lambda out, a, x: gamma_density(0.0, 0.0, a, x),
    samples=SAMPLES,
    c="tg_gammainc({0}, {1})",
)
gammaincc = elementwise(
    "gammaincc",
    special.gammaincc,
    (-1.0, lambda out, a, x: gammainc_slope(1.0, a, x)),
    (-1.0, lambda out, a, x: gamma_density(0.0, 0.0, a, x)),
    samples=SAMPLES,
    c="tg_gammaincc({0}, {1})",
)
