"""Prints a plan as C: functions of stretches of numbers, of row loops and of loops over arrays.

What follows one another in C is one `Part`, which is one call from Python. Between parts NumPy computes what
has no form in C. Values that are read in another function than that which computes them go through memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import numpy as np

from tapegrad.backends.c.copying import move_function
from tapegrad.backends.c.encoder import Encoder, is_transfer, takes
from tapegrad.backends.c.forms import EVALUATORS, Assign, Names
from tapegrad.backends.c.machine import ordinary
from tapegrad.backends.c.memory import Memory, is_small
from tapegrad.backends.c.moves import copies, start_of
from tapegrad.backends.c.moves import steps_of as view_steps
from tapegrad.backends.c.operands import number as length
from tapegrad.backends.c.rows import RowPrinter, elementwise
from tapegrad.backends.c.runtime import headers
from tapegrad.backends.c.scans import is_loop, loop_function
from tapegrad.backends.c.steps import Forms, Step, Way, is_view, steps_of
from tapegrad.backends.c.text import c_type, comment, literal
from tapegrad.plan.stages import BLOCK, Plan, RowLoop
from tapegrad.tape.entries import Entry
from tapegrad.tape.slots import Marks, ends_of
from tapegrad.tape.tape import SCALAR, size_of

# Numbers that are printed: compilers take a millisecond or two for each. More are left to the tape machine.
MOST_PRINTED = 400
# Statements to a function: optimisers take time that grows faster than the length.
LONGEST = 400


@dataclass(frozen=True)
class Part:
    """What runs in one go: a function of C, a row loop for threads to share, or kernels of NumPy.

    Attributes
    ----------
    name : str
        The function; empty where NumPy computes.
    blocks : int
        How many blocks a row loop has for threads to share, 0 for all other functions.
    entries : tuple of Entry
        What NumPy computes.
    code : ndarray of int32 or None
        The instructions of the tape machine.
    is_special : bool
        Whether there are special functions among these.
    """

    name: str = ""
    blocks: int = 0
    entries: tuple[Entry, ...] = ()
    code: Any = field(default=None, compare=False)
    is_special: bool = False


@dataclass(frozen=True)
class Printed:
    """What was printed.

    Attributes
    ----------
    text : str
    memory : Memory
    early, late : tuple of Part
    arrays : frozenset of int
        What Python sees as arrays: what NumPy reads and writes, and the ends of the tape.
    lines : int
        Of the text, without the headers.
    """

    text: str
    memory: Memory
    early: tuple[Part, ...]
    late: tuple[Part, ...]
    arrays: frozenset[int]
    lines: int


@dataclass
class _Piece:
    """One function of numbers: consecutive steps."""

    steps: list[Step] = field(default_factory=list)
    size: int = 0


class Printer:
    """Prints one plan; `is_shared` says that threads share long row loops."""

    def __init__(self, plan: Plan, forms: Forms, is_shared: bool) -> None:
        assert plan.layout is not None
        self.plan, self.tape, self.forms, self.is_shared = plan, plan.tape, forms, is_shared
        aliases = {slot: owner for slot, owner in plan.layout.aliases.items() if is_view(plan, slot)}
        self.memory = Memory(plan, aliases=aliases)
        self.constants = {slot: value for slot, value in self.tape.constants if np.ndim(value) == 0}
        self.functions: list[str] = []
        self.is_float: Marks = bytearray()
        self.loops = 0

    # Cutting ------------------------------------------------------------------------------------------------

    def pieces(self, steps: Iterable[Step]) -> Iterator[_Piece]:
        """Steps in functions that are not too long; NumPy's, and loops that are shared, by themselves."""
        piece = _Piece()
        for step in steps:
            alone = step.way is Way.NUMPY or self._is_shared_loop(step)
            size = 1
            if step.way in (Way.NUMBERS, Way.MACHINE) and isinstance(step.what, Entry):
                size = size_of(self.tape.avals[step.what.output].shape)
            last = piece.steps[-1] if piece.steps else step
            changes = (last.way is Way.MACHINE, last.is_late) != (step.way is Way.MACHINE, step.is_late)
            is_full = piece.size + size > LONGEST and step.way is not Way.MACHINE
            if piece.steps and (alone or is_full or changes):
                yield piece
                piece = _Piece()
            piece.steps.append(step)
            piece.size += size
            if alone:
                yield piece
                piece = _Piece()
        if piece.steps:
            yield piece

    def _with_machine(self, steps: list[Step]) -> list[Step]:
        """The steps, numbers on the tape machine where there are too many to print."""
        numbers = [s.what for s in steps if s.way is Way.NUMBERS and isinstance(s.what, Entry)]
        if sum(size_of(self.tape.avals[entry.output].shape) for entry in numbers) <= MOST_PRINTED:
            return steps
        self.is_float = bytearray([aval == SCALAR for aval in self.tape.avals])
        return [
            Step(Way.MACHINE, step.what, step.is_late) if self._is_for_machine(step) else step
            for step in steps
        ]

    def _is_for_machine(self, step: Step) -> bool:
        if isinstance(step.what, RowLoop):
            return False
        if step.way in (Way.NUMPY, Way.MOVES):
            return is_transfer(self.memory, step.what)
        return step.way is Way.NUMBERS and takes(self.memory, step.what, self.is_float)

    def _is_shared_loop(self, step: Step) -> bool:
        return self.is_shared and isinstance(step.what, RowLoop) and step.what.rows > BLOCK

    def _find_shared(self, pieces: Sequence[_Piece]) -> frozenset[int]:
        """The slots that memory must hold."""
        home: dict[int, int] = {}
        shared = set(ends_of(self.tape))
        for number, piece in enumerate(pieces):
            for step in piece.steps:
                if isinstance(step.what, RowLoop):
                    found = {slot for entry in step.what.entries for slot in entry.inputs}
                    made = {entry.output for entry in step.what.entries}
                    shared |= found - made
                    home.update(dict.fromkeys(step.what.sums, number))
                    continue
                inputs, output = step.what.inputs, step.what.output
                if step.way in (Way.NUMBERS, Way.MACHINE):
                    shared.update([slot for slot in inputs if home.get(slot) != number])
                    home[output] = number
                else:
                    shared.update([*inputs, output])
        for slot in list(shared):
            while slot in self.memory.aliases:
                slot = self.memory.aliases[slot]
                shared.add(slot)
        return frozenset(shared)

    # The whole ----------------------------------------------------------------------------------------------

    def printed(self) -> Printed:
        """Print all of it."""
        steps = self._with_machine(list(steps_of(self.plan, self.forms, is_loop)))
        pieces = list(self.pieces(steps))
        shared = self._find_shared(pieces)
        # The outputs one after another, so that they are read at once, and what guards look at.
        self.memory.hold(slot for slot in ends_of(self.tape) if is_small(self.tape.avals[slot]))
        leaves = [*self.tape.data, *(slot for slot, _ in self.tape.constants)]
        held = [slot for slot in leaves if is_small(self.tape.avals[slot])]
        held += sorted(slot for slot in shared if is_small(self.tape.avals[slot]))
        self.memory.hold(held)
        parts: list[tuple[bool, Part]] = []
        for number, piece in enumerate(pieces):
            is_late = piece.steps[0].is_late
            parts += [(is_late, part) for part in self._parts(number, piece, shared)]
        arrays = set(ends_of(self.tape))
        for _, part in parts:
            arrays.update(slot for entry in part.entries for slot in (*entry.inputs, entry.output))
        early = tuple(self._joined([part for is_late, part in parts if not is_late], "early"))
        late = tuple(self._joined([part for is_late, part in parts if is_late], "late"))
        text = "\n".join([headers(self.functions), *self.functions]) + "\n"
        lines = sum(function.count("\n") + 1 for function in self.functions)
        return Printed(text, self.memory, early, late, frozenset(arrays), lines)

    def _joined(self, parts: list[Part], title: str) -> Iterator[Part]:
        """Consecutive functions become one call, and consecutive kernels one part."""

        def kind(part: Part) -> str:
            if part.code is not None:
                return "machine"
            return "numpy" if part.entries else "shared" if part.blocks else "c"

        for number, (how, group) in enumerate(groupby(parts, kind)):
            found = list(group)
            if how == "numpy":
                yield Part(entries=tuple(entry for part in found for entry in part.entries))
            elif how in ("shared", "machine"):
                yield from found
            else:
                name = f"{title}{number}"
                calls = [f"    {part.name}(T);" for part in found]
                self.functions.append("\n".join([f"void {name}(void *const *T) {{", *calls, "}"]))
                yield Part(name)

    def _parts(self, number: int, piece: _Piece, shared: frozenset[int]) -> Iterator[Part]:
        first = piece.steps[0]
        if first.way is Way.NUMPY:
            assert isinstance(first.what, Entry)
            yield Part(entries=(first.what,))
            return
        if first.way is Way.MACHINE:
            yield self._encoded(piece, shared)
            return
        printer = _NumbersPrinter(self, piece, shared)
        if self._is_shared_loop(first):
            # Threads take the blocks, and the function that follows adds up their sums.
            assert isinstance(first.what, RowLoop)
            yield Part(printer.row_loop(first.what, True), -(-first.what.rows // BLOCK))
            if not printer.body:
                return
        else:
            printer.steps()
        self.functions.append("\n".join(printer.lines(f"piece{number}")))
        yield Part(f"piece{number}")

    def _encoded(self, piece: _Piece, shared: frozenset[int]) -> Part:
        encoder = Encoder(self.memory, shared, self.is_float)
        for step in piece.steps:
            assert isinstance(step.what, Entry)
            encoder.entry(step.what)
        code = encoder.code()
        self.functions.append(comment(f"{len(encoder.instructions)} instructions of the tape machine"))
        return Part(code=code, is_special=max(i[0] for i in encoder.instructions) > ordinary())

    def loop(self, stage: RowLoop, stored: frozenset[int], is_shared: bool) -> RowPrinter:
        """Print the function of a row loop."""
        name = f"rows{self.loops}"
        printer = RowPrinter(self.memory, stage, name, stored & stage.stored, is_shared)
        self.loops += 1
        self.functions.append("\n".join(printer.lines()))
        return printer


class _NumbersPrinter:
    """Prints one function of numbers, which may call row loops."""

    def __init__(self, owner: Printer, piece: _Piece, shared: frozenset[int]) -> None:
        self.owner, self.piece, self.shared = owner, piece, shared
        self.memory, self.tape = owner.memory, owner.tape
        self.names: dict[int, Names] = {}
        self.body: list[str] = []
        self.line: Any = None
        self.counter = 0

    def value(self, slot: int) -> Names:
        """The names of a slot's elements, which are read from memory where they are first needed."""
        if slot not in self.names:
            names = np.empty(self.memory.aval(slot).shape, dtype=object)
            for place, where in enumerate(np.ndindex(names.shape)):
                names[where] = self._read(slot, place)
            self.names[slot] = names
        return self.names[slot]

    def _read(self, slot: int, place: int) -> str:
        text = literal(self.owner.constants[slot]) if slot in self.owner.constants else None
        if text is not None:
            return text
        aval = self.memory.aval(slot)
        name = f"m{slot}_{place}" if aval.shape else f"m{slot}"
        self.body.append(f"const {c_type(aval.dtype)} {name} = {self.memory.element(slot, place)};")
        return name

    def _store(self, slot: int) -> None:
        if slot in self.shared:
            for place, name in enumerate(self.names[slot].ravel()):
                self.body.append(f"{self.memory.element(slot, place)} = {name};")

    def entry(self, entry: Entry) -> None:
        """Print one entry."""
        if entry.source is not None and entry.source != self.line:
            self.line = entry.source
            self.body.append(comment(f"{self.line}  {self.line.text}"))
        kind = c_type(self.memory.aval(entry.output).dtype)
        count = -1

        def assign(text: str) -> str:
            nonlocal count
            count += 1
            name = f"v{entry.output}_{count}" if count else f"v{entry.output}"
            self.body.append(f"const {kind} {name} = {text};")
            return name

        inputs = [self.value(slot) for slot in entry.inputs if is_small(self.memory.aval(slot))]
        if not inputs:
            found = self.picked(entry, assign)
        elif entry.op.is_elementwise:
            found = elementwise(entry, inputs, assign)
        else:
            evaluate, _ = EVALUATORS[entry.op.name]
            found = evaluate(assign, entry, inputs, dict(entry.attrs), self.memory.aval(entry.output).shape)
        self.names[entry.output] = found
        self._store(entry.output)

    def row_loop(self, stage: RowLoop, is_shared: bool = False) -> str:
        """Print the call of a row loop, unless threads share it, and the sums that it gives; its name."""
        printer = self.owner.loop(stage, self.shared, is_shared)
        size = f"((const int64_t *)T[2])[{self.memory.length(stage.rows)}]"
        blocks = f"({size} + {BLOCK - 1}) / {BLOCK}"
        if not is_shared:
            self.body.append(f"{printer.name}(T, 0, {blocks});")
        if not printer.width:
            return printer.name
        self.counter += 1
        sums = f"sums{self.counter}"
        entry, _, _ = self.memory.parts[-1]
        self.body.append(
            f"const double *const {sums} = tg_added((double *)T[{entry}], {blocks}, {printer.width});"
        )
        for slot, start in printer.sums.items():
            aval = self.memory.aval(slot)
            if not is_small(aval):
                target = f"(double *)T[{self.memory.pointer(slot)}]"
                count = size_of(aval.shape)
                self.body.append(f"memcpy({target}, {sums} + {start}, {count} * sizeof(double));")
                continue
            names = np.empty(aval.shape, dtype=object)
            for place, where in enumerate(np.ndindex(names.shape)):
                names[where] = f"v{slot}_{place}"
                self.body.append(f"const double v{slot}_{place} = {sums}[{start + place}];")
            self.names[slot] = names
            self._store(slot)
        return printer.name

    def call(self, step: Step) -> None:
        """Print the function of a loop or of copies, if anything is left to do, and call it."""
        assert isinstance(step.what, Entry)
        name = f"{'move' if step.way is Way.MOVES else 'loop'}{self.owner.loops}"
        exact = bool(self.owner.forms.exact[step.what.output])
        text = (
            move_function(self.memory, step.what, name)
            if step.way is Way.MOVES
            else loop_function(self.memory, step.what, name, exact)
        )
        if text is not None:
            self.owner.loops += 1
            self.owner.functions.append(text)
            self.body.append(f"{name}(T);")

    def picked(self, entry: Entry, assign: Assign) -> Names:
        """A few elements of a large array."""
        ((_, slot, view),) = copies(self.memory.shadow, entry)
        start, steps = start_of(view, self.memory.shadow(slot)), view_steps(view)
        names = np.empty(view.shape, dtype=object)
        for where in np.ndindex(names.shape):
            place = start + sum(i * step for i, step in zip(where, steps, strict=True))
            names[where] = assign(f"({self.memory.base(slot)})[{length(self.memory, place)}]")
        return names

    def steps(self) -> None:
        """Print all steps."""
        for step in self.piece.steps:
            if isinstance(step.what, RowLoop):
                self.row_loop(step.what)
            elif step.way is Way.LOOPS or step.way is Way.MOVES:
                self.call(step)
            else:
                self.entry(step.what)

    def lines(self, name: str) -> Iterator[str]:
        """The function."""
        yield f"static void {name}(void *const *T) {{"
        yield "    double *const s = T[0];"
        yield "    const double *const p = T[1];"
        yield "    (void)s, (void)p;"
        yield from (f"    {line}" for line in self.body)
        yield "}"


def print_plan(plan: Plan, forms: Forms, is_shared: bool) -> Printed:
    """The C of a plan."""
    return Printer(plan, forms, is_shared).printed()
