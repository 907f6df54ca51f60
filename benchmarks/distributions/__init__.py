"""The table of distributions, by family: the tests and the benchmark take all that they know from it."""

from benchmarks.distributions import (
    betas,
    binomials,
    bounded,
    counts,
    dispersed,
    exponentials,
    extremes,
    gammas,
    normals,
    skewed,
    symmetric,
)
from benchmarks.distributions.row import Density, Distribution

__all__ = ["DISTRIBUTIONS", "Density", "Distribution"]

DISTRIBUTIONS: tuple[Distribution, ...] = (
    *normals.ROWS,
    *skewed.ROWS,
    *symmetric.ROWS,
    *extremes.ROWS,
    *exponentials.ROWS,
    *gammas.ROWS,
    *betas.ROWS,
    *bounded.ROWS,
    *counts.ROWS,
    *binomials.ROWS,
    *dispersed.ROWS,
)
