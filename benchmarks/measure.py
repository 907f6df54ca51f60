"""Measures one model at one size: checks that the contestants agree, then times them, then weighs them."""

from __future__ import annotations

import gc
import statistics
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Final

import numpy as np

import tapegrad as tg
from benchmarks.contestants import Prepare
from benchmarks.models import Data, Model, Theta, ValueAndGrad

RTOL: Final = 1e-9
BUDGET_S: Final = 1.5  # for the repeats of one contestant at one size
ROUNDS: Final = 5  # in which they take turns
MOST_REPEATS: Final = 2_000
TRACE_OPS: Final = 100_000
TRACKED: Final = ("graph", "tape")  # whose memory Python allocates, so that tracemalloc sees all of it


class Mismatch(Exception):
    """Two contestants computed different numbers."""


@dataclass(frozen=True)
class Result:
    """What one contestant needed for one model at one size."""

    model: str
    n: int
    contestant: str
    prepare_s: float  # what is done once, before the first call: for the tape, the trace
    first_s: float  # the first call, with whatever is left to do once: for the tape, deriving the gradient
    median_s: float  # one later call
    repeats: int
    peak_bytes: int | None  # held between calls and allocated within one, together


def shifted(start: Theta, step: int) -> Theta:
    """New parameters for each call, so that nothing can be remembered from the last one."""
    return {name: item + 1e-4 * (step % 100) for name, item in start.items()}


def measure(model: Model, n: int, contestants: dict[str, Prepare]) -> list[Result]:
    """One result per contestant that can take the model; raises `Mismatch` unless all agree."""
    data = model.data(n)
    prepared: dict[str, tuple[ValueAndGrad, float, float]] = {}
    for name, prepare in contestants.items():
        began = perf_counter()
        call = prepare(model, data, model.start)
        ready = perf_counter()
        if call is not None:
            call(model.start)
            prepared[name] = call, ready - began, perf_counter() - ready
    calls = {name: call for name, (call, _, _) in prepared.items()}
    check_equal(model, n, calls)
    times = time_in_turns(calls, model.start)
    results = []
    for name, (_, prepare_s, first_s) in prepared.items():
        peak = peak_bytes(contestants[name], model, data) if name in TRACKED else None
        median = statistics.median(times[name])
        results.append(Result(model.name, n, name, prepare_s, first_s, median, len(times[name]), peak))
    return results


def check_equal(model: Model, n: int, calls: dict[str, ValueAndGrad]) -> None:
    """Compare values and gradients at the start and at parameters that no contestant has seen."""
    for theta in (model.start, shifted(model.start, 77)):
        compare(model, n, {name: call(theta) for name, call in calls.items()})


def compare(model: Model, n: int, found: dict[str, tuple[float, Theta]]) -> None:
    """Raise `Mismatch` unless everyone found the same value and the same gradient."""
    (reference, (value, grad)), *others = found.items()
    expected = {"value": value, **grad}
    for name, (other_value, other_grad) in others:
        for key, item in {"value": other_value, **other_grad}.items():
            if not np.allclose(item, expected[key], rtol=RTOL, atol=0.0):
                raise Mismatch(
                    f"{model.name}, n = {n}: {name} and {reference} differ in {key}: "
                    f"{item} and {expected[key]}, expected equal to {RTOL:g}"
                )


def time_in_turns(calls: dict[str, Callable[[Theta], Any]], start: Theta) -> dict[str, list[float]]:
    """Seconds of each call: in spells by turns, so that what else the machine does strikes all of them."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    with own_garbage_only():
        for _ in range(ROUNDS):
            for name, call in calls.items():
                gc.collect()
                gc.freeze()  # what the one before has left
                _time_a_spell(call, start, times[name])
    return times


def _time_a_spell(call: Callable[[Theta], Any], start: Theta, times: list[float]) -> None:
    deadline = perf_counter() + BUDGET_S / ROUNDS
    for done in range(MOST_REPEATS // ROUNDS):
        if done and perf_counter() > deadline:
            break
        theta = shifted(start, len(times) + 1)
        began = perf_counter()
        call(theta)
        times.append(perf_counter() - began)


@contextmanager
def own_garbage_only() -> Iterator[None]:
    """Keep the garbage collector on, as in any Python program, but off the objects that exist already.

    Otherwise a contestant that makes many objects would be charged for walking those of the others.
    """
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def peak_bytes(prepare: Prepare, model: Model, data: Data) -> int:
    """Most memory in use during a call after the first, counting what is kept from one call to the next."""
    gc.collect()
    tracemalloc.start()
    try:
        call = prepare(model, data, model.start)
        assert call is not None
        call(model.start)
        gc.collect()
        tracemalloc.reset_peak()
        call(shifted(model.start, 1))
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def trace_cost() -> float:
    """Seconds per operation to trace a Python loop of `TRACE_OPS` scalar operations; the best of three."""
    x = np.random.default_rng(1).normal(size=TRACE_OPS // 4).tolist()

    def loglik(mu: Any) -> Any:
        ll = 0.0
        for xi in x:
            z = xi - mu
            ll = ll - 0.5 * (z * z)
        return ll

    times = []
    for _ in range(3):
        with own_garbage_only():
            began = perf_counter()
            tg.trace(loglik, {"mu": 0.5})
            times.append(perf_counter() - began)
    return min(times) / TRACE_OPS
