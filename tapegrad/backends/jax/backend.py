"""The JAX backend: a tape printed as a JAX function, compiled by JAX, on whatever device JAX has.

All numbers are float64, in this backend's own calls: the setting of the process is left as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np

from tapegrad.backends.jax.printer import entries_of, parameter_texts, print_function
from tapegrad.backends.replay import Broken, first_broken, taken_sides
from tapegrad.backends.written import executed
from tapegrad.derive.pushforward import hoist
from tapegrad.plan.plan import entry_by_entry
from tapegrad.plan.stages import Plan
from tapegrad.tape.tape import Tape, size_of

MODULES = ("gammas", "tails", "normals", "distributions")
Array = np.ndarray[Any, Any]


def installed() -> bool:
    """Whether JAX is there."""
    return find_spec("jax") is not None


class JaxProgram:
    """A tape as two functions: of the parameters, and of what arrives late."""

    def __init__(self, tape: Tape, late: Sequence[int]) -> None:
        self.tape = tape
        self.late = tuple(late)
        self.hoisted, count = hoist(tape, late)
        early, later = entries_of(self.hoisted, 0, count), entries_of(self.hoisted, count)
        known = {slot for slot, value in tape.constants if np.ndim(value) == 0}
        made = {entry.output for entry in early} | (set(tape.parameters) - set(late))
        self.kept = sorted(
            {slot for entry in later for slot in entry.inputs if slot in made and slot not in known}
            | ({slot for slot in tape.outputs if slot in made} if late else set())
        )
        arrays = [*tape.data, *(slot for slot, value in tape.constants if np.ndim(value))]
        self.given = arrays
        data = {slot: f"data[{i}]" for i, slot in enumerate(arrays)}
        first = [slot for slot in tape.parameters if slot not in self.late]
        guards = [guard.slot for guard in tape.guards]
        ends = [self.kept] if late else [tape.outputs]
        texts = [
            print_function(
                "early",
                tape,
                early if late else [*early, *later],
                {**parameter_texts(tape, first, "early"), **data},
                [guards, *ends],
            )
        ]
        if late:
            kept = {slot: f"kept[{i}]" for i, slot in enumerate(self.kept)}
            given = {**parameter_texts(tape, self.late, "late"), **data, **kept}
            texts.append(print_function("late", tape, later, given, [(), tape.outputs]))
        self.source = "\n\n".join(texts) + "\n"

    @property
    def plan(self) -> Plan:
        """The entries in order: JAX's compiler makes of them what it likes."""
        return entry_by_entry(self.tape, self.late)

    @cached_property
    def functions(self) -> tuple[Any, Any]:
        """Both functions, to be compiled at their first calls."""
        jax = import_module("jax")
        namespace: dict[str, Any] = {
            "jax": jax,
            "jnp": import_module("jax.numpy"),
            "jsp": import_module("jax.scipy.special"),
            "tg": import_module("tapegrad.backends.jax.runtime"),
            **{name: import_module(f"tapegrad.backends.jax.{name}") for name in MODULES},
            "inf": float("inf"),
            "nan": float("nan"),
        }
        executed(self.source, f"tape {self.tape.name}", namespace)
        return jax.jit(namespace["early"]), jax.jit(namespace["late"]) if self.late else None

    def workspace(self, data: Mapping[int, Any]) -> JaxWorkspace:
        """What runs it on some data, which go to the device once."""
        return JaxWorkspace(self, data)


class JaxWorkspace:
    """A tape on its data, for one thread."""

    def __init__(self, program: JaxProgram, data: Mapping[int, Any]) -> None:
        self._program = program
        self._jax = import_module("jax")
        tape = program.tape
        self.guards = tape.guards
        self.outputs: Sequence[Any] = ()
        self._early, self._late = program.functions
        self._values: Sequence[Any] = ()
        self._kept: Any = ()
        self._size = sum(
            size_of(tape.avals[slot].shape) for slot in tape.parameters if slot not in program.late
        )
        self.inputs = np.zeros(sum(size_of(tape.avals[slot].shape) for slot in tape.parameters))
        values = {**dict(tape.constants), **data}
        with self._jax.enable_x64(True):
            self._data = tuple(self._jax.device_put(np.asarray(values[slot])) for slot in program.given)

    def compute(self) -> None:
        """Write every value of a program without late leaves, from what stands in `inputs`."""
        self.run(self.inputs)

    def run(self, inputs: Array) -> None:
        """Write every value, or where `inputs` lack the late leaves, every value without them."""
        with self._jax.enable_x64(True):
            values, found, outside = self._early(np.array(inputs[: self._size]), (), self._data, ())
            if bool(outside):
                raise IndexError("an index is out of bounds")
            self._values = self._jax.device_get(values)
            if self._program.late:
                self._kept = found
            else:
                self.outputs = self._jax.device_get(found)
        if self._program.late and inputs.size > self._size:
            self.run_late(inputs[self._size :])

    def run_late(self, inputs: Array) -> None:
        """Write the values that depend on the late leaves, which are the last inputs."""
        with self._jax.enable_x64(True):
            _, found, outside = self._late((), np.array(inputs), self._data, self._kept)
            if bool(outside):
                raise IndexError("an index is out of bounds")
            self.outputs = self._jax.device_get(found)

    def broken(self) -> Broken | None:
        """The first guard that does not hold."""
        return first_broken(self.guards, self._values)

    def taken(self) -> Sequence[Any]:
        """Where the sides of choices are taken."""
        return taken_sides(self.guards, self._values)


def compiled(tape: Tape, late: Sequence[int], threads: int) -> JaxProgram:
    """The backend "jax"; how many threads there are is JAX's own business."""
    return JaxProgram(tape, late)
