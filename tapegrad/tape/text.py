"""A tape as text: the listing, and the words for slots, shapes and attributes that stand in it."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np

from tapegrad.ops.registry import FLOAT, Aval
from tapegrad.tape.line import Source
from tapegrad.tape.record import Guard, Record


def listing(tape: Record, limit: int | None = None) -> str:
    """The tape as text: a header, then one line per entry, with guards where they were met.

    Parameters
    ----------
    tape : Record
    limit : int, optional
        Show at most about this many lines, the first and the last ones; by default all.
    """
    head, left_out, tail = _listed(tape, limit)
    gap = [f"  ... {left_out:,} more lines ..."] if left_out else []
    return "\n".join([header(tape), *aligned(head), *gap, *aligned(tail)])


def html_listing(tape: Record, limit: int) -> str:
    """The same for a notebook."""
    head, left_out, tail = _listed(tape, limit)
    gap = [("", f"... {left_out:,} more lines ...", *[""] * 5)] if left_out else []
    return html_rows(header(tape), [*head, *gap, *tail])


def _listed(tape: Record, limit: int | None) -> tuple[list[tuple[str, ...]], int, list[tuple[str, ...]]]:
    """The first rows of a listing, how many are left out, and the last ones."""
    count = len(tape.entries)
    if limit is None or count + len(tape.guards) <= limit:
        return _rows(tape, range(count)), 0, []
    below = limit // 5
    head = _rows(tape, range(min(limit - below, count)))[: limit - below]
    tail = _rows(tape, range(max(count - below, 0), count))[-below:]
    return head, count + len(tape.guards) - len(head) - len(tail), tail


def html_rows(title: str, rows: Sequence[tuple[str, ...]], head: Sequence[str] = ()) -> str:
    """Rows of cells as HTML: a table of code, all of it to the left."""
    style = "font-family: monospace; text-align: left; white-space: pre"

    def line(cells: Sequence[str], tag: str) -> str:
        written = [f'<{tag} style="{style}">{escape(cell)}</{tag}>' for cell in cells]
        return f"<tr>{''.join(written)}</tr>"

    top = f"<thead>{line(head, 'th')}</thead>" if head else ""
    body = "".join(line(cells, "td") for cells in rows)
    return f'<div style="{style}">{escape(title)}</div><table>{top}<tbody>{body}</tbody></table>'


def header(tape: Record) -> str:
    """The first line of the listing."""
    labels = dict(tape.labels)
    names = ", ".join(labels.get(slot, f"%{slot}") for slot in tape.parameters)
    results = ", ".join(shape_text(tape.avals[slot]) for slot in tape.outputs)
    counts = [
        _count(len(tape.entries), "op"),
        _count(len(tape.guards), "guard"),
        _count(len(tape.parameters), "parameter"),
    ]
    arrays = [*tape.data, *(slot for slot, value in tape.constants if slot in labels and np.ndim(value))]
    shapes = [f"{labels[slot]}{list(tape.avals[slot].shape)}" for slot in arrays if slot in labels]
    if shapes:
        counts.append("data " + ", ".join(dict.fromkeys(shapes)))
    return f"tape {tape.name}({names}) -> {results}    {', '.join(counts)}"


def _count(n: int, noun: str) -> str:
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def shape_text(aval: Aval) -> str:
    """A shape as it stands in a listing, with the dtype where it is not float64."""
    shape = "scalar" if aval.shape == () else str(aval.shape).replace(" ", "")
    return shape if aval.dtype == FLOAT else f"{aval.dtype} {shape}"


class OperandNames:
    """How each slot is called in the listing: its label, its number if it is a constant, or ``%slot``."""

    def __init__(self, tape: Record) -> None:
        self._labels = dict(tape.labels)
        self._constants = tape.constants

    def __getitem__(self, slot: int) -> str:
        if slot in self._labels:
            return self._labels[slot]
        place = bisect_left(self._constants, slot, key=lambda constant: constant.slot)
        if place == len(self._constants) or self._constants[place].slot != slot:
            return f"%{slot}"
        value = self._constants[place].value
        if np.ndim(value):
            return f"const{list(np.shape(value))}"
        return f"{value:.6g}" if isinstance(value, float) else str(value)


def _rows(tape: Record, places: range) -> list[tuple[str, ...]]:
    names = OperandNames(tape)
    guards: dict[int, list[Guard]] = {}
    for guard in tape.guards:
        guards.setdefault(guard.slot, []).append(guard)
    rows: list[tuple[str, ...]] = []
    for i, entry in zip(places, tape.entries[places.start : places.stop], strict=True):
        operands = ", ".join(names[slot] for slot in entry.inputs)
        call = operands + "".join(attr_text(name, value) for name, value in entry.attrs)
        shape = shape_text(tape.avals[entry.output])
        rows.append(
            (f"[{i}]", entry.op.name, call, f"-> %{entry.output}", shape, *_source_text(entry.source))
        )
        for guard in guards.get(entry.output, ()):
            outcome = f"%{guard.slot} is {outcome_text(guard.outcome)}"
            rows.append(("", "guard", outcome, "", "", *_source_text(guard.source)))
    return rows


def _source_text(source: Source | None) -> tuple[str, str]:
    return ("", "") if source is None else (str(source), source.text)


def outcome_text(outcome: Any) -> str:
    return str(outcome) if np.ndim(outcome) == 0 else f"as recorded, {list(np.shape(outcome))}"


def attr_text(name: str, value: Any) -> str:
    """A static attribute as it stands behind the operands in a listing."""
    if name == "index":
        return "[" + ", ".join(_index_text(item) for item in value) + "]"
    if value is False:
        return ""
    if name == "body":
        return f", {value}"
    return f", {name}={value[0] if isinstance(value, tuple) and len(value) == 1 else value}"


def _index_text(item: Any) -> str:
    if isinstance(item, tuple):
        start, stop, step = ("" if part is None else str(part) for part in item)
        return f"{start}:{stop}" + (f":{step}" if step else "")
    return "..." if item is Ellipsis else str(item)


def aligned(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Rows of cells as lines of columns; a first column of indices stands to the right."""
    if not rows:
        return []
    widths = [min(max(len(row[i]) for row in rows), 32) for i in range(len(rows[0]) - 1)]
    lines = []
    for row in rows:
        cells = [
            cell.rjust(width) if i == 0 and cell.startswith("[") else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=False))
        ]
        lines.append(("  ".join(cells) + "  " + row[-1]).rstrip())
    return lines
