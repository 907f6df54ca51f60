"""The C that every program includes: ops of more than one expression, and loops over rows."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.resources import files


@cache
def header(name: str) -> str:
    """The text of a header."""
    return files(__name__).joinpath(name).read_text(encoding="ascii")


def headers(functions: Sequence[str]) -> str:
    """The beginning of every program."""
    return "\n".join(
        [
            "#define _GNU_SOURCE",
            "#include <math.h>",
            header("elementwise.h"),
            header("rows.h"),
            "#define WIDTH 256",
        ]
    )
