"""Arrays in memory as functions of C walk them: a pointer, and how far each axis steps."""

from __future__ import annotations

from typing import NamedTuple

from tapegrad.backends.c.memory import Memory
from tapegrad.backends.c.text import stored_type
from tapegrad.ops.registry import Shape

# Lengths and steps up to this stand in the text. Others may come from the data, and are read from memory.
_IN_THE_TEXT = 64


def number(memory: Memory, count: int) -> str:
    """A length or a step as it is written."""
    if abs(count) <= _IN_THE_TEXT:
        return str(count)
    size = f"((const int64_t *)T[2])[{memory.length(abs(count))}]"
    return size if count > 0 else f"-{size}"


class Operand(NamedTuple):
    """A value of a tape as an array in memory.

    Attributes
    ----------
    name : str
        The pointer to its first element, in the text.
    shape, strides : tuple of int
        How many elements each axis has, and how many it steps over.
    """

    memory: Memory
    name: str
    shape: Shape
    strides: tuple[int, ...]

    def at(self, *places: int | str) -> str:
        """The element at these places, numbers or variables."""
        return f"{self.name}[{self.offset(*places)}]"

    def offset(self, *places: int | str) -> str:
        """Where the element at these places stands."""
        pairs = list(zip(places, self.strides, strict=True))
        parts = [
            place if step == 1 else f"{place} * {number(self.memory, step)}"
            for place, step in pairs
            if isinstance(place, str) and step
        ]
        offset = sum(place * step for place, step in pairs if isinstance(place, int))
        return " + ".join(parts if parts and not offset else [*parts, number(self.memory, offset)])


def operand(memory: Memory, slot: int, name: str, lines: list[str], const: bool = True) -> Operand:
    """A value as an operand; its pointer is declared in `lines`."""
    shape, dtype = memory.aval(slot)
    kind = f"{'const ' * const}{stored_type(dtype)}"
    lines.append(f"{kind} *const restrict {name} = {memory.base(slot, const)};")
    return Operand(memory, name, shape, memory.strides(slot))
