"""All steps of a loop at once: the body of a loop as a tape whose slots have the steps as their first axis.

An elementwise op takes that axis as any other. For each op that does not, the table `RULES` says how it is
written with it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from tapegrad.ops.broadcasting import broadcast_to, sum_
from tapegrad.ops.decompositions import (
    cholesky_,
    det,
    eigenvalues,
    eigenvectors,
    inv,
    logabsdet,
    signdet,
    solve_,
)
from tapegrad.ops.eigen import real_eigenvalues, real_eigenvectors
from tapegrad.ops.factors import left_vectors, orthonormal, right_vectors, singular_values
from tapegrad.ops.indexing import ARRAY, concatenate, getitem, indexed_shape, scatter, update
from tapegrad.ops.linalg import dot_, gated_matmul, matmul
from tapegrad.ops.reductions import (
    all_,
    any_,
    argmax_,
    argmin_,
    cumprod_,
    cumsum_,
    logsumexp_,
    max_,
    min_,
    prod_,
)
from tapegrad.ops.registry import Aval, Op, Shape
from tapegrad.ops.shaping import reshape, shape_of, transpose
from tapegrad.ops.sorting import argsort_
from tapegrad.ops.tallies import argpartition_, partition_order
from tapegrad.recording.recorder import Recorder
from tapegrad.tape.body import Body
from tapegrad.tape.builder import Builder
from tapegrad.tape.entries import Entry, entry_of
from tapegrad.tape.tape import Tape


class BatchingError(Exception):
    """An op has no rule for many steps at once."""


class Operand(NamedTuple):
    """A value, and whether the steps are its first axis; otherwise it is the same for all of them."""

    value: Any
    varies: bool

    @property
    def shape(self) -> Shape:
        """The shape in one step."""
        shape: Shape = shape_of(self.value)
        return shape[1:] if self.varies else shape


# A rule is given the number of steps, the op, its attributes and its operands, of which one or more vary.
Rule = Callable[[int, Op, dict[str, Any], Sequence[Operand]], Any]


def batched(body: Body, count: int) -> Tape:
    """The body of a loop for all steps at once; what stays the same keeps its shape.

    Raises
    ------
    BatchingError
        If an op has no rule.
    """
    tape, builder = body.tape, Builder(body.tape.name)
    recorder = Recorder(builder)
    operands: dict[int, Operand] = {}
    fixed = range(body.carried, body.carried + body.fixed)
    for i, slot in enumerate(tape.parameters):
        shape, dtype = tape.avals[slot]
        aval = Aval(shape if i in fixed else (count, *shape), dtype)
        operands[slot] = Operand(recorder.symbol(builder.parameter(aval)), i not in fixed)
    for slot, value in tape.constants:
        operands[slot] = Operand(recorder.symbol(builder.constant(value)), False)
    for entry in map(entry_of, tape.entries.rows()):
        recorder.at = entry.source
        operands[entry.output] = applied(entry, [operands[slot] for slot in entry.inputs], count)
    return builder.finish([led(operands[slot], count).slot for slot in tape.outputs])


def check(body: Body) -> None:
    """Raise `BatchingError` unless the body can be written for all steps at once."""
    batched(body, 2)


def applied(entry: Entry, operands: list[Operand], count: int) -> Operand:
    """An entry applied to operands of all steps."""
    op, attrs = entry.op, dict(entry.attrs)
    if not any(operand.varies for operand in operands):
        return Operand(op(*[operand.value for operand in operands], **attrs), False)
    rule = _elementwise if op.is_elementwise else RULES.get(op)
    if rule is None:
        where = "" if entry.source is None else f" ({entry.source}: `{entry.source.text}`)"
        raise BatchingError(f"no batching rule for {op.name}{where}")
    return Operand(rule(count, op, attrs, operands), True)


def led(operand: Operand, count: int) -> Any:
    """The value with the steps as its first axis."""
    if operand.varies:
        return operand.value
    return broadcast_to(operand.value, shape=(count, *operand.shape))


def _of_rank(operand: Operand, rank: int) -> Any:
    """The value with axes of length one before its own, so that it has this rank in each step."""
    missing = rank - len(operand.shape)
    if not operand.varies or missing <= 0:
        return operand.value  # broadcasting supplies what is the same for all steps with leading axes
    count, *shape = shape_of(operand.value)
    return reshape(operand.value, shape=(count, *(1,) * missing, *shape))


# Rules ------------------------------------------------------------------------------------------------------


def _elementwise(count: int, op: Op, attrs: dict[str, Any], operands: Sequence[Operand]) -> Any:
    rank = max(len(operand.shape) for operand in operands)
    return op(*[_of_rank(operand, rank) for operand in operands], **attrs)


def _reduction(count: int, op: Op, attrs: dict[str, Any], operands: Sequence[Operand]) -> Any:
    axes = tuple(axis + 1 for axis in attrs["axis"])
    return op(operands[0].value, axis=axes, keepdims=attrs["keepdims"])


def _along(count: int, op: Op, attrs: dict[str, Any], operands: Sequence[Operand]) -> Any:
    return op(*[led(operand, count) for operand in operands], **{**attrs, "axis": attrs["axis"] + 1})


def _reshape(count: int, op: Op, attrs: dict[str, Any], operands: Sequence[Operand]) -> Any:
    return op(operands[0].value, shape=(count, *attrs["shape"]))


def _broadcast(count: int, op: Op, attrs: dict[str, Any], operands: Sequence[Operand]) -> Any:
    shape = attrs["shape"]
    return op(_of_rank(operands[0], len(shape)), shape=(count, *shape))


def _transpose(count: int, op: Op, attrs: dict[str, Any], operands: Sequence[Operand]) -> Any:
    return op(operands[0].value, axes=(0, *(axis + 1 for axis in attrs["axes"])))


def _index(attrs: dict[str, Any], arrays: Sequence[Operand]) -> Any:
    index = attrs["index"]
    fancy = [i for i, item in enumerate(index) if isinstance(item, str) or type(item) is int]
    apart = ARRAY in index and fancy != list(range(fancy[0], fancy[-1] + 1))
    if apart or any(array.varies for array in arrays):
        # NumPy puts the axes of indices that stand apart first, before the steps.
        raise BatchingError("no batching rule for an index that varies, or for index arrays that stand apart")
    return ((None, None, None), *index)


def _getitem(count: int, op: Op, attrs: dict[str, Any], operands: Sequence[Operand]) -> Any:
    x, *arrays = operands
    if any(array.varies for array in arrays):
        return _looked_up(count, op, attrs, operands)
    return op(x.value, *[array.value for array in arrays], index=_index(attrs, arrays))


def _looked_up(count: int, op: Op, attrs: dict[str, Any], operands: Sequence[Operand]) -> Any:
    """An index that varies: the steps are the first axis of the index arrays."""
    x, *arrays = operands
    index, rank = attrs["index"], max(len(array.shape) for array in arrays)
    held = [_of_rank(array, rank) for array in arrays]
    fancy = [i for i, item in enumerate(index) if isinstance(item, str) or type(item) is int]
    is_first = fancy == list(range(len(fancy)))
    if Ellipsis in index[: fancy[0]] or (rank and not is_first):
        raise BatchingError("no batching rule for an index that varies, of several places behind a slice")
    if x.varies:
        each = np.arange(count).reshape(count, *(1,) * rank)
        return op(x.value, each, *held, index=(ARRAY, *index))
    found = op(x.value, *held, index=index)
    is_one_run = fancy == list(range(fancy[0], fancy[-1] + 1))
    if not is_one_run or fancy[0] == 0:  # NumPy puts the steps first
        return found
    axes = [axis for axis in range(len(shape_of(found))) if axis != fancy[0]]
    return transpose(found, axes=(fancy[0], *axes))


def _update(count: int, op: Op, attrs: dict[str, Any], operands: Sequence[Operand]) -> Any:
    x, value, *arrays = operands
    index, base = _index(attrs, arrays), led(x, count)
    held = [array.value for array in arrays]
    rank = len(indexed_shape(shape_of(base), index, [shape_of(array) for array in held])) - 1
    if len(value.shape) > rank:  # leading axes of length one, which an assignment takes off
        value = _reshaped(value, value.shape[len(value.shape) - rank :])
    return op(base, _of_rank(value, rank), *held, index=index)


def _scatter(count: int, op: Op, attrs: dict[str, Any], operands: Sequence[Operand]) -> Any:
    x, *arrays = operands
    held = [array.value for array in arrays]
    return op(x.value, *held, index=_index(attrs, arrays), shape=(count, *attrs["shape"]))


def _matmul(count: int, op: Op, attrs: dict[str, Any], operands: Sequence[Operand]) -> Any:
    a, b = operands
    left, right = a.shape, b.shape
    if op is not matmul:
        op = gated_matmul if op is gated_matmul else matmul
    if len(left) == len(right) == 1 and op is matmul:
        return sum_(led(a, count) * led(b, count), axis=(1,), keepdims=False)
    if len(left) == 1 and len(right) == 2 and not b.varies:
        return op(a.value, b.value)
    if len(left) == 2 and len(right) == 1 and not a.varies:  # one product of two matrices
        if op is matmul:
            return matmul(b.value, transpose(a.value, axes=(1, 0)))
        return transpose(op(a.value, transpose(b.value, axes=(1, 0))), axes=(1, 0))
    out = op.shape(left, right)
    rank = max(len(left), len(right), 2)
    rows = _of_rank(a if len(left) > 1 else _reshaped(a, (1, *left)), rank)
    columns = _of_rank(b if len(right) > 1 else _reshaped(b, (*right, 1)), rank)
    product = op(rows, columns)
    return product if shape_of(product) == (count, *out) else reshape(product, shape=(count, *out))


def _reshaped(operand: Operand, shape: Shape) -> Operand:
    leading = shape_of(operand.value)[:1] if operand.varies else ()
    return Operand(reshape(operand.value, shape=(*leading, *shape)), operand.varies)


def _matrices(count: int, op: Op, attrs: dict[str, Any], operands: Sequence[Operand]) -> Any:
    """Ops that take stacks of matrices."""
    rank = max(len(operand.shape) for operand in operands)
    return op(*[_of_rank(operand, rank) for operand in operands], **attrs)


RULES: dict[Op, Rule] = {
    **dict.fromkeys((sum_, max_, min_, all_, any_, logsumexp_), _reduction),
    **dict.fromkeys((cumsum_, cumprod_, prod_, argmax_, argmin_, argsort_, concatenate), _along),
    **dict.fromkeys((partition_order, argpartition_), _along),
    **dict.fromkeys((matmul, dot_, gated_matmul), _matmul),
    **dict.fromkeys((solve_, inv, det, logabsdet, signdet, cholesky_, eigenvalues, eigenvectors), _matrices),
    **dict.fromkeys((singular_values, left_vectors, right_vectors, orthonormal), _matrices),
    **dict.fromkeys((real_eigenvalues, real_eigenvectors), _matrices),
    reshape: _reshape,
    broadcast_to: _broadcast,
    transpose: _transpose,
    getitem: _getitem,
    update: _update,
    scatter: _scatter,
}
