"""Matrix products."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
from scipy import sparse

from tapegrad.ops.broadcasting import gated_mul, unbroadcast
from tapegrad.ops.registry import FLOAT, Along, Linear, Op, Read, Shape, implements, register
from tapegrad.ops.shaping import ravel, reshape, shape_of, swapaxes, transpose_


def _matmul_shape(a: Shape, b: Shape) -> Shape:
    if not a or not b:
        raise ValueError("matmul takes arrays of at least one dimension; write a * b for a scalar")
    left, right = (a if len(a) > 1 else (1, *a)), (b if len(b) > 1 else (*b, 1))
    if left[-1] != right[-2]:
        raise ValueError(f"matmul of shapes {a} and {b}: {left[-1]} columns against {right[-2]} rows")
    rows, columns = left[-2:-1] if len(a) > 1 else (), right[-1:] if len(b) > 1 else ()
    return (*np.broadcast_shapes(left[:-2], right[:-2]), *rows, *columns)


def _matmul_transpose(i: int, ct: Any, a: Any, b: Any) -> Any:
    left, right = shape_of(a), shape_of(b)
    if len(left) == 2 and len(right) == 1:
        return reshape(ct, shape=(left[0], 1)) * b if i == 0 else matmul(ct, a)
    ct, rows, columns = _as_matrices(ct, a, b)
    if i == 0:
        return _fold_back(matmul(ct, swapaxes(columns, -1, -2)), shape_of(rows), left)
    return _fold_back(matmul(swapaxes(rows, -1, -2), ct), shape_of(columns), right)


def _as_matrices(ct: Any, a: Any, b: Any) -> tuple[Any, Any, Any]:
    """Factors as stacks of matrices, in which a vector is one row or one column; and so the cotangent."""
    left, right = shape_of(a), shape_of(b)
    rows = a if len(left) > 1 else reshape(a, shape=(1, *left))
    columns = b if len(right) > 1 else reshape(b, shape=(*right, 1))
    full = _matmul_shape(shape_of(rows), shape_of(columns))
    return ct if shape_of(ct) == full else reshape(ct, shape=full), rows, columns


def _gated_transpose(i: int, ct: Any, a: Any, b: Any) -> Any:
    """The same where a 0 of the cotangent stands for what was not chosen."""
    left, right = shape_of(a), shape_of(b)
    if len(left) == 2 and len(right) == 1:
        return gated_mul(reshape(ct, shape=(left[0], 1)), b) if i == 0 else gated_matmul(ct, a)
    ct, rows, columns = _as_matrices(ct, a, b)
    if i == 0:
        return _fold_back(gated_matmul(ct, swapaxes(columns, -1, -2)), shape_of(rows), left)
    product = swapaxes(gated_matmul(swapaxes(ct, -1, -2), rows), -1, -2)
    return _fold_back(product, shape_of(columns), right)


def _fold_back(ct: Any, matrices: Shape, shape: Shape) -> Any:
    ct = unbroadcast(ct, matrices)
    return ct if matrices == shape else reshape(ct, shape=shape)


_A = np.array([[0.5, -1.0, 2.0], [1.5, 0.1, -0.7]])
_B = np.array([[1.0, 2.0], [-0.5, 0.3], [0.7, -1.1]])
_V = np.array([0.3, -0.8, 1.2])
_STACK = np.linspace(-1.0, 1.0, 12).reshape(2, 2, 3)
_SAMPLES: tuple[tuple[tuple[Any, ...], dict[str, Any]], ...] = (
    ((_V, _V), {}),
    ((_A, _V), {}),
    ((_V, _B), {}),
    ((_A, _B), {}),
    ((_STACK, _B), {}),
    ((_A, np.linspace(-1.0, 1.0, 12).reshape(2, 3, 2)), {}),
    ((_STACK, _V), {}),
    ((_V, np.linspace(-1.0, 1.0, 12).reshape(2, 3, 2)), {}),
)


def _matmul_links(i: int, shapes: list[Shape], values: list[Any]) -> Any:
    """Zeros of a constant matrix cut links; stacks of matrices are not followed."""
    a, b = shapes
    if len(a) > 2 or len(b) > 2:
        return None
    rows, inner, columns = (a[0] if len(a) == 2 else 1), a[-1], (b[1] if len(b) == 2 else 1)
    other = values[1 - i]
    shape = (inner, columns) if i == 0 else (rows, inner)
    filled = np.ones(shape, dtype=bool) if other is None else np.not_equal(other, 0.0).reshape(shape)
    if i == 0:
        return sparse.kron(sparse.eye_array(rows, dtype=bool), filled.T, format="csr")
    return sparse.kron(filled, sparse.eye_array(columns, dtype=bool), format="csr")


def _matmul_rows(axes: Any, row: int | None, shapes: Any, out: Shape) -> Along | None:
    """Rows on the left, on the right, or summed over; or each row is a matrix of its own."""
    (a, b), (left, right) = shapes, axes
    if len(a) > 2 or len(b) > 2:
        return _stacked_rows(axes, row, shapes, out)
    if left == len(a) - 1 and right == 0:
        reads = (
            Read.TRANSPOSED if len(a) == 2 else Read.ALIGNED,
            Read.MULTIPLIED if len(b) == 2 else Read.ALIGNED,
        )
        return Along(reads, is_sum=True) if row is None else None
    if right is None and len(a) == 2 and left == 0 and row == 0:
        return Along((Read.MULTIPLIED, Read.WHOLE))
    if left is None and len(b) == 2 and right == 1 and row == len(out) - 1:
        return Along((Read.WHOLE, Read.TRANSPOSED))
    return None


def _stacked_rows(axes: Any, row: int | None, shapes: Any, out: Shape) -> Along | None:
    """Stacks of matrices, of which each row is one; a product with a vector is not cut."""
    if row is None or row >= len(out) - 2 or min(map(len, shapes)) < 2:
        return None
    for axis, shape in zip(axes, shapes, strict=True):
        if axis is not None and len(shape) - axis != len(out) - row:
            return None
    return Along(tuple(Read.BROADCAST if axis is None else Read.ALIGNED for axis in axes))


matmul = register(
    Op(
        "matmul",
        np.matmul,
        _matmul_shape,
        Linear(_matmul_transpose, jointly=False, gated=_gated_transpose),
        takes=(FLOAT, FLOAT),
        links=_matmul_links,
        rows=_matmul_rows,
        numpy=(np.matmul, np.linalg.matmul),
        samples=_SAMPLES,
    )
)


def _dot_shape(a: Shape, b: Shape) -> Shape:
    shape = _matmul_shape(a, b)
    if max(len(a), len(b)) > 2 or len(shape) == 2:
        raise ValueError(f"dot gives a vector or a number; of shapes {a} and {b} it is a matrix: use matmul")
    return shape


# A matrix product that is a vector or a number. To its operands np.dot comes in half the time of np.matmul;
# last bits may differ.
dot_: Op = register(
    replace(
        matmul,
        name="dot",
        kernel=np.dot,
        shape=_dot_shape,
        numpy=(),
        samples=tuple(s for s in _SAMPLES if len(_matmul_shape(*map(np.shape, s[0]))) < 2),
    )
)


# A matrix product that is gated by its first operand as `gated_mul` is: a 0 there adds nothing, even times
# infinity or NaN. It costs a look at the result, unless that holds NaN.


def _gated_matmul(ct: Any, factor: Any, out: Any = None) -> Any:
    # To a matrix and a vector np.dot comes in half the time.
    product = np.dot if {np.ndim(ct), np.ndim(factor)} == {1, 2} else np.matmul
    found = product(ct, factor) if out is None else product(ct, factor, out=out)
    total = np.vdot(found, found)
    if total == total:
        return found
    if out is None:
        return _without_zeros(ct, factor, found)
    np.copyto(out, _without_zeros(ct, factor, found))
    return out


def _without_zeros(ct: Any, factor: Any, found: Any) -> Any:
    if np.ndim(ct) == 1 and np.ndim(factor) <= 2:
        kept = np.not_equal(ct, 0.0)
        return np.matmul(ct[kept], factor[kept])
    finite = np.isfinite(factor)
    is_met = np.matmul(np.not_equal(ct, 0.0).astype(float), np.logical_not(finite).astype(float)) > 0.0
    return np.where(is_met, found, np.matmul(ct, np.where(finite, factor, 0.0)))


def _transpose_of_gated(i: int, ct: Any, gate: Any, factor: Any) -> Any:
    return _gated_transpose(0, ct, gate, factor) if i == 0 else through_zeros(1, ct, gate, factor)


def through_zeros(i: int, ct: Any, a: Any, b: Any) -> Any:
    """The transpose of `matmul` gated by the other factor, whose zeros keep the cotangent out."""
    if i == 1 and len(shape_of(a)) == 2 and len(shape_of(b)) == 1:
        return gated_matmul(transpose_(a), ct)
    ct, rows, columns = _as_matrices(ct, a, b)
    if i == 0:
        product = swapaxes(gated_matmul(columns, swapaxes(ct, -1, -2)), -1, -2)
        return _fold_back(product, shape_of(rows), shape_of(a))
    return _fold_back(gated_matmul(swapaxes(rows, -1, -2), ct), shape_of(columns), shape_of(b))


gated_matmul: Op = register(
    Op(
        "gated_matmul",
        _gated_matmul,
        _matmul_shape,
        Linear(_transpose_of_gated, jointly=False),
        takes=(FLOAT, FLOAT),
        masks=True,
        links=_matmul_links,
        rows=_matmul_rows,
        samples=(
            *_SAMPLES,
            ((np.array([0.0, -0.8, 1.2]), _B), {}),
            ((np.array([[0.5, 0.0, 2.0], [0.0, 0.1, 0.0]]), _B), {}),
        ),
    )
)


@implements(np.dot)
def dot(a: Any, b: Any) -> Any:
    """NumPy's `dot`, of arrays of any two shapes."""
    left, right = shape_of(a), shape_of(b)
    if not left or not right:
        return a * b
    if len(right) > 2 or (len(left) > 2 and len(right) == 2):
        return along(a, b, len(left) - 1, len(right) - 2)
    return matmul(a, b)


def along(a: Any, b: Any, i: int, j: int) -> Any:
    """The sums of products along axis `i` of one array and axis `j` of another, for all of the rest."""
    left, right = shape_of(a), shape_of(b)
    if left[i] != right[j]:
        raise ValueError(f"shapes {left} and {right} not aligned: {left[i]} and {right[j]} elements")
    rows, columns = left[:i] + left[i + 1 :], right[:j] + right[j + 1 :]
    first = transpose_(a, [*(k for k in range(len(left)) if k != i), i])
    second = transpose_(b, [j, *(k for k in range(len(right)) if k != j)])
    flat = matmul(
        reshape(first, shape=(math.prod(rows), left[i])), reshape(second, shape=(left[i], math.prod(columns)))
    )
    return reshape(flat, shape=rows + columns)


@implements(np.vdot)
def vdot(a: Any, b: Any) -> Any:
    """NumPy's `vdot` of real arrays."""
    return matmul(ravel(a), ravel(b))


@implements(np.inner)
def inner(a: Any, b: Any) -> Any:
    """NumPy's `inner`."""
    if not shape_of(a) or not shape_of(b):
        return a * b
    left, right = len(shape_of(a)), len(shape_of(b))
    if max(left, right) > 2:
        return along(a, b, left - 1, right - 1)
    return dot(a, b if right < 2 else transpose_(b))
