"""Measures one model at one size: checks that the contestants agree, then times them, then weighs them."""

from __future__ import annotations

import gc
import statistics
import tracemalloc
from collections.abc import Iterator
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
LEAST_REPEATS: Final = 5
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
    check_equal(model, n, {name: call for name, (call, _, _) in prepared.items()})
    results = []
    for name, (call, prepare_s, first_s) in prepared.items():
        times = time_calls(call, model.start)
        peak = peak_bytes(contestants[name], model, data) if name in TRACKED else None
        results.append(
            Result(model.name, n, name, prepare_s, first_s, statistics.median(times), len(times), peak)
        )
    return results


def check_equal(model: Model, n: int, calls: dict[str, ValueAndGrad]) -> None:
    """Compare values and gradients at the start and at parameters that no contestant has seen."""
    for theta in (model.start, shifted(model.start, 77)):
        (reference, (value, grad)), *others = ((name, call(theta)) for name, call in calls.items())
        expected = {"value": value, **grad}
        for name, (other_value, other_grad) in others:
            for key, item in {"value": other_value, **other_grad}.items():
                if not np.allclose(item, expected[key], rtol=RTOL, atol=0.0):
                    raise Mismatch(
                        f"{model.name}, n = {n}: {name} and {reference} differ in {key}: "
                        f"{item} and {expected[key]}, expected equal to {RTOL:g}"
                    )


def time_calls(call: ValueAndGrad, start: Theta) -> list[float]:
    """Seconds per call."""
    times: list[float] = []
    with own_garbage_only():
        deadline = perf_counter() + BUDGET_S
        while len(times) < LEAST_REPEATS or (perf_counter() < deadline and len(times) < MOST_REPEATS):
            theta = shifted(start, len(times) + 1)
            began = perf_counter()
            call(theta)
            times.append(perf_counter() - began)
    return times


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
