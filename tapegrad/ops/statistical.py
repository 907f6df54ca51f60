"""Ufuncs of scipy.special that have no public name, and that scipy.stats calls."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.special import _ufuncs

from tapegrad.ops.broadcasting import sum_
from tapegrad.ops.distributions import betaincinv
from tapegrad.ops.elementwise import exp, expm1, floor, sqrt
from tapegrad.ops.incomplete_beta import beta_density, betainc, betaincc
from tapegrad.ops.logic import where
from tapegrad.ops.normal import erfcx, normal_density
from tapegrad.ops.registry import NUMPY, Op, Per, Recordable, elementwise, written
from tapegrad.ops.shaping import shape_of
from tapegrad.ops.trigonometric import cos, tan

ROOT = math.sqrt(0.5)

# ``log(1 - exp(x))`` for negative x.
log1mexp = elementwise(
    "log1mexp",
    _ufuncs._log1mexp,
    (-1.0, Per(lambda out, x: expm1(-x))),
    samples=((np.array([-0.3, -2.0, -30.0]),),),
)
cosine_cdf = elementwise(
    "cosine_cdf",
    _ufuncs._cosine_cdf,
    (1.0 / math.pi, lambda out, x: cos(0.5 * x), lambda out, x: cos(0.5 * x)),
    samples=((np.array([-3.0, -0.4, 1.3]),),),
)

# Inverse Gaussian, of the shape 1 ---------------------------------------------------------------------------


def _invgauss_density(x: Any, mu: Any) -> Any:
    return normal_density((x / mu - 1.0) / sqrt(x)) / (x * sqrt(x))


def _invgauss_in_mu(x: Any, mu: Any) -> Any:
    """The slope of the distribution function in the mean."""
    root = sqrt(x)
    tail = math.sqrt(0.5 * math.pi) * erfcx(ROOT * (x / mu + 1.0) / root)
    return -2.0 / (mu * mu) * normal_density((x / mu - 1.0) / root) * tail


def _invgauss(name: str, sign: float) -> Op:
    ufunc = getattr(_ufuncs, name)

    def kernel(p: Any, mu: Any, out: Any = None) -> Any:
        p, mu = np.asarray(p), np.asarray(mu)
        inside = (p > 0.0) & (p < 1.0) & (mu > 0.0)  # elsewhere it raises errors
        value = ufunc(np.where(inside, p, 0.5), np.where(inside, mu, 1.0), 1.0)
        ends = np.where(p == (1.0 - sign) / 2.0, 0.0, np.where(p == (1.0 + sign) / 2.0, np.inf, np.nan))
        return written(np.where(inside, value, np.where(mu > 0.0, ends, np.nan)), out)

    return elementwise(
        name.strip("_"),
        kernel,
        (sign, Per(lambda out, p, mu: _invgauss_density(out, mu))),
        (
            -1.0,
            lambda out, p, mu: _invgauss_in_mu(out, mu),
            Per(lambda out, p, mu: _invgauss_density(out, mu)),
        ),
        numpy=(),
        samples=((np.array([0.2, 0.7]), np.array([0.6, 3.0])),),
    )


invgauss_ppf, invgauss_isf = _invgauss("_invgauss_ppf", 1.0), _invgauss("_invgauss_isf", -1.0)

# In other functions -----------------------------------------------------------------------------------------


def _binomial_mass(k: Any, n: Any, p: Any) -> Any:
    return beta_density(0.0, 0.0, 0.0, k + 1.0, n - k + 1.0, p, 1.0 - p) / (n + 1.0)


def _negative_mass(k: Any, n: Any, p: Any) -> Any:
    return beta_density(0.0, 0.0, 0.0, n, k + 1.0, p, 1.0 - p) * p / (n + k)


def _powers(n: Any, a: Any, least: Any = 1.0) -> Any:
    """The sum of ``i**-a`` over the whole numbers i from `least` to `n`."""
    first, last = (np.asarray(x.decide() if isinstance(x, Recordable) else x) for x in (least, n))
    steps = np.arange(np.min(first), np.max(last) + 1.0)
    inside = (first[..., None] <= steps) & (steps <= last[..., None])
    terms = exp(-np.log(steps) * (a[..., None] if shape_of(a) else a))
    rows = where(inside, terms, 0.0)
    return sum_(rows, axis=(len(shape_of(rows)) - 1,), keepdims=False)


_WRITTEN: dict[str, Callable[..., Any]] = {
    "_beta_pdf": lambda x, a, b: beta_density(0.0, 0.0, 0.0, a, b, x, 1.0 - x),
    "_beta_ppf": lambda p, a, b: betaincinv(a, b, p),
    "_binom_cdf": lambda k, n, p: betaincc(floor(k) + 1.0, n - floor(k), p),
    "_binom_pmf": _binomial_mass,
    "_binom_sf": lambda k, n, p: betainc(floor(k) + 1.0, n - floor(k), p),
    "_cauchy_isf": lambda p, loc, scale: loc + scale / tan(math.pi * p),
    "_cauchy_ppf": lambda p, loc, scale: loc - scale / tan(math.pi * p),
    "_invgauss_isf": lambda p, mu, scale: scale * invgauss_isf(p, mu / scale),
    "_invgauss_ppf": lambda p, mu, scale: scale * invgauss_ppf(p, mu / scale),
    "_nbinom_cdf": lambda k, n, p: betainc(n, floor(k) + 1.0, p),
    "_nbinom_pmf": _negative_mass,
    "_nbinom_sf": lambda k, n, p: betaincc(n, floor(k) + 1.0, p),
    "_gen_harmonic": _powers,
    "_normalized_gen_harmonic": lambda j, k, n, a: _powers(k, a, j) / _powers(n, a),
}
for _name, _rule in _WRITTEN.items():
    if hasattr(_ufuncs, _name):  # versions of SciPy have other ones
        NUMPY[getattr(_ufuncs, _name)] = _rule
