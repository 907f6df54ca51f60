"""cse: an entry that repeats an earlier one is dropped, and so is a constant that repeats another."""

from __future__ import annotations

from typing import Any

import numpy as np

from tapegrad.ops.elementwise import add, mul
from tapegrad.ops.registry import Attrs, Op
from tapegrad.tape.builder import Builder, copy_guards, copy_leaves
from tapegrad.tape.tape import Tape


def entry_key(op: Op, inputs: tuple[int, ...], attrs: Attrs) -> Any:
    """What two entries share if they compute the same bits; addition and multiplication commute."""
    return (op.name, tuple(sorted(inputs)) if op in (add, mul) else inputs, attrs)


def cse(tape: Tape) -> Tape:
    """Let equal entries and equal constants share one slot."""
    builder = Builder(tape.name)
    first = _equal_constants(tape)
    seen: dict[Any, int] = {}
    new = copy_leaves(tape, builder, set(first.values()))
    new.update({slot: new[kept] for slot, kept in first.items()})
    for entry in tape.entries:
        inputs = tuple([new[slot] for slot in entry.inputs])
        key = entry_key(entry.op, inputs, entry.attrs)
        known = seen.get(key)
        if known is None:
            aval = tape.avals[entry.output]
            known = seen[key] = builder.emit(entry.op, inputs, entry.attrs, entry.source, aval)
        new[entry.output] = known
    copy_guards(tape, builder, new)
    return builder.finish(new[slot] for slot in tape.outputs)


def _equal_constants(tape: Tape) -> dict[int, int]:
    """For each constant slot the one that is kept for all with its bits: one with a name, if there is."""
    names = dict(tape.labels)
    kept: dict[Any, list[tuple[int, Any]]] = {}
    first: dict[int, int] = {}
    for slot, value in sorted(tape.constants, key=lambda constant: constant.slot not in names):
        alike = kept.setdefault(_outline(value), [])
        same = (known for known, other in alike if other is value or _same_bits(other, value))
        first[slot] = next(same, slot)
        if first[slot] == slot:
            alike.append((slot, value))
    return first


def _outline(value: Any) -> Any:
    """What equal constants have in common, and few others."""
    if isinstance(value, float):
        return value.hex()
    ends = value.flat[[0, -1]].tobytes() if value.size else b""
    return value.shape, value.dtype.str, ends


def _same_bits(x: Any, y: Any) -> bool:
    if isinstance(x, float):
        return True
    if x.dtype.kind == "f":  # in which zeros of both signs are equal, and NaNs are not
        x, y = np.ascontiguousarray(x).view(np.int64), np.ascontiguousarray(y).view(np.int64)
    return bool(np.array_equal(x, y))
