"""Sums over a Poisson number of gamma distribution functions: noncentral chi squared, Skellam, Tweedie.

``P(a, s, x, y)`` is the sum of ``gammainc(a + s j, x)`` with the Poisson probabilities of j, of mean y, and
``Q`` that of ``gammaincc``. All terms are positive and fall on both sides of the largest, so those around it
give all digits in either tail. A derivative in `a` or `s` is the sum of the derivatives of the terms; one in
x that of the densities; and one in y is the difference of two such sums,
``P(a + s) - P(a)``, by the recurrence of Poisson probabilities.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.special import _ufuncs

from tapegrad.ops.incomplete_gamma import LEAST, _density, _gammainc_slope, _log_term
from tapegrad.ops.orders import of_order
from tapegrad.ops.raw import special
from tapegrad.ops.registry import NUMPY, Op, elementwise, implements, written
from tapegrad.ops.tails import on_columns

BISECTIONS = 60
AT_ONCE = 1 << 17  # terms
MOST = 1 << 22
Term = Callable[[Any, Any, Any], Any]


def _crest(a: Any, s: Any, x: Any, y: Any) -> Any:
    """The number at which a Poisson probability times the gamma density is largest."""
    low, high = (
        np.zeros_like(y),
        2.0 * (y + np.sqrt(x * np.maximum(y, 1.0)) + x / np.maximum(s, LEAST)) + 10.0,
    )
    for _ in range(BISECTIONS):
        middle = 0.5 * (low + high)
        rises = np.log(y / middle) + s * np.log(x / (a + s * middle)) > 0.0
        low, high = np.where(rises, middle, low), np.where(rises, high, middle)
    return 0.5 * (low + high)


def _summed(f: Term, centre: Any, c: int, a: Any, s: Any, x: Any, y: Any) -> Any:
    """The sum of ``w(j) f(j + c, a + s (j + c), x)`` around the centre, for vectors.

    Those of about as many terms together: so a number does not depend on those beside it, to the last bit.
    """
    reach = 9.0 * np.sqrt(centre) + 40.0
    first = np.maximum(np.floor(centre - reach), 0.0)
    width = np.exp2(np.ceil(np.log2(np.ceil(centre + reach) - first + 1.0)))
    if np.max(width, initial=0.0) > MOST:
        raise ValueError(f"a sum over more than {MOST} Poisson probabilities: the noncentrality is too large")
    found = np.empty_like(x)
    for count in np.unique(width).tolist():
        mine = np.flatnonzero(width == count)
        rows = max(1, AT_ONCE // int(count))
        for start in range(0, mine.size, rows):
            part = mine[start : start + rows]
            j = first[part, None] + np.arange(count)
            column = [np.broadcast_to(z[part, None], j.shape).ravel() for z in (a, s, x, y)]
            terms = f(j.ravel() + c, column[0] + column[1] * (j.ravel() + c), column[2])
            terms = np.exp(_log_weight(j.ravel(), column[3])) * terms
            found[part] = np.sum(terms.reshape(j.shape), axis=1)
    return found


def _log_weight(j: Any, y: Any) -> Any:
    return np.where(j == 0.0, -y, _log_term(np.where(j == 0.0, 1.0, j), y))


def _inside(a: Any, s: Any, x: Any, y: Any) -> tuple[Any, tuple[Any, ...]]:
    """Where the arguments are ordinary, and ordinary ones."""
    inside = (a >= 0.0) & (s > 0.0) & (x > 0.0) & (y >= 0.0) & np.isfinite(a + s + x + y)
    a, s, x, y = (np.where(inside, z, 1.0) for z in (a, s, x, y))
    return inside, (a, s, x, np.maximum(y, LEAST))


def _sum(n: int, r: int, c: int, upper: bool, *operands: Any) -> Any:
    def f(*columns: Any) -> Any:
        inside, (a, s, x, y) = _inside(*columns)
        crest = _crest(a + c * s, s, x, y)
        side = np.maximum(crest, y) if upper else np.minimum(crest, y)

        def term(j: Any, shape: Any, x: Any) -> Any:
            if n + r == 0:
                return (special.gammaincc if upper else special.gammainc)(shape, x)
            return j**r * _gammainc_slope(n + r, shape, x)

        return np.where(inside, _summed(term, crest if n + r else side, c, a, s, x, y), np.nan)

    return on_columns(f, *operands)


def _nothing(a: Any, y: Any) -> Any:
    """The probability of 0: that of no gamma variable at all."""
    return np.where(np.equal(a, 0.0), np.exp(np.negative(y)), 0.0)


def _lower(n: int, r: int, c: int, a: Any, s: Any, x: Any, y: Any, out: Any = None) -> Any:
    value = _sum(n, r, c, False, a, s, x, y)
    x = np.asarray(x)
    at_0, at_end = (0.0, 0.0) if n + r else (_nothing(a, y) if c == 0 else 0.0, 1.0)
    return written(np.where(x == 0.0, at_0, np.where(x == np.inf, at_end, value)), out)


def _upper(c: int, a: Any, s: Any, x: Any, y: Any, out: Any = None) -> Any:
    value = _sum(0, 0, c, True, a, s, x, y)
    x = np.asarray(x)
    at_0 = 1.0 - _nothing(a, y) if c == 0 else 1.0
    return written(np.where(x == 0.0, at_0, np.where(x == np.inf, 0.0, value)), out)


def _density_sum(n: int, r: int, c: int, m: int, a: Any, s: Any, x: Any, y: Any, out: Any = None) -> Any:
    def f(*columns: Any) -> Any:
        inside, (a, s, x, y) = _inside(*columns)

        def term(j: Any, shape: Any, x: Any) -> Any:
            some = np.where(shape == 0.0, 1.0, shape)
            return np.where(shape == 0.0, 0.0, j**r * _density(n + r, m, some, x))

        value = _summed(term, _crest(a + c * s, s, x, y), c, a, s, x, y)
        return np.where(inside, value, np.where(columns[2] >= 0.0, 0.0, np.nan))

    return written(on_columns(f, a, s, x, y), out)


A, X, Y = np.array([0.7, 2.5, 4.0]), np.array([0.6, 5.0, 9.0]), np.array([1.5, 3.0, 0.2])
SAMPLES = (A, np.array([1.0, 1.3, 1.0]), X, Y)
NONCENTRAL = (A, X, Y)


# The sum of gamma densities, differentiated n times in a, r times in s, and m times in x. The terms begin
# with that of c: ``a + s (j + c)``.
poisson_density: Op = of_order(
    "poisson_density",
    _density_sum,
    lambda out, n, r, c, m, a, s, x, y: poisson_density(n + 1.0, r, c, m, a, s, x, y),
    lambda out, n, r, c, m, a, s, x, y: poisson_density(n, r + 1.0, c, m, a, s, x, y),
    lambda out, n, r, c, m, a, s, x, y: poisson_density(n, r, c, m + 1.0, a, s, x, y),
    lambda out, n, r, c, m, a, s, x, y: poisson_density(n, r, c + 1.0, m, a, s, x, y) - out,
    samples=((0.0, 0.0, 0.0, 0.0, *SAMPLES), (1.0, 0.0, 0.0, 1.0, *SAMPLES)),
    orders=4,
)
# P, differentiated in a and s.
poisson_gammainc: Op = of_order(
    "poisson_gammainc",
    _lower,
    lambda out, n, r, c, a, s, x, y: poisson_gammainc(n + 1.0, r, c, a, s, x, y),
    lambda out, n, r, c, a, s, x, y: poisson_gammainc(n, r + 1.0, c, a, s, x, y),
    lambda out, n, r, c, a, s, x, y: poisson_density(n, r, c, 0.0, a, s, x, y),
    lambda out, n, r, c, a, s, x, y: poisson_gammainc(n, r, c + 1.0, a, s, x, y) - out,
    samples=((0.0, 0.0, 0.0, *SAMPLES), (1.0, 1.0, 0.0, *SAMPLES)),
    orders=3,
)
# Q.
poisson_gammaincc: Op = of_order(
    "poisson_gammaincc",
    _upper,
    (-1.0, lambda out, c, a, s, x, y: poisson_gammainc(1.0, 0.0, c, a, s, x, y)),
    (-1.0, lambda out, c, a, s, x, y: poisson_gammainc(0.0, 1.0, c, a, s, x, y)),
    (-1.0, lambda out, c, a, s, x, y: poisson_density(0.0, 0.0, c, 0.0, a, s, x, y)),
    lambda out, c, a, s, x, y: poisson_gammaincc(c + 1.0, a, s, x, y) - out,
    samples=((0.0, *SAMPLES),),
)

# Steps of 1, where the difference is the density of the next shape ------------------------------------------

# P(a, 1, x, y), differentiated in a.
noncentral_gammainc: Op = of_order(
    "noncentral_gammainc",
    lambda n, a, x, y, out: _lower(n, 0, 0, a, 1.0, x, y, out),
    lambda out, n, a, x, y: noncentral_gammainc(n + 1.0, a, x, y),
    lambda out, n, a, x, y: poisson_density(n, 0.0, 0.0, 0.0, a, 1.0, x, y),
    (-1.0, lambda out, n, a, x, y: poisson_density(n, 0.0, 0.0, 0.0, a + 1.0, 1.0, x, y)),
    samples=((0.0, *NONCENTRAL), (1.0, *NONCENTRAL)),
)
noncentral_gammaincc: Op = elementwise(
    "noncentral_gammaincc",
    lambda a, x, y, out=None: _upper(0, a, 1.0, x, y, out),
    (-1.0, lambda out, a, x, y: noncentral_gammainc(1.0, a, x, y)),
    (-1.0, lambda out, a, x, y: poisson_density(0.0, 0.0, 0.0, 0.0, a, 1.0, x, y)),
    lambda out, a, x, y: poisson_density(0.0, 0.0, 0.0, 0.0, a + 1.0, 1.0, x, y),
    numpy=(),
    samples=(NONCENTRAL,),
)


@implements(special.chndtr)
def chndtr(x: Any, df: Any, nc: Any) -> Any:
    """The distribution function of noncentral chi squared."""
    return noncentral_gammainc(0.0, 0.5 * df, 0.5 * x, 0.5 * nc)


def ncx2_pdf(x: Any, df: Any, nc: Any) -> Any:
    """The density of noncentral chi squared."""
    return 0.5 * poisson_density(0.0, 0.0, 0.0, 0.0, 0.5 * df, 1.0, 0.5 * x, 0.5 * nc)


def ncx2_sf(x: Any, df: Any, nc: Any) -> Any:
    """The survival function of noncentral chi squared."""
    return noncentral_gammaincc(0.5 * df, 0.5 * x, 0.5 * nc)


for _name, _rule in (("_ncx2_pdf", ncx2_pdf), ("_ncx2_sf", ncx2_sf)):
    if hasattr(_ufuncs, _name):  # versions of SciPy have other ones
        NUMPY[getattr(_ufuncs, _name)] = _rule
