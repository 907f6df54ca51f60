"""The tapes of one function, one per path through its branches."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from tapegrad.backends.programs import BACKENDS, Executable, Program
from tapegrad.backends.replay import evaluate
from tapegrad.derive.pullback import pullback, reverse
from tapegrad.derive.pushforward import jacobian_by_columns, pushforward
from tapegrad.derive.sparsity import Colouring, colour_columns, colour_symmetric, jacobian_pattern
from tapegrad.function.trials import Trial, copied
from tapegrad.nest import Vector
from tapegrad.passes import FINISHING, Pass, dce, once, tidy
from tapegrad.plan.stages import BLOCK, row_axis
from tapegrad.tape.slots import waist
from tapegrad.tape.tape import Guard, Tape, size_of

# Entries of a Hessian written out column by column. Deriving and printing one takes some 50 us, as long as an
# array operation on 50,000 rows.
MOST_WRITTEN_OUT = 2_000


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


class Tapes:
    """The tape of one path as recorded, and what is derived from it, each made when first asked for.

    None of it depends on the values of the data: all data share these tapes, and the programs made of them.
    """

    def __init__(self, recorded: Tape, running: Running, trial: Trial) -> None:
        self.recorded = recorded
        self.trial = trial
        self._running = running
        self._derived: dict[str, Tape] = {}
        self._finished: dict[str, tuple[Tape, Tape]] = {}
        self._programs: dict[str, Program] = {}

    def _tidy(self, tape: Tape) -> Tape:
        return tidy(tape, self._running.passes)

    def _made(self, kind: str, tape: Tape) -> Tape:
        """A derived tape after the passes; as it was, it is kept until its program has been tested."""
        if kind not in self.trial.passed:
            self._derived[kind] = tape
        return self._tidy(tape)

    @cached_property
    def value(self) -> Tape:
        """The recorded tape after the passes."""
        return self._tidy(self.recorded)

    @cached_property
    def gradient(self) -> Tape:
        """Value and gradient."""
        return self._tidy(reverse(self.value))

    @cached_property
    def _gradient_alone(self) -> Tape:
        return dce(replace(self.gradient, outputs=self.gradient.outputs[1:]))

    @cached_property
    def hessian(self) -> Tape:
        """The Hessian as a matrix: every column written out."""
        return self._made("hessian", jacobian_by_columns(self._gradient_alone))

    @cached_property
    def jacobian(self) -> Tape:
        """The Jacobian as a matrix of parameters by outputs: every row written out."""
        return self._made("jacobian", jacobian_by_columns(self.value))

    # Products, whose last parameters are the directions -----------------------------------------------------

    @cached_property
    def jvp(self) -> Tape:
        """The Jacobian times a direction in the parameters."""
        return self._made("jvp", pushforward(self.value))

    @cached_property
    def vjp(self) -> Tape:
        """A cotangent of the outputs times the Jacobian."""
        return self._made("vjp", pullback(self.value))

    @cached_property
    def hvp(self) -> Tape:
        """The Hessian times a direction: forward over reverse."""
        return self._made("hvp", pushforward(self._gradient_alone))

    @cached_property
    def third(self) -> Tape:
        """The third derivative times two directions."""
        moving = self.hvp.parameters[: len(self.recorded.parameters)]
        return self._made("third", pushforward(self.hvp, moving))

    @cached_property
    def from_waist(self) -> Tape:
        """The Jacobian of the outputs in the waist, times a direction in it."""
        return self._made("from_waist", pushforward(self.value, self._at_waist()))

    @cached_property
    def to_waist(self) -> Tape:
        """A cotangent of the waist times its Jacobian in the parameters."""
        return self._made("to_waist", pullback(self.value, self._at_waist()))

    # What is known about them -------------------------------------------------------------------------------

    @cached_property
    def waist(self) -> int | None:
        """The size of the narrowest slot that everything passes through, if there is one."""
        slot = waist(self.value)
        return None if slot is None else size_of(self.value.avals[slot].shape)

    def _at_waist(self) -> tuple[int, ...]:
        slot = waist(self.value)
        assert slot is not None
        return (slot,)

    @cached_property
    def has_cheap_hessian(self) -> bool:
        """Whether to run the Hessian written out, which walks long data once, and not product by product."""
        gradient = self._gradient_alone
        p = sum(size_of(gradient.avals[slot].shape) for slot in gradient.parameters)
        is_long = any(row_axis(aval.shape, BLOCK) is not None for aval in gradient.avals)
        return is_long and p * len(gradient.entries) <= MOST_WRITTEN_OUT

    @cached_property
    def hessian_colouring(self) -> Colouring:
        """The pattern of the Hessian and the products that find it."""
        return colour_symmetric(jacobian_pattern(self._gradient_alone))

    @cached_property
    def jacobian_colourings(self) -> tuple[Colouring, Colouring]:
        """The pattern of the Jacobian and the products that find it: by columns, and by rows."""
        pattern = jacobian_pattern(self.value)
        return colour_columns(pattern), colour_columns(pattern.T)

    def finished(self, kind: str) -> tuple[Tape, Tape]:
        """One of these tapes, by its name, as it is run: what depends on data alone, and the rest."""
        if kind not in self._finished:
            self._finished[kind] = once(tidy(getattr(self, kind), FINISHING))
        return self._finished[kind]

    def program(self, kind: str) -> Program:
        """One of these tapes, by its name, made ready to run; its last direction comes late."""
        if kind not in self._programs:
            _, tape = self.finished(kind)
            make = BACKENDS[self._running.backend]
            self._programs[kind] = make(tape, tape.parameters[self._given(kind) :], self._running.threads)
        return self._programs[kind]

    def _given(self, kind: str) -> int:
        """How many leaves come early: the parameters, and of two directions the first."""
        return len(self.recorded.parameters) * (2 if kind == "third" else 1)

    def executable(self, kind: str, data: Mapping[int, Any]) -> Executable:
        """One of these tapes, by its name, on some data; the first of its kind is tested first."""
        found = self._bound(kind, data)
        if kind not in self.trial.passed:
            tested = found if data is self.trial.data else self._bound(kind, self.trial.data)
            self._test(kind, tested)
            self._derived.pop(kind, None)
            self.trial.passed.add(kind)
        return found

    def _bound(self, kind: str, data: Mapping[int, Any]) -> Executable:
        early, rest = self.finished(kind)
        # Directions stand before the data, whose slots are then no longer those of the recorded tape.
        values = evaluate(early, np.empty(0), dict(zip(early.data, data.values(), strict=True)))
        bound = {slot: values[end] for slot, end in zip(rest.data, early.outputs, strict=True)}
        return Executable(self.program(kind), bound, bool(rest.guards))

    def _test(self, kind: str, executable: Executable) -> None:
        """Hold a program against plain calls, or against what its tape was made of."""

        def run(inputs: Vector) -> Sequence[Any]:
            late = [inputs[early:]] if has_directions else None
            found: list[Any] = executable.run(inputs[:early], copied, late, check=False)
            return found if late is None else list(found[0])

        _, tape = self.finished(kind)
        given = self._given(kind)
        has_directions = len(tape.parameters) > given
        early = sum(size_of(tape.avals[slot].shape) for slot in tape.parameters[:given])
        if kind in ("value", "gradient"):
            self.trial.hold_values(self.recorded, run)
        if kind == "gradient":
            self.trial.hold_gradient(self.recorded, run)
        elif kind in self._derived:
            self.trial.hold(kind, self._derived[kind], run)


class Path:
    """One path on given data, with the executables of its tapes.

    Attributes
    ----------
    thin : Guard or None
        A guard that holds at single points of the path only, until somebody has been told.
    """

    def __init__(self, tapes: Tapes, data: Mapping[int, Any], thin: Guard | None = None) -> None:
        self.tapes = tapes
        self.data = data
        self.thin = thin
        self.outcomes = tuple(outcome_key(guard.outcome) for guard in tapes.recorded.guards)
        self._executables: dict[str, Executable] = {}

    @property
    def tape(self) -> Tape:
        """The tape as recorded."""
        return self.tapes.recorded

    def executable(self, kind: str) -> Executable:
        """One of the tapes, by its name, ready to run."""
        known = self._executables.get(kind)
        if known is None:
            known = self._executables[kind] = self.tapes.executable(kind, self.data)
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
