"""The JAX backend: a tape printed as a JAX function, compiled by JAX, on whatever device JAX has.

All numbers are float64, in this backend's own calls: the setting of the process is left as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from importlib import import_module, metadata
from importlib.util import find_spec
from typing import Any

import numpy as np

from tapegrad.backends.jax.printer import entries_of, parameter_texts, print_function
from tapegrad.backends.numpy import compiled as numpy
from tapegrad.backends.replay import Broken
from tapegrad.backends.shared import Shared
from tapegrad.backends.written import executed
from tapegrad.derive.pushforward import hoist
from tapegrad.passes.dce import dce
from tapegrad.plan.plan import entry_by_entry
from tapegrad.plan.stages import Plan
from tapegrad.tape.entries import Entry
from tapegrad.tape.tape import Tape, size_of

# Of this package, which printed source imports.
MODULES = ("distributions", "gammas", "normals", "tails")
Array = np.ndarray[Any, Any]


OLDEST = (0, 9)


def why_not() -> str | None:
    """Why this backend cannot be used, and what to do; None where it can."""
    todo = "python -m pip install 'tapegrad[jax]'"
    if find_spec("jax") is None:
        return f"the backend 'jax' needs JAX: {todo}"
    version = metadata.version("jax")
    if tuple(map(int, version.split(".")[:2])) < OLDEST:
        return f"the backend 'jax' needs JAX {'.'.join(map(str, OLDEST))} or later, not {version}: {todo}"
    return None


class JaxProgram:
    """A tape as a function of the parameters and the data, and another one of what arrives late.

    Attributes
    ----------
    tape : Tape
    given : list of int
        The slots of data and of constant arrays, which the functions take as a tuple.
    decisions : Program or None
        What decides the branches of the user's code: NumPy, because JAX rounds otherwise, and at a tie would
        take the other one.
    source : str
        Imports, and the functions.
    """

    def __init__(self, tape: Tape, late: Sequence[int]) -> None:
        self.tape = tape
        self.late = tuple(late)
        hoisted, count = hoist(tape, late)
        early, later = entries_of(hoisted, 0, count), entries_of(hoisted, count)
        self.given = [*tape.data, *(slot for slot, value in tape.constants if np.ndim(value))]
        data = {slot: f"data[{i}]" for i, slot in enumerate(self.given)}
        first = [slot for slot in tape.parameters if slot not in self.late]
        choices = [guard.slot for guard in tape.guards if guard.is_choice]
        self.decisions = numpy.compiled(_deciding(tape), late, 1) if len(choices) < len(tape.guards) else None
        kept = self._kept(early, later)
        texts = [
            print_function(
                "early",
                ("theta", "data"),
                tape,
                early if late else [*early, *later],
                {**parameter_texts(tape, first, "theta"), **data},
                [choices, kept if late else tape.outputs],
            )
        ]
        if late:
            again = {slot: f"kept[{i}]" for i, slot in enumerate(kept)}
            given = {**parameter_texts(tape, self.late, "direction"), **data, **again}
            arguments = ("direction", "data", "kept")
            texts.append(print_function("late", arguments, tape, later, given, [tape.outputs]))
        self.source = "\n\n\n".join([_imports("".join(texts)), *texts]) + "\n"

    def _kept(self, early: Sequence[Entry], later: Sequence[Entry]) -> list[int]:
        """What the function of the late leaves takes from the other."""
        if not self.late:
            return []
        known = {slot for slot, value in self.tape.constants if np.ndim(value) == 0}
        made = {entry.output for entry in early} | (set(self.tape.parameters) - set(self.late))
        read = {slot for entry in later for slot in entry.inputs} | set(self.tape.outputs)
        return sorted((read & made) - known)

    @property
    def plan(self) -> Plan:
        """The entries in order: JAX's compiler makes of them what it likes."""
        return entry_by_entry(self.tape, self.late)

    @cached_property
    def functions(self) -> tuple[Any, Any]:
        """Both functions, to be compiled at their first calls."""
        jit = import_module("jax").jit
        namespace: dict[str, Any] = {"inf": float("inf"), "nan": float("nan")}
        executed(self.source, f"tape {self.tape.name}", namespace)
        return jit(namespace["early"]), jit(namespace["late"]) if self.late else None

    def arrays(self, data: Mapping[int, Any], shared: Shared | None = None) -> tuple[Any, ...]:
        """The data and the constant arrays on the device, where programs on the same data share them."""
        jax = import_module("jax")
        values = {**dict(self.tape.constants), **data}
        found = [np.asarray(values[slot]) for slot in self.given]
        if shared is None:
            return tuple(map(jax.device_put, found))
        how = f"on {jax.config.jax_default_device}"
        return tuple(shared.form(how, array, jax.device_put) for array in found)

    def workspace(self, data: Mapping[int, Any], shared: Shared | None = None) -> JaxWorkspace:
        """What runs it on some data, which go to the device once."""
        return JaxWorkspace(self, data, shared)


def _deciding(tape: Tape) -> Tape:
    """What leads to the guards of a tape."""
    return dce(replace(tape, outputs=()))


def _imports(text: str) -> str:
    """What functions import that call this."""
    lines = ["import jax", "import jax.numpy as jnp"]
    if "jsp." in text:
        lines.append("import jax.scipy.special as jsp")
    if "nan" in text or "inf" in text:
        lines.append("from math import inf, nan")
    used = [name for name in MODULES if f"{name}." in text]
    used += ["runtime as tg"] if "tg." in text else []
    if used:
        lines.append(f"from tapegrad.backends.jax import {', '.join(used)}")
    return "\n".join(lines)


class JaxWorkspace:
    """A tape on its data, for one thread."""

    def __init__(self, program: JaxProgram, data: Mapping[int, Any], shared: Shared | None) -> None:
        self._program = program
        self._jax = import_module("jax")
        tape = program.tape
        self.outputs: Sequence[Any] = ()
        self._early, self._late = program.functions
        self._values: Sequence[Any] = ()
        self._kept: Any = ()
        self._size = sum(
            size_of(tape.avals[slot].shape) for slot in tape.parameters if slot not in program.late
        )
        self.inputs = np.zeros(sum(size_of(tape.avals[slot].shape) for slot in tape.parameters))
        self._decisions: Any = None
        if program.decisions is not None:
            own = program.decisions.tape.data
            self._decisions = program.decisions.workspace(
                {slot: data[of] for slot, of in zip(own, tape.data, strict=True)}
            )
        with self._jax.enable_x64(True):
            self._data = program.arrays(data, shared)
        self._held = data  # what is shared is named by its address

    def compute(self) -> None:
        """Write every value of a program without late leaves, from what stands in `inputs`."""
        self.run(self.inputs)

    def run(self, inputs: Array) -> None:
        """Write every value, or where `inputs` lack the late leaves, every value without them."""
        if self._decisions is not None:
            self._decisions.run(inputs)
        with self._jax.enable_x64(True):
            values, found, outside = self._early(np.array(inputs[: self._size]), self._data)
            if self._program.late:
                self._kept = found
                self._values = self._fetched(values, outside)
            else:
                # All at once: what waits for the device waits once.
                both = self._fetched((*values, *found), outside)
                self._values, self.outputs = both[: len(values)], both[len(values) :]
        if self._program.late and inputs.size > self._size:
            self.run_late(inputs[self._size :])

    def run_late(self, inputs: Array) -> None:
        """Write the values that depend on the late leaves, which are the last inputs."""
        with self._jax.enable_x64(True):
            found, outside = self._late(np.array(inputs), self._data, self._kept)
            self.outputs = self._fetched(found, outside)

    def _fetched(self, values: Sequence[Any], outside: Any) -> Sequence[Any]:
        """Values as NumPy's; an error where an index did not exist."""
        if not values and outside is None:
            return ()
        fetched: list[Any] = list(self._jax.device_get((*values, outside)))
        if fetched.pop():
            raise IndexError("an index is out of bounds")
        return fetched

    def broken(self) -> Broken | None:
        """The first guard that does not hold."""
        return None if self._decisions is None else self._decisions.broken()

    def taken(self) -> Sequence[Any]:
        """Where the sides of choices are taken."""
        return self._values


def compiled(tape: Tape, late: Sequence[int], threads: int) -> JaxProgram:
    """The backend "jax"; how many threads there are is JAX's own business."""
    return JaxProgram(tape, late)
