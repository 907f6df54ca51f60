"""The C compiler that is found, and the flags that it gets."""

from __future__ import annotations

import shutil
from typing import NamedTuple

FLAGS = (
    "-O3",
    "-march=native",
    "-std=gnu11",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-fopenmp-simd",
    "-ffp-contract=off",
    "-fPIC",
    "-shared",
)


class NoCompiler(Exception):
    """This machine has no C compiler that tapegrad can use."""


class CompilationFailed(Exception):
    """The compiler refused the source; its words."""


class Compiler(NamedTuple):
    """How C becomes a library here."""

    command: tuple[str, ...]
    flags: tuple[str, ...]
    libraries: tuple[str, ...]


def compiler() -> Compiler | None:
    """The C compiler of this machine, or None."""
    found = shutil.which("cc") or shutil.which("gcc")
    return None if found is None else Compiler((found,), FLAGS, ("-lmvec", "-lm"))
