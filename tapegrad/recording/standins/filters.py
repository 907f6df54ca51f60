"""scipy.signal and scipy.integrate: what these do in compiled code, or on lists of axes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tapegrad.ops.recurrences import recurrence_
from tapegrad.recording.standins.mechanism import StandIn
from tapegrad.recording.standins.scipys import answer_by


def lfilter(b: Any, a: Any, x: Any, axis: int = -1, zi: Any = None) -> Any:
    """A moving average of the past, and then a linear recurrence, along one axis."""
    b, a, x = (np.atleast_1d(v) for v in (b, a, x))
    b, a = b / a[0], a / a[0]
    rows = np.moveaxis(x, axis, 0)
    n, others = rows.shape[0], rows.shape[1:]
    count = max(b.shape[0], a.shape[0])
    total: Any = 0.0
    for k in range(b.shape[0]):
        past = np.zeros((min(k, n), *others))
        total = total + b[k] * (np.concatenate([past, rows[: max(n - k, 0)]]) if k else rows)
    if zi is not None:
        held = np.moveaxis(
            np.broadcast_to(zi, (*others[: axis % x.ndim], count - 1, *others[axis % x.ndim :])), axis, 0
        )
        late = held[:n]
        rest = np.zeros((n - late.shape[0], *others))
        total = total + np.concatenate([late, rest])
    result = _recursive(a, total) if a.shape[0] > 1 and n else total
    if zi is None:
        return np.moveaxis(result, 0, axis)
    return np.moveaxis(result, 0, axis), np.moveaxis(_state(b, a, rows, result, held), 0, axis)


def _recursive(a: Any, total: Any) -> Any:
    """``y[t] = total[t] - a[1] y[t - 1] - ...``, column by column."""
    n, order = total.shape[0], a.shape[0] - 1
    if total.ndim > 1:
        columns = total.reshape(n, -1)
        done = [_recursive(a, columns[:, i]) for i in range(columns.shape[1])]
        return np.stack(done, axis=1).reshape(total.shape)
    if order == 1:
        return recurrence_(-a[1], total, 0.0, reverse=False)
    # The last values as a vector: the first row of the matrix has the coefficients, the others pass on.
    matrix = np.concatenate([-a[None, 1:], np.eye(order)[:-1]])
    steps = np.concatenate([total[:, None], np.zeros((n, order - 1))], axis=1)
    return recurrence_(matrix, steps, np.zeros(order), reverse=False)[:, 0]


def _state(b: Any, a: Any, x: Any, y: Any, held: Any) -> Any:
    """What the filter holds at the end: ``z[i]`` is the share of the past in the output i + 1 steps on."""
    n, count = x.shape[0], max(b.shape[0], a.shape[0])
    states = []
    for i in range(count - 1):
        total: Any = held[i + n] if i + n < count - 1 else 0.0
        for k in range(i + 1, count):
            t = n - (k - i)
            if t >= 0:
                total = (
                    total
                    + (b[k] * x[t] if k < b.shape[0] else 0.0)
                    - (a[k] * y[t] if k < a.shape[0] else 0.0)
                )
        states.append(total + 0.0 * x[0])
    return np.stack(states)


def _fftconvolve(in1: Any, in2: Any, mode: str = "full", axes: Any = None) -> Any:
    """The sum itself: what transforms round differently."""
    if axes is not None or np.ndim(in1) != 1 or np.ndim(in2) != 1:
        return NotImplemented
    if mode != "full" and np.shape(in1)[0] < np.shape(in2)[0]:
        return NotImplemented
    whole = np.convolve(in1, in2)
    n, m = np.shape(in1)[0], np.shape(in2)[0]
    if mode == "full":
        return whole
    length = n if mode == "same" else n - m + 1
    start = (n + m - 1 - length) // 2
    return whole[start : start + length]


def _detrend(
    data: Any, axis: int = -1, type: str = "linear", bp: Any = 0, overwrite_data: bool = False
) -> Any:
    rows = np.moveaxis(np.atleast_1d(data), axis, 0)
    if type in ("c", "constant"):
        return np.moveaxis(rows - np.mean(rows, axis=0), 0, axis)
    if np.ndim(bp) or bp:
        return NotImplemented
    n = rows.shape[0]
    basis, _ = np.linalg.qr(np.stack([np.ones(n), np.arange(n) / n], axis=1))
    flat = rows.reshape(n, -1)
    return np.moveaxis((flat - basis @ (basis.T @ flat)).reshape(rows.shape), 0, axis)


_SIGNAL: dict[str, Callable[..., Any]] = {
    "detrend": _detrend,
    "fftconvolve": _fftconvolve,
    "lfilter": lfilter,
}
TABLE = [StandIn("scipy.signal", name, answer_by(function)) for name, function in _SIGNAL.items()]
