"""Entries that move elements, as functions of C: what their homes leave to copy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from tapegrad.backends.c.memory import Memory
from tapegrad.backends.c.moves import Copy, copies, start_of, steps_of
from tapegrad.backends.c.operands import number
from tapegrad.tape.entries import Entry


def move_function(memory: Memory, entry: Entry, name: str) -> str | None:
    """The function that moves the elements of an entry; None where nothing is left to do."""
    lines = list(_moves(memory, entry))
    if not lines:
        return None
    head = [f"static void {name}(void *const *T) {{", "    double *const s = T[0];"]
    head += ["    const double *const p = T[1];", "    (void)s, (void)p;"]
    return "\n".join([*head, *(f"    {line}" for line in lines), "}"])


def _moves(memory: Memory, entry: Entry) -> Iterator[str]:
    found = memory.homes.remaining(entry)
    out = memory.shadow(entry.output)
    covered = sum(copy.target.size for copy in copies(memory.shadow, entry))
    is_cleared = covered >= out.size or entry.output in memory.homes.places
    if is_cleared and not found:
        return
    yield f"double *const out = {memory.base(entry.output, const=False)};"
    if not is_cleared:
        yield from _zeros(memory, found[0], out)
    for i, copy in enumerate(found):
        yield f"const double *const a{i} = {memory.base(copy.slot)};"
        source = start_of(copy.source, memory.shadow(copy.slot))
        yield from _copied(memory, copy, f"a{i}", source, start_of(copy.target, out))


def _zeros(memory: Memory, copy: Copy, out: Any) -> Iterator[str]:
    """Zeros where nothing is copied."""
    start, stop = start_of(copy.target, out), start_of(copy.target, out) + copy.target.size
    if not copy.target.flags.c_contiguous:
        start = stop = 0
    for first, count in ((0, start), (stop, out.size - stop)):
        if count:
            yield f"memset(out + {number(memory, first)}, 0, {number(memory, count)} * sizeof(double));"


def _copied(memory: Memory, copy: Copy, name: str, source: int, target: int) -> Iterator[str]:
    """Loops that copy a view into another."""
    axes = _merged(copy.target.shape, steps_of(copy.source), steps_of(copy.target))
    to, of = f"out + {number(memory, target)}", f"{name} + {number(memory, source)}"
    if [axis[1:] for axis in axes] == [(1, 1)]:
        yield f"memcpy({to}, {of}, {number(memory, axes[0][0])} * sizeof(double));"
        return
    for depth, (count, _, _) in enumerate(axes):
        yield f"{'    ' * depth}for (int64_t i{depth} = 0; i{depth} < {number(memory, count)}; i{depth}++)"
    there, here = (
        " + ".join(
            [
                str(number(memory, start)),
                *(f"i{d} * {number(memory, axis[k])}" for d, axis in enumerate(axes)),
            ]
        )
        for start, k in ((target, 2), (source, 1))
    )
    yield f"{'    ' * len(axes)}out[{there}] = {name}[{here}];"


def _merged(shape: Sequence[int], *steps: Sequence[int]) -> list[tuple[int, ...]]:
    """Axes as lengths and steps, with those as one that are one walk through memory."""
    found: list[tuple[int, ...]] = []
    for count, *by in zip(shape, *steps, strict=True):
        if count == 1:
            continue
        if found and all(old == count * step for old, step in zip(found[-1][1:], by, strict=True)):
            found[-1] = (found[-1][0] * count, *by)
        else:
            found.append((count, *by))
    return found or [(1, 1, 1)]
