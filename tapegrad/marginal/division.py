"""Which of the parameters of a joint log-likelihood are random effects, and which are parameters proper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from tapegrad.nest import Leaf, Nest, Structure, Vector

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class Division:
    """A structure of parameters, divided in two.

    Attributes
    ----------
    structure : Structure
        That of all, as the user's function takes them.
    random : ndarray of int
        Where the random effects stand in the flat vector of all.
    outer : Structure
        That of the others. A parameter of which some elements are random effects is there an array of the
        rest.
    """

    structure: Structure
    random: Array
    outer: Structure

    @cached_property
    def rest(self) -> Array:
        """Where the others stand in the flat vector of all."""
        return np.setdiff1d(np.arange(self.structure.size), self.random)

    @property
    def random_names(self) -> tuple[str, ...]:
        """The names of the random effects."""
        return tuple(self.structure.names[i] for i in self.random)

    @cached_property
    def random_keys(self) -> dict[str, Array]:
        """The keys of the random effects among the pieces, and where each piece stands in all."""
        return {
            self._key(leaf, mine): mine
            for leaf in self.structure.leaves
            for mine in [self.random[_within(self.random, leaf)]]
            if mine.size
        }

    def _key(self, leaf: Leaf, mine: Array) -> str:
        is_whole = mine.size == leaf.place.stop - leaf.place.start
        return leaf.label if is_whole else f"{leaf.label} (random)"

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys of all pieces."""
        return (*(leaf.label for leaf in self.outer.leaves), *self.random_keys)

    def start(self, vector: Vector) -> dict[str, Array]:
        """The pieces of the random effects, out of the flat vector of all."""
        shapes = {leaf.label: leaf.shape for leaf in self.structure.leaves}
        return {
            key: vector[places].reshape(shapes.get(key, places.shape))
            for key, places in self.random_keys.items()
        }

    def pieces(self, vector: Vector) -> dict[str, Any]:
        """All pieces, as a function of keyword arguments takes them, out of the flat vector of all."""
        rest = vector[self.rest]
        found = {leaf.label: rest[leaf.place].reshape(leaf.shape) for leaf in self.outer.leaves}
        return {**found, **self.start(vector)}

    def whole(self, pieces: Mapping[str, Any]) -> Any:
        """All parameters as the user's function takes them, out of the pieces; on tracers as well."""
        return self.structure.build([self._leaf(leaf, pieces) for leaf in self.structure.leaves])

    def _leaf(self, leaf: Leaf, pieces: Mapping[str, Any]) -> Any:
        mine = self.random[_within(self.random, leaf)]
        key = self._key(leaf, mine)
        if mine.size in (0, leaf.place.stop - leaf.place.start):
            return pieces[key if mine.size else leaf.label]
        rest = self.rest[_within(self.rest, leaf)]
        place = np.argsort(np.concatenate([rest, mine]), kind="stable")
        parts = [np.reshape(pieces[leaf.label], (-1,)), np.reshape(pieces[key], (-1,))]
        return np.reshape(np.concatenate(parts)[place], leaf.shape)

    def random_leaves(self, structure: Structure) -> list[int]:
        """Which leaves of the structure of the pieces are random effects."""
        return [i for i, leaf in enumerate(structure.leaves) if leaf.label in self.random_keys]


def divided(structure: Structure, random: str | Sequence[str]) -> Division:
    """Divide parameters into those to integrate out, by name, and the others.

    Raises
    ------
    ValueError
        If a name is unknown, or none is given, or all are.
    """
    names = [random] if isinstance(random, str) else list(random)
    if not names:
        raise ValueError("random= names no random effects")
    places: set[int] = set()
    for name in names:
        places.update(_places(structure, name))
    if len(places) == structure.size:
        raise ValueError(
            "random= names every parameter: leave at least one to be estimated. The integral over all of "
            "them is one number"
        )
    chosen = np.array(sorted(places), dtype=np.intp)
    return Division(structure, chosen, _without(structure, chosen))


def _places(structure: Structure, name: str) -> list[int]:
    for leaf in structure.leaves:
        if name == leaf.label:
            return list(range(leaf.place.start, leaf.place.stop))
    inside = [
        place
        for leaf in structure.leaves
        if leaf.label.startswith((f"{name}.", f"{name}["))
        for place in range(leaf.place.start, leaf.place.stop)
    ]
    if name in structure.names:
        return [structure.names.index(name)]
    if inside:
        return inside
    known = list(dict.fromkeys(leaf.label for leaf in structure.leaves))
    raise ValueError(f"random: no parameter {name!r}; there are {', '.join(known)}, and elements of arrays")


def _within(places: Array, leaf: Leaf) -> Array:
    found: Array = np.flatnonzero((places >= leaf.place.start) & (places < leaf.place.stop))
    return found


def _without(structure: Structure, random: Array) -> Structure:
    """The structure of what is not random; elements keep their names."""
    leaves: list[Leaf] = []

    def visit(node: Leaf | Nest) -> Leaf | Nest | None:
        if isinstance(node, Leaf):
            size = node.place.stop - node.place.start
            left = size - len(_within(random, node))
            if not left:
                return None
            start = leaves[-1].place.stop if leaves else 0
            shape = node.shape if left == size else (left,)
            leaves.append(Leaf(node.label, shape, slice(start, start + left)))
            return leaves[-1]
        kept = [
            (key, child) for key, child in zip(node.keys, map(visit, node.children), strict=True) if child
        ]
        if not kept:
            return None
        keys, children = zip(*kept, strict=True)
        kind = node.kind if node.kind in (dict, list, tuple) or len(kept) == len(node.keys) else tuple
        return Nest(kind, keys if kind is dict else tuple(range(len(keys))), children)

    root = visit(structure.root)
    assert root is not None
    chosen = set(random.tolist())
    names = tuple(name for i, name in enumerate(structure.names) if i not in chosen)
    return Structure(root, tuple(leaves), names)
