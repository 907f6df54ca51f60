"""A row of the table of distributions: what the tests and the benchmark know of one of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray[Any, np.dtype[np.float64]]
What = tuple[str, ...]  # (): the value, (name,): a derivative, (name, name): a second one
Terms = tuple[Any, ...]

TERMS = "it may be 0, and rounding an argument moves its terms"
AROUND_SCALE: dict[What, str] = {(): TERMS, ("scale",): TERMS, ("scale", "scale"): TERMS}

# Values of arguments for the comparison with SciPy.
NAN, INF = np.nan, np.inf
XS = np.array([-40.0, -9.0, -2.5, -1.0, -0.3, 0.0, 1e-9, 0.5, 1.0, 2.0, 3.7, 12.0, 38.0, 1e3, -INF, INF, NAN])
LOCS = np.array([0.0, 1.0, -2.5, NAN])
SCALES = np.array([1.0, 0.25, 7.0, 1e-3, 0.0, -1.0, NAN])
KS = np.array([-3.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0, 3.0, 17.0, 150.0, NAN])
PROBABILITIES = np.array([0.0, 1e-12, 0.2, 0.5, 0.9, 1.0 - 1e-12, 1.0, -0.1, 1.1, NAN])
CONTINUOUS = {"x": XS, "loc": LOCS, "scale": SCALES}

# For distributions with shapes, shorter.
SHORT_XS = np.array([-3.0, -0.3, 0.0, 0.2, 1.0, 3.7, 30.0, INF, -INF, NAN])
SHORT_LOCS = np.array([0.0, 1.0, NAN])
SHORT_SCALES = np.array([1.0, 3.0, 0.25, -1.0, 0.0, NAN])
NEAR_XS = np.array([-1.0, -0.3, 0.0, 0.2, 1.0, 3.7, 12.0, INF, -INF, NAN])  # SciPy's logarithms fail beyond
AROUND = {"loc": SHORT_LOCS, "scale": SHORT_SCALES}

# Data for the comparison of scores.
DATA = np.array([0.4, 1.7, 2.2, 5.1])
COUNTS = np.array([0.0, 3.0, 1.0, 11.0])
OUTCOMES = np.array([0.0, 1.0, 1.0, 0.0])


class Density(NamedTuple):
    """A function of a distribution, where to look at it, and its true values.

    Attributes
    ----------
    name : str
    function : callable
        Of the data and the parameters, as arrays.
    data : int
        How many of the first arguments are counts, in which there is no derivative.
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
    data: int
    names: tuple[str, ...]
    draw: Callable[[np.random.Generator, int], tuple[Array, ...]]
    terms: Callable[..., dict[What, Terms]]
    crosses: dict[What, str]
    digits: int = 60
    share: float = 1.0


class Distribution(NamedTuple):
    """A distribution of `tapegrad.stats`, which is compared with SciPy and with mpmath.

    Attributes
    ----------
    name : str
        In `tapegrad.stats` and in `scipy.stats`.
    grid : dict
        Values of each argument, in the order of the arguments. Some are at the edges, and some are not valid.
        All methods are compared with SciPy at all combinations.
    data : ndarray
        Points inside the support, at which value and score are compared with `densities`.
    at : tuple of float
        Valid parameters for this comparison, in the order of the arguments.
    densities : tuple of Density
        What is compared with mpmath over the whole range of doubles. The first is the log-density.
    scipys : object, optional
        With the same methods, in terms of `scipy.stats`, if that has no distribution of this name.
    """

    name: str
    grid: dict[str, Array]
    data: Array
    at: tuple[float, ...]
    densities: tuple[Density, ...]
    scipys: Any = None
