"""Distributions of vectors and matrices, against SciPy and against closed forms in mpmath."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mpmath as mp
import numpy as np
import pytest
import scipy.stats

from benchmarks.distributions.jets import lgamma, log, log1p, terms_of
from tapegrad import stats, trace

A = np.array([[2.0, 0.5], [0.5, 1.0]])
POINTS = np.array([[1.0, 0.0], [2.0, 3.0], [-1.0, 0.4]])
COUNTS = np.array([[1, 2, 1], [0, 4, 0], [1, 1, 1], [-1, 4, 1]])
P, ALPHA = np.array([0.3, 0.5, 0.2]), np.array([2.0, 3.0, 1.5])
SHARES = np.array([[0.2, 0.5, 0.3], [0.1, 0.1, 0.8]]).T
MATRICES = np.stack([A, np.eye(2), A @ A], axis=-1)


@pytest.mark.parametrize(
    ("name", "method", "arguments"),
    [
        ("multivariate_normal", "logpdf", (POINTS, [0.0, 1.0], A)),
        ("multivariate_normal", "pdf", (POINTS[0], [0.0, 1.0], A)),
        ("multivariate_normal", "logpdf", (POINTS, [0.0, 1.0], [2.0, 3.0])),
        ("multivariate_normal", "logpdf", (POINTS, [0.0, 1.0], 0.3)),
        ("multivariate_normal", "logpdf", ([1.3, 2.0, 4.0],)),
        ("multivariate_normal", "logpdf", (1.3, 0.2, 2.0)),
        ("multivariate_t", "logpdf", (POINTS, [0.0, 1.0], A, 3.3)),
        ("multivariate_t", "pdf", (POINTS[0], [0.0, 1.0], A, 1)),
        ("wishart", "logpdf", (A, 5, A)),
        ("wishart", "logpdf", (MATRICES, 5.5, A)),
        ("wishart", "pdf", (2.0, 3.5, 0.7)),
        ("multinomial", "logpmf", (COUNTS, 4, P)),
        ("multinomial", "pmf", (COUNTS[0], 4, P)),
        ("multinomial", "logpmf", (COUNTS[0], 4, [0.3, -0.1, 0.8])),
        ("dirichlet", "logpdf", (SHARES, ALPHA)),
        ("dirichlet", "logpdf", (SHARES[:-1, 0], ALPHA)),
        ("dirichlet", "pdf", (SHARES[:, 0], ALPHA)),
        ("dirichlet_multinomial", "logpmf", (COUNTS[:3], ALPHA, 4)),
        ("dirichlet_multinomial", "pmf", (COUNTS[0], ALPHA, 4)),
    ],
)
def test_values_are_scipys(name: str, method: str, arguments: tuple[Any, ...]) -> None:
    ours = getattr(getattr(stats, name), method)(*arguments)
    scipys = getattr(getattr(scipy.stats, name), method)(*arguments)
    assert np.shape(ours) == np.shape(scipys)
    np.testing.assert_allclose(ours, scipys, rtol=1e-13, atol=1e-14)


def quadratic(x: Any, m1: Any, m2: Any, a: Any, b: Any, c: Any) -> tuple[Any, Any]:
    """The squared distance for the matrix [[a, b], [b, c]], and its determinant."""
    u, v = x[0] - m1, x[1] - m2
    det = a * c - b * b
    return (c * u * u - 2 * b * u * v + a * v * v) / det, det


def normal_terms(m1: Any, m2: Any, a: Any, b: Any, c: Any) -> tuple[Any, ...]:
    square, det = quadratic((mp.mpf(1), mp.mpf(0)), m1, m2, a, b, c)
    return -square / 2, -log(det) / 2, -mp.log(2 * mp.pi)


def t_terms(m1: Any, m2: Any, a: Any, b: Any, c: Any, df: Any) -> tuple[Any, ...]:
    square, det = quadratic((mp.mpf(1), mp.mpf(0)), m1, m2, a, b, c)
    flat = lgamma(df / 2 + 1) - lgamma(df / 2) - log(df * mp.pi)
    return -(df / 2 + 1) * log1p(square / df), -log(det) / 2, flat


def wishart_terms(a: Any, b: Any, c: Any, df: Any) -> tuple[Any, ...]:
    x = mp.matrix(MATRICES[..., 2])
    det = a * c - b * b
    trace_ = (c * x[0, 0] - 2 * b * x[0, 1] + a * x[1, 1]) / det
    multi = lgamma(df / 2) + lgamma(df / 2 - mp.mpf(1) / 2) + mp.log(mp.pi) / 2
    return (df - 3) / 2 * mp.log(mp.det(x)), -trace_ / 2, -df * mp.log(2), -df / 2 * log(det), -multi


def lkj_terms(r: Any, eta: Any) -> tuple[Any, ...]:
    half = mp.mpf(1) / 2
    return (eta - 1) * log1p(-r * r), -(lgamma(half) + lgamma(eta) - lgamma(eta + half))


def multinomial_terms(*p: Any) -> tuple[Any, ...]:
    return mp.log(12), log(p[0]), 2 * log(p[1]), log(p[2])


def dirichlet_terms(*alpha: Any) -> tuple[Any, ...]:
    shares = [mp.mpf(float(x)) for x in SHARES[:, 0]]
    powers = [(a - 1) * mp.log(x) for a, x in zip(alpha, shares, strict=True)]
    return *powers, lgamma(sum(alpha)), *(-lgamma(a) for a in alpha)


def dirichlet_multinomial_terms(*alpha: Any) -> tuple[Any, ...]:
    total = sum(alpha)
    gains = [lgamma(a + int(k)) - lgamma(a) for a, k in zip(alpha, COUNTS[0], strict=True)]
    return mp.log(12), *gains, lgamma(total) - lgamma(total + 4)


def categorical_terms(*p: Any) -> tuple[Any, ...]:
    return (log(p[1]),)


CASES: list[tuple[str, Callable[..., Any], Callable[..., Any], tuple[float, ...]]] = [
    (
        "multivariate_normal",
        lambda m1, m2, a, b, c: stats.multivariate_normal.logpdf(
            POINTS[0], np.stack([m1, m2]), np.block([[a, b], [b, c]])
        ),
        normal_terms,
        (0.3, -0.2, 2.0, 0.5, 1.3),
    ),
    (
        "multivariate_t",
        lambda m1, m2, a, b, c, df: stats.multivariate_t.logpdf(
            POINTS[0], np.stack([m1, m2]), np.block([[a, b], [b, c]]), df
        ),
        t_terms,
        (0.3, -0.2, 2.0, 0.5, 1.3, 4.5),
    ),
    (
        "wishart",
        lambda a, b, c, df: stats.wishart.logpdf(MATRICES[..., 2], df, np.block([[a, b], [b, c]])),
        wishart_terms,
        (2.0, 0.5, 1.3, 5.5),
    ),
    ("lkj", lambda r, eta: stats.lkj.logpdf(np.block([[1.0, r], [r, 1.0]]), eta), lkj_terms, (0.4, 1.7)),
    (
        "multinomial",
        lambda *p: stats.multinomial.logpmf(COUNTS[0], 4, np.stack(p)),
        multinomial_terms,
        (0.3, 0.5, 0.2),
    ),
    (
        "dirichlet",
        lambda *alpha: stats.dirichlet.logpdf(SHARES[:, 0], np.stack(alpha)),
        dirichlet_terms,
        (2.0, 3.0, 1.5),
    ),
    (
        "dirichlet_multinomial",
        lambda *alpha: stats.dirichlet_multinomial.logpmf(COUNTS[0], np.stack(alpha), 4),
        dirichlet_multinomial_terms,
        (2.0, 3.0, 1.5),
    ),
    (
        "categorical",
        lambda *p: stats.categorical.logpmf(1, np.stack(p)),
        categorical_terms,
        (0.3, 0.5, 0.2),
    ),
]


@pytest.mark.parametrize(("name", "function", "formula", "at"), CASES, ids=[case[0] for case in CASES])
def test_derivatives_are_those_of_the_closed_form(
    name: str, function: Callable[..., Any], formula: Callable[..., Any], at: tuple[float, ...]
) -> None:
    names = tuple(f"t{i}" for i in range(len(at)))
    with mp.workdps(40):
        terms = terms_of(formula, names, 0)(*map(mp.mpf, at))
        true = {key: float(mp.fsum(values)) for key, values in terms.items()}
    traced = trace(lambda theta: function(*theta), at)
    assert traced(at) == pytest.approx(true[()], rel=1e-13)
    gradient, hessian = traced.value_and_grad_flat(np.array(at))[1], traced.hessian_flat(np.array(at))
    for i, one in enumerate(names):
        assert gradient[i] == pytest.approx(true[one,], rel=1e-12, abs=1e-13)
        for j in range(i, len(names)):
            assert hessian[i, j] == pytest.approx(true[one, names[j]], rel=1e-11, abs=1e-12)


def test_what_is_no_covariance_gives_nan() -> None:
    wrong = np.array([[1.0, 2.0], [2.0, 1.0]])
    for value in (
        stats.multivariate_normal.logpdf(POINTS, [0.0, 0.0], wrong),
        stats.multivariate_t.logpdf(POINTS, [0.0, 0.0], wrong, 3.0),
        stats.multivariate_t.logpdf(POINTS, [0.0, 0.0], A, -1.0),
        stats.wishart.logpdf(A, 5, wrong),
        stats.wishart.logpdf(A, 0.5, A),
        stats.lkj.logpdf(wrong, 2.0),
        stats.lkj.logpdf(np.eye(2), 0.0),
    ):
        assert np.isnan(value).all()


def test_a_large_t_is_normal() -> None:
    t = stats.multivariate_t.logpdf(POINTS, [0.0, 1.0], A, 1e18)
    np.testing.assert_allclose(t, stats.multivariate_normal.logpdf(POINTS, [0.0, 1.0], A), rtol=1e-14)


@pytest.mark.parametrize(("dimension", "eta"), [(2, 0.7), (3, 1.0), (4, 2.5)])
def test_lkj_is_what_its_partial_correlations_say(dimension: int, eta: float) -> None:
    """By the vine of Lewandowski, Kurowicka and Joe: each partial correlation has a beta distribution."""
    rng = np.random.default_rng(dimension)
    factor, log_density = np.zeros((dimension, dimension)), 0.0
    partials = np.tanh(rng.normal(size=(dimension, dimension)))
    for i in range(dimension):
        rest = 1.0
        for j in range(i):
            shape = eta + 0.5 * (dimension - 2 - j)
            r = partials[i, j]
            log_density += scipy.stats.beta.logpdf((1.0 + r) / 2.0, shape, shape) - np.log(2.0)
            factor[i, j] = r * np.sqrt(rest)
            rest *= 1.0 - r * r
        factor[i, i] = np.sqrt(rest)
    # From partial correlations to those of the matrix: their determinant, by rows of the factor
    for j in range(dimension):
        for i in range(j + 1, dimension):
            log_density -= 0.5 * (dimension - 2 - j) * np.log1p(-(partials[i, j] ** 2))
    assert stats.lkj.logpdf(factor @ factor.T, eta) == pytest.approx(log_density, rel=1e-12)


def test_categories_outside_and_by_rows() -> None:
    rows = np.array([[0.5, 0.3, 0.2], [0.1, 0.1, 0.8]])
    np.testing.assert_allclose(stats.categorical.pmf([0, 2], rows), [0.5, 0.8], rtol=1e-15)
    np.testing.assert_array_equal(stats.categorical.logpmf([3, -1], rows[0]), -np.inf)
    assert np.isnan(stats.categorical.logpmf(0, [0.5, 0.6]))
    assert stats.categorical.logpmf(1, [1.0, 0.0]) == -np.inf
