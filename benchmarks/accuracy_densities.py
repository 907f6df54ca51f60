"""The worst relative errors of the log-densities of `tapegrad.stats`, against mpmath.

Each number that is checked is written as its terms in mpmath. Where it may be 0, its error is relative to the
largest of these and not to their sum. What leaves the range of doubles, or is next to what does, is left out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, NamedTuple

import mpmath as mp
import numpy as np

import tapegrad as tg
from benchmarks.accuracy import Worst
from benchmarks.distributions import DISTRIBUTIONS, Density
from benchmarks.distributions.row import Array, Terms, What

POINTS = 10_000
BOUND = 1e-12
ROUNDING = 1e-15
TINY, HUGE = float(np.finfo(float).tiny), float(np.finfo(float).max)
DENSITIES = tuple(density for row in DISTRIBUTIONS for density in row.densities)


def _computed(density: Density, points: tuple[Array, ...]) -> dict[What, Array]:
    """The value and all derivatives at all points, as tapegrad has them."""
    fixed, free = points[: density.data], points[density.data :]
    names = density.names[density.data :]
    if not names:
        return {(): np.asarray(density.function(*points))}
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


# Relative to the result -------------------------------------------------------------------------------------

BITS = 4  # so many changes of the last bit of an argument explain an error


class Errors(NamedTuple):
    """The worst errors of a distribution, of the value and the derivatives of first and second order.

    Attributes
    ----------
    of_result : tuple of float
        Relative to the result, less what the last bits of the arguments make of the true one.
    of_terms : float
        Relative to the largest of the terms that the result is the sum of; NaN if they are not known.
    """

    of_result: tuple[float, float, float]
    of_terms: float


def beyond_rounding(found: float, true: Any, moved: Callable[[], Iterable[Any]]) -> float:
    """The relative error; `moved` gives the true numbers for arguments whose last bits are others."""
    if true == 0:
        return 0.0 if found == 0 else math.inf
    gap = abs(mp.mpf(found) - true) if math.isfinite(found) else mp.inf
    if gap > ROUNDING * abs(true):
        gap = max(gap - BITS * mp.fsum(abs(other - true) for other in moved()), mp.mpf(0))
    return float(gap / abs(true))


def _of_density(density: Density, size: int) -> Iterator[tuple[int, float, float]]:
    """Of each number: the order of the derivative, and its error relative to the result and to the terms."""
    points = density.draw(np.random.default_rng(0), size)
    with np.errstate(all="ignore"):
        computed = _computed(density, points)
    with mp.workdps(density.digits):
        for k, point in enumerate(zip(*points, strict=True)):
            place = tuple(float(x) for x in point)
            true = density.terms(*map(mp.mpf, place))
            others: list[dict[What, Terms]] = []
            for what, numbers in computed.items():
                found = float(numbers[k])
                of_terms = _error(found, what, true, True)
                if of_terms == 0.0:
                    continue  # right, or beyond the range of doubles
                others = others or list(_with_other_bits(density, place))
                total = mp.fsum(true.get(what, (mp.mpf(0),)))
                moved = [mp.fsum(other.get(what, (mp.mpf(0),))) for other in others]
                if 0 < abs(total) < TINY or (total == 0 and of_terms < ROUNDING):
                    continue
                yield len(what), beyond_rounding(found, total, partial(list, moved)), of_terms


def _with_other_bits(density: Density, place: tuple[float, ...]) -> Iterator[dict[What, Terms]]:
    for i in range(density.data, len(place)):
        for way in (math.inf, -math.inf):
            other = (*place[:i], float(np.nextafter(place[i], way)), *place[i + 1 :])
            try:
                yield density.terms(*map(mp.mpf, other))
            except (ValueError, ZeroDivisionError):  # outside of the support
                continue
            break


def errors_of(densities: Iterable[Density], size: int) -> Errors:
    """The worst of some densities."""
    found = [row for density in densities for row in _of_density(density, max(20, int(density.share * size)))]
    by_order = [max((result for n, result, _ in found if n == order), default=0.0) for order in range(3)]
    return Errors((by_order[0], by_order[1], by_order[2]), max((terms for *_, terms in found), default=0.0))
