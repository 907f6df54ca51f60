"""Measures one loop model at one size in a fresh process: ``python -m benchmarks.loops.stages NAME N``.

The same file measures an earlier tapegrad, where a folder with that package stands first on the path.
"""

from __future__ import annotations

import gc
import json
import statistics
import sys
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from time import perf_counter
from typing import Any, Final

import numpy as np

import tapegrad as tg
from benchmarks.loops.model import LOOPS, Loop, Theta, numbers
from benchmarks.memory import meter

RTOL: Final = 1e-9
BUDGET_S: Final = 0.5  # for the repeats of one call
MOST_REPEATS: Final = 200
WARM_UP_N: Final = 50


@dataclass
class Stages:
    """What one model needs: seconds of each stage, and the most bytes beyond the data.

    Attributes
    ----------
    plain_s : float
        One plain call.
    trace_s, reroll_s : float
        The trace, and the part of it that is rerolling.
    gradient_s, hessian_s : float
        The first gradient, and the first Hessian.
    call_s, hessian_call_s : float
        Value and gradient again, and the Hessian.
    array_s : float or None
        Value and gradient of the model as array code, where there is one.
    entries, short : int
        Entries as recorded, and after rerolling.
    """

    name: str
    n: int
    plain_s: float
    trace_s: float
    reroll_s: float
    gradient_s: float
    hessian_s: float
    call_s: float
    hessian_call_s: float
    array_s: float | None
    entries: int
    short: int
    peak_bytes: int
    value: float
    grad: list[float]


def shifted(start: Theta, step: int) -> Theta:
    """New parameters for each call."""
    return {name: np.asarray(item) + 1e-6 * (step % 100) for name, item in start.items()}


def seconds(call: Callable[[], Any]) -> tuple[float, Any]:
    """How long a call takes, and what it gives."""
    began = perf_counter()
    found = call()
    return perf_counter() - began, found


def median_s(call: Callable[[Theta], Any], start: Theta) -> float:
    """The median time of a call at parameters that change."""
    times: list[float] = []
    deadline = perf_counter() + BUDGET_S
    while len(times) < 3 or (perf_counter() < deadline and len(times) < MOST_REPEATS):
        theta = numbers(shifted(start, len(times) + 1))
        times.append(seconds(partial(call, theta))[0])
    return statistics.median(times)


def run(name: str, n: int) -> Stages:
    """Go through all stages, after a check of the numbers."""
    warm(LOOPS[name].data(WARM_UP_N))
    loop = LOOPS[name].data(n)
    plain_s = median_s(lambda theta: loop.loglik(**theta), loop.start)
    gc.collect()
    gauge = meter()
    before = gauge.now()
    gauge.reset()
    trace_s, traced = seconds(lambda: tg.trace(loop.loglik, loop.start, backend="numpy"))
    gradient_s, (value, grad) = seconds(lambda: traced.value_and_grad(loop.start))
    hessian_s, _ = seconds(lambda: traced.hessian(loop.start))
    peak = max(gauge.peak() - before, 0)
    reroll_s, short = rerolled(traced.tape)
    array_s = check(loop, traced)
    return Stages(
        name,
        n,
        plain_s,
        trace_s,
        reroll_s,
        gradient_s,
        hessian_s,
        median_s(traced.value_and_grad, loop.start),
        median_s(traced.hessian, loop.start),
        array_s,
        len(traced.tape.entries),
        short,
        peak,
        float(value),
        flat(grad).tolist(),
    )


def warm(loop: Loop) -> None:
    """Do once what a process does only once."""
    traced = tg.trace(loop.loglik, loop.start)
    traced.value_and_grad(loop.start)
    traced.hessian(loop.start)


def rerolled(tape: Any) -> tuple[float, int]:
    """How long rerolling takes, and how many entries are left; an earlier tapegrad knows nothing of it."""
    try:
        from tapegrad.passes import LOOPS as SHORTENING
        from tapegrad.passes import tidy
    except ImportError:
        return 0.0, len(tape.entries)
    took, short = seconds(lambda: tidy(tape, SHORTENING))
    return took, len(short.entries)


def flat(grad: Theta) -> Any:
    """A gradient as one array."""
    return np.concatenate([np.ravel(item) for item in grad.values()])


def check(loop: Loop, traced: Any) -> float | None:
    """Hold the tape against plain calls and array code; the time of the latter. Exits where they differ."""
    array = None if loop.array is None else tg.trace(loop.array, loop.start, backend="numpy")
    for step in (0, 77):
        theta = shifted(loop.start, step)
        value, grad = traced.value_and_grad(theta)
        agree(value, loop.plain(theta))
        if array is not None:
            agree(value, array(theta))
            agree(flat(grad), flat(array.grad(theta)))
    return None if array is None else median_s(array.value_and_grad, loop.start)


def agree(found: Any, expected: Any) -> None:
    """Exit unless two results are equal, to `RTOL` of the largest."""
    if not np.max(np.abs(np.subtract(found, expected))) <= RTOL * np.max(np.abs(expected)):
        sys.exit(f"the results differ: {found} and {expected}")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    print(json.dumps(asdict(run(sys.argv[1], int(sys.argv[2])))))
