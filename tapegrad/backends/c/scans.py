"""Loops over steps as functions of C: scans, linear recurrences, and stacks of small matrices.

A scan runs its body step after step. Of a linear recurrence of a few numbers, the products are written
out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from tapegrad.backends.c.bodies import StepPrinter, has_form
from tapegrad.backends.c.logs import Place, log_loop, log_product
from tapegrad.backends.c.matrices import is_of_matrices, stacked
from tapegrad.backends.c.memory import Memory
from tapegrad.backends.c.operands import Operand, number, operand
from tapegrad.backends.c.text import c_type
from tapegrad.tape.body import Body
from tapegrad.tape.entries import Entry, Row
from tapegrad.tape.tape import Tape, size_of

# Numbers in the state of a linear recurrence whose products are written out.
MOST_WRITTEN = 6
# With more numbers to a state NumPy's products of matrices are as quick.
MOST_LOOPED = 64


def is_loop(tape: Tape, row: Row, exact: bool) -> bool:
    """Whether an entry is a loop over steps that has a form in C."""
    op, inputs, output, attrs, _ = row
    if op.name == "scan":
        return has_form(dict(attrs)["body"], exact)
    if op.name == "recurrence":  # whose products of matrices NumPy adds up in an order of its own
        width = size_of(tape.avals[output].shape[1:])
        return width == 1 or (width <= MOST_LOOPED and not exact)
    # Of matrices whose last bits decide, LAPACK has its own.
    is_stack = len(tape.avals[inputs[0]].shape) == 3 or len(tape.avals[inputs[-1]].shape) == 3
    return not exact and is_stack and is_of_matrices(tape, row, 1)


def loop_function(memory: Memory, entry: Entry, name: str, exact: bool) -> str:
    """The function of such an entry, which takes the table of all pointers; if `exact`, with NumPy's bits."""
    lines = (
        _PRINTERS[entry.op.name](memory, entry, exact)
        if entry.op.name in _PRINTERS
        else stacked(memory, entry)
    )
    head = [f"static void {name}(void *const *T) {{", "    double *const s = T[0];"]
    head += ["    const double *const p = T[1];", "    (void)s, (void)p;"]
    return "\n".join([*head, *(f"    {line}" for line in lines), "}"])


# Scans ------------------------------------------------------------------------------------------------------


def _scan(memory: Memory, entry: Entry, exact: bool) -> Iterator[str]:
    attrs = dict(entry.attrs)
    body: Body = attrs["body"]
    step, lines = StepPrinter(body), list[str]()
    out = operand(memory, entry.output, "out", lines, const=False)
    operands = [operand(memory, slot, f"a{i}", lines) for i, slot in enumerate(entry.inputs)]
    start, others = operands[0], operands[1:]
    state = [f"h{i}" for i in range(body.width)]
    states = [f"double h{i} = {start.at(i)};" for i in range(body.width)]
    for slot, (a, b, _) in zip(body.tape.parameters, body.spans, strict=False):
        step.take(slot, state[a:b], moves=True)
    reads = list[str]()
    places: dict[str, Place] = {}
    for i, slot in enumerate(body.tape.parameters[body.carried :]):
        moves = i >= body.fixed
        names = _take(step, slot, others[i], f"x{i}", reads if moves else lines, moves)
        if moves:
            places.update((name, (others[i], place)) for name, place in names.items())
    product = None if exact else log_product(body, step, state, places)
    for row in body.tape.entries:
        step.entry(row)
    found = [name for slot in body.tape.outputs for name in step.value(slot).ravel()]
    if step.pool:
        lines.append(f"const double *const pool = T[{memory.pool(step.pool)}];")
    yield from lines
    yield from step.before
    yield from states
    n = number(memory, attrs["count"])
    loop = [*reads, *step.lines]
    loop += [f"const double g{i} = {text};" for i, text in enumerate(found)]
    loop += [f"{out.at('t', i)} = h{i} = g{i};" for i in range(body.width)]
    if product is not None:
        yield from log_loop(product, n, places, out, [*_over("t0", "t0 + m", loop)])
    else:
        yield from _over("0", n, loop)


def _over(first: str, stop: str, lines: Sequence[str]) -> Iterator[str]:
    yield f"for (int64_t t = {first}; t < {stop}; t++) {{"
    yield from (f"    {line}" for line in lines)
    yield "}"


def _take(
    step: StepPrinter, slot: int, given: Operand, name: str, lines: list[str], moves: bool
) -> dict[str, tuple[int, ...]]:
    """Read the elements of an input of a loop, once or in each step; their names, and places."""
    shape, dtype = step.aval(slot)
    names = {f"{name}_{i}": place for i, place in enumerate(np.ndindex(shape))}
    for each, place in names.items():
        text = given.at("t", *place) if moves else given.at(*place)
        lines.append(f"const {c_type(dtype)} {each} = {text};")
    step.take(slot, [*names], moves)
    return names


# Linear recurrences -----------------------------------------------------------------------------------------


def _recurrence(memory: Memory, entry: Entry, exact: bool) -> Iterator[str]:
    is_reverse, lines = dict(entry.attrs)["reverse"], list[str]()
    out = operand(memory, entry.output, "out", lines, const=False)
    a, b, start = (
        operand(memory, slot, name, lines)
        for slot, name in zip(entry.inputs, ("a", "b", "start"), strict=True)
    )
    width, count = size_of(out.shape[1:]), out.shape[0]
    varies = len(a.shape) > 2 * len(start.shape)
    yield from lines
    n = number(memory, count)
    if width == 1 and not exact:
        yield _in_fours(a if varies else a._replace(strides=(0,)), b, start, out, n, is_reverse)
        return
    loop = (
        f"for (int64_t t = {n} - 1; t >= 0; t--) {{"
        if is_reverse
        else f"for (int64_t t = 0; t < {n}; t++) {{"
    )
    write = _written_out if width <= MOST_WRITTEN else _looped
    yield from write(a, b, start, out, width, varies, loop)


def _in_fours(a: Operand, b: Operand, start: Operand, out: Operand, n: str, is_reverse: bool) -> str:
    """The call of the function for numbers, from the last step to the first where it goes back."""

    def walk(given: Operand) -> str:
        step = number(given.memory, given.strides[0])
        first = f" + ({n} - 1) * {step}" if is_reverse else ""
        return f"{given.name}{first}, {'-' * is_reverse}{step}"

    first = start.at(*(0 for _ in start.shape))
    return f"tg_recurrence({walk(a)}, {walk(b)}, {first}, {walk(out)}, {n});"


def _written_out(
    a: Operand, b: Operand, start: Operand, out: Operand, width: int, varies: bool, loop: str
) -> Iterator[str]:
    places: list[tuple[int, ...]] = [(i,) if start.shape else () for i in range(width)]

    def factor(i: int, j: int) -> str:
        return a.at("t", *places[i], *places[j]) if varies else f"f{i}_{j}"

    for i in range(width):
        yield f"double h{i} = {start.at(*places[i])};"
    for i, j in () if varies else np.ndindex(width, width):
        yield f"const double f{i}_{j} = {a.at(*places[i], *places[j])};"
    yield loop
    for i in range(width):
        products = " + ".join(f"{factor(i, j)} * h{j}" for j in range(width))
        yield f"    const double g{i} = {products} + {b.at('t', *places[i])};"
    for i in range(width):
        yield f"    {out.at('t', *places[i])} = h{i} = g{i};"
    yield "}"


def _looped(
    a: Operand, b: Operand, start: Operand, out: Operand, width: int, varies: bool, loop: str
) -> Iterator[str]:
    def factor(j: int | str) -> str:
        return a.at("t", "i", j) if varies else a.at("i", j)

    rows = f"for (int64_t i = 0; i < {width}; i++)"
    yield f"double h[{width}], g[{width}];"
    yield f"{rows} h[i] = {start.at('i')};"
    yield loop
    yield f"    {rows} g[i] = {factor(0)} * h[0];"
    yield f"    for (int64_t j = 1; j < {width}; j++)"
    yield f"        {rows} g[i] += {factor('j')} * h[j];"
    yield f"    {rows} {out.at('t', 'i')} = h[i] = g[i] + {b.at('t', 'i')};"
    yield "}"


_PRINTERS: dict[str, Callable[[Memory, Entry, bool], Iterator[str]]] = {
    "scan": _scan,
    "recurrence": _recurrence,
}
