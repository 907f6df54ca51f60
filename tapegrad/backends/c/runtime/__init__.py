"""The C that every program includes: ops of more than one expression, and loops over rows."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.resources import files

# The functions that libmvec computes for many numbers at once.
BY_VECTORS = {
    1: "exp exp2 exp10 expm1 log log2 log10 log1p sin cos tan sinh cosh tanh asin acos atan asinh acosh atanh "
    "erf erfc cbrt",
    2: "pow hypot atan2",
}


@cache
def header(name: str) -> str:
    """The text of a header."""
    return files(__name__).joinpath(name).read_text(encoding="ascii")


def prototypes() -> str:
    """What the compiler is told of functions that are there for vectors, too."""
    lines = []
    for count, names in BY_VECTORS.items():
        takes = ", ".join(["double"] * count)
        lines += [f'__attribute__((simd("notinbranch"))) double {name}({takes});' for name in names.split()]
    return "\n".join(lines)


def headers(functions: Sequence[str]) -> str:
    """The beginning of every program."""
    return "\n".join(
        [
            "#define _GNU_SOURCE",
            "#include <math.h>",
            prototypes(),
            header("elementwise.h"),
            header("rows.h"),
            "#define WIDTH 256",
        ]
    )
