"""Products of arrays beyond the matrix product, written in the ops."""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from tapegrad.ops.arranging import diagonal
from tapegrad.ops.broadcasting import sum_
from tapegrad.ops.elementwise import sqrt
from tapegrad.ops.indexing import ARRAY, getitem, scatter
from tapegrad.ops.linalg import matmul
from tapegrad.ops.logic import clip
from tapegrad.ops.reductions import mean
from tapegrad.ops.registry import implements
from tapegrad.ops.shaping import moveaxis, reshape_, shape_of, transpose_


@implements(np.einsum)
def einsum(*operands: Any) -> Any:
    """NumPy's `einsum` by subscripts without an ellipsis: the broadcast product of all, summed."""
    subscripts, *arrays = operands
    if not isinstance(subscripts, str) or "." in subscripts:
        raise NotImplementedError(
            "np.einsum takes subscripts like 'ij,jk->ik' on traced values, without '...'"
        )
    left, arrow, right = subscripts.replace(" ", "").partition("->")
    terms = left.split(",")
    np.einsum(subscripts, *(np.broadcast_to(0.0, shape_of(a)) for a in arrays))  # NumPy's own errors
    letters = sorted(set(left) - {","})
    kept = right if arrow else "".join(i for i in letters if left.count(i) == 1)
    order = [*kept, *(i for i in letters if i not in kept)]
    spread = [_spread(array, term, order) for term, array in zip(terms, arrays, strict=True)]
    product = functools.reduce(operator.mul, spread)
    summed = tuple(range(len(kept), len(order)))
    return sum_(product, axis=summed, keepdims=False) if summed else product


def _spread(array: Any, term: str, order: Sequence[str]) -> Any:
    """The array with one axis per letter, of length one where it has none; repeated ones mean diagonals."""
    for letter in set(term):
        while term.count(letter) > 1:
            first = term.index(letter)
            second = term.index(letter, first + 1)
            rest = [i for i in range(len(term)) if i not in (first, second)]
            array = transpose_(array, [first, second, *rest])
            along = np.arange(shape_of(array)[0])
            array = getitem(array, along, along, index=(ARRAY, ARRAY))
            term = letter + "".join(term[i] for i in rest)
    present = [i for i in order if i in term]
    array = transpose_(array, [term.index(i) for i in present])
    sizes = dict(zip(present, shape_of(array), strict=True))
    return reshape_(array, tuple(sizes.get(i, 1) for i in order))


@implements(np.tensordot)
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


@implements(np.vecdot)
def vecdot(x1: Any, x2: Any) -> Any:
    """NumPy's `vecdot` along the last axis."""
    product = x1 * x2
    return sum_(product, axis=(len(shape_of(product)) - 1,), keepdims=False)


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


@implements(np.polyval)
def polyval(p: Any, x: Any) -> Any:
    """NumPy's `polyval`, by Horner's rule."""
    value: Any = np.zeros(shape_of(x))[()]
    for i in range(shape_of(p)[0]):
        value = value * x + getitem(p, index=(i,))
    return value


@implements(np.trapezoid)
def trapezoid(y: Any, x: Any = None, dx: Any = 1.0, axis: int = -1) -> Any:
    """NumPy's `trapezoid` along one axis, at points `x` of one dimension."""
    y = moveaxis(y, axis, -1)
    if x is not None:
        if len(shape_of(x)) != 1:
            raise NotImplementedError("np.trapezoid at points of more than one dimension: write the sum out")
        dx = getitem(x, index=((1, None, None),)) - getitem(x, index=((None, -1, None),))
    pairs = getitem(y, index=(..., (1, None, None))) + getitem(y, index=(..., (None, -1, None)))
    areas = dx * pairs / 2.0
    return sum_(areas, axis=(len(shape_of(areas)) - 1,), keepdims=False)


@implements(np.corrcoef)
def corrcoef(x: Any, rowvar: bool = True) -> Any:
    """NumPy's `corrcoef` of variables in the rows, or in the columns if `rowvar` is False."""
    c = cov(x, rowvar)
    if not shape_of(c):
        return c / c
    deviations = sqrt(diagonal(c))
    scaled = c / reshape_(deviations, (-1, 1)) / reshape_(deviations, (1, -1))
    return clip(scaled, -1.0, 1.0)


@implements(np.cov)
def cov(m: Any, rowvar: bool = True, bias: bool = False, ddof: int | None = None) -> Any:
    """NumPy's `cov` of variables in the rows, or in the columns if `rowvar` is False."""
    x = reshape_(m, (1, -1)) if len(shape_of(m)) < 2 else m if rowvar else transpose_(m)
    x = x - mean(x, axis=1, keepdims=True)
    freedom = max(shape_of(x)[1] - (ddof if ddof is not None else 0 if bias else 1), 0)
    found = matmul(x, transpose_(x)) / float(freedom)
    return reshape_(found, ()) if shape_of(found) == (1, 1) else found
