"""The programs of one path's tapes: made for a backend, bound to data, and tried before they serve."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from tapegrad.backends.c.backend import compiles
from tapegrad.backends.c.compiler import compiler
from tapegrad.backends.c.program import CProgram
from tapegrad.backends.effort import Meter
from tapegrad.backends.programs import AUTO, BACKENDS, Executable, Program
from tapegrad.backends.replay import evaluate
from tapegrad.backends.shared import Shared
from tapegrad.function.derived import Derived, Tapes
from tapegrad.function.lengths import of_any_length
from tapegrad.function.long import LENGTHS, LongData
from tapegrad.function.trials import copied
from tapegrad.nest import Vector
from tapegrad.passes import FINISHING, Pass, once, tidy
from tapegrad.pieces.program import InPieces
from tapegrad.tape.entries import Entries
from tapegrad.tape.tape import Tape, size_of


@dataclass(frozen=True)
class Running:
    """How tapes are run: on which backend, in how many threads, and after which passes.

    `long` are the data, where they are not in one piece.
    """

    backend: str
    threads: int
    passes: tuple[Pass, ...]
    loops: tuple[Pass, ...]
    long: LongData | None = None


class Programs:
    """The programs of one path's tapes, by the kinds of the tapes, each made when first asked for.

    None of it depends on the values of the data: all data share these programs.
    """

    def __init__(self, tapes: Tapes, running: Running) -> None:
        self.tapes = tapes
        self._running = running
        self._finished: dict[Derived, tuple[Tape, Tape]] = {}
        self._made: dict[Derived, Program] = {}
        self._meters: dict[Derived, Meter[Program]] = {}
        self._printed: dict[Derived, CProgram] = {}
        self._lock = threading.Lock()

    def finished(self, kind: Derived) -> tuple[Tape, Tape]:
        """A tape as it is run: what depends on data alone, and the rest."""
        if kind not in self._finished:
            tapes = [tidy(tapes[kind], FINISHING) for tapes in (self.tapes, *self.tapes.twins)]
            if self.tapes.rows is None:
                self._finished[kind] = once(tapes[0])
            else:
                self._finished[kind] = _nothing_once(of_any_length(tapes, LENGTHS)[0])
        return self._finished[kind]

    def __getitem__(self, kind: Derived) -> Program:
        """The program of a tape; its last direction comes late."""
        if kind not in self._made:
            _, tape = self.finished(kind)
            long = self._running.long
            if long is not None and self.tapes.rows is not None:
                self._made[kind] = InPieces(tape, self._late(kind), LENGTHS[0], long.backend)
                return self._made[kind]
            is_auto = self._running.backend == AUTO
            make = BACKENDS["numpy" if is_auto else self._running.backend]
            self._made[kind] = make(tape, self._late(kind), self._running.threads)
            if is_auto:
                self._meters[kind] = Meter(tape, partial(self._turned, kind))
        return self._made[kind]

    def executable(self, kind: Derived, data: Mapping[int, Any], shared: Shared) -> Executable:
        """The program of a tape on some data; the first is tried first."""
        found = self._bound(kind, data, shared)
        trial = self.tapes.trial
        if kind not in trial.passed:
            tried = found if data is trial.data else self._bound(kind, trial.data, Shared())
            kind.hold(trial, kind, lambda inputs: self._run(kind, tried, inputs))
            trial.close(kind)
        return found

    def _bound(self, kind: Derived, data: Mapping[int, Any], shared: Shared) -> Executable:
        _, rest = self.finished(kind)
        program = self[kind]
        values = self.values(kind, data)
        return Executable(program, values, bool(rest.guards), self._meters.get(kind), shared)

    def values(self, kind: Derived, data: Mapping[int, Any]) -> dict[int, Any]:
        """The data slots of a tape as it is run."""
        early, rest = self.finished(kind)
        if self.tapes.rows is not None:
            return dict(zip(rest.data, data.values(), strict=True))
        # Directions stand before the data, whose slots are then no longer those of the recorded tape.
        values = evaluate(early, np.empty(0), dict(zip(early.data, data.values(), strict=True)))
        return {slot: values[end] for slot, end in zip(rest.data, early.outputs, strict=True)}

    def _turned(self, kind: Derived) -> Program | None:
        """What runs a tape from now on, compiled if that can be done; None while it does not pay yet."""
        with self._lock:
            meter = self._meters.get(kind)
            if meter is None:  # another thread was here
                return self._made[kind]
            if compiler() is not None:
                if kind not in self._printed:
                    _, tape = self.finished(kind)
                    self._printed[kind] = CProgram(tape, self._late(kind), self._running.threads)
                program = self._printed[kind]
                if not meter.pays(program.printed.lines):
                    return None
                if compiles(program):
                    self._hold(kind, program)
                    self._made[kind] = program
                del self._printed[kind]
            del self._meters[kind]
            return self._made[kind]

    def _hold(self, kind: Derived, program: Program) -> None:
        """Hold a program against the one that serves, which has passed its own trial."""
        trial, (_, tape) = self.tapes.trial, self.finished(kind)
        data = self.values(kind, trial.data)
        trial.hold_other(
            kind,
            tape,
            data,
            *(partial(self._run, kind, Executable(one, data, False)) for one in (program, self._made[kind])),
        )

    def _late(self, kind: Derived) -> Sequence[int]:
        """Which of its inputs come late."""
        _, tape = self.finished(kind)
        return tape.parameters[self._early(kind) :]

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


def _nothing_once(tape: Tape) -> tuple[Tape, Tape]:
    """A tape of which each piece computes by itself what depends on data alone: nothing comes before."""
    return replace(tape, parameters=(), constants=(), entries=Entries(), outputs=tape.data, guards=()), tape
