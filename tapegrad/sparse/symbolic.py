"""A pattern, analysed once; matrices of this pattern, factorised."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from tapegrad.sparse.along import inverse_along
from tapegrad.sparse.banded import Banded
from tapegrad.sparse.dense import Dense
from tapegrad.sparse.eliminated import QDLDL, SuperLU, has_qdldl
from tapegrad.sparse.fronts import Fronts
from tapegrad.sparse.layout import Layout, layout_of
from tapegrad.sparse.ordering import dissected, of_least_degree
from tapegrad.sparse.pattern import Array, Pattern, pattern_of


class Factored(Protocol):
    """What a back end makes of the values of one matrix."""

    @property
    def logdet(self) -> float: ...
    def solve(self, b: Array) -> Array: ...
    def spread(self, z: Array) -> Array: ...
    def inverse_subset(self) -> Array: ...


Compiled = Callable[[Factored], Array | None]
Prepared = Dense | Banded | Fronts | SuperLU | QDLDL
BACKENDS = ("dense", "banded", "fronts", "superlu", "qdldl")


class Symbolic:
    """The pattern of a symmetric matrix, with all that need not be found again for other values.

    Attributes
    ----------
    pattern : Pattern
        The stored elements, in the order in which values are given and returned.
    backend : str
        What factorises.
    compiled : callable or None
        What finds the inverse at the positions of the pattern, where it can: otherwise it gives None.
    """

    def __init__(
        self, pattern: Pattern, backend: str, prepared: Prepared, compiled: Compiled | None = None
    ) -> None:
        self.pattern = pattern
        self.backend = backend
        self.compiled = compiled
        self._prepared = prepared

    def factor(self, values: Any) -> Factor:
        """The factorisation of the matrix of these values, of which the symmetric part is read.

        Parameters
        ----------
        values : array_like, shape (nnz,), or sparse matrix
            In the order of `pattern`, or a matrix whose elements are all in `pattern`.

        Returns
        -------
        Factor

        Raises
        ------
        NotPositiveDefinite
            If the matrix is not.
        """
        values = self._values(values)
        return Factor(self, values, self._prepared.factor(values))

    def inverse_along(self, values: Any, directions: Sequence[Any]) -> Array:
        """The derivative of the inverse along directions, at the positions of the pattern.

        Along one direction T of the matrix A it is that of ``-inv(A) @ T @ inv(A)``, along several ones that
        of all such products. Each direction more takes two to three times as long.

        Parameters
        ----------
        values : array_like, shape (nnz,), or sparse matrix
            The values of a positive definite matrix.
        directions : sequence of array_like, shape (nnz,), or of sparse matrices
            Symmetric matrices of the same pattern, of which the symmetric parts are read.

        Returns
        -------
        ndarray, shape (nnz,)
        """
        return inverse_along(self._layout, self._values(values), [*map(self._values, directions)])

    @cached_property
    def _layout(self) -> Layout:
        """The fronts, also where another back end factorises."""
        if isinstance(self._prepared, Dense):
            return layout_of(self.pattern, dissected(self.pattern, self.pattern.n))
        return self._prepared.layout

    def _values(self, values: Any) -> Array:
        if hasattr(values, "tocsr"):
            return self.values_of(values)
        values = np.asarray(values, dtype=float)
        if values.shape != (self.pattern.nnz,):
            raise ValueError(f"{self.pattern.nnz} values wanted; the shape is {values.shape}")
        return self.pattern.symmetric(values)

    def values_of(self, matrix: Any) -> Array:
        """A sparse matrix whose elements are all in the pattern, as values in its order."""
        pattern, found = self.pattern, matrix.tocoo()
        if found.shape != (pattern.n, pattern.n):
            raise ValueError(f"a matrix of {pattern.n} rows and columns wanted; the shape is {found.shape}")
        keys = pattern.rows.astype(np.int64) * pattern.n + pattern.indices
        wanted = found.coords[0].astype(np.int64) * pattern.n + found.coords[1]
        at = np.minimum(np.searchsorted(keys, wanted), pattern.nnz - 1)
        if not np.array_equal(keys[at], wanted):
            raise ValueError("the matrix has elements outside the pattern")
        return self.pattern.symmetric(np.bincount(at, weights=found.data, minlength=pattern.nnz))


class Factor:
    """A factorised matrix."""

    def __init__(self, symbolic: Symbolic, values: Array, factored: Factored) -> None:
        self.symbolic = symbolic
        self.values = values
        self._factored = factored

    @property
    def logdet(self) -> float:
        """The logarithm of the determinant."""
        return self._factored.logdet

    def solve(self, b: Any) -> Array:
        """The solution of ``A x = b``, for a vector or for the columns of a matrix."""
        b = np.asarray(b, dtype=float)
        if b.ndim not in (1, 2) or b.shape[0] != self.symbolic.pattern.n:
            raise ValueError(f"{self.symbolic.pattern.n} rows wanted; the shape is {b.shape}")
        return self._factored.solve(b) if b.size else b

    def spread(self, z: Any) -> Array:
        """A root R of the inverse, ``R R' = inv(A)``, times a vector.

        Of independent standard normal numbers it makes some with the precision matrix A. Rows that never meet
        in A do not meet in R either.
        """
        z = np.asarray(z, dtype=float)
        if z.shape != (self.symbolic.pattern.n,):
            raise ValueError(f"a vector of {self.symbolic.pattern.n} wanted; the shape is {z.shape}")
        return self._factored.spread(z)

    def inverse_subset(self) -> Array:
        """The elements of the inverse at the positions of the pattern, in its order."""
        compiled = self.symbolic.compiled
        found = None if compiled is None else compiled(self._factored)
        return self._factored.inverse_subset() if found is None else found


def analyse(matrix: Any, backend: str | None = None, compiled: Compiled | None = None) -> Symbolic:
    """Analyse the pattern of a symmetric sparse matrix.

    Parameters
    ----------
    matrix : sparse matrix or array
        Its stored elements are the pattern, with their mirror images and the whole diagonal; its values are
        not looked at.
    backend : {"dense", "banded", "fronts", "superlu", "qdldl"}, optional
        What factorises; by default what costs least.
    compiled : callable, optional
        What finds the inverse at the positions of the pattern in compiled code, from what factorised; where
        it gives None, NumPy finds it.

    Returns
    -------
    Symbolic

    Examples
    --------
    >>> import numpy as np
    >>> from scipy import sparse
    >>> from tapegrad.sparse import analyse
    >>> precision = sparse.diags_array([-1.0, 2.5, -1.0], offsets=[-1, 0, 1], shape=(4, 4))
    >>> symbolic = analyse(precision)
    >>> factor = symbolic.factor(precision)
    >>> round(factor.logdet, 6), round(float(np.linalg.slogdet(precision.toarray())[1]), 6)
    (3.059294, 3.059294)
    >>> factor.solve(np.ones(4)).round(4)
    array([0.9091, 1.2727, 1.2727, 0.9091])
    >>> factor.inverse_subset()[symbolic.pattern.diagonal].round(4)
    array([0.4985, 0.6158, 0.6158, 0.4985])
    """
    pattern = pattern_of(matrix)
    if backend is not None and backend not in BACKENDS:
        raise ValueError(f"backend must be one of {', '.join(BACKENDS)}, not {backend!r}")
    backend, prepared = _prepared(pattern, backend)
    return Symbolic(pattern, backend, prepared, compiled)


def _prepared(pattern: Pattern, backend: str | None) -> tuple[str, Prepared]:
    """The back end, that of the least cost if none is named, and what it makes of the pattern."""
    dense = _dense_cost(pattern)
    if backend == "dense" or (backend is None and dense < _SMALL):
        return "dense", Dense(pattern)
    if backend == "qdldl":
        return "qdldl", QDLDL(pattern)
    if backend == "superlu":
        return "superlu", SuperLU(pattern, of_least_degree(pattern))
    if backend == "banded":
        return "banded", Banded(pattern, _LEAF)
    if backend is None and pattern.nnz <= (2 * _NARROW + 1) * pattern.n:
        banded = Banded(pattern, _LEAF)
        if banded.width <= _NARROW:
            return ("dense", Dense(pattern)) if dense < banded.cost else ("banded", banded)
    fronts = _fronts(pattern)
    if backend is None and dense < fronts.layout.cost:
        return "dense", Dense(pattern)
    if backend is None and has_qdldl():
        compiled = QDLDL(pattern)
        # It factorises faster; only where its fronts are many more it loses that with the inverse.
        if compiled.layout.cost < 1.5 * fronts.layout.cost:
            return "qdldl", compiled
    return "fronts", fronts


def _fronts(pattern: Pattern) -> Fronts:
    """Fronts in the better order of two."""
    dissection, least = dissected(pattern, _LEAF), of_least_degree(pattern)
    found = Fronts(pattern, dissection)
    if least.depth.max(initial=0) > _DEEPER * (1 + dissection.depth.max(initial=0)):
        return found
    other = Fronts(pattern, least)
    return other if other.layout.cost < found.layout.cost else found


_LEAF = 12  # rows: so large a part is not dissected any more
_DEEPER = 8  # times the groups above each other: so many fronts wait for one another, and no batch is large
_NARROW = 10  # diagonals beside the main one: in so few, LAPACK is the fastest
_SMALL = 50.0  # microseconds, which no sparse matrix beats


def _dense_cost(pattern: Pattern) -> float:
    """About how many microseconds a dense factorisation takes."""
    return 15.0 + pattern.n**2 / 500.0 + pattern.n**3 / 30_000.0
