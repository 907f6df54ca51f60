"""A tape as a sheet: plain data, as JSON knows it, of which a page for a browser is made.

Slots are told by their numbers, entries and guards by their places; `tapegrad/viewer/page.js` makes the words
of a listing of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tapegrad.tape.entries import Entry
from tapegrad.tape.iterations import iterations
from tapegrad.tape.line import Source
from tapegrad.tape.record import Record
from tapegrad.tape.text import OperandNames, attr_text, header, outcome_text, shape_text

_SHOWN = 12  # elements of an array
_LEAF_KINDS = ("parameters", "data")


class _Numbered(dict[Any, int]):
    """Things in the order in which they were first asked for, and their places in it."""

    def __missing__(self, key: Any) -> int:
        self[key] = len(self)
        return self[key]


def sheet(tape: Record, title: str, note: str = "") -> dict[str, Any]:
    """A tape as a sheet.

    Parameters
    ----------
    tape : Record
    title, note : str
        What to call it, and a sentence on what it is.

    Returns
    -------
    dict
        ``places`` are the user's lines, as pairs of file and line; columns have a cell for each entry, and
        ``loops`` are triples of the first entry, the entries of an iteration, and the number of these.
    """
    ops, places, shapes = _Numbered(), _Numbered(), _Numbered()
    entries = list(tape.entries)
    lines = [_placed(entry.source, places) for entry in entries]
    keys = list(zip((entry.op.name for entry in entries), lines, strict=True))
    guards = [
        [guard.slot, outcome_text(guard.outcome), _placed(guard.source, places)] for guard in tape.guards
    ]
    return {
        "title": title,
        "note": note,
        "header": header(tape),
        "shape": [shapes[shape_text(aval)] for aval in tape.avals],
        "shapes": list(shapes),
        "leaves": _leaves(tape),
        "op": [ops[entry.op.name] for entry in entries],
        "ops": list(ops),
        "inputs": [entry.inputs for entry in entries],
        "output": [entry.output for entry in entries],
        "attrs": {i: text for i, entry in enumerate(entries) if (text := _attrs_text(entry))},
        "line": lines,
        "guards": guards,
        "loops": iterations(keys, [0 if entry.source is None else entry.source.line for entry in entries]),
        "bodies": _bodies(entries),
        "places": [[place.file, place.line] for place in places],
        "results": tape.outputs,
    }


def _placed(source: Source | None, places: _Numbered) -> int:
    return -1 if source is None else places[source]


def _attrs_text(entry: Entry) -> str:
    return "".join(attr_text(name, value) for name, value in entry.attrs)


def _leaves(tape: Record) -> list[list[Any]]:
    """Slot, name, kind of each leaf."""
    names, labels = OperandNames(tape), dict(tape.labels)
    found = [[slot, names[slot], kind[:9]] for kind in _LEAF_KINDS for slot in getattr(tape, kind)]
    return found + [
        [slot, names[slot], "array" if slot in labels else "constant"] for slot, _ in tape.constants
    ]


def _bodies(entries: Sequence[Entry]) -> dict[int, dict[str, Any]]:
    """The step of each loop that is an entry, as a sheet."""
    found = {}
    for i, entry in enumerate(entries):
        for name, value in entry.attrs:
            if name == "body":
                step = found[i] = sheet(value.tape, str(value))
                for k, leaf in enumerate(step["leaves"][: len(value.tape.parameters)]):
                    is_kept = k < value.carried + value.fixed
                    leaf[2] = "carried" if k < value.carried else "fixed" if is_kept else "of a step"
    return found


# Numbers ----------------------------------------------------------------------------------------------------


def numbers(values: Sequence[Any]) -> dict[str, Any]:
    """Texts of the values of slots, None where there is none, and which are not finite.

    ``more`` has the elements and the range of arrays, and floats to the last digit where the text has fewer.
    """
    texts: list[str | None] = []
    more: dict[int, list[str]] = {}
    nan, infinite = [], []
    for slot, value in enumerate(values):
        texts.append(None if value is None else value_text(value))
        if value is None or np.size(value) == 0:
            continue
        if np.ndim(value):
            more[slot] = _of_array(np.ravel(value))
        elif texts[-1] != (exact := repr(value.item() if isinstance(value, np.generic) else value)):
            more[slot] = [exact]
        if np.isnan(value).any():
            nan.append(slot)
        elif np.isinf(value).any():
            infinite.append(slot)
    return {"text": texts, "more": more, "nan": nan, "inf": infinite}


def value_text(value: Any) -> str:
    """A number or a truth, or the first elements of an array."""
    if np.ndim(value):
        flat = np.ravel(value)
        return f"[{', '.join(_short(x) for x in flat[:2])}{', ...' if flat.size > 2 else ''}]"
    return str(bool(value)) if np.asarray(value).dtype == np.bool_ else f"{float(value):.10g}"


def _short(x: Any) -> str:
    return str(bool(x)) if x.dtype == np.bool_ else f"{x:.4g}"


def _of_array(flat: Any) -> list[str]:
    """The first elements of an array in words, and the range of all."""
    shown = ", ".join(value_text(x) for x in flat[:_SHOWN])
    found = [f"{shown}, ... of {flat.size:,} elements" if flat.size > _SHOWN else shown]
    if flat.dtype == np.bool_:
        return [*found, f"{int(flat.sum()):,} True, {int((~flat).sum()):,} False"]
    finite = flat[np.isfinite(flat)]
    if finite.size:
        with np.errstate(over="ignore"):
            mean = finite.mean()
        found.append(f"from {finite.min():.6g} to {finite.max():.6g}, mean {mean:.6g}")
    if finite.size < flat.size:
        nans = int(np.isnan(flat).sum())
        counts = ((nans, "NaN"), (flat.size - finite.size - nans, "infinite"))
        found.append(", ".join(f"{count:,} {word}" for count, word in counts if count))
    return found
