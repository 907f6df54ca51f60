"""What may be written into source that is run: identifiers and literals, and nothing else.

Every printer takes each name and each value of a tape through `written`, and what is only to be read through
`comment`. So a tape may say what it likes, wherever it comes from: it cannot bring statements of its own.
"""

from __future__ import annotations

from keyword import iskeyword
from types import EllipsisType, NoneType
from typing import Any

import numpy as np

from tapegrad.tape.tape import TapeError


class Name(str):
    """A text that is meant as an identifier, not as a literal."""

    __slots__ = ()


def written(item: Any) -> str:
    """An identifier or a literal as source.

    Literals are numbers, truths, texts, None, ``...`` and tuples of them; of NumPy's scalars the Python
    number is written. Infinity and NaN are written as ``inf`` and ``nan``, which the namespace must have.

    Raises
    ------
    TapeError
        If it is neither.
    """
    kind = type(item)  # exactly: a subclass may have a repr of its own
    if kind is Name:
        if item.isascii() and item.isidentifier() and not iskeyword(item):
            return str(item)
    elif kind in (int, float, bool, str, NoneType):
        return repr(item)
    elif kind is EllipsisType:
        return "..."
    elif kind is tuple:
        parts = [written(part) for part in item]
        return f"({parts[0]},)" if len(parts) == 1 else f"({', '.join(parts)})"
    elif kind in (np.float64, np.int64, np.bool_):
        return repr(item.item())
    raise TapeError(f"{item!a:.60} is neither an identifier nor a literal, and cannot stand in source")


def executed(source: str, name: str, namespace: dict[str, Any]) -> dict[str, Any]:
    """Run source that a printer wrote, and give what it defines; `namespace` has what it calls.

    In tracebacks, its file is "<name>".

    It is the one place where source is run.
    """
    exec(compile(source, one_line(f"<{name}>"), "exec"), namespace)
    return namespace


def one_line(text: str) -> str:
    """A text without line breaks and other control characters."""
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else " " for letter in text)


def comment(text: str) -> str:
    """A text as a comment."""
    return f"# {one_line(text)}"
