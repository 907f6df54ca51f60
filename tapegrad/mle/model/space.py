"""Where a fit takes place: free coordinates, any real numbers, and the parameters that they stand for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from tapegrad.function.trace import trace
from tapegrad.function.traced import TracedFunction
from tapegrad.mle.transforms import Transform, identity
from tapegrad.nest import Leaf, Structure, structure_of

Array: TypeAlias = npt.NDArray[np.float64]
Names: TypeAlias = str | Sequence[str]


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

    def natural(self, free: Array) -> Array:
        """The natural vector (p,) of a free vector (q,)."""
        if self.is_identity:
            return free.copy()
        leaves = self.leaves(self.free_structure.unravel(free))
        return self.structure.join([np.asarray(leaf, dtype=np.float64) for leaf in leaves])

    def free(self, natural: Array) -> Array:
        """The free vector (q,) of a natural vector (p,); what is tied or fixed there is not looked at.

        Raises
        ------
        ValueError
            If the natural vector breaks a constraint; the message names the parameter.
        """
        return _joined([block.to_free(natural) for block in self.blocks if block.label is not None])

    def jacobian(self, free: Array) -> Array:
        """Derivative of the natural vector with respect to the free one, shape (p, q), exact."""
        if self.is_identity:
            return np.eye(free.size)
        columns = [self._map.outputs.ravel(self._map.jvp(free, unit)) for unit in np.eye(free.size)]
        return np.column_stack(columns)

    @cached_property
    def _map(self) -> TracedFunction:
        def natural(**pieces: Any) -> list[Any]:
            return self.leaves(pieces)

        # It runs a few times in all: not worth a source.
        return trace(natural, self.free_structure.unravel(self.start), backend="replay")

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


def _joined(pieces: Sequence[Array]) -> Array:
    return np.concatenate([np.empty(0), *pieces], axis=None)


# Making one -------------------------------------------------------------------------------------------------


def make_space(
    structure: Structure,
    values: Array,
    transforms: Mapping[str, Transform] | Transform | None = None,
    fixed: Names | Mapping[str, Any] = (),
    tie: Sequence[Names] = (),
) -> Space:
    """The space of a fit.

    Parameters
    ----------
    structure : Structure
        The natural parameters'.
    values : ndarray, shape (p,)
        The natural start.
    transforms : mapping of str to Transform, or a Transform, optional
        By the parameters' labels ("sigma", "group.sigma"); one alone is for the only parameter.
    fixed : str, sequence of str, or mapping of str to values
        Labels of parameters ("beta") or elements ("beta[2]") that keep their start value, or the value given.
    tie : sequence of sequences of str
        Labels of parameters, or of elements, that share one value.

    Raises
    ------
    ValueError
        If a label is unknown or used twice, if a start value breaks its constraint, if the parameters that
        are tied differ in their start, shape or constraint, or if nothing is left to be estimated.
    TypeError
        If a transform is none.
    """
    _check_unique(structure)
    values = values.copy()  # fixed ones may get others
    by_label = _transforms_by_label(structure, transforms)
    owner: npt.NDArray[np.intp] = np.arange(structure.size)
    _tie(structure, by_label, owner, values, tie)
    _fix(structure, by_label, owner, values, fixed)
    if (owner < 0).all():
        raise ValueError("every parameter is fixed: leave at least one to be estimated")
    return _assemble(structure, by_label, owner, values)


def _check_unique(structure: Structure) -> None:
    if len(set(structure.names)) < len(structure.names):
        twice = sorted({name for name in structure.names if structure.names.count(name) > 1})
        raise ValueError(
            f"two parameters are called {', '.join(twice)}: rename one, or nest them differently"
        )


def _transforms_by_label(
    structure: Structure, transforms: Mapping[str, Transform] | Transform | None
) -> dict[str, Transform]:
    labels = [leaf.label for leaf in structure.leaves]
    if isinstance(transforms, Transform):
        if len(labels) > 1:
            first, name = labels[0], transforms.name
            which = f"dict({first}={name})" if first.isidentifier() else f"{{{first!r}: {name}}}"
            told = f"say which parameter the transform is for: {which}"
            raise ValueError(told + _of_elements(labels[0].partition("[")[0], labels))
        transforms = {labels[0]: transforms}
    given = dict(transforms or {})
    unknown = [label for label in given if label not in labels]
    if unknown:
        told = f"transforms for {', '.join(unknown)}: the parameters are {', '.join(labels)}"
        raise ValueError(told + _of_elements(unknown[0], labels))
    for label, transform in given.items():
        if not isinstance(transform, Transform):
            raise TypeError(
                f"the transform of {label} must be one of tapegrad.mle.transforms, such as positive or "
                f"lower(0.5), not {transform!r:.60}"
            )
    return {label: given.get(label, identity) for label in labels}


def _of_elements(name: str, labels: Sequence[str]) -> str:
    """What to do where a name stands for a list or tuple, whose elements are parameters of their own."""
    if not any(label.startswith((f"{name}[", f"{name}.")) for label in labels):
        return ""
    return (
        f". {name} holds several: start with an array, np.array([...]), which is one parameter, or name them"
    )


def _places(structure: Structure, name: str, what: str) -> list[int]:
    """The natural elements that a label means: those of a parameter, or one element."""
    for leaf in structure.leaves:
        if leaf.label == name:
            return list(range(leaf.place.start, leaf.place.stop))
    if name in structure.names:
        return [structure.names.index(name)]
    known = list(dict.fromkeys([*(leaf.label for leaf in structure.leaves), *structure.names]))
    told = f"{what}: no parameter {name!r}; there are {', '.join(known)}"
    raise ValueError(told + _of_elements(name, known))


def _leaf_of(structure: Structure, place: int) -> Leaf:
    return next(leaf for leaf in structure.leaves if leaf.place.start <= place < leaf.place.stop)


def _check_parts(
    structure: Structure, by_label: Mapping[str, Transform], places: Sequence[int], what: str
) -> None:
    """Parameters that are constrained as a whole cannot be taken apart."""
    for place in places:
        leaf = _leaf_of(structure, place)
        whole = set(range(leaf.place.start, leaf.place.stop)) <= set(places)
        if not (by_label[leaf.label].elementwise or whole):
            transform = by_label[leaf.label].name
            raise ValueError(
                f"{what}: {structure.names[place]} is part of {leaf.label}, which is constrained as a whole "
                f"({transform}); name {leaf.label} instead"
            )


def _tie(
    structure: Structure,
    by_label: Mapping[str, Transform],
    owner: npt.NDArray[np.intp],
    values: Array,
    tie: Sequence[Names],
) -> None:
    used: set[int] = set()
    for group in tie:
        if isinstance(group, str) or len(group) < 2:
            raise ValueError(f"tie is a list of groups of names, such as [('a', 'b')], not {tie!r}")
        members = [_places(structure, name, "tie") for name in group]
        first = members[0]
        for name, places in zip(group, members, strict=True):
            _check_parts(structure, by_label, places, "tie")
            if used.intersection(places):
                raise ValueError(f"tie: {name} is in two groups; make them one")
            used.update(places)
            _check_alike(structure, by_label, values, first, places)
            owner[places] = owner[first]


def _check_alike(
    structure: Structure, by_label: Mapping[str, Transform], values: Array, first: list[int], other: list[int]
) -> None:
    a, b = (structure.names[places[0]] for places in (first, other))
    if len(first) != len(other):
        raise ValueError(f"tie: {a} and {b} have different shapes")
    transforms = {by_label[_leaf_of(structure, place).label].name for place in (*first, *other)}
    if len(transforms) > 1:
        raise ValueError(f"tie: {a} and {b} have different transforms, {' and '.join(sorted(transforms))}")
    if not np.array_equal(values[first], values[other]):
        raise ValueError(f"tie: {a} and {b} start at different values; start them at the same")


def _fix(
    structure: Structure,
    by_label: Mapping[str, Transform],
    owner: npt.NDArray[np.intp],
    values: Array,
    fixed: Names | Mapping[str, Any],
) -> None:
    names = [fixed] if isinstance(fixed, str) else list(fixed)
    if not names:
        return
    all_places: list[int] = []
    for name in names:
        places = _places(structure, name, "fixed")
        all_places += places
        if isinstance(fixed, Mapping):
            values[places] = _fixed_values(name, fixed[name], len(places))
    _check_parts(structure, by_label, all_places, "fixed")
    for place in all_places:  # what is tied to a fixed element is fixed with it
        values[owner == owner[place]] = values[place]
    owner[np.isin(owner, owner[all_places])] = -1


def _fixed_values(name: str, given: Any, count: int) -> Array:
    try:
        array = np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError):
        array = np.array([np.nan])
    if array.size not in (1, count) or not np.isfinite(array).all():
        needs = "a finite number" if count == 1 else f"{count} finite numbers"
        raise ValueError(f"fixed: {name} needs {needs}, not {given!r:.60}")
    return array.ravel()


def _assemble(
    structure: Structure, by_label: Mapping[str, Transform], owner: npt.NDArray[np.intp], values: Array
) -> Space:
    blocks = []
    pieces: dict[str, Array] = {}
    free_names: list[str] = []
    coordinate = np.full(structure.size, -1, dtype=np.intp)
    for leaf in structure.leaves:
        transform = by_label[leaf.label]
        own = np.arange(leaf.place.start, leaf.place.stop)
        own = own[owner[own] == own]
        label = transform.label.format(leaf.label) if own.size else None
        block = Block(leaf, transform, label, own)
        blocks.append(block)
        if label is None:
            continue
        if label in pieces:
            raise ValueError(f"two free coordinates are called {label}: rename the parameter {leaf.label}")
        pieces[label] = block.to_free(values)
        if transform.elementwise:
            coordinate[own] = len(free_names) + np.arange(own.size)
            free_names += [transform.label.format(structure.names[i]) for i in own]
        else:
            free_names += [f"{label}[{i}]" for i in range(pieces[label].size)]
    coordinate = np.where(owner >= 0, coordinate[owner], -1)
    start = _joined(list(pieces.values()))
    return Space(structure, tuple(free_names), tuple(blocks), owner, values, coordinate, start)
