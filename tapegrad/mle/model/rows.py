"""The scores of the observations, and observations in groups.

What takes a model and a free vector (q,) needs a log-likelihood that returns one value for each observation.
What is asked of scores is a `Scores`: of data in memory they are an array, of data in pieces sums over it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from tapegrad.function.derived import OUTER
from tapegrad.function.long import with_groups
from tapegrad.function.traced import TracedFunction
from tapegrad.mle.derivatives import jacobian
from tapegrad.mle.model.model import WEIGHTS, Model
from tapegrad.mle.model.shares import shares
from tapegrad.mle.model.specification import weighted

Array: TypeAlias = npt.NDArray[np.float64]

# With spaces: no parameter and no data are called so.
GROUP = "group of the observation"
FACTORS = "factors of the groups"


# What is found in the scores and the information of some rows, and what makes one of several such results.
Find: TypeAlias = Callable[[Array, Array], Any]
Merge: TypeAlias = Callable[[Sequence[Any]], Any]


class Scores(Protocol):
    """What is added up of the derivatives of the observations' log-likelihoods in the free coordinates."""

    @property
    def count(self) -> int:
        """How many observations there are."""

    def outer(self, power: int) -> Array:
        """The sum of their outer products, times a power of the weights, shape (q, q)."""

    def of_each(self, find: Find, merge: Merge) -> Any:
        """What a function finds in scores (n, q) and information (n, q, q), both times the weights.

        Of data in pieces it is asked about some rows at a time, where they are; `merge` makes one of what it
        finds, in the order of the rows.
        """

    def by_group(self, groups: Any) -> Array:
        """The scores times the weights, added up in each group, shape (G, q).

        Raises
        ------
        ValueError
            If there is not one label for each observation, or if there is one group only.
        """


@dataclass(frozen=True)
class ScoresAtHand:
    """Scores as an array.

    Attributes
    ----------
    model : Model
    free : ndarray, shape (q,)
    """

    model: Model
    free: Array

    @cached_property
    def each(self) -> Array:
        """The scores without weights, shape (n, q)."""
        return unweighted_scores(self.model, self.free)

    @property
    def count(self) -> int:
        """How many observations there are."""
        return len(self.each)

    @cached_property
    def weighted(self) -> Array:
        """The scores times the weights, shape (n, q)."""
        weights = self.model.weights
        return self.each if weights is None else self.each * weights[:, None]

    def outer(self, power: int) -> Array:
        """The sum of their outer products, see `Scores`."""
        total: Array = self.weighted.T @ (self.weighted if power == 2 else self.each)
        return total

    def of_each(self, find: Find, merge: Merge) -> Any:
        """What a function finds in scores and information, see `Scores`."""
        return merge([find(self.weighted, self._information())])

    def _information(self) -> Array:
        """Minus the Hessian of each observation's log-likelihood times its weight, shape (n, q, q)."""
        rows, q = self.model.require_rows("leverages"), self.free.size
        found = np.empty((rows.outputs.size, q, q))
        axes = np.eye(q)
        for i in range(q):
            block = -rows.second_flat(self.free, axes[i], axes[i:]).T
            found[:, i, i:] = found[:, i:, i] = block
        weights = self.model.weights
        return found if weights is None else found * weights[:, None, None]

    def by_group(self, groups: Any) -> Array:
        """The sums of the groups, see `Scores`."""
        return sums_by_group(self.weighted, groups)


@dataclass(frozen=True)
class ScoresApart:
    """Scores that stay where the data are, in pieces: only sums of them come back.

    Attributes
    ----------
    model : Model
    free : ndarray, shape (q,)
    """

    model: Model
    free: Array

    @property
    def count(self) -> int:
        """How many observations there are."""
        count = self.model.some_rows("scores").nobs
        assert count is not None, "data in pieces have rows"
        return count

    def outer(self, power: int) -> Array:
        """The sum of their outer products, see `Scores`."""
        found: Array = self._rows(0.5 * power).run(OUTER, self.free)[0][0]
        return found

    def of_each(self, find: Find, merge: Merge) -> Any:
        """What a function finds in scores and information, see `Scores`."""
        there = partial(_found_in, find=find, q=self.free.size)
        return self._rows(1.0).of_each_row(self.free, there, merge)

    def _rows(self, power: float) -> TracedFunction:
        """The log-likelihood of each observation, times a power of its weight."""
        if self.model.weights is None:
            return self.model.some_rows("scores")
        given = self.model.specification

        def scaled(**arguments: Any) -> Any:
            weights = arguments.pop(WEIGHTS) ** power
            return weighted(given.values(*given.split(arguments)), weights)

        return given.trace(scaled, self._start, self._data)

    def by_group(self, groups: Any) -> Array:
        """The sums of the groups, see `Scores`.

        With a factor for the log-likelihoods of each group, they are the second derivatives of the sum in a
        factor and a parameter.
        """
        given, q = self.model.specification, self.free.size
        data, count = with_groups(self._data, GROUP, groups)
        if count < 2:
            raise ValueError("groups must name at least two groups")

        def scaled(**arguments: Any) -> Any:
            group, factors = arguments.pop(GROUP), arguments.pop(FACTORS)
            weights = arguments.pop(WEIGHTS, None)
            return (factors[group] * weighted(given.values(*given.split(arguments)), weights)).sum()

        traced = given.trace(scaled, {**self._start, FACTORS: np.zeros(count)}, data)
        vector = np.concatenate([self.free, np.zeros(count)])
        products = [traced.hvp_flat(vector, direction)[q:] for direction in np.eye(q, vector.size)]
        return np.stack(products, axis=1)

    @property
    def _start(self) -> dict[str, Any]:
        space = self.model.space
        start: dict[str, Any] = space.free_structure.unravel(space.start)
        return start

    @property
    def _data(self) -> Mapping[str, Any]:
        """The data, and the weights among them."""
        weights = self.model.weights
        return self.model.data if weights is None else {**self.model.data, WEIGHTS: weights}


def _found_in(outputs: Sequence[Array], find: Find, q: int) -> Any:
    """What a function finds in scores and information, of slopes and second derivatives of some rows."""
    (found,) = outputs
    slopes, second = found[:q].T, found[q:].reshape(q, q, -1)
    return find(slopes, -np.moveaxis(second, 2, 0))


def scores(model: Model, free: Array) -> Scores:
    """The scores at `free`, as an array if all rows are in one place."""
    if model.division is None and model.rows is not None and model.pointwise is None:
        return ScoresApart(model, free)
    return ScoresAtHand(model, free)


def unweighted_scores(model: Model, free: Array) -> Array:
    """Derivative of each observation's log-likelihood with respect to the free coordinates, shape (n, q).

    With random effects, they are the shares of the rows of the joint log-likelihood, see `shares`.
    """
    if model.division is not None:
        return shares(model, free)
    return jacobian(model.require_rows("scores"), free)


def weighted_scores(model: Model, free: Array) -> Array:
    """The scores times the weights, shape (n, q); their sum is the gradient of the weighted log-likelihood,
    without the prior."""
    return ScoresAtHand(model, free).weighted


def outer_products(model: Model, free: Array) -> Array:
    """Sum of the outer products of the scores, shape (q, q), which estimates the information.

    A weight counts as a number of observations, as it does in the Hessian: ``sum w_i s_i s_i'``.
    """
    return scores(model, free).outer(1)


def labels_of(model: Model, groups: Any) -> Any:
    """The labels of groups: those of a column of the data by its name, without rows that were left out.

    Raises
    ------
    ValueError
        If there is no such column.
    """
    if isinstance(groups, str):
        if groups not in model.data:
            raise ValueError(f"groups={groups!r} is no column of the data, which are {', '.join(model.data)}")
        return model.data[groups]
    if groups is None or model.kept is None:
        return groups
    array = np.asarray(groups)
    return array[model.kept] if array.shape == model.kept.shape else array


def group_index(groups: Any, n: int) -> tuple[npt.NDArray[np.intp], int]:
    """For each observation the number of its group, and how many groups there are; each its own for None.

    Raises
    ------
    ValueError
        If there is not one label for each observation, if a label is missing, or if there is one group only.
    """
    if groups is None:
        return np.arange(n), n
    labels = np.asarray(groups)
    if labels.shape != (n,):
        raise ValueError(f"groups must have one label for each of the {n} observations, not {labels.shape}")
    missing = [i for i, label in enumerate(labels.tolist()) if label is None or label != label]
    if missing:
        raise ValueError(f"groups has no label for observation {missing[0]} (None or NaN)")
    _, index = np.unique(labels, return_inverse=True)
    count = int(index.max()) + 1
    if count < 2:
        raise ValueError("groups must name at least two groups")
    return index, count


def sums_by_group(values: Array, groups: Any) -> Array:
    """The rows of `values`, shape (n, k), added up in each group."""
    index, count = group_index(groups, len(values))
    sums = np.zeros((count, values.shape[1]))
    np.add.at(sums, index, values)
    return sums
