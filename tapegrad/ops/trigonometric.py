"""NumPy's trigonometric and hyperbolic functions.

Their slopes are ops where a formula would cancel or leave the range: ``1 - tanh(x)**2`` is 0 from 19 on, and
``1 + x**2`` infinite from 1e155. Each of these is a function whose own slope is made of the others.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tapegrad.ops.elementwise import UNIT, sqrt, square
from tapegrad.ops.logic import equal, where
from tapegrad.ops.registry import Op, Per, elementwise, written

# Of an angle ------------------------------------------------------------------------------------------------

sin = elementwise("sin", np.sin, lambda out, x: cos(x), c="sin({0})")
cos: Op = elementwise("cos", np.cos, (-1.0, lambda out, x: sin(x)), c="cos({0})")
tan = elementwise("tan", np.tan, lambda out, x: 1.0 + square(out), domain=(-1.0, 1.0), c="tan({0})")
deg2rad = elementwise(
    "deg2rad", np.deg2rad, math.pi / 180.0, numpy=(np.deg2rad, np.radians), c="{0} * (M_PI / 180.0)"
)
rad2deg = elementwise(
    "rad2deg", np.rad2deg, 180.0 / math.pi, numpy=(np.rad2deg, np.degrees), c="{0} * (180.0 / M_PI)"
)

# Hyperbolic -------------------------------------------------------------------------------------------------

sinh = elementwise("sinh", np.sinh, lambda out, x: cosh(x), grows=True, c="sinh({0})")
cosh: Op = elementwise("cosh", np.cosh, lambda out, x: sinh(x), grows=True, c="cosh({0})")


def _sech(x: Any, out: Any = None) -> Any:
    e = np.abs(x, out=out)
    e = np.exp(np.negative(e, out=out), out=out)
    return np.divide(2.0 * e, np.square(e) + 1.0, out=out)


# 1 / cosh(x)
sech: Op = elementwise(
    "sech", _sech, (lambda out, x: -tanh(x), lambda out, x: out), flattens=0, numpy=(), c="tg_sech({0})"
)
tanh: Op = elementwise(
    "tanh",
    np.tanh,
    (lambda out, x: sech(x), lambda out, x: sech(x)),
    flattens=0,
    python="tanh({0})",
    c="tanh({0})",
)


def _log_cosh(x: Any, out: Any = None) -> Any:
    size = np.abs(x)
    near = np.minimum(size, 1.0)
    far = size + np.log1p(np.exp(-2.0 * size)) - math.log(2.0)
    return written(np.where(size < 1.0, 0.5 * np.log1p(np.square(np.sinh(near))), far), out)


# The logarithm of cosh, which does not overflow.
log_cosh: Op = elementwise("log_cosh", _log_cosh, lambda out, x: tanh(x), numpy=(), c="tg_log_cosh({0})")

# Inverse ----------------------------------------------------------------------------------------------------


def _circle(x: Any, out: Any = None) -> Any:
    return np.multiply(1.0 - x, np.add(1.0, x), out=out)


# 1 - x**2, with its digits next to 1 and -1
circle = elementwise("circle", _circle, (-2.0, lambda out, x: x), numpy=(), c="(1.0 - {0}) * (1.0 + {0})")
arcsin = elementwise("arcsin", np.arcsin, Per(lambda out, x: sqrt(circle(x))), domain=UNIT, c="asin({0})")
arccos = elementwise(
    "arccos", np.arccos, (-1.0, Per(lambda out, x: sqrt(circle(x)))), domain=UNIT, c="acos({0})"
)
arctanh = elementwise("arctanh", np.arctanh, Per(lambda out, x: circle(x)), domain=UNIT, c="atanh({0})")
arccosh = elementwise(
    "arccosh",
    np.arccosh,
    (Per(lambda out, x: sqrt(x - 1.0)), Per(lambda out, x: sqrt(x + 1.0))),
    domain=(1.2, 3.0),
    c="acosh({0})",
)


def _cos_arctan(x: Any, out: Any = None) -> Any:
    return np.divide(1.0, np.hypot(1.0, x, out=out), out=out)


def _sin_arctan(x: Any, out: Any = None) -> Any:
    found = np.divide(x, np.hypot(1.0, x), out=out)
    return written(np.where(np.isinf(x), np.sign(x), found), out) if np.isinf(x).any() else found


# 1 / sqrt(1 + x**2) and x / sqrt(1 + x**2)
cos_arctan: Op = elementwise(
    "cos_arctan",
    _cos_arctan,
    (lambda out, x: -sin_arctan(x), lambda out, x: out, lambda out, x: out),
    numpy=(),
    c="1.0 / hypot(1.0, {0})",
)
sin_arctan: Op = elementwise(
    "sin_arctan", _sin_arctan, (lambda out, x: cos_arctan(x),) * 3, numpy=(), c="tg_sin_arctan({0})"
)
arctan = elementwise("arctan", np.arctan, (lambda out, x: cos_arctan(x),) * 2, flattens=0, c="atan({0})")
arcsinh = elementwise("arcsinh", np.arcsinh, lambda out, x: cos_arctan(x), c="asinh({0})")

# Lengths and directions -------------------------------------------------------------------------------------


def _cosine(x: Any, y: Any, out: Any = None) -> Any:
    length = np.hypot(x, y)
    found = np.divide(x, length, out=out)
    ordinary = (length > 1e-290) & (length < 1e300)
    if np.all(ordinary):
        return found
    # The length of the smallest and largest numbers has no digits, or is infinite.
    _, shift = np.frexp(np.maximum(np.abs(x), np.abs(y)))
    x, y = np.ldexp(x, -shift), np.ldexp(y, -shift)
    length = np.hypot(x, y)
    scaled = np.where(np.isinf(x) & np.isfinite(y), np.sign(x), x / length)
    return written(np.where(ordinary, found, np.where(length == 0.0, 0.0, scaled)), out)


def _length(x: Any, y: Any) -> Any:
    # The length has a kink at the origin; 0 is its subgradient of least norm.
    length = hypot(x, y)
    return where(equal(length, 0.0), np.inf, length)


# x / hypot(x, y), and 0 at the origin
cosine: Op = elementwise(
    "cosine",
    _cosine,
    (lambda out, x, y: cosine(y, x), Per(lambda out, x, y: _length(x, y)), lambda out, x, y: cosine(y, x)),
    (lambda out, x, y: -out, Per(lambda out, x, y: _length(x, y)), lambda out, x, y: cosine(y, x)),
    domain=((0.5, 2.0), (-2.0, 2.0)),
    numpy=(),
    c="tg_cosine({0}, {1})",
)
hypot: Op = elementwise(
    "hypot",
    np.hypot,
    lambda out, x, y: cosine(x, y),
    lambda out, x, y: cosine(y, x),
    domain=((0.5, 2.0), (-2.0, 2.0)),
    c="hypot({0}, {1})",
)
arctan2 = elementwise(
    "arctan2",
    np.arctan2,
    (lambda out, y, x: cosine(x, y), Per(lambda out, y, x: hypot(x, y))),
    (lambda out, y, x: -cosine(y, x), Per(lambda out, y, x: hypot(x, y))),
    domain=((-2.0, 2.0), (0.5, 2.0)),
    c="atan2({0}, {1})",
)
