"""A few rows in the place of many: they have the same sums, sums of squares and sums of products.

Let B be an n x K matrix of data, and R the triangular factor in ``[1, B - centre] = Q R``. Q is orthogonal:
what is linear in the columns has the same sum of squares over the rows of B as over those of R and, n times,
at the centre. R keeps what the products B'B lose, columns that nearly depend on each other (A. Bjorck,
Numerical Methods for Least Squares Problems, 1996, section 2.4), and the centre keeps a spread that is small
against the mean (T. F. Chan, G. H. Golub and R. J. LeVeque, 1983).

R is found block by block and from the factors of the blocks (J. Demmel, L. Grigori, M. Hoemmen and J. Langou,
2012), so that nothing else as large as the data is ever held. What is found in a block, and how that of
several blocks becomes one, are functions: whoever holds the rows walks over them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np

Array = np.ndarray[Any, Any]
# Columns, shape (K, m), and the weights of these m rows, or None where all are 1.
Block = tuple[Array, Array | None]
Part = TypeVar("Part")

BLOCK = 1 << 16  # numbers in a block, so that it stays in the cache
FAN = 8  # parts that become one at a time
CANCELS = 100.0  # of how many times the residuals the parts of a fit may be before it is taken out
LARGEST = 1e3  # of how many times the response: far from the optimum, taking them out loses these digits
_STEPS = 8


class Walk(Protocol):
    """A walk over rows, block by block, by whoever holds them."""

    def __call__(self, each: Callable[[Block], Part], merge: Callable[[Sequence[Part]], Part]) -> Part | None:
        """What `each` finds in the blocks, as `merge` makes it one; None where there are no rows."""


def together(parts: Iterable[Part | None], merge: Callable[[Sequence[Part]], Part]) -> Part | None:
    """Parts that become one, a few at a time, and then what these have become; None where there are none.

    Sums lose digits by the logarithm of their number, and few parts are held at a time. The order is fixed.
    """
    waiting: list[list[Part]] = [[]]
    for part in parts:
        if part is not None:
            waiting[0].append(part)
        for i in range(len(waiting)):
            if len(waiting[i]) == FAN:
                waiting += [[]] * (i + 2 - len(waiting))
                waiting[i + 1] = [*waiting[i + 1], merge(waiting[i])]
                waiting[i] = []
    rest = [part for level in reversed(waiting) for part in level]
    return merge(rest) if rest else None


@dataclass(frozen=True)
class Compressed:
    """The rows that stand for all rows of K columns.

    Attributes
    ----------
    weight : float
        The sum of the weights: without weights, the number of rows.
    centre : ndarray of shape (K,)
        A row next to the weighted mean.
    excess : ndarray of shape (K,)
        The weighted sum of all rows less the centre: what rounding leaves of it.
    factor : ndarray of shape (r, K)
        The triangular factor of the rows less their mean, times the square roots of the weights; r <= K.
    fit : ndarray of shape (K,) or None
        If one column holds the residuals of a fit to the others, its coefficients, and 0 for itself.
    intercept : float
        The intercept of that fit.
    """

    weight: float
    centre: Array
    excess: Array
    factor: Array
    fit: Array | None = None
    intercept: float = 0.0


class _Sums(NamedTuple):
    """The sum of the weights, the weighted sums of the columns, their smallest and largest elements."""

    weight: float
    sums: Array
    low: Array
    high: Array


class _Deviations(NamedTuple):
    """The sums of the centred columns, and the factor of ones and of those that vary."""

    excess: Array
    factor: Array


def compress(walk: Walk, gated: Sequence[bool], squares: bool = True) -> Compressed | None:
    """The rows that stand for all; None where data or weights are not finite, or nothing has weight.

    Parameters
    ----------
    walk : Walk
        Over the rows; no weight is negative.
    gated : sequence of K bool
        In which columns a zero counts for nothing, see `_signed`.
    squares : bool
        Whether the factor is wanted; without it, it has no rows.
    """
    found = walk(_summed, _added)
    if found is None:
        return None
    weight, sums, low, high = found
    if not (0.0 < weight < np.inf and np.isfinite(low).all() and np.isfinite(high).all()):
        return None
    varies = low < high
    centre = np.where(varies, sums / weight, low)
    excess, factor = _deviations(walk, partial(_centred, centre=centre), varies, squares)
    if not (np.isfinite(excess).all() and np.isfinite(factor).all()):
        return None
    for j in range(len(gated)):
        has_one_sign = low[j] > 0.0 or high[j] < 0.0
        has_one_sign |= gated[j] and (low[j] >= 0.0 or high[j] <= 0.0)
        centre[j], excess[j] = _signed(float(centre[j]), float(excess[j]), weight, has_one_sign)
    return Compressed(weight, centre, excess, factor)


def _summed(block: Block) -> _Sums:
    columns, weights = block
    weight = columns.shape[1] if weights is None else np.add.reduce(weights)
    sums = np.add.reduce(columns if weights is None else columns * weights, axis=1)
    return _Sums(float(weight), sums, columns.min(axis=1), columns.max(axis=1))


def _added(parts: Sequence[_Sums]) -> _Sums:
    weights, sums, low, high = zip(*parts, strict=True)
    return _Sums(
        float(np.add.reduce(weights)),
        np.add.reduce(sums),
        np.minimum.reduce(low),
        np.maximum.reduce(high),
    )


def _deviations(
    walk: Walk, centred: Callable[[Array], Array], varies: Array, squares: bool
) -> tuple[Array, Array]:
    """The sums of the centred columns, and the factor of those that vary, but for its row of the mean."""
    if not varies.size:
        return np.empty(0), np.empty((0, 0))
    found = walk(partial(_deviation, centred=centred, varies=varies, squares=squares), _joined)
    assert found is not None, "there were rows before"
    below = found.factor[1:, 1:]
    factor = np.zeros((len(below), varies.size))
    factor[:, varies] = below
    return found.excess, factor[np.any(factor != 0.0, axis=1)]


def _deviation(block: Block, centred: Callable[[Array], Array], varies: Array, squares: bool) -> _Deviations:
    columns, weights = block
    rows = centred(columns)
    excess = np.add.reduce(rows if weights is None else rows * weights, axis=1)
    if not squares:
        return _Deviations(excess, np.zeros((0, 1 + int(varies.sum()))))
    rows = np.concatenate([np.ones((1, rows.shape[1])), rows[varies]])
    return _Deviations(excess, _factor((rows if weights is None else rows * np.sqrt(weights)).T))


def _joined(parts: Sequence[_Deviations]) -> _Deviations:
    excesses, factors = zip(*parts, strict=True)
    return _Deviations(np.add.reduce(excesses), _factor(np.concatenate(factors)))


def _centred(columns: Array, centre: Array) -> Array:
    rows: Array = columns - centre[:, None]
    return rows


def _residuals(columns: Array, centre: Array, fit: Array, response: int, mean: Any) -> Array:
    """The centred columns, with the residuals of a fit, less some mean, in the place of the response."""
    rows = columns - centre[:, None]
    rows[response] += mean - np.add.reduce(rows * fit[:, None])
    return rows.astype(np.float64)


def _factor(rows: Array) -> Array:
    """The triangular factor of a matrix, its diagonal not negative."""
    if not rows.size:
        return rows
    factor: Array = np.asarray(np.linalg.qr(rows, mode="r"))
    return factor * np.where(np.diagonal(factor) < 0.0, -1.0, 1.0)[:, None]


def _signed(centre: float, excess: float, weight: float, has_one_sign: bool) -> tuple[float, float]:
    """Move the centre of a column by some last bits, so that infinity times the column adds up as it should.

    Where all elements have one sign, infinity times each of them adds up to infinity: the excess takes the
    centre's sign. Where signs are mixed or zeros are there, it adds up to NaN: the excess takes the other.
    """
    way = 1.0 if (centre < 0.0) == has_one_sign else -1.0  # where to move, against the excess that is wanted
    for step in range(_STEPS):
        if centre == 0.0 or excess * way < 0.0 or (excess == 0.0 and has_one_sign):
            break
        moved = centre + excess / weight if step == 0 else float(np.nextafter(centre, way * np.inf))
        excess += weight * (centre - moved)
        centre = moved
    return centre, excess


def fitted(found: Compressed, walk: Walk, response: int, has_intercept: bool) -> Compressed:
    """The same rows with the residuals of a least-squares fit in the place of the response.

    Where a design is ill-conditioned, the parts of a fit cancel, and ``y - X b`` loses the digits that they
    share. With ``e = y - X b0`` for a b0 next to the optimum, found once in long doubles, ``e - X (b - b0)``
    does not lose them there. But far from b0 it is the parts of the fit that cancel: so b0 need not be the
    optimum, and must not be large against the response. Where little cancels, or where the coefficients are
    large, `found` itself is given back, which loses what the rows lose and no more.

    Parameters
    ----------
    found : Compressed
    walk : Walk
        Over the rows that `found` stands for.
    response : int
        The place of the response among the columns.
    has_intercept : bool
        Whether an intercept can be taken out that is no coefficient of a column.
    """
    fit = _worthwhile_fit(found, response, has_intercept)
    if fit is None:
        return found
    others = np.arange(fit.size) != response
    varies = np.any(found.factor != 0.0, axis=0)
    precise, centre = fit.astype(np.longdouble), found.centre.astype(np.longdouble)
    mean = centre[response] - np.add.reduce((centre * precise)[others])
    constants = np.flatnonzero(others & ~varies & (found.centre != 0.0))[:1]
    intercept = float(mean) if has_intercept and not constants.size else 0.0
    fit[constants] = mean / centre[constants]
    mean -= intercept + np.add.reduce(centre[constants] * fit[constants])
    new_centre = found.centre.copy()
    new_centre[response] = mean

    left = mean - new_centre[response]
    centred = partial(_residuals, centre=centre, fit=precise, response=response, mean=left)
    excess, factor = _deviations(walk, centred, varies, squares=True)
    if not (np.isfinite(excess).all() and np.isfinite(factor).all()):
        return found
    return replace(found, centre=new_centre, excess=excess, factor=factor, fit=fit, intercept=intercept)


def _worthwhile_fit(found: Compressed, response: int, has_intercept: bool) -> Array | None:
    """The coefficients of the other columns, and 0 for the response; None where it is better left in.

    It is taken out if the parts of the fit cancel much, and are not large against the response.
    """
    rows = found.factor
    constants = ~np.any(rows != 0.0, axis=0) & (found.centre != 0.0)
    constants[response] = False
    takes_mean = has_intercept or bool(constants.any())
    if not takes_mean:
        # Nothing takes out the mean: the residuals at the centre count as well.
        rows = np.concatenate([np.sqrt(found.weight) * found.centre[None], rows])
    sizes = np.sqrt(np.add.reduce(rows**2))
    units = np.where(sizes > 0.0, sizes, 1.0)
    others = np.arange(sizes.size) != response
    fit = np.zeros(sizes.size)
    # Along directions in which the columns differ by less than this, no coefficient is small: they stay out,
    # and with them those in which the columns depend on each other but for rounding.
    fit[others] = np.linalg.lstsq(rows[:, others] / units[others], rows[:, response], 1.0 / LARGEST)[0]
    fit /= units
    residual = np.linalg.norm(rows[:, response] - rows @ fit)
    means = np.sqrt(found.weight) * np.abs(found.centre)
    parts = np.abs(fit) * (sizes + means)
    if takes_mean:
        parts[response] = np.abs(np.sqrt(found.weight) * (found.centre[response] - found.centre @ fit))
    whole = sizes[response] + means[response]
    is_bounded = parts.sum() <= LARGEST * whole
    return fit if is_bounded and whole + parts.sum() > CANCELS * residual else None
