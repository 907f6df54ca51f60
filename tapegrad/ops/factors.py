"""The singular value and QR decompositions, and pseudo-inverses.

Derivatives: M. B. Giles (2008), as in `decompositions`; G. H. Golub and V. Pereyra, "The differentiation of
pseudo-inverses and nonlinear least squares problems whose variables separate" (1973), for `pinv`. All take
stacks of matrices. What is not unique to rounding (vectors of equal singular values, factors of dependent
columns, the pseudo-inverse of a matrix without full rank, whose rank jumps beside it) has the derivative NaN.
"""

from __future__ import annotations

import builtins
from typing import Any

import numpy as np

from tapegrad.ops.broadcasting import sum_
from tapegrad.ops.decompositions import (
    ROUNDING,
    by_matrix,
    nan_where_singular,
    over_columns,
    over_matrix,
    solve_,
    transposed,
)
from tapegrad.ops.elementwise import absolute, reciprocal, square
from tapegrad.ops.indexing import getitem, tril, triu
from tapegrad.ops.linalg import matmul
from tapegrad.ops.logic import greater, less_equal, logical_and, not_equal, where
from tapegrad.ops.reductions import any, max, min, sum
from tapegrad.ops.registry import FLOAT, Op, Shape, implements, register
from tapegrad.ops.shaping import reshape, shape_of, to_float, to_int

_TALL = np.array([[2.0, -1.0], [0.4, 1.5], [-0.6, 0.2]])
_GENERAL = np.array([[2.0, -1.0, 0.3], [0.4, 1.5, -0.8], [-0.6, 0.2, 1.1]])
_Samples = tuple[tuple[tuple[Any, ...], dict[str, Any]], ...]
_TALL_ONES: _Samples = (
    ((_TALL,), {}),
    ((_GENERAL,), {}),
    ((np.array([_TALL, _TALL[::-1] + 0.3]),), {}),
    ((np.array([[1.5]]),), {}),
)
_ANY: _Samples = (*_TALL_ONES, ((_TALL.T,), {}))


def sizes_of(shape: Shape) -> tuple[int, int]:
    if len(shape) < 2:
        raise np.linalg.LinAlgError(f"matrices wanted, or a stack of them; the shape is {shape}")
    return shape[-2], shape[-1]


def diagonals(product: Any) -> Any:
    """The diagonals of square matrices."""
    n, ndim = shape_of(product)[-1], len(shape_of(product))
    return sum_(where(np.eye(n, dtype=bool), product, 0.0), axis=(ndim - 1,), keepdims=False)


def rounding_of(values: Any) -> Any:
    """What counts as nothing beside these numbers: their rounding."""
    return ROUNDING * shape_of(values)[-1] * max(absolute(values), -1, keepdims=True)


def twins(values: Any) -> Any:
    """Which pairs of numbers are equal to rounding, but for each number and itself."""
    gap = over_columns(values) - reshape(values, shape=(*shape_of(values), 1))
    near = less_equal(absolute(gap), reshape(rounding_of(values), shape=(*shape_of(values)[:-1], 1, 1)))
    return logical_and(near, ~np.eye(shape_of(values)[-1], dtype=bool))


def per_gap(values: Any) -> Any:
    """1 over value j less value i, and 0 on the diagonal; between values that are equal to rounding, NaN."""
    gap = over_columns(values) - reshape(values, shape=(*shape_of(values), 1))
    own = np.eye(shape_of(values)[-1], dtype=bool)
    return where(own, 0.0, reciprocal(where(own, 1.0, where(twins(values), np.nan, gap))))


def without_slope(x: Any, where_: Any) -> Any:
    """NaN where there is no derivative to multiply with; nothing stays nothing."""
    return where(logical_and(where_, not_equal(x, 0.0)), np.nan, x)


# Singular values --------------------------------------------------------------------------------------------
# A matrix is left @ diag(values) @ right, with as many values as the smaller of its sizes.


def _values_shape(shape: Shape) -> Shape:
    return (*shape[:-2], builtins.min(sizes_of(shape)))


def _left_shape(shape: Shape) -> Shape:
    return (*shape[:-1], builtins.min(sizes_of(shape)))


def _right_shape(shape: Shape) -> Shape:
    return (*shape[:-2], builtins.min(sizes_of(shape)), shape[-1])


def _values_jvp(i: int, t: Any, out: Any, a: Any) -> Any:
    inside = diagonals(matmul(matmul(transposed(left_vectors(a)), t), transposed(right_vectors(a))))
    return without_slope(inside, less_equal(out, rounding_of(out)))


def _values_vjp(i: int, ct: Any, out: Any, a: Any) -> Any:
    ct = without_slope(ct, less_equal(out, rounding_of(out)))
    return matmul(left_vectors(a) * over_columns(ct), right_vectors(a))


singular_values: Op = register(
    Op(
        "singular_values",
        nan_where_singular(lambda a: np.linalg.svd(a, compute_uv=False), _values_shape),
        _values_shape,
        by_matrix(_values_jvp, _values_vjp),
        samples=_ANY,
    )
)


def _turned(x: Any, values: Any) -> Any:
    """Elements over the differences of squared singular values: how singular vectors turn."""
    both = over_columns(values) + reshape(values, shape=(*shape_of(values), 1))
    own = np.eye(shape_of(values)[-1], dtype=bool)
    return x * per_gap(values) / where(own, 1.0, both)


def _outside(x: Any, vectors: Any) -> Any:
    """The part of columns that is not in the span of orthonormal vectors."""
    return x - matmul(vectors, matmul(transposed(vectors), x))


def _per_value(values: Any) -> Any:
    return over_columns(reciprocal(where(less_equal(values, rounding_of(values)), np.nan, values)))


def _moved(t: Any, own: Any, values: Any, other: Any) -> Any:
    """How singular vectors move, in columns, as the matrix that has them on its left moves by `t`."""
    moved = matmul(t, other)
    inside = matmul(transposed(own), moved) * over_columns(values)
    turned = matmul(own, _turned(inside + transposed(inside), values))
    rows, columns = sizes_of(shape_of(t))
    return turned if rows <= columns else turned + _outside(moved, own) * _per_value(values)


def _pulled(ct: Any, own: Any, values: Any, other: Any) -> Any:
    """The transpose of `_moved`."""
    inside = _turned(matmul(transposed(own), ct), values)
    found = matmul(own, (inside + transposed(inside)) * over_columns(values))
    if shape_of(own)[-2] > shape_of(other)[-2]:
        found = found + _outside(ct, own) * _per_value(values)
    return matmul(found, transposed(other))


left_vectors: Op = register(
    Op(
        "left_vectors",
        nan_where_singular(lambda a: np.linalg.svd(a, full_matrices=False)[0], _left_shape),
        _left_shape,
        by_matrix(
            lambda i, t, out, a: _moved(t, out, singular_values(a), transposed(right_vectors(a))),
            lambda i, ct, out, a: _pulled(ct, out, singular_values(a), transposed(right_vectors(a))),
        ),
        samples=_ANY,
    )
)


# They stand in rows, and on the left of the transpose.


def _right_jvp(i: int, t: Any, out: Any, a: Any) -> Any:
    return transposed(_moved(transposed(t), transposed(out), singular_values(a), left_vectors(a)))


def _right_vjp(i: int, ct: Any, out: Any, a: Any) -> Any:
    return transposed(_pulled(transposed(ct), transposed(out), singular_values(a), left_vectors(a)))


right_vectors: Op = register(
    Op(
        "right_vectors",
        nan_where_singular(lambda a: np.linalg.svd(a, full_matrices=False)[2], _right_shape),
        _right_shape,
        by_matrix(_right_jvp, _right_vjp),
        samples=_ANY,
    )
)
_SVDResult: Any = type(np.linalg.svd(np.eye(1)))


@implements(np.linalg.svd)
def svd(a: Any, full_matrices: bool = True, compute_uv: bool = True) -> Any:
    """NumPy's `svd`; vectors of equal singular values have the derivative NaN."""
    rows, columns = sizes_of(shape_of(a))
    if not compute_uv:
        return singular_values(a)
    if full_matrices and rows != columns:
        raise NotImplementedError(
            "np.linalg.svd with vectors for values that are not there, which are not unique: write "
            "np.linalg.svd(a, full_matrices=False)"
        )
    return _SVDResult(left_vectors(a), singular_values(a), right_vectors(a))


@implements(np.linalg.svdvals)
def svdvals(x: Any, /) -> Any:
    """NumPy's `svdvals`."""
    return singular_values(x)


@implements(np.linalg.matrix_rank)
def matrix_rank(A: Any, tol: Any = None, hermitian: bool = False, *, rtol: Any = None) -> Any:
    """NumPy's `matrix_rank`: a whole number, which has no derivative."""
    if len(shape_of(A)) < 2:
        return to_int(any(not_equal(A, 0.0)))
    values = singular_values(A)
    if tol is None:
        eps = builtins.max(shape_of(A)[-2:]) * np.finfo(np.float64).eps if rtol is None else rtol
        tol = max(values, -1, keepdims=True) * reshape(eps, shape=(*shape_of(eps), 1))
    else:
        tol = reshape(tol, shape=(*shape_of(tol), 1))
    return to_int(sum(to_float(greater(values, tol)), -1))


# Pseudo-inverses --------------------------------------------------------------------------------------------


def _pinv_shape(a: Shape, rcond: Shape) -> Shape:
    rows, columns = sizes_of(a)
    if np.broadcast_shapes(a[:-2], rcond) != a[:-2]:
        raise ValueError(f"one `rcond` per matrix wanted; the shapes are {a} and {rcond}")
    return (*a[:-2], columns, rows)


def _of_full_rank(ct: Any, a: Any, rcond: Any) -> Any:
    values = singular_values(a)
    lacks = less_equal(min(values, -1), rcond * max(values, -1))
    return where(over_matrix(lacks), np.nan, ct)


def _left_over(a: Any, out: Any) -> tuple[Any, Any]:
    rows, columns = sizes_of(shape_of(a))
    return np.eye(rows) - matmul(a, out), np.eye(columns) - matmul(out, a)


def _pinv_jvp(i: int, t: Any, out: Any, a: Any, rcond: Any) -> Any:
    of_rows, of_columns = _left_over(a, out)
    back = transposed(t)
    found = matmul(matmul(matmul(out, transposed(out)), back), of_rows) - matmul(matmul(out, t), out)
    found = found + matmul(matmul(of_columns, back), matmul(transposed(out), out))
    return _of_full_rank(found, a, rcond)


def _pinv_vjp(i: int, ct: Any, out: Any, a: Any, rcond: Any) -> Any:
    of_rows, of_columns = _left_over(a, out)
    back = transposed(ct)
    found = matmul(matmul(of_rows, back), matmul(out, transposed(out)))
    found = found - matmul(matmul(transposed(out), ct), transposed(out))
    found = found + matmul(matmul(matmul(transposed(out), out), back), of_columns)
    return _of_full_rank(found, a, rcond)


pinv_: Op = register(
    Op(
        "pinv",
        nan_where_singular(np.linalg.pinv, _pinv_shape),
        _pinv_shape,
        by_matrix(_pinv_jvp, _pinv_vjp, arguments=(0,)),
        takes=(FLOAT, FLOAT),
        samples=tuple(((a, 1e-15), {}) for (a,), _ in _ANY),
    )
)


@implements(np.linalg.pinv)
def pinv(a: Any, rcond: Any = None, hermitian: bool = False, *, rtol: Any = None) -> Any:
    """NumPy's `pinv`; of a matrix without full rank it has the derivative NaN, for it jumps beside it."""
    if rcond is None:
        rcond = 1e-15 if rtol is None else rtol
    return pinv_(a, rcond)


@implements(np.linalg.lstsq)
def lstsq(a: Any, b: Any, rcond: Any = None) -> Any:
    """NumPy's `lstsq`, by the pseudo-inverse; whether there are residuals depends on the rank: a guard."""
    rows, columns = shape_of(a)
    eps = np.finfo(np.float64).eps
    rcond = builtins.max(rows, columns) * eps if rcond is None else eps if rcond == -1 else rcond
    solution = matmul(pinv_(a, rcond), b)
    values = singular_values(a)
    rank = sum(to_float(greater(values, rcond * max(values, -1))))
    left: Any = np.empty(0)
    if rows > columns and bool(greater(min(values, -1), rcond * max(values, -1))):
        left = sum(square(b - matmul(a, solution)), 0)
        left = reshape(left, shape=(1,)) if len(shape_of(b)) == 1 else left
    return solution, left, to_int(rank), values


# Orthonormal columns times a triangle -----------------------------------------------------------------------


def _tall(shape: Shape) -> Shape:
    rows, columns = sizes_of(shape)
    if rows < columns:
        raise ValueError(f"at least as many rows as columns wanted; the shape is {shape}")
    return shape


def _triangle(q: Any, a: Any) -> Any:
    """The triangular factor; NaN for columns that depend on one another, to rounding."""
    factor = triu(matmul(transposed(q), a))
    pivots = absolute(diagonals(factor))
    dependent = any(less_equal(pivots, rounding_of(pivots)), -1)
    return where(over_matrix(dependent), np.nan, factor)


def _per_triangle(x: Any, q: Any, a: Any) -> Any:
    return transposed(solve_(transposed(_triangle(q, a)), transposed(x)))


def _q_jvp(i: int, t: Any, out: Any, a: Any) -> Any:
    moved = _per_triangle(t, out, a)
    inside = matmul(transposed(out), moved)
    turned = tril(inside, -1)
    return moved + matmul(out, turned - transposed(turned) - inside)


def _q_vjp(i: int, ct: Any, out: Any, a: Any) -> Any:
    inside = matmul(transposed(out), ct)
    turned = tril(inside - transposed(inside), -1)
    return transposed(solve_(_triangle(out, a), transposed(ct + matmul(out, turned - inside))))


orthonormal: Op = register(
    Op(
        "orthonormal",
        nan_where_singular(lambda a: np.linalg.qr(a)[0], _tall),
        _tall,
        by_matrix(_q_jvp, _q_vjp),
        samples=_TALL_ONES,
    )
)
_QRResult: Any = type(np.linalg.qr(np.eye(1)))


@implements(np.linalg.qr)
def qr(a: Any, mode: str = "reduced") -> Any:
    """NumPy's `qr`; of dependent columns, the factors have the derivative NaN."""
    rows, columns = sizes_of(shape_of(a))
    if mode not in ("reduced", "r") and not (mode == "complete" and rows <= columns):
        raise NotImplementedError(
            f"np.linalg.qr with mode={mode!r}: write np.linalg.qr(a), whose factors are unique but for signs"
        )
    first = a if rows >= columns else getitem(a, index=(..., (None, rows, None)))
    q = orthonormal(first)
    r = triu(matmul(transposed(q), a))
    return r if mode == "r" else _QRResult(q, r)
