"""A plan as Python source.

Scalars are Python numbers in local variables ``v12``; arrays are ``a12``, made before and written into by
`out=`; within a row loop, the block of an array is ``b12``. Where a scalar meets an array it is an array too,
of no dimension, which NumPy takes in half the time of a Python number. The source is a function `bind` of the
arrays, the blocks of each loop, and `run`, which takes a loop over its blocks in one thread or several. It
returns two functions: `early` computes everything, `late` what depends on the late leaves.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tapegrad.backends.written import Name, comment, written
from tapegrad.ops.registry import BOOL, FLOAT, INT
from tapegrad.plan.stages import Plan, RowLoop, Stage
from tapegrad.tape.entries import Entry
from tapegrad.tape.slots import deciding_slots
from tapegrad.tape.tape import size_of

_CASTS = {FLOAT: "float", BOOL: "bool", INT: "int"}
# What an op may write in its `python`: operators, and everything in the math module.
_MATH = {name: value for name, value in vars(math).items() if not name.startswith("_")}
INDENT = "    "


@dataclass(frozen=True)
class Source:
    """What was printed.

    Attributes
    ----------
    text : str
    namespace : mapping of str to Any
        The functions that the text calls.
    columns : tuple of tuple of int
        For each row loop, the slots of the blocks that it names.
    """

    text: str
    namespace: Mapping[str, Any]
    columns: tuple[tuple[int, ...], ...]


def add_parts(parts: list[Any], out: Any) -> None:
    """Add the blocks' results pairwise, which keeps the error at the logarithm of their number."""
    np.add.reduce(np.ascontiguousarray(np.moveaxis(np.array(parts), 0, -1)), axis=-1, out=out)


def _slots_named(letter: str, lines: Iterable[str]) -> tuple[int, ...]:
    """The slots whose names with this letter stand in some lines, comments aside."""
    pattern = re.compile(rf"\b{letter}(\d+)\b")
    code = (line for line in lines if not line.lstrip().startswith("#"))
    return tuple(sorted({int(number) for line in code for number in pattern.findall(line)}))


def name(letters: str, of: int | str) -> str:
    """The name of a slot's variable, or of an op's kernel."""
    return written(Name(f"{letters}{of}"))


def _argument(key: str, value: Any) -> str:
    """An attribute as an argument by its name."""
    return f"{written(Name(key))}={written(value)}"


def _boxed(slot: int) -> str:
    """The statement that puts a number into its array."""
    return f"{name('a', slot)}[()] = {name('v', slot)}"


def print_plan(plan: Plan) -> Source:
    """The source of a plan."""
    return _Printer(plan).source()


class _Printer:
    def __init__(self, plan: Plan) -> None:
        self.plan, self.tape = plan, plan.tape
        self.namespace: dict[str, Any] = dict(_MATH)
        self.namespace.update(add_reduce=np.add.reduce, add_parts=add_parts, copyto=np.copyto)
        self.numbers = {slot: np.asarray(c).item() for slot, c in self.tape.constants if np.ndim(c) == 0}
        self.blocks: frozenset[int] = frozenset()
        self.columns: list[tuple[int, ...]] = []
        self.loops: list[str] = []
        # A decision at a tie must fall the way NumPy's own kernels send it, to the last bit.
        self.exact = deciding_slots(self.tape)
        self.boxed = self._meet_arrays()

    def _meet_arrays(self) -> set[int]:
        """The scalars that some entry reads together with arrays, or makes an array of."""
        return {
            slot
            for entry in self.tape.entries
            if not self.is_scalar(entry.output) or not all(map(self.is_scalar, entry.inputs))
            for slot in entry.inputs
            if self.is_scalar(slot)
        }

    # Names --------------------------------------------------------------------------------------------------

    def is_scalar(self, slot: int) -> bool:
        return self.tape.avals[slot].shape == ()

    def number(self, slot: int) -> str:
        """A scalar as a Python number."""
        if slot in self.numbers:
            text = written(self.numbers[slot])
            return f"({text})" if text.startswith("-") else text
        return name("v", slot)

    def array(self, slot: int) -> str:
        """Any slot as an array, or within a loop as the block of one."""
        return name("b" if slot in self.blocks else "a", slot)

    def result(self, slot: int) -> str:
        return self.number(slot) if self.is_scalar(slot) else self.array(slot)

    # Entries ------------------------------------------------------------------------------------------------

    def call(self, entry: Entry, *further: str, attrs: str = "") -> str:
        """The kernel on an entry's inputs."""
        kernel = name("np_", entry.op.name)
        self.namespace[kernel] = entry.op.kernel
        only_scalars = self.is_scalar(entry.output) and all(map(self.is_scalar, entry.inputs))
        operands = map(self.number if only_scalars else self.array, entry.inputs)
        attrs = attrs or ", ".join(_argument(*attr) for attr in entry.attrs)
        return f"{kernel}({', '.join((*operands, *filter(None, (attrs,)), *further))})"

    def total(self, entry: Entry) -> str:
        """A sum, in the short form where everything is summed."""
        if entry.op.name == "sum" and len(self.tape.avals[entry.inputs[0]].shape) == 1:
            return f"add_reduce({self.array(entry.inputs[0])})"
        return self.call(entry)

    def lines(self, entry: Entry) -> list[str]:
        """The statements that compute an entry, if there is something left to do."""
        slot = entry.output
        if self.is_scalar(slot):
            is_number_only = slot not in self.plan.layout.aliases and slot in self.boxed
            box = [_boxed(slot)] if is_number_only else []
            return [f"{name('v', slot)} = {self.scalar(entry)}", *box]
        if slot in self.plan.layout.aliases:
            return []
        out = self.array(slot)
        if not entry.op.view:
            return [self.call(entry, f"out={out}")]
        if entry.op.name == "broadcast_to" or self.is_scalar(entry.inputs[0]):
            return [f"copyto({out}, {self.array(entry.inputs[0])})"]
        # A reshape of a block is a block.
        attrs = [f"{key}={out}.shape" if key == "shape" else _argument(key, v) for key, v in entry.attrs]
        return [f"copyto({out}, {self.call(entry, attrs=', '.join(attrs))})"]

    def scalar(self, entry: Entry) -> str:
        op, inputs = entry.op, entry.inputs
        if entry.output in self.plan.layout.aliases:
            return f"{name('a', entry.output)}.item()"
        has_text = op.python and all(map(self.is_scalar, inputs))
        if has_text and not (self.exact[entry.output] and op.python[0].isalpha()):
            names = map(self.number, inputs)
            return op.python.format(*names) if "{" in op.python else op.python.join(names)
        return f"{_CASTS[self.tape.avals[entry.output].dtype]}({self.total(entry)})"

    def commented(self, entries: tuple[Entry, ...], sums: frozenset[int] = frozenset()) -> Iterator[str]:
        """The statements of entries, each stretch of them under the user's line that they come from."""
        source = None
        for entry in entries:
            is_sum = entry.output in sums
            lines = (
                [f"{name('parts', entry.output)}.append({self.total(entry)})"]
                if is_sum
                else self.lines(entry)
            )
            if lines and entry.source is not None and entry.source != source:
                source = entry.source
                yield comment(f"{source}  {source.text}")
            yield from lines

    # Stages -------------------------------------------------------------------------------------------------

    def stage(self, stage: Stage) -> Iterator[str]:
        if not isinstance(stage, RowLoop):
            yield from self.commented(stage.entries)
            return
        slots = {slot for entry in stage.entries for slot in (*entry.inputs, entry.output)}
        self.blocks = frozenset(s for s in slots if self.plan.row_axis(s) is not None)
        body = list(self.commented(stage.entries, stage.sums))
        self.blocks = frozenset()
        used, loop = _slots_named("b", body), len(self.columns)
        self.columns.append(used)
        parts = "".join(f"{name('parts', slot)}, " for slot in sorted(stage.sums))
        self.loops.append(f"def loop{loop}(blocks):")
        self.loops += [f"{INDENT}{name('parts', slot)} = []" for slot in sorted(stage.sums)]
        variables = "".join(f"b{slot}, " for slot in used)
        self.loops.append(f"{INDENT}for {variables}in blocks:  # {stage.rows:,} rows by {self.plan.block:,}")
        self.loops += [f"{INDENT * 2}{line}" for line in body]
        self.loops.append(f"{INDENT}return ({parts})")
        yield f"{f'{parts}= ' if parts else ''}run(loop{loop}, rows[{loop}])"
        for slot in sorted(stage.sums):
            if not self.is_scalar(slot):
                yield f"add_parts({name('parts', slot)}, {name('a', slot)})"
                continue
            yield f"{name('v', slot)} = float(add_reduce({name('parts', slot)}))"
            if slot in self.boxed:
                yield _boxed(slot)

    # The whole ----------------------------------------------------------------------------------------------

    def source(self) -> Source:
        stages = [list(self.stage(stage)) for stage in self.plan.stages]
        late = self.plan.late
        early_body = [*self.loads(late=False), *(line for stage in stages[:late] for line in stage)]
        late_body = [*self.loads(late=True), *(line for stage in stages[late:] for line in stage)]
        guards = "".join(f"{self.result(guard.slot)}, " for guard in self.tape.guards)
        outputs = "".join(f"{self.result(slot)}, " for slot in self.tape.outputs)
        # Without late leaves there are no directions to run `late` for.
        early_body.append(f"return ({guards}), ({'' if self.plan.late_leaves else outputs})")
        late_body.append(f"return ({outputs if self.plan.late_leaves else ''})")
        text = "\n".join(self.function(early_body, late_body)) + "\n"
        return Source(text, self.namespace, tuple(self.columns))

    def loads(self, late: bool) -> Iterator[str]:
        """Scalar parameters as Python numbers; as arrays, all are views of what the caller fills."""
        place = 0
        for slot in self.tape.parameters:
            if self.is_scalar(slot) and (slot in self.plan.late_leaves) == late:
                yield f"{name('v', slot)} = item({place})"
            place += size_of(self.tape.avals[slot].shape)
        if not late:
            scalars = filter(self.is_scalar, self.tape.data)
            yield from (f"{name('v', slot)} = {name('a', slot)}.item()" for slot in scalars)

    def function(self, early: list[str], late: list[str]) -> Iterator[str]:
        yield "def bind(a, rows, item, run):"
        for slot in _slots_named("a", [*self.loops, *early, *late]):
            note = f"  {comment(written(self.numbers[slot]))}" if slot in self.numbers else ""
            yield f"{INDENT}a{slot} = a[{slot}]{note}"
        yield from (f"{INDENT}{line}" for line in self.loops)
        assigned = {int(match[1]) for line in early if (match := re.match(r"v(\d+) = ", line))}
        shared = [f"v{slot}" for slot in _slots_named("v", late) if slot in assigned]
        yield from (f"{INDENT}{variable} = 0.0" for variable in shared)
        for title, body in (("early", early), ("late", late)):
            yield f"{INDENT}def {title}():"
            if shared and title == "early":
                yield f"{INDENT * 2}nonlocal {', '.join(shared)}"
            yield from (f"{INDENT * 2}{line}" for line in body)
        yield f"{INDENT}return early, late"
