"""What a gradient costs on a cluster that is not here: a model of three numbers."""

from __future__ import annotations

from typing import Final

from tapegrad.pieces.workers import TASKS_TO_A_THREAD

CHUNK: Final = 500_000  # rows
SIMULATED: Final = 100  # workers
LATENCY: Final = 0.002  # seconds that a message takes to a worker and back
PER_TASK: Final = 0.0005  # seconds that Dask's scheduler takes for a task


def simulated(alone: float, n: int, workers: int = SIMULATED, chunk: int = CHUNK) -> float:
    """Seconds for a gradient on so many workers, where `alone` is what its rows cost one process."""
    chunks = -(-n // chunk)
    rounds = -(-chunks // workers)  # chunks that the busiest worker has
    tasks = min(chunks, TASKS_TO_A_THREAD * workers)
    # The scheduler works while workers do: whichever takes longer decides.
    return float(max(rounds * alone / chunks, PER_TASK * tasks) + 2.0 * LATENCY)
