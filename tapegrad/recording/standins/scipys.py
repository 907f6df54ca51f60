"""SciPy, without its statistics: special functions written in Python, linear algebra."""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature
from typing import Any

import numpy as np
from scipy import special as raw

from tapegrad import special
from tapegrad.ops import banded
from tapegrad.recording.buffers import as_buffer, trace_in, unbuffered
from tapegrad.recording.standins.mechanism import StandIn
from tapegrad.recording.standins.numpys import traced_array
from tapegrad.recording.tracer import is_traced


def answer_by(function: Callable[..., Any], *ignored: str) -> Callable[..., Any]:
    """An answer by a function with the same arguments, but for those that say how SciPy goes about it."""

    def answer(original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if ignored:
            given = signature(original).bind(*args, **kwargs)
            kwargs = {key: value for key, value in given.arguments.items() if key not in ignored}
            args = kwargs.pop("arrs", ())
        return function(*map(_array, args), **{key: _array(value) for key, value in kwargs.items()})

    return answer


def _array(arg: Any) -> Any:
    return arg if isinstance(arg, tuple) else traced_array(arg)


# scipy.special ----------------------------------------------------------------------------------------------


def _zeta(x: Any, q: Any = None, out: Any = None) -> Any:
    return raw._ufuncs._zeta(x, 1.0 if q is None else q)


def _comb(N: Any, k: Any, *, exact: bool = False, repetition: bool = False) -> Any:
    if repetition:
        return _comb(N + k - 1, k)
    return np.where((np.asarray(k) >= 0) & (k <= N) & (N >= 0), raw.binom(N, k), 0.0)


def _perm(N: Any, k: Any, exact: bool = False) -> Any:
    return np.where((k >= 0) & (k <= N) & (N >= 0), raw.poch(N - k + 1, k), 0.0)


def _factorial(n: Any, exact: bool = False, extend: str = "zero") -> Any:
    return np.where(n < 0, 0.0, raw.gamma(n + 1.0))


_SPECIAL: dict[str, Callable[..., Any]] = {
    **{
        name: getattr(special, name)
        for name in ("log_softmax", "logsumexp", "multigammaln", "polygamma", "softmax")
    },
    "comb": _comb,
    "factorial": _factorial,
    "perm": _perm,
    "zeta": _zeta,
}

# scipy.linalg -----------------------------------------------------------------------------------------------

HOW = ("overwrite_a", "overwrite_b", "overwrite_ab", "check_finite", "driver", "lapack_driver")


def _transposed(a: Any) -> Any:
    return np.swapaxes(a, -1, -2)


def _cholesky(a: Any, lower: bool = False) -> Any:
    """SciPy reads the triangle that it gives, NumPy the lower one."""
    return np.linalg.cholesky(a) if lower else _transposed(np.linalg.cholesky(_transposed(a)))


def _cho_factor(a: Any, lower: bool = False) -> Any:
    return _cholesky(a, lower), lower


def _cho_solve(c_and_lower: Any, b: Any) -> Any:
    factor, lower = c_and_lower
    factor = traced_array(factor)
    first = 2 if lower else 1
    return _solve_triangular(factor, _solve_triangular(factor, b, 2 - first, lower), first - 1, lower)


def _solve_triangular(
    a: Any, b: Any, trans: Any = 0, lower: bool = False, unit_diagonal: bool = False
) -> Any:
    if unit_diagonal:
        a = np.where(np.eye(a.shape[-1], dtype=bool), 1.0, a)
    columns = b[:, None] if np.ndim(b) == 1 else b
    flipped = trans in (1, 2, "T", "C")
    found = banded.solve_triangular(a, columns, lower=bool(lower), flipped=flipped)
    return found[..., 0] if np.ndim(b) == 1 else found


def _meant(a: Any, assume_a: Any, lower: bool) -> Any:
    """The matrix that SciPy takes `a` for, of which it may read one triangle only."""
    if assume_a in ("lower triangular", "upper triangular"):
        return np.tril(a) if assume_a[0] == "l" else np.triu(a)
    if assume_a in ("sym", "her", "pos", "symmetric", "hermitian", "positive definite"):
        half = np.tril(a) if lower else np.triu(a)
        return half + _transposed(half) - np.where(np.eye(half.shape[-1], dtype=bool), half, 0.0)
    return a


def _solve(a: Any, b: Any, lower: bool = False, assume_a: Any = None, transposed: bool = False) -> Any:
    a = _meant(a, assume_a, lower)
    return np.linalg.solve(_transposed(a) if transposed else a, b)


def _inv(a: Any, assume_a: Any = None, lower: bool = False) -> Any:
    return np.linalg.inv(_meant(a, assume_a, lower))


def _pinv(a: Any, *, atol: Any = None, rtol: Any = None, return_rank: bool = False) -> Any:
    """With SciPy's cut-off, which is not NumPy's."""
    rows, columns = a.shape[-2:]
    values = np.linalg.svd(a, compute_uv=False)
    most = values[..., 0]
    if rtol is None:
        rtol = max(rows, columns) * np.finfo(float).eps if atol is None else 0.0
    cut = (0.0 if atol is None else atol) + rtol * most
    found = np.linalg.pinv(a, rcond=cut / most)
    return (found, int((values > cut).sum())) if return_rank else found


def _norm(a: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    return np.linalg.norm(a, ord, axis, keepdims)


def _block_diag(*blocks: Any) -> Any:
    matrices = [np.atleast_2d(block) for block in blocks]
    rows = [
        [block if i == j else np.zeros((block.shape[0], other.shape[1])) for j, other in enumerate(matrices)]
        for i, block in enumerate(matrices)
    ]
    return np.block(rows)


def toeplitz(c: Any, r: Any = None) -> Any:
    c = np.ravel(c)
    r = c if r is None else np.ravel(r)
    down, along = np.arange(c.shape[0])[:, None], np.arange(r.shape[0])
    values = np.concatenate([c[::-1], r[1:]])
    return values[along - down + c.shape[0] - 1]


def _eigh(a: Any, b: Any = None, *, lower: bool = True, eigvals_only: bool = False, **others: Any) -> Any:
    if b is not None or any(value not in (None, 1) for value in others.values()):
        return NotImplemented
    uplo: Any = "L" if lower else "U"
    return np.linalg.eigvalsh(a, uplo) if eigvals_only else tuple(np.linalg.eigh(a, uplo))


def _solveh_banded(ab: Any, b: Any, lower: bool = False) -> Any:
    """By all bands: those above the diagonal are those below it, moved."""
    count, n = ab.shape
    below = [
        ab[k] if lower else np.concatenate([ab[count - 1 - k, k:], np.zeros(min(k, n))]) for k in range(count)
    ]
    above = [np.concatenate([np.zeros(min(k, n)), band[: max(n - k, 0)]]) for k, band in enumerate(below)]
    return _solve_banded((count - 1, count - 1), np.stack([*above[:0:-1], *below]), b)


def _solve_banded(l_and_u: Any, ab: Any, b: Any) -> Any:
    columns = b[:, None] if np.ndim(b) == 1 else b
    found = banded.solve_banded(ab, columns, above=int(l_and_u[1]) + 1)
    return found[:, 0] if np.ndim(b) == 1 else found


def _cho_solve_banded(cb_and_lower: Any, b: Any) -> Any:
    """Two systems, of the factor and of its transpose."""
    bands, lower = cb_and_lower
    bands = traced_array(bands)
    last = np.shape(bands)[0] - 1
    n = np.shape(bands)[1]
    turned = [
        np.concatenate([np.zeros(min(k, n)), bands[k, : max(n - k, 0)]])
        if lower
        else np.concatenate([bands[last - k, k:], np.zeros(min(k, n))])
        for k in range(last + 1)
    ]
    other = np.stack(turned[::-1] if lower else turned)
    below, above = (bands, other) if lower else (other, bands)
    return _solve_banded((0, last), above, _solve_banded((last, 0), below, b))


_LINALG: dict[str, Callable[..., Any]] = {
    **{name: getattr(np.linalg, name) for name in ("det", "eigvalsh")},
    "block_diag": _block_diag,
    "cho_factor": _cho_factor,
    "cho_solve": _cho_solve,
    "cho_solve_banded": _cho_solve_banded,
    "cholesky": _cholesky,
    "eigh": _eigh,
    "inv": _inv,
    "norm": _norm,
    "pinv": _pinv,
    "solve": _solve,
    "solve_banded": _solve_banded,
    "solve_triangular": _solve_triangular,
    "solveh_banded": _solveh_banded,
    "toeplitz": toeplitz,
}

# scipy.spatial ---------------------------------------------------------------------------------------------


def _root(squares: Any) -> Any:
    """Square roots, which are 0 without a slope where points coincide."""
    apart = squares > 0.0
    return np.where(apart, np.sqrt(np.where(apart, squares, 1.0)), 0.0)


_METRICS: dict[str, Callable[..., Any]] = {
    "sqeuclidean": lambda gaps: (gaps**2).sum(axis=-1),
    "euclidean": lambda gaps: _root((gaps**2).sum(axis=-1)),
    "cityblock": lambda gaps: np.abs(gaps).sum(axis=-1),
    "chebyshev": lambda gaps: np.abs(gaps).max(axis=-1),
}


def _cdist(XA: Any, XB: Any, metric: Any = "euclidean", *, out: Any = None, **kwargs: Any) -> Any:
    known = None if callable(metric) else _METRICS.get(str(metric))
    if known is None or out is not None or any(value is not None for value in kwargs.values()):
        return NotImplemented
    rows, others = (x if is_traced(x) else np.asarray(x) for x in (XA, XB))
    return known(rows[:, None, :] - others[None, :, :])


def _pdist(X: Any, metric: Any = "euclidean", *, out: Any = None, **kwargs: Any) -> Any:
    square = _cdist(X, X, metric, out=out, **kwargs)
    return square if square is NotImplemented else square[np.triu_indices(square.shape[0], 1)]


def _squareform(X: Any, force: str = "no", checks: bool = True) -> Any:
    if X.ndim == 2:
        return X[np.triu_indices(X.shape[0], 1)]
    n = round(0.5 + np.sqrt(0.25 + 2 * X.shape[0]))
    rows, columns = np.triu_indices(n, 1)
    square = np.zeros((n, n), dtype=int)
    square[rows, columns] = square[columns, rows] = np.arange(X.shape[0])
    return np.where(np.eye(n, dtype=bool), 0.0, X[square])


_SPATIAL: dict[str, Callable[..., Any]] = {"cdist": _cdist, "pdist": _pdist, "squareform": _squareform}

# What SciPy's own code uses within --------------------------------------------------------------------------


def _apply_where(
    original: Callable[..., Any],
    cond: Any,
    args: Any,
    f1: Callable[..., Any],
    f2: Callable[..., Any] | None = None,
    *,
    fill_value: Any = None,
    kwargs: Any = None,
    xp: Any = None,
) -> Any:
    """Both functions everywhere: what is not chosen has no influence."""
    given, named = unbuffered(args if isinstance(args, tuple) else (args,)), unbuffered(kwargs or {})
    return np.where(unbuffered(cond), f1(*given, **named), fill_value if f2 is None else f2(*given, **named))


def _update(
    original: Callable[..., Any],
    at: Any,
    at_op: Any,
    in_place_op: Any,
    out_of_place_op: Any,
    y: Any,
    copy: Any = None,
    xp: Any = None,
) -> Any:
    """`at(x)[index].set(y)` and the like: into a copy, unless `x` is a traced array, which is written to."""
    x, index = at._x, unbuffered(at._idx)
    if trace_in((x, index, y)) is None:
        return NotImplemented
    is_traced = trace_in(x) is not None
    if not is_traced:
        x = as_buffer(np.array(x, dtype=float))
    elif copy:
        x = x.copy()
    x[index] = y if in_place_op is None else in_place_op(x[index], y)
    return x


def _select(
    original: Callable[..., Any], condlist: Any, choicelist: Any, arrays: Any, default: Any = 0
) -> Any:
    """All functions everywhere, as above."""
    given = unbuffered(tuple(arrays))
    return np.select(list(unbuffered(condlist)), [choice(*given) for choice in choicelist], default)


TABLE = [
    *[StandIn("scipy.special", name, answer_by(function)) for name, function in _SPECIAL.items()],
    *[StandIn("scipy.linalg", name, answer_by(function, *HOW)) for name, function in _LINALG.items()],
    *[StandIn("scipy.spatial.distance", name, answer_by(function)) for name, function in _SPATIAL.items()],
    *[
        row
        for package in ("scipy._lib", "scipy._external")  # as versions of SciPy have it
        for row in (
            StandIn(f"{package}.array_api_extra", "apply_where", _apply_where),
            StandIn(f"{package}.array_api_extra._lib._at:at", "_op", _update, always=True),
        )
    ],
    StandIn("scipy._lib._util", "_lazyselect", _select),
]
