"""Functions of one vector that come with their derivatives, as one op: what they are made of stays outside.

A marginal likelihood is such a function: it searches for a mode, and no tape holds a search.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from tapegrad.errors import TraceError
from tapegrad.ops.linalg import matmul
from tapegrad.ops.registry import Op, Products, Shape, register

Array = np.ndarray[Any, Any]
_MOST = 2


class Given(ABC):
    """A number as a function of a vector of shape (p,), with gradient and Hessian.

    Attributes
    ----------
    name : str
        What messages call it.
    """

    name: str

    @abstractmethod
    def value(self, x: Array) -> float:
        """The number."""

    @abstractmethod
    def gradient(self, x: Array) -> Array:
        """Its gradient, shape (p,)."""

    @abstractmethod
    def hessian(self, x: Array) -> Array:
        """Its Hessian, shape (p, p)."""

    def __repr__(self) -> str:
        return self.name


class _SumOfExponentials(Given):
    """The sample that the tests run."""

    name = "sum_of_exponentials"

    def value(self, x: Array) -> float:
        return float(np.exp(x).sum())

    def gradient(self, x: Array) -> Array:
        return np.exp(x)

    def hessian(self, x: Array) -> Array:
        return np.diag(np.exp(x))


_SAMPLE = _SumOfExponentials()
_X = np.array([0.5, -1.0, 0.3])


def _is_given(value: Any, shape: Shape) -> bool:
    return isinstance(value, Given)


def _is_derivative(value: Any, shape: Shape) -> bool:
    return type(value) is int and 0 <= value <= _MOST


def _kernel(x: Array, function: Given, order: int, out: Any = None) -> Any:
    found = (function.value, function.gradient, function.hessian)[order](np.asarray(x, dtype=np.float64))
    if out is None:
        return np.asarray(found)
    np.copyto(out, found)
    return out


def _next(x: Any, function: Given, order: int) -> Any:
    """The next derivative."""
    if order == _MOST:
        raise TraceError(
            f"{function.name} has a gradient and a Hessian; a third derivative was asked for, which it lacks"
        )
    return given(x, function=function, order=order + 1)


given: Op = register(
    Op(
        "given",
        _kernel,
        lambda shape, function, order: shape * order,
        Products(
            lambda i, t, out, x, function, order: matmul(_next(x, function, order), t),
            lambda i, ct, out, x, function, order: (
                ct * _next(x, function, order) if order == 0 else matmul(ct, _next(x, function, order))
            ),
        ),
        attrs={"function": _is_given, "order": _is_derivative},
        samples=(((_X,), {"function": _SAMPLE, "order": 0}),),
    )
)
