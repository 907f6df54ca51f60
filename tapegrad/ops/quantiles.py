"""Quantiles of distributions whose distribution function has no inverse of closed form.

An op of each tail: ``gamma_ppf(p, a)`` has the probability p below it, and ``gamma_isf(q, a)`` has q above
it. Both solve the equation of the smaller tail, see `tapegrad.ops.solving`, from where SciPy's inverse leads,
or from the quantile of a similar distribution. They are differentiated implicitly: where ``F(x, s) = p``, the
slope in p is 1 by the density, and that in a shape is minus the slope of F by the density.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tapegrad.ops.distributions import _t_in_df, t_density
from tapegrad.ops.elementwise import absolute, log, sign, sqrt, square
from tapegrad.ops.gammas import polygamma_gain
from tapegrad.ops.incomplete_beta import _log_factor, beta_density, betainc_slope
from tapegrad.ops.incomplete_gamma import _beside, _log_term, gamma_density, gammainc_slope
from tapegrad.ops.logic import greater, less, where
from tapegrad.ops.raw import special
from tapegrad.ops.registry import Op, Partial, Per, elementwise, written
from tapegrad.ops.solving import Tail, solve
from tapegrad.ops.tails import on_columns

LEAST = 1e-300
TINY = -650.0  # the logarithm of what leaves the range of doubles soon
POSITIVE = 5e-324  # the smallest number above 0
P = np.array([0.2, 0.7, 0.45])
# ``solution(p, is_lower, *shapes)`` for the smaller tail p, which is the lower or the upper one.
Solution = Callable[..., Any]


def _kernel(solution: Solution, upper: bool, low: float, high: float, shapes_from: float) -> Any:
    """With the ends of the support for probabilities of 0 and 1, and NaN where an argument is not valid."""

    def kernel(p: Any, *shapes: Any, out: Any = None) -> Any:
        def f(p: Any, *shapes: Any) -> Any:
            valid = (p >= 0.0) & (p <= 1.0)
            for shape in shapes:
                valid &= (shape >= shapes_from) & np.isfinite(shape)
            inside = valid & (p > 0.0) & (p < 1.0)
            found = np.where(p == float(upper), low, np.where(p == float(not upper), high, np.nan))
            found[~valid] = np.nan
            level = p[inside]
            is_lower = (level <= 0.5) != upper
            tail = np.minimum(level, 1.0 - level)
            found[inside] = solution(tail, is_lower, *(s[inside] for s in shapes)) + 0.0  # no minus 0
            return found

        return written(on_columns(f, p, *shapes), out)

    return kernel


def quantile_op(
    name: str,
    upper: bool,
    solution: Solution,
    density: Callable[..., Any],
    slopes: tuple[Partial, ...],
    samples: tuple[Any, ...],
    ends: tuple[float, float] = (0.0, np.inf),
    shapes_from: float = POSITIVE,
) -> Op:
    """The op of one tail; `slopes` are the derivatives of the quantile in the shapes.

    `density` and `slopes` take the quantile, the probability and the shapes.
    """
    kernel = _kernel(solution, upper, *ends, shapes_from)
    in_p = (-1.0 if upper else 1.0, Per(density))
    return elementwise(
        f"{name}_{'isf' if upper else 'ppf'}", kernel, in_p, *slopes, numpy=(), samples=(samples,)
    )


def by_density(slope: Callable[..., Any], density: Callable[..., Any]) -> Partial:
    """Minus the slope of the distribution function by the density; 0 at the ends, where both are 0."""
    return -1.0, slope, Per(density, of_nothing=True)


# Gamma ------------------------------------------------------------------------------------------------------


def _gamma_tail(cdf: Any, way: float) -> Tail:
    def slope(x: Any, value: Any, a: Any) -> Any:
        return way * np.exp(_log_term(a, x) - value) * (a / x)

    return Tail(lambda x, a: np.log(cdf(a, x)), slope)


_BELOW, _ABOVE = _gamma_tail(special.gammainc, 1.0), _gamma_tail(special.gammaincc, -1.0)


def _gamma(p: Any, is_lower: Any, a: Any) -> Any:
    def lower(p: Any, a: Any) -> Any:
        start = np.maximum(special.gammaincinv(a, p), LEAST)
        return solve(_BELOW, np.log(p), start, a, rises=True, positive=True)

    def upper(p: Any, a: Any) -> Any:
        start = np.maximum(special.gammainccinv(a, p), LEAST)
        return solve(_ABOVE, np.log(p), start, a, rises=False, positive=True)

    below = np.where(is_lower, np.log(p), np.log1p(-p))
    log_power = (below + special.gammaln(a + 1.0)) / a  # which is all where x is tiny

    def ordinary(p: Any, is_lower: Any, a: Any, log_power: Any) -> Any:
        return _beside(is_lower, lower, upper, p, a)

    def tiny(p: Any, is_lower: Any, a: Any, log_power: Any) -> Any:
        return np.exp(log_power)

    return _beside(log_power < TINY, tiny, ordinary, p, is_lower, a, log_power)


def _gamma_at(out: Any, p: Any, a: Any) -> Any:
    return gamma_density(0.0, 0.0, a, out)


gamma_ppf, gamma_isf = (
    quantile_op(
        "gamma",
        upper,
        _gamma,
        _gamma_at,
        (by_density(lambda out, p, a: gammainc_slope(1.0, a, out), _gamma_at),),
        (P, np.array([0.6, 3.0, 40.0])),
    )
    for upper in (False, True)
)

# Beta: the odds, which tell how much is left up to 1 as well ------------------------------------------------


def _beta_tail(cdf: Any, way: float) -> Tail:
    def slope(x: Any, value: Any, a: Any, b: Any) -> Any:
        y = 1.0 - x
        return way * np.exp(_log_factor(a, b, x, y) - value) / (x * y)

    return Tail(lambda x, a, b: np.log(cdf(a, b, x)), slope)


_LEFT, _RIGHT = _beta_tail(special.betainc, 1.0), _beta_tail(special.betaincc, -1.0)


def _beta_near_0(p: Any, is_lower: Any, a: Any, b: Any) -> Any:
    """The quantile where it is at most a half."""
    below = np.where(is_lower, np.log(p), np.log1p(-p))
    log_power = (below + np.log(a) + special.betaln(a, b)) / a

    def started(start: Any, log_power: Any) -> Any:
        return np.where((start > 0.0) & (start <= 0.5), start, np.exp(np.clip(log_power, TINY, -0.7)))

    def lower(p: Any, a: Any, b: Any, log_power: Any) -> Any:
        start = started(special.betaincinv(a, b, p), log_power)
        return solve(_LEFT, np.log(p), start, a, b, rises=True, positive=True)

    def upper(p: Any, a: Any, b: Any, log_power: Any) -> Any:
        start = started(special.betainccinv(a, b, p), log_power)
        return solve(_RIGHT, np.log(p), start, a, b, rises=False, positive=True)

    def ordinary(p: Any, is_lower: Any, a: Any, b: Any, log_power: Any) -> Any:
        return _beside(is_lower, lower, upper, p, a, b, log_power)

    def tiny(p: Any, is_lower: Any, a: Any, b: Any, log_power: Any) -> Any:
        return np.exp(log_power)

    return _beside(log_power < TINY, tiny, ordinary, p, is_lower, a, b, log_power)


def _odds(p: Any, is_lower: Any, a: Any, b: Any) -> Any:
    half = _beside(is_lower, special.betainc, special.betaincc, a, b, np.full(p.shape, 0.5))
    left = np.where(is_lower, p <= half, p >= half)
    found = _beta_near_0(p, is_lower == left, np.where(left, a, b), np.where(left, b, a))
    odds = found / (1.0 - found)
    return np.where(left, odds, 1.0 / odds)


def _parts(odds: Any) -> tuple[Any, Any]:
    """The share and what is left of it up to 1, in forms whose slopes do not cancel."""
    return where(less(odds, 1.0), odds / (1.0 + odds), 1.0 / (1.0 + 1.0 / odds)), 1.0 / (1.0 + odds)


def _odds_density(out: Any, p: Any, a: Any, b: Any) -> Any:
    x, y = _parts(out)
    return beta_density(0.0, 0.0, 0.0, a, b, x, y) * x * y / out


odds_ppf, odds_isf = (
    quantile_op(
        "odds",
        upper,
        _odds,
        _odds_density,
        (
            by_density(lambda out, p, a, b: betainc_slope(1.0, 0.0, a, b, *_parts(out)), _odds_density),
            by_density(lambda out, p, a, b: betainc_slope(0.0, 1.0, a, b, *_parts(out)), _odds_density),
        ),
        (P, np.array([0.6, 3.0, 2.0]), np.array([2.0, 0.8, 9.0])),
    )
    for upper in (False, True)
)

# Student's t ------------------------------------------------------------------------------------------------

ALL_BUT_NORMAL = 1e17


def _t(p: Any, is_lower: Any, df: Any) -> Any:
    """By the odds of a beta distribution: that of ``t**2 / df``, or of its reciprocal in the tails."""
    half = np.full(p.shape, 0.5)

    def centre(p: Any, df: Any, half: Any) -> Any:
        some = np.maximum(1.0 - 2.0 * p, LEAST)  # up to a half
        return np.where(p == 0.5, 0.0, np.sqrt(df * _odds(some, some > 0.0, half, 0.5 * df)))

    def tail(p: Any, df: Any, half: Any) -> Any:
        found = np.sqrt(df / _odds(2.0 * p, p > 0.0, 0.5 * df, half))
        log_power = (np.log(p * df) + special.betaln(0.5 * df, half)) / (0.5 * df)
        return np.where(log_power < TINY, np.exp(0.5 * (np.log(df) - log_power)), found)

    def by_beta(p: Any, df: Any, half: Any) -> Any:
        return _beside(p > 0.25, centre, tail, p, df, half)

    def by_normal(p: Any, df: Any, half: Any) -> Any:
        return -special.ndtri(p)

    return np.where(is_lower, -1.0, 1.0) * _beside(df > ALL_BUT_NORMAL, by_normal, by_beta, p, df, half)


def _far(out: Any, df: Any) -> Any:
    return greater(absolute(out), sqrt(df))


def _is_power(out: Any, df: Any) -> Any:
    """Whether the tail is a power of the quantile, whose square is out of range."""
    return greater(absolute(out), 1e120 * (1.0 + sqrt(df)))


def _smaller(p: Any) -> Any:
    return where(less(p, 0.5), p, 1.0 - p)


def _flow(out: Any, p: Any, df: Any) -> Any:
    """The size of the quantile times the density, which may be below the range of doubles."""
    x, y = _parts(df / square(out))
    flow = beta_density(0.0, 0.0, 0.0, 0.5 * df, 0.5, x, y) * x * y
    return where(_is_power(out, df), df * _smaller(p), flow)


def _t_at(out: Any, p: Any, df: Any) -> Any:
    """The density, times the size of the quantile where this is large."""
    return where(_far(out, df), _flow(out, p, df), t_density(df, out))


def _t_size(out: Any, p: Any, df: Any) -> Any:
    return where(_far(out, df), absolute(out), 1.0)


def _t_slope(out: Any, p: Any, df: Any) -> Any:
    """The slope of the distribution function in the degrees of freedom."""
    x, y = _parts(df / square(out))
    beyond = 0.25 * betainc_slope(1.0, 0.0, 0.5 * df, 0.5, x, y) + 0.5 / df * _flow(out, p, df)
    log_x = log(df) - 2.0 * log(absolute(out))
    of_power = 0.5 * _smaller(p) * (log_x + 1.0 - 2.0 / df + polygamma_gain(0.0, 0.5 * df, 0.5))
    beyond = where(_is_power(out, df), of_power, beyond)
    return where(_far(out, df), -sign(out) * beyond, _t_in_df(df, out))


t_ppf: Op = elementwise(
    "t_ppf",
    _kernel(_t, False, -np.inf, np.inf, POSITIVE),
    (Per(_t_at), _t_size),
    (-1.0, _t_slope, Per(_t_at, of_nothing=True), _t_size),
    numpy=(),
    samples=((P, np.array([1.5, 8.0, 0.6])),),
)
