"""The probability that both of two correlated normal variables exceed a bound.

Its slope in a bound is the normal density there, times the conditional probability of the other bound; its
slope in the correlation is the bivariate density (Plackett 1954).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy.special import _ufuncs

from tapegrad.ops.elementwise import exp, sqrt
from tapegrad.ops.logic import greater, less, logical_and, where
from tapegrad.ops.normal import ndtr, normal_density
from tapegrad.ops.raw import special
from tapegrad.ops.registry import Gate, elementwise, written

_UFUNC = getattr(_ufuncs, "_bivariate_normal_cdf", None)  # from SciPy 1.18 on


def _in_bound(at: Any, other: Any, r: Any) -> Any:
    """The negative slope in the bound `at`, without the density."""
    return ndtr((r * _finite(at) - other) / sqrt((1.0 - r) * (1.0 + r)))


def _finite(x: Any) -> Any:
    return where(_is_finite(x), x, 0.0)


def _is_finite(x: Any) -> Any:
    return logical_and(greater(x, -math.inf), less(x, math.inf))


def _density(h: Any, k: Any, r: Any) -> Any:
    """The bivariate density, which is 0 at infinite bounds."""
    inside = logical_and(_is_finite(h), _is_finite(k))
    h, k = _finite(h), _finite(k)
    rest = (1.0 - r) * (1.0 + r)
    away = k - r * h
    exponent = -0.5 * (h * h + away * away / rest)
    return where(inside, exp(exponent) / (2.0 * math.pi * sqrt(rest)), 0.0)


def _by_owen(h: Any, k: Any, r: Any, out: Any = None) -> Any:
    """By Owen's function (1956), where SciPy has no ufunc for it."""
    h, k, r = np.broadcast_arrays(0.0 - np.asarray(h, dtype=float), 0.0 - np.asarray(k, dtype=float), r)
    with np.errstate(all="ignore"):
        root = np.sqrt((1.0 - r) * (1.0 + r))
        value = 0.5 * (special.ndtr(h) + special.ndtr(k)) - special.owens_t(h, (k / h - r) / root)
        value = value - special.owens_t(k, (h / k - r) / root)
        value = value - 0.5 * ((h * k < 0.0) | ((h * k == 0.0) & (h + k < 0.0)))
        value = np.where((h == 0.0) & (k == 0.0), 0.25 + np.arcsin(r) / (2.0 * math.pi), value)
    value = np.where(np.isinf(h) | np.isinf(k), special.ndtr(np.minimum(h, k)), value)
    return written(value, out)


bivariate_normal = elementwise(
    "bivariate_normal",
    _by_owen if _UFUNC is None else _UFUNC,
    (-1.0, lambda out, h, k, r: _in_bound(h, k, r), Gate(lambda out, h, k, r: normal_density(h))),
    (-1.0, lambda out, h, k, r: _in_bound(k, h, r), Gate(lambda out, h, k, r: normal_density(k))),
    lambda out, h, k, r: _density(h, k, r),
    numpy=() if _UFUNC is None else (_UFUNC,),
    samples=((np.array([0.4, -1.0, 1.5]), np.array([-0.3, 0.2, 0.8]), np.array([0.5, -0.3, 0.2])),),
)
