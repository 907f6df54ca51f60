"""Prints how many digits of fits agree with results that were certified or published by others."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks import nist, regressions
from benchmarks.lre import Check


def checks() -> Iterator[Check]:
    """All comparisons, case by case."""
    yield from nist.checks()
    for case in regressions.CASES.values():
        yield from case()


def print_references() -> int:
    """Print the table of log relative errors; the exit status is 1 if one is smaller than it has to be."""
    print(f"{'case':<34}{'quantity':<20}{'right digits':>13}{'needed':>8}")
    failed = 0
    for check in checks():
        mark = "" if check.holds else "  FAILS"
        failed += not check.holds
        print(
            f"{check.case:<34}{check.quantity:<20}{check.digits:>13.1f}{check.needed:>8.1f}{mark}", flush=True
        )
    print(f"{failed} of them fail" if failed else "all of them hold")
    return 1 if failed else 0
