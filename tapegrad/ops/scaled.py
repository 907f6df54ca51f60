"""What factors of partials become: products with a power, and quotients, that stay in range and keep masks.

`derive.rules` writes these; no function of NumPy stands for them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tapegrad.ops.broadcasting import gated_mul, unbroadcast, write_where
from tapegrad.ops.elementwise import log, power
from tapegrad.ops.registry import Op, Products, broadcast, register, written
from tapegrad.ops.shaping import shape_of

# c * x**p times (co)tangents, and 0 where c is 0, whatever it meets: as the slope of x**0 has it. A part of
# the product can leave the range of doubles where the whole does not. The power itself is an input as well,
# of which there is no derivative: so it is there once for all that are multiplied with it.

_MOST = 32  # inputs: a derivative in x has one more
_TINY, _HUGE = np.finfo(float).tiny, np.finfo(float).max


def _sizes(numbers: Any) -> tuple[float, float]:
    """The smallest and the largest size of some numbers."""
    if np.ndim(numbers) == 0:
        return abs(float(numbers)), abs(float(numbers))
    least = np.minimum.reduce(numbers, axis=None, initial=np.inf)
    if not least > 0.0:
        numbers = np.abs(numbers)
        least = np.minimum.reduce(numbers, axis=None, initial=np.inf)
    return least, np.maximum.reduce(numbers, axis=None, initial=0.0)


def _in_range(number: Any) -> Any:
    size = np.abs(number)
    return (size >= _TINY) & (size <= _HUGE)


def _product(x: Any, p: Any, power_of_x: Any, factors: tuple[Any, ...], out: Any) -> Any:
    product = power_of_x
    least, most = _sizes(product)
    for i, factor in enumerate(factors):
        if not (least >= _TINY and most <= _HUGE):
            return _with_care(x, p, power_of_x, factors)
        product = np.multiply(product, factor, out=out)
        if i + 1 < len(factors):  # nothing is lost where the last product alone leaves the range
            low, high = _sizes(factor)
            if low == 0.0:  # with which a product is 0, come what may
                low = _least_but_0(factor) if high > 0.0 else np.inf
            least, most = least * low, most * high
    return product


def _least_but_0(numbers: Any) -> Any:
    size = np.abs(numbers)
    return np.minimum.reduce(np.where(size == 0.0, np.inf, size), axis=None)


def _with_care(x: Any, p: Any, product: Any, factors: tuple[Any, ...]) -> Any:
    kept = _in_range(product)
    for factor in factors:
        product = product * factor
        kept = kept & _in_range(product)
    return np.where(kept, product, _in_steps(x, p, factors, product))


def _in_steps(x: Any, p: Any, factors: tuple[Any, ...], product: Any) -> Any:
    """The same by mantissas and exponents of two, where all is finite and x is not 0."""
    fourth = np.power(np.abs(x), np.multiply(0.25, p))  # which stays in range where the product does
    ordinary = _in_range(fourth) & np.isfinite(x) & np.not_equal(x, 0.0) & ~np.isnan(np.power(x, p))
    for factor in factors:
        ordinary = ordinary & np.isfinite(factor)
    mantissa: Any = np.copysign(1.0, np.power(x, p))
    exponent: Any = 0
    for factor in (fourth,) * 4 + factors:
        part, shift = np.frexp(factor)
        mantissa, again = np.frexp(mantissa * part)
        exponent = exponent + shift + again
    return np.where(ordinary, np.ldexp(mantissa, exponent), product)


def _times_power(x: Any, p: Any, power_of_x: Any, *factors: Any, out: Any = None) -> Any:
    product = _product(x, p, power_of_x, factors, out)
    if np.any(np.equal(factors[0], 0.0)):
        product = np.where(np.equal(factors[0], 0.0), 0.0, product)
    return product if product is out else written(product, out)


def _gated_times_power(x: Any, p: Any, power_of_x: Any, *factors: Any, out: Any = None) -> Any:
    product = _product(x, p, power_of_x, factors, None)
    for factor in factors:
        product = np.where(np.equal(factor, 0.0), 0.0, product)
    return written(product, out)


def _register_times_power(name: str, kernel: Any, masks: bool) -> Op:
    def rule(i: int, new: Any, out: Any, x: Any, p: Any, power_of_x: Any, *factors: Any) -> Any:
        if i == 0:
            c, *others = factors
            return op(x, p - 1.0, power(x, p - 1.0), c * p, *others, new)
        if i == 1:
            return gated_mul(out, log(x) * new)
        return op(x, p, power_of_x, *factors[: i - 3], new, *factors[i - 2 :])

    def vjp(i: int, ct: Any, out: Any, *inputs: Any) -> Any:
        return unbroadcast(rule(i, ct, out, *inputs), shape_of(inputs[i]))

    # The first three go together, so that the test table must not move one of them: it moves doubles only.
    single = np.float32
    row = np.array([1.0, 2.0, 3.0], dtype=single)
    samples: tuple[Any, ...] = (
        ((single(2.0), single(3.0), single(8.0), np.float64(1.5), np.float64(0.3)), {}),
        ((row, single(2.0), row**2, np.float64(2.0), np.array([1.0, -2.0, 0.5])), {}),
    )
    rule_of_all = Products(rule, vjp, arguments=(0, 1, *range(3, _MOST)))
    arity = range(4, _MOST + 1)  # with one factor at least
    c = f"tg_{name}({{0}}, {{1}}, {{2}}, {{rest}})"
    op = Op(name, kernel, broadcast, rule_of_all, masks=masks, arity=arity, c=c, samples=samples)
    return register(op)


times_power = _register_times_power("times_power", _times_power, masks=False)
# The same, and 0 where any factor is 0.
gated_times_power = _register_times_power("gated_times_power", _gated_times_power, masks=True)


# A cotangent by a divisor, and 0 wherever the cotangent is 0: see `gated_mul`.


def _gated_div(ct: Any, y: Any, out: Any = None) -> Any:
    if out is None:
        out = np.empty(np.broadcast_shapes(np.shape(ct), np.shape(y)))
    np.divide(ct, y, out=out)
    total = np.vdot(out, out)  # which is NaN if there is one
    return out if total == total else write_where(np.equal(ct, 0.0), 0.0, out, out)


def _gated_div_slope(i: int, moving: Any, out: Any, ct: Any, y: Any) -> Any:
    return gated_div(moving, y) if i == 0 else -gated_div(gated_mul(out, moving), y)


gated_div: Op = register(
    Op(
        "gated_div",
        _gated_div,
        broadcast,
        Products(
            _gated_div_slope,
            lambda i, g, out, ct, y: unbroadcast(
                _gated_div_slope(i, g, out, ct, y), shape_of(y if i else ct)
            ),
        ),
        masks=True,
        scalar=lambda ct, y: 0.0 if ct == 0.0 else ct / y,
        python="0.0 if {0} == 0.0 else {0} / {1}",
        c="tg_gated_div({0}, {1})",
        samples=(
            ((1.5, 2.0), {}),
            ((np.array([0.5, -1.0, 2.0]), 3.0), {}),
            ((2.0, np.array([0.5, -1.0, 2.0])), {}),
            ((np.array([[1.0], [2.0]]), np.array([0.5, -1.0, 2.0])), {}),
        ),
    )
)
