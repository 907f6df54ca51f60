"""Helpers of all distributions: they convert arguments, check parameters and mark impossible points."""

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

# A number, an array, a sequence of numbers, or a traced value: what NumPy's functions take.
Operand: TypeAlias = Any

_LOG_2 = np.log(2.0)
_LOG_TINY = -40.0  # below, the exponential of a number is nothing next to 1

quiet = np.errstate(divide="ignore", over="ignore", invalid="ignore")


def operand(value: Operand) -> Any:
    """Sequences, arrays and pandas objects as float64 arrays; numbers and traced values as they are."""
    if isinstance(value, list | tuple | np.ndarray | np.generic) or hasattr(value, "to_numpy"):
        array = np.asarray(value)
        # On int8, bool or float32 data scipy.special would compute in float32.
        return array.astype(np.float64, copy=False) if array.dtype.kind in "biuf" else array
    return value


def shift(x: Operand, loc: Operand) -> Any:
    """``x - loc``, and `x` itself for the default `loc`, so that a tape has no entry for it."""
    x = operand(x)
    return x if isinstance(loc, int | float) and loc == 0 else np.subtract(x, operand(loc))


def valid(parameter: Operand, holds: Any) -> Any:
    """The parameter, and ``nan`` where its condition does not hold."""
    parameter = operand(parameter)
    return parameter if _is_plain(holds) and np.all(holds) else choose(holds, parameter, np.nan)


def positive(scale: Operand) -> Any:
    """The parameter, and ``nan`` where it is not above 0."""
    return valid(scale, np.greater(scale, 0))


def not_a_count(k: Any) -> Any:
    """Where `k` is negative or not whole."""
    # Written so that it is False for nan, which must come out as nan and not as an impossible count.
    return np.logical_or(np.less(k, 0), np.less(np.floor(k), k))


def replace(value: Any, outside: Any, by: Any, *parameters: Any) -> Any:
    """`value`, and `by` where `outside` holds and no parameter is ``nan``."""
    if _is_plain(outside) and not np.any(outside):
        return value
    for parameter in parameters:
        outside = np.logical_and(outside, np.logical_not(np.isnan(parameter)))
    return choose(outside, by, value)


def at_edge(value: Any, edge: Any, exponent: Any, otherwise: Any, *parameters: Any) -> Any:
    """`value`, and at the `edge`, where the density is a power of the distance, what its exponent says."""
    if _is_plain(edge) and not np.any(edge):
        return value
    for parameter in parameters:
        edge = np.logical_and(edge, np.logical_not(np.isnan(parameter)))
    there = choose(np.equal(exponent, 0), otherwise, np.nan)
    there = choose(np.greater(exponent, 0), -np.inf, choose(np.less(exponent, 0), np.inf, there))
    return choose(edge, there, value)


def standardize(x: Operand, loc: Operand, scale: Operand) -> tuple[Any, Any]:
    """``(x - loc) / scale`` and the scale, which is ``nan`` where it is not valid."""
    scale = positive(scale)
    x = shift(x, loc)
    return x if isinstance(scale, int | float) and scale == 1 else x / scale, scale


def probability(p: Operand) -> Any:
    """The probability, and ``nan`` where it is none."""
    return valid(p, np.logical_and(np.greater_equal(p, 0), np.less_equal(p, 1)))


def level_below(p: Operand) -> Any:
    """The quantile of the exponential distribution, of which those of many others are functions."""
    return -np.log1p(-probability(p))


def level_above(q: Operand) -> Any:
    """The same by the probability above it."""
    return -np.log(probability(q))


def placed(z: Any, loc: Operand, scale: Any) -> Any:
    """``z * scale + loc``, without a step for what is the default."""
    z = z if isinstance(scale, int | float) and scale == 1 else z * scale
    return z if isinstance(loc, int | float) and loc == 0 else z + operand(loc)


def outside_or_infinite(x: Any, outside: Any) -> Any:
    """Where a density is 0: outside the support, and at infinity, where a formula may have inf - inf."""
    return np.logical_or(outside, np.isinf(x))


def log1mexp(z: Any) -> Any:
    """``log(1 - exp(-z))`` for z >= 0, accurate at both ends.

    The two forms and the point between them are those of M. Maechler, "Accurately computing
    log(1 - exp(-|a|))" (2012), equation 7.
    """
    return choose(np.less(z, _LOG_2), np.log(-np.expm1(-z)), np.log1p(-np.exp(-z)))


def log1mexp_of_exp(log_z: Any) -> Any:
    """``log(1 - exp(-z))`` of a number z whose logarithm is given, also where z underflows."""
    tiny = np.less(log_z, _LOG_TINY)
    return choose(tiny, log_z, log1mexp(np.exp(choose(tiny, 0.0, log_z))))


def log_of_part(part: Any, rest: Any) -> Any:
    """The logarithm of a probability that is given with that of the contrary."""
    return choose(np.less(part, 0.5), np.log(part), np.log1p(-rest))


def choose(condition: Any, a: Any, b: Any) -> Any:
    """`np.where`, with a number for numbers."""
    chosen = np.where(condition, a, b)
    # For numbers NumPy gives an array without axes; indexing turns it into a number.
    return chosen[()] if isinstance(chosen, np.ndarray) else chosen


def _is_plain(mask: Any) -> bool:
    return isinstance(mask, np.ndarray | np.generic)


class Distribution:
    """What the logarithms give: distribution function and survival function."""

    logcdf: Callable[..., Any]
    logsf: Callable[..., Any]

    @classmethod
    @quiet
    def cdf(cls, *arguments: Operand, **named: Operand) -> Any:
        """Probability of values up to the first argument, with the arguments of `logcdf`."""
        return np.exp(cls.logcdf(*arguments, **named))

    @classmethod
    @quiet
    def sf(cls, *arguments: Operand, **named: Operand) -> Any:
        """Probability of values above the first argument, with the arguments of `logsf`."""
        return np.exp(cls.logsf(*arguments, **named))


class ByParts(Distribution):
    """The logarithms of `cdf` and `sf` where these are computed apart: each from the smaller of both."""

    @classmethod
    @quiet
    def logcdf(cls, *arguments: Operand, **named: Operand) -> Any:
        """Log of `cdf`, with the same arguments."""
        return log_of_part(cls.cdf(*arguments, **named), cls.sf(*arguments, **named))

    @classmethod
    @quiet
    def logsf(cls, *arguments: Operand, **named: Operand) -> Any:
        """Log of `sf`, with the same arguments."""
        return log_of_part(cls.sf(*arguments, **named), cls.cdf(*arguments, **named))


class Continuous(Distribution):
    """The same with a density."""

    logpdf: Callable[..., Any]

    @classmethod
    @quiet
    def pdf(cls, *arguments: Operand, **named: Operand) -> Any:
        """Density, the exponential of `logpdf`, with the same arguments."""
        return np.exp(cls.logpdf(*arguments, **named))


class Discrete(Distribution):
    """The same with a mass."""

    logpmf: Callable[..., Any]

    @classmethod
    @quiet
    def pmf(cls, *arguments: Operand, **named: Operand) -> Any:
        """Probability of `k`, the exponential of `logpmf`, with the same arguments."""
        return np.exp(cls.logpmf(*arguments, **named))
