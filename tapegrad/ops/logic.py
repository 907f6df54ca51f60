"""Comparisons, logicals, and the ops that choose between values.

None of these ever guards: what they choose is decided anew on every replay.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from tapegrad.ops.broadcasting import unbroadcast, write_where
from tapegrad.ops.registry import (
    BOOL,
    FLOAT,
    Linear,
    Op,
    Products,
    broadcast,
    elementwise,
    implements,
    register,
)
from tapegrad.ops.shaping import shape_of

# Comparisons and logicals: no derivative --------------------------------------------------------------------

equal = elementwise(
    "equal", np.equal, None, None, gives=BOOL, scalar=operator.eq, python="{0} == {1}", c="{0} == {1}"
)
not_equal = elementwise(
    "not_equal",
    np.not_equal,
    None,
    None,
    gives=BOOL,
    scalar=operator.ne,
    python="{0} != {1}",
    c="{0} != {1}",
)
less = elementwise(
    "less", np.less, None, None, gives=BOOL, scalar=operator.lt, python="{0} < {1}", c="{0} < {1}"
)
less_equal = elementwise(
    "less_equal",
    np.less_equal,
    None,
    None,
    gives=BOOL,
    scalar=operator.le,
    python="{0} <= {1}",
    c="{0} <= {1}",
)
greater = elementwise(
    "greater", np.greater, None, None, gives=BOOL, scalar=operator.gt, python="{0} > {1}", c="{0} > {1}"
)
greater_equal = elementwise(
    "greater_equal",
    np.greater_equal,
    None,
    None,
    gives=BOOL,
    scalar=operator.ge,
    python="{0} >= {1}",
    c="{0} >= {1}",
)

isnan = elementwise("isnan", np.isnan, None, gives=BOOL, c="{0} != {0}")
isinf = elementwise("isinf", np.isinf, None, gives=BOOL, c="fabs({0}) == INFINITY")
isfinite = elementwise("isfinite", np.isfinite, None, gives=BOOL, c="fabs({0}) < INFINITY")
signbit = elementwise("signbit", np.signbit, None, gives=BOOL, c="signbit({0}) != 0")

logical_and = elementwise(
    "logical_and",
    np.logical_and,
    None,
    None,
    takes=(BOOL,),
    gives=BOOL,
    numpy=(np.logical_and, np.bitwise_and),
    c="{0} & {1}",
)
logical_or = elementwise(
    "logical_or",
    np.logical_or,
    None,
    None,
    takes=(BOOL,),
    gives=BOOL,
    numpy=(np.logical_or, np.bitwise_or),
    c="{0} | {1}",
)
logical_xor = elementwise(
    "logical_xor",
    np.logical_xor,
    None,
    None,
    takes=(BOOL,),
    gives=BOOL,
    numpy=(np.logical_xor, np.bitwise_xor),
    c="{0} ^ {1}",
)
logical_not = elementwise(
    "logical_not",
    np.logical_not,
    None,
    takes=(BOOL,),
    gives=BOOL,
    numpy=(np.logical_not, np.invert),
    c="{0} ^ 1",
)

# Choices ----------------------------------------------------------------------------------------------------


def _where(c: Any, x: Any, y: Any, out: Any = None) -> Any:
    if out is None:
        return np.where(c, x, y)
    return write_where(c, x, y, out)


def _where_transpose(i: int, ct: Any, c: Any, x: Any, y: Any) -> Any:
    kept = where(c, ct, 0.0) if i == 1 else where(c, 0.0, ct)
    return unbroadcast(kept, shape_of(x if i == 1 else y))


where = register(
    Op(
        "where",
        _where,
        broadcast,
        Linear(_where_transpose, arguments=(1, 2)),
        takes=(BOOL, FLOAT, FLOAT),
        masks=True,
        samples=(
            ((np.bool_(True), 1.5, 2.5), {}),
            ((np.array([True, False, True]), np.array([1.0, 2.0, 3.0]), np.array([4.0, 5.0, 6.0])), {}),
            ((np.array([[True], [False]]), np.array([1.0, 2.0, 3.0]), 7.0), {}),
            ((False, np.array([[1.0, 2.0]]), np.array([[3.0], [4.0]])), {}),
        ),
        c="tg_where({0}, {1}, {2})",
    )
)


@implements(np.where)
def where_(condition: Any, x: Any = None, y: Any = None) -> Any:
    """NumPy's three-argument `where`."""
    if x is None or y is None:
        raise TypeError(
            "np.where with a condition alone gives as many indices as elements are true, which a tape cannot "
            "follow: write np.where(condition, x, y)"
        )
    return where(condition, x, y)


# What was not chosen has no influence, be it through an infinite cotangent or through an infinite tangent: so
# these choose between them as the op itself chooses, and multiply only at ties.


def _extreme(name: str, kernel: Any, is_ahead: Callable[[Any, Any], Any], c: str) -> Op:
    """The larger or smaller of two; ties share equally, whatever the order of the arguments."""

    def chosen(i: int, moving: Any, x: Any, y: Any) -> Any:
        tied = where(equal(x, y), moving * 0.5, 0.0)
        return where(is_ahead(x, y) if i == 0 else is_ahead(y, x), moving, tied)

    def vjp(i: int, ct: Any, out: Any, x: Any, y: Any) -> Any:
        return unbroadcast(chosen(i, ct, x, y), shape_of(y if i else x))

    rule = Products(jvp=lambda i, t, out, x, y: chosen(i, t, x, y), vjp=vjp)
    domain = ((-2.0, 2.0), (-2.0, 2.0))
    return register(Op(name, kernel, broadcast, rule, masks=True, c=c, numpy=(kernel,), domain=domain))


def _or_missing(is_ahead: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    return lambda x, y: logical_or(is_ahead(x, y), isnan(y))


maximum = _extreme("maximum", np.maximum, greater, "tg_maximum({0}, {1})")
minimum = _extreme("minimum", np.minimum, less, "tg_minimum({0}, {1})")
fmax = _extreme("fmax", np.fmax, _or_missing(greater), "tg_fmax({0}, {1})")
fmin = _extreme("fmin", np.fmin, _or_missing(less), "tg_fmin({0}, {1})")


@implements(np.clip)
def clip(a: Any, a_min: Any = None, a_max: Any = None, *, min: Any = None, max: Any = None) -> Any:
    """NumPy's `clip`: ``minimum(maximum(a, a_min), a_max)``, with their choice at ties."""
    lower, upper = (a_min if min is None else min), (a_max if max is None else max)
    if lower is not None:
        a = maximum(a, lower)
    return a if upper is None else minimum(a, upper)
