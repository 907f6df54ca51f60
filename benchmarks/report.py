"""Prints the results as a table, and writes them as JSON or as a plot."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable
from dataclasses import asdict
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import numpy as np
import scipy

from benchmarks.measure import Result

COLUMNS: Final = ("graph", "tape", "graph/tape", "trace", "first call", "graph peak", "tape peak")


def header(peers: Iterable[str]) -> str:
    """The two head lines of the table."""
    text = line("model", "n", [*COLUMNS, *peers])
    return f"{text}\n{'-' * len(text)}"


def titled(title: str, head: str) -> tuple[str, str, str]:
    """The first lines of a table."""
    return title, head, "-" * len(head)


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
    return line(graph.model, f"{graph.n:,}", cells)


def line(model: str, n: str, cells: Iterable[str]) -> str:
    """One line of a table."""
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
    for factor, unit in ((1e9, "GB"), (1e6, "MB")):
        if count >= factor:
            return f"{count / factor:.3g} {unit}"
    return f"{count / 1e3:.3g} kB"


def environment(packages: Iterable[str] = ()) -> dict[str, str | int | None]:
    """What the numbers were measured on, and with which versions of some installed packages."""
    return {
        "date": date.today().isoformat(),
        "processor": processor(),
        "cores": os.cpu_count(),
        "system": platform.system(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        **{package: version(package) for package in packages},
    }


def processor() -> str:
    """The processor's name, where Linux tells it; else its kind."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = (text.partition(":")[2].strip() for text in lines if text.startswith("model name"))
    return next(names, platform.machine())


def write_json(
    path: Path, packages: Iterable[str], sections: dict[str, list[Any]], trace_op_s: float | None
) -> None:
    """All results, unrounded, section by section."""
    content = {
        "environment": environment(packages),
        **{name: [asdict(item) for item in items] for name, items in sections.items()},
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
    columns = min(len(contestants), 2 * width)  # of the legend
    extra = 0.3 * -(-len(contestants) // columns) + 0.2
    figure = Figure(figsize=(3.2 * width, 2.8 * height + extra), layout="constrained")
    panels = figure.subplots(height, width, squeeze=False, sharey=True).ravel()
    for panel, model in zip(panels, models, strict=False):
        own = [result for result in results if result.model == model]
        for contestant in contestants:
            _draw(panel, contestant, contestants.index(contestant), own)
        panel.set_title(model)
        panel.set_xlabel("observations")
        panel.set_xticks(sorted({result.n for result in own}), minor=False)
        panel.xaxis.set_major_formatter(lambda n, _: f"{n:,.0f}")
        panel.yaxis.set_major_formatter(lambda seconds, _: duration(seconds))
        panel.minorticks_off()
        panel.grid(color="0.9")
    for panel in panels[len(models) :]:
        panel.set_axis_off()
    figure.supylabel("value and gradient")
    handles = {
        label: handle
        for panel in panels
        for handle, label in zip(*panel.get_legend_handles_labels(), strict=True)
    }
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=columns)
    figure.savefig(path)


def _draw(panel: Any, contestant: str, index: int, results: list[Result]) -> None:
    """The line of one contestant; the tape's is bold and lies on top."""
    points = sorted((result.n, result.median_s) for result in results if result.contestant == contestant)
    if not points:
        return
    is_tape = contestant == "tape"
    style = {"color": "black", "linewidth": 2.5, "zorder": 3} if is_tape else {"color": f"C{index}"}
    marker = "os^vDPX"[index % 7]
    panel.loglog(*zip(*points, strict=True), marker=marker, markersize=5, label=contestant, **style)
