"""A tape inside another computation: its entries applied to operands, which may be traced."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tapegrad.ops.registry import Recordable
from tapegrad.tape.tape import Tape


def inline(tape: Tape, operands: Sequence[Any], data: Mapping[int, Any]) -> list[Any]:
    """The outputs of `tape` on `operands`, one per parameter leaf.

    Each entry is applied to them in turn, so that whatever records or differentiates the operands follows it
    through the tape. What the tape was guarded for is decided on the operands again.
    """
    values: dict[int, Any] = dict(tape.constants)
    values.update(data)
    values.update(zip(tape.parameters, operands, strict=True))
    for op, inputs, output, attrs, _ in tape.entries.rows():
        values[output] = op(*[values[slot] for slot in inputs], **dict(attrs))
    for guard in tape.guards:
        if isinstance(values[guard.slot], Recordable):
            values[guard.slot].decide()
    return [values[slot] for slot in tape.outputs]
