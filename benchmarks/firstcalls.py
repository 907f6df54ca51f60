"""Times the way from a new function to its first gradient, against JAX's jit and first call."""

from __future__ import annotations

import gc
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Final

import tapegrad as tg
from benchmarks import measure, targets
from benchmarks.contestants import for_jax, plain
from benchmarks.models import Data, Model
from benchmarks.report import duration, line

REPEATS: Final = 5
WARM_UP_N: Final = 50
HEAD = line("model", "n", ["tape", "jax", "tape/jax"])
FOOT = (line("at most", "any", ["", "", f"{targets.FIRST_CALL:.2f}x"]),)

# What is timed; it gives value and gradient at the start.
Begin = Callable[[], Any]


@dataclass(frozen=True)
class Timing:
    """Median seconds from a new function to its first value and gradient, by contestant."""

    model: str
    n: int
    seconds: dict[str, float]
    repeats: int

    def __str__(self) -> str:
        tape, jax = self.seconds["tape"], self.seconds.get("jax")
        cells = [duration(tape), "-" if jax is None else duration(jax)]
        return line(self.model, f"{self.n:,}", [*cells, targets.ratio(tape, jax, targets.FIRST_CALL)])


def timings(model: Model, n: int, with_jax: bool) -> Iterator[Timing]:
    """Measure one model at one size; raises `Mismatch` where the gradients differ."""
    # What a process does once is charged to nobody: all have met the model before, at another size.
    small, data = model.data(WARM_UP_N), model.data(n)
    beginnings = {"tape": begin_tape, "jax": begin_jax} if with_jax else {"tape": begin_tape}
    for begin in beginnings.values():
        begin(model, small)()
    times: dict[str, list[float]] = {name: [] for name in beginnings}
    with measure.own_garbage_only():
        for _ in range(REPEATS):
            found = {name: _time(begin(model, data), times[name]) for name, begin in beginnings.items()}
            measure.compare(model, n, found)
    yield Timing(
        model.name, n, {name: statistics.median(seconds) for name, seconds in times.items()}, REPEATS
    )


def _time(begin: Begin, times: list[float]) -> Any:
    gc.collect()
    began = perf_counter()
    found = begin()
    times.append(perf_counter() - began)
    return found


def begin_tape(model: Model, data: Data) -> Begin:
    """Trace a new function and take its gradient."""
    loglik = plain(model, data)
    return lambda: tg.trace(loglik, model.start).value_and_grad(model.start)


def begin_jax(model: Model, data: Data) -> Begin:
    """Compile a new function and take its gradient; the data are JAX's arrays already."""
    jax, loglik, arrays = for_jax(model, data)
    jax.block_until_ready(arrays)
    return lambda: jax.block_until_ready(jax.jit(jax.value_and_grad(loglik))(model.start, arrays))
