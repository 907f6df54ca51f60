"""The table of distributions, by family: the tests and the benchmark take all that they know from it."""

from benchmarks.distributions import counts, gammas, normals
from benchmarks.distributions.row import Density, Distribution

__all__ = ["DISTRIBUTIONS", "Density", "Distribution"]

DISTRIBUTIONS: tuple[Distribution, ...] = (*normals.ROWS, *gammas.ROWS, *counts.ROWS)
