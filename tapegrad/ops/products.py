"""Products of arrays beyond the matrix product, written in the ops."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tapegrad.ops.arranging import diagonal
from tapegrad.ops.broadcasting import sum_
from tapegrad.ops.elementwise import mul as multiply
from tapegrad.ops.elementwise import sqrt
from tapegrad.ops.indexing import ARRAY, concatenate, flip, getitem, scatter, take
from tapegrad.ops.linalg import matmul
from tapegrad.ops.logic import clip
from tapegrad.ops.reductions import mean, sum
from tapegrad.ops.registry import implements
from tapegrad.ops.shaping import moveaxis, reshape_, shape_of, transpose_


@implements(np.tensordot, np.linalg.tensordot)
def tensordot(a: Any, b: Any, axes: Any = 2) -> Any:
    """NumPy's `tensordot`."""
    left, right = shape_of(a), shape_of(b)
    if isinstance(axes, int):
        of_a, of_b = tuple(range(len(left) - axes, len(left))), tuple(range(axes))
    else:
        of_a, of_b = ((i,) if isinstance(i, int) else tuple(i) for i in axes)
        of_a, of_b = tuple(i % len(left) for i in of_a), tuple(i % len(right) for i in of_b)
    free_a = [i for i in range(len(left)) if i not in of_a]
    free_b = [i for i in range(len(right)) if i not in of_b]
    rows, columns = [left[i] for i in free_a], [right[i] for i in free_b]
    inner = math.prod(left[i] for i in of_a)
    if [left[i] for i in of_a] != [right[i] for i in of_b]:
        raise ValueError(f"np.tensordot of shapes {left} and {right} along {axes}")
    flat = matmul(
        reshape_(transpose_(a, [*free_a, *of_a]), (math.prod(rows), inner)),
        reshape_(transpose_(b, [*of_b, *free_b]), (inner, math.prod(columns))),
    )
    return reshape_(flat, (*rows, *columns))


def vecdot(x1: Any, x2: Any, axis: int = -1) -> Any:
    """NumPy's `vecdot` along one axis."""
    product = moveaxis(x1, axis, -1) * moveaxis(x2, axis, -1)
    return sum_(product, axis=(len(shape_of(product)) - 1,), keepdims=False)


implements(np.vecdot, np.linalg.vecdot)(vecdot)


@implements(np.matvec)
def matvec(x1: Any, x2: Any) -> Any:
    """NumPy's `matvec`: matrices times vectors, stack by stack."""
    found = matmul(x1, reshape_(x2, (*shape_of(x2), 1)))
    return reshape_(found, shape_of(found)[:-1])


@implements(np.vecmat)
def vecmat(x1: Any, x2: Any) -> Any:
    """NumPy's `vecmat`: vectors times matrices, stack by stack."""
    found = matmul(reshape_(x1, (*shape_of(x1)[:-1], 1, shape_of(x1)[-1])), x2)
    return reshape_(found, (*shape_of(found)[:-2], shape_of(found)[-1]))


@implements(np.cross)
def cross(a: Any, b: Any, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: int | None = None) -> Any:
    """NumPy's `cross` of vectors with three elements."""
    axisa, axisb, axisc = (axisa, axisb, axisc) if axis is None else (axis, axis, axis)
    left, right = moveaxis(a, axisa, -1), moveaxis(b, axisb, -1)
    if shape_of(left)[-1] != 3 or shape_of(right)[-1] != 3:
        raise NotImplementedError("np.cross of vectors with two elements: write a[0] * b[1] - a[1] * b[0]")
    first, second = (take(left, order, -1) for order in ([1, 2, 0], [2, 0, 1]))
    found = first * take(right, [2, 0, 1], -1) - second * take(right, [1, 2, 0], -1)
    return moveaxis(found, -1, axisc)


@implements(np.linalg.cross)
def linalg_cross(x1: Any, x2: Any, /, *, axis: int = -1) -> Any:
    """NumPy's `linalg.cross`."""
    return cross(x1, x2, axis=axis)


@implements(np.linalg.multi_dot)
def multi_dot(arrays: Sequence[Any]) -> Any:
    """NumPy's `multi_dot`, from left to right."""
    return functools.reduce(matmul, arrays)


@implements(np.kron)
def kron(a: Any, b: Any) -> Any:
    """NumPy's `kron`."""
    ndim = max(len(shape_of(a)), len(shape_of(b)))
    left, right = ((1,) * (ndim - len(shape_of(x))) + shape_of(x) for x in (a, b))
    pairs = list(zip(left, right, strict=True))
    of_a = reshape_(a, tuple(n for i, _ in pairs for n in (i, 1)))
    of_b = reshape_(b, tuple(n for _, j in pairs for n in (1, j)))
    return reshape_(of_a * of_b, tuple(i * j for i, j in pairs))


@implements(np.convolve)
def convolve(a: Any, v: Any, mode: str = "full") -> Any:
    """NumPy's `convolve`."""
    a, v = (x if shape_of(x) else reshape_(x, (1,)) for x in (a, v))
    (n,), (m,) = shape_of(a), shape_of(v)
    if m > n:
        return convolve(v, a, mode)
    products = reshape_(a, (n, 1)) * v
    full = scatter(products, np.arange(n)[:, None] + np.arange(m), index=(ARRAY,), shape=(n + m - 1,))
    start, length = {"full": (0, n + m - 1), "same": ((m - 1) // 2, n), "valid": (m - 1, n - m + 1)}[mode]
    return getitem(full, index=((start, start + length, None),))


@implements(np.correlate)
def correlate(a: Any, v: Any, mode: str = "valid") -> Any:
    """NumPy's `correlate` of real vectors."""
    if shape_of(v)[0] > shape_of(a)[0]:
        return flip(correlate(v, a, mode))
    return convolve(a, flip(v), mode)


@implements(np.corrcoef)
def corrcoef(x: Any, y: Any = None, rowvar: bool = True) -> Any:
    """NumPy's `corrcoef` of variables in the rows, or in the columns if `rowvar` is False."""
    c = cov(x, y, rowvar)
    if not shape_of(c):
        return c / c
    deviations = sqrt(diagonal(c))
    scaled = c / reshape_(deviations, (-1, 1)) / reshape_(deviations, (1, -1))
    return clip(scaled, -1.0, 1.0)


def _variables(m: Any, rowvar: bool) -> Any:
    return reshape_(m, (1, -1)) if len(shape_of(m)) < 2 else m if rowvar else transpose_(m)


@implements(np.cov)
def cov(
    m: Any,
    y: Any = None,
    rowvar: bool = True,
    bias: bool = False,
    ddof: int | None = None,
    fweights: Any = None,
    aweights: Any = None,
) -> Any:
    """NumPy's `cov` of variables in the rows, or in the columns if `rowvar` is False."""
    x = _variables(m, rowvar)
    if y is not None:
        x = concatenate(x, _variables(y, rowvar), axis=0)
    less = ddof if ddof is not None else 0 if bias else 1
    if fweights is None and aweights is None:
        x = x - mean(x, axis=1, keepdims=True)
        found = matmul(x, transpose_(x)) / float(max(shape_of(x)[1] - less, 0))
    else:
        found = _weighted(x, less, fweights, aweights)
    return reshape_(found, ()) if shape_of(found) == (1, 1) else found


def _weighted(x: Any, less: int, fweights: Any, aweights: Any) -> Any:
    weights: Any = 1.0
    for given in (fweights, aweights):
        weights = weights if given is None else multiply(weights, given)
    total = sum(weights)
    x = x - sum(x * weights, 1, True) / total
    lost = less if aweights is None else less * sum(multiply(weights, aweights)) / total
    return matmul(x, transpose_(x * weights)) / (total - lost)
