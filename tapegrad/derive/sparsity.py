"""Which elements depend on which: index sets pushed through a tape, without numbers, and their colouring.

The pattern of a Hessian is that of the Jacobian of the gradient's tape. Columns that meet in no row share a
colour, and one product finds them all (Curtis, Powell and Reid, 1974). Columns that meet almost every other,
as those of parameters common to all states do, get a colour each; by symmetry their rows are known then, and
do not count as meeting places for the rest (Powell and Toint, 1979).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from tapegrad.ops.registry import Aval
from tapegrad.tape.entries import Entry
from tapegrad.tape.tape import Tape, size_of

Array = np.ndarray[Any, Any]
_LONG = 1_000  # columns from which on it pays to look for a pattern that repeats itself
_LONGEST_PERIOD = 64
Dependence = Any  # a boolean csr_array: elements of a slot by elements of all parameters


def jacobian_pattern(tape: Tape) -> Any:
    """A boolean csc_array, all outputs' elements by all parameters': True where there may be a derivative."""
    sizes = [size_of(tape.avals[slot].shape) for slot in tape.parameters]
    total = sum(sizes)
    found: dict[int, Dependence] = {}
    start = 0
    for slot, size in zip(tape.parameters, sizes, strict=True):
        found[slot] = sparse.eye_array(size, total, k=start, dtype=bool, format="csr")
        start += size
    known = dict(tape.constants)
    for entry in tape.entries:
        dependence = _dependence(entry, tape.avals, known, found)
        if dependence is not None:
            found[entry.output] = dependence
    rows = []
    for slot in tape.outputs:
        empty = sparse.csr_array((size_of(tape.avals[slot].shape), total), dtype=bool)
        rows.append(found.get(slot, empty))
    return sparse.vstack(rows, format="csc")


def _dependence(
    entry: Entry, avals: tuple[Aval, ...], known: dict[int, Any], found: dict[int, Dependence]
) -> Dependence | None:
    total = None
    for i, slot in enumerate(entry.inputs):
        if slot in found and entry.op.differentiable(i):
            part = carried(entry, i, avals, known, found[slot])
            total = part if total is None else total + part
    return total


def carried(
    entry: Entry, i: int, avals: tuple[Aval, ...], known: dict[int, Any], arriving: Dependence
) -> Dependence:
    """The pattern that an entry's output gets from its input `i`."""
    shapes = [avals[slot].shape for slot in entry.inputs]
    out = avals[entry.output].shape
    if entry.op.is_elementwise:
        positions = np.arange(size_of(shapes[i])).reshape(shapes[i])
        return arriving[np.broadcast_to(positions, out).ravel()]
    links = None
    if entry.op.links is not None:
        links = entry.op.links(i, shapes, [known.get(slot) for slot in entry.inputs], **dict(entry.attrs))
    if links is None:  # anything may depend on anything
        return sparse.csr_array(np.ones((size_of(out), 1), dtype=bool)) @ _any_row(arriving)
    if sparse.issparse(links):
        return sparse.csr_array(links) @ arriving
    return _taken(arriving, np.ravel(links))


def _any_row(dependence: Dependence) -> Dependence:
    return sparse.csr_array(np.ones((1, dependence.shape[0]), dtype=bool)) @ dependence


def _taken(dependence: Dependence, positions: Array) -> Dependence:
    """Rows of `dependence`; a position -1 stands for none."""
    if (positions >= 0).all():
        return dependence[positions]
    nothing = sparse.csr_array((1, dependence.shape[1]), dtype=bool)
    return sparse.vstack([dependence, nothing], format="csr")[positions]


# Colouring --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Colouring:
    """Which columns of a sparse matrix share a product.

    Attributes
    ----------
    pattern : csc_array of bool, shape (m, p)
    colours : ndarray of int, shape (p,)
        The product that each column is found by.
    count : int
        The number of colours.
    alone : ndarray of bool, shape (p,)
        Columns of a symmetric matrix that have a colour to themselves, and give their rows as well.
    """

    pattern: Any
    colours: Array
    count: int
    alone: Array

    def seeds(self) -> Array:
        """One direction per colour, shape (count, p)."""
        seeds = np.zeros((self.count, self.colours.size))
        seeds[self.colours, np.arange(self.colours.size)] = 1.0
        return seeds

    def matrix(self, products: Array) -> Any:
        """The matrix as a csc_array, out of its products with `seeds`, shape (count, m)."""
        products = np.reshape(products, (self.count, self.pattern.shape[0]))  # of none, NumPy knows no length
        rows, columns = self.pattern.nonzero()
        # An element in the row of a column that stands alone is read there, as its mirror image.
        mirrored = self.alone[rows] if self.alone.any() else np.zeros(rows.size, dtype=bool)
        source = np.where(mirrored, columns, rows)
        colour = self.colours[np.where(mirrored, rows, columns)]
        return sparse.csc_array((products[colour, source], (rows, columns)), shape=self.pattern.shape)


def colour_columns(pattern: Any) -> Colouring:
    """Colour the columns of any matrix."""
    found = _coloured(pattern, np.zeros(pattern.shape[1], dtype=bool), pattern.shape[1])
    assert found is not None
    return found


def colour_symmetric(pattern: Any) -> Colouring:
    """Colour the columns of a symmetric matrix, with the fullest ones apart where that saves colours."""
    pattern = sparse.csc_array(pattern + pattern.T)
    filled = np.diff(pattern.indptr)
    regular = _regular(pattern) if pattern.shape[1] > _LONG else None
    if regular is not None:
        return regular
    # A column of k elements alone costs one colour; with the rest it costs them about k.
    best: Colouring | None = None
    for quantile in (0.99, 1.0, 0.9, 0.5):
        alone = filled > max(np.quantile(filled, quantile), 1.0)
        trial = _coloured(pattern, alone, pattern.shape[1] if best is None else best.count - 1)
        best = best if trial is None else trial
    assert best is not None
    return best


def _regular(pattern: Any) -> Colouring | None:
    """The colouring of a matrix that repeats itself, with as few colours as can be; None if it does not.

    A row with k elements needs k colours. Blocks that never meet do with the place of a column in its block,
    chains and lattices with its place in the matrix modulo a number. The greedy way takes a second for some
    ten thousand columns.
    """
    fewest = int(np.diff(pattern.indptr).max())
    if fewest > _LONGEST_PERIOD:
        return None
    rows, columns = pattern.nonzero()
    count, labels = connected_components(pattern, directed=False)
    if np.bincount(labels, minlength=count).max() == fewest:
        order = np.argsort(labels, kind="stable")
        starts = np.searchsorted(labels[order], np.arange(count))
        colours = np.empty(labels.size, dtype=np.intp)
        colours[order] = np.arange(labels.size) - starts[labels[order]]
        return Colouring(pattern, colours, fewest, np.zeros(labels.size, dtype=bool))
    for period in range(fewest, min(fewest + fewest // 2, _LONGEST_PERIOD) + 1):
        colours = np.arange(labels.size) % period
        if np.unique(rows * np.int64(period) + colours[columns]).size == rows.size:
            return Colouring(pattern, colours, period, np.zeros(labels.size, dtype=bool))
    return None


def _coloured(pattern: Any, alone: Array, most: int) -> Colouring | None:
    """Greedy colouring, the fullest columns first; None if it takes more than `most` colours."""
    pattern = sparse.csc_array(pattern)
    by_row = sparse.csr_array(pattern)
    colours = np.full(pattern.shape[1], -1)
    colours[alone] = np.arange(alone.sum())
    first_free = int(alone.sum())
    for column in np.argsort(-np.diff(pattern.indptr), kind="stable"):
        if alone[column]:
            continue
        taken = set()
        for row in pattern.indices[pattern.indptr[column] : pattern.indptr[column + 1]]:
            if not (alone.any() and alone[row]):
                taken.update(colours[by_row.indices[by_row.indptr[row] : by_row.indptr[row + 1]]].tolist())
        colour = first_free
        while colour in taken:
            colour += 1
        if colour >= most:
            return None
        colours[column] = colour
    count = int(colours.max()) + 1 if colours.size else 0
    return Colouring(pattern, colours, count, alone)
