"""Distribution functions and quantiles of scipy.special, in terms of the incomplete gamma and beta functions.

The kernels are those of SciPy. Quantiles are differentiated implicitly: where ``F(s, x(s, p)) = p``, the
slope in p is 1 by the density, and that in a shape is minus the slope of F by the density.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tapegrad.ops.elementwise import exp, floor, log1p, sign, square
from tapegrad.ops.gammas import log_poch, polygamma_gain
from tapegrad.ops.incomplete_beta import beta_density, betainc_slope
from tapegrad.ops.incomplete_gamma import gamma_density, gammainc, gammainc_slope, gammaincc
from tapegrad.ops.normal import log_ndtr_slope, ndtri
from tapegrad.ops.raw import special
from tapegrad.ops.registry import Gate, Op, Per, elementwise, implements, written

P = np.array([0.2, 0.7])

# Quantiles of the gamma and beta distributions --------------------------------------------------------------


def _gamma_at(out: Any, a: Any, p: Any) -> Any:
    return gamma_density(0.0, 0.0, a, out)


def _gamma_shape(out: Any, a: Any, p: Any) -> Any:
    return gammainc_slope(1.0, a, out)


gammaincinv = elementwise(
    "gammaincinv",
    special.gammaincinv,
    (-1.0, _gamma_shape, Per(_gamma_at)),
    Per(_gamma_at),
    samples=((np.array([0.6, 3.0]), P),),
)
gammainccinv = elementwise(
    "gammainccinv",
    special.gammainccinv,
    (-1.0, _gamma_shape, Per(_gamma_at)),
    (-1.0, Per(_gamma_at)),
    samples=((np.array([0.6, 3.0]), P),),
)


def _beta_at(out: Any, a: Any, b: Any, p: Any) -> Any:
    return beta_density(0.0, 0.0, 0.0, a, b, out, 1.0 - out)


def _beta_in_a(out: Any, a: Any, b: Any, p: Any) -> Any:
    return betainc_slope(1.0, 0.0, a, b, out, 1.0 - out)


def _beta_in_b(out: Any, a: Any, b: Any, p: Any) -> Any:
    return betainc_slope(0.0, 1.0, a, b, out, 1.0 - out)


betaincinv = elementwise(
    "betaincinv",
    special.betaincinv,
    (-1.0, _beta_in_a, Per(_beta_at)),
    (-1.0, _beta_in_b, Per(_beta_at)),
    Per(_beta_at),
    samples=((np.array([0.6, 3.0]), 2.0, P),),
)
betainccinv = elementwise(
    "betainccinv",
    special.betainccinv,
    (-1.0, _beta_in_a, Per(_beta_at)),
    (-1.0, _beta_in_b, Per(_beta_at)),
    (-1.0, Per(_beta_at)),
    samples=((np.array([0.6, 3.0]), 2.0, P),),
)

# Student's t ------------------------------------------------------------------------------------------------


def _t_density_kernel(df: Any, t: Any, out: Any = None) -> Any:
    half = np.multiply(0.5, df)
    fall = (half + 0.5) * np.log1p(np.square(t) / df)
    return written(np.exp(log_poch.kernel(half, 0.5) - 0.5 * np.log(math.pi * df) - fall), out)


def _t_log_slope(df: Any, t: Any) -> Any:
    squared = square(t)
    gain = polygamma_gain(0.0, 0.5 * df, 0.5) - 1.0 / df
    return 0.5 * (gain - log1p(squared / df) + (df + 1.0) / df * squared / (df + squared))


# Where it is 0 it does not move, however large the argument.
t_density: Op = elementwise(
    "t_density",
    _t_density_kernel,
    (lambda out, df, t: _t_log_slope(df, t), Gate(lambda out, df, t: out)),
    (
        lambda out, df, t: -(df + 1.0),
        lambda out, df, t: t / (df + square(t)),
        Gate(lambda out, df, t: out),
    ),
    numpy=(),
    samples=((np.array([1.5, 8.0]), np.array([-1.3, 0.6])),),
)


def _t_in_df(df: Any, t: Any) -> Any:
    """The slope of the distribution function: ``1 - I(df / 2, 1 / 2, df / (df + t**2)) / 2`` to the right."""
    odds = square(t) / df
    tail = betainc_slope(1.0, 0.0, 0.5 * df, 0.5, 1.0 / (1.0 + odds), odds / (1.0 + odds))
    return -0.25 * sign(t) * tail - 0.5 * t / df * t_density(df, t)


stdtr = elementwise(
    "stdtr",
    special.stdtr,
    lambda out, df, t: _t_in_df(df, t),
    lambda out, df, t: t_density(df, t),
    samples=((np.array([1.5, 8.0]), np.array([-1.3, 0.6])),),
)
stdtrit = elementwise(
    "stdtrit",
    special.stdtrit,
    (-1.0, lambda out, df, p: _t_in_df(df, out), Per(lambda out, df, p: t_density(df, out))),
    Per(lambda out, df, p: t_density(df, out)),
    samples=((np.array([1.5, 8.0]), P),),
)

# F ----------------------------------------------------------------------------------------------------------
#
# F(a, b, x) = I(a / 2, b / 2, w), where the odds of w are a x / b.


def _shares(a: Any, b: Any, x: Any) -> tuple[Any, Any]:
    odds = a * x / b
    return 1.0 / (1.0 + 1.0 / odds), 1.0 / (1.0 + odds)


def _f_density(a: Any, b: Any, x: Any) -> Any:
    w, rest = _shares(a, b, x)
    return beta_density(0.0, 0.0, 0.0, 0.5 * a, 0.5 * b, w, rest) * w * rest / x


def _f_in_a(a: Any, b: Any, x: Any) -> Any:
    slope = betainc_slope(1.0, 0.0, 0.5 * a, 0.5 * b, *_shares(a, b, x))
    return 0.5 * slope + _f_density(a, b, x) * x / a


def _f_in_b(a: Any, b: Any, x: Any) -> Any:
    slope = betainc_slope(0.0, 1.0, 0.5 * a, 0.5 * b, *_shares(a, b, x))
    return 0.5 * slope - _f_density(a, b, x) * x / b


DFS = (np.array([1.5, 6.0]), 5.0)

fdtr = elementwise(
    "fdtr",
    special.fdtr,
    lambda out, a, b, x: _f_in_a(a, b, x),
    lambda out, a, b, x: _f_in_b(a, b, x),
    lambda out, a, b, x: _f_density(a, b, x),
    samples=((*DFS, np.array([0.4, 0.5])),),
)
fdtrc = elementwise(
    "fdtrc",
    special.fdtrc,
    (-1.0, lambda out, a, b, x: _f_in_a(a, b, x)),
    (-1.0, lambda out, a, b, x: _f_in_b(a, b, x)),
    (-1.0, lambda out, a, b, x: _f_density(a, b, x)),
    samples=((*DFS, np.array([0.4, 0.5])),),
)
fdtri = elementwise(
    "fdtri",
    special.fdtri,
    (-1.0, lambda out, a, b, p: _f_in_a(a, b, out), Per(lambda out, a, b, p: _f_density(a, b, out))),
    (-1.0, lambda out, a, b, p: _f_in_b(a, b, out), Per(lambda out, a, b, p: _f_density(a, b, out))),
    Per(lambda out, a, b, p: _f_density(a, b, out)),
    samples=((*DFS, np.array([0.2, 0.3])),),
)

# Gamma, chi squared and Poisson: the same numbers as those of gammainc, to the bit --------------------------


@implements(special.chdtr)
def chdtr(v: Any, x: Any) -> Any:
    """The chi squared distribution function."""
    return gammainc(v / 2.0, x / 2.0)


@implements(special.chdtrc)
def chdtrc(v: Any, x: Any) -> Any:
    """The survival function of chi squared."""
    return gammaincc(v / 2.0, x / 2.0)


@implements(special.chdtri)
def chdtri(v: Any, p: Any) -> Any:
    """The inverse of `chdtrc`."""
    return 2.0 * gammainccinv(v * 0.5, p)


@implements(special.gdtr)
def gdtr(a: Any, b: Any, x: Any) -> Any:
    """The gamma distribution function with the rate `a`."""
    return gammainc(b, a * x)


@implements(special.gdtrc)
def gdtrc(a: Any, b: Any, x: Any) -> Any:
    """The survival function of a gamma variable with the rate `a`."""
    return gammaincc(b, a * x)


@implements(special.pdtr)
def pdtr(k: Any, m: Any) -> Any:
    """The Poisson distribution function."""
    return gammaincc(floor(k) + 1.0, m)


@implements(special.pdtrc)
def pdtrc(k: Any, m: Any) -> Any:
    """The survival function of a Poisson variable."""
    return gammainc(floor(k) + 1.0, m)


# Binomial and negative binomial, whose counts are whole numbers ---------------------------------------------


def _binomial_density(out: Any, k: Any, n: Any, p: Any) -> Any:
    k = floor(k)
    return beta_density(0.0, 0.0, 0.0, k + 1.0, n - k, p, 1.0 - p)


def _negative_density(out: Any, k: Any, n: Any, p: Any) -> Any:
    return beta_density(0.0, 0.0, 0.0, n, k + 1.0, p, 1.0 - p)


def _of_counts(ufunc: Any) -> Any:
    """A kernel that gives SciPy whole numbers as integers: it warns of others."""

    def kernel(k: Any, n: Any, p: Any, out: Any = None) -> Any:
        with np.errstate(invalid="ignore"):
            k, n = np.floor(k).astype(int), np.asarray(n).astype(int)
        return ufunc(k, n, p, out=out)

    return kernel


def _count_op(name: str, slope: Any) -> Op:
    ufunc = getattr(special, name)
    samples = ((2, np.array([5, 9]), np.array([0.3, 0.2])),)
    return elementwise(name, _of_counts(ufunc), None, None, slope, numpy=(ufunc,), samples=samples)


bdtr = _count_op("bdtr", (-1.0, _binomial_density))
bdtrc = _count_op("bdtrc", _binomial_density)
nbdtr = _count_op("nbdtr", _negative_density)
nbdtrc = _count_op("nbdtrc", (-1.0, _negative_density))

# Normal -----------------------------------------------------------------------------------------------------

erfcinv: Op = elementwise(
    "erfcinv",
    special.erfcinv,
    (-0.5 * math.sqrt(math.pi), lambda out, x: exp(square(out))),
    domain=(0.2, 1.7),
)
# The inverse of log_ndtr.
ndtri_exp: Op = elementwise(
    "ndtri_exp", special.ndtri_exp, Per(lambda out, y: log_ndtr_slope(1.0, out)), domain=(-9.0, -0.2)
)


@implements(special.nrdtrimn)
def nrdtrimn(p: Any, std: Any, x: Any) -> Any:
    """The mean of a normal variable that is below `x` with the probability `p`."""
    return x - std * ndtri(p)


@implements(special.nrdtrisd)
def nrdtrisd(mn: Any, p: Any, x: Any) -> Any:
    """The standard deviation of a normal variable that is below `x` with the probability `p`."""
    return (x - mn) / ndtri(p)
