"""Functions that keep what they have computed, as packages do: right, or refused with the line."""

from __future__ import annotations

import functools
import gc
import pickle
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from scipy.optimize._optimize import MemoizeJac

import tapegrad as tg

X = np.array([[1.0, 2.0], [3.0, -1.0], [0.5, 0.2]])
Y = np.array([1.0, 2.0, 3.0])
W = np.array([0.3, 0.4])


@pytest.fixture(scope="module", autouse=True)
def few_objects() -> Iterator[None]:
    """Who holds an array is looked for among all objects: here, those that are made below."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


def work(w: Any) -> Any:
    return ((Y - X @ w) ** 2).sum()


def gradient(w: Any) -> Any:
    return -2.0 * X.T @ (Y - X @ w) + 2.0 * w


class Last:
    """Computes anew where the argument is not the last one, which `kept` keeps and `is_new` compares."""

    def __init__(self, kept: Any, is_new: Any) -> None:
        self.kept, self.is_new = kept, is_new
        self.w: Any = None

    def __call__(self, w: Any) -> Any:
        if self.w is None or self.is_new(w, self.w):
            self.found = work(w)
            self.w = self.kept(w)
        return self.found + (w**2).sum()


class Updated:
    """As models do that hold their parameters in an array which is written over."""

    def __init__(self) -> None:
        self.w = np.full(2, np.nan)

    def __call__(self, w: Any) -> Any:
        if (w != self.w).any():
            self.w[:] = w
            self.found = work(w)
        return self.found + (w**2).sum()


class Properties:
    """Parts computed when they are first asked for, and thrown away where the parameters are set."""

    def __init__(self) -> None:
        self.parts: dict[str, Any] = {}
        self.w: Any = None

    def residuals(self) -> Any:
        if "residuals" not in self.parts:
            self.parts["residuals"] = Y - X @ self.w
        return self.parts["residuals"]

    def __call__(self, w: Any) -> Any:
        if self.w is None or not np.array_equal(w, self.w):
            self.parts.clear()
            self.w = w
        return (self.residuals() ** 2).sum() + (w**2).sum()


def keyed(key: Any) -> Any:
    """A memo in a table."""
    table: dict[Any, Any] = {}

    def f(w: Any) -> Any:
        name = key(w)
        if name not in table:
            table[name] = work(w)
        return table[name] + (w**2).sum()

    return f


def cached() -> Any:
    @functools.lru_cache
    def residual(i: int, *w: Any) -> Any:
        return Y[i] - X[i, 0] * w[0] - X[i, 1] * w[1]

    return lambda w: sum(residual(i, *w) ** 2 for i in range(3)) + (w**2).sum()


def by_scipy() -> Any:
    found = MemoizeJac(lambda w: (work(w) + (w**2).sum(), gradient(w)))
    return lambda w: found(w)


MADE = {
    "the array, any unequal": lambda: Last(lambda w: w, lambda w, last: (w != last).any()),
    "a copy, any unequal": lambda: Last(lambda w: w.copy(), lambda w, last: (w != last).any()),
    "np.array, array_equal": lambda: Last(np.array, lambda w, last: not np.array_equal(w, last)),
    "np.copy, allclose": lambda: Last(
        np.copy, lambda w, last: not np.allclose(w, last, rtol=0.0, atol=1e-12)
    ),
    "a list, equal": lambda: Last(lambda w: w.tolist(), lambda w, last: w.tolist() != last),
    "floats, equal": lambda: Last(
        lambda w: [float(x) for x in w],
        lambda w, last: any(float(a) != b for a, b in zip(w, last, strict=True)),
    ),
    "the norm": lambda: Last(np.linalg.norm, lambda w, last: np.linalg.norm(w) != last),
    "written over": Updated,
    "parts": Properties,
    "bytes": lambda: keyed(lambda w: w.tobytes()),
    "bytes of asarray": lambda: keyed(lambda w: np.asarray(w, dtype=float).tobytes()),
    "tuple": lambda: keyed(tuple),
    "rounded floats": lambda: keyed(lambda w: tuple(round(float(x), 10) for x in w)),
    "text": lambda: keyed(str),
    "id": lambda: keyed(id),
    "lru_cache": cached,
    "scipy's": by_scipy,
}


@pytest.mark.parametrize("calls_before", ["none", "there", "elsewhere", "twice"])
@pytest.mark.parametrize("name", MADE)
def test_right_or_refused_with_the_line(name: str, calls_before: str) -> None:
    f = MADE[name]()
    for w in {"none": [], "there": [W], "elsewhere": [W + 1.0], "twice": [W + 1.0, W]}[calls_before]:
        f(w.copy())
    try:
        traced = tg.trace(f, W)
    except (tg.TraceError, tg.ReplayError) as error:
        told = str(error)
    else:
        told = ""
    if told:
        assert ".py:" in told
        return
    for w in (W, W + 0.25, W, W - 1.0):
        np.testing.assert_allclose(traced.grad(w), gradient(w), rtol=1e-12)
        np.testing.assert_allclose(traced.hessian(w), 2.0 * X.T @ X + 2.0 * np.eye(2), rtol=1e-12)


@pytest.mark.parametrize("name", [name for name in MADE if name not in ("text", "id")])
def test_what_is_kept_after_the_trace_is_told(name: str) -> None:
    """A later trace of the same function has the same chance, and none is wrong."""
    f = MADE[name]()
    for w in (W, W + 0.5):
        try:
            found = tg.trace(f, w).grad(w)
        except (tg.TraceError, tg.ReplayError):
            continue
        np.testing.assert_allclose(found, gradient(w), rtol=1e-12)


class _Copies:
    """Writes to what pickle made of an array, and keeps it."""

    def __init__(self) -> None:
        self.data = np.array([0.5, -1.0, 2.0])

    def __call__(self, w: Any) -> Any:
        copied = pickle.loads(pickle.dumps(self.data))
        copied[:2] = w * copied[:2]
        self.work = copied
        return (copied**3).sum()


class _Keeps:
    """Looks at its last result before it goes on."""

    last: Any = 0.0

    def __call__(self, w: Any) -> Any:
        assert np.isfinite(self.last).all()
        self.last = w * 2.0
        return (self.last**2).sum()


def test_what_one_trace_has_left_disturbs_no_other() -> None:
    copies = _Copies()
    first = tg.trace(copies, W)
    second = tg.trace(_Keeps(), W)
    assert first(W) == pytest.approx((0.5 * W[0]) ** 3 - W[1] ** 3 + 8.0)
    np.testing.assert_allclose(second.grad(W), 8.0 * W)
    assert type(copies.work) is np.ndarray
