"""What is computed anew in each iteration, so that what is chosen comes out."""

from __future__ import annotations

from typing import NamedTuple

from tapegrad.ops.logic import where
from tapegrad.ops.registry import FLOAT, Attrs, Aval, Op
from tapegrad.passes.loops.elements import NONE
from tapegrad.passes.loops.iterations import ELSE, THEN, Iterations
from tapegrad.passes.loops.patterns import Chosen, Either, Element, Made, Member, Pattern, Read, Same
from tapegrad.passes.loops.sides import Sides, Unknown
from tapegrad.tape.entries import Entry
from tapegrad.tape.line import Source


class Step(NamedTuple):
    """An entry in each iteration; the decision itself is the operand None."""

    op: Op
    attrs: Attrs
    operands: tuple[Pattern | None, ...]
    source: Source | None
    aval: Aval


class Joined:
    """The steps that give what is chosen, the same in each iteration.

    Where both sides do the same with other operands, the choice is between the operands: so what is linear
    stays linear, and a sum stays a sum, with the bits of the side that is taken.

    Parameters
    ----------
    found : Iterations
    sides : Sides
    line : Source or None
        That of the decision.

    Attributes
    ----------
    steps : list of Step
    roots : list of Pattern
        For each choice what gives it.
    """

    def __init__(self, found: Iterations, sides: Sides, line: Source | None) -> None:
        self._found, self._line = found, line
        self._operands, self._choices = sides.operands, sides.choices
        self._known: dict[tuple[Op, Attrs, tuple[Pattern | None, ...]], Made] = {}
        self.steps: list[Step] = []
        self.roots = [self._join(choice.then, choice.otherwise)[0] for choice in sides.choices]

    def _join(self, then: Pattern, otherwise: Pattern) -> tuple[Pattern, int]:
        """One pattern for both sides, and how many choices it takes."""
        if then == otherwise:
            return then, 0
        start = len(self.steps)
        pairs = self._operand_pairs(then, otherwise)
        if pairs:
            parts = [self._join(*pair) for pair in pairs]
            count = sum(wheres for _, wheres in parts)
            if count <= 1:
                entry = self._entry(then)
                operands = tuple([pattern for pattern, _ in parts])
                return self._made(entry.op, entry.attrs, operands, entry.source, self._aval(then)), count
            self._forget(start)
        aval = self._aval(then)
        if aval != self._aval(otherwise) or aval.dtype != FLOAT:
            raise Unknown
        side = then if isinstance(then, Member) else otherwise
        source = self._entry(side).source if isinstance(side, Member) else self._line
        return self._made(where, (), (None, then, otherwise), source, aval), 1

    def _operand_pairs(self, then: Pattern, otherwise: Pattern) -> list[tuple[Pattern, Pattern]]:
        """The operands of both sides, one by one, where both end with the same op."""
        if not (isinstance(then, Member) and isinstance(otherwise, Member)):
            return []
        if (self._found.kind[then.family], self._found.kind[otherwise.family]) != (THEN, ELSE):
            return []
        a, b = self._entry(then), self._entry(otherwise)
        if (
            a.op is not b.op
            or a.attrs != b.attrs
            or not a.op.is_elementwise
            or len(a.inputs) != len(b.inputs)
        ):
            return []
        pairs = [
            (self._operands[then.family, i], self._operands[otherwise.family, i])
            for i in range(len(a.inputs))
        ]
        return pairs if all(self._aval(x) == self._aval(y) for x, y in pairs) else []

    def _made(
        self,
        op: Op,
        attrs: Attrs,
        operands: tuple[Pattern | None, ...],
        source: Source | None,
        aval: Aval,
    ) -> Made:
        key = (op, attrs, operands)
        if key not in self._known:
            self._known[key] = Made(len(self.steps))
            # A line object of its own: what shares one does the same.
            own = None if source is None else Source(*source)
            self.steps.append(Step(op, attrs, operands, own, aval))
        return self._known[key]

    def _forget(self, start: int) -> None:
        del self.steps[start:]
        self._known = {key: made for key, made in self._known.items() if made.step < start}

    def _entry(self, member: Pattern) -> Entry:
        assert isinstance(member, Member)
        return self._found.wiring.tape.entries[self._found.first(member.family)]

    def _aval(self, pattern: Pattern) -> Aval:
        """The shape and dtype of a pattern's slots."""
        avals = self._found.wiring.tape.avals
        match pattern:
            case Same(slot):
                return avals[slot]
            case Member(family, _):
                return avals[int(self._found.wiring.outputs[self._found.first(family)])]
            case Read(family, i, _):
                wiring = self._found.wiring
                return avals[int(wiring.inputs[wiring.ends[self._found.first(family)] + i])]
            case Either(family, i, _, _):
                return self._aval(Read(family, i, 0))
            case Element():
                return Aval((), FLOAT)
            case Made(step):
                return self.steps[step].aval
            case Chosen(choice, _):
                slots = self._choices[choice].slots
                return avals[int(slots[slots != NONE][0])]
