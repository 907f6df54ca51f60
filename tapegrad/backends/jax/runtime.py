"""What printed source calls, in JAX: functions that JAX has not, or has with other digits."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
from jax.scipy import special as jsp

LOG2 = 0.6931471805599453
TINY, HUGE = 2.2250738585072014e-308, 1.7976931348623157e308
LEAST_INT = -(2**63)


# Products ---------------------------------------------------------------------------------------------------


def gated_matmul(ct: Any, factor: Any) -> Any:
    """A product of which zeros in `ct` keep infinities in `factor` out."""
    found = jnp.matmul(ct, factor)

    def with_care() -> Any:
        if ct.ndim == 1 and factor.ndim <= 2:
            met = ct != 0.0
            return jnp.matmul(ct, jnp.where(met if factor.ndim == 1 else met[:, None], factor, 0.0))
        finite = jnp.isfinite(factor)
        is_met = jnp.matmul((ct != 0.0).astype(float), (~finite).astype(float)) > 0.0
        return jnp.where(is_met, found, jnp.matmul(ct, jnp.where(finite, factor, 0.0)))

    return jax.lax.cond(jnp.any(jnp.isnan(found)), with_care, lambda: found)


def _in_range(number: Any) -> Any:
    size = jnp.abs(number)
    return (size >= TINY) & (size <= HUGE)


def _in_steps(x: Any, p: Any, factors: tuple[Any, ...], product: Any) -> Any:
    """The product by mantissas and exponents of two, where all is finite and x is not 0."""
    fourth = jnp.power(jnp.abs(x), 0.25 * p)
    ordinary = _in_range(fourth) & jnp.isfinite(x) & (x != 0.0) & ~jnp.isnan(jnp.power(x, p))
    mantissa: Any = jnp.copysign(1.0, jnp.power(x, p))
    exponent: Any = 0
    for factor in (fourth,) * 4 + factors:
        ordinary = ordinary & jnp.isfinite(factor)
        part, shift = jnp.frexp(factor)
        mantissa, again = jnp.frexp(mantissa * part)
        exponent = exponent + shift + again
    return jnp.where(ordinary, jnp.ldexp(mantissa, exponent), product)


def _product(x: Any, p: Any, power: Any, factors: tuple[Any, ...]) -> Any:
    product, kept = power, _in_range(power)
    for factor in factors:
        product = product * factor
        kept = kept & _in_range(product)
    kept = kept | (product == 0.0) & jnp.isfinite(power) & (factors[0] == 0.0)

    def with_care() -> Any:
        return jnp.where(kept, product, _in_steps(x, p, factors, product))

    return jax.lax.cond(jnp.all(kept), lambda: product, with_care)


def times_power(x: Any, p: Any, power: Any, *factors: Any) -> Any:
    """``power``, which is ``x**p``, times the factors: in range, and 0 where the first factor is."""
    factors = tuple(map(jnp.asarray, factors))
    return jnp.where(factors[0] == 0.0, 0.0, _product(x, p, power, factors))


def gated_times_power(x: Any, p: Any, power: Any, *factors: Any) -> Any:
    """The same, and 0 where any factor is."""
    factors = tuple(map(jnp.asarray, factors))
    product = _product(x, p, power, factors)
    for factor in factors:
        product = jnp.where(factor == 0.0, 0.0, product)
    return product


# Exponentials -----------------------------------------------------------------------------------------------


def _at_equal_infinities(value: Any, x: Any, y: Any, instead: float) -> Any:
    value = jnp.where((x == y) & jnp.isposinf(x), instead, value)
    return jnp.where((x == y) & jnp.isneginf(x), 0.0, value)


def exp_gap(x: Any, y: Any) -> Any:
    """``exp(-|x - y|)``."""
    return _at_equal_infinities(jnp.exp(-jnp.abs(x - y)), x, y, 1.0)


def share(x: Any, y: Any) -> Any:
    """What ``exp(x)`` is of ``exp(x) + exp(y)``."""
    return _at_equal_infinities(jsp.expit(x - y), x, y, 0.5)


def both_shares(x: Any, y: Any) -> Any:
    """The product of both shares."""
    e = exp_gap(x, y)
    return e / (1.0 + e) ** 2


def share_gap(x: Any, y: Any) -> Any:
    """The first share less the second."""
    return _at_equal_infinities(jnp.tanh(0.5 * (x - y)), x, y, 0.0)


def of_powers_of_2(function: Any, x: Any, y: Any) -> Any:
    """`share`, `both_shares` or `share_gap` of powers of 2."""
    tied = x == y
    return function(jnp.where(tied, x, LOG2 * (x - y)), jnp.where(tied, y, 0.0))


def sin_arctan(x: Any) -> Any:
    """``x / sqrt(1 + x**2)``."""
    return jnp.where(jnp.isinf(x), jnp.sign(x), x / jnp.hypot(1.0, x))


def sech(x: Any) -> Any:
    """``1 / cosh(x)``."""
    e = jnp.exp(-jnp.abs(x))
    return 2.0 * e / (e * e + 1.0)


def log_cosh(x: Any) -> Any:
    """The logarithm of cosh."""
    size = jnp.abs(x)
    near = jnp.minimum(size, 1.0)
    far = size + jnp.log1p(jnp.exp(-2.0 * size)) - LOG2
    return jnp.where(size < 1.0, 0.5 * jnp.log1p(jnp.sinh(near) ** 2), far)


def cosine(x: Any, y: Any) -> Any:
    """``x / hypot(x, y)``, 0 at the origin."""
    top = jnp.maximum(jnp.abs(x), jnp.abs(y))
    ordinary = (top > 0.0) & jnp.isfinite(top)
    a, b = jnp.where(ordinary, x / top, 0.0), jnp.where(ordinary, y / top, 1.0)
    infinite = jnp.where(jnp.isinf(x) & jnp.isfinite(y), jnp.sign(x), x / jnp.hypot(x, y))
    return jnp.where(ordinary, a / jnp.hypot(a, b), jnp.where(top == 0.0, 0.0, infinite))


def log1mexp(x: Any) -> Any:
    """``log(1 - exp(x))``."""
    return jnp.where(x > -LOG2, jnp.log(-jnp.expm1(x)), jnp.log1p(-jnp.exp(x)))


def xlogy(x: Any, y: Any) -> Any:
    """``x log(y)``, 0 where x is."""
    return jnp.where((x == 0.0) & ~jnp.isnan(y), 0.0, x * jnp.log(y))


def xlog1py(x: Any, y: Any) -> Any:
    """``x log(1 + y)``, 0 where x is."""
    return jnp.where((x == 0.0) & ~jnp.isnan(y), 0.0, x * jnp.log1p(y))


def expn(n: int, x: Any) -> Any:
    """The exponential integral of an order that is a number, from -99 on."""
    if n > 0:
        return jsp.expn(n, x)
    return jnp.exp(-x) * sum(math.perm(-n, -n - k) * x ** (k + n - 1.0) for k in range(1 - n))


# Losses -----------------------------------------------------------------------------------------------------


def huber(delta: Any, r: Any) -> Any:
    """Huber's loss, infinite for a negative width."""
    size = jnp.abs(r)
    return jnp.where(
        delta < 0.0, jnp.inf, jnp.where(size <= delta, 0.5 * r * r, delta * (size - 0.5 * delta))
    )


def pseudo_huber(delta: Any, r: Any) -> Any:
    """A smooth form of it."""
    v = r / delta
    value = delta * delta * v * v / (1.0 + jnp.sqrt(1.0 + v * v))
    value = jnp.where((delta == 0.0) | (r == 0.0), 0.0, value)
    return jnp.where(delta < 0.0, jnp.inf, value)


# Along axes, and matrices -----------------------------------------------------------------------------------


def to_int(x: Any) -> Any:
    """Whole numbers as NumPy has them: what is none becomes one that is no index."""
    x = jnp.asarray(x)
    ordinary = jnp.abs(x) < 2.0**63
    return jnp.where(ordinary, jnp.where(ordinary, x, 0).astype(jnp.int64), LEAST_INT)


def logsumexp(x: Any, axis: Any, keepdims: bool = False) -> Any:
    """The logarithm of a sum of exponentials."""
    top = jnp.max(x, axis=axis, keepdims=True, initial=-jnp.inf)
    top = jnp.where(jnp.isfinite(top), top, 0.0)
    total = jnp.log(jnp.sum(jnp.exp(x - top), axis=axis, keepdims=True)) + top
    return total if keepdims else jnp.squeeze(total, axis=axis)


def recurrence(a: Any, b: Any, start: Any, reverse: bool) -> Any:
    """``s[t] = a[t] s[t - 1] + b[t]``, against the direction of time where it is reversed."""
    a, b, start = jnp.asarray(a), jnp.asarray(b), jnp.asarray(start)
    varies = a.ndim > 2 * start.ndim

    def step(state: Any, own: Any) -> Any:
        factor, constant = own if varies else (a, own)
        state = (factor @ state if state.ndim else factor * state) + constant
        return state, state

    return jax.lax.scan(step, start, (a, b) if varies else b, reverse=reverse)[1]


def solve_triangular(a: Any, b: Any, lower: bool, flipped: bool) -> Any:
    """The solution of a triangular system; NaN where the triangle has a 0 on its diagonal."""
    shape = (*jnp.broadcast_shapes(a.shape[:-2], b.shape[:-2]),)
    a, b = jnp.broadcast_to(a, (*shape, *a.shape[-2:])), jnp.broadcast_to(b, (*shape, *b.shape[-2:]))
    found = jax.scipy.linalg.solve_triangular(a, b, trans=1 if flipped else 0, lower=lower)
    return _but_singular(jnp.any(jnp.diagonal(a, axis1=-2, axis2=-1) == 0.0), found)


def _but_singular(is_singular: Any, found: Any) -> Any:
    """NaN where NumPy has no result, as the op has it: for the whole stack."""
    return jnp.where(is_singular, jnp.nan, found)


def inv(a: Any) -> Any:
    """The inverse; NaN where LAPACK meets a pivot of 0."""
    return _but_singular(_has_no_inverse(a), jnp.linalg.inv(a))


def solve(a: Any, b: Any) -> Any:
    """The solution of a system of equations."""
    return _but_singular(_has_no_inverse(a), jnp.linalg.solve(a, b))


def _has_no_inverse(a: Any) -> Any:
    factors = jax.scipy.linalg.lu_factor(a)[0]
    return jnp.any(jnp.diagonal(factors, axis1=-2, axis2=-1) == 0.0)


def cholesky(a: Any) -> Any:
    """The lower factor; NaN for the whole stack where a matrix has none."""
    found = jnp.linalg.cholesky(a, symmetrize_input=False)
    return _but_singular(jnp.any(jnp.isnan(found)), found)


def _rows_of(indptr: Any, indices: Any) -> Any:
    return jnp.searchsorted(indptr, jnp.arange(indices.shape[0]), side="right") - 1


def sparse_product(values: Any, indices: Any, indptr: Any, x: Any, columns: int, transposed: bool) -> Any:
    """A sparse matrix in rows, or its transpose, times a vector or a table."""
    rows = _rows_of(indptr, indices)
    to, of = (indices, rows) if transposed else (rows, indices)
    length = columns if transposed else indptr.shape[0] - 1
    terms = x[of] * (values if x.ndim == 1 else values[:, None])
    return jnp.zeros((length, *x.shape[1:])).at[to].add(terms)


def sparse_outer(x: Any, y: Any, indices: Any, indptr: Any) -> Any:
    """Products of elements, or of rows of tables, at the positions of a pattern."""
    terms = x[_rows_of(indptr, indices)] * y[indices]
    return terms if terms.ndim == 1 else jnp.sum(terms, axis=1)


def outside(index: Any, length: int) -> Any:
    """Whether an index names elements that do not exist, for which JAX takes others without a word."""
    return jnp.any((index < -length) | (index >= length))
