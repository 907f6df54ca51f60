"""The tapes of one function, one per path through its branches."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from tapegrad.backends.executable import Executable
from tapegrad.derive.continuation import waist
from tapegrad.derive.forward import jacobian_by_columns, pushforward
from tapegrad.derive.reverse import pullback, reverse
from tapegrad.derive.sparsity import Colouring, colour_columns, colour_symmetric, jacobian_pattern
from tapegrad.passes import Pass, dce, tidy
from tapegrad.tape import Tape, size_of


def _gradient_alone(gradient: Tape) -> Tape:
    return dce(replace(gradient, outputs=gradient.outputs[1:]))


def outcome_key(outcome: Any) -> Hashable:
    """A guard's outcome as a key of the tree."""
    if isinstance(outcome, np.ndarray):
        return (outcome.shape, outcome.tobytes())
    key: Hashable = outcome if outcome == outcome else "nan"
    return key


@dataclass(frozen=True)
class Running:
    """How tapes are run: on which backend, in how many threads, and after which passes."""

    backend: str
    threads: int
    passes: tuple[Pass, ...]


class Path:
    """One path: the tape as recorded, and what is derived from it, each made when first asked for."""

    def __init__(self, tape: Tape, data: Mapping[int, Any], running: Running) -> None:
        self.tape = tape
        self.running = running
        self.data = data
        self.outcomes = tuple(outcome_key(guard.outcome) for guard in tape.guards)

    def _tidy(self, tape: Tape) -> Tape:
        return tidy(tape, self.running.passes)

    @cached_property
    def tidy_tape(self) -> Tape:
        """The recorded tape after the passes."""
        return self._tidy(self.tape)

    @cached_property
    def gradient_tape(self) -> Tape:
        """Value and gradient, after the passes."""
        return self._tidy(reverse(self.tidy_tape))

    @cached_property
    def hessian_tape(self) -> Tape:
        """The Hessian as a matrix, after the passes: every column written out."""
        return self._tidy(jacobian_by_columns(_gradient_alone(self.gradient_tape)))

    @cached_property
    def jacobian_tape(self) -> Tape:
        """The Jacobian as a matrix of parameters by outputs, after the passes: every row written out."""
        return self._tidy(jacobian_by_columns(self.tidy_tape))

    @cached_property
    def hessian_colouring(self) -> Colouring:
        """The pattern of the Hessian and the products that find it."""
        return colour_symmetric(jacobian_pattern(_gradient_alone(self.gradient_tape)))

    @cached_property
    def jacobian_colourings(self) -> tuple[Colouring, Colouring]:
        """The pattern of the Jacobian and the products that find it: by columns, and by rows."""
        pattern = jacobian_pattern(self.tidy_tape)
        return colour_columns(pattern), colour_columns(pattern.T)

    @cached_property
    def value(self) -> Executable:
        """Runs the value."""
        return self._executable(self.tidy_tape)

    @cached_property
    def gradient(self) -> Executable:
        """Runs value and gradient."""
        return self._executable(self.gradient_tape)

    @cached_property
    def jvp(self) -> Executable:
        """Runs the Jacobian times a direction in the parameters."""
        return self._product(pushforward(self.tidy_tape))

    @cached_property
    def vjp(self) -> Executable:
        """Runs a cotangent of the outputs times the Jacobian."""
        return self._product(pullback(self.tidy_tape))

    @cached_property
    def waist(self) -> int | None:
        """The size of the narrowest slot that everything passes through, if there is one."""
        slot = waist(self.tidy_tape)
        return None if slot is None else size_of(self.tidy_tape.avals[slot].shape)

    @cached_property
    def from_waist(self) -> Executable:
        """Runs the Jacobian of the outputs in the waist, times a direction in it."""
        return self._product(pushforward(self.tidy_tape, self._at_waist()))

    @cached_property
    def to_waist(self) -> Executable:
        """Runs a cotangent of the waist times its Jacobian in the parameters."""
        return self._product(pullback(self.tidy_tape, self._at_waist()))

    def _at_waist(self) -> tuple[int, ...]:
        slot = waist(self.tidy_tape)
        assert slot is not None
        return (slot,)

    @cached_property
    def hvp(self) -> Executable:
        """Runs the Hessian times a direction: forward over reverse."""
        return self._product(pushforward(_gradient_alone(self.gradient_tape)))

    @cached_property
    def third(self) -> Executable:
        """Runs the third derivative times two directions, of which the second comes late."""
        once = self._tidy(pushforward(_gradient_alone(self.gradient_tape)))
        leaves = once.parameters[: len(self.tape.parameters)]
        return self._product(pushforward(once, moving=leaves), given=len(once.parameters))

    def _executable(self, tape: Tape, late: Sequence[int] = ()) -> Executable:
        return Executable(self.running.backend, tape, self.data, late, self.running.threads)

    def _product(self, tape: Tape, given: int | None = None) -> Executable:
        tape = self._tidy(tape)
        late = tape.parameters[len(self.tape.parameters) if given is None else given :]
        # The directions stand before the data, whose slots are no longer those of the tape as recorded.
        data = dict(zip(tape.data, self.data.values(), strict=True))
        return Executable(self.running.backend, tape, data, late)


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
