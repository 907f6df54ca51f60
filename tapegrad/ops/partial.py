"""Reductions as NumPy offers them: of some of the elements, and with something to begin with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tapegrad.ops import reductions
from tapegrad.ops.broadcasting import Axis, axes_of, broadcast_to, reduced
from tapegrad.ops.elementwise import add, logaddexp, mul, sqrt, square
from tapegrad.ops.logic import (
    less_equal,
    logical_and,
    logical_not,
    logical_or,
    maximum,
    minimum,
)
from tapegrad.ops.logic import where as where_
from tapegrad.ops.registry import implements
from tapegrad.ops.shaping import shape_of, to_float

Rule = Callable[..., Any]


def _or_else(nothing: float) -> Rule:
    return lambda a, where: where_(broadcast_to(where, shape=shape_of(a)), a, nothing)


def _begun(rule: Rule, kept: Rule, together: Rule) -> Rule:
    """`rule` with NumPy's `where=` and `initial=`.

    ``kept(a, where)`` has something in the place of what is left out that changes no result.
    """

    def reduce(
        a: Any, axis: Axis = None, keepdims: bool = False, initial: Any = None, where: Any = None
    ) -> Any:
        if where is not None:
            a = kept(a, where)
        if initial is None:
            return rule(a, axis, keepdims=keepdims)
        shape = reduced(shape_of(a), axes_of(a, axis), keepdims)
        if 0 in shape_of(a) and 0 not in shape:
            return broadcast_to(initial, shape=shape)
        return together(initial, rule(a, axis, keepdims=keepdims))

    reduce.__name__, reduce.__doc__ = rule.__name__, rule.__doc__
    return reduce


def _true_elsewhere(a: Any, where: Any) -> Any:
    return logical_or(a, logical_not(where))


sum = implements(np.sum, np.add.reduce)(_begun(reductions.sum, _or_else(0.0), add))
prod = implements(np.prod, np.multiply.reduce)(_begun(reductions.prod, _or_else(1.0), mul))
max = implements(np.max, np.amax, np.maximum.reduce)(_begun(reductions.max, _or_else(-np.inf), maximum))
min = implements(np.min, np.amin, np.minimum.reduce)(_begun(reductions.min, _or_else(np.inf), minimum))
all = implements(np.all, np.logical_and.reduce)(_begun(reductions.all, _true_elsewhere, logical_and))
any = implements(np.any, np.logical_or.reduce)(_begun(reductions.any, logical_and, logical_or))
implements(np.logaddexp.reduce)(_begun(reductions.logsumexp, _or_else(-np.inf), logaddexp))


def _count(a: Any, axis: Axis, keepdims: bool, where: Any) -> Any:
    """How many elements each result is made of."""
    if where is None:
        shape = shape_of(a)
        return float(np.prod([shape[i] for i in axes_of(a, axis)], dtype=int))
    return sum(to_float(broadcast_to(where, shape=shape_of(a))), axis, keepdims)


@implements(np.mean)
def mean(a: Any, axis: Axis = None, keepdims: bool = False, *, where: Any = None) -> Any:
    """NumPy's `mean`."""
    return sum(a, axis, keepdims, where=where) / _count(a, axis, keepdims, where)


@implements(np.var)
def var(
    a: Any,
    axis: Axis = None,
    *,
    ddof: float = 0,
    keepdims: bool = False,
    where: Any = None,
    mean: Any = None,
    correction: float | None = None,
) -> Any:
    """NumPy's `var`: the mean squared distance from the mean, divided by ``N - ddof``."""
    ddof = ddof if correction is None else correction
    if where is None and mean is None:
        return reductions.var(a, axis, ddof=ddof, keepdims=keepdims)
    middle = mean_(a, axis, True, where=where) if mean is None else mean
    squares = sum(square(a - middle), axis, keepdims, where=where)
    freedom = _count(a, axis, keepdims, where) - ddof
    # Where nothing is left, NumPy divides by 0.
    return squares / where_(less_equal(freedom, 0.0), 0.0, freedom)


mean_ = mean


@implements(np.std)
def std(
    a: Any,
    axis: Axis = None,
    *,
    ddof: float = 0,
    keepdims: bool = False,
    where: Any = None,
    mean: Any = None,
    correction: float | None = None,
) -> Any:
    """NumPy's `std`."""
    return sqrt(var(a, axis, ddof=ddof, keepdims=keepdims, where=where, mean=mean, correction=correction))
