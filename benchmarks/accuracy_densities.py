"""The worst relative errors of the log-densities of `tapegrad.stats`, against mpmath.

Each number that is checked is written as its terms in mpmath. Where it may be 0, its error is relative to the
largest of these and not to their sum. What leaves the range of doubles, or is next to what does, is left out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import mpmath as mp
import numpy as np

import tapegrad as tg
from benchmarks.accuracy import Worst
from tapegrad import stats

Array = np.ndarray[Any, np.dtype[np.float64]]
What = tuple[str, ...]  # (): the value, (name,): a derivative, (name, name): a second one
Terms = tuple[Any, ...]

POINTS = 10_000
BOUND = 1e-12
SMALLEST = -300
TINY, HUGE = float(np.finfo(float).tiny), float(np.finfo(float).max)


class Density(NamedTuple):
    """A log-density, where to look at it, and what is true.

    Attributes
    ----------
    name : str
    function : callable
        Of the data and the parameters, as arrays.
    data : bool
        Whether the first argument is a count, in which there is no derivative.
    names : tuple of str
        Of the arguments.
    draw : callable
        ``draw(rng, size)`` gives the arguments, an array each.
    terms : callable
        ``terms(*arguments)`` of numbers of mpmath: the terms of the value, of each derivative ``(name,)`` and
        of each second derivative ``(name, name)``; what is left out is 0.
    crosses : dict
        Which of them may be 0, and why.
    digits : int
        With how many mpmath computes.
    share : float
        Of the points, as mpmath is slow with many digits.
    """

    name: str
    function: Callable[..., Any]
    data: bool
    names: tuple[str, ...]
    draw: Callable[[np.random.Generator, int], tuple[Array, ...]]
    terms: Callable[..., dict[What, Terms]]
    crosses: dict[What, str]
    digits: int = 60
    share: float = 1.0


# Where to look ----------------------------------------------------------------------------------------------


def _powers(rng: np.random.Generator, size: int, low: float, high: float) -> Array:
    return np.asarray(10.0 ** rng.uniform(low, high, size))


def _signs(rng: np.random.Generator, size: int) -> Array:
    return rng.choice([-1.0, 1.0], size)


def _scales(rng: np.random.Generator, size: int) -> Array:
    """Half of them over the whole range, half where the second derivatives are in it, too."""
    return np.where(rng.random(size) < 0.5, _powers(rng, size, -307, 300), _powers(rng, size, -150, 150))


def _normal(rng: np.random.Generator, size: int) -> tuple[Array, ...]:
    scale = _scales(rng, size)
    loc = _signs(rng, size) * np.minimum(scale, 1e287) * _powers(rng, size, -20, 20)
    x = loc + _signs(rng, size) * scale * _powers(rng, size, -12, 4)
    return x, loc, scale


def _exponential(rng: np.random.Generator, size: int) -> tuple[Array, ...]:
    x, loc, scale = _normal(rng, size)
    return loc + np.abs(x - loc), loc, scale


def _tail(rng: np.random.Generator, size: int) -> tuple[Array, ...]:
    scale = _powers(rng, size, SMALLEST, -SMALLEST)
    return scale * _powers(rng, size, -7, 2.7), scale


def _probabilities(rng: np.random.Generator, size: int) -> Array:
    """Near 0, near 1, and between."""
    p = _powers(rng, size, SMALLEST, 0), 1.0 - _powers(rng, size, -16, 0), rng.random(size)
    return _between_0_and_1(np.choose(rng.integers(0, 3, size), p))


def _between_0_and_1(p: Array) -> Array:
    return np.clip(p, 10.0**SMALLEST, 1.0 - 2.0**-53)


def _bernoulli(rng: np.random.Generator, size: int) -> tuple[Array, ...]:
    return rng.integers(0, 2, size).astype(float), _probabilities(rng, size)


def _counts(rng: np.random.Generator, size: int, low: float, high: float) -> Array:
    return np.rint(_powers(rng, size, math.log10(low), math.log10(high)))


def _small(rng: np.random.Generator, size: int, largest: float) -> Array:
    return np.where(rng.random(size) < 0.2, 0.0, _counts(rng, size, 1.0, largest))


def _large(rng: np.random.Generator, size: int, limit: float) -> Array:
    k = np.where(rng.random(size) < 0.3, _counts(rng, size, limit, 1e300), _counts(rng, size, limit, 1e17))
    k[: size // 10] = _small(rng, size // 10, limit)
    return k


def _means(rng: np.random.Generator, k: Array) -> Array:
    """At the count, next to it, and anywhere."""
    shift = _powers(rng, k.size, -17, 0.5) * _signs(rng, k.size)
    next_to_it = np.maximum(k, 1.0) * np.exp(shift)
    return np.where(rng.random(k.size) < 0.3, _powers(rng, k.size, -300, 300), next_to_it)


def _poisson(rng: np.random.Generator, k: Array) -> tuple[Array, ...]:
    return k, _means(rng, k)


def _nbinom(rng: np.random.Generator, k: Array) -> tuple[Array, ...]:
    near_it = np.maximum(k, 1.0) * _powers(rng, k.size, -5, 6)
    n = np.where(rng.random(k.size) < 0.5, _powers(rng, k.size, -300, 300), near_it)
    n = np.minimum(n, 1e300)
    mean = np.minimum(_means(rng, k), 1e300)
    p = np.where(rng.random(k.size) < 0.3, _probabilities(rng, k.size), n / (n + mean))
    return k, n, _between_0_and_1(p)


# What is true -----------------------------------------------------------------------------------------------


def _normal_terms(x: Any, loc: Any, s: Any) -> dict[What, Terms]:
    z = (x - loc) / s
    return {
        (): (-z * z / 2, -mp.log(s), -mp.log(2 * mp.pi) / 2),
        ("x",): (-z / s,),
        ("loc",): (z / s,),
        ("scale",): (z * z / s, -1 / s),
        ("x", "x"): (-1 / s**2,),
        ("x", "loc"): (1 / s**2,),
        ("x", "scale"): (2 * z / s**2,),
        ("loc", "loc"): (-1 / s**2,),
        ("loc", "scale"): (-2 * z / s**2,),
        ("scale", "scale"): (-3 * z * z / s**2, 1 / s**2),
    }


def _exponential_terms(x: Any, loc: Any, s: Any) -> dict[What, Terms]:
    z = (x - loc) / s
    return {
        (): (-z, -mp.log(s)),
        ("x",): (-1 / s,),
        ("loc",): (1 / s,),
        ("scale",): (z / s, -1 / s),
        ("x", "scale"): (1 / s**2,),
        ("loc", "scale"): (-1 / s**2,),
        ("scale", "scale"): (-2 * z / s**2, 1 / s**2),
    }


def _logcdf_terms(x: Any, s: Any) -> dict[What, Terms]:
    z = x / s
    first = 1 / mp.expm1(z)
    second = -first * (1 + first)
    return {
        (): (mp.log1p(-mp.exp(-z)) if z > 1 else mp.log(-mp.expm1(-z)),),
        ("x",): (first / s,),
        ("scale",): (-first * z / s,),
        ("x", "x"): (second / s**2,),
        ("x", "scale"): (-second * z / s**2, -first / s**2),
        ("scale", "scale"): (second * z * z / s**2, 2 * first * z / s**2),
    }


def _bernoulli_terms(k: Any, p: Any) -> dict[What, Terms]:
    q = 1 - p
    return {
        (): (mp.log(p) if k else mp.log1p(-p),),
        ("p",): (1 / p if k else -1 / q,),
        ("p", "p"): (-1 / p**2 if k else -1 / q**2,),
    }


def _poisson_terms(k: Any, mu: Any) -> dict[What, Terms]:
    return {
        (): (k * mp.log(mu), -mu, -mp.loggamma(k + 1)),
        ("mu",): (k / mu, mp.mpf(-1)),
        ("mu", "mu"): (-k / mu**2,),
    }


def _nbinom_terms(k: Any, n: Any, p: Any) -> dict[What, Terms]:
    q = 1 - p
    if k <= 500:  # exactly
        rising = [n + j for j in range(int(k))]
        gains = (
            mp.fsum(map(mp.log, rising)),
            mp.fsum(1 / x for x in rising),
            -mp.fsum(1 / x**2 for x in rising),
        )
    else:
        gains = (
            mp.loggamma(n + k) - mp.loggamma(n),
            mp.psi(0, n + k) - mp.psi(0, n),
            mp.psi(1, n + k) - mp.psi(1, n),
        )
    return {
        (): (gains[0], -mp.loggamma(k + 1), n * mp.log(p), k * mp.log(q)),
        ("n",): (gains[1], mp.log(p)),
        ("p",): (n / p, -k / q),
        ("n", "n"): (gains[2],),
        ("n", "p"): (1 / p,),
        ("p", "p"): (-n / p**2, -k / q**2),
    }


CHAIN = "the two terms of the chain rule cancel for small x / scale"
TERMS = "it may be 0, and rounding an argument moves its terms"
AROUND_SCALE: dict[What, str] = {(): TERMS, ("scale",): TERMS, ("scale", "scale"): TERMS}
NBINOM: dict[What, str] = {("n",): TERMS, ("p",): TERMS}
POISSON_LIMIT, NBINOM_LIMIT = 1000, 500  # from here on, they have another form

DENSITIES = (
    Density("norm", stats.norm.logpdf, False, ("x", "loc", "scale"), _normal, _normal_terms, AROUND_SCALE),
    Density(
        "expon",
        stats.expon.logpdf,
        False,
        ("x", "loc", "scale"),
        _exponential,
        _exponential_terms,
        AROUND_SCALE,
    ),
    Density(
        "expon.logcdf",
        lambda x, scale: stats.expon.logcdf(x, 0, scale),
        False,
        ("x", "scale"),
        _tail,
        _logcdf_terms,
        {("x", "scale"): CHAIN, ("scale", "scale"): CHAIN},
    ),
    Density("bernoulli", stats.bernoulli.logpmf, True, ("k", "p"), _bernoulli, _bernoulli_terms, {}),
    Density(
        "poisson",
        stats.poisson.logpmf,
        True,
        ("k", "mu"),
        lambda rng, size: _poisson(rng, _small(rng, size, POISSON_LIMIT)),
        _poisson_terms,
        {("mu",): TERMS},
    ),
    Density(
        "poisson, large",
        stats.poisson.logpmf,
        True,
        ("k", "mu"),
        lambda rng, size: _poisson(rng, _large(rng, size, POISSON_LIMIT)),
        _poisson_terms,
        {},
        digits=350,
        share=0.3,
    ),
    Density(
        "nbinom",
        stats.nbinom.logpmf,
        True,
        ("k", "n", "p"),
        lambda rng, size: _nbinom(rng, _small(rng, size, NBINOM_LIMIT)),
        _nbinom_terms,
        NBINOM,
    ),
    Density(
        "nbinom, large",
        stats.nbinom.logpmf,
        True,
        ("k", "n", "p"),
        lambda rng, size: _nbinom(rng, _large(rng, size, NBINOM_LIMIT)),
        _nbinom_terms,
        NBINOM,
        digits=380,
        share=0.1,
    ),
)


# The errors -------------------------------------------------------------------------------------------------


def _computed(density: Density, points: tuple[Array, ...]) -> dict[What, Array]:
    """The value and all derivatives at all points, as tapegrad has them."""
    fixed, free = points[: density.data], points[density.data :]
    names = density.names[density.data :]
    tape = tg.trace(lambda theta: density.function(*fixed, *theta).sum(), free)
    found: dict[What, Array] = {(): np.asarray(density.function(*points))}
    for name, column in zip(names, tape.grad(free), strict=True):
        found[name,] = column
    for i, name in enumerate(names):
        direction = tuple(np.full(x.size, float(i == j)) for j, x in enumerate(free))
        # Beyond the range of doubles there may be NaN, which is left out.
        columns = tape.unravel(tape.hvp_flat(tape.ravel(free), tape.ravel(direction)))
        for other, column in zip(names[i:], columns[i:], strict=True):
            found[name, other] = column
    return found


def _error(computed: float, what: What, true: dict[What, Terms], crosses: bool) -> float:
    """Relative to the true number, or to its largest term; 0 where doubles have no such numbers."""
    terms = true.get(what, (mp.mpf(0),))
    size = max(map(abs, terms)) if crosses else abs(mp.fsum(terms))
    if 0 < size < TINY or any(abs(x) > HUGE for key in true if len(key) <= len(what) for x in true[key]):
        return 0.0
    error = abs(mp.mpf(computed) - mp.fsum(terms)) if math.isfinite(computed) else mp.inf
    return float(error / size) if error else 0.0


def _label(what: What) -> str:
    if not what:
        return "value"
    if len(what) == 1:
        return f"d/d{what[0]}"
    return f"d2/d{what[0]}2" if what[0] == what[1] else f"d2/d{what[0]} d{what[1]}"


def worst(density: Density, size: int) -> Iterator[Worst]:
    """The worst case of the value and of each derivative, among so many points."""
    points = density.draw(np.random.default_rng(0), size)
    with np.errstate(all="ignore"):
        computed = _computed(density, points)
    with mp.workdps(density.digits):
        true = [density.terms(*map(mp.mpf, map(float, point))) for point in zip(*points, strict=True)]
        for what, numbers in computed.items():
            crosses = density.crosses.get(what, "")
            errors = [_error(float(x), what, t, bool(crosses)) for x, t in zip(numbers, true, strict=True)]
            i = int(np.argmax(errors))
            at = tuple(float(x[i]) for x in points)
            yield Worst(density.name, _label(what), errors[i], at, BOUND, crosses)


def densities(size: int = POINTS) -> Iterator[Worst]:
    """The rows of the table."""
    for density in DENSITIES:
        yield from worst(density, max(1, int(density.share * size)))
