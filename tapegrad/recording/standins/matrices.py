"""scipy.linalg: functions of matrices, factors, matrices of a pattern, and equations in matrices."""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature
from typing import Any

import numpy as np

from tapegrad.ops import matrix_functions
from tapegrad.recording.standins.mechanism import StandIn
from tapegrad.recording.standins.numpys import traced_array
from tapegrad.recording.standins.scipys import HOW, answer_by, toeplitz


def _alone(function: Callable[..., Any]) -> Callable[..., Any]:
    """An answer for a matrix without further options."""

    def answer(original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        known = signature(original)
        matrix, *options = known.bind(*args, **kwargs).arguments.items()
        if any(value is not known.parameters[name].default for name, value in options):
            return NotImplemented
        return function(traced_array(matrix[1]))

    return answer


def _qr(a: Any, lwork: Any = None, mode: str = "full", pivoting: bool = False) -> Any:
    if pivoting or mode not in ("economic", "r"):
        return NotImplemented
    q, r = np.linalg.qr(a)
    return (r,) if mode == "r" else (q, r)


def _svd(a: Any, full_matrices: Any = True, compute_uv: Any = True) -> Any:
    return np.linalg.svd(a, full_matrices=full_matrices, compute_uv=compute_uv)


def _lstsq(a: Any, b: Any, cond: Any = None) -> Any:
    return tuple(np.linalg.lstsq(a, b, rcond=cond))


def _solve_toeplitz(c_or_cr: Any, b: Any) -> Any:
    parts = c_or_cr if isinstance(c_or_cr, tuple) else (c_or_cr,)
    return np.linalg.solve(toeplitz(*map(traced_array, parts)), b)


def _circulant(c: Any) -> Any:
    n = c.shape[-1]
    return c[..., (np.arange(n)[:, None] - np.arange(n)) % n]


def _hankel(c: Any, r: Any = None) -> Any:
    c = np.ravel(c)
    n = c.shape[0]
    values = np.concatenate([c, np.zeros(n - 1) if r is None else np.ravel(r)[1:]])
    return values[np.arange(n)[:, None] + np.arange(values.shape[0] - n + 1)]


def _sylvester(a: Any, b: Any, q: Any) -> Any:
    """``a x + x b = q`` as one system of equations for all elements."""
    n, m = a.shape[0], b.shape[0]
    system = np.kron(a, np.eye(m)) + np.kron(np.eye(n), np.transpose(b))
    return np.linalg.solve(system, np.reshape(q, n * m)).reshape(n, m)


def _lyapunov(a: Any, q: Any) -> Any:
    return _sylvester(a, np.transpose(a), q)


def _eigh_tridiagonal(d: Any, e: Any, eigvals_only: bool = False, select: str = "a", **others: Any) -> Any:
    if select != "a":
        return NotImplemented
    matrix = np.diag(d) + np.diag(e, 1) + np.diag(e, -1)
    return np.linalg.eigvalsh(matrix) if eigvals_only else tuple(np.linalg.eigh(matrix))


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "circulant": _circulant,
    "eigh_tridiagonal": _eigh_tridiagonal,
    "hankel": _hankel,
    "lstsq": _lstsq,
    "qr": _qr,
    "solve_continuous_lyapunov": _lyapunov,
    "solve_sylvester": _sylvester,
    "solve_toeplitz": _solve_toeplitz,
    "svd": _svd,
    "svdvals": lambda a: np.linalg.svdvals(a),
}
TABLE = [
    *[
        StandIn("scipy.linalg", name, _alone(getattr(matrix_functions, name)))
        for name in ("cosm", "expm", "logm", "sinm", "sqrtm")
    ],
    *[StandIn("scipy.linalg", name, answer_by(function, *HOW)) for name, function in _FUNCTIONS.items()],
]
