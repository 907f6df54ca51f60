"""Functions of matrices: the exponential, the logarithm, the root, the cosine and the sine.

The derivative of such a function f at A, in the direction E, stands beside it in the function of one block
matrix: ``f([[A, E], [0, A]]) = [[f(A), L], [0, f(A)]]`` (R. Mathias, "A chain rule for matrix functions and
applications", 1996). So derivatives are functions of larger matrices, of every order, and none is a
difference. The transpose of the derivative is that at the transposed matrix.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import linalg

from tapegrad.ops.decompositions import by_matrix
from tapegrad.ops.indexing import join
from tapegrad.ops.registry import Op, Shape, register, written
from tapegrad.ops.shaping import shape_of, swapaxes

REAL = 1e-10  # an imaginary part below this share is rounding
_NEAR_ONE = np.array([[1.4, 0.3, -0.2], [0.1, 0.9, 0.25], [-0.15, 0.2, 1.2]])


def _real(value: Any) -> Any:
    """The real part of a real result, NaN where there is none."""
    if not np.iscomplexobj(value):
        return value
    size = np.max(np.abs(value), initial=0.0)
    return (
        value.real if np.max(np.abs(value.imag), initial=0.0) <= REAL * size else np.full(value.shape, np.nan)
    )


def _by_matrices(function: Callable[..., Any]) -> Callable[..., Any]:
    def kernel(a: Any, out: Any = None) -> Any:
        a = np.asarray(a, dtype=float)
        found = np.full(a.shape, np.nan)
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            for index in np.ndindex(*a.shape[:-2]):
                if np.isfinite(a[index]).all():
                    found[index] = _real(function(a[index]))
        return written(found, out)

    return kernel


def _square(shape: Shape) -> Shape:
    if len(shape) < 2 or shape[-1] != shape[-2]:
        raise ValueError(f"a function of a matrix needs a square one, not one of shape {shape}")
    return shape


def _matrix_function(name: str, function: Callable[..., Any]) -> Op:
    def along(a: Any, direction: Any) -> Any:
        """The derivative at `a` in a direction."""
        shape = shape_of(a)
        upper = join([a, direction], len(shape) - 1)
        lower = join([np.zeros(shape), a], len(shape) - 1)
        whole = op(join([upper, lower], len(shape) - 2))
        return whole[..., : shape[-1], shape[-1] :]

    op = register(
        Op(
            name,
            _by_matrices(function),
            _square,
            by_matrix(lambda i, t, out, a: along(a, t), lambda i, ct, out, a: along(swapaxes(a, -1, -2), ct)),
            samples=(((_NEAR_ONE,), {}), ((np.array([_NEAR_ONE[:2, :2], _NEAR_ONE[1:, 1:]]),), {})),
        )
    )
    return op


expm = _matrix_function("expm", linalg.expm)
logm = _matrix_function("logm", linalg.logm)
sqrtm = _matrix_function("sqrtm", linalg.sqrtm)
cosm = _matrix_function("cosm", linalg.cosm)
sinm = _matrix_function("sinm", linalg.sinm)
