"""Functions of scipy.special that solve linear differential equations: integrals of Fresnel, of sines and
cosines; functions of Airy, Kelvin and Struve; spherical Bessel functions.

Their derivatives are functions of the same kind (NIST Digital Library of Mathematical Functions, chapters 6
to 11). What gives several results in SciPy gives several here.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.special import _ufuncs

from tapegrad.ops.elementwise import square
from tapegrad.ops.logic import maximum
from tapegrad.ops.orders import no_slope_in
from tapegrad.ops.raw import special
from tapegrad.ops.registry import NUMPY, Op, Partial, Per, elementwise, implements, written
from tapegrad.ops.trigonometric import cos, cosh, sin, sinh

AT = np.array([0.3, 1.4, 4.0])


def _part(name: str, ufunc: Any, index: int, *partials: Partial) -> Op:
    """One of several results, as an op of one argument."""

    def kernel(x: Any, out: Any = None) -> Any:
        return written(np.asarray(ufunc(x)[index]), out)

    return elementwise(name, kernel, *partials, numpy=(), samples=((AT,),))


# Integrals --------------------------------------------------------------------------------------------------

fresnel_s = _part("fresnel_s", special.fresnel, 0, lambda out, x: sin(0.5 * math.pi * square(x)))
fresnel_c = _part("fresnel_c", special.fresnel, 1, lambda out, x: cos(0.5 * math.pi * square(x)))
sine_integral = _part("sine_integral", special.sici, 0, (lambda out, x: sin(x), Per(lambda out, x: x)))
cosine_integral = _part("cosine_integral", special.sici, 1, (lambda out, x: cos(x), Per(lambda out, x: x)))
sinh_integral = _part("sinh_integral", special.shichi, 0, (lambda out, x: sinh(x), Per(lambda out, x: x)))
cosh_integral = _part("cosh_integral", special.shichi, 1, (lambda out, x: cosh(x), Per(lambda out, x: x)))


@implements(special.fresnel)
def fresnel(z: Any) -> tuple[Any, Any]:
    """The integrals of ``sin(pi t**2 / 2)`` and of the cosine."""
    return fresnel_s(z), fresnel_c(z)


@implements(special.sici)
def sici(x: Any) -> tuple[Any, Any]:
    """The integrals of sine and cosine."""
    return sine_integral(x), cosine_integral(x)


@implements(special.shichi)
def shichi(x: Any) -> tuple[Any, Any]:
    """The integrals of their hyperbolic kin."""
    return sinh_integral(x), cosh_integral(x)


# Airy -------------------------------------------------------------------------------------------------------

airy_ai: Op = _part("airy_ai", special.airy, 0, lambda out, x: airy_aip(x))
airy_aip: Op = _part("airy_aip", special.airy, 1, lambda out, x: x * airy_ai(x))
airy_bi: Op = _part("airy_bi", special.airy, 2, lambda out, x: airy_bip(x))
airy_bip: Op = _part("airy_bip", special.airy, 3, lambda out, x: x * airy_bi(x))


@implements(special.airy)
def airy(z: Any) -> tuple[Any, Any, Any, Any]:
    """Ai and Bi, each with its derivative behind it."""
    return airy_ai(z), airy_aip(z), airy_bi(z), airy_bip(z)


# Kelvin -----------------------------------------------------------------------------------------------------


def _kelvin(name: str, slope: Callable[..., Any]) -> Op:
    return elementwise(name, getattr(special, name), slope, samples=((AT,),))


ber: Op = _kelvin("ber", lambda out, x: berp(x))
bei: Op = _kelvin("bei", lambda out, x: beip(x))
ker: Op = _kelvin("ker", lambda out, x: kerp(x))
kei: Op = _kelvin("kei", lambda out, x: keip(x))
berp: Op = _kelvin("berp", lambda out, x: -bei(x) - out / x)
beip: Op = _kelvin("beip", lambda out, x: ber(x) - out / x)
kerp: Op = _kelvin("kerp", lambda out, x: -kei(x) - out / x)
keip: Op = _kelvin("keip", lambda out, x: ker(x) - out / x)

# Struve -----------------------------------------------------------------------------------------------------

struve: Op = elementwise(
    "struve",
    special.struve,
    no_slope_in("struve", "its order"),
    lambda out, v, x: struve(v - 1.0, x) - v * out / x,
    samples=((2, AT),),
)
modstruve: Op = elementwise(
    "modstruve",
    special.modstruve,
    no_slope_in("modstruve", "its order"),
    lambda out, v, x: modstruve(v - 1.0, x) - v * out / x,
    samples=((2, AT),),
)

# Spherical Bessel functions, of whole orders ----------------------------------------------------------------


def _spherical(name: str, sign: float, of_next: float) -> Op:
    """``(2 n + 1) f' = sign * (n f(n - 1) + of_next * (n + 1) f(n + 1))``."""
    ufunc = getattr(_ufuncs, f"_spherical_{name}")

    def kernel(n: Any, z: Any, out: Any = None) -> Any:
        return ufunc(np.asarray(n).astype(int), z, out=out)

    def slope(out: Any, n: Any, z: Any) -> Any:
        below = n * op(maximum(n - 1.0, 0.0), z)
        return sign * (below + of_next * (n + 1.0) * op(n + 1.0, z)) / (2.0 * n + 1.0)

    op: Op = elementwise(
        f"spherical_{name}", kernel, None, slope, numpy=(ufunc,), samples=((np.array([0, 1, 3]), AT),)
    )
    with_slope = getattr(_ufuncs, f"_spherical_{name}_d", None)
    if with_slope is not None:
        NUMPY[with_slope] = lambda n, z: slope(None, n, z)
    return op


spherical_jn = _spherical("jn", 1.0, -1.0)
spherical_yn = _spherical("yn", 1.0, -1.0)
spherical_in = _spherical("in", 1.0, 1.0)
spherical_kn = _spherical("kn", -1.0, 1.0)
