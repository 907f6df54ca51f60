"""NumPy's functions of polynomials given by their coefficients, the highest power first."""

from __future__ import annotations

from typing import Any

import numpy as np

from tapegrad.ops.decompositions import inv
from tapegrad.ops.elementwise import sqrt, square
from tapegrad.ops.factors import lstsq
from tapegrad.ops.indexing import concatenate, flip, getitem, hstack
from tapegrad.ops.linalg import matmul
from tapegrad.ops.logic import equal
from tapegrad.ops.products import convolve
from tapegrad.ops.reductions import cumprod_, sum
from tapegrad.ops.registry import Recordable, implements
from tapegrad.ops.shaping import atleast_1d, reshape_, shape_of, transpose_


@implements(np.polyval)
def polyval(p: Any, x: Any) -> Any:
    """NumPy's `polyval`, by Horner's rule."""
    value: Any = np.zeros(shape_of(x))[()]
    for i in range(shape_of(p)[0]):
        value = value * x + getitem(p, index=(i,))
    return value


def _of_one_length(first: Any, second: Any) -> tuple[Any, Any]:
    n = max(shape_of(first)[0], shape_of(second)[0])
    first, second = (hstack([np.zeros(n - shape_of(x)[0]), x]) for x in (first, second))
    return first, second


@implements(np.polyadd)
def polyadd(a1: Any, a2: Any) -> Any:
    """NumPy's `polyadd`."""
    first, second = _of_one_length(atleast_1d(a1), atleast_1d(a2))
    return first + second


@implements(np.polysub)
def polysub(a1: Any, a2: Any) -> Any:
    """NumPy's `polysub`."""
    first, second = _of_one_length(atleast_1d(a1), atleast_1d(a2))
    return first - second


@implements(np.polymul)
def polymul(a1: Any, a2: Any) -> Any:
    """NumPy's `polymul`, which leaves out powers whose coefficients are 0 in front: a guard."""
    return convolve(_without_leading_zeros(atleast_1d(a1)), _without_leading_zeros(atleast_1d(a2)))


def _without_leading_zeros(p: Any) -> Any:
    is_zero = equal(p, 0.0)
    is_zero = np.asarray(is_zero.decide() if isinstance(is_zero, Recordable) else is_zero)
    first = int(np.argmin(is_zero)) if not is_zero.all() else is_zero.size - 1
    return getitem(p, index=((first, None, None),)) if first else p


@implements(np.polyder)
def polyder(p: Any, m: int = 1) -> Any:
    """NumPy's `polyder`."""
    for _ in range(m):
        n = shape_of(p)[0] - 1
        p = getitem(p, index=((None, -1, None),)) * np.arange(n, 0, -1) if n >= 0 else p
    return p


@implements(np.polyint)
def polyint(p: Any, m: int = 1, k: Any = None) -> Any:
    """NumPy's `polyint`."""
    constants: Any = np.zeros(m) if k is None else atleast_1d(k)
    if shape_of(constants) == (1,) and m > 1:
        constants = getitem(constants, np.zeros(m, dtype=int), index=("array",))
    for i in range(m):
        p = hstack([p / np.arange(shape_of(p)[0], 0, -1), getitem(constants, index=(i,))])
    return p


@implements(np.poly)
def poly(seq_of_zeros: Any) -> Any:
    """NumPy's `poly`, of its zeros."""
    if len(shape_of(seq_of_zeros)) != 1:
        raise NotImplementedError(
            "np.poly of a matrix, whose eigenvalues may be complex: give the eigenvalues, if they are real"
        )
    found: Any = np.ones(1)
    for i in range(shape_of(seq_of_zeros)[0]):
        found = convolve(found, hstack([1.0, -getitem(seq_of_zeros, index=(i,))]))
    return found


@implements(np.vander)
def vander(x: Any, N: int | None = None, increasing: bool = False) -> Any:
    """NumPy's `vander`."""
    (rows,) = shape_of(x)
    columns = rows if N is None else N
    factors = [np.ones((rows, 1)), *[reshape_(x, (rows, 1))] * (columns - 1)]
    powers = cumprod_(concatenate(*factors[:columns], axis=1), axis=1) if columns else np.ones((rows, 0))
    return powers if increasing else flip(powers, 1)


@implements(np.polyfit)
def polyfit(x: Any, y: Any, deg: int, rcond: Any = None, w: Any = None, cov: Any = False) -> Any:
    """NumPy's `polyfit`, by least squares on scaled powers."""
    (rows,) = shape_of(x)
    design, order = vander(x, deg + 1), deg + 1
    if w is not None:
        design = design * reshape_(w, (rows, 1))
        y = y * reshape_(w, (rows, *(1,) * (len(shape_of(y)) - 1)))
    scale = sqrt(sum(square(design), 0))
    design = design / scale
    found, left, _, _ = lstsq(design, y, rows * np.finfo(np.float64).eps if rcond is None else rcond)
    found = transpose_(transpose_(found) / scale)
    if not cov:
        return found
    base = inv(matmul(transpose_(design), design)) / (reshape_(scale, (-1, 1)) * scale)
    factor: Any = 1.0
    if cov != "unscaled":
        if rows <= order:
            raise ValueError("the number of data points must exceed order to scale the covariance matrix")
        factor = left / float(rows - order)
    return found, base * factor if len(shape_of(y)) == 1 else reshape_(base, (order, order, 1)) * factor
