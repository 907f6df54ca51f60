"""Linear recurrences: ``s[t] = a[t] * s[t - 1] + b[t]``, of numbers or of vectors with matrices.

Every derivative of a linear recurrence is one again, which runs the other way for cotangents. So this is all
that loops with a carry need beside array code: where the step is not linear, its derivative is.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.linalg.blas import dtbsv

from tapegrad.ops.attributes import is_flag
from tapegrad.ops.indexing import concatenate, getitem
from tapegrad.ops.linalg import matmul
from tapegrad.ops.reductions import sum as sum_of
from tapegrad.ops.registry import Op, Products, Shape, register
from tapegrad.ops.shaping import reshape, shape_of, swapaxes

_STEPS = np.array([0.5, -1.2, 0.8, 0.3])
_VECTORS = np.linspace(-1.0, 1.3, 8).reshape(4, 2)
_MATRICES = np.linspace(-0.9, 0.8, 16).reshape(4, 2, 2)


# Steps that are solved at once; the room for the matrix of their equations is used again by the next ones.
_AT_ONCE = 1024
# With more numbers to a state, products of matrices are quicker than the matrix with 2 m diagonals.
_MOST_SOLVED = 12


def _stepwise(a: Any, b: Any, start: Any, out: Any) -> None:
    """The definition, step by step; all others must agree with it."""
    s, varies = start, np.ndim(a) > 2 * np.ndim(start)
    for t in range(len(b)):
        factor = a[t] if varies else a
        if np.ndim(start):
            s = np.dot(factor, s, out=out[t])
            s += b[t]
        else:
            s = out[t] = factor * s + b[t]


def _solved(a: Any, b: Any, start: Any, out: Any) -> None:
    """The equations ``s[t] - a[t] s[t - 1] = b[t]``: a triangular matrix with few diagonals.

    Solving it does what the definition does, sum by sum, without a call for each step.
    """
    count, m = len(b), out[0].size
    varies = np.ndim(a) > 2 * np.ndim(start)
    a = np.reshape(a, (-1, m, m))
    # Row by row the columns of the matrix from the diagonal, which is 1 and not read, downwards.
    diagonals = np.zeros((min(count, _AT_ONCE), m, 2 * m))

    def fill(factors: Any) -> None:
        for c in range(m):
            np.negative(factors[..., c], out=diagonals[: len(factors), c, m - c : 2 * m - c])

    if not varies:
        fill(np.broadcast_to(a, (len(diagonals), m, m)))
    s = np.reshape(start, m)
    for first in range(0, count, _AT_ONCE):
        stop = min(first + _AT_ONCE, count)
        n = stop - first
        if varies:
            fill(a[first + 1 : stop])
        x = b[first:stop].reshape(n, m).copy()
        x[0] += a[first if varies else 0] @ s
        if n > 1:
            matrix = diagonals[:n].reshape(n * m, 2 * m).T
            x = dtbsv(2 * m - 1, matrix, x.ravel(), lower=1, diag=1, overwrite_x=1)
        out[first:stop] = x.reshape(out[first:stop].shape)
        s = x.reshape(n, m)[-1]


def _recurred(a: Any, b: Any, start: Any, out: Any) -> None:
    """Write the states, the way that is quickest."""
    if out[0].size > _MOST_SOLVED:
        _stepwise(a, b, start, out)
        return
    _solved(a, b, start, out)
    # In the matrix, zeros stand where the definition multiplies nothing; times infinity they are NaN.
    if not (np.isfinite(out).all() and np.isfinite(a).all()):
        _stepwise(a, b, start, out)


def _recurrence(a: Any, b: Any, start: Any, reverse: bool, out: Any = None) -> Any:
    if out is None:
        out = np.empty(np.shape(b))
    b = np.asarray(b)
    if reverse:
        varies = np.ndim(a) > 2 * np.ndim(start)
        _recurred(a[::-1] if varies else a, b[::-1], start, out[::-1])
    else:
        _recurred(a, b, start, out)
    return out


def _fits(shapes: list[Shape], values: Any, reverse: bool) -> bool:
    a, b, start = shapes
    return (
        len(b) >= 1 and b[0] > 0 and start == b[1:] and len(start) < 2 and a in (start * 2, b[:1] + start * 2)
    )


def _before(out: Any, start: Any, reverse: bool) -> Any:
    """The state before each step."""
    first = reshape(start, shape=(1, *shape_of(start)))
    if reverse:
        return concatenate(getitem(out, index=((1, None, None),)), first, axis=0)
    return concatenate(first, getitem(out, index=((None, -1, None),)), axis=0)


def _times(a: Any, s: Any) -> Any:
    """The matrices `a` times the states `s`, step by step; `a` may be one for all."""
    if len(shape_of(s)) == 1:
        return a * s
    return reshape(matmul(a, reshape(s, shape=(*shape_of(s), 1))), shape=shape_of(s))


def _jvp(i: int, t: Any, out: Any, a: Any, b: Any, start: Any, reverse: bool) -> Any:
    zero = np.zeros(shape_of(start))
    if i == 0:
        return recurrence_(a, _times(t, _before(out, start, reverse)), zero, reverse=reverse)
    if i == 1:
        return recurrence_(a, t, zero, reverse=reverse)
    return recurrence_(a, np.zeros(shape_of(b)), t, reverse=reverse)


def _carried_back(ct: Any, a: Any, start: Any, reverse: bool) -> Any:
    """The cotangent of what each step adds: that of its state, with all that later steps make of it."""
    n, order = shape_of(ct)[0], len(shape_of(start))
    if order:
        a = swapaxes(a, -1, -2)
    if len(shape_of(a)) > 2 * order:
        none = np.zeros((1, *shape_of(a)[1:]))
        head, tail = getitem(a, index=((None, n - 1, None),)), getitem(a, index=((1, None, None),))
        a = concatenate(none, head, axis=0) if reverse else concatenate(tail, none, axis=0)
    return recurrence_(a, ct, np.zeros(shape_of(start)), reverse=not reverse)


def _vjp(i: int, ct: Any, out: Any, a: Any, b: Any, start: Any, reverse: bool) -> Any:
    back = _carried_back(ct, a, start, reverse)
    order = len(shape_of(start))
    if i == 1:
        return back
    if i == 0:
        before = _before(out, start, reverse)
        if order:
            n, m = shape_of(back)
            product = reshape(back, shape=(n, m, 1)) * reshape(before, shape=(n, 1, m))
        else:
            product = back * before
        return product if len(shape_of(a)) > 2 * order else sum_of(product, axis=0)
    place = -1 if reverse else 0
    first = getitem(back, index=(place,))
    varies = len(shape_of(a)) > 2 * order
    factor = getitem(a, index=(place,)) if varies else a
    return matmul(swapaxes(factor, -1, -2), first) if order else factor * first


recurrence_ = register(
    Op(
        "recurrence",
        _recurrence,
        lambda a, b, start, reverse: b,
        Products(_jvp, _vjp),
        attrs={"reverse": is_flag},
        fits=_fits,
        samples=(
            ((0.7, _STEPS, 0.4), {"reverse": False}),
            ((0.7, _STEPS, 0.4), {"reverse": True}),
            ((np.array([0.5, 1.1, -0.3, 0.9]), _STEPS, 0.4), {"reverse": False}),
            ((np.array([0.5, 1.1, -0.3, 0.9]), _STEPS, 0.4), {"reverse": True}),
            ((_MATRICES[0], _VECTORS, np.array([0.3, -0.2])), {"reverse": False}),
            ((_MATRICES, _VECTORS, np.array([0.3, -0.2])), {"reverse": True}),
        ),
    )
)
