"""cse: an entry that repeats an earlier one is dropped, and so is a constant that repeats another."""

from __future__ import annotations

from typing import Any

from tapegrad.builder import Builder, copy_guards, copy_leaves
from tapegrad.ops.elementwise import add, mul
from tapegrad.ops.registry import Attrs, Op
from tapegrad.tape import Tape


def entry_key(op: Op, inputs: tuple[int, ...], attrs: Attrs) -> Any:
    """What two entries share if they compute the same bits; addition and multiplication commute."""
    return (op.name, tuple(sorted(inputs)) if op in (add, mul) else inputs, attrs)


def cse(tape: Tape) -> Tape:
    """Let equal entries and equal scalar constants share one slot."""
    builder = Builder(tape.name)
    seen: dict[Any, int] = {}
    first: dict[int, int] = {}
    for slot, value in tape.constants:
        key: Any = ("float", value.hex()) if isinstance(value, float) else ("array", id(value))
        first[slot] = seen.setdefault(key, slot)
    new = copy_leaves(tape, builder, set(seen.values()))
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
