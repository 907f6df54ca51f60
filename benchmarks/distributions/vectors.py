"""Log-densities of vectors, matrices and series in mpmath: what the table of errors compares with."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import mpmath as mp
import numpy as np

import tapegrad as tg
from benchmarks.accuracy_densities import Errors, beyond_rounding
from tapegrad import stats

NOTHING = 1e-40
STEP = 25  # digits of the steps of differences
DIGITS = 110


class Vector(NamedTuple):
    """A log-density as a function of some numbers, in NumPy and in mpmath, and where to look at it."""

    function: Callable[..., Any]
    true: Callable[..., Any]
    at: tuple[tuple[float, ...], ...]


POINT = (0.3, -1.2)
COUNTS = (2, 5, 1)
SHARES = (0.25, 0.25, 0.5)
SERIES = (0.3, 0.5, -0.2, 0.1)
SPREAD = (2.0, 0.3, 1.0)  # the elements of a matrix
LEVELS = ((0.1, 0.4, 1.7, 0.6, 0.9), (-3.0, 20.0, 1e4, -30.0, 0.1))


def _symmetric(a: Any, b: Any, c: Any) -> Any:
    return np.stack([np.stack([a, b]), np.stack([b, c])])


def _shares(a: Any, b: Any) -> Any:
    return np.stack([a, b, 1.0 - a - b])


def _det(a: Any, b: Any, c: Any) -> Any:
    return a * c - b * b


def _square(x: Any, y: Any, a: Any, b: Any, c: Any) -> Any:
    """By the matrix itself."""
    return a * x * x + 2 * b * x * y + c * y * y


def _normal_prec(m: Any, n: Any, a: Any, b: Any, c: Any) -> Any:
    x, y = (mp.mpf(z) for z in POINT)
    return mp.log(_det(a, b, c)) / 2 - _square(x - m, y - n, a, b, c) / 2 - mp.log(2 * mp.pi)


def _inverse(a: Any, b: Any, c: Any) -> tuple[Any, Any, Any]:
    det = _det(a, b, c)
    return c / det, -b / det, a / det


def _t(m: Any, n: Any, a: Any, b: Any, c: Any, df: Any) -> Any:
    x, y = (mp.mpf(z) for z in POINT)
    square = _square(x - m, y - n, *_inverse(a, b, c))
    level = mp.loggamma(df / 2 + 1) - mp.loggamma(df / 2) - mp.log(mp.pi * df)
    return level - mp.log(_det(a, b, c)) / 2 - (df / 2 + 1) * mp.log1p(square / df)


def _multinomial(*p: Any) -> Any:
    terms = [k * mp.log(q) - mp.loggamma(k + 1) for k, q in zip(COUNTS, (*p, 1 - p[0] - p[1]), strict=True)]
    return mp.fsum(terms) + mp.loggamma(sum(COUNTS) + 1)


def _dirichlet(*alpha: Any) -> Any:
    terms = [(a - 1) * mp.log(x) - mp.loggamma(a) for a, x in zip(alpha, SHARES, strict=True)]
    return mp.fsum(terms) + mp.loggamma(mp.fsum(alpha))


def _dirichlet_multinomial(*alpha: Any) -> Any:
    terms = [
        mp.loggamma(a + k) - mp.loggamma(a) - mp.loggamma(k + 1) for a, k in zip(alpha, COUNTS, strict=True)
    ]
    total, n = mp.fsum(alpha), sum(COUNTS)
    return mp.fsum(terms) + mp.loggamma(total) - mp.loggamma(total + n) + mp.loggamma(n + 1)


def _wishart(df: Any, a: Any, b: Any, c: Any) -> Any:
    p, q, r = (mp.mpf(z) for z in SPREAD)
    u, v, w = _inverse(a, b, c)
    trace = u * p + 2 * v * q + w * r
    gammas = mp.log(mp.pi) / 2 + mp.loggamma(df / 2) + mp.loggamma((df - 1) / 2)
    return (
        (df - 3) / 2 * mp.log(_det(p, q, r))
        - trace / 2
        - df * mp.log(2)
        - df / 2 * mp.log(_det(a, b, c))
        - gammas
    )


def _correlations(a: Any, b: Any, c: Any) -> Any:
    one = 1.0 + 0.0 * a
    return np.stack([np.stack([one, a, b]), np.stack([a, one, c]), np.stack([b, c, one])])


def _lkj(a: Any, b: Any, c: Any, eta: Any) -> Any:
    det = 1 + 2 * a * b * c - a * a - b * b - c * c
    half = mp.mpf(1) / 2
    rows = [k * half * mp.log(mp.pi) + mp.loggamma(eta + half * (2 - k)) for k in (1, 2)]
    return (eta - 1) * mp.log(det) - mp.fsum(rows) + 2 * mp.loggamma(eta + 1)


def _normal(x: Any, scale: Any) -> Any:
    return -((x / scale) ** 2) / 2 - mp.log(scale) - mp.log(2 * mp.pi) / 2


def _ar1(rho: Any, loc: Any, scale: Any) -> Any:
    away = [mp.mpf(x) - loc for x in SERIES]
    noise = scale * mp.sqrt(1 - rho * rho)
    steps = [_normal(b - rho * a, noise) for a, b in pairwise(away)]
    return _normal(away[0], scale) + mp.fsum(steps)


def _walk(scale: Any, *x: Any) -> Any:
    return mp.fsum(_normal(b - a, scale) for a, b in pairwise(x))


def _separable(a: Any, b: Any, c: Any, w: Any, x: Any, y: Any, z: Any) -> Any:
    p, q, r = (mp.mpf(k) for k in SPREAD)
    rows = ((w, x), (y, z))
    square = mp.fsum(
        k * _row_product(rows[i], rows[j], p, q, r) for k, i, j in ((a, 0, 0), (2 * b, 0, 1), (c, 1, 1))
    )
    return mp.log(_det(a, b, c)) + mp.log(_det(p, q, r)) - square / 2 - 2 * mp.log(2 * mp.pi)


def _row_product(u: Any, v: Any, p: Any, q: Any, r: Any) -> Any:
    return p * u[0] * v[0] + q * (u[0] * v[1] + u[1] * v[0]) + r * u[1] * v[1]


MATRICES = ((0.1, 0.4, 1.7, 0.6, 0.9), (-3.0, 20.0, 1e4, -30.0, 0.1))
PROBABILITIES = ((0.2, 0.3), (1e-9, 0.7))
ALPHAS = ((0.7, 2.0, 3.5), (1e-3, 1e6, 40.0))

VECTORS: dict[str, Vector] = {
    "categorical": Vector(
        lambda a, b: stats.categorical.logpmf(1, _shares(a, b)), lambda a, b: mp.log(b), PROBABILITIES
    ),
    "multinomial": Vector(
        lambda a, b: stats.multinomial.logpmf(COUNTS, 8, _shares(a, b)), _multinomial, PROBABILITIES
    ),
    "dirichlet": Vector(lambda *a: stats.dirichlet.logpdf(SHARES, np.stack(a)), _dirichlet, ALPHAS),
    "dirichlet_multinomial": Vector(
        lambda *a: stats.dirichlet_multinomial.logpmf(COUNTS, np.stack(a), 8), _dirichlet_multinomial, ALPHAS
    ),
    "multivariate_normal": Vector(
        lambda m, n, *cov: stats.multivariate_normal.logpdf(POINT, np.stack([m, n]), _symmetric(*cov)),
        lambda m, n, *cov: _normal_prec(m, n, *_inverse(*cov)),
        MATRICES,
    ),
    "multivariate_normal_prec": Vector(
        lambda m, n, *prec: stats.multivariate_normal_prec.logpdf(POINT, np.stack([m, n]), _symmetric(*prec)),
        _normal_prec,
        MATRICES,
    ),
    "multivariate_normal_chol": Vector(
        lambda m, n, a, b, c: stats.multivariate_normal_chol.logpdf(
            POINT, np.stack([m, n]), np.stack([np.stack([a, 0.0 * a]), np.stack([b, c])])
        ),
        lambda m, n, a, b, c: _normal_prec(m, n, *_inverse(a * a, a * b, b * b + c * c)),
        MATRICES,
    ),
    "multivariate_t": Vector(
        lambda m, n, a, b, c, df: stats.multivariate_t.logpdf(
            POINT, np.stack([m, n]), _symmetric(a, b, c), df
        ),
        _t,
        tuple((*at, df) for at, df in zip(MATRICES, (3.5, 400.0), strict=True)),
    ),
    "wishart": Vector(
        lambda df, *scale: stats.wishart.logpdf(_symmetric(*SPREAD), df, _symmetric(*scale)),
        _wishart,
        ((3.5, *MATRICES[0][2:]), (60.0, *MATRICES[1][2:])),
    ),
    "lkj": Vector(
        lambda a, b, c, eta: stats.lkj.logpdf(_correlations(a, b, c), eta),
        _lkj,
        ((0.3, -0.5, 0.1, 2.0), (0.9, 0.8, 0.7, 0.3)),
    ),
    "ar1": Vector(
        lambda rho, loc, scale: stats.ar1.logpdf(SERIES, rho, loc, scale),
        _ar1,
        ((0.6, 0.1, 1.5), (-0.999, 3.0, 0.01)),
    ),
    "random_walk": Vector(
        lambda scale, *x: stats.random_walk.logpdf(np.stack(x), scale),
        _walk,
        ((0.5, *SERIES), (1e-3, 2.0, 2.5, 2.25, 8.0)),
    ),
    "separable_normal": Vector(
        lambda a, b, c, w, x, y, z: stats.separable_normal.logpdf(
            np.stack([np.stack([w, x]), np.stack([y, z])]), precs=(_symmetric(a, b, c), _symmetric(*SPREAD))
        ),
        _separable,
        tuple((*at[2:], *SERIES) for at in MATRICES),
    ),
}


def _derivatives(f: Callable[..., Any], at: tuple[Any, ...]) -> Iterator[Any]:
    """The value, the gradient, and the upper half of the Hessian, by differences of many digits."""
    steps = [(abs(a) or 1) * mp.mpf(10) ** -STEP for a in at]

    def moved(*moves: tuple[int, int]) -> Any:
        there = list(at)
        for i, way in moves:
            there[i] += way * steps[i]
        return f(*there)

    yield f(*at)
    for i in range(len(at)):
        yield (moved((i, 1)) - moved((i, -1))) / (2 * steps[i])
    for i in range(len(at)):
        for j in range(i, len(at)):
            corners = [moved((i, u), (j, v)) * u * v for u in (1, -1) for v in (1, -1)]
            yield mp.fsum(corners) / (4 * steps[i] * steps[j])


def errors_of_vector(name: str) -> Errors:
    """The worst errors, by order."""
    vector, worst = VECTORS[name], [0.0, 0.0, 0.0]
    for at in vector.at:
        traced = tg.trace(lambda theta: vector.function(*theta), at)
        value, gradient = traced.value_and_grad_flat(np.array(at))
        upper = traced.hessian_flat(np.array(at))[np.triu_indices(len(at))]
        with mp.workdps(DIGITS):
            numbers = [mp.mpf(a) for a in at]
            places = [numbers]
            for i, a in enumerate(at):
                other = mp.mpf(float(np.nextafter(a, np.inf)))
                places.append([*numbers[:i], other, *numbers[i + 1 :]])
            true, *others = (list(_derivatives(vector.true, tuple(place))) for place in places)
            for k, found in enumerate((value, *gradient, *upper)):
                order = 0 if k == 0 else 1 if k <= len(at) else 2
                if abs(true[k]) < NOTHING:  # by differences, what is 0 is next to it
                    true[k] = mp.mpf(0)
                moved: Any = partial(list, [other[k] for other in others])
                error = beyond_rounding(float(found), true[k], moved)
                worst[order] = max(worst[order], error)
    return Errors((worst[0], worst[1], worst[2]), math.nan)
