"""How a traced function is called: with its parameters in one piece, or as what was traced is called."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from tapegrad.nest import Leaf, Nest, Structure, argument_name
from tapegrad.ops.shaping import shape_of


@dataclass(frozen=True, eq=False)
class Calling:
    """The arguments of a traced function.

    Attributes
    ----------
    name : str
    arguments : tuple of str
        Its own, without those that are data: the keys of parameters in a dict, or the one argument.
    is_dict : bool
        Whether the parameters are a dict.
    order : ndarray of int, shape (p,)
        The elements of the flat vector in the order of the arguments.
    signature : inspect.Signature or None
        None where the keys of the dict are no names.
    """

    name: str
    arguments: tuple[str, ...]
    is_dict: bool
    order: np.ndarray[Any, Any]
    signature: inspect.Signature | None

    def theta(self, args: Sequence[Any], named: Mapping[str, Any]) -> Any:
        """The parameters in one piece, out of the arguments of a call."""
        if len(args) == 1 and not named:
            return args[0]
        names = ", ".join(self.arguments)
        if len(args) > len(self.arguments) or not (args or named):
            raise TypeError(f"{self.name} takes {names}, or all of them in one; {len(args)} are given")
        given = dict(zip(self.arguments, args, strict=False))
        twice = sorted(given.keys() & named.keys())
        unknown = sorted(named.keys() - set(self.arguments))
        missing = [name for name in self.arguments if name not in given and name not in named]
        if twice or unknown or missing:
            wrong = (("given twice", twice), ("unknown", unknown), ("missing", missing))
            told = "; ".join(
                f"{', '.join(found)} {'is' if len(found) == 1 else 'are'} {what}"
                for what, found in wrong
                if found
            )
            raise TypeError(f"{self.name} takes {names}: {told}")
        given.update(named)
        return given if self.is_dict else given[self.arguments[0]]

    def by_position(self, args: Sequence[Any], named: Mapping[str, Any]) -> bool:
        """Whether this is a call in the form of a function of several arguments, or of one number."""
        if named or not (self.is_dict and args):
            return False
        one = args[0]
        return len(args) > 1 or (not isinstance(one, (Mapping, list, tuple)) and shape_of(one) == ())

    def ordered(self, matrix: Any) -> Any:
        """A matrix (p, p) in the order of the arguments."""
        return matrix if self._in_order else matrix[self.order][:, self.order]

    @cached_property
    def _in_order(self) -> bool:
        return bool((np.diff(self.order) > 0).all())


def calling(f: Callable[..., Any], structure: Structure, name: str) -> Calling:
    """How what was made of `f` is called."""
    root = structure.root
    arguments: tuple[str, ...] = (root.label if isinstance(root, Leaf) else argument_name(f),)
    is_dict = isinstance(root, Nest) and root.kind is dict
    if isinstance(root, Nest) and is_dict:
        arguments = tuple(map(str, root.keys))
    try:
        own = dict(inspect.signature(f).parameters)
    except (TypeError, ValueError):
        own = {}
    rank = {key: i for i, key in enumerate(own)}
    arguments = tuple(sorted(arguments, key=lambda key: rank.get(key, len(rank))))
    return Calling(
        name, arguments, is_dict, _order(structure, arguments, is_dict), _signature(arguments, own)
    )


def _order(structure: Structure, arguments: Sequence[str], is_dict: bool) -> np.ndarray[Any, Any]:
    places = np.arange(structure.size)
    if not is_dict:
        return places
    parts = structure.unravel(places)
    return np.concatenate([_flat(parts[key]) for key in arguments]).astype(np.intp)


def _flat(nest: Any) -> np.ndarray[Any, Any]:
    if isinstance(nest, Mapping):
        return np.concatenate([_flat(part) for part in nest.values()])
    if isinstance(nest, (list, tuple)):
        return np.concatenate([_flat(part) for part in nest])
    return np.ravel(nest)


def _signature(arguments: Sequence[str], own: Mapping[str, inspect.Parameter]) -> inspect.Signature | None:
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    try:
        return inspect.Signature(
            [
                # A default would be a value to forget about: a traced function takes all its parameters.
                own.get(name, inspect.Parameter(name, kind)).replace(
                    kind=kind, default=inspect.Parameter.empty
                )
                for name in arguments
            ]
        )
    except ValueError:
        return None
