"""The gamma family, logistic functions and products with a logarithm of scipy.special.

Derivatives: NIST Digital Library of Mathematical Functions, chapter 5.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tapegrad.ops.elementwise import LOG10, POSITIVE, both_shares, cbrt, exp2, expm1, log, log1p, rint
from tapegrad.ops.orders import of_order
from tapegrad.ops.raw import special
from tapegrad.ops.registry import NUMPY, Op, Per, elementwise, written

# scipy.special has ufuncs of its own for these.
NUMPY.update({special.expm1: expm1, special.log1p: log1p, special.exp2: exp2, special.cbrt: cbrt})
NUMPY.update({special.round: rint})
exp10: Op = elementwise(
    "exp10",
    special.exp10,
    (LOG10, lambda out, x: out),
    samples=((np.array([-0.7, 0.4]),),),
    c="exp10({0})",
)

PROBABILITY = (0.1, 0.9)

# The gamma family -------------------------------------------------------------------------------------------

gammaln = elementwise(
    "gammaln", special.gammaln, lambda out, x: digamma(x), domain=POSITIVE, c="tg_lgamma({0})"
)
digamma: Op = elementwise(
    "digamma", special.digamma, lambda out, x: polygamma(1.0, x), domain=POSITIVE, c="tg_digamma({0})"
)


def _polygamma(n: Any, x: Any, out: Any = None) -> Any:
    value = special.polygamma(n, x)
    if out is None:
        return value[()]
    np.copyto(out, value)
    return out


polygamma: Op = elementwise(
    "polygamma",
    _polygamma,
    None,
    lambda out, n, x: polygamma(n + 1.0, x),
    domain=((1.0, 1.0), POSITIVE),
    numpy=(special.polygamma,),
    c="tg_polygamma({0}, {1})",
)
gamma = elementwise("gamma", special.gamma, (lambda out, x: out, lambda out, x: digamma(x)), domain=POSITIVE)


FAR = 12.0  # from here on Stirling's series has 16 digits
# Of the digamma function's asymptotic series: Bernoulli's numbers B(2k) / 2k.
STIRLING = (1 / 12, -1 / 120, 1 / 252, -1 / 240, 1 / 132, -691 / 32760, 1 / 12, -3617 / 8160)


def _step_of_power(x: Any, gain: Any, k: int) -> Any:
    """``(x + h)**-k - x**-k``, for the gain ``log1p(h / x)``."""
    step = np.expm1(-k * gain)
    for _ in range(k):
        step = step / x
    return step


def _step_far(n: int, x: Any, h: Any) -> Any:
    gain = np.log1p(h / x)
    sign = (-1.0) ** (n + 1)
    total = gain if n == 0 else sign * math.factorial(n - 1) * _step_of_power(x, gain, n)
    total = total + sign * 0.5 * math.factorial(n) * _step_of_power(x, gain, n + 1)
    for i, number in enumerate(STIRLING):
        k = 2 * (i + 1)
        rising = math.factorial(k + n - 1) // math.factorial(k - 1)
        total = total + sign * number * rising * _step_of_power(x, gain, k + n)
    return total


def _polygamma_step(order: int, x: Any, h: Any, out: Any = None) -> Any:
    start, way = np.asarray(x, dtype=float), h
    ordinary = (start > 0.0) & (np.asarray(way) >= 0.0) & np.isfinite(way)
    x, h = np.where(ordinary, start, 1.0), np.where(ordinary, way, 1.0)
    total: Any = 0.0
    sign = (-1.0) ** (order + 1) * math.factorial(order)
    for _ in range(int(FAR)):  # psi(x + 1) = psi(x) + 1 / x
        near = x < FAR
        if not np.any(near):
            break
        total = total + np.where(near, sign * _step_of_power(x, np.log1p(h / x), order + 1), 0.0)
        x = np.where(near, x + 1.0, x)
    total = total + _step_far(order, x, h)
    if not np.all(ordinary):
        plain = special.polygamma(order, start + way) - special.polygamma(order, start)
        total = np.where(ordinary, total, plain)
    return written(total, out)


# polygamma(n, x + h) - polygamma(n, x), where n = 0 is digamma, with the digits that would cancel.
polygamma_step: Op = of_order(
    "polygamma_step",
    _polygamma_step,
    lambda out, n, x, h: polygamma_step(n + 1.0, x, h),
    lambda out, n, x, h: polygamma(n + 1.0, x + h),
    samples=tuple((n, np.array([0.3, 2.0, 40.0]), np.array([1.5, 0.01, 3.0])) for n in (1.0, 2.0)),
    c="tg_polygamma_step({0}, {1}, {2})",
)
beta = elementwise(
    "beta",
    special.beta,
    (lambda out, a, b: -out, lambda out, a, b: polygamma_step(0.0, a, b)),
    (lambda out, a, b: -out, lambda out, a, b: polygamma_step(0.0, b, a)),
    domain=POSITIVE,
)
betaln = elementwise(
    "betaln",
    special.betaln,
    (-1.0, lambda out, a, b: polygamma_step(0.0, a, b)),
    (-1.0, lambda out, a, b: polygamma_step(0.0, b, a)),
    domain=POSITIVE,
    c="tg_betaln({0}, {1})",
)

# Logistic functions -----------------------------------------------------------------------------------------

expit: Op = elementwise(
    "expit", special.expit, lambda out, x: both_shares(x, 0.0), flattens=0, c="tg_expit({0})"
)
log_expit = elementwise(
    "log_expit", special.log_expit, lambda out, x: expit(-x), flattens=0, c="tg_log_expit({0})"
)
logit = elementwise(
    "logit",
    special.logit,
    (Per(lambda out, x: x), Per(lambda out, x: 1.0 - x)),
    domain=PROBABILITY,
    c="tg_logit({0})",
)


def _softplus(x: Any, out: Any = None) -> Any:
    return np.logaddexp(0.0, x, out=out)


softplus = elementwise(
    "softplus", _softplus, lambda out, x: expit(x), flattens=0, numpy=(), c="tg_softplus({0})"
)

# Products with a logarithm ----------------------------------------------------------------------------------


# 0 * log(y) is 0 for every y, so its slope is 0 too, at y = 0 as well.
xlogy = elementwise(
    "xlogy",
    special.xlogy,
    lambda out, x, y: log(y),
    (lambda out, x, y: x, Per(lambda out, x, y: y, of_nothing=True)),
    domain=POSITIVE,
    c="tg_xlogy({0}, {1})",
)
xlog1py = elementwise(
    "xlog1py",
    special.xlog1py,
    lambda out, x, y: log1p(y),
    (lambda out, x, y: x, Per(lambda out, x, y: 1.0 + y, of_nothing=True)),
    domain=(POSITIVE, (-0.9, 0.9)),
    c="tg_xlog1py({0}, {1})",
)
