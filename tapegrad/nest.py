"""Parameters, their structure, their flat vector, and the names of its elements."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from tapegrad.ops.registry import Recordable, Shape
from tapegrad.ops.shaping import shape_of
from tapegrad.tape.tape import size_of

Vector = np.ndarray[Any, np.dtype[np.float64]]


class Leaf(NamedTuple):
    """One number or array among the parameters, and its place in the flat vector."""

    label: str
    shape: Shape
    place: slice


class Nest(NamedTuple):
    """A dict, list or tuple of leaves and nests."""

    kind: type
    keys: tuple[Any, ...]
    children: tuple[Leaf | Nest, ...]


@dataclass(frozen=True)
class Structure:
    """How parameters are nested.

    Attributes
    ----------
    root : Leaf or Nest
    leaves : tuple of Leaf
        In order: dicts in the order of their keys, sequences in theirs.
    names : tuple of str
        A label for each element of the flat vector: ``mu``, ``beta[2]``, ``group.sigma``, ``L[0,1]``.
    """

    root: Leaf | Nest
    leaves: tuple[Leaf, ...]
    names: tuple[str, ...]

    @cached_property
    def all_scalar(self) -> bool:
        """Whether there are numbers alone."""
        return all(leaf.shape == () for leaf in self.leaves)

    @cached_property
    def is_scalar(self) -> bool:
        """Whether there is one number, and no nest around it."""
        return isinstance(self.root, Leaf) and self.root.shape == ()

    @cached_property
    def size(self) -> int:
        """The length of the flat vector."""
        return len(self.names)

    @cached_property
    def keys(self) -> tuple[Any, ...]:
        """The keys of a dict of numbers and arrays, which is what most parameters are; else empty."""
        root = self.root
        is_plain = isinstance(root, Nest) and root.kind is dict and len(root.keys) == len(self.leaves)
        return root.keys if is_plain and all(map(_is_leaf, root.children)) else ()  # type: ignore[union-attr]

    def ravel(self, theta: Any) -> Vector:
        """Parameters as one flat float64 vector, a new one.

        Parameters
        ----------
        theta : structure or array_like
            Parameters in this structure, or the flat vector itself.

        Raises
        ------
        ValueError
            If the structure or a shape differs.
        TypeError
            If something in it is not a real number.
        """
        if type(theta) is dict and len(theta) == len(self.keys):
            plain = self._ravel_plain(theta)
            if plain is not None:
                return plain
        vector = np.empty(self.size)
        if self._is_flat(theta):
            values = _numbers(theta, "theta")
            if values.shape != (self.size,):
                raise ValueError(f"theta has {values.size} elements, expected {self.size}: {self.expected()}")
            vector[:] = values
        else:
            self._fill(self.root, theta, vector)
        return vector

    def _ravel_plain(self, theta: dict[Any, Any]) -> Vector | None:
        """The short way for a dict of floats and float64 arrays; None leaves it to the long one."""
        try:
            parts = [theta[key] for key in self.keys]
        except KeyError:
            return None
        if self.all_scalar:
            return np.array(parts) if _FLOATS.issuperset(map(type, parts)) else None
        if not all(map(_fits, parts, self.leaves)):
            return None
        return parts[0].flatten() if len(parts) == 1 else np.concatenate(parts, axis=None)

    def _is_flat(self, theta: Any) -> bool:
        if isinstance(theta, (np.ndarray, Recordable)):
            return len(shape_of(theta)) == 1 and not (
                isinstance(self.root, Leaf) and shape_of(theta) == self.root.shape
            )
        is_list = isinstance(theta, (list, tuple))
        return is_list and isinstance(self.root, Nest) and self.root.kind is dict

    def _fill(self, node: Leaf | Nest, theta: Any, vector: Vector) -> None:
        if isinstance(node, Leaf):
            if node.shape == () and type(theta) is float:
                vector[node.place.start] = theta
                return
            values = _numbers(theta, node.label)
            if values.shape != node.shape:
                raise ValueError(
                    f"{node.label} has shape {values.shape}, expected {node.shape}; {self.expected()}"
                )
            vector[node.place] = values.ravel()
            return
        for child, part in zip(node.children, self._parts(node, theta), strict=True):
            self._fill(child, part, vector)

    def _parts(self, node: Nest, theta: Any) -> Sequence[Any]:
        if node.kind is dict:
            if not isinstance(theta, Mapping) and node is self.root and len(node.children) == 1:
                return [theta]  # one parameter, which is called as a function of it
            if not isinstance(theta, Mapping):
                raise ValueError(f"expected {self.expected()}; got {type(theta).__name__}")
            if theta.keys() != set(node.keys):
                missing = [key for key in node.keys if key not in theta]
                extra = [key for key in theta if key not in node.keys]
                raise ValueError(f"expected {self.expected()}; missing {missing}, unexpected {extra}")
            return [theta[key] for key in node.keys]
        if not isinstance(theta, (list, tuple)) or len(theta) != len(node.children):
            got = (
                f"{type(theta).__name__} of {len(theta)}"
                if hasattr(theta, "__len__")
                else type(theta).__name__
            )
            raise ValueError(f"expected {self.expected()}; got {got}")
        return theta

    def unravel(self, vector: Any) -> Any:
        """A flat vector in this structure: floats for scalars, new float64 arrays for arrays."""
        vector = np.asarray(vector, dtype=np.float64)
        if self.all_scalar:
            return self.build(vector.tolist())
        return self.build([_leaf_value(leaf, vector) for leaf in self.leaves])

    def join(self, parts: Sequence[Any]) -> Vector:
        """One array per leaf as one flat vector, a new one."""
        if self.all_scalar:
            return np.array([float(part) for part in parts])
        vector = np.empty(self.size)
        for leaf, part in zip(self.leaves, parts, strict=True):
            vector[leaf.place] = part if isinstance(part, float) or part.ndim < 2 else part.ravel()
        return vector

    def operands(self, theta: Any) -> list[Any]:
        """One operand per leaf, out of traced parameters in this structure or as one flat vector."""
        if self._is_flat(theta):
            return [_part_of(theta, leaf) for leaf in self.leaves]
        found: list[Any] = []
        self._gather(self.root, theta, found)
        return found

    def _gather(self, node: Leaf | Nest, theta: Any, found: list[Any]) -> None:
        if isinstance(node, Leaf):
            if shape_of(theta) != node.shape:
                raise ValueError(f"{node.label} has shape {shape_of(theta)}, expected {node.shape}")
            found.append(theta)
            return
        for child, part in zip(node.children, self._parts(node, theta), strict=True):
            self._gather(child, part, found)

    def build(self, values: Sequence[Any]) -> Any:
        """One value per leaf, in this structure."""
        if self.keys:
            return dict(zip(self.keys, values))  # noqa: B905 - strict costs 5 % of a small gradient
        return _build(self.root, iter(values))

    def expected(self) -> str:
        """What theta has to look like, in words."""
        flat = f"(or one flat vector of length {self.size})"
        return f"{describe(self.root)} {flat}" if isinstance(self.root, Nest) else describe(self.root)


def _part_of(theta: Any, leaf: Leaf) -> Any:
    part = theta[leaf.place.start] if leaf.shape == () else theta[leaf.place]
    return part if len(leaf.shape) < 2 else np.reshape(part, leaf.shape)


def _is_leaf(node: Leaf | Nest) -> bool:
    return isinstance(node, Leaf)


_FLOATS = frozenset((float, np.float64))


def _fits(part: Any, leaf: Leaf) -> bool:
    if type(part) is np.ndarray:
        return bool(part.shape == leaf.shape and part.dtype == np.float64)
    return type(part) in _FLOATS and leaf.shape == ()


def _leaf_value(leaf: Leaf, vector: Vector) -> Any:
    if leaf.shape == ():
        return vector.item(leaf.place.start)
    return vector[leaf.place].reshape(leaf.shape).copy()


def _build(node: Leaf | Nest, values: Iterator[Any]) -> Any:
    if isinstance(node, Leaf):
        return next(values)
    children = [_build(child, values) for child in node.children]
    if node.kind is dict:
        return dict(zip(node.keys, children, strict=True))
    return node.kind(*children) if hasattr(node.kind, "_fields") else node.kind(children)  # a namedtuple


def describe(node: Leaf | Nest) -> str:
    """A structure in words."""
    if isinstance(node, Leaf):
        return "a number" if node.shape == () else f"an array of shape {node.shape}"
    if node.kind is dict:
        inside = ", ".join(
            f"{k}: {describe(child)}" for k, child in zip(node.keys, node.children, strict=True)
        )
        return f"a dict of {inside}"
    return f"a {node.kind.__name__} of " + ", ".join(describe(child) for child in node.children)


def _numbers(value: Any, label: str) -> np.ndarray[Any, Any]:
    try:
        array = np.asarray(value)
    except ValueError:
        raise TypeError(
            f"{label} must be a real number or an array of them, not a ragged {type(value).__name__}"
        ) from None
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{label} must be a real number or an array of them, not {value!r:.80}")
    return array.astype(np.float64, copy=False)


def structure_of(params: Any, root_label: str) -> tuple[Structure, Vector]:
    """The structure of `params` and their values as a flat vector.

    Raises
    ------
    ValueError
        If there are no parameters, or one of them is not finite.
    TypeError
        If something in it is not a real number.
    """
    structure, values = scan(params, root_label, _numbers)
    if not structure.size:
        raise ValueError("params holds no numbers: give a start value for each parameter")
    vector = np.concatenate([value.ravel() for value in values])
    bad = [name for name, value in zip(structure.names, vector, strict=True) if not np.isfinite(value)]
    if bad:
        raise ValueError(f"start values must be finite; these are not: {', '.join(bad[:5])}")
    return structure, vector


def scan(nest: Any, root_label: str, convert: Callable[[Any, str], Any]) -> tuple[Structure, list[Any]]:
    """The structure of a nest, and its leaves as `convert` makes them; it is given each with its label."""
    leaves: list[Leaf] = []
    values: list[Any] = []

    def visit(node: Any, label: str, is_root: bool) -> Leaf | Nest:
        if isinstance(node, Mapping):
            prefix = "" if is_root else f"{label}."
            children = tuple(visit(child, f"{prefix}{key}", False) for key, child in node.items())
            return Nest(dict, tuple(node), children)
        if isinstance(node, (list, tuple)):
            children = tuple(visit(child, f"{label}[{i}]", False) for i, child in enumerate(node))
            return Nest(type(node), tuple(range(len(children))), children)
        values.append(convert(node, label))
        shape, start = shape_of(values[-1]), leaves[-1].place.stop if leaves else 0
        leaves.append(Leaf(label, shape, slice(start, start + size_of(shape))))
        return leaves[-1]

    root = visit(nest, root_label, True)
    names = tuple(itertools.chain.from_iterable(_names(leaf) for leaf in leaves))
    return Structure(root, tuple(leaves), names), values


def _names(leaf: Leaf) -> Iterator[str]:
    if leaf.shape == ():
        yield leaf.label
        return
    for index in np.ndindex(leaf.shape):
        yield f"{leaf.label}[{','.join(map(str, index))}]"


def has_traced(nest: Any) -> bool:
    """Whether something in a nest of parameters is traced."""
    if isinstance(nest, Mapping):
        return any(map(has_traced, nest.values()))
    if isinstance(nest, (list, tuple)):
        return any(map(has_traced, nest))
    return isinstance(nest, Recordable)


def argument_name(f: Callable[..., Any]) -> str:
    """The name of the first argument of `f`, or ``theta``."""
    try:
        return next(iter(inspect.signature(f).parameters), "theta")
    except (TypeError, ValueError):
        return "theta"


def call(f: Callable[..., Any], params: Any, data: Mapping[str, Any]) -> Any:
    """Call `f` as the user means it: a dict as keyword arguments, anything else as one argument."""
    if isinstance(params, Mapping):
        return f(**params, **data)
    return f(params, **data)
