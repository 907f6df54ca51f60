"""Plain Python loops in tapegrad's C, against C by hand and against JAX's ``lax.scan``."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
from typing import Any, Final

import numpy as np

import tapegrad as tg
from benchmarks.compiled import COMPILE_S, seconds_to_compile
from benchmarks.limits import by_hand_in_c
from benchmarks.loops.model import LOOPS, Theta, numbers
from benchmarks.loops.scans import by_jax
from benchmarks.loops.stages import RTOL, flat, median_s
from benchmarks.measure import Mismatch
from benchmarks.report import duration, line
from benchmarks.targets import ratio, star
from tapegrad.backends.c.compiler import compiler, reason

N: Final = 10_000
LIMIT: Final = 1.3
# The most that value and gradient may take, as multiples of JAX's jitted scan.
TARGETS: Final = {"garch": 0.4, "hmm_log": 0.2, "local_level": 0.3}
COLUMNS: Final = ("numpy", "c", "limit", "jax", "c/limit", "c/jax", "at most", "compile")
HEAD: Final = line("model", "n", COLUMNS)


def lines(names: list[str]) -> Iterator[str]:
    """The lines of the table; raises `Mismatch` where contestants disagree."""
    if compiler() is None:
        yield f"no C: {reason()}"
        return
    for name in names:
        if name in TARGETS:
            yield measured(name, N)


def measured(name: str, n: int) -> str:
    """One model, after a check of all numbers."""
    loop = LOOPS[name].data(n)
    traced: Callable[..., Any] = partial(tg.trace, loop.loglik, loop.start)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        c = traced(backend="c")
        calls: dict[str, Callable[[Theta], Any]] = {
            "numpy": traced(backend="numpy").value_and_grad,
            "c": c.value_and_grad,
            "limit": by_hand_in_c(name, [loop.y], loop.start),
        }
    if find_spec("jax") is not None:
        calls["jax"] = by_jax(name, n)
    check(name, loop.start, calls)
    took = {who: median_s(call, loop.start) for who, call in calls.items()}
    compiling = seconds_to_compile(c.source())
    target, jax = TARGETS[name], took.get("jax")
    cells = [duration(took[who]) if who in took else "-" for who in COLUMNS[:4]]
    cells += [ratio(took["c"], took["limit"], LIMIT), ratio(took["c"], jax, target), f"{target:.2f}x"]
    return line(name, f"{n:,}", [*cells, duration(compiling) + star(compiling, COMPILE_S)])


def check(name: str, start: Theta, calls: dict[str, Callable[[Theta], Any]]) -> None:
    """Raise `Mismatch` unless all give the same value and gradient."""
    theta = numbers(start)
    expected, gradient = calls["numpy"](theta)
    for who, call in calls.items():
        value, found = call(theta)
        pairs = ((value, expected), (flat({key: found[key] for key in gradient}), flat(gradient)))
        if any(not np.allclose(a, b, rtol=RTOL, atol=RTOL * np.max(np.abs(b))) for a, b in pairs):
            raise Mismatch(f"{name}: {who} finds {value} and {found}, NumPy {expected} and {gradient}")
