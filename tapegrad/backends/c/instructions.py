"""What makes instructions of the tape machine faster: two in one, and equal ones after another.

An instruction is an opcode, a result and operands. Places are negative numbers here, and each is written
once. What a processor waits for is the step from one instruction to another that it could not foresee.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Container, Sequence
from functools import cache
from typing import TypeAlias

from tapegrad.backends.c.machine import (
    ADD,
    ARITHMETIC,
    MULTIPLY,
    NEGATIVE_PRODUCT,
    SUBTRACT,
    SUBTRACT_FROM,
    TYPES,
    opcodes,
)
from tapegrad.backends.c.memory import INPUTS
from tapegrad.ops.registry import FLOAT

Instruction: TypeAlias = tuple[int, ...]


@cache
def _stores() -> frozenset[int]:
    return frozenset(opcodes()["store", (dtype,)] for dtype in TYPES)


@cache
def _loads() -> frozenset[int]:
    return frozenset(opcodes()["load", (dtype,)] for dtype in TYPES)


@cache
def _ways() -> dict[int, int]:
    """By the opcodes of ops that are arithmetic, which."""
    both = (FLOAT, FLOAT)
    codes = opcodes()
    return {codes["add", both]: ADD, codes["sub", both]: SUBTRACT, codes["mul", both]: MULTIPLY}


def paired(instructions: Sequence[Instruction], fixed: Container[int], one: int) -> list[Instruction]:
    """Let one instruction compute a number and what alone reads it; `fixed` places are read elsewhere.

    `one` is the place of a 1, by which a single operation is multiplied.
    """
    uses: dict[int, int] = {}
    for instruction in instructions:
        for number in instruction[1 if instruction[0] in _stores() else 2 :]:
            if number < 0:
                uses[number] = uses.get(number, 0) + 1
    found: list[Instruction | None] = []
    made: dict[int, int] = {}
    arithmetic, ways = opcodes()[ARITHMETIC], _ways()
    square, negative = opcodes()["square", (FLOAT,)], opcodes()["neg", (FLOAT,)]
    for instruction in instructions:
        code, out, *operands = instruction
        if code == square:
            x = y = operands[0]
            way = MULTIPLY
        elif code == negative:
            (x,), y, way = operands, one, NEGATIVE_PRODUCT
        elif code in ways:
            (x, y), way = operands, ways[code]
        else:
            found.append(instruction)
            continue
        left, right = (made.get(x), made.get(y)) if x != y else (None, None)
        inner = left if left is not None else right
        if inner is None:
            if uses.get(out) == 1 and out not in fixed:
                made[out] = len(found)
            found.append((arithmetic, out, x, y, one, way, MULTIPLY))
            continue
        before = found[inner]
        assert before is not None
        found[inner] = None
        _, _, a, b, _, first, _ = before
        if left is None:
            x, y, way = y, x, SUBTRACT_FROM if way == SUBTRACT else way
        found.append((arithmetic, out, a, b, y, first, way))
    return [instruction for instruction in found if instruction is not None]


def scheduled(instructions: Sequence[Instruction]) -> list[Instruction]:
    """The same in another order, in which many of one opcode follow one another.

    Of all instructions whose operands are there, those of the most frequent opcode come next.
    """
    codes = {instruction[0] for instruction in instructions}
    fetches = any(row[0] in _loads() and row[2] != INPUTS for row in instructions)
    if fetches and codes & _stores():
        return list(instructions)  # what is put into an array can be fetched from another: they share memory
    maker: dict[int, int] = {}
    readers: list[list[int]] = [[] for _ in instructions]
    waits = [0] * len(instructions)
    ready: dict[int, deque[int]] = {}
    for i, instruction in enumerate(instructions):
        code = instruction[0]
        operands = {number for number in instruction[1 if code in _stores() else 2 :] if number < 0}
        makers = [maker[operand] for operand in operands if operand in maker]
        for before in makers:
            readers[before].append(i)
        waits[i] = len(makers)
        if not makers:
            ready.setdefault(code, deque()).append(i)
        if code not in _stores():
            maker[instruction[1]] = i
    found: list[Instruction] = []
    while ready:
        code = max(ready, key=lambda code: len(ready[code]))
        queue = ready[code]
        while queue:
            i = queue.popleft()
            found.append(instructions[i])
            for reader in readers[i]:
                waits[reader] -= 1
                if not waits[reader]:
                    ready.setdefault(instructions[reader][0], deque()).append(reader)
        del ready[code]
    return found
