"""Arithmetic, powers, and NumPy's elementwise functions."""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np

from tapegrad.ops.logic import equal, greater, signbit, where
from tapegrad.ops.raw import special
from tapegrad.ops.registry import (
    Elementwise,
    Gate,
    Op,
    Per,
    Products,
    Raised,
    broadcast,
    elementwise,
    implements,
    register,
    written,
)

POSITIVE = (0.2, 3.0)
UNIT = (-0.9, 0.9)
LOG2 = math.log(2.0)
LOG10 = math.log(10.0)

# Arithmetic -------------------------------------------------------------------------------------------------

add = elementwise("add", np.add, 1.0, 1.0, scalar=operator.add, python="{0} + {1}", c="{0} + {1}")
sub = elementwise("sub", np.subtract, 1.0, -1.0, scalar=operator.sub, python="{0} - {1}", c="{0} - {1}")
mul = elementwise(
    "mul",
    np.multiply,
    lambda out, x, y: y,
    lambda out, x, y: x,
    scalar=operator.mul,
    python="{0} * {1}",
    c="{0} * {1}",
)
div = elementwise(
    "div",
    np.divide,
    Per(lambda out, x, y: y),
    (lambda out, x, y: -out, Per(lambda out, x, y: y)),
    domain=((-2.0, 2.0), POSITIVE),
    flattens=1,
    scalar=operator.truediv,
    python="{0} / {1}",
    c="{0} / {1}",
)
neg = elementwise("neg", np.negative, -1.0, scalar=operator.neg, python="-{0}", c="-{0}")


def _reciprocal(x: Any, out: Any = None) -> Any:
    return np.divide(1.0, x, out=out)  # the same bits as np.reciprocal in half the time


reciprocal: Op = elementwise(
    "reciprocal",
    _reciprocal,
    (lambda out, x: -out, lambda out, x: out),
    domain=POSITIVE,
    numpy=(np.reciprocal,),
    flattens=0,
    scalar=lambda x: 1.0 / x,
    python="1.0 / {0}",
    c="1.0 / {0}",
)
square: Op = elementwise(
    "square",
    np.square,
    (2.0, lambda out, x: x),
    grows=True,
    scalar=lambda x: x * x,
    python="{0} * {0}",
    c="{0} * {0}",
)


power: Op = elementwise(
    "power",
    np.power,
    # x**0 is 1 everywhere, so its slope is 0 even at x = 0, where x**-1 is infinite. `where` on y == 0 would
    # say so too, but hide that the slope has a derivative with respect to y there, which is x**-1.
    Raised(lambda out, x, y: y, lambda out, x, y: x, lambda out, x, y: y - 1.0),
    # 0**y is 0 for y > 0, and so is its slope, although log(0) is infinite.
    (lambda out, x, y: log(x), Gate(lambda out, x, y: out)),
    domain=(POSITIVE, (-2.0, 2.0)),
    numpy=(np.power, np.float_power),
    c="pow({0}, {1})",
)
remainder = elementwise(
    "remainder",
    np.remainder,
    1.0,
    lambda out, x, y: -floor_divide(x, y),
    domain=((-2.0, 2.0), (0.7, 0.75)),
    c="tg_remainder({0}, {1})",
)
fmod = elementwise(
    "fmod",
    np.fmod,
    1.0,
    lambda out, x, y: -rint((x - out) / y),
    domain=((-2.0, 2.0), (0.7, 0.75)),
    c="fmod({0}, {1})",
)
floor_divide: Op = elementwise(
    "floor_divide", np.floor_divide, None, None, domain=((-2.0, 2.0), POSITIVE), c="tg_floor_divide({0}, {1})"
)

# Magnitude and rounding -------------------------------------------------------------------------------------

absolute = elementwise(
    "abs", np.absolute, lambda out, x: sign(x), masks=True, numpy=(np.absolute, np.fabs), c="fabs({0})"
)
sign: Op = elementwise("sign", np.sign, None, c="tg_sign({0})")
floor = elementwise("floor", np.floor, None, c="floor({0})")
ceil = elementwise("ceil", np.ceil, None, c="ceil({0})")
trunc: Op = elementwise("trunc", np.trunc, None, c="trunc({0})")
rint: Op = elementwise("rint", np.rint, None, c="rint({0})")
spacing = elementwise("spacing", np.spacing, None)
heaviside = elementwise("heaviside", np.heaviside, None, None, c="tg_heaviside({0}, {1})")

# Exponentials and logarithms --------------------------------------------------------------------------------

exp = elementwise("exp", np.exp, lambda out, x: out, flattens=0, grows=True, python="exp({0})", c="exp({0})")
exp2 = elementwise("exp2", np.exp2, (LOG2, lambda out, x: out), flattens=0, grows=True, c="exp2({0})")
expm1 = elementwise(
    "expm1", np.expm1, lambda out, x: exp(x), flattens=0, grows=True, python="expm1({0})", c="expm1({0})"
)
log: Op = elementwise("log", np.log, Per(lambda out, x: x), domain=POSITIVE, python="log({0})", c="log({0})")
log2 = elementwise("log2", np.log2, (1.0 / LOG2, Per(lambda out, x: x)), domain=POSITIVE, c="log2({0})")
log10 = elementwise("log10", np.log10, (1.0 / LOG10, Per(lambda out, x: x)), domain=POSITIVE, c="log10({0})")
log1p = elementwise(
    "log1p", np.log1p, Per(lambda out, x: 1.0 + x), domain=UNIT, python="log1p({0})", c="log1p({0})"
)
sqrt = elementwise(
    "sqrt",
    np.sqrt,
    (0.5, Per(lambda out, x: out)),
    domain=POSITIVE,
    scalar=math.sqrt,
    python="sqrt({0})",
    c="sqrt({0})",
)
# The square root of a sum of squares: at 0 it has a kink, and 0 is its subgradient of least norm.
root = elementwise(
    "root",
    np.sqrt,
    (0.5, Per(lambda out, x: where(equal(out, 0.0), np.inf, out))),
    domain=POSITIVE,
    scalar=math.sqrt,
    python="sqrt({0})",
    c="sqrt({0})",
    numpy=(),
)
cbrt = elementwise(
    "cbrt",
    np.cbrt,
    (1.0 / 3.0, Per(lambda out, x: out), Per(lambda out, x: out)),
    domain=POSITIVE,
    c="cbrt({0})",
)


logaddexp = elementwise(
    "logaddexp",
    np.logaddexp,
    lambda out, x, y: share(x, y),
    lambda out, x, y: share(y, x),
    c="tg_logaddexp({0}, {1})",
)


# What follows has one exponential in common, exp(-|x - y|), with which the pass `exponentials` writes all of
# it. Of two minus infinities it is 0, so that each share of nothing is 0; of two infinities it is 1.


def _exp_gap(x: Any, y: Any, out: Any = None) -> Any:
    if out is None:
        out = np.empty(np.broadcast_shapes(np.shape(x), np.shape(y)))
    np.subtract(x, y, out=out)
    np.abs(out, out=out)
    np.negative(out, out=out)
    np.exp(out, out=out)
    return _at_equal_infinities(out, x, y, 1.0)


def _at_equal_infinities(out: Any, x: Any, y: Any, value: float) -> Any:
    # The difference of two infinities is NaN, and so is the sum of the squares then, which is quick.
    total = np.vdot(out, out)
    if total != total:
        out = np.asarray(out)
        equal_infinities = np.isnan(out) & np.equal(x, y)
        np.copyto(out, np.where(np.greater(x, 0.0), value, 0.0), where=equal_infinities)
    return out


def _gap_slope(out: Any, x: Any, y: Any) -> Any:
    return out * sign(y - x)


exp_gap = elementwise(
    "exp_gap",
    _exp_gap,
    _gap_slope,
    lambda out, x, y: _gap_slope(out, y, x),
    masks=True,
    numpy=(),
    c="tg_exp_gap({0}, {1})",
)


def _one_above(x: Any, y: Any, e: Any, out: Any = None) -> Any:
    # As fast as it gets: where the outcomes are mixed, `where` takes ten times as long.
    return np.maximum(e, np.greater(x, y), out=out)


# 1 where x > y, and elsewhere e, which is between 0 and 1.
one_above = register(
    Op(
        "one_above",
        _one_above,
        broadcast,
        Elementwise((None, None, lambda out, x, y, e: where(greater(x, y), 0.0, 1.0))),
        masks=True,
        samples=(
            ((1.5, 1.0, 0.5), {}),
            ((np.array([1.0, 2.0, 3.0]), 2.0, np.array([0.3, 0.8, 0.4])), {}),
            ((np.array([[1.0], [2.0]]), np.array([0.5, 1.5, 2.5]), 0.25), {}),
        ),
        c="tg_one_above({0}, {1}, {2})",
    )
)


def _share_of_numbers(x: float, y: float) -> float:
    if x == y:
        return 0.0 if x == -math.inf else 0.5
    e = math.exp(-abs(x - y))
    return 1.0 / (1.0 + e) if x > y else e / (1.0 + e)


def _share(x: Any, y: Any, out: Any = None) -> Any:
    if isinstance(x, float) and isinstance(y, float) and out is None:
        return _share_of_numbers(x, y)
    if out is None:
        out = np.empty(np.broadcast_shapes(np.shape(x), np.shape(y)))
    if out.ndim == 0:
        out[...] = _share_of_numbers(float(x), float(y))
        return out
    np.subtract(x, y, out=out)
    special.expit(out, out=out)
    return _at_equal_infinities(out, x, y, 0.5)


# What exp(x) is of exp(x) + exp(y): the logistic function of x - y.
share: Op = elementwise(
    "share",
    _share,
    lambda out, x, y: both_shares(x, y),
    (-1.0, lambda out, x, y: both_shares(x, y)),
    flattens=0,
    scalar=_share_of_numbers,
    numpy=(),
    c="tg_share({0}, {1})",
)


def _both_shares_of_numbers(x: float, y: float) -> float:
    if x == y:
        return 0.0 if x == -math.inf else 0.25
    e = math.exp(-abs(x - y))
    return e / ((1.0 + e) * (1.0 + e))


def _both_shares(x: Any, y: Any, out: Any = None) -> Any:
    if np.ndim(x) == np.ndim(y) == 0:
        return written(np.float64(_both_shares_of_numbers(float(x), float(y))), out)
    e = _exp_gap(x, y, out=out)
    return np.divide(e, np.square(1.0 + e), out=out)


def _share_gap(x: Any, y: Any, out: Any = None) -> Any:
    gap = np.asarray(np.subtract(x, y, out=out))
    return written(_at_equal_infinities(np.tanh(0.5 * gap), x, y, 0.0), out)


# The product of the share of x and that of y, and the first less the second, with its digits where they are
# almost equal.
both_shares: Op = elementwise(
    "both_shares",
    _both_shares,
    (-1.0, lambda out, x, y: out, lambda out, x, y: share_gap(x, y)),
    (lambda out, x, y: out, lambda out, x, y: share_gap(x, y)),
    flattens=0,
    scalar=_both_shares_of_numbers,
    numpy=(),
    c="tg_both_shares({0}, {1})",
)
share_gap: Op = elementwise(
    "share_gap",
    _share_gap,
    (2.0, lambda out, x, y: both_shares(x, y)),
    (-2.0, lambda out, x, y: both_shares(x, y)),
    numpy=(),
    c="tg_share_gap({0}, {1})",
)


# The same of powers of 2.


def _of_powers_of_2(kernel: Any) -> Any:
    def scaled(x: Any, y: Any, out: Any = None) -> Any:
        tied = np.equal(x, y)  # at infinities the difference is NaN
        gap = np.where(tied, x, LOG2 * np.subtract(x, y))
        return written(kernel(gap, np.where(tied, y, 0.0), np.empty(gap.shape)), out)

    return scaled


share2: Op = elementwise(
    "share2",
    _of_powers_of_2(_share),
    (LOG2, lambda out, x, y: both_shares2(x, y)),
    (-LOG2, lambda out, x, y: both_shares2(x, y)),
    numpy=(),
    c="tg_share2({0}, {1})",
)
both_shares2: Op = elementwise(
    "both_shares2",
    _of_powers_of_2(_both_shares),
    (-LOG2, lambda out, x, y: out, lambda out, x, y: share_gap2(x, y)),
    (LOG2, lambda out, x, y: out, lambda out, x, y: share_gap2(x, y)),
    numpy=(),
    c="tg_both_shares2({0}, {1})",
)
share_gap2: Op = elementwise(
    "share_gap2",
    _of_powers_of_2(_share_gap),
    (2.0 * LOG2, lambda out, x, y: both_shares2(x, y)),
    (-2.0 * LOG2, lambda out, x, y: both_shares2(x, y)),
    numpy=(),
    c="tg_share_gap2({0}, {1})",
)
logaddexp2 = elementwise(
    "logaddexp2",
    np.logaddexp2,
    lambda out, x, y: share2(x, y),
    lambda out, x, y: share2(y, x),
    c="tg_logaddexp2({0}, {1})",
)

# Choices, copies and rounding ------------------------------------------------------------------------------


def _relu(x: Any, out: Any = None) -> Any:
    return np.maximum(x, 0.0, out=out)


def _where_positive(i: int, moving: Any, out: Any, x: Any) -> Any:
    return where(greater(x, 0.0), moving, 0.0)


relu = register(
    Op(
        "relu",
        _relu,
        broadcast,
        Products(_where_positive, _where_positive),
        masks=True,
        domain=((-2.0, 2.0),),
        c="tg_relu({0})",
    )
)


@implements(np.positive, np.conjugate)
def positive(x: Any) -> Any:
    """A copy of `x`, as NumPy's `positive`."""
    return x * 1.0


@implements(np.fix)
def fix(x: Any) -> Any:
    """NumPy's `fix`, which NumPy 2.5 warns of."""
    return trunc(x)


@implements(np.copysign)
def copysign(x: Any, y: Any) -> Any:
    """NumPy's `copysign`: `x` with the sign of `y`."""
    return where(equal(signbit(x), signbit(y)), x, -x)


@implements(np.round, np.around)
def round(a: Any, decimals: int = 0) -> Any:
    """NumPy's `round`: to even at halves."""
    if decimals == 0:
        return rint(a)
    scale = 10.0 ** abs(decimals)
    return rint(a * scale) / scale if decimals > 0 else rint(a / scale) * scale


@implements(np.divmod)
def divmod_(x: Any, y: Any) -> Any:
    """Quotient and remainder."""
    return floor_divide(x, y), remainder(x, y)


@implements(np.modf)
def modf(x: Any) -> Any:
    """NumPy's `modf`: what stands behind the point, which is 0 of an infinity, and the whole number."""
    whole = trunc(x)
    return where(equal(x, whole), copysign(0.0, x), x - whole), whole


@implements(np.ldexp)
def ldexp(x1: Any, x2: Any) -> Any:
    """NumPy's `ldexp`."""
    return x1 * exp2(x2)
