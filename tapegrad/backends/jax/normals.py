"""What printed source calls of the normal distribution and of functions without a singularity.

The formulas are those of `tapegrad.ops.normal`, `quotients`, `transforms`, `circular` and `waves`. Orders of
derivatives are numbers of Python.
"""

from __future__ import annotations

import math
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.scipy import special as jsp

from tapegrad.backends.jax.gammas import horner
from tapegrad.ops import circular
from tapegrad.ops.normal import FORWARD, SQRT_2PI, SQRT_HALF, TAIL, TWO_OVER_SQRT_PI, _in_powers, _unit_rule
from tapegrad.ops.quotients import NEAR, NODES
from tapegrad.ops.transforms import _NODES, _WEIGHTS, WIDE

# The normal distribution ------------------------------------------------------------------------------------


def ndtr(x: Any) -> Any:
    """The normal distribution function, with its digits in the lower tail."""
    return 0.5 * jsp.erfc(-x * SQRT_HALF)


def log_ndtr(x: Any) -> Any:
    """The logarithm of the normal distribution function; JAX's own loses its digits above 5."""
    low = jnp.minimum(x, 0.0)
    below = jnp.log(0.5 * jsp.erfcx(-low * SQRT_HALF)) - 0.5 * low * low
    return jnp.where(x < 0.0, below, jnp.log1p(-0.5 * jsp.erfc(x * SQRT_HALF)))


def _mills(x: Any) -> Any:
    """The density by the distribution function."""
    right = jnp.exp(-0.5 * (x * x)) / SQRT_2PI
    return jnp.where(x > 30.0, right, 2.0 / SQRT_2PI / jsp.erfcx(-x * SQRT_HALF))


def _ratios(x: Any, most: int, steps: int = 150) -> list[Any]:
    """Of each repeated integral of erfc and the one before it: the function of `ops.normal` in JAX."""
    ratio = 1.0 / (x + jnp.sqrt(x * x + 2.0 * (steps + 1)))
    found: list[Any] = []
    for k in range(steps, 0, -1):
        ratio = 1.0 / (2.0 * x + 2.0 * (k + 1) * ratio)
        if k <= most:
            found.append(ratio)
    return found[::-1]


def log_ndtr_slope(n: int, x: Any) -> Any:
    """The derivative of order n >= 1 of `log_ndtr`."""
    x = jnp.asarray(x)
    m = _mills(x)
    if n == 1:
        return m
    at, numbers = jnp.where(m == 0.0, 0.0, x), _in_powers(n)
    total: Any = 0.0
    for j in range(n, 0, -1):
        total = (total + horner([numbers.get((i, j), 0) for i in range(n + 1)], at)) * m
    far = x < TAIL.get(n, -2.0)
    moments: list[Any] = [1.0]
    for k, ratio in enumerate(_ratios(SQRT_HALF * jnp.where(far, -x, 2.0), n), start=1):
        moments.append(moments[-1] * (k * math.sqrt(2.0)) * ratio)
    cumulants: list[Any] = []
    for k in range(1, n + 1):
        others = (math.comb(k - 1, i - 1) * cumulants[i - 1] * moments[k - i] for i in range(1, k))
        cumulants.append(moments[k] - sum(others))
    return jnp.where(far, cumulants[-1] - 1.0 if n == 2 else cumulants[-1], total)


def erfcx_integral(n: int, x: Any) -> Any:
    """The n-th repeated integral of erfc, times exp(x**2)."""
    x = jnp.asarray(x)
    before: Any = TWO_OVER_SQRT_PI
    found = jsp.erfcx(x)
    for k in range(1, n + 1):
        before, found = found, (before - 2.0 * x * found) / (2.0 * k)
    right = jnp.where(x > FORWARD, x, FORWARD)
    return jnp.where(x > FORWARD, math.prod(_ratios(right, n), start=jsp.erfcx(right)), found)


def erfcx_gap(n: int, x: Any, step: Any) -> Any:
    """That at x less that at ``x + step``."""
    x, step = jnp.broadcast_arrays(jnp.asarray(x), jnp.asarray(step))
    near = step < jnp.where(x < 0.0, 1.0 / (1.0 - x), jnp.maximum(x, 1.0))
    nodes, weights = _unit_rule()
    rise = jnp.where(near, x, 0.0)[..., None] + jnp.where(near, step, 0.0)[..., None] * nodes
    by_integral = 2.0 * (n + 1.0) * jnp.sum(erfcx_integral(n + 1, rise) * weights, axis=-1) * step
    after = jnp.where(jnp.isinf(step), 0.0, erfcx_integral(n, x + step))
    return jnp.where(near, by_integral, erfcx_integral(n, x) - after)


# Quotients --------------------------------------------------------------------------------------------------


def log1p_over(n: int, u: Any) -> Any:
    """The derivative of order n of ``log(1 + u) / u``."""
    u = jnp.asarray(u)
    if n == 0:
        some = jnp.where(u == 0.0, 1.0, u)
        return jnp.where(u == 0.0, 1.0, jnp.where(jnp.isposinf(u), 0.0, jnp.log1p(some) / some))
    near = jnp.abs(u) < NEAR
    small, large = jnp.where(near, u, 0.0), jnp.where(near, 3.0, u)
    by_rule: Any = 0.0
    for t, weight in NODES:
        by_rule = by_rule + weight * t**n / (1.0 + small * t) ** (n + 1)
    by_parts = jnp.log1p(large) / large
    for k in range(1, n + 1):
        edge = (-1.0) ** (k - 1) * math.factorial(k - 1) * (1.0 + large) ** (-k)
        by_parts = (edge - k * by_parts) / large
    return jnp.where(near, (-1.0) ** n * math.factorial(n) * by_rule, by_parts)


def exprel(x: Any) -> Any:
    """``(exp(x) - 1) / x``."""
    some = jnp.where(x == 0.0, 1.0, x)
    return jnp.where(x == 0.0, 1.0, jnp.where(jnp.isposinf(x), jnp.inf, jnp.expm1(some) / some))


def exprel_slope(n: int, x: Any) -> Any:
    """Its derivative of order n."""
    x = jnp.asarray(x)
    if n == 0:
        return exprel(x)
    wide = jnp.abs(x) > WIDE
    near = jnp.where(wide, 0.0, x)[..., None] * _NODES
    value = jnp.sum(jnp.exp(near) * (_WEIGHTS * _NODES**n), axis=-1)
    far = jnp.where(wide, x, WIDE)
    found = jnp.expm1(far) / far
    for k in range(1, n + 1):
        found = (jnp.exp(far) - k * found) / far
    found = jnp.where(jnp.isposinf(far), jnp.inf, found)
    return jnp.where(jnp.isnan(x), jnp.nan, jnp.where(wide, found, value))


def box_slope(n: int, u: Any, lmbda: Any) -> Any:
    """The derivative of order n in lmbda of ``(exp(lmbda u) - 1) / lmbda``."""
    at_0 = jnp.isneginf(u) & (lmbda > 0.0)
    inside = jnp.where(at_0, 0.0, u)
    value = inside ** (n + 1) * exprel_slope(n, lmbda * inside)
    edge = -((-1.0) ** n) * math.factorial(n) / jnp.where(at_0, lmbda, 1.0) ** (n + 1)
    return jnp.where(at_0, edge, value)


def box(u: Any, lmbda: Any) -> Any:
    """``(exp(lmbda u) - 1) / lmbda``, and u at 0: Box and Cox's transform of exp(u)."""
    some = jnp.where(lmbda == 0.0, 1.0, lmbda)
    return jnp.where(lmbda == 0.0, u, jnp.expm1(some * u) / some)


def inverse_box(y: Any, lmbda: Any) -> Any:
    """``log(1 + lmbda y) / lmbda``, and y at 0."""
    some = jnp.where(lmbda == 0.0, 1.0, lmbda)
    return jnp.where(lmbda == 0.0, y, jnp.log1p(some * y) / some)


# Others -----------------------------------------------------------------------------------------------------


def log_i0e(x: Any) -> Any:
    """The logarithm of ``I0(x) exp(-x)``."""
    x = jnp.asarray(x)
    near, far = jnp.abs(x) < circular.NEAR, x > circular.FAR
    value = jnp.log(jsp.i0e(jnp.where(far, circular.FAR, x)))
    small, t = jnp.where(near, x, 0.0), 1.0 / jnp.where(far, x, circular.FAR)
    value = jnp.where(near, horner(circular._near(0), small * small) - jnp.abs(small), value)
    return jnp.where(far, horner(circular._far(0), t) * t + 0.5 * jnp.log(t) - circular.HALF_LOG_2PI, value)


def log_i0e_slope(n: int, x: Any) -> Any:
    """Its derivative of order n >= 1."""
    x = jnp.abs(x)
    near, far = x < circular.NEAR, x > circular.FAR
    # These are arithmetic alone, for any arrays.
    by_series = circular._by_series(n, jnp.where(near, x, 0.0))
    by_asymptotics = circular._by_asymptotics(n, jnp.where(far, x, circular.FAR))
    middle = jnp.where(near | far, circular.NEAR, x)
    by_quotient = circular.quotient_slopes(n, middle, jsp.i1e(middle) / jsp.i0e(middle))
    return jnp.where(near, by_series, jnp.where(far, by_asymptotics, by_quotient))


def sinc(n: int, x: Any) -> Any:
    """The derivative of order n of ``sin(pi x) / (pi x)``."""
    y = jnp.pi * jnp.asarray(x)
    near = jnp.abs(y) <= n + 1.0
    small, far = jnp.where(near, y, 0.0), jnp.where(near, n + 2.0, y)
    start = (n + 1) // 2
    terms = [(-1.0) ** k / (math.factorial(2 * k - n) * (2.0 * k + 1.0)) for k in range(start, start + 41)]
    series = horner(terms, small * small) * (small if n % 2 else 1.0)
    value = jnp.sin(far) / far
    for k in range(1, n + 1):
        value = (jnp.sin(far + k * np.pi / 2.0) - k * value) / far
    return jnp.where(jnp.isinf(y), 0.0, math.pi**n * jnp.where(near, series, value))
