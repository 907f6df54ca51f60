"""What printed source calls, in JAX: functions that JAX has not, or has with other digits."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
from jax.scipy import special as jsp


def gated_matmul(ct: Any, factor: Any) -> Any:
    """A product of which zeros in `ct` keep infinities in `factor` out."""
    found = jnp.matmul(ct, factor)
    if ct.ndim == 1 and factor.ndim <= 2:
        met = ct != 0.0
        kept = jnp.matmul(ct, jnp.where(met if factor.ndim == 1 else met[:, None], factor, 0.0))
    else:
        finite = jnp.isfinite(factor)
        is_met = jnp.matmul((ct != 0.0).astype(float), (~finite).astype(float)) > 0.0
        kept = jnp.where(is_met, found, jnp.matmul(ct, jnp.where(finite, factor, 0.0)))
    return jnp.where(jnp.isnan(jnp.vdot(found, found)), kept, found)


def _at_equal_infinities(value: Any, x: Any, y: Any, instead: float) -> Any:
    return jnp.where((x == y) & jnp.isinf(x), instead, value)


def exp_gap(x: Any, y: Any) -> Any:
    """``exp(-|x - y|)``."""
    return _at_equal_infinities(jnp.exp(-jnp.abs(x - y)), x, y, 1.0)


def share(x: Any, y: Any) -> Any:
    """What ``exp(x)`` is of ``exp(x) + exp(y)``."""
    return _at_equal_infinities(jsp.expit(x - y), x, y, 0.5)


def both_shares(x: Any, y: Any) -> Any:
    """The product of both shares."""
    e = exp_gap(x, y)
    return e / (1.0 + e) ** 2


def share_gap(x: Any, y: Any) -> Any:
    """The first share less the second."""
    return _at_equal_infinities(jnp.tanh(0.5 * (x - y)), x, y, 0.0)


def sin_arctan(x: Any) -> Any:
    """``x / sqrt(1 + x**2)``."""
    return jnp.where(jnp.isinf(x), jnp.sign(x), x / jnp.hypot(1.0, x))


def sech(x: Any) -> Any:
    """``1 / cosh(x)``."""
    e = jnp.exp(-jnp.abs(x))
    return 2.0 * e / (e * e + 1.0)


def log_cosh(x: Any) -> Any:
    """The logarithm of cosh."""
    size = jnp.abs(x)
    near = jnp.minimum(size, 1.0)
    far = size + jnp.log1p(jnp.exp(-2.0 * size)) - jnp.log(2.0)
    return jnp.where(size < 1.0, 0.5 * jnp.log1p(jnp.sinh(near) ** 2), far)


def cosine(x: Any, y: Any) -> Any:
    """``x / hypot(x, y)``, 0 at the origin."""
    top = jnp.maximum(jnp.abs(x), jnp.abs(y))
    ordinary = (top > 0.0) & jnp.isfinite(top)
    a, b = jnp.where(ordinary, x / top, 0.0), jnp.where(ordinary, y / top, 1.0)
    infinite = jnp.where(jnp.isinf(x) & jnp.isfinite(y), jnp.sign(x), x / jnp.hypot(x, y))
    return jnp.where(ordinary, a / jnp.hypot(a, b), jnp.where(top == 0.0, 0.0, infinite))


def log1mexp(x: Any) -> Any:
    """``log(1 - exp(x))``."""
    return jnp.where(x > -0.6931471805599453, jnp.log(-jnp.expm1(x)), jnp.log1p(-jnp.exp(x)))


def xlogy(x: Any, y: Any) -> Any:
    """``x log(y)``, 0 where x is."""
    return jnp.where((x == 0.0) & ~jnp.isnan(y), 0.0, x * jnp.log(y))


def xlog1py(x: Any, y: Any) -> Any:
    """``x log(1 + y)``, 0 where x is."""
    return jnp.where((x == 0.0) & ~jnp.isnan(y), 0.0, x * jnp.log1p(y))


def log_ratio(x: Any, m: Any) -> Any:
    """``log(x / m)``, with its digits where both are close."""
    gap = x - m
    near = jnp.abs(gap) <= 0.5 * jnp.abs(m)
    return jnp.where(near, jnp.log1p(jnp.where(near, gap, 0.0) / m), jnp.log(x) - jnp.log(m))


def one_less_ratio(x: Any, m: Any) -> Any:
    """``1 - x / m``."""
    return jnp.where((x == 0.0) | jnp.isposinf(m), 1.0, (m - x) / m)


def ndtr(x: Any) -> Any:
    """The normal distribution function, with its digits in the lower tail."""
    return 0.5 * jsp.erfc(-x * 0.7071067811865476)


def log_ndtr(x: Any) -> Any:
    """The logarithm of the normal distribution function; JAX's own loses its digits above 5."""
    low = jnp.minimum(x, 0.0)
    below = jnp.log(0.5 * jsp.erfcx(-low * 0.7071067811865476)) - 0.5 * low * low
    return jnp.where(x < 0.0, below, jnp.log1p(-0.5 * jsp.erfc(x * 0.7071067811865476)))


def polygamma(n: Any, x: Any) -> Any:
    """Derivatives of digamma, of an order that is a float."""
    factorial = jnp.exp(jsp.gammaln(n + 1.0)) if jnp.ndim(n) else float(math.factorial(int(n)))
    sign = jnp.where(n % 2.0 == 0.0, -1.0, 1.0)
    return sign * factorial * jsp.zeta(n + 1.0, x)


def logsumexp(x: Any, axis: Any, keepdims: bool) -> Any:
    """The logarithm of a sum of exponentials."""
    top = jnp.max(x, axis=axis, keepdims=True, initial=-jnp.inf)
    top = jnp.where(jnp.isfinite(top), top, 0.0)
    total = jnp.log(jnp.sum(jnp.exp(x - top), axis=axis, keepdims=True)) + top
    return total if keepdims else jnp.squeeze(total, axis=axis)


def recurrence(a: Any, b: Any, start: Any, reverse: bool) -> Any:
    """``s[t] = a[t] s[t - 1] + b[t]``, against the direction of time where it is reversed."""
    a, b, start = jnp.asarray(a), jnp.asarray(b), jnp.asarray(start)
    varies = a.ndim > 2 * start.ndim

    def step(state: Any, own: Any) -> Any:
        factor, constant = own if varies else (a, own)
        state = (factor @ state if state.ndim else factor * state) + constant
        return state, state

    return jax.lax.scan(step, start, (a, b) if varies else b, reverse=reverse)[1]


def outside(index: Any, length: int) -> Any:
    """Whether an index names elements that do not exist, for which JAX takes others without a word."""
    return jnp.any((index < -length) | (index >= length))
