"""The C that every program includes: ops of more than one expression, and loops over rows."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from importlib.resources import files

# In this order: each file calls functions of those before it. The first two are always there.
NAMES = (
    *("elementwise.h", "rows.h", "polynomials.h", "gamma.h", "normal.h", "counts.h", "quotients.h"),
    *("beta.h", "incomplete.h", "incomplete_beta.h", "powers.h", "choices.h", "matrices.h", "recurrences.h"),
)
WIDTH = 512  # rows to a chunk, which stays in the nearest cache
# Numbers to an array of a chunk. With a power of two, one row of all arrays would be in one set of it.
PITCH = WIDTH + 8
END = "/* The functions of this program. */"
_NAME = re.compile(r"\b(?:tg|TG)_\w+")
_DEFINED = re.compile(r"\btg_\w+(?=\([^;{}]*\) \{)|(?<=#define )TG_\w+|(?<=double )tg_\w+(?=\[)")


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


def called_beyond(text: str) -> set[str]:
    """The functions in a text that do not stand in the two headers that are always there."""
    always = {name for header_ in NAMES[:2] for name in _DEFINED.findall(header(header_))}
    known = {name for header_ in NAMES[2:] for name in _DEFINED.findall(header(header_))}
    return known.intersection(_NAME.findall(text)) - always


def headers(functions: Sequence[str]) -> str:
    """The beginning of a program: the headers that its functions call, and those that these need in turn."""
    called = {name for text in functions for name in _NAME.findall(text)}
    chosen = []
    for name in reversed(NAMES):
        if name in NAMES[:2] or called.intersection(_DEFINED.findall(header(name))):
            chosen.append(header(name))
            called.update(_NAME.findall(header(name)))
    return "\n".join(
        [
            *("#define _GNU_SOURCE", "#include <math.h>"),
            *(f"#define WIDTH {WIDTH}", f"#define PITCH {PITCH}", *reversed(chosen), END),
        ]
    )
