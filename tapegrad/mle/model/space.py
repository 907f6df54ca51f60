"""Where a fit takes place: free coordinates, any real numbers, and the parameters that they stand for."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from tapegrad.function.trace import trace_quietly
from tapegrad.function.traced import TracedFunction
from tapegrad.mle.derivatives import jacobian
from tapegrad.mle.transforms import Transform, identity
from tapegrad.nest import Leaf, Structure, structure_of

Array: TypeAlias = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Block:
    """One number or array among the parameters, and how it comes from free coordinates.

    Attributes
    ----------
    leaf : Leaf
        Its label, shape and place in the natural vector.
    transform : Transform
    label : str or None
        The key of its free coordinates; None where it has none of its own.
    own : ndarray of int
        Those of its elements, counted in the natural vector, that have free coordinates of their own.
    """

    leaf: Leaf
    transform: Transform
    label: str | None
    own: npt.NDArray[np.intp]

    @property
    def is_whole(self) -> bool:
        """Whether all its elements come from its own free coordinates."""
        return bool(self.own.size == self.leaf.place.stop - self.leaf.place.start)

    @property
    def free_shape(self) -> tuple[int, ...]:
        """The shape of its free coordinates."""
        return self.transform.free_shape(self.leaf.shape if self.is_whole else self.own.shape)

    def to_free(self, natural: Array) -> Array:
        """Its free coordinates, out of a natural vector."""
        own = natural[self.leaf.place].reshape(self.leaf.shape) if self.is_whole else natural[self.own]
        return self.transform.to_free(own, self.leaf.label)


@dataclass(frozen=True, eq=False)
class Space:
    """The map between the free vector, which optimisers see, and the natural vector, which the user sees.

    Attributes
    ----------
    structure : Structure
        The natural parameters': `ravel` and `unravel` go between the user's nest and the natural vector.
    free_names : tuple of str
        Labels of the elements of the free vector (q,).
    blocks : tuple of Block
    owner : ndarray of int, shape (p,)
        For each natural element the one whose value it takes: itself, the first of those it is tied to, or -1
        where it is fixed.
    values : ndarray, shape (p,)
        The natural start, which fixed elements keep.
    coordinate : ndarray of int, shape (p,)
        For each natural element the free coordinate that it is a monotone function of, or -1 where there is
        no single one.
    start : ndarray, shape (q,)
        The free start.
    """

    structure: Structure
    free_names: tuple[str, ...]
    blocks: tuple[Block, ...]
    owner: npt.NDArray[np.intp]
    values: Array
    coordinate: npt.NDArray[np.intp]
    start: Array

    @property
    def names(self) -> tuple[str, ...]:
        """Labels of the elements of the natural vector (p,)."""
        return self.structure.names

    @cached_property
    def free_structure(self) -> Structure:
        """The free coordinates': a dict of one array per block that has any."""
        pieces = {block.label: np.zeros(block.free_shape) for block in self.blocks if block.label is not None}
        return structure_of(pieces, "theta")[0]

    @property
    def fixed(self) -> npt.NDArray[np.bool_]:
        """Which natural elements are fixed, shape (p,)."""
        return np.asarray(self.owner < 0)

    @cached_property
    def is_identity(self) -> bool:
        """Whether the free vector is the natural one."""
        return all(block.is_whole and block.transform == identity for block in self.blocks)

    @cached_property
    def key(self) -> Hashable:
        """What the map is made of, without the start: two spaces with equal keys are the same map."""
        blocks = tuple((block.leaf.label, block.label, *block.transform.key) for block in self.blocks)
        held = self.values[self.owner < 0].tobytes()
        return self.names, blocks, self.owner.tobytes(), held

    def leaves(self, pieces: Mapping[str, Any]) -> list[Any]:
        """The natural value of every leaf from the free coordinates, by key; on tracers as well."""
        made = [
            None if block.label is None else block.transform.forward(pieces[block.label])
            for block in self.blocks
        ]
        return [
            made[i] if block.is_whole else self._gathered(block, made) for i, block in enumerate(self.blocks)
        ]

    def _gathered(self, block: Block, made: Sequence[Any]) -> Any:
        """A leaf whose elements are partly its own, partly others', partly fixed."""
        sources = self.owner[block.leaf.place]
        if (sources < 0).all():
            return self.values[block.leaf.place].reshape(block.leaf.shape)[()]
        parts: list[Any] = [self.values[block.leaf.place]]
        place = np.arange(sources.size)
        start = sources.size
        for other, value in zip(self.blocks, made, strict=True):
            found = np.isin(sources, other.own)
            if not found.any():
                continue
            if block.leaf.shape == () and other.leaf.shape == ():
                return value
            parts.append(np.reshape(value, (-1,)))
            place[found] = start + np.searchsorted(other.own, sources[found])
            start += other.own.size
        return np.reshape(np.concatenate(parts)[place], block.leaf.shape)

    def coordinates(self, name: str) -> list[int]:
        """The free coordinates of a parameter, or of one of its elements, by label.

        Raises
        ------
        ValueError
            If there is no such label, or if it is fixed, tied to another, or part of a parameter that is
            constrained as a whole.
        """
        for leaf in self.free_structure.leaves:
            block = next(block for block in self.blocks if block.label == leaf.label)
            if block.leaf.label == name:
                return list(range(leaf.place.start, leaf.place.stop))
        place = self.names.index(name) if name in self.names else -1
        if place < 0 or self.owner[place] != place or self.coordinate[place] < 0:
            known = ", ".join(block.leaf.label for block in self.blocks if block.label is not None)
            raise ValueError(f"{name!r} is no parameter with a coordinate of its own; these are: {known}")
        return [int(self.coordinate[place])]

    def params(self, pieces: Mapping[str, Any]) -> Any:
        """The parameters as the user's function takes them, from the free coordinates by key."""
        return self.structure.build(self.leaves(pieces))

    def log_volume(self, pieces: Mapping[str, Any]) -> Any:
        """The logarithm of the determinant by which free coordinates, by key, are stretched; on tracers, too.

        A density of the parameters times this determinant is one of the free coordinates.
        """
        volumes = [
            block.transform.log_volume(pieces[block.label])
            for block in self.blocks
            if block.label is not None and block.transform.log_volume is not None
        ]
        return sum(volumes, start=0.0)

    def natural(self, free: Array) -> Array:
        """The natural vector (p,) of a free vector (q,)."""
        if self.is_identity:
            return free.copy()
        leaves = self.leaves(self.free_structure.unravel(free))
        return self.structure.join([np.asarray(leaf, dtype=np.float64) for leaf in leaves])

    def free(self, natural: Array) -> Array:
        """The free vector (q,) of a natural vector (p,); tied and fixed elements are ignored.

        Raises
        ------
        ValueError
            If the natural vector breaks a constraint; the message names the parameter.
        """
        return joined([block.to_free(natural) for block in self.blocks if block.label is not None])

    def jacobian(self, free: Array) -> Array:
        """Derivative of the natural vector with respect to the free one, shape (p, q), exact."""
        if self.is_identity:
            return np.eye(free.size)
        return jacobian(self._map, free)

    @cached_property
    def _map(self) -> TracedFunction:
        def natural(**pieces: Any) -> list[Any]:
            return self.leaves(pieces)

        # It runs a few times in all: not worth a source.
        return trace_quietly(natural, self.free_structure.unravel(self.start), backend="replay")

    def interval(self, low: Array, high: Array) -> Array:
        """Ends of intervals on the natural scale from ends in free coordinates.

        Parameters
        ----------
        low, high : ndarray, shape (q,)
            Ends in free coordinates, infinite where there is none.

        Returns
        -------
        ndarray, shape (p, 2)
            For an element that is a monotone function of one free coordinate, the transformed ends; for a
            fixed one its value twice; ``nan`` for an element of a vector or matrix that is constrained as a
            whole, for which an interval in one coordinate says nothing.
        """
        with np.errstate(all="ignore"):
            ends = np.column_stack([self.natural(low), self.natural(high)])
        ends[(self.coordinate < 0) & ~self.fixed] = np.nan
        return ends


def joined(pieces: Sequence[Array]) -> Array:
    """Flat vectors one after the other; an empty one where there are none."""
    return np.concatenate([np.empty(0), *pieces], axis=None)
