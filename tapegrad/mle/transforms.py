"""Constraints as maps from unconstrained coordinates to the values that a log-likelihood takes.

A `Transform` maps free coordinates, any real numbers, one to one onto the allowed values of one parameter.
All are written in plain NumPy, so that they are traced together with the log-likelihood, and so are their
Jacobians.
"""

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from functools import partial
from math import prod
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.special import expit, logit

from tapegrad.special import log_softmax, softmax

Array: TypeAlias = npt.NDArray[np.float64]
Shape: TypeAlias = tuple[int, ...]


@dataclass(frozen=True)
class Transform:
    """One to one from free coordinates onto the allowed values of a parameter.

    Attributes
    ----------
    name : str
        How it is called in messages, with its limits.
    allowed : str
        The values it maps onto, in words: "greater than 0".
    label : str
        What the free coordinates are called, "log({})" for example; ``{}`` stands for the parameter's name.
    elementwise : bool
        Whether each element has a free coordinate of its own, that it is a monotone function of.
    forward : callable
        Free coordinates, of shape `free_shape` of the parameter's, to the values; on tracers as well.
    inverse : callable
        Values to free coordinates. What it is given may be outside: the result is then not finite, or the
        values do not come back.
    free_shape : callable
        Shape of the parameter to shape of its free coordinates; raises ValueError for an impossible shape.
    log_volume : callable or None
        Free coordinates to the logarithm of the determinant of `forward`'s Jacobian, which densities of free
        coordinates have besides; on tracers as well. Of a simplex it is that of all elements but the last, of
        a matrix that of its lower triangle. None where it is 0 everywhere.
    """

    name: str
    allowed: str
    label: str
    elementwise: bool
    # Two transforms are the same if their names are; functions made twice do not compare.
    forward: Callable[[Any], Any] = field(compare=False, repr=False)
    inverse: Callable[[Array], Array] = field(compare=False, repr=False)
    free_shape: Callable[[Shape], Shape] = field(compare=False, repr=False)
    log_volume: Callable[[Any], Any] | None = field(default=None, compare=False, repr=False)

    @property
    def key(self) -> tuple[Hashable, ...]:
        """Equal for transforms that do the same: those of this module go by their names, others by what they
        are.
        """
        is_ours = getattr(self.forward, "__module__", None) == __name__
        return (self.name,) if is_ours else (self.name, self.forward)

    def to_free(self, value: Array, parameter: str) -> Array:
        """Free coordinates of `value`, of shape `free_shape`.

        Raises
        ------
        ValueError
            If `value` is not among the allowed values; the message names `parameter`.
        """
        if self is identity:
            return value
        shape = self._checked_shape(value.shape, parameter)
        with np.errstate(all="ignore"):
            try:
                free = np.asarray(self.inverse(value), dtype=np.float64).reshape(shape)
                back = np.asarray(self.forward(free))
            except np.linalg.LinAlgError:
                free = back = np.full(shape, np.nan)
        size = 1.0 + float(np.abs(value).max(initial=0.0))
        if not np.isfinite(free).all() or not np.abs(back - value).max(initial=0.0) <= 1e-6 * size:
            raise ValueError(f"{parameter} must be {self.allowed} ({self.name}), not {_shown(value)}")
        return free

    def _checked_shape(self, shape: Shape, parameter: str) -> Shape:
        try:
            return self.free_shape(shape)
        except ValueError as error:
            raise ValueError(f"{self.name} does not fit {parameter} of shape {shape}: {error}") from None


def _shown(value: Array) -> str:
    return " ".join(np.array2string(value, precision=6, threshold=12).split())


def _same(shape: Shape) -> Shape:
    return shape


def _identity(z: Any) -> Any:
    return z


def _sum(z: Any) -> Any:
    return np.sum(z)


def _logistic_volume(z: Any) -> Any:
    return -np.sum(np.logaddexp(0.0, z) + np.logaddexp(0.0, -z))


identity = Transform("identity", "any number", "{}", True, _identity, _identity, _same)
"""No constraint."""

positive = Transform("positive", "greater than 0", "log({})", True, np.exp, np.log, _same, _sum)
"""Greater than 0, by the exponential function."""

unit = Transform("unit", "between 0 and 1", "logit({})", True, expit, logit, _same, _logistic_volume)
"""Between 0 and 1, by the logistic function."""


def lower(bound: float) -> Transform:
    """Greater than `bound`: ``bound + exp(z)``.

    Examples
    --------
    >>> from tapegrad.mle.transforms import lower
    >>> float(lower(2.0).forward(0.0))
    3.0
    """
    a = _number(bound)
    return Transform(
        f"lower({a:g})",
        f"greater than {a:g}",
        f"log({{}} - {a:g})",
        True,
        lambda z: a + np.exp(z),
        lambda x: np.log(x - a),
        _same,
        _sum,
    )


def upper(bound: float) -> Transform:
    """Less than `bound`: ``bound - exp(-z)``, which rises with z as the parameter does."""
    b = _number(bound)
    return Transform(
        f"upper({b:g})",
        f"less than {b:g}",
        f"-log({b:g} - {{}})",
        True,
        lambda z: b - np.exp(-z),
        lambda x: -np.log(b - x),
        _same,
        lambda z: -np.sum(z),
    )


def interval(a: float, b: float) -> Transform:
    """Between `a` and `b`: ``a + (b - a) / (1 + exp(-z))``.

    Raises
    ------
    ValueError
        If `a` is not less than `b`, or one of them is not finite.
    """
    a, b = _number(a), _number(b)
    if not a < b:
        raise ValueError(f"interval(a, b) needs a < b, not {a:g} and {b:g}")
    return Transform(
        f"interval({a:g}, {b:g})",
        f"between {a:g} and {b:g}",
        f"logit({{}} in {a:g} to {b:g})",
        True,
        lambda z: a + (b - a) * expit(z),
        lambda x: logit((x - a) / (b - a)),
        _same,
        lambda z: _logistic_volume(z) + np.size(z) * np.log(b - a),
    )


def _number(bound: float) -> float:
    number = float(bound)
    if not np.isfinite(number):
        raise ValueError(f"a bound is a finite number, not {number}; leave it out where there is none")
    return number


# Whole vectors, along the last axis -------------------------------------------------------------------------


def _last_axis(shape: Shape, lost: int) -> Shape:
    if not shape or shape[-1] <= lost:
        raise ValueError(f"it takes a vector of at least {lost + 1} elements along the last axis")
    return (*shape[:-1], shape[-1] - lost)


def _softmax(z: Any) -> Any:
    return softmax(np.concatenate([z, np.zeros((*np.shape(z)[:-1], 1))], axis=-1), axis=-1)


def _simplex_volume(z: Any) -> Any:
    # The product of all elements.
    return np.sum(log_softmax(np.concatenate([z, np.zeros((*np.shape(z)[:-1], 1))], axis=-1), axis=-1))


def _log_ratios(x: Array) -> Array:
    return np.asarray(np.log(x[..., :-1]) - np.log(x[..., -1:]))


simplex = Transform(
    "simplex",
    "positive numbers that add up to 1",
    "log ratio({})",
    False,
    _softmax,
    _log_ratios,
    partial(_last_axis, lost=1),
    _simplex_volume,
)
"""Positive and adding up to 1 along the last axis: log ratios to the last element, by the softmax
function."""


def _running_sum(z: Any) -> Any:
    steps = np.concatenate([z[..., :1], np.exp(z[..., 1:])], axis=-1)
    return np.cumsum(steps, axis=-1)


def _log_steps(x: Array) -> Array:
    return np.concatenate([x[..., :1], np.log(np.diff(x, axis=-1))], axis=-1)


ordered = Transform(
    "ordered",
    "in increasing order",
    "log step({})",
    False,
    _running_sum,
    _log_steps,
    partial(_last_axis, lost=0),
    lambda z: np.sum(z[..., 1:]),
)
"""Increasing along the last axis: the first element, and the logarithms of the steps."""


def _contrasts(n: int) -> Array:
    """Orthonormal columns, shape (n, n - 1), each orthogonal to ones (Helmert)."""
    basis = np.zeros((n, n - 1))
    for j in range(n - 1):
        basis[: j + 1, j] = 1.0
        basis[j + 1, j] = -(j + 1.0)
    return np.asarray(basis / np.linalg.norm(basis, axis=0))


def _from_contrasts(z: Any) -> Any:
    return np.matmul(z, _contrasts(np.shape(z)[-1] + 1).T)


def _to_contrasts(x: Array) -> Array:
    return np.asarray(x @ _contrasts(x.shape[-1]))


sum_to_zero = Transform(
    "sum_to_zero",
    "numbers that add up to 0",
    "contrast({})",
    False,
    _from_contrasts,
    _to_contrasts,
    partial(_last_axis, lost=1),
)
"""Adding up to 0 along the last axis: orthonormal (Helmert) contrasts."""


# Matrices ---------------------------------------------------------------------------------------------------


def _square(shape: Shape, diagonal: bool) -> Shape:
    if len(shape) != 2 or shape[0] != shape[1] or shape[0] < 2 - diagonal:
        raise ValueError("it takes a square matrix" + ("" if diagonal else " of at least 2 by 2"))
    return (shape[0] * (shape[0] + 1) // 2 if diagonal else shape[0] * (shape[0] - 1) // 2,)


def _lower_triangle(z: Any, n: int, k: int) -> Any:
    """The matrix (n, n) with `z` below its k-th diagonal, row after row, and zeros elsewhere."""
    rows, columns = np.tril_indices(n, k)
    place = np.full(n * n, len(rows))
    place[rows * n + columns] = np.arange(len(rows))
    return np.reshape(np.concatenate([z, np.zeros(1)])[place], (n, n))


def _order(count: int, diagonal: bool) -> int:
    """The order of the matrix whose triangle has so many elements."""
    root = int(np.sqrt(8 * count + 1))
    return (root - 1) // 2 if diagonal else (root + 1) // 2


def _correlation_volume(z: Any) -> Any:
    # With the squared lengths q of the rows of the triangle, ones on the diagonal included, that of the rows
    # of length 1 is the sum of -(i + 1) / 2 log(q), and that of their products of -(n - i) / 2 log(q).
    n = _order(prod(np.shape(z)), diagonal=False)
    triangle = _lower_triangle(z, n, -1)
    return -0.5 * (n + 1.0) * np.sum(np.log1p(np.sum(triangle * triangle, axis=1)))


def _correlation(z: Any) -> Any:
    n = _order(prod(np.shape(z)), diagonal=False)
    factor = _lower_triangle(z, n, -1) + np.eye(n)
    factor = factor / np.sqrt(np.sum(factor * factor, axis=1, keepdims=True))
    # Exactly 1 on the diagonal, and with no derivative there: it is not estimated.
    return np.where(np.eye(n, dtype=bool), 1.0, np.matmul(factor, np.transpose(factor)))


def _from_correlation(x: Array) -> Array:
    factor = np.linalg.cholesky(x)
    factor = factor / np.diag(factor)[:, None]
    return np.asarray(factor[np.tril_indices(len(x), -1)])


correlation = Transform(
    "correlation",
    "a positive definite correlation matrix",
    "chol({})",
    False,
    _correlation,
    _from_correlation,
    partial(_square, diagonal=False),
    _correlation_volume,
)
"""Correlation matrices, by the Cholesky factor: its rows have length 1, and are free up to that (TMB's
"unstructured correlation")."""


def _definite_volume(z: Any) -> Any:
    # That of a Cholesky factor's product is 2**n times the product of l[i, i]**(n - i + 1), i from 1 on.
    n = _order(prod(np.shape(z)), diagonal=True)
    place = np.cumsum(np.arange(1, n + 1)) - 1  # of the diagonal in the triangle
    return np.sum((n + 1.0 - np.arange(n)) * z[place]) + n * np.log(2.0)


def _definite(z: Any) -> Any:
    n = _order(prod(np.shape(z)), diagonal=True)
    on_diagonal = np.eye(n, dtype=bool)
    triangle = _lower_triangle(z, n, 0)
    factor = np.where(on_diagonal, np.exp(np.where(on_diagonal, triangle, 0.0)), triangle)
    return np.matmul(factor, np.transpose(factor))


def _from_definite(x: Array) -> Array:
    factor = np.linalg.cholesky(x)
    np.fill_diagonal(factor, np.log(np.diag(factor)))
    return np.asarray(factor[np.tril_indices(len(x))])


positive_definite = Transform(
    "positive_definite",
    "a positive definite matrix",
    "chol({})",
    False,
    _definite,
    _from_definite,
    partial(_square, diagonal=True),
    _definite_volume,
)
"""Symmetric positive definite matrices, by the Cholesky factor with the logarithm of its diagonal (J. C.
Pinheiro and D. M. Bates 1996, "log-Cholesky")."""
