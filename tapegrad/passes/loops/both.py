"""Writing both sides of a decision, and the choice between them, in every iteration."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from tapegrad.ops.indexing import getitem
from tapegrad.ops.logic import logical_and, logical_not
from tapegrad.ops.registry import BOOL, Attrs, Aval, Op
from tapegrad.passes.loops.elements import NONE, Ints
from tapegrad.passes.loops.iterations import ELSE, THEN, Iterations
from tapegrad.passes.loops.joined import Joined
from tapegrad.passes.loops.patterns import Chosen, Element, Made, Member, Pattern, recorded
from tapegrad.passes.loops.sides import Sides, Unknown
from tapegrad.tape.line import Source
from tapegrad.tape.rewrite import Copy
from tapegrad.tape.tape import Guard, Tape, size_of

_UNWRITTEN, _OPEN = -1, -2  # stand for the new slot of what is not there yet, and of what is being written
_TRUTH = Aval((), BOOL)


class Circular(Exception):
    """What is to be computed depends on itself."""


class _Missing(Exception):
    """An operand is not known in an iteration."""


class _Node(NamedTuple):
    """An entry to be written: its inputs are old slots, and nodes, which are numbered behind those."""

    op: Op
    inputs: tuple[int, ...]
    attrs: Attrs
    source: Source | None
    aval: Aval


class Both:
    """The tape in which decisions are choices.

    Parameters
    ----------
    found : Iterations
    sides : Sides
    places : sequence of int
        The guards that are these decisions.
    """

    def __init__(self, found: Iterations, sides: Sides, places: Sequence[int]) -> None:
        self._found, self._sides, self._places = found, sides, places
        self._tape = found.wiring.tape
        self._joined = Joined(found, sides)
        self._nodes: list[_Node] = []
        self._made: dict[Any, int] = {}  # the nodes of this iteration
        self._lines: dict[Any, Source] = {}
        self._chosen = [choice.slots.copy() for choice in sides.choices]
        self._guards: list[Guard] = []
        self._inner = self._inner_choices()
        self._replaced: set[int] = set()
        self._check_shapes()

    def tape(self) -> Tape:
        """Write it.

        Raises
        ------
        Unknown
            If there is no iteration in which both sides are known.
        Circular
            If sides depend on what they give.
        """
        last = []  # where the nodes of each iteration end
        for turn in range(self._found.count):
            self._write_turn(turn)
            last.append(len(self._nodes))
        if self._sides.fixed.all():
            raise Unknown
        gone = {self._places[turn] for turn in np.flatnonzero(~self._sides.fixed).tolist()} | self._replaced
        kept = [guard for i, guard in enumerate(self._tape.guards) if i not in gone]
        return _Writer(self._found, self._nodes, last, self._rewired()).tape([*kept, *self._guards])

    def _check_shapes(self) -> None:
        found = self._found
        for family in np.flatnonzero(np.isin(found.kind, (THEN, ELSE))).tolist():
            entries, _ = found.members(family)
            if len({self._tape.avals[slot] for slot in found.wiring.outputs[entries].tolist()}) > 1:
                raise Unknown

    def _inner_choices(self) -> dict[int, dict[int, int]]:
        """The guards that are choices on a side: by family, and by iteration."""
        found: dict[int, dict[int, int]] = {}
        for i, guard in enumerate(self._tape.guards):
            family = int(self._found.family[guard.slot])
            if guard.is_choice and family != NONE and self._found.kind[family] in (THEN, ELSE):
                found.setdefault(family, {})[int(self._found.turn[guard.slot])] = i
        return found

    # An iteration -------------------------------------------------------------------------------------------

    def _write_turn(self, turn: int) -> None:
        """Make what is chosen in an iteration; where it is not known, the decision stays."""
        fixed, start = self._sides.fixed, len(self._nodes)
        self._made = {}
        if fixed[turn]:
            return
        try:
            values = [self._value(root, turn) for root in self._joined.roots]
            guards = self._guards_of(turn)
        except _Missing:
            fixed[turn] = True
            del self._nodes[start:]
            return
        self._guards += guards
        self._replaced.update(rows[turn] for rows in self._inner.values() if turn in rows)
        for chosen, value in zip(self._chosen, values, strict=True):
            chosen[turn] = value

    def _guards_of(self, turn: int) -> list[Guard]:
        """Where each side is taken, and where the choices on it are made."""
        decision = self._tape.guards[self._places[turn]]
        guards = [
            Guard(
                self._taken(turn, kind), bool(decision.outcome) == (kind == THEN), decision.source, (), True
            )
            for kind in (THEN, ELSE)
        ]
        for family, rows in self._inner.items():
            inner = self._tape.guards[rows[turn] if turn in rows else next(iter(rows.values()))]
            taken = self._taken(turn, int(self._found.kind[family]))
            slots = (taken, self._value(Member(family, 0), turn))
            both = self._node(("inner", family), logical_and, slots, (), inner.source, _TRUTH)
            guards.append(Guard(both, bool(inner.outcome) and turn in rows, inner.source, (), True))
        return guards

    def _taken(self, turn: int, kind: int) -> int:
        """The slot that says whether a side is taken."""
        decision = self._tape.guards[self._places[turn]]
        if kind == THEN:
            return decision.slot
        return self._node("other", logical_not, (decision.slot,), (), decision.source, _TRUTH)

    def _node(
        self, key: Any, op: Op, inputs: tuple[int, ...], attrs: Attrs, source: Source | None, aval: Aval
    ) -> int:
        if key not in self._made:
            if source is not None:  # a line object of its own: what shares one does the same
                source = self._lines.setdefault(key, Source(*source))
            self._made[key] = len(self._tape.avals) + len(self._nodes)
            self._nodes.append(_Node(op, inputs, attrs, source, aval))
        return self._made[key]

    def _value(self, pattern: Pattern, turn: int) -> int:
        """The slot or node of a pattern in an iteration."""
        match pattern:
            case Chosen(choice, lag):
                before = self._sides.choices[choice].before
                slot = int(self._chosen[choice][turn - lag]) if turn >= lag else before.get(turn - lag, NONE)
            case Made(number):
                step = self._joined.steps[number]
                decision = self._tape.guards[self._places[turn]].slot
                inputs = [decision if o is None else self._value(o, turn) for o in step.operands]
                return self._node(pattern, step.op, tuple(inputs), step.attrs, step.source, step.aval)
            case _:
                slot = recorded(self._found, pattern, turn)
        if slot == NONE and isinstance(pattern, Member) and self._found.kind[pattern.family] in (THEN, ELSE):
            return self._extended(pattern, turn)
        if slot == NONE and isinstance(pattern, Element):
            return self._element(pattern, turn)
        if slot == NONE:
            raise _Missing
        return slot

    def _extended(self, member: Member, turn: int) -> int:
        """An entry of a side in an iteration that did not take it."""
        entry = self._tape.entries[self._found.first(member.family)]
        operands = (self._sides.operands[member.family, i] for i in range(len(entry.inputs)))
        inputs = tuple([self._value(pattern, turn) for pattern in operands])
        if member not in self._made:
            self._made[member] = len(self._tape.avals) + len(self._nodes)
            self._nodes.append(
                _Node(entry.op, inputs, entry.attrs, entry.source, self._tape.avals[entry.output])
            )
        return self._made[member]

    def _element(self, pattern: Element, turn: int) -> int:
        shape = self._tape.avals[pattern.base].shape
        place = pattern.start + pattern.step * turn
        if not 0 <= place < size_of(shape):
            raise _Missing
        index = tuple(map(int, np.unravel_index(place, shape)))
        aval = Aval((), self._tape.avals[pattern.base].dtype)
        return self._node(pattern, getitem, (pattern.base,), (("index", index),), None, aval)

    # What was recorded --------------------------------------------------------------------------------------

    def _rewired(self) -> Ints:
        """The inputs of all entries as recorded, and the outputs, where they read what is chosen."""
        found, sides = self._found, self._sides
        inputs = np.array([*self._tape.entries.all_inputs(), *self._tape.outputs], dtype=np.int64)
        for (family, i), pattern in sides.operands.items():
            if isinstance(pattern, Chosen):
                entries, turns = found.members(family)
                entries, turns = entries[turns >= pattern.lag], turns[turns >= pattern.lag] - pattern.lag
                entries, turns = entries[~sides.fixed[turns]], turns[~sides.fixed[turns]]
                inputs[found.wiring.ends[entries] + i] = self._chosen[pattern.choice][turns]
        for place, choice, turn in sides.single:
            if not sides.fixed[turn]:
                inputs[place] = self._chosen[choice][turn]
        return inputs


class _Writer:
    """Entries as recorded and nodes, each after what it reads, and otherwise in order."""

    def __init__(self, found: Iterations, nodes: Sequence[_Node], last: Sequence[int], inputs: Ints) -> None:
        self._found, self._nodes, self._last = found, nodes, last
        self._copy = Copy(found.wiring.tape)
        self._new = [*self._copy.new, *[_UNWRITTEN] * len(nodes)]
        self._inputs = inputs.tolist()
        self._ends = found.wiring.ends.tolist()
        self._entry = np.full(len(found.wiring.tape.avals), NONE)
        self._entry[found.wiring.outputs] = np.arange(len(found.wiring.outputs))
        self._rows = list(found.wiring.tape.entries.rows())

    def tape(self, guards: Sequence[Guard]) -> Tape:
        """Write the entries of each iteration, and then its nodes."""
        slots, written = len(self._found.wiring.tape.avals), 0
        turns = self._found.of_entry.tolist()
        for i, output in enumerate(self._found.wiring.outputs.tolist()):
            end = self._last[turns[i] - 1] if turns[i] > 0 else 0
            for node in range(written, end):
                self._write(slots + node)
            written = max(written, end)
            self._write(output)
        for node in range(written, len(self._nodes)):
            self._write(slots + node)
        outputs = [self._write(slot) for slot in self._inputs[self._ends[-1] :]]
        self._copy.builder.guards += [guard._replace(slot=self._write(guard.slot)) for guard in guards]
        return self._copy.builder.finish(outputs)

    def _write(self, slot: int) -> int:
        """Write an entry or a node unless it is there; its new slot."""
        known = self._new[slot]
        if known >= 0:
            return known
        if known == _OPEN:
            raise Circular
        self._new[slot] = _OPEN
        slots = len(self._found.wiring.tape.avals)
        if slot >= slots:
            op, inputs, attrs, source, aval = self._nodes[slot - slots]
        else:
            i = int(self._entry[slot])
            op, _, _, attrs, source = self._rows[i]
            inputs, aval = (
                self._inputs[self._ends[i] : self._ends[i + 1]],
                self._found.wiring.tape.avals[slot],
            )
        read = tuple([self._write(operand) for operand in inputs])
        self._new[slot] = self._copy.builder.emit(op, read, attrs, source, aval)
        return self._new[slot]
