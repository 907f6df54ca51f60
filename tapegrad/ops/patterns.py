"""Sparse matrices on tapes: a fixed pattern, and values that may be traced.

A matrix is the values of its stored elements, row by row, with `indices` and `indptr` as those of a
csr_array; the same arrays, `transposed`, are its transpose. Products, and the log-determinant of a symmetric
positive definite matrix, have derivatives of every order that never leave the pattern: the k-th derivative of
the log-determinant is a form in k directions that all of them enter alike, so one op gives all derivatives.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse
from scipy.sparse import _sparsetools  # to build a csr_array takes longer than a product of a hundred rows

from tapegrad.ops.attributes import is_flag
from tapegrad.ops.broadcasting import sum_
from tapegrad.ops.registry import FLOAT, INT, Linear, Op, Products, Shape, register, written
from tapegrad.ops.shaping import shape_of
from tapegrad.sparse import Factor, NotPositiveDefinite, Symbolic, analyse

Array = np.ndarray[Any, Any]


def _is_length(value: Any, shape: Shape) -> bool:
    return type(value) is int and value >= 0


def _is_pattern(shapes: list[Shape], values: list[Any], at: int, columns: int) -> bool:
    """Whether the constants `indices` and `indptr`, inputs `at` and the next, are those of a matrix."""
    indices, indptr = values[at], values[at + 1]
    if indices is None or indptr is None:
        return False
    fits = indptr.ndim == indices.ndim == 1 and indptr.size >= 1
    return bool(
        fits
        and indptr[0] == 0
        and indptr[-1] == indices.size
        and (np.diff(indptr) >= 0).all()
        and ((indices >= 0) & (indices < columns)).all()
    )


# Products ---------------------------------------------------------------------------------------------------


def _product_shape(
    values: Shape, indices: Shape, indptr: Shape, x: Shape, columns: int, transposed: bool
) -> Shape:
    rows = indptr[0] - 1
    taken, given = (rows, columns) if transposed else (columns, rows)
    if len(x) not in (1, 2) or x[0] != taken:
        shape = (columns, rows) if transposed else (rows, columns)
        raise ValueError(f"a sparse matrix of shape {shape} times an array of shape {x}: the rows do not fit")
    return (given, *x[1:])


def _product(
    values: Array, indices: Array, indptr: Array, x: Array, columns: int, transposed: bool, out: Any = None
) -> Any:
    shape = _product_shape(values.shape, indices.shape, indptr.shape, x.shape, columns, transposed)
    if out is None or not out.flags.c_contiguous:
        found = np.zeros(shape)
    else:
        found = out
        found[...] = 0.0
    sizes = shape[0], x.shape[0]
    x = np.ascontiguousarray(x)
    if len(shape) == 1:
        tool = _sparsetools.csc_matvec if transposed else _sparsetools.csr_matvec
        tool(*sizes, indptr, indices, values, x, found)
    else:
        tool = _sparsetools.csc_matvecs if transposed else _sparsetools.csr_matvecs
        tool(*sizes, shape[1], indptr, indices, values, x.ravel(), found.ravel())
    return found if out is None or found is out else written(found, out)


def _product_transpose(
    i: int, ct: Any, values: Any, indices: Any, indptr: Any, x: Any, columns: int, transposed: bool
) -> Any:
    if i == 3:
        return sparse_product(values, indices, indptr, ct, columns=columns, transposed=not transposed)
    return sparse_outer(x, ct, indices, indptr) if transposed else sparse_outer(ct, x, indices, indptr)


def _product_links(i: int, shapes: list[Shape], values: list[Any], columns: int, transposed: bool) -> Any:
    data, indices, indptr = values[:3]
    if indices is None or indptr is None:
        return None
    size, width = indices.size, shapes[3][1] if len(shapes[3]) == 2 else 1
    if i == 3:
        filled = np.ones(size, dtype=bool) if data is None else np.not_equal(data, 0.0)
        matrix = sparse.csr_array((filled, indices, indptr), shape=(indptr.size - 1, columns))
        matrix = matrix.T if transposed else matrix
        return sparse.kron(matrix, sparse.eye_array(width, dtype=bool), format="csr")
    of = indices if transposed else np.repeat(np.arange(indptr.size - 1), np.diff(indptr))
    rows = columns if transposed else indptr.size - 1
    taken = sparse.csr_array((np.ones(size, dtype=bool), (of, np.arange(size))), shape=(rows, size))
    return sparse.kron(taken, np.ones((width, 1), dtype=bool), format="csr")


_INDPTR = np.array([0, 2, 3, 3, 6])
_INDICES = np.array([0, 2, 1, 0, 1, 2])
_VALUES = np.array([0.5, -1.2, 0.8, 0.3, 1.1, -0.4])
_ROW, _TABLE = np.array([0.4, -0.7, 1.3]), np.linspace(-1.0, 1.2, 6).reshape(3, 2)
_LONG, _TALL = np.array([0.4, -0.7, 1.3, 0.2]), np.linspace(-1.0, 1.2, 8).reshape(4, 2)

sparse_product: Op = register(
    Op(
        "sparse_product",
        _product,
        _product_shape,
        Linear(_product_transpose, arguments=(0, 3), jointly=False),
        takes=(FLOAT, INT, INT, FLOAT),
        links=_product_links,
        attrs={"columns": _is_length, "transposed": is_flag},
        fits=lambda shapes, values, columns, transposed: (
            shapes[0] == shapes[1] and _is_pattern(shapes, values, 1, columns)
        ),
        samples=tuple(
            ((_VALUES, _INDICES, _INDPTR, x), {"columns": 3, "transposed": transposed})
            for x, transposed in ((_ROW, False), (_TABLE, False), (_LONG, True), (_TALL, True))
        ),
    )
)


def _outer_shape(rows: Shape, columns: Shape, indices: Shape, indptr: Shape) -> Shape:
    if rows[0] != indptr[0] - 1 or rows[1:] != columns[1:] or len(rows) not in (1, 2):
        raise ValueError(f"arrays of shapes {rows} and {columns} do not fit the pattern")
    return indices


def _outer(rows: Array, columns: Array, indices: Array, indptr: Array, out: Any = None) -> Any:
    products = np.repeat(rows, np.diff(indptr), axis=0)
    products *= columns[indices]
    return written(products if products.ndim == 1 else products.sum(axis=1), out)


def _outer_transpose(i: int, ct: Any, rows: Any, columns: Any, indices: Any, indptr: Any) -> Any:
    x, count = (rows if i else columns), shape_of(columns)[0]
    return sparse_product(ct, indices, indptr, x, columns=count, transposed=bool(i))


def _outer_links(i: int, shapes: list[Shape], values: list[Any]) -> Any:
    indices, indptr = values[2:]
    if indices is None or indptr is None:
        return None
    taken = indices if i else np.repeat(np.arange(indptr.size - 1), np.diff(indptr))
    if len(shapes[i]) == 1:
        return taken
    one = sparse.csr_array(
        (np.ones(taken.size, dtype=bool), (np.arange(taken.size), taken)), shape=(taken.size, shapes[i][0])
    )
    return sparse.kron(one, np.ones((1, shapes[i][1]), dtype=bool), format="csr")


# The products of two vectors' elements, or of the rows of two tables, at the positions of a pattern.
sparse_outer: Op = register(
    Op(
        "sparse_outer",
        _outer,
        _outer_shape,
        Linear(_outer_transpose, arguments=(0, 1), jointly=False),
        takes=(FLOAT, FLOAT, INT, INT),
        links=_outer_links,
        fits=lambda shapes, values: _is_pattern(shapes, values, 2, shapes[1][0]),
        samples=(((_LONG, _ROW, _INDICES, _INDPTR), {}), ((_TALL, _TABLE, _INDICES, _INDPTR), {})),
    )
)

# Symmetric positive definite matrices -----------------------------------------------------------------------
# Of the values the symmetric part is read. The pattern must be symmetric, and hold the diagonal.


_KEPT = 16  # analysed patterns
_analysed: list[tuple[Array, Array, Symbolic]] = []


def symbolic_of(indices: Array, indptr: Array) -> Symbolic:
    """The pattern analysed, which has been done before if it has been seen lately."""
    for known in list(_analysed):
        if known[0].size == indices.size and _is_same(known[1], indptr) and _is_same(known[0], indices):
            return known[2]
    n = indptr.size - 1
    symbolic = analyse(sparse.csr_array((np.ones(indices.size), indices, indptr), shape=(n, n)))
    if symbolic.pattern.nnz != indices.size or not np.array_equal(symbolic.pattern.indices, indices):
        raise ValueError("the pattern of a symmetric matrix must be symmetric, sorted, and hold the diagonal")
    _analysed.append((indices.copy(), indptr.copy(), symbolic))
    del _analysed[:-_KEPT]
    return symbolic


def _is_same(known: Array, given: Array) -> bool:
    return known.size == given.size and np.array_equal(known, given)


_factored: list[Factor] = []


def _factor(values: Array, indices: Array, indptr: Array) -> Factor | None:
    """The matrix factorised, once for all that a replay asks of it; None if it is not positive definite."""
    symbolic = symbolic_of(indices, indptr)
    values = symbolic.pattern.symmetric(values)
    for known in list(_factored):
        if known.symbolic is symbolic and np.array_equal(known.values, values):
            return known
    try:
        factor = symbolic.factor(values)
    except NotPositiveDefinite:
        return None
    _factored.append(factor)
    del _factored[:-2]
    return factor


def _symmetric_shape(values: Shape, indices: Shape, indptr: Shape, *more: Shape) -> Shape:
    if any(shape != indices for shape in (values, *more)):
        raise ValueError(f"{indices[0]} values wanted; the shapes are {(values, *more)}")
    return indices


def _is_symmetric(shapes: list[Shape], values: list[Any]) -> bool:
    n = shapes[2][0] - 1
    if not _is_pattern(shapes, values, 1, n):
        return False
    symbolic_of(values[1], values[2])  # which refuses one that is not
    return True


def _logdet(values: Array, indices: Array, indptr: Array, out: Any = None) -> Any:
    factor = _factor(values, indices, indptr)
    return written(np.asarray(np.nan if factor is None else factor.logdet), out)


def _inner(x: Any, y: Any) -> Any:
    return sum_(x * y, axis=(0,), keepdims=False)


def _along(values: Array, indices: Array, indptr: Array, *directions: Array, out: Any = None) -> Any:
    factor = _factor(values, indices, indptr)
    if factor is None:
        found = np.full(indices.shape, np.nan)
    elif directions:
        found = factor.symbolic.inverse_along(factor.values, directions)
    else:
        found = factor.inverse_subset()
    return written(found, out)


def _along_derivative(i: int, t: Any, out: Any, values: Any, indices: Any, indptr: Any, *dirs: Any) -> Any:
    if i == 0:
        return sparse_inverse(values, indices, indptr, *dirs, t)
    return sparse_inverse(values, indices, indptr, *dirs[: i - 3], t, *dirs[i - 2 :])


_OWN_INDPTR = np.array([0, 2, 5, 7, 10, 13])
_OWN_INDICES = np.array([0, 1, 0, 1, 3, 2, 4, 1, 3, 4, 2, 3, 4])
_OWN_VALUES = np.array([2.0, -0.5, -0.3, 2.5, 0.7, 1.8, 0.4, 0.5, 3.0, -0.6, 0.2, -0.8, 2.2])
_OWN = (_OWN_VALUES, _OWN_INDICES, _OWN_INDPTR)
_MOVES = np.sin(np.arange(26.0)).reshape(2, 13)

# The matrix's inverse at the positions of the pattern, or its derivative along any number of directions.
sparse_inverse: Op = register(
    Op(
        "sparse_inverse",
        _along,
        _symmetric_shape,
        Products(_along_derivative, _along_derivative),
        takes=(FLOAT, INT, INT, FLOAT),
        fits=_is_symmetric,
        samples=((_OWN, {}), ((*_OWN, _MOVES[0]), {}), ((*_OWN, *_MOVES), {})),
    )
)
sparse_logdet: Op = register(
    Op(
        "sparse_logdet",
        _logdet,
        lambda *shapes: _symmetric_shape(*shapes)[1:],
        Products(
            jvp=lambda i, t, out, *matrix: _inner(t, sparse_inverse(*matrix)),
            vjp=lambda i, ct, out, *matrix: ct * sparse_inverse(*matrix),
        ),
        takes=(FLOAT, INT, INT),
        fits=_is_symmetric,
        samples=((_OWN, {}),),
    )
)


def _solve_shape(values: Shape, indices: Shape, indptr: Shape, b: Shape) -> Shape:
    _symmetric_shape(values, indices, indptr)
    if len(b) not in (1, 2) or b[0] != indptr[0] - 1:
        raise ValueError(f"{indptr[0] - 1} rows wanted; the shape is {b}")
    return b


def _solve(values: Array, indices: Array, indptr: Array, b: Array, out: Any = None) -> Any:
    factor = _factor(values, indices, indptr)
    return written(np.full(b.shape, np.nan) if factor is None else factor.solve(b), out)


def _solve_jvp(i: int, t: Any, out: Any, values: Any, indices: Any, indptr: Any, b: Any) -> Any:
    if i == 3:
        return sparse_solve(values, indices, indptr, t)
    count = shape_of(b)[0]
    moved = [
        sparse_product(t, indices, indptr, out, columns=count, transposed=transposed)
        for transposed in (False, True)
    ]
    return sparse_solve(values, indices, indptr, -0.5 * (moved[0] + moved[1]))


def _solve_vjp(i: int, ct: Any, out: Any, values: Any, indices: Any, indptr: Any, b: Any) -> Any:
    back = sparse_solve(values, indices, indptr, ct)
    if i == 3:
        return back
    return -0.5 * (sparse_outer(back, out, indices, indptr) + sparse_outer(out, back, indices, indptr))


sparse_solve: Op = register(
    Op(
        "sparse_solve",
        _solve,
        _solve_shape,
        Products(_solve_jvp, _solve_vjp, arguments=(0, 3)),
        takes=(FLOAT, INT, INT, FLOAT),
        fits=_is_symmetric,
        samples=(
            ((*_OWN, np.linspace(-1.0, 2.0, 5)), {}),
            ((*_OWN, np.linspace(-1.0, 2.0, 10).reshape(5, 2)), {}),
        ),
    )
)
