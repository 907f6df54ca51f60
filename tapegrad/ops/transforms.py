"""Box-Cox transforms, entropies and robust losses of scipy.special.

Their slopes in the exponent are written by two functions that have no singularity where the exponent is 0:
``(exp(x) - 1) / x``, and ``log(1 + x) / x`` of `quotients`, with derivatives of every order.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tapegrad.ops.deviances import log_ratio, one_less_ratio
from tapegrad.ops.elementwise import absolute, exp, log, log1p, power, relu, sqrt, square
from tapegrad.ops.logic import clip, greater, where
from tapegrad.ops.orders import of_order
from tapegrad.ops.quotients import log1p_over
from tapegrad.ops.raw import special
from tapegrad.ops.registry import Op, Per, elementwise, written
from tapegrad.ops.trigonometric import cos_arctan, sin_arctan

# (exp(x) - 1) / x -------------------------------------------------------------------------------------------

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(40)
_NODES, _WEIGHTS = 0.5 * (_NODES + 1.0), 0.5 * _WEIGHTS
WIDE = 20.0  # from here on a recurrence, before it the integral of t**n exp(x t) for t from 0 to 1


def _exprel_slope(n: int, x: Any, out: Any = None) -> Any:
    x = np.asarray(x, dtype=float)
    if n == 0:
        return written(special.exprel(x), out)
    wide = np.abs(x) > WIDE
    near = np.where(wide, 0.0, x)[..., None] * _NODES
    value = np.sum(np.exp(near) * (_WEIGHTS * _NODES**n), axis=-1)
    if np.any(wide):
        far = np.where(wide, x, WIDE)
        top = np.exp(far)
        found = np.expm1(far) / far
        for k in range(1, n + 1):
            found = (top - k * found) / far
        found = np.where(np.isposinf(far), np.inf, found)
        value = np.where(wide, found, value)
    return written(np.where(np.isnan(x), np.nan, value), out)


exprel_slope: Op = of_order(
    "exprel_slope",
    _exprel_slope,
    lambda out, n, x: exprel_slope(n + 1.0, x),
    samples=((1.0, 0.7), (1.0, np.array([-30.0, -1.5, 0.0, 2.5]))),
)
exprel = elementwise(
    "exprel",
    special.exprel,
    lambda out, x: exprel_slope(1.0, x),
    samples=((np.array([-30.0, -1.5, 0.0, 2.5]),),),
)

# Box and Cox ------------------------------------------------------------------------------------------------


def _box_slope(n: int, u: Any, lmbda: Any, out: Any = None) -> Any:
    u, lmbda = np.broadcast_arrays(np.asarray(u, dtype=float), np.asarray(lmbda, dtype=float))
    at_0 = np.isneginf(u) & (lmbda > 0.0)
    inside = np.where(at_0, 0.0, u)
    value = inside ** (n + 1) * _exprel_slope(n, lmbda * inside)
    if np.any(at_0):
        edge = -((-1.0) ** n) * math.factorial(n) / np.where(at_0, lmbda, 1.0) ** (n + 1)
        value = np.where(at_0, edge, value)
    return written(value, out)


def _box_in_u(out: Any, n: Any, u: Any, lmbda: Any) -> Any:
    return exp(lmbda * u) * power(u, n)


# The derivative of ``(exp(lmbda u) - 1) / lmbda`` in `lmbda`; for u = log(x), that of boxcox.
box_slope: Op = of_order(
    "box_slope",
    _box_slope,
    _box_in_u,
    lambda out, n, u, lmbda: box_slope(n + 1.0, u, lmbda),
    samples=((1.0, 0.7, 0.4), (1.0, np.array([-3.0, 0.4, 2.5]), np.array([-0.5, 0.3, 1.5]))),
)
EXPONENTS = np.array([0.5, 0.0, -1.2])
AT = np.array([0.6, 1.3, 2.5])

boxcox = elementwise(
    "boxcox",
    special.boxcox,
    lambda out, x, lmbda: power(x, lmbda - 1.0),
    lambda out, x, lmbda: box_slope(1.0, log(x), lmbda),
    samples=((AT, EXPONENTS),),
)
boxcox1p = elementwise(
    "boxcox1p",
    special.boxcox1p,
    lambda out, x, lmbda: exp((lmbda - 1.0) * log1p(x)),
    lambda out, x, lmbda: box_slope(1.0, log1p(x), lmbda),
    samples=((AT, EXPONENTS),),
)


def _inverse_in_power(y: Any, lmbda: Any) -> Any:
    """Of ``log(1 + lmbda y) / lmbda``."""
    return square(y) * log1p_over(1.0, lmbda * y)


inv_boxcox = elementwise(
    "inv_boxcox",
    special.inv_boxcox,
    (lambda out, y, lmbda: out, Per(lambda out, y, lmbda: 1.0 + lmbda * y)),
    (lambda out, y, lmbda: out, lambda out, y, lmbda: _inverse_in_power(y, lmbda)),
    samples=((np.array([0.6, 0.3, -0.5]), EXPONENTS),),
)
inv_boxcox1p = elementwise(
    "inv_boxcox1p",
    special.inv_boxcox1p,
    (lambda out, y, lmbda: 1.0 + out, Per(lambda out, y, lmbda: 1.0 + lmbda * y)),
    (lambda out, y, lmbda: 1.0 + out, lambda out, y, lmbda: _inverse_in_power(y, lmbda)),
    samples=((np.array([0.6, 0.3, -0.5]), EXPONENTS),),
)


def _tukey_slope(p: Any, lmbda: Any) -> Any:
    """Of Tukey's quantile function, ``boxcox(p, lmbda) - boxcox(1 - p, lmbda)``."""
    return power(p, lmbda - 1.0) + power(1.0 - p, lmbda - 1.0)


def _tukey_in_power(p: Any, lmbda: Any) -> Any:
    return box_slope(1.0, log(p), lmbda) - box_slope(1.0, log1p(-p), lmbda)


tklmbda = elementwise(
    "tklmbda",
    special.tklmbda,
    Per(lambda out, x, lmbda: _tukey_slope(out, lmbda)),
    (
        -1.0,
        lambda out, x, lmbda: _tukey_in_power(out, lmbda),
        Per(lambda out, x, lmbda: _tukey_slope(out, lmbda)),
    ),
    samples=((np.array([0.6, -0.3, 0.5]), np.array([0.5, 0.1, -0.6])),),
)


powm1 = elementwise(
    "powm1",
    special.powm1,
    (lambda out, x, y: y, lambda out, x, y: power(x, y - 1.0)),
    (lambda out, x, y: power(x, y), lambda out, x, y: log(x)),
    samples=((AT, EXPONENTS),),
)

# Entropies --------------------------------------------------------------------------------------------------

entr = elementwise("entr", special.entr, lambda out, x: -1.0 - log(x), samples=((AT,),))
rel_entr = elementwise(
    "rel_entr",
    special.rel_entr,
    lambda out, x, y: 1.0 + log_ratio(x, y),
    (-1.0, lambda out, x, y: x, Per(lambda out, x, y: y, of_nothing=True)),
    samples=((AT, np.array([1.1, 0.4, 2.6])),),
)
kl_div = elementwise(
    "kl_div",
    special.kl_div,
    lambda out, x, y: log_ratio(x, y),
    lambda out, x, y: one_less_ratio(x, y),
    samples=((AT, np.array([1.1, 0.4, 2.6])),),
)

# Losses -----------------------------------------------------------------------------------------------------


huber: Op = elementwise(
    "huber",
    special.huber,
    lambda out, delta, r: relu(absolute(r) - delta),
    lambda out, delta, r: clip(r, -delta, delta),
    samples=((1.2, np.array([0.5, -3.0, 2.2])),),
)


def _stretch(delta: Any, r: Any) -> Any:
    return sqrt(1.0 + square(r / delta))


def _pseudo_huber_in_delta(delta: Any, r: Any) -> Any:
    s = _stretch(delta, r)
    return delta * square(square(r / delta) / (s + 1.0)) / s


def _pseudo_huber_in_r(delta: Any, r: Any) -> Any:
    """``r / sqrt(1 + (r / delta)**2)``, at infinity as well."""
    far = greater(absolute(r), delta)
    u = r / delta
    return where(far, delta * sin_arctan(u), where(far, 0.0, r) * cos_arctan(u))


pseudo_huber: Op = elementwise(
    "pseudo_huber",
    special.pseudo_huber,
    lambda out, delta, r: _pseudo_huber_in_delta(delta, r),
    lambda out, delta, r: _pseudo_huber_in_r(delta, r),
    samples=((1.2, np.array([0.5, -3.0, 2.2])),),
)
