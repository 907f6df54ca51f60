"""What derivatives cost: time as multiples of the value's, and memory as multiples of the data's."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

import tapegrad as tg
from benchmarks import measure
from benchmarks.contestants import plain
from benchmarks.models import MODELS, Data, Model, Theta
from benchmarks.report import duration, environment
from tapegrad.differences import slope

COSTED: Final = ("normal", "logistic", "student_t", "mixture")
N: Final = 100_000
# The Hessian's is for 10 parameters, which the logistic regression has.
TARGETS: Final = {"gradient": 4.0, "hvp": 8.0, "Hessian": 25.0}

Call = Callable[[Theta], Any]


@dataclass(frozen=True)
class Cost:
    """What one model needs: median seconds of a call, and most bytes in use during one, for each quantity."""

    model: str
    n: int
    p: int
    data_bytes: int
    seconds: dict[str, float]
    peak_bytes: dict[str, int]
    repeats: int

    def multiple(self, what: str) -> float:
        """Its time over that of the value."""
        return self.seconds[what] / self.seconds["value"]

    def memory(self, what: str) -> float:
        """Its memory over that of the data."""
        return self.peak_bytes[what] / self.data_bytes


def cost(model: Model, n: int) -> Cost:
    """Measure one model, after a check of every number; raises `Mismatch` where one is wrong."""
    data = model.data(n)
    tape = tg.trace(plain(model, data), model.start, backend="numpy")
    direction = tape.unravel(np.linspace(-1.0, 1.0, tape.structure.size))
    check(model, data, tape, direction)
    calls = {"plain call": lambda theta: plain(model, data)(**theta), **derivatives(tape, direction)}
    times = measure.time_in_turns(calls, model.start)
    peaks = {
        what: measure.peak_bytes(_prepare(what, direction), model, data)
        for what in derivatives(tape, direction)
    }
    return Cost(
        model.name,
        n,
        tape.structure.size,
        sum(np.asarray(column).nbytes for column in data.values()),
        {what: statistics.median(seconds) for what, seconds in times.items()},
        peaks,
        len(times["value"]),
    )


def derivatives(tape: tg.TracedFunction, direction: Theta) -> dict[str, Call]:
    """What is measured, by its name."""
    return {
        "value": tape,
        "gradient": tape.value_and_grad,
        "hvp": lambda theta: tape.hvp(theta, direction),
        "Hessian": tape.hessian,
    }


def _prepare(what: str, direction: Theta) -> Any:
    return lambda model, data, start: derivatives(
        tg.trace(plain(model, data), start, backend="numpy"), direction
    )[what]


def check(model: Model, data: Data, tape: tg.TracedFunction, direction: Theta) -> None:
    """Compare with the value and the gradient by hand, and with differences of the latter."""
    arrays = {name: np.asarray(column) for name, column in data.items()}

    def gradient(x: Any) -> Any:
        return tape.ravel(model.by_hand(**arrays, **tape.unravel(x))[1])

    theta = measure.shifted(model.start, 77)
    x, v = tape.ravel(theta), tape.ravel(direction)
    hessian = np.array([slope(gradient, x, row).value for row in np.eye(x.size)])
    value = model.by_hand(**arrays, **theta)[0]
    for what, found, expected, rtol in (
        ("value", tape(theta), value, measure.RTOL),
        ("gradient", tape.ravel(tape.grad(theta)), gradient(x), measure.RTOL),
        ("Hessian", tape.hessian(theta), hessian, 1e-6),
        ("hvp", tape.ravel(tape.hvp(theta, direction)), tape.hessian(theta) @ v, measure.RTOL),
    ):
        if not np.allclose(found, expected, rtol=rtol, atol=rtol * np.abs(expected).max()):
            raise measure.Mismatch(f"{model.name}: the {what} is {found}, expected {expected} to {rtol:g}")


# The table --------------------------------------------------------------------------------------------------


def print_costs(file: Path | None) -> None:
    """Measure all models, print the table, and write the numbers to `file`."""
    head = _line("model", "p", ["plain call", "value", *TARGETS, *(f"{what} mem." for what in TARGETS)])
    print(f"n = {N:,}; times as multiples of the value's, memory as multiples of the data's")
    print(f"{head}\n{'-' * len(head)}")
    costs = []
    for name in COSTED:
        costs.append(cost(MODELS[name], N))
        print(row(costs[-1]), flush=True)
    print(_line("at most", "", ["", "", *(f"{target:.0f}x" for target in TARGETS.values())]))
    if file is not None:
        content = {"environment": environment(), "costs": [asdict(item) for item in costs]}
        file.write_text(json.dumps(content, indent=1) + "\n")


def row(item: Cost) -> str:
    """The line of one model; a multiple above its target has a star."""
    multiples = []
    for what, target in TARGETS.items():
        counts = what != "Hessian" or item.p == 10
        multiples.append(
            f"{item.multiple(what):.1f}x{'*' if counts and item.multiple(what) > target else ''}"
        )
    times = [duration(item.seconds["plain call"]), duration(item.seconds["value"]), *multiples]
    return _line(item.model, str(item.p), [*times, *(f"{item.memory(what):.1f}x" for what in TARGETS)])


def _line(model: str, p: str, cells: list[str]) -> str:
    return f"{model:<12}{p:>4}" + "".join(f"{cell:>15}" for cell in cells)
