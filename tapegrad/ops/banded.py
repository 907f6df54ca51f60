"""Systems of equations whose matrix is triangular, or stands in bands, by LAPACK's own routines for these.

A derivative is another such system, with the transposed matrix, and stays within the triangle or the bands.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import linalg

from tapegrad.ops.attributes import is_count, is_flag
from tapegrad.ops.broadcasting import sum_, unbroadcast
from tapegrad.ops.decompositions import by_matrix, nan_where_singular, transposed
from tapegrad.ops.indexing import getitem, join
from tapegrad.ops.linalg import matmul
from tapegrad.ops.logic import where
from tapegrad.ops.registry import FLOAT, Op, Products, Shape, register
from tapegrad.ops.shaping import reshape, shape_of

# Triangles --------------------------------------------------------------------------------------------------


def _triangular_shape(a: Shape, b: Shape, lower: bool, flipped: bool) -> Shape:
    if len(a) < 2 or a[-1] != a[-2] or len(b) < 2 or b[-2] != a[-1]:
        raise ValueError(f"solve_triangular of shapes {a} and {b}: the rows do not fit")
    return (*np.broadcast_shapes(a[:-2], b[:-2]), *b[-2:])


def _triangular(a: Any, b: Any, lower: bool, flipped: bool) -> Any:
    trans = 1 if flipped else 0
    if np.ndim(a) == 2 and np.ndim(b) == 2:
        return linalg.solve_triangular(a, b, trans=trans, lower=lower, check_finite=False)
    shape = _triangular_shape(np.shape(a), np.shape(b), lower, flipped)
    found = np.empty(shape)
    a, b = np.broadcast_to(a, (*shape[:-2], *np.shape(a)[-2:])), np.broadcast_to(b, shape)
    for index in np.ndindex(shape[:-2]):
        found[index] = _triangular(a[index], b[index], lower, flipped)
    return found


def _triangle(x: Any, lower: bool) -> Any:
    """The triangle that is read, and 0 elsewhere."""
    n = shape_of(x)[-1]
    return where(np.tri(n, dtype=bool) if lower else np.tri(n, dtype=bool).T, x, 0.0)


def _triangular_jvp(i: int, t: Any, out: Any, a: Any, b: Any, lower: bool, flipped: bool) -> Any:
    if i == 1:
        return solve_triangular(a, t, lower=lower, flipped=flipped)
    moved = _triangle(t, lower)
    moved = transposed(moved) if flipped else moved
    return -solve_triangular(a, matmul(moved, out), lower=lower, flipped=flipped)


def _triangular_vjp(i: int, ct: Any, out: Any, a: Any, b: Any, lower: bool, flipped: bool) -> Any:
    back = solve_triangular(a, ct, lower=lower, flipped=not flipped)
    if i == 1:
        return unbroadcast(back, shape_of(b))
    product = matmul(out, transposed(back)) if flipped else matmul(back, transposed(out))
    return unbroadcast(-_triangle(product, lower), shape_of(a))


_LOWER = np.array([[2.0, 9.0, 9.0], [0.4, 1.5, 9.0], [-0.6, 0.2, 1.1]])
_RIGHT = np.array([[0.5, 1.0], [-1.0, 0.2], [2.0, 0.7]])
solve_triangular: Op = register(
    Op(
        "solve_triangular",
        nan_where_singular(_triangular, _triangular_shape),
        _triangular_shape,
        by_matrix(_triangular_jvp, _triangular_vjp),
        takes=(FLOAT, FLOAT),
        attrs={"lower": is_flag, "flipped": is_flag},
        samples=(
            ((_LOWER, _RIGHT), {"lower": True, "flipped": False}),
            ((_LOWER, _RIGHT), {"lower": True, "flipped": True}),
            ((_LOWER.T, _RIGHT), {"lower": False, "flipped": True}),
            ((np.array([_LOWER, _LOWER + 0.5]), _RIGHT), {"lower": True, "flipped": False}),
        ),
    )
)

# Bands ------------------------------------------------------------------------------------------------------
# As SciPy has them: the element i, j of the matrix stands at ``ab[above + i - j, j]``.


def _banded_shape(ab: Shape, b: Shape, above: int) -> Shape:
    if len(ab) != 2 or len(b) != 2 or b[0] != ab[1]:
        raise ValueError(f"solve_banded of shapes {ab} and {b}: the rows do not fit")
    return b


def _banded(ab: Any, b: Any, above: int) -> Any:
    above -= 1
    return linalg.solve_banded((np.shape(ab)[0] - 1 - above, above), ab, b, check_finite=False)


def _moved(x: Any, d: int) -> Any:
    """``x[j + d]`` for all j, and 0 where there is no such row."""
    n = shape_of(x)[0]
    if d == 0:
        return x
    blank = np.zeros((min(abs(d), n), *shape_of(x)[1:]))
    if abs(d) >= n:
        return blank
    part = getitem(x, index=((d, None, None) if d > 0 else (None, n + d, None),))
    return join([part, blank] if d > 0 else [blank, part], 0)


def _flipped(ab: Any, above: int) -> Any:
    """The bands of the transposed matrix."""
    below = shape_of(ab)[0] - above
    rows = [_moved(_row(ab, above - 1 - d), d) for d in range(-below, above)]
    return _stacked(rows)


def _row(ab: Any, i: int) -> Any:
    return getitem(ab, index=(i,))


def _stacked(rows: list[Any]) -> Any:
    return join([reshape(row, shape=(1, *shape_of(row))) for row in rows], 0)


def _products(x: Any, y: Any, above: int, below: int) -> Any:
    """The bands of ``x @ y.T``."""
    return _stacked([sum_(_moved(x, d) * y, axis=(1,), keepdims=False) for d in range(1 - above, below + 1)])


def _banded_jvp(i: int, t: Any, out: Any, ab: Any, b: Any, above: int) -> Any:
    if i == 1:
        return solve_banded(ab, t, above=above)
    total: Any = 0.0
    for row in range(shape_of(ab)[0]):
        d = row - above + 1
        band = reshape(_row(t, row), shape=(shape_of(out)[0], 1))
        total = total + _moved(band * out, -d)
    return -solve_banded(ab, total, above=above)


def _banded_vjp(i: int, ct: Any, out: Any, ab: Any, b: Any, above: int) -> Any:
    below = shape_of(ab)[0] - above
    back = solve_banded(_flipped(ab, above), ct, above=below + 1)
    return back if i == 1 else -_products(back, out, above, below)


# `above` counts the diagonal, too.
solve_banded: Op = register(
    Op(
        "solve_banded",
        nan_where_singular(_banded, _banded_shape),
        _banded_shape,
        Products(_banded_jvp, _banded_vjp, _banded_vjp),
        takes=(FLOAT, FLOAT),
        attrs={"above": is_count},
        samples=(
            ((np.array([[0.0, 0.4, -0.3], [2.0, 1.5, 1.1], [0.2, 0.6, 0.0]]), _RIGHT), {"above": 2}),
            ((np.array([[2.0, 1.5, 1.1], [0.2, 0.6, 0.0]]), _RIGHT), {"above": 1}),
        ),
    )
)
