"""What may be written into C: numbers that the printer counts, names that it makes, and comments.

No text of a tape gets into C but through `comment`, and no number of it but through `literal`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tapegrad.backends.written import written
from tapegrad.ops.registry import BOOL, FLOAT

LONGEST = 100  # letters of a line of the user's code


def comment(text: str) -> str:
    """A text as a comment of C on one line, whatever it holds.

    Letters beyond ASCII, and those that could end the comment or begin something else before comments are
    read (``*/``, a backslash at the end of the line, trigraphs), become spaces.
    """
    letters = [letter if " " <= letter <= "~" and letter not in "\\?" else " " for letter in text]
    line = "".join(letters)
    while "*/" in line or "/*" in line:
        line = line.replace("*/", "* /").replace("/*", "/ *")
    line = line.rstrip()
    if len(line) > LONGEST:
        line = line[: LONGEST - 3].rstrip() + "..."
    return f"/* {line} */"


def c_type(dtype: np.dtype[Any]) -> str:
    """The type of a number in a local variable."""
    return "double" if dtype == FLOAT else "int64_t"


def stored_type(dtype: np.dtype[Any]) -> str:
    """The type of a number in an array."""
    return "uint8_t" if dtype == BOOL else c_type(dtype)


def literal(value: Any) -> str | None:
    """A scalar constant as it is written; None where it is not one of the few that formulas are made of.

    All others come from memory: they may be data, and models that differ in data only share their code.
    """
    number = value.item() if isinstance(value, np.generic | np.ndarray) else value
    if isinstance(number, (bool, int)):
        return None if abs(number) > _MOST else str(int(number)) if number >= 0 else f"({int(number)})"
    if number == math.inf:
        return "INFINITY"
    if abs(number) > _MOST or not (2.0 * number).is_integer() or math.copysign(1.0, number) * number < 0.0:
        return None
    if number == 0.0 and math.copysign(1.0, number) < 0.0:
        return None
    return written(number) if number >= 0.0 else f"({written(number)})"


_MOST = 8
