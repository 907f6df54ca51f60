"""One path through a function's branches, on given data; and the tree in which paths are found."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from tapegrad.backends.programs import Executable
from tapegrad.backends.replay import Broken, evaluate, holds
from tapegrad.backends.shared import Shared
from tapegrad.function.derived import Derived, Tapes
from tapegrad.function.running import Programs
from tapegrad.function.seen import Seen
from tapegrad.function.trials import copied
from tapegrad.nest import Vector
from tapegrad.passes import branches
from tapegrad.pieces.program import InPieces, decides_otherwise
from tapegrad.pieces.rows import Column, Rows
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
        What the tape is read on, entry by entry: of data in pieces, the rows that were traced on.
    thin : Guard or None
        A guard that holds at single points of the path only, until somebody has been told.
    seen : Seen or None
        The sides of choices that plain calls have confirmed; None where there are no choices.
    direct : callable or None
        Value and gradient at a dict by fewer steps, once the path has been taken; see `Direct`.
    outcomes : tuple of hashable
        How the decisions fall that make it this path, in order. Choices are none of them.
    """

    def __init__(
        self,
        programs: Programs,
        data: Mapping[int, Any],
        thin: Guard | None = None,
        bound: Mapping[int, Any] | None = None,
    ) -> None:
        self.programs = programs
        self.tapes: Tapes = programs.tapes
        self.data = data
        self._bound = data if bound is None else bound
        self._shared = Shared()
        self.thin = thin
        self.direct: Callable[[dict[Any, Any]], tuple[Any, Any] | None] | None = None
        made_anew = [guard for guard in self.tapes.short.guards if guard.is_choice]
        self.seen = Seen(made_anew) if made_anew else None
        self._places = self._deciding() if made_anew else range(len(self.tape.guards))
        self.outcomes = tuple([outcome_key(self.tape.guards[i].outcome) for i in self._places])
        self._executables: dict[Derived, Executable] = {}

    @property
    def tape(self) -> Tape:
        """The tape as recorded."""
        return self.tapes.recorded

    def kept(self, kind: Derived, inputs: Vector) -> list[Any]:
        """The outputs of a tape of data in pieces; numbers for each row stay where the rows are."""
        executable, program = self.executable(kind), self.programs[kind]
        if not isinstance(program, InPieces):  # few rows stand for all
            found = executable.run(inputs, copied)
            if isinstance(found, Broken):
                raise decides_otherwise(program.tape, found)
            return list(found)
        return program.workspace(self.programs.values(kind, self._bound)).kept(inputs)

    @property
    def rows(self) -> Rows | None:
        """Data in pieces, of which `data` are the first rows; None where all is in memory."""
        return next((value.rows for value in self._bound.values() if isinstance(value, Column)), None)

    def tape_at(self, vector: Vector) -> Tape:
        """The tape to read entry by entry at parameters that take this path: as recorded, where that holds.

        Where choices fall otherwise than in the record, it is the tape with both sides and the choices.
        """
        if self.seen is None:
            return self.tape
        values = evaluate(self.tape, vector, self.data, [guard.slot for guard in self.tape.guards])
        held = all(holds(guard, values[guard.slot]) for guard in self.tape.guards)
        return self.tape if held else self._both_sides

    @cached_property
    def _both_sides(self) -> Tape:
        return branches(self.tape)

    def outcomes_until(self, place: int) -> tuple[Hashable, ...]:
        """How the decisions fall that stand before one of the recorded ones."""
        return self.outcomes[: bisect_left(self._places, place)]

    def _deciding(self) -> Sequence[int]:
        """Which of the recorded decisions make it this path."""
        kept = (guard.turns or () for guard in self.tapes.short.guards if not guard.is_choice)
        return sorted(turn for turns in kept for turn in turns)

    def of_each(
        self,
        kind: Derived,
        vector: Vector,
        find: Callable[[Sequence[Any]], Any],
        merge: Callable[[Sequence[Any]], Any],
    ) -> Any:
        """What a function finds in what a tape gives for each row of data in pieces, where the rows are."""
        self.executable(kind)  # which has been tried on the rows that were traced on
        program = self.programs[kind]
        assert isinstance(program, InPieces), "only data in pieces stay where they are"
        return program.workspace(self.programs.values(kind, self._bound)).of_each(vector, find, merge)

    def executable(self, kind: Derived) -> Executable:
        """What runs the tape of one kind on the data."""
        known = self._executables.get(kind)
        if known is None:
            known = self._executables[kind] = self.programs.executable(kind, self._bound, self._shared)
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

    def paths(self) -> Iterator[Path]:
        """All paths."""
        if self.path is not None:
            yield self.path
        for tree in self.branches.values():
            yield from tree.paths()

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
