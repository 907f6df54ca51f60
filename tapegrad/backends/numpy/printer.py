"""A plan as Python source.

Scalars are Python numbers in local variables ``v12``; arrays are ``a12``, made before and written into by
`out=`; within a row loop, the block of an array is ``b12``. Where a scalar meets an array it is an array too,
of no dimension, which NumPy takes in half the time of a Python number. The source is a function `bind` of the
arrays, the blocks of each loop, `run`, which takes a loop over its blocks in one thread or several, and
`steps`, the functions of the stages that are interpreted. It returns two functions: `early` computes
everything, `late` what depends on the late leaves.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tapegrad.backends.numpy.loops import LoopPrinter, scanned
from tapegrad.backends.numpy.statements import (
    Expression,
    Statement,
    Variable,
    assign,
    assigned_in,
    box,
    indented,
    inputs_of,
    note,
    read_in,
)
from tapegrad.backends.numpy.twins import FUNCTIONS
from tapegrad.backends.written import Name, comment, written
from tapegrad.derive.scan import scan_
from tapegrad.ops.broadcasting import sum_
from tapegrad.ops.given import Given
from tapegrad.ops.registry import BOOL, FLOAT, INT
from tapegrad.plan.stages import LONGEST_PRINTED, Interpreted, Layout, Plan, RowLoop, Stage
from tapegrad.tape.body import Body
from tapegrad.tape.entries import Entry
from tapegrad.tape.slots import Marks, ends_of, marked
from tapegrad.tape.tape import size_of

_CASTS = {FLOAT: "float", BOOL: "bool", INT: "int"}


@dataclass(frozen=True)
class Printed:
    """What was printed.

    Attributes
    ----------
    text : str
    namespace : mapping of str to Any
        The functions that the text calls.
    blocks : tuple of tuple of int
        For each row loop, the slots of the blocks that it names.
    steps : tuple of (tuple of int, tuple of int)
        For each stage that is interpreted, the slots of the numbers that it takes and of those that it gives.
    """

    text: str
    namespace: Mapping[str, Any]
    blocks: tuple[tuple[int, ...], ...]
    steps: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]


def add_parts(parts: list[Any], out: Any) -> None:
    """Add the blocks' results pairwise, which keeps the error at the logarithm of their number."""
    np.add.reduce(np.ascontiguousarray(np.moveaxis(np.array(parts), 0, -1)), axis=-1, out=out)


def print_plan(plan: Plan, exact: Marks) -> Printed:
    """The source of a plan; `exact` marks the slots whose last bit can matter, see `deciding_slots`."""
    assert plan.layout is not None
    return _Printer(plan, plan.layout, exact).printed()


class _Printer:
    def __init__(self, plan: Plan, layout: Layout, exact: Marks) -> None:
        self.plan, self.layout, self.tape = plan, layout, plan.tape
        self.namespace: dict[str, Any] = dict(FUNCTIONS)
        self.namespace.update(add_reduce=np.add.reduce, add_parts=add_parts, scanned=scanned)
        self.constants = {slot: np.asarray(c).item() for slot, c in self.tape.constants if np.ndim(c) == 0}
        self.blocks: frozenset[int] = frozenset()
        self.blocks_read: list[tuple[int, ...]] = []
        self.loops: list[Statement] = []
        self.steps: list[tuple[tuple[int, ...], tuple[int, ...]]] = []
        # A decision at a tie must fall the way NumPy's own kernels send it, to the last bit.
        self.exact = exact

    # Operands -----------------------------------------------------------------------------------------------

    def is_scalar(self, slot: int) -> bool:
        return self.tape.avals[slot].shape == ()

    def is_of_scalars(self, entry: Entry) -> bool:
        return self.is_scalar(entry.output) and all(map(self.is_scalar, entry.inputs))

    def number(self, slot: int) -> Expression:
        """A scalar as a Python number."""
        if slot in self.constants:
            text = written(self.constants[slot])
            return Expression(f"({text})" if text.startswith("-") else text)
        return Expression.of(Variable("v", slot))

    def array(self, slot: int) -> Expression:
        """Any slot as an array, or within a loop as the block of one."""
        return Expression.of(Variable("b" if slot in self.blocks else "a", slot))

    def result(self, slot: int) -> Expression:
        return self.number(slot) if self.is_scalar(slot) else self.array(slot)

    # Entries ------------------------------------------------------------------------------------------------

    def call(self, entry: Entry, out: Expression | None = None) -> Expression:
        """The kernel on an entry's inputs."""
        kernel = written(Name(f"np_{entry.op.name}"))
        self.namespace[kernel] = entry.op.kernel
        operands = [*map(self.number if self.is_of_scalars(entry) else self.array, entry.inputs)]
        texts = [operand.text for operand in operands]
        texts += [f"{written(Name(key))}={self.attribute(value)}" for key, value in entry.attrs]
        if out is not None:
            operands.append(out)
            texts.append(f"out={out.text}")
        return Expression(f"{kernel}({', '.join(texts)})", inputs_of(operands))

    def attribute(self, value: Any) -> str:
        """An attribute as it is written: as a literal, or the name of a loop's body or a given function."""
        if not isinstance(value, Body | Given):
            return written(value)
        kind = "body" if isinstance(value, Body) else "function"
        alike = {id(known): name for name, known in self.namespace.items() if name.startswith(kind)}
        name = alike.get(id(value)) or written(Name(f"{kind}{len(alike)}"))
        self.namespace[name] = value
        return name

    def total(self, entry: Entry) -> Expression:
        """A sum, in the short form where everything is summed."""
        if entry.op is sum_ and len(self.tape.avals[entry.inputs[0]].shape) == 1:
            terms = self.array(entry.inputs[0])
            return Expression(f"add_reduce({terms.text})", terms.inputs)
        return self.call(entry)

    def statements(self, entry: Entry) -> list[Statement]:
        """What computes an entry, if there is something left to do."""
        slot = entry.output
        if self.is_scalar(slot):
            is_boxed = slot in self.layout.boxed and slot not in self.layout.aliases
            return [assign("v", slot, self.scalar(entry)), *([box(slot)] if is_boxed else [])]
        if slot in self.layout.aliases:
            return []
        if entry.op is scan_ and (scan := self.scan(entry)) is not None:
            return [scan]
        call = self.call(entry, self.array(slot))
        return [Statement(call.text, call.inputs)]

    def scan(self, entry: Entry) -> Statement | None:
        """The call of a loop, which is printed as a function; None where it is too long for that."""
        attrs = dict(entry.attrs)
        body, count = attrs["body"], attrs["count"]
        if len(body.tape.entries) > LONGEST_PRINTED:
            return None
        name = f"scan{entry.output}"
        exact = bool(self.exact[entry.output])
        loop = LoopPrinter(name, body, count, exact, self.namespace, self.attribute)
        self.loops += loop.lines()
        operands = [self.array(entry.output), *map(self.result, entry.inputs)]
        bodies = [self.attribute(loop.printed), self.attribute(body)]
        texts = [name, *bodies, written(count), *(operand.text for operand in operands)]
        return Statement(f"scanned({', '.join(texts)})", inputs_of(operands))

    def scalar(self, entry: Entry) -> Expression:
        op, inputs = entry.op, entry.inputs
        if entry.output in self.layout.aliases:
            view = Variable("a", entry.output)
            return Expression(f"{view}.item()", (view,))
        has_text = op.python and all(map(self.is_scalar, inputs))
        if has_text and not (self.exact[entry.output] and op.python[0].isalpha()):
            numbers = [*map(self.number, inputs)]
            names = [number.text for number in numbers]
            text = op.python.format(*names) if "{" in op.python else op.python.join(names)
            return Expression(text, inputs_of(numbers))
        value = self.total(entry)
        return Expression(f"{_CASTS[self.tape.avals[entry.output].dtype]}({value.text})", value.inputs)

    def commented(self, entries: Sequence[Entry], sums: frozenset[int] = frozenset()) -> Iterator[Statement]:
        """The statements of entries, each stretch of them under the user's line that they come from."""
        line = None
        for entry in entries:
            found = [self.part(entry)] if entry.output in sums else self.statements(entry)
            if found and entry.source is not None and entry.source != line:
                line = entry.source
                yield note(f"{line}  {line.text}")
            yield from found

    def part(self, entry: Entry) -> Statement:
        """What a block adds to a sum."""
        parts, value = Variable("parts", entry.output), self.total(entry)
        return Statement(f"{parts}.append({value.text})", (parts, *value.inputs))

    # Stages -------------------------------------------------------------------------------------------------

    def stage(self, stage: Stage) -> Iterator[Statement]:
        if isinstance(stage, RowLoop):
            yield from self.row_loop(stage)
        else:
            yield from self.commented(stage.entries)

    def row_loop(self, stage: RowLoop) -> Iterator[Statement]:
        slots = {slot for entry in stage.entries for slot in (*entry.inputs, entry.output)}
        self.blocks = frozenset(s for s in slots if self.plan.row_axis(s) is not None)
        body = list(self.commented(stage.entries, stage.sums))
        self.blocks = frozenset()
        blocks, loop = tuple(read_in("b", body)), len(self.blocks_read)
        self.blocks_read.append(blocks)
        parts = [Variable("parts", slot) for slot in sorted(stage.sums)]
        variables = "".join(f"{Variable('b', slot)}, " for slot in blocks)
        head = f"for {variables}in blocks:  # {stage.rows:,} rows by {self.plan.block:,}"
        self.loops.append(Statement(f"def loop{loop}(blocks):"))
        self.loops += [Statement(f"    {part} = []") for part in parts]
        self.loops.append(Statement(f"    {head}"))
        self.loops += [Statement(f"        {statement}", statement.inputs) for statement in body]
        self.loops.append(Statement(f"    return ({''.join(f'{part}, ' for part in parts)})"))
        yield from self.sums_of(f"run(loop{loop}, rows[{loop}])", parts)

    def sums_of(self, call: str, parts: list[Variable]) -> Iterator[Statement]:
        """The call of a row loop, and the sums of its parts."""
        yield Statement(call, (), tuple(parts), unpacks=True)
        for part in parts:
            slot, array = part.slot, Variable("a", part.slot)
            if not self.is_scalar(slot):
                yield Statement(f"add_parts({part}, {array})", (array,))
                continue
            yield assign("v", slot, Expression(f"float(add_reduce({part}))"))
            if slot in self.layout.boxed:
                yield box(slot)

    def stages(self) -> list[list[Statement]]:
        """The statements of each stage; calls of the interpreter last, when it is known what others read."""
        stages = self.plan.stages
        found = [[] if isinstance(stage, Interpreted) else list(self.stage(stage)) for stage in stages]
        if any(isinstance(stage, Interpreted) for stage in stages):
            printed = (statement for statements in (*found, self.loops) for statement in statements)
            read = marked(self.tape, (*read_in("v", printed), *ends_of(self.tape)))
            written = bytearray(len(self.tape.avals))
            for stage, statements in zip(stages, found, strict=True):
                if isinstance(stage, Interpreted):
                    statements.append(self.interpreted(*self.passed(stage, read, written)))
        return found

    def passed(
        self, stage: Interpreted, read: Marks, written: Marks
    ) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The numbers that a stage needs and gives; those `written` by such a stage pass by themselves."""
        is_number, takes, gives = self.layout.is_number, set(), []
        for _, inputs, output, _, _ in stage.rows():
            if is_number[output]:
                takes.update([slot for slot in inputs if not written[slot]])
            written[output] = 1
            if read[output] and self.is_scalar(output):
                gives.append(output)
        return tuple(sorted(takes.difference(self.constants))), tuple(gives)

    def interpreted(self, takes: tuple[int, ...], gives: tuple[int, ...]) -> Statement:
        """The call of a stage that is interpreted."""
        inputs = tuple(Variable("v", slot) for slot in takes)
        targets = tuple(Variable("v", slot) for slot in gives)
        call = f"steps{len(self.steps)}({', '.join(map(str, inputs))})"
        self.steps.append((takes, gives))
        return Statement(call, inputs, targets, unpacks=True)

    # The whole ----------------------------------------------------------------------------------------------

    def printed(self) -> Printed:
        stages, late = self.stages(), self.plan.late
        early_body = [*self.loads(late=False), *(line for stage in stages[:late] for line in stage)]
        late_body = [*self.loads(late=True), *(line for stage in stages[late:] for line in stage)]
        guards = [self.result(guard.slot) for guard in self.tape.guards]
        outputs = [*map(self.result, self.tape.outputs)]
        # Without late leaves there are no directions to run `late` for.
        early_body.append(_return(guards, [] if self.plan.late_leaves else outputs))
        late_body.append(_return(outputs if self.plan.late_leaves else []))
        text = "\n".join(self.function(early_body, late_body)) + "\n"
        return Printed(text, self.namespace, tuple(self.blocks_read), tuple(self.steps))

    def loads(self, late: bool) -> Iterator[Statement]:
        """Scalar parameters as Python numbers; as arrays, all are views of what the caller fills."""
        start = 0
        for slot in self.tape.parameters:
            if self.is_scalar(slot) and (slot in self.plan.late_leaves) == late:
                yield assign("v", slot, Expression(f"item({start})"))
            start += size_of(self.tape.avals[slot].shape)
        if not late:
            for slot in filter(self.is_scalar, self.tape.data):
                array = Variable("a", slot)
                yield assign("v", slot, Expression(f"{array}.item()", (array,)))

    def function(self, early: list[Statement], late: list[Statement]) -> Iterator[str]:
        yield "def bind(a, rows, item, run, steps):"
        for slot in read_in("a", [*self.loops, *early, *late]):
            remark = f"  {comment(written(self.constants[slot]))}" if slot in self.constants else ""
            yield f"    {Variable('a', slot)} = a[{slot}]{remark}"
        yield from (f"    steps{number} = steps[{number}]" for number in range(len(self.steps)))
        yield from indented(self.loops, 1)
        assigned = assigned_in("v", early)
        shared = [str(Variable("v", slot)) for slot in read_in("v", late) if slot in assigned]
        yield from indented((f"{variable} = 0.0" for variable in shared), 1)
        for title, body in (("early", early), ("late", late)):
            yield f"    def {title}():"
            if shared and title == "early":
                yield f"        nonlocal {', '.join(shared)}"
            yield from indented(body, 2)
        yield "    return early, late"


def _return(*results: list[Expression]) -> Statement:
    """The statement that returns tuples of results: one, or several."""
    texts = [f"({''.join(f'{result.text}, ' for result in part)})" for part in results]
    return Statement(f"return {', '.join(texts)}", inputs_of([r for part in results for r in part]))
