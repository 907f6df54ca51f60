"""Hypergeometric functions of scipy.special, in their argument and in their parameters.

A derivative in the argument raises the parameters by one. One in a parameter is the power series whose
coefficients are differentiated: with ``(a)_k`` the rising factorial, ``(a)_(k + 1) = (a)_k (a + k)`` makes
``D_n(k + 1) = (a + k) D_n(k) + n D_(n - 1)(k)`` of the derivatives of order n; likewise for ``1 / (b)_k``.
Where the argument is negative, the transformations of Kummer and Pfaff make it positive (NIST Digital Library
of Mathematical Functions, 13.2.39 and 15.8.1), so that for the usual parameters all terms have one sign.

The sum of the sizes of all terms is kept. Where rounding leaves less than ten digits of the result, or the
series is too long, the derivative is NaN.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from tapegrad.ops.orders import no_slope_in, of_order
from tapegrad.ops.raw import special
from tapegrad.ops.registry import Op, elementwise, written
from tapegrad.ops.tails import on_columns

Z = np.array([-0.7, 0.2, 0.6])
TERMS = 8000
EPS = float(np.finfo(float).eps)
LOST = 1e-10  # of the result
Orders = tuple[int, ...]
Columns = tuple[Any, ...]


def _rising(n: int, a: Any, k: int, last: list[Any], per: float) -> list[Any]:
    """The derivatives of ``(a)_(k + 1)`` by those of ``(a)_k``, times a factor."""
    return [(last[i] * (a + k) + (i * last[i - 1] if i else 0.0)) * per for i in range(n + 1)]


def _falling(n: int, b: Any, k: int, last: list[Any], per: float) -> list[Any]:
    """The same of ``1 / (b)_k``."""
    found: list[Any] = []
    for i in range(n + 1):
        found.append((last[i] * per - (i * found[i - 1] if i else 0.0)) / (b + k))
    return found


def _start(n: int, like: Any) -> list[Any]:
    return [np.ones_like(like), *(np.zeros_like(like) for _ in range(n))]


def _series(up: int, orders: Orders, params: Columns, z: Any) -> tuple[Any, Any]:
    """The sum with `up` of the parameters above, differentiated in all of them; and that of the sizes."""
    above = [_start(n, z) for n in orders[:up]]
    below = [_start(n, z) for n in orders[up:]]
    power, total, sizes = np.ones_like(z), np.zeros_like(z), np.zeros_like(z)
    factorials = 1 + len(below) - up  # of k under the power, where each parameter has one of its own
    quiet = np.zeros(z.shape, dtype=int)
    for k in range(TERMS):
        term = power * math.prod((x[-1] for x in (*above, *below)), start=1.0)
        total, sizes = total + term, sizes + np.abs(term)
        quiet = np.where(np.abs(term) <= 0.1 * EPS * sizes, quiet + 1, 0)
        if k > sum(orders) and np.all((quiet > 2) | np.isnan(total)):
            return total, sizes
        per = 1.0 / (k + 1.0)
        above = [_rising(n, a, k, x, per) for n, a, x in zip(orders[:up], params[:up], above, strict=True)]
        below = [
            _falling(n, b, k, [y * (k + 1.0) for y in x], 1.0)
            for n, b, x in zip(orders[up:], params[up:], below, strict=True)
        ]
        power = power * z * per**factorials
    return np.where(quiet > 2, total, np.nan), sizes


def _splits(orders: Orders) -> Iterator[tuple[float, Orders, Orders]]:
    """How the derivatives of a product fall on its two factors."""
    for part in itertools.product(*(range(n + 1) for n in orders)):
        share = math.prod(math.comb(n, p) for n, p in zip(orders, part, strict=True))
        yield share, part, tuple(n - p for n, p in zip(orders, part, strict=True))


def _factor(up: int, orders: Orders, params: Columns, m: int) -> Any:
    """The derivatives of the factor of the m-th derivative in the argument, before the raised parameters."""
    total: Any = 1.0
    for i, (n, x) in enumerate(zip(orders, params, strict=True)):
        step = _rising if i < up else _falling
        found = _start(n, x)
        for k in range(m):
            found = step(n, x, k, found, 1.0)
        total = total * found[-1]
    return total


Sums = Callable[[Orders, Columns, Any], tuple[Any, Any]]


def _kernel(up: int, count: int, sums: Sums) -> Callable[..., Any]:
    """Of an op whose orders are those in the parameters, and that in the argument."""

    def kernel(*arguments: Any) -> Any:
        orders, m, operands, out = (
            arguments[:count],
            arguments[count],
            arguments[count + 1 : -1],
            arguments[-1],
        )

        def f(*columns: Any) -> Any:
            *params, z = columns
            total, sizes = np.zeros_like(z), np.zeros_like(z)
            raised = tuple(x + m for x in params)
            for share, on_factor, on_sum in _splits(orders):
                factor = share * _factor(up, on_factor, tuple(params), m)
                part, size = sums(on_sum, raised, z)
                total, sizes = total + factor * part, sizes + np.abs(factor) * size
            return np.where(EPS * sizes <= LOST * np.abs(total), total, np.nan)

        return written(on_columns(f, *operands), out)

    return kernel


def _better(here: tuple[Any, Any], there: Callable[..., tuple[Any, Any]], params: Columns, z: Any) -> Any:
    """A sum, and where it has lost its digits another one for the same, if this has lost less."""
    total, sizes = here
    lost = ~(EPS * sizes <= LOST * np.abs(total))
    if np.any(lost):
        other, size = there(tuple(x[lost] for x in params), z[lost])
        better = size * np.abs(total[lost]) < sizes[lost] * np.abs(other)
        better |= np.isnan(total[lost]) | (size == 0.0)
        total[lost], sizes[lost] = np.where(better, other, total[lost]), np.where(better, size, sizes[lost])
    return total, sizes


def _by_sign(
    transformed: Callable[..., tuple[Any, Any]],
    direct: Callable[..., tuple[Any, Any]],
    params: Columns,
    z: Any,
) -> tuple[Any, Any]:
    """The transformed sum where the argument is negative, and the other one where it is not."""
    left, total, sizes = z < 0.0, np.empty_like(z), np.empty_like(z)
    if np.any(left):
        mine = tuple(x[left] for x in params)
        total[left], sizes[left] = _better(transformed(mine, z[left]), direct, mine, z[left])
    if not np.all(left):
        total[~left], sizes[~left] = direct(tuple(x[~left] for x in params), z[~left])
    return total, sizes


# 0F1 and 1F1 ------------------------------------------------------------------------------------------------


def _sums_0(orders: Orders, params: Columns, z: Any) -> tuple[Any, Any]:
    return _series(0, orders, params, z)


def _sums_1(orders: Orders, params: Columns, z: Any) -> tuple[Any, Any]:
    def by_kummer(params: Columns, z: Any) -> tuple[Any, Any]:
        (i, j), (a, b) = orders, params
        total, sizes = np.zeros_like(z), np.zeros_like(z)
        for q in range(j + 1):
            part, size = _series(1, (i + q, j - q), (b - a, b), -z)
            total, sizes = total + math.comb(j, q) * part, sizes + math.comb(j, q) * size
        return (-1.0) ** i * np.exp(z) * total, np.exp(z) * sizes

    return _by_sign(by_kummer, lambda params, z: _series(1, orders, params, z), params, z)


hyp0f1_slope: Op = of_order(
    "hyp0f1_slope",
    _kernel(0, 1, _sums_0),
    lambda out, j, m, v, z: hyp0f1_slope(j + 1.0, m, v, z),
    lambda out, j, m, v, z: hyp0f1_slope(j, m + 1.0, v, z),
    samples=((1.0, 0.0, np.array([0.7, 2.5, 4.0]), Z), (0.0, 1.0, np.array([0.7, 2.5, 4.0]), Z)),
    orders=2,
)


def _hyp0f1(v: Any, z: Any, out: Any = None) -> Any:
    """By the series too, as SciPy's has only ten digits for large parameters; by that where terms cancel."""

    def f(v: Any, z: Any) -> Any:
        found = hyp0f1_slope.kernel(0.0, 0.0, v, z)
        lost = np.isnan(found)
        if np.any(lost):
            found[lost] = special.hyp0f1(v[lost], z[lost])
        return found

    return written(on_columns(f, v, z), out)


hyp0f1: Op = elementwise(
    "hyp0f1",
    _hyp0f1,
    lambda out, v, z: hyp0f1_slope(1.0, 0.0, v, z),
    lambda out, v, z: hyp0f1_slope(0.0, 1.0, v, z),
    numpy=(special.hyp0f1,),
    samples=((np.array([0.7, 2.5, 4.0]), Z),),
)
hyp1f1_slope: Op = of_order(
    "hyp1f1_slope",
    _kernel(1, 2, _sums_1),
    lambda out, i, j, m, a, b, z: hyp1f1_slope(i + 1.0, j, m, a, b, z),
    lambda out, i, j, m, a, b, z: hyp1f1_slope(i, j + 1.0, m, a, b, z),
    lambda out, i, j, m, a, b, z: hyp1f1_slope(i, j, m + 1.0, a, b, z),
    samples=((1.0, 0.0, 0.0, np.array([0.7, 2.5, 4.0]), 3.3, Z), (0.0, 1.0, 1.0, 0.4, 1.3, Z)),
    orders=3,
)
hyp1f1: Op = elementwise(
    "hyp1f1",
    special.hyp1f1,
    lambda out, a, b, z: hyp1f1_slope(1.0, 0.0, 0.0, a, b, z),
    lambda out, a, b, z: hyp1f1_slope(0.0, 1.0, 0.0, a, b, z),
    (lambda out, a, b, z: a / b, lambda out, a, b, z: hyp1f1(a + 1.0, b + 1.0, z)),
    samples=((np.array([0.7, 2.5, 4.0]), 3.3, Z),),
)

# 2F1 --------------------------------------------------------------------------------------------------------


def _sums_2(orders: Orders, params: Columns, z: Any) -> tuple[Any, Any]:
    def by_pfaff(params: Columns, z: Any) -> tuple[Any, Any]:
        (i, j, n), (a, b, c) = orders, params
        total, sizes, log_rest = np.zeros_like(z), np.zeros_like(z), np.log1p(-z)
        for p, q in itertools.product(range(i + 1), range(n + 1)):
            part, size = _series(2, (i - p, j + q, n - q), (a, c - b, c), z / (z - 1.0))
            share = math.comb(i, p) * math.comb(n, q) * (-log_rest) ** p
            total, sizes = total + share * part, sizes + np.abs(share) * size
        level = np.exp(-a * log_rest)
        return (-1.0) ** j * level * total, level * sizes

    inside = z < 1.0
    some = np.where(inside, z, 0.0)
    total, sizes = _by_sign(by_pfaff, lambda params, z: _series(2, orders, params, z), params, some)
    return np.where(inside, total, np.nan), sizes


hyp2f1_slope: Op = of_order(
    "hyp2f1_slope",
    _kernel(2, 3, _sums_2),
    lambda out, i, j, n, m, a, b, c, z: hyp2f1_slope(i + 1.0, j, n, m, a, b, c, z),
    lambda out, i, j, n, m, a, b, c, z: hyp2f1_slope(i, j + 1.0, n, m, a, b, c, z),
    lambda out, i, j, n, m, a, b, c, z: hyp2f1_slope(i, j, n + 1.0, m, a, b, c, z),
    lambda out, i, j, n, m, a, b, c, z: hyp2f1_slope(i, j, n, m + 1.0, a, b, c, z),
    samples=(
        (1.0, 0.0, 0.0, 0.0, np.array([0.7, 2.5, 4.0]), 1.2, 3.3, Z),
        (0.0, 1.0, 1.0, 0.0, 0.4, 0.6, 1.3, Z),
    ),
    orders=4,
)
hyp2f1: Op = elementwise(
    "hyp2f1",
    special.hyp2f1,
    lambda out, a, b, c, z: hyp2f1_slope(1.0, 0.0, 0.0, 0.0, a, b, c, z),
    lambda out, a, b, c, z: hyp2f1_slope(0.0, 1.0, 0.0, 0.0, a, b, c, z),
    lambda out, a, b, c, z: hyp2f1_slope(0.0, 0.0, 1.0, 0.0, a, b, c, z),
    (lambda out, a, b, c, z: a * b / c, lambda out, a, b, c, z: hyp2f1(a + 1.0, b + 1.0, c + 1.0, z)),
    samples=((np.array([0.7, 2.5, 4.0]), 1.2, 3.3, Z),),
)
hyperu: Op = elementwise(
    "hyperu",
    special.hyperu,
    no_slope_in("hyperu", "a"),
    no_slope_in("hyperu", "b"),
    (-1.0, lambda out, a, b, x: a, lambda out, a, b, x: hyperu(a + 1.0, b + 1.0, x)),
    samples=((2, 3, np.array([0.4, 1.3])),),
)
