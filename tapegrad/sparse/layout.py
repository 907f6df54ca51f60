"""Where the dense parts of a sparse factor stand: its fronts, in batches that NumPy works on at once.

A group of rows is eliminated in a front: a dense matrix of its own rows and of all rows that it fills in (I.
Duff and J. Reid, 1983). What is left of a front after that is added to the front of another group, its
parent. Groups that do not wait for one another, and have about the same size, are a batch: a stack of
matrices of one shape, filled up with ones on the diagonal and zeros elsewhere. All fronts stand one after
another in a pool.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from tapegrad.sparse.ordering import Elimination
from tapegrad.sparse.pattern import Array, Pattern


@dataclass(frozen=True, eq=False)
class Batch:
    """Fronts of one shape.

    Attributes
    ----------
    start : int
        Where the fronts begin in the pool.
    count, own, rest : int
        The number of fronts; of their own rows, and of further rows.
    columns, rows : ndarray of int, shapes (count, own) and (count, rest)
        Which rows these are, in their order of elimination; n where there is none.
    base, stride : ndarray of int, shape (count,)
        Where the front of the parent begins, and the length of its rows.
    places : ndarray of int, shape (count, rest)
        The further rows' places in the front of the parent.
    """

    start: int
    count: int
    own: int
    rest: int
    columns: Array
    rows: Array
    base: Array
    stride: Array
    places: Array

    @property
    def side(self) -> int:
        """The rows of a front."""
        return self.own + self.rest

    @property
    def stop(self) -> int:
        """Where the fronts end in the pool."""
        return self.start + self.count * self.side**2

    def in_parents(self) -> Array:
        """The positions of the further rows and columns in the fronts of the parents."""
        rows = self.base[:, None] + self.stride[:, None] * self.places
        found: Array = rows[:, :, None] + self.places[:, None, :]
        return found


@dataclass(frozen=True, eq=False)
class Layout:
    """All fronts of a pattern.

    Attributes
    ----------
    order : ndarray of int, shape (n,)
        The rows in their order of elimination.
    batches : list of Batch
        In the order in which they can be eliminated.
    size : int
        The length of the pool.
    at : ndarray of int, shape (nnz,)
        The position of each element of the pattern in the pool; mirror images share one.
    ones : ndarray of int
        The positions of the diagonal where fronts are filled up.
    fronts : Fronts
        What stands where.
    """

    order: Array
    batches: list[Batch]
    size: int
    at: Array
    ones: Array
    fronts: _Fronts

    @property
    def diagonal(self) -> Array:
        """The positions of the diagonal, in the order of elimination."""
        rows = np.arange(self.order.size)
        return self.positions(rows, rows)

    def positions(self, rows: Array, columns: Array) -> Array:
        """The positions of elements below the diagonal, in the order of elimination."""
        return self.fronts.positions(rows, columns)

    def holds(self, rows: Array, columns: Array) -> Array:
        """Whether elements below the diagonal, in the order of elimination, stand in a front."""
        return self.fronts.holds(rows, columns)

    @cached_property
    def cost(self) -> float:
        """About how many microseconds a factorisation takes."""
        found = 0.0
        for batch in self.batches:
            multiplications = batch.count * batch.own * batch.side**2
            found += 60.0 + 2.0 * batch.count + multiplications / 2000.0
            found += 0.012 * batch.count * batch.rest**2
        return found


def layout_of(pattern: Pattern, elimination: Elimination) -> Layout:
    """Lay the fronts out."""
    n, group = pattern.n, elimination.group
    place = np.empty(n, dtype=np.int64)
    place[elimination.order] = np.arange(n)
    rows, columns = place[pattern.rows], place[pattern.indices]
    rows, columns = np.maximum(rows, columns), np.minimum(rows, columns)
    further, parent = _further_rows(n, rows, columns, elimination)
    own = np.bincount(group)
    owners = further // n
    rest = np.bincount(owners, minlength=own.size)
    start, side, width = (np.zeros(own.size, dtype=np.int64) for _ in range(3))
    fronts = _Fronts(
        n=n,
        group=group,
        parent=parent,
        first=np.cumsum(own) - own,
        own=own,
        begin=np.cumsum(rest) - rest,
        rest=rest,
        further=further,
        start=start,
        side=side,
        width=width,
    )
    members, total = _batches(own, rest, _heights(parent)), 0
    for some in members:
        width[some], side[some] = own[some].max(), own[some].max() + rest[some].max()
        start[some] = total + np.arange(some.size) * side[some] ** 2
        total += some.size * side[some[0]] ** 2
    batches = [fronts.batch(some) for some in members]
    at = fronts.positions(rows, columns)
    return Layout(elimination.order, batches, int(total), at, _filled_up(batches, n), fronts)


def _further_rows(n: int, rows: Array, columns: Array, elimination: Elimination) -> tuple[Array, Array]:
    """What each group fills in, as sorted numbers ``group * n + row``; and the parent of each, or -1.

    The deepest groups come first; what they fill in is passed on to their parents.
    """
    group, depth = elimination.group, elimination.depth
    outside = group[rows] != group[columns]
    keys = np.unique(group[columns[outside]].astype(np.int64) * n + rows[outside])
    levels = depth[keys // n]
    parent = np.full(depth.size, -1, dtype=np.int64)
    waiting: dict[int, list[Array]] = {}
    for level in np.unique(levels):
        waiting[int(level)] = [keys[levels == level]]
    found = []
    while waiting:
        level = max(waiting)
        keys = np.unique(np.concatenate(waiting.pop(level)))
        found.append(keys)
        owners, below = keys // n, keys % n
        if (depth[group[below]] >= level).any():
            raise ValueError("a group fills in one that is as deep: the order of elimination is wrong")
        first = np.ones(keys.size, dtype=bool)
        first[1:] = owners[1:] != owners[:-1]
        parent[owners[first]] = group[below[first]]
        passed = group[below] != parent[owners]
        keys = np.unique(parent[owners[passed]] * n + below[passed])
        levels = depth[keys // n]
        for one in np.unique(levels):
            waiting.setdefault(int(one), []).append(keys[levels == one])
    return np.sort(np.concatenate(found)) if found else np.zeros(0, dtype=np.int64), parent


def _heights(parent: Array) -> Array:
    """The longest way down from each group."""
    heights = [0] * parent.size
    for group, above in enumerate(parent.tolist()):  # children come before their parents
        if above >= 0:
            heights[above] = max(heights[above], heights[group] + 1)
    return np.array(heights)


# A stack is worth its fillings up while they cost no more than this many multiplications for each call.
_A_CALL = 30_000.0


def _batches(own: Array, rest: Array, heights: Array) -> list[Array]:
    """Groups of one height and about one size, from the lowest to the highest."""
    found = []
    order = np.lexsort((-own, -(own + rest), heights))
    cost = (own + rest).astype(float) * own * (own + rest)
    widest, longest, count, waste = 0, 0, 0, 0.0
    first = 0
    costs, owns, rests, levels = cost.tolist(), own.tolist(), rest.tolist(), heights.tolist()
    for position, one in enumerate(order.tolist()):
        wide, long = max(widest, owns[one]), max(longest, rests[one])
        full = wide * float(wide + long) ** 2
        together = waste + (full - costs[one]) + count * (full - widest * float(widest + longest) ** 2)
        if position > first and (
            levels[one] != levels[order[first]]
            or together > max(_A_CALL, 0.5 * full * (count + 1))
            or full > 4.0 * costs[one] + 1000.0
        ):
            found.append(order[first:position])
            first, count = position, 0
            wide, long = owns[one], rests[one]
            together = 0.0
        widest, longest, waste, count = wide, long, together, count + 1
    if order.size:
        found.append(order[first:])
    return found


@dataclass(frozen=True, eq=False)
class _Fronts:
    """The groups one by one.

    Attributes
    ----------
    n : int
        The number of rows.
    group : ndarray of int, shape (n,)
        The group of each row.
    parent, first, own : ndarray of int
        Of each group its parent, its first own row, and how many it has.
    begin, rest : ndarray of int
        Where its further rows begin in `further`, and how many there are.
    further : ndarray of int
        The further rows of all groups, as sorted numbers ``group * n + row``.
    start, side, width : ndarray of int
        Where the front of each group begins, the length of its rows, and the room for own rows.
    """

    n: int
    group: Array
    parent: Array
    first: Array
    own: Array
    begin: Array
    rest: Array
    further: Array
    start: Array
    side: Array
    width: Array

    def batch(self, some: Array) -> Batch:
        """These groups as a batch."""
        own = int(self.width[some[0]])
        rest = int(self.side[some[0]]) - own
        steps, more = np.arange(own), np.arange(rest)
        columns = np.where(steps < self.own[some, None], self.first[some, None] + steps, self.n)
        is_row = more < self.rest[some, None]
        rows = np.full(is_row.shape, self.n)
        rows[is_row] = self.further[(self.begin[some, None] + more)[is_row]] % self.n
        parent = self.parent[some]
        has_parent = parent >= 0
        places = np.zeros(is_row.shape, dtype=np.int64)
        above = np.broadcast_to(parent[:, None], is_row.shape)[is_row]
        places[is_row] = self.places(above, rows[is_row])
        base, stride = (np.where(has_parent, of[parent], 0) for of in (self.start, self.side))
        start = int(self.start[some[0]])
        return Batch(start, some.size, own, rest, columns, rows, base, stride, places)

    def places(self, group: Array, row: Array) -> Array:
        """The places of rows in fronts."""
        found = np.searchsorted(self.further, group * self.n + row) - self.begin[group] + self.width[group]
        return np.where(self.group[row] == group, row - self.first[group], found)

    def holds(self, rows: Array, columns: Array) -> Array:
        """Whether elements stand in a front."""
        group = self.group[columns]
        keys = group * self.n + rows
        if not self.further.size:
            return np.equal(self.group[rows], group)
        found = self.further[np.minimum(np.searchsorted(self.further, keys), self.further.size - 1)]
        held: Array = np.logical_or(self.group[rows] == group, found == keys)
        return held

    def positions(self, rows: Array, columns: Array) -> Array:
        """The positions of elements in the pool."""
        group = self.group[columns]
        place = self.places(group, rows)
        found: Array = self.start[group] + place * self.side[group] + columns - self.first[group]
        return found


def _filled_up(batches: list[Batch], n: int) -> Array:
    """The positions on the diagonal of rows that are none."""
    found = [np.zeros(0, dtype=np.int64)]
    for batch in batches:
        front, column = np.nonzero(batch.columns == n)
        found.append(batch.start + front * batch.side**2 + column * (batch.side + 1))
    return np.concatenate(found)
