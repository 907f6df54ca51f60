"""The table of docs/distributions.md is what the code says."""

from __future__ import annotations

import pytest

from benchmarks.distribution_table import HEAD, PAGE, ROWS, line, names, worst_error

LINES = dict(
    zip(names(), PAGE.read_text(encoding="utf-8").partition(HEAD)[2].splitlines(keepends=True), strict=False)
)


@pytest.mark.parametrize("name", names())
def test_each_line_is_current(name: str) -> None:
    error = LINES[name].rstrip(" |\n").rpartition("| ")[2] if name in ROWS else ""
    assert LINES[name] == line(name, float(error) if error else None)
    assert not error or float(error) <= 1e-12


@pytest.mark.parametrize("name", ["norm", "gumbel_r", "binom"])
def test_the_errors_are_those_of_the_benchmark(name: str) -> None:
    stated = float(LINES[name].rstrip(" |\n").rpartition("| ")[2])
    assert worst_error(name, 60) <= 1.5 * stated
