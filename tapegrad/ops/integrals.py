"""Exponential integrals, the Faddeeva function, Owen's and Lambert's functions, of scipy.special."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy.special import _ufuncs

from tapegrad.ops.elementwise import absolute, exp, log, square
from tapegrad.ops.logic import less, where
from tapegrad.ops.normal import SQRT_2PI, TWO_OVER_SQRT_PI, erf, normal_density
from tapegrad.ops.orders import ORDERS, of_order
from tapegrad.ops.quotients import log1p_over
from tapegrad.ops.raw import special
from tapegrad.ops.registry import Op, Per, Recordable, elementwise, implements, written
from tapegrad.ops.trigonometric import cos_arctan, sin

POSITIVES = np.array([0.3, 1.0, 4.0])

# Exponential integrals --------------------------------------------------------------------------------------


def _expn(n: Any, x: Any, out: Any = None) -> Any:
    n, x = np.broadcast_arrays(np.asarray(n, dtype=float), np.asarray(x, dtype=float))
    value = special.expn(np.floor(np.clip(np.nan_to_num(n), 0.0, 1e6)), x)
    for k in {int(k) for k in np.ravel(n).tolist() if -ORDERS < k < 0.0}:
        value = np.where(n == k, _expn_below(-k, x), value)
    return written(value, out)


def _expn_below(m: int, x: Any) -> Any:
    """That of the order -m, which is elementary."""
    total: Any = 0.0
    for k in range(m + 1):
        total = total + math.perm(m, m - k) * x ** (k - m - 1.0)
    return np.exp(-x) * total


expn: Op = elementwise(
    "expn",
    _expn,
    None,
    (-1.0, lambda out, n, x: expn(n - 1.0, x)),
    numpy=(special.expn,),
    samples=((np.array([0, 1, 3]), POSITIVES),),
)
exp1 = elementwise("exp1", special.exp1, (-1.0, lambda out, x: expn(0.0, x)), samples=((POSITIVES,),))
expi = elementwise(
    "expi",
    special.expi,
    (lambda out, x: exp(x), Per(lambda out, x: x)),
    samples=((np.array([-2.0, 0.7, 3.0]),),),
)


def _spence_slope(out: Any, z: Any) -> Any:
    """``log(z) / (z - 1)``, which has no singularity at 1."""
    gap = z - 1.0
    near = less(absolute(gap), 0.3)
    far = where(near, 2.0, z)
    return where(near, log1p_over(0.0, where(near, gap, 0.0)), log(far) / (far - 1.0))


spence = elementwise("spence", special.spence, (-1.0, _spence_slope), samples=((POSITIVES,),))
cosm1 = elementwise("cosm1", special.cosm1, (-1.0, lambda out, x: sin(x)), samples=((POSITIVES,),))
erfi = elementwise(
    "erfi", special.erfi, (TWO_OVER_SQRT_PI, lambda out, z: exp(square(z))), samples=((POSITIVES,),)
)

# The Faddeeva function w(z) = exp(-z**2) erfc(-i z): its derivatives are repeated integrals of erfc ---------

FORWARD = 6.0  # up to here the recurrence loses no more than two digits for each derivative
STEPS = 200


def _faddeeva(n: int, part: int, x: Any, y: Any, out: Any = None) -> Any:
    x, y = np.broadcast_arrays(np.asarray(x, dtype=float), np.asarray(y, dtype=float))
    z = x + 1j * y
    before, found = np.zeros_like(z), special.wofz(z)
    with np.errstate(all="ignore"):
        for k in range(n):
            source = 1j * TWO_OVER_SQRT_PI if k == 0 else -2.0 * k * before
            before, found = found, source - 2.0 * z * found
        far = np.asarray(np.abs(z) > FORWARD)
        if n and np.any(far):
            found = np.where(far, _faddeeva_far(n, np.where(far, z, 1j * FORWARD)), found)
        found = np.where(np.isinf(x) | np.isposinf(y), 0.0, found)
    return written(found.imag if part else found.real, out)


def _faddeeva_far(n: int, z: Any) -> Any:
    """The same by the continued fraction of each integral by the one before it."""
    x = -1j * z
    ratio = np.zeros_like(z)
    product = special.wofz(z)
    for k in range(STEPS, 0, -1):
        ratio = 1.0 / (2.0 * x + 2.0 * (k + 1) * ratio)
        if k <= n:
            product = product * ratio
    return product * (2j) ** n * math.factorial(n)


# The real (0) or imaginary (1) part of the derivative of order n of w at x + i y.
faddeeva: Op = of_order(
    "faddeeva",
    _faddeeva,
    lambda out, n, part, x, y: faddeeva(n + 1.0, part, x, y),
    lambda out, n, part, x, y: (2.0 * part - 1.0) * faddeeva(n + 1.0, 1.0 - part, x, y),
    samples=(
        (1.0, 0.0, 0.7, 0.4),
        (0.0, 0.0, np.array([0.3, -1.0, 5.0]), np.array([0.5, 2.0, 0.1])),
    ),
    orders=2,
)
dawsn = elementwise(
    "dawsn",
    special.dawsn,
    (0.5 * math.sqrt(math.pi), lambda out, x: faddeeva(1.0, 1.0, x, 0.0)),
    samples=((np.array([-0.7, 0.1, 5.0]),),),
)


def _voigt_slope(n: int, part: float, x: Any, sigma: Any, gamma: Any) -> Any:
    width = math.sqrt(2.0) * sigma
    found = faddeeva(float(n), part, x / width, gamma / width)
    for _ in range(n):
        found = found / width
    return found / (SQRT_2PI * sigma)


# It solves the heat equation: its slope in sigma is sigma times its second derivative in x.
voigt_profile = elementwise(
    "voigt_profile",
    special.voigt_profile,
    lambda out, x, sigma, gamma: _voigt_slope(1, 0.0, x, sigma, gamma),
    (lambda out, x, sigma, gamma: sigma, lambda out, x, sigma, gamma: _voigt_slope(2, 0.0, x, sigma, gamma)),
    (-1.0, lambda out, x, sigma, gamma: _voigt_slope(1, 1.0, x, sigma, gamma)),
    samples=((np.array([0.3, -2.0]), np.array([0.8, 1.5]), 0.4),),
)


owens_t = elementwise(
    "owens_t",
    special.owens_t,
    (-0.5, lambda out, h, a: normal_density(h), lambda out, h, a: erf(math.sqrt(0.5) * h * a)),
    (
        lambda out, h, a: normal_density(h) * normal_density(h * a),
        lambda out, h, a: cos_arctan(a),  # of which the square is 1 / (1 + a**2)
        lambda out, h, a: cos_arctan(a),
    ),
    samples=((np.array([0.3, -2.0]), np.array([0.8, 1.5])),),
)

# Lambert's function -----------------------------------------------------------------------------------------


def _omega_share(x: Any, out: Any = None) -> Any:
    omega = np.asarray(special.wrightomega(x))
    return written(np.where(omega > 1.0, 1.0 / (1.0 + 1.0 / omega), omega / (1.0 + omega)), out)


def _omega_rest(x: Any, out: Any = None) -> Any:
    return written(np.asarray(1.0 / (1.0 + special.wrightomega(x))), out)


# w / (1 + w) and 1 / (1 + w) of Wright's omega w: all further slopes are products of these.
omega_share: Op = elementwise(
    "omega_share",
    _omega_share,
    (lambda out, x: out, lambda out, x: omega_rest(x), lambda out, x: omega_rest(x)),
    numpy=(),
    samples=((np.array([-3.0, 0.4, 5.0]),),),
)
omega_rest: Op = elementwise(
    "omega_rest",
    _omega_rest,
    (-1.0, lambda out, x: omega_share(x), lambda out, x: out, lambda out, x: out),
    numpy=(),
    samples=((np.array([-3.0, 0.4, 5.0]),),),
)
wrightomega = elementwise(
    "wrightomega",
    special.wrightomega,
    lambda out, x: omega_share(x),
    samples=((np.array([-3.0, 0.4, 5.0]),),),
)


def _branch(k: int) -> Any:
    def kernel(z: Any, out: Any = None) -> Any:
        w = special.lambertw(z, k)
        real = np.asarray(z) >= (-1.0 / math.e)
        if k == -1:
            real = real & (np.asarray(z) < 0.0)
        return written(np.where(real, w.real, np.nan), out)

    return kernel


lambertw_0: Op = elementwise(
    "lambertw_0",
    _branch(0),
    (lambda out, z: exp(-out), Per(lambda out, z: 1.0 + out)),
    numpy=(),
    samples=((np.array([-0.3, 0.1, 5.0]),),),
)
lambertw_below: Op = elementwise(
    "lambertw_below",
    _branch(-1),
    (lambda out, z: exp(-out), Per(lambda out, z: 1.0 + out)),
    numpy=(),
    samples=((np.array([-0.3, -0.1]),),),
)


@implements(_ufuncs._lambertw)
def lambertw(z: Any, k: Any = 0, tol: Any = 1e-8) -> Any:
    """The real branches of Lambert's function; SciPy's own result is complex, with the imaginary part 0."""
    if not isinstance(k, Recordable) and np.ndim(k) == 0 and k in (0, -1):
        return lambertw_0(z) if k == 0 else lambertw_below(z)
    raise ValueError(f"lambertw has the real branches k=0 and k=-1, not k={k!r}")
