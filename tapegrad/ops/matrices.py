"""Sparse matrices with traced values, and SciPy's among traced values.

SciPy's sparse matrices hold plain numbers alone. A `SparseMatrix` takes their place where a traced value
comes in: it has the operators that keep a pattern, and its products are ops.
"""

from __future__ import annotations

from typing import Any, NoReturn

import numpy as np
from scipy import sparse

from tapegrad.errors import TraceError
from tapegrad.ops.broadcasting import sum_
from tapegrad.ops.indexing import ARRAY, getitem, join
from tapegrad.ops.patterns import sparse_inverse, sparse_logdet, sparse_product, sparse_solve
from tapegrad.ops.registry import Recordable
from tapegrad.ops.shaping import reshape, shape_of, swapaxes, transpose_

Array = np.ndarray[Any, Any]
Shape = tuple[int, ...]


def is_sparse(operand: Any) -> bool:
    """Whether this is a sparse matrix, SciPy's or one with traced values."""
    return isinstance(operand, SparseMatrix) or sparse.issparse(operand)


class SparseMatrix:
    """A sparse matrix with a fixed pattern, whose values may be traced.

    Attributes
    ----------
    values : ndarray or traced value, shape (nnz,)
        Row by row, or column by column where `transposed`.
    indices, indptr : ndarray of int
        As those of a csr_array, or a csc_array where `transposed`.
    columns : int
        Of the csr_array.
    transposed : bool
        Whether the matrix is the transpose of that csr_array.
    is_matrix : bool
        Whether it is one of SciPy's matrices, not arrays: `*` is the matrix product.
    """

    __array_ufunc__ = None  # NumPy's arrays leave operators to it
    __hash__ = None  # type: ignore[assignment]

    def __init__(
        self,
        values: Any,
        indices: Array,
        indptr: Array,
        columns: int,
        transposed: bool = False,
        is_matrix: bool = False,
    ) -> None:
        self.values = values
        self.indices = indices
        self.indptr = indptr
        self.columns = columns
        self.transposed = transposed
        self.is_matrix = is_matrix

    @property
    def shape(self) -> tuple[int, int]:
        """As of a sparse matrix."""
        rows = self.indptr.size - 1
        return (self.columns, rows) if self.transposed else (rows, self.columns)

    @property
    def ndim(self) -> int:
        """As of a sparse matrix."""
        return 2

    @property
    def dtype(self) -> np.dtype[Any]:
        """As of a sparse matrix."""
        return np.dtype(np.float64)

    @property
    def nnz(self) -> int:
        """As of a sparse matrix: the number of stored elements."""
        return int(self.indices.size)

    @property
    def T(self) -> SparseMatrix:
        """The transpose."""
        found = self._with(self.values)
        found.transposed = not self.transposed
        return found

    def transpose(self) -> SparseMatrix:
        """The transpose."""
        return self.T

    def __repr__(self) -> str:
        return f"<sparse matrix with traced values, shape={self.shape}, {self.nnz} stored elements>"

    def _with(self, values: Any) -> SparseMatrix:
        return SparseMatrix(values, self.indices, self.indptr, self.columns, self.transposed, self.is_matrix)

    def _refuse(self, what: str) -> NoReturn:
        """The error for what cannot be done."""
        recorder = getattr(self.values, "recorder", None)
        where = "" if recorder is None else recorder.whereabouts()
        raise TraceError(f"{what} cannot be recorded{where}. {_WORKS}")

    # Sums and multiples -------------------------------------------------------------------------------------

    def __add__(self, other: Any) -> Any:
        return _sum(self, other, 1.0)

    __radd__ = __add__

    def __sub__(self, other: Any) -> Any:
        return _sum(self, other, -1.0)

    def __rsub__(self, other: Any) -> Any:
        return _sum(-self, other, 1.0)

    def __neg__(self) -> SparseMatrix:
        return self._with(-self.values)

    def __mul__(self, other: Any) -> Any:
        if self.is_matrix and (is_sparse(other) or shape_of(other) != ()):
            return self @ other
        return self.multiply(other)

    def __rmul__(self, other: Any) -> Any:
        if self.is_matrix and shape_of(other) != ():
            return self.__rmatmul__(other)
        return self.multiply(other)

    def multiply(self, other: Any) -> SparseMatrix:
        """The product element by element."""
        if is_sparse(other):
            self._refuse("the product of the elements of two sparse matrices")
        shape = shape_of(other)
        if shape == ():
            return self._with(self.values * other)
        return self._with(self.values * self._at_elements(other, shape))

    def __truediv__(self, other: Any) -> SparseMatrix:
        if is_sparse(other) or shape_of(other) != ():
            self._refuse("a sparse matrix divided by a matrix")
        return self._with(self.values / other)

    def _at_elements(self, other: Any, shape: Shape) -> Any:
        """The elements of an array at the stored ones, by the rules of broadcasting."""
        if np.broadcast_shapes(shape, self.shape) != self.shape:
            raise ValueError(f"a sparse matrix of shape {self.shape} times an array of shape {shape}")
        inner, outer = self.indices, np.repeat(np.arange(self.indptr.size - 1), np.diff(self.indptr))
        rows, columns = (inner, outer) if self.transposed else (outer, inner)
        places = np.zeros(self.nnz, dtype=np.int64)
        if len(shape) == 2 and shape[0] > 1:
            places += rows * shape[1]
        if shape[-1] > 1:
            places += columns
        return _take(reshape(other, shape=(int(np.prod(shape)),)), places)

    # Products -----------------------------------------------------------------------------------------------

    def __matmul__(self, other: Any) -> Any:
        if is_sparse(other):
            self._refuse("the product of two sparse matrices of which one has traced values")
        if shape_of(other) == ():
            raise ValueError("Scalar operands are not allowed, use '*' instead")
        if len(shape_of(other)) > 2:
            raise ValueError(f"a sparse matrix times an array of {len(shape_of(other))} axes: 1 or 2 wanted")
        return sparse_product(
            *(self.values, self.indices, self.indptr, other), columns=self.columns, transposed=self.transposed
        )

    def __rmatmul__(self, other: Any) -> Any:
        if shape_of(other) == ():
            raise ValueError("Scalar operands are not allowed, use '*' instead")
        if len(shape_of(other)) == 1:
            return self.T @ other
        return transpose_(self.T @ swapaxes(other, 0, 1))

    dot = __matmul__

    # Whole matrices -----------------------------------------------------------------------------------------

    def diagonal(self) -> Any:
        """The diagonal."""
        size = min(self.shape)
        rows = np.repeat(np.arange(self.indptr.size - 1), np.diff(self.indptr))
        places = np.full(size, self.nnz)
        on = np.flatnonzero(rows == self.indices)
        places[rows[on]] = on
        return _take(_with_zero(self.values), places)

    def toarray(self) -> Any:
        """The full matrix."""
        return self @ np.eye(self.shape[1])

    def todense(self) -> Any:
        """The full matrix."""
        if self.is_matrix:
            self._refuse("an np.matrix with traced values")
        return self.toarray()

    def sum(self, axis: int | None = None) -> Any:
        """The sum of all elements, or of each column (`axis` 0) or row (`axis` 1)."""
        if axis is None:
            return sum_(self.values, axis=(0,), keepdims=False)
        if self.is_matrix:
            self._refuse("the sum along an axis, an np.matrix,")
        return self.T.sum(1) if axis in (0, -2) else self @ np.ones(self.shape[1])

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        self._refuse(f"`.{name}` of a sparse matrix with traced values")

    def __getitem__(self, index: Any) -> NoReturn:
        self._refuse("indexing a sparse matrix with traced values")

    def __pow__(self, exponent: Any) -> NoReturn:
        self._refuse("a power of a sparse matrix with traced values")

    def __array__(self, dtype: Any = None, copy: Any = None) -> NoReturn:
        self._refuse("an array made of a sparse matrix with traced values")


_WORKS = (
    "What works: sums and differences of sparse matrices, multiples by numbers, products by the elements of "
    "an array, `A @ x`, `x @ A`, `A.T`, A.dot(x), A.sum(axis), A.diagonal() and A.toarray(), and the "
    "distributions of tapegrad.stats that take a precision. Combine constant matrices before they meet "
    "traced values, or write A.toarray() where the matrix is small"
)


def as_sparse(matrix: Any, where: str = "") -> SparseMatrix:
    """A sparse matrix as one whose values may be traced; `where` is the user's line for errors."""
    if isinstance(matrix, SparseMatrix):
        return matrix
    if matrix.ndim != 2:
        raise ValueError(f"a sparse array of 2 axes wanted, not {matrix.ndim}")
    if matrix.dtype.kind not in "fiub":
        raise TraceError(
            f"{matrix.dtype} data cannot stand on a tape{where}: tapegrad computes with real numbers"
        )
    transposed = matrix.format == "csc"
    rows = matrix.T if transposed else matrix.tocsr()
    if not rows.has_canonical_format:
        rows = rows.copy()
        rows.sum_duplicates()
    is_matrix = not isinstance(matrix, sparse.sparray)
    return SparseMatrix(rows.data, rows.indices, rows.indptr, rows.shape[1], transposed, is_matrix)


def _take(x: Any, places: Array) -> Any:
    return getitem(x, places, index=(ARRAY,))


def _with_zero(values: Any) -> Any:
    return join([values, np.zeros(1)], 0)


def _sum(left: SparseMatrix, right: Any, sign: float) -> Any:
    """One matrix plus `sign` times the other."""
    if not is_sparse(right):
        if shape_of(right) == ():
            if not isinstance(right, Recordable) and right == 0:
                return left
            left._refuse("a number added to all elements of a sparse matrix")
        return left.toarray() + sign * right
    right = as_sparse(right)
    if right.shape != left.shape:
        raise ValueError(f"inconsistent shapes: {left.shape} and {right.shape}")
    left, right = _by_rows(left), _by_rows(right)
    if np.array_equal(left.indptr, right.indptr) and np.array_equal(left.indices, right.indices):
        return left._with(left.values + sign * right.values)
    ours, theirs = _keys(left), _keys(right)
    keys = np.union1d(ours, theirs)
    rows = keys // left.columns
    indptr = np.searchsorted(rows, np.arange(left.shape[0] + 1))
    values = _spread(left.values, ours, keys) + sign * _spread(right.values, theirs, keys)
    return SparseMatrix(values, keys % left.columns, indptr, left.columns, is_matrix=left.is_matrix)


def _keys(matrix: SparseMatrix) -> Array:
    """The positions of the stored elements in the full matrix."""
    rows = np.repeat(np.arange(matrix.indptr.size - 1, dtype=np.int64), np.diff(matrix.indptr))
    found: Array = rows * matrix.columns + matrix.indices
    return found


def _spread(values: Any, own: Array, keys: Array) -> Any:
    """Values at their positions among more of them, with zeros elsewhere."""
    if own.size == keys.size:
        return values
    at = np.searchsorted(own, keys)
    found = np.where(own[np.minimum(at, own.size - 1)] == keys, at, own.size) if own.size else at
    return _take(_with_zero(values), found)


def _by_rows(matrix: SparseMatrix) -> SparseMatrix:
    """The same matrix, not transposed."""
    if not matrix.transposed:
        return matrix
    order = sparse.csr_array(
        (np.arange(1, matrix.nnz + 1), matrix.indices, matrix.indptr), shape=matrix.shape[::-1]
    )
    rows = order.T.tocsr()
    rows.sort_indices()
    values = _take(matrix.values, rows.data - 1)
    return SparseMatrix(values, rows.indices, rows.indptr, matrix.shape[1], is_matrix=matrix.is_matrix)


# Symmetric positive definite ones ---------------------------------------------------------------------------


def symmetric(matrix: Any) -> tuple[Any, Array, Array]:
    """The values of a symmetric matrix with its diagonal stored, and `indices` and `indptr`."""
    matrix = as_sparse(matrix)
    if matrix.shape[0] != matrix.shape[1]:
        raise ValueError(f"a square matrix wanted; the shape is {matrix.shape}")
    matrix = _by_rows(matrix) if isinstance(matrix.values, Recordable) else matrix
    pattern = sparse.csr_array((np.ones(matrix.nnz), matrix.indices, matrix.indptr), shape=matrix.shape)
    full = sparse.csr_array(pattern + pattern.T + sparse.eye_array(matrix.shape[0]))
    if full.nnz == matrix.nnz:
        return matrix.values, matrix.indices, matrix.indptr
    full.sort_indices()
    full.data[:] = 0.0
    found = _sum(_by_rows(matrix), full, 1.0)
    return found.values, found.indices, found.indptr


def logdet(matrix: Any) -> Any:
    """The log-determinant of a symmetric positive definite matrix; NaN for any other one."""
    return sparse_logdet(*symmetric(matrix))


def solve(matrix: Any, b: Any) -> Any:
    """The solution of equations with a symmetric positive definite matrix; NaN for any other one."""
    return sparse_solve(*symmetric(matrix), b)


def variances(matrix: Any) -> Any:
    """The diagonal of the inverse of a symmetric positive definite matrix."""
    values, indices, indptr = symmetric(matrix)
    inverse = sparse_inverse(values, indices, indptr)
    return SparseMatrix(inverse, indices, indptr, indptr.size - 1).diagonal()
