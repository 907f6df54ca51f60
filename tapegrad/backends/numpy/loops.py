"""The loops of scans as Python source: on floats in local variables, and on small arrays.

The function of a loop takes what the op `scan` takes, and gives for each part of what is carried the list of
its values after each step. Where Python raises an error in cases in which IEEE arithmetic goes on, the loop
runs again from its start, step by step with NumPy's functions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from tapegrad.backends.numpy.statements import Statement, Variable, note
from tapegrad.backends.numpy.twins import twin
from tapegrad.backends.written import Name, comment, written
from tapegrad.tape.body import NUMBERS, Body
from tapegrad.tape.entries import Entry
from tapegrad.tape.slots import deciding_slots


def scanned(loop: Callable[..., Any], body: Body, count: int, out: Any, start: Any, *others: Any) -> None:
    """Write the states that a loop gives, shape (count, width), into `out`."""
    try:
        columns = loop(start, *others)
    except (ArithmeticError, ValueError):
        out[...] = body.run(start, others[: body.fixed], others[body.fixed :], count)
    else:
        body.gather(columns, out)


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
        self.name, self.body, self.count, self.tape = name, body, count, body.tape
        self.namespace, self.attribute = namespace, attribute
        self.exact = deciding_slots(self.tape)
        # What decides in a later step is carried there.
        self.all_exact = exact or any(self.exact[slot] for slot in self.parameters(0, body.carried))
        self.constants = dict(self.tape.constants)

    def parameters(self, start: int, stop: int | None) -> tuple[int, ...]:
        return self.tape.parameters[start:stop]

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
        if known is not None and (known.same_bits or not (self.all_exact or self.exact[entry.output])):
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
        carried = self.parameters(0, self.body.carried)
        results = [self.value(slot) for slot in self.tape.outputs]
        yield Statement(f"{_listed('x', carried)} = {', '.join(results)}")
        for slot in carried:
            yield Statement(f"{Variable('found', slot)}.append({Variable('x', slot)})")

    # The loop -----------------------------------------------------------------------------------------------

    def lines(self) -> Iterator[Statement]:
        """The function."""
        body, split = self.body, self.body.carried + self.body.fixed
        carried, fixed, own = (
            self.parameters(0, body.carried),
            self.parameters(body.carried, split),
            self.parameters(split, None),
        )
        takes = [*(Variable("x", slot) for slot in fixed), *(Variable("rows", slot) for slot in own)]
        yield Statement(f"def {written(Name(self.name))}({', '.join(['start', *map(str, takes)])}):")
        yield Statement(f"    ({_listed('x', carried)},) = {self.start(carried)}")
        for slot in carried:
            yield Statement(f"    {Variable('found', slot)} = []")
        yield Statement(f"    for {self.head(own)}:  {comment(f'{self.count:,} steps')}")
        yield from (Statement(f"        {statement}") for statement in self.step_lines())
        yield Statement(f"    return ({_listed('found', carried)},)")

    def start(self, carried: Sequence[int]) -> str:
        if all(map(self.is_scalar, carried)):
            return "start.tolist()"
        return self.named(f"{self.name}_parts", self.body.parts, ["start"])

    def head(self, own: Sequence[int]) -> str:
        if not own:
            return f"_ in range({written(self.count)})"
        rows = [f"{Variable('rows', slot)}{'.tolist()' * self.is_scalar(slot)}" for slot in own]
        source = rows[0] if len(rows) == 1 else f"zip({', '.join(rows)})"
        return f"{_listed('x', own)} in {source}"


def _listed(letters: str, slots: Sequence[int]) -> str:
    return ", ".join(str(Variable(letters, slot)) for slot in slots)
