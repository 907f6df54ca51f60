"""The table of docs/distributions.md is what the code says."""

from __future__ import annotations

import pytest

from benchmarks.distribution_table import HEAD, PAGE, line, names, quantile_errors, worst_errors
from benchmarks.distributions.quantiles import QUANTILES
from benchmarks.distributions.vectors import VECTORS

LINES = dict(
    zip(names(), PAGE.read_text(encoding="utf-8").partition(HEAD)[2].splitlines(keepends=True), strict=False)
)


def cells(name: str) -> tuple[str, str, str]:
    """Those that hold errors."""
    density, terms, quantiles = LINES[name].strip().removesuffix("|").split("|")[-3:]
    return density.strip(), terms.strip(), quantiles.strip()


def numbers(cell: str) -> list[float]:
    return [float(part) for part in cell.split(", ") if part]


@pytest.mark.parametrize("name", names())
def test_each_line_is_current(name: str) -> None:
    density, terms, quantiles = cells(name)
    assert LINES[name] == line(name, density, terms, quantiles)
    assert len(numbers(density)) == 3
    assert numbers(density)[0] <= 1e-12 or name == "betabinom"  # a probability of all but 1
    assert len(numbers(terms)) == (name not in VECTORS)
    assert max(numbers(terms), default=0.0) <= 1e-12
    assert len(numbers(quantiles)) == 2 * (name in QUANTILES)
    assert max(numbers(quantiles)[:1], default=0.0) <= 1e-12
    assert max(numbers(quantiles), default=0.0) <= 1e-9


@pytest.mark.parametrize("name", ["norm", "gumbel_r", "binom"])
def test_the_errors_are_those_of_the_benchmark(name: str) -> None:
    """At other points, among which a sum may cancel more: so those of the value and of the terms."""
    density, terms, _ = map(numbers, cells(name))
    found = worst_errors(name, 60)
    assert found.of_result[0] <= 4.0 * density[0]
    assert found.of_terms <= 1.5 * terms[0]


@pytest.mark.parametrize("name", ["ar1", "wishart"])
def test_the_errors_of_vectors_are_those_of_the_benchmark(name: str) -> None:
    found = worst_errors(name).of_result
    assert all(x <= 1.5 * y for x, y in zip(found, numbers(cells(name)[0]), strict=True))


def test_the_errors_of_quantiles_are_those_of_the_benchmark() -> None:
    for name in ("norm", "gumbel_r", "gamma"):
        stated = numbers(cells(name)[2])
        assert all(x <= 1.5 * y for x, y in zip(quantile_errors(name, 5), stated, strict=True))
