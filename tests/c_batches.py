"""Many tapes in one file of C: a compiler takes longer to start than to compile one of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from tapegrad.backends.c.library import library
from tapegrad.backends.c.program import CProgram
from tapegrad.backends.c.runtime import END, headers
from tapegrad.tape.tape import Tape

_FUNCTION = re.compile(r"\b((?:early|late|piece|rows|loop|move)\d+)\(")
_BODY = f"{END}\n"


class Prefixed:
    """The functions of one program in a library of many."""

    def __init__(self, found: Any, prefix: str) -> None:
        self._found, self._prefix = found, prefix

    def __getattr__(self, name: str) -> Any:
        return getattr(self._found, self._prefix + name)


def compiled_together(programs: Sequence[CProgram]) -> None:
    """Compile programs in one file."""
    bodies = []
    for number, program in enumerate(programs):
        _, body = program.source.split(_BODY)
        bodies.append(_FUNCTION.sub(rf"t{number}_\1(", body))
    found = library("\n".join([headers(bodies), *bodies]))
    for number, program in enumerate(programs):
        program._library = Prefixed(found, f"t{number}_")


def programs_of(tapes: Iterable[Tape], shortest: int, at_once: int = 60) -> list[CProgram]:
    """Programs of tapes, compiled so many at once."""
    found = [CProgram(tape, shortest=shortest) for tape in tapes]
    for first in range(0, len(found), at_once):
        compiled_together(found[first : first + at_once])
    return found


def outputs_of(program: CProgram, inputs: Any) -> list[Any]:
    """The outputs at a point."""
    workspace = program.workspace({})
    workspace.run(np.asarray(inputs, dtype=float))
    return [np.array(output) for output in workspace.outputs]
