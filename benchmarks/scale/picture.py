"""The picture of `--scale`: how long a gradient takes, by the number of rows and of workers."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.scale.cost import CHUNK, simulated

WORKERS: Final = (1, 2, 10, 100, 1_000)
CHUNKS_EACH: Final = 4  # a worker has at least so many where there are rows enough
LARGEST: Final = 10_000_000  # rows of a chunk: 0.9 GB of a logistic regression with ten columns


def chunk_for(rows: float, workers: int) -> int:
    """Rows of a chunk: few chunks, for each costs the scheduler time, but as many as workers can share."""
    return int(min(max(rows / (CHUNKS_EACH * workers), CHUNK), LARGEST))


def draw(path: Path, measured: dict[tuple[int, int], float], per_row: float) -> None:
    """Save the picture.

    Parameters
    ----------
    path : Path
    measured : dict of (rows, workers) to seconds
        Of the logistic regression.
    per_row : float
        Seconds that a row takes in memory.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7.0, 4.2), layout="constrained")
    axes_: Any = axes
    rows = np.logspace(6.0, 10.0, 81)
    for workers in WORKERS:
        times = [simulated(per_row * n, int(n), workers, chunk_for(n, workers)) for n in rows]
        axes_.loglog(rows, times, label=f"{workers:,} worker{'s' * (workers > 1)}")
    for (n, workers), seconds in measured.items():
        label = f"{workers:,}, measured" if n == min(measured)[0] else None
        axes_.plot(n, seconds, "o", color=f"C{WORKERS.index(workers)}", label=label)
    axes_.set_xlabel("rows")
    axes_.set_ylabel("seconds for value and gradient")
    axes_.grid(alpha=0.3)
    axes_.legend(fontsize="small", loc="upper left")
    figure.savefig(path, dpi=80)
    pyplot.close(figure)
