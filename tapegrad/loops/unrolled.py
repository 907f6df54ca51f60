"""A recorded step written out, iteration by iteration: always right, and as long as a plain Python loop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tapegrad.loops.plain import stacked
from tapegrad.loops.recorded import Step
from tapegrad.recording.live import LiveRecorder


def unrolled(
    recorder: LiveRecorder, step: Step, start: Sequence[Any], each: Sequence[Any], count: int
) -> tuple[list[Any], list[Any]]:
    """What is carried at last, and what is stacked."""
    rows = [row for row in step.tape.entries.rows() if row[2] not in step.fixed]
    carry, given = list(start), []
    for t in range(count):
        values = dict(step.fixed)
        values.update(zip(step.tape.parameters, (*carry, *[x[t] for x in each]), strict=True))
        for op, inputs, output, attrs, source in rows:
            with recorder.at_line(source):
                values[output] = op(*[values[slot] for slot in inputs], **dict(attrs))
        found = [values[slot] for slot in step.tape.outputs]
        carry = found[: step.carried]
        given.append(found[step.carried :])
    return carry, [stacked(column) for column in zip(*given, strict=True)]
