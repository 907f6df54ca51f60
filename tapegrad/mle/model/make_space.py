"""The space of a fit, out of its parameters' constraints: transformed, fixed and tied."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from tapegrad.mle.model.space import Block, Space, joined
from tapegrad.mle.transforms import Transform, identity
from tapegrad.nest import Leaf, Structure

Array: TypeAlias = npt.NDArray[np.float64]
Names: TypeAlias = str | Sequence[str]


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
    """The advice for the name of a list or tuple: its elements are parameters of their own."""
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
    start = joined(list(pieces.values()))
    return Space(structure, tuple(free_names), tuple(blocks), owner, values, coordinate, start)
