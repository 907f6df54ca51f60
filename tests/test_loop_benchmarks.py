"""``python -m benchmarks --loops`` measures what it says. Nothing here depends on timing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from benchmarks.loops import LOOPS, compare, fits, stages
from benchmarks.measure import Mismatch


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
