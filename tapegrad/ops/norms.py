"""Norms of vectors and matrices, condition numbers, powers of matrices, and equations of tensors."""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

from tapegrad.ops.broadcasting import Axis, axes_of, broadcast_to, expand, sum_
from tapegrad.ops.decompositions import inv, solve
from tapegrad.ops.elementwise import absolute, power, root, square
from tapegrad.ops.factors import singular_values
from tapegrad.ops.linalg import matmul
from tapegrad.ops.logic import equal, not_equal, where
from tapegrad.ops.reductions import max, min, sum
from tapegrad.ops.registry import implements
from tapegrad.ops.shaping import moveaxis, ravel, reshape_, shape_of, to_float, transpose_


def _of_vectors(x: Any, ord: Any, axis: int, keepdims: bool) -> Any:
    if ord in (None, 2):
        return root(sum_(square(x), axis=(axis,), keepdims=keepdims))
    if ord in (np.inf, -np.inf):
        return (max if ord > 0 else min)(absolute(x), axis, keepdims)
    if ord == 0:
        return sum(to_float(not_equal(x, 0.0)), axis, keepdims)
    if ord == 1:
        return sum(absolute(x), axis, keepdims)
    if isinstance(ord, str):
        raise ValueError(f"Invalid norm order '{ord}' for vectors")
    total = sum(power(absolute(x), ord), axis, keepdims)
    nothing = equal(total, 0.0)  # its slope at the origin is 0, as that of the Euclidean norm
    return where(nothing, 0.0, power(where(nothing, 1.0, total), 1.0 / ord))


def _of_matrices(x: Any, ord: Any, axis: tuple[int, int], keepdims: bool) -> Any:
    row, column = axis
    if ord in (None, "fro", "f"):
        return root(sum_(square(x), axis=tuple(sorted(axis)), keepdims=keepdims))
    if ord in (1, -1, np.inf, -np.inf):
        inner, outer = (row, column) if abs(ord) == 1 else (column, row)
        sums = sum(absolute(x), inner, True)
        found = (max if ord > 0 else min)(sums, outer, True)
    elif ord in (2, -2, "nuc"):
        values = singular_values(moveaxis(x, axis, (-2, -1)))
        found = {2: max, -2: min, "nuc": sum}[ord](values, -1)
        found = expand(found, x, tuple(sorted(axis)))
    else:
        raise ValueError("Invalid norm order for matrices.")
    if keepdims:
        return found
    return reshape_(found, tuple(n for i, n in enumerate(shape_of(x)) if i not in axis))


@implements(np.linalg.norm)
def norm(x: Any, ord: Any = None, axis: Axis = None, keepdims: bool = False) -> Any:
    """NumPy's `norm`; its slope at the origin is 0."""
    ndim = len(shape_of(x))
    if axis is None and ord is None:
        return root(sum_(square(x), axis=axes_of(x, None), keepdims=keepdims))
    axes = normalize_axis_tuple(range(ndim) if axis is None else axis, ndim)
    if len(axes) == 1:
        return _of_vectors(x, ord, axes[0], keepdims)
    if len(axes) == 2:
        return _of_matrices(x, ord, (axes[0], axes[1]), keepdims)
    raise ValueError("Improper number of dimensions to norm.")


@implements(np.linalg.matrix_norm)
def matrix_norm(x: Any, /, *, keepdims: bool = False, ord: Any = "fro") -> Any:
    """NumPy's `matrix_norm`."""
    return norm(x, ord, (-2, -1), keepdims)


@implements(np.linalg.vector_norm)
def vector_norm(x: Any, /, *, axis: Axis = None, keepdims: bool = False, ord: Any = 2) -> Any:
    """NumPy's `vector_norm`: along several axes that of all their elements."""
    axes = axes_of(x, axis)
    rest = tuple(n for i, n in enumerate(shape_of(x)) if i not in axes)
    moved = reshape_(moveaxis(x, axes, range(len(axes))), (math.prod(shape_of(x)[i] for i in axes), *rest))
    found = _of_vectors(moved, ord, 0, False)
    return expand(found, x, axes) if keepdims else found


@implements(np.linalg.cond)
def cond(x: Any, p: Any = None) -> Any:
    """NumPy's `cond`."""
    if p in (None, 2, -2):
        values = singular_values(x)
        largest, smallest = max(values, -1), min(values, -1)
        return smallest / largest if p == -2 else largest / smallest
    return norm(x, p, (-2, -1)) * norm(inv(x), p, (-2, -1))


@implements(np.linalg.matrix_power)
def matrix_power(a: Any, n: Any) -> Any:
    """NumPy's `matrix_power`, by repeated squares."""
    n = operator.index(n)
    if n == 0:
        return broadcast_to(np.eye(shape_of(a)[-1]), shape=shape_of(a))
    square_, found = (inv(a) if n < 0 else a), None
    n = abs(n)
    while n:
        if n % 2:
            found = square_ if found is None else matmul(found, square_)
        n //= 2
        square_ = matmul(square_, square_) if n else square_
    return found


@implements(np.linalg.tensorsolve)
def tensorsolve(a: Any, b: Any, axes: Any = None) -> Any:
    """NumPy's `tensorsolve`."""
    if axes is not None:
        order = [i for i in range(len(shape_of(a))) if i not in axes]
        a = transpose_(a, [*order, *axes])
    wanted = shape_of(a)[len(shape_of(b)) :]
    size = math.prod(wanted)
    return reshape_(solve(reshape_(a, (-1, size)), ravel(b)), wanted)


@implements(np.linalg.tensorinv)
def tensorinv(a: Any, ind: int = 2) -> Any:
    """NumPy's `tensorinv`."""
    shape = shape_of(a)
    found = inv(reshape_(a, (math.prod(shape[:ind]), -1)))
    return reshape_(found, shape[ind:] + shape[:ind])
