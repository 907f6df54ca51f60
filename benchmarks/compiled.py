"""Times tapegrad's C against C written by hand, against JAX, and against itself on two threads."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from os import environ
from time import perf_counter
from typing import Any, Final

import tapegrad as tg
from benchmarks import hessians, measure, targets
from benchmarks.contestants import plain, use_hand, use_jax, use_tape
from benchmarks.limits import by_hand_in_c, has_limit
from benchmarks.models import Data, Model, Theta, ValueAndGrad
from benchmarks.report import duration, line
from tapegrad.backends.c import cache, library
from tapegrad.backends.c.compiler import compiler

# The most that tapegrad's C may take, as multiples.
OF_LIMIT: Final = 1.3  # beyond SMALL rows; up to there, of the gradient by hand in NumPy:
OF_HAND: Final = 1.0
OF_JAX: Final = {"logistic": 0.7}
OF_JAX_ELSE: Final = 0.25
OF_ONE_THREAD: Final = {"student_t": 0.6, "mixture": 0.6}
OF_JAX_HESSIAN: Final = 0.1
COMPILE_S: Final = 0.5

COLUMNS: Final = ("numpy", "c", "limit", "by hand", "jax", "c/limit", "c/hand", "c/jax", "2 threads")
HEAD = line("model", "n", COLUMNS)
FOOT = (
    "limit: by hand in C, compiled with the same flags; by hand: in NumPy; 2 threads: of C, over one",
    line("at most", f"{targets.SMALL:,}", ["", "", "", "", "", "", f"{OF_HAND:.2f}x", f"{OF_JAX_ELSE:.2f}x"]),
    line("at most", "more", ["", "", "", "", "", f"{OF_LIMIT:.2f}x", "", f"{OF_JAX_ELSE:.2f}x (1)"]),
    f"(1) {', '.join(f'{name} {most:.2f}x' for name, most in OF_JAX.items())}; 2 threads, at "
    f"{targets.LARGE:,}: {', '.join(f'{name} {most:.2f}x' for name, most in OF_ONE_THREAD.items())}",
)
LATER_HEAD = line("model", "n", ["c", "jax", "c/jax", "compile", "lines"])
LATER_FOOT = (
    line("at most", f"{targets.LARGE:,}", ["", "", f"{OF_JAX_HESSIAN:.2f}x", f"{COMPILE_S:.1f} s (2)"]),
    "(2) value and gradient, in an empty cache; the columns before are the Hessian's",
)


def use_c(model: Model, data: Data, start: Theta, threads: int = 1) -> ValueAndGrad:
    """Tapegrad's C, which walks over all rows: nothing is summed before."""
    traced = tg.trace(plain(model, data), start, backend="c", threads=threads, sufficient_statistics=False)
    return traced.value_and_grad


def use_limit(model: Model, data: Data, start: Theta) -> ValueAndGrad:
    """C by hand."""
    return by_hand_in_c(model.name, list(data.values()), start)


@dataclass(frozen=True)
class Timing:
    """Median seconds of value and gradient, by contestant."""

    model: str
    n: int
    seconds: dict[str, float]

    def __str__(self) -> str:
        found = self.seconds
        c, is_small = found["c"], self.n <= targets.SMALL
        of_jax = OF_JAX.get(self.model, OF_JAX_ELSE) if not is_small else OF_JAX_ELSE
        of_one = OF_ONE_THREAD.get(self.model) if self.n >= targets.LARGE else None
        two = found.get("2 threads")
        cells = [duration(found[name]) if name in found else "-" for name in COLUMNS[:5]]
        cells += [
            targets.ratio(c, found.get("limit"), None if is_small else OF_LIMIT),
            targets.ratio(c, found["by hand"], OF_HAND if is_small else None),
            targets.ratio(c, found.get("jax"), of_jax),
            "-" if two is None else targets.ratio(two, c, of_one),
        ]
        return line(self.model, f"{self.n:,}", cells)


def timings(model: Model, n: int, with_jax: bool) -> Iterator[Timing]:
    """Measure one model at one size, if there is a compiler; raises `Mismatch` where contestants disagree."""
    if compiler() is None:
        return
    data = model.data(n)
    prepare: dict[str, Callable[[Model, Data, Theta], Any]] = {
        "by hand": use_hand,
        "numpy": use_tape,
        "c": use_c,
    }
    if has_limit(model.name):
        prepare["limit"] = use_limit
    if with_jax:
        prepare["jax"] = use_jax
    if n >= targets.LARGE:
        prepare["2 threads"] = partial(use_c, threads=2)
    calls = {name: make(model, data, model.start) for name, make in prepare.items()}
    measure.check_equal(model, n, calls)
    times = measure.time_in_turns(calls, model.start)
    yield Timing(model.name, n, {name: statistics.median(seconds) for name, seconds in times.items()})


# Hessians, and the compiler -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Later:
    """Median seconds of the Hessian, and those of compiling value and gradient."""

    model: str
    n: int
    seconds: dict[str, float]
    compile_s: float
    lines: int

    def __str__(self) -> str:
        c, jax = self.seconds["c"], self.seconds.get("jax")
        target = OF_JAX_HESSIAN if self.n >= targets.LARGE else None
        cells = [duration(c), "-" if jax is None else duration(jax), targets.ratio(c, jax, target)]
        compiling = duration(self.compile_s) + targets.star(self.compile_s, COMPILE_S)
        return line(self.model, f"{self.n:,}", [*cells, compiling, f"{self.lines:,}"])


def later(model: Model, n: int, with_jax: bool) -> Iterator[Later]:
    """Measure the Hessian of one model at one size, and the compiler, if there is one."""
    if compiler() is None:
        return
    data = model.data(n)
    traced = tg.trace(plain(model, data), model.start, backend="c", sufficient_statistics=False)
    calls: dict[str, Callable[[Theta], Any]] = {"c": traced.hessian}
    if with_jax:
        calls["jax"] = hessians.use_jax(model, data, traced)
    hessians.check_equal(model, n, calls)
    times = measure.time_in_turns(calls, model.start)
    seconds = {name: statistics.median(found) for name, found in times.items()}
    traced.value_and_grad(model.start)
    yield Later(model.name, n, seconds, seconds_to_compile(traced.source()), traced.source().count("\n"))


def seconds_to_compile(source: str) -> float:
    """How long the compiler takes for source that it has not seen."""
    compiler()
    with empty_cache():
        began = perf_counter()
        library.library(source)
        return perf_counter() - began


@contextmanager
def empty_cache() -> Iterator[None]:
    """An empty cache of libraries, for a while."""
    before, loaded = environ.get(cache.VARIABLE), dict(library._loaded)
    with tempfile.TemporaryDirectory() as folder:
        environ[cache.VARIABLE] = folder
        library._loaded.clear()
        try:
            yield
        finally:
            library._loaded.update(loaded)
            del environ[cache.VARIABLE]
            if before is not None:
                environ[cache.VARIABLE] = before
