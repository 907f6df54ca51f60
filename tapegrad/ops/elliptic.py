"""Elliptic integrals, in all their arguments, by the symmetric integrals of Carlson.

The derivatives of these are of the same kind,

    I = int_0^inf t**k (t + x)**(-p / 2) (t + y)**(-q / 2) (t + z)**(-r / 2) (t + w)**(-s / 2) dt

with an exponent raised by one. In log(t) the integrand is positive, analytic in a strip and falls
exponentially on both sides, so the trapezoidal rule has all digits (NIST Digital Library of Mathematical
Functions, 19.18).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tapegrad.ops.elementwise import rint, sqrt, square
from tapegrad.ops.orders import of_order
from tapegrad.ops.raw import special
from tapegrad.ops.registry import Op, Per, elementwise, implements, written
from tapegrad.ops.tails import on_columns
from tapegrad.ops.trigonometric import cos, sin

STEP = 0.5  # of which the error is exp(-2 pi**2 / STEP)
REACH = 80.0  # exp(-REACH / 2) is less than a rounding
AT_ONCE = 2048  # elements


def _carlson(k: int, p: int, q: int, r: int, s: int, x: Any, y: Any, z: Any, w: Any, out: Any = None) -> Any:
    halves = tuple(zip((0.5 * p, 0.5 * q, 0.5 * r, 0.5 * s), (0, 1, 2, 3), strict=True))

    def f(*columns: Any) -> Any:
        logs = [np.log(columns[i]) for half, i in halves if half]
        scales = np.array([np.where(np.isfinite(log), log, np.nan) for log in logs])
        fine = np.logical_and.reduce([columns[i] >= 0.0 for half, i in halves if half])
        fine &= np.isfinite(scales).any(axis=0)
        scales = np.where(fine, scales, 0.0)
        low, high = np.nanmin(scales, axis=0) - REACH, np.nanmax(scales, axis=0) + REACH
        # So many steps for each that a number does not depend on those beside it.
        count = np.where(fine, np.exp2(np.ceil(np.log2((high - low) / STEP))), 1.0)
        value = np.full(low.shape, np.nan)
        for steps in np.unique(count[fine]).tolist():
            mine = np.flatnonzero(fine & (count == steps))
            for start in range(0, mine.size, AT_ONCE):
                part = mine[start : start + AT_ONCE]
                u = low[part, None] + STEP * np.arange(steps)
                level = (k + 1.0) * u
                for half, i in halves:
                    if half:
                        level = level - half * np.logaddexp(u, np.log(columns[i][part, None]))
                value[part] = STEP * np.sum(np.exp(level), axis=1)
        return np.where(fine & _diverges(k, halves, columns), np.inf, value)

    return written(on_columns(f, x, y, z, w), out)


def _diverges(k: int, halves: Any, columns: Any) -> Any:
    """Where arguments of 0 leave no integral."""
    pole = sum(np.where(columns[i] == 0.0, half, 0.0) for half, i in halves if half)
    return pole >= k + 1.0


X, Y, Z, W = np.array([0.4, 1.5]), np.array([1.0, 0.2]), np.array([2.5, 0.7]), np.array([0.9, 3.0])

carlson: Op = of_order(
    "carlson",
    _carlson,
    (-0.5, lambda out, k, p, q, r, s, x, y, z, w: p * carlson(k, p + 2.0, q, r, s, x, y, z, w)),
    (-0.5, lambda out, k, p, q, r, s, x, y, z, w: q * carlson(k, p, q + 2.0, r, s, x, y, z, w)),
    (-0.5, lambda out, k, p, q, r, s, x, y, z, w: r * carlson(k, p, q, r + 2.0, s, x, y, z, w)),
    (-0.5, lambda out, k, p, q, r, s, x, y, z, w: s * carlson(k, p, q, r, s + 2.0, x, y, z, w)),
    samples=((0.0, 1.0, 1.0, 3.0, 0.0, X, Y, Z, W), (1.0, 3.0, 1.0, 1.0, 2.0, X, Y, Z, W)),
    orders=5,
)


def _integral(k: float, powers: tuple[float, ...], *arguments: Any) -> Any:
    """The same with fewer factors."""
    missing = 4 - len(arguments)
    return carlson(k, *powers, *(0.0,) * missing, *arguments, *(1.0,) * missing)


# Carlson's own ----------------------------------------------------------------------------------------------

elliprf = elementwise(
    "elliprf",
    special.elliprf,
    (-0.25, lambda out, x, y, z: _integral(0.0, (3.0, 1.0, 1.0), x, y, z)),
    (-0.25, lambda out, x, y, z: _integral(0.0, (1.0, 3.0, 1.0), x, y, z)),
    (-0.25, lambda out, x, y, z: _integral(0.0, (1.0, 1.0, 3.0), x, y, z)),
    samples=((X, Y, Z),),
)
elliprd = elementwise(
    "elliprd",
    special.elliprd,
    (-0.75, lambda out, x, y, z: _integral(0.0, (3.0, 1.0, 3.0), x, y, z)),
    (-0.75, lambda out, x, y, z: _integral(0.0, (1.0, 3.0, 3.0), x, y, z)),
    (-2.25, lambda out, x, y, z: _integral(0.0, (1.0, 1.0, 5.0), x, y, z)),
    samples=((X, Y, Z),),
)
elliprc = elementwise(
    "elliprc",
    special.elliprc,
    (-0.25, lambda out, x, y: _integral(0.0, (3.0, 2.0), x, y)),
    (-0.5, lambda out, x, y: _integral(0.0, (1.0, 4.0), x, y)),
    samples=((X, Y),),
)
elliprg = elementwise(
    "elliprg",
    special.elliprg,
    (0.125, lambda out, x, y, z: _integral(1.0, (3.0, 1.0, 1.0), x, y, z)),
    (0.125, lambda out, x, y, z: _integral(1.0, (1.0, 3.0, 1.0), x, y, z)),
    (0.125, lambda out, x, y, z: _integral(1.0, (1.0, 1.0, 3.0), x, y, z)),
    samples=((X, Y, Z),),
)
elliprj = elementwise(
    "elliprj",
    special.elliprj,
    (-0.75, lambda out, x, y, z, w: carlson(0.0, 3.0, 1.0, 1.0, 2.0, x, y, z, w)),
    (-0.75, lambda out, x, y, z, w: carlson(0.0, 1.0, 3.0, 1.0, 2.0, x, y, z, w)),
    (-0.75, lambda out, x, y, z, w: carlson(0.0, 1.0, 1.0, 3.0, 2.0, x, y, z, w)),
    (-1.5, lambda out, x, y, z, w: carlson(0.0, 1.0, 1.0, 1.0, 4.0, x, y, z, w)),
    samples=((X, Y, Z, W),),
)

# Legendre's -------------------------------------------------------------------------------------------------

M = np.array([-1.5, 0.0, 0.3, 0.9])
ellipk = elementwise(
    "ellipk",
    special.ellipk,
    (0.25, lambda out, m: _integral(0.0, (1.0, 1.0, 3.0), 0.0, 1.0, 1.0 - m)),
    samples=((M,),),
)
ellipkm1 = elementwise(
    "ellipkm1",
    special.ellipkm1,
    (-0.25, lambda out, p: _integral(0.0, (1.0, 1.0, 3.0), 0.0, 1.0, p)),
    samples=((np.array([0.1, 0.6, 2.0]),),),
)
ellipe = elementwise(
    "ellipe",
    special.ellipe,
    (-0.25, lambda out, m: _integral(0.0, (1.0, 1.0, 3.0), 0.0, 1.0 - m, 1.0)),
    samples=((M,),),
)


def _turned(phi: Any, m: Any) -> tuple[Any, Any, Any]:
    """How many half turns an angle has made, and cosine squared and sine of the rest."""
    turns = rint(phi / math.pi)
    rest = phi - math.pi * turns
    return turns, square(cos(rest)), sin(rest)


def _first_in_m(phi: Any, m: Any) -> Any:
    turns, c, s = _turned(phi, m)
    part = square(s) * s * _integral(0.0, (1.0, 1.0, 3.0), c, 1.0, 1.0 - m * square(s))
    return 0.25 * part + 0.5 * turns * _integral(0.0, (1.0, 1.0, 3.0), 0.0, 1.0, 1.0 - m)


def _second_in_m(phi: Any, m: Any) -> Any:
    turns, c, s = _turned(phi, m)
    part = square(s) * s * _integral(0.0, (1.0, 1.0, 3.0), c, 1.0 - m * square(s), 1.0)
    return -0.25 * part - 0.5 * turns * _integral(0.0, (1.0, 1.0, 3.0), 0.0, 1.0 - m, 1.0)


PHI = (np.array([0.3, -1.2, 1.0, 4.0]), np.array([0.5, 0.2, -1.5, 0.9]))
ellipkinc = elementwise(
    "ellipkinc",
    special.ellipkinc,
    Per(lambda out, phi, m: sqrt(1.0 - m * square(sin(phi)))),
    lambda out, phi, m: _first_in_m(phi, m),
    samples=(PHI,),
)
ellipeinc = elementwise(
    "ellipeinc",
    special.ellipeinc,
    lambda out, phi, m: sqrt(1.0 - m * square(sin(phi))),
    lambda out, phi, m: _second_in_m(phi, m),
    samples=(PHI,),
)

# The arithmetic-geometric mean, and the functions of Jacobi -------------------------------------------------

agm = elementwise(
    "agm",
    special.agm,
    (
        1.0 / math.pi,
        lambda out, a, b: square(out) * a * _integral(0.0, (1.0, 3.0, 1.0), 0.0, square(a), square(b)),
    ),
    (
        1.0 / math.pi,
        lambda out, a, b: square(out) * b * _integral(0.0, (1.0, 1.0, 3.0), 0.0, square(a), square(b)),
    ),
    samples=((np.array([0.5, 2.0]), np.array([1.0, 0.3])),),
)


def _amplitude(u: Any, m: Any, out: Any = None) -> Any:
    return written(np.asarray(special.ellipj(u, m)[3]), out)


def _in_u(phi: Any, m: Any) -> Any:
    return sqrt(1.0 - m * square(sin(phi)))


jacobi_amplitude: Op = elementwise(
    "jacobi_amplitude",
    _amplitude,
    lambda out, u, m: _in_u(out, m),
    (-1.0, lambda out, u, m: _in_u(out, m) * _first_in_m(out, m)),
    numpy=(),
    samples=((np.array([0.3, -1.2, 0.9]), np.array([0.5, 0.2, 0.8])),),
)


@implements(special.ellipj)
def ellipj(u: Any, m: Any) -> tuple[Any, Any, Any, Any]:
    """The functions sn, cn and dn of Jacobi, and the amplitude."""
    phi = jacobi_amplitude(u, m)
    return sin(phi), cos(phi), _in_u(phi, m), phi
