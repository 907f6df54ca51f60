"""Helpers of all distributions: they convert arguments, check parameters and mark impossible points."""

from typing import Any, TypeAlias

import numpy as np

# A number, an array, a sequence of numbers, or a traced value: what NumPy's functions take.
Operand: TypeAlias = Any

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


def replace(value: Any, outside: Any, by: float, *parameters: Any) -> Any:
    """`value`, and `by` where `outside` holds and no parameter is ``nan``."""
    if _is_plain(outside) and not np.any(outside):
        return value
    for parameter in parameters:
        outside = np.logical_and(outside, np.logical_not(np.isnan(parameter)))
    return choose(outside, by, value)


def choose(condition: Any, a: Any, b: Any) -> Any:
    """`np.where`, with a number for numbers."""
    chosen = np.where(condition, a, b)
    # For numbers NumPy gives an array without axes; indexing turns it into a number.
    return chosen[()] if isinstance(chosen, np.ndarray) else chosen


def _is_plain(mask: Any) -> bool:
    return isinstance(mask, np.ndarray | np.generic)
