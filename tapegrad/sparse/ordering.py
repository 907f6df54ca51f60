"""In which order rows are eliminated, and which of them together.

Rows that are eliminated together are a group. An order that fills in little is that of minimum degree
(SuperLU has one). A chain of minimum degree is eliminated from its ends, one row after another; nested
dissection takes all its parts at once (A. George, 1973). Its separators are found by halves of a breadth-
first order (A. George and J. Liu, 1978).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import reverse_cuthill_mckee
from scipy.sparse.linalg import splu

from tapegrad.sparse.indefinite import SYMMETRIC
from tapegrad.sparse.pattern import Array, Pattern


@dataclass(frozen=True, eq=False)
class Elimination:
    """An order of elimination.

    Attributes
    ----------
    order : ndarray of int, shape (n,)
        The rows in their order.
    group : ndarray of int, shape (n,)
        The group of each of them: 0, ..., 0, 1, ..., 1, 2, ...
    depth : ndarray of int
        Of each group: larger than that of all groups that its elimination fills in.
    """

    order: Array
    group: Array
    depth: Array


def _numbered(group: Array, depth: Array) -> Elimination:
    """The elimination by groups with any names, the deepest ones first; `depth` is that of each row."""
    order = np.lexsort((group, -depth))
    first = np.ones(order.size, dtype=bool)
    first[1:] = np.diff(group[order]) != 0
    return Elimination(order, np.cumsum(first) - 1, depth[order][first])


# Nested dissection ------------------------------------------------------------------------------------------


def dissected(pattern: Pattern, leaf: int) -> Elimination:
    """Nested dissection, down to parts of at most `leaf` rows."""
    n = pattern.n
    left, right = _edges(pattern)
    part = np.zeros(n, dtype=np.int64)  # numbered as a heap is: part k falls apart into 2 k + 1 and 2 k + 2
    depth = np.zeros(n, dtype=np.int64)
    is_open = np.ones(n, dtype=bool)  # not in a separator, nor in a part that is small enough
    place, is_narrow = _breadth_first(n, left, right, leaf)
    while True:
        _, name, sizes = np.unique(part, return_inverse=True, return_counts=True)
        is_open &= sizes[name] > leaf
        if not is_open.any():
            return _numbered(part, depth)
        inside = is_open[left] & (part[left] == part[right])
        left, right = left[inside], right[inside]
        if not is_narrow:
            place, _ = _breadth_first(n, left, right, leaf)
        is_lower = _halves(name, sizes, place)
        is_separator = _separators(name, sizes.size, is_lower, left, right, is_open)
        moves = is_open & ~is_separator
        part[moves] = 2 * part[moves] + np.where(is_lower[moves], 1, 2)
        depth[moves] += 1
        is_open &= moves


def _edges(pattern: Pattern) -> tuple[Array, Array]:
    """The elements above the diagonal: their rows and columns."""
    above = pattern.rows < pattern.indices
    return pattern.rows[above], pattern.indices[above]


def _breadth_first(n: int, left: Array, right: Array, leaf: int) -> tuple[Array, bool]:
    """The place of each row in a breadth-first order, and whether all edges are short there."""
    graph = sparse.coo_array((np.ones(left.size, dtype=np.int8), (left, right)), shape=(n, n)).tocsr()
    order = reverse_cuthill_mckee(sparse.csr_matrix(graph + graph.T), symmetric_mode=True)
    place = np.empty(n, dtype=np.int64)
    place[order] = np.arange(n)
    return place, bool((np.abs(place[left] - place[right]) <= leaf // 2).all())


def _halves(name: Array, sizes: Array, place: Array) -> Array:
    """Whether each row is in the first half of its part."""
    order = np.lexsort((place, name))
    starts = np.cumsum(sizes) - sizes
    rank = np.empty(name.size, dtype=np.int64)
    rank[order] = np.arange(name.size)
    found: Array = 2 * (rank - starts[name]) < sizes[name]
    return found


def _separators(name: Array, parts: int, is_lower: Array, left: Array, right: Array, is_open: Array) -> Array:
    """The rows of one half that have an edge to the other half: of that half which has fewer."""
    crossing = is_lower[left] != is_lower[right]
    met = np.zeros(name.size, dtype=bool)
    met[left[crossing]] = met[right[crossing]] = True
    lower = np.bincount(name[met & is_lower], minlength=parts)
    upper = np.bincount(name[met & ~is_lower], minlength=parts)
    found: Array = met & is_open & (is_lower == (lower <= upper)[name])
    return found


# Minimum degree ---------------------------------------------------------------------------------------------


def of_least_degree(pattern: Pattern) -> Elimination:
    """The order of minimum degree, in which rows that fill in alike are groups."""
    weights = np.where(pattern.rows == pattern.indices, 2.0 * pattern.n, -1.0)
    factors = splu(pattern.matrix(weights), **SYMMETRIC)
    row = np.empty(pattern.n, dtype=np.int64)
    row[factors.perm_c] = np.arange(pattern.n)
    # SuperLU adds zeros to L: its numbers of elements are good enough, its pattern is not.
    return grouped(pattern, row, np.diff(factors.L.indptr))


def grouped(pattern: Pattern, order: Array, counts: Array) -> Elimination:
    """The elimination in this order, by groups; `counts` are about the elements of each column of L."""
    above = _tree(pattern, order)
    group = _amalgamated(above, counts.tolist())
    found = _numbered(np.array(group), np.array(_depths(group, above)))
    return Elimination(order[found.order], found.group, found.depth)


def _tree(pattern: Pattern, order: Array) -> list[int]:
    """The elimination tree (J. Liu 1986): of each place the next one that it fills in, or -1."""
    n = pattern.n
    place = np.empty(n, dtype=np.int64)
    place[order] = np.arange(n)
    left, right = _edges(pattern)
    low, high = np.minimum(place[left], place[right]), np.maximum(place[left], place[right])
    by_high = np.argsort(high, kind="stable")
    above, highest = [-1] * n, [-1] * n
    for i, j in zip(low[by_high].tolist(), high[by_high].tolist(), strict=True):
        while True:
            known = highest[i]
            if known == j:
                break
            highest[i] = j
            if known < 0:
                above[i] = j
                break
            i = known
    return above


# As long as so many zeros, or such a part, are stored, one group is quicker than two.
_ZEROS = 40
_PART = 0.2


def _amalgamated(above: list[int], counts: list[int]) -> list[int]:
    """The group of each column, named by its last column, from their parents and numbers of elements."""
    n = len(above)
    width, filled = [1] * n, counts.copy()
    top = list(range(n))
    for j in range(n):
        parent = above[j]
        if parent >= 0:
            together = width[j] + width[parent]
            size = together * (together + 1) // 2 + together * (counts[parent] - 1)
            zeros = size - filled[j] - filled[parent]
            if zeros <= max(_ZEROS, _PART * size):
                top[j], width[parent] = parent, together
                filled[parent] += filled[j]
    for j in reversed(range(n)):
        top[j] = top[top[j]]
    return top


def _depths(group: list[int], above: list[int]) -> list[int]:
    """How many groups stand above each column's own."""
    depth = [0] * len(group)
    for j in reversed(range(len(group))):
        top = group[j]
        depth[j] = depth[top] if top != j else depth[above[j]] + 1 if above[j] >= 0 else 0
    return depth
