"""Many directions at once: a tape of which some leaves are given many values, with one more axis for them.

`pushforward` takes one direction at a time. Where all directions are known beforehand, as those that find a
sparse Hessian, they stand on the tape as constants, and one walk over it follows all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from tapegrad.derive.batching import BatchingError, Operand, applied, led
from tapegrad.derive.continuation import Continuation
from tapegrad.derive.gates import Gates
from tapegrad.derive.pushforward import jacobian_by_columns, push, pushforward
from tapegrad.ops.indexing import concatenate
from tapegrad.ops.linalg import matmul
from tapegrad.ops.registry import FLOAT
from tapegrad.ops.shaping import reshape, transpose
from tapegrad.recording.recorder import Recorder
from tapegrad.tape.builder import Builder
from tapegrad.tape.entries import entry_of
from tapegrad.tape.tape import Tape, size_of

Array = np.ndarray[Any, Any]


def with_columns(tape: Tape, of: Sequence[int], moving: Sequence[int], seeds: Array) -> Tape:
    """The tape, with the products of a Jacobian and some constant directions as one further output.

    Parameters
    ----------
    tape : Tape
    of : sequence of int
        The slots whose Jacobian it is.
    moving : sequence of int
        The parameter leaves that the directions move.
    seeds : ndarray, shape (k, n)
        The directions, over the elements of these leaves one after the other.

    Returns
    -------
    Tape
        Its outputs are those of `tape`, and the products, shape (k, m), over the elements of these slots
        one after the other.
    """
    try:
        return _at_once(tape, of, moving, seeds)
    except BatchingError:
        return _one_by_one(tape, of, moving, seeds)


def whole_jacobian(tape: Tape) -> Tape:
    """The whole Jacobian as one tape: a row of all outputs for each element of the parameters.

    Where parameters are arrays, all directions are followed at once, and the tape is no longer than that of
    one product. Numbers each move something of their own, and have their directions written out, so that what
    these share is shared.
    """
    if not any(tape.avals[slot].shape for slot in tape.parameters):
        return jacobian_by_columns(tape)
    size = sum(size_of(tape.avals[slot].shape) for slot in tape.parameters)
    found = with_columns(tape, tape.outputs, tape.parameters, np.eye(size))
    return replace(found, outputs=found.outputs[-1:])


def _split(tape: Tape, moving: Sequence[int], seeds: Array) -> list[Array]:
    """The part of the directions that belongs to each leaf, with the shape of the leaf behind their axis."""
    shapes = [tape.avals[slot].shape for slot in moving]
    ends = np.cumsum([size_of(shape) for shape in shapes])[:-1]
    return [
        part.reshape(len(seeds), *shape)
        for part, shape in zip(np.split(seeds, ends, axis=1), shapes, strict=True)
    ]


def _at_once(tape: Tape, of: Sequence[int], moving: Sequence[int], seeds: Array) -> Tape:
    pushed = pushforward(replace(tape, outputs=tuple(of)), moving)
    count = len(seeds)
    directions = dict(
        zip(pushed.parameters[len(tape.parameters) :], _split(tape, moving, seeds), strict=True)
    )
    builder = Builder(tape.name)
    recorder = Recorder(builder)
    operands: dict[int, Operand] = {}

    def place(slot: int, new: int, varies: bool = False) -> None:
        operands[slot] = Operand(recorder.symbol(new), varies)

    for slot in tape.parameters:
        place(slot, builder.parameter(tape.avals[slot]))
    for slot in tape.data:
        place(slot, builder.datum(tape.avals[slot]))
    for slot, value in pushed.constants:
        place(slot, builder.constant(value))
    for slot, values in directions.items():
        place(slot, recorder.lift(values, FLOAT).slot, varies=True)
    unit = {slot for slot, values in directions.items() if np.array_equal(values, np.eye(count))}
    for entry in map(entry_of, pushed.entries.rows()):
        recorder.at = entry.source
        given = [operands[slot] for slot in entry.inputs]
        if (
            entry.op is matmul
            and entry.inputs[1] in unit
            and len(given[0].shape) == 2
            and not given[0].varies
        ):
            # A matrix times each unit vector: its columns. As a product, 0 times infinity would be NaN.
            operands[entry.output] = Operand(transpose(given[0].value, axes=(1, 0)), True)
        else:
            operands[entry.output] = applied(entry, given, count)
    builder.guards += [guard._replace(slot=operands[guard.slot].value.slot) for guard in tape.guards]
    builder.labels |= {operands[slot].value.slot: label for slot, label in tape.labels}
    found = [_flat(led(operands[slot], count), count) for slot in pushed.outputs]
    outputs = [operands[slot].value.slot for slot in tape.outputs]
    return builder.finish((*outputs, _side_by_side(found).slot))


def _one_by_one(tape: Tape, of: Sequence[int], moving: Sequence[int], seeds: Array) -> Tape:
    new = Continuation(tape)
    gates = Gates(tape)
    parts = _split(tape, moving, seeds)
    rows = []
    for i in range(len(seeds)):
        tangents = {slot: new.recorder.lift(part[i], FLOAT) for slot, part in zip(moving, parts, strict=True)}
        found = push(tape, new.value, tangents, new.visit, gates)
        outputs = [new.value(slot) for slot in new.slots_or_zeros(found, of)]
        rows.append(_side_by_side([_flat(out, 1) for out in outputs]))
    return new.builder.finish((*tape.outputs, concatenate(*rows, axis=0).slot))


def _side_by_side(parts: Sequence[Any]) -> Any:
    return parts[0] if len(parts) == 1 else concatenate(*parts, axis=1)


def _flat(value: Any, count: int) -> Any:
    return reshape(value, shape=(count, size_of(value.shape) // count))
