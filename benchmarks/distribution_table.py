"""The table of docs/distributions.md; ``python -m benchmarks.distribution_table`` writes it.

The worst errors take a while, so the test of the page compares all but them, and finds them again within a
factor, on fewer points.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks.accuracy_densities import Errors, errors_of
from benchmarks.distributions import DISTRIBUTIONS
from benchmarks.distributions.quantiles import QUANTILES, worst_quantile
from benchmarks.distributions.vectors import errors_of_vector
from tapegrad import stats

PAGE = Path(__file__).parents[1] / "docs" / "distributions.md"
HEAD = (
    "| name | parameters | methods | worst errors | of the terms | quantiles |\n|---|---|---|---|---|---|\n"
)
POINTS = 300
WRAPPERS = ("censored", "hurdle", "truncated", "zero_inflated")
METHODS = ("logpdf", "pdf", "logpmf", "pmf", "cdf", "logcdf", "sf", "logsf", "ppf", "isf")
ROWS = {row.name: row for row in DISTRIBUTIONS}


def _cells(name: str) -> tuple[str, str, str]:
    """Name, parameters and methods."""
    distribution: Any = getattr(stats, name)
    methods = [method for method in METHODS if hasattr(distribution, method)]
    signature = inspect.signature(getattr(distribution, methods[0]))
    defaults = [
        p.name if p.default is p.empty else f"{p.name}={p.default}"
        for p in list(signature.parameters.values())[1:]
    ]
    return f"`{name}`", f"`{', '.join(defaults)}`", ", ".join(methods)


def names() -> list[str]:
    """All that have a row: each distribution, without what is made of others."""
    return [name for name in stats.__all__ if name not in WRAPPERS]


def worst_errors(name: str, points: int = POINTS) -> Errors:
    """Of the value and the derivatives of the log-density."""
    return errors_of(ROWS[name].densities, points) if name in ROWS else errors_of_vector(name)


def quantile_errors(name: str, share: int = 1) -> tuple[float, float] | None:
    """Of quantiles in both tails, and of their first derivatives."""
    if name not in QUANTILES:
        return None
    rows = worst_quantile(name, share)
    values = [row.error for row in rows if row.what == "value"]
    return max(values), max(row.error for row in rows if row.what != "value")


def shown(errors: Iterable[float] | None) -> str:
    """Numbers in a cell."""
    return ", ".join(f"{error:.0e}" for error in errors or () if error == error)


def line(name: str, density: str, terms: str, quantiles: str) -> str:
    """A line of the table."""
    return "| " + " | ".join((*_cells(name), density, terms, quantiles)) + " |\n"


def table() -> str:
    """The whole table."""
    lines = []
    for name in names():
        errors = worst_errors(name)
        lines.append(
            line(name, shown(errors.of_result), shown((errors.of_terms,)), shown(quantile_errors(name)))
        )
    return HEAD + "".join(lines)


def replace_table(page: str, table: str) -> str:
    """The page with another table."""
    before, _, rest = page.partition(HEAD)
    after = rest.partition("\n\n")[2]
    return f"{before}{table}\n{after}"


if __name__ == "__main__":
    PAGE.write_text(replace_table(PAGE.read_text(encoding="utf-8"), table()), encoding="utf-8")
