"""Whole fits, tracing included, against SciPy's optimiser with finite differences on the same function."""

from __future__ import annotations

import statistics
import warnings
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Final

import numpy as np
from scipy.optimize import minimize

import tapegrad as tg
from benchmarks.loops.model import LOOPS, Loop
from benchmarks.measure import Mismatch
from benchmarks.report import duration, line
from benchmarks.targets import ratio

N: Final = 2_500
ROUNDS: Final = 3
# The most that tapegrad may take, as a multiple of SciPy's time.
TARGETS: Final = {"garch_student": 1.0 / 3.0, "gjr": 1.0}
WITHIN: Final = 1e-3  # of each other's log-likelihood, where both have arrived
HEAD: Final = line("fit", "n", ["tapegrad", "scipy", "ratio", "at most", "calls"])


@dataclass(frozen=True)
class Fit:
    """Median seconds of a fit by tapegrad and by SciPy, and the log-likelihoods at their ends."""

    model: str
    n: int
    tape_s: float
    scipy_s: float
    tape_llf: float
    scipy_llf: float
    scipy_calls: int

    def __str__(self) -> str:
        target = TARGETS[self.model]
        times = [duration(self.tape_s), duration(self.scipy_s), ratio(self.tape_s, self.scipy_s, target)]
        return line(self.model, f"{self.n:,}", [*times, f"{target:.2f}x", f"{self.scipy_calls:,}"])


def fitted(name: str) -> Fit:
    """Fit a model both ways, in turns; raises `Mismatch` where tapegrad ends lower."""
    loop = LOOPS[name].data(N)
    ours, theirs = [], []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(ROUNDS):
            began = perf_counter()
            result = tg.fit(loop.loglik, loop.start)
            middle = perf_counter()
            found = by_differences(loop)
            ours.append(middle - began)
            theirs.append(perf_counter() - middle)
    if not result.llf >= -found.fun - WITHIN:
        raise Mismatch(f"{name}: tapegrad ends at {result.llf}, SciPy at {-found.fun}")
    medians = statistics.median(ours), statistics.median(theirs)
    return Fit(name, N, *medians, float(result.llf), float(-found.fun), int(found.nfev))


def by_differences(loop: Loop) -> Any:
    """SciPy's BFGS, which takes finite differences of plain calls."""
    names = list(loop.start)
    start = np.array([float(loop.start[name]) for name in names])
    return minimize(lambda x: -loop.loglik(**dict(zip(names, x, strict=True))), start, method="BFGS")
