"""Differences of log-gammas, and what Stirling's formula leaves of one: the digits that large arguments lose.

``gammaln(x + a) - gammaln(x)`` has no correct digit where `x` is 1e16, nor have its derivatives from 1e12 on.
Here what cancels is taken out by hand: with ``log Gamma(x) = x log(x) - x + log(2 pi) / 2 + R(x)``,

    log Gamma(x + a) - log Gamma(x) = x log1p(a / x) - a + a log(x + a) + R(x + a) - R(x)

where R is ``-log(x) / 2`` and Stirling's series (NIST Digital Library of Mathematical Functions, 5.11).
Orders of derivatives are inputs, as that of `polygamma`. `x` is positive, and `a` is a count: 0, 1, 2, ...
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from tapegrad.ops.orders import of_order
from tapegrad.ops.raw import special
from tapegrad.ops.registry import Elementwise, Op, broadcast, register
from tapegrad.ops.special import digamma, polygamma

HALF_LOG_2PI = 0.5 * math.log(2.0 * math.pi)
FAR = 12.0  # from here on, the series has 16 digits, up to its third derivative
BERNOULLI = (
    *(1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730),
    *(7 / 6, -3617 / 510, 43867 / 798, -174611 / 330, 854513 / 138, -236364091 / 2730),
)

Kernel = Callable[..., Any]


@cache
def _coefficients(order: int) -> tuple[float, ...]:
    """Of the derivative of Stirling's series, in powers of ``x**-2`` after the first, ``x**(-1 - order)``."""
    found = []
    for i, number in enumerate(BERNOULLI):
        power = 2 * i + 1
        rising = math.prod(range(power, power + order))
        found.append((-1) ** order * rising * number / (power * (power + 1)))
    return tuple(found)


def _series(order: int, x: Any) -> Any:
    """Stirling's series at x >= FAR, or its derivative."""
    t = 1.0 / x
    z = t * t
    first, *others = reversed(_coefficients(order))
    total: Any = first
    for coefficient in others:
        total = total * z + coefficient
    for _ in range(order + 1):
        total = total * t
    return total


def _log_gain(order: int, x: Any, a: Any) -> Any:
    """``log(x + a) - log(x)``, or its derivative in x."""
    gain = np.log1p(a / x)
    return gain if order == 0 else _log_factor(order) * x ** (-float(order)) * np.expm1(-order * gain)


def _log_factor(order: int) -> float:
    """The derivative of log(x) as a multiple of ``x**-order``."""
    return float((-1) ** (order - 1) * math.factorial(order - 1))


def _chosen(near: Kernel, far: Kernel, x: Any, *others: Any) -> Any:
    """`near` below FAR and `far` above, on (x, *others)."""
    if isinstance(x, float):
        x = np.float64(x)  # of Python's floats, 1 / 0 would be an error
    if x.ndim == 0:
        return near(x, *others) if x < FAR else far(x, *others)
    is_near = np.less(x, FAR)
    if not np.any(is_near):
        return far(x, *others)
    if np.all(is_near):
        return near(x, *others)
    low, high = np.where(is_near, x, 1.0), np.where(is_near, FAR, x)
    return np.where(is_near, near(low, *others), far(high, *others))


def _given(value: Any, out: Any) -> Any:
    if out is None:
        return value[()] if isinstance(value, np.ndarray) else value
    np.copyto(out, value)
    return out


def _difference(f: Kernel, x: Any, a: Any, out: Any = None) -> Any:
    """``f(x + a) - f(x)``, which is 0 for ``a = 0`` even where f is infinite, next to ``x = 0``."""
    gain = np.subtract(f(np.add(x, a, out=out), out=out), f(x), out=out)
    tiny = float(x) < 1e-100 if np.ndim(x) == 0 else np.less(x, 1e-100).any()
    return _given(np.where(np.equal(a, 0.0), 0.0, gain), out) if tiny else gain


# What Stirling's formula leaves -----------------------------------------------------------------------------


def _rest_near(order: int, x: Any) -> Any:
    # By way of Gamma(x + 1) = x Gamma(x): of the poles at 0, which would cancel, one is left.
    if order == 0:
        return special.gammaln(x + 1.0) - (x + 1.0) * np.log(x) + x - HALF_LOG_2PI
    if order == 1:
        return special.digamma(x + 1.0) - np.log(x) - 1.0 / x
    pole = 1.0 - (order - 1.0) / x
    for i in range(1, order):
        pole = pole * (-max(i - 1.0, 1.0)) / x
    return special.polygamma(order - 1, x + 1.0) + pole


def _rest_far(order: int, x: Any) -> Any:
    first = np.log(x) if order == 0 else _log_factor(order) * x ** (-float(order))
    return _series(order, x) - 0.5 * first


def _rest(order: int, x: Any) -> Any:
    return _chosen(lambda x: _rest_near(order, x), lambda x: _rest_far(order, x), x)


def _rest_gain(order: int, x: Any, a: Any) -> Any:
    def near(x: Any, a: Any) -> Any:
        return _difference(lambda x, out=None: _rest(order, x), x, a)

    def far(x: Any, a: Any) -> Any:
        return _series(order, x + a) - _series(order, x) - 0.5 * _log_gain(order, x, a)

    return _chosen(near, far, x, a)


def _gamma_rest(order: int, x: Any, out: Any = None) -> Any:
    return _given(_rest(order, x), out)


def _gamma_rest_gain(order: int, x: Any, a: Any, out: Any = None) -> Any:
    return _given(_rest_gain(order, x, a), out)


X = np.array([0.4, 3.0, 40.0])
A = np.array([2.0, 0.0, 5.0])

# log Gamma(x) - (x log(x) - x + log(2 pi) / 2), and its derivatives.
gamma_rest: Op = of_order(
    "gamma_rest",
    _gamma_rest,
    lambda out, order, x: gamma_rest(order + 1.0, x),
    samples=((0.0, 1.5), (0.0, X), (1.0, X[:, None]), (2.0, 20.0 * X)),
    c="tg_gamma_rest({0}, {1})",
)

# The same at x + a less that at x.
gamma_rest_gain: Op = of_order(
    "gamma_rest_gain",
    _gamma_rest_gain,
    lambda out, order, x, a: gamma_rest_gain(order + 1.0, x, a),
    lambda out, order, x, a: gamma_rest(order + 1.0, x + a),
    samples=((0.0, 1.5, 3.0), (0.0, X, A), (1.0, X[:, None], A), (2.0, 20.0 * X, 4.0)),
    c="tg_gamma_rest_gain({0}, {1}, {2})",
)


# Differences of log-gammas ----------------------------------------------------------------------------------


def _log_poch_far(x: Any, a: Any) -> Any:
    rest = _rest_gain(0, x, a) + (x * np.log1p(a / x) - a)
    return a * np.log(x + a) + rest


def _log_poch(x: Any, a: Any, out: Any = None) -> Any:
    if isinstance(x, float) and isinstance(a, float) and 0.0 < x < FAR and out is None:
        return special.gammaln(x + a) - special.gammaln(x)
    if np.ndim(x) == 0 and float(x) < FAR:  # the way without delay
        return _difference(special.gammaln, x, a, out)
    return _given(_chosen(lambda x, a: _difference(special.gammaln, x, a), _log_poch_far, x, a), out)


def _polygamma_gain(n: int, x: Any, a: Any, out: Any = None) -> Any:
    if isinstance(x, float) and isinstance(a, float) and 1e-100 < x < FAR and n == 0 and out is None:
        return special.digamma(x + a) - special.digamma(x)
    f = special.digamma if n == 0 else lambda x, out=None: special.polygamma(n, x)
    if np.ndim(x) == 0 and float(x) < FAR:
        return _difference(f, x, a, out)

    def far(x: Any, a: Any) -> Any:
        return _rest_gain(n + 1, x, a) + _log_gain(n, x, a)

    return _given(_chosen(lambda x, a: _difference(f, x, a), far, x, a), out)


# polygamma(n, x + a) - polygamma(n, x), of which n = 0 is the digamma function.
polygamma_gain: Op = of_order(
    "polygamma_gain",
    _polygamma_gain,
    lambda out, n, x, a: polygamma_gain(n + 1.0, x, a),
    lambda out, n, x, a: polygamma(n + 1.0, x + a),
    samples=((0.0, 1.5, 3.0), (0.0, X, A), (1.0, X[:, None], A), (1.0, 20.0 * X, 4.0)),
    c="tg_polygamma_gain({0}, {1}, {2})",
)

# log Gamma(x + a) - log Gamma(x): the logarithm of the rising factorial x (x + 1) ... (x + a - 1), which is
# Pochhammer's symbol.
log_poch: Op = register(
    Op(
        "log_poch",
        _log_poch,
        broadcast,
        Elementwise(
            (lambda out, x, a: polygamma_gain(0.0, x, a), lambda out, x, a: digamma(x + a)),
        ),
        samples=(
            ((1.5, 3.0), {}),
            ((X, A), {}),
            ((X[:, None], A), {}),
            ((20.0 * X, 4.0), {}),
            ((2.5, A), {}),
        ),
        c="tg_log_poch({0}, {1})",
    )
)
