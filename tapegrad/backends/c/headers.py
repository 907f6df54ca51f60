"""The functions in C that come with tapegrad, as text that stands before what is printed."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files

# In this order: each file calls functions of those before it.
NAMES = ("elementwise.h", "polynomials.h", "gamma.h", "normal.h", "counts.h", "quotients.h", "beta.h")


@cache
def header(name: str) -> str:
    """The text of a file in `runtime`."""
    return (files("tapegrad.backends.c") / "runtime" / name).read_text(encoding="ascii")


@cache
def _defined(name: str) -> frozenset[str]:
    return frozenset(re.findall(r"\b(tg_\w+)\([^;{}]*\) \{", header(name)))


def _called(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"\btg_\w+", text))


def headers_for(text: str) -> str:
    """The files whose functions `text` calls, and those that they need in turn; the first one always."""
    chosen = []
    called = _called(text)
    for name in reversed(NAMES):
        if name == NAMES[0] or called & _defined(name):
            chosen.append(header(name))
            called |= _called(header(name))
    return "\n".join(reversed(chosen))
