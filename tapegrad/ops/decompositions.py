"""Systems of linear equations, inverses, determinants, and the Cholesky and eigenvalue decompositions.

Derivatives: M. B. Giles, "An extended collection of matrix derivative results for forward and reverse mode
algorithmic differentiation" (2008), and I. Murray, "Differentiation of the Cholesky decomposition",
arXiv:1602.07527 (2016), for `cholesky`. All take stacks of matrices. Those of symmetric matrices read one
triangle, as NumPy's do, and so the whole derivative goes to that triangle.

Where NumPy raises `LinAlgError`, a kernel gives NaN. A trace still ends with NumPy's error, because it calls
the function plainly, too; but a replay must not stop an optimiser that steps on a singular matrix once, and a
``try: ... except LinAlgError`` around an error that the trace happens to meet would decide, without a guard,
for all replays.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import sparse

from tapegrad.ops.attributes import Kind, one_of
from tapegrad.ops.broadcasting import sum_, unbroadcast
from tapegrad.ops.elementwise import absolute, reciprocal
from tapegrad.ops.linalg import matmul
from tapegrad.ops.logic import less_equal, not_equal, where
from tapegrad.ops.reductions import any_, max
from tapegrad.ops.registry import FLOAT, Op, Products, Shape, implements, register
from tapegrad.ops.shaping import reshape, shape_of, swapaxes

_PAIR = np.array([[0.5, -1.0], [1.5, 0.7]])
_GENERAL = np.array([[2.0, -1.0, 0.3], [0.4, 1.5, -0.8], [-0.6, 0.2, 1.1]])
_STACK = np.array([_GENERAL, _GENERAL.T - 0.5, np.diag([-1.0, 2.0, 3.0]) + 0.1])
# Two positive definite matrices: one in the lower triangle, one in the upper.
_POSITIVE = np.array([[2.0, 0.4, -0.3], [0.5, 1.5, 0.2], [0.1, -0.2, 1.1]])
_Samples = tuple[tuple[tuple[Any, ...], dict[str, Any]], ...]
_SQUARE: _Samples = (((_PAIR,), {}), ((_GENERAL,), {}), ((_STACK,), {}), ((np.array([[1.5]]),), {}))
_SYMMETRIC: _Samples = (
    ((_POSITIVE,), {}),
    ((np.array([_POSITIVE, _POSITIVE.T + np.diag([0.3, 0.1, 0.7])]),), {}),
    ((np.array([[1.5]]),), {}),
)


def nan_where_singular(function: Callable[..., Any], shape: Callable[..., Shape]) -> Callable[..., Any]:
    """`function` with `out`, and NaN where it finds no result."""

    def kernel(*arrays: Any, out: Any = None, **attrs: Any) -> Any:
        try:
            value = function(*arrays, *attrs.values())
        except np.linalg.LinAlgError:
            # `shape` raises the error again if it is that of a shape.
            value = np.full(shape(*map(np.shape, arrays), **attrs), np.nan)
        if out is None:
            return value
        np.copyto(out, value)
        return out

    return kernel


def _gated_by_matrix(vjp: Callable[..., Any]) -> Callable[..., Any]:
    """The same, and 0 for those matrices of a stack whose cotangents are 0, even if they hold NaN."""

    def gated(i: int, ct: Any, out: Any, *inputs: Any, **attrs: Any) -> Any:
        found, stack = vjp(i, ct, out, *inputs, **attrs), shape_of(inputs[0])[:-2]
        if shape_of(found)[:-2] != stack or shape_of(ct)[: len(stack)] != stack:
            return found
        axes = tuple(range(len(stack), len(shape_of(ct))))
        counts = any_(not_equal(ct, 0.0), axis=axes, keepdims=False) if axes else not_equal(ct, 0.0)
        return where(reshape(counts, shape=(*stack, 1, 1)), found, 0.0)

    return gated


def by_matrix(
    jvp: Callable[..., Any], vjp: Callable[..., Any], arguments: tuple[int, ...] | None = None
) -> Products:
    """The derivative of an op that works matrix by matrix."""
    return Products(jvp, vjp, _gated_by_matrix(vjp), arguments)


def _matrix(shape: Shape, **attrs: Any) -> Shape:
    if len(shape) < 2 or shape[-1] != shape[-2]:
        raise np.linalg.LinAlgError(f"square matrices wanted, or a stack of them; the shape is {shape}")
    return shape


def _number(shape: Shape) -> Shape:
    return _matrix(shape)[:-2]


def _vector(shape: Shape, uplo: str) -> Shape:
    return _matrix(shape)[:-1]


def transposed(x: Any) -> Any:
    """The matrices transposed."""
    return swapaxes(x, -1, -2)


def over_matrix(x: Any) -> Any:
    """One number per matrix, with the matrices' axes."""
    return reshape(x, shape=(*shape_of(x), 1, 1))


def over_columns(x: Any) -> Any:
    """One number per column of each matrix."""
    return reshape(x, shape=(*shape_of(x)[:-1], 1, shape_of(x)[-1]))


def _inner(x: Any, y: Any) -> Any:
    """The sum of products of elements, matrix by matrix."""
    ndim = len(shape_of(x))
    return sum_(x * y, axis=(ndim - 2, ndim - 1), keepdims=False)


# Equations and inverses -------------------------------------------------------------------------------------


def _solve_shape(a: Shape, b: Shape) -> Shape:
    if len(b) < 2 or b[-2] != _matrix(a)[-1]:
        raise ValueError(f"np.linalg.solve of shapes {a} and {b}: the rows do not fit")
    return (*np.broadcast_shapes(a[:-2], b[:-2]), *b[-2:])


def _solve_jvp(i: int, t: Any, out: Any, a: Any, b: Any) -> Any:
    return solve_(a, t) if i == 1 else -solve_(a, matmul(t, out))


def _solve_vjp(i: int, ct: Any, out: Any, a: Any, b: Any) -> Any:
    back = solve_(transposed(a), ct)
    if i == 1:
        return unbroadcast(back, shape_of(b))
    return unbroadcast(-matmul(back, transposed(out)), shape_of(a))


def _solve_links(i: int, shapes: list[Shape], values: Any) -> Any:
    """A column of the solution depends on that column alone; stacks are not followed."""
    a, b = shapes
    if i == 0 or len(a) > 2 or len(b) > 2:
        return None
    rows, columns = b
    return sparse.kron(np.ones((rows, rows), dtype=bool), sparse.eye_array(columns, dtype=bool), format="csr")


solve_: Op = register(
    Op(
        "solve",
        nan_where_singular(np.linalg.solve, _solve_shape),
        _solve_shape,
        by_matrix(_solve_jvp, _solve_vjp),
        takes=(FLOAT, FLOAT),
        links=_solve_links,
        samples=(
            ((_GENERAL, np.array([[0.5, 1.0], [-1.0, 0.2], [2.0, 0.7]])), {}),
            ((_STACK, np.array([[0.5], [-1.0], [2.0]])), {}),
            ((_GENERAL, _STACK[:2]), {}),
            ((np.array([[1.5]]), np.array([[0.5, 2.0]])), {}),
        ),
    )
)


@implements(np.linalg.solve)
def solve(a: Any, b: Any) -> Any:
    """NumPy's `solve`: `b` is a vector if it has one axis, and else a stack of matrices."""
    shape = shape_of(b)
    if len(shape) != 1:
        return solve_(a, b)
    found = solve_(a, reshape(b, shape=(*shape, 1)))
    return reshape(found, shape=shape_of(found)[:-1])


inv: Op = register(
    Op(
        "inv",
        nan_where_singular(np.linalg.inv, _matrix),
        _matrix,
        by_matrix(
            jvp=lambda i, t, out, a: -matmul(matmul(out, t), out),
            vjp=lambda i, ct, out, a: -matmul(matmul(transposed(out), ct), transposed(out)),
        ),
        numpy=(np.linalg.inv,),
        samples=_SQUARE,
    )
)

# Determinants -----------------------------------------------------------------------------------------------
# Their derivatives go by the inverse, so that of a singular matrix's is NaN, though there is one.

det: Op = register(
    Op(
        "det",
        nan_where_singular(np.linalg.det, _number),
        _number,
        by_matrix(
            jvp=lambda i, t, out, a: out * _inner(t, transposed(inv(a))),
            vjp=lambda i, ct, out, a: over_matrix(ct * out) * transposed(inv(a)),
        ),
        numpy=(np.linalg.det,),
        samples=_SQUARE,
    )
)
logabsdet: Op = register(
    Op(
        "logabsdet",
        nan_where_singular(lambda a: np.linalg.slogdet(a)[1], _number),
        _number,
        by_matrix(
            jvp=lambda i, t, out, a: _inner(t, transposed(inv(a))),
            vjp=lambda i, ct, out, a: over_matrix(ct) * transposed(inv(a)),
        ),
        samples=_SQUARE,
    )
)
signdet: Op = register(
    Op(
        "signdet",
        nan_where_singular(lambda a: np.linalg.slogdet(a)[0], _number),
        _number,
        None,
        samples=_SQUARE,
    )
)
_SlogdetResult: Any = type(np.linalg.slogdet(np.eye(1)))


@implements(np.linalg.slogdet)
def slogdet(a: Any) -> Any:
    """NumPy's `slogdet`: the sign, which has no derivative, and the logarithm of the absolute value."""
    return _SlogdetResult(signdet(a), logabsdet(a))


# Symmetric matrices, given by one triangle ------------------------------------------------------------------


def _low(x: Any) -> Any:
    """The lower triangle, with half the diagonal; Murray's Phi."""
    n = shape_of(x)[-1]
    return x * (np.tril(np.ones((n, n)), -1) + 0.5 * np.eye(n))


def _symmetric(t: Any, uplo: str) -> Any:
    """The tangent of the whole matrix, from that of the triangle."""
    low = _low(t if uplo == "L" else transposed(t))
    return low + transposed(low)


def _to_triangle(ct: Any, uplo: str) -> Any:
    """The cotangent of the triangle, from that of the whole matrix: the transpose of `_symmetric`."""
    low = _low(ct + transposed(ct))
    return low if uplo == "L" else transposed(low)


def _cholesky_jvp(i: int, t: Any, out: Any, a: Any) -> Any:
    back = inv(out)
    return matmul(out, _low(matmul(matmul(back, _symmetric(t, "L")), transposed(back))))


def _cholesky_vjp(i: int, ct: Any, out: Any, a: Any) -> Any:
    back = inv(out)
    return _to_triangle(matmul(matmul(transposed(back), _low(matmul(transposed(out), ct))), back), "L")


cholesky_ = register(
    Op(
        "cholesky",
        nan_where_singular(np.linalg.cholesky, _matrix),
        _matrix,
        by_matrix(_cholesky_jvp, _cholesky_vjp),
        samples=_SYMMETRIC,
    )
)


@implements(np.linalg.cholesky)
def cholesky(a: Any, /, *, upper: bool = False) -> Any:
    """NumPy's `cholesky`."""
    return transposed(cholesky_(transposed(a))) if upper else cholesky_(a)


def _eigenvalues_jvp(i: int, t: Any, out: Any, a: Any, uplo: str) -> Any:
    vectors = eigenvectors(a, uplo=uplo)
    ndim = len(shape_of(a))
    return sum_(vectors * matmul(_symmetric(t, uplo), vectors), axis=(ndim - 2,), keepdims=False)


def _eigenvalues_vjp(i: int, ct: Any, out: Any, a: Any, uplo: str) -> Any:
    vectors = eigenvectors(a, uplo=uplo)
    return _to_triangle(matmul(vectors * over_columns(ct), transposed(vectors)), uplo)


_TRIANGLE: dict[str, Kind] = {"uplo": one_of("L", "U")}
_EIGEN: _Samples = tuple((args, {"uplo": uplo}) for args, _ in _SYMMETRIC for uplo in "LU")
eigenvalues = register(
    Op(
        "eigenvalues",
        nan_where_singular(np.linalg.eigvalsh, _vector),
        _vector,
        by_matrix(_eigenvalues_jvp, _eigenvalues_vjp),
        attrs=_TRIANGLE,
        samples=_EIGEN,
    )
)
ROUNDING = 10.0 * np.finfo(np.float64).eps  # times the size of a matrix and its largest eigenvalue


def _turned(x: Any, a: Any, uplo: str) -> Any:
    """Elements over the differences of eigenvalues, and 0 on the diagonal: how eigenvectors turn.

    Between eigenvalues that are equal to rounding it is NaN: what stands there is noise over noise.
    """
    values, n = eigenvalues(a, uplo=uplo), shape_of(a)[-1]
    gap = over_columns(values) - reshape(values, shape=(*shape_of(values), 1))
    largest = max(absolute(values), -1, keepdims=True)
    near = less_equal(absolute(gap), reshape(ROUNDING * n * largest, shape=(*shape_of(values)[:-1], 1, 1)))
    return x * where(np.eye(n, dtype=bool), 0.0, reciprocal(where(near, np.nan, gap)))


def _eigenvectors_jvp(i: int, t: Any, out: Any, a: Any, uplo: str) -> Any:
    inside = matmul(matmul(transposed(out), _symmetric(t, uplo)), out)
    return matmul(out, _turned(inside, a, uplo))


def _eigenvectors_vjp(i: int, ct: Any, out: Any, a: Any, uplo: str) -> Any:
    inside = _turned(matmul(transposed(out), ct), a, uplo)
    return _to_triangle(matmul(matmul(out, inside), transposed(out)), uplo)


eigenvectors: Op = register(
    Op(
        "eigenvectors",
        nan_where_singular(lambda a, uplo: np.linalg.eigh(a, uplo)[1], _matrix),
        _matrix,
        by_matrix(_eigenvectors_jvp, _eigenvectors_vjp),
        attrs=_TRIANGLE,
        samples=_EIGEN,
    )
)
_EighResult: Any = type(np.linalg.eigh(np.eye(1)))


def _triangle(uplo: str) -> str:
    if uplo.upper() not in ("L", "U"):
        raise ValueError("UPLO argument must be 'L' or 'U'")
    return uplo.upper()


@implements(np.linalg.eigvalsh)
def eigvalsh(a: Any, UPLO: str = "L") -> Any:
    """NumPy's `eigvalsh`.

    Where eigenvalues are equal to rounding, only functions that treat those alike, such as the sum of all
    their logarithms, have a derivative, and it is right; that of other functions, such as the smallest
    eigenvalue, is one of many. Second derivatives there are NaN: they divide by the differences.
    """
    return eigenvalues(a, uplo=_triangle(UPLO))


@implements(np.linalg.eigh)
def eigh(a: Any, UPLO: str = "L") -> Any:
    """NumPy's `eigh`; eigenvectors have no derivative where eigenvalues are equal to rounding: it is NaN."""
    uplo = _triangle(UPLO)
    return _EighResult(eigenvalues(a, uplo=uplo), eigenvectors(a, uplo=uplo))
