"""The worst relative errors of ops and densities over the whole range of doubles, as one table."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Final, NamedTuple


class Worst(NamedTuple):
    """The worst case of one derivative of one function.

    Attributes
    ----------
    name : str
        Of the op or the density.
    what : str
        Which number: "value", "d/dx", "d2/dx dy" and the like.
    error : float
        Relative to the true number.
    at : tuple of float
        The arguments of the worst case.
    bound : float
        What the error may be.
    why : str
        What forbids a bound of 1e-12, where it is wider.
    """

    name: str
    what: str
    error: float
    at: tuple[float, ...]
    bound: float = 1e-12
    why: str = ""


# Each part of the table, by its title.
PARTS: Final[dict[str, Callable[[], Iterable[Worst]]]] = {
    "Elementwise ops": lambda: import_module("benchmarks.accuracy_ops").elementwise_ops(),
    "Functions of several arguments": lambda: import_module("benchmarks.accuracy_more").special_functions(),
    "Log-densities": lambda: import_module("benchmarks.accuracy_densities").densities(),
    "Quantiles": lambda: import_module("benchmarks.distributions.quantiles").all_quantiles(),
}


def print_accuracy() -> int:
    """Print the table, and return the exit status: 1 if a bound is broken."""
    broken = 0
    for title, rows in PARTS.items():
        print(f"\n{title}\n{'name':<18}{'what':<16}{'error':>9}{'bound':>9}  at")
        for row in rows():
            fails = not row.error <= row.bound
            broken += fails
            place = ", ".join(f"{x:.17g}" for x in row.at)
            note = f"  ({row.why})" if row.why else ""
            mark = "  BROKEN" if fails else ""
            print(f"{row.name:<18}{row.what:<16}{row.error:>9.1e}{row.bound:>9.0e}  {place}{note}{mark}")
    return int(broken > 0)
