"""Backends by name, and a tape ready to run on one of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from tapegrad.backends.numpy.compiled import Compiled
from tapegrad.backends.replay import Broken, Workspace, located
from tapegrad.tape.tape import Tape

Array = np.ndarray[Any, Any]

# Source is compiled at about 10 us a line, and a printed scalar operation saves about 15 ns a run: long tapes
# of scalars, which loops in the user's code make, are not worth it before some hundred runs.
LONGEST_SOURCE = 5_000


class AnyWorkspace(Protocol):
    """What a backend provides: room for one thread to run a tape in."""

    @property
    def outputs(self) -> Sequence[Any]:
        """The outputs of the latest run: numbers, and arrays that the next run overwrites."""

    def run(self, inputs: Array) -> None:
        """Write every value, or where `inputs` lack the late leaves, every value without them."""

    def run_late(self, inputs: Array) -> None:
        """Write the values that depend on the late leaves."""

    def broken(self) -> Broken | None:
        """The first guard that does not hold."""


class Program(Protocol):
    """A tape made ready by a backend, for any data."""

    @property
    def tape(self) -> Tape:
        """The tape itself."""

    def workspace(self, data: Mapping[int, Any]) -> AnyWorkspace:
        """Room for one thread to run the tape on the values of its data slots."""


@dataclass(frozen=True)
class Replayed:
    """A tape for the reference backend, which takes it as it is."""

    tape: Tape
    late: Sequence[int] = ()

    def workspace(self, data: Mapping[int, Any]) -> Workspace:
        """Buffers for one thread."""
        return Workspace(self.tape, data, self.late)


def _replayed(tape: Tape, late: Sequence[int], threads: int) -> Program:
    return Replayed(tape, late)


def _printed(tape: Tape, late: Sequence[int], threads: int) -> Program:
    if len(tape.entries) > LONGEST_SOURCE:
        return Replayed(tape, late)
    return Compiled(tape, late, threads=threads)


# What each makes of a tape, its late leaves (directions mostly: many values of them share one run of the
# rest), and a number of threads.
BACKENDS: dict[str, Callable[[Tape, Sequence[int], int], Program]] = {
    "numpy": _printed,
    "replay": _replayed,
}


class Executable:
    """A program on its data, run from any number of threads: each takes a workspace and puts it back."""

    def __init__(self, program: Program, data: Mapping[int, Any], has_guards: bool) -> None:
        self._program = program
        self._data = data
        self._has_guards = has_guards
        self._idle: deque[AnyWorkspace] = deque()

    def run(
        self,
        inputs: Array,
        read: Callable[[Sequence[Any]], Any],
        directions: Iterable[Array] | None = None,
        check: bool = True,
    ) -> Any:
        """Replay, and `read` the outputs; with `directions`, a list of what is read for each of them.

        `read` has to copy what it keeps: arrays among the outputs are views of the workspace. If `check` is
        set and one of the guards does not hold, nothing is read and the result is the `Broken` guard.
        """
        try:
            workspace = self._idle.pop()
        except IndexError:
            workspace = self._program.workspace(self._data)
        try:
            workspace.run(inputs)
        except IndexError as error:
            raise located(error, self._program.tape, inputs, self._data) from None
        broken = workspace.broken() if check and self._has_guards else None
        if broken is not None:
            result: Any = broken
        elif directions is None:
            result = read(workspace.outputs)
        else:
            result = []
            for direction in directions:
                workspace.run_late(direction)
                result.append(read(workspace.outputs))
        self._idle.append(workspace)
        return result
