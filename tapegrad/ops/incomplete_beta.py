"""The incomplete beta function, with derivatives of every order in its shapes as well.

The derivatives in `a` and `b` are integrals of the density times a polynomial in ``log(t)`` and
``log(1 - t)``, as those of the incomplete gamma function are, see there. Where `a` is small, the density in
the log odds of t has a long flat stretch next to 0. There, and for small x, a series is taken,

    I(a, b, x) = x**a Gamma(a + b) / (Gamma(a + 1) Gamma(b)) * sum (1 - b)_k x**k / k! * a / (a + k)

whose terms are differentiated in `a` and `b` one by one. Everything is written for the lower tail; the upper
tail is the lower one of ``y = 1 - x``, which is an input of its own, without a derivative, because some
distributions know it better than by a difference.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tapegrad.ops.deviances import _bd0
from tapegrad.ops.gammas import HALF_LOG_2PI, _rest
from tapegrad.ops.incomplete_gamma import LARGE, LEAST, _beside
from tapegrad.ops.orders import of_order
from tapegrad.ops.raw import special
from tapegrad.ops.registry import Op, elementwise, written
from tapegrad.ops.special import _polygamma_step
from tapegrad.ops.tails import END, bell, on_columns, tail_integral

TERMS = 60  # of the series, each at most half of the one before it
CLOSE = 1e-3  # to the end of the interval

Columns = tuple[Any, Any, Any, Any]  # a, b, x and 1 - x


def _log_factor(a: Any, b: Any, x: Any, y: Any) -> Any:
    """``log(x**a y**b / B(a, b))``, for shapes of which one at most is tiny."""
    n = a + b
    large = np.minimum(a, b) > LARGE
    p, q = np.where(large, a, LARGE), np.where(large, b, LARGE)
    s, t = np.where(large, x, 0.5), np.where(large, y, 0.5)
    far = _rest(0, p + q) - _rest(0, p) - _rest(0, q) - HALF_LOG_2PI
    far = far - _bd0(p, (p + q) * s) - _bd0(q, (p + q) * t)
    return np.where(large, far, special.xlogy(a, x) + _times_log_of_rest(b, x, y) - _betaln(a, b, n))


def _betaln(a: Any, b: Any, n: Any) -> Any:
    low, high = np.minimum(a, b), np.maximum(a, b)
    far = high > LARGE
    top = np.where(far, high, LARGE)
    # log Gamma(top + low) - log Gamma(top) by Stirling's form, with its cancelling terms taken out
    gain = low * np.log(top + low) + (top * np.log1p(low / top) - low) + _rest(0, top + low) - _rest(0, top)
    near = special.gammaln(low) + special.gammaln(high) - special.gammaln(n)
    return np.where(far, special.gammaln(low) - gain, near)


def _times_log_of_rest(b: Any, x: Any, y: Any) -> Any:
    return np.where(b == 0.0, 0.0, b * np.where(x < 0.5, np.log1p(-x), np.log(y)))


def _log(x: Any, y: Any) -> Any:
    """The logarithm of `x`, by ``y = 1 - x`` where this is known better."""
    return np.where(x < 0.5, np.log(x), np.log1p(-y))


def _rise(n: int, shape: Any, raised: Any, other: Any) -> Any:
    """``polygamma(n, shape + other) - polygamma(n, raised)``."""
    value = _polygamma_step(n, shape, other)
    if np.any(raised > shape):
        high = shape + other
        forward = _polygamma_step(n, raised, np.maximum(high - raised, 0.0))
        gap = forward - _polygamma_step(n, high, np.maximum(raised - high, 0.0))
        value = np.where(raised > shape, gap, value)
    return value


def _weights(a: Any, b: Any, p: Any, q: Any, of_a: Any, of_b: Any) -> Callable[[int, int], Any]:
    """The derivatives of ``exp(f)``, by it, from the first ones of f in `a` and `b`.

    ``f = a log(s) + b log(t) + log Gamma(a + b) - log Gamma(p) - log Gamma(q)``, where `p` is a or a + 1, and
    `q` is b or b + 1.
    """
    rises: dict[tuple[int, int], Any] = {(1, 0): of_a, (0, 1): of_b}

    def cumulants(i: int, j: int) -> Any:
        if (i, j) not in rises:
            if i and j:
                rises[i, j] = special.polygamma(i + j - 1, a + b)
            else:
                rises[i, j] = _rise(i + j - 1, *((a, p, b) if i else (b, q, a)))
        return rises[i, j]

    known: dict[tuple[int, int], Any] = {}
    return lambda i, j: bell(cumulants, i, j, known)


def _is_taken_out(shape: Any, other: Any) -> Any:
    return ((shape < 1.0) & (shape < other)) | (np.abs(other - 1.0) < 0.5)


def _shape_weight(i: int, j: int, columns: Columns) -> Callable[[Any, Any], Any]:
    """The derivatives of the density by ``t**a (1 - t)**b / B(a, b)``, where log(t) and log(1 - t) move.

    A small shape is taken out as a factor, ``1 / Gamma(a) = a / Gamma(a + 1)``: next to 0 the terms of its
    derivatives would cancel. So they would next to a straight line, which ``1 / B(a, b)`` is in one shape
    where the other one is 1.
    """
    a, b, x, y = columns
    small_a, small_b = _is_taken_out(a, b), _is_taken_out(b, a)
    p, q = np.where(small_a, a + 1.0, a), np.where(small_b, b + 1.0, b)
    of_x = _log(x, y) + _rise(0, a, p, b) if i else None
    of_y = _log(y, x) + _rise(0, b, q, a) if j else None
    by_a, by_b = np.where(small_a, 1.0 / a, 0.0), np.where(small_b, 1.0 / b, 0.0)

    def weight(u: Any, w: Any) -> Any:
        of = _weights(a, b, p, q, of_x + u if i else None, of_y + w if j else None)
        total = of(i, j)
        if i:
            total = total + i * by_a * of(i - 1, j)
        if j:
            total = total + j * by_b * of(i, j - 1)
        if i and j:
            total = total + i * j * by_a * by_b * of(i - 1, j - 1)
        return total

    return weight


def _lower(i: int, j: int, a: Any, b: Any, x: Any, y: Any) -> Any:
    """The integral from 0 to x of the derivative of the density, by the density's ``x**a y**b / B(a, b)``."""
    weight = _shape_weight(i, j, (a, b, x, y))
    n = a + b
    left = x < 0.5

    def log_fall(v: Any) -> Any:
        """``log((1 - t) / (1 - x))``, where the log odds of t are v below those of x."""
        return np.where(left, np.log1p(x * np.expm1(-v)), np.log1p(y * np.expm1(np.minimum(v, 700.0))) - v)

    def k(v: Any) -> Any:
        rise = np.log1p(y * np.expm1(np.minimum(v, 700.0)))
        return np.where(left, a * v + n * np.log1p(x * np.expm1(-v)), n * rise - b * v)

    slope = a * y - b * x
    low = END / a
    high = np.minimum((END - n * np.log(y)) / a, np.where(slope > 0.0, END / slope, np.inf))

    def moved(v: Any) -> Any:
        fall = log_fall(v)
        return weight(-v - fall, -fall)

    return tail_integral(k, moved, low, np.maximum(high, low))


def _integral(i: int, j: int, a: Any, b: Any, x: Any, y: Any) -> Any:
    """By the tail in which the first derivative has one sign."""
    if i >= j:
        left = _log(x, y) + _polygamma_step(0, a, b) < 0.0
    else:
        left = _log(y, x) + _polygamma_step(0, b, a) > 0.0

    def lower(a: Any, b: Any, x: Any, y: Any) -> Any:
        return _lower(i, j, a, b, x, y)

    def upper(a: Any, b: Any, x: Any, y: Any) -> Any:
        return -_lower(j, i, b, a, y, x)

    return np.exp(_log_factor(a, b, x, y)) * _beside(left, lower, upper, a, b, x, y)


def _stretched(a: Any, b: Any, x: Any) -> Any:
    """Whether the density has a flat stretch from x down to 0, or the series is the better one next to 0."""
    return ((a < 1.0) & (x < 0.5) | (a < 1.5) & (x < CLOSE)) & (b * x < 2.0)


def _terms(j: int, b: Any, x: Any) -> list[list[Any]]:
    """``(1 - b)_k x**k / k!`` for every k, with its derivatives in `b` up to the order j."""
    rows: list[list[Any]] = [[np.ones_like(x), *(np.zeros_like(x) for _ in range(j))]]
    for k in range(1, TERMS):
        last = rows[-1]
        rows.append([(last[n] * (k - b) - (n * last[n - 1] if n else 0.0)) * (x / k) for n in range(j + 1)])
    return rows


def _series(i: int, j: int, a: Any, b: Any, x: Any) -> Any:
    """The derivative of order (i, j) of ``sum (1 - b)_k x**k / k! * a / (a + k)``."""
    total = 1.0 if i == j == 0 else np.zeros_like(x)
    factor = -((-1.0) ** i) * math.factorial(i)
    for k, term in enumerate(_terms(j, b, x)):
        if k:
            total = total + term[j] * (a / (a + k) if i == 0 else factor * k / (a + k) ** (i + 1))
    return total


def _near_0(i: int, j: int, a: Any, b: Any, x: Any) -> Any:
    """The derivative of order (i, j) of I(a, b, x), by its series."""
    small = _is_taken_out(b, a)
    p, q = a + 1.0, np.where(small, b + 1.0, b)
    of_a = np.log(x) + _rise(0, a, p, b)
    of_b = _rise(0, b, q, a)
    of = _weights(a, b, p, q, of_a, of_b)
    by_b = np.where(small, 1.0 / b, 0.0)
    total: Any = 0.0
    for n in range(i + 1):
        for m in range(j + 1):
            weight = of(n, m) + (m * by_b * of(n, m - 1) if m else 0.0)
            total = total + math.comb(i, n) * math.comb(j, m) * weight * _series(i - n, j - m, a, b, x)
    return np.exp(a * np.log(x) - np.log(a) - _betaln(a, b, a + b)) * total


def _slope(i: int, j: int, a: Any, b: Any, x: Any, y: Any) -> Any:
    def next_to_0(a: Any, b: Any, x: Any, y: Any) -> Any:
        return _near_0(i, j, a, b, x)

    def next_to_1(a: Any, b: Any, x: Any, y: Any) -> Any:
        return -_near_0(j, i, b, a, y)

    def others(a: Any, b: Any, x: Any, y: Any) -> Any:
        return _beside(_stretched(b, a, y), next_to_1, between, a, b, x, y)

    def between(a: Any, b: Any, x: Any, y: Any) -> Any:
        return _integral(i, j, a, b, x, y)

    return _beside(_stretched(a, b, x), next_to_0, others, a, b, x, y)


def _inside(a: Any, b: Any, x: Any, y: Any) -> Any:
    return (a >= 0.0) & (b >= 0.0) & (x > 0.0) & (y > 0.0) & np.isfinite(a) & np.isfinite(b) & (a + b > 0.0)


def _ordinary(inside: Any, a: Any, b: Any, x: Any, y: Any) -> Columns:
    a, b = np.maximum(a, LEAST), np.maximum(b, LEAST)
    x, y = np.where(x < 0.5, x, 1.0 - y), np.where(x < 0.5, 1.0 - x, y)  # the smaller one is known better
    a, b, x, y = (np.where(inside, z, 0.5) for z in (a, b, x, y))
    return a, b, x, y


def _betainc_slope(i: int, j: int, a: Any, b: Any, x: Any, y: Any, out: Any = None) -> Any:
    def f(a: Any, b: Any, x: Any, y: Any) -> Any:
        if i + j == 0:
            return special.betainc(a, b, x)
        inside = _inside(a, b, x, y)
        outside = np.where((a >= 0.0) & (b >= 0.0) & (x >= 0.0) & (x <= 1.0), 0.0, np.nan)
        return np.where(inside, _slope(i, j, *_ordinary(inside, a, b, x, y)), outside)

    return written(on_columns(f, a, b, x, y), out)


def _beta_density(i: int, j: int, m: int, a: Any, b: Any, x: Any, y: Any, out: Any = None) -> Any:
    return written(on_columns(lambda *columns: _density(i, j, m, *columns), a, b, x, y), out)


def _density(i: int, j: int, m: int, a: Any, b: Any, x: Any, y: Any) -> Any:
    inside = _inside(a, b, x, y)
    columns = _ordinary(inside, a, b, x, y)
    p, q, s, t = columns
    start = np.exp(_log_factor(p, q, s, t) - np.log(s) - np.log(t))
    known: dict[tuple[int, int, int], Any] = {}

    def g(i: int, j: int, m: int) -> Any:
        if min(i, j, m) < 0:
            return 0.0
        if (i, j, m) not in known:
            if m == 0:
                known[i, j, m] = start * _shape_weight(i, j, columns)(0.0, 0.0)
            else:
                known[i, j, m] = raised(i, j, m - 1) / (s * t)
        return known[i, j, m]

    def raised(i: int, j: int, m: int) -> Any:
        # x (1 - x) g' = ((a - 1) (1 - x) - (b - 1) x) g, differentiated in all of them
        level = ((p - 1.0) * t - (q - 1.0) * s - m * (t - s)) * g(i, j, m)
        if m:
            level = level + m * ((m - 1.0) - (p + q - 2.0)) * g(i, j, m - 1)
        if i:
            level = level + i * (t * g(i - 1, j, m) - m * g(i - 1, j, m - 1))
        if j:
            level = level - j * (s * g(i, j - 1, m) + m * g(i, j - 1, m - 1))
        return level

    outside = np.where((a >= 0.0) & (b >= 0.0) & (x >= 0.0) & (x <= 1.0), _at_ends(i, j, m, a, b, x), np.nan)
    return np.where(inside, g(i, j, m), outside)


def _at_ends(i: int, j: int, m: int, a: Any, b: Any, x: Any) -> Any:
    """The density at 0 or 1: 0 for large shapes; for a shape of 1 the other shape; or infinite or NaN."""
    end = np.where(x == 0.0, a, b)
    other = np.where(x == 0.0, b, a)
    level = np.where(end > m + 1.0, 0.0, np.nan)
    if i == j == m == 0:
        level = np.where(end < 1.0, np.inf, np.where(end == 1.0, other, level))
    return np.where(np.isinf(a) | np.isinf(b), 0.0, level)


A = np.array([0.4, 2.5, 30.0])
B = np.array([0.8, 3.0, 50.0])
X = np.array([0.3, 0.1, 0.35])
SAMPLES = ((1.5, 2.5, 0.3), (A[:, None], B, X[:2, None, None]))

# The density of a beta variable; the orders are those of its derivatives in a, b and x.
beta_density: Op = of_order(
    "beta_density",
    _beta_density,
    lambda out, i, j, m, a, b, x, y: beta_density(i + 1.0, j, m, a, b, x, y),
    lambda out, i, j, m, a, b, x, y: beta_density(i, j + 1.0, m, a, b, x, y),
    lambda out, i, j, m, a, b, x, y: beta_density(i, j, m + 1.0, a, b, x, y),
    None,
    samples=((0.0, 0.0, 0.0, 1.5, 2.5, 0.3, 0.7), (1.0, 0.0, 1.0, A, B, X, 1.0 - X)),
    orders=3,
    c="tg_beta_density({0}, {1}, {2}, {3}, {4}, {5}, {6})",
)

# The derivative of betainc in its shapes.
betainc_slope: Op = of_order(
    "betainc_slope",
    _betainc_slope,
    lambda out, i, j, a, b, x, y: betainc_slope(i + 1.0, j, a, b, x, y),
    lambda out, i, j, a, b, x, y: betainc_slope(i, j + 1.0, a, b, x, y),
    lambda out, i, j, a, b, x, y: beta_density(i, j, 0.0, a, b, x, y),
    None,
    samples=((1.0, 0.0, 1.5, 2.5, 0.3, 0.7), (0.0, 1.0, A, B, X, 1.0 - X)),
    orders=2,
    c="tg_betainc_slope({0}, {1}, {2}, {3}, {4}, {5})",
)
betainc = elementwise(
    "betainc",
    special.betainc,
    lambda out, a, b, x: betainc_slope(1.0, 0.0, a, b, x, 1.0 - x),
    lambda out, a, b, x: betainc_slope(0.0, 1.0, a, b, x, 1.0 - x),
    lambda out, a, b, x: beta_density(0.0, 0.0, 0.0, a, b, x, 1.0 - x),
    samples=SAMPLES,
)
betaincc = elementwise(
    "betaincc",
    special.betaincc,
    (-1.0, lambda out, a, b, x: betainc_slope(1.0, 0.0, a, b, x, 1.0 - x)),
    (-1.0, lambda out, a, b, x: betainc_slope(0.0, 1.0, a, b, x, 1.0 - x)),
    (-1.0, lambda out, a, b, x: beta_density(0.0, 0.0, 0.0, a, b, x, 1.0 - x)),
    samples=SAMPLES[:1],
)
