"""Times one gradient and one fit over rows in chunks against one process with all of them in memory.

Beside what two workers take here, a cluster of 100 is simulated: rows cost what they cost here, a message
takes `LATENCY`, and the scheduler handles tasks one after another, each in `PER_TASK`. Both are assumptions
and are printed.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter
from typing import Any, Final

import numpy as np

import tapegrad as tg
from benchmarks.measure import Mismatch
from benchmarks.scale.cost import CHUNK, LATENCY, PER_TASK, SIMULATED, simulated
from benchmarks.scale.models import MODELS, ScaleModel, bytes_of_row, in_memory, on_workers, traced
from tapegrad.backends.c.compiler import compiler

SIZES: Final = (1_000_000, 10_000_000, 100_000_000)
FITTED: Final = 10_000_000  # rows of the fit beside dask-glm
WORKERS: Final = (1, 2)
REPEATS: Final = 7
OVERHEAD: Final = 0.030  # seconds that a gradient on workers may take beyond its share
MOST: Final = 1.3  # of the time in memory, divided by the workers
ROOM: Final = 0.7  # of the free memory that the data may take
HEAD: Final = ("model", "rows", "in memory", "1 worker", "2 workers", "allowed", f"{SIMULATED}, simulated")


def print_scale(sizes: Sequence[int], plot: Path | None = None) -> int:
    """Print the tables, and draw the picture; 0, also where Dask is not installed."""
    if find_spec("distributed") is None:
        print('Dask is not installed: python -m pip install -e ".[dask]"')
        return 0
    print("value and gradient, medians in seconds; chunks of", f"{CHUNK:,} rows")
    print("".join(f"{title:>16}" for title in HEAD))
    measured: dict[tuple[int, int], float] = {}
    reached = 0
    for n in sizes:
        for name, model in MODELS.items():
            if n * bytes_of_row(model) > ROOM * _free_memory():
                print(f"{name:>16}{n:>16,}  does not fit: {n * bytes_of_row(model) / 1e9:.1f} GB of data")
                continue
            alone, *times = _times(model, n)
            print(_line(name, n, alone, times), flush=True)
            reached = max(reached, n)
            if name == "logistic":
                measured.update(((n, workers), each) for workers, each in zip(WORKERS, times, strict=True))
                per_row = alone / n
    if plot is not None:
        from benchmarks.scale.picture import draw  # needs matplotlib

        draw(plot, measured, per_row)
    print(f"{reached:,} rows reached")
    print(f"allowed: {MOST} of the time in memory / 2, and {OVERHEAD * 1e3:.0f} ms")
    print(
        f"simulated: rows cost what they cost in memory here, {LATENCY * 1e3:.0f} ms a message, "
        f"{PER_TASK * 1e3:.1f} ms a task"
    )
    print()
    _print_fits(min(FITTED, max(sizes)))
    return 0


def _free_memory() -> float:
    memory: Any = import_module("psutil").virtual_memory()  # which Dask needs
    return float(memory.available)


def _times(model: ScaleModel, n: int) -> list[float]:
    """Seconds in memory, then on each number of workers."""
    alone, theta, expected = _alone(model, n)
    times = [alone]
    for workers in WORKERS:
        with _cluster(workers):
            chunked = traced(model, on_workers(model, n, CHUNK))
            _check_equal(model, chunked.value_and_grad_flat(theta), expected)
            times.append(_median(chunked, theta))
    return times


def _alone(model: ScaleModel, n: int) -> tuple[float, Any, tuple[float, Any]]:
    """Seconds in one process with the fastest backend, where, and what is found; the data are gone then."""
    backend = "c" if compiler() is not None else "numpy"
    memory = tg.trace(model.loglik, model.start, data=in_memory(model, n, CHUNK), backend=backend)
    theta = memory.ravel(model.start) + 0.1
    return _median(memory, theta), theta, memory.value_and_grad_flat(theta)


def _line(name: str, n: int, alone: float, times: Sequence[float]) -> str:
    allowed = MOST * alone / WORKERS[-1] + OVERHEAD
    cells = [f"{each:.4f}" for each in (alone, *times, allowed, simulated(alone, n))]
    return f"{name:>16}{n:>16,}" + "".join(f"{cell:>16}" for cell in cells)


def _median(function: tg.TracedFunction, theta: Any) -> float:
    times = []
    for i in range(REPEATS + 2):
        began = perf_counter()
        function.value_and_grad_flat(theta + 1e-4 * i)
        times.append(perf_counter() - began)
    return statistics.median(times[2:])


def _check_equal(model: ScaleModel, found: tuple[float, Any], expected: tuple[float, Any]) -> None:
    if not (np.isclose(found[0], expected[0], rtol=1e-11) and np.allclose(found[1], expected[1], rtol=1e-9)):
        raise Mismatch(f"{model.loglik.__name__}: {found} in chunks, {expected} in memory")


class _cluster:
    """So many workers on this machine, with one thread each."""

    def __init__(self, workers: int) -> None:
        distributed: Any = import_module("distributed")
        self._workers = distributed.LocalCluster(
            n_workers=workers, threads_per_worker=1, dashboard_address=":0", silence_logs=50
        )
        self._client = distributed.Client(self._workers)

    def __enter__(self) -> _cluster:
        return self

    def __exit__(self, *error: object) -> None:
        self._client.close()
        self._workers.close()


def _print_fits(n: int) -> None:
    """Whole logistic fits on two workers, beside dask-glm where it is installed."""
    model = MODELS["logistic"]
    with _cluster(WORKERS[-1]):
        data = on_workers(model, n, CHUNK)
        import_module("distributed").wait(list(data.values()))
        began = perf_counter()
        result = tg.fit(model.loglik, model.start, data=data)
        ours = perf_counter() - began
        print(f"logistic fit of {n:,} rows on {WORKERS[-1]} workers: {ours:.1f} s, with standard errors")
        if find_spec("dask_glm") is None:
            print("dask-glm is not installed: nothing to compare with")
            return
        from dask_glm.algorithms import newton

        began = perf_counter()
        found = newton(data["X"], data["y"])
        theirs = perf_counter() - began
        far = np.abs((found - result.x) / result.bse).max()
        ratio = theirs / ours
        print(f"dask-glm, newton: {theirs:.1f} s, {ratio:.1f} times as long; {far:.1g} standard errors away")
