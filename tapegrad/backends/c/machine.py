"""The tape machine: one function of C that runs any stretch of numbers, compiled once.

Straight code of thousands of statements takes a compiler minutes. So such stretches are data: instructions
of 32-bit numbers, an opcode and the places of what it reads and writes. Each elementwise op with a form in C
is one case, for each of the types that it takes. Numbers stand in the cells of a program, as printed
functions have them too; other instructions fetch elements from arrays and put them there.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from tapegrad.backends.c.forms import written
from tapegrad.backends.c.library import library
from tapegrad.backends.c.runtime import called_beyond, headers
from tapegrad.ops.registry import BOOL, FLOAT, INT, OPS, Op, arity_of

NAME = "tg_machine"
TYPES = (FLOAT, BOOL, INT)
# Elements of a cell of each type: a place counts elements of the type that is read there.
PER_WORD = {FLOAT: 1, BOOL: 8, INT: 1}
_LETTERS = {FLOAT: "D", BOOL: "B", INT: "I"}


class Case(NamedTuple):
    """One case of the machine.

    Attributes
    ----------
    text : str
        What it does; ``D(k)`` is the float at the place that the k-th number after the opcode names.
    length : int
        Numbers to the instruction; 0 where the text steps on by itself.
    """

    text: str
    length: int


Key = tuple[str, tuple[np.dtype[Any], ...]]


def key_of(op: Op, dtypes: tuple[np.dtype[Any], ...]) -> Key:
    """The case of an elementwise op on inputs of these types; of any number of them, the first tells all."""
    return op.name, dtypes[:1] if "{" not in op.c else dtypes


def gives(op: Op, dtypes: tuple[np.dtype[Any], ...]) -> np.dtype[Any]:
    """The type of the result."""
    return dtypes[0] if op.gives is None else op.gives


def _of_op(op: Op) -> Iterator[tuple[Key, Case]]:
    if "{" not in op.c:
        dtype = op.takes_at(0) or FLOAT
        letter = _LETTERS[dtype]
        loop = f"for (int32_t k = 1; k < n; k++) total = total {op.c.strip()} {letter}(3 + k);"
        kind = "double" if dtype == FLOAT else "int64_t"
        start, end = (
            f"const int32_t n = pc[2]; {kind} total = {letter}(3);",
            f"{letter}(1) = total; pc += 3 + n;",
        )
        yield key_of(op, (dtype,)), Case(f"{{ {start} {loop} {end} }}", 0)
        return
    count = arity_of(op).start
    declared = [op.takes_at(i) for i in range(count)]
    for dtypes in product(*(TYPES if dtype is None else (dtype,) for dtype in declared)):
        form = written(op, [f"{_LETTERS[dtype]}({i})" for i, dtype in enumerate(dtypes, start=2)])
        text = f"{_LETTERS[gives(op, dtypes)]}(1) = {form};"
        yield key_of(op, dtypes), Case(text, count + 2)


@cache
def cases() -> dict[Key, Case]:
    """All cases but the end, in the order of their opcodes, which begin at 1."""
    found: dict[Key, Case] = {}
    for dtype, letter in _LETTERS.items():
        array = f"(({'uint8_t' if dtype == BOOL else 'double' if dtype == FLOAT else 'int64_t'} *)T[pc"
        found["load", (dtype,)] = Case(f"{letter}(1) = {array}[2]])[pc[3]];", 4)
        found["store", (dtype,)] = Case(f"{array}[2]])[pc[3]] = {letter}(1);", 4)
        found["move", (dtype,)] = Case(f"{letter}(1) = {letter}(2);", 3)
    for op in OPS.values():
        if op.is_elementwise and op.c and not op.own and "{rest}" not in op.c:
            found.update(_of_op(op))
    found[ARITHMETIC] = Case(
        "D(1) = tg_arithmetic(pc[6], tg_arithmetic(pc[5], D(2), D(3)), D(4));",
        7,
    )
    found[ONE] = Case("D(1) = 1.0;", 2)
    return dict(sorted(found.items(), key=lambda item: _is_special(item[1])))


# Two additions, subtractions or products in one instruction, and which of them are data. A step to an
# instruction that the processor did not foresee takes longer than the arithmetic, so most are of this case.
ARITHMETIC: Key = ("arithmetic", (FLOAT,))
ONE: Key = ("one", (FLOAT,))
ADD, SUBTRACT, SUBTRACT_FROM, MULTIPLY, NEGATIVE_PRODUCT = range(5)
_WAYS = {  # the signs of both operands, and whether it is a product
    ADD: (0, 0, 0),
    SUBTRACT: (0, 1, 0),
    SUBTRACT_FROM: (1, 0, 0),
    MULTIPLY: (0, 0, 1),
    NEGATIVE_PRODUCT: (1, 0, 1),
}
_WAYS_IN_C = ", ".join(
    f"{{{x} * INT64_MIN, {y} * INT64_MIN, -{product}}}" for x, y, product in _WAYS.values()
)
_ARITHMETIC = f"""
static const struct {{ int64_t x, y, product; }} tg_ways[] = {{{_WAYS_IN_C}}};
TG_FORM tg_arithmetic(int32_t way, double x, double y) {{
    tg_double a = {{x}}, b = {{y}}, sum, product;
    a.bits ^= tg_ways[way].x, b.bits ^= tg_ways[way].y;
    sum.number = a.number + b.number, product.number = a.number * b.number;
    sum.bits ^= (sum.bits ^ product.bits) & tg_ways[way].product;
    return sum.number;
}}"""


@cache
def opcodes() -> dict[Key, int]:
    """The opcode of each case."""
    return {key: number for number, key in enumerate(cases(), start=1)}


@cache
def ordinary() -> int:
    """The last opcode of the cases without special functions, which stand behind all others."""
    return sum(not _is_special(case) for case in cases().values())


def _is_special(case: Case) -> bool:
    return bool(called_beyond(case.text))


@cache
def of_floats() -> dict[Op, int]:
    """The opcodes of ops from as many floats as they have inputs to a float."""
    codes = opcodes()
    found = {}
    for op in OPS.values():
        if op.is_elementwise and "{" in op.c and "{rest}" not in op.c:
            dtypes = (FLOAT,) * arity_of(op).start
            if (op.name, dtypes) in codes and gives(op, dtypes) == FLOAT:
                found[op] = codes[op.name, dtypes]
    return found


@cache
def source(special: bool = True) -> str:
    """The machine, or the one without special functions, for which a compiler takes a quarter of the time."""
    texts = [case.text for case in cases().values()][: None if special else ordinary()]
    labels = ", ".join(f"&&case{number}" for number in range(len(texts) + 1))
    lines = [
        headers(texts),
        _ARITHMETIC,
        "typedef uint8_t __attribute__((may_alias)) tg_truth;",
        "typedef int64_t __attribute__((may_alias)) tg_whole;",
        "#define D(k) s[pc[k]]",
        "#define B(k) ((tg_truth *)s)[pc[k]]",
        "#define I(k) ((tg_whole *)s)[pc[k]]",
        f"void {NAME}(const int32_t *pc, double *s, void *const *T) {{",
        f"    static const void *const cases[] = {{{labels}}};",
        "    goto *cases[*pc];",
    ]
    for number, case in enumerate(list(cases().values())[: len(texts)], start=1):
        step = f" pc += {case.length};" if case.length else ""
        lines.append(f"case{number}: {case.text}{step} goto *cases[*pc];")
    return "\n".join([*lines, "case0: return;", "}", ""])


@cache
def machine(special: bool = True) -> Any:
    """The compiled function: of instructions, cells and the table of arrays."""
    found = getattr(library(source(special)), NAME)
    found.restype = None
    return found
