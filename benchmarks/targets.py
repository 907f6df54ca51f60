"""What is aimed at, and how the tables show it: what misses its target has a star."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from benchmarks.measure import Result
from benchmarks.report import duration, line

SMALL: Final = 100  # observations: up to here the time is spent around the arithmetic
LARGE: Final = 1_000_000
HESSIAN: Final = 0.5  # of JAX's, from LARGE on
FIRST_CALL: Final = 0.2  # of JAX's
MEMORY_BYTES: Final = 100_000_000
# Models whose data enter by sums alone, so that a call takes as long at any size.
SUFFICIENT: Final = ("exponential", "normal")
SUFFICIENT_S: Final = 20e-6
COLUMNS: Final = ("tape", "by hand", "jax", "tape/hand", "tape/jax")


def of_hand(n: int) -> float:
    """The most that value and gradient may take, as a multiple of the gradient by hand."""
    return 2.0 if n <= SMALL else 1.0


def of_jax(n: int) -> float:
    """The most that value and gradient may take, as a multiple of JAX's jitted call."""
    return 0.5 if n <= SMALL else 1.0


def ratio(time: float, other: float | None, target: float | None = None) -> str:
    """A ratio, with a star above its target; a dash where there is nothing to compare with.

    >>> ratio(2.0, 5.0, 0.3), ratio(2.0, 1234.0), ratio(2.0, None)
    ('0.40x*', '0.002x', '-')
    """
    if other is None:
        return "-"
    found = time / other
    return f"{found:.2f}x{star(found, target)}" if found >= 0.1 else f"{found:.1g}x{star(found, target)}"


def star(number: float, target: float | None) -> str:
    """A star for what is above its target."""
    return "*" if target is not None and number > target else ""


def table(results: list[Result]) -> Iterator[str]:
    """The times of value and gradient against those that are aimed at, line by line."""
    yield line("model", "n", COLUMNS)
    cells = {(r.model, r.n, r.contestant): r.median_s for r in results}
    for model, n in dict.fromkeys((r.model, r.n) for r in results):
        tape, hand, jax = (cells.get((model, n, who)) for who in ("tape", "by hand", "jax"))
        assert tape is not None
        limit = SUFFICIENT_S if model in SUFFICIENT else None
        yield line(
            model,
            f"{n:,}",
            [
                duration(tape) + star(tape, limit),
                *("-" if other is None else duration(other) for other in (hand, jax)),
                ratio(tape, hand, of_hand(n)),
                ratio(tape, jax, of_jax(n)),
            ],
        )
    most = f"{duration(SUFFICIENT_S)} (1)"
    yield from feet(lambda n: [most, "", "", f"{of_hand(n):.2f}x", f"{of_jax(n):.2f}x"])
    yield f"(1) where sums of the data suffice: {', '.join(SUFFICIENT)}"


def feet(cells: Callable[[int], list[str]]) -> tuple[str, str]:
    """The last lines of a table whose targets depend on the size."""
    return line("at most", f"{SMALL:,}", cells(SMALL)), line("at most", "more", cells(SMALL + 1))
