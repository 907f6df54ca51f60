"""Measures the memory needed beyond the data, each model in a fresh process: ``python -m benchmarks.memory``.

What is counted is resident memory: the highest, less that with the data made and everything imported. Where
the system does not let a process reset its highest (only Linux does), it is what `tracemalloc` sees instead.
"""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from benchmarks import targets
from benchmarks.contestants import Prepare, plain, use_jax, use_tape
from benchmarks.measure import shifted
from benchmarks.models import MODELS, Data, Model, Theta
from benchmarks.report import line, size

N: Final = 10_000_000
CALLS: Final = 10
WARM_UP_N: Final = 50
ROOM: Final = 5  # the free memory that has to be there, as a multiple of the data: tracing takes several
READ_ONLY: Final = "read-only"  # the tape again, on data that nobody can write to, which it need not copy
AIMED: Final = ("tape", READ_ONLY)
SELF: Final = Path("/proc/self")

HEAD = line("model", "n", ["", "data", "in calls", "at any time"])
FOOT = (line("at most", "any", ["", "", *[size(targets.MEMORY_BYTES)] * 2]),)


class Meter(Protocol):
    """Tells how many bytes are in use, and the most that were since it was last reset."""

    name: str

    def now(self) -> int: ...
    def peak(self) -> int: ...
    def reset(self) -> None: ...


class Resident:
    """Resident memory, as Linux counts it: everything that this process keeps in memory."""

    name = "resident memory"

    def now(self) -> int:
        return self._read("VmRSS")

    def peak(self) -> int:
        return self._read("VmHWM")

    def reset(self) -> None:
        (SELF / "clear_refs").write_text("5")

    @staticmethod
    def _read(field: str) -> int:
        lines = (SELF / "status").read_text().splitlines()
        (found,) = (text.split() for text in lines if text.startswith(f"{field}:"))
        return 1024 * int(found[1])


class Traced:
    """What Python and NumPy allocate from now on: not what other libraries do for themselves."""

    name = "tracemalloc"

    def __init__(self) -> None:
        tracemalloc.start()

    def now(self) -> int:
        return tracemalloc.get_traced_memory()[0]

    def peak(self) -> int:
        return tracemalloc.get_traced_memory()[1]

    def reset(self) -> None:
        tracemalloc.reset_peak()


def meter() -> Meter:
    """The better of the two that works here."""
    resident = Resident()
    try:
        resident.reset()
        resident.peak()
    except (OSError, ValueError):
        return Traced()
    return resident


def use_plain(model: Model, data: Data, start: Theta) -> Callable[[Theta], Any]:
    """The value alone, by NumPy: what the user's own code needs."""
    return lambda theta: plain(model, data)(**theta)


WEIGHED: Final[dict[str, Prepare]] = {
    "plain call": use_plain,
    "tape": use_tape,
    READ_ONLY: use_tape,
    "jax": use_jax,
}


@dataclass(frozen=True)
class Peaks:
    """The most bytes that a contestant used beyond the data: in calls after the first, and at any time."""

    model: str
    n: int
    contestant: str
    data_bytes: int
    in_calls: int
    at_any_time: int
    meter: str

    def __str__(self) -> str:
        target = targets.MEMORY_BYTES if self.contestant in AIMED else None
        peaks = (size(count) + targets.star(count, target) for count in (self.in_calls, self.at_any_time))
        return line(self.model, f"{self.n:,}", [self.contestant, size(self.data_bytes), *peaks])


def peaks(model: Model, n: int, with_jax: bool) -> Iterator[Peaks]:
    """Measure one model at one size, each contestant in a process of its own."""
    needed, free = ROOM * bytes_of(model.data(WARM_UP_N)) * n // WARM_UP_N, free_bytes()
    if free is not None and free < needed:
        print(f"{model.name}, n = {n:,}: skipped, needs {size(needed)} of free memory; {size(free)} are free")
        return
    for who in WEIGHED:
        if with_jax or who != "jax":
            yield in_fresh_process(model, n, who)


def bytes_of(data: Data) -> int:
    """The size of the data."""
    return sum(column.nbytes for column in data.values())


def free_bytes() -> int | None:
    """Memory that can be had without swapping, where the system tells."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    return next((1024 * int(text.split()[1]) for text in lines if text.startswith("MemAvailable:")), None)


def in_fresh_process(model: Model, n: int, who: str) -> Peaks:
    """What `weigh` finds in a process that has done nothing else."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.memory", model.name, str(n), who],
        cwd=Path(__file__).parents[1],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return Peaks(**json.loads(done.stdout))


def weigh(model: Model, n: int, who: str) -> Peaks:
    """Prepare, call once, then call again, and see what this process needed on top of the data."""
    prepare = WEIGHED[who]
    warm = prepare(model, model.data(WARM_UP_N), model.start)
    assert warm is not None
    warm(model.start)  # so that no import is counted
    data = model.data(n)
    for column in data.values():
        column.flags.writeable = who != READ_ONLY
    gc.collect()
    gauge = meter()
    before = gauge.now()

    def beyond() -> int:
        return max(gauge.peak() - before, 0)  # less may be in use than before: the allocator gives back late

    gauge.reset()
    call = prepare(model, data, model.start)
    assert call is not None
    call(model.start)
    at_first = beyond()
    gc.collect()
    gauge.reset()
    for step in range(CALLS):
        call(shifted(model.start, step + 1))
    in_calls = beyond()
    return Peaks(model.name, n, who, bytes_of(data), in_calls, max(at_first, in_calls), gauge.name)


if __name__ == "__main__":
    name, count, contestant = sys.argv[1:]
    print(json.dumps(asdict(weigh(MODELS[name], int(count), contestant))))
