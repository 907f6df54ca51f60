"""Times the tape on other layouts of the data: every other row of an array, and Fortran-ordered matrices."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from benchmarks import measure, targets
from benchmarks.contestants import Array, use_hand, use_tape
from benchmarks.models import Data, Model
from benchmarks.report import duration, line

HEAD = line("model", "n", ["data", "tape", "contiguous", "ratio", "by hand", "tape/hand"])
FOOT = targets.feet(lambda n: ["", "", "", "", "", f"{targets.of_hand(n):.2f}x"])


def every_other_row(array: Array) -> Array:
    """The same numbers as every other row of an array of twice the length."""
    return np.repeat(array, 2, axis=0)[::2]


LAYOUTS: Final[dict[str, Callable[[Array], Array]]] = {
    "x[::2]": every_other_row,
    "Fortran": np.asfortranarray,
}


@dataclass(frozen=True)
class Timing:
    """Median seconds of value and gradient, of the tape and by hand, and of the tape on contiguous data."""

    model: str
    n: int
    layout: str
    seconds: dict[str, float]

    def __str__(self) -> str:
        tape, contiguous, hand = (self.seconds[who] for who in ("tape", "contiguous", "by hand"))
        cells = [
            self.layout,
            duration(tape),
            duration(contiguous),
            targets.ratio(tape, contiguous),
            duration(hand),
            targets.ratio(tape, hand, targets.of_hand(self.n)),
        ]
        return line(self.model, f"{self.n:,}", cells)


def timings(model: Model, n: int, with_jax: bool) -> Iterator[Timing]:
    """Measure one model at one size, layout by layout; raises `Mismatch` where the numbers differ."""
    data = model.data(n)
    for layout, laid_out in LAYOUTS.items():
        views: Data = {name: laid_out(column) for name, column in data.items()}
        if all(view.flags.c_contiguous for view in views.values()):
            continue  # vectors in Fortran's order are vectors
        calls = {
            "tape": use_tape(model, views, model.start),
            "contiguous": use_tape(model, data, model.start),
            "by hand": use_hand(model, views, model.start),
        }
        measure.check_equal(model, n, calls)
        times = measure.time_in_turns(calls, model.start)
        medians = {name: statistics.median(seconds) for name, seconds in times.items()}
        yield Timing(model.name, n, layout, medians)
