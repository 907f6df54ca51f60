"""How linear recurrences are computed: by SciPy's filter, or as a triangular system of equations."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy  # which loads scipy.signal when it is first asked for: that takes half as long as all else
from scipy.linalg.blas import dtbsv

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


def _with_one_factor(a: float, b: Any, start: float, out: Any) -> None:
    if a == 1.0:
        out[...] = np.cumsum(np.concatenate([[start], b]))[1:]
    else:
        out[...] = scipy.signal.lfilter([1.0], [1.0, -a], b, zi=[a * start])[0]


def _solved(a: Any, b: Any, start: Any, out: Any) -> None:
    """The equations ``s[t] - a[t] s[t - 1] = b[t]``: a triangular matrix with few diagonals.

    Solving it does what the definition does, sum by sum, without a call for each step.
    """
    count, m = len(b), out[0].size
    varies = np.ndim(a) > 2 * np.ndim(start)
    a = a.reshape(-1, m, m)
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


def _by_filter(a: Any, b: Any, start: Any, out: Any) -> bool:
    """An autoregression whose states are its last values, or the transpose of one, by SciPy's filter.

    False where the matrix or the terms are others.
    """
    m = len(a)
    shift = np.eye(m)[:-1]
    if b[:, 1:].any():
        return False
    if np.array_equal(a[1:], shift):
        phi = a[0]
        delayed = [phi[i:] @ start[: m - i] for i in range(m)]
        first = scipy.signal.lfilter([1.0], [1.0, *-phi], b[:, 0], zi=delayed)[0]
        values = np.concatenate([start[::-1], first])
        for k in range(m):
            out[:, k] = values[m - k : m - k + len(b)]
        return True
    if np.array_equal(a.T[1:], shift):
        phi = a[:, 0]
        delayed = [phi[i] * start[0] + sum(start[i + 1 : i + 2]) for i in range(m)]
        out[:, 0] = scipy.signal.lfilter([1.0], [1.0, *-phi], b[:, 0], zi=delayed)[0]
        before = np.concatenate([start[:1], out[:-1, 0]])
        for k in range(m - 1, 0, -1):
            np.multiply(before, phi[k], out=out[:, k])
            if k < m - 1:
                out[0, k] += start[k + 1]
                out[1:, k] += out[:-1, k + 1]
        return True
    return False


def recurred(a: Any, b: Any, start: Any, out: Any) -> None:
    """Write the states of a linear recurrence, the way that is quickest for it.

    Parameters
    ----------
    a : float or ndarray, shape (n,), (m, m) or (n, m, m)
    b : ndarray, shape (n,) or (n, m)
    start : float or ndarray, shape (m,)
    out : ndarray, shape of `b`
    """
    if np.ndim(a) == 0:
        _with_one_factor(float(a), b, float(start), out)
        return
    if out[0].size > _MOST_SOLVED:
        _stepwise(a, b, start, out)
        return
    if not (np.ndim(a) == 2 and _by_filter(a, b, start, out)):
        _solved(a, b, start, out)
    # Zeros of the matrix, which the definition multiplies by, may be left out here; times infinity it is NaN.
    if not (np.isfinite(out).all() and np.isfinite(a).all()):
        _stepwise(a, b, start, out)
