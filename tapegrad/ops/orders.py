"""Ops of an order: elementwise ops whose first inputs say which derivative of a family is meant.

An order is a whole number that stands on the tape as a constant, a float like the other inputs, so that a
rule can raise it. Most families have one order, some have one for each argument. Users have no name for such
an op.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tapegrad.errors import TraceError
from tapegrad.ops.registry import Elementwise, Op, Partial, Recordable, Shape, broadcast, register, written

ORDERS = 100  # more than anybody takes derivatives


def of_order(
    name: str,
    kernel: Callable[..., Any],
    *partials: Partial,
    samples: Any,
    least: int = 0,
    orders: int = 1,
    c: str = "",
) -> Op:
    """Declare an op of so many `orders`, its kernel ``kernel(*orders, *operands, out)`` with orders as ints.

    `partials` has those of the operands, and `samples` the arguments for the test table, with the orders in
    front. `least` is the lowest order that the kernel knows. `c` is the form in C.
    """

    def fits(shapes: list[Shape], values: list[Any]) -> bool:
        return all(
            value is not None and all(is_order(n, least) for n in np.ravel(value).tolist())
            for value in values[:orders]
        )

    return register(
        Op(
            name,
            _by_order(kernel, least, orders),
            broadcast,
            Elementwise((*(None,) * orders, *partials)),
            fits=fits,
            samples=tuple((arguments, {}) for arguments in samples),
            arity=range(orders + len(partials), orders + len(partials) + 1),
            c=c,
        )
    )


def is_order(n: float, least: int = 0) -> bool:
    """Whether a number is the order of a derivative that a kernel can be asked for."""
    return least <= n < ORDERS and float(n).is_integer()


def _by_order(kernel: Callable[..., Any], least: int, orders: int) -> Callable[..., Any]:
    """The kernel for orders that are one number each, as almost always, or arrays of them."""

    def of_any_order(*arguments: Any, out: Any = None) -> Any:
        first, operands = arguments[:orders], arguments[orders:]
        if all(np.ndim(order) == 0 for order in first):
            return kernel(*map(int, first), *operands, out)
        first = np.broadcast_arrays(*first)
        value: Any = np.full(first[0].shape, np.nan)
        for found in set(zip(*(np.ravel(order).tolist() for order in first), strict=True)):
            if all(is_order(n, least) for n in found):
                here = np.logical_and.reduce(
                    [np.equal(order, n) for order, n in zip(first, found, strict=True)]
                )
                value = np.where(here, kernel(*map(int, found), *operands, None), value)
        return written(value, out)

    return of_any_order


def no_slope_in(name: str, what: str) -> Callable[..., Any]:
    """A partial where a derivative exists but is not known: an error, or NaN for plain numbers."""

    def refuse(out: Any, *inputs: Any) -> Any:
        if not any(isinstance(x, Recordable) for x in (out, *inputs)):
            return out * math.nan
        raise TraceError(
            f"tapegrad knows no derivative of {name} in {what}: this must not move with the parameters"
        )

    return refuse
