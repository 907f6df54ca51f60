"""Bessel functions of scipy.special, in their argument; the modified ones also in their order.

In the argument the derivatives are those of neighbouring orders. The scaled functions have derivatives of
their own, because the sum of neighbours cancels for large arguments. They and the derivatives in the order
are integrals:

    K(v, x) exp(x)  = integral of exp(-x (cosh(t) - 1)) cosh(v t)                  for t from 0
    I(v, x) exp(-x) = 1 / pi times that of exp(x (cos(t) - 1)) cos(v t)            for t from 0 to pi
                      - sin(v pi) / pi times that of exp(-x (cosh(t) + 1) - v t)   for t from 0

or, for small arguments and where these cancel, means over the terms of the power series of I.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np

from tapegrad.ops.elementwise import exp
from tapegrad.ops.incomplete_gamma import _exp_rest
from tapegrad.ops.orders import no_slope_in, of_order
from tapegrad.ops.raw import special
from tapegrad.ops.registry import NUMPY, Op, elementwise, implements, written
from tapegrad.ops.tails import END, bell, on_columns, tail_integral

AT = np.array([0.4, 2.5, 7.0])
WHOLE = np.array([0, 1, 3])
ORDERS = np.array([0.4, 1.0, 3.6])

# In the argument alone --------------------------------------------------------------------------------------


def _oscillating(name: str) -> Op:
    ufunc = getattr(special, name)

    def slope(out: Any, v: Any, x: Any) -> Any:
        return op(v - 1.0, x) - op(v + 1.0, x)

    op: Op = elementwise(
        name, ufunc, no_slope_in(name, "its order"), (0.5, slope), samples=((2, 1.5), (WHOLE, AT[:, None]))
    )
    return op


jv = _oscillating("jv")
yv = _oscillating("yv")
NUMPY.update({special.jve: jv, special.yve: yv})  # the same for real arguments


@implements(special.yn)
def yn(n: Any, x: Any) -> Any:
    """The Bessel function of the second kind, of a whole order."""
    return yv(n, x)


j1: Op = elementwise("j1", special.j1, (0.5, lambda out, x: j0(x) - jv(2.0, x)), samples=((AT,),))
j0: Op = elementwise("j0", special.j0, (-1.0, lambda out, x: j1(x)), samples=((AT,),))
y1: Op = elementwise("y1", special.y1, (0.5, lambda out, x: y0(x) - yv(2.0, x)), samples=((AT,),))
y0: Op = elementwise("y0", special.y0, (-1.0, lambda out, x: y1(x)), samples=((AT,),))

# K ----------------------------------------------------------------------------------------------------------


def _kve_slope(n: int, m: int, v: Any, x: Any, out: Any = None) -> Any:
    def f(v: Any, x: Any) -> Any:
        inside = (x > 0.0) & np.isfinite(x) & np.isfinite(v)
        value = _k_integral(n, m, np.where(inside, v, 0.0), np.where(inside, x, 1.0))
        return np.where(inside, value, np.where((x == np.inf) & np.isfinite(v), 0.0, np.nan))

    return written(on_columns(f, v, x), out)


def _k_integral(n: int, m: int, v: Any, x: Any) -> Any:
    size = np.abs(v)
    steep = (size > 0.5) & (size * size > x)
    value = np.empty_like(x)
    if np.any(steep):
        value[steep] = _k_around_peak(n, m, size[steep], x[steep])
    if not np.all(steep):
        value[~steep] = _k_from_0(n, m, size[~steep], x[~steep])
    return np.where(v < 0.0, (-1.0) ** n, 1.0) * value


def _rise(t: Any) -> Any:
    """``cosh(t) - 1``"""
    return 2.0 * np.sinh(0.5 * t) ** 2


def _k_from_0(n: int, m: int, v: Any, x: Any) -> Any:
    """For small orders: both halves of cosh(v t) together, since for odd `n` they cancel."""
    end = 2.0 * np.arcsinh(np.sqrt(0.5 * (END + 5.0) / x))
    found = np.zeros_like(x)
    edges = [np.zeros_like(x), np.maximum(end - 40.0, 0.0), np.maximum(end - 7.0, 0.0), end]
    for start, stop in itertools.pairwise(edges):
        if np.any(stop > start):
            found = found + _k_panel(n, m, v, x, start, stop)
    return found


def _k_panel(n: int, m: int, v: Any, x: Any, start: Any, stop: Any) -> Any:
    def weight(u: Any) -> Any:
        t = start + u
        wave = np.sinh(v * t) if n % 2 else np.cosh(v * t)
        return np.exp(-x * _rise(t)) * wave * t**n * (-_rise(t)) ** m

    return tail_integral(np.zeros_like, weight, stop - start, stop - start)


def _k_around_peak(n: int, m: int, v: Any, x: Any) -> Any:
    """For large orders: around the peak of ``exp(v t - x cosh(t))``, at ``sinh(t) = v / x``."""
    peak = np.arcsinh(v / x)
    height = np.hypot(v, x)
    top = np.exp(v * peak - v * v / (height + x))

    def side(towards: float) -> Any:
        def k(s: Any) -> Any:
            if towards > 0.0:
                return height * _rise(s) + v * _sinh_rest(s)
            return x * x / (height + v) * _rise(s) + v * _exp_rest(-s)  # the same, without cancelling

        def weight(s: Any) -> Any:
            t = peak + towards * s
            return t**n * (-_rise(t)) ** m

        end = np.sqrt(2.0 * END / height)
        if towards > 0.0:
            return tail_integral(k, weight, np.minimum(np.arcsinh(0.5 * END / height), end), end)
        return tail_integral(k, weight, end, np.maximum(end, END / v + 1.0))  # at last it falls as exp(-v s)

    return 0.5 * top * (side(1.0) + side(-1.0))


def _sinh_rest(s: Any) -> Any:
    """``sinh(s) - s``"""
    near = s < 1.0
    small = np.where(near, s, 0.0)
    z = small * small
    total: Any = 1.0
    for k in range(8, 0, -1):
        total = 1.0 + total * z / ((2 * k + 2) * (2 * k + 3))
    return np.where(near, small * z / 6.0 * total, np.sinh(s) - s)


# exp(x) K(v, x), differentiated n times in v and m times in x.
kve_slope: Op = of_order(
    "kve_slope",
    _kve_slope,
    lambda out, n, m, v, x: kve_slope(n + 1.0, m, v, x),
    lambda out, n, m, v, x: kve_slope(n, m + 1.0, v, x),
    samples=((1.0, 0.0, 0.7, 1.5), (0.0, 1.0, ORDERS, AT)),
    orders=2,
)
kve: Op = elementwise(
    "kve",
    special.kve,
    lambda out, v, x: kve_slope(1.0, 0.0, v, x),
    lambda out, v, x: kve_slope(0.0, 1.0, v, x),
    samples=((ORDERS, AT),),
)
kv: Op = elementwise(
    "kv",
    special.kv,
    (lambda out, v, x: exp(-x), lambda out, v, x: kve_slope(1.0, 0.0, v, x)),
    (-0.5, lambda out, v, x: kv(v - 1.0, x) + kv(v + 1.0, x)),
    samples=((ORDERS, AT),),
)


@implements(special.kn)
def kn(n: Any, x: Any) -> Any:
    """The modified Bessel function of the second kind, of a whole order."""
    return kv(n, x)


k1: Op = elementwise("k1", special.k1, (-0.5, lambda out, x: k0(x) + kv(2.0, x)), samples=((AT,),))
k0: Op = elementwise("k0", special.k0, (-1.0, lambda out, x: k1(x)), samples=((AT,),))
k0e: Op = elementwise("k0e", special.k0e, lambda out, x: kve_slope(0.0, 1.0, 0.0, x), samples=((AT,),))
k1e: Op = elementwise("k1e", special.k1e, lambda out, x: kve_slope(0.0, 1.0, 1.0, x), samples=((AT,),))

# I ----------------------------------------------------------------------------------------------------------

FAR = 2.0  # from here on the integrals, but for orders of which they would cancel


def _ive_slope(n: int, m: int, v: Any, x: Any, out: Any = None) -> Any:
    def f(v: Any, x: Any) -> Any:
        size = np.abs(x)
        is_whole = np.floor(v) == v
        inside = np.isfinite(v) & np.isfinite(size) & (size > 0.0) & ((x > 0.0) | is_whole & (n == 0))
        at, to = np.where(inside, v, 0.0), np.where(inside, size, 1.0)
        value = _i_inside(n, m, np.abs(at), to)
        if np.any(at < 0.0):
            mirrored = (-1.0) ** n * (value + _i_mirrored(n, m, np.abs(at), to))
            value = np.where(at < 0.0, mirrored, value)
        turned = np.where((x < 0.0) & ((at + m) % 2.0 == 1.0), -value, value)
        edge = _i_at_0(n, m, np.where(np.isfinite(v), v, np.nan))
        return np.where(inside, turned, np.where(x == 0.0, edge, np.where(size == np.inf, 0.0, np.nan)))

    return written(on_columns(f, v, x), out)


def _i_mirrored(n: int, m: int, v: Any, x: Any) -> Any:
    """``I(-v, x) - I(v, x)``, which is ``2 / pi sin(pi v) K(v, x)``, scaled and differentiated in v and x."""
    total: Any = 0.0
    for j in range(n + 1):
        for k in range(m + 1):
            share = math.comb(n, j) * math.comb(m, k) * (-2.0) ** (m - k)
            total = total + share * _sine(n - j, v) * _k_integral(j, k, v, x)
    return 2.0 / math.pi * np.exp(-2.0 * x) * total


def _i_at_0(n: int, m: int, v: Any) -> Any:
    """At x = 0: of whole orders by their values next to it, 0 for large ones."""
    whole = (v >= 0.0) & (np.floor(v) == v) & (n == 0)
    near = _by_series(n, m, np.where(whole, v, 0.0), np.full(v.shape, 1e-12)) if n == 0 else np.zeros(v.shape)
    return np.where(v > m, 0.0, np.where(whole, near, np.nan))


def _i_inside(n: int, m: int, v: Any, x: Any) -> Any:
    far = (x > FAR) & (v * v < 6.0 * x)
    value = np.empty_like(x)
    if np.any(far):
        value[far] = _by_waves(n, m, v[far], x[far])
    if not np.all(far):
        value[~far] = _by_series(n, m, v[~far], x[~far])
    return value


def _by_waves(n: int, m: int, v: Any, x: Any) -> Any:
    """By the integral of a wave under a bell, and the one of what is no wave where v is not whole."""
    end = 2.0 * np.arcsin(np.minimum(np.sqrt(0.5 * END / x), 1.0))

    def wave(t: Any) -> Any:
        fall = -2.0 * np.sin(0.5 * t) ** 2
        turn = (np.cos, lambda z: -np.sin(z), lambda z: -np.cos(z), np.sin)[n % 4](v * t)
        return np.exp(x * fall) * fall**m * t**n * turn

    def beside(t: Any) -> Any:
        fall = -2.0 - _rise(t)
        total = sum(math.comb(n, j) * _sine(j, v) * (-t) ** (n - j) for j in range(n + 1))
        return np.exp(x * fall - v * t) * fall**m * total

    far = 2.0 * np.arcsinh(np.sqrt(0.5 * END / x))
    first = tail_integral(np.zeros_like, wave, end, end)
    return (first - tail_integral(np.zeros_like, beside, far, far)) / math.pi


def _sine(n: int, v: Any) -> Any:
    """``sin(pi v)``, differentiated, and 0 for whole v."""
    near = np.round(v)
    gap = math.pi * (v - near)
    turn = (np.sin, np.cos, lambda z: -np.sin(z), lambda z: -np.cos(z))[n % 4](gap)
    return np.where(near % 2.0 == 0.0, turn, -turn) * math.pi**n


def _by_series(n: int, m: int, v: Any, x: Any) -> Any:
    """By the mean over the terms of the power series, which are taken around the largest of them."""
    height = np.hypot(v, x)
    centre = np.floor(0.5 * x * x / (height + v))
    spread = 0.5 * x / np.sqrt(height)
    steps = np.arange(-math.ceil(9.0 * spread.max()) - 20.0, math.ceil(9.0 * spread.max()) + 40.0)
    k = centre + steps[:, None]
    inside = k >= 0.0
    k = np.where(inside, k, 0.0)
    # The logarithm of each term by the one before it, added up: so the large parts never stand.
    gain = np.where(
        k > 0.0, 2.0 * np.log(0.5 * x) - np.log(np.maximum(k, 1.0)) - np.log(np.maximum(k + v, 1e-300)), 0.0
    )
    level = np.cumsum(gain, axis=0)
    terms = np.where(inside, np.exp(level - np.max(level, axis=0)), 0.0)
    rises = _order_weights(n, k + v + 1.0, x)
    falls = _argument_weights(m, n, 2.0 * k + v, x)
    weight = sum(math.comb(n, j) * rises(n - j) * falls[j] for j in range(n + 1))
    return special.ive(v, x) * np.sum(terms * weight, axis=0) / np.sum(terms, axis=0)


def _order_weights(n: int, a: Any, x: Any) -> Any:
    """The derivatives of ``(x / 2)**v / Gamma(k + v + 1)`` in v, by it, up to the order n."""
    if n == 0:
        return lambda order: 1.0
    first = [np.log(0.5 * x) - special.digamma(a), *(-special.polygamma(j, a) for j in range(1, n))]
    return lambda order: bell(lambda i, j: first[i - 1], order, 0, {})


def _argument_weights(m: int, n: int, p: Any, x: Any) -> list[Any]:
    """That of order m of ``x**p exp(-x)`` in x, by it, with its derivatives in p up to the order n."""
    small = x < 1.0
    near, far = np.where(small, x, 1.0), np.where(small, 1.0, x)
    before, found = [0.0] * (n + 1), [1.0, *[0.0] * n]
    for j in range(m):  # of x f' = (p - x) f
        rises = [
            ((p - far - j) * found[r] + (r * found[r - 1] if r else 0.0) - j * before[r]) / far
            for r in range(n + 1)
        ]
        before, found = found, rises
    falling: list[Any] = [1.0, *[0.0] * n]
    total: list[Any] = [0.0] * (n + 1)
    for q in range(m + 1):  # of x**p alone: p (p - 1) ... x**-q
        sign = (-1.0) ** (m - q) * math.comb(m, q)
        total = [a + sign * b for a, b in zip(total, falling, strict=True)]
        falling = [((p - q) * falling[r] + (r * falling[r - 1] if r else 0.0)) / near for r in range(n + 1)]
    return [np.where(small, a, b) for a, b in zip(total, found, strict=True)]


# exp(-abs(x)) I(v, x), differentiated n times in v and m times in x.
ive_slope: Op = of_order(
    "ive_slope",
    _ive_slope,
    lambda out, n, m, v, x: ive_slope(n + 1.0, m, v, x),
    lambda out, n, m, v, x: ive_slope(n, m + 1.0, v, x),
    samples=((1.0, 0.0, 0.7, 1.5), (0.0, 1.0, ORDERS, AT)),
    orders=2,
)
ive: Op = elementwise(
    "ive",
    special.ive,
    lambda out, v, x: ive_slope(1.0, 0.0, v, x),
    lambda out, v, x: ive_slope(0.0, 1.0, v, x),
    samples=((ORDERS, AT),),
)
iv: Op = elementwise(
    "iv",
    special.iv,
    (lambda out, v, x: exp(x), lambda out, v, x: ive_slope(1.0, 0.0, v, x)),
    (0.5, lambda out, v, x: iv(v - 1.0, x) + iv(v + 1.0, x)),
    samples=((ORDERS, AT),),
)
i1: Op = elementwise("i1", special.i1, (0.5, lambda out, x: i0(x) + iv(2.0, x)), samples=((AT,),))
i0: Op = elementwise("i0", special.i0, lambda out, x: i1(x), samples=((AT,),))
i0e: Op = elementwise("i0e", special.i0e, lambda out, x: ive_slope(0.0, 1.0, 0.0, x), samples=((AT,),))
i1e: Op = elementwise("i1e", special.i1e, lambda out, x: ive_slope(0.0, 1.0, 1.0, x), samples=((AT,),))
