"""One path through a function's branches, on given data; and the tree in which paths are found."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tapegrad.backends.programs import Executable
from tapegrad.function.derived import Derived, Tapes
from tapegrad.function.running import Programs
from tapegrad.tape.tape import Guard, Tape


def outcome_key(outcome: Any) -> Hashable:
    """A guard's outcome as a key of the tree."""
    if isinstance(outcome, np.ndarray):
        return (outcome.shape, outcome.tobytes())
    key: Hashable = outcome if outcome == outcome else "nan"
    return key


class Path:
    """One path on given data, with the executables of its tapes.

    Attributes
    ----------
    programs : Programs
        Those of its tapes; all data share them.
    data : mapping of int to array
    thin : Guard or None
        A guard that holds at single points of the path only, until somebody has been told.
    """

    def __init__(self, programs: Programs, data: Mapping[int, Any], thin: Guard | None = None) -> None:
        self.programs = programs
        self.tapes: Tapes = programs.tapes
        self.data = data
        self.thin = thin
        self.outcomes = tuple(outcome_key(guard.outcome) for guard in self.tape.guards)
        self._executables: dict[Derived, Executable] = {}

    @property
    def tape(self) -> Tape:
        """The tape as recorded."""
        return self.tapes.recorded

    def executable(self, kind: Derived) -> Executable:
        """What runs the tape of one kind on the data."""
        known = self._executables.get(kind)
        if known is None:
            known = self._executables[kind] = self.programs.executable(kind, self.data)
        return known


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
