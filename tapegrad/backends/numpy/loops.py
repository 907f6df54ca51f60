"""The loops of scans as Python source, on floats in local variables.

The function of a loop takes what the op `scan` takes, and gives for each part of what is carried the list of
its values after each step. Where Python raises an error in cases in which IEEE arithmetic goes on, the loop
runs again from its start, step by step with NumPy's functions. Small arrays are written number by number, see
`tapegrad.passes.unfold`; a body that has no such form, or a long one, works on arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from tapegrad.backends.numpy.statements import Statement, Variable, note
from tapegrad.backends.numpy.twins import twin
from tapegrad.backends.written import Name, comment, written
from tapegrad.ops.registry import Shape
from tapegrad.passes.unfold import unfolded
from tapegrad.tape.body import NUMBERS, Body
from tapegrad.tape.entries import Entry
from tapegrad.tape.slots import deciding_slots
from tapegrad.tape.tape import size_of

# As many operations on numbers take about as long as one on a small array; and so many are the most.
_NUMBERS = 40
_MOST = 1_000
# Steps that are run at once: as Python's floats in lists, numbers take four times the room.
_AT_ONCE = 16_384


def scanned(
    loop: Callable[..., Any],
    printed: Body,
    body: Body,
    count: int,
    out: Any,
    start: Any,
    *others: Any,
) -> None:
    """Write the states that a loop gives, shape (count, width), into `out`."""
    fixed, each = others[: body.fixed], others[body.fixed :]
    before = start
    try:
        for first in range(0, count, _AT_ONCE):
            states = out[first : first + _AT_ONCE]
            rows = [column[first : first + _AT_ONCE] for column in each]
            printed.gather(loop(len(states), before, *fixed, *rows), states)
            before = states[-1]
    except (ArithmeticError, ValueError):
        out[...] = body.run(start, fixed, each, count)


def on_numbers(body: Body) -> Body:
    """The body on the numbers that its arrays hold, where that is quicker: all of it is carried or fixed."""
    sizes = {size_of(body.tape.avals[slot].shape) for slot in body.tape.parameters}
    if 0 in sizes or all(aval.shape == () for aval in body.tape.avals):
        return body
    arrays = sum(body.tape.avals[slot].shape != () for slot in body.tape.entries.outputs())
    tape = unfolded(body.tape, min(_MOST, _NUMBERS * (arrays + 1)))
    return body if tape is None else Body(tape, body.width, len(tape.parameters) - body.width)


class LoopPrinter:
    """Prints the function of one loop.

    Parameters
    ----------
    name : str
        That of the function.
    body : Body
    count : int
    exact : bool
        Whether the last bit of the states can matter.
    namespace : dict
        Takes what the text calls.
    attribute : callable
        How an attribute is written.

    Attributes
    ----------
    printed : Body
        What is printed: `body`, or the same on numbers.
    """

    def __init__(
        self,
        name: str,
        body: Body,
        count: int,
        exact: bool,
        namespace: dict[str, Any],
        attribute: Callable[[Any], str],
    ) -> None:
        self.name, self.body, self.count = name, body, count
        self.namespace, self.attribute = namespace, attribute
        marks = deciding_slots(body.tape)
        # What decides in a later step is carried there.
        exact = exact or any(marks[slot] for slot in body.tape.parameters[: body.carried])
        # Sums of arrays have an order of their own.
        self.printed = body if exact or any(marks) else on_numbers(body)
        self.tape = self.printed.tape
        self.exact = b"\1" * len(marks) if exact else marks if any(marks) else bytes(len(self.tape.avals))
        self.constants = dict(self.tape.constants)

    def is_scalar(self, slot: int) -> bool:
        return self.tape.avals[slot].shape == ()

    # One step -----------------------------------------------------------------------------------------------

    def value(self, slot: int) -> str:
        """A number or an array as it is called in the text."""
        if slot not in self.constants:
            return str(Variable("x", slot))
        if self.is_scalar(slot):
            text = written(self.constants[slot])
            return f"({text})" if text.startswith("-") else text
        name = written(Name(f"{self.name}_c{slot}"))
        self.namespace[name] = self.constants[slot]
        return name

    def step(self, entry: Entry) -> Statement:
        return Statement(f"{Variable('x', entry.output)} = {self.call(entry)}")

    def call(self, entry: Entry) -> str:
        op, operands = entry.op, [self.value(slot) for slot in entry.inputs]
        is_of_numbers = all(map(self.is_scalar, (entry.output, *entry.inputs)))
        known = twin(op) if is_of_numbers else None
        if known is not None and (known.same_bits or not self.exact[entry.output]):
            text = known.text
            return text.format(*operands) if "{" in text else text.join(operands)
        if is_of_numbers and op.scalar is not None:
            return self.named(f"py_{op.name}", op.scalar, operands)
        attrs = [f"{written(Name(key))}={self.attribute(value)}" for key, value in entry.attrs]
        text = self.named(f"np_{op.name}", op.kernel, [*operands, *attrs])
        if not self.is_scalar(entry.output):
            return text
        return f"{NUMBERS[self.tape.avals[entry.output].dtype].__name__}({text})"

    def named(self, name: str, function: Any, operands: Sequence[str]) -> str:
        called = written(Name(name))
        self.namespace[called] = function
        return f"{called}({', '.join(operands)})"

    def step_lines(self) -> Iterator[Statement]:
        line = None
        for entry in self.tape.entries:
            if entry.source is not None and entry.source != line:
                line = entry.source
                yield note(f"{line}  {line.text}")
            yield self.step(entry)
        results = [self.value(slot) for slot in self.tape.outputs]
        yield Statement(f"{_listed('x', self.carried)} = {', '.join(results)}")
        for slot in self.carried:
            yield Statement(f"{Variable('found', slot)}.append({Variable('x', slot)})")

    # The loop -----------------------------------------------------------------------------------------------

    @property
    def carried(self) -> tuple[int, ...]:
        return self.tape.parameters[: self.printed.carried]

    def lines(self) -> Iterator[Statement]:
        """The function."""
        fixed, own = self.inputs()
        takes = ["count", "start", *(given.name for given in (*fixed, *own))]
        yield Statement(f"def {written(Name(self.name))}({', '.join(takes)}):")
        yield Statement(f"    ({_listed('x', self.carried)},) = {self.start()}")
        for given in fixed:
            if given.target != given.name:
                yield Statement(f"    {given.target} = {given.name}.ravel().tolist()")
        for slot in self.carried:
            yield Statement(f"    {Variable('found', slot)} = []")
        yield Statement(f"    for {self.head(own)}:  {comment(f'{self.count:,} steps')}")
        yield from (Statement(f"        {statement}") for statement in self.step_lines())
        yield Statement(f"    return ({_listed('found', self.carried)},)")

    def inputs(self) -> tuple[list[_Given], list[_Given]]:
        """What stays the same, and what each step has of its own."""
        numbers = iter(self.tape.parameters)
        found = []
        for i, slot in enumerate(self.body.tape.parameters):
            aval = self.body.tape.avals[slot]
            whole = self.printed is self.body or aval.shape == ()
            slots = [next(numbers) for _ in range(1 if whole else size_of(aval.shape))]
            target = _listed("x", slots) if whole else f"({_listed('x', slots)},)"
            is_own = i >= self.body.carried + self.body.fixed
            letters = "rows" if is_own else "x" if whole else "fixed"
            name = str(Variable(letters, slots[0] if letters == "x" else slot))
            found.append(_Given(name, target, aval.shape, whole))
        split = self.body.carried + self.body.fixed
        return found[self.body.carried : split], found[split:]

    def start(self) -> str:
        if all(aval.shape == () for _, _, aval in self.printed.spans):
            return "start.tolist()"
        return self.named(f"{self.name}_parts", self.body.parts, ["start"])

    def head(self, own: Sequence[_Given]) -> str:
        if not own:
            return "_ in range(count)"
        rows = [given.rows() for given in own]
        source = rows[0] if len(rows) == 1 else f"zip({', '.join(rows)})"
        return f"{', '.join(given.target for given in own)} in {source}"


class _Given(NamedTuple):
    """An input of a loop: the name of the argument, and the variables for its numbers, or for the whole."""

    name: str
    target: str
    shape: Shape
    whole: bool

    def rows(self) -> str:
        """The values for each step."""
        if self.shape == ():
            return f"{self.name}.tolist()"
        return self.name if self.whole else f"{self.name}.reshape(count, -1).tolist()"


def _listed(letters: str, slots: Sequence[int]) -> str:
    return ", ".join(str(Variable(letters, slot)) for slot in slots)
