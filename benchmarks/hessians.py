"""Times the Hessian against JAX's ``jit(hessian(...))``."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

import tapegrad as tg
from benchmarks import measure, targets
from benchmarks.contestants import for_jax, plain
from benchmarks.models import Data, Model, Theta
from benchmarks.report import duration, line

HEAD = line("model", "n", ["p", "tape", "jax", "tape/jax"])
FOOT = (line("at most", f"{targets.LARGE:,}", ["", "", "", f"{targets.HESSIAN:.2f}x"]),)


@dataclass(frozen=True)
class Timing:
    """Median seconds of one Hessian, by contestant."""

    model: str
    n: int
    p: int
    seconds: dict[str, float]
    repeats: dict[str, int]

    def __str__(self) -> str:
        tape, jax = self.seconds["tape"], self.seconds.get("jax")
        target = targets.HESSIAN if self.n >= targets.LARGE else None
        other = "-" if jax is None else duration(jax)
        cells = [str(self.p), duration(tape), other, targets.ratio(tape, jax, target)]
        return line(self.model, f"{self.n:,}", cells)


def timings(model: Model, n: int, with_jax: bool) -> Iterator[Timing]:
    """Measure one model at one size; raises `Mismatch` where the Hessians differ."""
    data = model.data(n)
    tape = tg.trace(plain(model, data), model.start, backend="numpy")
    calls: dict[str, Callable[[Theta], Any]] = {"tape": tape.hessian}
    if with_jax:
        calls["jax"] = use_jax(model, data, tape)
    check_equal(model, n, calls)
    times = measure.time_in_turns(calls, model.start)
    yield Timing(
        model.name,
        n,
        tape.structure.size,
        {name: statistics.median(seconds) for name, seconds in times.items()},
        {name: len(seconds) for name, seconds in times.items()},
    )


def use_jax(model: Model, data: Data, tape: tg.TracedFunction) -> Callable[[Theta], Any]:
    """JAX's Hessian, in the order of the tape's parameters: of a function of their flat vector."""
    jax, loglik, arrays = for_jax(model, data)
    leaves = tape.structure.leaves

    def flat(vector: Any, arrays: Data) -> Any:
        return loglik({leaf.label: vector[leaf.place].reshape(leaf.shape) for leaf in leaves}, arrays)

    compiled = jax.jit(jax.hessian(flat))
    return lambda theta: jax.block_until_ready(compiled(tape.ravel(theta), arrays))


def check_equal(model: Model, n: int, calls: dict[str, Callable[[Theta], Any]]) -> None:
    """Compare all Hessians at the start and at parameters that no contestant has seen."""
    for theta in (model.start, measure.shifted(model.start, 77)):
        (_, expected), *others = ((name, call(theta)) for name, call in calls.items())
        for name, found in others:
            atol = measure.RTOL * np.abs(expected).max()  # some elements are small sums of large numbers
            if not np.allclose(found, expected, rtol=measure.RTOL, atol=atol):
                raise measure.Mismatch(
                    f"{model.name}, n = {n}: the Hessians of {name} and the tape are\n{found}\nand\n"
                    f"{expected},\nexpected equal to {measure.RTOL:g}"
                )
