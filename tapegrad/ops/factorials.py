"""Ratios of gamma functions, and Hurwitz's zeta function, of scipy.special."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy.special import _ufuncs

from tapegrad.ops.elementwise import relu
from tapegrad.ops.logic import less, where
from tapegrad.ops.orders import of_order
from tapegrad.ops.raw import special
from tapegrad.ops.registry import NUMPY, Op, elementwise, written
from tapegrad.ops.special import digamma, polygamma_step

AT = np.array([0.6, 3.3, 12.0])
NOTHING = 180.0  # from here on, 1 / Gamma(z) is 0

# scipy.special.digamma and psi are one function by two names, which are two ufuncs in some versions.
NUMPY.update({special.psi: digamma, special.digamma: digamma})

loggamma = elementwise("loggamma", special.loggamma, lambda out, z: digamma(z), samples=((AT,),))
gammasgn = elementwise("gammasgn", special.gammasgn, None)
# 1 / Gamma(z) = z / Gamma(z + 1), which has no pole at 0.
rgamma: Op = elementwise(
    "rgamma",
    special.rgamma,
    (lambda out, z: where(less(z, NOTHING), 1.0 - z * digamma(z + 1.0), 0.0), lambda out, z: rgamma(z + 1.0)),
    samples=((AT,),),
)
poch: Op = elementwise(
    "poch",
    special.poch,
    (lambda out, z, m: out, lambda out, z, m: polygamma_step(0.0, z, m)),
    (lambda out, z, m: out, lambda out, z, m: digamma(z + m)),
    samples=((AT, np.array([2.0, 0.5, 1.7])),),
)
binom: Op = elementwise(
    "binom",
    special.binom,
    (lambda out, n, k: out, lambda out, n, k: polygamma_step(0.0, n - k + 1.0, k)),
    (lambda out, n, k: out, lambda out, n, k: digamma(n - k + 1.0) - digamma(k + 1.0)),
    samples=((AT, np.array([0.2, 1.5, 5.0])),),
)

# Zeta -------------------------------------------------------------------------------------------------------
#
# By Euler and Maclaurin: terms one by one, then an integral and Bernoulli's numbers. A function of the
# exponent s is a list of its derivatives in s, up to the order that is wanted.

FAR = 12.0  # terms are summed up to here
# Bernoulli's numbers B(2j) / (2j)!
BERNOULLI = (
    *(1 / 12, -1 / 720, 1 / 30240, -1 / 1209600, 1 / 47900160, -691 / 1307674368000, 1 / 74724249600),
    *(-3617 / 10670622842880000, 43867 / 5109094217170944000),
)
Jet = list[Any]


def _times(f: Jet, g: Jet) -> Jet:
    """A product, by Leibniz's rule."""
    return [sum(math.comb(n, k) * f[k] * g[n - k] for k in range(n + 1)) for n in range(len(f))]


def _power(t: Any, s: Any, order: int) -> Jet:
    """``t**-s``"""
    log, value = np.log(t), t**-s
    return [value * (-log) ** n for n in range(order + 1)]


def _zeta_jet(s: Any, q: Any, order: int) -> Jet:
    total: Jet = [0.0] * (order + 1)
    for k in range(int(FAR)):
        term = _power(q + k, s, order)
        total = [a + b for a, b in zip(total, term, strict=True)]
    t = q + FAR
    last = _power(t, s, order)
    above = [(-1.0) ** n * math.factorial(n) / (s - 1.0) ** (n + 1) for n in range(order + 1)]
    integral = _times([t * x for x in last], above)
    total = [a + b + 0.5 * c for a, b, c in zip(total, integral, last, strict=True)]
    rising = _linear(s, order)  # s (s + 1) ... (s + 2j - 2)
    last = [x / t for x in last]
    for j, number in enumerate(BERNOULLI):
        term = _times(rising, last)
        total = [a + number * b for a, b in zip(total, term, strict=True)]
        rising = _times(_times(rising, _linear(s + 2 * j + 1.0, order)), _linear(s + 2 * j + 2.0, order))
        last = [x / t**2 for x in last]
    return total


def _linear(x: Any, order: int) -> Jet:
    return [x, 1.0, *[0.0] * order][: order + 1]


def _zeta_slope(n: int, s: Any, q: Any, out: Any = None) -> Any:
    s, q = np.broadcast_arrays(np.asarray(s, dtype=float), np.asarray(q, dtype=float))
    inside = (s > 1.0) & (q > 0.0) & np.isfinite(s) & np.isfinite(q)
    if n == 0:
        value = _ufuncs._zeta(s, q)
    else:
        found = _zeta_jet(np.where(inside, s, 2.0), np.where(inside, q, 1.0), n)[n]
        value = np.where(inside, found, np.where(np.isposinf(s) & (q >= 1.0), 0.0, np.nan))
    return written(value, out)


# The derivative of Hurwitz's zeta function in its exponent.
zeta_slope: Op = of_order(
    "zeta_slope",
    _zeta_slope,
    lambda out, n, s, q: zeta_slope(n + 1.0, s, q),
    lambda out, n, s, q: -s * zeta_slope(n, s + 1.0, q) - n * zeta_slope(relu(n - 1.0), s + 1.0, q),
    samples=((1.0, 2.5, 0.7), (1.0, np.array([1.4, 3.0, 9.0]), np.array([0.5, 2.0, 30.0]))),
)
zeta: Op = elementwise(
    "zeta",
    _ufuncs._zeta,
    lambda out, s, q: zeta_slope(1.0, s, q),
    (-1.0, lambda out, s, q: s, lambda out, s, q: zeta_slope(0.0, s + 1.0, q)),
    samples=((np.array([1.4, 3.0, 9.0]), np.array([0.5, 2.0, 30.0])),),
)
zetac: Op = elementwise(
    "zetac",
    special.zetac,
    lambda out, s: zeta_slope(1.0, s, 1.0),
    samples=((np.array([1.4, 3.0, 9.0]),),),
)
