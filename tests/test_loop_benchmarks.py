"""``python -m benchmarks --loops`` measures what it says. Nothing here depends on timing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from benchmarks.limits import by_hand_in_c
from benchmarks.loops import LOOPS, compare, compiled, fits, stages
from benchmarks.measure import Mismatch
from tapegrad.backends.c.compiler import compiler


@pytest.fixture(autouse=True)
def no_time_to_lose(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stages, "BUDGET_S", 0.0)
    monkeypatch.setattr(compare, "GRAPH_N", 20)
    monkeypatch.setattr(fits, "ROUNDS", 1)
    monkeypatch.setattr(fits, "N", 100)


@pytest.mark.parametrize("name", ["normal", "ricker"])
def test_the_stages_of_a_model(name: str) -> None:
    found = stages.run(name, 60)
    loop = LOOPS[name].data(60)
    np.testing.assert_allclose(found.value, loop.plain(loop.start), rtol=1e-12)
    assert found.short < found.entries
    assert (found.array_s is None) == (loop.array is None)
    assert compare.stage_line(found).startswith(name)
    assert compare.ratio_line(found).startswith(name)


def test_targets_that_are_missed_have_a_star() -> None:
    found = stages.run("normal", 60)
    slow = compare.ratio_line(replace(found, trace_s=100.0, plain_s=1.0, call_s=100.0, array_s=1.0))
    assert slow.count("*") == 3


def test_array_code_that_computes_something_else_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    right = LOOPS["normal"]

    def off(mu: Any, log_sigma: Any) -> Any:
        return -(mu**2) - log_sigma

    def make(rng: Any, n: int) -> Any:
        return replace(right.make(rng, n), array=off)

    monkeypatch.setitem(LOOPS, "normal", replace(right, make=make))
    with pytest.raises(SystemExit, match="differ"):
        stages.run("normal", 60)


def test_a_fit_that_ends_lower_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    by_differences = fits.by_differences

    def higher(loop: Any) -> Any:
        found = by_differences(loop)
        found.fun -= 1.0
        return found

    monkeypatch.setattr(fits, "TARGETS", {"normal": 1.0})
    assert str(fits.fitted("normal")).startswith("normal")
    monkeypatch.setattr(fits, "by_differences", higher)
    with pytest.raises(Mismatch, match="SciPy"):
        fits.fitted("normal")


@pytest.mark.skipif(compiler() is None, reason="needs a C compiler")
@pytest.mark.parametrize("name", compiled.TARGETS)
def test_c_by_hand_is_the_loop(name: str) -> None:
    for n in (2, 3, 60):
        loop = LOOPS[name].data(n)
        value, grad = by_hand_in_c(name, [loop.y], loop.start)(loop.start)
        np.testing.assert_allclose(value, loop.plain(loop.start), rtol=1e-12)
        expected = tg.trace(loop.loglik, loop.start, reroll=False, backend="replay").grad(loop.start)
        for key in expected:
            np.testing.assert_allclose(grad[key], expected[key], rtol=1e-9, atol=1e-12)


@pytest.mark.skipif(compiler() is None, reason="needs a C compiler")
def test_a_line_of_a_loop_in_c() -> None:
    line = compiled.measured("garch", 200)
    assert line.split()[:2] == ["garch", "200"]
    assert list(compiled.lines(["normal"])) == []
    with pytest.raises(Mismatch, match="garch: c finds"):
        compiled.check(
            "garch",
            LOOPS["garch"].data(10).start,
            {"numpy": lambda theta: (1.0, dict(mu=1.0)), "c": lambda theta: (2.0, dict(mu=1.0))},
        )
