"""Prints the results as a table, and writes them as JSON or as a plot."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Final

import numpy as np
import scipy

from benchmarks.measure import Result

COLUMNS: Final = ("graph", "tape", "graph/tape", "trace", "first call", "graph peak", "tape peak")


def header(peers: Iterable[str]) -> str:
    """The two head lines of the table."""
    line = _line("model", "n", [*COLUMNS, *peers])
    return f"{line}\n{'-' * len(line)}"


def row(results: list[Result], peers: Iterable[str]) -> str:
    """The line of one model at one size."""
    found = {result.contestant: result for result in results}
    graph, tape = found["graph"], found["tape"]
    cells = [
        duration(graph.median_s),
        duration(tape.median_s),
        f"{graph.median_s / tape.median_s:.1f}x",
        duration(tape.prepare_s),
        duration(tape.first_s),
        size(graph.peak_bytes),
        size(tape.peak_bytes),
        *(duration(found[peer].median_s) if peer in found else "-" for peer in peers),
    ]
    return _line(graph.model, f"{graph.n:,}", cells)


def _line(model: str, n: str, cells: Iterable[str]) -> str:
    return f"{model:<17}{n:>10}" + "".join(f"{cell:>12}" for cell in cells)


def duration(seconds: float) -> str:
    """Three digits and a unit.

    >>> duration(0.00012345)
    '123 us'
    """
    for factor, unit in ((1.0, "s"), (1e-3, "ms")):
        if seconds >= factor:
            return f"{seconds / factor:.3g} {unit}"
    return f"{seconds / 1e-6:.3g} us"


def size(count: int | None) -> str:
    """Three digits and a unit.

    >>> size(1_234_567)
    '1.23 MB'
    """
    if count is None:
        return "-"
    return f"{count / 1e6:.3g} MB" if count >= 1e6 else f"{count / 1e3:.3g} kB"


def environment() -> dict[str, str | int | None]:
    """What the numbers were measured on."""
    return {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "machine": platform.machine(),
        "system": platform.system(),
        "cores": os.cpu_count(),
    }


def write_json(path: Path, results: list[Result], trace_op_s: float | None) -> None:
    """All results, unrounded."""
    content = {
        "environment": environment(),
        "results": [asdict(result) for result in results],
        "trace_s_per_op": trace_op_s,
    }
    path.write_text(json.dumps(content, indent=1) + "\n")


def write_plot(path: Path, results: list[Result]) -> None:
    """Time of one value and gradient against the number of observations, a panel per model."""
    from matplotlib.figure import Figure

    models = list(dict.fromkeys(result.model for result in results))
    contestants = list(dict.fromkeys(result.contestant for result in results))
    width = min(len(models), 4)
    height = -(-len(models) // width)
    figure = Figure(figsize=(3.2 * width, 2.8 * height + 0.5), layout="constrained")
    panels = figure.subplots(height, width, squeeze=False, sharey=True).ravel()
    for panel, model in zip(panels, models, strict=False):
        for index, contestant in enumerate(contestants):
            points = [(r.n, r.median_s) for r in results if (r.model, r.contestant) == (model, contestant)]
            if points:
                panel.loglog(*zip(*points, strict=True), "o-", color=f"C{index}", label=contestant)
        panel.set_title(model)
        panel.set_xlabel("observations")
    for panel in panels[len(models) :]:
        panel.set_axis_off()
    figure.supylabel("seconds for value and gradient")
    handles = {
        label: handle
        for panel in panels
        for handle, label in zip(*panel.get_legend_handles_labels(), strict=True)
    }
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=len(handles))
    figure.savefig(path)
