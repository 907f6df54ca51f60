"""Equations, inverses and factors of small matrices in C, in the steps of loops and one for each row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tapegrad.backends.c.memory import Memory
from tapegrad.backends.c.operands import number, operand
from tapegrad.ops.registry import Shape
from tapegrad.tape.entries import Entry, Row
from tapegrad.tape.tape import Tape, size_of

MOST = 4  # rows and columns of a matrix

_NAMES = frozenset(("solve", "inv", "det", "logabsdet", "signdet", "cholesky"))


def is_of_matrices(tape: Tape, row: Row, axes: int) -> bool:
    """Whether an entry works on small matrices, in stacks of so many axes at most."""
    op, inputs, output, _, _ = row
    if op.name not in _NAMES:
        return False
    shapes = [tape.avals[slot].shape for slot in inputs]
    stack = max(len(shape) for shape in shapes) - 2
    return (
        stack <= axes
        and max(max(shape[-2:]) for shape in shapes) <= MOST
        and min(min(shape[-2:]) for shape in shapes) > 0
        and all(shape[:-2] in ((), tape.avals[output].shape[:stack]) for shape in shapes)
    )


def solved(op: str, shapes: Sequence[Shape], operands: Sequence[Sequence[str]], key: str) -> Iterator[str]:
    """Statements that work on matrices whose elements are given; the result is in the array `key`."""
    names = [f"{key}_{i}" for i in range(len(operands))]
    for name, elements in zip(names, operands, strict=True):
        yield f"double {name}[{len(elements)}] = {{{', '.join(elements)}}};"
    sizes = [str(shapes[0][-1]), *(str(shape[-1]) for shape in shapes[1:])]
    yield f"double {key}[{result_size(op, shapes)}];"
    yield f"tg_{op}({', '.join([*sizes, *names, key])});"


def result_size(op: str, shapes: Sequence[Shape]) -> int:
    """How many numbers there are in the result for one matrix."""
    return 1 if op.endswith("det") else size_of(shapes[-1][-2:])


def stacked(memory: Memory, entry: Entry) -> Iterator[str]:
    """A loop over a stack of matrices."""
    lines = list[str]()
    out = operand(memory, entry.output, "out", lines, const=False)
    operands = [operand(memory, slot, f"a{i}", lines) for i, slot in enumerate(entry.inputs)]
    yield from lines
    yield f"for (int64_t t = 0; t < {number(memory, out.shape[0])}; t++) {{"
    elements = []
    for given in operands:
        first = ("t",) if len(given.shape) == 3 else ()
        rows, columns = given.shape[-2:]
        elements.append([given.at(*first, i, j) for i in range(rows) for j in range(columns)])
    shapes = [given.shape for given in operands]
    yield from (f"    {line}" for line in solved(entry.op.name, shapes, elements, "q"))
    if len(out.shape) == 1:
        yield f"    {out.at('t')} = q[0];"
    else:
        rows, columns = out.shape[1:]
        for place in range(rows * columns):
            yield f"    {out.at('t', place // columns, place % columns)} = q[{place}];"
    yield "}"
