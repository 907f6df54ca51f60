"""Backends by name: each makes of a tape a program, which runs it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from tapegrad.backends.c import backend as c
from tapegrad.backends.effort import Meter
from tapegrad.backends.interpreter import replayed
from tapegrad.backends.jax import backend as jax
from tapegrad.backends.numpy.compiled import compiled
from tapegrad.backends.replay import Broken, located
from tapegrad.backends.shared import Shared
from tapegrad.plan.stages import Plan
from tapegrad.tape.tape import Tape

Array = np.ndarray[Any, Any]


class AnyWorkspace(Protocol):
    """Room for one thread to run a program in.

    Attributes
    ----------
    inputs : ndarray
        What the next run is to compute from.
    """

    inputs: Array

    @property
    def outputs(self) -> Sequence[Any]:
        """The outputs of the latest run: numbers, and arrays that the next run overwrites."""

    def run(self, inputs: Array) -> None:
        """Write every value, or where `inputs` lack the late leaves, every value without them."""

    def compute(self) -> None:
        """Write every value of a program without late leaves, from what stands in `inputs`."""

    def run_late(self, inputs: Array) -> None:
        """Write the values that depend on the late leaves."""

    def broken(self) -> Broken | None:
        """The first guard that does not hold."""

    def taken(self) -> Sequence[Any]:
        """Where the sides of choices are taken."""


class Program(Protocol):
    """A tape made ready by a backend, for any data."""

    @property
    def tape(self) -> Tape:
        """The tape itself."""

    @property
    def plan(self) -> Plan:
        """What is run, stage by stage."""

    @property
    def source(self) -> str:
        """The code that is run, or a word on why there is none."""

    def workspace(self, data: Mapping[int, Any], shared: Shared | None = None) -> AnyWorkspace:
        """Room for one thread to run the tape on the values of its data slots.

        `shared` is what other programs have made of the same data.
        """


# What each makes of a tape, its late leaves (directions mostly: many values of them share one run of the
# rest), and a number of threads.
BACKENDS: dict[str, Callable[[Tape, Sequence[int], int], Program]] = {
    "numpy": compiled,
    "replay": replayed,
    "c": c.compiled,
    "jax": jax.compiled,
}
# The default: NumPy's programs at first, and C's for those that have run so often that compiling them pays.
AUTO = "auto"


class Executable:
    """A program on its data, run from any number of threads: each takes a workspace and puts it back.

    A `meter` counts its runs, and gives a faster program for it in the end.

    Attributes
    ----------
    meter : Meter or None
        None as soon as the program stays as it is.
    idle : deque of AnyWorkspace
        The workspaces that no thread has taken.
    has_guards : bool
    """

    def __init__(
        self,
        program: Program,
        data: Mapping[int, Any],
        has_guards: bool,
        meter: Meter[Program] | None = None,
        shared: Shared | None = None,
    ) -> None:
        self._program = program
        self.meter = meter
        self._data = data
        self._shared = shared
        self.has_guards = has_guards
        self.idle: deque[AnyWorkspace] = deque()

    def run(
        self,
        inputs: Array,
        read: Callable[[Sequence[Any]], Any],
        directions: Iterable[Array] | None = None,
        check: bool = True,
        news: Callable[[Sequence[Any]], Any] | None = None,
    ) -> Any:
        """Replay, and `read` the outputs; with `directions`, a list of what is read for each of them.

        `read` has to copy what it keeps: arrays among the outputs are views of the workspace. If `check` is
        set and one of the guards does not hold, nothing is read and the result is the `Broken` guard. Nor if
        `news` has something to say of the sides that choices take: then this is the result.
        """
        if self.meter is not None and self.meter.left <= 0:
            self._turn(self.meter)
        idle = self.idle
        try:
            workspace = idle.pop()
        except IndexError:
            workspace = self._program.workspace(self._data, self._shared)
        try:
            workspace.run(inputs)
        except IndexError as error:
            raise located(error, self._program.tape, inputs, self._data) from None
        broken: Any = workspace.broken() if check and self.has_guards else None
        if broken is None and news is not None:
            broken = news(workspace.taken())
        if broken is not None:
            result: Any = broken
        elif directions is None:
            result = read(workspace.outputs)
        else:
            result = []
            for direction in directions:
                workspace.run_late(direction)
                result.append(read(workspace.outputs))
        if self.meter is not None:
            self.meter.left -= 1 if directions is None or broken is not None else 1 + len(result)
        idle.append(workspace)
        return result

    def _turn(self, meter: Meter[Program]) -> None:
        """Run another program from now on, if there is one by now; what runs at the moment ends as it is."""
        program = meter.turn()
        if program is not None:
            if program is not self._program:
                self._program, self.idle = program, deque()
            self.meter = None
