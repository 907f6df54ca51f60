"""The programs of one path's tapes: made for a backend, bound to data, and tried before they serve."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tapegrad.backends.programs import BACKENDS, Executable, Program
from tapegrad.backends.replay import evaluate
from tapegrad.function.derived import Derived, Tapes
from tapegrad.function.trials import copied
from tapegrad.nest import Vector
from tapegrad.passes import FINISHING, Pass, once, tidy
from tapegrad.tape.tape import Tape, size_of


@dataclass(frozen=True)
class Running:
    """How tapes are run: on which backend, in how many threads, and after which passes."""

    backend: str
    threads: int
    passes: tuple[Pass, ...]
    loops: tuple[Pass, ...]


class Programs:
    """The programs of one path's tapes, by the kinds of the tapes, each made when first asked for.

    None of it depends on the values of the data: all data share these programs.
    """

    def __init__(self, tapes: Tapes, running: Running) -> None:
        self.tapes = tapes
        self._running = running
        self._finished: dict[Derived, tuple[Tape, Tape]] = {}
        self._made: dict[Derived, Program] = {}

    def finished(self, kind: Derived) -> tuple[Tape, Tape]:
        """A tape as it is run: what depends on data alone, and the rest."""
        if kind not in self._finished:
            self._finished[kind] = once(tidy(self.tapes[kind], FINISHING))
        return self._finished[kind]

    def __getitem__(self, kind: Derived) -> Program:
        """The program of a tape; its last direction comes late."""
        if kind not in self._made:
            _, tape = self.finished(kind)
            make = BACKENDS[self._running.backend]
            self._made[kind] = make(tape, tape.parameters[self._early(kind) :], self._running.threads)
        return self._made[kind]

    def executable(self, kind: Derived, data: Mapping[int, Any]) -> Executable:
        """The program of a tape on some data; the first is tried first."""
        found = self._bound(kind, data)
        trial = self.tapes.trial
        if kind not in trial.passed:
            tried = found if data is trial.data else self._bound(kind, trial.data)
            kind.hold(trial, kind, lambda inputs: self._run(kind, tried, inputs))
            trial.close(kind)
        return found

    def _bound(self, kind: Derived, data: Mapping[int, Any]) -> Executable:
        early, rest = self.finished(kind)
        # Directions stand before the data, whose slots are then no longer those of the recorded tape.
        values = evaluate(early, np.empty(0), dict(zip(early.data, data.values(), strict=True)))
        bound = {slot: values[end] for slot, end in zip(rest.data, early.outputs, strict=True)}
        return Executable(self[kind], bound, bool(rest.guards))

    def _early(self, kind: Derived) -> int:
        """How many of its inputs come early."""
        _, tape = self.finished(kind)
        return len(tape.parameters) - len(kind.late(self.tapes))

    def _run(self, kind: Derived, executable: Executable, inputs: Vector) -> Sequence[Any]:
        """The outputs of a program on trial; the last of `inputs` are a direction, if it takes any."""
        _, tape = self.finished(kind)
        count = self._early(kind)
        early = sum(size_of(tape.avals[slot].shape) for slot in tape.parameters[:count])
        late = [inputs[early:]] if len(tape.parameters) > count else None
        found: list[Any] = executable.run(inputs[:early], copied, late, check=False)
        return found if late is None else list(found[0])
