"""Ops of an order: elementwise ops whose first input says which derivative of a family is meant.

The order is a whole number that stands on the tape as a constant, a float like the other inputs, so that a
rule can raise it. Users have no name for such an op.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tapegrad.ops.registry import Elementwise, Op, Partial, Shape, broadcast, register, written

ORDERS = 100  # more than anybody takes derivatives


def of_order(name: str, kernel: Callable[..., Any], *partials: Partial, samples: Any, least: int = 0) -> Op:
    """Declare an op of an order, its kernel ``kernel(order, *operands, out)`` with the order as an int.

    `partials` has those of the operands, `samples` the arguments for the test table, with the order in front,
    and `least` is the lowest order that the kernel knows.
    """

    def fits(shapes: list[Shape], values: list[Any]) -> bool:
        return values[0] is not None and all(is_order(n, least) for n in np.ravel(values[0]).tolist())

    return register(
        Op(
            name,
            _by_order(kernel, least),
            broadcast,
            Elementwise((None, *partials)),
            fits=fits,
            samples=tuple((arguments, {}) for arguments in samples),
        )
    )


def is_order(n: float, least: int = 0) -> bool:
    """Whether a number is the order of a derivative that a kernel can be asked for."""
    return least <= n < ORDERS and float(n).is_integer()


def _by_order(kernel: Callable[..., Any], least: int) -> Callable[..., Any]:
    """The kernel for an order that is one number, as almost always, or an array of them."""

    def of_any_order(order: Any, *operands: Any, out: Any = None) -> Any:
        if np.ndim(order) == 0:
            return kernel(int(order), *operands, out)
        value: Any = np.full(np.shape(order), np.nan)
        for n in set(np.ravel(order).tolist()):
            if is_order(n, least):
                value = np.where(np.equal(order, n), kernel(int(n), *operands, None), value)
        return written(value, out)

    return of_any_order
