"""Loops of the user's code in the entries of a tape, for people who read it: what repeats, repeats.

Nothing is computed by this; what becomes array code is found in `tapegrad.passes.loops`, with more care.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

FEWEST = 3  # iterations
_SMALLEST = 12  # entries of a loop: sums of several terms repeat, too
_LONGEST = 2_000  # items of an iteration
_NEXT = 6  # how many of the next places with the same key may begin the next iteration
_PERIODS = 100  # how many lengths of iterations are tried on a tape


class _Item(NamedTuple):
    """An entry, or a loop that has been found: where it starts, its entries, what is like it, its line."""

    start: int
    size: int
    key: Hashable
    line: int


def iterations(keys: Sequence[Hashable], lines: Sequence[int]) -> list[tuple[int, int, int]]:
    """The loops in a sequence, the outer ones and those within.

    Parameters
    ----------
    keys : sequence of hashable
        Entries with equal keys may be the same step of two iterations.
    lines : sequence of int
        Where they stand: an iteration begins where the place jumps most.

    Returns
    -------
    list of (int, int, int)
        The first entry of each loop, the entries of an iteration, and the number of iterations, sorted.

    Examples
    --------
    >>> iterations("a" + "bc" * 6 + "d", [1] + [2, 3] * 6 + [4])
    [(1, 2, 6)]
    """
    items = [_Item(i, 1, key, line) for i, (key, line) in enumerate(zip(keys, lines, strict=True))]
    return sorted(_all_loops(items), key=lambda loop: (loop[0], -loop[1] * loop[2]))


def _all_loops(items: Sequence[_Item]) -> list[tuple[int, int, int]]:
    """The loops in a sequence, those within their iterations, and those that loops are part of."""
    found: list[tuple[int, int, int]] = []
    while True:
        joined, end = [], 0
        for first, period, turns in _loops(items):
            inside = items[first : first + period]
            start, size = inside[0].start, sum(item.size for item in inside)
            inner = _all_loops(inside)
            found.append((start, size, turns))
            found += [(a + t * size, n, k) for t in range(turns) for a, n, k in inner]
            key = (tuple(item.key for item in inside), turns)
            joined += [*items[end:first], _Item(start, size * turns, key, inside[0].line)]
            end = first + period * turns
        if end == 0:
            return found
        items = [*joined, *items[end:]]


def _loops(items: Sequence[_Item]) -> Iterator[tuple[int, int, int]]:
    """What repeats in a sequence: first item, items of an iteration, iterations."""
    numbers: dict[Hashable, int] = {}
    keys = np.array([numbers.setdefault(item.key, len(numbers)) for item in items], dtype=np.intp)
    places: dict[int, Any] = {}  # of each key
    order = np.argsort(keys, kind="stable")
    for part in np.split(order, np.flatnonzero(np.diff(keys[order])) + 1):
        if part.size:
            places[int(keys[part[0]])] = part
    ends: dict[int, Any] = {}  # by period: where a sequence does not repeat
    i = 0
    while i < len(keys):
        same = places[int(keys[i])]
        k = int(np.searchsorted(same, i))
        for following in same[k + 1 : k + 1 + _NEXT].tolist():
            period = following - i
            if period > _LONGEST or (period not in ends and len(ends) >= _PERIODS):
                continue
            if period not in ends:
                ends[period] = np.append(np.flatnonzero(keys[:-period] != keys[period:]), len(keys) - period)
            length = int(ends[period][np.searchsorted(ends[period], i)]) - i + period
            if length // period >= FEWEST:
                first = i + _boundary([item.line for item in items[i : i + period]])
                turns = (i + length - first) // period
                size = sum(item.size for item in items[first : first + period]) * turns
                if turns >= FEWEST and size >= _SMALLEST:
                    yield first, period, turns
                    i = first + period * turns - 1
                    break
        i += 1


def _boundary(lines: Sequence[int]) -> int:
    """Where in an iteration its place jumps most, from the step before."""
    jumps = [abs(line - before) for line, before in zip(lines, [lines[-1], *lines], strict=False)]
    return jumps.index(max(jumps))
