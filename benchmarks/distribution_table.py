"""The table of docs/distributions.md; ``python -m benchmarks.distribution_table`` writes it.

The worst errors take a while, so the test of the page compares all but them, and finds them again within a
factor, on fewer points.
"""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

from benchmarks.accuracy_densities import worst
from benchmarks.distributions import DISTRIBUTIONS
from tapegrad import stats

PAGE = Path(__file__).parents[1] / "docs" / "distributions.md"
HEAD = "| name | parameters | methods | worst error |\n|---|---|---|---|\n"
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


def worst_error(name: str, points: int = POINTS) -> float | None:
    """Of the value and the first and second derivatives of the log-density, where a row says its truth."""
    if name not in ROWS:
        return None
    return max(
        found.error
        for density in ROWS[name].densities
        for found in worst(density, max(20, int(points * density.share)))
    )


def line(name: str, error: float | None) -> str:
    """A line of the table."""
    shown = "" if error is None else f"{error:.0e}"
    return "| " + " | ".join((*_cells(name), shown)) + " |\n"


def table() -> str:
    """The whole table."""
    return HEAD + "".join(line(name, worst_error(name)) for name in names())


def replace_table(page: str, table: str) -> str:
    """The page with another table."""
    before, _, rest = page.partition(HEAD)
    after = rest.partition("\n\n")[2]
    return f"{before}{table}\n{after}"


if __name__ == "__main__":
    PAGE.write_text(replace_table(PAGE.read_text(encoding="utf-8"), table()), encoding="utf-8")
