"""What printed source calls of gamma functions and deviances: differences that keep their digits.

The formulas are those of `tapegrad.ops.gammas`, `deviances` and `special`. Orders of derivatives are numbers
of Python. Each side of a choice is computed where it has a value: JAX computes both.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.scipy import special as jsp

from tapegrad.ops import factorials
from tapegrad.ops.deviances import ARTANH, NEAR
from tapegrad.ops.gammas import FAR, HALF_LOG_2PI, _coefficients, _log_factor
from tapegrad.ops.special import STIRLING

Function = Callable[..., Any]


def horner(coefficients: Any, x: Any) -> Any:
    """A polynomial, whose constant term comes first."""
    first, *others = reversed(coefficients)
    total: Any = first
    for coefficient in others:
        total = total * x + coefficient
    return total


def digamma(x: Any) -> Any:
    """The digamma function, at both zeros as SciPy's."""
    return jnp.where(x == 0.0, -1.0 / x, jsp.digamma(x))


def polygamma(n: Any, x: Any) -> Any:
    """Derivatives of digamma, of an order that is a float."""
    factorial = jnp.exp(jsp.gammaln(n + 1.0)) if jnp.ndim(n) else float(math.factorial(int(n)))
    sign = jnp.where(n % 2.0 == 0.0, -1.0, 1.0)
    return sign * factorial * jsp.zeta(n + 1.0, x)


def _polygamma(n: int, x: Any) -> Any:
    return jsp.digamma(x) if n == 0 else polygamma(float(n), x)


# What Stirling's formula leaves -----------------------------------------------------------------------------


def _chosen(near: Function, far: Function, x: Any, *others: Any) -> Any:
    is_near = x < FAR
    low, high = jnp.where(is_near, x, 1.0), jnp.where(is_near, FAR, x)
    return jnp.where(is_near, near(low, *others), far(high, *others))


def _series(order: int, x: Any) -> Any:
    t = 1.0 / x
    return horner(_coefficients(order), t * t) * t ** (order + 1)


def _log_gain(order: int, x: Any, a: Any) -> Any:
    gain = jnp.log1p(a / x)
    return gain if order == 0 else _log_factor(order) * x ** (-float(order)) * jnp.expm1(-order * gain)


def _rest_near(order: int, x: Any) -> Any:
    if order == 0:
        return jsp.gammaln(x + 1.0) - (x + 1.0) * jnp.log(x) + x - HALF_LOG_2PI
    if order == 1:
        return jsp.digamma(x + 1.0) - jnp.log(x) - 1.0 / x
    pole = 1.0 - (order - 1.0) / x
    for i in range(1, order):
        pole = pole * (-max(i - 1.0, 1.0)) / x
    return _polygamma(order - 1, x + 1.0) + pole


def _rest_far(order: int, x: Any) -> Any:
    first = jnp.log(x) if order == 0 else _log_factor(order) * x ** (-float(order))
    return _series(order, x) - 0.5 * first


def gamma_rest(order: int, x: Any) -> Any:
    """What Stirling's formula leaves of log-gamma, or a derivative of it."""
    return _chosen(lambda x: _rest_near(order, x), lambda x: _rest_far(order, x), jnp.asarray(x))


def _difference(f: Function, x: Any, a: Any) -> Any:
    return jnp.where(a == 0.0, 0.0, f(x + a) - f(x))


def gamma_rest_gain(order: int, x: Any, a: Any) -> Any:
    """The same at ``x + a`` less that at x."""

    def far(x: Any, a: Any) -> Any:
        return _series(order, x + a) - _series(order, x) - 0.5 * _log_gain(order, x, a)

    return _chosen(lambda x, a: _difference(lambda x: gamma_rest(order, x), x, a), far, jnp.asarray(x), a)


def log_poch(x: Any, a: Any) -> Any:
    """``log Gamma(x + a) - log Gamma(x)``."""

    def far(x: Any, a: Any) -> Any:
        return a * jnp.log(x + a) + (gamma_rest_gain(0, x, a) + (x * jnp.log1p(a / x) - a))

    return _chosen(lambda x, a: _difference(jsp.gammaln, x, a), far, jnp.asarray(x), a)


def polygamma_gain(n: int, x: Any, a: Any) -> Any:
    """``polygamma(n, x + a) - polygamma(n, x)``."""

    def far(x: Any, a: Any) -> Any:
        return gamma_rest_gain(n + 1, x, a) + _log_gain(n, x, a)

    return _chosen(lambda x, a: _difference(lambda x: _polygamma(n, x), x, a), far, jnp.asarray(x), a)


def betaln(a: Any, b: Any) -> Any:
    """The logarithm of the beta function; JAX's own has seven digits."""
    low, high = jnp.minimum(a, b), jnp.maximum(a, b)
    far = high > FAR
    top = jnp.where(far, high, FAR)
    gain = low * jnp.log(top + low) + (top * jnp.log1p(low / top) - low) + gamma_rest_gain(0, top, low)
    near = jsp.gammaln(low) + jsp.gammaln(high) - jsp.gammaln(low + high)
    return jnp.where(far & (low > 0.0) & jnp.isfinite(high), jsp.gammaln(low) - gain, near)


def beta(a: Any, b: Any) -> Any:
    """The beta function of positive numbers, and of others."""
    sign = jsp.gammasgn(a) * jsp.gammasgn(b) * jsp.gammasgn(a + b)
    return jnp.where((a > 0.0) & (b > 0.0), 1.0, sign) * jnp.exp(betaln(a, b))


def rgamma(x: Any) -> Any:
    """One by the gamma function, 0 at its poles."""
    pole = (x <= 0.0) & (x == jnp.floor(x))
    return jnp.where(pole, 0.0, 1.0 / jsp.gamma(jnp.where(pole, 1.0, x)))


def _quotient(up: tuple[Any, ...], down: tuple[Any, ...]) -> Any:
    """Gamma functions by others: by their logarithms and signs."""
    log = sum(map(jsp.gammaln, up)) - sum(map(jsp.gammaln, down))
    return math.prod(map(jsp.gammasgn, (*up, *down))) * jnp.exp(log)


def poch(z: Any, m: Any) -> Any:
    """Pochhammer's symbol, ``Gamma(z + m) / Gamma(z)``."""
    positive = (z > 0.0) & (z + m > 0.0)
    rising = jnp.exp(log_poch(jnp.where(positive, z, 1.0), jnp.where(positive, m, 1.0)))
    return jnp.where(m == 0.0, 1.0, jnp.where(positive, rising, _quotient((z + m,), (z,))))


def binom(n: Any, k: Any) -> Any:
    """The binomial coefficient of real numbers."""
    above, below = n - k + 1.0, k + 1.0
    positive = (above > 0.0) & (below > 0.0) & (n > -1.0)
    ordinary = jnp.exp(
        -jnp.log1p(n) - betaln(jnp.where(positive, above, 1.0), jnp.where(positive, below, 1.0))
    )
    return jnp.where(positive, ordinary, _quotient((n + 1.0,), (above, below)))


# Hurwitz's zeta function ------------------------------------------------------------------------------------

_Jet = list[Any]


def _times(f: _Jet, g: _Jet) -> _Jet:
    return [sum(math.comb(n, k) * f[k] * g[n - k] for k in range(n + 1)) for n in range(len(f))]


def _power(t: Any, s: Any, order: int) -> _Jet:
    return [t**-s * (-jnp.log(t)) ** n for n in range(order + 1)]


def zeta_slope(n: int, s: Any, q: Any) -> Any:
    """The derivative of order n of zeta in its exponent, by Euler and Maclaurin: see `ops.factorials`."""
    if n == 0:
        return jsp.zeta(s, q)
    s, q = jnp.asarray(s), jnp.asarray(q)
    inside = (s > 1.0) & (q > 0.0) & jnp.isfinite(s) & jnp.isfinite(q)
    at, start = jnp.where(inside, s, 2.0), jnp.where(inside, q, 1.0)
    total: _Jet = [0.0] * (n + 1)
    for k in range(int(factorials.FAR)):
        total = [a + b for a, b in zip(total, _power(start + k, at, n), strict=True)]
    t = start + factorials.FAR
    last = _power(t, at, n)
    above = [(-1.0) ** i * math.factorial(i) / (at - 1.0) ** (i + 1) for i in range(n + 1)]
    integral = _times([t * x for x in last], above)
    total = [a + b + 0.5 * c for a, b, c in zip(total, integral, last, strict=True)]
    rising, last = factorials._linear(at, n), [x / t for x in last]
    for j, number in enumerate(factorials.BERNOULLI):
        total = [a + number * b for a, b in zip(total, _times(rising, last), strict=True)]
        for shift in (2.0 * j + 1.0, 2.0 * j + 2.0):
            rising = _times(rising, factorials._linear(at + shift, n))
        last = [x / t**2 for x in last]
    outside = jnp.where(jnp.isposinf(s) & (q >= 1.0), 0.0, jnp.nan)
    return jnp.where(inside, total[n], outside)


# Differences of polygammas by any step ----------------------------------------------------------------------


def _step_of_power(x: Any, gain: Any, k: int) -> Any:
    return jnp.expm1(-k * gain) / x**k


def polygamma_step(n: int, x: Any, h: Any) -> Any:
    """``polygamma(n, x + h) - polygamma(n, x)``, with the digits that would cancel."""
    start = jnp.asarray(x)
    ordinary = (start > 0.0) & (h >= 0.0) & jnp.isfinite(h)
    at, step = jnp.where(ordinary, start, 1.0), jnp.where(ordinary, h, 1.0)
    total: Any = 0.0
    sign = (-1.0) ** (n + 1)
    for _ in range(int(FAR)):  # psi(x + 1) = psi(x) + 1 / x
        near = at < FAR
        rise = sign * math.factorial(n) * _step_of_power(at, jnp.log1p(step / at), n + 1)
        total = total + jnp.where(near, rise, 0.0)
        at = jnp.where(near, at + 1.0, at)
    gain = jnp.log1p(step / at)
    total = total + (gain if n == 0 else sign * math.factorial(n - 1) * _step_of_power(at, gain, n))
    total = total + sign * 0.5 * math.factorial(n) * _step_of_power(at, gain, n + 1)
    for i, number in enumerate(STIRLING):
        k = 2 * (i + 1)
        rising = math.factorial(k + n - 1) // math.factorial(k - 1)
        total = total + sign * number * rising * _step_of_power(at, gain, k + n)
    return jnp.where(ordinary, total, _polygamma(n, start + h) - _polygamma(n, start))


# Ratios -----------------------------------------------------------------------------------------------------


def log_ratio(x: Any, m: Any) -> Any:
    """``log(x / m)``, with its digits where both are close."""
    gap = x - m
    near = jnp.abs(gap) <= 0.5 * jnp.abs(m)
    return jnp.where(near, jnp.log1p(jnp.where(near, gap, 0.0) / m), jnp.log(x) - jnp.log(m))


def one_less_ratio(x: Any, m: Any) -> Any:
    """``1 - x / m``."""
    return jnp.where((x == 0.0) | jnp.isposinf(m), 1.0, (m - x) / m)


def _deviance(x: Any, gap: Any, log_ratio: Any) -> Any:
    near = jnp.abs(gap) < NEAR * x
    some, way = jnp.where(near, x, 1.0), jnp.where(near, gap, 0.0)
    s = 0.5 * way / (some + 0.5 * way)
    z = s * s
    far = jnp.where(x == 0.0, 0.0, x * log_ratio) + gap
    return jnp.where(near, s * (way - some * (z * horner(ARTANH, z))), far)


def _log_quotient(x: Any, m: Any) -> Any:
    ratio = x / m
    ordinary = (ratio > 1e-290) & (ratio < 1e290)
    return jnp.where(ordinary, jnp.log(ratio), jnp.log(x) - jnp.log(m))


def bd0(x: Any, m: Any) -> Any:
    """``x log(x / m) + m - x``."""
    return jnp.where(jnp.isposinf(m), m, _deviance(x, m - x, _log_quotient(x, m)))


def kl_div(x: Any, y: Any) -> Any:
    """``x log(x / y) - x + y``; infinite outside."""
    inside = (x > 0.0) & (y > 0.0)
    value = bd0(jnp.where(inside, x, 1.0), jnp.where(inside, y, 1.0))
    outside = jnp.where((x == 0.0) & (y >= 0.0), y, jnp.inf)
    return jnp.where(inside, value, jnp.where(jnp.isnan(x) | jnp.isnan(y), jnp.nan, outside))


def _halves(x: Any) -> tuple[Any, Any]:
    bits = jax.lax.bitcast_convert_type(jnp.asarray(x, dtype=jnp.float64), jnp.int64)
    high = jax.lax.bitcast_convert_type(bits & -(1 << 27), jnp.float64)
    return high, x - high


def _exact_product(a: Any, b: Any) -> tuple[Any, Any]:
    product = a * b
    (a1, a2), (b1, b2) = _halves(a), _halves(b)
    return product, ((a1 * b1 - product) + a1 * b2 + a2 * b1) + a2 * b2


def _gap(n: Any, k: Any, p: Any) -> Any:
    """``(n + k) * p - n``, rounded once or twice."""
    np_, np_error = _exact_product(n, p)
    kp, kp_error = _exact_product(k, p)
    total = np_ + kp
    part = total - np_
    total_error = (np_ - (total - part)) + (kp - part)
    return (total - n) + (total_error + (np_error + kp_error))


def _log_total(x: Any, y: Any) -> Any:
    more = y / x
    return jnp.where(jnp.isinf(more), jnp.log(y) - jnp.log(x), jnp.log1p(more))


def nb_deviance(n: Any, k: Any, p: Any) -> Any:
    """``n log(n / ((n + k) p)) + k log(k / ((n + k) (1 - p)))``."""
    gap = _gap(n, k, p)
    of_successes = _deviance(n, gap, -(_log_total(n, k) + jnp.log(p)))
    return of_successes + _deviance(k, -gap, -(_log_total(k, n) + jnp.log1p(-p)))


def nb_log_ratio(n: Any, k: Any, p: Any) -> Any:
    """``log(n / ((n + k) p))``."""
    gap = _gap(n, k, p)
    near = jnp.abs(gap) < 0.5 * jnp.abs(n)
    return jnp.where(near, -jnp.log1p(jnp.where(near, gap, 0.0) / n), -(_log_total(n, k) + jnp.log(p)))


def nb_slope(n: Any, k: Any, p: Any) -> Any:
    """``k / (1 - p) - n / p``."""
    return jnp.where(k == 0.0, -(n / p), _gap(n, k, p) / p / (1.0 - p))
