"""Profile intervals of whole fits, beside MINOS of iminuit on the same function with exact gradients.

Both get value and gradient from one traced function. What is compared is what each makes of them: the ends of
all parameters' intervals, the function already traced and compiled, from a maximum that is already found.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from time import perf_counter
from typing import Any, Final

import numpy as np
from numpy.random import default_rng
from scipy.special import ndtr

import tapegrad as tg
from benchmarks.loops.model import Theta
from benchmarks.measure import Mismatch
from benchmarks.report import duration, environment, line, titled
from benchmarks.targets import ratio
from tapegrad.mle import FitResult

ROUNDS: Final = 5
OF_MINOS: Final = 2.0
# Of MINOS's own tolerance, in lengths of the interval: it looks for its ends to a percent of them.
WITHIN: Final = 1e-2
LEVELS: Final = (1.0 - 2.0 * float(ndtr(-1.0)), 0.95)
COLUMNS: Final = ("level", "tapegrad", "minos", "ratio", "gradients", "Hessians", "of minos", "pairs")
HEAD: Final = line("intervals", "parameters", COLUMNS)

Model = tuple[Callable[..., Any], Theta]


def unbinned() -> Model:
    """10,000 events of a signal on a background, with both their numbers: an extended likelihood."""
    rng = default_rng(5)
    tail = rng.exponential(4.0, 40_000)
    x = np.concatenate([rng.normal(5.0, 0.5, 3_000), tail[tail < 10.0][:7_000]])

    def loglik(signal: Any, background: Any, mu: Any, sigma: Any, tau: Any) -> Any:
        z = (x - mu) / sigma
        peak = np.exp(-0.5 * z * z) / (sigma * np.sqrt(2.0 * np.pi))
        slope = np.exp(-x / tau) / (tau * (1.0 - np.exp(-10.0 / tau)))
        return np.log(signal * peak + background * slope).sum() - signal - background

    return loglik, dict(signal=2_500.0, background=7_500.0, mu=5.1, sigma=0.6, tau=3.5)


def binned() -> Model:
    """Counts in 40 bins, and 20 nuisance parameters that bend the background, each with its constraint."""
    rng = default_rng(5)
    centres = np.linspace(0.0, 10.0, 40)
    signal = 100.0 * np.exp(-0.5 * ((centres - 5.0) / 0.7) ** 2)
    background = 200.0 * np.exp(-centres / 5.0)
    places = rng.uniform(0.0, 10.0, (20, 1))
    shapes = 0.08 * rng.normal(size=(20, 40)) * np.exp(-0.5 * ((centres - places) / 2.0) ** 2)
    counts = rng.poisson(signal + background * np.exp(rng.normal(size=20) @ shapes)).astype(float)

    def loglik(strength: Any, nuisance: Any) -> Any:
        expected = strength * signal + background * np.exp(nuisance @ shapes)
        return (counts * np.log(expected) - expected).sum() - 0.5 * (nuisance * nuisance).sum()

    return loglik, dict(strength=1.0, nuisance=np.zeros(20))


MODELS: Final = {"unbinned": unbinned, "binned": binned}


class _Counted:
    """Counts the calls of a traced function's methods, while it stands in for them."""

    def __init__(self, function: Any) -> None:
        self._function = function
        self.calls = dict.fromkeys(("value_flat", "value_and_grad_flat", "hessian_flat"), 0)

    def __enter__(self) -> dict[str, int]:
        for name in self.calls:
            setattr(self._function, name, self._counting(name, getattr(self._function, name)))
        return self.calls

    def __exit__(self, *_: object) -> None:
        for name in self.calls:
            delattr(self._function, name)

    def _counting(self, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def counting(*arguments: Any) -> Any:
            self.calls[name] += 1
            return method(*arguments)

        return counting


@dataclass(frozen=True)
class Compared:
    """Median seconds of both, and how often each asked for derivatives; `pairs_s` is that of `plot_pairs`."""

    name: str
    parameters: int
    level: float
    tape_s: float
    minos_s: float | None
    calls: dict[str, int]
    of_minos: int
    pairs_s: float | None

    def __str__(self) -> str:
        cells = [
            f"{self.level:.3f}",
            duration(self.tape_s),
            "-" if self.minos_s is None else duration(self.minos_s),
            ratio(self.tape_s, self.minos_s, OF_MINOS),
            f"{self.calls['value_and_grad_flat']:,}",
            f"{self.calls['hessian_flat']:,}",
            f"{self.of_minos:,}",
            "-" if self.pairs_s is None else duration(self.pairs_s),
        ]
        return line(self.name, str(self.parameters), cells)


def compared(name: str, level: float, with_pairs: bool) -> Compared:
    """All intervals of a model, both ways in turns; raises `Mismatch` where they differ."""
    loglik, start = MODELS[name]()
    traced = tg.trace(loglik, start)
    result: FitResult = tg.fit(traced, start)
    vector = result.x.copy()
    for _ in range(3_000):  # until what is to be compiled is
        traced.value_and_grad_flat(vector)
    ours: list[float] = []
    theirs: list[float] = []
    calls = [0]
    for _ in range(ROUNDS):
        with _Counted(traced) as counts:
            began = perf_counter()
            found = result.conf_int(1.0 - level, method="profile")
            ours.append(perf_counter() - began)
        if find_spec("iminuit") is not None:
            calls[0] = 0
            ends, spent = by_minos(traced, result, level, calls)
            theirs.append(spent)
            if (np.abs(found - ends).max(axis=1) > WITHIN * np.ptp(ends, axis=1)).any():
                raise Mismatch(f"{name}: intervals of tapegrad {found}, of MINOS {ends}")
    return Compared(
        name,
        vector.size,
        level,
        statistics.median(ours),
        statistics.median(theirs) if theirs else None,
        counts,
        calls[0],
        pairs(result) if with_pairs and find_spec("matplotlib") is not None else None,
    )


def by_minos(traced: Any, result: FitResult, level: float, calls: list[int]) -> tuple[Any, float]:
    """The ends of all intervals by MINOS, and the seconds it takes."""
    iminuit: Any = import_module("iminuit")

    def value(x: Any) -> float:
        calls[0] += 1
        return -float(traced.value_flat(np.asarray(x, dtype=float)))

    def gradient(x: Any) -> Any:
        calls[0] += 1
        return -traced.value_and_grad_flat(np.asarray(x, dtype=float))[1]

    minuit = iminuit.Minuit(value, result.x, grad=gradient, name=list(result.names))
    minuit.errordef = 0.5
    minuit.migrad()
    calls[0] = 0
    began = perf_counter()
    minuit.minos(cl=level)
    spent = perf_counter() - began
    errors = [(minuit.merrors[name].lower, minuit.merrors[name].upper) for name in result.names]
    return np.array(minuit.values)[:, None] + np.array(errors), spent


def pairs(result: FitResult) -> float:
    """The seconds of `plot_pairs`."""
    from tapegrad.mle.plots import plot_pairs

    began = perf_counter()
    plot_pairs(result)
    return perf_counter() - began


def print_profiles(names: list[str]) -> None:
    """Print the table."""
    packages = [name for name in ("iminuit",) if find_spec(name) is not None]
    print(*(f"{name} {value}" for name, value in environment(packages).items()), sep=", ")
    print("", *titled("profile intervals of all parameters", HEAD), sep="\n")
    for name in names:
        for level in LEVELS:
            print(compared(name, level, name == "unbinned" and level == LEVELS[0]), flush=True)
    print(line("at most", "", ["", "", "", f"{OF_MINOS:.2f}x"]))
