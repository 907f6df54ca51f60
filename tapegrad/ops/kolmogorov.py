"""The limiting distribution of Kolmogorov and Smirnov, by its two series.

The survival function is ``2 sum (-1)**(k - 1) exp(-2 k**2 x**2)``, and one less ``sqrt(2 pi) / x`` times the
sum of ``exp(-(2 k - 1)**2 pi**2 / (8 x**2))``: the one converges for large x, the other for small ones. Both
are differentiated term by term.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy.special import _ufuncs

from tapegrad.ops.orders import of_order
from tapegrad.ops.raw import special
from tapegrad.ops.registry import NUMPY, Op, Per, elementwise, written

BORDER = 0.82  # between both series
TERMS = 6


def _far(n: int, x: Any) -> Any:
    total: Any = 0.0
    for k in range(1, TERMS):
        root = math.sqrt(2.0) * k
        hermite = np.polynomial.hermite.hermval(root * x, [0.0] * n + [(-root) ** n])
        total = total - (-1.0) ** k * 2.0 * hermite * np.exp(-np.square(root * x))
    return total


def _near(n: int, x: Any) -> Any:
    """That of the distribution function: each term is ``u exp(-b u**2)`` in ``u = 1 / x``."""
    u, total = 1.0 / x, 0.0
    for k in range(1, TERMS):
        b = ((2.0 * k - 1.0) * math.pi) ** 2 / 8.0
        factor = np.polynomial.Polynomial([0.0, 1.0])  # in u; d / dx is -u**2 d / du
        for _ in range(n):
            square = np.polynomial.Polynomial([0.0, 0.0, -1.0])
            factor = square * (factor.deriv() - factor * np.polynomial.Polynomial([0.0, 2.0 * b]))
        total = total + factor(u) * np.exp(-b * u * u)
    return math.sqrt(2.0 * math.pi) * total


def _slope(n: int, x: Any, out: Any = None) -> Any:
    x = np.asarray(x, dtype=float)
    if n == 0:
        return written(np.asarray(special.kolmogorov(x)), out)
    with np.errstate(all="ignore"):
        far = x > BORDER
        value = np.where(far, _far(n, np.where(far, np.minimum(x, 30.0), 1.0)), 0.0)
        near = (x > 0.02) & ~far
        value = np.where(near, -_near(n, np.where(near, x, 0.5)), value)
    return written(np.where(np.isnan(x), np.nan, value), out)


AT = np.array([0.4, 0.8, 1.1, 2.0])

# The survival function, differentiated n times.
kolmogorov_slope: Op = of_order(
    "kolmogorov_slope",
    _slope,
    lambda out, n, x: kolmogorov_slope(n + 1.0, x),
    samples=((1.0, AT), (2.0, AT)),
)
kolmogorov = elementwise(
    "kolmogorov", special.kolmogorov, lambda out, x: kolmogorov_slope(1.0, x), samples=((AT,),)
)
kolmogorov_cdf = elementwise(
    "kolmogorov_cdf",
    _ufuncs._kolmogc,
    (-1.0, lambda out, x: kolmogorov_slope(1.0, x)),
    samples=((AT,),),
)
kolmogi = elementwise(
    "kolmogi",
    special.kolmogi,
    Per(lambda out, p: kolmogorov_slope(1.0, out)),
    samples=((np.array([0.2, 0.7]),),),
)
kolmogorov_quantile = elementwise(
    "kolmogorov_quantile",
    _ufuncs._kolmogci,
    (-1.0, Per(lambda out, p: kolmogorov_slope(1.0, out))),
    samples=((np.array([0.2, 0.7]),),),
)
NUMPY[_ufuncs._kolmogp] = lambda x: kolmogorov_slope(1.0, x)
