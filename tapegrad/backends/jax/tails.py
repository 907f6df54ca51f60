"""What printed source calls of incomplete gamma and beta functions, with derivatives in their shapes.

The formulas are those of `tapegrad.ops.incomplete_gamma`, `tapegrad.ops.incomplete_beta` and
`tapegrad.ops.tails`. JAX's own functions lose a digit for each power of ten of their shapes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy import special as jsp
from scipy import special

from tapegrad.backends.jax.gammas import (
    bd0,
    betaln,
    gamma_rest,
    horner,
    log_ratio,
    polygamma,
    polygamma_step,
)
from tapegrad.ops.gammas import HALF_LOG_2PI
from tapegrad.ops.incomplete_beta import CLOSE, TERMS
from tapegrad.ops.incomplete_gamma import EXP_REST, LARGE, LEAST, STRETCHED
from tapegrad.ops.tails import END, HALVINGS, NODES, bell

Integrand = Callable[[Any], Any]
Columns = tuple[Any, Any, Any, Any]  # a, b, x and 1 - x


def tail_integral(k: Integrand, weight: Integrand, low: Any, high: Any) -> Any:
    """The integral of ``weight(v) exp(-k(v))`` over positive v, where k increases from 0 to beyond END."""
    low, high = jnp.log(low), jnp.log(high)
    for _ in range(HALVINGS):
        middle = 0.5 * (low + high)
        before = k(jnp.exp(middle)) < END
        low, high = jnp.where(before, middle, low), jnp.where(before, high, middle)
    end = jnp.exp(high)
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    column = (NODES, *(1,) * jnp.ndim(end))
    v = (0.5 * (nodes + 1.0)).reshape(column) * end
    return end * jnp.sum(jnp.exp(-k(v)) * weight(v) * (0.5 * weights).reshape(column), axis=0)


def _exp_rest(v: Any) -> Any:
    """``exp(v) - 1 - v``."""
    near = jnp.abs(v) < 0.5
    small = jnp.where(near, v, 0.0)
    return jnp.where(near, small * small * horner(EXP_REST[::-1], small), jnp.expm1(v) - v)


def _in_shape(*arguments: Any) -> tuple[Any, ...]:
    return tuple(jnp.broadcast_arrays(*(jnp.asarray(x, dtype=jnp.float64) for x in arguments)))


# Gamma ------------------------------------------------------------------------------------------------------


def _log_term(a: Any, x: Any) -> Any:
    """``log(x**a exp(-x) / Gamma(a + 1))``."""
    large = a > LARGE
    high, low = jnp.where(large, a, LARGE), jnp.where(large, 1.0, a)
    far = -bd0(high, jnp.where(large, x, LARGE)) - gamma_rest(0, high) - HALF_LOG_2PI - jnp.log(high)
    return jnp.where(large, far, low * jnp.log(x) - x - jsp.gammaln(low + 1.0))


def _excess(a: Any, x: Any) -> Any:
    """``log(x) - psi(a)``."""
    return log_ratio(x, a) - gamma_rest(1, a)


def _gamma_weights(a: Any, excess: Any) -> Callable[[int], Any]:
    def cumulants(i: int, j: int) -> Any:
        return excess if i == 1 else -polygamma(float(i - 1), a)

    known: dict[tuple[int, int], Any] = {}
    return lambda n: bell(cumulants, n, 0, known)


def _gamma_weight(n: int, a: Any, x: Any) -> Integrand:
    """The derivative of order n of ``t**a / Gamma(a)`` by ``t**a / Gamma(a + 1)``, at log(t) - log(x)."""
    small = a < 1.0
    raised = jnp.where(small, a + 1.0, a)
    start, once = _excess(raised, x), jnp.where(small, float(n), 0.0)

    def weight(u: Any) -> Any:
        of = _gamma_weights(raised, start + u)
        return a * of(n) + once * of(n - 1) if n else a * of(0)

    return weight


def _gamma_lower(n: int, a: Any, x: Any) -> Any:
    weight = _gamma_weight(n, a, x)
    low = END / a
    high = jnp.minimum((END + x) / a, jnp.where(a > x, END / (a - x), jnp.inf))
    k = lambda v: (a - x) * v + x * _exp_rest(-v)  # noqa: E731
    return tail_integral(k, lambda v: weight(-v), low, jnp.maximum(high, low))


def _gamma_upper(n: int, a: Any, x: Any) -> Any:
    gap = x - a
    high = 2.0 * END / (gap + jnp.sqrt(gap * gap + 2.0 * END * x))
    low = jnp.minimum(jnp.log1p(END / x), high)
    return tail_integral(lambda v: gap * v + x * _exp_rest(v), _gamma_weight(n, a, x), low, high)


def _gamma_tail(n: int, a: Any, x: Any) -> Any:
    """The derivative of order n >= 1 of gammainc in its shape, inside."""
    stretched = (a < 1.0) & (x < STRETCHED)
    step = jnp.exp(_log_term(a, x)) * _gamma_weights(a + 1.0, _excess(a + 1.0, x))(n)
    at = jnp.where(stretched, a + 1.0, a)
    side = jnp.where(_excess(at, x) < 0.0, _gamma_lower(n, at, x), -_gamma_upper(n, at, x))
    return jnp.exp(_log_term(at, x)) * side + jnp.where(stretched, step, 0.0)


def _gamma_inside(a: Any, x: Any) -> tuple[Any, Any, Any]:
    inside = (a >= 0.0) & (x > 0.0) & jnp.isfinite(a) & jnp.isfinite(x)
    return inside, jnp.where(inside, jnp.maximum(a, LEAST), 1.0), jnp.where(inside, x, 1.0)


def _incomplete_gamma(a: Any, x: Any, upper: bool) -> Any:
    a, x = _in_shape(a, x)
    far = (a > LARGE) & (x > 0.0) & jnp.isfinite(a) & jnp.isfinite(x)
    high, to = jnp.where(far, a, LARGE), jnp.where(far, x, LARGE)
    left = to < high
    side = jnp.where(left, _gamma_lower(0, high, to), _gamma_upper(0, high, to))
    tail = jnp.exp(_log_term(high, to)) * side
    low, at = jnp.where(far, 1.0, a), jnp.where(far, 1.0, x)
    near = _small_gammaincc(low, at) if upper else jsp.gammainc(low, at)
    near = jnp.where((low == 0.0) & (at > 0.0), float(not upper), near)
    return jnp.where(far, jnp.where(left == upper, 1.0 - tail, tail), near)


# Of ``log Gamma(2 + x)``, in powers of x after the first: (zeta(k) - 1) (-1)**k / k.
_SERIES = tuple((-1.0) ** k * float(special.zeta(k, 2.0)) / k for k in range(2, 30))


def _small_gammaincc(a: Any, x: Any) -> Any:
    """The upper function; next to a shape of 0, where JAX's is a difference, by the series of the lower."""
    small = (a < 0.5) & (a > 0.0) & (x > 0.0) & (x < 1.0)
    low, at = jnp.where(small, a, 0.25), jnp.where(small, x, 0.5)
    log_gamma = low * ((1.0 - np.euler_gamma) + low * horner(_SERIES, low)) - jnp.log1p(low)
    log_first = low * jnp.log(at) - log_gamma
    others = sum((-at) ** k / ((low + k) * math.factorial(k)) for k in range(1, 20))
    return jnp.where(small, -jnp.expm1(log_first) - jnp.exp(log_first) * low * others, jsp.gammaincc(a, x))


def gammainc(a: Any, x: Any) -> Any:
    """The regularised lower incomplete gamma function."""
    return _incomplete_gamma(a, x, upper=False)


def gammaincc(a: Any, x: Any) -> Any:
    """The upper one."""
    return _incomplete_gamma(a, x, upper=True)


def gammainc_slope(n: int, a: Any, x: Any) -> Any:
    """The derivative of gammainc in its shape."""
    if n == 0:
        return gammainc(a, x)
    a, x = _in_shape(a, x)
    inside, at, to = _gamma_inside(a, x)
    outside = jnp.where((a >= 0.0) & (x >= 0.0), 0.0, jnp.nan)
    return jnp.where(inside, _gamma_tail(n, at, to), outside)


def gamma_density(n: int, m: int, a: Any, x: Any) -> Any:
    """The density of a gamma variable, differentiated n times in its shape and m times in x."""
    a, x = _in_shape(a, x)
    inside, at, to = _gamma_inside(a, x)
    start = jnp.exp(_log_term(at, to) - jnp.log(to))
    rows: list[list[Any]] = [[], [start * _gamma_weight(j, at, to)(0.0) for j in range(n + 1)]]
    for k in range(m):  # x g' = (a - 1 - x) g, differentiated k times in x and j times in a
        below, last = rows[-2], rows[-1]
        rows.append([])
        for j in range(n + 1):
            rise = (at - (k + 1.0) - to) * last[j]
            rise = rise + j * last[j - 1] if j else rise
            rise = rise - k * below[j] if k else rise
            rows[-1].append(rise / to)
    edge = jnp.where((a > m + 1.0) | (a == 0.0), 0.0, jnp.nan)
    if n == 0:
        edge = jnp.where((a < 1.0) & (a > 0.0) & (m == 0), jnp.inf, edge)
        edge = jnp.where(a == 1.0, (-1.0) ** m, edge)
    outside = jnp.where((a >= 0.0) & (x >= 0.0), jnp.where(x == 0.0, edge, 0.0), jnp.nan)
    return jnp.where(inside, rows[-1][n], outside)


# Beta -------------------------------------------------------------------------------------------------------


def _log_factor(a: Any, b: Any, x: Any, y: Any) -> Any:
    """``log(x**a y**b / B(a, b))``."""
    large = jnp.minimum(a, b) > LARGE
    p, q = jnp.where(large, a, LARGE), jnp.where(large, b, LARGE)
    s, t = jnp.where(large, x, 0.5), jnp.where(large, y, 0.5)
    far = gamma_rest(0, p + q) - gamma_rest(0, p) - gamma_rest(0, q) - HALF_LOG_2PI
    far = far - bd0(p, (p + q) * s) - bd0(q, (p + q) * t)
    near = a * _log(x, y) + b * _log(y, x) - betaln(a, b)
    return jnp.where(large, far, near)


def _log(x: Any, y: Any) -> Any:
    return jnp.where(x < 0.5, jnp.log(x), jnp.log1p(-y))


def _rise(n: int, shape: Any, raised: Any, other: Any) -> Any:
    """``polygamma(n, shape + other) - polygamma(n, raised)``."""
    high = shape + other
    forward = polygamma_step(n, raised, jnp.maximum(high - raised, 0.0))
    gap = forward - polygamma_step(n, high, jnp.maximum(raised - high, 0.0))
    return jnp.where(raised > shape, gap, polygamma_step(n, shape, other))


def _beta_weights(a: Any, b: Any, p: Any, q: Any, of_a: Any, of_b: Any) -> Callable[[int, int], Any]:
    rises: dict[tuple[int, int], Any] = {(1, 0): of_a, (0, 1): of_b}

    def cumulants(i: int, j: int) -> Any:
        if (i, j) not in rises:
            both = i and j
            rises[i, j] = (
                polygamma(float(i + j - 1), a + b)
                if both
                else _rise(i + j - 1, *((a, p, b) if i else (b, q, a)))
            )
        return rises[i, j]

    known: dict[tuple[int, int], Any] = {}
    return lambda i, j: bell(cumulants, i, j, known)


def _is_taken_out(shape: Any, other: Any) -> Any:
    return ((shape < 1.0) & (shape < other)) | (jnp.abs(other - 1.0) < 0.5)


def _beta_weight(i: int, j: int, columns: Columns) -> Callable[[Any, Any], Any]:
    a, b, x, y = columns
    small_a, small_b = _is_taken_out(a, b), _is_taken_out(b, a)
    p, q = jnp.where(small_a, a + 1.0, a), jnp.where(small_b, b + 1.0, b)
    of_x = _log(x, y) + _rise(0, a, p, b) if i else 0.0
    of_y = _log(y, x) + _rise(0, b, q, a) if j else 0.0
    by_a, by_b = jnp.where(small_a, 1.0 / a, 0.0), jnp.where(small_b, 1.0 / b, 0.0)

    def weight(u: Any, w: Any) -> Any:
        of = _beta_weights(a, b, p, q, of_x + u, of_y + w)
        total = of(i, j)
        total = total + i * by_a * of(i - 1, j) if i else total
        total = total + j * by_b * of(i, j - 1) if j else total
        return total + i * j * by_a * by_b * of(i - 1, j - 1) if i and j else total

    return weight


def _beta_lower(i: int, j: int, a: Any, b: Any, x: Any, y: Any) -> Any:
    """The integral from 0 to x of the derivative of the density, by ``x**a y**b / B(a, b)``."""
    weight = _beta_weight(i, j, (a, b, x, y))
    n, left = a + b, x < 0.5

    def log_fall(v: Any) -> Any:
        right = jnp.log1p(y * jnp.expm1(jnp.minimum(v, 700.0))) - v
        return jnp.where(left, jnp.log1p(x * jnp.expm1(-v)), right)

    def k(v: Any) -> Any:
        rise = jnp.log1p(y * jnp.expm1(jnp.minimum(v, 700.0)))
        return jnp.where(left, a * v + n * jnp.log1p(x * jnp.expm1(-v)), n * rise - b * v)

    def moved(v: Any) -> Any:
        fall = log_fall(v)
        return weight(-v - fall, -fall)

    slope = a * y - b * x
    low = END / a
    high = jnp.minimum((END - n * jnp.log(y)) / a, jnp.where(slope > 0.0, END / slope, jnp.inf))
    return tail_integral(k, moved, low, jnp.maximum(high, low))


def _beta_near_0(i: int, j: int, a: Any, b: Any, x: Any) -> Any:
    """The derivative of order (i, j) of I(a, b, x), by its series."""
    small = _is_taken_out(b, a)
    p, q = a + 1.0, jnp.where(small, b + 1.0, b)
    of = _beta_weights(a, b, p, q, jnp.log(x) + _rise(0, a, p, b), _rise(0, b, q, a))
    by_b = jnp.where(small, 1.0 / b, 0.0)
    total: Any = 0.0
    for n in range(i + 1):
        for m in range(j + 1):
            weight = of(n, m) + (m * by_b * of(n, m - 1) if m else 0.0)
            total = total + math.comb(i, n) * math.comb(j, m) * weight * _beta_series(i - n, j - m, a, b, x)
    return jnp.exp(a * jnp.log(x) - jnp.log(a) - betaln(a, b)) * total


def _beta_series(i: int, j: int, a: Any, b: Any, x: Any) -> Any:
    """The derivative of order (i, j) of ``sum (1 - b)_k x**k / k! * a / (a + k)``."""
    factor = -((-1.0) ** i) * math.factorial(i)

    def step(k: Any, state: tuple[Any, tuple[Any, ...]]) -> tuple[Any, tuple[Any, ...]]:
        total, last = state
        term = tuple((last[n] * (k - b) - (n * last[n - 1] if n else 0.0)) * (x / k) for n in range(j + 1))
        return total + term[j] * (a / (a + k) if i == 0 else factor * k / (a + k) ** (i + 1)), term

    one, zero = jnp.ones_like(x), jnp.zeros_like(x)
    begin = one if i == j == 0 else zero
    return jax.lax.fori_loop(1, TERMS, step, (begin, (one, *(zero,) * j)))[0]


def _stretched(a: Any, b: Any, x: Any) -> Any:
    return ((a < 1.0) & (x < 0.5) | (a < 1.5) & (x < CLOSE)) & (b * x < 2.0)


def _beta_slope(i: int, j: int, a: Any, b: Any, x: Any, y: Any) -> Any:
    if i >= j:
        left = _log(x, y) + polygamma_step(0, a, b) < 0.0
    else:
        left = _log(y, x) + polygamma_step(0, b, a) > 0.0
    side = jnp.where(left, _beta_lower(i, j, a, b, x, y), -_beta_lower(j, i, b, a, y, x))
    found = jnp.exp(_log_factor(a, b, x, y)) * side
    found = jnp.where(_stretched(b, a, y), -_beta_near_0(j, i, b, a, y), found)
    return jnp.where(_stretched(a, b, x), _beta_near_0(i, j, a, b, x), found)


def _beta_inside(a: Any, b: Any, x: Any, y: Any) -> tuple[Any, Columns]:
    """Where the arguments are ordinary, and ordinary ones."""
    inside = (a >= 0.0) & (b >= 0.0) & (x > 0.0) & (y > 0.0)
    inside = inside & jnp.isfinite(a) & jnp.isfinite(b) & (a + b > 0.0)
    s, t = jnp.where(x < 0.5, x, 1.0 - y), jnp.where(x < 0.5, 1.0 - x, y)
    a, b = jnp.maximum(a, LEAST), jnp.maximum(b, LEAST)
    p, q, s, t = (jnp.where(inside, z, 0.5) for z in (a, b, s, t))
    return inside, (p, q, s, t)


def _fraction(a: Any, b: Any, x: Any) -> Any:
    """The continued fraction of the incomplete beta function, by Lentz's method: DLMF 8.17.22."""
    tiny = 1e-290

    def some(z: Any) -> Any:
        return jnp.where(jnp.abs(z) < tiny, tiny, z)

    def step(state: tuple[Any, ...]) -> tuple[Any, ...]:
        m, c, d, h, moves = state
        even = m * ((b - m) / (a + 2.0 * m - 1.0)) * (x / (a + 2.0 * m))
        odd = -((a + m) / (a + 2.0 * m)) * ((a + b + m) / (a + 2.0 * m + 1.0)) * x
        change: Any = 1.0
        for term in (even, odd):
            d, c = 1.0 / some(1.0 + term * d), some(1.0 + term / c)
            change = change * (c * d)
        # What has converged stays: each further factor would be off by a rounding.
        return m + 1.0, c, d, jnp.where(moves, h * change, h), moves & (jnp.abs(change - 1.0) > 1e-15)

    d = 1.0 / some(1.0 - (a + b) * x / (a + 1.0))
    start = (1.0, jnp.ones_like(x), d, d, x == x)
    return jax.lax.while_loop(lambda state: jnp.any(state[4]) & (state[0] < 1_000.0), step, start)[3]


def incomplete_beta(a: Any, b: Any, x: Any, y: Any, upper: bool) -> Any:
    """I(a, b, x) or one less it, for x and ``y = 1 - x``."""
    a, b, x, y = _in_shape(a, b, x, y)
    inside, (p, q, s, t) = _beta_inside(a, b, x, y)
    n = p + q + 2.0
    left = jnp.where(s < 0.5, s < (p + 1.0) / n, t > (q + 1.0) / n)
    p, q, s, t = (jnp.where(left, *pair) for pair in ((p, q), (q, p), (s, t), (t, s)))
    near = _fraction(jnp.minimum(p, LARGE), q, s) / p
    side = jnp.where(p > LARGE, _beta_lower(0, 0, p, q, s, t), near)  # the fraction loses digits of ``1 - s``
    tail = jnp.exp(_log_factor(p, q, s, t)) * side
    value = jnp.where(left == upper, 1.0 - tail, tail)
    edge = jsp.betainc(a, b, x)
    return jnp.where(inside, value, 1.0 - edge if upper else edge)


def betainc(a: Any, b: Any, x: Any) -> Any:
    """The regularised incomplete beta function."""
    return incomplete_beta(a, b, x, 1.0 - x, upper=False)


def betaincc(a: Any, b: Any, x: Any) -> Any:
    """One less it."""
    return incomplete_beta(a, b, x, 1.0 - x, upper=True)


def betainc_slope(i: int, j: int, a: Any, b: Any, x: Any, y: Any) -> Any:
    """The derivative of betainc in its shapes."""
    if i + j == 0:
        return betainc(a, b, x)
    a, b, x, y = _in_shape(a, b, x, y)
    inside, columns = _beta_inside(a, b, x, y)
    outside = jnp.where((a >= 0.0) & (b >= 0.0) & (x >= 0.0) & (x <= 1.0), 0.0, jnp.nan)
    return jnp.where(inside, _beta_slope(i, j, *columns), outside)


def beta_density(i: int, j: int, m: int, a: Any, b: Any, x: Any, y: Any) -> Any:
    """The density of a beta variable, differentiated in its shapes and in x."""
    a, b, x, y = _in_shape(a, b, x, y)
    inside, columns = _beta_inside(a, b, x, y)
    p, q, s, t = columns
    start = jnp.exp(_log_factor(p, q, s, t) - jnp.log(s) - jnp.log(t))

    def g(i: int, j: int, m: int) -> Any:
        if min(i, j, m) < 0:
            return 0.0
        return start * _beta_weight(i, j, columns)(0.0, 0.0) if m == 0 else raised(i, j, m - 1) / (s * t)

    def raised(i: int, j: int, m: int) -> Any:
        # x (1 - x) g' = ((a - 1) (1 - x) - (b - 1) x) g, differentiated in all of them
        level = ((p - 1.0) * t - (q - 1.0) * s - m * (t - s)) * g(i, j, m)
        level = level + m * ((m - 1.0) - (p + q - 2.0)) * g(i, j, m - 1) if m else level
        level = level + i * (t * g(i - 1, j, m) - m * g(i - 1, j, m - 1)) if i else level
        return level - j * (s * g(i, j - 1, m) + m * g(i, j - 1, m - 1)) if j else level

    end, other = jnp.where(x == 0.0, a, b), jnp.where(x == 0.0, b, a)
    edge = jnp.where(end > m + 1.0, 0.0, jnp.nan)
    if i == j == m == 0:
        edge = jnp.where(end < 1.0, jnp.inf, jnp.where(end == 1.0, other, edge))
    edge = jnp.where(jnp.isinf(a) | jnp.isinf(b), 0.0, edge)
    inner = (a >= 0.0) & (b >= 0.0) & (x >= 0.0) & (x <= 1.0)
    return jnp.where(inside, g(i, j, m), jnp.where(inner, edge, jnp.nan))
