"""The C that every program includes: ops of more than one expression, and loops over rows."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from importlib.resources import files


@cache
def header(name: str) -> str:
    """The text of a header."""
    return files(__name__).joinpath(name).read_text(encoding="ascii")


@cache
def declared(*ways: str) -> frozenset[str]:
    """The functions of the headers that are declared in one of these ways, see ``elementwise.h``."""
    texts = [header(path.name) for path in files(__name__).iterdir() if path.name.endswith(".h")]
    pattern = re.compile(rf"^(?:{'|'.join(ways)}) (\w+)\(", re.MULTILINE)
    return frozenset(name for text in texts for name in pattern.findall(text))


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
