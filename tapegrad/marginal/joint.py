"""A joint log-likelihood of parameters and random effects, with its derivatives in both."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tapegrad.function.derived import HVP
from tapegrad.function.traced import TracedFunction
from tapegrad.marginal.kinds import Kinds
from tapegrad.marginal.layout import Layout

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class Point:
    """The joint log-likelihood at some parameters and random effects.

    Attributes
    ----------
    value : float
    slope : ndarray, shape (q,)
        Its gradient in the random effects.
    curvature : ndarray, shape (nnz,)
        The stored elements of minus its Hessian in the random effects, in the order of the layout.
    layout : Layout
    """

    value: float
    slope: Array
    curvature: Array
    layout: Layout

    @property
    def is_finite(self) -> bool:
        """Whether all of it is finite."""
        return bool(
            np.isfinite(self.value) and np.isfinite(self.slope).all() and np.isfinite(self.curvature).all()
        )


class Joint:
    """A traced joint log-likelihood f, some of whose parameters are to be integrated out.

    Parameters
    ----------
    function : TracedFunction
    leaves : sequence of int
        Which of its parameter leaves are the random effects.

    Attributes
    ----------
    inner, outer : ndarray of int
        Where the random effects, and the parameters, stand in the flat vector of both.
    """

    def __init__(self, function: TracedFunction, leaves: Sequence[int], kinds: Kinds | None = None) -> None:
        self.function = function
        self.leaves = tuple(leaves)
        of_leaf = [np.arange(leaf.place.start, leaf.place.stop) for leaf in function.structure.leaves]
        rest = [i for i in range(len(of_leaf)) if i not in self.leaves]
        self.inner = np.concatenate([of_leaf[i] for i in self.leaves])
        self.outer = np.concatenate([np.empty(0, dtype=np.intp), *(of_leaf[i] for i in rest)])
        self._kinds = kinds or Kinds(self.leaves, self.inner, function.backend in ("auto", "c"))

    def with_data(self, **data: Any) -> Joint:
        """The same on other data of the same shapes."""
        return Joint(self.function.with_data(**data), self.leaves, self._kinds)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the random effects."""
        names = self.function.names
        return tuple(names[i] for i in self.inner)

    def vector(self, theta: Array, u: Array) -> Array:
        """Parameters and random effects as the flat vector of both."""
        x = np.empty(self.function.structure.size)
        x[self.outer] = theta
        x[self.inner] = u
        return x

    def at(self, theta: Array, u: Array) -> Point:
        """f with its gradient and its Hessian in the random effects."""
        (value, slope, elements), tapes = self.function.run(self._kinds.inner, self.vector(theta, u))
        return Point(value, slope, -elements, self._kinds.layouts[tapes])

    def swept(self, x: Array, weights: Array, times: float = 1.0) -> Array:
        """The gradient of `times` f plus the weighted elements of its Hessian in u, weights held.

        Its shape is (p + q,).
        """
        outputs, _ = self.function.run(self._kinds.sweep, np.concatenate([x, [times], weights]))
        return self.function.structure.join(outputs)

    def hessian_columns(self, x: Array, directions: Iterable[Array]) -> list[Array]:
        """The Hessian of f in both, times directions in both, shape (p + q,)."""
        products, _ = self.function.run(HVP, x, directions)
        return [self.function.structure.join(product) for product in products]

    def second(
        self, x: Array, v: Array, weights: Array, directions: Iterable[Array], times: float = 1.0
    ) -> tuple[list[Array], list[Array]]:
        """Two products with each of some directions in both.

        The first are those of the Hessian of `times` f, plus v times its gradient in u, plus the weighted
        elements of its Hessian in u, with v and the weights held: shape (p + q,). The second are how the
        elements of minus the Hessian in u change: shape (nnz,).
        """
        inputs = np.concatenate([x, [times], v, weights])
        products, _ = self.function.run(self._kinds.second, inputs, directions)
        found = [self.function.structure.join(product[:-1]) for product in products]
        return found, [-product[-1] for product in products]

    # Shares of the blocks of random effects -----------------------------------------------------------------

    def shares(self, x: Array) -> tuple[Array, Layout]:
        """The shares of the blocks in f, and what depends on none, shape (b + 1,); and the path's layout.

        Raises
        ------
        NoShares
            If f is not written as a sum over blocks.
        """
        (found,), tapes = self.function.run(self._kinds.shares, x)
        return found, self._kinds.layouts[tapes]

    def shares_moved(self, x: Array, directions: Iterable[Array]) -> Array:
        """How the shares change along directions in both, shape (k, b + 1)."""
        outputs, _ = self.function.run(self._kinds.shares_moved, x, directions)
        return np.array([change for (change,) in outputs])

    def shares_pulled(self, x: Array, weights: Array) -> Array:
        """The gradient of the weighted sum of the shares, shape (p + q,)."""
        outputs, _ = self.function.run(self._kinds.shares_pulled, np.concatenate([x, weights]))
        return self.function.structure.join(outputs)

    def shares_turned(self, x: Array, weights: Array, directions: Iterable[Array]) -> Array:
        """How that gradient changes along directions in both and in the weights, shape (k, p + q)."""
        outputs, _ = self.function.run(self._kinds.shares_turned, np.concatenate([x, weights]), directions)
        return np.array([self.function.structure.join(one) for one in outputs])
