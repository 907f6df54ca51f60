"""Eigenvalues and eigenvectors of general matrices, where they are real numbers.

A replay that meets complex ones gives NaN. Where eigenvalues are equal to rounding, they have no derivative:
it is NaN.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tapegrad.ops.decompositions import by_matrix, nan_where_singular, over_columns, solve_, transposed
from tapegrad.ops.factors import diagonals, per_gap, twins, without_slope
from tapegrad.ops.linalg import matmul
from tapegrad.ops.reductions import any, sum
from tapegrad.ops.registry import Op, Recordable, Shape, implements, register

_REAL = np.array([[2.0, -1.0, 0.3], [-0.4, 0.5, -0.8], [0.6, -0.7, -1.1]])
_SQUARE: tuple[tuple[tuple[Any, ...], dict[str, Any]], ...] = (
    ((_REAL,), {}),
    ((np.array([_REAL, _REAL.T + np.eye(3)]),), {}),
    ((np.array([[1.0, 0.5], [0.2, 0.7]]),), {}),
)


def _square(shape: Shape) -> Shape:
    if len(shape) < 2 or shape[-1] != shape[-2]:
        raise np.linalg.LinAlgError(f"square matrices wanted, or a stack of them; the shape is {shape}")
    return shape


def _real(a: Any, part: int) -> Any:
    """Eigenvalues or eigenvectors; NaN for matrices some of whose eigenvalues are complex."""
    found = np.linalg.eig(a)
    is_real = np.all(np.isreal(found.eigenvalues), axis=-1)
    if np.all(is_real):
        return found[part].real
    is_real = is_real[(..., *(None,) * (part + 1))]
    return np.where(is_real, found[part].real, np.nan)


def _of_single(ct: Any, values: Any) -> Any:
    """NaN for what belongs to eigenvalues that are equal to rounding."""
    return without_slope(ct, any(twins(values), -1))


def _vector(shape: Shape) -> Shape:
    return _square(shape)[:-1]


def _real_jvp(i: int, t: Any, out: Any, a: Any) -> Any:
    vectors = real_eigenvectors(a)
    return _of_single(diagonals(solve_(vectors, matmul(t, vectors))), out)


def _real_vjp(i: int, ct: Any, out: Any, a: Any) -> Any:
    vectors = real_eigenvectors(a)
    scaled = transposed(vectors * over_columns(_of_single(ct, out)))
    return solve_(transposed(vectors), scaled)


real_eigenvalues: Op = register(
    Op(
        "real_eigenvalues",
        nan_where_singular(lambda a: _real(a, 0), _vector),
        _vector,
        by_matrix(_real_jvp, _real_vjp),
        samples=_SQUARE,
    )
)


def _across(x: Any, vectors: Any) -> Any:
    """What keeps the length of each column."""
    return x - vectors * sum(vectors * x, -2, True)


def _vectors_jvp(i: int, t: Any, out: Any, a: Any) -> Any:
    inside = solve_(out, matmul(t, out)) * per_gap(real_eigenvalues(a))
    return _across(matmul(out, inside), out)


def _vectors_vjp(i: int, ct: Any, out: Any, a: Any) -> Any:
    inside = matmul(transposed(out), _across(ct, out)) * per_gap(real_eigenvalues(a))
    return solve_(transposed(out), matmul(inside, transposed(out)))


real_eigenvectors: Op = register(
    Op(
        "real_eigenvectors",
        nan_where_singular(lambda a: _real(a, 1), _square),
        _square,
        by_matrix(_vectors_jvp, _vectors_vjp),
        samples=_SQUARE,
    )
)
_EigResult: Any = type(np.linalg.eig(np.eye(1)))


def _check_real(a: Any) -> None:
    value = a.plain() if isinstance(a, Recordable) else a
    if not np.all(np.isreal(np.linalg.eigvals(value))):  # from NumPy 2.5 on, the dtype is always complex
        raise NotImplementedError(
            "a matrix with complex eigenvalues, and tapegrad computes with real numbers; for a symmetric "
            "matrix write np.linalg.eigvalsh or np.linalg.eigh"
        )


@implements(np.linalg.eigvals)
def eigvals(a: Any) -> Any:
    """NumPy's `eigvals`, if they are real; where two of them are equal their derivative is NaN."""
    _check_real(a)
    return real_eigenvalues(a)


@implements(np.linalg.eig)
def eig(a: Any) -> Any:
    """NumPy's `eig`, if the eigenvalues are real; where two of them are equal their derivative is NaN."""
    _check_real(a)
    return _EigResult(real_eigenvalues(a), real_eigenvectors(a))
