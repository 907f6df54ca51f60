"""Sums of squares over designs whose columns depend on each other, against exact arithmetic."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

import tapegrad as tg

BACKENDS = ("numpy", "replay")


def exactly(y: Any, weights: Any, columns: Sequence[Any], b: Sequence[float]) -> tuple[Any, Any, Any]:
    """The weighted sum of squares of ``y - sum(b * columns)``, its slopes, and the sizes of their parts."""
    table, counts = np.unique(np.stack([y, weights, *columns]), axis=1, return_counts=True)
    total, slopes, sizes = Fraction(0), [Fraction(0) for _ in b], [Fraction(0) for _ in b]
    coefficients = [Fraction(x) for x in b]
    for (response, weight, *row), count in zip(table.T.tolist(), counts.tolist(), strict=True):
        cells = [Fraction(x) for x in row]
        rest = Fraction(response) - sum(c * x for c, x in zip(coefficients, cells, strict=True))
        times = Fraction(weight) * count
        total += times * rest**2
        for j, x in enumerate(cells):
            slopes[j] -= 2 * times * rest * x
            sizes[j] += 2 * times * abs(rest * x)
    return float(total), np.array(slopes, dtype=float), np.array(sizes, dtype=float)


def check(f: Any, theta: Any, exact: tuple[Any, Any, Any], rtol: float = 1e-13) -> None:
    """Both backends against exact arithmetic, next to the parts of each sum; and against the rows."""
    total, slopes, sizes = exact
    for backend in BACKENDS:
        traced = tg.trace(f, theta, backend=backend)
        assert max((len(a.shape) and max(a.shape) for a in traced.grad_tape.avals), default=0) < 200
        value, gradient = traced.value_and_grad_flat(traced.ravel(theta))
        assert value == traced(theta) == pytest.approx(total, rel=rtol)
        assert (np.abs(gradient - slopes) <= rtol * sizes).all()
    by_rows = tg.trace(f, theta, sufficient_statistics=False)
    assert value == pytest.approx(by_rows(theta), rel=1e-12)


def levels(g: Any, k: int) -> list[Any]:
    return [(g == i) * 1.0 for i in range(k)]


def test_an_intercept_and_all_levels_of_a_factor() -> None:
    i = np.arange(20_000)
    g, y = i % 7 % 3, (i * 7919 % 101 < 40) * 1.0

    def rss(mu: Any, a: Any) -> Any:
        return ((y - (mu + a[g])) ** 2).sum()

    for backend in BACKENDS:
        traced = tg.trace(rss, dict(mu=0.5, a=np.zeros(3)), backend=backend)
        assert traced([0.5, 0.0, 0.0, 0.0]) == pytest.approx(5000.0, rel=1e-15)
        _, gradient = traced.value_and_grad_flat(np.array([0.5, 0.0, 0.0, 0.0]))
        halves = 1.0 - 2.0 * y
        exact = [halves.sum(), *(halves[g == k].sum() for k in range(3))]
        np.testing.assert_allclose(gradient, exact, rtol=0, atol=1e-9)  # of some 20,000 halves


@pytest.mark.parametrize("n", [3_000, 20_000])
@pytest.mark.parametrize("seed", range(30))
def test_random_zeros_and_ones_on_a_factor(n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    k = int(rng.integers(2, 9))
    g, y = rng.integers(0, k, n), (rng.random(n) < rng.uniform(0.05, 0.95)) * 1.0
    theta = dict(mu=0.5, a=rng.normal(size=k) * (seed % 2))
    design = [np.ones(n), *levels(g, k)]
    exact = exactly(y, np.ones(n), design, [0.5, *theta["a"]])
    check(lambda mu, a: ((y - (mu + a[g])) ** 2).sum(), theta, exact)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_several_factors(weighted: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = 5_000
    g, h = rng.integers(0, 4, n), rng.integers(0, 6, n)
    y, w = rng.integers(0, 3, n) * 1.0, rng.integers(0, 4, n) / 4.0 if weighted else np.ones(n)

    def rss(mu: Any, a: Any, b: Any) -> Any:
        squares = (y - (mu + a[g] + b[h])) ** 2
        return (w * squares).sum() if weighted else squares.sum()

    theta = dict(mu=0.7, a=rng.normal(size=4), b=rng.normal(size=6))
    design = [np.ones(n), *levels(g, 4), *levels(h, 6)]
    check(rss, theta, exactly(y, w, design, [0.7, *theta["a"], *theta["b"]]))


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("shift", [0.0, 1000.0])
@pytest.mark.parametrize("noise", [0.0, 1e-16, 1e-14, 1e-12, 1e-10, 1e-8, 1e-6, 1e-4, 1e-2, 1.0])
def test_nearly_collinear_columns(noise: float, shift: float, weighted: bool) -> None:
    rng = np.random.default_rng(5)
    n = 1_000
    x1 = rng.normal(size=n) + shift
    x2 = x1 + noise * rng.normal(size=n)
    for y in (rng.normal(size=n), x1 + 1e-3 * rng.normal(size=n)):
        w = rng.random(n) if weighted else np.ones(n)
        X = np.column_stack([np.ones(n), x1, x2])

        def by_matrix(b: Any, y: Any = y, w: Any = w, X: Any = X) -> Any:
            squares = (y - X @ b) ** 2
            return (w * squares).sum() if weighted else squares.sum()

        def by_columns(a: Any, b: Any, c: Any, y: Any = y, w: Any = w) -> Any:
            squares = (y - (a + b * x1 + c * x2)) ** 2
            return (w * squares).sum() if weighted else squares.sum()

        for b in ([0.0, 0.0, 0.0], [0.3, -0.2, 0.4], [0.0, 0.6, 0.4]):
            exact = exactly(y, w, list(X.T), b)
            # Where the parts of a residual are large against it, the rows lose digits, too.
            parts = 1.0 + max(abs(b[1] * x1).max(), abs(b[2] * x2).max()) / np.sqrt(exact[0] / w.sum())
            check(by_matrix, dict(b=np.array(b)), exact, rtol=1e-14 * (100.0 + parts))
            check(by_columns, dict(zip("abc", b, strict=True)), exact, rtol=1e-14 * (100.0 + parts))


def test_a_large_mean_that_the_response_does_not_have() -> None:
    # Here it is the intercept that is large: the fit would take away 1e8 and give it back.
    rng = np.random.default_rng(6)
    x = 1e8 + np.round(rng.normal(size=500), 3)
    y = (x - 1e8) * 0.5 + 1e-6 * rng.normal(size=500)

    def rss(a: Any, b: Any) -> Any:
        return ((y - a - b * x) ** 2).sum()

    check(rss, dict(a=0.0, b=0.0), exactly(y, np.ones(500), [np.ones(500), x], [0.0, 0.0]))
