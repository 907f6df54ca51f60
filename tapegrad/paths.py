"""The tapes of one function, one per path through its branches."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from tapegrad.backends.replay import Executable
from tapegrad.derive.reverse import hessian_product, reverse
from tapegrad.passes import tidy
from tapegrad.tape import Tape


def outcome_key(outcome: Any) -> Hashable:
    """A guard's outcome as a key of the tree."""
    if isinstance(outcome, np.ndarray):
        return (outcome.shape, outcome.tobytes())
    key: Hashable = outcome
    return key


class Path:
    """One path: the tape as recorded, and what is derived from it, each made when first asked for."""

    def __init__(self, tape: Tape, data: Mapping[int, Any]) -> None:
        self.tape = tape
        self.data = data
        self.outcomes = tuple(outcome_key(guard.outcome) for guard in tape.guards)

    @cached_property
    def tidy_tape(self) -> Tape:
        """The recorded tape after the passes."""
        return tidy(self.tape)

    @cached_property
    def gradient_tape(self) -> Tape:
        """Value and gradient, after the passes."""
        return tidy(reverse(self.tidy_tape))

    @cached_property
    def value(self) -> Executable:
        """Runs the value."""
        return Executable(self.tidy_tape, self.data)

    @cached_property
    def gradient(self) -> Executable:
        """Runs value and gradient."""
        return Executable(self.gradient_tape, self.data)

    @cached_property
    def hessian_product(self) -> Executable:
        """Runs the Hessian times a vector; its inputs are the parameters, then the vector."""
        return Executable(tidy(hessian_product(self.gradient_tape)), self.data)

    def with_data(self, data: Mapping[int, Any]) -> Path:
        """The same path on other data."""
        return Path(self.tape, data)


@dataclass
class PathTree:
    """A decision tree over guard outcomes, with a path at the end of each branch."""

    branches: dict[Hashable, PathTree] = field(default_factory=dict)
    path: Path | None = None

    def insert(self, path: Path) -> None:
        """Enter a path."""
        tree = self
        for outcome in path.outcomes:
            tree = tree.branches.setdefault(outcome, PathTree())
        tree.path = path

    def find(self, outcomes: tuple[Hashable, ...]) -> Path | None:
        """Some path that begins with these outcomes, or None."""
        tree = self
        for outcome in outcomes:
            following = tree.branches.get(outcome)
            if following is None:
                return None
            tree = following
        while tree.path is None and tree.branches:
            tree = next(iter(tree.branches.values()))
        return tree.path
