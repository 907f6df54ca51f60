"""Prints what ``python -m benchmarks --loops`` measures: the stages of each model, the ratios, whole fits."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from statistics import median
from typing import Any, Final

from benchmarks.loops import compiled, fits
from benchmarks.loops.model import LOOPS, Loop
from benchmarks.loops.stages import Stages, median_s
from benchmarks.measure import Mismatch
from benchmarks.report import duration, environment, line, size, titled
from benchmarks.targets import ratio
from tapegrad import graph

ROOT: Final = Path(__file__).parents[2]
ROUNDS: Final = 3  # processes for each model
GRAPH_N: Final = 500
LONG: Final = ("garch", 100_000)
LONGER: Final = 12.0  # the most that ten times the data may cost, at every stage

STAGES: Final = ("plain", "trace", "reroll", "1st grad", "1st Hess", "call", "Hessian", "entries", "peak")
RATIOS: Final = (
    "trace+grad",
    "at most",
    "call/plain",
    "at most",
    "call/array",
    "at most",
    "graph/call",
    "at least",
)
# Trace and first gradient together, as a multiple of a plain call, and value and gradient as another.
FIRST: Final = {"rows": 12.0, "linear": 100.0}
CALL: Final = {"nonlinear": 4.0}
ARRAY: Final = 1.5
GRAPH: Final = 2_000.0


def print_loops(names: Iterable[str], before: Path | None) -> None:
    """Print all tables."""
    print(*(f"{name} {value}" for name, value in environment().items()), sep=", ")
    wanted = [LOOPS[name] for name in names]
    print("", *titled("loops, stage by stage", line("model", "n", STAGES)), sep="\n")
    found = []
    for model in wanted:
        found.append(stages(model.name, model.size))
        print(stage_line(found[-1]), flush=True)
    print("", *titled("loops: ratios, with * where a target is missed", line("model", "n", RATIOS)), sep="\n")
    for one in found:
        print(ratio_line(one), flush=True)
    if "garch" in names:
        garch = next(one for one in found if one.name == "garch")
        print(*garch_lines(garch, before), sep="\n", flush=True)
    print("", *titled("in tapegrad's C: value and gradient", compiled.HEAD), sep="\n")
    for text in compiled.lines(list(names)):
        print(text, flush=True)
    print("", *titled("whole fits, tracing included", fits.HEAD), sep="\n")
    for name in fits.TARGETS:
        if name in names:
            print(fits.fitted(name), flush=True)


def stages(name: str, n: int, rounds: int = ROUNDS, package: Path | None = None) -> Stages:
    """The medians over some fresh processes, of this tapegrad or of another."""
    found = [in_fresh_process(name, n, package) for _ in range(rounds)]
    times = [key for key, value in found[0].items() if isinstance(value, float)]
    return Stages(**{**found[0], **{key: median(one[key] for one in found) for key in times}})


def in_fresh_process(name: str, n: int, package: Path | None) -> dict[str, Any]:
    """One run in a folder where ``tapegrad`` is what is to be measured, and ``benchmarks`` is this."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "tapegrad").symlink_to((package or ROOT) / "tapegrad")
        (Path(folder) / "benchmarks").symlink_to(ROOT / "benchmarks")
        command = [sys.executable, "-m", "benchmarks.loops.stages", name, str(n)]
        done = subprocess.run(command, cwd=folder, env=environment_of(folder), capture_output=True, text=True)
    if done.returncode:
        raise Mismatch(f"{name}, n = {n:,}: {done.stderr.strip().splitlines()[-1]}")
    return dict(json.loads(done.stdout))


def environment_of(folder: str) -> dict[str, str]:
    """The environment, with a path that begins in that folder."""
    return {**os.environ, "PYTHONPATH": folder}


def stage_line(one: Stages) -> str:
    """The times of one model."""
    times = (one.plain_s, one.trace_s, one.reroll_s, one.gradient_s, one.hessian_s, one.call_s)
    cells = [*map(duration, times), duration(one.hessian_call_s), f"{one.short:,}", size(one.peak_bytes)]
    return line(one.name, f"{one.n:,}", cells)


def ratio_line(one: Stages) -> str:
    """What is aimed at, beside what was measured."""
    kind = LOOPS[one.name].kind
    graph_s = graph_seconds(LOOPS[one.name].data(GRAPH_N))
    per_graph = None if graph_s is None else graph_s * one.n / GRAPH_N / one.call_s
    first, call = FIRST.get(kind), CALL.get(kind)
    array = None if one.array_s is None else ARRAY
    graph_target = GRAPH if kind == "rows" and per_graph is not None else None
    too_low = per_graph is not None and graph_target is not None and per_graph < graph_target
    cells = [
        ratio(one.trace_s + one.gradient_s, one.plain_s, first),
        at(first),
        ratio(one.call_s, one.plain_s, call),
        at(call),
        ratio(one.call_s, one.array_s, array),
        at(array),
        "-" if per_graph is None else f"{per_graph:,.0f}x{'*' * too_low}",
        at(graph_target),
    ]
    return line(one.name, f"{one.n:,}", cells)


def at(target: float | None) -> str:
    """A target, a dash where there is none."""
    return "-" if target is None else f"{target:g}x"


def graph_seconds(loop: Loop) -> float | None:
    """One call of the graph-per-call baseline at `GRAPH_N`, None where it cannot take the model."""
    try:
        graph.value_and_grad(loop.loglik, loop.start)
    except (TypeError, ValueError, NotImplementedError, AttributeError):
        return None
    return median_s(lambda theta: graph.value_and_grad(loop.loglik, theta), loop.start)


def garch_lines(garch: Stages, before: Path | None) -> Iterator[str]:
    """GARCH on ten times the data, and against an earlier tapegrad."""
    yield from ("", *titled("GARCH", line("against", "n", STAGES)))
    yield stage_line(garch)
    name, n = LONG
    long = stages(name, n, rounds=1)
    yield stage_line(long)
    keys = ("plain_s", "trace_s", "reroll_s", "gradient_s", "hessian_s", "call_s", "hessian_call_s")
    if long.n == 10 * garch.n:
        ratios = [ratio(getattr(long, key), getattr(garch, key), LONGER) for key in keys]
        peak = ratio(long.peak_bytes, garch.peak_bytes, LONGER)
        yield line("ratio", "", [*ratios, ratio(long.short, garch.short), peak])
        yield line("at most", "", [f"{LONGER:g}x"] * len(STAGES))
    if before is not None:
        old = stages(name, garch.n, rounds=1, package=before)
        yield stage_line(old) + "   (before)"
        yield from (
            f"{what}: {ratio(new, earlier, target)} of before; at most {target:g}x"
            for what, new, earlier, target in (
                (
                    "trace and first gradient",
                    garch.trace_s + garch.gradient_s,
                    old.trace_s + old.gradient_s,
                    0.05,
                ),
                ("first Hessian", garch.hessian_s, old.hessian_s, 0.05),
                ("peak memory", garch.peak_bytes, old.peak_bytes, 0.25),
            )
        )
