"""Random arguments of densities, over the whole range of doubles."""

from __future__ import annotations

import math

import numpy as np

from benchmarks.distributions.row import Array

SMALLEST = -300


def powers(rng: np.random.Generator, size: int, low: float, high: float) -> Array:
    """Powers of ten, the exponents between `low` and `high`."""
    return np.asarray(10.0 ** rng.uniform(low, high, size))


def signs(rng: np.random.Generator, size: int) -> Array:
    """Minus and plus 1."""
    return rng.choice([-1.0, 1.0], size)


def scales(rng: np.random.Generator, size: int) -> Array:
    """Half of them over the whole range, half where the second derivatives are in it, too."""
    return np.where(rng.random(size) < 0.5, powers(rng, size, -307, 300), powers(rng, size, -150, 150))


def location_scale(rng: np.random.Generator, size: int) -> tuple[Array, ...]:
    """A point, a location and a scale: the point at any distance from the location."""
    scale = scales(rng, size)
    loc = signs(rng, size) * np.minimum(scale, 1e287) * powers(rng, size, -20, 20)
    x = loc + signs(rng, size) * scale * powers(rng, size, -12, 4)
    return x, loc, scale


def above_location(rng: np.random.Generator, size: int) -> tuple[Array, ...]:
    """As `location_scale`, with no `x` below `loc`."""
    x, loc, scale = location_scale(rng, size)
    return loc + np.abs(x - loc), loc, scale


def probabilities(rng: np.random.Generator, size: int) -> Array:
    """Near 0, near 1, and between."""
    p = powers(rng, size, SMALLEST, 0), 1.0 - powers(rng, size, -16, 0), rng.random(size)
    return between_0_and_1(np.choose(rng.integers(0, 3, size), p))


def between_0_and_1(p: Array) -> Array:
    """Without both ends."""
    return np.clip(p, 10.0**SMALLEST, 1.0 - 2.0**-53)


def counts(rng: np.random.Generator, size: int, low: float, high: float) -> Array:
    """Whole numbers between `low` and `high`."""
    return np.rint(powers(rng, size, math.log10(low), math.log10(high)))


def small(rng: np.random.Generator, size: int, largest: float) -> Array:
    """Counts up to the largest, with many zeros."""
    return np.where(rng.random(size) < 0.2, 0.0, counts(rng, size, 1.0, largest))


def large(rng: np.random.Generator, size: int, limit: float) -> Array:
    """Counts beyond a limit, with a tenth of small ones."""
    k = np.where(rng.random(size) < 0.3, counts(rng, size, limit, 1e300), counts(rng, size, limit, 1e17))
    k[: size // 10] = small(rng, size // 10, limit)
    return k
