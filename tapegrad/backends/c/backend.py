"""The backend "c": programs in C, and NumPy's where the compiler fails."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

from tapegrad.backends.c.commands import CompilationFailed
from tapegrad.backends.c.program import CProgram
from tapegrad.backends.numpy.compiled import Compiled
from tapegrad.errors import CompilationWarning
from tapegrad.tape.tape import Tape

_told: set[str] = set()


def compiled(tape: Tape, late: Sequence[int], threads: int) -> CProgram | Compiled:
    """A tape's program in C, or NumPy's, after a warning, where the compiler fails."""
    program = CProgram(tape, late, threads)
    return program if compiles(program) else Compiled(tape, late, threads=threads)


def compiles(program: CProgram) -> bool:
    """Whether the compiler takes a program; if not, a warning shows what it says, once."""
    try:
        program.library  # noqa: B018
    except CompilationFailed as failed:
        words = str(failed)
        if words not in _told:
            _told.add(words)
            warnings.warn(
                f"the C compiler failed, and NumPy computes {program.tape.name}; it says:\n{words}",
                CompilationWarning,
                stacklevel=2,
            )
        return False
    return True
